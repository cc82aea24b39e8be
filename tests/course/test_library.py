"""Library: a function that uses minicore is refused, and minicore stays as it was."""

import functools
import importlib
import sys
import threading

import numpy as np
import pytest
from numba import njit

from minicore import course, equations, fast
from minicore.course.library import LibraryCall, refused
from minicore.fast import nearest as renamed

TOOLS = {"search": [fast.nearest]}


def helper(queries, bank, k):
    return equations.nearest(queries, bank, k)


def by_closure():
    search = fast.nearest
    return lambda queries, bank, k: search(queries, bank, k)


def by_import(queries, bank, k):
    from minicore import fast as quick

    return quick.nearest(queries, bank, k)


def by_default(queries, bank, k, search=renamed):
    return search(queries, bank, k)


@functools.lru_cache
def decorated(queries, bank, k):
    return renamed(queries, bank, k)


@njit
def compiled(queries, bank, k):
    return equations.nearest(queries, bank, k)


class Search:
    def __call__(self, queries, bank, k):
        return renamed(queries, bank, k)


READ_BEFORE_THE_CALL = {
    "the function itself": fast.nearest,
    "another signature": equations.aggregate,
    "direct": lambda queries, bank, k: fast.nearest(queries, bank, k),
    "renamed": lambda queries, bank, k: renamed(queries, bank, k),
    "a helper": lambda queries, bank, k: helper(queries, bank, k),
    "a nested function": lambda queries, bank, k: (lambda: helper(queries, bank, k))(),
    "a container": lambda queries, bank, k: TOOLS["search"][0](queries, bank, k),
    "a closure": by_closure(),
    "an import": by_import,
    "a default": by_default,
    "a partial": functools.partial(renamed),
    "decorated": decorated,
    "compiled": compiled,
    "an object": Search(),
    "the reference": course.EXERCISES[8].reference,
    "by the exercise": lambda queries, bank, k: course.EXERCISES[8].reference(queries, bank, k),
}


def by_name(queries, bank, k):
    return importlib.import_module("minicore.equations").nearest(queries, bank, k)


def by_hidden_name(queries, bank, k):
    try:
        return getattr(sys.modules["mini" + "core"], "fast").nearest(queries, bank, k)  # noqa: B009
    except Exception:  # does not catch the refusal
        return None


def by_text(queries, bank, k):
    return eval("__import__('minicore.fast').fast.nearest(queries, bank, k)")


def by_the_reference(queries, bank, k):
    exercises = sys.modules["mini" + "core.course"].EXERCISES
    return next(e for e in exercises if e.name == "nearest").reference(queries, bank, k)


def in_a_thread(queries, bank, k):
    found = []

    def search():
        try:
            found.append(by_text(queries, bank, k))
        except BaseException:
            found.append(None)

    thread = threading.Thread(target=search)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("about", READ_BEFORE_THE_CALL)
def test_the_library_is_found_before_the_call(about):
    result = course.check("nearest", READ_BEFORE_THE_CALL[about])
    assert (result.keyword, result.passed) == ("library", 0) and "minicore" in result.hint


@pytest.mark.parametrize(
    "function", [by_name, by_hidden_name, by_text, by_the_reference, in_a_thread]
)
def test_the_library_is_refused_during_the_call(function):
    before = [equations.nearest, fast.nearest, sys.modules["minicore.fast.nearest"].nearest]
    result = course.check("nearest", function)
    assert (result.keyword, result.passed) == ("library", 0)
    assert before == [equations.nearest, fast.nearest, sys.modules["minicore.fast.nearest"].nearest]


def test_numpy_and_own_helpers_are_allowed():
    def table(a, b):
        return np.linalg.norm(a[:, None].astype(float) - b, axis=2)

    def own(queries, bank, k):
        found = table(queries, bank)
        rows = np.argsort(found, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(found, rows, axis=1), rows

    assert course.check("nearest", own)


def test_after_an_error_and_after_a_time_out_the_library_works():
    def error(queries, bank, k):
        raise KeyboardInterrupt

    def endless(queries, bank, k):
        while True:
            k += 1

    assert course.check("nearest", error).keyword == "raises"
    assert course.check("nearest", endless, seconds=0.1).keyword == "too-slow"
    assert fast.nearest(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32))[1][1, 0] == 1
    with pytest.raises(RuntimeError, match="inside"), refused():
        raise RuntimeError("inside")
    assert equations.neighbourhood(1, 1, 1).tolist() == [[1, 1]]


def test_other_threads_can_use_the_library_during_a_check():
    start, done, found = threading.Event(), threading.Event(), []

    def work():
        start.wait()
        found.append(equations.neighbourhood(1, 1, 1).tolist())
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    with refused() as calls:
        start.set()
        done.wait()

        def refuse():
            with pytest.raises(LibraryCall):
                equations.memory_bank(None)

        new = threading.Thread(target=refuse)
        new.start()
        new.join()
    thread.join()
    assert found == [[[1, 1]]] and calls == ["minicore.equations.eq4_memory_bank.memory_bank"]
