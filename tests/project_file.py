"""What pyproject.toml states, for the tests that compare other files with it."""

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

ROOT = Path(__file__).parents[1]


def read_toml(name):
    """The content of a TOML file at the top of the repository."""
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


PROJECT = read_toml("pyproject.toml")["project"]
EXTRAS = PROJECT["optional-dependencies"]
