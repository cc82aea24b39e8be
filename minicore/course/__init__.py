"""Exercises: write an equation yourself, and be told in plain words what is off.

>>> from minicore import course
>>> course.exercises()                       # print what there is to do
>>> course.check("eq5", my_function)         # right, or a hint; never the solution

A student's function is called with small seeded cases and held to `minicore.equations`. If its
results are those of a well-known mistake, the hint names the mistake; otherwise it says how the
results differ. The notebooks show code and figures with `source`, `both`, `closeup` and `live`.
"""

from minicore.course.checking import EXERCISES, Result, check, exercises
from minicore.course.display import Live, Source, both, closeup, live, source

__all__ = [
    "EXERCISES",
    "Live",
    "Result",
    "Source",
    "both",
    "check",
    "closeup",
    "exercises",
    "live",
    "source",
]
