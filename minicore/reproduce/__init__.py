"""The paper's tables S1 and S2 on a data set, measured beside published: ``minicore reproduce``."""

from minicore.reproduce.folder import Run
from minicore.reproduce.rows import BASELINES, PAPER, Row, row
from minicore.reproduce.schedule import reproduce
from minicore.reproduce.unit import Evidence, Finished, Unit

__all__ = ["BASELINES", "PAPER", "Evidence", "Finished", "Row", "Run", "Unit", "reproduce", "row"]
