"""Import onnxruntime with telemetry disabled. All of minicore imports it from this file.

The Windows builds, and since version 1.29 also the builds for Linux and macOS, report the file name
and checksum of each network to Microsoft. Unsent reports are kept in a database in the user's cache
folder. ``ORT_DISABLE_TELEMETRY=0`` enables these reports.
"""

import os

# onnxruntime reads this variable when it is imported. If a program imports onnxruntime before
# minicore, one report is already made. The call below disables later reports.
_wanted = os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1") == "0"

import onnxruntime  # noqa: E402

if not _wanted:
    onnxruntime.disable_telemetry_events()

__all__ = ["onnxruntime"]
