import numpy as np
import pytest
import torch
from test_bundle import LABELS, make_generator, pictures

from htgen.bundle import prepare_images
from htgen.errors import DataError, ModelError
from htgen.generator import load_generator


def test_leave_one_out_is_generating_without_each_image():
    generator = make_generator()
    images = pictures(6)
    support = torch.from_numpy(prepare_images(images, generator.preprocessing))
    result = generator.leave_one_out(support, LABELS)
    assert result is not None
    for i in range(6):
        rest = [k for k in range(6) if k != i]
        cnn = generator.generate([images[k] for k in rest], [LABELS[k] for k in rest])
        assert cnn.predict([images[i]])[0].label == result.classes[result.predictions[i]]
        assert result.classes[result.labels[i]] == LABELS[i]
    assert result.accuracy == np.mean(result.labels == result.predictions)


def test_leave_one_out_needs_two_images_of_every_class():
    generator = make_generator()
    support = torch.from_numpy(prepare_images(pictures(5), generator.preprocessing))
    assert generator.leave_one_out(support, ["a", "a", "b", "b", "c"]) is None


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
    with pytest.raises(DataError, match="1 classes"):
        generator.generate(pictures(2), ["a", "a"])
    with pytest.raises(ModelError, match="6 classes; 'toy' knows 5 at most"):
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
    tensors["convs.0.gamma"] = torch.zeros(9)
    path = tmp_path / "odd.safetensors"
    path.write_bytes(type(file)(file.name, file.model, tensors, file.preprocessing).to_bytes())
    with pytest.raises(ModelError, match=r"convs\.0\.gamma has shape \[9\], expected \[4\]"):
        load_generator(path)
