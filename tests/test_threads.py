"""How many threads run, and that a block leaves the number as it was."""

import subprocess
import sys

import numba
import pytest

from minicore import threads


@pytest.fixture(autouse=True)
def unchanged():
    before = threads.count()
    yield
    assert threads.count() == before


def test_a_block_has_its_own_number_of_threads():
    most = numba.config.NUMBA_NUM_THREADS
    assert threads.available() >= 1
    with threads.limit(1) as n:
        assert n == threads.count() == 1
        with threads.limit(None) as inner:  # keeps what is set
            assert inner == 1
        with threads.limit(most + 100) as inner:
            assert inner == threads.count() == most
        assert threads.count() == 1


def test_an_error_in_the_block_leaves_the_number_as_it_was():
    with pytest.raises(RuntimeError), threads.limit(1):
        raise RuntimeError


@pytest.mark.parametrize("n", [0, -1])
def test_less_than_one_thread_is_refused(n):
    with pytest.raises(ValueError, match=f"threads must be at least 1, got {n}"), threads.limit(n):
        pass


def test_matrix_products_run_on_one_thread_in_the_block():
    # In a process of its own: a BLAS that another library brings along later is not ours to limit.
    code = """
from threadpoolctl import threadpool_info
from minicore import threads

def blas():
    return [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]

with threads.single_threaded_blas():
    assert set(blas()) == {1}, blas()
    inside = len(blas())
assert len(blas()) == inside > 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
