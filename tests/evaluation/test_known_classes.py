"""What a generator has seen of a store, and what is said of it."""

from dataclasses import replace

import pytest
from helpers.generators import make_generator

from htgen.datasets.splits import resolve_split
from htgen.errors import DataError, SettingError
from htgen.evaluation.known_classes import (
    Seen,
    check_store,
    open_store_of,
    seen_classes,
    splits_to_measure,
)
from htgen.generator.provenance import NOT_KNOWN, Provenance


def trained(name="toy", train="toy:train", val="toy:val", **data) -> Provenance:
    return Provenance.from_json(
        {"data": {"name": name, **data}, "config": {"data": {"train": train, "val": val}}}
    )


@pytest.mark.parametrize(
    ("split", "name"),
    [("toy-drawings:0-3", "toy-drawings"), ("toy-drawings@5:0-3", "toy-drawings"), ("all:0-3", "toy")],
)
def test_classes_are_known_again_in_another_preparation(split, name, store):
    found = seen_classes(store, trained(name, split, split))
    assert found.trained == set(resolve_split(store, split.replace("toy-drawings", "toy")))


def test_classes_of_other_data_are_not_known(store):
    nothing = frozenset()
    assert seen_classes(store, trained("others", sha256="0")) == Seen(nothing, nothing)
    assert seen_classes(store, NOT_KNOWN) == Seen(nothing, nothing)
    namesake = trained("toy", "gone:train", "all", sha256="0")
    assert seen_classes(store, namesake) == Seen(nothing, frozenset(range(16)))


def test_classes_of_a_second_store_are_known(store):
    second = {"train": "toy:0-3", "share": 0.5}
    provenance = Provenance.from_json(
        {"config": {"data": {"store": "d", "train": "all", "second": second}}, "data": {"name": "others"}}
    )
    assert seen_classes(store, provenance) == Seen(frozenset(range(4)), frozenset())
    idle = provenance.to_json()
    idle["config"]["data"]["second"]["share"] = 0
    assert seen_classes(store, Provenance.from_json(idle)) == Seen(frozenset(), frozenset())


def test_a_second_store_is_known_by_its_checksum_and_name(store):
    """Splits such as `default:train` do not name their store."""

    def seen(train: str, **second: str) -> frozenset[int]:
        config = {"data": {"train": "all", "second": {"train": train, "share": 0.5}}}
        record = {"config": config, "data": {"name": "others"}, "second": second}
        return seen_classes(store, Provenance.from_json(record)).trained

    assert seen("all:0-3", name="renamed", sha256=store.checksum) == set(range(4))
    assert seen("all:0-3", name="toy-drawings", sha256="0") == set(range(4))
    assert seen("toy:0-3", name="others", sha256="0") == set()
    assert seen("all:0-3", name="others") == set()


def test_classes_trained_on_are_told_before_those_chosen_on(store):
    seen = Seen(frozenset({13}), frozenset({13, 14}))
    assert seen.warnings(store, "toy:test", "toy") == [
        "warning: 1 classes of toy:test are among those that toy was trained on"
    ]
    seen = replace(seen, trained=frozenset({0}))
    assert seen.warnings(store, "toy:test") == [
        "note: 2 classes of toy:test are among those on which it was chosen"
    ]
    assert seen.warnings(store, "toy:1-9") == []
    with pytest.raises(DataError, match="toy:gone"):
        seen.warnings(store, "toy:gone")


def test_splits_are_those_named_or_the_test_part(store):
    assert splits_to_measure(store, trained()) == (["toy:test"], [])
    splits, warnings = splits_to_measure(store, trained(), ["toy:test", "toy:train", "toy:val"])
    assert splits == ["toy:test", "toy:train", "toy:val"]
    assert [warning.split(":")[0] for warning in warnings] == ["warning", "note"]
    with pytest.raises(SettingError, match=r"was trained on 'all:0-8', .* such as toy:9") as caught:
        splits_to_measure(store, trained(train="all:0-8", val="all:0-8"))
    assert caught.value.setting == "split"


def test_a_store_is_the_one_named_or_the_one_trained_on(store_path, tmp_path, monkeypatch):
    assert open_store_of(NOT_KNOWN, store_path).path == store_path
    recorded = Provenance.from_json({"config": {"data": {"store": str(store_path)}}})
    assert open_store_of(recorded).path == store_path
    monkeypatch.chdir(tmp_path)
    moved = Provenance.from_json({"data": {"name": "toy"}, "config": {"data": {"store": "gone/toy"}}})
    with pytest.raises(DataError, match="is not in gone/toy or data/toy"):
        open_store_of(moved)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "toy").symlink_to(store_path)
    assert open_store_of(moved).name == "toy"
    with pytest.raises(SettingError) as caught:
        open_store_of(NOT_KNOWN)
    assert caught.value.setting == "data"


def test_images_of_another_size_are_refused_and_other_preparations_told(store):
    file = make_generator(image_size=16).file
    assert check_store(store, file) == []
    (warning,) = check_store(store, replace(file, preprocessing=replace(file.preprocessing, fit="crop")))
    assert "was not prepared as the one that 'toy' was trained on" in warning
    with pytest.raises(DataError, match="16x16 pixels, 1 channels; generator 'toy' reads 20x20 and 1"):
        check_store(store, make_generator().file)
