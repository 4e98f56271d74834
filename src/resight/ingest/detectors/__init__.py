"""Person detectors: networks in ONNX files and OpenVINO IR, known by their outputs; one family a file."""
