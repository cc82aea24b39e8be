"""Errors and warnings of minicore.

`MinicoreError` and its subclasses are about data outside the program: a file, a folder, a network,
a saved model. The message is one line. It names the file or folder and the remedy; the command line
prints it without a traceback. Wrong arguments raise `ValueError` and `TypeError`, as in all Python.
"""

from typing import Any


class MinicoreError(Exception):
    """Base class of all errors about files, folders, networks and saved models."""


class ImageError(MinicoreError, ValueError):
    """An image that cannot be read or has an unsupported format."""


class DatasetError(MinicoreError, FileNotFoundError):
    """A data folder that is missing, has a wrong name or does not have the layout of its format."""


class BackboneError(MinicoreError, ValueError):
    """A network file that is missing or damaged, or a network without feature maps."""


class ModelError(MinicoreError, ValueError):
    """A saved model that is missing or damaged, or was fitted with another backbone."""


class OutputError(MinicoreError, OSError):
    """A file that cannot be written. An existing file is unchanged."""


class MinicoreWarning(UserWarning):
    """A warning about a result. The command line prints it as one line."""


class ParameterError(ValueError):
    """A parameter with an invalid value.

    Attributes
    ----------
    name : str
        Name of the parameter.
    expected : str
        Description of the valid values.
    value : object
        The invalid value.
    """

    def __init__(self, name: str, expected: str, value: Any) -> None:
        found = " ".join(repr(value).split())  # the repr of an array has several lines
        super().__init__(f"{name} must be {expected}, got {cut(found, 100)}")
        self.name, self.expected, self.value = name, expected, value

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.expected, self.value)


def cut(text: str, most: int) -> str:
    """Return the first `most` characters of a text, with an ellipsis if it is longer."""
    return text if len(text) <= most else f"{text[:most]}…"


def one_line(text: str) -> str:
    """Return a text with escaped control characters, for example from a file name."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quoted(text: str) -> str:
    """Return untrusted text from a file in quotes: short, ASCII, on one line."""
    plain = ascii(text)
    return plain if len(plain) <= 80 else f"{plain[:76]}…{plain[-1]}"
