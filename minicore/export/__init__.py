"""Export: a fitted model as one ONNX file, and the check that a runtime computes its results."""

from minicore.export.onnx_file import Exported, to_onnx
from minicore.export.proof import Check, check

__all__ = ["Check", "Exported", "check", "to_onnx"]
