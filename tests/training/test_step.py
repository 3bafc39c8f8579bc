import pytest
import torch
from helpers.toy import toy_values

from htgen.compute.processes import Processes
from htgen.compute.threads import EpisodeThreads
from htgen.config.files import dump_config
from htgen.config.run import Config
from htgen.training.gradient_averaging import average_over_processes
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer


def trainer(store_path, path, **train) -> Trainer:
    """A trainer without dropout, whose episodes can be shared out among threads."""
    values = toy_values(store_path)
    values["model"]["shared"]["dropout"] = 0.0
    values["optimizer"] = {"name": "sgd", "lr": 0.1, "warmup": 0}
    values["train"] |= {"episodes_per_step": 5, **train}
    config = Config.model_validate(values)
    with RunFolder(path) as run:
        run.start(dump_config(config), overwrite=False)
        return Trainer(config, run)


@pytest.mark.parametrize("further", [{}, {"head_steps": 4, "shared_head": 0.5, "l2": 0.1}])
def test_threads_train_as_one_does(store_path, tmp_path, two_threads, further):
    shared = trainer(store_path, tmp_path / "shared", **further)
    assert shared.gradients.threads.size == 2
    plain = trainer(store_path, tmp_path / "plain", **further)
    plain.gradients.threads = EpisodeThreads(1)
    start = {name: p.detach().clone() for name, p in plain.trained.named_parameters()}
    for _ in range(4):
        shared.train_step()
        plain.train_step()
    moved = 0
    for (name, expected), found in zip(
        plain.trained.named_parameters(), shared.trained.parameters(), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6, msg=name)
        moved += not torch.equal(expected, start[name])
    assert moved > 20
    assert shared.means().keys() == plain.means().keys()
    for name, mean in plain.means().items():
        if name != "seconds":
            assert shared.means()[name] == pytest.approx(mean, abs=1e-5), name


def test_dropout_keeps_to_one_thread(config, tmp_path, two_threads):
    with RunFolder(tmp_path / "run") as run:
        run.start(dump_config(config), overwrite=False)
        assert Trainer(config, run).gradients.threads.size == 1


class Other(Processes):
    """This process, and another one whose numbers are all 3."""

    def average(self, tensors):
        for tensor in tensors:
            tensor.copy_((tensor + 3) / 2)


def test_one_message_averages_gradients_scalars_clock_and_the_wish_to_stop():
    layer = torch.nn.Linear(2, 1)
    layer.weight.grad = torch.tensor([[1.0, -5.0]])  # the bias has no gradient
    found = average_over_processes(
        Other(0, 2), layer, {"loss": torch.tensor(5.0), "accuracy": 1.0}, False, 7.0
    )
    assert layer.weight.grad.tolist() == [[2.0, -1.0]]
    assert layer.bias.grad is None
    assert found == ({"loss": 4.0, "accuracy": 2.0}, True, 5.0)
