"""The C of one block in whole numbers: which lines of its input it keeps, and one line of its output."""

from collections.abc import Iterator
from dataclasses import dataclass
from string import Template

from htgen.cnn.c_common import template
from htgen.cnn.c_whole_lines import Reading
from htgen.cnn.c_whole_sums import SumsKind
from htgen.cnn.spec import ConvSpec
from htgen.cnn.whole_executor import WholeBlock

_KEEP = Template("        ${name}_copy($window, $window + $ahead, $bytes);\n")

_KEEP_LINES = Template("""\
        for (; line < $kept; line++)
            ${name}_copy($window + line * $pitch, $window + (line + $advance) * $pitch, $pitch);
""")

_SKIP = Template("""\
        for (; line < $skipped; line++, next++)
            if (next >= 0 && next < $side)
                $read($window$row);
""")

_FILL = Template("""\
        if (${name}_margins(to, next, $side, $before, $behind, ${layer}_zero, $channels))
            $read(to + $start$row);""")

_LATE_POOL = Template("""\
            int32_t sums[4], all = 0;
            uint8_t place;
            $function(in$inside, $pitch, w, sums);
            for (place = 0; place < 4; place++) {
                const int32_t level = $level;
                $take
            }
            *out = ($kind)$result;""")


@dataclass(frozen=True)
class CBlock:
    """A block's sizes, and its C.

    Attributes:
        name: what functions begin with.
        index: of the block, from 0.
        bits: of its levels, 8 or 16.
        added: index of the block that is added, or -1.
        keeps: whether the lines that it reads are kept for a later block too.
        levels: largest level.
    """

    name: str
    index: int
    conv: ConvSpec
    whole: WholeBlock
    bits: int
    added: int
    keeps: bool
    levels: int

    @property
    def reading(self) -> Reading:
        """Which lines it reads."""
        return Reading.of(self.conv)

    @property
    def pitch(self) -> int:
        """Levels of a line with its margins."""
        conv = self.conv
        return (conv.in_size + conv.padding_before + conv.padding) * conv.in_channels

    @property
    def per_output(self) -> int:
        """Weights of an output channel, with those of 0 at the ends of lines."""
        return self.conv.kernel * self.sums.padded

    @property
    def window(self) -> int:
        """Levels of all lines. The second of two places may lie beyond the last, and weights of 0 read up to
        3 levels more."""
        return self.reading.rows * self.pitch + self.sums.across + 3

    @property
    def sums(self) -> SumsKind:
        """What the function that adds its products is told by."""
        conv = self.conv
        pooled = self.whole.pool_sums
        return SumsKind(
            kernel=conv.kernel,
            own=conv.in_channels // conv.groups,
            channels=conv.in_channels,
            across=conv.stride * conv.in_channels,
            stride=conv.stride if conv.pool else 0,
            result="max" if pooled == "max" else "sum" if pooled == "sum" else "each",
            weight_bytes=self.whole.weight_bytes,
        )

    @property
    def has_summands(self) -> bool:
        """Whether its channels have summands of their own."""
        return len(set(self.whole.summand.tolist())) > 1

    @property
    def has_shifts(self) -> bool:
        """Whether its channels have shifts of their own."""
        return len(set(self.whole.shift.tolist())) > 1

    def text(self, function: str, leaks: bool, tops: bool) -> str:
        """The function that makes the next line of its output.

        Args:
            function: which adds the products.
            leaks: whether sums below 0 count, in any block.
            tops: whether levels end below the largest, in any block.
        """
        pool, outputs = self.conv.pool, self.conv.out_channels
        return template("c_whole_block").substitute(
            name=self.name,
            number=self.index + 1,
            upper=self.name.upper(),
            level=f"uint{self.bits}_t",
            weight=f"int{8 * self.whole.weight_bytes}_t",
            counter="uint8_t" if outputs <= 255 else "uint16_t",
            index=self.index,
            layer=self.conv.name,
            out_size=self.conv.out_size,
            outputs=outputs,
            rows=self.reading.rows,
            first=self.reading.first,
            pitch=self.pitch,
            advance="".join(self._advance()),
            fill=self._fill(),
            lines=self._added_lines(),
            fetch=self._fetch(),
            sums="\n".join(self._sums(function, leaks, tops)),
            weights=self.per_output,
            move=2 * self.sums.across,
            x_step="++" if pool else " += 2",
            next_out="" if pool else f"\n        out += {outputs};",
        )

    @property
    def _read(self) -> str:
        """The function that gives a line of its input."""
        return f"{self.name}_{'again' if self.keeps else 'line'}_{self.index}"

    def _advance(self) -> Iterator[str]:
        """What is kept of the lines that there are; lines that nothing reads are left out."""
        reading, window = self.reading, f"{self.name}_window_{self.index + 1}"
        kept = reading.rows - reading.advance
        names = {"name": self.name, "window": window, "pitch": self.pitch, "advance": reading.advance}
        if kept > reading.advance:  # from where they are to where they go, they overlap
            yield _KEEP_LINES.substitute(names, kept=kept)
            return
        if kept > 0:
            yield _KEEP.substitute(names, ahead=reading.advance * self.pitch, bytes=kept * self.pitch)
        elif kept < 0:
            row = ", next" if self.keeps else ""
            yield _SKIP.substitute(names, skipped=-kept, side=self.conv.in_size, read=self._read, row=row)
        yield f"        line = {max(kept, 0)};"

    def _fill(self) -> str:
        """A line of the input, between margins."""
        conv, row = self.conv, ", next" if self.keeps else ""
        if not conv.padding:
            return f"        {self._read}(to{row});"
        return _FILL.substitute(
            name=self.name,
            layer=f"{self.name}_{conv.name}",
            channels=conv.in_channels,
            side=conv.in_size,
            read=self._read,
            row=row,
            before=conv.padding_before,
            behind=conv.padding,
            start=conv.padding_before * conv.in_channels,
        )

    def _added_lines(self) -> str:
        if self.added < 0:
            return ""
        return f"\n    const uint{self.bits}_t *added{'[2]' if self.conv.pool else ''};"

    def _fetch(self) -> str:
        """Lines of the block that is added."""
        if self.added < 0:
            return ""
        kept, reading = f"{self.name}_kept_line_{self.added + 1}", self.reading
        at = f"(next - {reading.rows + reading.first}) / {reading.advance}"
        if not self.conv.pool:
            return f"\n    added = {kept}({at});"
        return f"\n    added[1] = {kept}({at} * 2 + 1);\n    added[0] = {kept}({at} * 2);"

    def _sums(self, function: str, leaks: bool, tops: bool) -> Iterator[str]:
        """One output of a pool, or two neighbouring ones."""
        conv, kind = self.conv, f"uint{self.bits}_t"
        inside = ""
        if conv.groups > 1:
            per = conv.out_channels // conv.groups
            inside = (
                f" + o{f' / {per}' if per > 1 else ''}{f' * {self.sums.own}' if self.sums.own > 1 else ''}"
            )
        if self.whole.pool_sums:
            total = f"{function}(in{inside}, {self.pitch}, w)"
            yield f"            *out = {self._level(total, '', leaks, tops)};"
        elif conv.pool:
            added = f"added[place >> 1][(2 * x + (place & 1)) * {conv.out_channels} + o]"
            takes = {"max": "all = level > all ? level : all;", "average": "all += level;"}
            yield _LATE_POOL.substitute(
                function=function,
                inside=inside,
                pitch=self.pitch,
                level=self._level("sums[place]", added, leaks, tops),
                take=takes[self.whole.pool_levels],
                kind=kind,
                result="all" if self.whole.pool_levels == "max" else "((all + 2) >> 2)",
            )
        else:
            yield "            int32_t sums[2];"
            yield "            uint8_t beside;"
            yield f"            {function}(in{inside}, {self.pitch}, w, sums);"
            yield f"            for (beside = 0; beside < 2 && x + beside < {conv.out_size}; beside++)"
            added = f"added[(x + beside) * {conv.out_channels} + o]"
            level = self._level("sums[beside]", added, leaks, tops)
            yield f"                out[beside * {conv.out_channels}] = {level};"

    def _level(self, total: str, added: str, leaks: bool, tops: bool) -> str:
        """A sum as a level.

        Args:
            added: the level that is added, if one is.
        """
        upper, layer, whole = self.name.upper(), f"{self.name}_{self.conv.name}", self.whole
        shift = f"{upper}_UINT8({layer}_shift + o)" if self.has_shifts else f"{whole.shift[0]}"
        arguments = [shift, f"{whole.down}", f"{upper}_INT16({layer}_factor + o)"]
        residual = whole.residual
        if residual is not None:
            arguments.insert(0, added)
            arguments += [f"{upper}_INT16({layer}_share + o)", f"{upper}_INT32({layer}_offset + o)"]
        elif leaks:
            arguments.append(f"{upper}_INT16({layer}_negative + o)")
        arguments.append(
            f"{upper}_INT32({layer}_summand + o)" if self.has_summands else f"{whole.summand[0]}"
        )
        if tops:
            has = (whole.top < self.levels).any()
            arguments.append(f"{upper}_UINT16({layer}_top + o)" if has else f"{self.levels}")
        function = f"{self.name}_as_level" if residual is None else f"{self.name}_added_{residual.activation}"
        return (
            f"{function}({total} + {upper}_INT32({layer}_bias + o),\n                {', '.join(arguments)})"
        )
