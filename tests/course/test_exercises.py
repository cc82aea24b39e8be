"""Exercises: right answers pass, and each wrong answer gets the hint for its mistake."""

import dataclasses
import importlib.util
import re
from pathlib import Path

import pytest
from wrong_answers import WRONG

from minicore import course
from minicore.course.checking import run_cases

EXERCISES = {exercise.name: exercise for exercise in course.EXERCISES}
WRONG_ANSWERS = [(name, *answer) for name, answers in WRONG.items() for answer in answers]
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
    result = run_cases(EXERCISES[name], EXERCISES[name].reference)
    assert result and result.passed == result.total >= 4 and result.keyword == ""


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_in_plain_numpy_is_right(name, solutions):
    assert course.check(name, solutions[name])
    assert solutions[name].__name__ in EXERCISES[name].signature


@pytest.mark.slow
@pytest.mark.parametrize(("name", "keyword", "function"), WRONG_ANSWERS)
def test_a_wrong_answer_gets_the_hint_for_its_mistake(name, keyword, function):
    result = course.check(name, function, seconds=SECONDS.get(keyword, 10))
    assert not result and result.passed < result.total
    assert result.keyword == keyword, result


@pytest.mark.parametrize("name", EXERCISES)
def test_the_wrong_answers_of_an_exercise_have_at_least_five_different_mistakes(name):
    assert len({keyword for keyword, _ in WRONG[name]}) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 33, 2**62])
@pytest.mark.parametrize("name", EXERCISES)
def test_each_variant_of_a_mistake_gets_the_hint_of_this_mistake_in_hidden_cases_too(name, seed):
    exercise = dataclasses.replace(EXERCISES[name], seed=seed)
    for known in exercise.mistakes:
        for variant in known.variants:
            result = run_cases(exercise, variant)
            assert not result and result.keyword == known.hint.keyword


def test_a_seed_makes_other_cases_of_the_same_kind_and_the_solution_is_right_there(solutions):
    for name, exercise in EXERCISES.items():
        hidden = dataclasses.replace(exercise, seed=7)
        again = dataclasses.replace(exercise, seed=7)
        assert [case.about for case in hidden.cases] == [case.about for case in exercise.cases]
        arguments = [repr([case.arguments for case in e.cases]) for e in (exercise, hidden, again)]
        assert arguments[0] != arguments[1] == arguments[2]
        assert course.check(name, solutions[name], seed=7)


@pytest.mark.parametrize("name", EXERCISES)
def test_hints_are_sentences(name):
    for known in EXERCISES[name].mistakes:
        assert known.hint.words[0].isupper() and known.hint.words.rstrip(")")[-1] in ".?"


def hints(exercise):
    """Yield the hints of the mistakes and of the traps of an exercise."""
    yield from (known.hint for known in exercise.mistakes)
    yield from (case.trap for case in exercise.cases if case.trap is not None)


@pytest.mark.parametrize("name", EXERCISES)
def test_the_mistakes_of_an_exercise_have_different_hints(name):
    words = [known.hint.words for known in EXERCISES[name].mistakes]
    assert len(set(words)) == len(words)
    general = {"The shape is right, but", "It is one number, as expected, but"}
    assert not any(word.startswith(tuple(general)) for word in words)


# Words that would solve the exercise. A hint names the mistake, not the remedy.
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


def test_the_hints_of_eq7_name_the_wrong_part_of_the_formula():
    words = {known.hint.keyword: known.hint.words for known in EXERCISES["eq7"].mistakes}
    assert "farthest" in words["max-for-min"] and "nearest" in words["max-for-min"]
    assert "one minus the quotient" in words["one-minus-missing"]
    assert "exponent" in words["exp-missing"] and "overflow" in words["overflow"]


@pytest.mark.slow
def test_no_hint_contains_the_right_values(solutions):
    """A hint describes the difference, not the right value."""
    for name, _, function in WRONG_ANSWERS:
        if name in ("eq5", "eq7"):
            text = repr(course.check(name, function, seconds=0.3))
            for answer in EXERCISES[name].answers:
                assert f"{answer:.4g}" not in text or answer == round(answer)
