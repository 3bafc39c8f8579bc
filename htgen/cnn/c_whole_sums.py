"""The inner loops of the C in whole numbers: products of levels and weights, added."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from htgen.cnn.c_common import template

_MOST_UNROLLED = 24
"""Products that are written out one after another."""

_MOST_UNROLLED_DSP = 8
"""The same where four products are one line's work in twelve instructions: longer ones are too large."""

TURNED = (0, 2, 1, 3)
"""Order in which weights of 8 bits lie in fours, where levels have 16: every other one is a pair."""


@dataclass(frozen=True, order=True)
class SumsKind:
    """What functions that add products differ in.

    Attributes:
        kernel: lines of input that it reads at each place.
        own, channels: channels that it reads of those that there are. If it reads all, a line is one run.
        across: levels to the place beside.
        stride: lines to the places below, 0 where there is no pool.
        result: of the four places of a pool the largest sum, all of them added, or each; each of two places.
        weight_bytes: 1 or 2, of a weight.
    """

    kernel: int
    own: int
    channels: int
    across: int
    stride: int
    result: Literal["max", "sum", "each"]
    weight_bytes: int

    @property
    def run(self) -> int:
        """Weights of a line."""
        return self.kernel * self.own

    @property
    def is_grouped(self) -> bool:
        """Whether it leaves channels out."""
        return self.own < self.channels

    @property
    def padded(self) -> int:
        """Weights for a line, some of them 0: a multiple of 4."""
        return self.run if self.is_grouped else -(-self.run // 4) * 4


@dataclass(frozen=True)
class CSums:
    """A function that adds products at two neighbouring places, or at the four of a pool.

    The C is told the levels from one line to the next, so that blocks of several sizes share it.

    Attributes:
        name: what functions begin with.
        bits: of levels.
    """

    name: str
    kind: SumsKind
    bits: int

    @property
    def _upper(self) -> str:
        return self.name.upper()

    @property
    def _level(self) -> str:
        return f"uint{self.bits}_t"

    @property
    def _weight(self) -> str:
        return f"int{8 * self.kind.weight_bytes}_t"

    @property
    def _is_turned(self) -> bool:
        return self.bits == 16 and self.kind.weight_bytes == 1 and not self.kind.is_grouped

    def text(self, number: int) -> str:
        """Its source.

        Args:
            number: part of its name.
        """
        kind = self.kind
        what = {"max": "; the largest.", "sum": "; all of them.", "each": "; each."}[kind.result]
        dsp = f"#ifdef {self._upper}_DSP\n{_text(self._dsp())}\n#else\n" if not kind.is_grouped else ""
        return template("c_whole_sums").substitute(
            name=self.name,
            upper=self._upper,
            id=number,
            level=self._level,
            weight=self._weight,
            kernel=kind.kernel,
            run=kind.run,
            across=kind.across,
            what=f",\n * and {kind.stride} lines below both{what}" if kind.stride else ".",
            result="void" if kind.result == "each" else "int32_t",
            sums=", int32_t *sums" if kind.result == "each" else "",
            dsp=dsp,
            plain=_text(self._plain()),
            end="\n#endif" if dsp else "",
        )

    def _plain(self) -> Iterator[str]:
        """For any processor: two places at a time."""
        kind = self.kind
        if not kind.stride:
            yield from self._pair()
            yield from ("sums[0] = a;", "sums[1] = b;")
            return
        back = kind.kernel - kind.stride
        yield f"const {self._weight} *start = w;"
        if kind.result != "each":
            yield "int32_t most = 0;"
        yield "uint8_t half;"
        yield "for (half = 0; half < 2; half++) {"
        yield from _indented(self._pair())
        ends = {
            "max": ["if (b > a)", "    a = b;", "if (half == 0 || a > most)", "    most = a;"],
            "sum": ["most += a + b;"],
            "each": ["sums[2 * half] = a;", "sums[2 * half + 1] = b;"],
        }
        yield from _indented(ends[kind.result])
        yield from _indented(["w = start;", f"in {'-' if back > 0 else '+'}= {abs(back)} * pitch;"])
        yield "}"
        if kind.result != "each":
            yield "return most;"

    def _pair(self) -> Iterator[str]:
        yield f"const {self._level} *beside = in + {self.kind.across};"
        yield "int32_t a = 0, b = 0;"
        yield "uint8_t i;"
        yield f"{self._upper}_APART(beside);"
        yield f"for (i = 0; i < {self.kind.kernel}; i++) {{"
        if self.kind.is_grouped:
            yield from _indented(self._scattered())
        else:
            length = self.kind.padded if self._is_turned else self.kind.run
            yield from _indented(self._line(self._taps, _MOST_UNROLLED, length, ["in", "beside"]))
        yield "}"

    def _scattered(self) -> Iterator[str]:
        """A line of which not all channels are read."""
        kind = self.kind
        if kind.run <= _MOST_UNROLLED:
            for place in range(kind.kernel):
                for channel in range(kind.own):
                    yield self._tap(place * kind.own + channel, place * kind.channels + channel)
            yield f"w += {kind.run};"
        else:
            yield "uint8_t j;"
            yield "int16_t c;"
            yield f"for (j = 0; j < {kind.kernel}; j++, w += {kind.own})"
            yield f"    for (c = 0; c < {kind.own}; c++)"
            yield f"        {self._tap('c', f'j * {kind.channels} + c')}"
        yield from (f"{pointer} += pitch;" for pointer in ("in", "beside"))

    def _dsp(self) -> Iterator[str]:
        """For processors that multiply two pairs of halves of a word at a time: all places at once."""
        kind = self.kind
        places = ["in", "under"] if kind.stride else ["in"]
        if kind.stride:
            yield f"const {self._level} *under = in + {kind.stride} * pitch;"
        yield f"int32_t {', '.join(f'{sum} = 0' for sum in 'abcd'[: 2 * len(places)])};"
        yield "uint8_t i;"
        yield f"for (i = 0; i < {kind.kernel}; i++) {{"
        words = ["four"] * (kind.weight_bytes == 1) + ["w0", "w1"] + ["b0", "b1"] * (self.bits == 8)
        yield f"    uint32_t {', '.join(words)};"
        yield from _indented(self._line(self._quads, _MOST_UNROLLED_DSP, kind.padded, places))
        yield "}"
        if kind.result == "each":
            yield from (f"sums[{i}] = {sum};" for i, sum in enumerate("abcd"[: 2 * len(places)]))
        elif kind.result == "sum":
            yield "return a + b + c + d;"
        else:
            yield from ("a = a > b ? a : b;", "c = c > d ? c : d;", "return a > c ? a : c;")

    def _line(
        self, products: Callable[[int], Iterator[str]], most: int, length: int, pointers: list[str]
    ) -> Iterator[str]:
        """One line: all of it, or so many products at a time."""
        padded = self.kind.padded
        if length <= most:
            yield from products(length)
            yield f"w += {padded};"
            yield from (f"{pointer} += pitch;" for pointer in pointers)
            return
        unrolled = next(count for count in (8, 4, 2, 1) if length % count == 0)
        yield f"const {self._level} *end = in + {length};"
        yield "do {"
        yield from _indented(products(unrolled))
        yield from _indented(f"{pointer} += {unrolled};" for pointer in ["w", *pointers])
        yield "} while (in != end);"
        if padded > length:
            yield f"w += {padded - length};"
        yield from (f"{pointer} += pitch - {length};" for pointer in pointers)

    def _tap(self, weight: int | str, level: int | str) -> str:
        """One product at both places."""
        read = f"{self._upper}_INT{8 * self.kind.weight_bytes}(w + {weight})"
        wide = "(int32_t)" if self.bits == 16 or self.kind.weight_bytes == 2 else ""
        return f"{{ {self._weight} v = {read}; a += {wide}v * in[{level}]; b += {wide}v * beside[{level}]; }}"

    def _taps(self, count: int) -> Iterator[str]:
        for i in range(count):
            yield self._tap(i // 4 * 4 + TURNED[i % 4] if self._is_turned else i, i)

    def _quads(self, count: int) -> Iterator[str]:
        for at in range(0, count, 4):
            if self.kind.weight_bytes == 1:
                yield f"four = {self.name}_four(w + {at});"
                yield from self._halves("sx", "w0", "w1")
            else:
                yield f"w0 = {self.name}_four(w + {at});"
                yield f"w1 = {self.name}_four(w + {at + 2});"
            two = self._two if self.bits == 8 else self._two_of_16_bits
            yield from two("in", at, "a", "b")
            if self.kind.stride:
                yield from two("under", at, "c", "d")

    def _two(self, place: str, at: int, first: str, second: str) -> Iterator[str]:
        """Four bytes at two places."""
        upper, across = self._upper, self.kind.across
        yield f"four = {self.name}_four({place} + {at});"
        yield from self._halves("ux", "b0", "b1")
        yield from (f"{upper}_ADD({first}, w0, b0);", f"{upper}_ADD({first}, w1, b1);")
        if across == 1:  # bytes 1 and 3 serve twice
            yield f"four = {self.name}_four({place} + {at + 2});"
            yield f"{upper}_ADD({second}, w0, b1);"
            yield f'{upper}_HALVES("ux", b0, four, "");'
            yield f"{upper}_ADD({second}, w1, b0);"
            return
        yield f"four = {self.name}_four({place} + {at + across});"
        yield from self._halves("ux", "b0", "b1")
        yield from (f"{upper}_ADD({second}, w0, b0);", f"{upper}_ADD({second}, w1, b1);")

    def _two_of_16_bits(self, place: str, at: int, first: str, second: str) -> Iterator[str]:
        """Two pairs at two places."""
        for total, start in ((first, at), (second, at + self.kind.across)):
            for pair in (0, 1):
                four = f"{self.name}_four({place} + {start + 2 * pair})"
                yield f"{self._upper}_ADD({total}, w{pair}, {four});"

    def _halves(self, kind: str, even: str, odd: str) -> Iterator[str]:
        yield f'{self._upper}_HALVES("{kind}", {even}, four, "");'
        yield f'{self._upper}_HALVES("{kind}", {odd}, four, ", ror #8");'


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)


def _text(lines: Iterable[str]) -> str:
    return "\n".join(_indented(lines))
