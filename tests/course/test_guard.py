"""Guard: a student's function cannot hang or stop the check."""

import sys
import threading
import time

import pytest

from minicore import course


def endless(h, w, p):
    while True:
        h += 1


def endless_with_try(h, w, p):
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
            endless_with_try,
            marks=pytest.mark.skipif(
                sys.version_info < (3, 11),
                reason="in such a loop, Python 3.10 never runs another thread",
            ),
        ),
    ],
)
def test_an_endless_loop_is_stopped_and_leaves_no_thread(endless):
    course.check("eq1", lambda h, w, p: None)  # compiles the reference before the time limit
    before, began = threading.active_count(), time.monotonic()
    result = course.check("eq1", endless, seconds=0.2)
    assert result.keyword == "too-slow" and result.passed == 0
    assert time.monotonic() - began < 5 and threading.active_count() == before


def test_the_hint_for_an_exception_contains_its_line():
    def divide(v, d):
        return v / 0 if d == 4 else v[len(v)]

    result = course.check("pool", divide)
    assert result.keyword == "raises" and "IndexError" in result.hint and "v[len(v)]" in result.hint
    assert course.check("pool", lambda v, d: exit()).keyword == "raises"
