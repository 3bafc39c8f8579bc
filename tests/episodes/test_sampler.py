import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import htgen
from htgen.config.data import AugmentConfig, EpisodeConfig
from htgen.episodes.batch import EpisodeBatch
from htgen.episodes.pool import ClassPool
from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
from htgen.episodes.shape import UNLABELED
from htgen.errors import DataError

TRAIN = "toy:train"


def sampler(
    store,
    way=4,
    shot=2,
    query=3,
    split=TRAIN,
    images=None,
    seed=0,
    stream="",
    period=1,
    slot_count=6,
    augmentation=None,
    slot_sets=1,
    **shape,
) -> EpisodeSampler:
    return EpisodeSampler(
        ClassPool.of_split(store, split, images),
        EpisodeConfig(way=way, shot=shot, query=query, **shape),
        EpisodeStream(seed, stream, period),
        slot_count,
        augmentation,
        slot_sets,
    )


def tensors(batch: EpisodeBatch) -> dict[str, torch.Tensor]:
    return {name: value for name, value in batch.__dict__.items() if value is not None}


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize(
    "augmentation",
    [
        None,
        AugmentConfig(rotate90=True, rotation=10, scale=0.1, shear=0.1, shift=0.05, elastic=0.02),
        AugmentConfig(chimeras=0.5),
    ],
)
def test_an_episode_does_not_depend_on_its_batch(store, balanced, augmentation):
    draw = sampler(store, balanced=balanced, unlabeled=1, augmentation=augmentation)
    together = tensors(draw.batch(3, 5))
    for i in range(5):
        alone = tensors(draw.batch(3 + i, 1))
        for name, value in together.items():
            assert torch.equal(value[i], alone[name][0]), name


@pytest.mark.parametrize(
    "shape",
    [
        EpisodeConfig(way=(2, 5), shot=(1, 3), query=2, unlabeled=(0, 2)),
        EpisodeConfig(way=4, shot=1, query=1, support_size=9, query_size=6),
        EpisodeConfig(way=3, shot=2, query=(1, 4), balanced=False),
    ],
)
def test_the_largest_episode_is_known_beforehand(store, shape):
    draw = EpisodeSampler(ClassPool.of_split(store, TRAIN), shape, EpisodeStream(seed=0), 6)
    batches = [draw.batch(index, 1) for index in range(200)]
    sizes = [batch.support_images.shape[1] + batch.query_images.shape[1] for batch in batches]
    assert max(sizes) == draw.most_images


@pytest.mark.parametrize("spelling", ["toy : 0-9", "toy:0 - 9", " toy:0-9 "])
def test_blanks_in_a_split_do_not_change_the_tasks(spelling, store):
    plain, blanks = (sampler(store, split=split).batch(0, 2) for split in ("toy:0-9", spelling))
    assert torch.equal(plain.support_rows, blanks.support_rows)


def test_seed_split_stream_and_index_each_change_the_episode(store):
    rows = [
        sampler(store).batch(0, 1).support_rows,
        sampler(store).batch(1, 1).support_rows,
        sampler(store, seed=1).batch(0, 1).support_rows,
        sampler(store, split="toy:0-9").batch(0, 1).support_rows,
        sampler(store, stream="other").batch(0, 1).support_rows,
    ]
    assert len({tuple(r.flatten().tolist()) for r in rows}) == len(rows)


@pytest.mark.parametrize("balanced", [True, False])
def test_a_chimera_is_made_of_two_classes_and_of_other_images_of_both_each_time(balanced):
    """Every image has one grey of its own, its row's number, so that its parts can be told."""
    offsets = np.arange(0, 101, 10)
    rows = torch.arange(100, dtype=torch.uint8)[:, None, None, None].expand(100, 8, 8, 1)
    draw = EpisodeSampler(
        ClassPool(rows, offsets, range(10), "greys"),
        EpisodeConfig(way=5, shot=2, query=3, balanced=balanced),
        EpisodeStream(seed=0),
        slot_count=5,
        augmentation=AugmentConfig(chimeras=1.0),
    )
    batch = draw.batch(0, 40)
    images = torch.cat([batch.support_images, batch.query_images], dim=1)
    labels = torch.cat([batch.support_labels, batch.query_labels], dim=1)
    own_rows = torch.cat([batch.support_rows, batch.query_rows], dim=1)
    greys = ((images + 1) * 127.5).round().long().flatten(2)
    mixed = 0
    for episode in range(40):
        for label in range(5):
            of_class = labels[episode] == label
            own = own_rows[episode, of_class].tolist()
            found = [set(image.tolist()) for image in greys[episode, of_class]]
            others = [row for image, mine in zip(found, own, strict=True) for row in image - {mine}]
            assert all(mine in image and len(image) <= 2 for image, mine in zip(found, own, strict=True))
            assert len({row // 10 for row in others}) <= 1
            assert len(set(others)) == len(others)
            assert all(row // 10 != mine // 10 for row in others for mine in own)
            mixed += len(others) == len(own)
    assert mixed > 150  # of 200; a line near a corner of 8x8 pixels may leave nothing of the other


@pytest.mark.parametrize("balanced", [True, False])
def test_support_and_query_are_disjoint_images_of_the_right_classes(store, balanced):
    batch = sampler(store, unlabeled=1, balanced=balanced).batch(0, 40)
    offsets = torch.as_tensor(store.offsets)
    for e in range(40):
        rows = torch.cat([batch.support_rows[e], batch.query_rows[e]])
        assert len(rows.unique()) == len(rows)
        classes = batch.classes[e]
        assert len(classes.unique()) == batch.way
        assert set(classes.tolist()) <= set(range(10))
        row_class = torch.searchsorted(offsets, rows, right=True) - 1
        labels = torch.cat([batch.support_labels[e], batch.query_labels[e]])
        known = labels != UNLABELED
        assert torch.equal(row_class[known], classes[labels[known]])
        assert set(row_class.tolist()) <= set(classes.tolist())


def test_images_are_those_of_the_rows(store):
    batch = sampler(store).batch(0, 2)
    expected = torch.from_numpy(store.images[batch.query_rows.numpy()]).movedim(-1, 2) / 128 - 1
    assert torch.allclose(batch.query_images, expected)


def test_balanced_counts(store):
    batch = sampler(store, way=3, shot=2, query=3, unlabeled=1).batch(0, 5)
    for e in range(5):
        assert batch.support_labels[e].tolist().count(UNLABELED) == 3
        assert [batch.support_labels[e].tolist().count(c) for c in range(3)] == [2, 2, 2]
        assert [batch.query_labels[e].tolist().count(c) for c in range(3)] == [3, 3, 3]


def test_sizes_that_do_not_divide_give_the_first_classes_one_image_more(store):
    batch = sampler(store, way=4, support_size=6, query_size=9, unlabeled=1).batch(0, 5)
    assert batch.support_images.shape[1] == 6 + 4
    for e in range(5):
        assert [batch.support_labels[e].tolist().count(c) for c in range(4)] == [2, 2, 1, 1]
        assert batch.support_labels[e].tolist().count(UNLABELED) == 4
        assert [batch.query_labels[e].tolist().count(c) for c in range(4)] == [3, 2, 2, 2]
        # The images without label are one of each class all the same.
        hidden = batch.support_classes[e][batch.support_labels[e] == UNLABELED]
        assert sorted(hidden.tolist()) == sorted(batch.classes[e].tolist())


def test_sizes_keep_every_class_labelled_in_unbalanced_episodes(store):
    batch = sampler(store, way=4, support_size=6, query_size=9, balanced=False).batch(0, 60)
    counts = torch.stack([(batch.support_labels == c).sum(1) for c in range(4)], dim=1)
    assert (counts.sum(1) == 6).all()
    assert counts.min() >= 1
    assert len(counts.unique(dim=0)) > 3
    with pytest.raises(ValidationError, match="support_size: every class needs a labelled image"):
        sampler(store, way=4, support_size=3)


@pytest.mark.parametrize("kind", ["remove_labeled", "remove_unlabeled"])
def test_images_are_removed_with_a_probability_drawn_per_episode(store, kind):
    assert sampler(store, unlabeled=2).batch(0, 2).ignore is None
    batch = sampler(store, way=4, shot=4, query=1, unlabeled=3, **{kind: 0.8}).batch(0, 400)
    of_this_kind = (batch.support_labels == UNLABELED) == (kind == "remove_unlabeled")
    assert not batch.ignore[~of_this_kind].any()
    removed, each = (batch.ignore & of_this_kind).sum(1), of_this_kind.sum(1)
    shares = removed / each
    assert shares.mean().item() == pytest.approx(0.4, abs=0.04)  # uniform over 0..0.8: 0.4, error 0.013
    # Drawn per episode: one fixed probability would give a deviation of 0.14 at most, this gives 0.25.
    assert shares.std().item() > 0.2


def test_unbalanced_counts_vary_but_every_class_is_labelled(store):
    batch = sampler(store, way=4, shot=2, query=3, balanced=False).batch(0, 60)
    counts = torch.stack([(batch.support_labels == c).sum(1) for c in range(4)], dim=1)
    assert (counts.sum(1) == 8).all()
    assert counts.min() >= 1
    assert len(counts.unique(dim=0)) > 5


def test_every_class_image_and_slot_is_drawn_about_equally_often(store):
    batch = sampler(store).batch(0, 600)
    classes = batch.classes.flatten().bincount(minlength=10)[:10]
    assert (classes - 240).abs().max() < 60  # 600 * 4 / 10 expected, standard deviation 12
    rows = batch.support_rows.flatten().bincount(minlength=80)[:80]
    assert (rows - 60).abs().max() < 45  # 600 * 8 / 80 expected, standard deviation 7
    slots = batch.slots
    assert (slots.sort(1).values.diff(dim=1) > 0).all()
    assert (slots.flatten().bincount() - 400).abs().max() < 80


@pytest.mark.parametrize(("way", "sets"), [(4, 1), (5, 1), (7, 2), (10, 2)])
def test_slots_of_many_sets_are_of_as_few_as_there_must_be(store, way, sets):
    slots = sampler(store, way=way, slot_count=5, slot_sets=1000).batch(0, 300).slots
    assert (slots.sort(1).values.diff(dim=1) > 0).all()
    own = [set(row) for row in (slots // 5).tolist()]
    assert all(max(numbers) - min(numbers) < sets for numbers in own)
    assert slots.min() >= 0
    assert slots.max() < 5 * (1000 + sets - 1)
    firsts = [min(numbers) for numbers in own]
    assert len(set(firsts)) > 200
    assert abs(np.mean(firsts) - 500) < 60
    assert ((slots % 5).flatten().bincount() - 60 * way).abs().max() < 70


def test_ranges_are_drawn_per_period_and_cover_their_ends(store):
    draw = sampler(store, way=(2, 4), shot=(1, 3), query=(1, 2), period=4)
    shapes = set()
    for period in range(60):
        first, last = draw.batch(4 * period, 1), draw.batch(4 * period + 3, 1)
        assert first.support_images.shape == last.support_images.shape
        shapes.add(
            (first.way, first.support_labels.shape[1] // first.way, first.query_labels.shape[1] // first.way)
        )
    assert {s[0] for s in shapes} == {2, 3, 4}
    assert {s[1] for s in shapes} == {1, 2, 3}
    assert {s[2] for s in shapes} == {1, 2}
    with pytest.raises(ValueError, match="period"):
        draw.batch(2, 4)


def test_query_rounds_keep_the_support_set_and_redraw_the_queries(store):
    draw = sampler(store)
    first, second = draw.batch(0, 20), draw.batch(0, 20, query_round=1)
    assert torch.equal(first.support_rows, second.support_rows)
    assert not torch.equal(first.query_rows, second.query_rows)
    for e in range(20):
        assert not set(second.support_rows[e].tolist()) & set(second.query_rows[e].tolist())


def test_a_memory_map_gives_what_a_tensor_gives(store):
    mapped, loaded = sampler(store, images=store.images).batch(0, 3), sampler(store).batch(0, 3)
    for name, value in tensors(mapped).items():
        assert torch.equal(value, tensors(loaded)[name]), name


CHILD = """
import resource, sys
import numpy as np
from htgen.config.data import EpisodeConfig
from htgen.episodes.pool import ClassPool
from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
shape = (6_000, 84, 84, 3)
np.lib.format.open_memmap(sys.argv[1], "w+", np.uint8, shape=shape).flush()
images = np.lib.format.open_memmap(sys.argv[1], "r")
pool = ClassPool(images, range(0, 6_001, 300), range(20), "x")
sampler = EpisodeSampler(pool, EpisodeConfig(way=5, shot=1, query=5), EpisodeStream(seed=0), 5)
sampler.batch(0, 16)  # so that all is loaded
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for start in range(16, 16 * 18, 16):
    sampler.batch(start, 16)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_memory_does_not_grow_with_what_was_read_of_a_memory_map(tmp_path):
    """Of 127 MB three quarters are drawn; tieredImageNet has 16 GB, and 4 GB of memory must do."""
    environment = {**os.environ, "PYTHONPATH": str(Path(htgen.__file__).parents[1])}
    command = [sys.executable, "-c", CHILD, str(tmp_path / "images.npy")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(result.stdout) < 40e6


def test_classes_of_unequal_size_never_give_rows_of_a_neighbour():
    offsets = np.array([0, 3, 13, 18])
    images = torch.arange(18, dtype=torch.uint8).view(18, 1, 1, 1).expand(18, 8, 8, 1)
    pool = ClassPool(images, offsets, [0, 1, 2], "x")
    draw = EpisodeSampler(pool, EpisodeConfig(way=3, shot=1, query=2), EpisodeStream(seed=0), 3)
    batch = draw.batch(0, 50)
    row_class = torch.searchsorted(torch.as_tensor(offsets), batch.query_rows.contiguous(), right=True) - 1
    assert torch.equal(row_class, batch.classes.gather(1, batch.query_labels))


def test_too_few_images_names_the_class_and_the_numbers(store):
    with pytest.raises(
        DataError, match=r"class 'columns/kind00' .* has 8 images; .* needs 9 \(2 support \+ 7 query\)"
    ):
        sampler(store, shot=2, query=7)


def test_too_few_classes_names_the_split(store):
    with pytest.raises(DataError, match=r"'toy:val' has 3 classes; 4-way"):
        sampler(store, split="toy:val")


def groups(store, batch: EpisodeBatch) -> list[set[str]]:
    return [{store.class_names[c].split("/")[0] for c in classes} for classes in batch.classes.tolist()]


def test_related_classes_come_from_one_group_if_it_holds_enough(store):
    found = groups(store, sampler(store, way=4, related=1.0).batch(0, 200))
    assert all(len(names) == 1 for names in found)
    assert {name for names in found for name in names} == {"columns", "rows"}  # either may be drawn
    # Of ten classes five are in each group: six need both.
    batch = sampler(store, way=6, related=1.0).batch(0, 50)
    assert all(len(names) == 2 for names in groups(store, batch))
    assert all(len(set(classes)) == 6 for classes in batch.classes.tolist())


def test_groups_are_drawn_until_they_hold_enough_classes():
    sizes = {"a": 2, "b": 3, "c": 9}
    names = [f"{group}/{index}" for group, size in sizes.items() for index in range(size)]
    images = torch.zeros(len(names) * 2, 4, 4, 1, dtype=torch.uint8)
    pool = ClassPool(images, range(0, 2 * len(names) + 1, 2), range(len(names)), "x", names)
    shape = EpisodeConfig(way=4, shot=1, query=1, related=1.0)
    draw = EpisodeSampler(pool, shape, EpisodeStream(seed=0), 4)
    drawn = [{names[c][0] for c in classes} for classes in draw.batch(0, 500).classes.tolist()]
    # Either of the small groups needs another one; the large one needs none when it comes first.
    assert {"c"} in drawn
    assert {"a", "b"} in drawn
    assert not any(used in ({"a"}, {"b"}, {"a", "b", "c"}) for used in drawn)


def test_as_many_episodes_as_asked_for_have_related_classes_and_the_others_stay(store):
    plain = sampler(store, way=4).batch(0, 2000)
    some = sampler(store, way=4, related=0.3).batch(0, 2000)
    changed = (plain.classes != some.classes).any(dim=1)
    # Of the related ones, few are what they were by chance.
    assert changed.float().mean() == pytest.approx(0.3, abs=0.04)
    for names, differs in zip(groups(store, some), changed.tolist(), strict=True):
        assert not differs or len(names) == 1


def test_without_groups_all_classes_are_related(store):
    def classes(related: float, names: tuple[str, ...] | None) -> list:
        shape = EpisodeConfig(way=2, shot=1, query=1, related=related)
        pool = ClassPool(store.images, store.offsets, range(4), "x", names)
        draw = EpisodeSampler(pool, shape, EpisodeStream(seed=0), 2)
        return draw.batch(0, 20).classes.tolist()

    assert classes(1.0, None) == classes(0.0, None)
    assert classes(1.0, store.class_names) != classes(0.0, None)


def test_no_classes_are_a_clear_error(store):
    with pytest.raises(DataError, match="has 0 classes"):
        EpisodeSampler(
            ClassPool(store.images, store.offsets, [], "x"),
            EpisodeConfig(way=2, shot=1, query=1),
            EpisodeStream(seed=0),
            slot_count=2,
        )


def test_queries_drawn_as_in_the_reference_are_support_images_now_and_then(store):
    # 8 images a class, 2 of them in the support set: a quarter of the queries, in the mean.
    batch = sampler(store, shot=2, query=4, disjoint=False).batch(0, 400)
    seen = (batch.query_rows[..., None] == batch.support_rows[:, None]).any(2)  # [E, Q]
    assert seen.double().mean().item() == pytest.approx(2 / 8, abs=0.03)
    for rows in (batch.query_rows, batch.support_rows):  # within a batch no image is there twice
        assert all(len(set(row)) == len(row) for row in rows.tolist())
    apart = sampler(store, shot=2, query=4).batch(0, 50)
    assert not (apart.query_rows[..., None] == apart.support_rows[:, None]).any()
    assert torch.equal(apart.support_rows, batch.support_rows[:50])


def test_classes_need_no_more_images_than_each_batch_takes(store):
    sampler(store, shot=8, query=8, disjoint=False).batch(0, 1)
    with pytest.raises(DataError, match="has 8 images"):
        sampler(store, shot=8, query=1)


@pytest.mark.parametrize(
    ("support", "query", "expected"),
    [(4, 8, ([1, 1, 1, 1], [2, 2, 2, 2])), (6, 5, ([2, 2, 1, 1], [2, 1, 1, 1]))],
)
def test_sizes_are_shared_out_as_in_the_reference(store, support, query, expected):
    """size // way images a class, one more for the first size % way classes; support and queries apart."""
    batch = sampler(store, support_size=support, query_size=query).batch(0, 3)
    for labels, counts in zip((batch.support_labels, batch.query_labels), expected, strict=True):
        assert [torch.bincount(row, minlength=4).tolist() for row in labels] == [counts] * 3
