import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from htgen.cli import app
from htgen.datasets.fonts import (
    FEWEST_IMAGES,
    MOST_FACES,
    MOST_IMAGES,
    MUSIC_FAMILIES,
    UNSEEN_SYMBOLS,
    part_of,
    prepare_fonts,
    script_of,
)
from htgen.datasets.splits import resolve_split
from htgen.datasets.store import Store
from htgen.errors import DataError
from htgen.images.drawings import DRAWING_STEPS

ENOUGH = FEWEST_IMAGES + 4
"""Fonts, of which some may draw a letter alike."""

LETTERS = "ABΓДgჱか"


def write_font(
    path: Path, text: str, family: str, seed: int = 0, style: str = "Regular", **like: str
) -> Path:
    """A font whose letters are four strokes each, in other places in every family; U+0020 is blank.

    Args:
        like: letters that look like others: `b="a"`.
    """
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    def glyph(character: str, jitter: int) -> object:
        pen = TTGlyphPen(None)
        shape = np.random.default_rng(ord(character))
        places, lying = shape.integers(0, 8, (4, 2)) * 120, shape.random(4) < 0.5
        moves = np.random.default_rng((ord(character), jitter)).integers(-90, 90, (4, 2))
        for is_lying, (x, y) in zip(lying, (places + moves).tolist(), strict=True):
            width, height = (500, 60) if is_lying else (60, 500)
            pen.moveTo((x, y))
            for corner in ((x, y + height), (x + width, y + height), (x + width, y)):
                pen.lineTo(corner)
            pen.closePath()
        return pen.glyph()

    builder = FontBuilder(1000)
    characters = [*text, " "]
    names = {character: f"g{ord(character):x}" for character in characters}
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap({ord(character): name for character, name in names.items()})
    drawn = {names[c]: glyph(like.get(c, c), seed) for c in text}
    blank = TTGlyphPen(None).glyph()
    builder.setupGlyf({".notdef": blank, names[" "]: blank} | drawn)
    builder.setupHorizontalMetrics(dict.fromkeys([".notdef", *names.values()], (1200, 0)))
    builder.setupHorizontalHeader(ascent=1000, descent=-100)
    builder.setupNameTable({"familyName": family, "styleName": style})
    builder.setupOS2()
    builder.setupPost()
    path.parent.mkdir(parents=True, exist_ok=True)
    builder.save(path)
    return path


def families(folder: Path, text: str, count: int = ENOUGH, name: str = "Family", **like: str) -> Path:
    for number in range(count):
        write_font(folder / f"f{number}.ttf", text, f"{name} {number}", seed=number, **like)
    return folder


def names(store: Path) -> list[str]:
    return [name.rpartition("/")[2] for name in Store.open(store).class_names]


def points(text: str) -> list[str]:
    return [f"U+{ord(character):04X}" for character in text]


@pytest.mark.parametrize(
    ("character", "script"),
    [
        ("a", "latin"),
        ("Ω", "greek"),
        ("か", "hiragana"),
        ("𐌰", "gothic"),
        ("𐌀", "old italic"),
        ("٣", "arabic-indic"),
        ("∑", "symbols"),
        ("→", "symbols"),
        ("?", "symbols"),
        ("\ue050", "music"),
        ("\ue082", None),  # the 2 of a time signature
        ("á", None),  # a letter with something
        ("𝐚", None),  # a letter again
        ("Ж", None),
        ("ꯀ", None),
        ("བ", None),
        ("字", None),
        ("가", None),
        ("\u0301", None),
        (" ", None),
        ("\uffff", None),
    ],
)
def test_the_group_of_a_character(character: str, script: str | None) -> None:
    assert script_of(character) == script


def test_letters_become_classes_and_parts_follow_their_names(tmp_path: Path) -> None:
    source = families(tmp_path / "fonts", LETTERS)
    assert prepare_fonts(source, tmp_path / "s") == []
    store = Store.open(tmp_path / "s", verify=True)
    assert store.class_names == (
        "georgian/U+10F1",
        "greek/U+0393",
        "hiragana/U+304B",
        *("latin/U+0041", "latin/U+0042", "latin/U+0067"),
    )
    assert store.class_sources[1] == "GREEK CAPITAL LETTER GAMMA"
    assert store.class_sizes.min() >= FEWEST_IMAGES
    assert store.class_sizes.max() <= ENOUGH
    assert (store.name, store.size, store.ink) == ("fonts", 28, "bright")
    assert store.preprocessing.steps == DRAWING_STEPS
    seen = []
    for part in store.schemes["fonts"].parts:
        for number in resolve_split(store, f"fonts:{part}"):
            script, _, code = store.class_names[number].rpartition("/")
            rest = int(hashlib.sha1(code.encode()).hexdigest(), 16) % 5
            assert part == ("val" if script == "georgian" or rest == 1 else "train" if rest else "test")
            seen.append(number)
    assert sorted(seen) == list(range(6))


def test_the_validation_alphabets_are_for_validation() -> None:
    parts = {part_of("greek", code) for code in range(0x391, 0x3C9)}
    assert parts == {"train", "val", "test"}
    assert {part_of("tifinagh", code) for code in range(0x2D30, 0x2D60)} == {"val"}


def test_families_come_first_and_equal_images_once(tmp_path: Path) -> None:
    """Twenty styles of one family push out no other one; the same font twice adds nothing."""
    source = families(tmp_path / "fonts", "A")
    for number in range(MOST_FACES):
        write_font(source / f"many{number}.ttf", "A", "Many", seed=100 + number, style=f"S{number}")
    write_font(source / "again.ttf", "A", "Again", seed=0)
    prepare_fonts(source, tmp_path / "s")
    prepare_fonts(families(tmp_path / "few", "A"), tmp_path / "one")
    every, one = Store.open(tmp_path / "s"), Store.open(tmp_path / "one")
    assert one.class_sizes[0] < every.class_sizes[0] <= MOST_IMAGES
    assert all(any(np.array_equal(image, other) for other in every.images) for image in one.images)
    assert len(np.unique(every.images, axis=0)) == len(every.images)


def test_fonts_that_name_no_style_count_each(tmp_path: Path) -> None:
    """Of such fonts of one family there are as many as of as many families; of one style there is one."""
    for style in ("", "Regular"):
        for number in range(ENOUGH):
            path = tmp_path / f"fonts{style}" / f"{number}.ttf"
            write_font(path, "A", "Alike", seed=number, style=style)
    prepare_fonts(tmp_path / "fonts", tmp_path / "s")
    prepare_fonts(families(tmp_path / "apart", "A"), tmp_path / "other")
    found, other = (Store.open(tmp_path / name).images for name in ("s", "other"))
    np.testing.assert_array_equal(np.unique(found, axis=0), np.unique(other, axis=0))
    with pytest.raises(DataError, match="fonts read: 12, of 1 family"):
        prepare_fonts(tmp_path / "fontsRegular", tmp_path / "none")


def test_letters_of_few_fonts_are_left_out(tmp_path: Path) -> None:
    source = families(tmp_path / "fonts", "AB", FEWEST_IMAGES - 1)
    for number in range(4):
        write_font(source / f"more{number}.ttf", "B", f"More {number}", seed=90 + number)
    prepare_fonts(source, tmp_path / "s")
    assert names(tmp_path / "s") == points("B")


def test_what_looks_like_a_class_before_it_is_left_out(tmp_path: Path) -> None:
    prepare_fonts(families(tmp_path / "fonts", "AΑBg", Α="A", g="B"), tmp_path / "s")
    assert names(tmp_path / "s") == points("AB")


def test_unseen_symbols_and_what_looks_like_them_are_left_out(tmp_path: Path) -> None:
    text = "A" + "".join(UNSEEN_SYMBOLS) + "Bg"
    prepare_fonts(families(tmp_path / "fonts", text, X="x", B="x", g="7"), tmp_path / "s")
    assert names(tmp_path / "s") == points("A")


def test_what_looks_like_an_unseen_symbol_of_few_fonts_is_left_out(tmp_path: Path) -> None:
    """Fonts of other scripts often have no digits."""
    source = families(tmp_path / "fonts", "AB", B="7")
    for number in range(FEWEST_IMAGES // 2):
        write_font(source / f"digits{number}.ttf", "7", f"Digits {number}", seed=number)
    prepare_fonts(source, tmp_path / "s")
    assert names(tmp_path / "s") == points("A")


def test_a_font_in_several_files_counts_once(tmp_path: Path) -> None:
    """As in packages that have it as TrueType and for the web, or by scripts."""
    source = families(tmp_path / "fonts", "A")
    prepare_fonts(source, tmp_path / "s")
    for number in range(MOST_FACES):
        (source / f"fonts{number}.otf").write_bytes((source / "f0.ttf").read_bytes())
        write_font(source / f"g{number}.otf", "A", "Family 1", seed=100 + number)
    for number in range(ENOUGH):
        write_font(source / f"h{number}.ttf", "B", f"Family {number}", seed=number)
    prepare_fonts(source, tmp_path / "more")
    once, more = Store.open(tmp_path / "s"), Store.open(tmp_path / "more")
    assert names(tmp_path / "more") == points("AB")
    assert more.class_sizes[0] == len(once.images)
    np.testing.assert_array_equal(more.images[: len(once.images)], once.images)


def test_symbols_of_music_are_known_in_fonts_of_music_only(tmp_path: Path) -> None:
    source = families(tmp_path / "fonts", "A\ue050")
    prepare_fonts(source, tmp_path / "s")
    assert names(tmp_path / "s") == points("A")
    for number, family in enumerate(sorted(MUSIC_FAMILIES)):
        write_font(source / "music" / f"{number}.otf", "\ue050", family.title(), seed=50 + number)
    prepare_fonts(source, tmp_path / "s", overwrite=True)
    assert names(tmp_path / "s") == [*points("A"), "U+E050"]
    assert Store.open(tmp_path / "s").class_names[1] == "music/U+E050"


def test_blank_letters_are_not_drawn(tmp_path: Path) -> None:
    """A font that has a place for a letter and draws nothing does not count."""
    from fontTools.ttLib import TTFont

    source = families(tmp_path / "fonts", "AB")
    for number in range(5):
        path = source / f"f{number}.ttf"
        with TTFont(path) as font:
            for table in font["cmap"].tables:
                table.cmap[ord("A")] = table.cmap[ord(" ")]
            font.save(path.with_suffix(".otf"))
        path.unlink()
    prepare_fonts(source, tmp_path / "s")
    assert names(tmp_path / "s") == points("B")


@pytest.mark.parametrize("content", [b"", b"\0\1\0\0", b"no font" * 100, b"wOFF" + bytes(200)])
def test_files_that_are_no_fonts_are_told_and_left_out(tmp_path: Path, content: bytes) -> None:
    source = families(tmp_path / "fonts", "A")
    (source / "bad.ttf").write_bytes(content)
    (source / "cut.otf").write_bytes((source / "f0.ttf").read_bytes()[:300])
    (source / "read.me").write_bytes(content)
    (source / "gone.ttf").symlink_to(source / "nowhere.ttf")
    left_out = prepare_fonts(source, tmp_path / "s")
    assert sorted(line.partition(": ")[0] for line in left_out) == [
        str(source / "bad.ttf"),
        str(source / "cut.otf"),
        str(source / "gone.ttf"),
    ]
    assert f"{source / 'gone.ttf'}: No such file or directory" in left_out
    assert names(tmp_path / "s") == points("A")


def test_no_fonts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        prepare_fonts(tmp_path / "nowhere", tmp_path / "s")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is not a folder"):
        prepare_fonts(tmp_path / "file", tmp_path / "s")
    count = FEWEST_IMAGES - 1
    with pytest.raises(DataError, match=f"no letter in .* fonts read: {count}, of {count} families"):
        prepare_fonts(families(tmp_path / "fonts", "A", count), tmp_path / "s")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DataError, match=r"there are no fonts below .*empty: no files \*.otf, \*.ttf, \*.woff"
    ):
        prepare_fonts(tmp_path / "empty", tmp_path / "s")
    (tmp_path / "empty" / "bad.ttf").write_bytes(b"no font")
    with pytest.raises(DataError, match=r"none of the 1 fonts below .*bad.ttf"):
        prepare_fonts(tmp_path / "empty", tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_without_the_extra_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fontTools.ttLib", None)
    result = CliRunner().invoke(
        app, ["prepare-data", "fonts", "--source", str(tmp_path), "--out", str(tmp_path / "s")]
    )
    assert isinstance(result.exception, DataError)
    assert result.exception.hint == "pip install 'htgen[fonts]'"
