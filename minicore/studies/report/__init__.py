"""One HTML file that shows a run: table, curves, mistakes, and what it takes to repeat it.

The file stands alone: pictures are inside it, it asks for nothing and runs no script. It is made
from the run's folder (`reproduce.Run`) and from nothing else, so the same folder gives the
same bytes.
"""

from minicore.studies.report.page import page, save
from minicore.studies.report.provenance import other_data

__all__ = ["other_data", "page", "save"]
