"""Training on a GPU, where steps are recorded and replayed; tests/compute/test_recording.py needs none."""

import pytest
import torch
from helpers.toy import toy_values

from htgen.config.files import dump_config
from htgen.config.run import Config
from htgen.evaluation.accuracy import evaluate
from htgen.training.events import Progress
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def trained(store_path, path, device, recorded=True, steps=24, **settings) -> tuple[Trainer, list]:
    values = toy_values(store_path)
    values["model"]["shared"]["dropout"] = 0.0
    values["model"]["weights"] |= settings.pop("weights", {})
    values["episodes"] |= {"way": [3, 4], "shot": [1, 2]}
    values["augment"] |= {"rotation": 10, "elastic": 0.02, "chimeras": 0.3, "new_classes": {"mirror": True}}
    values["train"] |= {
        "steps": steps,
        "precision": "float32",
        "log_every": 1,
        "val_every": steps,
        **settings,
    }
    config = Config.model_validate(values)
    with RunFolder(path) as run:
        run.start(dump_config(config), overwrite=False)
        trainer = Trainer(config, run, device)
        if not recorded:
            trainer.gradients.recorded = None
        return trainer, list(trainer.events())


def losses(events: list) -> torch.Tensor:
    return torch.tensor([event.loss for event in events if isinstance(event, Progress)])


@pytest.mark.parametrize("weights", [{}, {"learned_layers": 4}], ids=["generated", "learned"])
def test_recorded_steps_are_the_steps_themselves(store_path, tmp_path, weights):
    recorded, one = trained(store_path, tmp_path / "a", "cuda", weights=weights)
    _, other = trained(store_path, tmp_path / "b", "cuda", recorded=False, weights=weights)
    steps = recorded.gradients
    assert steps.recorded is not None
    assert len(steps.recorded.recordings) >= 2  # of two ways by two shots
    torch.testing.assert_close(losses(one), losses(other), rtol=1e-2, atol=1e-3)
    # The same gradients, from the weights as they are now.
    kind, _ = next(iter(steps.recorded.recordings.items()))

    def work(kind, first):
        return steps.of_episodes(kind, first, recorded.step)

    for number in (1000, 2000):
        found = [g if g is None else g.clone() for g in steps.recorded(work, kind, number)[0]]
        wanted, _ = work(kind, torch.tensor(number, device="cuda"))
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-6)


def test_steps_that_are_not_waited_for_are_the_same_steps(store_path, tmp_path):
    _, waited = trained(store_path, tmp_path / "a", "cuda", steps=40)
    _, queued = trained(store_path, tmp_path / "b", "cuda", steps=40, log_every=20)
    want = losses(waited).view(2, 20).mean(dim=1)
    torch.testing.assert_close(losses(queued), want, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("weights", [{}, {"learned_layers": 4}], ids=["generated", "learned"])
def test_a_gpu_trains_as_a_cpu_does(store_path, tmp_path, weights):
    _, here = trained(store_path, tmp_path / "a", "cpu", steps=8, weights=weights)
    _, there = trained(store_path, tmp_path / "b", "cuda", steps=8, weights=weights)
    torch.testing.assert_close(losses(there), losses(here), rtol=1e-2, atol=1e-3)


def test_a_gpu_evaluates_as_a_cpu_does(store_path, tmp_path):
    trainer, _ = trained(store_path, tmp_path / "a", "cpu", steps=8)
    model, sampler = trainer.model, trainer.tasks.validation
    here = evaluate(model, sampler, 50).accuracy
    there = Trainer(trainer.config, RunFolder(tmp_path / "b"), "cuda")
    there.model.load_state_dict(model.state_dict())
    assert evaluate(there.model, there.tasks.validation, 50).accuracy == pytest.approx(here, abs=0.01)


def test_recorded_steps_do_not_wait_for_the_gpu(store_path, tmp_path):
    trainer, _ = trained(store_path, tmp_path / "a", "cuda", log_every=1000)
    assert trainer.gradients.recorded is not None
    recorded = trainer.gradients.recorded.recordings
    while trainer.tasks.training.counts(2 * trainer.step) not in {kind.counts for kind in recorded}:
        trainer.train_step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.train_step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
