"""CNNs that grow: against the same made anew where that is exact, and against their files elsewhere."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.generators import make_generator
from helpers.toy import drawing
from helpers.trunks import trunk_file
from PIL import Image

import htgen
from htgen.cnn.bundle import Bundle
from htgen.errors import DataError, ModelError
from htgen.generator import growing
from htgen.generator.generator import Generator
from htgen.generator.support import Support

MEANS = {"weights": {"prototypes": True, "plda": True, "refine_prototypes": 2}}


def small() -> Generator:
    """A generator whose convolutions depend on the support set, with PLDA that does something."""
    generator = make_generator(max_way=20, **MEANS)
    plda, chance = generator.model.logits.plda, np.random.default_rng(0)
    assert plda is not None
    plda.prior_counts = chance.exponential(1, plda.prior_counts.shape).astype(np.float32)
    plda.directions = plda.directions + chance.normal(0, 0.2, plda.directions.shape).astype(np.float32)
    return generator


def images(generator: Generator, count: int, seed: int = 0) -> np.ndarray:
    spec = generator.model.spec
    shape = count, spec.image_channels, spec.image_size, spec.image_size
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def through_a_file(cnn: Bundle, folder: Path) -> Bundle:
    cnn.save(folder / "cnn.safetensors")
    return Bundle.load(folder / "cnn.safetensors")


def further(known: Bundle, names: list[str], pixels: np.ndarray) -> Support:
    classes = (*known.classes, *sorted({*names} - {*known.classes}))
    return Support(pixels, np.array([classes.index(name) for name in names]), classes)


def test_with_a_trunk_a_grown_cnn_is_the_one_made_anew_bit_for_bit(tmp_path):
    generator = Generator(trunk_file(), "")
    pixels, names = images(generator, 9), [*"aabbbcddd"]
    anew = generator.generate_bundle(generator.support(pixels, names))
    first = through_a_file(generator.generate_bundle(generator.support(pixels[:5], names[:5])), tmp_path)
    grown = growing.with_images(first, generator, further(first, names[5:], pixels[5:]))
    assert growing.is_exact(generator)
    assert grown.classes == anew.classes
    assert grown.support == anew.support == {"a": 2, "b": 3, "c": 1, "d": 3}
    for name, tensor in anew.tensors.items():
        assert np.array_equal(grown.tensors[name], tensor), name
    query = images(generator, 4, seed=1)
    assert np.array_equal(grown.logits(query), anew.logits(query))
    without = growing.without_classes(through_a_file(anew, tmp_path), generator, ["b"])
    kept = np.array([name != "b" for name in names])
    expected = generator.generate_bundle(generator.support(pixels[kept], [n for n in names if n != "b"]))
    assert np.array_equal(without.logits(query), expected.logits(query))
    assert without.grown == {"added": 0, "dropped": 1}


def test_images_that_join_a_class_count_as_from_the_beginning():
    generator = Generator(trunk_file(), "")
    pixels, names = images(generator, 8), [*"aabbbaba"]
    anew = generator.generate_bundle(generator.support(pixels, names))
    first = generator.generate_bundle(generator.support(pixels[:4], names[:4]))
    grown = growing.with_images(first, generator, further(first, names[4:], pixels[4:]))
    assert grown.support == anew.support == {"a": 4, "b": 4}
    assert grown.grown == {"added": 0, "dropped": 0}
    query = images(generator, 4, seed=1)
    np.testing.assert_allclose(grown.logits(query), anew.logits(query), atol=1e-4)


def test_where_convolutions_depend_on_the_images_they_stay_as_they_were(tmp_path):
    generator = small()
    assert not growing.is_exact(generator)
    pixels, names = images(generator, 9), [*"aabbbccdd"]
    first = through_a_file(generator.generate_bundle(generator.support(pixels[:5], names[:5])), tmp_path)
    grown = growing.with_images(first, generator, further(first, names[5:], pixels[5:]))
    for name, tensor in first.tensors.items():
        if not name.startswith("logits"):
            assert np.array_equal(grown.tensors[name], tensor), name
    # In two steps, and in another order, it comes to the same but for the order of the classes.
    one = growing.with_images(first, generator, further(first, [*"dd"], pixels[7:]))
    two = growing.with_images(one, generator, further(one, [*"cc"], pixels[5:7]))
    assert two.classes == (*"abdc",)
    query = images(generator, 4, seed=1)
    places = [two.classes.index(name) for name in grown.classes]
    np.testing.assert_allclose(two.logits(query)[:, places], grown.logits(query), atol=1e-4)
    # What is dropped again leaves the layer of the class means of the first images.
    back = growing.without_classes(grown, generator, [*"cd"])
    weight, bias = generator.cnns.last_layer.of(first.means, 2.5)
    assert np.array_equal(back.tensors["logits.weight"], weight)
    assert np.array_equal(back.tensors["logits.bias"], bias)
    assert back.means.means.tobytes() == first.means.means.tobytes()


def test_the_means_in_the_file_are_those_of_the_layer():
    """By their definition: of the inputs of the layer, in the coordinates of PLDA."""
    generator = small()
    pixels, names = images(generator, 7), [*"aabbbcc"]
    cnn = generator.generate_bundle(generator.support(pixels, names))
    plda = generator.model.logits.plda
    for place, name in enumerate(cnn.classes):
        own = np.array([other == name for other in names])
        features = growing.features_of(cnn, pixels[own])
        expected = ((features - plda.centre) @ plda.directions).mean(axis=0)
        np.testing.assert_allclose(cnn.means.means[place], expected, atol=1e-4)
    assert cnn.means.counts.tolist() == [2, 3, 2]


def test_each_added_image_is_left_out_of_its_mean():
    generator = small()
    pixels, names = images(generator, 9), [*"aabbbcccd"]
    first = generator.generate_bundle(generator.support(pixels[:5], names[:5]))
    added = further(first, names[5:], pixels[5:])
    grown = growing.with_images(first, generator, added)
    check = growing.leave_one_out(grown, generator, added, np.array([0, 1, 2, 3]))
    assert check.positions.tolist() == [0, 1, 2]
    assert check.untested == ("d",)
    for place in range(3):
        rest = [i for i in range(4) if i != place]
        without = growing.with_images(
            first, generator, replace(added, images=added.images[rest], labels=added.labels[rest])
        )
        weight, bias = generator.cnns.last_layer.of(without.means, 9 / 4)
        logits = growing.features_of(first, added.images[place : place + 1]) @ weight.T + bias
        expected = np.exp(logits - logits.max())[0]
        np.testing.assert_allclose(check.probabilities[place], expected / expected.sum(), atol=1e-4)
    copies = growing.leave_one_out(grown, generator, added, np.array([0, 0, 0, 3]))
    assert copies is None  # nothing would be left of the class


def test_what_cannot_grow_is_refused(tmp_path):
    plain = make_generator()
    cnn = plain.generate_bundle(plain.support(images(plain, 4), [*"aabb"]))
    assert cnn.means is None
    with pytest.raises(ModelError, match="holds no class means"):
        growing.generator_of(cnn)
    generator = small()
    cnn = generator.generate_bundle(generator.support(images(generator, 4), [*"aabb"]))
    with pytest.raises(ModelError, match="written by 'toy', which does not ship"):
        growing.generator_of(cnn)
    with pytest.raises(ModelError, match="not the generator that wrote the CNN"):
        growing.generator_of(cnn, "glyph-8")
    with pytest.raises(DataError, match="no class 'x'; its classes are a, b"):
        growing.without_classes(cnn, generator, ["x"])
    with pytest.raises(DataError, match="one class would be left"):
        growing.without_classes(cnn, generator, ["a"])
    with pytest.raises(ModelError, match="class means must"):
        replace(cnn, means=cnn.means.of([0]))
    batch = make_generator(cnn={"channels": 4, "norm": "batch"}, weights={"prototypes": True})
    assert batch.generate_bundle(batch.support(images(batch, 4), [*"aabb"])).means is None


def test_means_are_in_the_order_of_the_classes():
    generator = small()
    cnn = generator.generate_bundle(generator.support(images(generator, 6), [*"aabbcc"]))
    turned = cnn.with_classes_like(["c", "a"])
    assert turned.classes == ("c", "a", "b")
    assert np.array_equal(turned.means.means, cnn.means.means[[2, 0, 1]])


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for part, kinds in (("first", "pq"), ("more", "qr")):
        for kind in kinds:
            place = tmp_path / part / kind
            place.mkdir(parents=True)
            for i in range(3):
                pixels = 255 - drawing(5 * "pqr".index(kind), i + 3 * (part == "more"))[..., 0]
                size = 40 + 14 * (i == 1), 40 + 14 * (i == 2)
                Image.fromarray(pixels).resize(size).save(place / f"{i}.png")
    return tmp_path


def test_from_a_folder(folders):
    generator = htgen.load_generator("glyph-8").without_steps("stroke")
    first = htgen.generate_from_folder(folders / "first", generator).bundle
    grown = htgen.grow_from_folder(first, folders / "more")
    assert (grown.added, grown.joined, grown.dropped) == (("r",), ("q",), ())
    assert grown.bundle.support == {"p": 3, "q": 6, "r": 3}
    assert grown.bundle.preprocessing == first.preprocessing
    assert grown.bundle.estimate is None
    assert {*grown.bundle.gaps} == {"p", "q", "r"}
    assert grown.check.score.images == 6
    assert not grown.is_exact
    (folders / "more" / "r" / "bad.png").write_bytes(b"")
    again = htgen.grow_from_folder(grown.bundle, folders / "more", drop=["r"])
    assert (again.added, again.joined, again.dropped) == (("r",), ("q",), ("r",))
    assert again.bundle.support == {"p": 3, "q": 9, "r": 3}
    assert again.bundle.grown == {"added": 2, "dropped": 1}
    assert [*again.images.left_out] == [folders / "more" / "r" / "bad.png"]
    dropped = htgen.grow_from_folder(grown.bundle, drop=["q"])
    assert dropped.bundle.classes == ("p", "r")
    assert dropped.check is None
    assert dropped.doubts == []
    with pytest.raises(DataError, match="neither a folder"):
        htgen.grow_from_folder(first)
