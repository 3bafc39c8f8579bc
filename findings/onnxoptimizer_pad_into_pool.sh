#!/usr/bin/env bash
# onnxoptimizer 0.4.2: its default passes change what a CNN computes where zeros are padded before a pool.
#
# Exporters write a padding of zeros as a Pad node before the pool. `optimize` moves it into the attribute `pads` of the
# pool. There a max-pool pads with minus infinity, not with zero. For an average pool it switches on that padded places
# count, and so those count too that the pool pads by itself. One would expect the same results from an optimised graph.
# Both are wrong at the border alone, so that classes of most images stay the same, and nothing is said.
# onnxslim, onnxsim and onnxruntime leave such nodes, or fold them rightly. Pads of other values are left alone.
#
# Seen, with all values -1: a max-pool has 0 along its border before and -1 after; an average pool of 3 x 3 has -0.25 in
# its corner before and -0.111 after.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 onnxoptimizer==0.4.2
cat >"$folder/show.py" <<'PY'
import numpy as np
import onnx
import onnxoptimizer
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SIDE = 6


def model(pool):
    pad = helper.make_node("Pad", ["x", "pads"], ["padded"], mode="constant")
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, SIDE, SIDE])
    wanted = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, "h", "w"])
    pads = numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1]), "pads")
    graph = helper.make_graph([pad, pool], "pool", [given], [wanted], [pads])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def run(made, x):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = made.SerializeToString()
    return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"]).run(None, {"x": x})[0]


POOLS = {
    "MaxPool": helper.make_node("MaxPool", ["padded"], ["y"], kernel_shape=[2, 2], strides=[2, 2]),
    "AveragePool": helper.make_node(
        "AveragePool", ["padded"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
    ),
}
x = -np.ones((1, 1, SIDE, SIDE), np.float32)
for name, pool in POOLS.items():
    before = model(pool)
    after = onnxoptimizer.optimize(before)
    first, second = run(before, x), run(after, x)
    wrong = first != second
    print(f"{name}: nodes {[node.op_type for node in before.graph.node]} -> {[node.op_type for node in after.graph.node]}")
    print(f"  first row before {np.round(first[0, 0, 0], 3)}")
    print(f"  first row after  {np.round(second[0, 0, 0], 3)}")
    assert [node.op_type for node in after.graph.node] == [name], "the pad is no longer moved"
    assert wrong[0, 0, 0].all() and not wrong[0, 0, 1:-1, 1:-1].any()
print("onnxoptimizer 0.4.2: as described")
PY
"$folder/venv/bin/python" "$folder/show.py"
