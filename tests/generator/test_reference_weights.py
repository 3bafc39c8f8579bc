"""Checkpoints that TensorFlow wrote become generators, and compute what it computed.

The files below `checkpoints` are of a miniature with the variable names of the published code: 3 classes, 2
channels. TensorFlow 2.15 wrote them, and ran them on the images beside them.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from htgen.cli import main
from htgen.config.run import Config
from htgen.errors import ModelError
from htgen.generator.file import GeneratorFile
from htgen.generator.network import build
from htgen.generator.reference_weights import import_generator, place_of
from htgen.generator.tensorflow_checkpoint import Checkpoint
from htgen.hypertransformer.plan import generator_plan

FOLDER = Path(__file__).parent / "checkpoints"

CONFIGS = {
    "joint": {"transformer": {"layers": 2}},
    "decoder": {
        "image_size": 32,
        "shared": {"norm": "scale"},
        "transformer": {"topology": "encoder-decoder", "decoder_nonlinearity": "relu"},
        "weights": {"generate_bias": True, "generate_norm": True, "base": "all"},
    },
    "separate": {"cnn": {"separate_query_norm": "kernels"}, "weights": {"learned_layers": 2}},
}


def config(name: str, **changes) -> Config:
    model = {
        "conventions": "reference",
        "max_way": 3,
        "image_size": 16,
        "embedding_dim": 4,
        "cnn": {"channels": 2, "norm": "batch"},
        "shared": {"layers": 2, "width": 2},
        "local": {"width": 2},
        "transformer": {"layers": 1, "heads": 2},
    }
    for section, value in (CONFIGS[name] | changes).items():
        model[section] = model.get(section, {}) | value if isinstance(value, dict) else value
    way = {"way": 3}
    return Config.model_validate({"name": name, "model": model, "episodes": way, "validation": way})


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_an_imported_generator_gives_tensorflows_logits(name):
    data = load_file(FOLDER / f"{name}.safetensors")
    model = build(import_generator(str(FOLDER / name), config(name)))
    support, query = (
        torch.from_numpy(data[f"{kind}_images"]).permute(0, 3, 1, 2)[None] for kind in ("support", "query")
    )
    labels = torch.from_numpy(data["support_labels"])[None]
    logits = model(support, labels, query, torch.arange(3)[None])[0].numpy()
    assert np.abs(logits - data["logits"]).max() < 1e-4 * np.abs(data["logits"]).max()


@pytest.mark.parametrize("name", CONFIGS)
def test_every_parameter_has_its_place(name):
    plan = generator_plan(config(name).model)
    places = [place_of(parameter, len(plan.convs)) for parameter in plan.shapes]
    assert all(place.startswith("model/") for place in places)
    single = [place for place in places if "{norm}" not in place]
    assert len(set(single)) == len(single)


def test_the_command_writes_a_generator_that_says_where_it_is_from(tmp_path, capsys):
    values = ["max_way=3", "image_size=16", "embedding_dim=4", "cnn.channels=2"]
    values += ["shared.layers=2", "shared.width=2", "local.width=2", "transformer.layers=2"]
    changes = [part for value in values for part in ("--set", f"model.{value}")]
    changes += ["--set", "episodes.way=3", "--set", "validation.way=3"]
    output = tmp_path / "g.safetensors"
    assert main(["import-reference", str(FOLDER / "joint.index"), "-o", str(output), *changes]) == 0
    assert "generator 'omniglot_1shot'" in capsys.readouterr().out
    file = GeneratorFile.read(output)
    assert file.provenance.step == 7
    assert file.model.conventions == "reference"
    assert (file.preprocessing.ink, file.preprocessing.size) == ("bright", 16)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("joint", {"conventions": "htgen"}, "needs the reference's conventions"),
        ("joint", {"cnn": {"channels": 3}}, "do not fit its config|has no model/cnn_builder"),
        ("joint", {"transformer": {"layers": 1}}, "no place for"),
        ("joint", {"weights": {"generate_bias": True}}, "do not fit its config"),
        (
            "decoder",
            {"weights": {"base": False, "generate_bias": True, "generate_norm": True}},
            "no place for",
        ),
        (
            "separate",
            {"cnn": {"separate_query_norm": True}},
            "no place for, such as model/cnn/layer_1/conv/kernel-eval",
        ),
    ],
)
def test_what_does_not_fit_is_told(name, changes, message):
    with pytest.raises(ModelError, match=message):
        import_generator(str(FOLDER / name), config(name, **changes))


def test_moving_statistics_that_moved_are_refused(monkeypatch):
    read = Checkpoint.tensor

    def moved(self, name):
        return read(self, name) + float("shared_features" in name and "moving_mean" in name)

    monkeypatch.setattr(Checkpoint, "tensor", moved)
    with pytest.raises(ModelError, match="moving_mean was updated"):
        import_generator(str(FOLDER / "decoder"), config("decoder"))
