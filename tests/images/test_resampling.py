"""What is computed fast of an image is what it is by plain means."""

import numpy as np
import pytest
from helpers.drawings import noise

from htgen.images.resampling import mean_width, medians, quantile, quantile_of, sweep


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (40, 40), (89, 91), (200, 130)])
@pytest.mark.parametrize("kind", ["noise", "few values", "one value", "columns"])
def test_quantiles_of_many_values_are_those_of_all_in_order(shape: tuple[int, int], kind: str) -> None:
    values = {
        "noise": noise(*shape),
        "few values": noise(*shape) // np.float32(100),
        "one value": np.ones(shape, np.float32),
        "columns": np.tile(np.arange(shape[1], dtype=np.float32), (shape[0], 1)),
    }[kind]
    ordered = np.sort(values, axis=None)
    for share in (0.0, 0.01, 0.5, 0.6, 0.998, 0.9999):
        assert quantile_of(values, share) == quantile(ordered, share)


@pytest.mark.parametrize("mask", [noise(20, 30) > 180, np.ones((3, 4), bool), np.zeros((3, 4), bool)])
def test_the_mean_width_is_that_of_the_whole_outline(mask: np.ndarray) -> None:
    outline = sum(np.count_nonzero(np.diff(np.pad(mask, 1), axis=axis)) for axis in (0, 1))
    assert mean_width(mask) == (2 * np.count_nonzero(mask) / outline if outline else 0)


@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (13, 12)])
@pytest.mark.parametrize("reach", [1, 2, 5])
def test_sweeps_are_those_of_every_window(shape: tuple[int, int], reach: int) -> None:
    values, (height, width) = noise(*shape), shape

    def around(y: int, x: int) -> np.ndarray:
        return values[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]

    places = [(y, x) for y in range(height) for x in range(width)]
    for extreme, reduce in ((np.minimum, np.min), (np.maximum, np.max)):
        expected = np.reshape([reduce(around(y, x)) for y, x in places], shape)
        np.testing.assert_array_equal(sweep(values, reach, extreme), expected)


@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (1, 30), (13, 12), (30, 25)])
@pytest.mark.parametrize("levels", [3, 256])
def test_medians_are_those_of_every_window(shape: tuple[int, int], levels: int) -> None:
    values, (height, width) = noise(*shape) // (256 // levels), shape
    places = [(y, x) for y in range(height) for x in range(width)]
    offsets = np.arange(-5, 6)
    rows = [np.median(values[y, np.clip(x + offsets, 0, width - 1)]) for y, x in places]
    along = np.reshape(rows, shape)
    columns = [np.median(along[np.clip(y + offsets, 0, height - 1), x]) for y, x in places]
    np.testing.assert_array_equal(medians(values), np.reshape(columns, shape))
