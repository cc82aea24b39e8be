"""Diagnosis: which hint a wrong result gets."""

import numpy as np
import pytest

from minicore import course, equations
from minicore.course.checking import run_cases

EXERCISES = {exercise.name: exercise for exercise in course.EXERCISES}


def test_a_mistake_in_only_some_cases_is_recognised():
    def euclidean_only_in_three_dimensions(M, indices):
        table = ((M[:, None].astype(float) - M[None, indices]) ** 2).sum(axis=2)
        worst = table.min(axis=1).max()
        return np.sqrt(worst) if M.shape[1] == 3 else worst

    assert course.check("eq5", euclidean_only_in_three_dimensions).keyword == "squared"


def test_of_two_mistakes_the_hint_names_the_one_in_all_cases():
    """Two mistakes: without "1 −", and exponentials that overflow. The formula is first."""

    def both(m_test, bank, b):
        to_test = np.linalg.norm(bank.astype(float) - m_test, axis=1)
        m_star = bank[to_test.argmin()]
        near = np.argsort(np.linalg.norm(bank.astype(float) - m_star, axis=1), kind="stable")[:b]
        return np.exp(to_test.min()) / np.exp(to_test[near]).sum() * to_test.min()

    assert course.check("eq7", both).keyword == "one-minus-missing"


def test_lists_and_float32_are_accepted():
    eq1, eq3, eq6 = (EXERCISES[name] for name in ("eq1", "eq3", "eq6"))
    assert run_cases(eq1, lambda h, w, p: equations.neighbourhood(h, w, p).tolist())
    assert run_cases(eq3, lambda phi, p, s: eq3.reference(phi, p, s).astype(np.float32))
    assert run_cases(eq6, lambda a, b: list(eq6.reference(a, b)))


def test_wrong_indices_are_wrong_even_with_right_distances():
    def off(queries, bank, k):
        distances, indices = equations.nearest(queries, bank, k)
        return distances, indices + 1

    result = run_cases(EXERCISES["nearest"], off)
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
def test_the_hint_for_an_unknown_mistake_describes_the_difference(value, keyword):
    eq4 = EXERCISES["eq4"]
    result = run_cases(eq4, lambda patches: value(eq4.reference(patches)))
    assert result.keyword == keyword, result


def test_a_hint_mentions_that_values_are_wrong_only_on_the_border():
    def wrong_border(phi, p, s):
        patches = EXERCISES["eq3"].reference(phi, p, s)
        patches[0] += np.linspace(1, 2, patches.shape[1])[:, None]
        return patches

    assert "all of them lie on the border" in run_cases(EXERCISES["eq3"], wrong_border).hint


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (lambda x: np.array([x]), "Expected one number, got an array of shape (1,). The value in"),
        (lambda x: np.full((3, 2), x), "Expected one number, got an array of shape (3, 2)."),
        (lambda x: (1.0, x), "Expected one number, got an array of shape (2,)."),
        (lambda x: round(x), "Your result is a whole number, but the right value is a fraction."),
        (lambda x: 1.7 * x + 0.3, "It is one number, as expected, but its value is wrong."),
    ],
)
def test_hints_mention_one_number_if_the_right_answer_is_one_number(value, words):
    for name in ("eq5", "eq7"):
        exercise = EXERCISES[name]
        answer = exercise.reference
        hint = run_cases(exercise, lambda *given, answer=answer: value(answer(*given))).hint
        assert hint.startswith(words) and "()" not in hint


def test_one_number_instead_of_an_array_is_named_in_the_hint():
    hint = course.check("eq4", lambda patches: 1.0).hint
    assert hint == "Expected an array of shape (24, 5), got one number."
