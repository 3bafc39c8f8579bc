"""One image at a time is answered as among others, by every CNN that there is a faster way for."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from helpers.cnns import any_spec, any_weights, make_bundle

from htgen.cnn.executor_numpy import run
from htgen.cnn.one_image_numpy import LEAST_SCALE, OneImage, can_run
from htgen.cnn.spec import NORM_EPSILON, CnnSpec
from htgen.cnn.weights import tensor_names
from htgen.errors import ModelError

SEEDS = range(60)


def chain(seed: int) -> CnnSpec:
    """A random CNN without what the faster way is not for."""
    spec = any_spec(seed)
    convs, channels = [], spec.image_channels
    for conv in spec.convs:
        convs.append(replace(conv, in_channels=channels, groups=1, add="", pooling="max"))
        channels = conv.out_channels
    return replace(spec, convs=tuple(convs), norm_first=False, unit_features=False)


@pytest.mark.parametrize("seed", SEEDS)
def test_logits_are_those_of_the_executor(seed):
    spec = chain(seed)
    assert [*spec.faults()] == []
    weights = any_weights(spec, seed, dtype=np.float32)
    assert can_run(spec, weights)
    shape = (5, spec.image_channels, spec.image_size, spec.image_size)
    images = np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)
    exact = weights.map(lambda tensor: tensor[None].astype(np.float64))
    wanted = run(spec, exact, images[None].astype(np.float64))[0]
    one = OneImage(spec, weights)
    found = np.stack([one(image) for image in images])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_the_seeds_have_all_that_there_may_be():
    convs = [conv for seed in SEEDS for conv in chain(seed).convs]
    for field in ("bias", "norm", "pool", "same_padding", "padded_behind"):
        assert {getattr(conv, field) for conv in convs} == {False, True}
    assert {conv.stride for conv in convs} == {1, 2}
    assert {conv.conv_size % 2 for conv in convs if conv.pool} == {0, 1}
    assert {chain(seed).head for seed in SEEDS} == {"flatten", "average"}


def test_others_take_the_usual_way():
    spec, weights = chain(0), any_weights(chain(0), 0, dtype=np.float32)
    assert can_run(spec, weights)
    assert not can_run(replace(spec, norm="batch"), weights)
    assert not can_run(replace(spec, norm_first=True), weights)
    assert not can_run(replace(spec, unit_features=True), weights)
    first = spec.convs[0]
    for changed in (
        replace(first, groups=2),
        replace(first, add="x"),
        replace(first, pool=True, pooling="average"),
    ):
        assert not can_run(replace(spec, convs=(changed, *spec.convs[1:])), weights)


@pytest.mark.parametrize("gamma", [0.0, 1e-8, 1.0])
@pytest.mark.parametrize("variance", [0.0, 1.0, 1e12])
@pytest.mark.parametrize("mean", [0.0, 1e6, 1e12])
def test_one_image_is_answered_as_among_others_whatever_a_norm_has(gamma, variance, mean):
    bundle = make_bundle()
    names = tensor_names(bundle.spec).blocks[0].norm
    tensors = {name: tensor.copy() for name, tensor in bundle.tensors.items()}
    for name, value in ((names.gamma, gamma), (names.variance, variance), (names.mean, mean)):
        tensors[name][0] = value
    odd = replace(bundle, tensors=tensors)
    shape = (3, odd.spec.image_channels, odd.spec.image_size, odd.spec.image_size)
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    together = odd.logits(images)
    alone = np.concatenate([odd.logits(image[None]) for image in images])
    np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-4 * np.abs(together).max())
    scale = gamma / np.sqrt(variance + NORM_EPSILON)
    assert can_run(odd.spec, odd.weights) == (scale >= LEAST_SCALE)


def test_threads_and_copies_do_not_disturb_each_other():
    spec = chain(0)
    one = OneImage(spec, any_weights(spec, 0, dtype=np.float32))
    shape = (40, spec.image_channels, spec.image_size, spec.image_size)
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    alone = [one(image) for image in images]
    others = pickle.loads(pickle.dumps(one)), copy.deepcopy(one)
    with ThreadPoolExecutor(4) as threads:
        np.testing.assert_array_equal(list(threads.map(one, images)), alone)
    for other in others:
        np.testing.assert_array_equal([other(image) for image in images], alone)


def test_a_cnn_answers_one_image_as_among_others():
    bundle = make_bundle()
    spec = bundle.spec
    shape = (4, spec.image_channels, spec.image_size, spec.image_size)
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    together = bundle.logits(images)
    for image, logits in zip(images, together, strict=True):
        np.testing.assert_allclose(bundle.logits(image[None])[0], logits, rtol=1e-5, atol=1e-5)


def test_a_description_that_equals_a_good_one_is_checked_all_the_same():
    bundle = make_bundle()
    assert replace(bundle.spec, norm_first=int(bundle.spec.norm_first)) == bundle.spec
    with pytest.raises(ModelError, match="norm_first"):
        replace(bundle, spec=replace(bundle.spec, norm_first=int(bundle.spec.norm_first)))
