"""Measure how good a detector is: `metrics`, `evaluate`, and the `baselines` of the paper."""
