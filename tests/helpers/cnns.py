"""CNNs of random numbers."""

from dataclasses import replace

import numpy as np

from helpers.generators import LABELS, make_generator, pictures
from htgen.cnn.bundle import Bundle
from htgen.cnn.spec import CnnSpec, ConvSpec
from htgen.cnn.weights import tensor_shapes
from htgen.images.preprocessing import Preprocessing


def make_bundle(**model) -> Bundle:
    generator = make_generator(**model)
    return generator.generate_bundle(generator.prepare(pictures(), LABELS))


def any_bundle(random: np.random.Generator) -> Bundle | None:
    """A CNN of any description that there can be, of random numbers; None where the draw is impossible."""
    size, channels = int(random.integers(8, 23)), int(random.choice([1, 3]))
    side, inputs, convs = size, channels, []
    for index in range(int(random.integers(1, 4))):
        kernel, stride, outputs = (
            int(random.integers(1, 6)),
            int(random.integers(1, 4)),
            int(random.integers(1, 5)),
        )
        same, pool = bool(random.integers(2)), bool(random.integers(2))
        bias = bool(random.integers(2))
        conv = ConvSpec(f"conv{index + 1}", inputs, outputs, kernel, stride, same, pool, side, 0, bias)
        out = conv.conv_size // 2 if pool else conv.conv_size
        if side + 2 * conv.padding < kernel or out < 1:
            return None
        convs.append(replace(conv, out_size=out))
        side, inputs = out, outputs
    activation, head = str(random.choice(["relu", "lrelu"])), str(random.choice(["flatten", "average"]))
    spec = CnnSpec(size, channels, tuple(convs), activation, "support", head, bool(random.integers(2)))
    classes = tuple(f"class {i}" for i in range(random.integers(2, 6)))
    tensors = {
        name: np.abs(x) + np.float32(0.01) if name.endswith("var") else x
        for name, shape in tensor_shapes(spec, len(classes)).items()
        for x in [random.normal(0, 0.5, shape).astype(np.float32)]
    }
    return Bundle(spec, classes, Preprocessing(size, channels, "none", "pad"), tensors)
