"""``minicore info``: print what is stored in a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def info(model: Annotated[Path, typer.Argument(help="A model that `minicore fit` wrote.")]) -> None:
    """Print the settings of a model and the shapes of its arrays, as JSON."""
    from minicore.runtime import container

    arrays, header = container.read(model)
    shapes = {name: [str(a.dtype), *a.shape] for name, a in arrays.items()}
    print(json.dumps({**header, "arrays": shapes}, indent=2))
