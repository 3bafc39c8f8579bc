"""A generated CNN as C in whole numbers: one header without dependencies, fast on small processors.

The bits are those of `htgen.cnn.whole_numbers`. Channels come last, so that what a kernel reads of a line is
one run of bytes. Blocks work line by line: each keeps as many lines of its input as one line of its output
needs, with margins, so that no loop asks for borders. Two neighbouring places share each weight that is read.
"""

from collections.abc import Iterator
from string import Template

import numpy as np

from htgen.arrays import Pixels
from htgen.cnn.bundle import Bundle
from htgen.cnn.c_prepare import PREPARATION_BUFFERS, preparation
from htgen.cnn.c_source import (
    CCode,
    array,
    class_constants,
    comment,
    expect_parts_in_c,
    expect_small_arrays,
    expect_support_norm,
    identifier,
    template,
    text,
)
from htgen.cnn.c_whole_block import CBlock
from htgen.cnn.c_whole_selftest import selftest
from htgen.cnn.c_whole_sums import CSums
from htgen.cnn.spec import CnnSpec
from htgen.cnn.whole_numbers import WholeCnn, Wholes, whole_cnn
from htgen.errors import ModelError

CODE, CODE_TO_PREPARE = 2800, 3000
"""About how many bytes of instructions there are, at most: gcc -O2 for Cortex-M, without class names."""

_LARGEST_SIDE = 4096

_BELOW = Template("""\
    sum = -sum >> shift;
    ${upper}_WITHIN("15", 32767, sum);
    scaled -= sum * negative;
""")

_MARGINS = Template("""\
/* Margins of a line; one above the first or below the last is nothing else. Tells whether it is neither. */
static ${upper}_ALONE uint8_t ${name}_margins(uint8_t *line, int which, int16_t side, uint8_t margin,
                                     const uint8_t *zero, uint8_t channels)
{
    const uint8_t is_inside = which >= 0 && which < side;
    int i;
    uint8_t c;
    for (i = 0; i < side + 2 * margin; i++) {
        if (is_inside && i == margin) {
            i += side;
            line += side * channels;
        }
        for (c = 0; c < channels; c++)
            *line++ = ${upper}_UINT8(zero + c);
    }
    return is_inside;
}

""")

_COPY = Template("""\
static ${upper}_ALONE void ${name}_copy(uint8_t *to, const uint8_t *from, int16_t bytes)
{
    memcpy(to, from, (size_t)bytes);
}

""")

_INSTRUCTIONS = ((4.24, 115), (2.81, 48), (1.61, 58))
"""Of a multiply-add and of a block's output value, on a Cortex-M0, M3 and M4: `make devices`, gcc 12 -O2."""


def whole_code(bundle: Bundle, name: str, prepare: bool = False, images: Pixels | None = None) -> CCode:
    """Write a CNN as C99 in whole numbers.

    Args:
        name: what functions and constants begin with; what cannot stand in a C name becomes `_`.
        prepare: write what prepares frames too. It is for CNNs whose support images were prepared so.
        images: prepared `[N, C, H, W]`, for the self-test to store.

    Raises:
        ModelError: the CNN has a part for which there is no such C, its sums may not fit into 32 bits, there
            are too many classes, or names of classes clash.
    """
    expect_support_norm(bundle.spec)
    expect_parts_in_c(bundle.spec)
    for fault in _without_c(bundle.spec):
        raise ModelError(f"there is no C for {fault}", "the CNN file itself, with `htgen predict`")
    if prepare and not (bundle.preprocessing.device and bundle.preprocessing.ink == "bright"):
        raise ModelError(
            "the CNN's support images were prepared with steps that the C has not",
            "htgen generate --device, which makes a CNN for what --prepare writes",
        )
    return _Writer(bundle, whole_cnn(bundle), identifier(name)).code(prepare, images)


def _without_c(spec: CnnSpec) -> Iterator[str]:
    """Parts of a CNN that the templates have not."""
    for conv in spec.convs:
        if conv.groups > 1:
            yield f"the groups of {conv.name}"
        if conv.add:
            yield f"the sum of {conv.name} and {conv.add}"
        if conv.pool and conv.pooling != "max":
            yield f"the {conv.pooling} pool of {conv.name}"
        if not conv.norm:
            yield f"{conv.name}, which has no norm"
        if max(conv.in_channels, conv.out_channels, conv.kernel + conv.stride) > 255:
            yield f"more than 255 channels, or so large a kernel, in {conv.name}"
        if conv.in_size > _LARGEST_SIDE or conv.in_channels * conv.in_size > 32767:
            yield f"so large an image in {conv.name}"


class _Writer:
    def __init__(self, bundle: Bundle, cnn: WholeCnn, name: str) -> None:
        self.bundle, self.cnn, self.spec, self.name = bundle, cnn, bundle.spec, name
        self.upper = name.upper()
        parts = zip(self.spec.convs, cnn.blocks, strict=True)
        self.blocks = [CBlock(name, index, conv, whole) for index, (conv, whole) in enumerate(parts)]
        self.sizes: list[tuple[str, int]] = []
        self.leaks = any(block.negative.any() for block in cnn.blocks)
        last = self.spec.convs[-1]
        self.features = last.out_size**2 * last.out_channels

    def code(self, prepare: bool, images: Pixels | None) -> CCode:
        """The header, put together."""
        constants = list(self._constants())
        size = sum(size for _, size in self.sizes)
        buffers = sum(block.window for block in self.blocks) + self.features + 2 * len(self.blocks) + 4
        buffers += PREPARATION_BUFFERS if prepare else 0
        products = self.spec.multiply_adds(len(self.bundle.classes))
        written = template("c_whole").substitute(
            self._description(),
            **self._head(),
            bytes=size,
            code=CODE + (CODE_TO_PREPARE if prepare else 0),
            buffers=buffers,
            products=products,
            refusals="\n".join(expect_small_arrays(self.sizes)),
            constants="\n".join(constants),
            blocks="".join(self._blocks()),
            prepare=preparation(self.name, self.spec.image_size) if prepare else "",
            selftest=selftest(self.cnn, self.name, images),
        )
        return CCode(written, self.name, size, buffers, products, CODE + (CODE_TO_PREPARE if prepare else 0))

    def _description(self) -> dict[str, object]:
        """What the comment says, and classes."""
        spec, way = self.spec, len(self.bundle.classes)
        costs = dict(zip(("m0", "m3", "m4"), instructions(spec, way), strict=True))
        return {
            **{f"cost_{processor}": f"{count / 1e6:.2f}" for processor, count in costs.items()},
            "generator": comment(self.bundle.generator.get("name", "?")),
            "way": way,
            "channels": spec.image_channels,
            "plural": "" if spec.image_channels == 1 else "s",
            "side": spec.image_size,
            "pixels": spec.image_channels * spec.image_size**2,
            "name": self.name,
            "upper": self.upper,
            "step": f"{float(f'{self.cnn.logits_step:.9g}')!r}f",
            "enum": "\n".join(class_constants(self.bundle, self.name)),
            "labels": "\n".join(f"    {text(label)}," for label in self.bundle.classes),
        }

    def _head(self) -> dict[str, object]:
        """Buffers, and what reads the image and the features."""
        last, average = self.spec.convs[-1], self.spec.head == "average"
        return {
            "windows": "\n".join(
                f"static uint8_t {self.name}_window_{block.index + 1}[{block.window}];"
                for block in self.blocks
            ),
            "depth": len(self.blocks),
            "features": self.features,
            "negative_parameter": " int16_t negative," if self.leaks else "",
            "below": _BELOW.substitute(upper=self.upper) if self.leaks else "",
            "copy": _COPY.substitute(name=self.name, upper=self.upper)
            if self.spec.image_channels == 1 or any(block.rows > block.advance for block in self.blocks)
            else "",
            "margins": _MARGINS.substitute(name=self.name, upper=self.upper)
            if any(conv.padding for conv in self.spec.convs)
            else "",
            "image_line": self._image_line(),
            "starts": "\n".join(
                f"    {self.name}_next[{block.index}] = {-block.conv.padding};" for block in self.blocks
            ),
            "out_size": last.out_size,
            "out_line": last.out_size * last.out_channels,
            "logits_weight": f"w + i % {last.out_channels}" if average else "w + i",
            "logits_next": f"        w += {last.out_channels if average else self.features};",
        }

    def _array(self, kind: str, name: str, values: Wholes, size: int) -> Iterator[str]:
        self.sizes.append((f"{self.name}_{name}", size * values.size))
        yield from array(kind, f"{self.name}_{name}", values, f"{self.upper}_FLASH")

    def _constants(self) -> Iterator[str]:
        for block in self.blocks:
            conv, whole = block.conv, block.whole
            lines = whole.kernel.transpose(0, 2, 3, 1).reshape(conv.out_channels, conv.kernel, -1)
            lines = np.pad(lines, ((0, 0), (0, 0), (0, block.padded - block.run)))
            yield from self._array("int8_t", f"{conv.name}_weight", lines, 1)
            yield from self._array("int32_t", f"{conv.name}_bias", whole.bias, 4)
            yield from self._array("int16_t", f"{conv.name}_factor", whole.factor, 2)
            if self.leaks:
                yield from self._array("int16_t", f"{conv.name}_negative", whole.negative, 2)
            if block.summands:
                yield from self._array("int32_t", f"{conv.name}_summand", whole.summand, 4)
            if conv.padding:
                yield from self._array("uint8_t", f"{conv.name}_zero", whole.zero, 1)
            yield ""
        last = self.spec.convs[-1]
        weight = self.cnn.logits_weight.reshape(len(self.bundle.classes), last.out_channels, -1)
        yield from self._array("int8_t", "logits_weight", weight.transpose(0, 2, 1), 1)
        yield from self._array("int32_t", "logits_bias", self.cnn.logits_bias, 4)

    def _image_line(self) -> str:
        side, channels, image = self.spec.image_size, self.spec.image_channels, f"{self.name}_image"
        if channels == 1:
            return f"    {self.name}_copy(out, {image}, {side});\n    {image} += {side};"
        return f"""\
    int16_t i;
    uint8_t c;
    for (i = 0; i < {side}; i++, {image}++)
        for (c = 0; c < {channels}; c++)
            *out++ = {image}[c * {side * side}u];"""

    def _blocks(self) -> Iterator[str]:
        kinds = sorted({block.sums for block in self.blocks})
        for number, kind in enumerate(kinds):
            yield CSums(self.name, *kind).text(number)
        for block in self.blocks:
            yield block.text(f"{self.name}_sums_{kinds.index(block.sums)}", self.leaks)


def instructions(spec: CnnSpec, way: int) -> tuple[float, float, float]:
    """About how many instructions an image takes on a Cortex-M0, M3 and M4."""
    products = spec.multiply_adds(way)
    outputs = sum(conv.out_size**2 * conv.out_channels for conv in spec.convs)
    m0, m3, m4 = (product * products + output * outputs for product, output in _INSTRUCTIONS)
    return m0, m3, m4
