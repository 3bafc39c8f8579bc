import math

import numpy as np
import pytest
import torch
from helpers.augmenting import (
    EVERYTHING,
    KEYS,
    LABELS,
    images,
    many,
    slow_brightness,
    slow_contrast,
    slow_crop,
    slow_flip,
    slow_hue,
    slow_negate,
    slow_photo_contrast,
    slow_resize,
    slow_roll,
    slow_rotate,
    slow_smooth,
)

from htgen.config.data import (
    AlikeConfig,
    AugmentConfig,
    EpisodeConfig,
    PhotoConfig,
)
from htgen.episodes import randomness
from htgen.episodes.augmentation import augment
from htgen.episodes.pool import ClassPool
from htgen.episodes.sampler import EpisodeSampler, EpisodeStream

ALIKE = [
    ("rotate", 0.6, {"angle": 40.0}, 3, 2, slow_rotate),
    ("resize", 0.6, {}, 4, 2, slow_resize),
    ("roll", 0.6, {}, 5, 3, slow_roll),
    ("smooth", 0.6, {}, 6, 1, slow_smooth),
    ("contrast", 0.6, {}, 7, 2, slow_contrast),
    ("negate", 0.6, {}, 8, 1, slow_negate),
]
PHOTO = [
    ("flip", 0.6, {}, 9, 1, slow_flip),
    ("crop", 0.4, {}, 10, 3, slow_crop),
    ("hue", 0.2, {}, 11, 1, slow_hue),
    ("brightness", 0.3, {}, 12, 1, slow_brightness),
    ("contrast", 0.2, {}, 13, 1, slow_photo_contrast),
]
EFFECTS = [("alike", *effect) for effect in ALIKE] + [("photo", *effect) for effect in PHOTO]
NAMES = [f"{family}.{name}" for family, name, *_ in EFFECTS]


def single(family: str, fine: bool, values: dict) -> AugmentConfig:
    """An augmentation with one effect; `fine` draws per class, or per image."""
    if family == "alike":
        return AugmentConfig(alike=AlikeConfig(per_class=fine, **values))
    return AugmentConfig(photo=PhotoConfig(per_image=fine, **values))


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("effect", EFFECTS, ids=NAMES)
def test_the_batch_agrees_with_one_image_at_a_time(effect, fine):
    family, name, value, more, purpose, count, slow = effect
    before = images(10, 3)
    after = augment(single(family, fine, {name: value, **more}), before, LABELS, KEYS)
    assert after.shape == before.shape
    assert after.dtype == torch.float32
    untouched = 0
    for e in range(6):
        for i in range(12):
            unit = 0 if not fine else int(LABELS[e, i]) if family == "alike" else i
            draws = randomness.uniform(randomness.fold(KEYS[e], purpose, unit), count).tolist()
            wanted = slow(before[e, i].double().numpy(), *draws)
            np.testing.assert_allclose(after[e, i].numpy(), wanted, atol=0.02)
            if np.array_equal(wanted, before[e, i].double().numpy()):
                untouched += 1
                assert torch.equal(after[e, i], before[e, i])  # exactly
    if value == 0.6:
        assert 0 < untouched < 72


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("effect", EFFECTS, ids=NAMES)
def test_images_share_their_change_within_the_unit_and_not_beyond(effect, fine):
    family, name, value, more, *_ = effect
    before = images(10, 3)[:1, :1].expand(6, 12, -1, -1, -1)
    after = augment(single(family, fine, {name: value, **more}), before, LABELS, KEYS)
    for e in range(6):
        for i in range(12):
            if not fine or (family == "alike" and LABELS[e, i] == LABELS[e, 0]):
                assert torch.equal(after[e, i], after[e, 0])
    distinct = after.flatten(0, 1).flatten(1).unique(dim=0)
    within = after[0].flatten(1).unique(dim=0)
    assert len(distinct) > 1
    if fine:
        some = max(len(episode.flatten(1).unique(dim=0)) for episode in after)
        assert some > 1
    else:
        assert len(within) == 1


@pytest.mark.parametrize("effect", EFFECTS[:7], ids=NAMES[:7])  # those with a probability
@pytest.mark.parametrize("probability", [0.2, 1.0])
def test_changes_are_as_frequent_as_their_probability(effect, probability):
    family, name, _, more, *_ = effect
    generator = torch.Generator().manual_seed(1)
    before, labels, keys = many(torch.rand(1, 20, 20, generator=generator) * 255, 1000, 2)
    after = augment(single(family, True, {name: probability, **more}), before, labels, keys)
    found = (after != before).flatten(2).any(2).float().mean().item()
    # A drawn change can be the identity: a roll by 0 and 0 of -6..6 pixels.
    expected = probability * (1 - 1 / 13**2) if name == "roll" else probability
    assert abs(found - expected) <= 4 * math.sqrt(max(expected * (1 - expected), 1e-9) / 2000)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_stay_within_the_range_whatever_is_drawn(channels):
    change = (
        EVERYTHING
        if channels == 3
        else AugmentConfig(alike=EVERYTHING.alike, photo=PhotoConfig(crop=0.4, brightness=1))
    )
    extreme = (images(12, channels) > 127).float() * 255
    for before in (images(12, channels), extreme):
        after = augment(change, before, LABELS, KEYS)
        assert after.shape == before.shape
        assert torch.isfinite(after).all()
        assert after.min() >= 0
        assert after.max() <= 255


def test_what_is_off_returns_the_very_same_tensor():
    before = images(12, 3)
    assert augment(AugmentConfig(), before, LABELS, KEYS) is before
    for fine in (False, True):
        # No config file can say this: a section refuses what changes nothing.
        alike, photo = (
            AlikeConfig.model_construct(per_class=fine),
            PhotoConfig.model_construct(per_image=fine),
        )
        off = AugmentConfig.model_construct(alike=alike, photo=photo)
        assert augment(off, before, LABELS, KEYS) is before


def test_the_input_is_left_alone():
    before = images(12, 3)
    kept = before.clone()
    augment(EVERYTHING, before, LABELS, KEYS)
    assert torch.equal(before, kept)


def test_an_episodes_images_do_not_depend_on_its_batch():
    before = images(12, 3)
    together = augment(EVERYTHING, before, LABELS, KEYS)
    for e in range(6):
        alone = augment(EVERYTHING, before[e : e + 1], LABELS[e : e + 1], KEYS[e : e + 1])[0]
        assert torch.allclose(together[e], alone, atol=1e-3)


def test_one_effect_does_not_change_the_draws_of_another():
    before = images(12, 3)
    negated = augment(AugmentConfig(alike=AlikeConfig(negate=0.5)), before, LABELS, KEYS)
    both = augment(AugmentConfig(alike=AlikeConfig(negate=0.5, roll=1.0)), before, LABELS, KEYS)
    rolled = augment(AugmentConfig(alike=AlikeConfig(roll=1.0)), before, LABELS, KEYS)
    assert torch.equal(
        both, torch.where((negated != before).any(-1).any(-1)[..., None, None], 255 - rolled, rolled)
    )


def test_a_negated_drawing_has_a_negated_background_in_the_new_corners():
    before = torch.full((6, 12, 1, 12, 12), 0.0)
    after = augment(
        AugmentConfig(rotation=40, alike=AlikeConfig(negate=1.0, rotate=1.0, resize=1.0)),
        before,
        LABELS,
        KEYS,
    )
    assert (after == 255).all()


def test_support_and_query_images_of_a_class_change_alike(store):
    draw = sampler(store, AugmentConfig(alike=AlikeConfig(per_class=True, negate=0.5)))
    plain = sampler(store, None)
    batch, original = draw.batch(0, 8), plain.batch(0, 8)
    support = (batch.support_images != original.support_images).flatten(2).any(2)
    query = (batch.query_images != original.query_images).flatten(2).any(2)
    for e in range(8):
        negated = {int(k): bool(s) for k, s in zip(original.support_labels[e], support[e], strict=True)}
        assert [negated[int(k)] for k in original.query_labels[e]] == query[e].tolist()
    assert 0 < support.sum() < support.numel()


def test_a_further_round_of_queries_gets_the_change_of_its_support_set(store):
    draw = sampler(store, AugmentConfig(alike=AlikeConfig(negate=0.5)))
    first, second = draw.batch(0, 20), draw.batch(0, 20, query_round=1)
    assert torch.equal(first.support_images, second.support_images)
    # The drawings are mostly dark; negated ones are mostly bright.
    bright = [batch.query_images.flatten(1).mean(1) > 0 for batch in (first, second)]
    assert torch.equal(*bright)
    assert 0 < bright[0].sum() < 20


def sampler(store, augmentation: AugmentConfig) -> EpisodeSampler:
    pool, shape = ClassPool.of_split(store, "toy:train"), EpisodeConfig(way=4, shot=2, query=3)
    return EpisodeSampler(pool, shape, EpisodeStream(seed=0), 4, augmentation)
