"""The PLDA of the logits layer against dense Gaussian algebra, and where it comes from."""

import json
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
import pytest
import torch

from htgen.cli import main
from htgen.cnn.executor import head_features, linear
from htgen.compute.processes import Processes
from htgen.config.files import dump_config
from htgen.config.run import Config
from htgen.episodes.pool import load_images
from htgen.errors import ConfigError, DataError, ModelError, RunError
from htgen.evaluation.accuracy import evaluate
from htgen.evaluation.after_training import with_settings
from htgen.evaluation.plda import BETWEEN_FLOOR, Variation, measure_plda, plda_sampler
from htgen.generator.file import GeneratorFile
from htgen.generator.network import build
from htgen.generator.provenance import NOT_KNOWN, DataSource
from htgen.hypertransformer.class_means import nearest_mean
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.hypertransformer.layer_writers import Plda
from htgen.training.run_folder import RunFolder
from htgen.training.state import read_state, write_state
from htgen.training.trainer import Trainer

FEATURES, WAY = 5, 4


def covariance(rng: np.random.Generator, strength: float) -> np.ndarray:
    root = rng.normal(0, strength, (FEATURES, FEATURES))
    return root @ root.T + 0.05 * np.eye(FEATURES)


@pytest.fixture(scope="module")
def world():
    """Covariances within and between classes, a common centre, and what many tasks tell of them."""
    rng = np.random.default_rng(0)
    within, between, centre = covariance(rng, 0.8), covariance(rng, 1.0), rng.normal(0, 3, FEATURES)

    def task(counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Features and labels, in random order, of new classes with so many samples."""
        centres = rng.multivariate_normal(centre, between, len(counts))
        labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
        return centres[labels] + rng.multivariate_normal(np.zeros(FEATURES), within, len(labels)), labels

    variation = reduce(add, (Variation.of(*task([2, 3, 1, 6])) for _ in range(3000)))
    return within, between, centre, task, variation


def as_module(tensors: dict[str, np.ndarray]) -> Plda:
    plda = Plda(FEATURES).double()
    plda.load_state_dict({name: torch.from_numpy(array).double() for name, array in tensors.items()})
    return plda


def test_covariances_are_found_again(world):
    within, between, centre, _, variation = world
    found = variation.plda(1e-9)
    directions, prior_counts = found["directions"].astype(float), found["prior_counts"].astype(float)
    np.testing.assert_allclose(found["centre"], centre, atol=0.1)
    unit, back = within.trace() / FEATURES, np.linalg.inv(directions)
    np.testing.assert_allclose(back.T @ back * unit, within, atol=0.1)
    np.testing.assert_allclose(
        back.T @ np.diag(unit / prior_counts) @ back, between, atol=0.1 * between.max()
    )


@pytest.mark.parametrize("floor", [0.1, 1.0])
def test_classes_are_told_apart_as_by_dense_gaussians(world, floor):
    """The posterior of each class's centre, and a sample's density about it, with whole matrices."""
    *_, task, variation = world
    unit = variation.scatter.trace() / variation.freedom / FEATURES
    plda = as_module(variation.plda(floor))
    shot = 2
    features, labels = task([shot] * WAY)
    queries, _ = task([3] * WAY)
    member = torch.from_numpy((labels == np.arange(WAY)[:, None]).astype(float))[None]
    seen = plda.coordinates(torch.from_numpy(features)[None])
    means, counts = member @ seen / shot, member.sum(2)
    weight, bias = plda.back(
        *nearest_mean(means, counts, torch.tensor(0.5 / unit, dtype=float), plda.prior_counts)
    )
    logits = linear(torch.from_numpy(queries)[None], weight, bias)[0].numpy()

    classes = variation.classes
    middle = variation.means / classes
    w = variation.scatter / variation.freedom
    b = variation.squares / classes - np.outer(middle, middle) - w * variation.shares / classes
    w, b = w + floor * unit * np.eye(FEATURES), b + BETWEEN_FLOOR * floor * unit * np.eye(FEATURES)
    gain = b @ np.linalg.inv(b + w / shot)
    spread = w + b - gain @ b
    expected = np.stack(
        [
            -0.5 * np.einsum("nf,fg,ng->n", rest, np.linalg.inv(spread), rest)
            for rest in (
                queries - middle - gain @ (features[labels == c].mean(0) - middle) for c in range(WAY)
            )
        ],
        axis=1,
    )
    # Logits are scaled as those of a plain nearest mean are: by the average variance, and without the part
    # of the variance that is the mean's own when nothing is known of classes.
    expected *= (1 + floor) * (1 + 1 / shot)
    centred = [x - x.mean(axis=1, keepdims=True) for x in (logits, expected)]
    np.testing.assert_allclose(*centred, rtol=1e-4, atol=1e-4)


def test_unequal_noise_makes_it_better_than_the_nearest_mean(world):
    *_, task, variation = world
    plda = as_module(variation.plda(0.1))
    right = {True: 0, False: 0}
    for _ in range(400):
        features, labels = task([4] * WAY)
        order = np.argsort(labels, kind="stable").reshape(WAY, 4)
        support, queries = features[order[:, 0]], features[order[:, 1:]].reshape(-1, FEATURES)
        truth = np.repeat(np.arange(WAY), 3)
        for corrected in right:
            means = torch.from_numpy(support)[None]
            means = plda.coordinates(means) if corrected else means
            layer = nearest_mean(
                means, torch.ones(1, WAY), torch.tensor(0.5), plda.prior_counts if corrected else None
            )
            weight, bias = plda.back(*layer) if corrected else layer
            answers = linear(torch.from_numpy(queries)[None], weight.double(), bias.double())[0].argmax(1)
            right[corrected] += int((answers.numpy() == truth).sum())
    assert right[True] > right[False] + 100  # of 4800


def test_sums_of_tasks_are_those_of_all_samples(world):
    *_, task, _ = world
    (features, labels), (more, others) = task([2, 3, 1, 6]), task([1, 2, 2])
    together = Variation.of(np.concatenate([features, more]), np.concatenate([labels, others + 10]))
    found = Variation.of(features, labels) + Variation.of(more, others)
    for name, value in vars(together).items():
        np.testing.assert_allclose(vars(found)[name], value, rtol=1e-10, err_msg=name)


def test_features_that_never_vary_give_finite_numbers():
    same = Variation.of(np.ones((6, FEATURES)), np.array([0, 0, 1, 1, 2, 2]))
    assert all(np.isfinite(array).all() for array in same.plda(1.0).values())


# --------------------------------------------------------------------------------------- in a generator


def with_plda(config: Config, **changes) -> Config:
    weights = config.model.weights.model_copy(update={"plda": True, **changes})
    return config.model_copy(update={"model": config.model.model_copy(update={"weights": weights})})


def train(config: Config, path) -> tuple[Trainer, GeneratorFile]:
    with RunFolder(path) as run:
        run.start(dump_config(config), overwrite=False)
        trainer = Trainer(config, run)
        list(trainer.events())
    return trainer, GeneratorFile.read(path / "best.safetensors")


@torch.no_grad()
def test_until_it_is_measured_it_changes_nothing(config, store):
    torch.manual_seed(0)
    plain = HyperTransformer(config.model).eval()
    other = HyperTransformer(with_plda(config).model).eval()
    other.load_state_dict({**other.state_dict(), **plain.state_dict()})
    images = torch.randn(2, 6, 1, 16, 16)
    labels, slots = torch.arange(6).expand(2, -1) % 3, torch.arange(3).expand(2, -1)
    expected = plain(images, labels, images, slots)
    torch.testing.assert_close(other(images, labels, images, slots), expected, rtol=0, atol=1e-5)


def test_training_is_the_same_with_it_and_its_best_generator_is_measured(config, tmp_path, store):
    plain, without = train(config, tmp_path / "plain")
    trainer, file = train(with_plda(config), tmp_path / "plda")
    for name, parameter in plain.model.named_parameters():
        assert torch.equal(parameter, trainer.model.get_parameter(name)), name
    assert file.tensors.keys() - without.tensors.keys() == {
        f"logits.plda.{name}" for name in ("centre", "directions", "prior_counts")
    }
    assert (file.tensors["logits.plda.prior_counts"] > 0).all()
    # What its validation says is what it scores.
    found = evaluate(build(file), trainer.tasks.validation, config.train.val_tasks)
    assert found.accuracy == pytest.approx(file.provenance.validation.accuracy, abs=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("tasks", [8, 40, 72])  # of 16 in a batch: nothing for the last two, nothing for one
def test_processes_share_out_what_is_measured(tasks, config, store):
    def generator() -> HyperTransformer:
        torch.manual_seed(0)
        return HyperTransformer(with_plda(config).model).eval()

    sums: list[list[Variation]] = []

    class Told(Processes):
        """What the others measured before is told to this one."""

        def gather(self, value):
            sums.append(value)
            return list(sums)

    sampler = plda_sampler(config, store, load_images(store), torch.device("cpu"))
    alone, last = generator(), generator()
    measure_plda(alone, sampler, tasks)
    for rank in range(3):
        measure_plda(last if rank == 2 else generator(), sampler, tasks, Told(rank, 3))
    assert [len(part) for part in sums] == {8: [1, 0, 0], 40: [1, 1, 1], 72: [1, 1, 1]}[tasks]
    batch = sampler.batch(0, 4)
    images = batch.support_images, batch.support_labels, batch.query_images, batch.slots
    torch.testing.assert_close(last(*images), alone(*images), rtol=0, atol=1e-4)
    assert not torch.equal(alone(*images), generator()(*images))


def test_a_run_does_not_go_on_with_one_that_it_began_without(config, tmp_path):
    train(config, tmp_path / "run")
    state = tmp_path / "run" / "latest.safetensors"
    header, tensors = read_state(state)
    before = json.loads(header["config"])
    del before["model"]["weights"]["plda"], before["model"]["weights"]["plda_floor"]  # a state of before
    write_state(
        state, header | {"config": json.dumps(before)}, {k: torch.tensor(v) for k, v in tensors.items()}
    )
    with RunFolder(tmp_path / "run") as run:
        Trainer(config, run, resuming=True).resume()
        trainer = Trainer(with_plda(config), run, resuming=True)
        with pytest.raises(RunError, match=r"changed since the run began: model\.weights\.plda\n"):
            trainer.resume()


@torch.no_grad()
def test_only_labelled_images_that_are_seen_are_measured(config, store):
    episodes = config.episodes.model_copy(update={"unlabeled": 1, "shot": 2, "remove_labeled": 0.9})
    config = with_plda(config).model_copy(update={"episodes": episodes})
    torch.manual_seed(0)
    plain = HyperTransformer(config.model).eval()
    sampler = plda_sampler(config, store, load_images(store))
    parts, hidden = [], 0
    for index in range(6):
        batch = sampler.batch(index, 1)
        hidden += int(batch.ignore.sum())
        output = plain.run(
            batch.support_images, batch.support_labels, batch.query_images, batch.slots, batch.ignore
        )
        features = head_features(output.activations[-1], plain.spec)[0].numpy()
        labels = [*batch.support_labels[0].tolist(), *batch.query_labels[0].tolist()]
        unseen = [*batch.ignore[0].tolist(), *[False] * len(batch.query_labels[0])]
        kept = [
            i for i, (label, out) in enumerate(zip(labels, unseen, strict=True)) if label >= 0 and not out
        ]
        parts.append(Variation.of(features[kept], np.array(labels)[kept]))
    assert hidden > 6
    measure_plda(plain, sampler, 6)
    for name, expected in reduce(add, parts).plda(1.0).items():
        np.testing.assert_allclose(
            getattr(plain.logits.plda, name).abs().numpy(), np.abs(expected), rtol=1e-3, atol=1e-4
        )
    assert (plain.logits.plda.prior_counts > 0).all()


@torch.no_grad()
def test_views_of_an_image_are_no_further_samples(config):
    """Turning and scaling an even image changes nothing, so its views repeat it."""
    torch.manual_seed(0)
    plain = HyperTransformer(with_plda(config).model).eval()
    plain.logits.plda.prior_counts.exponential_()
    for part in (plain.logits, *plain.convs):
        part.scale.fill_(0)  # what transformers write does depend on how many images there are
    images = torch.linspace(-1, 1, 6)[None, :, None, None, None].expand(1, 6, 1, 16, 16)
    labels, slots = torch.arange(6)[None], torch.arange(6)[None]
    several = HyperTransformer(plain.config.model_copy(update={"views": 5})).eval()
    several.load_state_dict(plain.state_dict())
    expected = plain(images, labels, images, slots)
    assert expected.std() > 0.01
    torch.testing.assert_close(several(images, labels, images, slots), expected, rtol=1e-3, atol=1e-4)


def test_a_trained_generator_can_be_given_one(config, tmp_path, store):
    _, without = train(config, tmp_path / "plain")
    # The last step's weights may not be the best ones of both runs: one of its own is compared.
    _, expected = train(with_plda(config, plda_floor=2.0), tmp_path / "plda")
    bare = replace(
        expected,
        tensors={k: v for k, v in expected.tensors.items() if ".plda." not in k},
        model=without.model,
        provenance=expected.provenance.with_values(config=without.provenance.config),
    )
    overrides = ["model.weights.plda=true", "model.weights.plda_floor=2.0"]
    found = with_settings(bare, overrides, store, load_images(store))
    assert found.model == expected.model
    assert found.provenance.config == expected.provenance.config
    for name, array in expected.tensors.items():
        np.testing.assert_allclose(found.tensors[name], array, rtol=1e-4, atol=1e-4, err_msg=name)
    back = with_settings(found, ["model.weights.plda=false"], store, load_images(store))
    assert back.tensors.keys() == bare.tensors.keys()


def test_the_floor_makes_it_trust_less_in_what_was_measured(config, tmp_path, store):
    _, file = train(with_plda(config), tmp_path / "run")
    ranges = []
    for floor in (0.1, 100.0):
        found = with_settings(file, [f"model.weights.plda_floor={floor}"], store, load_images(store))
        prior_counts = found.tensors["logits.plda.prior_counts"]
        ranges.append(prior_counts.max() / prior_counts.min())
    assert ranges[0] > 2 * ranges[1] > 2


def test_only_settings_of_use_can_be_changed(config, tmp_path, store):
    _, file = train(config, tmp_path / "run")
    images = load_images(store)
    with pytest.raises(ConfigError, match=r"optimizer\.lr cannot be changed"):
        with_settings(file, ["optimizer.lr=1"], store, images)
    with pytest.raises(ConfigError, match="plda_floor"):
        with_settings(file, ["model.weights.plda_floor=0"], store, images)
    with pytest.raises(ModelError, match="does not say how it was trained"):
        with_settings(replace(file, provenance=NOT_KNOWN), ["model.views=2"], store, images)
    found = with_settings(file, ["model.views=2"], store, images)
    assert found.model.views == 2
    assert found.provenance.validation is None  # what was measured with other settings
    assert file.provenance.validation is not None


def test_other_data_are_not_measured(config, tmp_path, store):
    _, file = train(config, tmp_path / "run")
    file = replace(file, provenance=file.provenance.with_values(data=DataSource(name="toy", sha256="0" * 64)))
    with pytest.raises(DataError, match="holds other data"):
        with_settings(file, ["model.weights.plda=true"], store, load_images(store))


def test_weights_that_are_no_numbers_are_told_before_they_are_measured(config, tmp_path):
    with RunFolder(tmp_path / "run") as run:
        trainer = Trainer(with_plda(config), run)
        run.start(dump_config(trainer.config), overwrite=False)
        with torch.no_grad():
            trainer.average.tensors["logits.log_sharpness"].fill_(float("nan"))
        with pytest.raises(RunError, match="no longer numbers"):
            trainer.validate()


def test_calibrate_writes_the_changed_generator(config, tmp_path, capsys):
    train(config, tmp_path / "run")
    command = ["calibrate", str(tmp_path / "run"), "--split", "toy:0-15", "--tasks", "2"]
    command += ["--way", "2", "--shot", "1"]
    out = tmp_path / "out.safetensors"
    assert main([*command, "--set", "model.weights.plda=true", "--half", "-o", str(out)]) == 0
    file = GeneratorFile.read(out)
    assert file.model.weights.plda
    assert file.provenance.config.to_json()["model"]["weights"]["plda"] is True
    assert file.provenance.calibration.tasks == 2
    assert file.tensors["logits.plda.directions"].dtype == np.float16
    out.unlink()
    assert main([*command, "--set", "train.steps=7", "-o", str(out)]) != 0
    assert "train.steps cannot be changed" in capsys.readouterr().err
    assert not out.exists()
