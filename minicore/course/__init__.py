"""Exercises: write an equation yourself, and be told in plain words what is off.

>>> from minicore import course
>>> course.exercises()                       # what there is to do
>>> course.check("eq5", my_function)         # right, or a hint; never the solution

A student's function is called with small seeded cases and held to `minicore.equations`. Where its
results are those of a well-known mistake, the hint names the mistake; else it says how the results
differ. `source`, `both`, `closeup` and `live` are what the notebooks
show with.
"""

from minicore.course.checking import Result, check, exercises
from minicore.course.lectern import Source, both, closeup, source
from minicore.course.sliders import Live, live

__all__ = ["Live", "Result", "Source", "both", "check", "closeup", "exercises", "live", "source"]
