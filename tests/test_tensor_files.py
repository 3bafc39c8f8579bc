"""Files of arrays: the same content gives the same bytes, and one changed bit is noticed."""

import json
import os
import random
import struct

import numpy as np
import pytest
from helpers.files import header_of, with_header, without_checksum
from safetensors.numpy import save

from htgen.errors import ModelError
from htgen.tensor_files import checksum, decode, encode, read_any, unusable

TENSORS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": np.zeros((0, 3), np.float16),
    "c": np.array(7),
}
HEADER = {"name": "x", "counts": {"10": 1, "9": 2}, "values": (1, 2.5)}


def test_what_is_written_is_read_and_compared(tmp_path):
    data = encode("htgen-x", HEADER, TENSORS)
    assert data == encode("htgen-x", dict(reversed(HEADER.items())), dict(reversed(TENSORS.items())))
    (tmp_path / "file").write_bytes(data)
    found = decode(tmp_path / "file", "htgen-x", "an x", "a y")
    assert found.has_checksum
    assert found.header == {"format": "htgen-x", "version": 1, **json.loads(json.dumps(HEADER))}
    assert found.tensors.keys() == TENSORS.keys()
    assert all(np.array_equal(found.tensors[name], tensor) for name, tensor in TENSORS.items())


def test_keys_that_are_numbers_have_the_checksum_of_the_texts_that_they_become(tmp_path):
    (tmp_path / "file").write_bytes(encode("htgen-x", {"counts": {10: 1, 9: 2}}, TENSORS))
    assert read_any(tmp_path / "file").header["counts"] == {"10": 1, "9": 2}


def test_every_flipped_bit_is_noticed_or_changes_nothing(tmp_path):
    data = encode("htgen-x", HEADER, TENSORS)
    path = tmp_path / "file"
    path.write_bytes(data)
    whole = read_any(path)
    chance = random.Random(0)
    for position in [*range(0, len(data) * 8, 5), *(chance.randrange(len(data) * 8) for _ in range(300))]:
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            found = read_any(path)
        except ModelError:
            continue
        shown = [(name, t.tobytes(), t.dtype, t.shape) for name, t in sorted(found.tensors.items())]
        assert shown == [(name, t.tobytes(), t.dtype, t.shape) for name, t in sorted(whole.tensors.items())]
        # A bit in the name of the checksum's key leaves a description with one key more.
        assert whole.header.items() <= found.header.items()


def test_a_file_without_a_checksum_is_one_of_before(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(without_checksum(encode("htgen-x", HEADER, TENSORS)))
    assert not read_any(path).has_checksum
    header = header_of(encode("htgen-x", HEADER, TENSORS))
    path.write_bytes(with_header(encode("htgen-x", HEADER, TENSORS), {**header, "name": "y"}))
    with pytest.raises(ModelError, match="checksum is not that of its content"):
        read_any(path)


def test_names_types_and_shapes_count():
    one = {"a": np.zeros(4, np.float32)}
    others = [
        {"b": one["a"]},
        {"a": one["a"].reshape(2, 2)},
        {"a": one["a"].view(np.int32)},
        {"a": np.float32([0, 0, 0, 1])},
    ]
    assert len({checksum({}, tensors) for tensors in (one, *others)}) == 5
    assert checksum({"a": 1}, one) != checksum({"a": 2}, one)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 8,
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 2**25) + b"{}",
        save({"a": np.zeros(1)}),
        save({"a": np.zeros(1)}, metadata={"htgen": "[" * 10_000}),
        save({"a": np.zeros(1)}, metadata={"htgen": "[]"}),
        save({"a": np.zeros(1)}, metadata={"htgen": '{"version": 1, "format": []}'}),
        save({"a": np.zeros(1)}, metadata={"htgen": '{"version": 1, "format": "x", "checksum": [1]}'}),
        save({"a": np.zeros(1)}, metadata={"htgen": '{"version": ' + "9" * 5000 + ', "format": "x"}'}),
    ],
    ids=range(10),
)
def test_what_is_none_is_refused_in_one_sentence(content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_any(tmp_path / "file")
    assert "\n" not in caught.value.message
    assert str(tmp_path / "file") in caught.value.message


def test_only_regular_files_are_read_and_links_count_as_what_they_lead_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name, says in (("pipe", "not a regular file"), ("link", "not a regular file"), (".", "a folder")):
        with pytest.raises(ModelError, match=says):
            read_any(tmp_path / name)
    with pytest.raises(ModelError, match="not a regular file"):
        read_any("/dev/zero")
    (tmp_path / "file").write_bytes(encode("htgen-x", HEADER, TENSORS))
    (tmp_path / "good").symlink_to("file")
    assert read_any(tmp_path / "good").header["name"] == "x"


def test_weights_are_numbers_of_a_size_that_can_be_multiplied():
    assert unusable(np.float32([1e12, -1e12, 0])) is None
    assert unusable(np.zeros(0, np.float32)) is None
    assert unusable(np.float32([1e13])) == "values beyond 1e+12"
    assert unusable(np.float16([np.nan])) == unusable(np.float32([-np.inf])) == "values that are no numbers"


def test_an_array_that_is_a_view_is_written_with_its_values_in_place(tmp_path):
    """safetensors 0.8.0 writes its memory as it lies (findings/safetensors_numpy_view.sh)."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    path = tmp_path / "view.safetensors"
    path.write_bytes(encode("htgen-test", {}, {"x": array}))
    found = decode(path, "htgen-test", "a test", "another").tensors["x"]
    np.testing.assert_array_equal(found, array)
