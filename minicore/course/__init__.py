"""Exercises: write an equation yourself and check it.

>>> from minicore import course
>>> course.exercises()                       # print the list of exercises
>>> course.check("eq5", my_function)         # "right", or a hint; never the solution

`check` calls your function with small cases and compares the results with `minicore.equations`.
If the results are those of a common mistake, the hint names the mistake. Otherwise the hint
describes how the results differ. The notebooks also use `source`, `compare_engines`, `closeup` and
`live` to display code, times and figures.
"""

from minicore.course.checking import EXERCISES, Result, check, exercises
from minicore.course.display import Live, Source, closeup, compare_engines, live, source

__all__ = [
    "EXERCISES",
    "Live",
    "Result",
    "Source",
    "check",
    "closeup",
    "compare_engines",
    "exercises",
    "live",
    "source",
]
