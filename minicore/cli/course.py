"""``minicore course``: the student's edition of the notebooks, and the grades."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Literal

import typer

from minicore.cli.messages import count, print_message
from minicore.cli.options import OverwriteOption

Format = Literal["notebooks", "otter"]

app = typer.Typer(help="Give the course: student's edition, grades.", no_args_is_help=True)


@app.command("release")
def course_release(
    out: Annotated[Path, typer.Argument(help="The folder to write.", show_default=False)],
    notebooks: Annotated[
        Path | None,
        typer.Option(
            help="The folder of the notebooks.", show_default="that of the installed repository"
        ),
    ] = None,
    students: Annotated[
        Path | None,
        typer.Option(
            help="A CSV file with the column student, or students in its first column. Each "
            "student gets a folder, with parts drawn from a seed of their own. Name the folders "
            "of the submissions in the same way.",
            show_default="one copy for all",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Secret seed of the hidden cases. Students can guess a short number.",
            show_default="that of the earlier release in OUT, or else a random one",
            min=1,
        ),
    ] = None,
    format: Annotated[
        Format,
        typer.Option(help="otter: also write an autograder for otter-grader for each notebook."),
    ] = "notebooks",
    overwrite: OverwriteOption = False,
) -> None:
    """Write OUT/student, without solutions, and OUT/instructor: solutions, the secret seed."""
    from minicore.course.release import read_students, release

    names = [] if students is None else read_students(students)
    release(
        out,
        notebooks=notebooks,
        seed=seed,
        students=names,
        otter=format == "otter",
        overwrite=overwrite,
    )
    copies = f", {count(len(names), 'student')}, the first is {names[0]}" if names else ""
    print_message(f"for students: {out / 'student'}{copies}")
    print_message(f"for you, with solutions and the secret seed: {out / 'instructor'}")


@app.command("grade")
def course_grade(
    release: Annotated[
        Path, typer.Argument(help="The folder that `minicore course release` wrote.")
    ],
    submissions: Annotated[
        Path, typer.Argument(help="A folder with a folder, or one notebook, for each student.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Also write the grades to this CSV file."),
    ] = None,
    exercises: Annotated[
        str | None,
        typer.Option(
            help="The exercises of this homework, separated by commas.", show_default="all"
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Time limit for each notebook.", min=1)] = 120.0,
    overwrite: OverwriteOption = False,
) -> None:
    """Print the points of each student. Submissions run with your rights: use a container."""
    from minicore.course.grading import Grade, grade, table
    from minicore.runtime.files import atomic_write, check_writable
    from minicore.runtime.kinds import GRADES

    if out is not None:
        check_writable(out, overwrite=overwrite, kind=GRADES)

    def show(grade: Grade) -> None:
        print_message(f"{grade.student}: {grade.total:g} of {len(grade.points)}")

    chosen = None if exercises is None else [name.strip() for name in exercises.split(",")]
    rows = table(grade(release, submissions, exercises=chosen, seconds=seconds, done=show))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            f"{text:<{w}}" if i in (0, len(row) - 1) else f"{text:>{w}}"
            for i, (text, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
    if out is not None:
        with atomic_write(out, "w", overwrite=overwrite) as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
