"""The page on scale has the tables that its script prints from the measured results."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_tables_and_laws_of_the_page_are_those_of_the_script():
    script = ROOT / "docs" / "studies" / "scale_tables.py"
    command = [sys.executable, "-X", "utf8", str(script)]
    printed = subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    blocks = printed.strip().split("\n\n")
    assert sum(block.startswith("|") for block in blocks) == 7
    assert [block for block in blocks if block not in page] == []
