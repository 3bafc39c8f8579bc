"""Properties of the generator and of the CNNs that it writes."""

import pytest
import torch
from helpers.models import QUERY, WAY, build, episodes

from htgen.errors import ModelError

VARIANTS = [
    {},
    {"weights": {"base": False, "prototypes": False}},
    {"cnn": {"channels": 4, "pools": [1, 2, 3]}},
]


@pytest.mark.parametrize("changes", VARIANTS)
@torch.no_grad()
def test_the_order_of_support_images_does_not_matter(changes):
    model = build(**changes)
    support, labels, query, slots = episodes()
    order = torch.randperm(support.shape[1], generator=torch.Generator().manual_seed(2))
    expected = model(support, labels, query, slots)
    assert torch.allclose(model(support[:, order], labels[:, order], query, slots), expected, atol=1e-5)


@pytest.mark.parametrize("changes", VARIANTS)
@torch.no_grad()
def test_renaming_the_classes_permutes_the_logits(changes):
    model = build(**changes)
    support, labels, query, slots = episodes()
    order = torch.tensor([2, 0, 3, 1])  # class c becomes class order[c], and takes its slot along
    renamed_slots = torch.empty_like(slots).scatter(1, order.expand_as(slots), slots)
    renamed = model(support, order[labels], query, renamed_slots)
    assert torch.allclose(renamed[:, :, order], model(support, labels, query, slots), atol=1e-5)


@torch.no_grad()
def test_with_support_norm_an_answer_does_not_depend_on_the_other_queries():
    model = build()
    support, labels, query, slots = episodes()
    together = model(support, labels, query, slots)
    for q in range(QUERY):
        alone = model(support, labels, query[:, q : q + 1], slots)
        assert torch.allclose(alone[:, 0], together[:, q], atol=1e-5)


@torch.no_grad()
def test_with_batch_norm_it_does():
    model = build(cnn={"channels": 4, "norm": "batch"})
    support, labels, query, slots = episodes()
    together = model(support, labels, query, slots)
    alone = model(support, labels, query[:, :1], slots)
    assert not torch.allclose(alone[:, 0], together[:, 0], atol=1e-2)


@pytest.mark.parametrize("norm", ["support", "batch"])
@torch.no_grad()
def test_generating_then_executing_equals_one_pass(norm):
    model = build(cnn={"channels": 4, "norm": norm})
    support, labels, query, slots = episodes()
    executed = model.execute(model.generate(support, labels, slots), query)
    assert torch.allclose(executed, model(support, labels, query, slots), atol=1e-5)


@torch.no_grad()
def test_each_episode_of_a_batch_equals_itself_alone():
    model = build()
    support, labels, query, slots = episodes()
    together = model(support, labels, query, slots)
    for e in range(len(support)):
        part = slice(e, e + 1)
        assert torch.allclose(
            model(support[part], labels[part], query[part], slots[part])[0], together[e], atol=1e-5
        )


@torch.no_grad()
def test_one_generator_serves_any_way_shot_and_balance():
    model = build()
    for way, shot in ((2, 1), (3, 5), (6, 2)):
        support, labels, query, slots = episodes(way=way, shot=shot)
        assert model(support, labels, query, slots).shape == (3, QUERY, way)
        assert torch.isfinite(model(support[:, : way + 1], labels[:, : way + 1], query, slots)).all()


@torch.no_grad()
def test_ignored_support_images_change_nothing():
    model = build()
    support, labels, query, slots = episodes()
    ignore = torch.zeros(labels.shape, dtype=torch.bool)
    ignore[:, -2:] = True
    masked = model(support, labels, query, slots, ignore)
    assert torch.allclose(masked, model(support[:, :-2], labels[:, :-2], query, slots), atol=1e-4)


@torch.no_grad()
def test_unlabelled_images_are_seen_but_belong_to_no_class():
    model = build()
    support, labels, query, slots = episodes()
    unlabelled = labels.clone()
    unlabelled[:, -2:] = -1
    seen = model(support, unlabelled, query, slots)
    assert not torch.allclose(seen, model(support, labels, query, slots), atol=1e-4)
    assert not torch.allclose(seen, model(support[:, :-2], labels[:, :-2], query, slots), atol=1e-4)


@pytest.mark.parametrize("prototypes", [False, True])
@torch.no_grad()
def test_an_untrained_generator_is_at_chance_when_images_say_nothing(prototypes):
    model = build(weights={"base": True, "prototypes": prototypes})
    support, labels, query, slots = episodes(count=500)
    answers = model(support, labels, query, slots).argmax(2)
    truth = torch.randint(WAY, answers.shape, generator=torch.Generator().manual_seed(3))
    accuracy = (answers == truth).float().mean()
    assert abs(accuracy - 1 / WAY) < 0.04  # 3000 answers: four standard deviations are 0.032


@torch.no_grad()
def test_which_class_gets_which_slot_does_not_leak_into_queries():
    """Queries drawn like the support, labels in random order: any skill would come from the labels."""
    model = build()
    support, labels, query, slots = episodes(count=400)
    query = query[:, :WAY]
    truth = torch.arange(WAY).expand(400, -1)  # sorted, as a careless sampler would give them
    accuracy = (model(support, labels, query, slots).argmax(2) == truth).float().mean()
    assert abs(accuracy - 1 / WAY) < 0.05


@torch.no_grad()
def test_refinement_changes_nothing_when_all_support_images_have_labels():
    plain, refined = (
        build(weights={"base": True, "prototypes": True, "refine_prototypes": steps}) for steps in (0, 3)
    )
    refined.load_state_dict(plain.state_dict())
    support, labels, query, slots = episodes()
    expected = plain(support, labels, query, slots)
    torch.testing.assert_close(refined(support, labels, query, slots), expected, rtol=0, atol=1e-5)
    labels = labels.clone()
    labels[:, -2:] = -1
    difference = refined(support, labels, query, slots) - plain(support, labels, query, slots)
    assert difference.abs().max() > 0.01


def test_every_parameter_receives_a_gradient():
    model = build().train()
    support, labels, query, slots = episodes(way=6)
    labels = labels.clone()
    labels[:, -1] = -1
    model(support, labels, query, slots).square().sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A key's bias shifts all attention logits of a query alike, which softmax does not see.
    assert [name for name in without if not name.endswith("key.bias")] == []


def test_wrong_images_and_too_many_classes_are_named():
    model = build()
    support, labels, query, slots = episodes()
    with pytest.raises(ModelError, match=r"\[1, 16, 16\].*got \[1, 15, 16\]"):
        model(support[..., 1:, :], labels, query[..., 1:, :], slots)
    model = build(weights={"base": False, "prototypes": False})  # with class means there is no most
    many = torch.arange(7).expand(3, -1)
    with pytest.raises(ModelError, match="7 classes are too many: this generator knows at most 6"):
        model(support, labels, query, many)
