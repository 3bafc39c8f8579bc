#!/usr/bin/env bash
# LiteRT 2.3.0: one all-integer .tflite file has three sets of results inside the same library.
#
# A file with 8-bit weights, inputs and outputs holds whole numbers only, so one expects exact results.
# The interpreter has three implementations to choose from: the default (XNNPACK), its built-in kernels, and the
# reference kernels, which microcontrollers run where no others are given. They round at different places.
# For a CNN with two convolutions the default and the reference differ for half of the images, and
# now and then in the class. Expected outputs that a desktop writes are thus no bit-exact test for a chip.
# (The share depends on the processor, as XNNPACK chooses its kernels by it.)
#
# Seen (500 random images, against the reference kernels):
#   AUTO: 47.8% of the images with another output, up to 1 steps, another class in 2
#   BUILTIN_WITHOUT_DEFAULT_DELEGATES: 1.2% of the images with another output, up to 1 steps, another class in 0
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q numpy==2.4.6 tensorflow-cpu==2.21.0 ai-edge-litert==2.3.0
cat >convert.py <<'PY'
import numpy as np
import tensorflow as tf

tf.keras.utils.set_random_seed(0)
layers = tf.keras.layers
model = tf.keras.Sequential([
    tf.keras.Input((14, 14, 1)),
    layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
    layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
    layers.GlobalAveragePooling2D(),
    layers.Dense(5),
])
images = np.random.default_rng(0).random((50, 1, 14, 14, 1), np.float32)
converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([image] for image in images)
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tf.int8
open("cnn.tflite", "wb").write(converter.convert())
PY
cat >show.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

images = np.random.default_rng(1).integers(-128, 128, (500, 1, 14, 14, 1)).astype(np.int8)


def outputs(kernels):
    interpreter = Interpreter("cnn.tflite", experimental_op_resolver_type=OpResolverType[kernels])
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    found = []
    for image in images:
        interpreter.set_tensor(source, image)
        interpreter.invoke()
        found.append(interpreter.get_tensor(target)[0].astype(int))
    return np.array(found)


print(f"ai-edge-litert {version('ai-edge-litert')}, tensorflow-cpu {version('tensorflow-cpu')}")
print("expected: the same whole numbers from all")
reference = outputs("BUILTIN_REF")
shares = []
for kernels in ("AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"):
    found = outputs(kernels)
    shares.append((found != reference).any(1).mean())
    steps, classes = np.abs(found - reference).max(), (found.argmax(1) != reference.argmax(1)).sum()
    print(f"{kernels}: {shares[-1]:.1%} of the images with another output,", end=" ")
    print(f"up to {steps} steps, another class in {classes}")
sys.exit(0 if min(shares) > 0 and shares[0] != shares[1] else 1)
PY
TF_CPP_MIN_LOG_LEVEL=3 venv/bin/python convert.py >/dev/null 2>convert.log || { cat convert.log >&2; exit 1; }
venv/bin/python show.py 2>show.log || { tail -5 show.log >&2; exit 1; }
