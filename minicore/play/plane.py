"""Fixed coordinates and colours for vectors, so that two images can be compared."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicore.plots.principal import oklab_colours, principal_directions

BLOCK = 512  # rows whose distances are computed at once


class Plane(NamedTuple):
    """A fixed linear map of vectors to a few coordinates.

    Attributes
    ----------
    centre : (d,) float64
    directions : (d, k) float64
    """

    centre: np.ndarray
    directions: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, count: int) -> Plane:
        """Return the plane of the largest variance of rows (n, d)."""
        rows = rows.astype(float)
        return cls(rows.mean(axis=0), principal_directions(rows, count))

    def coordinates(self, rows: np.ndarray) -> np.ndarray:
        """Return the coordinates of rows (n, d), (n, k) float32."""
        return ((rows - self.centre) @ self.directions).astype(np.float32)


class Colours(NamedTuple):
    """Fixed colours for the vectors of one hierarchy level: three principal components.

    Attributes
    ----------
    plane : Plane
    low, high : (3,) float32
        The coordinates that become the ends of the colour scales.
    """

    plane: Plane
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, phi: np.ndarray) -> Colours:
        """Return colours for the level of some images, (n, c, h, w)."""
        rows = _vectors(phi)
        plane = Plane.of(rows, 3)
        low, high = np.percentile(plane.coordinates(rows), [2, 98], axis=0)
        return cls(plane, low, np.where(high > low, high, low + 1))

    def paint(self, phi: np.ndarray) -> np.ndarray:
        """Return the colours of one image's level, (c, h, w) -> (h, w, 3) uint8."""
        coordinates = self.plane.coordinates(_vectors(phi[None]))
        shares = np.clip((coordinates - self.low) / (self.high - self.low), 0, 1)
        colours = np.rint(255 * oklab_colours(shares)).astype(np.uint8)
        return colours.reshape(*phi.shape[1:], 3)


def _vectors(phi: np.ndarray) -> np.ndarray:
    return phi.transpose(0, 2, 3, 1).reshape(-1, phi.shape[1])


def covering_radii(psi_M: np.ndarray, picked: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the covering radius after some numbers of picks.

    Parameters
    ----------
    psi_M : (N, d) float32
        All rows.
    picked : (l, d) float32
        The picks, in order.
    counts : (k,) int32
        Increasing, from 1 to l.

    Returns
    -------
    (k,) float32
        Largest distance of a row to the nearest of the first picks. The distances are matrix
        products: good to about 1e-5, enough for a picture.
    """
    centre = psi_M.mean(axis=0)  # smaller numbers, smaller rounding errors
    rows, picked = psi_M - centre, picked - centre
    own, squares = (np.einsum("ij,ij->i", each, each) for each in (rows, picked))
    bounds = np.full(len(rows), np.inf, np.float32)  # a new pick never increases a row's distance
    seen = np.zeros(len(rows), np.int64)  # picks that a row's bound includes
    radii = []
    for count in counts:
        order, largest = np.argsort(-bounds), -np.inf
        for first in range(0, len(rows), BLOCK):
            block = order[first : first + BLOCK]
            if bounds[block[0]] <= largest:  # no later row can be farther
                break
            new = slice(seen[block].min(), count)
            products = rows[block] @ picked[new].T
            nearest = own[block] + (squares[new] - 2 * products).min(axis=1)
            bounds[block] = np.minimum(bounds[block], nearest)
            seen[block] = count
            largest = max(largest, bounds[block].max())
        radii.append(max(largest, 0.0))
    return np.sqrt(np.array(radii, np.float32))
