"""Kernels compile for whoever may write nowhere, and nobody runs what another has compiled."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from minicore import kernel_cache

PACKAGE = Path(kernel_cache.__file__).parent
ROOT = os.name != "nt" and os.getuid() == 0
POWERLESS = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"] if ROOT else []
NOBODY = 54321
SCORE = """
import os, sys, numba, numpy as np
from minicore import equations
from minicore.fast.arithmetic import squared_distance
rows = np.eye(3, dtype=np.float32)
print(squared_distance(rows[0], rows[1]))
print(os.path.dirname(__import__("minicore").__file__))
print(numba.config.CACHE_DIR)
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


def run(code, site, temporary, home):
    """Run code with permissions that bind: root's do once its capabilities are given up."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(site),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(temporary),
        "HOME": str(home),
    }
    command = [*POWERLESS, sys.executable, "-W", "error", "-c", code]
    options = {"capture_output": True, "text": True, "timeout": 300, "cwd": "/"}
    return subprocess.run(command, env=environment, **options)


@pytest.fixture
def temporary(tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="POSIX permissions"),
    pytest.mark.skipif(ROOT and not shutil.which("setpriv"), reason="root needs setpriv for this"),
]


def test_kernels_compile_where_neither_package_nor_home_can_be_written(installed, temporary):
    for home in (installed, installed / "missing" / "home"):
        done = run(SCORE, installed, temporary, home)
        squared, package, cache = done.stdout.splitlines() or pytest.fail(done.stderr)
        assert squared == "2.0" and package == str(installed / "minicore")
        folder = next(temporary.iterdir())
        assert cache == str(folder) and list(temporary.iterdir()) == [folder]
        assert folder.stat().st_mode & 0o777 == 0o700
        kernels = {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")}
        assert kernels
        again = run(SCORE, installed, temporary, home)  # finds them there
        assert again.stdout == done.stdout
        assert kernels == {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")}


def test_a_folder_left_there_by_another_is_not_used(installed, temporary):
    trap = temporary / f"minicore-kernels-{os.getuid()}"
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir(mode=0o700)

    def open_to_all():
        trap.mkdir()
        trap.chmod(0o777)

    def somebody_elses():
        trap.mkdir(mode=0o700)
        os.chown(trap, NOBODY, NOBODY)

    def a_link():
        trap.symlink_to(elsewhere)

    for lay in (open_to_all, a_link, *([somebody_elses] if ROOT else [])):
        lay()
        done = run(SCORE, installed, temporary, installed / "missing")
        squared, _, cache = done.stdout.splitlines() or pytest.fail(done.stderr)
        assert squared == "2.0"
        assert Path(cache).parent == temporary and Path(cache) != trap
        assert not Path(cache).exists()  # it went with the process
        assert list(trap.iterdir()) == list(elsewhere.iterdir()) == []
        trap.unlink() if trap.is_symlink() else trap.rmdir()


def test_where_numba_has_a_place_it_is_left_alone(installed, temporary, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o777)
    done = run(SCORE, installed, temporary, home)
    assert done.returncode == 0, done.stderr
    squared, _, cache = done.stdout.split("\n")[:3]
    assert squared == "2.0" and cache == "" and list(temporary.iterdir()) == []
    assert list(home.rglob("*.nbc"))


def test_in_a_package_that_can_be_written_its_kernels_lie_there_and_nowhere_else(
    installed, temporary, tmp_path
):
    for folder in [p for p in (installed, *installed.rglob("*")) if p.is_dir()]:
        folder.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    done = run(SCORE, installed, temporary, home)
    assert done.returncode == 0, done.stderr
    kernels = [*installed.rglob("*.nb[ci]")]
    assert kernels and {p.parent.name for p in kernels} == {"__pycache__"}
    assert [p for p in (*home.rglob("*"), *temporary.rglob("*")) if p.is_file()] == []


def test_importing_minicore_makes_no_folder_where_it_can_be_written(monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    kernel_cache.provide()
    assert "NUMBA_CACHE_DIR" not in os.environ
