import pytest
import torch

from htgen.config.files import dump_config
from htgen.generator.generator import load_generator
from htgen.training.averaged_weights import AveragedWeights
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer


def test_averaged_weights_are_validated_but_not_trained(config, tmp_path):
    with RunFolder(tmp_path / "run") as run:
        run.start(dump_config(config), overwrite=False)
        trainer = Trainer(config, run)
        list(trainer.events())
        best = load_generator(tmp_path / "run").file.tensors
        name = "logits.slices.placeholders"
        current, average = trainer.model.state_dict()[name], trainer.average.tensors[name]
        assert not torch.equal(current, average)
        assert trainer.best is not None
        assert not torch.equal(torch.from_numpy(best[name]), current)


def test_early_averages_forget_the_start_and_the_model_gets_its_own_weights_back():
    layer = torch.nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(0.0)
    average = AveragedWeights(layer, decay=0.9)
    layer.weight.data.fill_(11.0)
    average.update(1)  # the decay is 1 / 11 then
    assert average.tensors["weight"].item() == pytest.approx(10.0)
    layer.weight.data.fill_(0.0)
    average.update(1000)
    assert average.tensors["weight"].item() == pytest.approx(9.0)
    within = []
    with pytest.raises(ZeroDivisionError), average.in_place():
        within.append(layer.weight.item() / len(within))
    with average.in_place():
        within.append(layer.weight.item())
    assert within == [pytest.approx(9.0)]
    assert layer.weight.item() == 0.0


def test_without_decay_there_is_no_average():
    layer = torch.nn.Linear(1, 1)
    average = AveragedWeights(layer, decay=0.0)
    average.update(1000)
    before = layer.weight.item()
    with average.in_place():
        assert layer.weight.item() == before
    assert average.tensors == {}
