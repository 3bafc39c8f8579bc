"""The order of classes: the same everywhere, numbers as numbers."""

import random

from htgen.images.order import natural_order


def test_numbers_are_in_their_numeric_order():
    names = ["1", "2", "10", "100", "Zebra", "ant", "b2", "b10", "b10a"]
    shuffled = names[:]
    random.Random(0).shuffle(shuffled)
    assert sorted(shuffled, key=natural_order) == names


def test_names_of_one_look_are_side_by_side():
    composed, taken_apart = "caf\u00e9", "cafe\u0301"
    assert sorted([composed, "cafz", taken_apart], key=natural_order) == ["cafz", taken_apart, composed]


def test_every_text_has_a_place():
    names = ["", "٣", "²", "1²", "\ud800", "9" * 4000, "a\nb", "-1"]
    assert sorted(sorted(names, key=natural_order, reverse=True), key=natural_order) == sorted(
        names, key=natural_order
    )
