"""Matrix products, transposed matrices and functions of single values, for kernels that numba compiles.

A matrix is an address and the bytes from a row to the next. A product keeps a tile of its result in
registers, some rows by two vectors, while it goes through what is summed up. Needs the extra `fast`. No
torch here.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from htgen.cnn.fused_kernels import compiled
from htgen.cnn.lanes import (
    BLOCK,
    BYTES,
    INTEGERS,
    LANES,
    LONG,
    VECTOR,
    call,
    fused_of,
    lanes_type,
    number_at,
    operation,
    same_in_all,
    some_from,
    vector_from,
    write_some,
)

NO_VECTOR = ir.Constant(VECTOR, [0.0] * LANES)


class _Tile:
    """`BLOCK` rows x `columns` vectors of a matrix, which stay in registers; the last of its `rows` stands in
    for those that are not there."""

    def __init__(self, builder: Any, rows: Any, columns: int) -> None:
        self._builder, self._rows = builder, rows
        places = [(row, column) for row in range(BLOCK) for column in range(columns)]
        self.parts = {place: cgutils.alloca_once(builder, VECTOR) for place in places}
        for part in self.parts.values():
            builder.store(NO_VECTOR, part)

    def at(self, address: Any, step: Any, row: int, column: int = 0) -> Any:
        """Where a vector of a matrix lies whose rows are `step` bytes apart."""
        builder = self._builder
        there = builder.select(self._is_in(row), _whole(row), builder.sub(self._rows, _whole(1)))
        return builder.add(builder.add(address, builder.mul(step, there)), _whole(BYTES * column))

    def width_at(self, width: Any, row: int, column: int) -> Any:
        """How many numbers of a vector belong to a matrix of this width."""
        builder = self._builder
        return builder.select(self._is_in(row), builder.sub(width, _whole(LANES * column)), _whole(0))

    def _is_in(self, row: int) -> Any:
        return self._builder.icmp_signed("<", _whole(row), self._rows)

    def begin(self, start: Any, start_row: Any, width: Any, bias: Any) -> None:
        """Take in a matrix and a bias for each row, where their addresses are not 0."""
        builder = self._builder
        with builder.if_then(builder.icmp_signed("!=", bias, _whole(0))):
            for (row, _), part in self.parts.items():
                builder.store(number_at(builder, self.at(bias, _whole(4), row), 0), part)
        with builder.if_then(builder.icmp_signed("!=", start, _whole(0))):
            for (row, column), part in self.parts.items():
                place = self.at(start, start_row, row, column)
                found = some_from(builder, place, self.width_at(width, row, column))
                builder.store(builder.fadd(builder.load(part), found), part)

    def write(self, c: Any, c_row: Any, width: Any) -> None:
        """Write what belongs to a matrix of this width."""
        for (row, column), part in self.parts.items():
            value, place = self._builder.load(part), self.at(c, c_row, row, column)
            write_some(self._builder, value, place, self.width_at(width, row, column))


def _whole(value: int) -> Any:
    return ir.Constant(LONG, value)


def _tile(columns: int) -> Any:
    """A function of numba: `BLOCK` rows x `columns` vectors of `c = start + bias + a @ b`.

    Args of it:
        a, a_row, a_step: `[rows, count]`, bytes from a row to the next and from a column to the next.
        rows: how many of the rows there are.
        b, b_row, count: `[count, columns * LANES]`, all of which can be read.
        c, c_row, width: the result; how many of its columns there are.
        start, start_row: a matrix like c, which may be c; 0 for none.
        bias: `[rows]`, or 0.
    """

    @operation(types.void, *[types.int64] * 13)
    def product_of_tile(builder: Any, *values: Any) -> Any:
        a, a_row, a_step, rows, b, b_row, count, c, c_row, width, start, start_row, bias = values
        tile = _Tile(builder, rows, columns)
        tile.begin(start, start_row, width, bias)
        lefts = [tile.at(a, a_row, row) for row in range(BLOCK)]
        with cgutils.for_range(builder, count) as loop:
            shift, right = builder.mul(loop.index, a_step), builder.add(b, builder.mul(loop.index, b_row))
            vectors = [
                vector_from(builder, builder.add(right, _whole(BYTES * column))) for column in range(columns)
            ]
            for row, left in enumerate(lefts):
                factor = number_at(builder, builder.add(left, shift), 0)
                for column, vector in enumerate(vectors):
                    part = tile.parts[row, column]
                    builder.store(fused_of(builder, factor, vector, builder.load(part)), part)
        tile.write(c, c_row, width)

    return product_of_tile


_slim, _wide = _tile(1), _tile(2)


@compiled
def product(a, a_row, a_step, b, b_row, count, c, c_row, rows, width, start, start_row, bias):
    """`c = start + bias + a @ b`, `[rows, width]`; see `_tile`. Rows of b are filled up to whole vectors."""
    for column in range(0, width, 2 * LANES):
        left, right, to = width - column, b + 4 * column, c + 4 * column
        begin = start + 4 * column if start else 0
        for row in range(0, rows, BLOCK):
            x, y, after = a + row * a_row, to + row * c_row, rows - row
            first = begin + row * start_row if start else 0
            before = bias + 4 * row if bias else 0
            if left > LANES:
                _wide(x, a_row, a_step, after, right, b_row, count, y, c_row, left, first, start_row, before)
            else:
                _slim(x, a_row, a_step, after, right, b_row, count, y, c_row, left, first, start_row, before)


@operation(types.void, *[types.int64] * 8)
def _turn(
    builder: Any,
    source: Any,
    row_step: Any,
    rows: Any,
    columns: Any,
    to: Any,
    to_step: Any,
    to_rows: Any,
    to_columns: Any,
) -> Any:
    """Write a block of at most `LANES` rows and columns with rows as columns, and zeros beside it."""

    def is_in(index: int, count: Any, width: Any) -> Any:
        inside = builder.icmp_signed("<", ir.Constant(LONG, index), count)
        return builder.select(inside, width, ir.Constant(LONG, 0))

    def at(address: Any, step: Any, index: int) -> Any:
        return builder.add(address, builder.mul(step, ir.Constant(LONG, index)))

    vectors = [
        some_from(builder, at(source, row_step, index), is_in(index, rows, columns)) for index in range(LANES)
    ]
    distance = 1
    while distance < LANES:
        for index in range(LANES):
            if index & distance:
                continue
            a, b = vectors[index], vectors[index + distance]
            low, high = (
                [LANES + lane + own if lane & distance else lane + other for lane in range(LANES)]
                for own, other in ((-distance, 0), (0, distance))
            )
            vectors[index], vectors[index + distance] = (
                builder.shuffle_vector(a, b, ir.Constant(INTEGERS, order)) for order in (low, high)
            )
        distance *= 2
    for index, vector in enumerate(vectors):
        write_some(builder, vector, at(to, to_step, index), is_in(index, to_rows, to_columns))


@compiled
def transpose(source, source_row, rows, columns, to, to_row, width):
    """Write a matrix `[rows, columns]` as `[columns, width]`, with zeros from `rows` on."""
    for row in range(0, width, LANES):
        for column in range(0, columns, LANES):
            _turn(
                source + row * source_row + 4 * column, source_row, rows - row, columns - column,
                to + column * to_row + 4 * row, to_row, columns - column, width - row,
            )  # fmt: skip


@operation(lanes_type, lanes_type, lanes_type)
def larger(builder: Any, a: Any, b: Any) -> Any:
    """The larger of two, or what is no number."""
    is_larger = builder.fcmp_unordered(">", b, a)
    # Where a is no number, a + b is none either, and b where b is.
    found = builder.select(is_larger, b, a)
    is_none = builder.fcmp_unordered("uno", a, b)
    return builder.select(is_none, builder.fadd(a, b), found)


@operation(lanes_type, lanes_type, types.float32)
def one_by_root(builder: Any, x: Any, more: Any) -> Any:
    """`1 / sqrt(x + more)`."""
    root = call(
        builder, f"llvm.sqrt.v{LANES}f32", VECTOR, builder.fadd(x, same_in_all(builder, more, VECTOR))
    )
    return builder.fdiv(ir.Constant(VECTOR, [1.0] * LANES), root)


@operation(lanes_type, lanes_type)
def one_by(builder: Any, x: Any) -> Any:
    """`1 / x`."""
    return builder.fdiv(ir.Constant(VECTOR, [1.0] * LANES), x)


LEAST_EXPONENT = -87.0
"""Below it the exponential is no normal number of float32."""


@operation(lanes_type, lanes_type)
def exponential(builder: Any, x: Any) -> Any:
    """`e ** x` for x of at most 0, within 2e-7 of it; from -87 down that of -87."""

    def all_same(value: float) -> Any:
        return ir.Constant(VECTOR, [float(np.float32(value))] * LANES)

    least = all_same(LEAST_EXPONENT)
    x = builder.select(builder.fcmp_ordered("<", x, least), least, x)
    # Added to a float this large, a number is rounded to a whole one, which stands in the last bits.
    large = all_same(1.5 * 2**23)
    shifted = fused_of(builder, x, all_same(1 / np.log(2)), large)
    power = builder.fsub(shifted, large)
    # log(2) in two parts, the first of which times a small whole number is exact.
    rest = fused_of(builder, power, all_same(-0.693359375), x)
    rest = fused_of(builder, power, all_same(2.12194440e-4), rest)
    found = all_same(1 / 720)
    for factor in (1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
        found = fused_of(builder, found, rest, all_same(factor))
    bits = builder.shl(builder.bitcast(shifted, INTEGERS), ir.Constant(INTEGERS, [23] * LANES))
    return builder.bitcast(builder.add(builder.bitcast(found, INTEGERS), bits), VECTOR)
