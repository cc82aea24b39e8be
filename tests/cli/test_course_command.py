"""``minicore course``: release and grades from a shell."""

import csv
import json
import shutil
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"


@pytest.fixture
def notebooks(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(FOLDER / "04_memory_bank.ipynb", folder)
    return folder


@pytest.mark.slow
def test_release_and_grade_print_a_table_and_write_a_csv_that_can_be_replaced(
    run, notebooks, tmp_path
):
    (tmp_path / "list.csv").write_text("student\n1001\n1002\n")
    out, table = tmp_path / "out", tmp_path / "grades.csv"
    code, printed, error = run(
        "course", "release", out, "--notebooks", notebooks, "--students", tmp_path / "list.csv"
    )
    assert code == 0 and not printed and "2 students, the first is 1001" in error
    path = out / "student" / "1001" / "04_memory_bank.ipynb"
    content = path.read_text(encoding="utf-8")
    stub = 'raise NotImplementedError(\\"write this function\\")'
    assert stub in content
    path.write_text(content.replace(stub, "return patches.reshape(-1, patches.shape[-1])"))
    for _ in range(2):
        code, printed, error = run(
            "course", "grade", out, out / "student", "--exercises", "eq4", "--out", table
        )
        assert code == 0 and "1001: 1 of 1" in error
    lines = [line.split() for line in printed.splitlines()]
    assert lines == [
        ["student", "minicore_points", "eq4", "notes"],
        ["1001", "1", "1"],
        ["1002", "0", "0"],
    ]
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [["1001", "1", "1", ""], ["1002", "0", "0", ""]]


def test_grades_do_not_replace_another_file(run, notebooks, tmp_path):
    run("course", "release", tmp_path / "out", "--notebooks", notebooks)
    (tmp_path / "mine.csv").write_text("student,mark\n")
    student = tmp_path / "out" / "student"
    code, printed, error = run(
        "course", "grade", tmp_path / "out", student, "--out", tmp_path / "mine.csv"
    )
    assert code == 1 and not printed and "--overwrite" in error
    assert (tmp_path / "mine.csv").read_text() == "student,mark\n"


def test_errors_are_one_line(run, notebooks, tmp_path):
    code, _, error = run("course", "release", tmp_path / "out", "--notebooks", tmp_path)
    assert code == 1 and error.count("\n") == 1 and "--notebooks" in error
    (tmp_path / "notebooks" / "a.ipynb").write_text(json.dumps({"cells": "none"}))
    code, _, error = run("course", "release", tmp_path / "out", "--notebooks", notebooks)
    assert code == 1 and error == f"minicore: {notebooks / 'a.ipynb'}: not a notebook\n"
