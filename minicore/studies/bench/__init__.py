"""Measure how long each equation takes, compared with other libraries and the machine's limits.

===========  ======================================================================
`material`   the data: images, feature maps, memory bank, coreset
`stages`     the work that is measured, one function per equation
`peers`      other ways to do the same work
`stopwatch`  how a time is measured
`run`        one run of the benchmark
`growth`     the same stages at several sizes
`result`     the measured times as a table and as JSON
`bound`      the lower bound with which the search skips rows
`charts`     figures
===========  ======================================================================
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
