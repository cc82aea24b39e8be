"""Networks: the catalogue, the conversion to ONNX, and the code that runs them."""

from minicore.backbones.joint import JointBackbone, open_backbone
from minicore.backbones.session import Backbone, network_files

__all__ = ["Backbone", "JointBackbone", "network_files", "open_backbone"]
