"""The learners that generators are compared with do what their papers say."""

import re

import pytest
import torch
import torch.nn.functional as F
from peers import INNER_RATE, INNER_STEPS, METHODS, Maml, PrototypicalNetwork
from peers import main as peers_main

from htgen.config.files import change_config, dump_config
from htgen.training.events import Validated
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer


def batch_of(config, tmp_path, method):
    trainer = Trainer(config, RunFolder(tmp_path / "run"), build=METHODS[method])
    return trainer.model.eval(), trainer.tasks.training.batch(0, 3)


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
    """By PLDA, against the definition, in coordinates that are chosen here: two images of each class (one in
    all is hidden), and two more views of each image, which are no further samples."""
    settings = ["model.weights.plda=true", "model.views=6", "episodes.shot=2"]
    model, batch = batch_of(change_config(config, settings, "test"), tmp_path, "prototypical")
    ignore = torch.zeros_like(batch.support_labels, dtype=torch.bool)
    ignore[:, 0] = True
    with torch.no_grad():
        plain = run(model, batch, ignore=ignore).logits
        plda, count = model.logits.plda, model.spec.feature_count
        hand = torch.Generator().manual_seed(0)
        plda.centre.copy_(torch.randn(count, generator=hand))
        plda.directions.copy_(torch.randn(count, count, generator=hand) / count**0.5)
        plda.prior_counts.copy_(3 * torch.rand(count, generator=hand))
        found = run(model, batch, ignore=ignore)
        support, queries = (x.movedim(1, 0).flatten(2) for x in found.activations[-1].split([24, 8]))
        shots = [[1.0 if c == batch.support_labels[e, 0] else 2.0 for c in range(4)] for e in range(3)]
        weight = (
            sum(map(sum, shots)) / 12
        )  # a linear layer has one for all classes: see htgen.hypertransformer.class_means.coordinate_weights
        assert weight == 1.75
        for e in range(3):
            seen, asked = ((x[e] - plda.centre) @ plda.directions for x in (support, queries))
            of_class = [(found.view.labels[e] == c) & ~found.view.ignore[e] for c in range(4)]
            assert [int(member.sum()) for member in of_class] == [3 * n for n in shots[e]]
            samples = torch.tensor(shots[e])[:, None]
            means = torch.stack([seen[member].mean(0) for member in of_class])
            means = means * samples / (samples + plda.prior_counts)
            precision = (1 + 1 / weight) / (1 + 1 / (weight + plda.prior_counts))
            distances = ((asked[:, None] - means) ** 2 * precision).sum(dim=2)
            expected = torch.softmax(-model.logits.log_sharpness.exp() * distances, dim=1)
            torch.testing.assert_close(found.logits[e].softmax(dim=1), expected, rtol=1e-3, atol=1e-5)
        assert not torch.allclose(found.logits.softmax(dim=2), plain.softmax(dim=2), atol=1e-2)
        model.train()
        trained = run(model, batch).logits
        model.logits.plda = None
        torch.testing.assert_close(trained, run(model, batch).logits)


def test_a_trained_network_is_measured_by_its_own_config(config, tmp_path, capsys):
    """What is trained and measured in one go is what is measured later; not by another method's rules."""
    run_path, preset = tmp_path / "run", tmp_path / "toy.yaml"
    preset.write_text(dump_config(config))
    measuring = ["--way", "3", "--shot", "1", "--tasks", "16", "--query", "2", "--run", str(run_path)]
    peers_main(["prototypical", "--config", str(preset), *measuring])
    measured = capsys.readouterr().out.splitlines()[-1]
    peers_main(["prototypical", "--trained", *measuring])
    assert capsys.readouterr().out.splitlines() == [measured]
    peers_main(["prototypical", "--trained", "--plda", *measuring])
    (corrected,) = capsys.readouterr().out.splitlines()
    assert corrected.startswith("toy:val 3-way 1-shot: ")
    assert corrected != measured
    for method in ("maml", "htgen"):
        with pytest.raises(SystemExit, match="of another method"):
            peers_main([method, "--trained", *measuring])
    with pytest.raises(SystemExit):
        peers_main(["maml", "--plda", *measuring])
    assert "--plda is for prototypical networks" in capsys.readouterr().err


def test_a_peer_against_a_generator_on_the_same_tasks(config, tmp_path, capsys):
    """Both as measured alone, and their difference: of accuracies that vary together it is known better."""
    peer, generator, preset = tmp_path / "peer", tmp_path / "generator", tmp_path / "toy.yaml"
    preset.write_text(dump_config(config))
    measuring = ["--way", "3", "--shot", "1", "--tasks", "32", "--query", "2"]
    peers_main(["htgen", "--config", str(preset), "--run", str(generator), *measuring])
    alone = re.search(r"1-shot: (\S+) ± (\S+) %", capsys.readouterr().out)
    peers_main(["prototypical", "--config", str(preset), "--run", str(peer), *measuring])
    capsys.readouterr()
    peers_main(["prototypical", "--trained", "--run", str(peer), "--against", str(generator), *measuring])
    found = re.search(
        r"1-shot: (\S+) ± (\S+) %; \S+ is ahead by (\S+) ± (\S+)$", capsys.readouterr().out.strip()
    )
    ours, theirs, ahead, interval = (float(x) for x in (alone[1], found[1], found[3], found[4]))
    assert ahead == pytest.approx(ours - theirs, abs=0.015)
    assert 0 < interval < float(alone[2]) + float(found[2])
    with pytest.raises(SystemExit):
        peers_main(["prototypical", "--trained", "--run", str(peer), "--against", "glyph-8", *measuring])
    assert "another preparation" in capsys.readouterr().err


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
        logits, _, _ = model.classify(values, None, batch.support_images[1:2])
        loss = F.cross_entropy(logits[0], batch.support_labels[1])
        steps = torch.autograd.grad(loss, values)
        values = [(v - INNER_RATE * g).detach() for v, g in zip(values, steps, strict=True)]
    torch.testing.assert_close(found.weights.logits_weight[1], values[-1][0, :, :-1], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found.weights.blocks[0].kernel[1], values[0][0], rtol=1e-3, atol=1e-5)


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
