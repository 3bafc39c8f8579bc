"""Generators with a trunk are measured on features as they are measured on images."""

import numpy as np
import pytest
import torch
from helpers.trunks import SIDE, trunk_file

from htgen.config.data import AugmentConfig, EpisodeConfig
from htgen.episodes.pool import ClassPool
from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
from htgen.evaluation.accuracy import task_accuracies
from htgen.evaluation.features import after_trunk, pool_after_trunk
from htgen.evaluation.plda import measure_plda
from htgen.generator.network import build

CLASSES, IMAGES, TASKS = 7, 6, 8


@pytest.fixture
def sampler() -> EpisodeSampler:
    """Classes that differ in colour, and of which a trunk of random weights can tell a few."""
    hand = np.random.default_rng(0)
    colours = hand.uniform(0, 255, (CLASSES, 1, 1, 1, 3))
    noise = hand.normal(0, 60, (CLASSES, IMAGES, SIDE, SIDE, 3))
    images = torch.from_numpy((colours + noise).clip(0, 255).astype(np.uint8)).flatten(0, 1)
    pool = ClassPool(images, np.arange(CLASSES + 1) * IMAGES, [1, 2, 4, 5, 6], "toy")
    return EpisodeSampler(pool, EpisodeConfig(way=3, shot=2, query=3), EpisodeStream(0), 1000)


@pytest.mark.parametrize("plda", [False, True])
def test_accuracies_are_the_same(sampler, plda):
    model = build(trunk_file(plda=plda))
    wanted = task_accuracies(model, sampler, TASKS)
    rest, of_features = after_trunk(model, sampler)
    assert rest is not model
    assert of_features.pool.images.shape == (CLASSES * IMAGES, 1, 1, model.spec.feature_count)
    assert not of_features.pool.images[:IMAGES].any()  # a class of which no task is
    torch.testing.assert_close(task_accuracies(rest, of_features, TASKS), wanted, rtol=0, atol=0.06)
    assert wanted.mean() > 1 / 3
    assert sampler.pool.images.dtype == torch.uint8  # that of images is left as it was


def test_plda_is_the_same(sampler):
    whole, part = (build(trunk_file(plda=True)) for _ in range(2))
    measure_plda(whole, sampler, TASKS)
    rest, of_features = after_trunk(part, sampler)
    measure_plda(rest, of_features, TASKS)
    for name in ("centre", "prior_counts"):
        found, wanted = getattr(part.logits.plda, name), getattr(whole.logits.plda, name)
        torch.testing.assert_close(found, wanted, rtol=1e-2, atol=1e-3)


def test_what_has_no_trunk_is_measured_on_images(sampler):
    from helpers.generators import make_generator

    model = build(make_generator(image_channels=3, image_size=SIDE).file)
    assert after_trunk(model, sampler) == (model, sampler)
    assert pool_after_trunk(model, sampler.pool) == (model, sampler.pool)


def test_features_are_not_augmented(sampler):
    model = build(trunk_file())
    _, pool = pool_after_trunk(model, sampler.pool)
    changed = EpisodeSampler(pool, sampler.shape, EpisodeStream(0), 1000, AugmentConfig(rotate90=True))
    plain = EpisodeSampler(pool, sampler.shape, EpisodeStream(0), 1000)
    assert torch.equal(changed.batch(0, 2).support_images, plain.batch(0, 2).support_images)
