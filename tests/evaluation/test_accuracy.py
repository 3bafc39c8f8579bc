import statistics
from dataclasses import replace

import pytest
import torch
from helpers.toy import toy_values

from htgen.config.data import EpisodeConfig
from htgen.config.model import ModelConfig
from htgen.config.run import Config
from htgen.episodes.pool import ClassPool
from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
from htgen.episodes.shape import UNLABELED
from htgen.evaluation.accuracy import evaluate, half_width95, task_accuracies, tasks_at_once
from htgen.evaluation.protocol import EvaluationProtocol
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer


@pytest.fixture
def model(config: Config) -> HyperTransformer:
    torch.manual_seed(0)
    weights = config.model.weights.model_copy(update={"refine_prototypes": 2})
    return HyperTransformer(config.model.model_copy(update={"weights": weights})).eval()


@pytest.fixture
def sampler(store) -> EpisodeSampler:
    shape = EpisodeConfig(way=3, shot=1, query=4, unlabeled=1)
    return EpisodeSampler(ClassPool.of_split(store, "toy:val"), shape, EpisodeStream(seed=0), 6)


@torch.no_grad()
def test_a_transductive_evaluation_shows_the_queries_without_labels(model, sampler):
    correct = []
    for index in range(20):
        batch = sampler.batch(index, 1)
        images = torch.cat([batch.support_images, batch.query_images], dim=1)
        labels = torch.cat([batch.support_labels, torch.full_like(batch.query_labels, UNLABELED)], dim=1)
        cnn = model.generate(images, labels, batch.slots)
        correct.append(
            (model.execute(cnn, batch.query_images).argmax(2) == batch.query_labels).float().mean()
        )
    shown = evaluate(model, sampler, 20, show_queries=True)
    assert shown.accuracy == pytest.approx(torch.stack(correct).mean().item())
    assert shown.transductive
    hidden = evaluate(model, sampler, 20)
    assert not hidden.transductive
    assert hidden.accuracy != shown.accuracy


@torch.no_grad()
def test_the_published_protocol_is_the_mean_of_each_tasks_batches(store):
    """A support set for each task, and 16 batches of fresh queries, each normed by itself."""
    protocol = EvaluationProtocol.reference(way=5)
    assert (protocol.tasks, protocol.queries.rounds, protocol.way * protocol.query) == (1024, 16, 100)
    torch.manual_seed(0)
    config = ModelConfig.model_validate(
        {"max_way": 5, "image_size": 16, "cnn": {"channels": 2, "norm": "batch"}, "local": {"width": 2}}
    )
    generator = HyperTransformer(config).eval()
    shape = protocol.shape.model_copy(update={"way": 3, "query": 4, "disjoint": False})
    tasks = EpisodeSampler(ClassPool.of_split(store, "toy:val"), shape, EpisodeStream(seed=0), 5)
    found = task_accuracies(generator, tasks, 6, protocol.queries)
    for index in range(6):
        first = tasks.batch(index, 1)
        cnn = generator.generate(first.support_images, first.support_labels, first.slots)
        batches, rows = [], set()
        for number in range(16):
            batch = tasks.batch(index, 1, number)
            assert torch.equal(batch.support_rows, first.support_rows)
            answers = generator.execute(cnn, batch.query_images)[0].argmax(1)
            batches.append(sum(a == b for a, b in zip(answers, batch.query_labels[0], strict=True)) / 12)
            rows.add(tuple(batch.query_rows[0].tolist()))
        assert len(rows) > 8  # drawn anew
        assert found[index].item() == pytest.approx(statistics.mean(float(b) for b in batches))


@torch.no_grad()
def test_the_mean_over_tasks_and_its_interval(model, sampler):
    """Against each task by itself, and the textbook's interval."""
    alone = []
    for index in range(20):
        batch = sampler.batch(index, 1)
        cnn = model.generate(batch.support_images, batch.support_labels, batch.slots)
        hits = model.execute(cnn, batch.query_images).argmax(2) == batch.query_labels
        alone.append(hits.float().mean().item())
    found = task_accuracies(model, sampler, 20)
    assert found.tolist() == pytest.approx(alone)
    summary = evaluate(model, sampler, 20)
    assert summary.accuracy == pytest.approx(statistics.mean(alone))
    assert (
        summary.interval95 == pytest.approx(1.96 * statistics.stdev(alone) / 20**0.5) == half_width95(found)
    )
    assert summary.tasks == 20


def test_labels_of_shown_queries_do_not_reach_the_generator(sampler):
    batch = sampler.batch(0, 2)
    ignore = torch.zeros_like(batch.support_labels, dtype=torch.bool)
    lies = replace(batch, query_labels=(batch.query_labels + 1) % 3, ignore=ignore).showing_queries()
    truth = replace(batch, ignore=ignore).showing_queries()
    assert torch.equal(lies.support_images, truth.support_images)
    assert torch.equal(lies.support_labels, truth.support_labels)
    assert torch.equal(lies.slots, truth.slots)
    assert truth.ignore.shape == truth.support_labels.shape
    assert batch.showing_queries().ignore is None


def without_dropout(store_path, path) -> Trainer:
    """A trainer whose model and sampler are evaluated."""
    values = toy_values(store_path)
    values["model"]["shared"]["dropout"] = 0.0
    return Trainer(Config.model_validate(values), RunFolder(path))


def test_large_tasks_are_evaluated_few_at_a_time_with_the_same_result(store_path, tmp_path, monkeypatch):
    made = without_dropout(store_path, tmp_path)
    sampler = made.tasks.validation
    sampler.shape = sampler.shape.model_copy(update={"shot": (1, 2)})  # drawn for 16 tasks at a time
    size = 4 * sampler.most_images * made.model.spec.largest_activation
    found = []
    for limit, expected in ((0, 1), (size, 1), (3 * size, 2), (9 * size, 8), (100 * size, 16)):
        monkeypatch.setattr("htgen.evaluation.accuracy._ACTIVATION_BYTES", limit)
        assert tasks_at_once(made.model, sampler) == expected
        found.append(evaluate(made.model, sampler, tasks=40).accuracy)
    assert found == [pytest.approx(found[0], abs=0.01)] * 5


def test_threads_evaluate_as_one_does(store_path, tmp_path, two_threads):
    made = without_dropout(store_path, tmp_path / "run")
    found = evaluate(made.model, made.tasks.validation, tasks=50)
    torch.set_num_threads(1)
    expected = evaluate(made.model, made.tasks.validation, tasks=50)
    assert found.accuracy == pytest.approx(expected.accuracy, abs=0.01)
    assert found.interval95 == pytest.approx(expected.interval95, abs=0.01)
    assert all(p.grad is None for p in made.model.parameters())


def test_dropout_in_evaluation_is_repeatable_and_leaves_other_random_numbers_alone(
    store_path, tmp_path, two_threads
):
    values = toy_values(store_path)
    values["model"]["dropout_as"] = "reference"
    values["model"]["cnn"] |= {"dropout": 0.5}
    made = Trainer(Config.model_validate(values), RunFolder(tmp_path))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = task_accuracies(made.model, made.tasks.validation, tasks=40)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    torch.testing.assert_close(task_accuracies(made.model, made.tasks.validation, tasks=40), first)
    made.model.cnn_dropout.p = 0.0
    assert not torch.equal(task_accuracies(made.model, made.tasks.validation, tasks=40), first)
