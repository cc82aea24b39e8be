"""Measure one unit: make the detector, fit, score, write the file. Runs on any machine of a run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from minicore import datasets
from minicore.backbones import Backbone, recording
from minicore.backbones.recording import Recording, record
from minicore.datasets import Dataset
from minicore.errors import BackboneError, DatasetError
from minicore.evaluation.evaluate import evaluate
from minicore.patchcore.detector import Detector
from minicore.studies.reproduce.evidence import gather
from minicore.studies.reproduce.fingerprint import fingerprint
from minicore.studies.reproduce.folder import Run
from minicore.studies.reproduce.methods import Row
from minicore.studies.reproduce.peak import peak_memory
from minicore.studies.reproduce.unit import Finished, Unit

SHARED_STAGE = "network, shared by all rows"
NOT_DECISIVE = {"n_threads", "batch_size", "progress"}


@dataclass(frozen=True)
class Setup:
    """What all units of a run have in common; everything a worker needs to know.

    Attributes
    ----------
    data : str
        The data set's folder.
    layout : str
        How it is laid out: the name of a loader in `minicore.datasets`.
    folder : str
        The run's. Workers on other machines must see it, and the data, under the same names.
    network : str
        An ONNX file or a known network.
    layers : tuple of str
        To record: all that any row asks for.
    resize, crop : int
        Pixels.
    shared : dict
        Parameters of all detectors.
    threads : int or None
        Of each worker.
    settings : dict
        As `Run.settings`; empty until the run's folder is open.
    """

    data: str
    layout: str
    folder: str
    network: str
    layers: tuple[str, ...]
    resize: int
    crop: int
    shared: dict[str, Any]
    threads: int | None
    settings: dict[str, Any] = field(default_factory=dict)

    def dataset(self, category: str) -> Dataset:
        """Open a category; of a data set without any, the data set itself."""
        load = datasets.LOADERS[self.layout]
        return load(self.data) if category == self.layout else load(self.data, category)

    def check(self, category: str) -> None:
        """Refuse files of a category that are no longer those that the run started with.

        Raises
        ------
        DatasetError
        """
        found = fingerprint(self.dataset(category), self.data)
        if found != self.settings["data_sha256"][category]:
            raise DatasetError(
                f"{self.data}: the images or masks of {category} have changed while they were "
                f"measured, or are not the same on every machine; restore them, or give another "
                f"folder with --out"
            )

    def backbone(self) -> Backbone:
        """Open the network; once the run has started, only the one that it started with.

        Raises
        ------
        BackboneError
        """
        network = Backbone(
            self.network,
            layers=self.layers,
            threads=self.threads,
            resize=self.resize,
            crop=self.crop,
        )
        if self.settings and network.sha256 != self.settings["network"]:
            raise BackboneError(
                f"{network.path}: has changed since the run started, or is not the same on every "
                f"machine; restore it, or give another folder with --out"
            )
        return network

    def recording(self, category: str) -> Path:
        """Where the feature maps of a category are, while it is in work."""
        return Path(self.folder) / "features" / category

    def forget(self, category: str) -> None:
        """Delete them."""
        recording.remove(self.recording(category))


def record_category(setup: Setup, category: str, progress: bool = False) -> float:
    """Run the network on all images of a category, unless that has been done.

    Returns
    -------
    float
        Seconds that the network took. An earlier pass that can still be used counts as what it took
        then.
    """
    dataset = setup.dataset(category)
    images = [*dataset.train, *dataset.test]
    made = record(setup.backbone(), images, setup.recording(category), progress=progress)
    try:
        setup.check(category)
    except DatasetError:
        setup.forget(category)
        raise
    return made.network_seconds


def measure(setup: Setup, unit: Unit, row: Row, pictures: bool = True) -> Unit:
    """Fit and score a category by one row with one seed, and write what was found.

    Parameters
    ----------
    setup : Setup
    unit : Unit
    row : Row
    pictures : bool
        Keep the images that a report shows.

    Returns
    -------
    Unit
        The same, now with a file.

    Raises
    ------
    DatasetError, BackboneError
        If the files of the data or of the network are not those that the run started with; no
        file is written.
    """
    dataset = setup.dataset(unit.category)
    if row.n_train is not None:
        dataset = replace(dataset, train=_some(dataset, row.n_train, unit.seed))
    wanted = {"n_threads": setup.threads, "progress": False, **setup.shared}
    layers = row.parameters.get("layers", wanted.pop("layers"))
    recorded = Recording(setup.backbone(), setup.recording(unit.category), layers)
    model = row.detector(recorded, unit.seed, wanted)
    with peak_memory() as peak:
        evaluation, found = evaluate(model, dataset)
    each = recorded.seconds_an_image
    evaluation = replace(
        evaluation,
        fit_seconds=evaluation.fit_seconds + each * len(dataset.train),
        milliseconds=evaluation.milliseconds + 1e3 * each,
    )
    seconds = dict(getattr(model, "seconds_", {}))
    seconds[SHARED_STAGE] = each * (len(dataset.train) + len(dataset.test))
    masks = None if dataset.masks is None else dataset.read_masks(model.preprocessing_)
    finished = Finished(
        unit,
        evaluation,
        seconds,
        peak.bytes,
        _config(model, row),
        Run(Path(setup.folder), setup.settings).decisive(unit.category) | row.decisive,
        gather(model, dataset, found, masks, pictures=pictures),
    )
    setup.check(unit.category)
    finished.save(Path(setup.folder))
    return unit


def _some(dataset: Dataset, n: int, seed: int) -> Any:
    if n > len(dataset.train):
        raise ValueError(
            f"{dataset.name}: {n} training images asked for, there are {len(dataset.train)}"
        )
    chosen = np.sort(np.random.default_rng([seed, n]).permutation(len(dataset.train))[:n])
    return [dataset.train[i] for i in chosen]


def _config(model: Detector, row: Row) -> dict[str, Any]:
    """Everything that decided the outcome; of the network its file's name, and its checksum."""
    config = model.config_.to_json()
    own = {k: v for k, v in model.get_params(deep=False).items() if k not in NOT_DECISIVE}
    named = {
        "method": row.method,
        "n_train": row.n_train,
        "backbone": Path(config["backbone"]).name,
    }
    return own | config | named
