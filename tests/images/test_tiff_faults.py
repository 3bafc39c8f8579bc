"""What libtiff finds wrong is told by htgen, and nothing of it is printed."""

import io
import random
import threading

import pytest
from helpers.drawings import drawing
from PIL import Image

from htgen.errors import DataError
from htgen.images.inputs import read_images
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import DAMAGED_IN_PART, NOTES, load_image
from htgen.images.tiff_faults import noted

KINDS = {"group4": "1", "tiff_lzw": "L", "jpeg": "RGB", "packbits": "L", "tiff_adobe_deflate": "L"}


def tiff(compression: str) -> bytes:
    buffer = io.BytesIO()
    drawing(64).convert(KINDS[compression]).save(buffer, "TIFF", compression=compression)
    return buffer.getvalue()


def damaged(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 3, 10))):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("compression", KINDS)
def test_damaged_files_print_nothing_and_are_told(compression, tmp_path, capfd):
    chance, told, refused = random.Random(0), 0, 0
    for _ in range(60):
        (tmp_path / "x.tif").write_bytes(damaged(tiff(compression), chance))
        try:
            told += DAMAGED_IN_PART in load_image(tmp_path / "x.tif").info.get(NOTES, ())
        except DataError:
            refused += 1
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
    assert told + refused > 5
    assert told or compression != "group4"  # of a fax, what can be read is shown


@pytest.mark.parametrize("compression", KINDS)
def test_a_whole_file_is_not_told(compression, tmp_path):
    (tmp_path / "x.tif").write_bytes(tiff(compression))
    assert NOTES not in load_image(tmp_path / "x.tif").info


def half_a_fax() -> bytes:
    """A fax with other bytes in its middle, where libtiff finds no code of its table."""
    data = tiff("group4")
    with Image.open(io.BytesIO(data)) as image:
        (start,), (length,) = image.tag_v2[273], image.tag_v2[279]
    middle = start + length // 2
    for filling in range(256):
        changed = data[:middle] + bytes([filling] * 6) + data[middle + 6 :]
        with noted() as faults:
            Image.open(io.BytesIO(changed)).load()
        if faults:
            return changed
    raise AssertionError("every filling is a code")


def test_it_is_a_warning_of_the_image(tmp_path):
    (tmp_path / "x.tif").write_bytes(half_a_fax())
    ((_, read),) = read_images([tmp_path / "x.tif"], Preprocessing(28, 1, "bright", "pad"))
    assert DAMAGED_IN_PART in read.warnings


def test_what_was_printed_before_is_printed_after(tmp_path, capfd):
    (tmp_path / "x.tif").write_bytes(half_a_fax())
    load_image(tmp_path / "x.tif")
    assert capfd.readouterr().err == ""
    Image.open(tmp_path / "x.tif").load()
    assert "Fax4Decode" in capfd.readouterr().err


def test_each_thread_has_its_own():
    def read() -> None:
        Image.open(io.BytesIO(half_a_fax())).load()

    with noted() as here:
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        assert here == []
        read()
        assert "Fax4Decode" in here
