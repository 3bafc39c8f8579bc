import math

import pytest
import torch
from helpers.augmenting import KEYS, LABELS, dot_angles, dots, images, many

from htgen.config.data import (
    AugmentConfig,
    NewClassesConfig,
)
from htgen.episodes.augmentation import augment


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
