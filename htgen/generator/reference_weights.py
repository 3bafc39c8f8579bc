"""A checkpoint of the published TensorFlow code as a generator. No torch here.

`place_of` is the table of names: where a parameter of htgen stands there, and how its axes lie. Layers are
numbered from 1 there and from 0 here; the logits layer is the one behind the last convolution.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from htgen.config.run import Config
from htgen.errors import ModelError
from htgen.generator.file import GeneratorFile, check
from htgen.generator.provenance import Provenance
from htgen.generator.tensorflow_checkpoint import Checkpoint
from htgen.hypertransformer.plan import LogitsPlan, generator_plan
from htgen.images.preprocessing import Preprocessing
from htgen.tensor_files import Arrays
from htgen.version import __version__

Array = npt.NDArray[Any]

_BUILDER = "model/cnn_builder/builder_layer_{layer}_generator"
_SETUP = "model/cnn_builder/layer_{layer}_generator_setup"
_CNN = "model/cnn/layer_{layer}"

_ATTENTION = {"query": "q", "key": "k", "value": "v", "output": "fc"}
_ATTENTIONS = {
    ("encoder", "attention"): "attention",
    ("decoder", "attention"): "attention_1",
    ("decoder", "cross"): "attention_2",
}
_MLP = {"expand": "layer_1", "contract": "layer_2"}
_NORM = {"weight": "gamma", "bias": "beta"}
_LINEAR = {"weight": "kernel", "bias": "bias"}

_OF_A_LAYER = {
    "gamma": f"{_CNN}/batch_normalization/gamma",
    "beta": f"{_CNN}/batch_normalization/beta",
    "query_gamma": f"{_CNN}/batch_normalization/gamma-eval",
    "query_beta": f"{_CNN}/batch_normalization/beta-eval",
    "base_kernel": f"{_CNN}/conv/kernel",
    "base_bias": f"{_CNN}/conv/bias",
    "base_gamma": f"{_CNN}/batch_normalization/gamma",
    "base_beta": f"{_CNN}/batch_normalization/beta",
    "base_query_kernel": f"{_CNN}/conv/kernel-eval",
    "base_query_bias": f"{_CNN}/conv/bias-eval",
    "base_query_gamma": f"{_CNN}/batch_normalization/gamma-eval",
    "base_query_beta": f"{_CNN}/batch_normalization/beta-eval",
    "base_weight": f"{_CNN}/fc/kernel",
    "base_query_weight": f"{_CNN}/fc/kernel-eval",
}

_NOT_OF_THE_GENERATOR = re.compile(
    r"global_step|augmentation.*|shared_head/.*|dataset_.*|model/cnn/head_.*|.*/moving_(mean|variance)(-eval)?"
)
"""Step, drawn augmentations, heads of training, and statistics that nothing reads."""

REMEDY = "the config that the checkpoint was trained with, with model.conventions: reference"


def place_of(name: str, layers: int) -> str:
    """The name there of a parameter of htgen, in a CNN of so many convolutions.

    A table of embeddings is many there: `{row}` stands for its row. `{norm}` stands for what a layer norm is
    called; they are numbered in the order in which a layer's transformer has them.

    Raises:
        KeyError: there is none.
    """
    if found := re.fullmatch(r"shared\.(convs|norms)\.(\d+)\.(\w+)", name):
        kind, index, part = found[1], int(found[2]), found[3]
        if kind == "convs":
            return f"model/shared_features/layer_{index + 1}/{_LINEAR[part]}"
        number = f"_{index}" if index else ""
        return f"model/shared_features/batch_normalization{number}/{_NORM[part]}"
    found = re.fullmatch(r"(?:convs\.(\d+)|logits)\.(.+)", name)
    if found is None:
        raise KeyError(name)
    layer, rest = layers + 1 if found[1] is None else int(found[1]) + 1, found[2]
    if found[1] is None and rest.endswith("bias") and rest.startswith("base_"):
        return _OF_A_LAYER[rest].replace("/conv/", "/fc/").format(layer=layer)
    if rest in ("slices.labels", "slices.placeholders"):
        word = "label" if rest == "slices.labels" else "weight"
        return f"{_SETUP}/{word}_embeddings/{word}_".format(layer=layer) + "{row}"
    if found := re.fullmatch(r"local\.convs\.(\d+)\.(\w+)", rest):
        place = f"{_BUILDER}/feature_extractor/layer_{int(found[1]) + 1}/{_LINEAR[found[2]]}"
        return place.format(layer=layer)
    if found := re.fullmatch(r"slices\.transformer\.(\w+)\.(\d+)\.(.+)\.(weight|bias)", rest):
        coder, depth, part = found[1], int(found[2]) + 1, found[3]
        if part.endswith("_norm"):
            return f"{_BUILDER}".format(layer=layer) + "/{norm}/" + _NORM[found[4]]
        block, _, linear = part.partition(".")
        inner = (
            f"fc/{_MLP[linear]}" if block == "mlp" else f"{_ATTENTIONS[coder, block]}/{_ATTENTION[linear]}"
        )
        place = f"{_BUILDER}/transformer/transformer/{coder}/layer_{depth}/{inner}/{_LINEAR[found[4]]}"
        return place.format(layer=layer)
    return _OF_A_LAYER[rest].format(layer=layer)


def read_parameters(checkpoint: Checkpoint, config: Config) -> Arrays:
    """All parameters of a generator, from a checkpoint.

    Raises:
        ModelError: the config does not mean what the reference means; a tensor is missing, left over,
            damaged, or has another shape than the config says.
    """
    if config.model.conventions != "reference":
        raise ModelError("a checkpoint of the reference needs the reference's conventions", REMEDY)
    plan = generator_plan(config.model)
    used: set[str] = set()

    def take(name: str) -> Array:
        used.add(name)
        return checkpoint.tensor(name)

    arrays: dict[str, Array] = {}
    norms = _layer_norms(checkpoint)
    for name, shape in plan.shapes.items():
        place = place_of(name, len(plan.convs))
        if "{row}" in place:
            array = np.stack([take(place.format(row=row)) for row in range(shape[0])])
        elif "{norm}" in place:
            array = take(_next_norm(place, norms, checkpoint))
        else:
            array = take(place)
        arrays[name] = np.ascontiguousarray(_axes(name, array, plan.logits), np.float32)
    if config.model.cnn.separate_query_norm == "kernels":  # no support image passes the logits layer
        layer = _CNN.format(layer=len(plan.convs) + 1)
        used |= {f"{layer}/fc/kernel", f"{layer}/fc/bias"}
    _check_rest(checkpoint, used)
    check(arrays, plan.shapes, f"checkpoint {checkpoint.prefix}")
    return arrays


def import_generator(prefix: str, config: Config) -> GeneratorFile:
    """A checkpoint of the published code as a generator.

    Args:
        prefix: path of the checkpoint, without its ending.
        config: that it was trained with.

    Raises:
        ModelError: it cannot be read, or does not fit the config.
    """
    checkpoint = Checkpoint(prefix)
    tensors = read_parameters(checkpoint, config)
    step = int(checkpoint.tensor("global_step")) if "global_step" in checkpoint.entries else 0
    model = config.model
    kind: Mapping[str, Any] = (
        {"ink": "bright", "fit": "pad"}
        if model.image_channels == 1
        else {
            "ink": "none",
            "fit": "crop",
        }
    )
    provenance = {
        "config": config.model_dump(mode="json"),
        "step": step,
        "episodes": step * config.train.episodes_per_step,
        "htgen": __version__,
        "validation": None,
    }
    return GeneratorFile(
        config.name,
        model,
        tensors,
        Preprocessing(model.image_size, int(model.image_channels), **kind),
        Provenance.from_json(provenance),
    )


def _axes(name: str, array: Array, logits: LogitsPlan) -> Array:
    """The axes of htgen: `[k, k, in, out] -> [out, in, k, k]`, `[in, out] -> [out, in]`."""
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    if name.endswith((".labels", ".placeholders")) or array.ndim != 2:
        return array
    array = array.T
    assert logits.allocation is not None  # the reference's is always written
    if (
        name.startswith("logits.base_") and array.shape[1] == logits.feature_count
    ):  # inputs are [H, W, C] there
        array = logits.allocation.to_cnn(np.ascontiguousarray(array)[None])[0]
    return array


_LAYER_NORM = re.compile(
    r"model/cnn_builder(?:_\d+)?/builder_layer_(\d+)_generator/.*/layer_normalization(?:_(\d+))?/gamma"
)


def _layer_norms(checkpoint: Checkpoint) -> dict[str, list[str]]:
    """The names of each layer's norms, without the last word, in the order of their numbers.

    Keras numbers them as they are made, and names the scopes around them after that of the moment.
    """
    found: dict[str, list[tuple[int, str]]] = {}
    for name in checkpoint.entries:
        if match := _LAYER_NORM.fullmatch(name):
            scope = _BUILDER.format(layer=match[1])
            found.setdefault(scope, []).append((int(match[2] or 0), name.rpartition("/")[0]))
    return {scope: [name for _, name in sorted(norms)] for scope, norms in found.items()}


def _next_norm(place: str, norms: dict[str, list[str]], checkpoint: Checkpoint) -> str:
    """The name of the next norm of a layer; its scale comes before its shift, and each once."""
    scope, _, part = place.partition("/{norm}/")
    waiting = norms.get(scope)
    if not waiting:
        raise ModelError(f"checkpoint {checkpoint.prefix} has too few layer norms in {scope}", REMEDY)
    return f"{waiting[0] if part == 'gamma' else waiting.pop(0)}/{part}"


def _check_rest(checkpoint: Checkpoint, used: set[str]) -> None:
    """That what was not read is no part of a generator."""
    rest = sorted(n for n in checkpoint.entries.keys() - used if not _NOT_OF_THE_GENERATOR.fullmatch(n))
    if rest:
        raise ModelError(
            f"checkpoint {checkpoint.prefix} has {len(rest)} tensors that the config has no place for, "
            f"such as {rest[0]}",
            REMEDY,
        )
    for name in checkpoint.entries:
        moved = re.fullmatch(r"model/shared_features/.*/moving_(mean|variance)", name)
        if moved and (checkpoint.tensor(name) != float(moved[1] == "variance")).any():
            raise ModelError(f"{name} was updated, which the published code never does", REMEDY)
