"""The files of the page, and the source code that it shows, read live from `minicore/equations`."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from minicore import equations

PAGE = Path(__file__).parent / "page"
FUNCTIONS = {  # the function that computes each panel
    "eq1": "neighbourhood",
    "eq2": "aggregate",
    "eq3": "patch_features",
    "eq4": "memory_bank",
    "eq5": "greedy_coreset",
    "eq6": "deciding_patch",
    "eq7": "reweight",
}


def source(equation: str) -> dict[str, Any]:
    """Return the file of an equation, and the lines of the function that computes it.

    Parameters
    ----------
    equation : str
        ``"eq1"`` to ``"eq7"``.

    Returns
    -------
    dict
        "file": its name. "lines": its lines. "first", "last": numbers, from 1, of the lines
        that compute the equation: from the first comment in the function, which is a formula.

    Raises
    ------
    KeyError
        If there is no such equation.
    """
    name = FUNCTIONS[equation]
    (path,) = Path(str(equations.__file__)).parent.glob(f"{equation}_*.py")
    text = path.read_text(encoding="utf-8")
    (function,) = (
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    )
    docstring, lines = function.body[0], text.splitlines()
    first = (docstring.end_lineno or 0) + 1
    while not lines[first - 1].lstrip().startswith("#"):
        first += 1
    return {"file": path.name, "lines": lines, "first": first, "last": function.end_lineno}
