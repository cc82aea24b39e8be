"""The paper's tables S1 and S2 on a data set, and its figures: ``minicore reproduce``."""

from minicore.reproduce.folder import Run
from minicore.reproduce.rows import BASELINES, Row, row
from minicore.reproduce.schedule import reproduce, smallest
from minicore.reproduce.studies import STUDIES, Study, study
from minicore.reproduce.unit import Evidence, Finished, Unit

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
