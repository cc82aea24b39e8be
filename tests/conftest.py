"""Fixtures every test file may use."""

from pathlib import Path

import pytest


@pytest.fixture
def shared() -> Path:
    """The folder of real data, weights and golden files beside the checkout, where there is one."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared: real images, weights and golden files, not in the repository")
    return folder
