"""The learners that generators are compared with do what their papers say."""

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from htgen.checkpoint import RunFolder
from htgen.config import change_config
from htgen.train import Trainer, Validated

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from peers import INNER_RATE, INNER_STEPS, METHODS, Maml, PrototypicalNetwork


def batch_of(config, tmp_path, method):
    trainer = Trainer(config, RunFolder(tmp_path / "run"), build=METHODS[method])
    return trainer.model.eval(), trainer.train_sampler.batch(0, 3)


def run(model, batch, **changes):
    inputs = {
        "support_images": batch.support_images,
        "support_labels": batch.support_labels,
        "query_images": batch.query_images,
        "slots": batch.slots,
    }
    return model.run(**(inputs | changes))


def test_a_prototypical_network_finds_the_nearest_class_mean(config, tmp_path):
    model, batch = batch_of(config, tmp_path, "prototypical")
    assert isinstance(model, PrototypicalNetwork)
    with torch.no_grad():
        found = run(model, batch)
        support, queries = (
            x.movedim(1, 0).flatten(2) for x in found.activations[-1].split([4, 8])
        )  # [E, images, F]
    for e in range(3):
        means = torch.stack([support[e][batch.support_labels[e] == c].mean(0) for c in range(4)])
        distances = torch.cdist(queries[e], means) ** 2
        sharpness = model.logits.log_sharpness.exp()
        expected = torch.softmax(-sharpness * distances, dim=1)
        torch.testing.assert_close(found.logits[e].softmax(dim=1), expected, rtol=1e-3, atol=1e-5)


def test_a_prototypical_network_corrects_its_means(config, tmp_path):
    """By PLDA, against the definition in coordinates that are chosen here."""
    model, batch = batch_of(
        change_config(config, ["model.weights.plda=true"], "test"), tmp_path, "prototypical"
    )
    plda, count = model.logits.plda, model.spec.feature_count
    plain = run(model, batch).logits.softmax(dim=2)
    hand = torch.Generator().manual_seed(0)
    plda.centre.copy_(torch.randn(count, generator=hand))
    plda.directions.copy_(torch.randn(count, count, generator=hand) / count**0.5)
    plda.prior_counts.copy_(3 * torch.rand(count, generator=hand))
    with torch.no_grad():
        found = run(model, batch)
        support, queries = (x.movedim(1, 0).flatten(2) for x in found.activations[-1].split([4, 8]))
    assert not torch.allclose(found.logits.softmax(dim=2), plain, atol=1e-2)
    for e in range(3):
        seen, asked = ((x[e] - plda.centre) @ plda.directions for x in (support, queries))
        means = torch.stack([seen[batch.support_labels[e] == c].mean(0) for c in range(4)])
        means = means / (1 + plda.prior_counts)  # of one sample each
        variances = 1 + 1 / (1 + plda.prior_counts)
        distances = ((asked[:, None] - means) ** 2 * 2 / variances).sum(dim=2)
        expected = torch.softmax(-model.logits.log_sharpness.exp() * distances, dim=1)
        torch.testing.assert_close(found.logits[e].softmax(dim=1), expected, rtol=1e-3, atol=1e-5)


def test_maml_takes_gradient_steps_of_each_episode_by_itself(config, tmp_path):
    """An episode's CNN, against plain autograd on that episode alone."""
    model, batch = batch_of(config, tmp_path, "maml")
    assert isinstance(model, Maml)
    found = run(model, batch)
    values = [v for conv in model.convs for v in (conv.base_kernel, conv.gamma, conv.beta)]
    values = [v[None].detach().clone() for v in values]
    values.append(model.start.detach().expand(1, 4, -1).clone())
    for _ in range(INNER_STEPS):
        values = [v.requires_grad_() for v in values]
        logits, _ = model.classify(values, None, batch.support_images[1:2])
        loss = F.cross_entropy(logits[0], batch.support_labels[1])
        steps = torch.autograd.grad(loss, values)
        values = [(v - INNER_RATE * g).detach() for v, g in zip(values, steps, strict=True)]
    torch.testing.assert_close(found.weights.logits_weight[1], values[-1][0, :, :-1], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found.weights.convs[0].kernel[1], values[0][0], rtol=1e-3, atol=1e-5)


def test_maml_learns_where_to_start_by_the_gradient_at_the_end(config, tmp_path):
    model, batch = batch_of(config, tmp_path, "maml")
    loss = F.cross_entropy(run(model, batch).logits.flatten(0, 1), batch.query_labels.flatten())
    gradients = torch.autograd.grad(loss, [*model.parameters()], allow_unused=True)
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_trained_and_validated(config, tmp_path, method):
    trainer = Trainer(config, RunFolder(tmp_path), build=METHODS[method])
    (tmp_path).mkdir(exist_ok=True)
    events = [event for event in trainer.events() if isinstance(event, Validated)]
    assert [event.step for event in events] == [3, 6]
