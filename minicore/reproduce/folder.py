"""A run's folder: what was asked for, and the units that are finished.

=====================================  ===================================
settings.json                          what every unit has in common
units/CATEGORY/ROW/seedN.safetensors   one file a finished unit
table.md, table.csv, table.json        made from the units
report.html                            likewise
=====================================  ===================================
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minicore.errors import DatasetError, OutputError, cut
from minicore.files import is_folder, whole
from minicore.reproduce.unit import SUFFIX, Finished, Unit

SETTINGS = "settings.json"


@dataclass(frozen=True, eq=False)
class Run:
    """What a folder holds.

    Attributes
    ----------
    folder : Path
    settings : dict
        ``minicore`` (version), ``command``, ``data`` (the folder's name), ``layout``, ``backbone``
        (`Backbone.describe`), ``image_size``, ``parameters`` (of the detectors), ``machine``.
    """

    folder: Path
    settings: dict[str, Any]

    def finished(self) -> list[Unit]:
        """Give the units that have a file, sorted."""
        found = (self.folder / "units").glob(f"*/*/seed*{SUFFIX}")
        return sorted(Unit.of(path) for path in found if path.stem[4:].isdecimal())

    def files(self) -> list[Path]:
        """List the files that reports are made from."""
        return [self.folder / SETTINGS, *(unit.path(self.folder) for unit in self.finished())]

    def load(self, unit: Unit) -> Finished:
        """Read a finished unit; `ModelError` if its file is damaged."""
        return Finished.load(unit.path(self.folder))

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
            raise DatasetError(f"{path}: damaged, or no settings of a run: {error}") from error
        if not isinstance(settings, dict):
            raise DatasetError(f"{path}: damaged: expected a JSON object")
        return cls(Path(folder), settings)

    @classmethod
    def create(cls, folder: str | Path, settings: dict[str, Any], decisive: set[str]) -> Run:
        """Open a run's folder, or make it.

        Parameters
        ----------
        folder : str or Path
        settings : dict
            As `Run.settings`.
        decisive : set of str
            Keys whose values must be those of the folder, if it is a run's already: units that were
            measured otherwise must not stand in one table.

        Raises
        ------
        OutputError
            If they differ, or the folder cannot be written, or holds files but no run.
        """
        path = Path(folder) / SETTINGS
        if path.exists():
            there = cls.open(folder)
            for key in sorted(decisive):
                asked, found = json.loads(json.dumps(settings.get(key))), there.settings.get(key)
                if asked != found:
                    raise OutputError(
                        f"{folder}: holds a run with another {key} ({_brief(found)}, now "
                        f"{_brief(asked)}); give another folder with --out"
                    )
            return there
        if is_folder(folder) and any(its.name[0] != "." for its in Path(folder).iterdir()):
            raise OutputError(
                f"{folder}: holds files, but no run of minicore; give another folder with --out"
            )
        with whole(path, "w") as file:
            json.dump(settings, file, indent=2, ensure_ascii=False)
        return cls(Path(folder), settings)


def _brief(value: Any) -> str:
    return cut(json.dumps(value), 200)
