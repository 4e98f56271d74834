#!/usr/bin/env bash
# onnxruntime 1.32.0 and onnx 1.23.2, seen 2026-11-29: MeanVarianceNormalization turns a constant channel into NaN.
#
# Expected: zeros. The operator's function body in the ONNX standard adds 1e-9 to the deviation before it
# divides, onnx's own reference implementation returns 0, and so does OpenVINO 2026.4.1, which writes this
# operator for networks of the Open Model Zoo. A ReLU before it makes constant (silent) channels common: person
# networks that were converted to ONNX return NaN for some crops, and a search by NaN finds nobody.
# Seen: ONNX Runtime's CPU kernel divides by the deviation as it is: 0 / 0 is NaN, in opsets 9 and 13. The
# channels beside it are right, so nothing is noticed until the vector is compared.
# Exit status: 0 as long as this is so, 1 once it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    onnxruntime==1.32.0 onnx==1.23.2 openvino==2026.4.1 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

pixels = np.zeros((1, 2, 4, 4), np.float32)
pixels[0, 1] = np.arange(16, dtype=np.float32).reshape(4, 4)  # channel 0 is silent, channel 1 is not
wrong = True
for opset in (9, 13):
    node = helper.make_node("MeanVarianceNormalization", ["x"], ["y"], axes=[0, 2, 3])
    shape = [1, 2, 4, 4]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    graph = helper.make_graph([node], "g", tensors[:1], tensors[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    path = f"{sys.argv[1]}/{opset}.onnx"
    onnx.save(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    answers = {
        "ONNX Runtime": session.run(None, {"x": pixels})[0],
        "reference": ReferenceEvaluator(model).run(None, {"x": pixels})[0],
        "OpenVINO": openvino.Core().compile_model(path, "CPU")(pixels)[0],
    }
    for name, answer in answers.items():
        print(f"opset {opset}, {name}: silent channel {answer[0, 0, 0, :3]}, other {answer[0, 1, 0, :3].round(3)}")
    wrong &= bool(np.isnan(answers["ONNX Runtime"][0, 0]).all())
    wrong &= not any(answers[name][0, 0].any() for name in ("reference", "OpenVINO"))
sys.exit(0 if wrong else 1)
PYTHON
