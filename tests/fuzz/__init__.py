"""Fuzzing: for any bytes, a result or one clear error, in limited time and memory.

The tests (``pytest tests/whole/test_fuzz.py``) run some hundred cases per target, the same ones
every time, and each file in ``seeds/``, which once broke the promise. A longer run, from
``tests/``::

    python -m fuzz --minutes 20             # all targets
    python -m fuzz --minutes 5 model image  # only these

The fuzzer changes a valid file in a way that respects its format, and reads it. It keeps files with
a new ending and changes these further. A case that breaks the promise is written to
``seeds/<target>/``. Correct the package, keep the file, and add a row to ``seeds/README.md``.
"""
