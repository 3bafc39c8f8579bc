"""Kernels that numba compiles: a layer of self-attention and MLP, forward.

In memory tokens are neighbours, `[features, tokens]`: a vector holds one feature of several tokens, so that
norms, softmax and products need no sum within a vector, and weights are read as they are. A row is filled up
to whole vectors; what stands there is finite, and the gradients there are zeros.

All arguments are integers; `x`, `saved` and the like are addresses (`htgen.hypertransformer.fused_layer`
gives them). Needs the extra `fast`.

Axis legend: E episodes, T tokens, P wanted tokens, which come first, D token width, V width of all heads'
keys, and of their values, I inner width of the MLP.
"""

import numpy as np

from htgen.cnn.fused_kernels import ZERO, compiled
from htgen.cnn.lane_products import exponential, larger, one_by, one_by_root, product, transpose
from htgen.cnn.lanes import (
    BYTES,
    LANES,
    all_of,
    fused,
    if_positive,
    integer,
    load,
    number,
    plus,
    store,
    times,
)


@compiled
def row_of(count):
    """Bytes of a row of `count` floats, filled up to whole vectors."""
    return (count + LANES - 1) // LANES * BYTES


@compiled
def places(tokens, wanted, width, values, inner, heads):
    """Where the forward leaves what the backward reads, for one episode: bytes from the start.

    Returns:
        The tokens `[D, T]`; queries `[V, P]`, keys `[V, T]` and values `[V, T]`; weights of the attention
        `[heads, T, P]`; its result `[V, P]`; normed `[D, P]`, and one by their deviation `[P]`; the MLP's
        inner values `[I, P]`; normed and one by their deviation once more; and the end of all.
    """
    of_all, of_wanted = row_of(tokens), row_of(wanted)
    query = width * of_all
    key = query + values * of_wanted
    value = key + values * of_all
    weights = value + values * of_all
    attended = weights + heads * tokens * of_wanted
    first = attended + values * of_wanted
    root = first + width * of_wanted
    active = root + of_wanted
    second = active + inner * of_wanted
    root_of_second = second + width * of_wanted
    end = root_of_second + of_wanted
    return 0, query, key, value, weights, attended, first, root, active, second, root_of_second, end


@compiled
def layer(
    x, y, episodes, tokens, wanted, width, values, inner, heads, slope, epsilon, parameters, saved, work
):  # fmt: skip
    """`[E, T, D] -> [E, P, D]`.

    Args:
        slope: of the MLP's activation below zero.
        parameters: table of addresses, of weight and bias of query, key, value, output, expand, contract,
            and of both norms.
        saved: `[E, places(...)[-1]]` bytes, written.
        work: `[2, D, P]` floats, rows filled up.
    """
    of_all, of_wanted = row_of(tokens), row_of(wanted)
    lanes, lanes_of_all = of_wanted // 4, of_all // 4
    at = places(tokens, wanted, width, values, inner, heads)
    normed, out = work, work + width * of_wanted
    for _ in range(episodes):
        query, key, value, weights, attended = [saved + at[index] for index in range(1, 6)]
        first, root, active, second, root_of_second = [saved + at[index] for index in range(6, 11)]
        transpose(x, 4 * width, tokens, width, saved, of_all, lanes_of_all)
        linear(parameters, 0, width, saved, of_all, query, of_wanted, values, lanes, 0, 0)
        linear(parameters, 1, width, saved, of_all, key, of_all, values, lanes_of_all, 0, 0)
        linear(parameters, 2, width, saved, of_all, value, of_all, values, lanes_of_all, 0, 0)
        attend(query, key, value, weights, attended, tokens, of_all, of_wanted, values // heads, heads)
        linear(parameters, 3, values, attended, of_wanted, first, of_wanted, width, lanes, saved, of_all)
        norm_columns(first, of_wanted, width, root, epsilon)
        scale_rows(first, normed, of_wanted, width, parameters, 6)
        linear(parameters, 4, width, normed, of_wanted, active, of_wanted, inner, lanes, 0, 0)
        activate(active, inner * of_wanted, slope)
        linear(parameters, 5, inner, active, of_wanted, second, of_wanted, width, lanes, normed, of_wanted)
        norm_columns(second, of_wanted, width, root_of_second, epsilon)
        scale_rows(second, out, of_wanted, width, parameters, 7)
        transpose(out, of_wanted, width, wanted, y, 4 * width, width)
        x, y, saved = x + 4 * tokens * width, y + 4 * wanted * width, saved + at[11]


@compiled
def linear(parameters, index, ins, x, x_row, y, y_row, outs, lanes, start, start_row):
    """Linear layer `index`: `[ins, lanes] -> [outs, lanes]`, added to `start` if that is not 0."""
    weight, bias = integer(parameters + 16 * index), integer(parameters + 16 * index + 8)
    product(weight, 4 * ins, 4, x, x_row, ins, y, y_row, outs, lanes, start, start_row, bias)


@compiled
def attend(query, key, value, weights, attended, tokens, of_all, of_wanted, width, heads):
    """Softmax attention of all heads; writes its weights `[heads, T, P]` and its result `[V, P]`."""
    scale = np.float32(1 / np.sqrt(width))
    for _ in range(heads):
        product(key, 4, of_all, query, of_wanted, width, weights, of_wanted, tokens, of_wanted // 4, 0, 0, 0)
        softmax_columns(weights, of_wanted, tokens, scale)
        product(
            value, of_all, 4, weights, of_wanted, tokens, attended, of_wanted, width, of_wanted // 4, 0, 0, 0
        )
        query, attended = query + width * of_wanted, attended + width * of_wanted
        key, value = key + width * of_all, value + width * of_all
        weights += tokens * of_wanted


@compiled
def softmax_columns(x, row, rows, scale):
    """Each column of `scale * x`, `[rows, row]`, becomes its softmax."""
    factor = all_of(scale)
    for column in range(0, row, BYTES):
        most = load(x + column)
        for index in range(1, rows):
            most = larger(most, load(x + column + index * row))
        shift, found = times(times(most, factor), all_of(np.float32(-1))), all_of(ZERO)
        for index in range(rows):
            place = x + column + index * row
            value = exponential(fused(load(place), factor, shift))
            store(place, value)
            found = plus(found, value)
        share = one_by(found)
        for index in range(rows):
            place = x + column + index * row
            store(place, times(load(place), share))


@compiled
def norm_columns(x, row, rows, roots, epsilon):
    """Each column of `[rows, row]` is normed; one by its deviation is written to `roots`, `[row]`."""
    share, no = all_of(np.float32(1 / rows)), all_of(np.float32(-1))
    for column in range(0, row, BYTES):
        found = all_of(ZERO)
        for index in range(rows):
            found = plus(found, load(x + column + index * row))
        shift = times(times(found, share), no)
        squares = all_of(ZERO)
        for index in range(rows):
            place = x + column + index * row
            value = plus(load(place), shift)
            store(place, value)
            squares = fused(value, value, squares)
        root = one_by_root(times(squares, share), np.float32(epsilon))
        store(roots + column, root)
        for index in range(rows):
            place = x + column + index * row
            store(place, times(load(place), root))


@compiled
def scale_rows(x, to, row, rows, parameters, index):
    """Write each row of `[rows, row]` times a weight plus a bias, those of part `index`."""
    weight, bias = integer(parameters + 16 * index), integer(parameters + 16 * index + 8)
    for place in range(rows):
        factor, shift = all_of(number(weight + 4 * place)), all_of(number(bias + 4 * place))
        for column in range(place * row, (place + 1) * row, BYTES):
            store(to + column, fused(load(x + column), factor, shift))


@compiled
def activate(x, size, slope):
    """`size` bytes become their activation."""
    other = all_of(np.float32(slope))
    for place in range(x, x + size, BYTES):
        found = load(place)
        store(place, if_positive(found, found, times(found, other)))
