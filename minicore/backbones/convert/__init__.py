"""Checkpoint files converted to ONNX networks, without PyTorch."""
