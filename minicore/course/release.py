"""Write the student's edition and the lecturer's bundle of the course."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minicore import __version__
from minicore.course.autograder import autograders
from minicore.course.checking import EXERCISES
from minicore.course.student import SITE, Notebook, asked, pictures, student_copy
from minicore.errors import DatasetError, MinicoreError, OutputError
from minicore.runtime.files import Inputs, atomic_write, check_writable, identities

MANIFEST = "instructor/release.json"
STUDENT_README = f"""# The course: student's edition

Open the notebooks with `jupyter lab` in this folder. You need minicore with its extra `notebooks`:
{SITE}

- Where the complete notebook shows a solution, this edition has the task, with an estimated time.
- `course.check("eq5", covering_radius)` checks your function and describes your mistake. A function
  that calls minicore is not accepted: use NumPy or plain loops.
- You write the functions that raise `NotImplementedError`. The cells after them may need them.
  The name of a function is free. The order of its parameters is not.
- Answer the questions of an open exercise in a text cell below your numbers. If the note at the top
  has a seed, copy the check from the text of the exercise: it has this seed.
- Hand in the notebooks, with their names unchanged. They are graded with other cases than those
  that you see. Only the cells on which a check depends are run.
"""
INSTRUCTOR_README = """# The course: lecturer's bundle

Do not give this folder to students.

- `release.json`: the secret seed of the hidden cases, and the seed of each student's drawn parts.
- `solutions/`: the solutions and the model answers.
- `otter/`, with `--format otter`: one autograder for each notebook.

Grade the submissions, a folder with one folder for each student:

    minicore course grade {out} SUBMISSIONS --out grades.csv

**A submission is the code of a stranger, and it runs with your rights.** It can read and delete
your files, this bundle too. Run the command in a container, or with an account of its own.

During a check, a function cannot call minicore. But it runs in the same process as the check, so a
person who wants to deceive the check can do so. And the code of minicore is public and can be
copied. Read a submission that surprises you.
"""


def find_notebooks(folder: str | Path | None = None) -> Path:
    """Return the folder of the notebooks.

    Parameters
    ----------
    folder : str or Path, optional
        By default ``notebooks`` of the repository from which minicore was installed.

    Raises
    ------
    DatasetError
        If there are no notebooks.
    """
    place = Path(__file__).parents[2] / "notebooks" if folder is None else Path(folder)
    if any(place.glob("*.ipynb")):
        return place
    raise DatasetError(
        f"{place}: no notebooks; they are in the repository, not in the installed package: clone "
        "it and name its folder `notebooks` with --notebooks"
    )


def read_students(path: str | Path) -> list[str]:
    """Return the students of a CSV file: the column ``student``, or else the first column.

    The first row is a header if it has a cell ``student``, or if it has no digit and each student
    below has one. Commas, semicolons and tabs separate columns.

    Raises
    ------
    DatasetError
        If the file has no students, or a student twice, or one whose name cannot name a folder, or
        if it is not UTF-8.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"{path}: not UTF-8; save it as CSV with the encoding UTF-8") from None
    separator = max(",;\t", key=text.lstrip().partition("\n")[0].count)
    table = csv.reader(io.StringIO(text), delimiter=separator)
    rows = [row for row in table if any(cell.strip() for cell in row)]
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    digits = [bool(re.search(r"\d", row[0])) for row in rows]
    has_header = "student" in header or (
        len(rows) > 1 and not re.search(r"\d", "".join(header)) and all(digits[1:])
    )
    column = header.index("student") if "student" in header else 0
    found: list[str] = []
    for number, row in enumerate(rows[has_header:], 1 + has_header):
        student = row[column].strip() if column < len(row) else ""
        if not re.fullmatch(r"[\w@+-][\w.@+ -]*(?<![. ])", student):
            raise DatasetError(f"{path}: row {number}: {student!r} cannot be the name of a folder")
        if student.casefold() in map(str.casefold, found):
            raise DatasetError(f"{path}: row {number}: {student} is there twice")
        found.append(student)
    if not found:
        raise DatasetError(f"{path}: no students; expected one in each row")
    return found


def student_seed(seed: int, student: str) -> int:
    """Return the seed of a student's drawn parts, from the secret seed and the name."""
    digest = hashlib.sha256(f"{seed}:{student}".encode()).digest()
    return 1 + int.from_bytes(digest[:4], "big") % (2**31 - 1)


def release(
    out: str | Path,
    *,
    notebooks: str | Path | None = None,
    seed: int | None = None,
    students: Iterable[str] = (),
    otter: bool = False,
    overwrite: bool = False,
) -> dict[str, int]:
    """Write the folders ``student`` and ``instructor``.

    Parameters
    ----------
    out : str or Path
    notebooks : str or Path, optional
        As for `find_notebooks`.
    seed : int, optional
        Secret seed of the hidden cases. By default that of an earlier release in `out`, or else
        a random one.
    students : iterable of str, optional
        Each gets a folder with notebooks of its own seed.
    otter : bool, default False
        Also write autograders for otter-grader.
    overwrite : bool, default False
        Also replace files that minicore did not write, or that were changed after it wrote them.

    Returns
    -------
    dict of str to int
        The seed of each student's drawn parts.

    Raises
    ------
    DatasetError
        If there are no notebooks.
    MinicoreError
        If otter-grader is needed and not installed.
    OutputError
        If a file must not be replaced. Then nothing is written.
    """
    folder, out = find_notebooks(notebooks), Path(out)
    sources = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    contents = {name: read_notebook(path) for name, path in sources.items()}
    earlier = read_manifest(out, missing_ok=True)
    seed = earlier.get("seed", secrets.randbits(62) + 1) if seed is None else seed
    seeds = {student: student_seed(seed, student) for student in students}

    shown = {path.name: path.read_bytes() for path in _pictures(folder, contents.values())}
    files: dict[str, bytes] = {}
    places = asked(contents)
    order = {exercise.name: number for number, exercise in enumerate(EXERCISES)}
    for place, own in {f"student/{s}": n for s, n in seeds.items()}.items() or [("student", 0)]:
        for name, notebook in contents.items():
            copy = student_copy(notebook, name, places, own)
            files[f"{place}/{name}.ipynb"] = (_json(copy) + "\n").encode()
            for picture in pictures(notebook) & shown.keys():
                files[f"{place}/images/{picture}"] = shown[picture]
        files[f"{place}/README.md"] = STUDENT_README.encode()
    found = sorted(path for path in (folder / "solutions").rglob("*") if path.is_file())
    solutions = [path for path in found if "__pycache__" not in path.parts]
    for path in solutions:
        files[f"instructor/{path.relative_to(folder).as_posix()}"] = path.read_bytes()
    files["instructor/README.md"] = INSTRUCTOR_README.format(out=out).encode()
    if otter:
        copies = {name: student_copy(n, name, places) for name, n in contents.items()}
        for name, content in autograders(copies, seed, drawn=bool(seeds)).items():
            files[f"instructor/otter/{name}"] = content
    settings = {
        "minicore": __version__,
        "seed": seed,
        "exercises": sorted(places, key=lambda name: (order.get(name, len(order)), name)),
        "students": seeds,
    }
    inputs = identities([*sources.values(), *solutions])
    _write(out, files, settings, earlier.get("files", {}), inputs, overwrite)
    return seeds


def _pictures(folder: Path, notebooks: Iterable[Notebook]) -> list[Path]:
    """Return the pictures that notebooks show, from the documentation beside their folder."""
    names = {name for notebook in notebooks for name in pictures(notebook)}
    images = folder.parent / "docs" / "images"
    return [images / name for name in sorted(names) if (images / name).is_file()]


def read_notebook(path: Path) -> Notebook:
    """Return the content of a notebook's file.

    Raises
    ------
    DatasetError
        If the file is not a notebook.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and isinstance(content.get("cells"), list):
            return content
    except (ValueError, RecursionError):
        pass
    raise DatasetError(f"{path}: not a notebook")


def read_manifest(out: str | Path, *, missing_ok: bool = False) -> dict[str, Any]:
    """Return the settings of a release: seed, exercises, the students' seeds, checksums of files.

    Raises
    ------
    MinicoreError
        If `out` holds no release.
    """
    path = Path(out) / MANIFEST
    if missing_ok and not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if "minicore" in found and isinstance(found["seed"], int):
            return found
    except (OSError, ValueError, TypeError, KeyError):
        pass
    raise MinicoreError(f"{path}: not a release; make one with `minicore course release {out}`")


def _write(
    out: Path,
    files: dict[str, bytes],
    settings: dict[str, Any],
    written: dict[str, list[str]],
    inputs: Inputs,
    overwrite: bool,
) -> None:
    """Write all files, or none if one of them must not be replaced; remove those left over."""
    new = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    for name, checksum in new.items():
        path = out / name
        check_writable(path, inputs=inputs, overwrite=True)
        known = {*written.get(name, ()), checksum}
        if path.is_file() and not overwrite and _checksum(path) not in known:
            why = "was changed after minicore wrote it" if name in written else "exists"
            raise OutputError(
                f"{path}: {why}; choose another folder, or replace it with --overwrite (in "
                "Python: overwrite=True)"
            )
    # While files are written, old and new ones are valid: an interrupted run can be repeated.
    both = {
        name: [*written.get(name, ()), *([new[name]] if name in new else [])]
        for name in {**written, **new}
    }
    for checksums in (both, {name: [checksum] for name, checksum in new.items()}):
        with atomic_write(out / MANIFEST, "w", overwrite=overwrite) as file:
            file.write(_json({**settings, "files": checksums}) + "\n")
        if checksums is both:
            for name, content in files.items():
                with atomic_write(out / name, inputs=inputs, overwrite=True) as file:
                    file.write(content)
            for name in written.keys() - new.keys():
                if _checksum(out / name) in written[name]:
                    (out / name).unlink()
                    with contextlib.suppress(OSError):  # not empty
                        os.removedirs((out / name).parent)


def _checksum(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
