"""A generated CNN as C in whole numbers: one header without dependencies, fast on small processors.

The bits are those of `htgen.cnn.whole_numbers`. Channels come last, so that what a kernel reads of a line is
one run of bytes. Blocks work line by line: each keeps as many lines of its input as one line of its output
needs, with margins, so that no loop asks for borders. Two neighbouring places share each weight that is read.
"""

from collections.abc import Iterator
from importlib.resources import files
from string import Template

import numpy as np

from htgen.arrays import Pixels
from htgen.cnn.bundle import Bundle
from htgen.cnn.c_source import (
    CCode,
    array,
    class_constants,
    comment,
    expect_small_arrays,
    expect_support_norm,
    identifier,
    text,
)
from htgen.cnn.c_prepare import PREPARATION_BUFFERS, preparation
from htgen.cnn.c_whole_selftest import selftest
from htgen.cnn.c_whole_sums import Sums
from htgen.cnn.spec import CnnSpec, ConvSpec
from htgen.cnn.whole_numbers import WholeBlock, WholeCnn, whole_cnn
from htgen.errors import ModelError


def whole_code(
    bundle: Bundle, name: str, prepare: bool = False, images: Pixels | None = None
) -> CCode:
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
        if max(conv.in_channels, conv.out_channels, conv.kernel) > 255:
            yield f"more than 255 channels, in {conv.name}"
        if conv.in_size > 4096:
            yield f"sides over 4096 pixels, in {conv.name}"


def _template(name: str) -> Template:
    return Template(files("htgen.cnn").joinpath(f"{name}.h.in").read_text(encoding="utf-8"))


class _Block:
    """Sizes in one block's C.

    Attributes:
        rows: lines of input that one line of output needs.
        advance: lines by which the next line of output lies further down.
        pitch: bytes of a line with its margins.
        run: bytes that a kernel reads of a line, and `padded`, with weights of 0 up to a multiple of 4.
        across: bytes from one place of the convolution to the next.
    """

    def __init__(self, conv: ConvSpec) -> None:
        self.conv = conv
        span = 2 if conv.pool else 1
        self.rows = conv.kernel + (span - 1) * conv.stride
        self.advance = span * conv.stride
        self.cells = conv.in_size + 2 * conv.padding
        self.pitch = self.cells * conv.in_channels
        self.run = conv.kernel * conv.in_channels
        self.padded = -(-self.run // 4) * 4
        self.across = conv.stride * conv.in_channels
        # The second of two places may lie beyond the last, and weights of 0 read up to 3 bytes more.
        self.window = self.rows * self.pitch + self.across + 3

    @property
    def sums(self) -> tuple[int, ...]:
        """What the functions that add products differ in."""
        return self.conv.kernel, self.run, self.across, self.conv.stride if self.conv.pool else 0


class _Writer:
    def __init__(self, bundle: Bundle, cnn: WholeCnn, name: str) -> None:
        self.bundle, self.cnn, self.spec, self.name = bundle, cnn, bundle.spec, name
        self.blocks = [_Block(conv) for conv in self.spec.convs]
        self.sums = sorted({block.sums for block in self.blocks})
        self.sizes: list[tuple[str, int]] = []
        self.leaks = any(block.negative.any() for block in cnn.blocks)

    def code(self, prepare: bool, images: Pixels | None) -> CCode:
        """The header, put together."""
        spec, name, way = self.spec, self.name, len(self.bundle.classes)
        constants = list(self._constants())
        last = spec.convs[-1]
        features = last.out_size**2 * last.out_channels
        depth = len(self.blocks)
        buffers = sum(block.window for block in self.blocks) + features + 3 * depth
        buffers += PREPARATION_BUFFERS if prepare else 0
        pixels = spec.image_channels * spec.image_size**2
        average = spec.head == "average"
        products = spec.multiply_adds(way)
        m0, m3, m4 = instructions(spec, way)
        written = _template("c_whole").substitute(
            generator=comment(self.bundle.generator.get("name", "?")),
            way=way,
            bytes=sum(size for _, size in self.sizes),
            buffers=buffers,
            products=products,
            cost_m0=f"{m0 / 1e6:.2f}",
            cost_m3=f"{m3 / 1e6:.2f}",
            cost_m4=f"{m4 / 1e6:.2f}",
            channels=spec.image_channels,
            plural="" if spec.image_channels == 1 else "s",
            side=spec.image_size,
            pixels=pixels,
            name=name,
            upper=name.upper(),
            step=f"{self.cnn.logits_step:.9g}f" if self.cnn.logits_step < 1 else f"{self.cnn.logits_step:f}f",
            enum="\n".join(class_constants(self.bundle, name)),
            labels="\n".join(f"    {text(label)}," for label in self.bundle.classes),
            refusals="\n".join(expect_small_arrays(self.sizes)),
            constants="\n".join(constants),
            windows="\n".join(
                f"static uint8_t {name}_window_{i + 1}[{block.window}];" for i, block in enumerate(self.blocks)
            ),
            depth=depth,
            features=features,
            negative_parameter="int16_t negative," if self.leaks else "",
            otherwise="    else\n        scaled -= ((sum < -limit ? limit : -sum) >> shift) * negative;"
            if self.leaks
            else "",
            image_line=self._image_line(),
            sums="".join(self._sums(number, *key) for number, key in enumerate(self.sums)),
            blocks="".join(
                self._block(i, block, whole)
                for i, (block, whole) in enumerate(zip(self.blocks, self.cnn.blocks, strict=True))
            ),
            starts="\n".join(
                f"    {name}_next[{i}] = {-block.conv.padding};" for i, block in enumerate(self.blocks)
            ),
            out_size=last.out_size,
            out_line=last.out_size * last.out_channels,
            logits_weight=f"w + i % {last.out_channels}" if average else "w + i",
            logits_next=f"        w += {last.out_channels if average else features};",
            prepare=preparation(name, spec.image_size) if prepare else "",
            selftest=selftest(self.cnn, name, images),
        )
        return CCode(written, name, sum(size for _, size in self.sizes), buffers, products)

    def _array(self, kind: str, name: str, values: np.ndarray, size: int) -> Iterator[str]:
        self.sizes.append((f"{self.name}_{name}", size * values.size))
        yield from array(kind, f"{self.name}_{name}", values, f"{self.name.upper()}_FLASH")

    def _constants(self) -> Iterator[str]:
        for block, whole in zip(self.blocks, self.cnn.blocks, strict=True):
            conv = block.conv
            lines = whole.kernel.transpose(0, 2, 3, 1).reshape(conv.out_channels, conv.kernel, -1)
            lines = np.pad(lines, ((0, 0), (0, 0), (0, block.padded - block.run)))
            yield from self._array("int8_t", f"{conv.name}_weight", lines, 1)
            yield from self._array("int32_t", f"{conv.name}_bias", whole.bias, 4)
            yield from self._array("int16_t", f"{conv.name}_factor", whole.factor, 2)
            if self.leaks:
                yield from self._array("int16_t", f"{conv.name}_negative", whole.negative, 2)
            if len(set(whole.summand.tolist())) > 1:
                yield from self._array("int32_t", f"{conv.name}_summand", whole.summand, 4)
            yield from self._array("uint8_t", f"{conv.name}_zero", whole.zero, 1)
            yield ""
        last = self.spec.convs[-1]
        weight = self.cnn.logits_weight.reshape(len(self.bundle.classes), last.out_channels, -1)
        yield from self._array("int8_t", "logits_weight", weight.transpose(0, 2, 1), 1)
        yield from self._array("int32_t", "logits_bias", self.cnn.logits_bias, 4)

    def _image_line(self) -> str:
        side, channels = self.spec.image_size, self.spec.image_channels
        if channels == 1:
            return f"    memcpy(out, {self.name}_image, {side});\n    {self.name}_image += {side};"
        return f"""\
    int16_t i;
    uint8_t c;
    for (i = 0; i < {side}; i++, {self.name}_image++)
        for (c = 0; c < {channels}; c++)
            *out++ = {self.name}_image[c * {side * side}u];"""

    def _sums(self, number: int, kernel: int, run: int, across: int, stride: int) -> str:
        sums = Sums(self.name, kernel, run, across, stride)
        return _template("c_whole_sums").substitute(
            name=self.name,
            upper=self.name.upper(),
            id=number,
            kernel=kernel,
            run=run,
            across=across,
            what=f",\n * and {stride} lines below both; the largest." if stride else ".",
            result="int32_t" if stride else "void",
            sums="" if stride else ", int32_t *sums",
            plain=sums.plain(),
            dsp=sums.dsp(),
        )

    def _block(self, index: int, block: _Block, whole: WholeBlock) -> str:
        conv, name, upper = block.conv, self.name, self.name.upper()
        number, function = index + 1, f"{name}_sums_{self.sums.index(block.sums)}"
        if conv.pool:
            sums = (
                f"            int32_t sum = {function}(in, {block.pitch}, w);"
            )
            store = f"            *out = {self._byte('sum', conv, whole)};"
            move, x_step, next_out = 2 * block.across, "++", ""
        else:
            sums = f"            int32_t sums[2];\n            {function}(in, {block.pitch}, w, sums);"
            outputs = conv.out_channels
            store = (
                f"            *out = {self._byte('sums[0]', conv, whole)};\n"
                f"            if (x + 1 < {conv.out_size})\n"
                f"                out[{outputs}] = {self._byte('sums[1]', conv, whole)};"
            )
            move, x_step = 2 * block.across, " += 2"
            next_out = f"\n        out += {outputs};"
        return _template("c_whole_block").substitute(
            name=name,
            number=number,
            index=index,
            layer=conv.name,
            out_size=conv.out_size,
            outputs=conv.out_channels,
            rows=block.rows,
            pitch=block.pitch,
            advance=self._advance(index, block),
            fill=self._fill(index, block),
            sums=sums,
            store=store,
            weights=conv.kernel * block.padded,
            move=move,
            x_step=x_step,
            next_out=next_out,
            upper=upper,
        )

    def _advance(self, index: int, block: _Block) -> str:
        """What is kept of the lines that there are, and lines that nothing reads."""
        name, kept = self.name, block.rows - block.advance
        lines = [f"    if ({name}_lines[{index}]) {{"]
        if kept > 0:
            to, pitch = f"{name}_window_{index + 1}", block.pitch
            lines.append(
                f"        for (x = 0; x < {kept}; x++)\n"
                f"            memcpy({to} + x * {pitch}, {to} + (x + {block.advance}) * {pitch}, {pitch});"
            )
        lines.append(f"        {name}_lines[{index}] = {max(kept, 0)};")
        if kept < 0:
            start = f"{name}_window_{index + 1}"
            lines.append(
                f"        for (x = 0; x < {-kept}; x++, {name}_next[{index}]++)\n"
                f"            if ({name}_next[{index}] >= 0 && {name}_next[{index}] < {block.conv.in_size})\n"
                f"                {name}_line_{index}({start});"
            )
        return "\n".join([*lines, "    }"])

    def _fill(self, index: int, block: _Block) -> str:
        conv, name = block.conv, self.name
        if not conv.padding:
            return f"        {name}_line_{index}(line);"
        return (
            f"        {name}_margin(line, {block.cells}, {name}_{conv.name}_zero, {conv.in_channels});\n"
            f"        if ({name}_next[{index}] >= 0 && {name}_next[{index}] < {conv.in_size})\n"
            f"            {name}_line_{index}(line + {conv.padding * conv.in_channels});"
        )

    def _byte(self, total: str, conv: ConvSpec, whole: WholeBlock) -> str:
        upper, layer = self.name.upper(), f"{self.name}_{conv.name}"
        one = len(set(whole.summand.tolist())) == 1
        summand = whole.summand[0] if one else f"{upper}_INT32({layer}_summand + o)"
        negative = f" {upper}_INT16({layer}_negative + o)," if self.leaks else ""
        return (
            f"{self.name}_byte({total} + {upper}_INT32({layer}_bias + o), {whole.shift}, {whole.limit},\n"
            f"                {whole.down}, {upper}_INT16({layer}_factor + o),{negative}"
            f" {summand})"
        )


def instructions(spec: CnnSpec, way: int) -> tuple[float, float, float]:
    """About how many instructions an image takes on a Cortex-M0, M3 and M4."""
    products = spec.multiply_adds(way)
    return 5.0 * products, 3.0 * products, 2.0 * products
