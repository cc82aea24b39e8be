"""Pages on studies have the tables that the scripts print from the measured results."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command, page, tables",
    [
        (["scale_tables.py"], "scale.md", 7),
        (["peers.py", "--table"], "peers.md", 2),
        (["many_images.py", "--table"], "performance.md", 1),
    ],
)
def test_a_page_has_the_tables_and_laws_of_its_script(command, page, tables):
    script, *arguments = command
    done = subprocess.run(
        [sys.executable, "-X", "utf8", str(ROOT / "docs" / "studies" / script), *arguments],
        capture_output=True, check=True, encoding="utf-8",
    )  # fmt: skip
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = [block for block in done.stdout.strip().split("\n\n") if not block.startswith("{")]
    assert sum(block.startswith("|") for block in blocks) == tables
    assert [block for block in blocks if block not in text] == []
