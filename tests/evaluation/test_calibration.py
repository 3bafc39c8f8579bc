"""Temperatures that are known are found; figures that can be worked out by hand are right."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.generators import LABELS, make_generator, pictures

import htgen
from htgen.cnn.executor_numpy import softmax
from htgen.config.data import EpisodeConfig
from htgen.episodes.pool import ClassPool
from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
from htgen.errors import SettingError
from htgen.evaluation.calibration import (
    Outputs,
    answers,
    collect,
    fit,
    fit_temperature,
    rejections,
    reliability,
)
from htgen.generator.generator import Generator
from htgen.generator.provenance import Provenance
from htgen.generator.temperature import Temperature


def drawn_from(temperature: float, count: int = 20_000, way: int = 5) -> Outputs:
    """Logits whose labels were drawn with the probabilities that the logits give at a temperature."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (count, way)).astype(np.float32)
    noise = rng.gumbel(size=logits.shape)
    return Outputs(way, 1, logits, (logits / temperature + noise).argmax(axis=1), logits[:0])


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_a_known_temperature_is_found(temperature):
    outputs = [drawn_from(temperature)]
    assert fit_temperature(outputs) == pytest.approx(temperature, rel=0.05)
    logits, labels = outputs[0].logits, outputs[0].labels
    errors = []
    for t in (temperature, 2 * temperature):
        probabilities = softmax(logits / np.float32(t))
        correct = probabilities.argmax(axis=1) == labels
        errors.append(reliability(probabilities.max(axis=1).astype(float), correct).error)
    assert errors[0] < 0.02 < errors[1]


def test_reliability_by_hand():
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.5, 0.5, 1.0])
    correct = np.array([True, True, False, False, True, False, True])
    found = reliability(confidence, correct)
    assert found.bins == (
        (pytest.approx(0.5), 0.5, pytest.approx(2 / 7)),
        (pytest.approx(0.9), 0.5, pytest.approx(4 / 7)),
        (1.0, 1.0, pytest.approx(1 / 7)),
    )
    assert found.error == pytest.approx(4 / 7 * 0.4)


def test_the_cost_of_rejecting_by_hand():
    def logits(*probabilities: float) -> np.ndarray:
        return np.log(np.array([[p, 1 - p] for p in probabilities], np.float32))

    outputs = [Outputs(2, 1, logits(0.99, 0.85, 0.6, 0.55), np.array([0, 1, 0, 0]), logits(0.92, 0.6))]
    costs = {cost.threshold: cost for cost in rejections(outputs, Temperature())}
    assert (costs[0.5].accuracy, costs[0.5].rejected, costs[0.5].foreign_caught) == (0.75, 0, 0)
    assert (costs[0.8].accuracy, costs[0.8].rejected, costs[0.8].foreign_caught) == (0.5, 0.5, 0.5)
    assert (costs[0.95].accuracy, costs[0.95].rejected, costs[0.95].foreign_caught) == (1, 0.75, 1)


@torch.no_grad()
def test_foreign_images_are_of_classes_without_support(store):
    """Each image is answered by a stand-in for a generator, which knows support images by their pixels."""
    pool = ClassPool.of_split(store, "all")
    seen: list[tuple[set[int], list[int]]] = []
    rows = {store.images[row].tobytes(): row for row in range(len(store.images))}

    def class_of(image: torch.Tensor) -> int:
        pixels = ((image + 1) * 128).round().to(torch.uint8).movedim(0, -1).numpy().tobytes()
        return int(np.searchsorted(store.offsets, rows[pixels], "right") - 1)

    def model(support, labels, queries, slots):
        logits = torch.zeros(*queries.shape[:2], slots.shape[1])
        for episode in range(len(support)):
            slot_of = {class_of(i): int(k) for i, k in zip(support[episode], labels[episode], strict=True)}
            found = [class_of(query) for query in queries[episode]]
            seen.append((set(slot_of), found))
            for position, kind in enumerate(found):
                if kind in slot_of:
                    logits[episode, position, slot_of[kind]] = 9
        return logits

    model.spec = SimpleNamespace(
        largest_activation=10_000_000
    )  # so large that two tasks are classified at once

    def make_sampler(shape):
        return EpisodeSampler(pool, shape, EpisodeStream(0, "x"), slot_count=shape.way)

    outputs = collect(model, make_sampler, EpisodeConfig(way=4, shot=2, query=3), foreign=2, tasks=5)
    assert all(len(known) == 4 for known, _ in seen)
    assert (outputs.logits.argmax(axis=1) == outputs.labels).all()
    assert outputs.logits.shape == (5 * 4 * 3, 4)
    assert outputs.logits.max(axis=1).min() == 9
    assert outputs.foreign.shape == (5 * 2 * 3, 4)
    assert not outputs.foreign.any()


def test_the_temperature_scales_the_logits_of_every_cnn():
    plain = make_generator()
    file = plain.file
    calibrated = Generator(
        replace(
            file,
            provenance=Provenance.from_json({"calibration": {"temperatures": [[1, 9.0], [2, 2.5]]}}),
        ),
        plain.sha256,
    )
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 1, 20, 20)).astype(np.float32))
    before, after = (g.generate(pictures(), LABELS) for g in (plain, calibrated))
    torch.testing.assert_close(after(images) * 2.5, before(images))
    np.testing.assert_allclose(
        after.bundle.logits(images.numpy()) * 2.5, before.bundle.logits(images.numpy()), rtol=1e-5, atol=1e-5
    )


def test_a_few_answers_that_are_all_right_do_not_make_a_generator_sure_of_everything():
    labels = np.arange(20) % 2
    logits = np.stack([1 - labels, labels], axis=1).astype(np.float32)
    temperature = fit_temperature([Outputs(2, 1, logits, labels, logits[:0])])
    confidence = softmax(logits / np.float32(temperature)).max(axis=1)
    assert confidence.mean() == pytest.approx(1 - 0.5 / 20, abs=1e-3)


@pytest.mark.parametrize(
    ("shot", "expected"), [(0.5, 1.4), (1, 1.4), (2, 1.3), (4, 1.2), (40**0.5, 1.0), (10, 0.8), (99, 0.8)]
)
def test_temperatures_between_those_measured_lie_between(shot, expected):
    assert Temperature(((1, 1.4), (4, 1.2), (10, 0.8))).at(shot) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({}, 1.0),
        ({"calibration": {"temperature": 1.5}}, 1.5),
        ({"calibration": {"temperatures": [[2, 3]]}}, 3),
    ],
)
def test_a_temperature_is_for_every_shot_where_there_is_but_one(record, expected):
    assert [Provenance.from_json(record).temperature.at(shot) for shot in (1, 2, 7)] == [expected] * 3


def test_each_shot_gets_its_own_temperature():
    outputs = [replace(drawn_from(t), shot=shot) for shot, t in ((1, 2.0), (5, 0.5))]
    fitted = fit(outputs)
    assert fitted.at(1) == pytest.approx(2.0, rel=0.05)
    assert fitted.at(5) == pytest.approx(0.5, rel=0.05)
    # Together they have no single temperature that is right for either.
    assert reliability(*answers(outputs, fitted)).error < 0.02
    single = Temperature(((1, fit_temperature(outputs)),))
    assert all(reliability(*answers([output], single)).error > 0.05 for output in outputs)


@pytest.mark.parametrize(
    ("values", "setting"),
    [
        ({"ways": (5, 1)}, "way"),
        ({"shots": (0,)}, "shot"),
        ({"tasks": 1}, "tasks"),
        ({"ways": (2.5,)}, "way"),
    ],
)
def test_tasks_that_cannot_be_are_named(values, setting):
    with pytest.raises(SettingError) as caught:
        htgen.CalibrationTasks(**values)
    assert caught.value.setting == setting
