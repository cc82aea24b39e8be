"""Measure one unit: fit, score, write its file. This can run on any machine of a run."""

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
from minicore.studies.reproduce.evidence import collect_evidence
from minicore.studies.reproduce.fingerprint import dataset_fingerprint
from minicore.studies.reproduce.folder import Run
from minicore.studies.reproduce.methods import Row
from minicore.studies.reproduce.peak import peak_memory
from minicore.studies.reproduce.unit import Finished, Unit

SHARED_STAGE = "network, shared by all rows"
WITHOUT_EFFECT = {"n_threads", "batch_size", "progress"}


@dataclass(frozen=True)
class Setup:
    """The settings that all units of a run share, for each worker.

    Attributes
    ----------
    data : str
        Folder of the data set.
    layout : str
        Layout of the data set: the name of a loader in `minicore.datasets`.
    folder : str
        Folder of the run. On every machine, this folder and the data must have the same paths.
    network : str
        An ONNX file or a known network.
    layers : tuple of str
        Layers to record: those of all rows.
    resize, crop : int
        Size of the images in pixels.
    shared : dict
        Parameters of all detectors.
    threads : int or None
        Threads of each worker.
    settings : dict
        As `Run.settings`. Empty until the folder of the run is open.
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
        """Return a category, or the whole data set if the layout has no categories."""
        load = datasets.LOADERS[self.layout]
        return load(self.data) if category == self.layout else load(self.data, category)

    def check(self, category: str) -> None:
        """Check that the files of a category have not changed since the run started.

        Raises
        ------
        DatasetError
            If they have changed.
        """
        current = dataset_fingerprint(self.dataset(category), self.data)
        if current != self.settings["data_sha256"][category]:
            raise DatasetError(
                f"{self.data}: the images or masks of {category} have changed while they were "
                f"measured, or are not the same on every machine; restore them, or choose another "
                f"folder with --out"
            )

    def backbone(self) -> Backbone:
        """Return the network.

        Raises
        ------
        BackboneError
            If its file cannot be used, or has changed since the run started.
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
                f"machine; restore it, or choose another folder with --out"
            )
        return network

    def recording(self, category: str) -> Path:
        """Return the folder of the recorded feature maps of a category."""
        return Path(self.folder) / "features" / category

    def delete_recording(self, category: str) -> None:
        """Delete the recorded feature maps of a category."""
        recording.remove(self.recording(category))


def record_category(setup: Setup, category: str, progress: bool = False) -> float:
    """Run the network on all images of a category, unless its feature maps are recorded already.

    Returns
    -------
    float
        Seconds of the network. For feature maps of an earlier start, the seconds of that start.

    Raises
    ------
    DatasetError, BackboneError
        If the files of the data or of the network have changed since the run started.
    """
    dataset = setup.dataset(category)
    images = [*dataset.train, *dataset.test]
    recorded = record(setup.backbone(), images, setup.recording(category), progress=progress)
    try:
        setup.check(category)
    except DatasetError:
        setup.delete_recording(category)
        raise
    return recorded.network_seconds


def measure(setup: Setup, unit: Unit, row: Row, pictures: bool = True) -> Unit:
    """Fit and score one category with one row and one seed, and write the file of the unit.

    Parameters
    ----------
    setup : Setup
    unit : Unit
    row : Row
    pictures : bool
        Whether to store the images that a report shows.

    Returns
    -------
    Unit
        `unit`.

    Raises
    ------
    DatasetError, BackboneError
        If the files of the data or of the network have changed since the run started. Then no file
        is written.
    """
    dataset = setup.dataset(unit.category)
    if row.n_train is not None:
        dataset = replace(dataset, train=_drawn(dataset, row.n_train, unit.seed))
    parameters = {"n_threads": setup.threads, "progress": False, **setup.shared}
    layers = row.parameters.get("layers", parameters.pop("layers"))
    recorded = Recording(setup.backbone(), setup.recording(unit.category), layers)
    model = row.detector(recorded, unit.seed, parameters)
    with peak_memory() as peak:
        evaluation, detection = evaluate(model, dataset)
    seconds_per_image = recorded.seconds_an_image
    evaluation = replace(
        evaluation,
        fit_seconds=evaluation.fit_seconds + seconds_per_image * len(dataset.train),
        milliseconds=evaluation.milliseconds + 1e3 * seconds_per_image,
    )
    seconds = dict(getattr(model, "seconds_", {}))
    seconds[SHARED_STAGE] = seconds_per_image * (len(dataset.train) + len(dataset.test))
    masks = None if dataset.masks is None else dataset.read_masks(model.preprocessing_)
    finished = Finished(
        unit,
        evaluation,
        seconds,
        peak.bytes,
        _config(model, row),
        Run(Path(setup.folder), setup.settings).decisive(unit.category) | row.decisive,
        collect_evidence(model, dataset, detection, masks, pictures=pictures),
    )
    setup.check(unit.category)
    finished.save(Path(setup.folder))
    return unit


def _drawn(dataset: Dataset, n: int, seed: int) -> Any:
    """Return `n` training images, drawn at random."""
    if n > len(dataset.train):
        raise ValueError(
            f"{dataset.name}: a row needs {n} training images, but there are {len(dataset.train)}"
        )
    chosen = np.sort(np.random.default_rng([seed, n]).permutation(len(dataset.train))[:n])
    return [dataset.train[i] for i in chosen]


def _config(model: Detector, row: Row) -> dict[str, Any]:
    """Return everything on which the results depend. The network has its file name and checksum."""
    config: dict[str, Any] = model.config_.to_json()
    parameters = {k: v for k, v in model.get_params(deep=False).items() if k not in WITHOUT_EFFECT}
    named = {
        "method": row.method,
        "n_train": row.n_train,
        "backbone": Path(config["backbone"]).name,
    }
    return parameters | config | named
