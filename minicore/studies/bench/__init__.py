"""How long each equation takes on this machine, beside others and beside the machine's own limit.

`stages` says what is timed, one function a stage; `stopwatch` how; `material` on what. `growth`
repeats it at several sizes, and `result` is what comes out: a table, JSON, what the pictures need.
"""

from minicore.studies.bench.bound import Bound, bound
from minicore.studies.bench.growth import Curve, grow
from minicore.studies.bench.material import Material, RandomMaterial
from minicore.studies.bench.result import Result
from minicore.studies.bench.run import run, run_growth
from minicore.studies.bench.stages import STAGES, Stage
from minicore.studies.bench.stopwatch import Side, Timing, measure

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
