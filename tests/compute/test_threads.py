import threading
import time

import pytest
import torch
from helpers.toy import toy_values

from htgen.compute.threads import EpisodeThreads
from htgen.config.files import dump_config
from htgen.config.run import Config
from htgen.evaluation.accuracy import evaluate, tasks_at_once
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


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


def test_large_tasks_are_evaluated_few_at_a_time_with_the_same_result(store_path, tmp_path, monkeypatch):
    made = trainer(store_path, tmp_path)
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
    made = trainer(store_path, tmp_path / "run")
    found = evaluate(made.model, made.tasks.validation, tasks=50)
    torch.set_num_threads(1)
    expected = evaluate(made.model, made.tasks.validation, tasks=50)
    assert found.accuracy == pytest.approx(expected.accuracy, abs=0.01)
    assert found.interval95 == pytest.approx(expected.interval95, abs=0.01)
    assert all(p.grad is None for p in made.model.parameters())


def test_dropout_keeps_to_one_thread(config, tmp_path, two_threads):
    with RunFolder(tmp_path / "run") as run:
        run.start(dump_config(config), overwrite=False)
        assert Trainer(config, run).gradients.threads.size == 1


def test_results_come_in_the_order_of_the_parts(two_threads):
    def work(part: int) -> tuple[int, int, bool, str]:
        time.sleep(0.05 if part == 0 else 0)
        name = threading.current_thread().name
        return part, torch.get_num_threads(), torch.is_grad_enabled(), name

    with torch.no_grad():
        found = list(EpisodeThreads().map(work, range(4)))
    assert [entry[:3] for entry in found] == [(part, 1, False) for part in range(4)]
    assert all(name.startswith("htgen") for *_, name in found)
    assert torch.get_num_threads() == 2


def test_a_fault_in_a_part_reaches_the_caller_and_leaves_torch_as_it_was(two_threads):
    def work(part: int) -> int:
        raise ValueError(f"part {part}")

    with pytest.raises(ValueError, match="part 0"):
        list(EpisodeThreads().map(work, range(2)))
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("size", "count", "lengths"), [(2, 5, [2, 3]), (2, 1, [1]), (4, 8, [2] * 4)])
def test_shares_are_contiguous_and_even(size, count, lengths):
    shares = EpisodeThreads(size).share(count)
    assert [len(share) for share in shares] == lengths
    assert [index for share in shares for index in share] == list(range(count))
