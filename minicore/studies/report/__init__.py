"""Write one HTML file about one run or two: numbers, curves, mistakes, and how to repeat the run.

The file contains its pictures. It loads nothing and runs no script. It is made only from the folder
of the run (`reproduce.Run`), so the same folder always results in the same bytes.

==============  =============================================================
`page`          the HTML file
`reading`       reads the units of a run
`validation`    checks that the parts of a unit fit together
`numbers`       means and standard deviations
`tables`        tables of numbers
`mistakes`      curves and images of a category and row
`disagreement`  images on which two runs disagree
`pictures`      pictures and outlines as text inside the page
`provenance`    settings, configuration and times
==============  =============================================================
"""

from minicore.studies.report.page import page, save
from minicore.studies.report.provenance import changed_categories

__all__ = ["changed_categories", "page", "save"]
