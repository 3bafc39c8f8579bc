"""Kernels that numba compiles: the gradients of `htgen.hypertransformer.layer_kernels`, whose legend is used.

Needs the extra `fast`.
"""

import numpy as np

from htgen.cnn.fused_kernels import ZERO, compiled
from htgen.cnn.lane_products import product, transpose
from htgen.cnn.lanes import (
    BYTES,
    all_of,
    fused,
    if_positive,
    integer,
    load,
    number,
    plus,
    store,
    store_number,
    times,
    total,
)
from htgen.hypertransformer.layer_kernels import places, row_of, scale_rows


@compiled
def work_places(tokens, wanted, width, values, inner):
    """Where the backward works: bytes from the start.

    Returns:
        Gradients of the wanted tokens `[D, P]`, of the MLP's inner values `[I, P]`, of the attention's result
        and of the queries `[V, P]`, of keys and values `[V, T]`, and of all tokens `[D, T]`; two matrices of
        the attention `[P, T]`, and one `[T, P]`; the tokens with features as neighbours `[T, D]`, and room
        for others `[P, D, V or I]`; and the end of all.
    """
    of_all, of_wanted = row_of(tokens), row_of(wanted)
    inside = width * of_wanted
    attended = inside + inner * of_wanted
    query = attended + max(width, values) * of_wanted  # normed tokens are there first
    key = query + values * of_wanted
    value = key + values * of_all
    whole = value + values * of_all
    turned = whole + width * of_all
    turned_slope = turned + wanted * of_all
    slope = turned_slope + wanted * of_all
    x = slope + tokens * of_wanted
    other = x + tokens * row_of(width)
    end = other + wanted * row_of(max(width, values, inner))
    return 0, inside, attended, query, key, value, whole, turned, turned_slope, slope, x, other, end


@compiled
def layer_backward(
    g, dx, episodes, tokens, wanted, width, values, inner, heads, slope, parameters, gradients, saved, work
):  # fmt: skip
    """The gradients of `layer`, of that of its output, `[E, P, D]`.

    Args:
        dx: `[E, T, D]`, written.
        gradients: table of addresses as `parameters`, all written.
        work: `work_places(...)[-1]` bytes.
    """
    of_all, of_wanted, of_width = row_of(tokens), row_of(wanted), row_of(width)
    lanes, lanes_of_all = of_wanted // 4, of_all // 4
    at = places(tokens, wanted, width, values, inner, heads)
    at_work = work_places(tokens, wanted, width, values, inner)
    of_x, whole = work + at_work[10], work + at_work[6]
    query, key, value = [work + at_work[index] for index in range(3, 6)]
    for episode in range(episodes):
        adds = episode > 0
        transpose(g, 4 * width, wanted, width, work, of_wanted, lanes)
        mlp_backward(
            work, saved, at, at_work, wanted, width, values, inner, slope, parameters, gradients, adds
        )
        attention_backward(saved, work, at, at_work, tokens, wanted, values // heads, heads)
        transpose(saved, of_all, width, tokens, of_x, of_width, of_width // 4)
        weight_gradient(gradients, 0, query, of_wanted, values, of_x, of_width, wanted, width, adds)
        weight_gradient(gradients, 1, key, of_all, values, of_x, of_width, tokens, width, adds)
        weight_gradient(gradients, 2, value, of_all, values, of_x, of_width, tokens, width, adds)
        back(parameters, 1, width, key, of_all, values, whole, of_all, lanes_of_all, 0, 0)
        back(parameters, 2, width, value, of_all, values, whole, of_all, lanes_of_all, whole, of_all)
        back(parameters, 0, width, query, of_wanted, values, work, of_wanted, lanes, work, of_wanted)
        for row in range(width):
            for column in range(0, of_wanted, BYTES):
                place = whole + row * of_all + column
                store(place, plus(load(place), load(work + row * of_wanted + column)))
        transpose(whole, of_all, width, tokens, dx, 4 * width, width)
        g, dx, saved = g + 4 * wanted * width, dx + 4 * tokens * width, saved + at[11]


@compiled
def mlp_backward(work, saved, at, at_work, wanted, width, values, inner, slope, parameters, gradients, adds):
    """From the output back to the attention's result; `work` becomes the gradient of what is added to it."""
    row, lanes = row_of(wanted), row_of(wanted) // 4
    first, active = saved + at[6], saved + at[8]
    inside, attended, other = work + at_work[1], work + at_work[2], work + at_work[11]
    of_width, of_inner, of_values = row_of(width), row_of(inner), row_of(values)
    norm_backward(work, saved + at[9], row, width, saved + at[10], parameters, gradients, 7, adds)
    transpose(active, row, inner, wanted, other, of_inner, of_inner // 4)
    weight_gradient(gradients, 5, work, row, width, other, of_inner, wanted, inner, adds)
    back(parameters, 5, inner, work, row, width, inside, row, lanes, 0, 0)
    differentiate(inside, active, inner * row, slope)
    scale_rows(first, attended, row, width, parameters, 6)
    transpose(attended, row, width, wanted, other, of_width, of_width // 4)
    weight_gradient(gradients, 4, inside, row, inner, other, of_width, wanted, width, adds)
    back(parameters, 4, width, inside, row, inner, work, row, lanes, work, row)
    norm_backward(work, first, row, width, saved + at[7], parameters, gradients, 6, adds)
    transpose(saved + at[5], row, values, wanted, other, of_values, of_values // 4)
    weight_gradient(gradients, 3, work, row, width, other, of_values, wanted, values, adds)
    back(parameters, 3, values, work, row, width, attended, row, lanes, 0, 0)


@compiled
def attention_backward(saved, work, at, at_work, tokens, wanted, width, heads):
    """From the gradient of the attention's result to those of queries, keys and values."""
    of_all, of_wanted = row_of(tokens), row_of(wanted)
    lanes, lanes_of_all = of_wanted // 4, of_all // 4
    scale = np.float32(1 / np.sqrt(width))
    query, key, value, weights = [saved + at[index] for index in range(1, 5)]
    of_attended, of_query, of_key, of_value = [work + at_work[index] for index in range(2, 6)]
    turned, turned_slope, slope = [work + at_work[index] for index in range(7, 10)]
    for _ in range(heads):
        product(value, 4, of_all, of_attended, of_wanted, width, slope, of_wanted, tokens, lanes, 0, 0, 0)
        softmax_backward(slope, weights, of_wanted, tokens, scale)
        product(key, of_all, 4, slope, of_wanted, tokens, of_query, of_wanted, width, lanes, 0, 0, 0)
        transpose(slope, of_wanted, tokens, wanted, turned_slope, of_all, lanes_of_all)
        product(
            query, of_wanted, 4, turned_slope, of_all, wanted, of_key, of_all, width, lanes_of_all, 0, 0, 0
        )
        transpose(weights, of_wanted, tokens, wanted, turned, of_all, lanes_of_all)
        product(
            of_attended, of_wanted, 4, turned, of_all, wanted, of_value, of_all, width, lanes_of_all, 0, 0, 0
        )
        step, step_of_all = width * of_wanted, width * of_all
        query, of_query, of_attended = query + step, of_query + step, of_attended + step
        key, value, of_key = key + step_of_all, value + step_of_all, of_key + step_of_all
        of_value += step_of_all
        weights += tokens * of_wanted


@compiled
def softmax_backward(g, y, row, rows, scale):
    """The gradient of each column of x, where `y = softmax(scale * x)`, in place of that of y."""
    for column in range(0, row, BYTES):
        found = all_of(ZERO)
        for place in range(column, column + rows * row, row):
            found = fused(load(g + place), load(y + place), found)
        shift, factor = times(found, all_of(np.float32(-1))), all_of(scale)
        for place in range(column, column + rows * row, row):
            store(g + place, times(times(plus(load(g + place), shift), load(y + place)), factor))


@compiled
def norm_backward(g, normed, row, rows, roots, parameters, gradients, index, adds):
    """The gradient of what was normed, `[rows, row]`, in place of that of the norm; of its parameters."""
    weight = integer(parameters + 16 * index)
    dweight, dbias = integer(gradients + 16 * index), integer(gradients + 16 * index + 8)
    for place in range(rows):
        of_weight, of_bias = all_of(ZERO), all_of(ZERO)
        factor = all_of(number(weight + 4 * place))
        for column in range(place * row, (place + 1) * row, BYTES):
            value = load(g + column)
            of_weight = fused(value, load(normed + column), of_weight)
            of_bias = plus(of_bias, value)
            store(g + column, times(value, factor))
        add_number(dweight + 4 * place, total(of_weight), adds)
        add_number(dbias + 4 * place, total(of_bias), adds)
    share = all_of(np.float32(-1 / rows))
    for column in range(0, row, BYTES):
        mean, slope = all_of(ZERO), all_of(ZERO)
        for place in range(column, column + rows * row, row):
            value = load(g + place)
            mean = plus(mean, value)
            slope = fused(value, load(normed + place), slope)
        mean, slope, root = times(mean, share), times(slope, share), load(roots + column)
        for place in range(column, column + rows * row, row):
            value = plus(load(g + place), fused(load(normed + place), slope, mean))
            store(g + place, times(value, root))


@compiled
def weight_gradient(gradients, index, g, g_row, outs, x, x_row, tokens, ins, adds):
    """Gradients of linear layer `index`: weight `[outs, ins]`, bias `[outs]`, written or added.

    Args:
        g: gradient of its output, `[outs, tokens]`.
        x: its input with features as neighbours, `[tokens, ins]`.
    """
    weight, bias = integer(gradients + 16 * index), integer(gradients + 16 * index + 8)
    start = weight if adds else 0
    product(g, g_row, 4, x, x_row, tokens, weight, 4 * ins, outs, ins, start, 4 * ins, 0)
    for row in range(outs):
        found = all_of(ZERO)
        for place in range(g + row * g_row, g + (row + 1) * g_row, BYTES):
            found = plus(found, load(place))
        add_number(bias + 4 * row, total(found), adds)


@compiled
def add_number(place, value, adds):
    """Write a float, or add it to what is there."""
    store_number(place, number(place) + value if adds else value)


@compiled
def back(parameters, index, ins, g, g_row, outs, to, to_row, lanes, start, start_row):
    """The gradient of what enters linear layer `index`, `[ins, lanes]`, added to `start` if that is not 0."""
    weight = integer(parameters + 16 * index)
    product(weight, 4, 4 * ins, g, g_row, outs, to, to_row, ins, lanes, start, start_row, 0)


@compiled
def differentiate(g, y, size, slope):
    """The gradient of what was activated, `size` bytes, in place of that of its activation y."""
    one, other = all_of(np.float32(1)), all_of(np.float32(slope))
    for place in range(0, size, BYTES):
        store(g + place, times(load(g + place), if_positive(load(y + place), one, other)))
