import pytest
import torch

from htgen import randomness
from htgen.augment import Augmentation

KEYS = randomness.fold(torch.tensor(0), torch.arange(6))
LABELS = torch.arange(4).repeat(3).expand(6, -1)


def images(side: int = 12) -> torch.Tensor:
    values = torch.rand(6, 12, 1, side, side, generator=torch.Generator().manual_seed(0))
    return values * 255


def test_rotate90_turns_whole_classes_by_quarter_turns():
    before = images()
    after = Augmentation(rotate90=True).apply(before, LABELS, KEYS)
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


@pytest.mark.parametrize("name", ["rotation", "scale", "shear", "shift", "elastic"])
def test_each_warp_moves_images_on_their_own_and_keeps_the_range(name):
    before = images()
    strength = 30.0 if name == "rotation" else 0.2
    after = Augmentation(**{name: strength}).apply(before, LABELS, KEYS)
    changed = (after - before).abs().flatten(2).mean(2)
    assert (changed > 1).float().mean() > 0.9
    assert after.min() >= 0
    assert after.max() <= 255
    constant = before[:, :1].expand_as(before)
    moved = Augmentation(**{name: strength}).apply(constant, LABELS, KEYS)
    assert (moved[:, 0] - moved[:, 1]).abs().mean() > 1  # the same image, moved differently


def test_a_rotation_of_zero_strength_is_the_identity():
    before = images()
    after = Augmentation(rotation=1e-6).apply(before, LABELS, KEYS)
    assert torch.allclose(after, before, atol=1e-2)


def test_rotation_angles_stay_within_their_limit():
    # A bright dot at 3 o'clock; its angle after the warp is the rotation.
    side = 41
    before = torch.zeros(6, 12, 1, side, side)
    before[..., 19:22, 34:37] = 255
    after = Augmentation(rotation=20).apply(before, LABELS, KEYS)
    centre = (side - 1) / 2
    rows, columns = torch.meshgrid(torch.arange(side) - centre, torch.arange(side) - centre, indexing="ij")
    mass = after.sum((2, 3, 4))
    y, x = ((after[:, :, 0] * axis).sum((2, 3)) / mass for axis in (rows, columns))
    angles = torch.rad2deg(torch.atan2(y, x))
    assert angles.abs().max() <= 21
    assert angles.abs().max() > 15
    assert angles.min() < -5 < 5 < angles.max()


def test_new_area_is_background():
    before = torch.full((6, 12, 1, 10, 10), 255.0)
    after = Augmentation(shift=0.3).apply(before, LABELS, KEYS)
    assert (after == 0).any()
