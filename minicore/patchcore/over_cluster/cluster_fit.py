r"""Fit one model over a cluster: the model that one machine would fit, to the bit.

    images -> parts, on the workers: network, equations 1 to 4, projection (`image_part`)
    parts  -> rounds of Algorithm 1 (`minicore.cluster`) -> coreset M_C, on the coordinator
    parts  -> each image without its own rows (`leave_one_out`) -> thresholds

Patch features stay where they were computed. The coordinator holds the coreset only.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from distributed import Client, TimeoutError

from minicore import cluster
from minicore.checks import is_whole
from minicore.cluster import dask_workers
from minicore.cluster.coordinator import Coreset
from minicore.cluster.dask_stream import Packed
from minicore.cluster.two_round import Approximation
from minicore.cluster.workers import Counted, Done, Workers
from minicore.errors import MinicoreError, ModelError, ParameterError
from minicore.images import ImageLike, prepare
from minicore.patchcore.config import Config, Made
from minicore.patchcore.leave_one_out import Others, filling
from minicore.patchcore.over_cluster.image_part import Facts, ImagePart
from minicore.patchcore.over_cluster.on_worker import named, warn_again
from minicore.patchcore.search import Search
from minicore.patchcore.selection import size_and_generator
from minicore.patchcore.threshold import threshold
from minicore.patchcore.training import common_size, first_equal, warn_of_copies
from minicore.runtime import container, system
from minicore.runtime.clock import Seconds
from minicore.runtime.files import check_writable, is_file
from minicore.runtime.kinds import MODEL
from minicore.runtime.progress import bar as progress_bar

if TYPE_CHECKING:
    from minicore.patchcore.estimator import PatchCore

PARTS_OF_THREAD = 4  # a lost part is then a small loss, and progress is visible
MOST_PARTS = 256  # unless there are more threads: every part answers in every round
FEWEST_IMAGES = 8  # of a part
WAIT = 60  # seconds for the first worker
PICKS = "picks"  # in the header of a file of an unfinished fit


def fit_on_cluster(
    model: PatchCore,
    images: Sequence[ImageLike],
    client: Client,
    parts: int | None,
    resume: str | Path | None,
) -> None:
    """Fit a model over the workers of a Dask cluster.

    Parameters
    ----------
    model : PatchCore
        With its network and configuration.
    images : sequence of paths and arrays
    client, parts, resume
        As for `PatchCore.fit`.

    Raises
    ------
    MinicoreError
        If the cluster has no workers, or `resume` is of another fit.
    ValueError
        If a parameter is out of range, or cannot be used over a cluster.
    ImageError, BackboneError
        As for `PatchCore.fit`, or if an image changes during the fit.
    """
    _check(model.config_, parts)
    begun = None
    if resume is not None:
        check_writable(resume, kind=MODEL)
        begun = _begun(Path(resume), model.config_)

    edges = _edges(len(images), parts or _number_of_parts(client, len(images)))
    tasks = _tasks(model, images, edges)
    with contextlib.closing(dask_workers.DaskWorkers(client, ImagePart, tasks)) as workers:
        fit_parts(model, images, workers, [len(task[1]) for task in tasks], begun, resume)
    if resume is not None:
        system.unlink(Path(resume))


def fit_parts(
    model: PatchCore,
    images: Sequence[ImageLike],
    workers: Workers,
    sizes: Sequence[int],
    begun: Mapping[str, np.ndarray] | None = None,
    resume: str | Path | None = None,
) -> None:
    """Fit a model on the parts that workers hold.

    Parameters
    ----------
    model, images, resume
        As for `fit_on_cluster`.
    workers : Workers
        Each part is an `ImagePart`.
    sizes : sequence of int
        Number of images of each part, in their order.
    begun : dict of str to array, optional
        Rows and radii of an unfinished fit, and the digests of its images.
    """
    seconds, config, show = model.seconds_, model.config_, model.progress
    with (
        seconds.of("memory bank (eq 1–4)"),
        progress_bar(len(images), "memory bank", "image", show=show) as bar,
    ):
        every = dict.fromkeys(range(len(workers)), ())
        facts: list[Facts] = list(
            workers.call("facts", every, lambda part: bar.update(sizes[part])).values()
        )
    warn_again(text for part in facts for text in part.warnings)
    _take_facts(model, facts)
    _require_same_images(begun, model.image_digests_, images, resume)
    size = common_size(itertools.chain.from_iterable(part.sizes for part in facts))
    first = first_equal([each for part in facts for each in part.hashes])
    copies = warn_of_copies(images, first)
    bank = Counted(_OfImages(workers, [part.digests for part in facts]))

    with seconds.of("coreset (eq 5)"):
        found, vectors = _select(bank, config, begun, resume, model.image_digests_, show)
        model.memory_bank_ = bank.take("features", found.rows)
    model.cluster_coreset_ = found
    model.coreset_indices_ = found.rows
    model.coreset_radii_ = found.radii if isinstance(found, Coreset) else np.empty(0)
    with seconds.of("axes of the coreset (eq 6)"):
        model._search = Search(model.memory_bank_, config.b, score=config.score)
        model._search.prepare(config.engine)

    with seconds.of("threshold"):
        model._different = np.unique(first)
        model.calibration_scores_ = model.calibration_peaks_ = np.empty(0)
        thresholds: tuple[float, float] | tuple[None, None] = (None, None)
        alpha = config.false_positive_rate
        if alpha is not None and len(model._different) > 1:
            patches = bank.N // len(images)
            radius = float(found.radii[-1]) if isinstance(found, Coreset) else found.radius
            others = Others.of(
                vectors, found.rows, radius, model._search, first, patches, config.engine
            )
            scores, peaks = _without_own_rows(bank, others, sizes, show)
            model.calibration_scores_, model.calibration_peaks_ = scores, peaks
            thresholds = threshold(scores, alpha), threshold(peaks, alpha)
    model.made_ = Made.of(images, copies, size)
    model.threshold_, model.map_threshold_ = thresholds


class _OfImages:
    """Parts, each of which checks before each call that it was made from the same images."""

    def __init__(self, workers: Workers, digests: Sequence[np.ndarray]) -> None:
        self._workers, self._digests = workers, digests

    def __len__(self) -> int:
        return len(self._workers)

    def call(
        self, method: str, arguments: Mapping[int, tuple[Any, ...]], done: Done | None = None
    ) -> dict[int, Any]:
        """Call a method of several parts; see `Workers`."""
        with_digests = {i: (self._digests[i], method, *own) for i, own in arguments.items()}
        return self._workers.call("of_images", with_digests, done)


# -------------------------------------------------------------------- stages


def _edges(images: int, parts: int) -> list[int]:
    """Return the number of the first image of each part, and the number of images."""
    parts = min(parts, images)
    return [images * i // parts for i in range(parts + 1)]


def _tasks(
    model: PatchCore, images: Sequence[ImageLike], edges: Sequence[int]
) -> list[tuple[Any, ...]]:
    """Return the arguments of `ImagePart` for each part."""
    packed = Packed(_on_one_thread(model))
    pixels = prepare(images[0], model.config_.preprocessing).shape[1:]
    every = list(map(named, images))
    return [(packed, every[a:b], a, pixels) for a, b in itertools.pairwise(edges)]


def _on_one_thread(model: PatchCore) -> PatchCore:
    """Return a copy for the workers, without what an earlier fit has left."""
    own = type(model)(**{**model.get_params(deep=False), "backbone": None, "progress": False})
    network = copy.copy(model.backbone_.networks[0])
    network.threads = 1
    own.config_, own.backbone_, own.seconds_ = model.config_, network, Seconds()
    return own


def _number_of_parts(client: Client, images: int) -> int:
    try:
        client.wait_for_workers(1, timeout=WAIT)
    except TimeoutError:
        raise MinicoreError(
            "the cluster of this client has no workers; start some: "
            "dask worker ADDRESS --nthreads 1 --memory-limit 0"
        ) from None
    threads = sum(client.nthreads().values())
    return max(threads, min(PARTS_OF_THREAD * threads, MOST_PARTS, images // FEWEST_IMAGES))


def _take_facts(model: PatchCore, facts: Sequence[Facts]) -> None:
    """Set the attributes of the model that describe the images."""
    model.scales_, model.whitening_ = (1.0,), None
    model.grid_, model.input_size_ = facts[0].grid, facts[0].input_size
    model.image_digests_ = np.concatenate([part.digests for part in facts])


def _select(
    bank: Counted,
    config: Config,
    begun: Mapping[str, np.ndarray] | None,
    resume: str | Path | None,
    digests: np.ndarray,
    show: bool,
) -> tuple[Coreset | Approximation, np.ndarray]:
    """Select the coreset. Return it, and its vectors in the projection."""
    l, rng = size_and_generator(bank.N, config)
    start = int(rng.integers(bank.N))
    if config.selection == "two-round":
        approximation = cluster.two_round_coreset(bank, l, start)
        return approximation, bank.take("vectors", approximation.rows)
    so_far = None
    if begun is not None:
        so_far = Coreset(begun["rows"], bank.take("vectors", begun["rows"]), begun["radii"])
    header = {PICKS: True, "config": config.to_json()}
    for found in cluster.rounds(
        bank, l, start, radius=config.coreset_radius, so_far=so_far, progress=show
    ):
        if resume is not None:
            arrays = {"rows": found.rows, "radii": found.radii, "digests": digests}
            container.write(resume, arrays, header)
    return found, found.vectors


def _without_own_rows(
    bank: Counted, others: Others, sizes: Sequence[int], show: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return score and largest map value of each different image, without its own rows."""
    with progress_bar(2 * sum(sizes), "threshold", "image", show=show) as bar:

        def done(part: int) -> None:
            bar.update(sizes[part])

        holes = bank.call("holes", bank.each(others), done)
        rows = filling(list(holes.values()), others.radius)
        every = np.concatenate([*rows.values(), np.empty(0, np.int64)])
        features = bank.take("features", every) if len(every) else every
        ends = np.cumsum([len(own) for own in rows.values()])[:-1]
        filled = dict(zip(rows, np.split(features, ends), strict=False))
        edges = np.cumsum([0, *sizes])
        own = {
            part: {image: filled[image] for image in filled if a <= image < b}
            for part, (a, b) in enumerate(itertools.pairwise(edges))
        }
        found = bank.call("scores", {part: (others, own[part]) for part in bank.rows}, done)
    scores, peaks = zip(*found.values(), strict=True)
    return np.concatenate(scores), np.concatenate(peaks)


# -------------------------------------------------------------------- checks


def _check(config: Config, parts: int | None) -> None:
    """Raise an error for what cannot be computed over a cluster."""
    if not isinstance(config.backbone, str):
        raise ValueError("a fit over a cluster uses one network; fit an Ensemble of several models")
    if config.whiten:
        raise ValueError("whiten must be False for a fit over a cluster")
    if config.selection not in ("greedy", "two-round"):
        expected = "'greedy' or 'two-round' for a fit over a cluster"
        raise ParameterError("selection", expected, config.selection)
    if parts is not None and not is_whole(parts, 1):
        raise ParameterError("parts", "a whole number of at least 1, or None", parts)


def _begun(path: Path, config: Config) -> dict[str, np.ndarray] | None:
    """Return the arrays of an unfinished fit, or None if there is no file."""
    if not is_file(path):
        return None
    try:
        arrays, header = container.read(path)
    except ModelError as error:
        raise ModelError(f"{path}: damaged; delete it to begin again") from error
    if PICKS not in header:
        raise ModelError(f"{path}: not the picks of an unfinished fit; give another file")
    if Config.from_json(header["config"]) != config:
        raise ModelError(
            f"{path}: the picks of a fit with other options; give the same options, or delete "
            f"this file to begin again"
        )
    return arrays


def _require_same_images(
    begun: Mapping[str, np.ndarray] | None,
    digests: np.ndarray,
    images: Sequence[ImageLike],
    resume: str | Path | None,
) -> None:
    if begun is None:
        return
    before = begun["digests"]
    n = min(len(before), len(digests))
    changed = np.flatnonzero((before[:n] != digests[:n]).any(axis=1))
    if not len(changed) and len(before) == len(digests):
        return
    some = images[changed[0] if len(changed) else min(n, len(images) - 1)]
    name = "an image" if isinstance(some, np.ndarray) else some
    raise ModelError(
        f"{resume}: the picks of other images: {name} is new or has changed; restore the images, "
        f"or delete this file to begin again"
    )
