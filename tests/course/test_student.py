"""The student's copies: no solutions, tasks in their place, and cells that still run."""

import ast
import json
import re
from pathlib import Path

import pytest

from minicore import course
from minicore.course.release import read_notebook
from minicore.course.student import asked, exercises_of, student_copy, with_seed
from minicore.errors import MinicoreError

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = {path.stem: read_notebook(path) for path in sorted(FOLDER.glob("*.ipynb"))}
PLACES = asked(NOTEBOOKS)
COPIES = {name: student_copy(notebook, name, PLACES) for name, notebook in NOTEBOOKS.items()}
SOLVED = {  # what the library's name of each exercise is, in the cells that show code
    "neighbourhood", "aggregate", "adaptive_average_pool", "patch_collection", "upsample",
    "memory_bank", "greedy_coreset", "nearest", "deciding_patch", "reweight", "mean_of_top",
}  # fmt: skip

every = pytest.mark.parametrize("name", NOTEBOOKS)


def sources(notebook, kind="code"):
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == kind]


def cell(source, kind="code", **metadata):
    outputs = {"outputs": ["shown"], "execution_count": 1} if kind == "code" else {}
    return {"cell_type": kind, "metadata": metadata, "source": [source], **outputs}


@every
def test_no_copy_shows_the_code_of_an_exercise_or_links_to_the_solutions(name):
    text = json.dumps(COPIES[name], ensure_ascii=False)
    shown = set(re.findall(r"course\.source\((?:\w+\.)?(\w+)\)", text))
    assert shown & SOLVED == set() and "solution:" not in text and "stub" not in text
    assert "solutions/" not in text and "../docs/" not in text


def test_the_functions_that_solve_an_exercise_are_only_in_the_complete_notebooks():
    for number, solution in [
        ("05", "    distances, _ = fast.nearest(M, M[picked])  # from every row"),
        ("06", "memory = table.argmin(axis=1)"),
        ("07", "weight = 1 - np.exp(s_star) / np.exp(distances).sum()"),
        ("08", "by_pairs = (wins.sum() + ties.sum() / 2) / wins.size"),
        ("09", "quotient = np.exp(to_bank[m_star] - largest)"),
        ("09", "v[..., a:e].mean(axis=-1)"),
        ("12", "np.sort(distances, axis=1)[:, -highest:].mean(axis=1)"),
    ]:
        (name,) = (name for name in NOTEBOOKS if name.startswith(number))
        assert solution in "\n".join(sources(NOTEBOOKS[name]))
        assert solution not in "\n".join(sources(COPIES[name]))


def test_every_exercise_that_a_lesson_solves_has_its_task_with_goal_and_minutes():
    text = "\n".join(source for copy in COPIES.values() for source in sources(copy, "markdown"))
    for exercise in course.EXERCISES:
        tagged = f'"solution:{exercise.name}"' in json.dumps(NOTEBOOKS)
        assert (f"**Exercise `{exercise.name}`: {exercise.title}**" in text) == tagged
        if tagged:
            assert exercise.question in text and f"you can {exercise.goal}." in text
            assert f"about {exercise.minutes} minutes" in text


def stored(code):
    """The names that code sets."""
    nodes = list(ast.walk(ast.parse(code)))
    names = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    names |= {n.name for n in nodes if isinstance(n, ast.FunctionDef)}
    return names | {n.arg for n in nodes if isinstance(n, ast.arg)}


@every
def test_the_code_of_a_copy_sets_every_name_that_it_reads(name):
    before, after = ("\n".join(sources(n[name])) for n in (NOTEBOOKS, COPIES))
    read = {n.id for n in ast.walk(ast.parse(after)) if isinstance(n, ast.Name)}
    assert read & (stored(before) - stored(after)) == set()


@every
def test_a_copy_of_a_student_needs_nothing_that_was_removed_with_the_assertions(name):
    copy = student_copy(NOTEBOOKS[name], name, PLACES, seed=70)
    before, after = ("\n".join(sources(n)) for n in (COPIES[name], copy))
    nodes = list(ast.walk(ast.parse(after)))
    assert not any(isinstance(node, (ast.Assert, ast.Pass)) for node in nodes)
    read = {node.id for node in nodes if isinstance(node, ast.Name)}
    assert read & (stored(before) - stored(after)) == set()


@every
def test_other_cells_and_their_outputs_are_unchanged(name):
    changed = [
        c
        for c in NOTEBOOKS[name]["cells"]
        if c["cell_type"] == "code"
        and "stub" not in c["metadata"]
        and not any(tag.startswith("solution:") for tag in c["metadata"].get("tags", []))
    ]
    copied = [c for c in COPIES[name]["cells"] if c["cell_type"] == "code"]
    assert [c for c in copied if c in changed] == changed
    ids = [c["id"] for c in COPIES[name]["cells"]]
    assert len(set(ids)) == len(ids)


def test_a_tagged_cell_becomes_a_task_and_its_stub():
    tagged = cell("x = 1", tags=["student", "solution:eq5"], stub=["x = ", "None"])
    notebook = {
        "cells": [cell("The solution is in [this](solutions/a.py). Next.", "markdown"), tagged]
    }
    result = student_copy(notebook, "05", {"eq5": ["05_coresets"]})
    text, task, stub = result["cells"]
    assert text["source"] == ["Next."] and "in the exercises of notebook 05" in "".join(
        task["source"]
    )
    assert stub["source"] == ["x = None"] and stub["outputs"] == []
    assert stub["metadata"] == {"tags": ["student"]}
    assert tagged["metadata"]["stub"]  # the original is unchanged


def test_a_tag_without_an_exercise_and_a_cell_that_is_not_python_are_errors():
    wrong = {"cells": [cell("x", tags=["solution:eq8"])]}
    with pytest.raises(MinicoreError, match="05: the tag solution:eq8 names no exercise"):
        student_copy(wrong, "05", {})
    with pytest.raises(MinicoreError, match="05: a cell is not Python"):
        asked({"05": {"cells": [cell("x = = 1")]}})


def test_a_seed_of_the_student_is_in_the_data_and_in_the_open_checks_only():
    source = (
        'gear = datasets.synthetic(\n    "gear", n_train=12, seed=0  # ψ\n)\n'
        'more = datasets.synthetic("gear", seed=1)\n'
        "assert len(gear.train) == 12, datasets.synthetic('gear', seed=0)\n"
        "for x in more:  # a test\n    for y in x:\n        assert y\n"
        "if more:\n    assert (\n        more\n    )\n    assert gear  # ψ\n"
        "if gear:\n    x = 1; assert x\n    assert x  # the same\n    x = 2\n"
        'course.check("05.3", (1, 2))\ncourse.check("eq5", f)\nrng = default_rng(seed=0)'
    )
    assert with_seed(source, "05", 70) == (
        'gear = datasets.synthetic(\n    "gear", n_train=12, seed=70  # ψ\n)\n'
        'more = datasets.synthetic("gear", seed=71)\n'
        "if more:\n    pass\n"
        "if gear:\n    x = 1; pass\n    x = 2\n"
        'course.check("05.3", (1, 2), seed=70)\ncourse.check("eq5", f)\nrng = default_rng(seed=0)'
    )


def test_a_copy_of_a_student_says_its_seed_and_has_no_outputs():
    text = cell('Check `course.check("05.3", (a, b))`.', "markdown")
    notebook = {"cells": [cell("# Title", "markdown"), cell("1 + 1"), text]}
    assert exercises_of(notebook, "05") == {"05.3"}
    test = {**cell("for x in y:\n    assert x"), "id": "test"}
    todo = cell("# Write your code here.")
    notebook["cells"] += [test, todo]
    title, note, code, check, last = student_copy(notebook, "05", {}, seed=70)["cells"]
    assert last["source"] == todo["source"]
    assert title["source"] == ["# Title"] and "seed 70" in note["source"][0]
    assert code["outputs"] == [] and check["source"] == [
        'Check `course.check("05.3", (a, b), seed=70)`.'
    ]


def test_the_places_of_an_exercise_are_the_notebooks_that_check_it():
    assert [name[:2] for name in PLACES["eq6"]] == ["00", "06"]
    assert {*PLACES} >= {exercise.name for exercise in course.EXERCISES}
