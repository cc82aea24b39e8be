"""Networks: what is known of them, how they become ONNX, how they run."""

from minicore.backbones.session import Backbone

__all__ = ["Backbone"]
