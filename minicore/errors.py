"""The errors a caller may want to catch; each derives from `MinicoreError`.

Wrong arguments stay `ValueError` and `TypeError`, as everywhere in Python. The ones here are about
the world outside the program: a file, a folder, a network, a saved model. Their message is one line
that names the file or folder and says what to do; the command line prints it without a traceback.
"""

from typing import Any


class MinicoreError(Exception):
    """Anything minicore refuses to do because of what it found outside the program."""


class ImageError(MinicoreError, ValueError):
    """An image that cannot be read, or that is no image this library takes."""


class DatasetError(MinicoreError, FileNotFoundError):
    """A data folder that is missing, misnamed or not laid out as its format says."""


class BackboneError(MinicoreError, ValueError):
    """A network file that is missing, broken, or gives no feature maps."""


class ModelError(MinicoreError, ValueError):
    """A saved model that is missing, damaged, or was fitted with another backbone."""


class OutputError(MinicoreError, OSError):
    """A file that cannot be written. What was there before is untouched."""


class MinicoreWarning(UserWarning):
    """Something a user should know about a result. The command line prints it as one line."""


class ParameterError(ValueError):
    """A parameter out of range.

    Attributes
    ----------
    name, expected : str
        Of the parameter, and what it must be.
    value
        What it was.
    """

    def __init__(self, name: str, expected: str, value: Any) -> None:
        found = " ".join(repr(value).split())  # an array's has several lines
        super().__init__(f"{name} must be {expected}, got {cut(found, 100)}")
        self.name, self.expected, self.value = name, expected, value

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.expected, self.value)


def wrong(name: str, expected: str, value: Any) -> ParameterError:
    """Return the error for a parameter, on one line, however long the value."""
    return ParameterError(name, expected, value)


def cut(text: str, most: int) -> str:
    """Shorten a text for a message; an ellipsis says that there was more."""
    return text if len(text) <= most else f"{text[:most]}…"


def one_line(text: str) -> str:
    """Escape what does not print: a newline or an escape code in a file's name does nothing."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quoted(text: str) -> str:
    """Show text from a stranger's file: short, on one line, no control characters."""
    plain = ascii(text)
    return plain if len(plain) <= 80 else f"{plain[:76]}…{plain[-1]}"
