"""Run a student's notebook and check its functions: ``python -m minicore.course.submission FILE``.

Only the statements on which a check depends are run. Standard input is a JSON object with ``seed``,
the seed of the hidden cases, and ``drawn``, the seed of the student's drawn parts. The result is
one JSON object on standard output: for each exercise the share of right cases and a keyword.

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
from minicore.course.student import OPEN, checks, named, parse
from minicore.errors import MinicoreError

Marks = dict[str, tuple[float, str]]  # exercise: share of right cases, keyword of the mistake


def run(path: Path, seed: int, drawn: int) -> Marks:
    """Run the statements on which the checks of a notebook depend, and check with the seeds.

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
    statements: list[ast.stmt] = []
    marks: Marks = {}
    for source in ("".join(c["source"]) for c in cells if c["cell_type"] == "code"):
        try:
            statements += parse(source, path.name).body
        except MinicoreError:  # the other cells count
            marks |= dict.fromkeys(named(source), (0.0, "SyntaxError"))
    check = checking.check

    def keep(name: str, share: float, keyword: str) -> None:
        marks[name] = max(marks.get(name, (0.0, "")), (share, keyword))

    def record(name: str, value: Any, **_: Any) -> checking.Result:
        exercise = str(name).lower().replace(" ", "")
        try:
            result = check(exercise, value, seed=drawn if OPEN.fullmatch(exercise) else seed)
        except Exception as error:
            keep(exercise, 0.0, type(error).__name__)
        else:
            missing = "NotImplementedError" in result.hint  # the function is not written yet
            keep(exercise, result.passed / result.total, "" if missing else result.keyword)
        return checking.Result(str(name), 0, 1)

    setattr(course, "check", record)  # noqa: B010  # mypy forbids to replace a function
    setattr(checking, "check", record)  # noqa: B010
    names: dict[str, Any] = {"__name__": "__main__"}
    for statement in needed(statements):
        try:
            exec(compile(ast.Module([statement], []), path.name, "exec"), names)
        except (Exception, SystemExit) as error:
            for name, _ in checks(statement):
                keep(name, 0.0, type(error).__name__)
    return marks


def needed(statements: list[ast.stmt]) -> list[ast.stmt]:
    """Return the statements with checks, and those before them that set or change what they use.

    Parameters
    ----------
    statements : list of ast.stmt
        All statements of a notebook, in order.

    Returns
    -------
    list of ast.stmt
        In the same order.
    """
    modules = {
        (alias.asname or alias.name).partition(".")[0]
        for statement in statements
        if isinstance(statement, (ast.Import, ast.ImportFrom))
        for alias in statement.names
    }
    found = [(s, *names_of(s), any(checks(s))) for s in statements]
    late: set[str] = set()  # what functions read when they are called: it may be set after them
    while True:
        chosen: list[ast.stmt] = []
        used: set[str] = set()
        inside: set[str] = set()
        for statement, reads, sets, checking_one in reversed(found):
            if checking_one and not chosen:
                used |= late
            if (sets | _changed(statement) - modules) & used or checking_one:
                chosen.append(statement)
                used = used - (_replaced(statement) - late) | reads
                inside |= reads & _names_in_functions(statement)
        if inside <= late:
            return chosen[::-1]
        late |= inside


def _replaced(statement: ast.stmt) -> set[str]:
    """Return the names whose earlier values a statement certainly replaces."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, ast.Assign):
        targets = [n for target in statement.targets for n in ast.walk(target)]
        return {n.id for n in targets if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return set()


def _names_in_functions(statement: ast.stmt) -> set[str]:
    """Return all names in the functions of a statement."""
    kinds = (ast.FunctionDef, ast.Lambda, ast.ClassDef)
    functions = [node for node in ast.walk(statement) if isinstance(node, kinds)]
    return {n.id for f in functions for n in ast.walk(f) if isinstance(n, ast.Name)}


def names_of(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """Return the global names that a statement reads, and those that it sets."""
    reads, sets = set(), set()
    waiting = [symtable.symtable(ast.unparse(statement), "statement", "exec")]
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        top = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (top or symbol.is_global()):
                reads.add(symbol.get_name())
            defined = symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
            if defined and (top or symbol.is_declared_global()):
                sets.add(symbol.get_name())
    if isinstance(statement, ast.For):  # sets its target before its body reads it
        reads -= {n.id for n in ast.walk(statement.target) if isinstance(n, ast.Name)}
    return reads, sets


def _changed(statement: ast.stmt) -> set[str]:
    """Return the names whose values a statement may change: ``a[0] = 1``, ``a.append(1)``."""
    changed = set()
    for node in ast.walk(statement):
        inside = node.func if isinstance(node, ast.Call) else node
        stored = isinstance(getattr(inside, "ctx", None), ast.Store)
        if isinstance(inside, (ast.Subscript, ast.Attribute)) and (stored or inside is not node):
            while isinstance(inside, (ast.Subscript, ast.Attribute)):
                inside = inside.value
            changed |= {inside.id} if isinstance(inside, ast.Name) else set()
    return changed


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
