"""Checking: what `check` and `exercises` return, print and refuse."""

import sys
import types

import pytest

import minicore
from minicore import course, equations
from minicore.course.checking import run_cases

EXERCISES = {exercise.name: exercise for exercise in course.EXERCISES}


def test_a_function_that_changes_its_input_does_not_change_the_cases():
    def overwrite(patches):
        result = patches.reshape(-1, patches.shape[-1]).copy()
        patches[:] = 0
        return result

    assert course.check("eq4", overwrite).keyword == "modifies-input"
    assert course.check("eq4", lambda patches: patches.reshape(-1, patches.shape[-1]))


def test_a_result_is_readable_in_a_terminal_and_in_a_notebook():
    good = run_cases(EXERCISES["eq1"], equations.neighbourhood)
    assert repr(good) == "eq1: all 7 cases are right." and "all 7 cases" in good._repr_html_()
    bad = course.check("eq1", lambda h, w, p: [(h, w)])
    first, hint, example = repr(bad).splitlines()
    assert first == "eq1: 1 of 7 cases are right." and bad.hint in hint
    assert example.strip() == "First wrong case: a position inside, h = 4, w = 5, p = 3."
    assert "&lt;" in course.check("eq1", lambda h, w, p: "<b>" > 3)._repr_html_()


def test_exercises_prints_a_list_and_a_notebook_displays_a_table(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython.display", raising=False)
    assert course.exercises() is None
    printed = capsys.readouterr().out
    assert all(f"{e.name}: " in printed for e in (*course.EXERCISES, *course.QUESTIONS))

    shown = []
    notebook = types.SimpleNamespace(display=shown.append)
    monkeypatch.setitem(sys.modules, "IPython.display", notebook)
    assert course.exercises() is None
    assert shown == [(*course.EXERCISES, *course.QUESTIONS)] and capsys.readouterr().out == ""
    assert "| `05.3` |" in shown[0]._repr_markdown_()


def test_the_list_of_exercises_is_readable_in_a_terminal_and_in_a_notebook():
    text, table = repr(course.EXERCISES), course.EXERCISES._repr_markdown_()
    for name, exercise in EXERCISES.items():
        assert f"{name}: {exercise.signature}" in text and exercise.question in text
        assert f"| `{name}` | `{exercise.signature}`" in table
    assert len(table.splitlines()) == len(EXERCISES) + 2


def test_names_ignore_case_and_spaces_and_an_unknown_name_is_an_error_with_all_names():
    assert course.check("Eq 1", lambda h, w, p: None).name == "eq1"
    with pytest.raises(ValueError, match=r"no exercise 'eq8'; choose one of eq1, eq2, .*auroc"):
        course.check("eq8", lambda h, w, p: None)


def test_a_result_instead_of_a_function_is_an_error_with_the_remedy():
    with pytest.raises(TypeError, match=r"check\('eq1', my_function\); got ndarray"):
        course.check("eq1", equations.neighbourhood(1, 1, 3))


def test_course_is_imported_with_minicore():
    assert minicore.course is course and "course" in dir(minicore)
