import gc
import shlex
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from htgen.errors import DataError
from htgen.images.inputs import ReadImage, as_input, expand_paths, prepare_images, read_images, read_pixels
from htgen.images.notices import NOTHING_SEEN, TINY
from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import load_image

GREY = Preprocessing(8, 1, "none", "stretch")
DRAWINGS = Preprocessing(16, 1, "bright", "pad").for_real_images()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0)
    for name in ("b", "a"):
        Image.fromarray(noise.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path


def stroke(ink: int, paper: int) -> np.ndarray:
    picture = np.full((40, 40), paper, np.uint8)
    picture[5:35, 18:22] = ink
    return picture


def test_every_kind_of_source_is_read_alike(folder):
    path = folder / "a.png"
    pixels = np.asarray(load_image(path))
    sources = [path, str(path), Image.open(path), pixels]
    read = [result for _, result in read_images(sources, GREY)]
    expected = GREY.apply(load_image(path))
    for result in read:
        assert isinstance(result, ReadImage)
        np.testing.assert_array_equal(result.pixels, expected)
    np.testing.assert_array_equal(prepare_images(sources, GREY), as_input([expected] * 4, GREY))


def test_what_cannot_be_read_has_its_fault_in_its_place(folder):
    (folder / "empty.png").write_bytes(b"")
    sources = [folder / "a.png", folder / "empty.png", 7, np.zeros((2, 2)), folder / "b.png"]
    results = list(read_images(sources, GREY))
    assert [source for source, _ in results[:3]] == sources[:3]
    kinds = [type(result) for _, result in results]
    assert kinds == [ReadImage, DataError, DataError, DataError, ReadImage]
    assert "empty.png: it is empty" in str(results[1][1])
    assert "got int" in str(results[2][1])
    with pytest.raises(DataError, match=r"empty\.png: it is empty") as caught:
        prepare_images(sources, GREY)
    assert caught.value.hint == "replace it, or remove it"


def test_faults_hold_nothing_of_what_was_decoded(folder):
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:200])
    ((_, fault),) = read_images([folder / "cut.png"], GREY)
    assert isinstance(fault, DataError)
    assert fault.__traceback__ is fault.__cause__ is fault.__context__ is None


def test_what_was_decoded_is_dropped_before_the_next_image(folder, monkeypatch):
    readings: list[weakref.ref] = []
    most = 0
    read = Preprocessing.read_simple

    def watched(self, image, notes=()):
        nonlocal most
        gc.collect()
        most = max(most, sum(reading() is not None for reading in readings))
        reading = read(self, image, notes)  # holds the image at full size
        readings.append(weakref.ref(reading))
        return reading

    monkeypatch.setattr(Preprocessing, "read_simple", watched)
    kept = list(read_images([folder / "a.png"] * 5, DRAWINGS))
    assert len(kept) == len(readings) == 5
    assert most == 0
    assert all(image.pixels.base is None or image.pixels.base.size <= 16 * 16 for _, image in kept)


def thing(seed: int) -> np.ndarray:
    """Soft spots of colour, most of which look like no drawing."""
    spots = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(spots).resize((80, 60), Image.Resampling.BICUBIC))


def test_images_are_judged_where_it_means_something():
    blank = np.full((30, 30), 200, np.uint8)
    dark, bright, empty = (read for _, read in read_images([stroke(0, 255), stroke(255, 0), blank], DRAWINGS))
    assert (dark.polarity, dark.looks_drawn, dark.is_blank) == ("dark on light", True, False)
    assert (bright.polarity, bright.looks_drawn, bright.is_blank) == ("light on dark", True, False)
    assert empty.is_blank
    things = [thing(seed) for seed in range(8)]
    judged = [read.looks_drawn for _, read in read_images(things, DRAWINGS)]
    assert judged == [not DRAWINGS.read(Image.fromarray(one)).is_photograph for one in things]
    assert False in judged
    for _, read in read_images(things, GREY):
        assert (read.polarity, read.looks_drawn) == (None, None)


def test_pixels_alone_are_those_of_images_that_are_judged(folder):
    sources = [stroke(0, 255), thing(0), folder / "a.png", folder / "cut.png"]
    for preprocessing in (GREY, DRAWINGS, DRAWINGS.without("clean")):
        both = zip(read_images(sources, preprocessing), read_pixels(sources, preprocessing), strict=True)
        for (_, read), (source, pixels) in both:
            if isinstance(read, DataError):
                assert source == folder / "cut.png"
                assert isinstance(pixels, DataError)
                assert str(pixels) == str(read)
            else:
                np.testing.assert_array_equal(pixels, read.pixels)


def test_ink_in_colour_has_a_polarity_and_no_drawings():
    ((_, read),) = read_images([stroke(0, 255)], Preprocessing(8, 3, "bright", "pad"))
    assert (read.polarity, read.looks_drawn) == ("dark on light", None)


def test_reading_begins_when_it_is_asked_for(folder):
    reads = read_images(iter([folder / "a.png", folder / "later.png"]), GREY)
    assert isinstance(next(reads)[1], ReadImage)
    Image.open(folder / "b.png").save(folder / "later.png")
    assert isinstance(next(reads)[1], ReadImage)


# ------------------------------------------------------------------------------------------------ paths


def test_places_are_expanded_in_their_order(folder):
    (folder / "sub").mkdir()
    Image.open(folder / "a.png").save(folder / "sub" / "c.png")
    a, b, c = folder / "a.png", folder / "b.png", folder / "sub" / "c.png"
    nowhere = folder / "nowhere.png"
    assert expand_paths([b, str(folder / "sub"), nowhere, a]) == ([b, c, nowhere, a], [])
    assert expand_paths([str(folder / "[ab].png")]) == ([a, b], [])
    assert expand_paths([str(folder / "s*")]) == ([c], [])
    assert expand_paths([]) == ([], [])


def test_a_file_of_the_very_name_comes_before_a_pattern(folder):
    named = folder / "[ab].png"
    Image.open(folder / "a.png").save(named)
    assert expand_paths([str(named)]) == ([named], [])


def test_what_is_left_out_of_folders_is_returned_and_not_printed(folder, capsys):
    (folder / "notes.txt").write_text("x")
    (folder / "sub").mkdir()
    paths, notices = expand_paths([folder])
    assert [path.name for path in paths] == ["a.png", "b.png"]
    assert notices == [
        f"warning: not of a known image format, in {folder}: notes.txt",
        f"warning: sub-folders are not looked into, in {folder}: sub",
    ]
    assert capsys.readouterr() == ("", "")


def test_errors_carry_what_was_noticed_before_them(folder):
    (folder / "notes.txt").write_text("x")
    other = folder / "other"
    other.mkdir()
    (other / "scan.doc").write_text("x")
    with pytest.raises(DataError, match="holds no image files") as caught:
        expand_paths([folder, other])
    assert caught.value.__notes__ == [
        f"warning: not of a known image format, in {folder}: notes.txt",
        f"warning: sub-folders are not looked into, in {folder}: other",
        f"warning: not of a known image format, in {other}: scan.doc",
    ]
    with pytest.raises(DataError, match="no file matches"):
        expand_paths([folder / "x*"])


@pytest.mark.parametrize("inner", ["a", "a/b", "a/b/c"])
def test_a_pattern_is_told_that_finds_the_images_of_deeper_folders(inner, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "new ones" / inner
    place.mkdir(parents=True)
    Image.new("L", (9, 9)).save(place / "1.png")
    with pytest.raises(DataError, match="only folders of such") as caught:
        expand_paths(["new ones"])
    (pattern,) = shlex.split(caught.value.hint.partition(";")[0])
    assert expand_paths([pattern])[0] == [(place / "1.png").relative_to(tmp_path)]


@pytest.mark.parametrize(
    ("images", "others"),
    [
        (["a/1.png", "b/2.png"], []),
        (["a/1.png", "b/2.JPG"], ["c/notes.txt"]),
        (["a/1.png", "b/deep/2.png"], []),
        (["a/1.png", "a/deep/3.gif", "b/2.png"], ["notes.txt"]),
    ],
)
def test_patterns_are_told_that_find_the_images_of_all_folders(images, others, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [Path("in[1] *") / name for name in (*images, *others)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("it is told without a look")
    for path in paths[: len(images)]:
        Image.new("L", (9, 9)).save(path)
    Path("in1 x").mkdir()  # which the name of the folder matches as a pattern
    Image.new("L", (9, 9)).save("in1 x/9.png")
    with pytest.raises(DataError, match="only folders of such") as caught:
        expand_paths(["in[1] *"])
    found, _ = expand_paths(shlex.split(caught.value.hint.partition(";")[0]))
    assert set(found) == set(paths[: len(images)])


@pytest.mark.parametrize(("size", "is_told"), [((15, 15), True), ((16, 4), False), ((4, 16), False)])
def test_images_of_few_pixels_are_told(size, is_told):
    image = Image.new("L", size, 255)
    image.paste(0, (1, 1, 3, 3))
    drawings = Preprocessing(28, 1, "bright", "pad").for_real_images()
    for how, told in ((drawings, is_told), (Preprocessing(28, 3, "none", "crop"), False)):
        ((_, read),) = read_images([image], how)
        assert (TINY in read.warnings) == told
    ((_, blank),) = read_images([Image.new("L", (8, 8), 255)], drawings)
    assert blank.warnings == (NOTHING_SEEN,)
