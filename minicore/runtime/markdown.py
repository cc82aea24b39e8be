"""Markdown tables with aligned columns, which are easy to read as plain text too."""

from __future__ import annotations

from collections.abc import Sequence

from minicore.errors import one_line


def table(rows: Sequence[Sequence[str]], names: int = 1) -> str:
    """Format rows of text as a Markdown table.

    Parameters
    ----------
    rows : sequence of sequence of str
        The first row is the header.
    names : int, default 1
        Number of columns with words, which are aligned left. The other columns hold numbers and
        are aligned right.

    Returns
    -------
    str
        Control characters and ``|`` in a cell are escaped.
    """
    rows = [[one_line(cell).replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rules = [f":{'-' * w}-" if i < names else f"-{'-' * w}:" for i, w in enumerate(widths)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i < names else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([lines[0], f"|{'|'.join(rules)}|", *lines[1:]])
