"""What takes less time than the plain way gives the very same."""

import io
import itertools
import random
import zlib

import numpy as np
import pytest
from helpers.drawings import FULL, drawing
from PIL import Image, PngImagePlugin

from htgen.errors import DataError
from htgen.images import drawings, gaps, ground, reading, shadows
from htgen.images.inputs import as_input, prepare_images
from htgen.images.ordered import Ordered
from htgen.images.paper import find_levels
from htgen.images.papers import papers_of, regions_of
from htgen.images.png import read_plain
from htgen.images.resampling import MANY, shrink, shrink_to, steps_of, sweep, sweep_both
from htgen.images.surroundings import without_surroundings


@pytest.fixture
def hand() -> np.random.Generator:
    return np.random.default_rng(0)


def file_of(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def decoded(data: bytes) -> tuple[object, ...]:
    try:
        image = reading.decode_image(io.BytesIO(data), "it")
    except DataError as error:
        return (error.message,)
    return image.mode, image.size, image.tobytes()


def changed(data: bytes, hand: random.Random) -> bytes:
    """A file with a byte that is another one, cut off, or with something after its end."""
    place, way = hand.randrange(8, len(data)), hand.random()
    if way < 0.15:
        return data[:place]
    if way < 0.2:
        return data + bytes(5)
    return data[:place] + bytes([hand.randrange(256)]) + data[place + 1 :]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA"])
def test_a_plain_png_is_read_as_pillow_reads_it_whole_or_damaged(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("by", "hand")
    image = drawing(40).rotate(20).convert("RGBA").convert(mode)
    whole = [file_of(image), file_of(image, dpi=(72, 72), pnginfo=text)]
    assert all(read_plain(io.BytesIO(data), data[:32]) is not None for data in whole)
    hand = random.Random(0)
    files = whole + [changed(data, hand) for data in whole for _ in range(60)]
    found = [decoded(data) for data in files]
    with monkeypatch.context() as patched:
        patched.setattr(reading, "read_plain", lambda file, head: None)
        assert found == [decoded(data) for data in files]
    assert sum(len(one) == 1 for one in found) > 20  # damaged ones are told


def in_chunks(data: bytes, *cuts: int, lost: int = 0, between: bytes = b"") -> bytes:
    """A file whose pixels are in several chunks, with or without the last rows of 41 bytes.

    Args:
        cuts: where chunks begin in the compressed pixels; negative: from their end.
        between: a side chunk, with its name, after each of these.
    """
    length = int.from_bytes(data[33:37])
    rows = zlib.decompress(data[41 : 41 + length])
    pixels = zlib.compress(rows[: len(rows) - 41 * lost])
    places = sorted({0, len(pixels), *(cut % len(pixels) for cut in cuts)})
    pieces = [b"IDAT" + pixels[begin:end] for begin, end in itertools.pairwise(places)]
    chunks = [chunk for piece in pieces for chunk in (piece, between) if chunk]
    return data[:33] + b"".join(map(as_chunk, chunks)) + data[45 + length :]


def as_chunk(named: bytes) -> bytes:
    return (len(named) - 4).to_bytes(4) + named + zlib.crc32(named).to_bytes(4)


def test_a_png_whose_pixels_come_in_pieces_is_read_as_pillow_reads_it(
    hand: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow refuses one that ends too early in its last piece, and one with something between two."""
    whole, noise = file_of(drawing(40)), Image.fromarray(hand.integers(0, 256, (300, 300), dtype=np.uint8))
    ends = [in_chunks(whole, -cut, lost=lost) for lost in (0, 1, 9) for cut in range(1, 8)]
    inner = [in_chunks(whole, 20, between=between) for between in (b"", b"tIME1234567", b"tEXtby\0hand")]
    long = file_of(noise)
    too_few = zlib.compress((b"\0" + hand.bytes(300)) * 280, 0)
    short = long[:33] + as_chunk(b"IDAT" + too_few) + long[-12:]
    files = [*ends, *inner, long, short]
    found = [decoded(data) for data in files]
    with monkeypatch.context() as patched:
        patched.setattr(reading, "read_plain", lambda file, head: None)
        assert found == [decoded(data) for data in files]
    assert [one for one in found[:7] if one != decoded(whole)] == []
    assert sum(len(one) == 1 for one in found) >= 9


def test_a_png_with_more_than_pixels_is_left_to_pillow() -> None:
    image = drawing(40)
    exif = image.getexif()
    exif[0x0112] = 6
    for data in (
        file_of(image, transparency=255),
        file_of(image, exif=exif),
        file_of(image.convert("P")),
        file_of(image, save_all=True, append_images=[image.rotate(9)]),
        file_of(Image.new("L", (1100, 1000))),
        file_of(image)[:20],
    ):
        assert read_plain(io.BytesIO(data), data[:32]) is None
    turned = reading.decode_image(io.BytesIO(file_of(image, exif=exif)), "it")
    np.testing.assert_array_equal(np.asarray(turned), np.rot90(np.asarray(image), -1))


@pytest.mark.parametrize("kind", ["noise", "few values", "one value", "clean", "beyond"])
def test_levels_of_many_values_are_those_of_all_in_order(hand: np.random.Generator, kind: str) -> None:
    values = {
        "noise": hand.random((100, 117)),
        "few values": hand.integers(0, 9, (100, 117)) / 8,
        "one value": np.full((100, 117), 0.25),
        "clean": np.where(hand.random((100, 117)) < 0.1, 0.9, hand.normal(0, 1e-3, (100, 117))),
        "beyond": hand.normal(0.3, 0.6, (100, 117)),
    }[kind].astype(np.float32)
    assert values.size > MANY
    in_order, many = Ordered(np.sort(values, axis=None), True), Ordered(values)
    assert find_levels(many) == find_levels(in_order)
    for limit in (0.1, 0.25, 0.5):
        for one, other in (
            (many.below(limit), in_order.below(limit)),
            (many.above(limit), in_order.above(limit)),
        ):
            assert one.size == other.size
            assert not one.size or one.quantile(0.6) == other.quantile(0.6)


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (31, 28)])
@pytest.mark.parametrize("reach", [1, 2, 10])
def test_two_sweeps_at_once_are_both(hand: np.random.Generator, shape: tuple[int, int], reach: int) -> None:
    high, low = hand.normal(size=(2, *shape)).astype(np.float32)
    greatest, least = sweep_both(high, low, reach)
    np.testing.assert_array_equal(greatest, sweep(high, reach, np.maximum))
    np.testing.assert_array_equal(least, sweep(low, reach, np.minimum))
    np.testing.assert_array_equal(steps_of(high), sweep(high, 1, np.maximum) - sweep(high, 1, np.minimum))


def test_an_image_is_scaled_down_to_several_sides_at_once(hand: np.random.Generator) -> None:
    grey = hand.integers(0, 256, (90, 140), dtype=np.uint8)
    for limits in ((64, 32), (200, 64), (200,)):
        for one, limit in zip(shrink_to(grey, *limits), limits, strict=True):
            np.testing.assert_array_equal(one, shrink(grey.astype(np.float32), limit))


def test_what_was_scaled_down_before_changes_nothing(hand: np.random.Generator) -> None:
    y, x = np.mgrid[:200, :200]
    page = np.where((abs(x - 100) < 70) & (abs(y - 90) < 80), 220, 40)
    page[60:120, 90:94] = 60
    grey = np.clip(page + hand.normal(0, 3, page.shape), 0, 255).astype(np.uint8)
    (coarse,) = shrink_to(grey, 128)
    found = without_surroundings(grey, coarse)
    assert found.grey.shape != grey.shape
    np.testing.assert_array_equal(found.grey, without_surroundings(grey).grey)
    np.testing.assert_array_equal(shadows.without_shadows(grey, coarse)[0], shadows.without_shadows(grey)[0])


def test_plain_drawings_are_drawings_by_the_levels_too(
    hand: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = []
    for _ in range(300):
        ink = hand.normal(0, 10.0 ** hand.uniform(-4, -1.5), (30, 30)).astype(np.float32)
        ink[hand.random(ink.shape) < hand.uniform(0, 0.5)] += np.float32(hand.uniform(0.5, 1.2))
        if drawings._is_plainly_drawn(ink):
            plain.append(ink)
    assert 20 < len(plain) < 280
    monkeypatch.setattr(drawings, "_is_plainly_drawn", lambda ink: False)
    assert all(drawings.looks_drawn(drawings.Drawing(ink, 0.0, "dark on light")) for ink in plain)


def test_plain_images_have_no_ground_of_their_own(
    hand: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = []
    for _ in range(200):
        values = np.full((20, 24), hand.choice([0, 40, 255]), np.uint8)
        within = values[1:-1, 1:-1]
        is_ink = hand.random(within.shape) < hand.uniform(0, 0.6)
        within[is_ink] = hand.integers(0, 256, np.count_nonzero(is_ink))
        if ground._is_plain(values):
            plain.append(values)
    assert 20 < len(plain) < 180
    monkeypatch.setattr(ground, "_is_plain", lambda values: False)
    assert all(ground.find_ground(values) is None for values in plain)


def test_regions_are_what_is_brighter_in_an_image_or_its_negative(hand: np.random.Generator) -> None:
    for _ in range(20):
        low, high = sorted(hand.integers(0, 256, 2).tolist())
        values = hand.integers(low, high + 1, (20, 24)).astype(np.uint8)
        thresholds = tuple(low + place * ((high - low) / 7) for place in range(1, 7))
        signed, regions = regions_of(values, np.bincount(values.reshape(-1), minlength=256), thresholds)
        pairs = [
            (one, limit)
            for t in thresholds
            for one, limit in ((values, int(t)), (255 - values, int(254 - t)))
        ]
        large = [(one, one > limit) for one, limit in pairs if (one > limit).sum() >= 0.1 * one.size]
        assert len(large) == len(regions)
        for (one, region), found, sign in zip(large, regions, signed, strict=True):
            np.testing.assert_array_equal(found, region)
            np.testing.assert_array_equal(sign, one)


def test_the_papers_of_several_regions_are_those_of_each(hand: np.random.Generator) -> None:
    regions = hand.random((40, 28, 26)) < np.linspace(0.1, 0.95, 40)[:, None, None]
    regions[::2, :3] = False  # something dark along a side
    found = list(papers_of(regions))
    alone = [(number, mask) for number, one in enumerate(regions) for _, mask in papers_of(one[None])]
    assert [number for number, _ in found] == [number for number, _ in alone]
    assert 5 < len(found) < 40
    for (_, one), (_, other) in zip(found, alone, strict=True):
        np.testing.assert_array_equal(one, other)


def slow_gap(ink: np.ndarray) -> float:
    """The widest empty band, each looked at alone."""
    columns, found = np.flatnonzero(ink.any(axis=0)), 0.0
    for left, right in itertools.pairwise(columns):
        parts = ink[:, : left + 1], ink[:, right:]
        less, more = sorted(gaps.longer_side(part) for part in parts)
        few, many = sorted(np.count_nonzero(part) for part in parts)
        if right - left > 1 and less >= 0.4 * more and few >= 0.12 * many:
            found = max(found, (right - left - 1) / less)
    return found


def test_gaps_are_those_of_each_band_alone(hand: np.random.Generator) -> None:
    found = []
    for _ in range(200):
        ink = hand.random(hand.integers(1, 30, 2)) < hand.choice([0.01, 0.05, 0.2])
        found.append(gaps.find_gaps(ink))
        assert (found[-1].across, found[-1].down) == (slow_gap(ink), slow_gap(ink.T))
    assert sum(gap.across > 0 for gap in found) > 20


def test_pixels_alone_are_those_of_images_that_are_looked_at() -> None:
    images = [np.asarray(drawing(side)) for side in (20, 105, 300)]
    pixels = [FULL.apply(Image.fromarray(image)) for image in images]
    np.testing.assert_array_equal(prepare_images(images, FULL), as_input(pixels, FULL))
