"""Networks: the catalogue, download, conversion to ONNX, and feature maps of images."""

from minicore.backbones.joint import JointBackbone, open_backbone
from minicore.backbones.session import Backbone, network_files

__all__ = ["Backbone", "JointBackbone", "network_files", "open_backbone"]
