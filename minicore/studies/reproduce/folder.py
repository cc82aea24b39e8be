"""The folder of a run: its settings and its finished units.

=====================================  ===================================
settings.json                          settings that all units share
units/CATEGORY/ROW/seedN.safetensors   one file per finished unit
features/CATEGORY                      feature maps, until the category is finished
table.md, table.csv, table.json        tables, made from the units
report.html                            report, made from the units
times.jsonl                            one line per start: its time
.lock                                  locked while a process works here
=====================================  ===================================
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minicore.backbones import recording
from minicore.errors import DatasetError, ModelError, OutputError, cut
from minicore.runtime import system
from minicore.runtime.files import atomic_write
from minicore.studies.reproduce.lock import LOCK
from minicore.studies.reproduce.methods import Row
from minicore.studies.reproduce.unit import SUFFIX, Finished, Unit

SETTINGS = "settings.json"
TABLES = ("table.md", "table.csv", "table.json")
DECISIVE = ("minicore", "layout", "network", "image_size", "layers", "parameters")
PARTIAL = re.compile(r"\.(.+)\.[0-9a-f]{8}\.partial")  # `files.temporary_path`
UNIT = re.compile(rf"seed\d+{re.escape(SUFFIX)}")


@dataclass(frozen=True, eq=False)
class Run:
    """A folder and its settings.

    Attributes
    ----------
    folder : Path
    settings : dict
        ``minicore`` (version), ``command``, ``data`` (name of the data's folder), ``data_sha256``
        (`dataset_fingerprint` of each category), ``layout``, ``network`` (SHA-256), ``backbone``
        (`Backbone.describe`), ``layers``, ``image_size``, ``parameters`` (of the detectors),
        ``machine``.
    """

    folder: Path
    settings: dict[str, Any]

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of each category: ``data_sha256`` of the settings."""
        fingerprints: dict[str, str] = self.settings["data_sha256"]
        return fingerprints

    def decisive(self, category: str) -> dict[str, Any]:
        """Return the settings on which the numbers of a category depend."""
        shared = {key: self.settings.get(key) for key in DECISIVE}
        return {**shared, "data_sha256": self.fingerprints.get(category)}

    def finished(self) -> list[Unit]:
        """Return the units that have a file, sorted."""
        paths = (self.folder / "units").glob(f"*/*/seed*{SUFFIX}")
        units = {path: Unit.of(path) for path in paths if UNIT.fullmatch(path.name)}
        return sorted(unit for path, unit in units.items() if path == unit.path(self.folder))

    def load(self, unit: Unit, row: Row | None = None) -> Finished:
        """Read a finished unit.

        Parameters
        ----------
        unit : Unit
        row : Row, optional
            The row that the unit must belong to. By default it is not checked.

        Returns
        -------
        Finished

        Raises
        ------
        ModelError
            If the file is damaged or contains another unit.
        OtherRun
            If the unit was measured with other settings or parameters.
        """
        path = unit.path(self.folder)
        finished = Finished.load(path)
        if finished.unit != unit:
            other = finished.unit
            raise ModelError(f"{path}: contains {other.category}, {other.row}, seed {other.seed}")
        expected = self.decisive(unit.category) | (row.decisive if row else {})
        for key, value in _different(expected, finished.settings):
            raise OtherRun(f"{path}: was measured with another {key} ({value})")
        return finished

    def files(self) -> list[Path]:
        """Return the files from which reports are made."""
        return [self.folder / SETTINGS, *(unit.path(self.folder) for unit in self.finished())]

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Open a folder that ``minicore reproduce`` wrote.

        Raises
        ------
        DatasetError
            If the folder does not contain a run.
        """
        path = Path(folder) / SETTINGS
        try:
            settings = json.loads(path.read_text("utf-8"))
        except FileNotFoundError as error:
            raise DatasetError(
                f"{path}: no such file; expected a folder that `minicore reproduce` wrote"
            ) from error
        except OSError as error:
            raise DatasetError(f"{path}: cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise DatasetError(
                f"{path}: damaged, or not the settings of a run ({error}); choose another folder"
            ) from error
        valid = isinstance(settings, dict) and "minicore" in settings
        if not valid or not isinstance(settings.get("data_sha256"), dict):
            raise DatasetError(
                f"{path}: damaged, or not the settings of a run; choose another folder"
            )
        return cls(Path(folder), settings)

    @classmethod
    def create(cls, folder: str | Path, settings: dict[str, Any]) -> Run:
        """Open the folder of a run, or create it.

        Parameters
        ----------
        folder : str or Path
        settings : dict
            As `Run.settings`. New categories are added to those of the run in the folder.

        Returns
        -------
        Run
            With the settings of the first start.

        Raises
        ------
        OutputError
            If the folder contains a run with other settings or other data, or other files, or if it
            cannot be written.
        """
        path = Path(folder) / SETTINGS
        old = cls.find(folder)
        if old is not None:
            for key, values in _different({k: settings.get(k) for k in DECISIVE}, old.settings):
                raise OutputError(
                    f"{folder}: contains a run with another {key} ({values}); choose another "
                    f"folder with --out"
                )
            fingerprints = old.fingerprints | settings["data_sha256"]
            changed = [name for name, sha in old.fingerprints.items() if fingerprints[name] != sha]
            if changed:
                raise OutputError(
                    f"{folder}: contains a run with other images or masks of {', '.join(changed)} "
                    f"(from {old.settings.get('data')!r}, now from {settings['data']!r}); choose "
                    f"another folder with --out, or delete {folder} to measure again"
                )
            if fingerprints == old.fingerprints:
                return old
            settings = old.settings | {"data_sha256": fingerprints}
        with atomic_write(path, "w") as file:
            json.dump(settings, file, indent=2)  # ASCII, because names of folders may not be UTF-8
        return cls(Path(folder), settings)

    @classmethod
    def find(cls, folder: str | Path) -> Run | None:
        """Return the run in a folder, or None if the folder is missing or empty.

        Raises
        ------
        OutputError, DatasetError
            If the folder contains other files, or cannot be read.
        """
        folder = Path(folder)
        try:
            names = {path.name for path in folder.iterdir()}
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:  # not a folder, or an impossible name
            reason = getattr(error, "strerror", None) or error
            raise OutputError(
                f"{folder}: cannot be used: {reason}; choose another folder with --out"
            ) from error
        if SETTINGS in names:
            return cls.open(folder)
        foreign = sorted(n for n in names if n != LOCK and _final_name(n) != SETTINGS)
        if foreign:
            raise OutputError(
                f"{folder}: contains {cut(', '.join(foreign[:3]), 100)}, but no run of `minicore "
                f"reproduce`; choose a new or empty folder with --out"
            )
        return None

    def remove_partial_files(self) -> None:
        """Remove half-written files of an earlier start. The caller must hold the lock.

        Only files with names that minicore makes are removed, in the folders where minicore makes
        them. Links are not followed.
        """
        for path in _entries(self.folder):
            if _final_name(path.name) in (SETTINGS, *TABLES):
                _remove(path)
        for row in _folders(_folders([self.folder / "units"])):
            for path in _entries(row):
                if UNIT.fullmatch(_final_name(path.name) or ""):
                    _remove(path)
        for path in _folders([self.folder / "features"]):
            if _final_name(path.name):
                recording.remove(path)


class OtherRun(ModelError):
    """The file of a unit is valid but does not belong to the run."""


def _different(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each key whose values differ, with a text of both values."""
    for key, value in json.loads(json.dumps(new)).items():  # tuples become lists, as in the file
        if value != old.get(key):
            yield key, f"{_short(old.get(key))}, now {_short(value)}"


def _short(value: Any) -> str:
    return cut(json.dumps(value), 200)


def _final_name(name: str) -> str | None:
    """Return the final name of a half-written file, or None for other files."""
    match = PARTIAL.fullmatch(name)
    return match and match[1]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _folders(parents: Iterable[Path]) -> list[Path]:
    """Return the folders inside some folders. Links are left out."""
    return [
        path
        for parent in parents
        if not parent.is_symlink()
        for path in _entries(parent)
        if path.is_dir() and not path.is_symlink()
    ]


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        system.unlink(path)
