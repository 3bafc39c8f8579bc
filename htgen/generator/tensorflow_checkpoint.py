"""Reading checkpoints of TensorFlow (format 2, a "tensor bundle") without TensorFlow. No torch here.

A checkpoint `NAME` is a table `NAME.index` and data files `NAME.data-00000-of-00001`, ... The table has the
format of LevelDB: blocks of sorted keys with a common prefix left out, an index block, and a footer that says
where that is. Its values are small protocol buffers with type, shape and place of each tensor.

Everything that is read is bounded by the size of the files, and checked by its checksum, before it is used.
Blocks are not compressed; TensorFlow writes none that are.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from htgen.errors import ModelError
from htgen.files import read_regular

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
TRAILER = 5
"""Bytes behind a block: its compression, and its checksum."""

LARGEST_INDEX = 64 << 20
LARGEST_DATA = 4 << 30

TYPES: dict[int, str] = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 10: "|b1", 19: "<f2"}
"""NumPy's name of a type by TensorFlow's number."""

REMEDY = "the path of a checkpoint without its ending, such as run/model-4000000 for run/model-4000000.index"

Message = Mapping[int, list[int | bytes]]
"""The fields of a protocol buffer by number: whole numbers, and bytes."""


class _Damaged(Exception):
    """What is wrong with a file."""


@dataclass(frozen=True)
class TensorEntry:
    """A tensor of a checkpoint: type, shape, and where its bytes are.

    Attributes:
        kind: TensorFlow's number of its type.
        shard: number of the data file.
        checksum: masked CRC-32C of the bytes.
    """

    kind: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int


class Checkpoint:
    """The tensors of a checkpoint, by name.

    Args:
        prefix: path without `.index` and `.data-...`; with `.index` is right too.

    Attributes:
        entries: tensors by name.

    Raises:
        ModelError: it is missing, damaged, or of another format.
    """

    def __init__(self, prefix: str | Path) -> None:
        self.prefix = str(prefix).removesuffix(".index")
        table = self._read(Path(f"{self.prefix}.index"), LARGEST_INDEX)
        try:
            entries = dict(_table(table))
            header = _message(entries.pop(b"", b""))
            self.shards = _number(header, 1)
            if _number(header, 2):
                raise _Damaged("its numbers are big-endian")
            if not 1 <= self.shards <= 10_000:
                raise _Damaged(f"it has {self.shards} data files")
            self.entries = {name.decode(): _entry(value) for name, value in entries.items()}
        except (_Damaged, UnicodeDecodeError, struct.error, IndexError) as error:
            raise ModelError(
                f"{self.prefix}.index is no checkpoint of TensorFlow, or it is damaged: {error}", REMEDY
            ) from error
        self._data: dict[int, bytes] = {}

    def tensor(self, name: str) -> npt.NDArray[np.generic]:
        """The tensor of this name.

        Raises:
            ModelError: there is none, its type is none that is read, or its bytes are damaged.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise ModelError(f"checkpoint {self.prefix} has no {name}", "the config that it was trained with")
        try:
            if entry.kind not in TYPES:
                raise _Damaged(f"type {entry.kind} is none that is read")
            kind = np.dtype(TYPES[entry.kind])
            count = 1
            for side in entry.shape:
                count *= side
            if count * kind.itemsize != entry.size:
                raise _Damaged(f"{entry.size} bytes are not {count} numbers")
            data = self._shard(entry.shard)
            raw = data[entry.offset : entry.offset + entry.size]
            if len(raw) < entry.size:
                raise _Damaged("it ends behind the end of its file")
            if masked_crc32c(raw) != entry.checksum:
                raise _Damaged("its checksum is wrong")
        except _Damaged as error:
            raise ModelError(f"{name} of checkpoint {self.prefix} is damaged: {error}", REMEDY) from error
        return np.frombuffer(raw, kind).reshape(entry.shape)

    def _shard(self, number: int) -> bytes:
        if number >= self.shards:
            raise _Damaged(f"there is no data file {number}")
        if number not in self._data:
            path = Path(f"{self.prefix}.data-{number:05}-of-{self.shards:05}")
            self._data[number] = self._read(path, LARGEST_DATA)
        return self._data[number]

    @staticmethod
    def _read(path: Path, most: int) -> bytes:
        try:
            return read_regular(path, most)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ModelError(f"cannot read the checkpoint {path}: {reason}", REMEDY) from error


# ------------------------------------------------------------------------------------------------ the table


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a table."""
    if len(data) < FOOTER or struct.unpack_from("<Q", data, len(data) - 8)[0] != MAGIC:
        raise _Damaged("it has not the ending of such a file")
    place = len(data) - FOOTER
    _, place = _varint(data, place)  # of the block about the table, which is empty
    _, place = _varint(data, place)
    offset, place = _varint(data, place)
    size, _ = _varint(data, place)
    seen = 0
    for _, handle in _block(data, offset, size):
        offset, place = _varint(handle, 0)
        size, _ = _varint(handle, place)
        seen += size
        if seen > len(data):  # blocks that are named again and again
            raise _Damaged("its blocks are larger than the file")
        yield from _block(data, offset, size)


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block."""
    if size < 8 or offset + size + TRAILER > len(data) - FOOTER:
        raise _Damaged("a block is not inside the file")
    block, kind = data[offset : offset + size], data[offset + size]
    if kind:
        raise _Damaged("it is compressed")
    if masked_crc32c(block + bytes([kind])) != struct.unpack_from("<I", data, offset + size + 1)[0]:
        raise _Damaged("the checksum of a block is wrong")
    restarts = struct.unpack_from("<I", block, size - 4)[0]
    end = size - 4 - 4 * restarts
    if end < 0:
        raise _Damaged("a block has more restarts than fit")
    place, key = 0, b""
    while place < end:
        shared, place = _varint(block, place)
        own, place = _varint(block, place)
        length, place = _varint(block, place)
        if shared > len(key) or place + own + length > end:
            raise _Damaged("a key or value is not inside its block")
        key = key[:shared] + block[place : place + own]
        if len(key) > 4096:
            raise _Damaged("a name has more than 4096 letters")
        place += own
        yield key, block[place : place + length]
        place += length


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number of up to 64 bits, 7 of them a byte, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            break
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise _Damaged("a number does not end")


# ---------------------------------------------------------------------------------------- protocol buffers


def _message(data: bytes) -> Message:
    """The fields of a protocol buffer, which may have each of them several times."""
    fields: dict[int, list[int | bytes]] = {}
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        value: int | bytes
        if tag & 7 == 0:
            value, place = _varint(data, place)
        else:
            size = {1: 8, 5: 4}.get(tag & 7)
            if tag & 7 == 2:
                size, place = _varint(data, place)
            if size is None or place + size > len(data):
                raise _Damaged("a description is none")
            raw = data[place : place + size]
            value = raw if tag & 7 == 2 else int.from_bytes(raw, "little")
            place += size
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _number(message: Message, field: int) -> int:
    value = message.get(field, [0])[-1]
    if not isinstance(value, int):
        raise _Damaged("a description has text in place of a number")
    return value


def _entry(data: bytes) -> TensorEntry:
    message = _message(data)
    shape = []
    for part in message.get(2, []):
        for side in _message(part).get(2, []) if isinstance(part, bytes) else ():
            shape.append(_number(_message(side), 1) if isinstance(side, bytes) else -1)
    if len(shape) > 8 or any(not 0 <= side < 1 << 40 for side in shape):
        raise _Damaged("a tensor has an impossible shape")
    if message.get(7):
        raise _Damaged("a tensor is stored in slices")
    offset, size = _number(message, 4), _number(message, 5)
    return TensorEntry(
        _number(message, 1), tuple(shape), _number(message, 3), offset, size, _number(message, 6)
    )


# -------------------------------------------------------------------------------------------- the checksum


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _crc_table()


def masked_crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), rotated and shifted as in LevelDB."""
    crc, table = 0xFFFFFFFF, _CRC
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return (crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8 & 0xFFFFFFFF
