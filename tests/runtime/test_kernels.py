"""Compiled kernels lie in minicore's cache folder, and code of another user never runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minicore

PACKAGE = Path(minicore.__file__).parent
ROOT = os.name != "nt" and os.getuid() == 0
POWERLESS = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"] if ROOT else []
NOBODY = 54321
SCORE = """
import os, sys, numba, numpy as np
from minicore import equations
from minicore.fast.arithmetic import squared_norms
rows = np.eye(3, dtype=np.float32)
print(equations.squared_distance(rows[0], rows[1]) + squared_norms(rows)[0])
print(os.path.dirname(__import__("minicore").__file__))
print(repr(numba.config.CACHE_DIR))
"""


@pytest.fixture
def installed(tmp_path_factory):
    """A copy of the package in which nobody but its owner may write."""
    root = tmp_path_factory.mktemp("installed")
    target = root / "site"
    ignored = shutil.ignore_patterns("__pycache__", "weights")
    shutil.copytree(PACKAGE, target / "minicore", ignore=ignored)
    for path in [target, *target.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield target
    for path in [target, *target.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)


def run(code, site, temporary, home, **more):
    """Run code with permissions that bind: root's do once its capabilities are given up."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(site),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(temporary),
        "HOME": str(home),
        **more,
    }
    command = [*POWERLESS, sys.executable, "-W", "error", "-c", code]
    options = {"capture_output": True, "text": True, "timeout": 300, "cwd": "/"}
    done = subprocess.run(command, env=environment, **options)
    assert done.returncode == 0, done.stderr
    squared, package, setting = done.stdout.splitlines()
    assert squared == "3.0" and package == str(site / "minicore")
    assert setting == repr(more.get("NUMBA_CACHE_DIR", ""))  # for other packages it is as it was


def kernels(folder):
    """The compiled kernels in a folder, with the time each was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.nb[ci]")}


def files(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


def made(folder, mode=0o777):
    """A new folder with these permissions, whatever the process takes off."""
    folder.mkdir()
    folder.chmod(mode)
    return folder


@pytest.fixture
def temporary(tmp_path):
    return made(tmp_path / "temporary", 0o1777)


pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="POSIX permissions"),
    pytest.mark.skipif(ROOT and not shutil.which("setpriv"), reason="root needs setpriv for this"),
]


@pytest.fixture
def home(tmp_path):
    return made(tmp_path / "home")


def open_up(site):
    for folder in [p for p in (site, *site.rglob("*")) if p.is_dir()]:
        folder.chmod(0o755)


@pytest.mark.slow
@pytest.mark.parametrize("open_package", [False, True])
def test_kernels_are_in_the_users_cache_folder_and_nowhere_else(
    installed, temporary, home, open_package
):
    if open_package:
        open_up(installed)
    before = files(installed)
    run(SCORE, installed, temporary, home)
    first = kernels(home / ".cache" / "minicore" / "kernels")
    assert {path.parent.name.split("_")[0] for path in first} == {"equations", "fast"}
    assert files(home) == set(first)
    assert files(installed) == before and files(temporary) == set()
    run(SCORE, installed, temporary, home)  # finds them there
    assert kernels(home) == first


@pytest.mark.slow
@pytest.mark.parametrize(
    "variable, place", [("MINICORE_CACHE", "kernels"), ("NUMBA_CACHE_DIR", ".")]
)
def test_a_variable_moves_them(installed, temporary, home, tmp_path, variable, place):
    moved = made(tmp_path / "moved")
    run(SCORE, installed, temporary, home, **{variable: str(moved)})
    assert kernels(moved / place) and files(home) == files(temporary) == set()


@pytest.mark.slow
def test_kernels_compile_where_neither_package_nor_home_can_be_written(installed, temporary):
    for home in (installed, installed / "missing" / "home"):
        run(SCORE, installed, temporary, home)
        (folder,) = temporary.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        first = kernels(folder)
        assert first
        run(SCORE, installed, temporary, home)  # finds them there
        assert kernels(folder) == first


@pytest.mark.slow
def test_a_folder_left_there_by_another_is_not_used(installed, temporary):
    trap = temporary / f"minicore-kernels-{os.getuid()}"
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir(mode=0o700)

    def open_to_all():
        made(trap)

    def somebody_elses():
        trap.mkdir(mode=0o700)
        os.chown(trap, NOBODY, NOBODY)

    def a_link():
        trap.symlink_to(elsewhere)

    for lay in (open_to_all, a_link, *([somebody_elses] if ROOT else [])):
        lay()
        run(SCORE, installed, temporary, installed / "missing")
        assert list(trap.iterdir()) == list(elsewhere.iterdir()) == []
        assert set(temporary.iterdir()) == {trap, elsewhere}  # its own went with the process
        trap.unlink() if trap.is_symlink() else trap.rmdir()
