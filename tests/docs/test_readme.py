"""The code blocks of the README run unchanged, and its commands work in each shell."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in (
        "*.md",
        "docs/*.md",
        "docs/reference/*.md",
        "docs/teaching/*.md",
        "weights/*.md",
    )
    for page in ROOT.glob(pattern)
)
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
README = FENCED.findall((ROOT / "README.md").read_text(encoding="utf-8"))
PYTHON = [text for language, text in README if language == "python"]
needs_network = pytest.mark.skipif(
    not (ROOT / "weights" / "default.onnx").is_file(), reason="needs weights/default.onnx"
)


def execute(block, folder, monkeypatch):
    """Run a block as a script of its own in an empty folder; return its names."""
    monkeypatch.chdir(folder)
    names = {"__name__": "__main__"}
    exec(compile(block, "README.md", "exec"), names)
    return names


def test_the_readme_has_the_two_python_blocks_that_are_run_here():
    assert len(PYTHON) == 2 and "course.check" in PYTHON[0] and "PatchCore(" in PYTHON[1]


def test_the_readmes_exercise_prints_what_the_readme_says(tmp_path, monkeypatch, capsys):
    execute(PYTHON[0], tmp_path, monkeypatch)
    (printed,) = (text for language, text in README if language == "text")
    assert capsys.readouterr().out.endswith(printed)


@pytest.mark.slow
@needs_network
def test_the_readmes_model_finds_the_defects_and_leaves_its_files(tmp_path, monkeypatch):
    names = execute(PYTHON[1], tmp_path, monkeypatch)
    gear = names["gear"]
    assert names["scores"].shape == (len(gear.test),)
    assert names["maps"].shape[0] == len(gear.test) and names["maps"].ndim == 3
    assert ((names["labels"] == -1) == (gear.labels == 1)).mean() > 0.9
    assert gear.labels[20] == 1  # the image that is traced has a defect
    assert {file.name for file in tmp_path.iterdir()} == {"gear.minicore", "trace.png"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_stand_one_on_a_line(page):
    """PowerShell 5 does not know ``&&``."""
    assert "&&" not in page.read_text(encoding="utf-8")


def test_install_and_demo_are_the_first_commands_after_the_environment():
    commands = [text for language, text in README if language == ""]
    assert commands[0].startswith("python3 -m venv")
    assert "Activate.ps1" in commands[1]
    assert commands[2] == "pip install -e .\nminicore demo\n"
    assert commands[3].endswith('pytest -m "not slow"\npytest\n')


def test_the_readme_names_the_oldest_python_that_the_package_takes():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = re.search(r'requires-python = ">=([\d.]+)"', project)
    assert f"Python {needed.group(1)} to " in (ROOT / "README.md").read_text(encoding="utf-8")
