"""Measure tables S1 and S2 of the paper, and its figures: ``minicore reproduce``.

A run is divided into units: one category, one row of the table, one seed.

=============  ==================================================================
`schedule`     measures all units of a run
`plan`         checks categories, rows, layers and data before a run
`measure`      measures one unit
`methods`      rows of the table: a method with its parameters
`unit`         the file of a finished unit
`evidence`     images and maps that explain the numbers of a unit
`folder`       the folder of a run
`lock`         one process at a time in a folder
`fingerprint`  a checksum of the images and masks of a category
`peak`         the peak memory of the process
`published`    numbers from the paper
`summary`      tables of a run
`sweeps`       studies of one parameter, for the figures
`curves`       the numbers that a figure shows
`figure`       draws a figure
=============  ==================================================================
"""

from minicore.studies.reproduce.folder import Run
from minicore.studies.reproduce.methods import BASELINES, Row, row
from minicore.studies.reproduce.plan import fewest_training_images
from minicore.studies.reproduce.schedule import reproduce
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
    "fewest_training_images",
    "reproduce",
    "row",
    "study",
]
