"""Kernels that numba compiles: the gradients of `htgen.cnn.fused_kernels`, whose legend is used.

Needs the extra `fast`.
"""

import numpy as np

from htgen.cnn.fused_kernels import (
    ZERO,
    arrange,
    clear,
    compiled,
    gather,
)
from htgen.cnn.lanes import (
    BLOCK,
    BYTES,
    LANES,
    all_of,
    correlate,
    if_positive,
    integer,
    load,
    load_first,
    multiply,
    number,
    plus,
    spread,
    store,
    store_first,
    store_number,
    times,
    total,
)


@compiled
def gather_gradient(g, z, e_step, first, images, n, to, c, c_step, p, p_step, slope):
    """Copy a chunk of gradients, times the derivative of the activation whose values are `z`."""
    one, other = all_of(np.float32(1)), all_of(np.float32(slope))
    done = 0
    while done < LANES and first + done < images:
        episode, image = (first + done) // n, (first + done) % n
        count = min(LANES - done, n - image)
        for channel in range(c):
            at = episode * e_step + channel * c_step + 4 * image
            place = to + channel * p * BYTES + 4 * done
            for _ in range(p):
                value, active = load_first(g + at, count), load_first(z + at, count)
                store_first(place, count, times(value, if_positive(active, one, other)))
                at += p_step
                place += BYTES
        done += count


@compiled
def convolve_backward(
    x, xe, xc, xh, xw, g, y, ye, yc, yp, codes, kernel, dkernel, dbias, dx, groups, images, n, slope, table,
    work,
):  # fmt: skip
    """The gradients of `convolve`: of the kernels `[G, O, C, k, k]`, the biases `[G, O]`, and the images.

    Args:
        g: of its output, in memory as y is.
        dkernel, dbias: zeros, to which is added.
        dx: `[E, C, H, W, N]`, or 0 if it is not wanted.
    """
    c, h, w, pad, stride, side, o, ho, wo = [integer(table + 8 * index) for index in range(9)]
    pool, high, wide, hc, wc, high_g, wide_g, before, band = [
        integer(table + 8 * index) for index in range(9, 18)
    ]
    places, entries, classes = [table + 8 * integer(table + 8 * index) for index in range(20, 23)]
    count, blocks = side * side, (o + BLOCK - 1) // BLOCK
    row, row_g = wide * BYTES, wide_g * BYTES
    plane, plane_g = high * row, high_g * row_g
    xs = work
    gs = xs + c * plane  # [blocks * BLOCK, high_g, wide_g, L]
    pooled = gs + blocks * BLOCK * plane_g  # [O, H' W', L]
    sums = pooled + o * ho * wo * BYTES
    weights = sums + (c * count + 4) * BLOCK * BYTES
    inside = gs + before * (row_g + BYTES)
    clear(xs, c * high * wide)
    clear(gs, blocks * BLOCK * high_g * wide_g)
    for _ in range(groups):
        if dx:
            arrange_classes(kernel, weights, c, o, count, stride, classes)
        for first in range(0, images, LANES):
            if images - first < LANES:
                clear(xs, c * high * wide)
                clear(pooled, o * ho * wo)
            gather(x, xe, first, images, n, xs + pad * (row + BYTES), c, xc, h, xh, w, xw, plane, row)
            gather_gradient(g, y, ye, first, images, n, pooled, o, yc, ho * wo, yp, slope)
            for channel in range(o):
                of_bias = spread_gradient(
                    pooled + channel * ho * wo * BYTES, codes + channel * ho * wo * LANES,
                    inside + channel * plane_g, row_g, ho, wo, pool,
                )  # fmt: skip
                store_number(dbias + 4 * channel, number(dbias + 4 * channel) + of_bias)
            codes += o * ho * wo * LANES if pool else 0
            correlate_chunk(
                xs, stride * row, inside, plane_g, row_g, hc, wc, band, c * count, o, places, entries, sums,
                dkernel,
            )  # fmt: skip
            if dx:
                spread_to_inputs(
                    inside, plane_g, row_g, weights, classes, count, stride, pad, o, c, h, w, dx, first,
                    images, n, sums,
                )  # fmt: skip
        x, g, y = x + xe, g + ye, y + ye
        kernel, dkernel, dbias = kernel + 4 * o * c * count, dkernel + 4 * o * c * count, dbias + 4 * o
        dx += c * h * w * n * 4 if dx else 0


@compiled
def spread_gradient(pooled, codes, to, row, high, wide, pool):
    """Write the gradient of one channel of a chunk `[high, wide, L]` to where its values came from.

    Returns:
        The sum over it.
    """
    found = all_of(ZERO)
    for y in range(high):
        for column in range(wide):
            value = load(pooled)
            found = plus(found, value)
            if pool:
                a = to + 2 * y * row + 2 * column * BYTES
                spread(value, codes, a, a + BYTES, a + row, a + row + BYTES)
            else:
                store(to + y * row + column * BYTES, value)
            pooled, codes = pooled + BYTES, codes + LANES
    return total(found)


@compiled
def correlate_chunk(xs, x_row, gs, g_plane, g_row, hc, wc, band, count, o, places, entries, sums, dkernel):
    """Add the gradients `[O, C * T]` of one chunk of images to those of the kernels.

    Args:
        places: where the positions of some rows lie in the input and in the gradient.
        entries: where in the input the numbers of a kernel lie at the first position, `[C * T]`.
    """
    for block in range((o + BLOCK - 1) // BLOCK):
        clear(sums, (count + 1) * BLOCK)
        for y in range(0, hc, band):
            positions = wc * min(band, hc - y)
            here = gs + block * BLOCK * g_plane + y * g_row
            for entry in range(0, count, 2):
                second = min(entry + 1, count - 1)
                correlate(
                    xs + y * x_row + integer(entries + 8 * entry),
                    xs + y * x_row + integer(entries + 8 * second),
                    places, positions, here, g_plane, sums + entry * BLOCK * BYTES,
                )  # fmt: skip
        for index in range(min(BLOCK, o - block * BLOCK)):
            to = dkernel + 4 * (block * BLOCK + index) * count
            for entry in range(count):
                value = total(load(sums + (entry * BLOCK + index) * BYTES))
                store_number(to + 4 * entry, number(to + 4 * entry) + value)


@compiled
def arrange_classes(kernel, to, c, o, count, stride, classes):
    """Kernels as `spread_to_inputs` reads them, for each class of input positions."""
    for index in range(stride * stride):
        of_class = classes + index * (2 * count + 1) * 8
        taps = integer(of_class)
        arrange(kernel, to, c, 4 * count, o, 4 * c * count, of_class + 8 * (1 + count), taps)
        to += (c + BLOCK - 1) // BLOCK * BLOCK * o * taps * 4


@compiled
def spread_to_inputs(
    gs, g_plane, g_row, weights, classes, count, stride, pad, o, c, h, w, dx, first, images, n, work
):
    """The gradient of one chunk of images.

    Input positions whose row and column leave the same remainder are a class: the same taps reach them.

    Args:
        classes: for each class the number of its taps, and room for `count` places of taps in the gradient
            and as many in a kernel.
        work: `[BLOCK, 2, L]`, and zeros before it.
    """
    clear(work, 2)
    tile = work + 2 * BYTES
    for index in range(stride * stride):
        of_class = classes + index * (2 * count + 1) * 8
        taps = integer(of_class)
        y0, x0 = (index // stride - pad) % stride, (index % stride - pad) % stride
        columns = (w - x0 + stride - 1) // stride
        for block in range((c + BLOCK - 1) // BLOCK):
            for y in range(y0, h, stride):
                here = gs + (y + pad) // stride * g_row + (x0 + pad) // stride * BYTES
                for q in range(0, columns, 2):
                    second = min(q + 1, columns - 1)
                    multiply(
                        here + q * BYTES, here + second * BYTES, g_plane, o, of_class + 8, taps, weights,
                        tile, tile + BYTES, 2 * BYTES, work,
                    )  # fmt: skip
                    done = 0
                    while done < LANES and first + done < images:
                        episode, image = (first + done) // n, (first + done) % n
                        lanes = min(LANES - done, n - image)
                        for index_c in range(min(BLOCK, c - block * BLOCK)):
                            channel = episode * c + block * BLOCK + index_c
                            pixel = (channel * h + y) * w + x0
                            at = tile + 2 * index_c * BYTES + 4 * done
                            to = dx + 4 * (image + n * (pixel + q * stride))
                            store_first(to, lanes, load_first(at, lanes))
                            to += 4 * n * stride * (second - q)
                            store_first(to, lanes, load_first(at + (second - q) * BYTES, lanes))
                        done += lanes
            weights += o * taps * BLOCK * 4
