"""Measure minicore: `bench` (times), `reproduce` (tables and figures of the paper), `report`."""
