"""Kernels that numba compiles: batch norm of many episodes, and its gradients. Needs the extra `fast`.

Sums are of float32 over some positions, and of float64 over all: a CNN that is exported should answer as the
one that was trained.
"""

import numpy as np

from htgen.cnn.fused_kernels import (
    ROW,
    ZERO,
    compiled,
)
from htgen.cnn.lanes import (
    LANES,
    all_of,
    first_of,
    fused,
    load_first,
    number,
    plus,
    store_first,
    store_number,
    total,
)


@compiled
def norm(x, y, e_step, c_step, p_step, e, c, p, first, counted, end, gamma, beta, mean, variance, epsilon):
    """Batch norm of the images `first .. end - 1` with the statistics of those before `counted`.

    Args:
        x, y: `[E, C, P, N]` with the same strides; y is written.
        gamma, beta, mean, variance: `[E, C]`; the last two are written.
    """
    for index in range(e * c):
        at = index // c * e_step + index % c * c_step
        values = np.float64(p * (counted - first))
        sums = 0.0
        for band in range(0, p, ROW):
            found = all_of(ZERO)
            for position in range(band, min(p, band + ROW)):
                for image in range(first, counted, LANES):
                    place = x + at + position * p_step + 4 * image
                    found = plus(found, load_first(place, counted - image))
            sums += total(found)
        middle = sums / values
        minus = all_of(np.float32(-middle))
        sums = 0.0
        for band in range(0, p, ROW):
            found = all_of(ZERO)
            for position in range(band, min(p, band + ROW)):
                for image in range(first, counted, LANES):
                    place = x + at + position * p_step + 4 * image
                    value = first_of(plus(load_first(place, counted - image), minus), counted - image)
                    found = fused(value, value, found)
            sums += total(found)
        spread_of = sums / values
        store_number(mean + 4 * index, np.float32(middle))
        store_number(variance + 4 * index, np.float32(spread_of))
        factor = number(gamma + 4 * index) / np.sqrt(np.float32(spread_of + epsilon))
        scale = all_of(np.float32(factor))
        shift = all_of(np.float32(number(beta + 4 * index) - np.float32(middle) * factor))
        for position in range(p):
            for image in range(first, end, LANES):
                place = at + position * p_step + 4 * image
                value = fused(load_first(x + place, end - image), scale, shift)
                store_first(y + place, end - image, value)


@compiled
def norm_backward(
    g, x, dx, e_step, c_step, p_step, e, c, p, first, counted, end, gamma, mean, variance, dgamma, dbeta,
    epsilon,
):  # fmt: skip
    """The gradients of `norm`: of the images, and of gamma and beta, `[E, C]` each."""
    zero = all_of(ZERO)
    for index in range(e * c):
        at = index // c * e_step + index % c * c_step
        middle = number(mean + 4 * index)
        minus = all_of(np.float32(-middle))
        of_shift, of_scale = 0.0, 0.0
        for band in range(0, p, ROW):
            plain, centred = zero, zero
            for position in range(band, min(p, band + ROW)):
                for image in range(first, end, LANES):
                    place = at + position * p_step + 4 * image
                    value = load_first(g + place, end - image)
                    plain = plus(plain, value)
                    centred = fused(value, plus(load_first(x + place, end - image), minus), centred)
            of_shift += total(plain)
            of_scale += total(centred)
        scale = np.float32(1) / np.sqrt(number(variance + 4 * index) + np.float32(epsilon))
        store_number(dbeta + 4 * index, np.float32(of_shift))
        store_number(dgamma + 4 * index, np.float32(of_scale * scale))
        factor = number(gamma + 4 * index) * scale
        values = p * (counted - first)
        # The images that made the statistics move them.
        slope = np.float32(-factor * scale * scale * of_scale / values)
        offset = np.float32(-factor * of_shift / values) - slope * middle
        by, slopes, offsets = all_of(np.float32(factor)), all_of(slope), all_of(np.float32(offset))
        for position in range(p):
            for image in range(first, end, LANES):
                place = at + position * p_step + 4 * image
                moved = zero
                if image < counted:
                    moved = fused(load_first(x + place, end - image), slopes, offsets)
                    moved = first_of(moved, counted - image)
                value = fused(load_first(g + place, end - image), by, moved)
                store_first(dx + place, end - image, value)
