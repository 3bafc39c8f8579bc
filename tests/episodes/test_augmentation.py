import colorsys
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from htgen.config.data import (
    AlikeConfig,
    AugmentConfig,
    EpisodeConfig,
    NewClassesConfig,
    PhotoConfig,
    ValidationAugmentConfig,
)
from htgen.config.faults import validate
from htgen.config.files import dump_config, load_config, parse_yaml
from htgen.config.run import Config
from htgen.episodes import randomness
from htgen.episodes.augmentation import augment
from htgen.episodes.geometry import enlarge
from htgen.episodes.pool import ClassPool
from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
from htgen.errors import ConfigError
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer

KEYS = randomness.fold(torch.tensor(0), torch.arange(6))
LABELS = torch.arange(4).repeat(3).expand(6, -1)
EVERYTHING = AugmentConfig(
    rotate90="class",
    rotation=10,
    scale=0.1,
    shear=0.1,
    shift=0.05,
    elastic=0.02,
    new_classes=NewClassesConfig(mirror=True, rotation=10, scale=0.1, shear=0.1, elastic=0.02),
    alike=AlikeConfig(
        per_class=True, rotate=0.5, angle=40, resize=0.5, roll=0.5, smooth=0.5, contrast=0.5, negate=0.5
    ),
    photo=PhotoConfig(per_image=True, flip=0.5, crop=0.4, hue=0.2, brightness=0.3, contrast=0.2),
)


def images(side: int = 12, channels: int = 1) -> torch.Tensor:
    values = torch.rand(6, 12, channels, side, side, generator=torch.Generator().manual_seed(0))
    return values * 255


def many(
    image: torch.Tensor, episodes: int, count: int = 1
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Arguments of `augment`: `count` classes of one image `[C, H, W]` in each of many episodes."""
    keys = randomness.fold(torch.tensor(7), torch.arange(episodes))
    labels = torch.arange(count).expand(episodes, -1)
    return image.expand(episodes, count, *image.shape).contiguous(), labels, keys


# ------------------------------------------------------------------------------------ quarter turns and warps


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


@pytest.mark.parametrize("name", ["rotation", "scale", "shear", "shift", "elastic"])
def test_each_warp_moves_images_on_their_own_and_keeps_the_range(name):
    before = images()
    strength = 30.0 if name == "rotation" else 0.2
    after = augment(AugmentConfig(**{name: strength}), before, LABELS, KEYS)
    changed = (after - before).abs().flatten(2).mean(2)
    assert (changed > 1).float().mean() > 0.9
    assert after.min() >= 0
    assert after.max() <= 255
    constant = before[:, :1].expand_as(before)
    moved = augment(AugmentConfig(**{name: strength}), constant, LABELS, KEYS)
    assert (moved[:, 0] - moved[:, 1]).abs().mean() > 1  # the same image, moved differently


def test_a_rotation_of_zero_strength_is_the_identity():
    before = images()
    after = augment(AugmentConfig(rotation=1e-6), before, LABELS, KEYS)
    assert torch.allclose(after, before, atol=1e-2)


def test_rotation_angles_stay_within_their_limit():
    angles = dot_angles(augment(AugmentConfig(rotation=20), dots(6, 12), LABELS, KEYS))
    assert angles.abs().max() <= 21
    assert angles.abs().max() > 15
    assert angles.min() < -5 < 5 < angles.max()


def dots(episodes: int, count: int) -> torch.Tensor:
    """Images with a bright dot at 3 o'clock."""
    before = torch.zeros(episodes, count, 1, 41, 41)
    before[..., 19:22, 34:37] = 255
    return before


def dot_angles(after: torch.Tensor) -> torch.Tensor:
    """Where the dot is: degrees, clockwise from 3 o'clock."""
    axis = torch.arange(41) - 20.0
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    mass = after.sum((2, 3, 4))
    y, x = ((after[:, :, 0] * axis).sum((2, 3)) / mass for axis in (rows, columns))
    return torch.rad2deg(torch.atan2(y, x))


def test_new_area_is_background():
    before = torch.full((6, 12, 1, 10, 10), 255.0)
    after = augment(AugmentConfig(shift=0.3), before, LABELS, KEYS)
    assert (after == 0).any()


def test_a_seed_means_the_same_as_in_the_first_release():
    # Written down when rotate90 and the warps were all there was.
    y, x = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
    before = ((7 * y + 13 * x + torch.arange(72).view(6, 12, 1, 1, 1) * 31) % 256).float()
    turned = augment(AugmentConfig(rotate90=True), before, LABELS, KEYS)[:, :4, 0, 0, 0]
    assert turned.int().tolist() == [
        [77, 174, 139, 236],
        [116, 147, 178, 209],
        [196, 227, 115, 146],
        [235, 87, 154, 6],
        [208, 239, 234, 122],
        [145, 242, 130, 161],
    ]
    both = AugmentConfig(rotate90=True, rotation=15, scale=0.1, shear=0.1, shift=0.05, elastic=0.02)
    row = augment(both, before, LABELS, KEYS)[1, 3, 0, 5]
    wanted = [21.51, 14.56, 25.74, 37.14, 49.25, 62.46, 76.03, 89.01, 100.67, 111.49, 122.06, 49.13]
    assert torch.allclose(row, torch.tensor(wanted), atol=0.05)


# ------------------------------------------------------------------------------------------------ new classes

A_NEW_CLASS = NewClassesConfig(mirror=True, rotation=25, scale=0.2, shear=0.2, elastic=0.03)


def test_new_classes_warp_all_images_of_a_class_alike():
    before = images()[:, :1].expand(6, 12, 1, 12, 12).contiguous()
    after = augment(AugmentConfig(new_classes=A_NEW_CLASS), before, LABELS, KEYS)
    for label in range(4):
        of_class = after[:, label::4]
        assert torch.equal(of_class, of_class[:, :1].expand_as(of_class))
        assert (of_class[:, 0] - after[:, (label + 1) % 4]).abs().mean() > 1
    assert (after[0] - after[1]).abs().mean() > 1  # the same labels in another episode


def test_new_classes_leave_the_warps_of_images_apart():
    before = images()[:, :1].expand(6, 12, 1, 12, 12).contiguous()
    after = augment(AugmentConfig(rotation=20, new_classes=A_NEW_CLASS), before, LABELS, KEYS)
    assert (after[:, 0] - after[:, 4]).abs().mean() > 1


def test_half_of_the_classes_are_mirrored_exactly():
    image = torch.rand(1, 9, 9, generator=torch.Generator().manual_seed(1)) * 255
    before, labels, keys = many(image, 400)
    after = augment(AugmentConfig(new_classes=NewClassesConfig(mirror=True)), before, labels, keys)
    same = torch.isclose(after, before, atol=0.01).flatten(1).all(1)
    swapped = torch.isclose(after, before.flip(-1), atol=0.01).flatten(1).all(1)
    assert bool((same ^ swapped).all())
    assert 160 < int(swapped.sum()) < 240


def test_the_warp_of_an_image_comes_before_that_of_its_class():
    """A dot is put where the class's map takes the place to which the image's map took it."""
    alone, of_class = AugmentConfig(rotation=20), NewClassesConfig(rotation=20)
    both = AugmentConfig(rotation=20, new_classes=of_class)
    angles = [
        dot_angles(augment(change, dots(6, 12), LABELS, KEYS))
        for change in (alone, AugmentConfig(new_classes=of_class), both)
    ]
    assert torch.allclose(angles[0] + angles[1], angles[2], atol=1.5)
    assert angles[1].abs().max() > 10


# --------------------------------------------------------------------------------------------------- chimeras


def seams(chimeras: float) -> torch.Tensor:
    """Where classes show the other class's pixels: `[E, M, H, W]` bool, for black images and white others."""
    black = torch.zeros(6, 12, 3, 12, 12)
    after = augment(AugmentConfig(chimeras=chimeras), black, LABELS, KEYS, torch.full_like(black, 255))
    assert set(after.unique().tolist()) <= {0.0, 255.0}
    assert torch.equal(after[:, :, 0], after[:, :, 2])
    return after[:, :, 0] > 0


def test_a_chimera_is_another_class_on_one_side_of_a_line_near_the_centre():
    angles = torch.linspace(0, 2 * math.pi, 721)[:-1]
    centres = (torch.arange(12) + 0.5) / 6 - 1
    along = angles.cos()[:, None, None] * centres + angles.sin()[:, None, None] * centres[:, None]
    for mask in seams(1.0)[:, :4].flatten(0, 1):
        highest_outside = along.masked_fill(mask, -9).amax((1, 2))
        lowest_inside = along.masked_fill(~mask, 9).amin((1, 2))
        assert bool((lowest_inside > highest_outside - 0.02).any())
        assert 0.3 < mask.float().mean() < 0.7


def test_chimeras_are_classes_and_as_many_as_asked_for():
    masks = seams(0.3)
    for label in range(4):
        of_class = masks[:, label::4]
        assert torch.equal(of_class, of_class[:, :1].expand_as(of_class))
    image = torch.zeros(1, 8, 8)
    before, labels, keys = many(image, 100, 10)
    after = augment(AugmentConfig(chimeras=0.3), before, labels, keys, before + 9)
    assert 250 < int((after > 0).flatten(2).any(2).sum()) < 350


def test_chimeras_are_made_of_something():
    with pytest.raises(ValueError, match="images of other classes"):
        augment(AugmentConfig(chimeras=0.1), images(), LABELS, KEYS)


# ----------------------------------------------------------------- slow re-computation, one image at a time


def read(image: np.ndarray, y: float, x: float, border: bool) -> np.ndarray:
    """All channels of `[C, H, W]` at a fractional position; outside is 0, or the nearest edge pixel."""
    side = image.shape[1]
    if border:
        y, x = min(max(y, 0), side - 1), min(max(x, 0), side - 1)
    top, left = math.floor(y), math.floor(x)
    total = np.zeros(image.shape[0])
    for row, weight_y in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, weight_x in ((left, 1 - (x - left)), (left + 1, x - left)):
            if 0 <= row < side and 0 <= column < side:
                total += weight_y * weight_x * image[:, row, column]
    return total


def slow_map(image: np.ndarray, source, border: bool = False) -> np.ndarray:
    """`source(y, x)`: where the pixel at (y, x) comes from, both measured in pixels from the centre."""
    after, centre = np.zeros_like(image), (image.shape[1] - 1) / 2
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            y, x = source(row - centre, column - centre)
            after[:, row, column] = read(image, y + centre, x + centre, border)
    return after


def slow_rotate(image, coin, draw):
    angle = math.radians((2 * draw - 1) * 40)
    if coin >= 0.6:
        return image
    sine, cosine = math.sin(angle), math.cos(angle)
    return slow_map(image, lambda y, x: (sine * x + cosine * y, cosine * x - sine * y))


def slow_resize(image, coin, draw):
    size = 1 - 0.3 * draw
    return slow_map(image, lambda y, x: (y / size, x / size)) if coin < 0.6 else image


def slow_roll(image, coin, down, right):
    limit = int(0.3 * image.shape[1])
    steps = [math.floor(draw * (2 * limit + 1)) - limit for draw in (down, right)]
    return np.roll(image, steps, axis=(1, 2)) if coin < 0.6 else image


def slow_smooth(image, coin):
    if coin >= 0.6:
        return image
    after = np.zeros_like(image)
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            window = image[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            after[:, row, column] = window.mean(axis=(1, 2))
    return after


def slow_contrast(image, coin, draw):
    alpha = 0.5 + 2 * draw
    scaled = (image - 127.5) / 127.5
    return 127.5 + 127.5 * np.tanh(alpha * scaled) / np.tanh(alpha) if coin < 0.6 else image


def slow_negate(image, coin):
    return 255 - image if coin < 0.6 else image


def slow_flip(image, coin):
    return image[:, :, ::-1] if coin < 0.6 else image


def slow_crop(image, draw, right, down):
    size = 1 - 0.4 * draw
    spare = image.shape[1] * (1 - size)  # pixels; the crop's centre is at most half of them off
    return slow_map(
        image, lambda y, x: (y * size + (down - 0.5) * spare, x * size + (right - 0.5) * spare), border=True
    )


def slow_hue(image, draw):
    after = np.zeros_like(image)
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            hue, saturation, value = colorsys.rgb_to_hsv(*(image[:, row, column] / 255))
            turned = (hue + (2 * draw - 1) * 0.2) % 1
            after[:, row, column] = colorsys.hsv_to_rgb(turned, saturation, value)
    return after * 255


def slow_brightness(image, draw):
    return np.clip(image + (2 * draw - 1) * 0.3 * 255, 0, 255)


def slow_photo_contrast(image, draw):
    mean = image.mean(axis=(1, 2), keepdims=True)
    return np.clip(mean + (image - mean) * (0.8 + 0.4 * draw), 0, 255)


# (field, its value, further fields, its purpose among an episode's draws, draws, slow function)
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


# ------------------------------------------------------------------------------ ranges, measured in images


def between(values: torch.Tensor, low: float, high: float, tolerance: float) -> None:
    """All values lie in low..high, reach both ends and have the mean of a uniform distribution."""
    assert values.min() >= low - tolerance
    assert values.max() <= high + tolerance
    assert values.min() <= low + 0.02 * (high - low) + tolerance
    assert values.max() >= high - 0.02 * (high - low) - tolerance
    sigma = (high - low) / math.sqrt(12 * len(values))
    assert abs(values.mean() - (low + high) / 2) < 4 * sigma + tolerance


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


def test_crops_are_60_to_100_percent_and_reach_all_edges():
    ramp = (torch.arange(40.0) + 0.5) / 40 * 200
    image = torch.stack([ramp.expand(40, 40), ramp[:, None].expand(40, 40)])
    before, labels, keys = many(image, 2000)
    after = augment(AugmentConfig(photo=PhotoConfig(crop=0.4)), before, labels, keys)[:, 0]
    across, down = after[:, 0, 20], after[:, 1, :, 20]
    for profile in (across, down):
        # Away from the edges the ramp's slope is the crop's side, its middle the crop's centre.
        side = (profile[:, 29] - profile[:, 10]) / 19 / 5
        between(side, 0.6, 1.0, 1e-3)
        centre = (profile[:, 10] + profile[:, 29]) / 400 - 0.5
        offset = centre / ((1 - side) / 2).clamp(min=0.02)
        between(offset[side < 0.95], -1, 1, 0.01)


def test_hues_turn_by_up_to_a_fifth_of_the_circle():
    red = torch.tensor([200.0, 40.0, 40.0]).view(3, 1, 1).expand(3, 2, 2)
    before, labels, keys = many(red, 2000)
    after = augment(AugmentConfig(photo=PhotoConfig(hue=0.2)), before, labels, keys)[:, 0, :, 0, 0]
    hsv = torch.tensor([colorsys.rgb_to_hsv(*(pixel / 255).tolist()) for pixel in after])
    between((hsv[:, 0] + 0.5) % 1 - 0.5, -0.2, 0.2, 1e-4)
    assert torch.allclose(hsv[:, 1:], torch.tensor([0.8, 200 / 255]).expand(2000, 2), atol=1e-4)


def test_grey_has_no_hue_to_turn():
    before = images(8)[:, :, :1].expand(-1, -1, 3, -1, -1)
    assert torch.allclose(
        augment(AugmentConfig(photo=PhotoConfig(hue=0.5)), before, LABELS, KEYS), before, atol=1e-4
    )


def test_brightness_moves_by_up_to_30_percent_of_the_range():
    before, labels, keys = many(torch.full((1, 2, 2), 128.0), 2000)
    after = augment(AugmentConfig(photo=PhotoConfig(brightness=0.3)), before, labels, keys)
    between((after[:, 0, 0, 0, 0] - 128) / 255, -0.3, 0.3, 1e-4)


def test_photo_contrast_stretches_by_80_to_120_percent():
    before, labels, keys = many(torch.tensor([100.0, 140.0, 100.0, 140.0]).view(1, 2, 2), 2000)
    after = augment(AugmentConfig(photo=PhotoConfig(contrast=0.2)), before, labels, keys).flatten(1)
    assert torch.allclose(after.mean(1), torch.tensor(120.0))
    between((after[:, 1] - after[:, 0]) / 40, 0.8, 1.2, 1e-4)


# -------------------------------------------------------------------------------------------- all together


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


# ------------------------------------------------------------------------------------------------- the config

# What each field is changed to, and what must be set beside it.
FIELDS = {
    "rotate90": ("episode", {"rotate90": True}),
    "rotation": (20.0, {}),
    "scale": (0.2, {}),
    "shear": (0.2, {}),
    "shift": (0.2, {}),
    "elastic": (0.05, {}),
    "new_classes.mirror": (True, {}),
    "new_classes.rotation": (20.0, {}),
    "new_classes.scale": (0.2, {}),
    "new_classes.shear": (0.2, {}),
    "new_classes.elastic": (0.05, {}),
    "chimeras": (0.9, {}),
    "alike.per_class": (True, {"alike": {"contrast": 1.0}}),
    "alike.rotate": (0.9, {}),
    "alike.angle": (20.0, {"alike": {"rotate": 1.0}}),
    "alike.resize": (0.9, {}),
    "alike.roll": (0.9, {}),
    "alike.smooth": (0.9, {}),
    "alike.contrast": (0.9, {}),
    "alike.negate": (0.9, {}),
    "photo.per_image": (True, {"photo": {"hue": 0.2}}),
    "photo.flip": (0.9, {}),
    "photo.crop": (0.4, {}),
    "photo.hue": (0.2, {}),
    "photo.brightness": (0.3, {}),
    "photo.contrast": (0.2, {}),
}


def test_every_field_is_listed():
    sections = {"new_classes": NewClassesConfig, "alike": AlikeConfig, "photo": PhotoConfig}
    known = {name for name in AugmentConfig.model_fields if name not in sections}
    known |= {f"{name}.{field}" for name, section in sections.items() for field in section.model_fields}
    assert set(FIELDS) == known


@pytest.mark.parametrize("path", FIELDS)
def test_every_field_changes_the_images(path):
    value, beside = FIELDS[path]
    section, _, name = path.rpartition(".")
    changed = {**beside, section: {**beside.get(section, {}), name: value}} if section else {name: value}
    before = images(12, 3)
    outcomes = []
    for values in (beside, changed):
        made = AugmentConfig.model_validate(values)
        outcomes.append(augment(made, before, LABELS, KEYS, before.flip(1)))
    assert (outcomes[0] - outcomes[1]).abs().mean() > 1


def test_the_default_is_no_change_in_training_or_validation():
    config = Config()
    assert config.augment == AugmentConfig()
    assert config.augment_validation.resolve(config.augment) == AugmentConfig()


@pytest.mark.parametrize("name", ["omniglot_1shot", "glyph-8"])
def test_presets_keep_their_meaning(name):
    config = load_config(name)
    assert config.augment.rotate90 in (True, "class")  # two names of one thing
    assert (config.augment.alike, config.augment.photo) == (AlikeConfig(), PhotoConfig())
    assert config.augment_validation == ValidationAugmentConfig()


REFUSED = [
    ("augment: {photo: {hue: 0.1}}", "augment.photo.hue: grey images have no hue"),
    ("augment_validation: {photo: {hue: 0.1}}", "augment_validation.photo.hue: grey images have no hue"),
    ("augment: {alike: {angle: 10}}", "augment.alike.angle: changes nothing while rotate is 0"),
    ("augment: {alike: {per_class: true}}", "augment.alike.per_class: changes nothing"),
    ("augment: {photo: {per_image: true}}", "augment.photo.per_image: changes nothing"),
    ("augment: {alike: {smooth: 1.5}}", "augment.alike.smooth: input should be less than or equal to 1"),
    ("augment: {photo: {crop: 1.0}}", "augment.photo.crop: input should be less than 1"),
    ("augment: {rotate90: 90}", "augment.rotate90: input should be False, True, 'class' or 'episode'"),
    (
        "augment_validation: {as_training: true, rotate90: true}",
        "augment_validation.as_training: the section's other",
    ),
    ("augment: {as_training: true}", "augment.as_training: unknown key"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_impossible_augmentations_are_refused_with_the_reason(text, reason, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert reason in caught.value.message


def test_an_augmenting_config_is_dumped_and_read_back_the_same():
    values = {
        "model": {"image_channels": 3},
        "augment": {"rotate90": "episode", "alike": {"per_class": True, "roll": 0.5}, "photo": {"hue": 0.2}},
        "augment_validation": {"as_training": True},
    }
    config = Config.model_validate(values)
    assert validate(Config, parse_yaml(dump_config(config), "dump")[0], "dump") == config


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({}, AugmentConfig()),
        ({"as_training": True}, AugmentConfig(rotate90=True, shift=0.1)),
        ({"alike": {"smooth": 0.5}}, AugmentConfig(alike=AlikeConfig(smooth=0.5))),
    ],
)
def test_validation_episodes_have_their_own_augmentation(section, expected, config, tmp_path):
    values = config.model_dump() | {
        "augment": {"rotate90": True, "shift": 0.1},
        "augment_validation": section,
    }
    trainer = Trainer(Config.model_validate(values), RunFolder(tmp_path / "run"))
    assert trainer.tasks.training.augmentation == AugmentConfig(rotate90=True, shift=0.1)
    assert trainer.tasks.validation.augmentation == expected


# --------------------------------------------------------------------------------------------------- the docs

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "explanation" / "augmentation.md"


def test_the_page_names_every_field_and_shows_every_picture():
    page = PAGE.read_text(encoding="utf-8")
    for path in [*FIELDS, "augment_validation", "as_training"]:
        assert f"`{path}`" in page or f"{path}:" in page, path
    shown = set(re.findall(r"\]\(\.\./(images/[^)]+)\)", page))
    assert shown == {f"images/{path.name}" for path in (DOCS / "images").glob("augmentation-*.png")}
    assert len(shown) == 17
    assert all((DOCS / name).stat().st_size < 30_000 for name in shown)


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.S))
def test_the_pages_examples_are_valid(block):
    values = parse_yaml(block, "example")[0] | {"model": {"image_channels": 3}}
    config = validate(Config, values, "example")
    assert (config.augment, config.augment_validation) != (AugmentConfig(), ValidationAugmentConfig())


def test_the_smooth_displacement_is_bicubic():
    coarse = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(coarse, (28, 20), mode="bicubic", align_corners=True)
    torch.testing.assert_close(enlarge(coarse, 28, 20), expected, rtol=1e-5, atol=1e-6)
