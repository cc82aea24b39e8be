"""Print on a console or into a pipe whose encoding lacks some characters.

Windows encodes what is redirected to a file or a program in the encoding of the country: cp1252 in
western Europe, cp949 in Korea. Python would raise an error for a character that is not in it.
"""

from __future__ import annotations

import codecs
import sys

REPLACE = "minicore-replace"
ALIKE = {
    "–": "-", "−": "-", "×": "x", "÷": "/", "…": "...", "→": "->", "\xa0": " ",
    "µ": "u", "σ": "sigma", "ψ": "psi",
}  # fmt: skip


def replace_missing_characters() -> None:
    """Make standard output and standard error replace characters that their encoding lacks.

    A symbol becomes similar ASCII characters; any other character is escaped, for example in the
    name of a file. On Linux and macOS, bytes in a name that are not text are printed as they are.
    """
    codecs.register_error(REPLACE, _replaced)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # missing in notebooks
        if reconfigure is not None:
            reconfigure(errors=REPLACE)


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return the replacement of the first character, and the position after it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character, after = error.object[error.start], error.start + 1
    if "\udc80" <= character <= "\udcff":  # Python's form of a byte that is not text
        return bytes([ord(character) - 0xDC00]), after
    return ALIKE.get(character) or character.encode("ascii", "backslashreplace").decode(), after
