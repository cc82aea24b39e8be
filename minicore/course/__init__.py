"""Exercises: write an equation yourself, or measure something, and check it.

>>> from minicore import course
>>> course.exercises()                       # print the list of exercises
>>> course.check("eq5", my_function)         # "right", or a hint; never the solution
>>> course.check("05.3", (0.5, 2.0))         # notebook 05, exercise 3: two numbers

`check` calls your function with small cases and compares the results with `minicore.equations`. It
compares your numbers with those that it computes from the same drawn parts. If your answer is that
of a common mistake, the hint names the mistake. Otherwise the hint describes how your answer
differs. The notebooks also use `source`, `compare_engines`, `closeup` and
`live` to display code, times and figures.
"""

from minicore.course.checking import EXERCISES, Result, check, exercises
from minicore.course.display import Live, Source, closeup, compare_engines, live, source
from minicore.course.questions import QUESTIONS

__all__ = [
    "EXERCISES",
    "QUESTIONS",
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
