import math

import torch
from helpers.augmenting import KEYS, LABELS, between, dot_angles, dots, images, many

from htgen.config.data import (
    AlikeConfig,
    AugmentConfig,
)
from htgen.episodes.augmentation import augment


def test_rotate90_turns_whole_classes_by_quarter_turns():
    before = images()
    after = augment(AugmentConfig(rotate90=True), before, LABELS, KEYS)
    seen = set()
    for e in range(6):
        for label in range(4):
            members = (LABELS[e] == label).nonzero().flatten()
            turns = [
                k
                for k in range(4)
                if torch.equal(after[e, members], torch.rot90(before[e, members], k, dims=(-2, -1)))
            ]
            assert len(turns) == 1
            seen.add(turns[0])
    assert seen == {0, 1, 2, 3}


def test_rotate90_turns_whole_episodes_by_quarter_turns():
    before = images()
    after = augment(AugmentConfig(rotate90="episode"), before, LABELS, KEYS)
    turns = [
        [k for k in range(4) if torch.equal(after[e], torch.rot90(before[e], k, dims=(-2, -1)))]
        for e in range(6)
    ]
    assert all(len(found) == 1 for found in turns)
    assert len({found[0] for found in turns}) > 1


def test_rotate90_true_means_per_class():
    by_class = augment(AugmentConfig(rotate90="class"), images(), LABELS, KEYS)
    assert torch.equal(augment(AugmentConfig(rotate90=True), images(), LABELS, KEYS), by_class)


def test_every_quarter_turn_is_equally_likely():
    before, labels, keys = many(torch.arange(4.0).view(1, 2, 2), 2000)
    after = augment(AugmentConfig(rotate90=True), before, labels, keys)
    counts = after[:, 0, 0, 0, 0].to(torch.int64).bincount(minlength=4)
    assert (counts - 500).abs().max() < 4 * math.sqrt(2000 * 0.25 * 0.75)


def test_angles_are_uniform_within_the_range():
    before, labels, keys = many(dots(1, 1)[0, 0], 800)
    after = augment(AugmentConfig(alike=AlikeConfig(rotate=1.0, angle=30.0)), before, labels, keys)
    between(dot_angles(after).flatten(), -30, 30, 0.5)


def test_sizes_are_70_to_100_percent():
    before, labels, keys = many(torch.full((1, 40, 40), 255.0), 800)
    after = augment(AugmentConfig(alike=AlikeConfig(resize=1.0)), before, labels, keys)
    between((after.mean((1, 2, 3, 4)) / 255).sqrt(), 0.7, 1.0, 0.005)


def test_rolls_are_whole_pixels_up_to_30_percent():
    image = torch.zeros(1, 20, 20)
    image[0, 10, 10] = 255
    before, labels, keys = many(image, 2000)
    after = augment(AugmentConfig(alike=AlikeConfig(roll=1.0)), before, labels, keys)
    places = after.flatten(1).argmax(1)
    for steps in (places // 20 - 10, places % 20 - 10):
        counts = (steps + 6).bincount(minlength=13)
        assert len(counts) == 13
        assert (counts - 2000 / 13).abs().max() < 4 * math.sqrt(2000 / 13)


def test_contrast_is_a_tanh_curve_of_alpha_between_a_half_and_two_and_a_half():
    image = torch.tensor([0.0, 127.5, 255.0, 0.75 * 255]).view(1, 2, 2)
    before, labels, keys = many(image, 2000)
    after = augment(AugmentConfig(alike=AlikeConfig(contrast=1.0)), before, labels, keys).flatten(1)
    assert torch.allclose(after[:, :3], torch.tensor([0.0, 127.5, 255.0]).expand(2000, 3), atol=1e-3)
    # tanh(a / 2) / tanh(a) = (1 + tanh(a / 2)^2) / 2
    half = torch.sqrt((2 * (after[:, 3] / 127.5 - 1) - 1).clamp(min=0))
    between(2 * torch.atanh(half), 0.5, 2.5, 0.01)
