"""Augmentation and episodes against an independent re-computation of what the published code does.

On equal random numbers where both draw alike, in distribution elsewhere. Where htgen differs, the test shows
by how much. docs/reference/parity.md has the results as tables.
"""

import colorsys
import math

import numpy as np
import pytest
import torch
from helpers.augmenting import KEYS, LABELS, images, many

from htgen.config.data import AlikeConfig, AugmentConfig, EpisodeConfig, PhotoConfig
from htgen.episodes import randomness
from htgen.episodes.augmentation import augment
from htgen.episodes.augmentation_draws import Purpose
from htgen.episodes.pool import ClassPool
from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
from htgen.episodes.shape import UNLABELED

SIDE = 28
DRAWS = 4000


def numbers(keys: torch.Tensor, purpose: Purpose, count: int, unit: int = 0) -> np.ndarray:
    """The random numbers of one change: `[E, count]` in 0..1."""
    return randomness.uniform(randomness.fold(keys, purpose, unit), count).double().numpy()


def changed(image: np.ndarray, count: int = DRAWS, **alike) -> tuple[np.ndarray, torch.Tensor]:
    """One image `[H, W]` after a change of many episodes, `[E, H, W]`, and their keys."""
    before, labels, keys = many(torch.from_numpy(image).float()[None], count)
    after = augment(AugmentConfig(alike=AlikeConfig(**alike)), before, labels, keys)
    return after[:, 0, 0].double().numpy(), keys


def stretched(image: np.ndarray) -> np.ndarray:
    """Darkest pixel 0, brightest 255."""
    return 255 * (image - image.min()) / (image.max() - image.min() + 1e-7)


def drawing(brightest: float = 255) -> np.ndarray:
    """A disc with soft edges on black."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    return brightest * np.clip(9 - np.hypot(y, x), 0, 1)


# ------------------------------------------------------------------- changes that images share


def test_quarter_turns_are_drawn_for_each_class_among_four_equally_likely():
    image = np.arange(9.0).reshape(3, 3)
    before, labels, keys = many(torch.from_numpy(image).float()[None], DRAWS, 2)
    after = augment(AugmentConfig(rotate90="class"), before, labels, keys)[:, :, 0].numpy()
    turned = [np.rot90(image, k) for k in range(4)]
    # floor(u + 2) for u in -2..2 there: 0 to 3 turns.
    turns = np.array([[[np.array_equal(x, t) for t in turned].index(True) for x in pair] for pair in after])
    together = np.bincount(4 * turns[:, 0] + turns[:, 1], minlength=16) / DRAWS
    assert np.abs(together - 1 / 16).max() < 4 * math.sqrt(1 / 16 * 15 / 16 / DRAWS)


def test_negating_takes_every_pixel_from_255():
    image = drawing()
    after, keys = changed(image, negate=0.4)
    for found, (coin,) in zip(after[:100], numbers(keys, Purpose.NEGATE, 1), strict=False):
        np.testing.assert_array_equal(found, (255 - image if coin < 0.4 else image).astype(np.float32))


def test_rolls_reach_as_far_but_no_move_is_not_twice_as_likely():
    image = np.zeros((SIDE, SIDE))
    image[0, 0] = 1
    after, _ = changed(image, roll=1.0)
    found = (after.sum(2).argmax(1) + SIDE // 2) % SIDE - SIDE // 2
    # Whole steps of u * side, u in -0.3..0.3, cut towards 0.
    chance = np.trunc(np.random.default_rng(0).uniform(-0.3, 0.3, 400_000) * SIDE)
    assert {*found} == {*chance} == {*range(-8, 9)}
    sigma = math.sqrt(1 / 17 * 16 / 17 / DRAWS)
    for step in range(-8, 9):
        assert abs(np.mean(found == step) - 1 / 17) < 4 * sigma
    assert np.mean(chance == 0) == pytest.approx(2 / 16.8, abs=0.002)
    assert np.mean(chance == 3) == pytest.approx(1 / 16.8, abs=0.002)
    assert np.mean(chance == 8) == pytest.approx(0.4 / 16.8, abs=0.002)


def test_rotations_have_the_same_angles_and_read_between_pixels():
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    image = drawing() * (0.5 + 0.5 * np.cos(np.arctan2(y, x)))  # smooth, another one at each angle
    after, keys = changed(image, 40, rotate=1.0, angle=40.0)
    wrong = []
    for found, (_, draw) in zip(after, numbers(keys, Purpose.ROTATE, 2), strict=True):
        angle = math.radians((2 * draw - 1) * 40)
        from_x, from_y = (
            math.cos(angle) * x - math.sin(angle) * y,
            math.sin(angle) * x + math.cos(angle) * y,
        )
        rows, columns = (np.rint(v + (SIDE - 1) / 2).astype(int) for v in (from_y, from_x))
        inside = (rows >= 0) & (rows < SIDE) & (columns >= 0) & (columns < SIDE)
        nearest = np.where(inside, image[rows.clip(0, SIDE - 1), columns.clip(0, SIDE - 1)], 0)
        wrong.append(np.abs(found - nearest).mean())
        assert np.abs(nearest - image).mean() > wrong[-1] or abs(angle) < 0.1
    assert 0.5 < np.mean(wrong) < 5  # of 255


def test_sizes_are_the_same_but_for_whole_pixels():
    after, keys = changed(np.full((SIDE, SIDE), 255.0), resize=1.0)
    found = after[:, SIDE // 2].sum(1) / 255  # the white square's side
    draw = numbers(keys, Purpose.RESIZE, 2)[:, 1]
    # There 1 - 0.15 + 0.15 u for u in -1..1: the same range from the other end.
    size = SIDE * (1 - 0.15 + 0.15 * (1 - 2 * draw))
    np.testing.assert_allclose(found, size, atol=0.3)  # what the pixels at the edge make of a fraction
    assert abs(np.mean(found - size)) < 0.1
    assert 0.3 < np.mean(found - np.trunc(size)) < 0.7


def test_smoothing_is_the_same_mean_but_for_edges_and_the_stretch():
    def published(image: np.ndarray) -> np.ndarray:
        padded = np.pad(image, 1)
        return stretched(sum(padded[a : a + SIDE, b : b + SIDE] for a in range(3) for b in range(3)) / 9)

    for brightest, alike in ((255, True), (100, False)):
        image = drawing(brightest)
        after, _ = changed(image, 1, smooth=1.0)
        assert np.allclose(after[0], published(image), atol=0.01) == alike
    after, _ = changed(np.full((SIDE, SIDE), 255.0), 1, smooth=1.0)
    assert after.min() == 255
    assert published(np.full((SIDE, SIDE), 255.0)).min() == pytest.approx(0)  # 4/9 of white, stretched


def test_contrast_is_the_same_curve_for_images_of_middle_grey():
    def published(image: np.ndarray, draw: float) -> np.ndarray:
        x, alpha = image / 128 - 1, 1.5 + (2 * draw - 1)
        return stretched(np.tanh((x - x.mean()) * alpha) / alpha + x.mean())

    ramp = np.linspace(0, 255, SIDE * SIDE).reshape(SIDE, SIDE)
    for image, largest in ((ramp, 1.0), (drawing(), 128.0)):
        after, keys = changed(image, 50, contrast=1.0)
        wrong = [
            np.abs(found - published(image, draw)).max()
            for found, (_, draw) in zip(after, numbers(keys, Purpose.CONTRAST, 2), strict=True)
        ]
        assert max(wrong) < largest
    assert max(wrong) > 60  # darker than middle grey in the mean: its edges are brighter there


def test_the_order_is_htgens_own():
    """There: turns, rotate, roll, resize, contrast, smooth, negate. Here resize before roll, and smooth
    before contrast."""
    image = drawing()

    def one(image: np.ndarray, name: str) -> np.ndarray:
        return changed(image, 1, **{name: 1.0})[0][0]

    for first, second in (("resize", "roll"), ("smooth", "contrast"), ("contrast", "negate")):
        both, _ = changed(image, 1, **{first: 1.0, second: 1.0})
        np.testing.assert_allclose(both[0], one(one(image, first), second), atol=0.01)
        if second != "negate":
            assert np.abs(both[0] - one(one(image, second), first)).max() > 1


# ------------------------------------------------------------------------ changes of photographs


def test_crops_are_the_same_squares_read_half_a_pixel_aside_at_most():
    ramp = np.broadcast_to(np.arange(SIDE) * 9.0, (SIDE, SIDE))
    before, labels, keys = many(torch.from_numpy(ramp.copy()).float()[None], 300)
    config = AugmentConfig(photo=PhotoConfig(per_image="moves", crop=0.4))
    after = augment(config, before, labels, keys)[:, 0, 0, 0].numpy() / 9  # where pixels come from
    for found, (draw, right, _) in zip(after, numbers(keys, Purpose.CROP, 3), strict=True):
        side = 1 - 0.4 * draw
        left = right * (1 - side)
        # Corners of the crop on corners of the result there.
        published = (left + side * np.arange(SIDE) / (SIDE - 1)) * (SIDE - 1)
        assert np.abs(found - published).max() < 0.51


def test_flips_are_drawn_for_each_image():
    image = torch.zeros(1, 2, 2)
    image[:, :, 0] = 255
    before = image.expand(DRAWS, 2, 1, 2, 2).contiguous()
    labels, keys = torch.zeros(DRAWS, 2, dtype=torch.int64), torch.arange(DRAWS)
    config = AugmentConfig(photo=PhotoConfig(per_image="moves", flip=0.5))
    flipped = (augment(config, before, labels, keys)[:, :, 0, 0, 1] > 0).long()
    together = torch.bincount(2 * flipped[:, 0] + flipped[:, 1], minlength=4) / DRAWS
    assert (together - 1 / 4).abs().max() < 4 * math.sqrt(3 / 16 / DRAWS)


def test_colours_are_the_same_but_for_8_bits_between_the_steps():
    def published(image: np.ndarray, hue: float, brightness: float, contrast: float) -> np.ndarray:
        """`[H, W, 3]` in whole numbers, cut to 0..255 after each step."""
        turned = np.empty_like(image)
        for place in np.ndindex(image.shape[:2]):
            h, s, v = colorsys.rgb_to_hsv(*(image[place] / 255))
            turned[place] = 255 * np.array(colorsys.hsv_to_rgb((h + hue) % 1, s, v))
        x = np.floor(np.clip(np.rint(turned) + 255 * brightness, 0, 255))
        mean = x.mean((0, 1))
        return np.floor(np.clip((x - mean) * contrast + mean, 0, 255))

    config = AugmentConfig(photo=PhotoConfig(per_image="moves", hue=0.2, brightness=0.3, contrast=0.2))
    for low, high, largest in ((100, 150, 4.0), (0, 255, 40.0)):  # the second is cut after the brightness
        before = low + images(6, 3) / 255 * (high - low)
        before = before.round()
        after = augment(config, before, LABELS, KEYS, support=5)
        wrong = []
        for index, part in ((0, 0), (5, 1)):  # once for the support images, once for the queries
            draws = [
                numbers(KEYS, p, 1, part) for p in (Purpose.HUE, Purpose.BRIGHTNESS, Purpose.PHOTO_CONTRAST)
            ]
            for e in range(len(KEYS)):
                hue, brightness, contrast = (2 * d[e, 0] - 1 for d in draws)
                image = before[e, index].permute(1, 2, 0).double().numpy()
                expected = published(image, 0.2 * hue, 0.3 * brightness, 1 + 0.2 * contrast)
                wrong.append(np.abs(after[e, index].permute(1, 2, 0).numpy() - expected).max())
        assert max(wrong) < largest
    assert max(wrong) > 4


def test_contrast_is_about_the_mean_of_the_crop():
    """There about that of the whole image, which is cropped afterwards."""
    before = 60 + images(SIDE, 3)[:1] * torch.linspace(0.1, 0.5, SIDE)  # another mean in each crop
    labels, keys = LABELS[:1], KEYS[:1]
    cropped = augment(AugmentConfig(photo=PhotoConfig(crop=0.4)), before, labels, keys)
    after = augment(AugmentConfig(photo=PhotoConfig(crop=0.4, contrast=0.2)), before, labels, keys)
    factor = 1 + 0.2 * (2 * numbers(keys, Purpose.PHOTO_CONTRAST, 1)[0, 0] - 1)
    of_crop, of_whole = (x.mean((-2, -1), keepdim=True) for x in (cropped, before))
    assert abs(factor - 1) > 0.02
    torch.testing.assert_close(after, of_crop + (cropped - of_crop) * factor, atol=1e-3, rtol=0)
    published = of_whole + (cropped - of_whole) * factor
    assert (after - published).abs().max() > 0.1


# -------------------------------------------------------------------------------------- episodes

WAY = 4


def labels_of(store, episodes: int, **shape) -> tuple[np.ndarray, np.ndarray]:
    """Labels of support images and queries, `[E, S]` and `[E, Q]`."""
    config = EpisodeConfig(way=WAY, **shape)
    pool = ClassPool.of_split(store, "toy:train")
    batch = EpisodeSampler(pool, config, EpisodeStream(seed=0), WAY).batch(0, episodes)
    return batch.support_labels.numpy(), batch.query_labels.numpy()


def shares(size: int) -> list[int]:
    """Images of each class there: one more for the first ones."""
    return [size // WAY + (c < size % WAY) for c in range(WAY)]


@pytest.mark.parametrize(("support", "query"), [(4, 4), (5, 7), (8, 10), (7, 4)])
def test_balanced_episodes_have_as_many_images_of_each_class(store, support, query):
    of_support, of_queries = labels_of(store, 3, support_size=support, query_size=query, disjoint=False)
    for labels, size in ((of_support, support), (of_queries, query)):
        assert [np.bincount(row, minlength=WAY).tolist() for row in labels] == [shares(size)] * 3


def test_unbalanced_episodes_are_one_batch_that_is_cut_but_for_one_image_of_each_class(store):
    found = labels_of(store, DRAWS, shot=2, query=2, balanced=False)[0]
    counts = np.stack([(found == c).sum(1) for c in range(WAY)], 1)  # [E, n]
    chance = np.random.default_rng(0)

    def cut(kept: int) -> np.ndarray:
        """Counts of the support set, of which `kept` images of each class are not shuffled."""
        rest = np.repeat(np.arange(WAY), 4 - kept)
        drawn = [np.bincount(chance.permutation(rest)[: 8 - WAY * kept], minlength=WAY) for _ in range(DRAWS)]
        return np.stack(drawn) + kept

    for kept, alike in ((1, True), (0, False)):
        expected = cut(kept)
        for count in range(5):
            ours, theirs = np.mean(counts == count), np.mean(expected == count)
            if alike:
                assert ours == pytest.approx(theirs, abs=0.02)
        assert bool((expected == 0).any()) == (not alike)
    assert (counts >= 1).all()
    # Both have the same number of images of each class, support and queries together.
    queries = labels_of(store, DRAWS, shot=2, query=2, balanced=False)[1]
    assert all((counts[:, c] + (queries == c).sum(1) == 4).all() for c in range(WAY))


@pytest.mark.parametrize("hidden", [1, 2])
def test_unlabelled_images_come_on_top_so_that_fewer_shots_give_the_published_episode(store, hidden):
    shot = 3  # support images of each class there, of which the first lose their label
    published = [WAY if i < hidden else c for c in range(WAY) for i in range(shot)]
    found = labels_of(store, 1, shot=shot - hidden, unlabeled=hidden, query=1)[0][0]
    ours = np.where(found == UNLABELED, WAY, found)
    assert sorted(ours) == sorted(published)
    assert (
        len(labels_of(store, 1, shot=shot, unlabeled=hidden, query=1)[0][0]) == len(published) + WAY * hidden
    )
