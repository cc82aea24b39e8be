"""The page on packages lists what pyproject.toml names."""

import importlib.util
import re
from pathlib import Path

from project_file import EXTRAS, PROJECT

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "packages.md").read_text(encoding="utf-8")


def purposes() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("packages", ROOT / "docs" / "packages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PURPOSES


def names(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w-]+", line).group() for line in requirements}


def rows(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\| ([\w-]+) \| [<\d. ]+ \| (.+) \|$", text, re.MULTILINE))


def test_the_page_lists_what_minicore_and_each_extra_install_and_why():
    default, extras = PAGE.split("\n## The extras\n")
    parts = re.split(r"^### `(\w+)`\n", extras, flags=re.MULTILINE)[1:]
    tables = {name: rows(text) for name, text in zip(parts[::2], parts[1::2], strict=True)}
    wanted = {name: names(listed) for name, listed in EXTRAS.items()}
    assert rows(default).keys() == names(PROJECT["dependencies"])
    assert {name: set(table) for name, table in tables.items()} == wanted
    shown = rows(default)
    for table in tables.values():
        shown |= table
    assert shown == purposes()
