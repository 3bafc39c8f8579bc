"""The inner loops of the C in whole numbers: products of bytes and weights, added."""

from collections.abc import Iterator
from dataclasses import dataclass

MOST_UNROLLED = 24
"""Products that are written out one after another."""


@dataclass(frozen=True)
class Sums:
    """A function that adds products at two neighbouring places, or at the four of a pool.

    Attributes:
        name: what functions begin with.
        kernel: lines of input that it reads at each place.
        run: bytes of each line.
        across: bytes to the place beside.
        stride: lines to the places below, 0 where there is no pool.

    The C is told the bytes from one line to the next, so that blocks of several sizes share it.
    """

    name: str
    kernel: int
    run: int
    across: int
    stride: int

    @property
    def padded(self) -> int:
        """Weights of a line, some of them 0: a multiple of 4."""
        return -(-self.run // 4) * 4

    @property
    def _upper(self) -> str:
        return self.name.upper()

    def plain(self) -> str:
        """Its body for any processor: two places at a time."""
        body = [
            "uint8_t i;",
            f"for (i = 0; i < {self.kernel}; i++) {{",
            *_indented(self._line(self._taps, MOST_UNROLLED, self.run, ["in", "beside"])),
            "}",
        ]
        pointers = [f"const uint8_t *beside = in + {self.across};", f"{self._upper}_APART(beside);"]
        if not self.stride:
            lines = ["int32_t a = 0, b = 0;", *pointers, *body, "sums[0] = a;", "sums[1] = b;"]
            declared = [lines[1], lines[0], body[0], lines[2], *body[1:], *lines[-2:]]
            return "\n".join(_indented(declared))
        return "\n".join(
            _indented(
                [
                    "const int8_t *start = w;",
                    "int32_t most = 0;",
                    "uint8_t half;",
                    "for (half = 0; half < 2; half++) {",
                    *_indented(
                        [
                            pointers[0],
                            "int32_t a = 0, b = 0;",
                            body[0],
                            pointers[1],
                            *body[1:],
                            "if (b > a)",
                            "    a = b;",
                            "if (half == 0 || a > most)",
                            "    most = a;",
                            "w = start;",
                            f"in -= {self.kernel - self.stride} * pitch;" if self.kernel > self.stride else f"in += {self.stride - self.kernel} * pitch;",
                        ]
                    ),
                    "}",
                    "return most;",
                ]
            )
        )

    def dsp(self) -> str:
        """Its body for processors that multiply two pairs of halves of a word at a time: all places at once."""
        sums = ["a", "b", "c", "d"] if self.stride else ["a", "b"]
        end = (
            ["a = a > b ? a : b;", "c = c > d ? c : d;", "return a > c ? a : c;"]
            if self.stride
            else ["sums[0] = a;", "sums[1] = b;"]
        )
        return "\n".join(
            _indented(
                [
                    f"int32_t {', '.join(f'{name} = 0' for name in sums)};",
                    *([f"const uint8_t *under = in + {self.stride} * pitch;"] if self.stride else []),
                    "uint8_t i;",
                    f"for (i = 0; i < {self.kernel}; i++) {{",
                    "    uint32_t four, w0, w1, b0, b1;",
                    *_indented(self._line(self._quads, 8, self.padded, ["in", "under"] if self.stride else ["in"])),
                    "}",
                    *end,
                ]
            )
        )

    def _line(self, taps, most: int, length: int, pointers: list[str]) -> Iterator[str]:
        """One line: all of it, or so many products at a time."""
        unrolled = length if length <= most else next(n for n in (8, 4, 2, 1) if length % n == 0)
        if unrolled == length:
            yield from taps(length)
            yield f"w += {self.padded};"
            yield from (f"{pointer} += pitch;" for pointer in pointers)
            return
        yield f"const uint8_t *end = in + {length};"
        yield "do {"
        yield from _indented(taps(unrolled))
        yield from _indented(f"{pointer} += {unrolled};" for pointer in ["w", *pointers])
        yield "} while (in != end);"
        if self.padded > length:
            yield f"w += {self.padded - length};"
        yield from (f"{pointer} += pitch - {length};" for pointer in pointers)

    def _taps(self, count: int) -> Iterator[str]:
        for i in range(count):
            yield f"{{ int8_t v = {self._upper}_INT8(w + {i}); a += v * in[{i}]; b += v * beside[{i}]; }}"

    def _quads(self, count: int) -> Iterator[str]:
        for at in range(0, count, 4):
            yield f"four = {self.name}_four(w + {at});"
            yield f'{self._upper}_HALVES("sx", w0, four, "");'
            yield f'{self._upper}_HALVES("sx", w1, four, ", ror #8");'
            yield from self._two("in", at, "a", "b")
            if self.stride:
                yield from self._two("under", at, "c", "d")

    def _two(self, place: str, at: int, first: str, second: str) -> Iterator[str]:
        upper = self._upper
        yield f"four = {self.name}_four({place} + {at});"
        yield f'{upper}_HALVES("ux", b0, four, "");'
        yield f'{upper}_HALVES("ux", b1, four, ", ror #8");'
        yield f"{upper}_ADD({first}, w0, b0);"
        yield f"{upper}_ADD({first}, w1, b1);"
        if self.across == 1:  # bytes 1 and 3 serve twice
            yield f"four = {self.name}_four({place} + {at + 2});"
            yield f"{upper}_ADD({second}, w0, b1);"
            yield f'{upper}_HALVES("ux", b0, four, "");'
            yield f"{upper}_ADD({second}, w1, b0);"
            return
        yield f"four = {self.name}_four({place} + {at + self.across});"
        yield f'{upper}_HALVES("ux", b0, four, "");'
        yield f'{upper}_HALVES("ux", b1, four, ", ror #8");'
        yield f"{upper}_ADD({second}, w0, b0);"
        yield f"{upper}_ADD({second}, w1, b1);"


def _indented(lines) -> list[str]:
    return ["    " + line for line in lines]
