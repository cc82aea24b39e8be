"""The committed notebooks: complete, small, with the outputs of one run, and ready for changes.

A cell that a student changes has the tag ``student`` and describes the change in its metadata:
``"minicore": {"try": ["b = 3"]}`` lists assignments that replace the cell's own assignments.
``"minicore": {"skip": true, "set": "..."}`` contains code that replaces the whole cell.
"""

import ast
import json
import linecache
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from minicore import datasets

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MEGABYTES = 12  # of all notebooks, so that a clone is fast

every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[dict]:
    return [c for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == kind]


def text(path: Path) -> str:
    return "\n\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))


def code(path: Path) -> list[tuple[str, dict]]:
    """Return the source of each code cell and its requested changes."""
    return [
        ("".join(cell["source"]), cell["metadata"].get("minicore", {}))
        for cell in cells(path, "code")
    ]


def sections(path: Path) -> Iterator[tuple[str, list[dict], str]]:
    """Yield heading, requested changes and text of each section."""
    heading, asked, prose = "", [], ""
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            asked += [cell["metadata"]["minicore"]] if "minicore" in cell["metadata"] else []
            continue
        for part in re.split(r"^(?=## )", source, flags=re.MULTILINE):
            if part.startswith("## "):
                yield heading, asked, prose
                heading, asked, prose = part.splitlines()[0], [], ""
            prose += part + "\n"
    yield heading, asked, prose


def target(assignment: str) -> str:
    """Return the variable of an assignment."""
    (statement,) = ast.parse(assignment).body
    assert isinstance(statement, ast.Assign), assignment
    (name,) = statement.targets
    assert isinstance(name, ast.Name), assignment
    return name.id


def replaced(source: str, assignment: str) -> str:
    """Return the cell with the assignment to this variable replaced."""
    name, lines = target(assignment), source.splitlines()
    (old,) = (
        statement
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign)
        and [ast.unparse(t) for t in statement.targets] == [name]
    )
    lines[old.lineno - 1 : old.end_lineno] = [assignment]
    return "\n".join(lines)


def runs(path: Path) -> list[list[str]]:
    """Return the cells of each run; together, the runs contain all requested changes.

    One run contains changes of different variables. A second value of a variable, or a skipped cell
    that a run has changed, needs another run. Such a run follows the others in the same namespace
    and starts at its first change, as a student does; the cells before it are empty.
    """
    asked = code(path)
    numbers: list[tuple[int, int, str]] = []  # run, cell, assignment
    for i, (_, request) in enumerate(asked):
        seen: Counter[str] = Counter()
        for assignment in request.get("try", []):
            numbers.append((seen[target(assignment)], i, assignment))
            seen[target(assignment)] += 1
    skips = {i: request["set"] for i, (_, request) in enumerate(asked) if request.get("skip")}
    result = []
    for number in range(max([n + 1 for n, _, _ in numbers], default=int(bool(skips)))):
        sources = [source for source, _ in asked]
        changed = [(i, assignment) for n, i, assignment in numbers if n == number]
        for i, assignment in changed:
            sources[i] = replaced(sources[i], assignment)
        if number == 0:
            for i, instead in skips.items():
                sources[i] = instead
        else:
            first = min(i for i, _ in changed)
            sources[:first] = [""] * first
        result.append(sources)
    return result


def test_there_are_thirteen_small_notebooks():
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{i:02d}" for i in range(13)]
    assert sum(path.stat().st_size for path in NOTEBOOKS) < 1e6 * MEGABYTES


@every
def test_the_outputs_are_from_one_run_without_errors(path):
    code = cells(path, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]


@every
def test_each_notebook_has_goals_a_formula_source_code_a_what_if_and_a_recap(path):
    words, code = text(path), "\n".join("".join(c["source"]) for c in cells(path, "code"))
    for part in (r"\*\*After it you can\*\*", r"\\tag\{", "^## What if", "^## Recap"):
        assert re.search(part, words, re.MULTILINE), part
    assert "course.source(" in code and "course.check(" in code


@every
def test_each_notebook_has_three_exercises(path):
    exercises = text(path).partition("## Exercises")[2].partition("## Recap")[0]
    assert re.findall(r"^(?:\*\*)?(\d)\. ", exercises, re.MULTILINE) == ["1", "2", "3"]


@every
def test_figures_with_sliders_are_saved_as_pictures_too(path):
    for cell in cells(path, "code"):
        if "course.live(" in "".join(cell["source"]):
            (shown,) = cell["outputs"]
            assert set(shown["data"]) == {"image/png", "text/plain"}


@every
def test_a_what_if_names_the_variables_to_change(path):
    asked = {heading: (requests, prose) for heading, requests, prose in sections(path)}
    requests, _ = next(asked[heading] for heading in asked if heading.startswith("## What if"))
    assert any(request.get("try") or request.get("skip") for request in requests)
    for requests, prose in asked.values():
        for request in requests:
            names = [target(assignment) for assignment in request.get("try", [])]
            if request.get("skip"):
                names += [n.id for n in ast.walk(ast.parse(request["set"])) if is_stored(n)]
            assert names
            assert [name for name in names if f"`{name}" not in prose] == []


def is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


@every
def test_exactly_the_cells_with_the_tag_describe_a_change(path):
    for cell in cells(path, "code"):
        tagged = "student" in cell["metadata"].get("tags", [])
        assert tagged == ("minicore" in cell["metadata"])


def photographs(folder: Path) -> None:
    """Write photographs of a student: other parts, sizes and names."""
    own = datasets.synthetic("gear", n_train=14, n_good=2, n_defective=2, seed=5, size=240)
    for name, images in (("good", own.train), ("new", own.test)):
        (folder / "photos" / name).mkdir(parents=True)
        for i, image in enumerate(images):
            Image.fromarray(image).save(folder / "photos" / name / f"my photo {i}.jpg")


def run(sources: list[str], name: str, names: dict) -> None:
    """Execute cells in a namespace and draw their results, like Jupyter."""
    for number, source in enumerate(sources):
        file = f"<{name}, code cell {number}>"
        # Tracebacks and hints can then contain the line of the cell.
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)
        tree = ast.parse(source, file)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, file, "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), file, "eval"), names)
            draw = getattr(value, "_repr_png_", lambda: None)
            draw()


@pytest.mark.slow
@every
def test_the_changes_requested_in_the_text_run_without_errors(path, tmp_path, monkeypatch):
    for module in ("IPython", "ipywidgets"):
        pytest.importorskip(module, reason="the extra `notebooks` is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    photographs(tmp_path)
    names: dict = {"__name__": "__main__"}
    for number, sources in enumerate(runs(path)):
        run(sources, f"{path.stem}, run {number}", names)


def test_a_change_replaces_only_the_old_assignment():
    cell = "b = 9\nfactors = [\n    1,\n    2,\n]\nprint(b)\nfor b in (1,):\n    pass"
    changed = replaced(cell, "factors = [3]")
    assert changed == "b = 9\nfactors = [3]\nprint(b)\nfor b in (1,):\n    pass"
    assert replaced(cell, "b = 3").startswith("b = 3\nfactors")
    with pytest.raises(ValueError, match="unpack"):
        replaced(cell, "c = 3")


def test_an_error_in_a_cell_is_an_error_of_the_run():
    run(["a = 1", "a + 1"], "good", {})
    with pytest.raises(IndexError):
        run(["a = []", "a[0]"], "bad", {})
