"""Measurements of minicore: `bench` (time), `reproduce` (the paper's tables) and `report`."""
