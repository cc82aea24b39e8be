"""Messages on standard error, and the names of options in error messages."""

from __future__ import annotations

import re
import sys

from minicore.errors import ParameterError, one_line

# The option for each parameter of Python.
OPTIONS = {
    "coreset_ratio": "--coreset",
    "false_positive_rate": "--fpr",
    "n_threads": "--threads",
    **{
        name: f"--{name.replace('_', '-')}"
        for name in (
            "b", "backbone", "bank_storage", "batch_size", "crop", "embedding", "engine",
            "image_size", "layers", "patchsize", "resize", "seed", "shards", "storage", "stride",
        )
    },
}  # fmt: skip
SHARES = ("coreset_ratio", "false_positive_rate")
_PARAMETER = re.compile(
    rf"(?<![\w/-])({'|'.join(OPTIONS)})(?= must be | or raise | to ')|(?<=raise )(coreset_ratio)"
)


def print_message(text: str) -> None:
    """Print one line to standard error. Results go to standard output with `print`."""
    print(one_line(text), file=sys.stderr, flush=True)


def count(n: int, noun: str) -> str:
    """Return a number with its noun: ``1 image``, ``2 images``."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def with_option_names(error: Exception) -> str:
    """Return the text of an error, with names of options instead of names of parameters."""
    from minicore.checks import is_number  # imports NumPy, which `minicore --help` does not need

    text = _PARAMETER.sub(lambda match: OPTIONS[match[0]], f"{error}")
    if isinstance(error, ParameterError):
        text = text.replace(", or None, got", ", got")
        text = text.replace("(h, w) or None, got", "HEIGHTxWIDTH or none, got")
        if error.name in SHARES and is_number(error.value) and 1 <= error.value < 100:
            share = f"{OPTIONS[error.name]} {error.value / 100:g}"
            text += f"; {share} means {error.value:g} %"
    return text
