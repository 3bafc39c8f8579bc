#!/usr/bin/env bash
# onnxslim 0.1.98: a factor for each column is folded into a convolution as a factor for each channel.
#
# By the broadcasting of ONNX (and NumPy) a vector of W numbers multiplies the columns of an [N, C, H, W] image: a window
# that fades to the sides, say. `slim` folds a product after a convolution into its kernels. It takes the vector for one
# number a channel, whenever there are as many channels as columns. One would expect the same results, or no folding.
# The names, shapes and number of nodes look right afterwards, and nothing is said: `slim` compares no results unless
# it is asked to. With another number of channels the product is left alone and right.
#
# Seen: with 8 channels of 8 x 8 places a row that is 1 2 3 4 5 6 7 8 becomes 8 8 8 8 8 8 8 8 in the last channel; with 4
# channels nothing changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 onnxslim==0.1.98
cat >"$folder/show.py" <<'PY'
import numpy as np
import onnx
import onnxruntime
import onnxslim
from onnx import TensorProto, helper, numpy_helper

SIDE = 8


def model(channels):
    convolution = helper.make_node("Conv", ["x", "kernels"], ["found"], pads=[1, 1, 1, 1])
    product = helper.make_node("Mul", ["found", "window"], ["y"])
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, SIDE, SIDE])
    wanted = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, channels, SIDE, SIDE])
    kernels = np.zeros((channels, 1, 3, 3), np.float32)
    kernels[:, :, 1, 1] = 1  # every channel is the image
    window = np.arange(1, SIDE + 1, dtype=np.float32)
    parts = [numpy_helper.from_array(kernels, "kernels"), numpy_helper.from_array(window, "window")]
    graph = helper.make_graph([convolution, product], "window", [given], [wanted], parts)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def run(made):
    x = np.ones((1, 1, SIDE, SIDE), np.float32)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


for channels in (4, SIDE):
    before = model(channels)
    first, after = run(before), onnxslim.slim(before)
    second = run(after)
    print(f"{channels} channels: nodes {[node.op_type for node in after.graph.node]}")
    print(f"  last channel, a row before {first[0, -1, 0].astype(int)}, after {second[0, -1, 0].astype(int)}")
    assert np.array_equal(first[0, -1, 0], np.arange(1, SIDE + 1))
    if channels == SIDE:
        assert np.array_equal(second[0, -1], np.full((SIDE, SIDE), SIDE, np.float32))
        assert np.array_equal(second[0, 0], np.ones((SIDE, SIDE), np.float32))
    else:
        assert np.array_equal(first, second)
print("onnxslim 0.1.98: as described")
PY
"$folder/venv/bin/python" "$folder/show.py"
