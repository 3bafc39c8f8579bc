"""Reading checkpoints of TensorFlow: what is in them, and files that are damaged or made to do harm."""

import struct
from pathlib import Path

import numpy as np
import pytest

from htgen.errors import ModelError
from htgen.generator import tensorflow_checkpoint
from htgen.generator.tensorflow_checkpoint import FOOTER, MAGIC, Checkpoint, masked_crc32c

FOLDER = Path(__file__).parent / "checkpoints"
INDEX = (FOLDER / "joint.index").read_bytes()
DATA = (FOLDER / "joint.data-00000-of-00001").read_bytes()


@pytest.fixture
def copy(tmp_path):
    """Write a checkpoint of these bytes, and return its path."""

    def write(index: bytes = INDEX, data: bytes | None = DATA) -> Path:
        (tmp_path / "c.index").write_bytes(index)
        if data is not None:
            (tmp_path / "c.data-00000-of-00001").write_bytes(data)
        return tmp_path / "c"

    return write


def test_checksums_are_those_of_the_standard():
    # CRC-32C of "123456789" is 0xe3069283 (RFC 3720, B.4); the mask is LevelDB's.
    crc = 0xE3069283
    assert masked_crc32c(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_names_shapes_and_numbers():
    checkpoint = Checkpoint(FOLDER / "joint.index")
    assert checkpoint.tensor("global_step") == 7
    kernel = checkpoint.tensor("model/shared_features/layer_1/kernel")
    assert (kernel.shape, kernel.dtype) == ((3, 3, 1, 2), np.float32)
    assert sum(np.prod(e.shape, dtype=int) for e in checkpoint.entries.values()) > 10_000
    for name in checkpoint.entries:
        assert np.isfinite(checkpoint.tensor(name)).all()


@pytest.mark.parametrize("length", [0, 7, 47, 48, 1000, len(INDEX) - 1])
def test_a_cut_index_is_refused(copy, length):
    with pytest.raises(ModelError, match=r"c\.index is no checkpoint"):
        Checkpoint(copy(INDEX[:length]))


def test_every_changed_byte_of_the_index_is_found_or_harmless(copy):
    good = {n: Checkpoint(copy()).tensor(n).tobytes() for n in Checkpoint(copy()).entries}
    chance = np.random.default_rng(0)
    for place in chance.integers(0, len(INDEX), 150):
        changed = bytearray(INDEX)
        changed[place] ^= int(chance.integers(1, 256))
        try:
            checkpoint = Checkpoint(copy(bytes(changed)))
            found = {n: checkpoint.tensor(n).tobytes() for n in checkpoint.entries}
        except ModelError:
            continue
        assert found == good  # a byte of the padding


def test_changed_numbers_are_found(copy):
    entry = Checkpoint(copy()).entries["model/shared_features/layer_1/kernel"]
    changed = bytearray(DATA)
    changed[entry.offset] ^= 1
    with pytest.raises(ModelError, match="checksum is wrong"):
        Checkpoint(copy(data=bytes(changed))).tensor("model/shared_features/layer_1/kernel")


def test_missing_files_and_tensors_are_named(copy, tmp_path):
    with pytest.raises(ModelError, match=r"cannot read the checkpoint .*nothing\.index"):
        Checkpoint(tmp_path / "nothing")
    with pytest.raises(ModelError, match="has no colour"):
        Checkpoint(copy()).tensor("colour")
    alone = copy(data=DATA[:100])
    name = max((e.offset, n) for n, e in Checkpoint(alone).entries.items())[1]
    with pytest.raises(ModelError, match="ends behind the end"):
        Checkpoint(alone).tensor(name)
    (tmp_path / "c.data-00000-of-00001").unlink()
    with pytest.raises(ModelError, match="cannot read the checkpoint"):
        Checkpoint(tmp_path / "c").tensor(name)


def test_a_huge_index_is_not_read(copy, monkeypatch):
    monkeypatch.setattr(tensorflow_checkpoint, "LARGEST_INDEX", 1000)
    with pytest.raises(ModelError, match="has more than"):
        Checkpoint(copy())


# ---------------------------------------------------------------------------------------- made to do harm


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(entries: list[tuple[int, bytes, bytes]]) -> bytes:
    """Of (shared letters, rest of the key, value)."""
    body = b"".join(varint(s) + varint(len(k)) + varint(len(v)) + k + v for s, k, v in entries)
    body += struct.pack("<II", 0, 1)
    return body + b"\0" + struct.pack("<I", masked_crc32c(body + b"\0"))


def index_of(entries: list[tuple[int, bytes, bytes]], repeat: int = 1) -> bytes:
    data = block(entries)
    handle = varint(0) + varint(len(data) - 5)
    table = block([(0, b"k%d" % n, handle) for n in range(repeat)])
    footer = varint(0) + varint(0) + varint(len(data)) + varint(len(table) - 5)
    return data + table + footer.ljust(FOOTER - 8, b"\0") + struct.pack("<Q", MAGIC)


HEADER = (0, b"", field(1, 1))


def entry(kind: int = 1, shape: tuple[int, ...] = (2,), offset: int = 0, size: int = 8) -> bytes:
    sides = b"".join(field(2, field(1, side)) for side in shape)
    return field(1, kind) + field(2, sides) + field(4, offset) + field(5, size)


def test_what_is_written_by_hand_is_read(copy):
    raw = np.array([1.5, -2], np.float32).tobytes()
    value = entry() + varint(6 << 3 | 5) + struct.pack("<I", masked_crc32c(raw))
    found = Checkpoint(copy(index_of([HEADER, (0, b"w", value)]), raw)).tensor("w")
    np.testing.assert_array_equal(found, [1.5, -2])


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([HEADER, (5, b"w", entry())], "a key or value is not inside its block"),
        ([HEADER, (0, b"w", entry(shape=(1 << 50,)))], "impossible shape"),
        ([HEADER, (0, b"w", entry(shape=(1,) * 9))], "impossible shape"),
        ([HEADER, (0, b"w" * 5000, entry())], "more than 4096 letters"),
        ([HEADER, (0, b"\xff", entry())], "no checkpoint"),
        ([HEADER, (0, b"w", b"\xff" * 11)], "does not end"),
        ([HEADER, (0, b"w", field(2, b"\x12\x7f"))], "a description is none"),
        ([HEADER, (0, b"w", field(1, b"text"))], "text in place of a number"),
        ([HEADER, (0, b"w", entry() + field(7, b"x"))], "stored in slices"),
        ([(0, b"", field(1, 10**9))], "data files"),
        ([(0, b"", field(1, 1) + field(2, 1))], "big-endian"),
        ([(0, b"w", entry())], "0 data files"),
    ],
)
def test_hostile_tables_are_refused(copy, entries, message):
    with pytest.raises(ModelError, match=message):
        Checkpoint(copy(index_of(entries)))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (entry(kind=7), "type 7 is none that is read"),
        (entry(shape=(3,)), "8 bytes are not 3 numbers"),
        (entry(shape=(1 << 39, 1 << 39), size=8), "8 bytes are not"),
        (entry(offset=1 << 60), "ends behind the end"),
        (field(3, 5) + entry(), "no data file 5"),
        (entry(), "checksum is wrong"),
    ],
)
def test_hostile_tensors_are_refused(copy, value, message):
    with pytest.raises(ModelError, match=message):
        Checkpoint(copy(index_of([HEADER, (0, b"w", value)]))).tensor("w")


def test_blocks_that_are_named_again_and_again_are_refused(copy):
    with pytest.raises(ModelError, match="larger than the file"):
        Checkpoint(copy(index_of([HEADER, (0, b"w", entry() * 40)], repeat=500)))


def test_a_compressed_block_is_refused(copy):
    index = index_of([HEADER, (0, b"w", entry())])
    body = len(block([HEADER, (0, b"w", entry())])) - 5
    with pytest.raises(ModelError, match="compressed"):
        Checkpoint(copy(index[:body] + b"\1" + index[body + 1 :]))
