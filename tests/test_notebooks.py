"""The committed notebooks: complete, small, and with the outputs of one whole run."""

import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MEGABYTES = 12  # all together: a clone stays quick

every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[dict]:
    return [c for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == kind]


def text(path: Path) -> str:
    return "\n\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))


def test_there_are_twelve_and_they_are_small():
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{i:02d}" for i in range(12)]
    assert sum(path.stat().st_size for path in NOTEBOOKS) < 1e6 * MEGABYTES


@every
def test_outputs_are_those_of_one_run_from_top_to_bottom_without_an_error(path):
    code = cells(path, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]


@every
def test_each_has_goals_a_formula_the_kernel_from_its_file_a_what_if_and_a_recap(path):
    words, code = text(path), "\n".join("".join(c["source"]) for c in cells(path, "code"))
    for part in (r"\*\*After it you can\*\*", r"\\tag\{", "^## What if", "^## Recap"):
        assert re.search(part, words, re.MULTILINE), part
    assert "course.source(" in code and "course.check(" in code


@every
def test_each_has_three_exercises(path):
    exercises = text(path).partition("## Exercises")[2].partition("## Recap")[0]
    assert re.findall(r"^(?:\*\*)?(\d)\. ", exercises, re.MULTILINE) == ["1", "2", "3"]


@every
def test_what_needs_a_kernel_has_a_picture_for_who_has_none(path):
    for cell in cells(path, "code"):
        if "course.live(" in "".join(cell["source"]):
            (shown,) = cell["outputs"]
            assert set(shown["data"]) == {"image/png", "text/plain"}
