"""Evaluation from Python: the same as by hand, with nothing done twice."""

from dataclasses import replace

import pytest
from helpers.generators import make_generator

import htgen
from htgen.config.data import EpisodeConfig
from htgen.datasets.store import Store
from htgen.episodes.pool import ClassPool
from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
from htgen.errors import ModelError, SettingError
from htgen.evaluation import measurement
from htgen.evaluation.accuracy import task_accuracies
from htgen.evaluation.augmented_as import AugmentedAs
from htgen.generator.network import build
from htgen.generator.provenance import Provenance

PROTOCOL = htgen.EvaluationProtocol(way=3, shot=1, query=2, tasks=20)
SPLITS = ["toy:test", "toy:train"]


@pytest.fixture(scope="module")
def generator():
    return make_generator(image_size=16)


def test_each_split_is_measured_as_by_hand(generator, store, store_path):
    told = []
    results = htgen.evaluate(
        generator, PROTOCOL, data=store_path, splits=SPLITS, report=lambda *of: told.append(of)
    )
    for result, split in zip(results, SPLITS, strict=True):
        stream = EpisodeStream(0, "evaluation", period=16)
        shape = EpisodeConfig(way=3, shot=1, query=2)
        by_hand = EpisodeSampler(ClassPool.of_split(store, split), shape, stream, 5)
        expected = task_accuracies(build(generator.file), by_hand, 20)
        assert result.accuracy == expected.mean().item()
        assert (result.split, result.generator, result.sha256) == (split, "toy", "0" * 64)
        assert not result.evaluation.transductive
    assert told[-1] == ("evaluating toy on toy:train", 20, 20)


def test_nothing_is_read_or_built_twice(generator, store_path, monkeypatch):
    counts = dict.fromkeys(("open", "verify", "images", "build"), 0)

    def counted(name, function):
        def call(*arguments, **named):
            counts[name] += 1
            return function(*arguments, **named)

        return call

    store_class = Store
    monkeypatch.setattr(store_class, "open", counted("open", store_class.open))
    monkeypatch.setattr(store_class, "verify", counted("verify", store_class.verify))
    monkeypatch.setattr(measurement, "load_images", counted("images", measurement.load_images))
    monkeypatch.setattr(measurement, "build", counted("build", measurement.build))
    other = make_generator(image_size=16, max_way=4)
    results = htgen.evaluate(generator, PROTOCOL, data=store_path, splits=SPLITS, against=other)
    assert len(results) == 2
    assert counts == {"open": 1, "verify": 1, "images": 1, "build": 2}


def test_against_itself_it_is_not_ahead(generator, store_path):
    (result,) = htgen.evaluate(generator, PROTOCOL, data=store_path, splits=["all"], against=generator)
    assert (result.against.ahead, result.against.interval95) == (0.0, 0.0)


def test_warnings_are_sentences_of_the_result(generator, store, store_path):
    provenance = Provenance.from_json(
        {
            "data": {"name": "toy", "sha256": store.checksum},
            "config": {"data": {"train": "toy:train", "val": "toy:val"}},
        }
    )
    file = replace(
        generator.file,
        provenance=provenance,
        preprocessing=replace(generator.file.preprocessing, fit="crop"),
    )
    trained = htgen.Generator(file, "1")
    protocol = replace(PROTOCOL, unlabeled=1)
    (result,) = htgen.evaluate(trained, protocol, data=store_path, splits=["toy:train"])
    assert [warning.split(":")[0] for warning in result.warnings] == ["warning", "note", "warning"]
    assert "10 classes of toy:train" in result.warnings[0]
    (result,) = htgen.evaluate(trained, PROTOCOL, data=store_path)
    assert result.split == "toy:test"
    assert len(result.warnings) == 1


def test_what_cannot_be_measured_is_refused_before_anything_is(generator, store_path):
    def report(*_):
        raise AssertionError

    def measure(protocol=PROTOCOL, **named):
        htgen.evaluate(generator, protocol, data=store_path, report=report, **named)

    with pytest.raises(ModelError, match="knows at most 2 classes"):
        measure(splits=["all"], against=make_generator(image_size=16, max_way=2))
    with pytest.raises(SettingError) as caught:
        measure(replace(PROTOCOL, augment=AugmentedAs.training), splits=["all"])
    assert caught.value.setting == "augment"
    with pytest.raises(SettingError) as caught:
        measure(splits="toy:test")
    assert caught.value.setting == "splits"
    with pytest.raises(SettingError) as caught:
        htgen.evaluate(generator, PROTOCOL)
    assert caught.value.setting == "data"


def test_damaged_weights_are_told_before_splits_are_looked_at(generator, store_path, tmp_path):
    path, tensors = tmp_path / "damaged.safetensors", dict(generator.file.tensors)
    tensors.popitem()
    path.write_bytes(replace(generator.file, tensors=tensors).to_bytes())
    with pytest.raises(ModelError, match="is missing"):
        htgen.evaluate(path, PROTOCOL, data=store_path, splits=["nowhere:test"])
    with pytest.raises(ModelError, match="is missing"):
        htgen.evaluate(generator, PROTOCOL, data=store_path, splits=["nowhere:test"], against=path)
