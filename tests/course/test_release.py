"""Release and grades: what students and lecturers get, what is never overwritten, the points."""

import ast
import json
import shutil
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from minicore.course import release as releases
from minicore.course.grading import grade, submissions, table
from minicore.course.release import read_manifest, read_students, release, student_seed
from minicore.course.submission import needed
from minicore.errors import DatasetError, MinicoreError, OutputError

FOLDER = Path(__file__).parents[2] / "notebooks"


@pytest.fixture
def notebooks(tmp_path):
    """A course of one notebook, with its solutions."""
    folder = tmp_path / "course" / "notebooks"
    shutil.copytree(FOLDER / "solutions", folder / "solutions")
    shutil.copy(FOLDER / "05_coresets.ipynb", folder)
    return folder


def files(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_students_get_no_solutions_and_the_lecturer_gets_all_of_them(notebooks, tmp_path):
    release(tmp_path / "out", notebooks=notebooks)
    names = set(files(tmp_path / "out"))
    student = {name for name in names if name.startswith("student/")}
    assert student == {"student/README.md", "student/05_coresets.ipynb"}
    expected = {f"instructor/solutions/{name}" for name in files(notebooks / "solutions")}
    assert {n for n in names if "__pycache__" not in n} - student == expected | {
        "instructor/README.md",
        "instructor/release.json",
    }


def test_the_notebooks_of_the_repository_are_the_default(tmp_path):
    release(tmp_path / "out")
    found = {path.name for path in (tmp_path / "out" / "student").glob("*.ipynb")}
    assert found == {path.name for path in FOLDER.glob("*.ipynb")}
    assert (tmp_path / "out" / "student" / "images" / "playground.webp").is_file()


def test_without_notebooks_the_error_has_the_remedy(tmp_path, monkeypatch):
    with pytest.raises(DatasetError, match=r"no notebooks; .* clone it .* --notebooks"):
        release(tmp_path / "out", notebooks=tmp_path)
    monkeypatch.setattr(releases, "__file__", str(tmp_path / "minicore" / "course" / "x.py"))
    with pytest.raises(DatasetError, match="no notebooks"):
        release(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_second_run_replaces_its_own_output_keeps_the_seed_and_removes_old_students(
    notebooks, tmp_path
):
    out = tmp_path / "out"
    release(out, notebooks=notebooks, students=["1", "2"])
    before = files(out)
    release(out, notebooks=notebooks, students=["1", "2"])
    assert files(out) == before
    release(out, notebooks=notebooks, students=["2", "3"])
    assert read_manifest(out)["seed"] == json.loads(before["instructor/release.json"])["seed"]
    assert sorted(p.name for p in (out / "student").iterdir()) == ["2", "3"]
    assert files(out)["student/2/05_coresets.ipynb"] == before["student/2/05_coresets.ipynb"]


@pytest.mark.parametrize("name", ["student/README.md", "instructor/solutions/solutions.py"])
def test_what_minicore_did_not_make_or_the_lecturer_changed_is_kept(name, notebooks, tmp_path):
    out = tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("mine")
    with pytest.raises(OutputError, match=r"exists; choose another folder, .*--overwrite"):
        release(out, notebooks=notebooks)
    assert files(out) == {name: b"mine"}
    release(out, notebooks=notebooks, overwrite=True)
    (out / name).write_text("changed")
    before = files(out)
    with pytest.raises(OutputError, match="was changed after minicore wrote it"):
        release(out, notebooks=notebooks)
    assert files(out) == before


def test_an_interrupted_run_can_be_repeated(notebooks, tmp_path, monkeypatch):
    out, write = tmp_path / "out", releases.atomic_write
    release(out, notebooks=notebooks, seed=1)

    def full(path, *arguments, **options):
        if Path(path).name == "05_coresets.ipynb":
            raise OutputError("disk full")
        return write(path, *arguments, **options)

    monkeypatch.setattr(releases, "atomic_write", full)
    with pytest.raises(OutputError, match="disk full"):
        release(out, notebooks=notebooks, seed=2, students=["1"])
    monkeypatch.undo()
    release(out, notebooks=notebooks, seed=2, students=["1"])
    assert sorted(p.name for p in (out / "student").iterdir()) == ["1"]


def test_the_notebooks_themselves_are_never_replaced(notebooks, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "student").symlink_to(notebooks, target_is_directory=True)
    before = files(notebooks)
    with pytest.raises(OutputError):
        release(tmp_path / "out", notebooks=notebooks, overwrite=True)
    assert files(notebooks) == before


@pytest.mark.parametrize(
    ("text", "students"),
    [
        ("name,student\nAnna,1001\nBo,1002\n", ["1001", "1002"]),
        ("1001,x\n1002,y\n", ["1001", "1002"]),
        ("name;student;group 1\nAnna;1001;a,b\n", ["1001"]),
        ("student,homework 1\n1001,3\n", ["1001"]),
        ("anna\nben\n", ["anna", "ben"]),
        ("\ufeffnumber\n김민준 2\n\nb-3\n", ["김민준 2", "b-3"]),
    ],
)
def test_the_list_of_students(text, students, tmp_path):
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    assert read_students(tmp_path / "list.csv") == students


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("student\n", "no students"),
        ("student\n1\n../2\n", r"row 3: '../2' cannot be the name of a folder"),
        ("student\nM\xfcller\n", "not UTF-8; save it"),
        ("student\na\nA\n", "row 3: A is there twice"),
        ("name,student\nx\n", "row 2: '' cannot"),
    ],
)
def test_a_list_that_cannot_name_folders_is_an_error_with_the_row(text, words, tmp_path):
    (tmp_path / "list.csv").write_text(text, encoding="latin-1")
    with pytest.raises(DatasetError, match=words):
        read_students(tmp_path / "list.csv")


def test_each_student_has_a_seed_that_only_the_secret_seed_determines():
    seeds = {student_seed(seed, student) for seed in (1, 2) for student in ("1001", "1002")}
    assert len(seeds) == 4 and all(0 < seed < 2**31 for seed in seeds)
    assert student_seed(1, "1001") == student_seed(1, "1001")


def written(notebook, functions):
    """Write a submission: the cell that begins with a function gets another function."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        source = "".join(cell["source"])
        for name, code in functions.items():
            if source.startswith(f"def {name}("):
                rest = source[source.index("\n\n\n") :]
                cell["source"] = [textwrap.dedent(code).strip() + rest]
    notebook.write_text(json.dumps(content), encoding="utf-8")


GREEDY = """
def greedy_coreset(M, l, start):
    picked, nearest = [start], np.full(len(M), np.inf)
    while len(picked) < l:
        nearest = np.minimum(nearest, ((M.astype(float) - M[picked[-1]]) ** 2).sum(axis=1))
        left = nearest.copy()
        left[picked] = -1
        picked.append(int(left.argmax()))
    return np.array(picked)
"""
RIGHT = {
    "covering_radius": """
        def covering_radius(M, indices):
            return np.linalg.norm(M[:, None] - M[indices], axis=2).min(axis=1).max()
    """,
    "greedy_coreset": GREEDY,
}
HALF_RIGHT = {
    "covering_radius": """
        def covering_radius(M, indices):
            return np.linalg.norm(M[:, None] - M[indices], axis=2).max()
    """,
    "greedy_coreset": GREEDY,
}
CHEATING = {
    "covering_radius": """
        def covering_radius(M, indices):
            return fast.nearest(M, M[indices])[0].max()
    """,
    "greedy_coreset": """
        def greedy_coreset(M, l, start):
            return __import__("importlib").import_module("minicore.fast").greedy_coreset(
                M, l, start=start)
    """,
}


@pytest.mark.slow
def test_a_right_a_half_right_and_a_cheating_submission_get_their_points(notebooks, tmp_path):
    out, handed_in = tmp_path / "out", tmp_path / "handed_in"
    seeds = release(out, notebooks=notebooks, students=["1001", "1002", "1003", "1004"])
    assert len(set(seeds.values())) == 4
    shutil.copytree(out / "student", handed_in)
    shutil.rmtree(handed_in / "1004")
    for student, functions in (("1001", RIGHT), ("1002", HALF_RIGHT), ("1003", CHEATING)):
        written(handed_in / student / "05_coresets.ipynb", functions)
    grades = grade(out, handed_in, exercises=["eq5", "algorithm1"])
    assert [g.student for g in grades] == ["1001", "1002", "1003", "1004"]
    assert [g.points for g in grades] == [
        {"eq5": 1.0, "algorithm1": 1.0},
        {"eq5": 0.2, "algorithm1": 1.0},
        {"eq5": 0.0, "algorithm1": 0.0},
        {"eq5": 0.0, "algorithm1": 0.0},
    ]
    assert [g.notes for g in grades[1:]] == [
        ("eq5: max-for-min",),
        ("eq5: library", "algorithm1: library"),
        ("no submission",),
    ]
    rows = table(grades)
    assert rows[0] == ["student", "minicore_points", "eq5", "algorithm1", "notes"]
    assert rows[2] == ["1002", "1.2", "0.2", "1", "eq5: max-for-min"]


CHECKED = 'course.check("05.3", 1)'
STRANGE = {
    "endless": "x = 1\nwhile x:\n    x = 1",
    "exit": "import os\nx = os._exit(0)",
    "quit": "import sys\nx = sys.exit(0)",
}


LATE = """
from minicore import course
import numpy as np
picked = slow()
def radius(M, indices):
    return apart(M, M[indices]).min(axis=1).max()
def apart(a, b):
    return np.linalg.norm(a[:, None] - b, axis=2)
picked = 1
course.check("eq5", radius)
course.check("05.3", (picked, 1))
apart = 3
"""


def test_what_a_function_needs_can_follow_it_and_replaced_values_are_not_computed():
    left = [ast.unparse(statement) for statement in needed(ast.parse(LATE).body)]
    assert [line.split("(")[0] for line in left] == [
        "from minicore import course",
        "import numpy as np",
        "def radius",
        "def apart",
        "picked = 1",
        "course.check",
        "course.check",
    ]


@pytest.mark.slow
def test_a_submission_that_never_ends_or_ends_the_process_gets_no_points(notebooks, tmp_path):
    out, handed_in = tmp_path / "out", tmp_path / "handed_in"
    release(out, notebooks=notebooks)
    handed_in.mkdir()
    for name, code in STRANGE.items():
        source = f'from minicore import course\n{code}\ncourse.check("eq5", x)'
        cell = {"cell_type": "code", "metadata": {}, "source": [source]}
        (handed_in / f"{name}.ipynb").write_text(json.dumps({"cells": [cell]}))
    (handed_in / "text.ipynb").write_text("no notebook")
    cell = {"cell_type": "code", "metadata": {}, "source": [LATE]}
    (handed_in / "late.ipynb").write_text(json.dumps({"cells": [cell]}))
    broken = ["def f(:\n  course.check('eq5', f)", "x?", "from minicore import course", CHECKED]
    cells = [{"cell_type": "code", "metadata": {}, "source": [source]} for source in broken]
    (handed_in / "broken.ipynb").write_text(json.dumps({"cells": cells}))
    grades = grade(out, handed_in, exercises=["eq5", "05.3"], seconds=15)
    assert {g.student: g.notes for g in grades} == {
        "broken": ("eq5: SyntaxError", "05.3: count"),
        "endless": ("endless.ipynb: stopped after 15 s",),
        "exit": ("exit.ipynb: ended without a result",),
        "late": ("05.3: value",),
        "quit": ("eq5: NameError", "no notebook with 05.3"),
        "text": ("text.ipynb: not a notebook",),
    }


def test_the_notes_name_what_is_missing_and_who_is_not_in_the_list(notebooks, tmp_path):
    out, handed_in = tmp_path / "out", tmp_path / "handed_in"
    release(out, notebooks=notebooks, students=["1001"])
    for student in ("1001", "guest"):
        (handed_in / student).mkdir(parents=True)
        (handed_in / student / "notes.ipynb").write_text('{"cells": []}')
    grades = grade(out, handed_in, exercises=["eq5", "05.3"])
    assert [g.notes for g in grades] == [
        ("no notebook with eq5, 05.3",),
        (
            "no notebook with eq5, 05.3",
            "not in the list of the release: open exercises are checked with seed 0",
        ),
    ]


def test_errors_of_the_grades_have_a_remedy(notebooks, tmp_path):
    with pytest.raises(MinicoreError, match="not a release; make one with `minicore course"):
        grade(tmp_path, tmp_path)
    release(tmp_path / "out", notebooks=notebooks)
    with pytest.raises(MinicoreError, match="no exercise 'eq8'; choose some of"):
        grade(tmp_path / "out", tmp_path, exercises=["eq8"])
    with pytest.raises(DatasetError, match="no submissions; expected a folder of notebooks"):
        submissions(tmp_path / "nothing")


def test_otter_is_named_if_it_is_missing(notebooks, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "otter", None)
    with pytest.raises(MinicoreError, match="needs otter-grader: pip install otter-grader"):
        release(tmp_path / "out", notebooks=notebooks, otter=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_autograder_of_otter_has_public_and_hidden_tests(notebooks, tmp_path):
    pytest.importorskip("otter", reason="needs otter-grader")
    release(tmp_path / "out", notebooks=notebooks, seed=77, otter=True)
    place = tmp_path / "out" / "instructor" / "otter" / "05_coresets"
    with zipfile.ZipFile(place / "autograder.zip") as file:
        assert {"tests/eq5.py", "tests/algorithm1.py"} <= set(file.namelist())
        text = file.read("tests/eq5.py").decode()
    assert 'course.check("eq5", covering_radius, seed=77)' in text and "hidden=True" in text
