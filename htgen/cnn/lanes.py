"""Vectors for kernels that numba compiles: as many floats as the processor works on at once.

Numba turns loops over floats into vector code only where it can prove that it may. Here that is said
outright: `Lanes` is a type of numba, and each function below is one instruction or a few. Addresses are
bytes, as `Tensor.data_ptr()` gives them. Nothing is checked: callers keep to memory that they own.

Needs the extra `fast`. No torch here.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

_HAS = llvmlite.binding.get_host_cpu_features()

LANES = 16 if _HAS.get("avx512f") else 8 if _HAS.get("avx") else 4
"""Floats of a vector."""

BLOCK = 8 if _HAS.get("avx512f") or not _HAS.get("avx") else 4
"""Output channels of a tile: two vectors for each of them fit into the registers."""

BYTES = 4 * LANES
"""Of a vector."""

_FLOAT, _BYTE, SHORT, LONG = ir.FloatType(), ir.IntType(8), ir.IntType(32), ir.IntType(64)
VECTOR, _CODES, _MASK = (ir.VectorType(kind, LANES) for kind in (_FLOAT, _BYTE, ir.IntType(1)))
INTEGERS = ir.VectorType(SHORT, LANES)


class _LanesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"Lanes{LANES}")


lanes_type = _LanesType()


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, type_: Any) -> None:
        super().__init__(manager, type_, VECTOR)


Build = Callable[..., Any]


def operation(result: Any, *arguments: Any) -> Callable[[Build], Any]:
    """A function of numba of the given types, from one that builds its code."""

    def make(build: Build) -> Any:
        count = len(arguments)
        names = ", ".join(f"a{index}" for index in range(count))
        signature = result(*arguments)

        def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return build(builder, *values)

        # Numba reads the number of arguments from the function's own.
        scope: dict[str, Any] = {"signature": signature, "codegen": codegen}
        exec(f"def {build.__name__}(context, {names}):\n    return signature, codegen", scope)
        return intrinsic(scope[build.__name__])

    return make


def place_at(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def vector_from(builder: Any, address: Any) -> Any:
    return builder.load(place_at(builder, address, VECTOR), align=4)


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, place_at(builder, address, VECTOR), align=4)


def same_in_all(builder: Any, scalar: Any, kind: Any) -> Any:
    """A vector whose lanes are all the same."""
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(SHORT, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(INTEGERS, [0] * LANES))


def call(builder: Any, name: str, result: Any, *values: Any) -> Any:
    kind = ir.FunctionType(result, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


def fused_of(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return call(builder, f"llvm.fma.v{LANES}f32", VECTOR, a, b, c)


def mask_of(builder: Any, count: Any) -> Any:
    """A mask of the first `count` lanes."""
    numbers = ir.Constant(INTEGERS, list(range(LANES)))
    return builder.icmp_signed("<", numbers, same_in_all(builder, builder.trunc(count, SHORT), INTEGERS))


def some_from(builder: Any, address: Any, count: Any) -> Any:
    """The first `count` floats at an address, and zeros; for a count of 0 or less no address is touched."""
    kind = f"llvm.masked.load.v{LANES}f32.p0"
    zero, align = ir.Constant(VECTOR, [0.0] * LANES), ir.Constant(SHORT, 4)
    return call(
        builder, kind, VECTOR, place_at(builder, address, VECTOR), align, mask_of(builder, count), zero
    )


def write_some(builder: Any, value: Any, address: Any, count: Any) -> None:
    """Write the first `count` lanes; for a count of 0 or less no address is touched."""
    kind, align = f"llvm.masked.store.v{LANES}f32.p0", ir.Constant(SHORT, 4)
    place = place_at(builder, address, VECTOR)
    call(builder, kind, ir.VoidType(), value, place, align, mask_of(builder, count))


@operation(lanes_type, types.int64)
def load(builder: Any, address: Any) -> Any:
    """The vector at an address."""
    return vector_from(builder, address)


@operation(types.void, types.int64, lanes_type)
def store(builder: Any, address: Any, value: Any) -> Any:
    """Write a vector."""
    _store(builder, value, address)


@operation(lanes_type, types.int64, types.int64)
def load_first(builder: Any, address: Any, count: Any) -> Any:
    """The first `count` floats at an address, and zeros."""
    return some_from(builder, address, count)


@operation(types.void, types.int64, types.int64, lanes_type)
def store_first(builder: Any, address: Any, count: Any, value: Any) -> Any:
    """Write the first `count` lanes."""
    write_some(builder, value, address, count)


@operation(types.float32, types.int64)
def number(builder: Any, address: Any) -> Any:
    """The float at an address."""
    return builder.load(place_at(builder, address, _FLOAT), align=4)


@operation(types.void, types.int64, types.float32)
def store_number(builder: Any, address: Any, value: Any) -> Any:
    """Write a float."""
    builder.store(value, place_at(builder, address, _FLOAT), align=4)


@operation(types.int64, types.int64)
def integer(builder: Any, address: Any) -> Any:
    """The int64 at an address."""
    return builder.load(place_at(builder, address, LONG), align=8)


@operation(lanes_type, types.float32)
def all_of(builder: Any, scalar: Any) -> Any:
    """A vector whose lanes are all the same."""
    return same_in_all(builder, scalar, VECTOR)


@operation(lanes_type, lanes_type, lanes_type, lanes_type)
def fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """`a * b + c`, rounded once."""
    return fused_of(builder, a, b, c)


@operation(lanes_type, lanes_type, lanes_type)
def plus(builder: Any, a: Any, b: Any) -> Any:
    """`a + b`."""
    return builder.fadd(a, b)


@operation(lanes_type, lanes_type, lanes_type)
def times(builder: Any, a: Any, b: Any) -> Any:
    """`a * b`."""
    return builder.fmul(a, b)


@operation(lanes_type, lanes_type, lanes_type, lanes_type)
def if_positive(builder: Any, x: Any, a: Any, b: Any) -> Any:
    """`a` where x is above zero or no number, otherwise `b`."""
    zero = ir.Constant(VECTOR, [0.0] * LANES)
    return builder.select(builder.fcmp_ordered("<=", x, zero), b, a)


@operation(lanes_type, lanes_type, types.int64)
def first_of(builder: Any, x: Any, count: Any) -> Any:
    """The first `count` lanes, and zeros."""
    return builder.select(mask_of(builder, count), x, ir.Constant(VECTOR, [0.0] * LANES))


@operation(types.float32, lanes_type)
def total(builder: Any, x: Any) -> Any:
    """The sum of the lanes: halves are added until one is left."""
    undefined, width = ir.Constant(VECTOR, ir.Undefined), LANES
    while width > 1:
        width //= 2
        order = [(index + width) % LANES for index in range(LANES)]
        x = builder.fadd(x, builder.shuffle_vector(x, undefined, ir.Constant(INTEGERS, order)))
    return builder.extract_element(x, ir.Constant(SHORT, 0))


@operation(lanes_type, types.int64, types.int64, types.int64, types.int64, types.int64)
def largest(builder: Any, a: Any, b: Any, c: Any, d: Any, codes: Any) -> Any:
    """The largest of the vectors at four addresses, the first of equal ones; which it was, as bytes 0..3.

    What is no number wins, as in `torch.nn.functional.max_pool2d`.
    """
    found, code = vector_from(builder, a), ir.Constant(_CODES, [0] * LANES)
    for index, address in enumerate((b, c, d), start=1):
        other = vector_from(builder, address)
        is_larger = builder.or_(
            builder.fcmp_ordered(">", other, found), builder.fcmp_unordered("uno", other, other)
        )
        found = builder.select(is_larger, other, found)
        code = builder.select(is_larger, ir.Constant(_CODES, [index] * LANES), code)
    builder.store(code, place_at(builder, codes, _CODES), align=1)
    return found


@operation(types.void, lanes_type, types.int64, types.int64, types.int64, types.int64, types.int64)
def spread(builder: Any, value: Any, codes: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Write each lane to that of four addresses which `largest` noted for it, and zeros to the others."""
    code, zero = builder.load(place_at(builder, codes, _CODES), align=1), ir.Constant(VECTOR, [0.0] * LANES)
    for index, address in enumerate((a, b, c, d)):
        here = builder.icmp_signed("==", code, ir.Constant(_CODES, [index] * LANES))
        _store(builder, builder.select(here, value, zero), address)


@operation(types.void, *[types.int64] * 11)
def multiply(
    builder: Any,
    x: Any,
    y: Any,
    channel: Any,
    channels: Any,
    taps: Any,
    count: Any,
    kernel: Any,
    to_x: Any,
    to_y: Any,
    step: Any,
    start: Any,
) -> Any:
    """`BLOCK` output channels of a convolution at two places.

    Args:
        x, y: addresses of what the kernel's corner lies on, at the two places.
        channel, channels: bytes from an input channel to the next; how many there are.
        taps, count: offsets in bytes of the kernel's positions as int64; how many there are.
        kernel: `[channels, taps, BLOCK]`.
        to_x, to_y, step: where the output goes, and bytes from an output channel to the next.
        start: `[BLOCK]`, the biases.
    """
    sums = [_Sums(builder, partial(number_at, builder, start)) for _ in range(2)]
    weight = cgutils.alloca_once_value(builder, kernel)
    with cgutils.for_range(builder, channels) as over_channels:
        shift = builder.mul(over_channels.index, channel)
        first, second = builder.add(x, shift), builder.add(y, shift)
        with cgutils.for_range(builder, count) as over_taps:
            place = builder.add(taps, builder.mul(over_taps.index, ir.Constant(LONG, 8)))
            offset = builder.load(place_at(builder, place, LONG), align=8)
            at_x, at_y = (vector_from(builder, builder.add(p, offset)) for p in (first, second))
            here = builder.load(weight)
            for index in range(BLOCK):
                factor = number_at(builder, here, index)
                sums[0].add(index, at_x, factor)
                sums[1].add(index, at_y, factor)
            builder.store(builder.add(here, ir.Constant(LONG, 4 * BLOCK)), weight)
    sums[0].write(to_x, step)
    sums[1].write(to_y, step)


@operation(types.void, *[types.int64] * 7)
def correlate(
    builder: Any, x: Any, y: Any, places: Any, count: Any, gradient: Any, step: Any, sums_at: Any
) -> Any:
    """Gradients of two numbers of the kernels of `BLOCK` output channels, added up over some positions.

    Args:
        x, y: addresses of what the two numbers lie on at the first position.
        places, count: offsets in bytes of the positions, pairs of int64 (of the input, of the gradient).
        gradient, step: of the first output channel; bytes from an output channel to the next.
        sums_at: `[2, BLOCK]` vectors, to which it is added.
    """
    after = builder.add(sums_at, ir.Constant(LONG, BLOCK * BYTES))
    sums = [
        _Sums(builder, partial(_vector_at, builder, sums_at)),
        _Sums(builder, partial(_vector_at, builder, after)),
    ]
    with cgutils.for_range(builder, count) as loop:
        place = builder.add(places, builder.mul(loop.index, ir.Constant(LONG, 16)))
        offset = builder.load(place_at(builder, place, LONG), align=8)
        of_gradient = builder.load(place_at(builder, _moved(builder, place, 8), LONG), align=8)
        at_x, at_y = (vector_from(builder, builder.add(p, offset)) for p in (x, y))
        here = builder.add(gradient, of_gradient)
        for index in range(BLOCK):
            factor = vector_from(builder, builder.add(here, builder.mul(step, ir.Constant(LONG, index))))
            sums[0].add(index, at_x, factor)
            sums[1].add(index, at_y, factor)
    for part, at in zip(sums, (sums_at, after), strict=True):
        part.write(at, ir.Constant(LONG, BYTES))


def _moved(builder: Any, address: Any, count: int) -> Any:
    return builder.add(address, ir.Constant(LONG, count))


def number_at(builder: Any, address: Any, index: int) -> Any:
    """A float behind an address, in all lanes."""
    found = builder.load(place_at(builder, _moved(builder, address, 4 * index), _FLOAT), align=4)
    return same_in_all(builder, found, VECTOR)


def _vector_at(builder: Any, address: Any, index: int) -> Any:
    """A vector behind an address."""
    return vector_from(builder, _moved(builder, address, index * BYTES))


class _Sums:
    """`BLOCK` vectors that stay in registers while products are added to them."""

    def __init__(self, builder: Any, start: Callable[[int], Any]) -> None:
        self._builder = builder
        self._parts = [cgutils.alloca_once(builder, VECTOR) for _ in range(BLOCK)]
        for index, part in enumerate(self._parts):
            builder.store(start(index), part)

    def add(self, index: int, a: Any, b: Any) -> None:
        """Add a product to one of them."""
        part = self._parts[index]
        self._builder.store(fused_of(self._builder, a, b, self._builder.load(part)), part)

    def write(self, address: Any, step: Any) -> None:
        """Write all of them, `step` bytes apart."""
        builder = self._builder
        for index, part in enumerate(self._parts):
            place = builder.add(address, builder.mul(step, ir.Constant(LONG, index)))
            _store(builder, builder.load(part), place)
