"""What every detector answers from its scores and maps: its side that scikit-learn knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from minicore.errors import ImageError
from minicore.images import Lenient, Preprocessing, as_images
from minicore.images.listing import fingerprint
from minicore.patchcore.config import require_running
from minicore.patchcore.search import Detection
from minicore.runtime import threads


class Detector(OutlierMixin, BaseEstimator):
    """Base of `minicore.PatchCore`, `minicore.Ensemble` and `minicore.evaluation.baselines`.

    One pass over images gives all answers. A subclass has `n_threads` and gives `_detections`. Its
    `fit` calls `_forget` first and sets `threshold_` last: stopped halfway, it is not fitted,
    rather than fitted by halves.
    """

    n_threads: int | None
    threshold_: float | None
    map_threshold_: float | None
    input_size_: tuple[int, int]
    # What the latest answer was asked of, the configurations it comes from, the answer.
    _last: tuple[Any, list[Any], Detection] | None = None

    @property
    def members_(self) -> list[Any]:
        """The models whose scores are the answer: itself, or those of an ensemble."""
        check_is_fitted(self)
        return [self]

    @property
    def network_files_(self) -> list[Path]:
        """Files that the networks were read from."""
        networks = [n for member in self.members_ for n in member.backbone_.networks]
        return [file for network in networks for file in network.files]

    @property
    def preprocessing_(self) -> Preprocessing:
        """What happens to each image before the network sees it."""
        return self.members_[0].config_.preprocessing

    @property
    def bank_rows_(self) -> int | None:
        """Patch features that are remembered; None if the method does not remember any."""
        return None

    def _detections(self, images: Any) -> Iterator[Detection]:
        """Look at images, a batch at a time."""
        raise NotImplementedError

    def _forget(self) -> None:
        """Be unfitted."""
        self.__dict__.pop("threshold_", None)
        self._last = None

    def __sklearn_is_fitted__(self) -> bool:
        return "threshold_" in vars(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # images, or the paths of files
        tags.input_tags.string = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_last"}

    def stream(
        self, X: Any, *, skipped: dict[int, ImageError] | None = None
    ) -> Iterator[Detection]:
        """Look at images, a batch at a time: any number of them in the memory of one batch.

        Parameters
        ----------
        X : images
            As for `fit`.
        skipped : dict, optional
            Leave out images that cannot be used, and note here the position of each and its error:
            of those before a batch's last image, by the time the batch is there.

        Yields
        ------
        Detection
            Of up to `batch_size` images, in order.

        Raises
        ------
        ImageError
            If an image cannot be used, unless there is `skipped` to note it in.
        """
        for member in self.members_:  # it may have been told otherwise since it was fitted
            require_running(member)
        images = as_images(X)
        if skipped is not None:
            images = Lenient(images, skipped)
        parts = self._detections(images)
        while True:
            with threads.limit(self.n_threads):  # not in what the caller does between two batches
                found = next(parts, None)
            if found is None:
                return
            yield found

    def detect(self, X: Any) -> Detection:
        """Look at images: scores, maps and what they come from, in one pass.

        The answer for the latest images is remembered, so that asking for scores and then for maps
        runs the network once; files are compared by their content. Its arrays are read-only; copy
        one to change it.

        Parameters
        ----------
        X : images
            As for `fit`.

        Returns
        -------
        Detection
        """
        check_is_fitted(self)
        images = as_images(X)
        if not images:
            raise ValueError("expected at least one image, got none")
        # A member of an ensemble can be fitted again by itself. Each fit makes a new configuration;
        # the old ones are kept with the answer, so that no new one gets the identity of an old one.
        fits = [member.config_ for member in self.members_]
        key = fingerprint(images), [id(config) for config in fits]
        last = self._last  # another thread may replace it meanwhile
        if last is None or last[0] != key:
            last = key, fits, Detection.join(list(self.stream(images))).read_only()
            self._last = last
        return last[2]

    def anomaly_score(self, X: Any) -> np.ndarray:
        """Equation 7 (or a baseline's own score) of each image, (n,) float64; higher is worse."""
        return self.detect(X).scores

    def anomaly_map(self, X: Any) -> np.ndarray:
        """Anomaly map of each image, (n, h, w) float32, on the grid of the prepared image.

        Raises
        ------
        ValueError
            If the method gives none.
        """
        maps = self.detect(X).maps
        if maps is None:
            raise ValueError(f"{type(self).__name__} judges whole images: it gives no anomaly maps")
        return maps

    def score_samples(self, X: Any) -> np.ndarray:
        """Negative `anomaly_score`: higher is more normal, as everywhere in scikit-learn."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Margin to the threshold: negative is anomalous.

        Raises
        ------
        ValueError
            If the model has no threshold.
        """
        check_is_fitted(self)
        if self.threshold_ is None:
            has = hasattr(self, "false_positive_rate")
            fit = "fit it with false_positive_rate set, on two images or more, or " if has else ""
            raise ValueError(
                f"this model has no threshold: {fit}compare anomaly_score with a threshold of your "
                f"own"
            )
        return self.threshold_ - self.anomaly_score(X)

    def predict(self, X: Any) -> np.ndarray:
        """Return +1 for good and -1 for anomalous, (n,) int64."""
        return np.where(self.decision_function(X) >= 0, 1, -1)
