"""A generated CNN as C in whole numbers: one header without dependencies, fast on small processors.

The bits are those of `htgen.cnn.whole_numbers`. Channels come last, so that what a kernel reads of a line is
one run of bytes. Blocks work line by line: each keeps as many lines of its input as one line of its output
needs, with margins, so that no loop asks for borders. Two neighbouring places share each weight that is read.
"""

from collections.abc import Iterator

import numpy as np

from htgen.arrays import Pixels
from htgen.cnn.bundle import Bundle
from htgen.cnn.c_common import (
    CCode,
    array,
    class_constants,
    comment,
    expect_small_arrays,
    expect_support_norm,
    identifier,
    template,
    text,
)
from htgen.cnn.c_prepare import preparation, preparation_buffers
from htgen.cnn.c_whole_block import CBlock
from htgen.cnn.c_whole_length import CODE_OF_LENGTH, has_factors, length_functions, means
from htgen.cnn.c_whole_lines import kept_lines
from htgen.cnn.c_whole_parts import again, functions
from htgen.cnn.c_whole_selftest import selftest
from htgen.cnn.c_whole_sums import TURNED, CSums
from htgen.cnn.spec import CnnSpec
from htgen.cnn.whole_executor import WholeCnn
from htgen.cnn.whole_length import Wholes
from htgen.cnn.whole_numbers import whole_cnn
from htgen.errors import ModelError

CODE, CODE_TO_PREPARE = 2800, 4800
"""About how many bytes of instructions there are, at most: gcc -O2 for Cortex-M0, class names included.
An M4 needs two thirds. `make devices` counts them."""

CODE_OF_A_BLOCK = 570
"""How many more there are for each block beyond the fourth."""

_LARGEST_SIDE = 4096

_MOST = 32767
"""Of levels in a line, or of features."""

_INSTRUCTIONS = {
    8: ((4.24, 115), (2.81, 48), (1.61, 58)),
    16: ((4.48, 78.7), (2.95, 21.0), (1.44, 34.2)),
}
"""Of a multiply-add and of a block's output value, on a Cortex-M0, M3 and M4, by the bits of levels: of what
gcc 12 -O2 makes of `glyph-8` and `glyph-64`, `photo-40`, `photo-small` and that
of before. `make devices` compares others."""


def whole_code(
    bundle: Bundle,
    name: str,
    prepare: bool = False,
    images: Pixels | None = None,
    bits: int | None = None,
) -> CCode:
    """Write a CNN as C99 in whole numbers.

    Args:
        name: what functions and constants begin with; what cannot stand in a C name becomes `_`.
        prepare: write what prepares frames too. It is for CNNs whose support images were prepared so.
        images: prepared `[N, C, H, W]`, for the self-test to store.
        bits: of activations, 8 or 16; None for what suits the CNN.

    Raises:
        ModelError: the CNN has a part for which there is no such C, there are too many classes, or names of
            classes clash.
    """
    expect_support_norm(bundle.spec)
    for fault in _too_large(bundle.spec):
        raise ModelError(f"there is no C for {fault}", "the CNN file itself, with `htgen predict`")
    if prepare and not (bundle.preprocessing.device and bundle.preprocessing.ink == "bright"):
        raise ModelError(
            "the CNN's support images were prepared with steps that the C has not",
            "htgen generate --device, which makes a CNN for what --prepare writes",
        )
    return _Writer(bundle, whole_cnn(bundle, bits), identifier(name)).code(prepare, images)


def _too_large(spec: CnnSpec) -> Iterator[str]:
    """Parts of a CNN that the numbers of the C cannot count."""
    for conv in spec.convs:
        if conv.kernel + conv.stride > 255:
            yield f"so large a kernel in {conv.name}"
        if conv.in_size > _LARGEST_SIDE or conv.in_channels * (conv.in_size + 2 * conv.padding) > _MOST:
            yield f"so large an image in {conv.name}"
        if conv.out_size * conv.out_channels > _MOST:
            yield f"so many channels in {conv.name}"
    if spec.feature_count > _MOST or spec.convs[-1].out_size ** 2 > 1 << 16:
        yield f"{spec.feature_count} features"


class _Writer:
    def __init__(self, bundle: Bundle, cnn: WholeCnn, name: str) -> None:
        self.bundle, self.cnn, self.spec, self.name = bundle, cnn, bundle.spec, name
        self.upper, self.level = name.upper(), f"uint{cnn.bits}_t"
        convs = self.spec.convs
        self.kept = kept_lines(convs)
        names = [conv.name for conv in convs]
        self.blocks = [
            CBlock(
                name,
                index,
                conv,
                whole,
                cnn.bits,
                added=names.index(conv.add) if conv.add else -1,
                keeps=index - 1 in self.kept,
                levels=cnn.levels,
            )
            for index, (conv, whole) in enumerate(zip(convs, cnn.blocks, strict=True))
        ]
        self.sizes: list[tuple[str, int]] = []
        self.leaks = any(block.negative.any() for block in cnn.blocks if block.residual is None)
        self.tops = any((block.top < cnn.levels).any() for block in cnn.blocks)
        self.averages = self.spec.head == "average" and (cnn.bits == 16 or cnn.length is not None)
        self.logits_bits = 16 if cnn.length else cnn.bits
        last = convs[-1]
        self.features = last.out_size * last.out_channels * (1 if self.averages else last.out_size)

    def code(self, prepare: bool, images: Pixels | None) -> CCode:
        """The header, put together."""
        constants, how = list(self._constants()), self.bundle.preprocessing
        size = sum(size for _, size in self.sizes)
        products = self.spec.multiply_adds(len(self.bundle.classes))
        code = CODE + CODE_OF_A_BLOCK * max(len(self.blocks) - 4, 0) + (CODE_TO_PREPARE if prepare else 0)
        code += CODE_OF_LENGTH if self.cnn.length else 0
        buffers = self._buffers() + (preparation_buffers(how) if prepare else 0)
        written = template("c_whole").substitute(
            self._description(),
            **self._head(),
            bytes=size,
            code=code,
            buffers=buffers,
            products=products,
            refusals="\n".join(expect_small_arrays(self.sizes)),
            constants="\n".join(constants),
            functions=self._functions(),
            blocks="".join(self._blocks()),
            prepare=preparation(self.name, how) if prepare else "",
            selftest=selftest(self.cnn, self.name, images),
        )
        return CCode(written, self.name, size, buffers, products, code, prepare)

    def _kept(self) -> Iterator[tuple[int, int, int]]:
        """Of each block that is added later: its number, lines that are kept, levels of a line."""
        for index, depth in sorted(self.kept.items()):
            conv = self.spec.convs[index]
            yield index + 1, depth, conv.out_size * conv.out_channels

    def _buffers(self) -> int:
        """Bytes of memory, with the pointer to the image."""
        levels = sum(block.window for block in self.blocks) + self.features
        levels += sum(depth * width for _, depth, width in self._kept())
        counters = 2 * len(self.blocks) + 2 * len(self.kept)
        features = (4 * self.averages + 2 * (self.cnn.length is not None)) * self.spec.feature_count
        return levels * self.cnn.bits // 8 + counters + 4 + features

    def _description(self) -> dict[str, object]:
        """What the comment says, and classes."""
        spec, way = self.spec, len(self.bundle.classes)
        costs = dict(zip(("m0", "m3", "m4"), instructions(spec, way, self.cnn.bits), strict=True))
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
        name = self.name
        buffers = [f"{self.level} {name}_window_{block.index + 1}[{block.window}]" for block in self.blocks]
        starts = [f"{name}_next[{block.index}] = {block.reading.first}" for block in self.blocks]
        for number, depth, width in self._kept():
            buffers += [
                f"{self.level} {name}_kept_{number}[{depth * width}]",
                f"int16_t {name}_made_{number}",
            ]
            starts.append(f"{name}_made_{number} = 0")
        if self.averages:
            buffers.append(f"uint32_t {name}_totals[{self.spec.feature_count}]")
        if self.cnn.length:
            buffers.append(f"int16_t {name}_unit[{self.spec.feature_count}]")
        return {
            "windows": "\n".join(f"static {buffer};" for buffer in buffers),
            "level": self.level,
            "depth": len(self.blocks),
            "features": self.features,
            "image_line": self._image_line(),
            "starts": "\n".join(f"    {start};" for start in starts),
            **self._reading_of_features(),
        }

    def _reading_of_features(self) -> dict[str, object]:
        """How the logits layer gets what it reads."""
        name, upper, last, length = self.name, self.upper, self.spec.convs[-1], self.cnn.length
        weight, wide = ("INT8", "") if self.logits_bits == 8 else ("INT16", "(int32_t)")
        per_channel = self.spec.head == "average"
        inputs = self.spec.feature_count if self.averages else self.features
        each = f"{name}_line_{len(self.blocks)}({name}_features + i * {last.out_size * last.out_channels});"
        lines = f"    for (i = 0; i < {last.out_size}; i++)\n        {each}"
        reading = means(self.spec, name, length) if self.averages else lines
        at = f"w + i % {last.out_channels}" if per_channel and not self.averages else "w + i"
        return {
            "logits_kind": f"{weight.lower()}_t",
            "read_features": f"{reading}\n    {name}_to_length();" if length else reading,
            "inputs": inputs,
            "product": f"{wide}{upper}_{weight}({at}) * {name}_{'unit' if length else 'features'}[i]",
            "logits_next": f"        w += {last.out_channels if per_channel else self.features};",
        }

    def _array(self, kind: str, name: str, values: Wholes, size: int) -> Iterator[str]:
        self.sizes.append((f"{self.name}_{name}", size * values.size))
        yield from array(kind, f"{self.name}_{name}", values, f"{self.upper}_FLASH")

    def _constants(self) -> Iterator[str]:
        bits = self.cnn.bits
        for block in self.blocks:
            conv, whole, layer = block.conv, block.whole, block.conv.name
            size = block.sums.weight_bytes
            yield from self._array(f"int{8 * size}_t", f"{layer}_weight", self._weights(block), size)
            yield from self._array("int32_t", f"{layer}_bias", whole.bias, 4)
            yield from self._array("int16_t", f"{layer}_factor", whole.factor, 2)
            if whole.residual is not None:
                yield from self._array("int16_t", f"{layer}_share", whole.residual.share, 2)
                yield from self._array("int32_t", f"{layer}_offset", whole.residual.offset, 4)
            elif self.leaks:
                yield from self._array("int16_t", f"{layer}_negative", whole.negative, 2)
            if block.has_shifts:
                yield from self._array("uint8_t", f"{layer}_shift", whole.shift, 1)
            if block.has_summands:
                yield from self._array("int32_t", f"{layer}_summand", whole.summand, 4)
            if (whole.top < self.cnn.levels).any():
                yield from self._array("uint16_t", f"{layer}_top", whole.top, 2)
            if conv.padding:
                yield from self._array(self.level, f"{layer}_zero", whole.zero, bits // 8)
            yield ""
        last = self.spec.convs[-1]
        weight = self.cnn.logits_weight.reshape(len(self.bundle.classes), last.out_channels, -1)
        size = self.logits_bits // 8
        yield from self._array(f"int{8 * size}_t", "logits_weight", weight.transpose(0, 2, 1), size)
        yield from self._array("int32_t", "logits_bias", self.cnn.logits_bias, 4)
        if self.cnn.length and has_factors(self.cnn.length):
            yield from self._array("int16_t", "length_factor", self.cnn.length.factor, 2)
        if self.cnn.length and self.cnn.length.zero.any():
            yield from self._array("int32_t", "length_zero", self.cnn.length.zero, 4)

    def _weights(self, block: CBlock) -> Wholes:
        """`[O, k, weights of a line]`, as the inner loops read them."""
        kind = block.sums
        lines = block.whole.kernel.transpose(0, 2, 3, 1).reshape(block.conv.out_channels, kind.kernel, -1)
        lines = np.pad(lines, ((0, 0), (0, 0), (0, kind.padded - kind.run)))
        if self.cnn.bits == 16 and kind.weight_bytes == 1 and not kind.is_grouped:
            lines = lines.reshape(*lines.shape[:2], -1, 4)[..., list(TURNED)].reshape(lines.shape)
        return lines

    def _functions(self) -> str:
        copies = self.spec.image_channels == 1 and self.cnn.bits == 8
        copies |= any(block.reading.rows > block.reading.advance for block in self.blocks) or bool(self.kept)
        text = functions(self.cnn, self.name, leaks=self.leaks, tops=self.tops, copies=copies)
        length = self.cnn.length
        return text + (length_functions(self.spec, length, self.name) if length else "")

    def _image_line(self) -> str:
        side, channels, image = self.spec.image_size, self.spec.image_channels, f"{self.name}_image"
        if channels == 1 and self.cnn.bits == 8:
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
            yield CSums(self.name, kind, self.cnn.bits).text(number)
        kept = again(self.name, self.cnn.bits, self._kept())
        for block in self.blocks:
            yield block.text(f"{self.name}_sums_{kinds.index(block.sums)}", self.leaks, self.tops)
            yield kept.get(block.index + 1, "")


def instructions(spec: CnnSpec, way: int, bits: int) -> tuple[float, float, float]:
    """About how many instructions an image takes on a Cortex-M0, M3 and M4, to within a tenth.

    Args:
        bits: of levels.
    """
    products = spec.multiply_adds(way)
    outputs = sum(conv.out_size**2 * conv.out_channels for conv in spec.convs)
    m0, m3, m4 = (product * products + output * outputs for product, output in _INSTRUCTIONS[bits])
    return m0, m3, m4
