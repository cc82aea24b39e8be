"""How long each equation takes on this machine, beside others and beside the machine's own limit.

`stages` says what is timed, one function a stage; `stopwatch` how; `material` on what. `growth`
repeats it at several sizes, and `result` is what comes out: a table, JSON, what the pictures need.
"""

from minicore.bench.bound import Bound, bound
from minicore.bench.growth import Curve, grow
from minicore.bench.material import Material, RandomMaterial
from minicore.bench.result import Result
from minicore.bench.run import run, run_growth
from minicore.bench.stages import STAGES, Stage
from minicore.bench.stopwatch import Side, Timing, measure

__all__ = [
    "STAGES",
    "Bound",
    "Curve",
    "Material",
    "RandomMaterial",
    "Result",
    "Side",
    "Stage",
    "Timing",
    "bound",
    "grow",
    "measure",
    "run",
    "run_growth",
]
