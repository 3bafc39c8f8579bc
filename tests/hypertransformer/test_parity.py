"""htgen against what the published TensorFlow code computed, stage by stage, at equal weights and inputs."""

import pytest
from helpers import parity

FILES = parity.files()


NEAR_TIES = {"1a": (2e-5, 25), "19": (1e-6, 0)}
"""Where two pixels that a pool chooses from differ by less than rounding, gradients depend on the choice.
Changing pixels by this much, with this seed, makes the choice that TensorFlow made."""


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_stage_agrees(path):
    run = parity.load(path)
    differences = parity.differences(run)
    if path.stem in NEAR_TIES:
        elsewhere = parity.differences(run, *NEAR_TIES[path.stem])
        differences |= {stage: x for stage, x in elsewhere.items() if stage.startswith("gradient/")}
    wrong = {stage: error for stage, error in differences.items() if not error <= parity.limit(stage)}
    assert not wrong


@pytest.mark.parametrize("name", ["bases", "mix"])
def test_the_small_files_of_the_project_agree(name):
    run = parity.load(parity.FIXTURES / f"{name}.safetensors")
    differences = parity.differences(run)
    assert {"shared", "logits", "loss", "layer_5/w:fc/kernel"} <= differences.keys()
    wrong = {stage: error for stage, error in differences.items() if not error <= parity.limit(stage)}
    assert not wrong


def test_a_missing_and_a_foreign_weight_are_found():
    run = parity.load(parity.FIXTURES / "mix.safetensors")
    name = "weight/shared.convs.0.bias"
    array = run.tensors.pop(name)
    with pytest.raises(RuntimeError, match=r"Missing key.*shared\.convs\.0\.bias"):
        parity.load_weights(parity.build(run), run)
    run.tensors.update({name: array, "weight/shared.convs.9.bias": array})
    with pytest.raises(RuntimeError, match=r"Unexpected key.*shared\.convs\.9\.bias"):
        parity.load_weights(parity.build(run), run)


def test_a_slight_change_is_found():
    run = parity.load(parity.FIXTURES / "mix.safetensors")
    run.tensors["weight/shared.convs.0.bias"] = run.tensors["weight/shared.convs.0.bias"] + 1e-3
    assert parity.differences(run)["shared"] > parity.limit("shared")
