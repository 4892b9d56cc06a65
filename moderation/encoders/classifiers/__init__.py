"""Image classifiers in ONNX files, which score labels beside CLIP. Imports ONNX Runtime late."""
