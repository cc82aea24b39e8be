"""course: a right answer passes, and a wrong one is told what is wrong with it."""

import importlib.util
import re
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
from wrong_answers import WRONG

import minicore
from minicore import course, equations

EXERCISES = {exercise.name: exercise for exercise in course.EXERCISES}
HANDED_IN = [(name, *answer) for name, answers in WRONG.items() for answer in answers]
SECONDS = {"too-slow": 0.3}


@pytest.fixture(scope="module")
def solutions():
    path = Path(__file__).parents[2] / "notebooks" / "solutions" / "solutions.py"
    spec = importlib.util.spec_from_file_location("solutions", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SOLUTIONS


def test_every_equation_and_the_algorithm_has_an_exercise_and_a_solution(solutions):
    assert {*(f"eq{i}" for i in range(1, 8)), "algorithm1"} <= set(EXERCISES)
    assert list(solutions) == list(EXERCISES)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXERCISES)
def test_the_reference_is_right(name):
    result = course.check(name, EXERCISES[name].reference)
    assert result and result.passed == result.total >= 4 and result.keyword == ""


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_in_plain_numpy_is_right(name, solutions):
    assert course.check(name, solutions[name])
    assert solutions[name].__name__ in EXERCISES[name].signature


@pytest.mark.slow
@pytest.mark.parametrize(("name", "keyword", "function"), HANDED_IN)
def test_a_wrong_answer_gets_the_hint_it_deserves(name, keyword, function):
    result = course.check(name, function, seconds=SECONDS.get(keyword, 10))
    assert not result and result.passed < result.total
    assert result.keyword == keyword, result


@pytest.mark.parametrize("name", EXERCISES)
def test_five_different_mistakes_are_told_apart_in_every_exercise(name):
    assert len({keyword for keyword, _ in WRONG[name]}) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("name", EXERCISES)
def test_no_known_mistake_hides_another(name):
    for known in EXERCISES[name].mistakes:
        for variant in known.variants:
            result = course.check(name, variant)
            assert not result and result.keyword == known.hint.keyword


@pytest.mark.parametrize("name", EXERCISES)
def test_hints_are_sentences(name):
    for known in EXERCISES[name].mistakes:
        assert known.hint.words[0].isupper() and known.hint.words.rstrip(")")[-1] in ".?"


def test_a_mistake_in_some_cases_only_is_recognised_too():
    def euclidean_only_in_three_dimensions(M, indices):
        table = ((M[:, None].astype(float) - M[None, indices]) ** 2).sum(axis=2)
        worst = table.min(axis=1).max()
        return np.sqrt(worst) if M.shape[1] == 3 else worst

    assert course.check("eq5", euclidean_only_in_three_dimensions).keyword == "squared"


def test_lists_and_single_precision_are_good_enough():
    assert course.check("eq1", lambda h, w, p: equations.neighbourhood(h, w, p).tolist())
    reference = EXERCISES["eq3"].reference
    assert course.check("eq3", lambda phi, p, s: reference(phi, p, s).astype(np.float32))
    assert course.check("eq6", lambda a, b: list(EXERCISES["eq6"].reference(a, b)))


def test_only_the_indices_that_are_asked_for_count():
    def off(queries, bank, k):
        distances, indices = equations.nearest(queries, bank, k)
        return distances, indices + 1

    result = course.check("nearest", off)
    assert "the second" in result.hint and not result


@pytest.mark.parametrize(
    ("value", "keyword"),
    [
        (lambda answer: 2.5 * answer, "scale"),
        (lambda answer: -answer, "sign"),
        (lambda answer: answer.astype(int), "dtype"),
        (lambda answer: np.full_like(answer, np.nan), "not-finite"),
        (lambda answer: answer[:-1], "off-by-one"),
        (lambda answer: answer[:, :, None], "flattened"),
        (lambda answer: np.zeros((9, 9)), "shape"),
        (lambda answer: answer[::-1], "order"),
        (lambda answer: answer + np.arange(answer.size).reshape(answer.shape), "value"),
        (lambda answer: "patches", "type"),
        (lambda answer: [[1, 2], [3]], "type"),
        (lambda answer: None, "none"),
    ],
)
def test_an_unknown_mistake_is_told_how_its_result_differs(value, keyword):
    reference = EXERCISES["eq4"].reference
    result = course.check("eq4", lambda patches: value(reference(patches)))
    assert result.keyword == keyword, result


def test_values_that_are_wrong_on_the_border_only_are_said_to_be():
    def wrong_border(phi, p, s):
        patches = EXERCISES["eq3"].reference(phi, p, s)
        patches[0] += np.linspace(1, 2, patches.shape[1])[:, None]
        return patches

    assert "all of them lie on the border" in course.check("eq3", wrong_border).hint


def hints(exercise):
    """Every hint of an exercise's own: of its mistakes and of its traps."""
    yield from (known.hint for known in exercise.mistakes)
    yield from (case.trap for case in exercise.cases if case.trap is not None)


@pytest.mark.parametrize("name", EXERCISES)
def test_every_mistake_has_words_of_its_own(name):
    words = [known.hint.words for known in EXERCISES[name].mistakes]
    assert len(set(words)) == len(words)
    general = {"The shape is right; the value is not.", "One number, as asked for, but not the"}
    assert not any(word.startswith(tuple(general)) for word in words)


# What would solve the exercise if a hint said it. The cause of the mistake may be named.
REMEDIES = {
    "eq7": ("subtract", "largest exponent", "logsumexp", "- max"),
    "nearest": ("subtract the rows", "float64", "in double"),
    "pool": ("floor", "ceil", "rounded up", "rounded down", "⌈", "⌊"),
}
CODE = re.compile(r"\b\w+\(|\bnp\.|//|\*\*|\w\[|==|\w=\w|:=")


@pytest.mark.parametrize("name", EXERCISES)
def test_no_hint_contains_code_or_the_remedy(name):
    for hint in hints(EXERCISES[name]):
        words = hint.words.replace("N_b(m*)", "the neighbourhood")
        assert not CODE.search(words), words
        assert not any(remedy in words for remedy in REMEDIES.get(name, ())), words


def test_the_hints_of_eq7_name_what_is_wrong_with_the_formula():
    words = {known.hint.keyword: known.hint.words for known in EXERCISES["eq7"].mistakes}
    assert "farthest" in words["max-for-min"] and "nearest" in words["max-for-min"]
    assert "one minus the quotient" in words["one-minus-missing"]
    assert "exponent" in words["exp-missing"] and "overflow" in words["overflow"]


def test_two_mistakes_at_once_are_told_as_the_one_that_shows_everywhere():
    """Without "1 −" *and* with exponentials that overflow: the formula comes first."""

    def both(m_test, bank, b):
        to_test = np.linalg.norm(bank.astype(float) - m_test, axis=1)
        m_star = bank[to_test.argmin()]
        near = np.argsort(np.linalg.norm(bank.astype(float) - m_star, axis=1), kind="stable")[:b]
        return np.exp(to_test.min()) / np.exp(to_test[near]).sum() * to_test.min()

    assert course.check("eq7", both).keyword == "one-minus-missing"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (lambda x: np.array([x]), "Expected one number, got an array of shape (1,). The value in"),
        (lambda x: np.full((3, 2), x), "Expected one number, got an array of shape (3, 2)."),
        (lambda x: (1.0, x), "Expected one number, got an array of shape (2,)."),
        (lambda x: round(x), "This is a whole number; a fraction is asked for."),
        (lambda x: 1.7 * x + 0.3, "One number, as asked for, but not the right one."),
    ],
)
def test_where_one_number_is_asked_for_the_hint_speaks_of_one_number(value, words):
    for name in ("eq5", "eq7"):
        answer = EXERCISES[name].reference
        hint = course.check(name, lambda *given, answer=answer: value(answer(*given))).hint
        assert hint.startswith(words) and "()" not in hint


def test_one_number_where_an_array_is_asked_for_is_said_in_words():
    hint = course.check("eq4", lambda patches: 1.0).hint
    assert hint == "Expected an array of shape (24, 5), got one number."


@pytest.mark.slow
def test_no_hint_gives_the_right_values(solutions):
    """Of each value asked for nothing is shown, only how the student's own differ."""
    for name, _, function in HANDED_IN:
        if name in ("eq5", "eq7"):
            text = repr(course.check(name, function, seconds=0.3))
            for answer in EXERCISES[name].answers:
                assert f"{answer:.4g}" not in text or answer == round(answer)


def endless(h, w, p):
    while True:
        h += 1


def endless_and_stubborn(h, w, p):
    while True:
        try:
            h += 1
        except Exception:
            break


@pytest.mark.parametrize(
    "endless",
    [
        endless,
        pytest.param(
            endless_and_stubborn,
            marks=pytest.mark.skipif(
                sys.version_info < (3, 11),
                reason="in a bare loop of tries Python 3.10 lets no other thread run",
            ),
        ),
    ],
)
def test_a_loop_without_end_is_stopped_and_leaves_nothing_running(endless):
    import threading

    course.check("eq1", equations.neighbourhood)  # it is compiled now, and not in the time taken
    before, began = threading.active_count(), time.monotonic()
    result = course.check("eq1", endless, seconds=0.2)
    assert result.keyword == "too-slow" and result.passed == 0
    assert time.monotonic() - began < 5 and threading.active_count() == before


def test_an_exception_is_told_with_its_line():
    def divide(v, d):
        return v / 0 if d == 4 else v[len(v)]

    result = course.check("pool", divide)
    assert result.keyword == "raises" and "IndexError" in result.hint and "v[len(v)]" in result.hint
    assert course.check("pool", lambda v, d: exit()).keyword == "raises"


def test_the_students_arrays_are_fresh_in_each_case_and_those_of_the_check_stay():
    def greedy(patches):
        result = patches.reshape(-1, patches.shape[-1]).copy()
        patches[:] = 0
        return result

    assert course.check("eq4", greedy).keyword == "modifies-input"
    assert course.check("eq4", EXERCISES["eq4"].reference)


def test_a_result_reads_well_in_a_terminal_and_in_a_notebook():
    good = course.check("eq1", equations.neighbourhood)
    assert repr(good) == "eq1: right, all 7 cases." and "right, all 7" in good._repr_html_()
    bad = course.check("eq1", lambda h, w, p: [(h, w)])
    first, hint, example = repr(bad).splitlines()
    assert first == "eq1: 1 of 7 cases right." and bad.hint in hint
    assert example.strip() == "First seen with a position inside: h = 4, w = 5, p = 3."
    assert "&lt;" in course.check("eq1", lambda h, w, p: "<b>" > 3)._repr_html_()


def test_exercises_prints_the_list_in_a_script_and_shows_a_table_in_a_notebook(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython.display", raising=False)
    assert course.exercises() is None
    assert capsys.readouterr().out == f"{course.EXERCISES!r}\n"

    shown = []
    notebook = types.SimpleNamespace(display=shown.append)
    monkeypatch.setitem(sys.modules, "IPython.display", notebook)
    assert course.exercises() is None
    assert shown == [course.EXERCISES] and capsys.readouterr().out == ""


def test_the_list_of_exercises_reads_well_in_a_terminal_and_in_a_notebook():
    text, table = repr(course.EXERCISES), course.EXERCISES._repr_markdown_()
    for name, exercise in EXERCISES.items():
        assert f"{name}: {exercise.signature}" in text and exercise.question in text
        assert f"| `{name}` | `{exercise.signature}`" in table
    assert len(table.splitlines()) == len(EXERCISES) + 2


def test_names_are_forgiving_and_an_unknown_one_lists_those_known():
    assert course.check("Eq 1", equations.neighbourhood).name == "eq1"
    with pytest.raises(ValueError, match=r"no exercise 'eq8'; there are eq1, eq2, .*auroc"):
        course.check("eq8", equations.neighbourhood)


def test_what_is_no_function_is_refused_with_the_remedy():
    with pytest.raises(TypeError, match=r"check\('eq1', my_function\); got ndarray"):
        course.check("eq1", equations.neighbourhood(1, 1, 3))


def test_course_is_a_room_of_minicore():
    assert minicore.course is course and "course" in dir(minicore)
