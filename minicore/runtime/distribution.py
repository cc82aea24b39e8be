"""The installed package: packages that an extra would add, and files of another package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from minicore.errors import MinicoreError

NAME = "minicore-patchcore"
STRANGER = "minicore"  # another project on PyPI, which also installs a package `minicore`
PACKAGE = Path(__file__).resolve().parents[1]
OUR_FILES = {"__init__.py", "__main__.py", "checks.py", "errors.py"}


def require(purpose: str, extra: str, *packages: str) -> None:
    """Raise an error if a package of an extra is not installed.

    Parameters
    ----------
    purpose : str
        What needs the packages: the start of the error message.
    extra : str
        The extra of minicore that installs them.
    *packages : str
        Names of the packages, as in an import.

    Raises
    ------
    MinicoreError
        It names the first package that is not installed, and the command that installs the extra.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MinicoreError(
                f'{purpose} needs the package {package}: pip install "{NAME}[{extra}]"'
            )


def check_files() -> None:
    """Raise an error if files of the other project `minicore` are mixed into this package.

    Both projects install a package with the same name into the same folder, so that each one
    replaces files of the other one.

    Raises
    ------
    ImportError
        It states how to install minicore again.
    """
    if {file.name for file in PACKAGE.glob("*.py")} <= OUR_FILES:
        return  # nearly always; reading metadata takes longer
    import importlib.metadata

    try:
        stranger = importlib.metadata.distribution(STRANGER)
    except importlib.metadata.PackageNotFoundError:
        return
    if Path(str(stranger.locate_file("minicore"))).resolve() == PACKAGE:
        raise ImportError(
            f"{PACKAGE} contains files of another project, {STRANGER} {stranger.version}, mixed "
            f"with those of {NAME}. Remove both and install {NAME} again: "
            f"pip uninstall {STRANGER} {NAME}, then pip install {NAME}"
        )
