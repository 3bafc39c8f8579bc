import statistics
from dataclasses import replace

import pytest
import torch

from htgen.config.data import EpisodeConfig
from htgen.config.run import Config
from htgen.episodes.pool import ClassPool
from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
from htgen.episodes.shape import UNLABELED
from htgen.evaluation.accuracy import evaluate, half_width95, task_accuracies
from htgen.hypertransformer.hypertransformer import HyperTransformer


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
