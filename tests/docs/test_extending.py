"""The worked example of docs/explanation/extending.md does what the text says."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.toy import drawing
from PIL import Image

from htgen.cli import main
from htgen.cnn.bundle import Bundle
from htgen.cnn.shapes import SHAPES
from htgen.config.files import load_config
from htgen.config.model import ModelConfig
from htgen.errors import ConfigError
from htgen.generator.network import to_arrays
from htgen.hypertransformer.decoder import ALLOCATIONS
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.hypertransformer.hypertransformer_numpy import HyperTransformer as NumpyHyperTransformer

DOCUMENT = Path(__file__).parents[2] / "docs" / "explanation" / "extending.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
SHAPE, USE, ALLOCATION = (text for language, text in BLOCKS if language == "python")
(YAML,) = (text for language, text in BLOCKS if language == "yaml")


@pytest.fixture(autouse=True)
def _tables_as_before(monkeypatch):
    for table in (SHAPES, ALLOCATIONS):
        for name in ("pyramid", "input"):
            monkeypatch.setitem(table, name, None)  # so that it is taken away again
            del table[name]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A working folder with what the example takes: a config, a store and a folder of labelled images."""
    monkeypatch.chdir(tmp_path)
    Path("pyramid.yaml").write_text(YAML)
    for kind in range(16):
        for i in range(4):
            path = Path("drawings", f"kind{kind}", f"{i}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(drawing(kind, i, size=28)[..., 0]).save(path)
    for kind, name in enumerate(("owl", "wren")):
        Path("support").mkdir(exist_ok=True)
        Path("drawings", f"kind{kind}").rename(Path("support", name))
    assert main(["prepare-data", "folder", "--source", "drawings", "--ink", "bright"]) == 0
    return tmp_path


def test_a_shape_is_unknown_until_it_is_entered(folder):
    with pytest.raises(
        ConfigError, match=r"line 7: model.cnn.shape: input should be one of 'maxpool-4-layer'"
    ):
        load_config("pyramid.yaml")
    exec(SHAPE, {})
    assert load_config("pyramid.yaml").model.cnn.shape == "pyramid"


def test_the_shape_is_trained_generated_and_used(folder, capsys):
    names: dict = {}
    exec(SHAPE, names)
    commands = []
    exec(
        USE.replace("from htgen.cli import main", ""),
        {"main": lambda command: commands.append((command, main(command)))},
    )
    assert [(command[0], code) for command, code in commands] == [
        ("train", 0),
        ("generate", 0),
        ("predict", 0),
    ]
    del SHAPES["pyramid"]  # the file needs it no more
    bundle = Bundle.load("cnn.safetensors")
    assert bundle.classes == ("owl", "wren")
    assert bundle.tensors["conv3.weight"].shape == (16, 8, 3, 3)
    assert bundle.tensors["logits.weight"].shape == (2, 16)
    assert len(bundle.predict(sorted(Path("support/wren").iterdir()))) == 4


def test_what_the_shape_refuses_is_told_with_its_line_and_key(folder):
    exec(SHAPE, {})
    text = YAML.replace("channels: 4", "channels: 4, stride: 2").replace("max_way: 6", "image_size: 8")
    Path("bad.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"line 7: model.cnn.stride: pyramid pools instead"):
        load_config("bad.yaml")
    with pytest.raises(ConfigError, match=r"learned_layers: the CNN has 3 convolutions"):
        load_config("pyramid.yaml", ["model.weights.learned_layers=4"])


@pytest.mark.parametrize("base", [False, True])
def test_the_allocation_writes_kernels(base):
    exec(SHAPE, names := {})
    exec(ALLOCATION, names)
    values = {"max_way": 3, "image_size": 16, "cnn": {"shape": "pyramid", "channels": 2}}
    config = ModelConfig.model_validate(values | {"weights": {"base": base}})
    # As after the name was added to the list of WeightsConfig.allocation.
    config = config.model_copy(update={"weights": config.weights.model_copy(update={"allocation": "input"})})
    model = HyperTransformer(config)
    support, labels, slots = torch.randn(2, 3, 1, 16, 16), torch.arange(3).expand(2, -1), torch.arange(3)
    output = model.run(support, labels, support, slots.expand(2, -1))
    assert [tuple(conv.kernel.shape) for conv in output.weights.blocks] == [
        (2, 2, 1, 3, 3),
        (2, 4, 2, 3, 3),
        (2, 8, 4, 3, 3),
    ]
    output.logits.square().sum().backward()
    assert all(conv.slices.placeholders.grad.abs().sum() > 0 for conv in model.convs)

    writer = NumpyHyperTransformer(config, to_arrays(model.state_dict()))
    found = writer.generate(support.numpy(), labels.numpy(), slots.expand(2, -1).numpy())
    for written, weights in zip(found.blocks, output.weights.blocks, strict=True):
        expected = weights.kernel.detach().numpy()
        np.testing.assert_allclose(written.kernel, expected, rtol=1e-4, atol=1e-4)

    # Slice c holds the weights of input channel c.
    allocation = names["InputAllocation"](model.spec.convs[2])
    slices = torch.zeros(1, allocation.slices, allocation.slice_size)
    slices[0, 1] = 1
    kernel = allocation.decode(slices)["kernel"]
    assert kernel[:, :, 1].eq(1).all()
    assert kernel.sum() == 8 * 9
