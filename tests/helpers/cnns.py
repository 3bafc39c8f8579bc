"""CNNs of random numbers."""

from dataclasses import replace

import numpy as np

from helpers.generators import LABELS, make_generator, pictures
from htgen.cnn.bundle import Bundle
from htgen.cnn.spec import CnnSpec, ConvSpec
from htgen.cnn.weights import CnnWeights, tensor_names, tensor_shapes
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


WAY = 4


def any_spec(seed: int, norm: str = "support") -> CnnSpec:
    """Of one to five blocks; every field that there is takes every value over the seeds."""
    hand = np.random.default_rng(seed)

    def choose(*values):
        return values[hand.integers(len(values))]

    size, channels = int(hand.integers(9, 20)), int(choose(1, 3))
    convs: list[ConvSpec] = []
    side, inputs = size, channels
    while len(convs) < hand.integers(1, 6):
        kernel, stride = int(choose(1, 2, 3, 5)), int(choose(1, 1, 2))
        depthwise = inputs > 1 and hand.random() < 0.4
        groups = inputs if depthwise else int(choose(1, 1, 2) if inputs % 2 == 0 else 1)
        conv = ConvSpec(
            name=f"layer{len(convs)}",
            in_channels=inputs,
            out_channels=inputs if depthwise else groups * int(choose(1, 2, 4)),
            kernel=kernel,
            stride=stride,
            same_padding=bool(choose(True, False)),
            pool=bool(choose(True, False)),
            in_size=side,
            out_size=0,
            bias=bool(choose(True, False)),
            groups=groups,
            activation=choose(None, "none", "relu", "relu6", "lrelu"),
            norm=bool(choose(True, False)),
            pooling=choose("max", "average"),
            padded_behind=bool(choose(True, False)),
        )
        conv = replace(conv, padded_behind=conv.padded_behind and conv.padding > 0).at_size(side)
        if conv.conv_size < 1 or conv.out_size < 1:
            continue
        alike = [c.name for c in convs if (c.out_size, c.out_channels) == (conv.conv_size, conv.out_channels)]
        if alike and hand.random() < 0.7:
            conv = replace(conv, add=str(choose(*alike)))
        convs.append(conv)
        side, inputs = conv.out_size, conv.out_channels
    activation, head = choose("none", "relu", "relu6", "lrelu"), choose("flatten", "average")
    norm_first, unit = bool(choose(True, False)), bool(choose(True, False))
    return CnnSpec(size, channels, tuple(convs), activation, norm, head, norm_first, unit)


def any_weights(spec: CnnSpec, seed: int, *lead: int, dtype: type = np.float64) -> CnnWeights:
    """Random weights, with axes in front; large enough for relu6 to matter."""
    hand = np.random.default_rng(seed)
    tensors = {
        name: hand.normal(0, 1, (*lead, *shape)).astype(dtype)
        for name, shape in tensor_shapes(spec, WAY).items()
    }
    for block in tensor_names(spec).blocks:
        if block.norm:
            tensors[block.norm.variance] = np.abs(tensors[block.norm.variance]) + dtype(0.1)
    return CnnWeights.from_tensors(spec, tensors)


def random_bundle(seed: int) -> Bundle:
    """A CNN file of any description that there are whole numbers for, and of random weights."""
    return bundle_of(any_spec(seed), seed)


def bundle_of(spec: CnnSpec, seed: int) -> Bundle:
    """A CNN file of random weights."""
    tensors = any_weights(spec, seed, dtype=np.float32).to_tensors(spec)
    classes = tuple(f"class {i}" for i in range(WAY))
    return Bundle(spec, classes, Preprocessing(spec.image_size, spec.image_channels, "none", "pad"), tensors)
