"""From the config to the description of the CNN that a generator writes."""

from dataclasses import replace

import pytest

from htgen.cnn.shapes import SHAPES
from htgen.config.model import ModelConfig, cnn_spec


def model(**weights) -> ModelConfig:
    return ModelConfig.model_validate({"weights": weights, "cnn": {"channels": 4}})


@pytest.mark.parametrize(
    ("learned", "biases"), [(0, "1111"), (1, "0111"), (3, "0001"), (-1, "1110"), (-4, "0000")]
)
def test_blocks_that_are_generated_with_a_bias_have_one(learned, biases):
    spec = cnn_spec(model(generate_bias=True, learned_layers=learned))
    assert "".join(str(int(conv.bias)) for conv in spec.convs) == biases
    assert not any(conv.bias for conv in cnn_spec(model(learned_layers=learned)).convs)


@pytest.mark.parametrize("changes", [{"groups": 4}, {"norm": False}, {"add": "conv2", "pool": False}])
def test_a_shape_that_no_generator_writes_is_refused(changes, monkeypatch):
    plain = SHAPES["maxpool-4-layer"]

    def changed(*arguments):
        spec = plain(*arguments)
        odd = replace(spec.convs[2], **changes).at_size(spec.convs[2].in_size)
        return replace(spec, convs=(*spec.convs[:2], odd, spec.convs[3].at_size(odd.out_size)))

    monkeypatch.setitem(SHAPES, "odd", changed)
    with pytest.raises(ValueError, match=r"cnn\.shape: conv3 of odd has groups, adds a block or has no norm"):
        ModelConfig.model_validate({"cnn": {"channels": 4, "shape": "odd"}})
