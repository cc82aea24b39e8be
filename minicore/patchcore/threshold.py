r"""The score above which an image is called anomalous, and p-values: a Gumbel distribution.

The scores of good images come from `minicore.patchcore.leave_one_out`: each is computed without the
rows of its own image. Few images have a score as high as the threshold, so the threshold lies where
there are few scores or none. A distribution with two parameters, fitted to all scores, describes
this tail better than the few highest scores do.

The score of an image is the largest of many patch distances. The largest of many independent values
has, in the limit, an extreme value distribution. For values with an exponential or a normal tail it
is the Gumbel distribution (Fisher & Tippett 1928; Gumbel, Statistics of Extremes, 1958):

.. math:: P(s^{good} \le t) = \exp(-\exp(-(t - \mu) / \beta))

What this means for the false-alarm rate: it is an estimate and has no proof. It assumes that new
good images come from the same source as the training images, and that their scores have this
distribution. ``docs/studies/thresholds.py`` measures it on eight kinds of parts, and compares it
with other methods, conformal prediction among them.
"""

from __future__ import annotations

import numpy as np

TINY = 1e-300  # a scale in place of 0


def gumbel(scores: np.ndarray) -> tuple[float, float]:
    r"""Return the Gumbel distribution that has the mean and the standard deviation of some scores.

    Parameters
    ----------
    scores : (n,) float
        Of at least two good images.

    Returns
    -------
    mu, beta : float
        Location and scale, in the unit of the scores. If all scores are equal, the scale is `TINY`.

    Notes
    -----
    The distribution has the mean $\mu + \gamma \beta$, with Euler's constant $\gamma$, and the
    standard deviation $\pi \beta / \sqrt 6$.
    """
    beta = max(TINY, float(np.sqrt(6) / np.pi * scores.std(ddof=1)))
    return float(scores.mean() - np.euler_gamma * beta), beta


def threshold(scores: np.ndarray, alpha: float) -> float:
    r"""Return the score that a share `alpha` of good images exceeds.

    Parameters
    ----------
    scores : (n,) float
        Of at least two good images.
    alpha : float
        The false-alarm rate, between 0 and 1.

    Returns
    -------
    float
        The quantile $1 - \alpha$ of `gumbel`.
    """
    mu, beta = gumbel(scores)
    # exp(−exp(−(t − μ) / β)) = 1 − α
    return float(mu - beta * np.log(-np.log1p(-alpha)))


def p_values(scores: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    r"""Return the share of good images that score higher than each image.

    A score is above `threshold` for a rate exactly if its p-value is below this rate.

    Parameters
    ----------
    scores : (m,) float
        Of new images.
    calibration : (n,) float
        Of at least two good images.

    Returns
    -------
    (m,) float64
        One minus the distribution function of `gumbel`.
    """
    mu, beta = gumbel(calibration)
    # p = 1 − exp(−exp(−(s − μ) / β))
    return -np.expm1(-np.exp(np.minimum((mu - scores) / beta, 700)))  # exp(710) is infinite
