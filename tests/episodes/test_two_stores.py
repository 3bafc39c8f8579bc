"""Episodes of two stores: each is of one."""

import numpy as np
import pytest
import torch

from htgen.config.data import AugmentConfig, EpisodeConfig
from htgen.episodes.pool import ClassPool
from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
from htgen.errors import DataError


def pool(value: int, names: list[str], images: int = 6, size: int = 8) -> ClassPool:
    """Classes of even images, all of one value."""
    count = len(names)
    pixels = torch.full((count * images, size, size, 1), value, dtype=torch.uint8)
    return ClassPool(pixels, np.arange(count + 1) * images, range(count), "all", names)


def sampler(
    classes: ClassPool, augmentation: AugmentConfig | None = None, way: int = 4, related: float = 0.0
) -> EpisodeSampler:
    shape = EpisodeConfig(way=way, shot=2, query=1, related=related)
    return EpisodeSampler(classes, shape, EpisodeStream(0), way, augmentation)


FIRST = [f"a/{number}" for number in range(7)]
SECOND = [f"{'ab'[number % 2]}/{number}" for number in range(12)]


@pytest.mark.parametrize("related", [0.0, 1.0])
@pytest.mark.parametrize("share", [0.2, 0.7])
def test_an_episode_is_of_one_store_and_so_many_are_of_the_second(share, related):
    batch = sampler(pool(0, FIRST).joined(pool(255, SECOND), share), related=related).batch(0, 3000)
    of_second = batch.classes >= len(FIRST)
    assert bool((of_second.all(dim=1) | ~of_second.any(dim=1)).all())
    assert of_second[:, 0].double().mean().item() == pytest.approx(share, abs=0.03)
    assert batch.classes.unique().tolist() == list(range(len(FIRST) + len(SECOND)))
    # The rows are those of the classes: the second store's images are bright.
    images = torch.cat([batch.support_images, batch.query_images], dim=1).flatten(1)
    assert torch.equal(images.amin(dim=1), images.amax(dim=1))
    assert torch.equal(images[:, 0] > 0, of_second[:, 0])


def test_groups_of_equal_names_in_both_stores_are_two():
    batch = sampler(pool(0, FIRST).joined(pool(255, SECOND), 0.5), related=1.0).batch(0, 400)
    for classes in batch.classes.tolist():
        if min(classes) >= len(FIRST):
            assert len({SECOND[number - len(FIRST)][0] for number in classes}) == 1


def test_chimeras_are_of_classes_of_one_store():
    classes = pool(0, FIRST).joined(pool(255, SECOND), 0.5)
    batch = sampler(classes, AugmentConfig(chimeras=1.0)).batch(0, 300)
    images = batch.support_images.flatten(1)
    assert torch.equal(images.amin(dim=1), images.amax(dim=1))


def test_each_store_must_have_classes_enough():
    with pytest.raises(DataError, match="one of the stores to train on has 3 classes; 4-way"):
        sampler(pool(0, FIRST).joined(pool(255, SECOND[:3]), 0.5))


def test_stores_that_are_not_in_memory_cannot_be_joined():
    large = pool(0, FIRST)
    mapped = ClassPool(large.images.numpy(), large.offsets, large.class_ids, "all", FIRST)
    with pytest.raises(DataError, match="not more"):
        mapped.joined(pool(255, SECOND), 0.5)
