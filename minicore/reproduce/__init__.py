"""The paper's tables S1 and S2 on a data set, measured beside published: ``minicore reproduce``."""

from minicore.reproduce.folder import Run
from minicore.reproduce.unit import Evidence, Finished, Unit

__all__ = ["Evidence", "Finished", "Run", "Unit"]
