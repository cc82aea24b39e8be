r"""PatchCore, the estimator: images in, anomaly scores and maps out.

The flow of section 3, a line an equation:

    images -> backbone -> patch features (1-3) -> memory bank (4) -> coreset (5) -> fitted
    images -> backbone -> patch features (1-3) -> nearest (6) -> score (7), map

Images are streamed: a batch's feature maps are gone once its patch features are in the memory bank.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from minicore import equations, fast, modelfile, threads
from minicore.backbones import Backbone, JointBackbone, open_backbone
from minicore.backbones.joint import Source, Spread
from minicore.clock import Seconds
from minicore.config import Config, Embedding, Engine
from minicore.detector import Detector
from minicore.errors import BackboneError, ModelError
from minicore.features import engine_functions, patch_batches
from minicore.images import Override, as_images
from minicore.search import Detection, Search
from minicore.threshold import conformal_threshold, split


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
        Share of good images that `predict` may call anomalous. A fifth of the training images are
        held out, the rest make a trial coreset, and the threshold is the smallest that keeps this
        promise for scores in random order (split conformal prediction); then the model is made from
        all images. With too few images to promise it, the largest held-out score is taken. None
        saves the trial; `predict` then refuses.
    resize, crop : int, (int, int) or "none", optional
        Size of the images (`minicore.images.Preprocessing`) instead of what the backbone asks for;
        "none" leaves the step out.
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
    grid_ : (int, int)
        Patches of an image, h' and w'.
    input_size_ : (int, int)
        (h, w) of the prepared images in pixels.
    threshold_ : float or None
        Scores above it are anomalous.
    map_threshold_ : float or None
        Pixels of a map above it are anomalous; the same promise, for a map's largest value.
    held_out_scores_, held_out_peaks_ : (n,) float64
        What the two thresholds were taken from: score and largest map value of each held-out image.
    scales_ : tuple of float
        One over the spread of each network's patch features; (1.0,) if there is but one.
    config_ : Config
        What decided the outcome.
    backbone_ : Backbone or JointBackbone
        The network in use.
    seconds_ : Seconds
        Time spent in each stage since the model was made.

    Notes
    -----
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
        """
        images = as_images(X)
        if not images:
            raise ValueError("fit needs at least one image, got none")
        self._forget()
        self.seconds_ = Seconds()
        with threads.limit(self.n_threads):
            self.backbone_ = self._open_backbone()
            self.config_ = self._configure()
            M = self._memory_bank(images)
            psi_M = self._project(M)
            thresholds = self._calibrate(M, psi_M, len(images))
            with self.seconds_.of("coreset (eq 5)"):
                self.coreset_indices_ = self._coreset(psi_M)
                bank = M[self.coreset_indices_]
            self._search = Search(bank, self.config_.b)
            self.memory_bank_ = bank
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
        )

    def _memory_bank(self, images: Any) -> np.ndarray:
        """Equation 4, a batch at a time: only the bank itself grows with the images."""
        M = np.empty((0, 0), np.float32)
        row = 0
        self.scales_ = (1.0,) * len(self.backbone_.networks)
        spread = self._spread()
        for size, patches in self._patches(images, "memory bank"):
            n, height, width, D = patches.shape
            if row == 0:
                self.input_size_, self.grid_ = size, (height, width)
                M = np.empty((len(images) * height * width, D), np.float32)
            with self.seconds_.of("memory bank (eq 4)"):
                M[row : row + n * height * width] = patches.reshape(-1, D)
                if spread is not None:
                    spread.add(M[row : row + n * height * width])
            row += n * height * width
        if spread is not None:
            self.scales_ = spread.scales()
            M *= np.repeat(np.asarray(self.scales_, np.float32), spread.widths)
        return M

    def _spread(self) -> Spread | None:
        """Of several networks, what each one's features are to be divided by; not known yet."""
        networks = self.backbone_.networks
        if len(networks) == 1:
            return None
        paper, width = self.config_.embedding == "paper", self.config_.dimension[1]
        return Spread([width if paper else sum(n.widths.values()) for n in networks])

    def _project(self, M: np.ndarray) -> np.ndarray:
        D, d_star = M.shape[1], self.config_.projection_dim
        if d_star >= D:
            return M
        with self.seconds_.of("projection (eq 5)"):
            return fast.project(M, equations.projection(D, d_star, self.config_.seed))

    def _coreset(self, psi_M: np.ndarray) -> np.ndarray:
        N = len(psi_M)
        l = max(1, round(self.config_.coreset_ratio * N))
        start = int(np.random.default_rng([self.config_.seed, N]).integers(N))
        if self.engine == "fast":
            return fast.greedy_coreset(psi_M, l, start, progress=self.progress)
        return equations.greedy_coreset(psi_M, l, start)

    def _calibrate(
        self, M: np.ndarray, psi_M: np.ndarray, n: int
    ) -> tuple[float, float] | tuple[None, None]:
        """Place the thresholds: a coreset without some of the images, and the scores of these."""
        self.held_out_scores_ = self.held_out_peaks_ = np.empty(0)
        alpha = self.config_.false_positive_rate
        if alpha is None or n < 2:
            return None, None
        with self.seconds_.of("threshold"):
            held_out, kept = split(n, self.config_.seed)
            patches = np.arange(len(M)).reshape(n, -1)
            rows = patches[kept].ravel()
            trial = rows[self._coreset(psi_M[rows])]
            search = Search(M[trial], self.config_.b, "memory bank without the held-out images")
            parts = [
                search.score(M[image].reshape(1, *self.grid_, -1), self.engine)
                for image in patches[held_out]
            ]
            scores, _, distances = map(np.concatenate, zip(*parts, strict=True))
            maps = fast.anomaly_map(distances, *self.input_size_, self.config_.sigma)
            self.held_out_scores_ = scores
            self.held_out_peaks_ = maps.max(axis=(1, 2)).astype(float)
        by_score = conformal_threshold(self.held_out_scores_, alpha)
        return by_score, conformal_threshold(self.held_out_peaks_, alpha)

    # ----------------------------------------------------------------- scoring

    def _detections(self, images: Any) -> Iterator[Detection]:
        for size, patches in self._patches(images, "score"):
            with self.seconds_.of("nearest (eq 6, 7)"):
                s, s_star, patch_scores = self._search.score(patches, self.engine)
            with self.seconds_.of("map"):
                anomaly_map = engine_functions(self.engine).anomaly_map
                maps = anomaly_map(patch_scores, *size, self.config_.sigma)
            yield Detection(s, s_star, patch_scores, maps)

    # ------------------------------------------------------------------- files

    def save(self, path: str | Path) -> Path:
        """Write the fitted model to one safetensors file, whole or not at all.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        return modelfile.write(path, *self._stored())

    def _stored(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything that is fitted: arrays, and what JSON can hold."""
        check_is_fitted(self)
        arrays = {
            "memory_bank": self.memory_bank_,
            "coreset_indices": self.coreset_indices_,
            "held_out_scores": self.held_out_scores_,
            "held_out_peaks": self.held_out_peaks_,
        }
        header = {
            "config": self.config_.to_json(),
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
        if "members" in header:
            raise ModelError(f"{path}: an ensemble of scores; read it with minicore.load")
        try:
            config = Config.from_json(header["config"])
            size, grid = tuple(header["input_size"]), tuple(header["grid"])
            thresholds = header["threshold"], header["map_threshold"]
            scales = tuple(map(float, header.get("scales", (1.0,))))
            bank, indices = arrays["memory_bank"], arrays["coreset_indices"]
            held_out = arrays["held_out_scores"]
            peaks = arrays.get("held_out_peaks", np.empty(0))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path}: damaged: no usable entry {error}") from error
        if bank.ndim != 2 or bank.dtype != np.float32 or len(bank) != len(indices) or not bank.size:
            raise ModelError(f"{path}: damaged: its memory bank is {bank.dtype} {bank.shape}")

        names = cls._get_param_names()
        parameters = {k: v for k, v in config.to_json().items() if k in names}
        model = cls(**{**parameters, "backbone": backbone or config.backbone, **options})
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
        model.config_, model.input_size_, model.grid_ = config, size, grid
        model.memory_bank_, model.coreset_indices_ = bank, indices
        model.held_out_scores_, model.held_out_peaks_, model.scales_ = held_out, peaks, scales
        model._search = Search(bank, config.b)
        model.seconds_ = Seconds()
        model._forget()
        model.threshold_, model.map_threshold_ = thresholds
        return model

    # ------------------------------------------------------------------ inside

    @property
    def members_(self) -> list[PatchCore]:
        """Itself; an ensemble has several."""
        check_is_fitted(self)
        return [self]

    def _patches(self, images: Any, doing: str) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
        return patch_batches(
            images,
            self.backbone_,
            self.config_,
            scales=self.scales_,
            engine=self.engine,
            batch_size=self.batch_size,
            seconds=self.seconds_,
            doing=doing,
            progress=self.progress,
        )
