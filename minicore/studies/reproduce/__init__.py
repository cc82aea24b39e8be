"""The paper's tables S1 and S2 on a data set, and its figures: ``minicore reproduce``."""

from minicore.studies.reproduce.folder import Run
from minicore.studies.reproduce.methods import BASELINES, Row, row
from minicore.studies.reproduce.schedule import reproduce, smallest
from minicore.studies.reproduce.sweeps import STUDIES, Study, study
from minicore.studies.reproduce.unit import Evidence, Finished, Unit

__all__ = [
    "BASELINES",
    "STUDIES",
    "Evidence",
    "Finished",
    "Row",
    "Run",
    "Study",
    "Unit",
    "reproduce",
    "row",
    "smallest",
    "study",
]
