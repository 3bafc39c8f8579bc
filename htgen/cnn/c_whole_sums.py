"""The inner loops of the C in whole numbers: products of bytes and weights, added."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from htgen.cnn.c_source import template

_MOST_UNROLLED = 24
"""Products that are written out one after another."""

_MOST_UNROLLED_DSP = 8
"""The same where four products are one line's work in twelve instructions: longer ones are too large."""


@dataclass(frozen=True)
class CSums:
    """A function that adds products at two neighbouring places, or at the four of a pool.

    Of the four it gives the largest sum. The C is told the bytes from one line to the
    next, so that blocks of several sizes share it.

    Attributes:
        name: what functions begin with.
        kernel: lines of input that it reads at each place.
        run: bytes of each line.
        across: bytes to the place beside.
        stride: lines to the places below, 0 where there is no pool.
    """

    name: str
    kernel: int
    run: int
    across: int
    stride: int

    @property
    def _padded(self) -> int:
        return -(-self.run // 4) * 4

    @property
    def _upper(self) -> str:
        return self.name.upper()

    def text(self, number: int) -> str:
        """Its source.

        Args:
            number: part of its name.
        """
        return template("c_whole_sums").substitute(
            name=self.name,
            upper=self._upper,
            id=number,
            kernel=self.kernel,
            run=self.run,
            across=self.across,
            what=f",\n * and {self.stride} lines below both; the largest." if self.stride else ".",
            result="int32_t" if self.stride else "void",
            sums="" if self.stride else ", int32_t *sums",
            plain="\n".join(_indented(self._plain())),
            dsp="\n".join(_indented(self._dsp())),
        )

    def _plain(self) -> Iterator[str]:
        """For any processor: two places at a time."""
        if not self.stride:
            yield from self._pair()
            yield from ("sums[0] = a;", "sums[1] = b;")
            return
        back = self.kernel - self.stride
        yield from ("const int8_t *start = w;", "int32_t most = 0;", "uint8_t half;")
        yield "for (half = 0; half < 2; half++) {"
        yield from _indented(self._pair())
        yield from _indented(["if (b > a)", "    a = b;", "if (half == 0 || a > most)", "    most = a;"])
        yield from _indented(["w = start;", f"in {'-' if back > 0 else '+'}= {abs(back)} * pitch;"])
        yield from ("}", "return most;")

    def _pair(self) -> Iterator[str]:
        yield f"const uint8_t *beside = in + {self.across};"
        yield "int32_t a = 0, b = 0;"
        yield "uint8_t i;"
        yield f"{self._upper}_APART(beside);"
        yield f"for (i = 0; i < {self.kernel}; i++) {{"
        yield from _indented(self._line(self._taps, _MOST_UNROLLED, self.run, ["in", "beside"]))
        yield "}"

    def _dsp(self) -> Iterator[str]:
        """For processors that multiply two pairs of halves of a word at a time: all places at once."""
        places = ["in", "under"] if self.stride else ["in"]
        if self.stride:
            yield f"const uint8_t *under = in + {self.stride} * pitch;"
        yield f"int32_t {', '.join(f'{sum} = 0' for sum in 'abcd'[: 2 * len(places)])};"
        yield "uint8_t i;"
        yield f"for (i = 0; i < {self.kernel}; i++) {{"
        yield "    uint32_t four, w0, w1, b0, b1;"
        yield from _indented(self._line(self._quads, _MOST_UNROLLED_DSP, self._padded, places))
        yield "}"
        if self.stride:
            yield from ("a = a > b ? a : b;", "c = c > d ? c : d;", "return a > c ? a : c;")
        else:
            yield from ("sums[0] = a;", "sums[1] = b;")

    def _line(
        self, products: Callable[[int], Iterator[str]], most: int, length: int, pointers: list[str]
    ) -> Iterator[str]:
        """One line: all of it, or so many products at a time."""
        if length <= most:
            yield from products(length)
            yield f"w += {self._padded};"
            yield from (f"{pointer} += pitch;" for pointer in pointers)
            return
        unrolled = next(count for count in (8, 4, 2, 1) if length % count == 0)
        yield f"const uint8_t *end = in + {length};"
        yield "do {"
        yield from _indented(products(unrolled))
        yield from _indented(f"{pointer} += {unrolled};" for pointer in ["w", *pointers])
        yield "} while (in != end);"
        if self._padded > length:
            yield f"w += {self._padded - length};"
        yield from (f"{pointer} += pitch - {length};" for pointer in pointers)

    def _taps(self, count: int) -> Iterator[str]:
        for i in range(count):
            yield f"{{ int8_t v = {self._upper}_INT8(w + {i}); a += v * in[{i}]; b += v * beside[{i}]; }}"

    def _quads(self, count: int) -> Iterator[str]:
        for at in range(0, count, 4):
            yield f"four = {self.name}_four(w + {at});"
            yield from self._halves("sx", "w0", "w1")
            yield from self._two("in", at, "a", "b")
            if self.stride:
                yield from self._two("under", at, "c", "d")

    def _two(self, place: str, at: int, first: str, second: str) -> Iterator[str]:
        """Four bytes at two places."""
        upper = self._upper
        yield f"four = {self.name}_four({place} + {at});"
        yield from self._halves("ux", "b0", "b1")
        yield from (f"{upper}_ADD({first}, w0, b0);", f"{upper}_ADD({first}, w1, b1);")
        if self.across == 1:  # bytes 1 and 3 serve twice
            yield f"four = {self.name}_four({place} + {at + 2});"
            yield f"{upper}_ADD({second}, w0, b1);"
            yield f'{upper}_HALVES("ux", b0, four, "");'
            yield f"{upper}_ADD({second}, w1, b0);"
            return
        yield f"four = {self.name}_four({place} + {at + self.across});"
        yield from self._halves("ux", "b0", "b1")
        yield from (f"{upper}_ADD({second}, w0, b0);", f"{upper}_ADD({second}, w1, b1);")

    def _halves(self, kind: str, even: str, odd: str) -> Iterator[str]:
        yield f'{self._upper}_HALVES("{kind}", {even}, four, "");'
        yield f'{self._upper}_HALVES("{kind}", {odd}, four, ", ror #8");'


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)
