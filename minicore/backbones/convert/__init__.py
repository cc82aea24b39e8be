"""Convert checkpoint files to ONNX networks, without PyTorch."""
