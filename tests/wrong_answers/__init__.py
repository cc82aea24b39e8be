"""What students hand in: plausible wrong versions of every exercise, and the hint each deserves.

They are written as a student would, loops and all, not as `minicore.course` words its mistakes.
`WRONG` holds for each exercise its (keyword, function).
"""

from wrong_answers import decision, grids, memory, positions
from wrong_answers.handed_in import WRONG

__all__ = ["WRONG", "decision", "grids", "memory", "positions"]
