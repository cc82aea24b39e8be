"""The exercises, one module per equation: cases, reference solution and known mistakes."""
