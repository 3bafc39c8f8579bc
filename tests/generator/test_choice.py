"""What images look like: drawings under any light and of any ink, icons, and photographs of things."""

from pathlib import Path

import numpy as np
import pytest
from helpers.drawings import scene
from helpers.generators import make_generator
from helpers.toy import drawing
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from htgen.generator.choice import (
    DOUBT,
    MOST_EVIDENCE,
    MOST_JUDGED,
    Look,
    check_kind,
    choose,
    icon_evidence,
    look_at,
)
from htgen.generator.generator import load_generator
from htgen.generator.shipped import GENERATORS, shipped_generators


def sketch(seed: int, ink=(0, 0, 0), paper=(255, 255, 255), cast: float = 0.0) -> Image.Image:
    """A few strokes; the light may fall off and change its colour from one side to the other."""
    chance = np.random.default_rng(seed)
    image = Image.new("RGB", (120, 120), paper)
    draw = ImageDraw.Draw(image)
    for _ in range(3):
        draw.line([tuple(point) for point in chance.integers(15, 105, (3, 2)).tolist()], ink, 4)
    side = np.linspace(-1, 1, 120)[None, :, None] * cast * np.array([1.0, 0.2, -1.0])
    light = np.linspace(1, 1 - 3 * cast, 120)[:, None, None]
    values = np.asarray(image) * (1 + side) * light + chance.normal(0, 20 * cast, (120, 120, 3))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


KINDS = {
    "black on white": {},
    "white on black": {"ink": (255, 255, 255), "paper": (0, 0, 0)},
    "blue on yellow": {"ink": (20, 30, 160), "paper": (250, 230, 140)},
    "photographed": {"cast": 0.1},
    "photographed, red": {"ink": (170, 20, 20), "paper": (235, 225, 200), "cast": 0.08},
}


@pytest.mark.parametrize("kind", KINDS)
def test_drawings_of_any_ink_and_light(kind):
    looks = [look_at(sketch(seed, **KINDS[kind])) for seed in range(10)]
    assert not any(look.is_photograph for look in looks)
    assert np.mean([look.icon_evidence for look in looks]) < -DOUBT


def test_scenes_are_photographs():
    assert [look_at(scene(seed)) for seed in range(10)] == [Look(True)] * 10


def test_transparent_drawings_and_empty_images_are_drawings():
    clear = sketch(0).convert("RGBA")
    clear.putalpha(Image.fromarray(255 - np.asarray(sketch(0).convert("L"))))
    assert look_at(clear) == look_at(sketch(0).convert("L"))
    assert look_at(Image.new("RGB", (50, 50), (10, 200, 90))) == Look(False)
    assert look_at(Image.new("L", (1, 1), 3)) == Look(False)


def icon(seed: int, ink: str = "black", paper: str = "white") -> Image.Image:
    """A solid thing and two small ones, the same to the left and to the right."""
    chance = np.random.default_rng(seed)
    image = Image.new("RGB", (120, 120), paper)
    draw = ImageDraw.Draw(image)
    width, height, hole = chance.integers((25, 25, 5), (45, 40, 12)).tolist()
    draw.rounded_rectangle((60 - width, 75 - height, 60 + width, 80 + height // 2), 8, ink)
    draw.ellipse((60 - hole, 75 - hole, 60 + hole, 75 + hole), paper)
    for centre in (60 - width + 8, 60 + width - 8):
        draw.ellipse((centre - 7, 10, centre + 7, 24), ink)
    return image


@pytest.mark.parametrize("colours", [("black", "white"), ("white", "black"), ("navy", "beige")])
def test_icons_of_any_ink(colours):
    looks = [look_at(icon(seed, *colours)) for seed in range(10)]
    assert not any(look.is_photograph for look in looks)
    assert np.mean([look.icon_evidence for look in looks]) > DOUBT


@pytest.mark.parametrize("ink", ["black", "white"])
def test_transparent_icons_of_any_ink(ink):
    clear = Image.new("RGBA", (120, 120), ink)
    clear.putalpha(Image.fromarray(255 - np.asarray(icon(0).convert("L"))))
    assert look_at(clear).icon_evidence > DOUBT


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, st.tuples(*[st.shared(st.integers(1, 24))] * 2)))
def test_evidence_of_any_ink_is_bounded(ink):
    assert abs(icon_evidence(ink)) <= MOST_EVIDENCE
    assert icon_evidence(np.minimum(ink, 127)) == 0


def test_drawings_together_say_whether_they_are_icons(tmp_path):
    choice = choose(write(tmp_path, [*map(icon, range(5)), sketch(0)]))
    assert (choice.domain, choice.generator) == ("icons", GENERATORS["icons"])
    assert choice.sentence == f"icons: {GENERATORS['icons']}; --generator decides"
    assert choice.to_dict()["images"] == {"icons": 6}
    assert choice.notices == []
    choice = choose(write(tmp_path, [*map(sketch, range(5)), icon(0)]))
    assert (choice.domain, choice.to_dict()["images"]) == ("drawings", {"drawings": 6})


@pytest.mark.parametrize(("evidence", "domain"), [(DOUBT / 2, "icons"), (-DOUBT / 2, "drawings")])
def test_doubt_is_said(monkeypatch, evidence, domain):
    monkeypatch.setattr("htgen.generator.choice._look_at", lambda path: Look(False, evidence))
    choice = choose({"a": [Path("a")]})
    assert (choice.domain, choice.is_in_doubt) == (domain, True)
    (other,) = {"icons", "drawings"} - {domain}
    assert f"they may be {other} as well" in choice.notices[0]
    assert f"--generator {GENERATORS[other]}" in choice.notices[0]


def write(folder: Path, images: list[Image.Image]) -> dict[str, list[Path]]:
    paths = [folder / f"{place}.png" for place in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        image.save(path)
    return {"a": paths[::2], "b": paths[1::2]}


def test_a_folder_is_what_most_images_are(tmp_path):
    classes = write(tmp_path, [*map(scene, range(4)), sketch(0)])
    choice = choose(classes)
    assert (choice.domain, choice.generator) == ("photographs", GENERATORS["photographs"])
    assert choice.sentence == f"photographs: {GENERATORS['photographs']}; --generator decides"
    assert not choice.is_mixed
    assert choice.to_dict()["images"] == {"drawings": 1, "photographs": 4}
    mixed = choose(write(tmp_path, [*map(scene, range(2)), *map(sketch, range(3))]))
    assert (mixed.domain, mixed.is_mixed) == ("drawings", True)
    assert "3 drawings and 2 photographs" in mixed.notices[0]


def test_what_cannot_be_read_does_not_count(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"x")
    classes = {"a": [tmp_path / "bad.png"], "b": [tmp_path / "missing.png"]}
    assert choose(classes).domain == "drawings"
    assert choose({}).generator == GENERATORS["drawings"]


def test_of_many_images_some_of_all_classes_are_judged(tmp_path, monkeypatch):
    seen: list[Path] = []
    monkeypatch.setattr("htgen.generator.choice._look_at", lambda path: seen.append(path) or Look(False))
    few = {f"c{i}": [Path(f"c{i}/{j}") for j in range(100)] for i in range(5)}
    choose(few)
    assert len(seen) == MOST_JUDGED
    assert {str(path.parent) for path in seen} == {*few}
    seen.clear()
    choose({f"c{i}": [Path(f"c{i}/0")] for i in range(500)})
    assert len({*seen}) == MOST_JUDGED
    for empty in (2, 30, 100):
        seen.clear()
        choose({f"c{i}": [Path(f"c{i}/0")] if i >= empty else [] for i in range(100)})
        assert len({*seen}) == len(seen) == min(MOST_JUDGED, 100 - empty)


def test_drawings_for_a_generator_of_photographs_are_told(tmp_path):
    photographs, drawings = make_generator(image_channels=3), make_generator()
    classes = write(
        tmp_path, [Image.fromarray(255 - drawing(k, 0)[..., 0]).resize((90, 90)) for k in range(4)]
    )
    (line,) = check_kind(photographs, classes)
    assert line.startswith("warning: the images look like drawings, and 'toy' is for photographs")
    assert check_kind(drawings, classes) == []
    assert check_kind(photographs, write(tmp_path, [*map(scene, range(4))])) == []


def test_the_generators_of_the_table_ship_and_read_such_images():
    assert {*GENERATORS.values()} <= {*shipped_generators()}
    for domain, name in GENERATORS.items():
        assert load_generator(name).preprocessing.is_for_drawings == (domain != "photographs")
