"""Fuzzing: whatever the bytes, a result or one clear error, in bounded time and memory.

The tests run some hundred cases a target (``pytest tests/test_fuzz.py``), the same ones every time,
and every file in ``seeds/``, each of which once broke something. A longer run, from ``tests/``::

    python -m fuzz --minutes 20            # all targets in turn
    python -m fuzz --minutes 5 model image # these

Change a valid file in a way its format understands, read it, keep what behaved in a new way and
change that further. A case that breaks the promise is written to ``seeds/<target>/``; mend the
package, and leave the file there.
"""
