"""The Euclidean distance ‖x − y‖₂ that equations 5, 6 and 7 share."""

import numpy as np
from numba import njit


@njit(cache=True)
def squared_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Compute ‖x − y‖₂², in float64, coordinate by coordinate.

    A sum of floating-point numbers depends on their order. Here the order is fixed, so that every
    search compares the same values.
    """
    total = 0.0
    # ‖x − y‖₂² = Σ_k (x_k − y_k)²
    for k in range(x.shape[0]):
        difference = np.float64(x[k]) - np.float64(y[k])
        total += difference * difference
    return total


@njit(cache=True)
def distance(x: np.ndarray, y: np.ndarray) -> float:
    """Compute ‖x − y‖₂ as float64."""
    return np.sqrt(squared_distance(x, y))
