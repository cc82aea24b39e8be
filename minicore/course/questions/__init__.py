"""The questions: open exercises with numbers, one module per notebook.

`QUESTIONS` has those that can be checked. Exercises that ask for an explanation are only in the
notebooks.
"""

from minicore.course.question import Question
from minicore.course.questions import (
    nb00,
    nb01,
    nb02,
    nb03,
    nb04,
    nb05,
    nb06,
    nb07,
    nb08,
    nb09,
    nb10,
    nb11,
    nb12,
)

_MODULES = (nb00, nb01, nb02, nb03, nb04, nb05, nb06, nb07, nb08, nb09, nb10, nb11, nb12)
QUESTIONS: tuple[Question, ...] = tuple(q for module in _MODULES for q in module.ALL)
