"""Make a student's copy of a notebook: without solutions, and with a seed of the student."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterable
from typing import Any

from minicore.course.checking import EXERCISES
from minicore.course.exercise import Exercise
from minicore.errors import MinicoreError

Notebook = dict[str, Any]  # a notebook as its JSON file stores it
Cell = dict[str, Any]
Places = dict[str, list[str]]  # for each exercise the notebooks that ask it

SITE = "https://minicore-patchcore.readthedocs.io/en/latest"
TAG = "solution:"  # of a cell that solves an exercise, before the name of the exercise
OPEN = re.compile(r"\d\d\.\d+")  # the name of an open exercise, whose answer depends on the data
_SOLUTIONS = re.compile(  # a sentence with a link to the solutions
    r"(?:(?<=\s)|^)[A-Z][^.]*?\[[^\]]*\]\(solutions/[^)]*\)\.?[ \n]?", re.MULTILINE
)
_CHECK = re.compile(r'course\.check\(["\']([\w.]+)["\']')
_OPEN_CHECK = re.compile(r'(course\.check\("\d\d\.\d+", [^`]*)\)`')  # in a text
_PAGE = re.compile(r"\]\(\.\./docs/([\w/]+)\.md")
_PICTURE = re.compile(r"\]\(\.\./docs/images/([\w.]+)\)")


def student_copy(notebook: Notebook, name: str, places: Places, seed: int = 0) -> Notebook:
    """Return the student's copy of a notebook.

    A cell with a tag such as ``solution:eq5`` becomes a text with task, goal and minutes. If its
    metadata has ``stub``, a cell with this code follows, so that the later cells still run. Links
    to the solutions are removed, and links to the documentation lead to the site.

    Parameters
    ----------
    notebook : dict
        The content of the notebook's file. It is not changed.
    name : str
        The notebook's name in messages.
    places : dict of str to list of str
        For each exercise the notebooks that ask it, from `asked`.
    seed : int, default 0
        Seed of the drawn parts. If it is not 0, all outputs and the author's assertions about the
        usual parts are removed (also a cell or a loop that has only assertions), and open
        exercises are checked for this seed.

    Returns
    -------
    dict

    Raises
    ------
    MinicoreError
        If a tag names no exercise, or a cell is not Python.
    """
    result = copy.deepcopy(notebook)
    cells: list[Cell] = []
    explained: set[str] = set()
    for cell in result["cells"]:
        solved = _solved(cell, name)
        stub = cell["metadata"].pop("stub", None)
        if cell["cell_type"] == "markdown":
            _set(cell, _without_links(_text(cell)))
        if solved is not None and (solved.name not in explained or stub is None):
            first = solved.name not in explained
            place = _place(solved.name, _join(stub), name, places)
            text = _task(solved, place) if first else _again(solved)
            cells.append(_markdown(text, f"{cell.get('id', 'cell')}-task"))
            explained.add(solved.name)
        if solved is not None or stub is not None:
            cell["outputs"], cell["execution_count"] = [], None
            _set(cell, _join(stub))
        if solved is None or stub is not None:
            cells.append(cell)
    result["cells"] = cells
    if seed:
        _draw(cells, name, seed)
    return result


def asked(notebooks: dict[str, Notebook]) -> Places:
    """Return the exercises that notebooks check, each with the names of these notebooks.

    Parameters
    ----------
    notebooks : dict of str to dict
        Notebooks by name.

    Returns
    -------
    dict of str to list of str
    """
    found: Places = {}
    for name, notebook in notebooks.items():
        for exercise in exercises_of(notebook, name) - {""}:
            found.setdefault(exercise, []).append(name)
    return found


def exercises_of(notebook: Notebook, name: str, *, strict: bool = True) -> set[str]:
    """Return the exercises that a notebook checks; "" stands for names that it computes.

    A text can name a check too, for which the student writes the cell. So can a cell that is not
    Python, if `strict` is false.
    """
    found: set[str] = set()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            try:
                found |= {exercise for exercise, _ in checks(parse(_text(cell), name))}
                continue
            except MinicoreError:
                if strict:
                    raise
        found |= named(_text(cell))
    return found


def named(text: str) -> set[str]:
    """Return the exercises whose checks a text names."""
    return {*_CHECK.findall(text)}


def checks(tree: ast.AST) -> Iterable[tuple[str, ast.Call]]:
    """Yield the name and the call of each ``course.check``; "" for a name that is computed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("course.check", "check"):
            first = node.args[0] if node.args else None
            yield str(first.value) if isinstance(first, ast.Constant) else "", node


def parse(source: str, name: str) -> ast.Module:
    """Parse the code of a cell; lines for IPython (``%``, ``!``) are left out.

    Raises
    ------
    MinicoreError
        If the code is not Python.
    """
    try:
        return ast.parse(re.sub(r"^[%!].*$", "pass", source, flags=re.MULTILINE))
    except SyntaxError as error:
        raise MinicoreError(f"{name}: a cell is not Python: {error.msg}: {error.text}") from None


def _solved(cell: Cell, name: str) -> Exercise | None:
    """Return the exercise that a cell solves, and remove the tag."""
    tags = cell["metadata"].get("tags", [])
    solved = [tag.removeprefix(TAG) for tag in tags if tag.startswith(TAG)]
    if not solved:
        return None
    others = [tag for tag in tags if not tag.startswith(TAG)]
    cell["metadata"]["tags"] = others
    if not others:
        del cell["metadata"]["tags"]
    found = next((exercise for exercise in EXERCISES if exercise.name == solved[0]), None)
    if found is None:
        raise MinicoreError(f"{name}: the tag {TAG}{solved[0]} names no exercise")
    return found


def _place(exercise: str, stub: str, name: str, places: Places) -> str:
    """Return where a student writes the function."""
    if f'check("{exercise}"' in stub or "raise NotImplementedError" in stub:
        return "in the next cell; the cells after it need it"
    asking = places.get(exercise, [])
    if name in asking or not asking:
        return "in the exercises of this notebook"
    return f"in the exercises of notebook {asking[0][:2]}"


def _task(exercise: Exercise, place: str) -> str:
    return (
        f"**Exercise `{exercise.name}`: {exercise.title}** (about {exercise.minutes} minutes)\n\n"
        "In the complete notebook, this cell shows the code, and the text around it describes it. "
        f"You write it yourself, {place}.\n\n"
        f"- **Task**: {exercise.question}\n"
        f"- **Function**: `{exercise.signature}` → {exercise.returns}\n"
        f"- **Goal**: after it you can {exercise.goal}.\n"
    )


def _again(exercise: Exercise) -> str:
    return f"In the complete notebook, this cell shows more code of exercise `{exercise.name}`.\n"


def _without_links(text: str) -> str:
    text = _SOLUTIONS.sub("", text)
    text = re.sub(r"\[([^\]]*)\]\(solutions/[^)]*\)", r"\1", text)
    text = _PICTURE.sub(r"](images/\1)", text)
    return _PAGE.sub(rf"]({SITE}/\1.html", text)


def pictures(notebook: Notebook) -> set[str]:
    """Return the names of the pictures of the documentation that a notebook shows."""
    return {name for cell in notebook["cells"] for name in _PICTURE.findall(_text(cell))}


def _draw(cells: list[Cell], name: str, seed: int) -> None:
    """Draw the parts with another seed, and remove what holds for the usual parts only."""
    tests = []
    for cell in cells:
        if cell["cell_type"] == "code":
            before, after = _text(cell), with_seed(_text(cell), name, seed)
            cell["outputs"], cell["execution_count"] = [], None
            _set(cell, after)
            if parse(before, name).body and not parse(after, name).body:
                tests.append(cell["id"])
        else:
            _set(cell, _OPEN_CHECK.sub(rf"\1, seed={seed})`", _text(cell)))
    cells[:] = [cell for cell in cells if cell.get("id") not in tests]
    note = (
        f"The parts of this copy are drawn with the seed {seed}. So your numbers and figures "
        "differ from those that the text describes. If a comparison in the text is different for "
        "your parts, trust your numbers.\n"
    )
    cells.insert(1, _markdown(note, "seed"))


def with_seed(source: str, name: str, seed: int) -> str:
    """Return the code of a cell with another seed of the drawn parts and without assertions."""
    encoded = source.encode()
    begin = [0]  # of each line, in bytes, as in `ast`
    for line in encoded.splitlines(keepends=True):
        begin.append(begin[-1] + len(line))
    edits: list[tuple[int, int, bytes]] = []

    def edit(node: Any, new: str, *, last: bool = False) -> None:
        end = begin[node.end_lineno - 1] + node.end_col_offset
        start = end - 1 if last else begin[node.lineno - 1] + node.col_offset
        edits.append((start, end, new.encode()))

    tree = parse(source, name)
    for statement, whole_block in _assertions(tree):
        start, end = begin[statement.lineno - 1], begin[statement.end_lineno or 0]
        lines = encoded[start:end].decode()
        alone = lines.lstrip().startswith(("assert", "for")) and not whole_block
        if alone and ";" not in lines:
            edits.append((start, end, b""))
        else:
            edit(statement, "pass")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("synthetic"):
            for option in node.keywords:
                value = option.value.value if isinstance(option.value, ast.Constant) else None
                if option.arg == "seed" and isinstance(value, int):
                    edit(option.value, str(seed + value))
    for exercise, call in checks(tree):
        if OPEN.fullmatch(exercise) and all(option.arg != "seed" for option in call.keywords):
            edit(call, f", seed={seed})", last=True)
    result, done = b"", 0
    for start, end, new in sorted(edits):
        if start >= done:  # not within an assertion that is removed
            result, done = result + encoded[done:start] + new, end
    left = (result + encoded[done:]).decode()
    return left if left == source else re.sub(r"\n{4,}", "\n\n\n", left.strip("\n"))


def _assertions(tree: ast.Module) -> Iterable[tuple[ast.stmt, bool]]:
    """Yield assertions and loops of assertions; True for one that a block of code still needs."""
    for node in ast.walk(tree):
        for _, block in ast.iter_fields(node):
            if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                tests = [statement for statement in block if _only_asserts(statement)]
                needed = tests[:1] if len(tests) == len(block) and node is not tree else []
                yield from ((test, test in needed) for test in tests)


def _only_asserts(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.For):
        return not statement.orelse and all(map(_only_asserts, statement.body))
    return isinstance(statement, ast.Assert)


def _markdown(text: str, key: str) -> Cell:
    lines = text.splitlines(keepends=True)
    return {"cell_type": "markdown", "id": key, "metadata": {}, "source": lines}


def _join(source: str | list[str] | None) -> str:
    return "".join(source or "")


def _text(cell: Cell) -> str:
    return _join(cell["source"])


def _set(cell: Cell, text: str) -> None:
    cell["source"] = text.splitlines(keepends=True)
