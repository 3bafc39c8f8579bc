"""Generators with a trunk: what is computed once for each image is what is computed each time."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.trunks import SIDE, trunk_file
from PIL import Image

from htgen.cnn.bundle import Bundle
from htgen.cnn.module import load_cnn
from htgen.eight_bits import SCALE
from htgen.episodes.shape import UNLABELED
from htgen.generator.file import GeneratorFile
from htgen.generator.generator import Generator
from htgen.generator.network import build
from htgen.hypertransformer.hypertransformer_numpy import HyperTransformer
from htgen.images.inputs import prepare_images
from htgen.tensor_files import read_any

LABELS = list("abcabcabc")


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 3, SIDE, SIDE)).astype(np.float32)


@pytest.fixture(params=[{}, {"plda": True}], ids=["means", "plda"])
def file(request) -> GeneratorFile:
    return trunk_file(**request.param)


def test_the_cnn_is_that_of_the_whole_generator(file):
    generator = Generator(file, "")
    support, asked = images(9), images(5, 1)
    bundle = generator.generate_bundle(generator.support(support, LABELS))
    labels = np.array([LABELS.index(label) for label in LABELS])
    slots = np.arange(3)[None]
    weights = HyperTransformer(file.model, file.tensors).generate(support[None], labels[None], slots)
    for name, tensor in weights.map(lambda tensor: tensor[0]).to_tensors(bundle.spec).items():
        np.testing.assert_allclose(bundle.tensors[name], tensor, rtol=1e-4, atol=1e-5)
    model = build(file)
    tensors = (torch.from_numpy(array)[None] for array in (support, labels, asked))
    with torch.no_grad():
        wanted = model(*tensors, torch.from_numpy(slots))[0].numpy()
        features = [model.trunk_features(torch.from_numpy(part))[None] for part in (support, asked)]
        rest = model.after_trunk()
        found = rest(features[0], torch.from_numpy(labels)[None], features[1], torch.from_numpy(slots))
    np.testing.assert_allclose(bundle.logits(asked), wanted, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found[0].numpy(), wanted, rtol=1e-4, atol=1e-5)
    assert len(list(model.convs)) == 20  # `after_trunk` leaves it as it was


def test_class_means_alone_are_the_nearest_mean():
    generator = Generator(trunk_file(), "")
    support, asked = images(9), images(6, 1)
    everything = generator.support(np.concatenate([support, asked]), LABELS)
    seen = everything.features[:, :, 0, 0]
    means = np.stack([seen[:9][np.array(LABELS) == name].mean(axis=0) for name in "abc"])
    distances = ((seen[9:, None] - means) ** 2).sum(axis=2)
    bundle = generator.generate_bundle(everything.without(everything.labels == UNLABELED))
    logits = bundle.logits(asked)
    sharpness = np.exp(float(generator.file.tensors["logits.log_sharpness"]))
    expected = -sharpness * distances
    spread = [x - x.mean(axis=1, keepdims=True) for x in (logits, expected)]
    np.testing.assert_allclose(spread[0], spread[1], rtol=1e-3, atol=1e-5)


def test_what_is_left_out_is_left_out_of_the_class_means(file):
    generator = Generator(file, "")
    support = images(9)
    check = generator.leave_one_out(generator.support(support, LABELS))
    for place in range(len(LABELS)):
        rest = [i for i in range(len(LABELS)) if i != place]
        alone = generator.generate_bundle(generator.support(support[rest], [LABELS[i] for i in rest]))
        answers = alone.classify(support[place : place + 1])[0].probabilities
        found = check.probabilities[list(check.positions).index(place)]
        np.testing.assert_allclose(found, [answers[name] for name in "abc"], rtol=5e-2, atol=1e-3)


def test_files_hold_8_bits_and_the_same_numbers(file, tmp_path):
    generator = Generator(file, "")
    bundle = generator.generate_bundle(generator.support(images(9), LABELS))
    size = bundle.save(tmp_path / "cnn.safetensors")
    assert size < len(replace(bundle, has_8_bits=False).to_bytes()) / 2.5
    again = Bundle.load(tmp_path / "cnn.safetensors")
    assert again.to_bytes() == bundle.to_bytes()
    assert np.array_equal(again.logits(images(4, 2)), bundle.logits(images(4, 2)))
    stored = read_any(tmp_path / "cnn.safetensors").tensors
    assert stored["point3.weight"].dtype == np.int8
    assert stored["point3.bias"].dtype == np.float32  # those of this trunk are no numbers of 16 bits
    assert stored[f"point3.weight{SCALE}"].shape == stored["point3.weight"].shape[:1]
    cnn = load_cnn(tmp_path / "cnn.safetensors")
    with torch.no_grad():
        found = cnn(torch.from_numpy(images(4, 2))).numpy()
    np.testing.assert_allclose(found, bundle.logits(images(4, 2)), rtol=1e-3, atol=1e-4)
    (tmp_path / "g.safetensors").write_bytes(file.to_bytes())
    read = GeneratorFile.read(tmp_path / "g.safetensors")
    assert read.to_bytes() == file.to_bytes()
    assert all(np.array_equal(read.tensors[name], tensor) for name, tensor in file.tensors.items())


def test_half_precision_leaves_the_kernels_as_they_are(file):
    half = file.in_half_precision()
    assert half.tensors["convs.3.base_kernel"].dtype == np.float32
    assert half.tensors["convs.3.base_bias"].dtype == np.float16
    assert len(half.to_bytes()) < len(file.to_bytes())


def test_fifty_classes_and_one_image_of_each():
    generator = Generator(trunk_file(), "")
    names = [f"class {number}" for number in range(50)]
    bundle = generator.generate_bundle(generator.support(images(50), names))
    found = bundle.classify(images(50))
    assert [answer.label for answer in found] == names


def test_photographs_of_all_kinds_are_read():
    generator = Generator(trunk_file(), "")
    noise = np.random.default_rng(0)
    wide = Image.fromarray(noise.integers(0, 256, (40, 900, 3), dtype=np.uint8))
    grey = Image.fromarray(noise.integers(0, 256, (50, 60), dtype=np.uint8))
    cmyk = Image.fromarray(noise.integers(0, 256, (50, 60, 3), dtype=np.uint8)).convert("CMYK")
    deep = Image.fromarray(noise.integers(0, 65536, (50, 60), dtype=np.uint16))
    pixels = prepare_images([wide, grey, cmyk, deep], generator.preprocessing)
    assert pixels.shape == (4, 3, SIDE, SIDE)
    bundle = generator.generate_bundle(generator.support(pixels, list("abab")))
    assert np.isfinite(bundle.logits(pixels)).all()
