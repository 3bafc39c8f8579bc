"""Files of htgen as older versions wrote them."""

import json
import struct

from safetensors.numpy import load, save


def header_of(data: bytes) -> dict:
    """The description in a file's content, with its checksum."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["htgen"])


def with_header(data: bytes, header: dict) -> bytes:
    """The same tensors under another description, which is written as it is."""
    return save(load(data), metadata={"htgen": json.dumps(header, sort_keys=True)})


def without_checksum(data: bytes) -> bytes:
    """A file's content as it was before files had checksums."""
    header = header_of(data)
    assert len(header.pop("checksum")) == 64
    return with_header(data, header)
