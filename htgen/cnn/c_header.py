"""A generated CNN as C, for devices with kilobytes: one header without dependencies but the C library.

It computes what `htgen.cnn.executor_numpy` does with an exported file. Each layer's max-pool is taken while
its convolution goes on, so that only what is left after it needs memory.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from htgen.arrays import Floats
from htgen.cnn.bundle import Bundle
from htgen.cnn.eight_bits import round_to_8_bits
from htgen.cnn.spec import LEAKY_SLOPE, NORM_EPSILON, ConvSpec
from htgen.errors import ModelError


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
        ModelError: the CNN has norm `batch`: it cannot answer for one image. Or its norms are no numbers.
    """
    if bundle.spec.norm == "batch":
        raise ModelError(
            "a CNN with norm batch cannot answer for one image alone", "a generator with norm support"
        )
    return _Writer(bundle, _identifier(name), eight_bits).code()


def _identifier(name: str) -> str:
    name = re.sub(r"[^0-9A-Za-z_]", "_", name)
    return name if re.match(r"[A-Za-z]", name) else f"cnn_{name}"


class _Writer:
    def __init__(self, bundle: Bundle, name: str, eight_bits: bool) -> None:
        self.bundle, self.spec, self.name, self.eight_bits = bundle, bundle.spec, name, eight_bits
        self.constants = 0

    def code(self) -> CCode:
        """The header, put together."""
        layers = [*self._layers()]
        spec, way = self.spec, len(self.bundle.classes)
        sides = [(spec.image_channels, spec.image_size), *((c.out_channels, c.out_size) for c in spec.convs)]
        sizes = [channels * side * side for channels, side in sides]
        buffers = max(sizes[0::2]), max(sizes[1::2])
        products = spec.multiply_adds(way)
        kind = "8-bit" if self.eight_bits else "float"
        logits = [*self._logits()]
        text = "\n".join(
            [
                f"/* A CNN of {way} classes, written by `htgen export`; its weights are by the generator "
                f"{_comment(self.bundle.generator.get('name', '?'))}.",
                f" * {kind} weights: {self.constants} bytes of constants, {4 * sum(buffers)} bytes of "
                f"buffers, {products} multiply-adds an image.",
                " * Include it in one source file, and link the mathematical library (-lm). */",
                f"#ifndef {self.name.upper()}_CNN_H",
                f"#define {self.name.upper()}_CNN_H",
                "#include <math.h>",
                "#include <stdint.h>",
                "",
                f"#define {self.name.upper()}_CLASSES {way}",
                f"#define {self.name.upper()}_PIXELS {sizes[0]}",
                "",
                f"static const char *const {self.name}_class_names[{way}] = {{",
                *(f"    {_text(label)}," for label in self.bundle.classes),
                "};",
                "",
                *layers,
                *logits,
                *self._functions(sizes, buffers),
                "#endif",
                "",
            ]
        )
        return CCode(text, self.name, self.constants, 4 * sum(buffers), products)

    def _layers(self) -> Iterator[str]:
        """Constants of the convolutions; a norm is one factor and one summand for each channel."""
        tensors = self.bundle.tensors
        for conv in self.spec.convs:
            gamma, beta, mean, variance = (
                tensors[f"{conv.name}.norm.{part}"].astype(np.float64)
                for part in ("weight", "bias", "mean", "var")
            )
            factor = gamma / np.sqrt(variance + NORM_EPSILON)
            bias = tensors.get(f"{conv.name}.bias")
            yield from self._weights(conv.name, tensors[f"{conv.name}.weight"])
            yield from self._floats(
                f"{conv.name}_bias", np.zeros(conv.out_channels) if bias is None else bias
            )
            yield from self._floats(f"{conv.name}_factor", factor)
            yield from self._floats(f"{conv.name}_summand", beta - mean * factor)
            yield ""

    def _logits(self) -> Iterator[str]:
        yield from self._weights("logits", self.bundle.tensors["logits.weight"])
        yield from self._floats("logits_bias", self.bundle.tensors["logits.bias"])
        yield ""

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

    def _functions(self, sizes: list[int], buffers: tuple[int, int]) -> Iterator[str]:
        spec, name, way = self.spec, self.name, len(self.bundle.classes)
        kind, step = ("int8_t", ", const float *step") if self.eight_bits else ("float", "")
        scaled = "sum * step[o] + bias[o]" if self.eight_bits else "sum + bias[o]"
        slope = "0.0f" if spec.activation == "relu" else f"{_number(LEAKY_SLOPE)} * sum"
        norm = "{0} = {0} * factor[o] + summand[o];"
        before, after = norm.format("sum"), norm.format("best")
        yield f"""/* One block: images [channels][side][side]; weights [outputs][channels][kernel][kernel]. */
static void {name}_block(const float *in, int channels, int side, float *out, int outputs, int out_side,
                         int kernel, int stride, int padding, int pool, const {kind} *weight{step},
                         const float *bias, const float *factor, const float *summand)
{{
    const int size = channels * kernel * kernel;
    for (int o = 0; o < outputs; o++, weight += size)
    for (int y = 0; y < out_side; y++)
    for (int x = 0; x < out_side; x++) {{
        float best = -INFINITY;
        for (int p = 0; p < pool * pool; p++) {{
            const {kind} *w = weight;
            int top = (y * pool + p / pool) * stride - padding;
            int left = (x * pool + p % pool) * stride - padding;
            float sum = 0.0f;
            for (int c = 0; c < channels; c++)
            for (int i = top; i < top + kernel; i++)
            for (int j = left; j < left + kernel; j++, w++)
                if (i >= 0 && i < side && j >= 0 && j < side)
                    sum += in[(c * side + i) * side + j] * *w;
            sum = {scaled};
            {before if spec.norm_first else "/* the norm comes last */"}
            sum = sum > 0.0f ? sum : {slope};
            best = sum > best ? sum : best;
        }}
        {"/* the norm came first */" if spec.norm_first else after}
        *out++ = best;
    }}
}}

/* Logits of one image: pixels [channels][side][side], 0 to 255, prepared as those that the CNN was made
 * for. Not reentrant: the buffers are static. */
static inline void {name}_logits(const uint8_t pixels[{sizes[0]}], float logits[{way}])
{{
    static float even[{buffers[0]}], odd[{buffers[1]}];
    for (int i = 0; i < {sizes[0]}; i++)
        even[i] = pixels[i] / 128.0f - 1.0f;"""
        for index, conv in enumerate(spec.convs):
            yield self._call(index, conv)
        last = ("even", "odd")[len(spec.convs) % 2]
        positions = spec.convs[-1].out_size ** 2
        if spec.head == "average":
            yield f"""    for (int c = 0; c < {spec.feature_count}; c++) {{
        float sum = 0.0f;
        for (int i = 0; i < {positions}; i++)
            sum += {last}[c * {positions} + i];
        {last}[c] = sum / {positions};
    }}"""
        product = "sum * {0}_logits_step[k]" if self.eight_bits else "sum"
        yield f"""    const {kind} *w = {name}_logits_weight;
    for (int k = 0; k < {way}; k++) {{
        float sum = 0.0f;
        for (int f = 0; f < {spec.feature_count}; f++)
            sum += {last}[f] * *w++;
        logits[k] = {product.format(name)} + {name}_logits_bias[k];
    }}
}}

/* Index of the most probable class of one image, and its probability, 0 to 1. */
static inline int {name}_classify(const uint8_t pixels[{sizes[0]}], float *probability)
{{
    float logits[{way}], sum = 0.0f;
    int best = 0;
    {name}_logits(pixels, logits);
    for (int k = 1; k < {way}; k++)
        if (logits[k] > logits[best])
            best = k;
    for (int k = 0; k < {way}; k++)
        sum += expf(logits[k] - logits[best]);
    *probability = 1.0f / sum;
    return best;
}}
"""

    def _call(self, index: int, conv: ConvSpec) -> str:
        source, target = ("even", "odd") if index % 2 == 0 else ("odd", "even")
        sizes = f"{conv.in_channels}, {conv.in_size}, {target}, {conv.out_channels}, {conv.out_size}"
        how = f"{conv.kernel}, {conv.stride}, {conv.padding}, {2 if conv.pool else 1}"
        parts = ["weight", *(["step"] if self.eight_bits else []), "bias", "factor", "summand"]
        constants = ", ".join(f"{self.name}_{conv.name}_{part}" for part in parts)
        return f"    {self.name}_block({source}, {sizes}, {how},\n        {constants});"


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
