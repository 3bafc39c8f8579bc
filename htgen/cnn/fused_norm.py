"""Kernels that numba compiles: batch norm of many episodes, and its gradients. Needs the extra `fast`.

Sums are of float32 over some positions, and of float64 over all: a CNN that is exported should answer as the
one that was trained.
"""

import numpy as np

from htgen.cnn.fused_kernels import ROW, ZERO, compiled
from htgen.cnn.lanes import (
    LANES,
    all_of,
    first_of,
    fused,
    load,
    load_first,
    number,
    plus,
    store,
    store_first,
    store_number,
    total,
)


@compiled
def sum_of(x, p, p_step, first, end):
    """The sum over images `first .. end - 1` of all P positions."""
    whole, found_of_all = first + (end - first) // LANES * LANES, 0.0
    for band in range(0, p, ROW):
        found = all_of(ZERO)
        for position in range(band, min(p, band + ROW)):
            place = x + position * p_step
            for image in range(first, whole, LANES):
                found = plus(found, load(place + 4 * image))
            if whole < end:
                found = plus(found, load_first(place + 4 * whole, end - whole))
        found_of_all += total(found)
    return found_of_all


@compiled
def sum_of_products(x, y, middle_x, middle_y, p, p_step, first, end):
    """The sum of `(x - middle_x) * (y - middle_y)`."""
    from_x, from_y = all_of(np.float32(-middle_x)), all_of(np.float32(-middle_y))
    whole, found_of_all = first + (end - first) // LANES * LANES, 0.0
    for band in range(0, p, ROW):
        found = all_of(ZERO)
        for position in range(band, min(p, band + ROW)):
            place = position * p_step
            for image in range(first, whole, LANES):
                at = place + 4 * image
                found = fused(plus(load(x + at), from_x), plus(load(y + at), from_y), found)
            if whole < end:
                at, count = place + 4 * whole, end - whole
                left = plus(load_first(x + at, count), from_x)
                found = fused(first_of(left, count), plus(load_first(y + at, count), from_y), found)
        found_of_all += total(found)
    return found_of_all


@compiled
def combine(x, y, to, a, b, c, p, p_step, first, end):
    """Write `a * x + b * y + c` for images `first .. end - 1`."""
    of_x, of_y, plain = all_of(np.float32(a)), all_of(np.float32(b)), all_of(np.float32(c))
    whole = first + (end - first) // LANES * LANES
    for position in range(p):
        place = position * p_step
        for image in range(first, whole, LANES):
            at = place + 4 * image
            store(to + at, fused(load(x + at), of_x, fused(load(y + at), of_y, plain)))
        if whole < end:
            at, count = place + 4 * whole, end - whole
            value = fused(load_first(x + at, count), of_x, fused(load_first(y + at, count), of_y, plain))
            store_first(to + at, count, value)


@compiled
def scale_and_shift(x, to, scale, shift, p, p_step, first, end):
    """Write `x * scale + shift` for images `first .. end - 1`."""
    by, plain = all_of(np.float32(scale)), all_of(np.float32(shift))
    whole = first + (end - first) // LANES * LANES
    for position in range(p):
        place = position * p_step
        for image in range(first, whole, LANES):
            at = place + 4 * image
            store(to + at, fused(load(x + at), by, plain))
        if whole < end:
            at, count = place + 4 * whole, end - whole
            store_first(to + at, count, fused(load_first(x + at, count), by, plain))


@compiled
def norm(x, y, e_step, c_step, p_step, e, c, p, first, counted, end, gamma, beta, mean, variance, epsilon):
    """Batch norm of the images `first .. end - 1` with the statistics of those before `counted`.

    Args:
        x, y: `[E, C, P, N]` with the same strides; y is written.
        gamma, beta, mean, variance: `[E, C]`; the last two are written.
    """
    values = np.float64(p * (counted - first))
    for index in range(e * c):
        at = index // c * e_step + index % c * c_step
        middle = np.float32(sum_of(x + at, p, p_step, first, counted) / values)
        squares = sum_of_products(x + at, x + at, middle, middle, p, p_step, first, counted) / values
        store_number(mean + 4 * index, middle)
        store_number(variance + 4 * index, np.float32(squares))
        scale = np.float32(number(gamma + 4 * index) / np.sqrt(np.float32(squares + epsilon)))
        shift = np.float32(number(beta + 4 * index) - middle * scale)
        scale_and_shift(x + at, y + at, scale, shift, p, p_step, first, end)


@compiled
def norm_backward(
    g, x, dx, e_step, c_step, p_step, e, c, p, first, counted, end, gamma, mean, variance, dgamma, dbeta,
    epsilon,
):  # fmt: skip
    """The gradients of `norm`: of the images, and of gamma and beta, `[E, C]` each."""
    values = p * (counted - first)
    for index in range(e * c):
        at = index // c * e_step + index % c * c_step
        middle = number(mean + 4 * index)
        scale = np.float32(1) / np.sqrt(number(variance + 4 * index) + np.float32(epsilon))
        of_shift = sum_of(g + at, p, p_step, first, end)
        of_scale = sum_of_products(g + at, x + at, ZERO, middle, p, p_step, first, end) * scale
        store_number(dbeta + 4 * index, np.float32(of_shift))
        store_number(dgamma + 4 * index, np.float32(of_scale))
        factor = number(gamma + 4 * index) * scale
        # The images that made the statistics move them.
        slope = np.float32(-factor * scale * of_scale / values)
        offset = np.float32(-factor * of_shift / values - slope * middle)
        combine(g + at, x + at, dx + at, factor, slope, offset, p, p_step, first, counted)
        scale_and_shift(g + at, dx + at, factor, ZERO, p, p_step, counted, end)
