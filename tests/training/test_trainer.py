import itertools
import json
import math
import shutil

import pytest
import torch
from conftest import toy_values
from safetensors.torch import load_file

from htgen.config.files import dump_config
from htgen.config.run import Config, OptimizerConfig
from htgen.datasets.store import Store, StoreWriter
from htgen.errors import DataError, HtgenError, ModelError, RunError
from htgen.generator.generator import load_generator
from htgen.training.events import Progress, Saved, Validated
from htgen.training.optimizer import learning_rate, parameter_groups
from htgen.training.run_folder import RunFolder, find_run_config
from htgen.training.state import read_state, write_state
from htgen.training.trainer import Trainer


def train(config: Config, path, resume: bool = False, stop_after: int | None = None) -> list:
    with RunFolder(path) as run:
        if not resume:
            run.start(dump_config(config), overwrite=False)
        trainer = Trainer(config, run)
        if resume:
            trainer.resume()
        return list(trainer.events(stop=lambda: stop_after is not None and trainer.step >= stop_after))


def metrics(path) -> list[dict]:
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("episodes_per_second", None)
    return lines


@pytest.mark.parametrize("stop_after", [3, 4, 5])
@pytest.mark.parametrize(("optimizer", "dropout"), [("adamw", 0.1), ("sgd", 0.1), ("adamw", 0.0)])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    store_path, tmp_path, stop_after, optimizer, dropout
):
    values = toy_values(store_path)
    values["optimizer"]["name"] = optimizer
    values["model"]["shared"]["dropout"] = dropout  # without it, episodes are shared out among threads
    config = Config.model_validate(values)
    train(config, tmp_path / "whole")
    train(config, tmp_path / "parts", stop_after=stop_after)
    train(find_run_config(RunFolder(tmp_path / "parts")), tmp_path / "parts", resume=True)
    whole, parts = (load_file(tmp_path / name / "latest.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "parts")
    best = [(tmp_path / name / "best.safetensors").read_bytes() for name in ("whole", "parts")]
    assert best[0] == best[1]


def test_a_run_reports_and_leaves_what_it_should(config, tmp_path):
    events = train(config, tmp_path / "run")
    assert [e.step for e in events if isinstance(e, Progress)] == [2, 4, 6]
    validated = [e for e in events if isinstance(e, Validated)]
    assert [e.step for e in validated] == [3, 6]
    assert [e.step for e in events if isinstance(e, Saved)] == [3, 6]
    assert {p.name for p in (tmp_path / "run").iterdir()} == {
        ".lock", "config.yaml", "metrics.jsonl", "latest.safetensors", "best.safetensors",
    }  # fmt: skip
    assert find_run_config(RunFolder(tmp_path / "run")) == config
    generator = load_generator(tmp_path / "run")
    best = max(validated, key=lambda e: e.result.accuracy)
    provenance = generator.file.provenance
    assert provenance.validation.accuracy == best.result.accuracy
    assert provenance.data.sha256 == Store.open(config.data.store).checksum
    assert provenance.config.to_json()["seed"] == 0


def test_training_learns_the_toy_task(store_path, tmp_path):
    values = toy_values(store_path)
    values["train"] |= {"steps": 60, "episodes_per_step": 4, "ema": 0.0, "log_every": 20, "val_every": 60}
    events = train(Config.model_validate(values), tmp_path / "run")
    losses = [e.loss for e in events if isinstance(e, Progress)]
    assert losses[-1] < 0.7 * losses[0]


def test_averaged_weights_are_validated_but_not_trained(config, tmp_path):
    with RunFolder(tmp_path / "run") as run:
        run.start(dump_config(config), overwrite=False)
        trainer = Trainer(config, run)
        list(trainer.events())
        best = load_generator(tmp_path / "run").file.tensors
        name = "logits.slices.placeholders"
        current, average = trainer.model.state_dict()[name], trainer.average[name]
        assert not torch.equal(current, average)
        assert trainer.best is not None
        assert not torch.equal(torch.from_numpy(best[name]), current)


def test_another_seed_gives_another_run_and_the_same_seed_the_same(config, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(config.model_copy(update={"seed": seed}), tmp_path / name)
    a, b, c = (load_file(tmp_path / n / "latest.safetensors")["average.logits.slices.labels"] for n in "abc")
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_learning_rate_schedules():
    cosine = OptimizerConfig(lr=1.0, warmup=10, final=0.1)
    assert [learning_rate(cosine, s, 110) for s in (0, 4, 9)] == [0.1, 0.5, 1.0]
    assert learning_rate(cosine, 10, 110) == 1.0
    assert learning_rate(cosine, 60, 110) == pytest.approx(0.55)
    assert learning_rate(cosine, 110, 110) == pytest.approx(0.1)
    decay = OptimizerConfig(lr=0.02, schedule="exponential", warmup=0, decay_rate=0.95, decay_steps=100)
    assert learning_rate(decay, 250, 1000) == pytest.approx(0.02 * 0.95**2.5)
    assert learning_rate(OptimizerConfig(lr=0.3, schedule="constant", warmup=0), 77, 100) == 0.3
    assert not any(math.isnan(learning_rate(cosine, s, 5)) for s in range(5))
    assert learning_rate(cosine, 4, 110, time_spent=0.5) == 0.5  # the warm-up counts steps
    assert learning_rate(cosine, 60, 110, time_spent=0.25) == pytest.approx(0.1 + 0.9 * (2 + 2**0.5) / 4)
    assert learning_rate(cosine, 60, 110, time_spent=1.0) == pytest.approx(0.1)


def by_the_clock(store_path, monkeypatch) -> Config:
    """A run of six seconds, on a clock that goes on by one at every look: once a step."""
    seconds = itertools.count()
    monkeypatch.setattr("htgen.training.trainer.time.monotonic", lambda: float(next(seconds)))
    values = toy_values(store_path)
    values["train"] |= {"steps": 2, "minutes": 0.1, "log_every": 1, "val_every": 1000, "save_every": 1000}
    values["optimizer"] |= {"lr": 1.0, "warmup": 0, "final": 0.0}
    return Config.model_validate(values)


def test_minutes_end_a_training_and_its_schedule(store_path, tmp_path, monkeypatch):
    events = train(by_the_clock(store_path, monkeypatch), tmp_path / "run")
    lrs = [event.lr for event in events if isinstance(event, Progress)]
    assert lrs == pytest.approx([(1 + math.cos(math.pi * second / 6)) / 2 for second in range(6)])
    assert [event.step for event in events if isinstance(event, Validated)] == [6]
    assert [event.step for event in events if isinstance(event, Saved)] == [6]


def test_a_resumed_training_has_the_minutes_that_are_left(store_path, tmp_path, monkeypatch):
    train(by_the_clock(store_path, monkeypatch), tmp_path / "run", stop_after=4)
    resumed = train(find_run_config(RunFolder(tmp_path / "run")), tmp_path / "run", resume=True)
    lrs = [event.lr for event in resumed if isinstance(event, Progress)]
    assert lrs == pytest.approx([(1 + math.cos(math.pi * second / 6)) / 2 for second in (4, 5)])


def test_weight_decay_spares_embeddings_norms_and_biases(config, tmp_path):
    with RunFolder(tmp_path / "run") as run:
        model = Trainer(config, run).model
    decayed, free = parameter_groups(model, 0.1)
    names = {id(p): name for name, p in model.named_parameters()}
    assert len(decayed["params"]) + len(free["params"]) == len(names)
    for parameter in decayed["params"]:
        assert names[id(parameter)].endswith(("weight", "base_kernel"))
    spared = {names[id(p)].rpartition(".")[2] for p in free["params"]}
    assert {"labels", "placeholders", "bias", "gamma", "beta", "scale", "log_sharpness"} <= spared


def test_a_run_folder_is_not_replaced_unless_told(config, tmp_path):
    train(config, tmp_path / "run")
    with RunFolder(tmp_path / "run") as run:
        with pytest.raises(RunError, match="already holds a run"):
            run.start("", overwrite=False)
        run.start(dump_config(config), overwrite=True)
    assert not (tmp_path / "run" / "latest.safetensors").exists()


def test_a_run_folder_in_use_is_refused(tmp_path):
    with RunFolder(tmp_path / "run"), pytest.raises(RunError, match="in use"), RunFolder(tmp_path / "run"):
        pass


def test_folders_made_for_a_run_that_never_began_go_again(tmp_path):
    (tmp_path / "mine").mkdir()
    for path in ("runs/first", "mine", "mine/inner"):
        with pytest.raises(DataError), RunFolder(tmp_path / path):
            raise DataError("there is no store")
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["mine"]


def test_resuming_what_cannot_be_resumed_says_why(config, store, tmp_path):
    with pytest.raises(RunError, match="no training state"):
        train(config, tmp_path / "none", resume=True)
    train(config, tmp_path / "run")

    state = tmp_path / "run" / "latest.safetensors"
    intact = state.read_bytes()
    state.write_bytes(intact[:-100])
    with pytest.raises(ModelError, match=r"latest\.safetensors.*damaged"):
        train(config, tmp_path / "run", resume=True)
    state.write_bytes((tmp_path / "run" / "best.safetensors").read_bytes())
    with pytest.raises(ModelError, match="not a htgen training state"):
        train(config, tmp_path / "run", resume=True)
    state.write_bytes(intact)

    wider = config.model.model_copy(update={"embedding_dim": 8})
    with pytest.raises(RunError, match=r"was changed since the run began: model\.embedding_dim"):
        train(config.model_copy(update={"model": wider}), tmp_path / "run", resume=True)

    other = tmp_path / "other"
    with StoreWriter(other, "toy", store.preprocessing, store.schemes) as writer:
        for i, name in enumerate(store.class_names):
            writer.add_class(name, "x", 255 - store.images[store.offsets[i] : store.offsets[i + 1]])
    moved = config.model_copy(update={"data": config.data.model_copy(update={"store": str(other)})})
    with pytest.raises(RunError, match="other data"):
        train(moved, tmp_path / "run", resume=True)


def test_a_store_that_does_not_fit_the_model_is_refused(config, tmp_path):
    larger = config.model.model_copy(update={"image_size": 28})
    with pytest.raises(DataError, match="16x16 pixels, 1 channels; the config wants 28x28 and 1"):
        train(config.model_copy(update={"model": larger}), tmp_path / "run")


def test_a_failed_save_keeps_the_previous_state(config, tmp_path, monkeypatch):
    train(config, tmp_path / "run", stop_after=3)
    before = (tmp_path / "run" / "latest.safetensors").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_bytes", full)
        with pytest.raises(HtgenError, match="No space left"):
            train(config, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "latest.safetensors").read_bytes() == before
    assert not list((tmp_path / "run").glob(".*.tmp"))
    assert train(config, tmp_path / "run", resume=True)[-1] == Saved(6)


def test_a_diverging_run_stops_with_the_remedy_and_keeps_its_state(config, tmp_path):
    wild = OptimizerConfig(name="sgd", lr=1e30, warmup=0, clip=0.0)
    with pytest.raises(RunError, match="no longer a number") as caught:
        train(config.model_copy(update={"optimizer": wild}), tmp_path / "run")
    assert "optimizer.lr (now 1e+30)" in caught.value.hint


def test_weights_that_are_no_numbers_are_never_saved(config, tmp_path):
    train(config, tmp_path / "run", stop_after=3)
    before = (tmp_path / "run" / "latest.safetensors").read_bytes()
    with RunFolder(tmp_path / "run") as run:
        trainer = Trainer(config, run)
        trainer.resume()
        with torch.no_grad():
            trainer.model.logits.slices.labels[0, 0] = float("inf")
        with pytest.raises(RunError, match="weights of toy are no longer numbers"):
            trainer.save()
    assert (tmp_path / "run" / "latest.safetensors").read_bytes() == before


def test_a_state_of_before_with_an_average_that_nothing_reads_is_gone_on_with(store_path, tmp_path):
    values = toy_values(store_path)
    values["train"]["ema"] = 0.0
    config = Config.model_validate(values)
    train(config, tmp_path / "new")
    train(config, tmp_path / "old", stop_after=3)
    path = tmp_path / "old" / "latest.safetensors"
    header, tensors = read_state(path)
    assert not any(name.startswith("average.") for name in tensors)
    names = [name for name in tensors if name.startswith("model.")]
    old = {**tensors, **{f"average.{name.removeprefix('model.')}": tensors[name] for name in names}}
    write_state(path, header, {name: torch.tensor(array) for name, array in old.items()})
    train(config, tmp_path / "old", resume=True)
    found, wanted = (load_file(tmp_path / run / "latest.safetensors") for run in ("old", "new"))
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in found)


def test_a_store_whose_splits_were_swapped_is_other_data(config, store_path, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(store_path, copy)
    moved = config.model_copy(update={"data": config.data.model_copy(update={"store": str(copy)})})
    train(moved, tmp_path / "run", stop_after=3)
    manifest = json.loads((copy / "manifest.json").read_text())
    parts = manifest["schemes"]["toy"]["parts"]
    parts["train"], parts["test"] = "6-15", "0-5"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="other data"):
        train(moved, tmp_path / "run", resume=True)


def test_what_may_change_between_stops_may_change(config, tmp_path):
    train(config, tmp_path / "run", stop_after=3)
    longer = config.model_copy(
        update={"train": config.train.model_copy(update={"steps": 8, "save_every": 4})}
    )
    assert train(longer, tmp_path / "run", resume=True)[-1] == Saved(8)


def test_a_resumed_run_does_not_need_the_run_it_started_from(store_path, tmp_path):
    values = toy_values(store_path)
    values["train"] |= {"pretrain_shared": True}
    train(Config.model_validate(values), tmp_path / "first")
    values["train"] |= {"pretrain_shared": False, "restore_shared": str(tmp_path / "first")}
    config = Config.model_validate(values)
    train(config, tmp_path / "second", stop_after=3)
    shutil.rmtree(tmp_path / "first")
    with RunFolder(tmp_path / "second") as run:
        trainer = Trainer(config, run, resuming=True)
        trainer.resume()
        assert list(trainer.events())[-1] == Saved(6)


def test_what_a_killed_process_left_is_cleared(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".latest.safetensors.abc.tmp").write_text("half")
    (tmp_path / "run" / "config.yaml").write_text("")
    with RunFolder(tmp_path / "run"):
        assert not (tmp_path / "run" / ".latest.safetensors.abc.tmp").exists()
