"""Weights of 8 bits: near to what they were, exact from then on, and refused where they are incomplete."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from htgen.eight_bits import SCALE, narrowed, round_tensor, rounded, widened
from htgen.tensor_files import encode, read_any

NUMBERS = st.floats(-1e6, 1e6, width=32)


@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=NUMBERS))
def test_each_channel_is_near_and_stays(tensor):
    found = rounded(tensor)
    largest = np.abs(tensor).max(axis=1, keepdims=True)
    assert (np.abs(found - tensor) <= largest * (0.5 + 1e-3) / 127 + 1e-30).all()
    assert np.array_equal(rounded(found), found)


@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=NUMBERS))
def test_the_scale_times_a_whole_number_is_exact(tensor):
    whole, scale = round_tensor(tensor)
    exact = whole.astype(np.float64) * scale.astype(np.float64)[:, None]
    assert np.array_equal(rounded(tensor).astype(np.float64), exact)
    assert np.abs(whole.astype(int)).max() <= 127


def test_files_hold_them_and_say_their_version(tmp_path):
    hand = np.random.default_rng(0)
    tensors = {"a": hand.normal(size=(3, 2, 5, 5)).astype(np.float32), "b": np.ones(3, np.float32)}
    stored = narrowed(tensors, {"a"})
    assert {name: tensor.dtype.str for name, tensor in stored.items()} == {
        "a": "|i1",
        f"a{SCALE}": "<f4",
        "b": "<f4",
    }
    (tmp_path / "file").write_bytes(encode("htgen-x", {}, stored))
    file = read_any(tmp_path / "file")
    assert file.header["version"] == 2
    again = widened(file.tensors)
    assert again.keys() == tensors.keys()
    assert np.array_equal(again["a"], rounded(tensors["a"]))
    assert np.array_equal(again["b"], tensors["b"])
    assert encode("htgen-x", {}, narrowed(again, {"a"})) == encode("htgen-x", {}, stored)
    assert widened(tensors).keys() == tensors.keys()


@pytest.mark.parametrize(
    "scale", [None, np.ones(2, np.float32), np.ones(3, np.float64), np.ones((3, 1), np.float32)]
)
def test_without_a_scale_for_each_channel_they_are_refused(scale):
    tensors = {"a": np.ones((3, 2), np.int8)}
    if scale is not None:
        tensors[f"a{SCALE}"] = scale
    with pytest.raises(ValueError, match="no scale for each channel"):
        widened(tensors)
    with pytest.raises(ValueError, match="no scale for each channel"):
        widened({"a": np.array(3, np.int8)})


@given(arrays(np.float32, 4, elements=NUMBERS | st.floats(-1e3, 1e3, width=16)))
def test_biases_have_16_bits_only_where_nothing_is_lost(bias):
    tensors = {"conv.weight": np.ones((4, 1, 3, 3), np.float32), "conv.bias": bias, "logits.bias": bias}
    stored = narrowed(tensors, ["conv.weight"], ["conv.bias"])
    fits = bool((np.abs(bias) < 65504).all() and (bias.astype(np.float16) == bias).all())
    assert (stored["conv.bias"].dtype == np.float16) == fits
    assert stored["logits.bias"].dtype == np.float32
    again = widened(stored)
    assert again["conv.bias"].dtype == np.float32
    assert again["conv.bias"].tobytes() == bias.tobytes()


def test_other_numbers_of_16_bits_stay_as_they_are():
    half = np.ones(4, np.float16)
    stored = {"a.weight": np.ones((4, 1), np.int8), f"a.weight{SCALE}": np.ones(4, np.float32)}
    again = widened(stored | {"b.bias": half, "a.norm.bias": half})
    assert {again["b.bias"].dtype, again["a.norm.bias"].dtype} == {np.dtype(np.float16)}
