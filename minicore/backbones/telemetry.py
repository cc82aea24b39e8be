"""onnxruntime, which tells nobody what is run here. Everything in minicore takes it from this file.

From version 1.29 on, its Linux and macOS builds, like those for Windows before, report to their
maker which networks a machine runs, by file name and checksum; they keep the reports in a database
in the user's cache folder until they are sent. Whoever wants that sets ``ORT_DISABLE_TELEMETRY=0``.
"""

import os

# Read when onnxruntime is first imported. A program that has imported it before minicore has made
# its first report by then; what disables the others is asked for below.
_wanted = os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1") == "0"

import onnxruntime  # noqa: E402

if not _wanted:
    onnxruntime.disable_telemetry_events()

__all__ = ["onnxruntime"]
