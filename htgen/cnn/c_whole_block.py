"""The C of one block in whole numbers: which lines of its input it keeps, and one line of its output."""

from collections.abc import Iterator
from dataclasses import dataclass
from string import Template

from htgen.cnn.c_source import template
from htgen.cnn.spec import ConvSpec
from htgen.cnn.whole_numbers import WholeBlock

_KEEP = Template("        ${name}_copy($window, $window + $ahead, $bytes);\n")

_KEEP_LINES = Template("""\
        for (; line < $kept; line++)
            ${name}_copy($window + line * $pitch, $window + (line + $advance) * $pitch, $pitch);
""")

_SKIP = Template("""\
        for (; line < $skipped; line++, next++)
            if (next >= 0 && next < $side)
                ${name}_line_$index($window);
""")

_FILL = Template("""\
        if (${name}_margins(to, next, $side, $margin, ${layer}_zero, $channels))
            ${name}_line_$index(to + $before);""")


@dataclass(frozen=True)
class CBlock:
    """A block's sizes, and its C.

    Attributes:
        name: what functions begin with.
        index: of the block, from 0.
    """

    name: str
    index: int
    conv: ConvSpec
    whole: WholeBlock

    @property
    def rows(self) -> int:
        """Lines of input that one line of output needs."""
        return self.conv.kernel + (self.conv.stride if self.conv.pool else 0)

    @property
    def advance(self) -> int:
        """Lines of input by which the next line of output lies further down."""
        return (2 if self.conv.pool else 1) * self.conv.stride

    @property
    def cells(self) -> int:
        """Places in a line with its margins."""
        return self.conv.in_size + 2 * self.conv.padding

    @property
    def pitch(self) -> int:
        """Bytes of a line with its margins."""
        return self.cells * self.conv.in_channels

    @property
    def run(self) -> int:
        """Bytes that the kernel reads of a line."""
        return self.conv.kernel * self.conv.in_channels

    @property
    def padded(self) -> int:
        """Weights for a line, some of them 0: a multiple of 4."""
        return -(-self.run // 4) * 4

    @property
    def across(self) -> int:
        """Bytes from one place of the convolution to the next."""
        return self.conv.stride * self.conv.in_channels

    @property
    def window(self) -> int:
        """Bytes of all lines. The second of two places may lie beyond the last, and weights of 0 read up to 3
        bytes more."""
        return self.rows * self.pitch + self.across + 3

    @property
    def sums(self) -> tuple[int, int, int, int]:
        """What functions that add products differ in: see `htgen.cnn.c_whole_sums.CSums`."""
        return self.conv.kernel, self.run, self.across, self.conv.stride if self.conv.pool else 0

    @property
    def summands(self) -> bool:
        """Whether its channels have summands of their own."""
        return len(set(self.whole.summand.tolist())) > 1

    def text(self, function: str, leaks: bool) -> str:
        """The function that makes the next line of its output.

        Args:
            function: which adds the products.
            leaks: whether sums below 0 count, in any block.
        """
        pool, outputs = self.conv.pool, self.conv.out_channels
        return template("c_whole_block").substitute(
            name=self.name,
            number=self.index + 1,
            upper=self.name.upper(),
            index=self.index,
            layer=self.conv.name,
            out_size=self.conv.out_size,
            outputs=outputs,
            rows=self.rows,
            first=-self.conv.padding,
            pitch=self.pitch,
            advance="".join(self._advance()),
            fill=self._fill(),
            sums="\n".join(self._sums(function, leaks)),
            weights=self.conv.kernel * self.padded,
            move=2 * self.across,
            x_step="++" if pool else " += 2",
            next_out="" if pool else f"\n        out += {outputs};",
        )

    def _advance(self) -> Iterator[str]:
        """What is kept of the lines that there are; lines that nothing reads are left out."""
        kept, window = self.rows - self.advance, f"{self.name}_window_{self.index + 1}"
        names = {"name": self.name, "window": window, "pitch": self.pitch, "advance": self.advance}
        if kept > self.advance:  # from where they are to where they go, they overlap
            yield _KEEP_LINES.substitute(names, kept=kept)
            return
        if kept > 0:
            yield _KEEP.substitute(names, ahead=self.advance * self.pitch, bytes=kept * self.pitch)
        elif kept < 0:
            yield _SKIP.substitute(names, skipped=-kept, side=self.conv.in_size, index=self.index)
        yield f"        line = {max(kept, 0)};"

    def _fill(self) -> str:
        """A line of the input, between margins."""
        conv = self.conv
        if not conv.padding:
            return f"        {self.name}_line_{self.index}(to);"
        return _FILL.substitute(
            name=self.name,
            layer=f"{self.name}_{conv.name}",
            channels=conv.in_channels,
            side=conv.in_size,
            index=self.index,
            margin=conv.padding,
            before=conv.padding * conv.in_channels,
        )

    def _sums(self, function: str, leaks: bool) -> Iterator[str]:
        """One output of a pool, or two neighbouring ones."""
        if self.conv.pool:
            yield f"            *out = {self._byte(f'{function}(in, {self.pitch}, w)', leaks)};"
            return
        yield "            int32_t sums[2];"
        yield "            uint8_t beside;"
        yield f"            {function}(in, {self.pitch}, w, sums);"
        yield f"            for (beside = 0; beside < 2 && x + beside < {self.conv.out_size}; beside++)"
        byte = self._byte("sums[beside]", leaks)
        yield f"                out[beside * {self.conv.out_channels}] = {byte};"

    def _byte(self, total: str, leaks: bool) -> str:
        upper, layer, whole = self.name.upper(), f"{self.name}_{self.conv.name}", self.whole
        summand = f"{upper}_INT32({layer}_summand + o)" if self.summands else f"{whole.summand[0]}"
        negative = f" {upper}_INT16({layer}_negative + o)," if leaks else ""
        return (
            f"{self.name}_byte({total} + {upper}_INT32({layer}_bias + o), {whole.shift},\n"
            f"                {whole.down}, {upper}_INT16({layer}_factor + o),{negative} {summand})"
        )
