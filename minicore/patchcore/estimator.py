r"""PatchCore, the estimator: images in, anomaly scores and maps out.

The steps are those of section 3 of the paper, as in `minicore.equations.section3`:

    fit:    images -> feature maps -> patch features (1-3) -> memory bank (4) -> coreset (5)
    score:  images -> feature maps -> patch features (1-3) -> nearest (6) -> score (7), map

Images are processed in batches. The feature maps of a batch are released when its patch features
are in the memory bank.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from minicore.backbones import Backbone, JointBackbone, open_backbone
from minicore.backbones.joint import Source, Spread
from minicore.errors import ImageError
from minicore.images import ImageLike, Override, as_images, image_size
from minicore.images.batching import DIGEST
from minicore.patchcore.bank import MemoryBank, Storage
from minicore.patchcore.config import (
    EVERY_45,
    Augment,
    Config,
    Embedding,
    Engine,
    Made,
    Score,
    Selection,
    require_running,
)
from minicore.patchcore.detector import Detector
from minicore.patchcore.features import (
    check_smoothing,
    columns_by_network,
    engine_functions,
)
from minicore.patchcore.leave_one_out import leave_one_out
from minicore.patchcore.search import Detection, Search
from minicore.patchcore.selection import covering_radius, pick, project
from minicore.patchcore.threshold import threshold
from minicore.patchcore.training import common_size, first_copies, warn_of_copies
from minicore.patchcore.update import find_growth, grow
from minicore.patchcore.whitening import covariance, whitening_matrix
from minicore.runtime import threads
from minicore.runtime.clock import Seconds
from minicore.runtime.distribution import require

if TYPE_CHECKING:
    from distributed import Client

    from minicore.cluster.coordinator import Coreset
    from minicore.cluster.two_round import Approximation


class PatchCore(Detector):
    r"""Anomaly detection and segmentation from good images alone.

    Parameters
    ----------
    backbone : Backbone, str or Path, or a list of them, optional
        The network: an object, an ``.onnx`` file, or a known name. By default the network that
        ships with minicore. The patch features of several networks are divided by their spread over
        the training images and concatenated; `minicore.Ensemble` averages scores instead.
    embedding : {"concat", "paper"}, default "concat"
        ``"concat"``: the mean over each neighbourhood, for all channels of all levels. ``"paper"``:
        the authors' adaptive pooling to `dimension` values, first of each level and then of the
        concatenated levels; for wide networks.
    coreset_ratio : float, default 0.1
        Share of the memory bank to keep, above 0 and up to 1.
    seed : int, default 0
        Seed of the projection $\psi$ and the first pick.
    engine : {"fast", "equations"}, default "fast"
        ``"equations"`` runs the literal loops of `minicore.equations` instead of `minicore.fast`:
        the same results, more slowly.
    layers : sequence of str, optional
        Hierarchy levels, finest first; by default those of the backbone (layer2, layer3). With
        several networks each name starts with the network's number:
        ``("0.layer2", "0.layer3", "1.layer3")``.
    patchsize, stride : int, default 3 and 1
        $p$ and $s$ of equations 1 and 3.
    dimension : int or (int, int), default 1024
        For ``embedding="paper"``: values per level, and values of the whole vector.
    projection_dim : int, default 128
        $d^*$ of equation 5. Features of this width or less are not projected.
    b : int or None, default 9
        Number of neighbours in equation 7, including $m^*$; at least 2. The paper does not state
        its $b$. None leaves equation 7 out: $s = s^*$.
    sigma : float, default 4.0
        Standard deviation of the smoothing of the maps, in pixels.
    false_positive_rate : float or None, default 0.05
        Share of good images that may be called anomalous. Each training image is scored by the
        coreset without its own rows (`minicore.patchcore.leave_one_out`). The threshold is the
        quantile of a Gumbel distribution with the mean and the standard deviation of these scores
        (`minicore.patchcore.threshold`). So the share is an estimate, and better with more images.
        Copies of an image count once. None: no threshold, and `predict` raises an error.
    resize, crop : int, (int, int) or "none", optional
        Size of the images (`minicore.images.Preprocessing`). By default the backbone's sizes.
        "none" skips the step.
    coreset_radius : float, optional
        Stop picking when every patch is within this distance of a pick, in the projection $\psi$
        (`coreset_radii_` shows the scale). `coreset_ratio` is then the largest share to keep.
    bank_storage : {"float32", "float16", "disk"}, default "float32"
        How the whole memory bank is stored during a fit: in memory; in memory at half the size,
        with every value rounded to 11 bits; or as float32 in a temporary file (in ``TMPDIR``).
        "float32" and "disk" give the same results.
    selection : {"greedy", "random", "kmeans", "two-round"}, default "greedy"
        How the coreset is selected: by Algorithm 1, or by one of two other methods, for comparison
        (`minicore.patchcore.selection.pick`). ``"two-round"``, only over a cluster, approximates
        Algorithm 1 (`minicore.cluster.two_round_coreset`). Its result depends on `parts` of `fit`.
    whiten : bool, default False
        Whether to whiten the patch features: a linear map makes their variance the same in every
        direction, and removes the directions with the last 1 % of the variance
        (`minicore.patchcore.whitening`).
    score : {"max", "top"}, default "max"
        The score of an image. ``"max"``: the largest patch distance, with the weight of equation 7.
        ``"top"``: the mean of the largest 1 % of the patch distances (at least one); `b` is then
        not used.
    augment : {"rotations"} or None, default None
        ``"rotations"``: each training image is also in the memory bank turned by each of `angles`,
        for few good images of parts that can lie at any angle. New images are never turned. The
        whole memory bank and the time of the fit grow with the number of angles, and so does the
        coreset. A turned part is then good: do not use it if a turned part is a defect.
    angles : sequence of float, optional
        For ``augment="rotations"``: degrees, counter-clockwise, with 0. By default every 45°. An
        image is turned about its centre; the corners show its mirror image.
    batch_size : int, default 8
        Images per batch.
    n_threads : int, optional
        By default the number of cores of the process. It changes no result.
    progress : bool, default True
        Whether to show progress bars.

    Attributes
    ----------
    memory_bank_ : (l, D) float32
        The coreset $\mathcal{M}_C$ in the order picked.
    coreset_indices_ : (l,) int64
        Row numbers of the coreset in the whole memory bank $\mathcal{M}$, which is ordered by
        image, then by angle (`minicore.patchcore.bank.origins`). The images of each `update` follow
        those before.
    coreset_radii_ : (l,) float64
        Largest distance of a row of $\mathcal{M}$ to its nearest pick, after each pick; Euclidean,
        in the projection $\psi$. Empty if `selection` is not "greedy". `update` does not change it.
    grid_ : (int, int)
        Size of the patch grid of an image, h' and w'.
    input_size_ : (int, int)
        (h, w) of the prepared images in pixels.
    threshold_ : float or None
        An image with a larger score is anomalous. None if `false_positive_rate` is None, or if
        there are fewer than two different training images.
    map_threshold_ : float or None
        A pixel with a larger map value is anomalous. Computed like `threshold_`, from the largest
        value of each map.
    calibration_scores_, calibration_peaks_ : (n,) float64
        Score and largest map value of each different training image, computed without its own rows.
        The thresholds come from them. Empty without threshold.
    scales_ : tuple of float
        1 / spread of each network's patch features; (1.0,) for one network.
    whitening_ : (D', D) float32 or None
        The matrix that whitens the D' values of a patch feature. None without `whiten`.
    config_ : Config
        The parameters of the fit.
    cluster_coreset_ : minicore.cluster.Coreset or minicore.cluster.Approximation
        After a fit over a cluster: the rounds, the bytes sent, and for "two-round" the radius and
        its guarantee. Not saved.
    made_ : Made
        Number of images and copies, their folder, the time of the fit, the version of minicore.
    image_digests_ : (n, 16) uint8
        A hash of each training image as the network gets it (`minicore.images.batches`).
    backbone_ : Backbone or JointBackbone
        The network.
    seconds_ : Seconds
        Time of each stage, since the model was fitted or loaded.

    Notes
    -----
    Memory: a fit needs at most 600 MB plus 1.3 times the bytes of the whole memory bank in its
    storage format. If the bank is on disk, it needs 600 MB plus 0.3 times its bytes. This holds for
    a coreset of up to a tenth and features of 512 values or more. A larger coreset adds its own
    bytes. With `augment`, the bank contains every image once for each angle. Scoring needs the
    coreset and one batch.

    For scikit-learn this is an outlier detector that takes images: `clone`, `Pipeline`,
    `GridSearchCV` and `joblib.Parallel` work. There is no ``n_features_in_``. Models can be
    pickled, fitted or not; the network is then read again from its file, which must be unchanged.
    Use `save` to keep or share a model: a pickle can run any code when it is opened, and other
    versions may not read it. minicore itself opens no file that is a pickle.

    Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022, section 3.
    """

    # The arguments of `fit` that scikit-learn does not pass on from a Pipeline.
    __metadata_request__fit = dict.fromkeys(("client", "parts", "resume"), UNUSED)

    config_: Config
    cluster_coreset_: Coreset | Approximation
    _file: Path | None = None  # contains this model, unless it has changed since

    def __init__(
        self,
        backbone: Source | JointBackbone | Sequence[Source] | None = None,
        embedding: Embedding = "concat",
        coreset_ratio: float = 0.1,
        seed: int = 0,
        engine: Engine = "fast",
        *,
        layers: tuple[str, ...] | None = None,
        patchsize: int = 3,
        stride: int = 1,
        dimension: int | tuple[int, int] = 1024,
        projection_dim: int = 128,
        b: int | None = 9,
        sigma: float = 4.0,
        false_positive_rate: float | None = 0.05,
        resize: Override = None,
        crop: Override = None,
        coreset_radius: float | None = None,
        bank_storage: Storage = "float32",
        selection: Selection = "greedy",
        whiten: bool = False,
        score: Score = "max",
        augment: Augment | None = None,
        angles: Sequence[float] | None = None,
        batch_size: int = 8,
        n_threads: int | None = None,
        progress: bool = True,
    ) -> None:
        self.backbone = backbone
        self.embedding = embedding
        self.coreset_ratio = coreset_ratio
        self.seed = seed
        self.engine = engine
        self.layers = layers
        self.patchsize = patchsize
        self.stride = stride
        self.dimension = dimension
        self.projection_dim = projection_dim
        self.b = b
        self.sigma = sigma
        self.false_positive_rate = false_positive_rate
        self.resize = resize
        self.crop = crop
        self.coreset_radius = coreset_radius
        self.bank_storage = bank_storage
        self.selection = selection
        self.whiten = whiten
        self.score = score
        self.augment = augment
        self.angles = angles
        self.batch_size = batch_size
        self.n_threads = n_threads
        self.progress = progress

    # ---------------------------------------------------------------- fit

    def fit(
        self,
        X: Any,
        y: None = None,
        *,
        client: Client | None = None,
        parts: int | None = None,
        resume: str | Path | None = None,
    ) -> PatchCore:
        """Store the patch features of good images.

        Parameters
        ----------
        X : images
            Paths, a folder, or uint8 (n, h, w, 3); see `minicore.images.as_images`.
        y : None
            Not used; required by scikit-learn.
        client : distributed.Client, optional
            Fit over the workers of a Dask cluster (the extra ``cluster``). The model is the same,
            to the bit, if all processors compute a network in the same way. The images must have
            the same paths on all machines. `n_threads` is not used: every task has one thread.
            Several networks and `whiten` are not possible.
        parts : int, optional
            With `client`: number of parts into which the images are divided. By default up to four
            for each thread of the cluster.
        resume : str or Path, optional
            With `client`: a file for the picks of Algorithm 1 so far, written after each round and
            deleted after the fit. If it exists, the fit continues from its picks.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range.
        ImageError, BackboneError
            If an image or the network cannot be used.
        MinicoreError
            If Dask is missing, the cluster has no workers, or `resume` is of another fit.

        Warns
        -----
        MinicoreWarning
            If images are copies of each other, or have different sizes.
        """
        images = as_images(X)
        if not images:
            raise ValueError("fit needs at least one image, got none")
        self._forget()
        require_running(self)
        self.seconds_ = Seconds()
        with threads.limit(self.n_threads):
            self.backbone_ = self._open_backbone()
            self.config_ = self._configure(self.backbone_)
        if client is not None:
            require("client", "cluster", "distributed")
            from minicore.patchcore.over_cluster.cluster_fit import fit_on_cluster  # imports Dask

            fit_on_cluster(self, images, client, parts, resume)
            return self
        size, turns = common_size(map(image_size, images)), len(self.config_.turns)
        bank = MemoryBank(len(images), self.bank_storage, turns)
        with threads.limit(self.n_threads), bank as M:
            # Equations 1 to 4: M, the patch features of all images
            cell = self._fill(M, images)
            first = first_copies(M)
            copies = warn_of_copies(images, first)

            # Equation 5: the coreset M_C, selected in the projection ψ(M)
            with self.seconds_.of("projection (eq 5)"):
                psi_M = project(M, self.config_)
            with self.seconds_.of("coreset (eq 5)"):
                picks, radii = pick(psi_M, self.config_, self.progress)
                self.memory_bank_ = M[picks]
            self.coreset_indices_, self.coreset_radii_ = picks, radii
            with self.seconds_.of("axes of the coreset (eq 6)"):
                self._search = Search(self.memory_bank_, self.config_.b, score=self.config_.score)
                self._search.prepare(self.config_.engine)

            # The thresholds: each image is scored without its own rows
            with self.seconds_.of("threshold"):
                thresholds = self._calibrate(M, psi_M, first, cell)
        self.made_ = Made.of(images, copies, size)
        self.threshold_, self.map_threshold_ = thresholds
        return self

    def _open_backbone(self) -> Backbone | JointBackbone:
        return open_backbone(
            self.backbone, self.layers, threads=self.n_threads, batch_size=self.batch_size
        )

    def _configure(self, network: Backbone | JointBackbone) -> Config:
        asked = network.preprocessing.override(self.resize, self.crop)
        d = self.dimension
        return Config(
            backbone=network.source,
            backbone_sha256=network.sha256,
            layers=network.layers,
            resize=asked.resize,
            crop=asked.crop,
            mean=asked.mean,
            std=asked.std,
            embedding=self.embedding,
            dimension=d if isinstance(d, tuple) else (d, d),
            patchsize=self.patchsize,
            stride=self.stride,
            coreset_ratio=self.coreset_ratio,
            projection_dim=self.projection_dim,
            b=None if isinstance(self.score, str) and self.score == "top" else self.b,
            sigma=self.sigma,
            false_positive_rate=self.false_positive_rate,
            seed=self.seed,
            engine=self.engine,
            bank_storage=self.bank_storage,
            coreset_radius=self.coreset_radius,
            selection=self.selection,
            whiten=self.whiten,
            score=self.score,
            augment=self.augment,
            angles=EVERY_45 if self.augment is not None and self.angles is None else self.angles,
        )

    def _fill(
        self, M: MemoryBank, images: Sequence[ImageLike], pixels: tuple[int, int] | None = None
    ) -> tuple[float, float]:
        """Append the patch features of images, of (h, w) `pixels`; return the size of a cell."""
        several = len(self.backbone_.networks) > 1
        self.scales_, self.whitening_ = (1.0,) * len(self.backbone_.networks), None
        spread = Spread(columns_by_network(self.backbone_, self.config_)) if several else None
        digests: list[bytes] = []
        batches = self._patches(
            images,
            "memory bank",
            progress=self.progress,
            pixels=pixels,
            digests=digests,
            angles=self.config_.turns,
        )
        for batch in batches:
            with self.seconds_.of("memory bank (eq 4)"):
                check_smoothing(self.config_.sigma, batch.size)
                M.append(batch.features)
                if spread is not None:
                    spread.add(batch.features.reshape(-1, M.shape[1]))
        if spread is not None:
            self.scales_ = spread.scales()
            scales = np.repeat(np.asarray(self.scales_, np.float32), spread.widths)
            M.transform(lambda rows: rows * scales, len(scales))
        if self.config_.whiten:
            with self.seconds_.of("whitening"):
                W = whitening_matrix(covariance(M))
                times = engine_functions(self.config_.engine).project
                M.transform(lambda rows: times(rows, W), W.shape[1])
                self.whitening_ = W
        self.input_size_, self.grid_ = batch.size, M.grid
        self.image_digests_ = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST)
        return batch.cell

    def _calibrate(
        self, M: MemoryBank, psi_M: np.ndarray, first: np.ndarray, cell: tuple[float, float]
    ) -> tuple[float, float] | tuple[None, None]:
        """Return the thresholds of score and map."""
        self.calibration_scores_ = self.calibration_peaks_ = np.empty(0)
        self._different = np.unique(first)
        alpha = self.config_.false_positive_rate
        if alpha is None or len(self._different) < 2:
            return None, None
        picks = self.coreset_indices_
        radius = covering_radius(psi_M, picks, self.coreset_radii_, self.config_)
        left_out = leave_one_out(
            M, psi_M, picks, radius, first, self._search, self.config_.engine, self.progress
        )
        self.calibration_scores_ = left_out.scores(self.config_)
        self.calibration_peaks_ = left_out.peaks(self.input_size_, cell, self.config_)
        return threshold(self.calibration_scores_, alpha), threshold(self.calibration_peaks_, alpha)

    # ---------------------------------------------------------------- update

    def update(self, X: Any) -> np.ndarray:
        r"""Learn more good images, without the images of the fit.

        Let r be the covering radius of the fit, the last of `coreset_radii_`. For each image in
        turn, Algorithm 1 continues: the patch that is farthest from the memory bank is added to it,
        until all patches of the image are within r. So the promise of the fit holds for every image
        that the model has learned: each patch is within r of a row of the bank (Euclidean, in the
        projection $\psi$). Rows are only added, never removed.

        The numbers of rows show whether there are enough good images: if new images add hardly any
        row, the model has already seen what good parts look like.

        Parameters
        ----------
        X : images
            Good images, as for `fit`. A defect among them would be learned and then be called good
            (`minicore update --show` draws what would be added). Images that the model has already
            learned are skipped.

        Returns
        -------
        (n,) int64
            Number of rows that each image added, in the order given; 0 for a skipped image.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        ValueError
            If there is no image, the coreset was not selected by Algorithm 1, or a parameter has
            changed since the fit.
        ImageError, BackboneError
            If an image or the network cannot be used, or an image has another size than those of
            the fit. After any error the model is unchanged.

        Warns
        -----
        MinicoreWarning
            If images are skipped, or have another size before preprocessing.

        Notes
        -----
        The thresholds are renewed, unless `false_positive_rate` is None. Each new image is scored
        by the model as it was before this image was learned, and its scores are appended to
        `calibration_scores_` and `calibration_peaks_`. The model has grown since the older scores
        were computed, and more rows can only reduce the distance of a patch. So the older scores
        tend to be too high, and the thresholds too. The false-positive rate is an estimate.

        The result does not depend on how the images are divided among several updates. It depends
        on their order. One fit on all images would select other rows.
        """
        with threads.limit(self.n_threads):
            growth = find_growth(self, X)
            grow(self, growth)
        return growth.rows

    # ---------------------------------------------------------------- score

    def _detections(
        self,
        images: Sequence[ImageLike],
        *,
        skipped: dict[int, ImageError] | None = None,
        progress: bool = False,
    ) -> Iterator[Detection]:
        """Yield scores and maps (equations 1 to 3, 6 and 7), a batch of images at a time."""
        anomaly_map = engine_functions(self.engine).anomaly_map
        sigma, stride = self.config_.sigma, self.config_.stride
        batches = self._patches(
            images, "score", pixels=self.input_size_, skipped=skipped, progress=progress
        )
        for patches, size, cell in batches:
            with self.seconds_.of("nearest (eq 6, 7)"):
                s, s_star, distances = self._search.score(patches, self.engine)
            with self.seconds_.of("map"):
                maps = anomaly_map(distances, *size, sigma, stride, cell)
            yield Detection(s, s_star, distances, maps)

    @property
    def bank_rows_(self) -> int:
        """Number of rows of the coreset."""
        check_is_fitted(self)
        return len(self.memory_bank_)

    # ---------------------------------------------------------------- files

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the fitted model to one safetensors file. The file is complete or not written.

        Parameters
        ----------
        path : str or Path
        overwrite : bool, default False
            Whether to replace a file that minicore did not make. The network's file is never
            replaced.

        Returns
        -------
        Path

        Raises
        ------
        OutputError
            If the file cannot be written, or must not be replaced.
        """
        from minicore.patchcore import saved  # imports this class

        file = saved.save(self, path, overwrite=overwrite)
        self._file = file.absolute()
        return file

    @classmethod
    def load(
        cls,
        path: str | Path,
        backbone: Source | JointBackbone | Sequence[Source] | None = None,
        **options: Any,
    ) -> PatchCore:
        """Return the model in a file.

        Parameters
        ----------
        path : str or Path
            A file that `save` wrote.
        backbone : Backbone, str or Path, or a list of them, optional
            The network of the fit, if its file was moved.
        **options
            `engine`, `batch_size`, `n_threads`, `progress`: they do not change results.

        Returns
        -------
        PatchCore

        Raises
        ------
        ModelError
            If the file is damaged, or `backbone` is not the network of the fit.
        """
        from minicore.patchcore import saved  # imports this class

        return saved.load_patchcore(path, backbone, options)
