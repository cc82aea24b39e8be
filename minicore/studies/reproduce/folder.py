"""A run's folder: what was asked for, and the units that are finished.

=====================================  ===================================
settings.json                          what every unit has in common
units/CATEGORY/ROW/seedN.safetensors   one file a finished unit
features/CATEGORY                      feature maps, while they are needed
table.md, table.csv, table.json        made from the units
report.html                            likewise
.lock                                  held while a run works here
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
from minicore.runtime.files import atomic_write
from minicore.studies.reproduce.lock import LOCK
from minicore.studies.reproduce.methods import Row
from minicore.studies.reproduce.unit import SUFFIX, Finished, Unit

SETTINGS = "settings.json"
TABLES = ("table.md", "table.csv", "table.json")
DECISIVE = ("minicore", "layout", "network", "image_size", "layers", "parameters")
PARTIAL = re.compile(r"\.(.+)\.[0-9a-f]{8}\.partial")  # from `files.temporary_path`
UNIT = re.compile(rf"seed\d+{re.escape(SUFFIX)}")


@dataclass(frozen=True, eq=False)
class Run:
    """What a folder holds.

    Attributes
    ----------
    folder : Path
    settings : dict
        ``minicore`` (version), ``command``, ``data`` (the folder's name), ``data_sha256`` (the
        `fingerprint` of each category), ``layout``, ``network``, ``backbone``
        (`Backbone.describe`), ``layers``, ``image_size``, ``parameters`` (of the detectors),
        ``machine``.
    """

    folder: Path
    settings: dict[str, Any]

    @property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprints of the run's categories: ``data_sha256`` of the settings."""
        return self.settings["data_sha256"]

    def decisive(self, category: str) -> dict[str, Any]:
        """Return the settings that decide the numbers of a category's units."""
        shared = {key: self.settings.get(key) for key in DECISIVE}
        return {**shared, "data_sha256": self.fingerprints.get(category)}

    def finished(self) -> list[Unit]:
        """Give the units that have a file, sorted."""
        found = (self.folder / "units").glob(f"*/*/seed*{SUFFIX}")
        units = {path: Unit.of(path) for path in found if UNIT.fullmatch(path.name)}
        return sorted(unit for path, unit in units.items() if path == unit.path(self.folder))

    def load(self, unit: Unit, row: Row | None = None) -> Finished:
        """Read a finished unit.

        Parameters
        ----------
        unit : Unit
        row : Row, optional
            What the unit's row stands for; by default anything.

        Raises
        ------
        ModelError
            If its file is damaged, or another unit's.
        OtherRun
            If the unit was measured with other settings than the run has, or of another row.
        """
        path = unit.path(self.folder)
        found = Finished.load(path)
        if found.unit != unit:
            its = found.unit
            raise ModelError(f"{path}: holds {its.category}, {its.row}, seed {its.seed}")
        expected = self.decisive(unit.category) | (row.decisive if row else {})
        for key, value in _different(expected, found.settings):
            raise OtherRun(f"{path}: was measured with another {key} ({value})")
        return found

    def files(self) -> list[Path]:
        """List the files that reports are made from."""
        return [self.folder / SETTINGS, *(unit.path(self.folder) for unit in self.finished())]

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Open a folder that ``minicore reproduce`` wrote.

        Raises
        ------
        DatasetError
            If it is none.
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
                f"{path}: damaged, or no settings of a run ({error}); give another folder"
            ) from error
        known = isinstance(settings, dict) and "minicore" in settings
        if not known or not isinstance(settings.get("data_sha256"), dict):
            raise DatasetError(f"{path}: damaged, or no settings of a run; give another folder")
        return cls(Path(folder), settings)

    @classmethod
    def create(cls, folder: str | Path, settings: dict[str, Any]) -> Run:
        """Open a run's folder, or make it.

        Parameters
        ----------
        folder : str or Path
        settings : dict
            As `Run.settings`. Categories that the run in the folder does not have are added to it.

        Returns
        -------
        Run
            With the settings that the folder has, those of the first start.

        Raises
        ------
        OutputError
            If the folder holds a run with other decisive settings or other data, or something that
            is no run, or cannot be written.
        """
        path = Path(folder) / SETTINGS
        there = cls.found(folder)
        if there is not None:
            for key, values in _different({k: settings.get(k) for k in DECISIVE}, there.settings):
                raise OutputError(
                    f"{folder}: holds a run with another {key} ({values}); give another folder "
                    f"with --out"
                )
            both = there.fingerprints | settings["data_sha256"]
            changed = [name for name, sha in there.fingerprints.items() if both[name] != sha]
            if changed:
                raise OutputError(
                    f"{folder}: holds a run with other images or masks of {', '.join(changed)} "
                    f"(from {there.settings.get('data')!r}, now from {settings['data']!r}); give "
                    f"another folder with --out, or delete {folder} to measure again"
                )
            if both == there.fingerprints:
                return there
            settings = there.settings | {"data_sha256": both}
        with atomic_write(path, "w") as file:
            json.dump(settings, file, indent=2)  # ASCII: the names of folders need not be UTF-8
        return cls(Path(folder), settings)

    @classmethod
    def found(cls, folder: str | Path) -> Run | None:
        """Open the run that a folder holds; None if the folder is missing or empty.

        Raises
        ------
        OutputError, DatasetError
            If it holds something else.
        """
        folder = Path(folder)
        try:
            names = {path.name for path in folder.iterdir()}
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:  # a file, or a name that no folder can have
            reason = getattr(error, "strerror", None) or error
            raise OutputError(
                f"{folder}: cannot be used: {reason}; give another folder with --out"
            ) from error
        if SETTINGS in names:
            return cls.open(folder)
        foreign = sorted(n for n in names if n != LOCK and _replaced(n) != SETTINGS)
        if foreign:
            raise OutputError(
                f"{folder}: holds {cut(', '.join(foreign[:3]), 100)}, and no run of `minicore "
                f"reproduce`; give a new or an empty folder with --out"
            )
        return None

    def sweep(self) -> None:
        """Remove what an earlier start has left half-written; call it with the lock held.

        Nothing else is touched: only names that minicore makes, in the places where it makes them,
        and nothing behind a link.
        """
        for path in _entries(self.folder):
            if _replaced(path.name) in (SETTINGS, *TABLES):
                _remove(path)
        for row in _folders(_folders([self.folder / "units"])):
            for path in _entries(row):
                if UNIT.fullmatch(_replaced(path.name) or ""):
                    _remove(path)
        for path in _folders([self.folder / "features"]):
            if _replaced(path.name):
                recording.remove(path)


class OtherRun(ModelError):
    """A unit's file that is sound, and does not belong to the run in whose folder it is."""


def _different(expected: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the keys whose values differ, each with both values, as JSON has them."""
    for key, value in json.loads(json.dumps(expected)).items():
        if value != found.get(key):
            yield key, f"{_brief(found.get(key))}, now {_brief(value)}"


def _brief(value: Any) -> str:
    return cut(json.dumps(value), 200)


def _replaced(name: str) -> str | None:
    """Return what a half-written file was to be called; None for the name of another file."""
    match = PARTIAL.fullmatch(name)
    return match and match[1]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _folders(parents: Iterable[Path]) -> list[Path]:
    """List the folders in some folders, neither the one nor the other being links."""
    return [
        path
        for parent in parents
        if not parent.is_symlink()
        for path in _entries(parent)
        if path.is_dir() and not path.is_symlink()
    ]


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
