"""Synthetic parts drawn from a seed: five kinds of part, six kinds of defect, exact masks."""

from minicore.datasets.drawn.parts import CATEGORIES, DEFECTS, part, parts

__all__ = ["CATEGORIES", "DEFECTS", "part", "parts"]
