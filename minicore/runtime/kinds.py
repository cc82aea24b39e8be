"""Recognise a file that minicore wrote, and its kind, by its content. Its name does not matter."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

FIELDS = ("image", "score", "distance", "p_value", "anomalous")  # the columns of a table of scores
GRADE_FIELDS = ("student", "minicore_points")  # the first columns of a table of grades
HEAD = 2**16  # bytes in which a mark is searched
MODEL, NETWORK, EXPORT = "a model", "a network", "an exported model"
PICTURE, REPORT = "a picture", "a report"
RUN, NUMBERS, SCORES = "the settings of a run", "a file of numbers", "a table of scores"
GRADES = "a table of grades"
MARKS = tuple(  # how a file of each kind begins
    (re.compile(mark, re.DOTALL), kind)
    for mark, kind in (
        (rb'.{8}\{"__metadata__":\{"minicore":', MODEL),  # safetensors with one key in its header
        (rb"\x08.\x12\x08minicore", NETWORK),  # ONNX: the producer follows the version
        (rb"\x08.\x12\x11minicore-detector", EXPORT),
        (rb"\x89PNG.*\x11tEXtSoftware\0minicore", PICTURE),
        (rb"GIF8.*!\xfe\x08minicore\0", PICTURE),  # a comment of eight bytes
        (rb"<\?xml.*<dc:title>minicore</dc:title>", PICTURE),  # SVG
        (rb'<!DOCTYPE html>.*<meta name="generator" content="minicore', REPORT),
        (rb'\s*\{\s*"minicore": "[^"]*",\s*"command":.*"data_sha256":', RUN),
        (rb'\s*\{\s*"minicore": "[^"]*",', NUMBERS),  # JSON with the version first
        (",".join(FIELDS).encode() + rb"\r?\n", SCORES),
        (",".join(GRADE_FIELDS).encode() + b",", GRADES),
    )
)
PDF_MARK = b"/Creator (minicore)"  # near the end of the file


def kind_of(path: str | Path) -> str | None:
    """Return the kind of a file that minicore wrote.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    str or None
        `MODEL`, `SCORES` and so on. An empty string for an empty file. None for a file that
        minicore did not write or that cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(HEAD)
            if head.startswith(b"%PDF"):
                file.seek(max(0, os.fstat(file.fileno()).st_size - HEAD))
                return PICTURE if PDF_MARK in file.read() else None
    except OSError:
        return None
    if not head:
        return ""
    if _is_score_line(head):
        return SCORES
    return next((kind for mark, kind in MARKS if mark.match(head)), None)


def made_by_minicore(path: str | Path) -> bool:
    """Return whether minicore wrote a file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    bool
        Also True for an empty file, which can be replaced without loss. False for a file that
        cannot be read.
    """
    return kind_of(path) is not None


def _is_score_line(head: bytes) -> bool:
    try:
        return tuple(json.loads(head.split(b"\n")[0])) == FIELDS
    except (ValueError, TypeError, RecursionError):
        return False
