"""Questions: model answers are right, and each typical wrong answer gets the hint for its mistake.

Parts of seed 1 are other parts than those of the notebooks.
"""

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest

from minicore import course

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
QUESTIONS = {question.name: question for question in course.QUESTIONS}
# Their numbers are computed from the drawn parts.
DRAWN = ("00.1", "00.2", "01.3", "02.3", "04.3", "06.3", "07.2", "10.2", "12.2")
slow = pytest.mark.slow

PAGE = (NOTEBOOKS / "solutions" / "answers.md").read_text("utf-8")
BEGINNING, *SECTIONS = re.split(r"^## ", PAGE, flags=re.MULTILINE)
ANSWERS = {section.split()[0]: section for section in SECTIONS}


def blocks(text):
    """The Python code of a part of the page."""
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def answer():
    """Run the model answer of a question for a seed."""
    names = {}
    exec(*blocks(BEGINNING), names)

    def run(name, seed):
        exec(*blocks(ANSWERS[name]), names)
        return names["answer"](seed)

    return run


def open_exercises():
    """Yield name and text of each exercise of the notebooks that asks for no function."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        part = text.partition("## Exercises")[2].partition("## Recap")[0]
        for exercise in re.split(r"^(?:\*\*)?(?=\d\. )", part, flags=re.MULTILINE)[1:]:
            if " minutes)" in exercise:
                yield f"{path.stem[:2]}.{exercise[0]}", exercise


OPEN = dict(open_exercises())


def test_every_open_exercise_has_a_hint_and_a_model_answer():
    assert len(OPEN) == 22 and list(ANSWERS) == list(OPEN)
    for text in OPEN.values():
        assert text.count("<details><summary>Hint</summary>\n\n") == 1
        assert text.count("\n\n") >= 3 and "</details>" in text


def test_the_text_of_an_exercise_calls_the_check_of_its_question():
    calls = {name: re.findall(r'course\.check\("([\d.]+)", ', text) for name, text in OPEN.items()}
    assert {name for name, found in calls.items() if found == [name]} == set(QUESTIONS)
    assert all("has no check" in OPEN[name] for name, found in calls.items() if not found)


def test_every_title_is_that_of_the_notebook_and_of_the_model_answer():
    for name, question in QUESTIONS.items():
        assert ANSWERS[name].splitlines()[0].removeprefix(f"{name} ") == question.title


def test_only_questions_have_code_and_numbers_in_their_model_answers():
    for name, section in ANSWERS.items():
        assert (len(blocks(section)) == 1) == ("Seed 0: `" in section) == (name in QUESTIONS)


def printed(name):
    """The numbers of seed 0 that the model answer prints."""
    (numbers,) = re.findall(r"^Seed 0: `(.*)`$", ANSWERS[name], re.MULTILINE)
    return ast.literal_eval(numbers)


def mark(names):
    """Mark the questions whose numbers are computed from images as slow."""
    return [pytest.param(name, marks=[slow] if name in DRAWN else []) for name in names]


@pytest.mark.parametrize("name", mark(QUESTIONS))
def test_the_printed_numbers_are_those_of_seed_0(name):
    result = course.check(name, printed(name))
    assert result and (result.passed, result.total) == (1, 1), result
    assert repr(result) == f"{name}: right."


@pytest.mark.parametrize("name", mark(QUESTIONS))
def test_each_variant_of_a_mistake_gets_the_hint_of_this_mistake(name):
    for known in QUESTIONS[name].mistakes:
        for variant in known.variants:
            result = course.check(name, variant(0))
            assert not result and result.keyword == known.hint.keyword, result
            assert known.hint.words in repr(result)


@pytest.mark.parametrize("name", mark(QUESTIONS))
def test_the_code_of_the_model_answer_returns_the_right_numbers_for_other_parts(name, answer):
    found = answer(name, 1)
    assert course.check(name, found, seed=1)
    assert np.allclose(found, printed(name), rtol=0.005) == (name not in DRAWN)


WRONG = [  # typical answers to questions that need no parts
    ("01.2", (6, 267), "later-block"),
    ("01.2", (4, 203), "last-narrow"),
    ("01.2", (235, 5), "order"),
    ("01.2", (4, 235), "from-zero"),
    ("03.3", (784, 448, 24, 48), "coarser-grid"),
    ("03.3", (784, 384, 24, 48), "value"),  # two mistakes
    ("03.3", (3136, 448, 576, 2304), "area"),
    ("04.2", (2442, 244141), "rounded-up"),
    ("04.2", (2441.4, 244140.6), "value"),
    ("04.2", (2441, 24), "share-reversed"),
    ("04.2", 2441, "count"),
    ("05.3", (0.94, 2.91), "fourteen"),
    ("05.3", (17, 7.858), "per-cent"),
    ("05.3", (0.17, 0.1273), "inverted"),
    ("08.2", (100, 500), "one-too-many"),
    ("08.2", (99, 119), "a-fifth-added"),
    ("08.3", (0.0176, 0.000881), "odds"),
    ("08.3", (0.0171, 0.00088), "close"),
    ("08.3", (0.9462, 0.88), "balanced"),
    ("08.3", (np.nan, 0.00088), "not-finite"),
    ("09.2", np.full((3, 3), 1 / 9), "plain-mean"),
    ("09.2", np.full((9,), 1 / 9), "count"),
    ("09.2", np.full((1, 9), 1 / 9), "shape"),
    ("11.2", 3, "more-than"),
    ("11.2", "four", "type"),
    ("11.2", None, "type"),
    ("11.2", [[1, 2], [3]], "type"),
]


@pytest.mark.parametrize(("name", "value", "keyword"), WRONG)
def test_a_wrong_answer_gets_the_hint_for_its_mistake(name, value, keyword):
    result = course.check(name, value)
    assert not result and result.keyword == keyword, result


def test_a_hint_names_the_wrong_one_of_several_numbers():
    assert "Check the second of your 2 values." in course.check("04.2", (2441, 24)).hint
    first, hint = repr(course.check("08.2", (100, 500))).splitlines()
    assert first == "08.2: not right yet." and hint.startswith("  This number is enough")


def test_numbers_may_be_a_list_an_array_or_numbers_of_another_type():
    for value in ((99, 495), [99, 495], np.array([99, 495]), np.array([99.0, 495.0])):
        assert course.check("08.2", value)
    assert course.check("11.2", np.int64(4)) and course.check("11.2", [4])


def test_a_fraction_may_have_an_error_of_half_a_per_cent():
    share, rate = QUESTIONS["08.3"].compute(0)
    assert course.check("08.3", (1.0049 * share, 0.9951 * rate))
    assert not course.check("08.3", (1.0051 * share, rate))


def test_a_function_instead_of_numbers_and_a_negative_seed_are_errors_with_the_remedy():
    with pytest.raises(TypeError, match=r"your numbers.*check\('11.2', answer\).*1 whole number"):
        course.check("11.2", lambda scores: 4)
    with pytest.raises(ValueError, match="seed: expected 0 or more, got -1"):
        course.check("11.2", 4, seed=-1)


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_hints_of_a_question_are_different_sentences(name):
    words = [known.hint.words for known in QUESTIONS[name].mistakes]
    assert len(set(words)) == len(words) >= 4
    for word in words:
        assert word[0].isupper() and word.rstrip(")")[-1] in ".?"


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_hint_contains_a_right_number(name):
    numbers = np.ravel(np.array(printed(name), float))
    for known in QUESTIONS[name].mistakes:
        found = [float(x) for x in re.findall(r"\d+(?:\.\d+)?", known.hint.words)]
        assert not any(np.isclose(x, found, rtol=0.005).any() for x in numbers if x)


def test_the_table_names_a_question_its_numbers_and_the_call():
    text, table = repr(course.QUESTIONS[0]), course.QUESTIONS[0].signature
    assert (
        text.startswith("00.1: 2 numbers: good part, defect") and table == 'check("00.1", answer)'
    )
