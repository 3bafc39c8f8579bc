#!/usr/bin/env bash
# OpenCV 5.0.0 pads SAME_UPPER on both sides where ONNX says the end; 4.12.0 was right.
#
# Converters from TensorFlow write `auto_pad=SAME_UPPER`, as its padding 'SAME' is: for an even image, a kernel
# of 3 and stride 2, one row and one column are added at the end, none at the beginning.
# The reader of OpenCV 5 adds one on each side, so that every window lies one pixel further up and left.
# The shape of the result is the same, and nothing warns.
# Small CNNs of few-shot papers (images of 28 pixels, stride 2) consist of such layers.
#
# Seen (one MaxPool over the numbers 0 to 15 in a square, then the largest error of a convolution):
#   onnxruntime 1.32.0: [10, 11, 14, 15]
#   OpenCV 4.12.0: [10, 11, 14, 15], convolution off by 0.0
#   OpenCV 5.0.0: [5, 7, 13, 15], convolution off by 10.0
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
for version in 4.12.0.88 5.0.0.93; do
  "$folder/venv/bin/pip" install -q --no-deps --target "$folder/$version" "opencv-python-headless==$version"
done
cat >"$folder/show.py" <<'PY'
import sys

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def model(node, **tensors):
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1, s, s]) for n, s in (("x", 4), ("y", 2))]
    tensors = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = helper.make_graph([node], "one", ends[:1], ends[1:], tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


same = {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}
pool = model(helper.make_node("MaxPool", ["x"], ["y"], **same))
ones = np.zeros((1, 1, 3, 3), np.float32)
ones[..., 1, 1:] = 1  # the middle of the window and its right neighbour
convolution = model(helper.make_node("Conv", ["x", "w"], ["y"], **same), w=ones)
x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)


def with_onnxruntime(content):
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def with_opencv(content):
    net = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
    net.setInput(x)
    return net.forward()


error = np.abs(with_opencv(convolution) - with_onnxruntime(convolution)).max()
print(f"onnxruntime {onnxruntime.__version__}: {with_onnxruntime(pool).ravel().astype(int).tolist()}")
print(f"OpenCV {cv2.__version__}: {with_opencv(pool).ravel().astype(int).tolist()}, convolution off by {error}")
right = np.array_equal(with_opencv(pool), with_onnxruntime(pool)) and error == 0
sys.exit(0 if right == (sys.argv[1] == "right") else 1)
PY
echo "expected: the same numbers from all"
PYTHONPATH="$folder/4.12.0.88" "$folder/venv/bin/python" "$folder/show.py" right
PYTHONPATH="$folder/5.0.0.93" "$folder/venv/bin/python" "$folder/show.py" wrong
