import pytest

from minicore.cluster import coordinator


@pytest.fixture
def few(monkeypatch):
    """Few candidates, so that there are many rounds, and bounds from many picks ago."""
    monkeypatch.setattr(coordinator, "FEWEST", 7)
    monkeypatch.setattr(coordinator, "FEWEST_OF_PART", 1)
    monkeypatch.setattr(coordinator, "PER_PICK", 2)
