"""Run a student's notebook and check its functions: ``python -m minicore.course.submission FILE``.

Only the cells on which a check depends are run. Standard input is a JSON object with ``seed``, the
seed of the hidden cases, and ``drawn``, the seed of the student's drawn parts. The result is one
JSON object on standard output: for each exercise the share of right cases and a keyword.

`minicore.course.grading` starts one such process for each notebook.
"""

from __future__ import annotations

import ast
import json
import os
import symtable
import sys
import traceback
from pathlib import Path
from typing import Any

from minicore import course
from minicore.course import checking
from minicore.course.release import read_notebook
from minicore.course.student import OPEN, checks, parse

Marks = dict[str, tuple[float, str]]  # exercise: share of right cases, keyword of the mistake


def run(path: Path, seed: int, drawn: int) -> Marks:
    """Run the cells on which the checks of a notebook depend, and check with the seeds.

    Parameters
    ----------
    path : Path
        The notebook.
    seed : int
        Seed of the hidden cases.
    drawn : int
        Seed of the student's drawn parts, for open exercises.

    Returns
    -------
    dict of str to (float, str)
        If a notebook checks an exercise twice, the better result.
    """
    cells = read_notebook(path)["cells"]
    trees = [parse("".join(c["source"]), path.name) for c in cells if c["cell_type"] == "code"]
    handed_in: list[tuple[str, Any]] = []

    def record(name: str, value: Any, **_: Any) -> checking.Result:
        handed_in.append((str(name).lower().replace(" ", ""), value))
        return checking.Result(str(name), 0, 1)

    check = checking.check
    setattr(course, "check", record)  # noqa: B010  # mypy forbids to replace a function
    setattr(checking, "check", record)  # noqa: B010
    marks: Marks = {}
    names: dict[str, Any] = {"__name__": "__main__"}
    for number in needed(trees):
        try:
            exec(compile(trees[number], f"<code cell {number}>", "exec"), names)
        except (Exception, SystemExit) as error:
            marks |= {name: (0.0, type(error).__name__) for name, _ in checks(trees[number])}
    for exercise, value in handed_in:
        try:
            result = check(exercise, value, seed=drawn if OPEN.fullmatch(exercise) else seed)
        except Exception as error:
            mark = 0.0, type(error).__name__
        else:
            missing = "NotImplementedError" in result.hint  # the function is not written yet
            mark = result.passed / result.total, "" if missing else result.keyword
        marks[exercise] = max(marks.get(exercise, (0.0, "")), mark)
    return marks


def needed(trees: list[ast.Module]) -> list[int]:
    """Return the cells with checks, and the earlier cells that define what they use, in order.

    Parameters
    ----------
    trees : list of ast.Module
        The code cells of a notebook.

    Returns
    -------
    list of int
    """
    chosen: set[int] = set()
    used: set[str] = set()
    for number in reversed(range(len(trees))):
        reads, sets = names_of(trees[number])
        if sets & used or any(checks(trees[number])):
            chosen.add(number)
            used |= reads
    return sorted(chosen)


def names_of(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Return the global names that a cell reads, and those that it sets or changes."""
    reads, sets = set(), set()
    waiting = [symtable.symtable(ast.unparse(tree), "cell", "exec")]
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        for symbol in table.get_symbols():
            top = table.get_type() == "module"
            if symbol.is_referenced() and (top or symbol.is_global()):
                reads.add(symbol.get_name())
            defined = symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
            if defined and (top or symbol.is_declared_global()):
                sets.add(symbol.get_name())
    for node in ast.walk(tree):  # results["a"] = 1 changes `results`
        if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            sets |= {node.value.id} if isinstance(node.value, ast.Name) else set()
    return reads, sets


def main() -> None:
    """Run the notebook that the command line names."""
    given = json.loads(sys.stdin.read())
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull, "w") as nothing:  # noqa: PTH123  # the prints of the submission
        os.dup2(nothing.fileno(), 1)
    try:
        marks = run(Path(sys.argv[1]), given["seed"], given["drawn"])
    except Exception:
        traceback.print_exc()
        raise SystemExit(1) from None
    json.dump(marks, output)
    output.flush()
    os._exit(0)  # also if the submission left a thread


if __name__ == "__main__":
    main()
