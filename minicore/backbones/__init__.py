"""Networks: what is known of them, how they become ONNX, how they run."""

from minicore.backbones.joint import JointBackbone, open_backbone
from minicore.backbones.session import Backbone, network_files

__all__ = ["Backbone", "JointBackbone", "network_files", "open_backbone"]
