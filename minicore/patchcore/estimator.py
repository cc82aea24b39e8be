r"""PatchCore, the estimator: images in, anomaly scores and maps out.

The flow of section 3, a line an equation:

    images -> backbone -> patch features (1-3) -> memory bank (4) -> coreset (5) -> fitted
    images -> backbone -> patch features (1-3) -> nearest (6) -> score (7), map

Images are streamed: a batch's feature maps are gone once its patch features are in the memory bank.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from minicore.backbones import Backbone, JointBackbone, open_backbone
from minicore.backbones.joint import Source, Spread
from minicore.errors import BackboneError, MinicoreWarning, ModelError
from minicore.images import ImageLike, Override, as_images, image_size
from minicore.patchcore import modelfile
from minicore.patchcore.bank import MemoryBank, Storage
from minicore.patchcore.config import Config, Embedding, Engine, Made, Selection, require_running
from minicore.patchcore.detector import Detector
from minicore.patchcore.features import (
    Place,
    SamePlace,
    check_smoothing,
    engine_functions,
    patch_batches,
)
from minicore.patchcore.saved import Saved
from minicore.patchcore.search import Detection, Search
from minicore.patchcore.selection import pick, project
from minicore.patchcore.threshold import (
    conformal_threshold,
    first_copies,
    held_out_scores,
    hold_out,
)
from minicore.runtime import threads
from minicore.runtime.clock import Seconds
from minicore.runtime.files import identities

SEARCH = "search."  # before the names of what a saved model knows of its bank's principal axes


class PatchCore(Detector):
    r"""Anomaly detection and segmentation from good images alone.

    Parameters
    ----------
    backbone : Backbone, str or Path, or a list of them, optional
        The network: an object, an ``.onnx`` file, or a known name. By default the one that ships.
        Of several the patch features are concatenated, each network's divided by their spread over
        the training images; `minicore.Ensemble` averages scores instead.
    embedding : {"concat", "paper"}, default "concat"
        ``"concat"``: the mean over each neighbourhood, all channels of all levels. ``"paper"``: the
        authors' adaptive pooling of each level and of the whole to `dimension` values, for wide
        networks.
    coreset_ratio : float, default 0.1
        Share of the memory bank to keep, above 0 and up to 1.
    seed : int, default 0
        Of the projection $\psi$, the first pick, and the choice of held-out images.
    engine : {"fast", "equations"}, default "fast"
        ``"equations"`` runs the literal loops: the same results, slowly.
    layers : sequence of str, optional
        Hierarchy levels, finest first; by default the backbone's (layer2, layer3). Of several
        networks they are named by number: ``("0.layer2", "0.layer3", "1.layer3")``.
    patchsize, stride : int, default 3 and 1
        $p$ and $s$ of equations 1 and 3.
    dimension : int or (int, int), default 1024
        With ``embedding="paper"``: of each level, and of the whole.
    projection_dim : int, default 128
        $d^*$; features no wider than that are not projected.
    b : int, default 9
        Neighbours of equation 7, $m^*$ among them. The paper does not say its $b$. With 1, equation
        7 would make every score 0; here 1 leaves it out: $s = s^*$.
    sigma : float, default 4.0
        Smoothing of the maps in pixels.
    false_positive_rate : float or None, default 0.05
        Share of good images that may be called anomalous. A fifth of the training images are held
        out, the rest make a trial model, and the threshold is the smallest held-out score that
        this model exceeds on at most such a share of new good images; that is proved if held-out
        and new images are exchangeable (split conformal prediction). Then the model is made from
        all images, with this threshold. For this final model the share is an estimate, not
        proved: some new good images score higher under it than under the trial model. With too
        few images the largest held-out score is taken (`threshold.images_needed`). Copies
        of an image are held out together and count once. None saves the trial; `predict` then
        refuses.
    resize, crop : int, (int, int) or "none", optional
        Size of the images (`minicore.images.Preprocessing`) instead of what the backbone asks for;
        "none" leaves the step out.
    coreset_radius : float, optional
        Stop picking as soon as every patch is within this distance of a pick, in the projection
        $\psi$ (`coreset_radii_` has its scale); `coreset_ratio` is then the most to keep.
    bank_storage : {"float32", "float16", "disk"}, default "float32"
        How the whole memory bank, of which the coreset is taken, is kept during a fit: in memory;
        at half the size, every value rounded to 11 bits; or as float32 in a temporary file (in
        ``TMPDIR``), which changes no result.
    selection : {"greedy", "random", "kmeans"}, default "greedy"
        How the rows to keep are picked: Algorithm 1, or one of two simpler ways to compare it with
        (`minicore.patchcore.selection.pick`).
    batch_size : int, default 8
        Images that the network sees at once.
    n_threads : int, optional
        By default as many as the process has been given cores. Changes no result.
    progress : bool, default True
        Show progress bars, where there is a terminal.

    Attributes
    ----------
    memory_bank_ : (l, D) float32
        The coreset $\mathcal{M}_C$ in the order picked.
    coreset_indices_ : (l,) int64
        Its rows in the whole memory bank $\mathcal{M}$, image by image.
    coreset_radii_ : (l,) float64
        How far the rows of $\mathcal{M}$ are from their nearest picks at most, after each pick:
        Euclidean distances in the projection $\psi$. Empty in models from before they were kept,
        and with another `selection` than "greedy".
    grid_ : (int, int)
        Patches of an image, h' and w'.
    input_size_ : (int, int)
        (h, w) of the prepared images in pixels.
    threshold_ : float or None
        Scores above it are anomalous. None without `false_positive_rate`, or if the training
        images are fewer than two, copies not counted.
    map_threshold_ : float or None
        Pixels of a map above it are anomalous. As `threshold_`, from each map's largest value.
    held_out_scores_, held_out_peaks_ : (n,) float64
        What the two thresholds were taken from: score and largest map value of each held-out image.
    scales_ : tuple of float
        One over the spread of each network's patch features; (1.0,) if there is but one.
    config_ : Config
        What decided the outcome.
    made_ : Made
        How many images, how many of them copies, from which folder, when, by which version.
    backbone_ : Backbone or JointBackbone
        The network in use.
    seconds_ : Seconds
        Time spent in each stage since the model was made.

    Notes
    -----
    Memory: at its peak a fit takes at most 1.3 times the bytes of the whole memory bank as stored
    (on disk 0.3 times those of float32) and 600 MB, for a coreset of up to a tenth and features of
    512 values or more; a larger coreset adds its own bytes, and narrower features are projected to
    128 values all the same. Scoring takes the coreset and a batch.

    To scikit-learn this is an outlier detector that takes images: `clone`, `Pipeline`,
    `GridSearchCV` and `joblib.Parallel` work. There is no ``n_features_in_``: images are brought to
    one size. What they need pickled can be, fitted or not; the network is opened anew from its
    file, which must be the same. But a pickle can run anything when it is opened, and no other
    version need understand it: to keep a model or to hand it on, `save` it. minicore opens no
    pickle itself.

    Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022, section 3.
    """

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
        b: int = 9,
        sigma: float = 4.0,
        false_positive_rate: float | None = 0.05,
        resize: Override = None,
        crop: Override = None,
        coreset_radius: float | None = None,
        bank_storage: Storage = "float32",
        selection: Selection = "greedy",
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
        self.batch_size = batch_size
        self.n_threads = n_threads
        self.progress = progress

    # ---------------------------------------------------------------- learning

    def fit(self, X: Any, y: None = None) -> PatchCore:
        """Remember good images.

        Parameters
        ----------
        X : images
            Paths, a folder, or uint8 (n, h, w, 3); see `minicore.images.as_images`.
        y : None
            Not used; here for scikit-learn.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range.
        ImageError, BackboneError
            If an image or the network cannot be used.

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
            self.config_ = self._configure()
            _warn_of_sizes(images)
            with MemoryBank(len(images), self.bank_storage) as M:
                self._fill(M, images)
                first = first_copies(M)
                copies = _warn_of_copies(images, first)
                thresholds = self._calibrate(M, first)
                with self.seconds_.of("projection (eq 5)"):
                    psi_M = project(M, self.config_)
                with self.seconds_.of("coreset (eq 5)"):
                    picks, radii = pick(psi_M, self.config_, self.progress)
                    del psi_M  # before the coreset is copied: the bound on memory counts on it
                    bank = M[picks]
            with self.seconds_.of("axes of the coreset (eq 6)"):
                self._search = Search(bank, self.config_.b)
                self._search.prepare(self.config_.engine)
            self.memory_bank_ = bank
            self.coreset_indices_, self.coreset_radii_ = picks, radii
        self.made_ = Made.of(images, copies)
        self.threshold_, self.map_threshold_ = thresholds
        return self

    def _open_backbone(self) -> Backbone | JointBackbone:
        return open_backbone(
            self.backbone, self.layers, threads=self.n_threads, batch_size=self.batch_size
        )

    def _configure(self) -> Config:
        asked = self.backbone_.preprocessing.override(self.resize, self.crop)
        d = self.dimension
        return Config(
            backbone=self.backbone_.source,
            backbone_sha256=self.backbone_.sha256,
            layers=self.backbone_.layers,
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
            b=self.b,
            sigma=self.sigma,
            false_positive_rate=self.false_positive_rate,
            seed=self.seed,
            engine=self.engine,
            bank_storage=self.bank_storage,
            coreset_radius=self.coreset_radius,
            selection=self.selection,
        )

    def _fill(self, M: MemoryBank, images: Any) -> None:
        """Equation 4, a batch at a time: only the bank itself grows with the images."""
        self.scales_ = (1.0,) * len(self.backbone_.networks)
        spread = self._spread()
        for size, cell, patches in self._patches(images, "memory bank", M.place):
            with self.seconds_.of("memory bank (eq 4)"):
                check_smoothing(self.config_.sigma, size)
                self.input_size_, self._cell, self.grid_ = size, cell, patches.shape[1:3]
                M.append(patches)
                if spread is not None:
                    spread.add(patches.reshape(-1, patches.shape[3]))
        if spread is not None:
            self.scales_ = spread.scales()
            M.multiply(np.repeat(np.asarray(self.scales_, np.float32), spread.widths))

    def _spread(self) -> Spread | None:
        """Of several networks, what each one's features are to be divided by; not known yet."""
        return Spread(self._widths()) if len(self.backbone_.networks) > 1 else None

    def _calibrate(
        self, M: MemoryBank, first: np.ndarray
    ) -> tuple[float, float] | tuple[None, None]:
        """Compute the thresholds on score and map."""
        self.held_out_scores_ = self.held_out_peaks_ = np.empty(0)
        self._held_out = np.empty(0, np.int64)
        alpha = self.config_.false_positive_rate
        if alpha is None or len(np.unique(first)) < 2:
            return None, None
        with self.seconds_.of("threshold"):
            self._held_out, kept = hold_out(first, self.config_.seed)
            self.held_out_scores_, self.held_out_peaks_ = held_out_scores(
                M,
                self._held_out,
                kept,
                self.grid_,
                self.input_size_,
                self._cell,
                self.config_,
                self.progress,
            )
        by_score = conformal_threshold(self.held_out_scores_, alpha)
        return by_score, conformal_threshold(self.held_out_peaks_, alpha)

    # ----------------------------------------------------------------- scoring

    def _detections(self, images: Any) -> Iterator[Detection]:
        for size, cell, patches in self._patches(images, "score", SamePlace(), self.input_size_):
            with self.seconds_.of("nearest (eq 6, 7)"):
                s, s_star, patch_scores = self._search.score(patches, self.engine)
            with self.seconds_.of("map"):
                anomaly_map = engine_functions(self.engine).anomaly_map
                maps = anomaly_map(
                    patch_scores, *size, self.config_.sigma, self.config_.stride, cell
                )
            yield Detection(s, s_star, patch_scores, maps)

    # ------------------------------------------------------------------- files

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the fitted model to one safetensors file, whole or not at all.

        Parameters
        ----------
        path : str or Path
        overwrite : bool, default False
            Whether to replace a file that minicore did not make. The file of a network of the model
            is never replaced.

        Returns
        -------
        Path

        Raises
        ------
        OutputError
            If the file cannot be written, or must not be replaced.
        """
        stored = self._stored()
        inputs = identities(self.network_files_)
        return modelfile.write(path, *stored, inputs=inputs, overwrite=overwrite)

    def _stored(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything that is fitted: arrays, and what JSON can hold."""
        check_is_fitted(self)
        half = self.config_.bank_storage == "float16"  # exact: that is how its values came about
        arrays = {
            "memory_bank": self.memory_bank_.astype(np.float16 if half else np.float32, copy=False),
            "coreset_indices": self.coreset_indices_,
            "coreset_radii": self.coreset_radii_,
            "held_out_scores": self.held_out_scores_,
            "held_out_peaks": self.held_out_peaks_,
            **{SEARCH + name: array for name, array in self._search.state().items()},
        }
        header = {
            "config": self.config_.to_json(),
            "made": asdict(self.made_),
            "scales": self.scales_,
            "input_size": self.input_size_,
            "grid": self.grid_,
            "threshold": self.threshold_,
            "map_threshold": self.map_threshold_,
        }
        return arrays, header

    @classmethod
    def load(
        cls,
        path: str | Path,
        backbone: Source | JointBackbone | Sequence[Source] | None = None,
        **options: Any,
    ) -> PatchCore:
        """Read a model.

        Parameters
        ----------
        path : str or Path
            What `save` wrote.
        backbone : Backbone, str or Path, or a list of them, optional
            The network it was fitted with, if it is not found where it was then.
        **options
            `engine`, `batch_size`, `n_threads`, `progress`: what changes no result.

        Returns
        -------
        PatchCore

        Raises
        ------
        ModelError
            If the file is damaged, or `backbone` is another network than the model was fitted with.
        """
        return cls._restored(path, *modelfile.read(path), backbone, options)

    @classmethod
    def _restored(
        cls,
        path: str | Path,
        arrays: dict[str, np.ndarray],
        header: dict[str, Any],
        backbone: Any,
        options: dict[str, Any],
    ) -> PatchCore:
        """Make a model of what `_stored` gave; `path` is for errors."""
        if isinstance(header, dict) and "members" in header:
            raise ModelError(f"{path}: an ensemble of scores; read it with minicore.load")
        try:
            saved = Saved.believe(arrays, header)
            check_smoothing(saved.config.sigma, saved.input_size)
        except ValueError as error:
            raise ModelError(f"{path}: damaged: {error}") from error
        config = saved.config
        state = {k.removeprefix(SEARCH): a for k, a in arrays.items() if k.startswith(SEARCH)}

        names = cls._get_param_names()
        parameters = {k: v for k, v in config.to_json().items() if k in names}
        model = cls(**{**parameters, "backbone": backbone or config.backbone, **options})
        require_running(model)
        try:
            model.backbone_ = model._open_backbone()
        except (BackboneError, ValueError) as error:
            if backbone is not None:
                raise
            hint = "pass the network it was fitted with as backbone"
            raise ModelError(f"{path}: {error}; {hint}") from error
        if model.backbone_.sha256 != config.backbone_sha256:
            found = ", ".join(str(network.path) for network in model.backbone_.networks)
            raise ModelError(
                f"{path}: fitted with another network ({config.backbone}, SHA-256 "
                f"{config.backbone_sha256[:12]}…) than {found} "
                f"({model.backbone_.sha256[:12]}…); pass the right one as backbone"
            )
        model.config_, model.made_ = config, saved.made
        model.input_size_, model.grid_ = saved.input_size, saved.grid
        widths, found = model._widths(), saved.bank.shape[1]
        if sum(widths) != found or len(widths) != len(saved.scales):
            raise ModelError(
                f"{path}: damaged: a memory bank of {found} columns and {len(saved.scales)} scales "
                f"for networks that give {widths}"
            )
        model.memory_bank_ = saved.bank
        model.coreset_indices_, model.coreset_radii_ = saved.indices, saved.radii
        model.held_out_scores_, model.held_out_peaks_ = saved.held_out, saved.peaks
        model.scales_ = saved.scales
        try:
            model._search = Search(saved.bank, config.b, state=state or None)
        except ValueError as error:
            raise ModelError(f"{path}: damaged: {error}") from error
        model.seconds_ = Seconds()
        model._forget()
        model.threshold_, model.map_threshold_ = saved.threshold, saved.map_threshold
        return model

    def _widths(self) -> list[int]:
        """How many values of a patch feature come from each network."""
        networks = self.backbone_.networks
        if self.config_.embedding == "paper":
            return [self.config_.dimension[1]] * len(networks)
        return [sum(network.widths.values()) for network in networks]

    # ------------------------------------------------------------------ inside

    @property
    def bank_rows_(self) -> int:
        """Rows of the coreset."""
        check_is_fitted(self)
        return len(self.memory_bank_)

    def _patches(
        self,
        images: Any,
        doing: str,
        place: Place | None = None,
        pixels: tuple[int, int] | None = None,
    ) -> Iterator[tuple[tuple[int, int], tuple[float, float], np.ndarray]]:
        return patch_batches(
            images,
            self.backbone_,
            self.config_,
            pixels=pixels,
            scales=self.scales_,
            place=place,
            engine=self.engine,
            batch_size=self.batch_size,
            seconds=self.seconds_,
            doing=doing,
            progress=self.progress,
        )


LISTED = 3  # sizes that a warning names


def _warn_of_sizes(images: Sequence[ImageLike]) -> None:
    """Warn if images have different sizes: resized, a part is not equally large in all of them."""
    sizes = Counter(
        image.shape[:2] if isinstance(image, np.ndarray) else image_size(image) for image in images
    )
    if len(sizes) > 1:
        named = [f"{n} of {h} × {w}" for (h, w), n in sizes.most_common(LISTED)]
        more = f" and {len(sizes) - LISTED} more sizes" if len(sizes) > LISTED else ""
        warnings.warn(
            f"the training images have {len(sizes)} different sizes: {', '.join(named)} pixels"
            f"{more}; after resizing, parts may differ in scale, and the crop may show different "
            f"areas: photograph all parts at one size and distance",
            MinicoreWarning,
            stacklevel=3,
        )


def _warn_of_copies(images: Sequence[ImageLike], first: np.ndarray) -> int:
    """Return how many images are copies, and warn of them; `first` is that of `first_copies`."""
    copies = np.flatnonzero(first != np.arange(len(first)))
    if len(copies):
        pair = [images[i] for i in (copies[0], first[copies[0]])]
        if not all(isinstance(image, Path) for image in pair):
            pair = [f"image {i}" for i in (copies[0], first[copies[0]])]
        what = "is a copy" if len(copies) == 1 else "are copies"
        warnings.warn(
            f"{len(copies)} of {len(first)} training images {what} of others, such as {pair[0]} "
            f"of {pair[1]}; copies count as one image for the threshold: remove them",
            MinicoreWarning,
            stacklevel=3,
        )
    return len(copies)
