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


class ImageWarning(UserWarning):
    """Images that are not looked at, or may not look as they should. Work goes on."""


class DatasetError(MinicoreError, FileNotFoundError):
    """A data folder that is missing, misnamed or not laid out as its format says."""


class BackboneError(MinicoreError, ValueError):
    """A network file that is missing, broken, or gives no feature maps."""


class ModelError(MinicoreError, ValueError):
    """A saved model that is missing, damaged, or was fitted with another backbone."""


class OutputError(MinicoreError, OSError):
    """A file that cannot be written. What was there before is untouched."""


def wrong(name: str, expected: str, value: Any) -> ValueError:
    """Word the error for a parameter, on one line, however long the value."""
    found = " ".join(repr(value).split())  # an array's has several lines
    return ValueError(f"{name} must be {expected}, got {cut(found, 100)}")


def cut(text: str, most: int) -> str:
    """Shorten a text for a message; an ellipsis says that there was more."""
    return text if len(text) <= most else f"{text[:most]}…"
