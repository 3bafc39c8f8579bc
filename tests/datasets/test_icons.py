import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.icon_package import (
    CONCEPTS,
    SETS,
    body,
    collection,
    icon_set,
    package,
    render_without_resvg,
    tall,
    write,
)
from typer.testing import CliRunner

from htgen.cli import app
from htgen.datasets.icons import FEWEST_IMAGES, MOST_IMAGES, STYLES, concept_of, part_of, prepare_icons
from htgen.datasets.splits import resolve_split
from htgen.datasets.store import Store
from htgen.errors import DataError
from htgen.images.drawings import DRAWING_STEPS, ICON_STEPS

_rendered = pytest.fixture(render_without_resvg)


@pytest.mark.parametrize(
    ("name", "concept"),
    [
        ("home", "home"),
        ("home-outline-24", "home"),
        ("arrow-left-bold", "arrow-left"),
        ("line", "line"),
        ("bold-thin", "bold"),
        ("outline-home", "outline-home"),
        ("number-1", "number-1"),
    ],
)
def test_words_of_style_are_cut_from_the_end(name: str, concept: str) -> None:
    assert concept_of(name) == concept


def test_the_issue_s_words_of_style_are_known() -> None:
    assert {"outline", "fill", "bold", "line", "thin", "duotone", "rounded", "sharp", "24"} <= STYLES


@pytest.mark.usefixtures("_rendered")
def test_concepts_become_classes_and_parts_follow_their_names(tmp_path: Path) -> None:
    assert prepare_icons(package(tmp_path / "p"), tmp_path / "s", image_size=28) == []
    store = Store.open(tmp_path / "s", verify=True)
    assert store.class_names == tuple(sorted(f"{name.partition('-')[0]}/{name}" for name in CONCEPTS))
    assert store.class_sizes.tolist() == [FEWEST_IMAGES] * len(CONCEPTS)
    assert set(store.class_sources) == {", ".join(SETS)}
    assert (store.name, store.size, store.ink) == ("icons", 28, "bright")
    assert store.preprocessing.steps == ICON_STEPS
    rests = {"test": {0}, "val": {1}, "train": {2, 3, 4}}
    seen = []
    for part in store.schemes["icons"].parts:
        for number in resolve_split(store, f"icons:{part}"):
            concept = store.class_names[number].rpartition("/")[2]
            assert int(hashlib.sha1(concept.encode()).hexdigest(), 16) % 5 in rests[part]
            assert part_of(concept) == part
            seen.append(number)
    assert sorted(seen) == list(range(len(CONCEPTS)))


@pytest.mark.usefixtures("_rendered")
def test_both_forms(tmp_path: Path) -> None:
    source = package(tmp_path / "p", ["cup"])
    prepare_icons(source, tmp_path / "icons", image_size=28)
    prepare_icons(source, tmp_path / "drawings", image_size=28, as_drawings=True)
    icons, drawings = Store.open(tmp_path / "icons"), Store.open(tmp_path / "drawings")
    assert (drawings.name, drawings.preprocessing.steps) == ("icons-drawings", DRAWING_STEPS)
    # The rectangles are solid; of the icons only an edge is left.
    assert icons.images[:, 14, 14].max() < 20
    assert drawings.images[:, 14, 14].min() > 235


@pytest.mark.usefixtures("_rendered")
def test_what_is_not_read(tmp_path: Path) -> None:
    """Colours, other licences, hidden icons, pictures of pixels, concepts of few sets, and second copies."""
    concept = {"cup": body(14)}
    extra = {
        "colour": icon_set(concept),
        "closed": icon_set(concept),
        "hidden": {"icons": {"cup": {"body": body(15), "hidden": True}}},
        "pixels": icon_set({"cup": '<image href="x.png"/>' + body(16)}),
        "linked": icon_set({"cup": '<use xlink:href="file.svg#a"/>' + body(16)}),
        "same": icon_set({"cup": body(5)}),
        "alone": icon_set({"unicorn": body(9)}),
    }
    source = package(tmp_path / "p", **extra)
    about = json.loads((source / "collections.json").read_text())
    about |= {"colour": collection(palette=True), "closed": collection("CC-BY-4.0")}
    (source / "collections.json").write_text(json.dumps(about))
    assert prepare_icons(source, tmp_path / "s", image_size=28) == []
    store = Store.open(tmp_path / "s")
    assert store.class_sizes.tolist() == [FEWEST_IMAGES] * len(CONCEPTS)
    assert "unicorn/unicorn" not in store.class_names


@pytest.mark.usefixtures("_rendered")
def test_fewer_sets_are_enough_to_train_on(tmp_path: Path) -> None:
    """Concepts that three sets draw, of six different icons: only those of the part `train` are there."""
    names = [f"thing{number}" for number in range(40)]
    widths = [{"": 5, "-fill": 6}, {"": 7, "-fill": 8}, {"": 9, "-fill": 10}]
    sets = {
        f"set-{number}": icon_set(
            {f"{name}{style}": body(width) for name in names for style, width in both.items()}
        )
        for number, both in enumerate(widths)
    }
    source = write(tmp_path / "p", sets, {name: collection() for name in sets})
    prepare_icons(source, tmp_path / "s", image_size=28)
    store = Store.open(tmp_path / "s")
    found = [name.rpartition("/")[2] for name in store.class_names]
    assert found == sorted(name for name in names if part_of(name) == "train")
    assert store.schemes["icons"].parts == {"train": f"0-{len(found) - 1}"}


@pytest.mark.usefixtures("_rendered")
def test_one_icon_of_every_set_comes_first(tmp_path: Path) -> None:
    """Of two sets that have many variants, none pushes out a set that has one."""
    many = {f"cup-{style}": body(5 + number) for number, style in enumerate(sorted(STYLES)[:10])}
    single = {name: icon_set({"cup": tall(number)}) for number, name in enumerate(SETS)}
    sets = {**single, "many-0": icon_set(many), "many-1": icon_set(many)}
    source = write(tmp_path / "p", sets, {name: collection() for name in sets})
    prepare_icons(source, tmp_path / "all", image_size=28)
    prepare_icons(
        write(tmp_path / "q", single, {name: collection() for name in single}), tmp_path / "one", 28
    )
    every, one = Store.open(tmp_path / "all"), Store.open(tmp_path / "one")
    assert every.class_sizes.tolist() == [MOST_IMAGES]
    for image in one.images:
        assert any(np.array_equal(image, other) for other in every.images)


@pytest.mark.usefixtures("_rendered")
def test_icons_that_cannot_be_rendered_are_told_and_blank_ones_left_out(tmp_path: Path) -> None:
    bad = {"faulty": icon_set({"cup": "<broken>", "key": "<g/>"})}
    left_out = prepare_icons(package(tmp_path / "p", **bad), tmp_path / "s", image_size=28)
    assert left_out == ["faulty:cup: no SVG"]
    assert Store.open(tmp_path / "s").class_sizes.tolist() == [FEWEST_IMAGES] * len(CONCEPTS)


@pytest.mark.usefixtures("_rendered")
@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("collections.json", None, "cannot read"),
        ("collections.json", "{", "no JSON"),
        ("collections.json", "[1]", "no JSON object"),
        ("collections.json", '{"../x": {}}', "no icon set"),
        ("collections.json", '{"set-0": 3}', "no icon set"),
        ("collections.json", "{}", "drawn by 3 sets"),
        ("json/set-0.json", None, "cannot read"),
        ("json/set-0.json", "[" * 100_000, "no JSON"),
        ("json/set-0.json", "{}", "has no icons"),
        ("json/set-0.json", '{"icons": {"cup": {"body": 3}}}', "has no body"),
        ("json/set-0.json", '{"icons": {"cup": "x"}}', "has no body"),
    ],
)
def test_damaged_packages(tmp_path: Path, file: str, text: str | None, says: str) -> None:
    source = package(tmp_path / "p")
    (source / file).unlink()
    if text is not None:
        (source / file).write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        prepare_icons(source, tmp_path / "s", image_size=28)
    assert "npm" in str(caught.value.hint)
    assert not (tmp_path / "s").exists()


@pytest.mark.usefixtures("_rendered")
@pytest.mark.parametrize("value", ["x", True, None, -3, 0, 1e30])
def test_boxes_that_make_no_sense_are_the_usual_ones(tmp_path: Path, value: object) -> None:
    odd = {"odd": {"icons": {"cup": {"body": body(13), "width": value, "height": value, "left": value}}}}
    assert prepare_icons(package(tmp_path / "p", **odd), tmp_path / "s", image_size=28) == []


@pytest.mark.usefixtures("_rendered")
def test_no_such_source(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        prepare_icons(tmp_path / "nowhere", tmp_path / "s")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is not a folder"):
        prepare_icons(tmp_path / "file", tmp_path / "s")


def test_without_the_extra_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    result = CliRunner().invoke(
        app, ["prepare-data", "icons", "--source", str(package(tmp_path / "p")), "--out", str(tmp_path / "s")]
    )
    assert result.exit_code != 0
    assert isinstance(result.exception, DataError)
    assert result.exception.hint == "pip install 'htgen[icons]'"


def test_resvg_renders_what_is_drawn(tmp_path: Path) -> None:
    prepare_icons(package(tmp_path / "p", ["cup"]), tmp_path / "s", image_size=28)
    images = Store.open(tmp_path / "s").images[..., 0] > 127
    ratios = []
    for image in images:
        rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
        ratios.append((columns[-1] - columns[0]) / (rows[-1] - rows[0]))
    # `body` draws 5 to 10 wide and 12 high.
    assert sorted(ratios) == pytest.approx([width / 12 for width in range(5, 11)], abs=0.06)
