"""Wrong answers to every exercise, each with the keyword of the hint that it must get.

They are written in the style of a student, often with loops, and not like the mistakes in
`minicore.course`. `WRONG` contains a list of (keyword, function) for each exercise.
"""

from wrong_answers import bounds, decision, grids, memory, positions
from wrong_answers.collection import WRONG

__all__ = ["WRONG", "bounds", "decision", "grids", "memory", "positions"]
