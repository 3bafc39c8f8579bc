"""A generated CNN as C, for devices with kilobytes: one header without dependencies but the C library.

It computes what `htgen.cnn.executor_numpy` does with an exported file. Each layer's max-pool is taken while
its convolution goes on, so that only what is left after it needs memory.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from string import Template

import numpy as np
import numpy.typing as npt

from htgen.arrays import Floats
from htgen.cnn.bundle import Bundle
from htgen.cnn.eight_bits import round_to_8_bits
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


@dataclass(frozen=True)
class CCode:
    """C source and what it needs.

    Attributes:
        text: of the header.
        name: what its functions begin with.
        constants: bytes of weights, which a device keeps in flash.
        buffers: bytes of memory in which an image is worked on.
        multiply_adds: of one image.
    """

    text: str
    name: str
    constants: int
    buffers: int
    multiply_adds: int


def c_code(bundle: Bundle, name: str, eight_bits: bool = False) -> CCode:
    """Write a CNN as C99.

    Args:
        name: what functions and constants begin with; what cannot stand in a C name becomes `_`.
        eight_bits: keep weights of convolutions and logits layer as `int8_t`, with one scale for each output
            channel or class: a quarter of the size. Arithmetic stays in float.

    Raises:
        ModelError: the CNN has norm `batch`: it cannot answer for one image. Or it has a part for which
            there is no C yet, or its norms are no numbers.
    """
    if bundle.spec.norm == "batch":
        raise ModelError(
            "a CNN with norm batch cannot answer for one image alone", "a generator with norm support"
        )
    for fault in _without_c(bundle.spec):
        raise ModelError(f"there is no C for {fault}", "the CNN file itself, with `htgen predict`")
    return _Writer(bundle, _identifier(name), eight_bits).code()


def _without_c(spec: CnnSpec) -> Iterator[str]:
    """Parts of a CNN that the template has not."""
    for conv in spec.convs:
        activation = spec.activation_of(conv)
        if conv.groups > 1:
            yield f"the groups of {conv.name}"
        if conv.add:
            yield f"the sum of {conv.name} and {conv.add}"
        if conv.pool and conv.pooling != "max":
            yield f"the {conv.pooling} pool of {conv.name}"
        if not conv.norm:
            yield f"{conv.name}, which has no norm"
        if activation != spec.activation or activation not in ("relu", "lrelu"):
            yield f"the activation {activation} of {conv.name}"


def _identifier(name: str) -> str:
    name = re.sub(r"[^0-9A-Za-z_]", "_", name)
    return name if re.match(r"[A-Za-z]", name) else f"cnn_{name}"


class _Writer:
    def __init__(self, bundle: Bundle, name: str, eight_bits: bool) -> None:
        self.bundle, self.spec, self.name, self.eight_bits = bundle, bundle.spec, name, eight_bits
        self.constants = 0

    def code(self) -> CCode:
        """The header, put together."""
        spec, way = self.spec, len(self.bundle.classes)
        template = Template(files("htgen.cnn").joinpath("c_header.h.in").read_text(encoding="utf-8"))
        constants = "\n".join(self._constants())
        sides = [(spec.image_channels, spec.image_size), *((c.out_channels, c.out_size) for c in spec.convs)]
        sizes = [channels * side * side for channels, side in sides]
        even, odd = max(sizes[0::2]), max(sizes[1::2])
        last = ("even", "odd")[len(spec.convs) % 2]
        text = template.substitute(
            self._arithmetic(),
            generator=_comment(self.bundle.generator.get("name", "?")),
            precision="8-bit" if self.eight_bits else "float",
            bytes=self.constants,
            buffers=4 * (even + odd),
            products=spec.multiply_adds(way),
            name=self.name,
            upper=self.name.upper(),
            way=way,
            pixels=sizes[0],
            labels="\n".join(f"    {_text(label)}," for label in self.bundle.classes),
            constants=constants,
            even=even,
            odd=odd,
            calls="\n".join(self._call(index, conv) for index, conv in enumerate(spec.convs)),
            average=self._average(last),
            last=last,
            features=spec.feature_count,
        )
        return CCode(text, self.name, self.constants, 4 * (even + odd), spec.multiply_adds(way))

    def _constants(self) -> Iterator[str]:
        """Of the layers; a norm is one factor and one summand for each channel."""
        weights = self.bundle.weights
        for conv, block in zip(self.spec.convs, weights.blocks, strict=True):
            assert block.norm is not None
            gamma, beta, mean, variance = (part.astype(np.float64) for part in block.norm.values())
            factor = gamma / np.sqrt(variance + NORM_EPSILON)
            yield from self._weights(conv.name, block.kernel)
            yield from self._floats(
                f"{conv.name}_bias", np.zeros(conv.out_channels) if block.bias is None else block.bias
            )
            yield from self._floats(f"{conv.name}_factor", factor)
            yield from self._floats(f"{conv.name}_summand", beta - mean * factor)
            yield ""
        yield from self._weights("logits", weights.logits_weight)
        yield from self._floats("logits_bias", weights.logits_bias)

    def _weights(self, layer: str, weights: Floats) -> Iterator[str]:
        if not self.eight_bits:
            yield from self._floats(f"{layer}_weight", weights)
            return
        steps, whole = round_to_8_bits(weights)
        yield from self._array("int8_t", f"{layer}_weight", [str(n) for n in whole.ravel().tolist()], 1)
        yield from self._floats(f"{layer}_step", steps)

    def _floats(self, name: str, values: npt.ArrayLike) -> Iterator[str]:
        with np.errstate(over="ignore"):
            numbers = np.asarray(values, np.float32).ravel()
        if not np.isfinite(numbers).all():
            raise ModelError(f"{name} holds what is no number in float32", "another CNN")
        return self._array("float", name, [_number(x) for x in numbers.tolist()], 4)

    def _array(self, kind: str, name: str, numbers: list[str], size: int) -> Iterator[str]:
        self.constants += size * len(numbers)
        yield f"static const {kind} {self.name}_{name}[{len(numbers)}] = {{"
        for start in range(0, len(numbers), 8):
            yield f"    {', '.join(numbers[start : start + 8])},"
        yield "};"

    def _arithmetic(self) -> dict[str, str]:
        """What depends on how weights are kept, and on the order of a block's steps."""
        order = self.spec.order
        slope = "0.0f" if self.spec.activation == "relu" else f"{_number(CNN_LEAKY_SLOPE)} * sum"
        normed = "{0} = {0} * factor[o] + summand[o];"
        if order.index("norm") < order.index("pool"):
            norms = {"before_pool": normed.format("sum"), "after_pool": "/* the norm came first */"}
        else:
            norms = {"before_pool": "/* the norm comes last */", "after_pool": normed.format("best")}
        return {
            **norms,
            "slope": slope,
            "kind": "int8_t" if self.eight_bits else "float",
            "step": ", const float *step" if self.eight_bits else "",
            "scaled": "sum * step[o] + bias[o]" if self.eight_bits else "sum + bias[o]",
            "product": f"sum * {self.name}_logits_step[k]" if self.eight_bits else "sum",
        }

    def _call(self, index: int, conv: ConvSpec) -> str:
        source, target = ("even", "odd") if index % 2 == 0 else ("odd", "even")
        sizes = f"{conv.in_channels}, {conv.in_size}, {target}, {conv.out_channels}, {conv.out_size}"
        how = f"{conv.kernel}, {conv.stride}, {conv.padding}, {2 if conv.pool else 1}"
        parts = ["weight", *(["step"] if self.eight_bits else []), "bias", "factor", "summand"]
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


def _text(label: str) -> str:
    """A string constant of UTF-8; what is not plain is an octal escape, which no later digit can lengthen."""
    plain = {*range(32, 127)} - {*b'"\\?'}
    return (
        '"'
        + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in label.encode("utf-8", "surrogatepass"))
        + '"'
    )


def _comment(text: str) -> str:
    return re.sub(r"[^\w. -]", "_", text)
