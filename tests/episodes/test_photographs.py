import colorsys

import torch
from helpers.augmenting import KEYS, LABELS, between, images, many

from htgen.config.data import (
    AugmentConfig,
    PhotoConfig,
)
from htgen.episodes.augmentation import augment


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


def test_as_in_the_reference_each_image_moves_alone_and_each_batch_is_coloured_as_one():
    image = torch.zeros(3, 4, 4)
    image[0, :, 0] = 200  # red, on the left
    before = image.expand(300, 10, -1, -1, -1).contiguous()
    labels, keys = torch.zeros(300, 10, dtype=torch.int64), torch.arange(300)
    flips = augment(AugmentConfig(photo=PhotoConfig(per_image="moves", flip=0.5)), before, labels, keys)
    flipped = flips[:, :, 0, 0, 3] > 0  # [E, M]
    assert 0.45 < flipped.double().mean() < 0.55
    assert (flipped.sum(1) % 10 != 0).double().mean() > 0.95
    for colour in ("hue", "brightness", "contrast"):
        photo = PhotoConfig(per_image="moves", **{colour: 0.2})
        after = augment(AugmentConfig(photo=photo), before, labels, keys, support=4)
        for part in (after[:, :4], after[:, 4:]):
            assert torch.equal(part, part[:, :1].expand_as(part))
        assert (after[:, 0] != after[:, 4]).flatten(1).any(1).double().mean() > 0.95
