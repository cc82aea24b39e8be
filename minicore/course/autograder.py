"""Autograders for otter-grader: for each notebook a zip file with public and hidden tests."""

from __future__ import annotations

import ast
import tempfile
from pathlib import Path

from minicore.course.student import OPEN, Notebook, checks, parse
from minicore.errors import MinicoreError
from minicore.runtime import distribution

REQUIREMENTS = f"{distribution.NAME}\n"
TEST = """OK_FORMAT = False

from otter.test_files import test_case

from minicore import course

name = "{exercise}"
points = 1


@test_case(name="{exercise}, the usual cases", points=0)
def usual({function}):
    result = course.check("{exercise}", {function})
    assert result, repr(result)


@test_case(name="{exercise}, other cases", points=1, hidden=True)
def other({function}):
    result = course.check("{exercise}", {function}, seed={seed})
    assert result, repr(result)
"""


def autograders(
    notebooks: dict[str, Notebook], seed: int, *, drawn: bool = False
) -> dict[str, bytes]:
    """Return the autograder of each notebook that has checks.

    Parameters
    ----------
    notebooks : dict of str to dict
        The students' copies, by name.
    seed : int
        Seed of the hidden cases.
    drawn : bool, default False
        The students have drawn parts of their own. Then open exercises have no test, because the
        autograder does not know the student.

    Returns
    -------
    dict of str to bytes
        Files by path: ``05_coresets/autograder.zip`` and its tests.

    Raises
    ------
    MinicoreError
        If otter-grader is not installed.
    """
    try:
        from otter.generate import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
            main as generate,
        )
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "otter":
            raise
        raise MinicoreError("--format otter needs otter-grader: pip install otter-grader") from None
    files: dict[str, bytes] = {}
    for name, notebook in notebooks.items():
        tests = _tests(name, notebook, seed, drawn)
        if not tests:
            continue
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            (folder / "tests").mkdir()
            (folder / "requirements.txt").write_text(REQUIREMENTS, encoding="utf-8")
            for exercise, text in tests.items():
                (folder / "tests" / f"{exercise}.py").write_text(text, encoding="utf-8")
            generate(
                tests_dir=str(folder / "tests"),
                output_path=str(folder / "autograder.zip"),
                requirements=str(folder / "requirements.txt"),
                no_config=True,
                no_environment=True,
            )
            files[f"{name}/autograder.zip"] = (folder / "autograder.zip").read_bytes()
        files |= {f"{name}/tests/{e}.py": text.encode() for e, text in tests.items()}
    return files


def _tests(name: str, notebook: Notebook, seed: int, drawn: bool) -> dict[str, str]:
    """Return a test for each exercise whose function has a name in the notebook."""
    found: dict[str, str] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        for exercise, call in checks(parse("".join(cell["source"]), name)):
            value = call.args[1] if len(call.args) == 2 else None
            is_open = OPEN.fullmatch(exercise) is not None
            if exercise and isinstance(value, ast.Name) and not (is_open and drawn):
                hidden = 0 if is_open else seed
                found[exercise] = TEST.format(exercise=exercise, function=value.id, seed=hidden)
    return found
