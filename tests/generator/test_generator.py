import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.generators import LABELS, make_generator, pictures
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from htgen.errors import DataError, ModelError
from htgen.generator.generator import load_generator


def test_support_order_does_not_matter():
    generator = make_generator()
    images = pictures(6)
    forward = generator.generate(images, LABELS).predict(pictures(3, seed=5))
    backward = generator.generate(images[::-1], LABELS[::-1]).predict(pictures(3, seed=5))
    for a, b in zip(forward, backward, strict=True):
        assert a.probabilities == pytest.approx(b.probabilities, abs=1e-5)


def test_unfit_support_sets_are_named():
    generator = make_generator()
    with pytest.raises(DataError, match="3 support images but 2 labels"):
        generator.generate(pictures(3), ["a", "b"])
    with pytest.raises(DataError, match=r"labels of shape \[3, 1\]"):
        generator.generate(pictures(3), torch.tensor([[0], [1], [1]]))
    with pytest.raises(DataError, match="labels that are lists themselves"):
        generator.generate(pictures(2), [["a"], ["b", "c"]])
    with pytest.raises(ModelError, match=r"images of shape \[1, 20, 20\] \[C, H, W\], got \[3, 20, 20\]"):
        generator.support(np.zeros((2, 3, 20, 20), np.float32), ["a", "b"])
    with pytest.raises(DataError, match="has one class; a classifier"):
        generator.generate(pictures(2), ["a", "a"])
    with pytest.raises(ModelError, match="6 classes are too many: 'toy' knows at most 5 classes"):
        generator.generate(pictures(6), list("abcdef"))


def test_generators_are_found_by_file_and_refused_by_name(tmp_path):
    path = tmp_path / "toy.safetensors"
    path.write_bytes(make_generator().file.to_bytes())
    loaded = load_generator(path)
    assert loaded.name == "toy"
    assert len(loaded.sha256) == 64
    with pytest.raises(ModelError, match="no generator 'glyph-0'"):
        load_generator("glyph-0")
    with pytest.raises(ModelError, match="holds no generator"):
        load_generator(tmp_path)
    (tmp_path / "broken.safetensors").write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"broken\.safetensors"):
        load_generator(tmp_path / "broken.safetensors")


def test_weights_that_do_not_fit_their_config_are_named(tmp_path):
    file = make_generator().file
    tensors = dict(file.tensors)
    tensors.pop("logits.scale", None)
    tensors["convs.0.gamma"] = np.zeros(9, np.float32)
    path = tmp_path / "odd.safetensors"
    path.write_bytes(type(file)(file.name, file.model, tensors, file.preprocessing).to_bytes())
    with pytest.raises(ModelError, match=r"convs\.0\.gamma has shape \[9\], expected \[4\]"):
        load_generator(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": 5}, "is damaged"),
        ({"provenance": []}, "is damaged"),
        ({"preprocessing": None}, "does not know"),
        ({"preprocessing": {"size": 8, "channels": 1, "ink": "none", "fit": "pad"}}, "other images than"),
        ({"model": 5}, "does not know"),
        ({"format": "htgen-cnn"}, "is not an htgen generator but"),
        ({"version": "1"}, "is not an htgen generator"),
    ],
)
def test_a_generator_file_that_cannot_be_is_refused_with_a_remedy(change, says, tmp_path):
    path = tmp_path / "odd.safetensors"
    path.write_bytes(make_generator().file.to_bytes())
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["htgen"])
    del header["checksum"]
    tensors = load_file(path)
    save_file(tensors, path, metadata={"htgen": json.dumps(header | change)})
    with pytest.raises(ModelError, match=says) as caught:
        load_generator(path)
    assert "odd.safetensors" in caught.value.message
    assert caught.value.hint


def test_weights_that_are_no_numbers_are_refused_before_they_are_used(tmp_path):
    file = make_generator().file
    path = tmp_path / "odd.safetensors"
    tensors = {**file.tensors, "convs.1.gamma": np.full(4, np.nan, np.float32)}
    path.write_bytes(replace(file, tensors=tensors).to_bytes())
    with pytest.raises(ModelError, match=r"convs\.1\.gamma of generator 'toy' holds values that are no"):
        load_generator(path)


def test_unlabelled_images_change_the_cnn_and_are_never_left_out():
    generator = make_generator()
    images, more = pictures(6), pictures(3, seed=9)
    plain, helped = generator.generate(images, LABELS), generator.generate(images, LABELS, more)
    assert plain.classes == helped.classes
    assert plain.bundle.support == helped.bundle.support
    assert not torch.allclose(plain.logits.weight, helped.logits.weight)
    result = generator.leave_one_out(generator.prepare(images, LABELS, more))
    assert result is not None
    assert len(result.labels) == len(images)
    first = generator.generate(images[1:], LABELS[1:], more).predict(images[:1])[0].label
    assert first == result.classes[result.predictions[0]]


def test_labels_may_be_numbers_or_arrays(tmp_path):
    generator = make_generator()
    expected = generator.generate(pictures(6), ["2", "0", "1", "0", "2", "1"])
    for labels in ([2, 0, 1, 0, 2, 1], np.array([2, 0, 1, 0, 2, 1]), torch.tensor([2, 0, 1, 0, 2, 1])):
        cnn = generator.generate(pictures(6), labels)
        assert cnn.classes == ("0", "1", "2")
        assert cnn.bundle.to_bytes() == expected.bundle.to_bytes()


def test_leaving_out_steps_gives_another_generator():
    generator = make_generator()
    other = generator.without_steps("crop", "aspect")
    assert other.preprocessing == generator.preprocessing.without("crop", "aspect")
    assert generator.preprocessing == make_generator().preprocessing != other.preprocessing
    assert other.generate(pictures(), LABELS).bundle.preprocessing == other.preprocessing
    with pytest.raises(ValueError, match="no step 'trim'"):
        generator.without_steps("trim")
    with pytest.raises(AttributeError):
        generator.preprocessing = other.preprocessing
