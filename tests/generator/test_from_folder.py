from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.generators import make_generator
from helpers.toy import drawing
from PIL import Image, ImageDraw

from htgen.errors import DataError, ModelError
from htgen.generator import from_folder
from htgen.generator.from_folder import generate_from_folder
from htgen.generator.generator import Generator, load_generator
from htgen.generator.support_files import find_support


@pytest.fixture(scope="module")
def generator() -> Generator:
    return make_generator()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind in ("wren", "auk"):
        place = tmp_path / "support" / kind
        place.mkdir(parents=True)
        for i in range(3):
            picture = 255 - drawing(5 * len(kind), i)[..., 0]
            # Of three shapes: the toy drawings of a class differ by noise alone, as copies do.
            Image.fromarray(picture).resize((40 + 14 * (i == 1), 40 + 14 * (i == 2))).save(place / f"{i}.png")
    return tmp_path / "support"


def test_the_cnn_is_that_of_the_same_images_and_labels(generator, folder):
    made = generate_from_folder(folder, generator)
    paths = sorted(folder.glob("*/*.png"))
    assert list(made.images.labeled) == paths
    assert made.images.labels == [path.parent.name for path in paths]
    expected = generator.generate_bundle(generator.prepare(paths, made.images.labels))
    assert set(made.bundle.gaps) == {"auk", "wren"}
    assert made.bundle.to_bytes() == replace(expected, gaps=made.bundle.gaps).to_bytes()
    assert made.images.notices == ()
    assert made.images.left_out == {}
    assert made.seconds > 0


def test_unlabelled_images_count_and_what_is_left_out_is_told(generator, folder, tmp_path):
    further = tmp_path / "further"
    further.mkdir()
    Image.fromarray(drawing(3, 9)[..., 0]).save(further / "x.png")
    (further / "y.png").write_bytes(b"")
    (folder / "wren" / "bad.png").write_bytes(b"")
    (folder / "wren" / "notes.txt").write_text("x")
    Image.fromarray(drawing(3, 9)[..., 0]).save(folder / "loose.png")
    Image.new("L", (30, 30), 200).save(folder / "auk" / "blank.png")
    made = generate_from_folder(folder, generator, further)
    expected = generator.prepare(list(made.images.labeled), made.images.labels, [further / "x.png"])
    np.testing.assert_array_equal(made.support.images, expected.images)
    np.testing.assert_array_equal(made.support.labels, expected.labels)
    assert list(made.images.unlabeled) == [further / "x.png"]
    assert list(made.images.left_out) == [folder / "wren" / "bad.png", further / "y.png"]
    assert made.images.notices == (
        f"warning: not of a known image format, in {folder / 'wren'}: notes.txt",
        f"warning: images beside the folders of classes, in {folder}: loose.png",
        f"left out: cannot read image {folder / 'wren' / 'bad.png'}: it is empty",
        f"left out: cannot read image {further / 'y.png'}: it is empty",
        f"warning: nothing is to be seen: {folder / 'auk' / 'blank.png'}",
        "note: toy was trained without unlabelled images; they may do more harm than good",
    )


def test_errors_carry_what_was_left_out(generator, folder, tmp_path):
    (folder / "wren" / "notes.txt").write_text("x")
    told = f"warning: not of a known image format, in {folder / 'wren'}: notes.txt"
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="none holds no image files") as caught:
        generate_from_folder(folder, generator, tmp_path / "none")
    assert caught.value.__notes__ == [told]
    for path in folder.glob("wren/*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"class 'wren' has no image that can be read \(of 3 in ") as caught:
        generate_from_folder(folder, generator)
    assert caught.value.__notes__[0] == told
    assert [note.startswith("left out: ") for note in caught.value.__notes__] == [False, True, True, True]


def test_too_many_classes_are_told_before_images_are_read(generator, folder, monkeypatch):
    for number in range(6):
        (folder / f"more{number}").mkdir()
        Image.fromarray(drawing(number, 9)[..., 0]).save(folder / f"more{number}" / "0.png")
    (folder / "auk" / "notes.txt").write_text("no image")
    monkeypatch.delattr(from_folder, "read_in_processes")
    with pytest.raises(ModelError, match="knows at most 5 classes") as caught:
        generate_from_folder(folder, generator)
    assert "notes.txt" in caught.value.__notes__[0]


def test_files_are_found_without_a_generator(folder):
    files = find_support(folder)
    assert {name: len(paths) for name, paths in files.classes.items()} == {"auk": 3, "wren": 3}
    assert files.unlabeled == []


def test_the_estimate_is_that_of_the_generator(generator, folder):
    made = generate_from_folder(folder, generator)
    check = generator.leave_one_out(made.support)
    assert made.check is not None
    np.testing.assert_array_equal(made.check.probabilities, check.probabilities)
    assert len(made.missed) == (check.labels != check.predictions).sum()
    paths = list(made.images.labeled)
    for position, line in zip(np.flatnonzero(check.labels != check.predictions), made.missed, strict=True):
        name = paths[position].relative_to(folder)
        assert line == f"{name} looks like {check.classes[check.predictions[position]]}"


def test_classes_of_one_image_have_no_estimate(generator, folder):
    for path in folder.glob("auk/[12].png"):
        path.unlink()
    made = generate_from_folder(folder, generator)
    assert made.check.untested == ("auk",)
    assert made.bundle_with_estimate.estimate == made.check.score
    for path in folder.glob("wren/[12].png"):
        path.unlink()
    made = generate_from_folder(folder, generator)
    assert made.check is None
    assert made.missed == []
    assert made.bundle_with_estimate.to_bytes() == made.bundle.to_bytes()


def test_images_after_an_untested_one_are_named_rightly(generator, folder):
    """Positions among the tested images are not those among all."""
    for path in folder.glob("auk/[12].png"):
        path.unlink()
    made = generate_from_folder(folder, generator)
    paths = list(made.images.labeled)
    assert [paths[position] for position in made.check.positions] == sorted(folder.glob("wren/*.png"))
    wrong = np.flatnonzero(made.check.labels != made.check.predictions)
    assert [line.partition(" looks like ")[0] for line in made.missed] == [
        str(paths[made.check.positions[place]].relative_to(folder)) for place in wrong
    ]


def test_empty_unlabelled_images_do_not_count(generator, folder, tmp_path):
    further = tmp_path / "further"
    further.mkdir()
    Image.fromarray(drawing(3, 9)[..., 0]).save(further / "x.png")
    alone = generate_from_folder(folder, generator, further)
    for number in range(5):
        Image.new("L", (40, 30), 255).save(further / f"blank{number}.png")
    made = generate_from_folder(folder, generator, further)
    assert made.bundle.to_bytes() == alone.bundle.to_bytes()
    assert list(made.images.unlabeled) == [further / "x.png"]
    assert len(made.images.ignored) == 5
    first = further / "blank0.png"
    note = f"note: 5 of 6 unlabelled images are empty and do not count; the first is {first}"
    assert note in made.images.notices
    assert made.images.warnings[first] == ("nothing is to be seen; it does not count",)


def test_copies_are_named_and_say_nothing_of_new_images(folder):
    """Scribbles of no meaning, three copies each: without looking for copies all would be found again."""
    generator = load_generator("glyph-8")
    noise = np.random.default_rng(3)
    for path in folder.glob("*/*.png"):
        path.unlink()
    for kind in ("auk", "wren"):
        for number in range(2):
            picture = Image.fromarray(scribble(noise))
            for turn in (0, 2, -3):
                turned = picture.rotate(turn, Image.Resampling.BICUBIC, fillcolor=255)
                turned.save(folder / kind / f"{number}{turn}.jpg", quality=70)
    made = generate_from_folder(folder, generator)
    assert [[path.name[0] for path in group] for group in made.copies] == [["0"] * 3, ["1"] * 3] * 2
    assert "copies of each other" in made.doubts[0]
    assert "auk/02.jpg" in made.doubts[0]
    assert (len(made.check.labels), made.check.score.images) == (12, 4)
    one = generator.leave_one_out(made.support, np.arange(12))
    assert one.accuracy == 1
    assert made.check.accuracy < 0.6
    wrong = int((made.check.labels != made.check.predictions).sum())
    named = [int(line.partition("of which there are ")[2].partition(" ")[0] or 1) for line in made.missed]
    assert sum(named) == wrong > len(named)  # copies that look like the same class are named once
    assert not any("several classes" in line for line in made.doubts)


def test_an_image_that_is_in_two_classes_is_told(folder):
    (folder / "wren" / "9.png").write_bytes((folder / "auk" / "0.png").read_bytes())
    made = generate_from_folder(folder, load_generator("glyph-8"))
    assert [line.endswith(": auk/0.png, wren/9.png") for line in made.doubts[:2]] == [True, True]
    assert "in several classes" in made.doubts[1]


def scribble(noise: np.random.Generator) -> np.ndarray:
    """A curve through random points, dark on light."""
    canvas = Image.new("L", (120, 120), 255)
    points = [tuple(point) for point in noise.integers(15, 105, (9, 2)).tolist()]
    ImageDraw.Draw(canvas).line(points, fill=0, width=4, joint="curve")
    return np.asarray(canvas)


def icon(kind: str, width: int, side: int = 200) -> Image.Image:
    """An icon in some weight."""
    image = Image.new("L", (side, side), 255)
    draw = ImageDraw.Draw(image)
    if kind == "auk":
        draw.rounded_rectangle((40, 60, 160, 150), 20, outline=0, width=width)
        draw.line((40, 95, 160, 95), fill=0, width=width)
    else:
        draw.ellipse((45, 45, 125, 125), outline=0, width=width)
        draw.line((114, 114, 165, 165), fill=0, width=width)
    return image


def test_an_icon_in_two_weights_is_no_copy_and_copies_of_it_are(folder):
    generator = load_generator("glyph-8")
    for path in folder.glob("*/*.png"):
        path.unlink()
    for kind in ("auk", "wren"):
        thin, bold = icon(kind, 8), icon(kind, 10)
        copies = {
            "thin": thin,
            "thin-scaled": thin.resize((127, 127), Image.Resampling.LANCZOS),
            "thin-turned": thin.rotate(2, Image.Resampling.BICUBIC, fillcolor=255),
            "bold": bold,
            "bold-cut": bold.crop((12, 5, 193, 190)),
        }
        for name, image in copies.items():
            image.save(folder / kind / f"{name}.jpg", quality=70)
        thin.save(folder / kind / "thin-again.webp", quality=60)
    made = generate_from_folder(folder, generator)
    groups = [sorted(path.stem for path in group) for group in made.copies]
    assert groups == [["bold", "bold-cut"], ["thin", "thin-again", "thin-scaled", "thin-turned"]] * 2
    # What a CNN sees of them is the same, and without the widths all would be copies.
    assert len(set(generator.find_copies(made.support).tolist())) < 4


def test_labels_come_from_a_table(generator, folder, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    lines = []
    for path in sorted(folder.glob("*/*.png")):
        name = f"{path.parent.name}{path.stem}x.png"
        (images / name).write_bytes(path.read_bytes())
        lines.append(f"{name},{path.parent.name}\n")
    table = tmp_path / "labels.csv"
    table.write_text("".join(lines))
    made = generate_from_folder(images, generator, labels=table)
    expected = generate_from_folder(folder, generator)
    assert made.bundle.to_bytes() == expected.bundle.to_bytes()
