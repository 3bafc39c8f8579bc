"""Kernels that numba compiles: a convolution with bias, pool and activation.

Activations are `[E, C, H, W, N]` in memory: the images of an episode are neighbours, so that a vector holds
one pixel of several images, and every step of a block works on whole vectors, whatever the channels are. A
chunk of `LANES` images at a time is copied with its padding into memory that stays in the cache.

A group is what shares a kernel: the images of one episode, or of all of them. All arguments are integers;
`x`, `z` and the like are addresses, strides are bytes (`htgen.cnn.fused` gives them). Needs the extra `fast`.

Axis legend: G groups, E episodes, N images per episode, L lanes, C and O channels, k * k = T taps.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from htgen.cnn.lanes import (
    BLOCK,
    BYTES,
    LANES,
    all_of,
    if_positive,
    integer,
    largest,
    load,
    load_first,
    multiply,
    number,
    store,
    store_first,
    store_number,
    times,
)


def compiled(function: Callable[..., Any]) -> Any:
    """Compiled at its first call; kept for later processes where numba finds a folder to write to."""
    try:
        return numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:
        return numba.njit(nogil=True, error_model="numpy")(function)


ZERO = np.float32(0)

ROW = 64
"""Positions whose values are summed in float32 before they are added to a float64."""


@compiled
def gather(source, e_step, first, images, n, to, c, c_step, h, h_step, w, w_step, c_to, h_to):
    """Copy a chunk of images, counted over episodes of `n`, to `[C, H, W, L]` with steps of its own."""
    done = 0
    while done < LANES and first + done < images:
        episode, image = (first + done) // n, (first + done) % n
        count = min(LANES - done, n - image)
        for channel in range(c):
            for row in range(h):
                at = source + episode * e_step + channel * c_step + row * h_step + 4 * image
                place = to + channel * c_to + row * h_to + 4 * done
                for column in range(w):
                    store_first(place + column * BYTES, count, load_first(at + column * w_step, count))
        done += count


@compiled
def scatter(source, to, e_step, first, images, n, c, c_step, p, p_step):
    """Copy a chunk `[C, P, L]` to where its images belong."""
    done = 0
    while done < LANES and first + done < images:
        episode, image = (first + done) // n, (first + done) % n
        count = min(LANES - done, n - image)
        for channel in range(c):
            at = to + episode * e_step + channel * c_step + 4 * image
            place = source + channel * p * BYTES + 4 * done
            for position in range(p):
                store_first(at + position * p_step, count, load_first(place + position * BYTES, count))
        done += count


@compiled
def clear(at, vectors):
    """Zeros."""
    zero = all_of(ZERO)
    for index in range(vectors):
        store(at + index * BYTES, zero)


@compiled
def arrange(kernel, to, outs, o_step, ins, i_step, taps, count):
    """Kernels as `multiply` reads them: `[blocks, ins, count, BLOCK]`; `taps` are their offsets in bytes."""
    at = to
    for block in range((outs + BLOCK - 1) // BLOCK):
        for channel in range(ins):
            for tap in range(count):
                place = kernel + channel * i_step + integer(taps + 8 * tap)
                for index in range(BLOCK):
                    out = block * BLOCK + index
                    value = number(place + out * o_step) if out < outs else ZERO
                    store_number(at, value)
                    at += 4


@compiled
def convolve(x, xe, xc, xh, xw, y, ye, yc, yp, codes, kernel, bias, groups, images, n, slope, table, work):
    """Convolution with bias, 2x2 max-pool (if the table says so) and activation.

    Args:
        x, y: `[E, C, H, W, N]` and `[E, O, H', W', N]`, with bytes from one to the next; y is written.
        codes: `[G, chunks, O, H' W', L]` bytes, to be written: which of four values a maximum was.
        kernel, bias: `[G, O, C, k, k]` and `[G, O]`; 0 for no biases.
        groups, images, n: G, images of each, and of an episode.
        table, work: see `htgen.cnn.fused_geometry`.
    """
    c, h, w, pad, stride, side, o, ho, wo = [integer(table + 8 * index) for index in range(9)]
    pool, high, wide, hc, wc = [integer(table + 8 * index) for index in range(9, 14)]
    taps, kernel_taps = table + 8 * integer(table + 8 * 18), table + 8 * integer(table + 8 * 19)
    count, blocks = side * side, (o + BLOCK - 1) // BLOCK
    row = wide * BYTES
    plane = high * row
    xs = work
    rows = xs + c * plane  # [BLOCK, 2 wc + 1, L], what a block has of two rows
    row_step = (2 * wc + 1) * BYTES
    out = rows + BLOCK * row_step  # [O, H' W', L]
    weights = out + o * ho * wo * BYTES
    biases = weights + blocks * c * count * BLOCK * 4
    clear(xs, c * high * wide)
    for _ in range(groups):
        arrange(kernel, weights, o, c * count * 4, c, count * 4, kernel_taps, count)
        kernel += o * c * count * 4
        for index in range(blocks * BLOCK):
            store_number(biases + 4 * index, number(bias + 4 * index) if bias and index < o else ZERO)
        bias += 4 * o if bias else 0
        for first in range(0, images, LANES):
            if images - first < LANES:
                clear(xs, c * high * wide)
            gather(x, xe, first, images, n, xs + pad * (row + BYTES), c, xc, h, xh, w, xw, plane, row)
            for top in range(0, hc - 1 if pool else hc, 2):
                positions = wc * min(2, hc - top)
                for block in range(blocks):
                    here = weights + block * c * count * BLOCK * 4
                    for q in range(0, positions, 2):
                        second = min(q + 1, positions - 1)
                        multiply(
                            xs + (top + q // wc) * stride * row + q % wc * stride * BYTES,
                            xs + (top + second // wc) * stride * row + second % wc * stride * BYTES,
                            plane, c, taps, count, here,
                            rows + q * BYTES, rows + (q + 1) * BYTES, row_step, biases + 4 * block * BLOCK,
                        )  # fmt: skip
                    channels = min(BLOCK, o - block * BLOCK)
                    to = block * BLOCK * ho * wo + (top // 2 if pool else top) * wo
                    if pool:
                        pool_rows(rows, row_step, wc, channels, ho * wo, wo, to, out, codes, slope)
                    else:
                        activate_rows(rows, row_step, positions, channels, ho * wo, to, out, slope)
            scatter(out, y, ye, first, images, n, o, yc, ho * wo, yp)
            codes += o * ho * wo * LANES if pool else 0
        x, y = x + xe, y + ye


@compiled
def pool_rows(rows, row_step, wide, channels, plane, pooled, first, out, codes, slope):
    """Max-pool and activation of two rows `[BLOCK, 2, wide, L]`, from position `first` on."""
    other = all_of(np.float32(slope))
    for index in range(channels):
        at, position = rows + index * row_step, first + index * plane
        for column in range(pooled):
            a, b = at + 2 * column * BYTES, at + (wide + 2 * column) * BYTES
            found = largest(a, a + BYTES, b, b + BYTES, codes + position * LANES)
            store(out + position * BYTES, if_positive(found, found, times(found, other)))
            position += 1


@compiled
def activate_rows(rows, row_step, positions, channels, plane, first, out, slope):
    """Activation of rows `[BLOCK, positions, L]`, from position `first` on."""
    other = all_of(np.float32(slope))
    for index in range(channels):
        at, to = rows + index * row_step, out + (first + index * plane) * BYTES
        for position in range(positions):
            found = load(at + position * BYTES)
            store(to + position * BYTES, if_positive(found, found, times(found, other)))
