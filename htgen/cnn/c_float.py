"""A generated CNN as C in float: one header without dependencies but the C library.

It computes what `htgen.cnn.executor_numpy` does with an exported file. Each layer's max-pool is taken while
its convolution goes on, so that only what is left after it needs memory.
"""

from collections.abc import Iterator
from string import Template

import numpy as np
import numpy.typing as npt

from htgen.cnn.bundle import Bundle
from htgen.cnn.c_common import (
    CCode,
    array,
    comment,
    expect_support_norm,
    identifier,
    template,
    text,
)
from htgen.cnn.spec import CNN_LEAKY_SLOPE, NORM_EPSILON, CnnSpec, ConvSpec
from htgen.errors import ModelError

_AVERAGE = Template("""\
    for (int c = 0; c < $features; c++) {
        float sum = 0.0f;
        for (int i = 0; i < $positions; i++)
            sum += $last[c * $positions + i];
        $last[c] = sum / $positions;
    }
""")


def float_code(bundle: Bundle, name: str) -> CCode:
    """Write a CNN as C99 in float.

    Args:
        name: what functions and constants begin with; what cannot stand in a C name becomes `_`.

    Raises:
        ModelError: the CNN has norm `batch`: it cannot answer for one image. Or it has a part for which
            there is no C in float.
    """
    expect_support_norm(bundle.spec)
    for fault in _without_c(bundle.spec):
        raise ModelError(f"there is no C in float for {fault}", "htgen export without --float")
    return _Writer(bundle, identifier(name)).code()


def _without_c(spec: CnnSpec) -> Iterator[str]:
    """Parts of a CNN that the template has not."""
    if spec.unit_features:
        yield "features of length 1"
    for conv in spec.convs:
        activation = spec.activation_of(conv)
        if conv.groups > 1:
            yield f"the groups of {conv.name}"
        if conv.padded_behind:
            yield f"the padding of {conv.name}"
        if conv.add:
            yield f"the sum of {conv.name} and {conv.add}"
        if conv.pool and conv.pooling != "max":
            yield f"the {conv.pooling} pool of {conv.name}"
        if not conv.norm:
            yield f"{conv.name}, which has no norm"
        if activation != spec.activation or activation not in ("relu", "lrelu"):
            yield f"the activation {activation} of {conv.name}"


class _Writer:
    def __init__(self, bundle: Bundle, name: str) -> None:
        self.bundle, self.spec, self.name = bundle, bundle.spec, name
        self.constants = 0

    def code(self) -> CCode:
        """The header, put together."""
        spec, way = self.spec, len(self.bundle.classes)
        constants = "\n".join(self._constants())
        sides = [(spec.image_channels, spec.image_size), *((c.out_channels, c.out_size) for c in spec.convs)]
        sizes = [channels * side * side for channels, side in sides]
        even, odd = max(sizes[0::2]), max(sizes[1::2])
        last = ("even", "odd")[len(spec.convs) % 2]
        written = template("c_float").substitute(
            self._arithmetic(),
            generator=comment(self.bundle.generator.get("name", "?")),
            bytes=self.constants,
            buffers=4 * (even + odd),
            products=spec.multiply_adds(way),
            name=self.name,
            upper=self.name.upper(),
            way=way,
            pixels=sizes[0],
            labels="\n".join(f"    {text(label)}," for label in self.bundle.classes),
            constants=constants,
            even=even,
            odd=odd,
            calls="\n".join(self._call(index, conv) for index, conv in enumerate(spec.convs)),
            average=self._average(last),
            last=last,
            features=spec.feature_count,
        )
        return CCode(written, self.name, self.constants, 4 * (even + odd), spec.multiply_adds(way))

    def _constants(self) -> Iterator[str]:
        """Of the layers; a norm is one factor and one summand for each channel."""
        weights = self.bundle.weights
        for conv, block in zip(self.spec.convs, weights.blocks, strict=True):
            assert block.norm is not None
            gamma, beta, mean, variance = (part.astype(np.float64) for part in block.norm.values())
            factor = gamma / np.sqrt(variance + NORM_EPSILON)
            yield from self._floats(f"{conv.name}_weight", block.kernel)
            yield from self._floats(
                f"{conv.name}_bias", np.zeros(conv.out_channels) if block.bias is None else block.bias
            )
            yield from self._floats(f"{conv.name}_factor", factor)
            yield from self._floats(f"{conv.name}_summand", beta - mean * factor)
            yield ""
        yield from self._floats("logits_weight", weights.logits_weight)
        yield from self._floats("logits_bias", weights.logits_bias)

    def _floats(self, name: str, values: npt.ArrayLike) -> Iterator[str]:
        numbers = np.asarray(values, np.float32).ravel()  # bounds of CNN files keep them finite
        self.constants += 4 * numbers.size
        yield from array("float", f"{self.name}_{name}", [_number(x) for x in numbers.tolist()])

    def _arithmetic(self) -> dict[str, str]:
        """What depends on the order of a block's steps."""
        order = self.spec.order
        slope = "0.0f" if self.spec.activation == "relu" else f"{_number(CNN_LEAKY_SLOPE)} * {{0}}"
        steps = {
            "norm": "{0} = {0} * factor[o] + summand[o];",
            "activation": f"{{0}} = {{0}} > 0.0f ? {{0}} : {slope};",
        }
        pool = order.index("pool")
        before = [steps[step].format("sum") for step in order[:pool] if step in steps]
        if "norm" not in order[:pool]:
            before.insert(0, "/* the norm comes last */")
        after = [steps[step].format("best") for step in order[pool:] if step in steps]
        return {
            "before_pool": "\n            ".join(before),
            "after_pool": "\n        ".join(after or ["/* the norm came first */"]),
        }

    def _call(self, index: int, conv: ConvSpec) -> str:
        source, target = ("even", "odd") if index % 2 == 0 else ("odd", "even")
        sizes = f"{conv.in_channels}, {conv.in_size}, {target}, {conv.out_channels}, {conv.out_size}"
        how = f"{conv.kernel}, {conv.stride}, {conv.padding}, {2 if conv.pool else 1}"
        parts = ("weight", "bias", "factor", "summand")
        constants = ", ".join(f"{self.name}_{conv.name}_{part}" for part in parts)
        return f"    {self.name}_block({source}, {sizes}, {how},\n        {constants});"

    def _average(self, last: str) -> str:
        """Global average pooling of the last activations, in place, if the head has it."""
        if self.spec.head != "average":
            return ""
        positions = self.spec.convs[-1].out_size ** 2
        return _AVERAGE.substitute(features=self.spec.feature_count, positions=positions, last=last)


def _number(value: float) -> str:
    """A float constant that gives back the same 32 bits."""
    text = f"{value:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"
