"""course: a right answer passes, and a wrong one is told what is wrong with it."""

import pytest

from minicore import course

EXERCISES = {exercise.name: exercise for exercise in course.exercises()}


@pytest.mark.parametrize("name", EXERCISES)
def test_the_reference_is_right(name):
    result = course.check(name, EXERCISES[name].reference)
    assert result and result.passed == result.total >= 4 and result.keyword == ""


@pytest.mark.parametrize("name", EXERCISES)
def test_no_known_mistake_hides_another(name):
    for known in EXERCISES[name].mistakes:
        for variant in known.variants:
            result = course.check(name, variant)
            assert not result and result.keyword == known.hint.keyword
