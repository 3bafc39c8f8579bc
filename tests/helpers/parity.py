"""What the published TensorFlow code computed, loaded into htgen, stage by stage.

A file holds one setting: the reference's config, one episode, all weights, every stage in between, the loss
and the norm of each gradient. It calls weights by htgen's parameter names of version 0.2, in htgen's order of
axes; `parameter_name` says what has another name here.
"""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import Tensor, nn

from htgen.config.run import Config
from htgen.episodes.batch import EpisodeBatch
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.training.loss import TrainingLoss

SHARED_FOLDER = Path(__file__).parents[3] / "shared" / "parity"
FIXTURES = Path(__file__).parents[1] / "hypertransformer" / "parity"


def limit(stage: str) -> float:
    """Largest difference of a stage, relative to the largest value there."""
    if stage.startswith("gradient/"):
        return 1e-3
    return 1e-5 if stage == "loss" else 1e-4


@dataclass(frozen=True)
class ReferenceRun:
    """One file.

    Attributes:
        name: of the setting.
        options: the reference's config, by its names.
        episode: what the episode has: ways, shots, ...
        tensors: by the names in the file.
        cut: layers whose transformers are left out of a small file; what left them is in it.
    """

    name: str
    options: dict[str, Any]
    episode: dict[str, Any]
    tensors: dict[str, np.ndarray]
    cut: tuple[str, ...] = ()

    def lacks(self, stage: str) -> bool:
        """Whether it is no fault that the file has not this stage.

        A small file has some stages only, and of gradients those that reach no transformer that it has not.
        No file has gradients of the learned parts that are added to biases, norms and the logits layer.
        """
        return bool(self.cut) or bool(re.search(r"gradient/.*base_(bias|gamma|beta|weight)", stage))

    def part(self, prefix: str) -> dict[str, np.ndarray]:
        """The tensors below a prefix, by the rest of their names."""
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}


def load(path: Path) -> ReferenceRun:
    with safe_open(path, "np") as file:
        setting = json.loads(file.metadata()["setting"])
        tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    return ReferenceRun(
        setting["name"], setting["reference"], setting["episode"], tensors, tuple(setting.get("cut", ()))
    )


def files() -> list[Path]:
    """The shared files where they are, else the project's own two small ones."""
    return sorted(SHARED_FOLDER.glob("*.safetensors")) or sorted(FIXTURES.glob("*.safetensors"))


# ------------------------------------------------------------------------------------------- config


def model_values(run: ReferenceRun) -> dict[str, Any]:
    """Section `model` of the config that means what the reference's options mean."""
    options, episode = run.options, run.episode
    shared = options["shared_feature_extractor"]
    kind = "encoder-decoder" if options["use_decoder"] else "joint"
    if options.get("generator") == "separate":
        kind = "separate"
    return {
        "max_way": options["num_labels"],
        "image_size": options["image_size"],
        "image_channels": episode["channels"],
        "embedding_dim": options["embedding_dim"],
        "conventions": "reference",
        "cnn": {
            "shape": options["cnn_model_name"],
            "channels": options["default_num_channels"],
            "kernel": options["kernel_size"],
            "stride": options["stride"],
            "norm": "batch",
            "norm_first": "after-pool" if episode.get("act_after_bn") else False,
            "count_ignored": True,
            "separate_query_norm": options.get("separate_bn_vars", False),
        },
        "shared": {
            "layers": int(shared[0]),
            "width": options["shared_features_dim"],
            "padding": options["shared_feature_extractor_padding"],
            "norm": "scale" if shared.endswith("-bn") else False,
        },
        "local": {
            "width": options["num_features"],
            "kernel": None,
            "nonlinear": "logits" if options.get("nonlinear_feature") else False,
            "logits": options.get("logits_feature_extractor", "default"),
        },
        "transformer": {
            "topology": kind,
            "layers": options["num_layers"],
            "heads": options["heads"],
            "activation": options.get("transformer_activation", "softmax"),
            "skip_last_nonlinearity": options.get("skip_last_nonlinearity", False),
            "decoder_nonlinearity": "relu",
        },
        "weights": {
            "allocation": options["weight_allocation"],
            "generate_bias": options.get("generate_bias", False),
            "generate_norm": options.get("generate_bn", False),
            "base": "all" if options.get("add_trainable_weights") else False,
            "learned_layers": options.get("number_of_trained_cnn_layers", 0),
        },
    }


READ_OPTIONS = {
    *("num_labels", "image_size", "embedding_dim"),
    *("cnn_model_name", "default_num_channels", "kernel_size", "stride", "separate_bn_vars"),
    *("shared_feature_extractor", "shared_features_dim", "shared_feature_extractor_padding"),
    *("num_features", "nonlinear_feature", "logits_feature_extractor"),
    *("use_decoder", "generator", "num_layers", "heads", "transformer_activation", "skip_last_nonlinearity"),
    *("weight_allocation", "generate_bias", "generate_bn", "add_trainable_weights"),
    "number_of_trained_cnn_layers",
}
"""Options that `model_values` understands."""


# ------------------------------------------------------------------------------------------- weights

RENAMED = (
    (re.compile(r"EXTRA\.(\d)\.(bias|gamma|beta)"), r"convs.\1.base_\2"),
    (re.compile(r"EXTRA\.fc_bias"), r"logits.base_bias"),
    (re.compile(r"EXTRA\.fc_kernel"), r"logits.base_weight"),  # [inputs, classes] there
)


def parameter_name(name: str) -> str:
    """What htgen calls a weight of the file."""
    for pattern, here in RENAMED:
        name = pattern.sub(here, name)
    return name


def load_weights(model: HyperTransformer, run: ReferenceRun) -> None:
    """Strictly: no name is missing, none is left over, every shape is right."""
    weights = {}
    for name, array in run.part("weight/").items():
        weights[parameter_name(name)] = torch.from_numpy(array.T.copy() if "fc_kernel" in name else array)
    for part in run.cut:
        layer = f"layer_{len(model.convs) + 1 if part == 'logits' else int(part.removeprefix('convs.')) + 1}"
        slices = model.get_submodule(f"{part}.slices")
        given = torch.from_numpy(run.tensors[f"stage/{layer}/tokens_out"])[None]
        slices.transformer = GivenTokens(given, run.options["embedding_dim"])
    model.load_state_dict(weights, strict=True)


class GivenTokens(nn.Module):
    """In place of a transformer that a small file leaves out: what came of it."""

    def __init__(self, tokens: Tensor, embedding: int) -> None:
        super().__init__()
        self.register_buffer("tokens", nn.functional.pad(tokens, (embedding, 0)), persistent=False)

    def forward(self, placeholders: Tensor, samples: Tensor, ignore: Tensor | None = None) -> Tensor:
        return self.tokens


# -------------------------------------------------------------------------------------------- stages


def config_of(run: ReferenceRun) -> Config:
    """The config of a training like the reference's."""
    unknown = run.options.keys() - READ_OPTIONS
    assert not unknown, f"options that are not mapped: {unknown}"
    way = {"way": run.options["num_labels"]}
    return Config.model_validate({"model": model_values(run), "episodes": way, "validation": way})


def build(run: ReferenceRun) -> HyperTransformer:
    """The generator, with weights of its own; it has no dropout and no views."""
    return HyperTransformer(config_of(run).model)


def differences(run: ReferenceRun, nudge: float = 0.0, seed: int = 0) -> dict[str, float]:
    """Stage -> largest difference relative to the largest value, in the order of the computation.

    Args:
        nudge: standard deviation of a change of all pixels, relative to them; `seed` draws it.
    """
    model = build(run)
    load_weights(model, run)
    found = _run(model, run, nudge, seed)
    expected = _expected(run)
    missing = {name for name in expected.keys() ^ found.keys() if name in expected or not run.lacks(name)}
    assert not missing, f"stages on one side only: {sorted(missing)}"
    for stage in expected:
        if stage.endswith("/features"):  # tokens have zeros behind them
            width = expected[stage].shape[1]
            assert not found[stage][:, width:].any(), f"{stage} is wider"
            found[stage] = found[stage][:, :width]
    # Some gradients are sums of zero: they are measured by the largest.
    largest = max((g.item() for name, g in expected.items() if name.startswith("gradient/")), default=0.0)
    return {
        stage: _difference(found[stage], array, 1e-4 * largest if stage.startswith("gradient/") else 1e-6)
        for stage, array in expected.items()
    }


def _run(model: HyperTransformer, run: ReferenceRun, nudge: float, seed: int) -> dict[str, np.ndarray]:
    """Every stage as htgen computes it, by the names and in the order of axes of the file."""
    seen: dict[str, Tensor] = {}
    handles = _watch(model, model.config.embedding_dim, seen)
    batch = nudged(episode_batch(run), nudge, seed)
    output = model.run(
        batch.support_images, batch.support_labels, batch.query_images, batch.slots, batch.ignore
    )
    for handle in handles:
        handle.remove()
    support = batch.support_images.shape[1]
    for index, (conv, x) in enumerate(zip(output.weights.blocks, output.activations, strict=True), start=1):
        layer = f"layer_{index}"
        seen[f"{layer}/act"] = x[:support, 0].permute(0, 2, 3, 1)
        seen[f"{layer}/w:conv/kernel"] = conv.kernel[0].permute(2, 3, 1, 0)
        if conv.bias is not None:
            seen[f"{layer}/w:conv/bias"] = conv.bias[0]
        seen[f"{layer}/w:batch_normalization/gamma"] = conv.norm.gamma[0]
        seen[f"{layer}/w:batch_normalization/beta"] = conv.norm.beta[0]
    weight, bias = output.weights.logits_weight[0], output.weights.logits_bias[0]
    features = x[:support, 0].mean((2, 3)) if model.spec.head == "average" else x[:support, 0].flatten(1)
    last = f"layer_{len(model.convs) + 1}"
    by_pixel = weight.unflatten(1, (x.shape[2], -1)).transpose(1, 2).flatten(1)  # [n, H * W * C]
    seen[f"{last}/w:fc/kernel"], seen[f"{last}/w:fc/bias"] = by_pixel.T, bias
    seen[f"{last}/act"] = features @ weight.T + bias
    seen[f"{last}/query_act"] = seen["logits"] = output.logits[0]
    seen |= _loss_and_gradients(model, config_of(run), batch)
    return {name: tensor.detach().numpy() for name, tensor in seen.items()}


def _loss_and_gradients(model: HyperTransformer, config: Config, batch: EpisodeBatch) -> dict[str, Tensor]:
    """Of the training loss."""
    loss, _ = TrainingLoss(config, model, range(batch.way))(model, batch, 0)
    loss.backward()
    norms = {
        f"gradient/{name}": p.grad.norm()[None] for name, p in model.named_parameters() if p.grad is not None
    }
    return {"loss": loss[None], **norms}


def _watch(model: HyperTransformer, embedding: int, seen: dict[str, Tensor]) -> list[Any]:
    """Note the shared features, and what enters and leaves each transformer."""

    def note_shared(module: nn.Module, inputs: Any, output: Tensor) -> None:
        seen["shared"] = output[0]

    handles = [model.shared.register_forward_hook(note_shared)]
    for name, module in model.named_modules():
        if not name.endswith(".slices.transformer"):
            continue
        part, _, index = name.removesuffix(".slices.transformer").partition(".")
        layer = f"layer_{len(model.convs) + 1 if part == 'logits' else int(index) + 1}"

        def note(module: Any, inputs: Any, output: Tensor, layer: str = layer) -> None:
            placeholders, samples = inputs[0][0], inputs[1][0]
            if model.config.transformer.topology == "separate":
                seen[f"{layer}/samples_in"] = samples
            else:
                seen[f"{layer}/tokens_in"] = torch.cat([placeholders, samples])
            seen[f"{layer}/features"] = samples[:, embedding:]
            seen[f"{layer}/tokens_out"] = output[0][:, embedding:]

        handles.append(module.register_forward_hook(note))
    return handles


def _expected(run: ReferenceRun) -> dict[str, np.ndarray]:
    """The stages of the file, by the names of `_run`."""
    stages = run.part("stage/")
    for name in [name for name in stages if "moving" in name]:
        # Never updated, and so never more than what they were initialised with.
        assert (stages.pop(name) == float("variance" in name)).all()
    gradients = {f"gradient/{parameter_name(n)}": g for n, g in run.part("gradient_norm/").items()}
    return {**stages, "logits": run.tensors["logits"], "loss": run.tensors["loss"], **gradients}


def episode_batch(run: ReferenceRun) -> EpisodeBatch:
    """The file's episode, as a batch of one."""
    data, none = run.part("data/"), run.options["num_labels"]
    labels = torch.from_numpy(data["support_labels"])
    mask = data.get("support_mask")
    support, query = (
        torch.from_numpy(data[f"{kind}_images"]).permute(0, 3, 1, 2)[None] for kind in ("support", "query")
    )
    query_labels = torch.from_numpy(data["query_labels"])[None]
    classes = torch.arange(none)[None]
    return EpisodeBatch(
        support_images=support,
        support_labels=torch.where(labels == none, -1, labels)[None],
        query_images=query,
        query_labels=query_labels,
        classes=classes,
        slots=classes,
        support_rows=torch.arange(len(labels))[None],
        query_rows=torch.arange(query.shape[1])[None],
        support_classes=labels.clamp(max=none - 1)[None],
        ignore=None if mask is None else torch.from_numpy(mask).bool()[None],
    )


def nudged(batch: EpisodeBatch, size: float, seed: int) -> EpisodeBatch:
    """With every pixel changed by a share of itself, of standard deviation `size`."""
    made = torch.Generator().manual_seed(seed)
    query, support = (
        images * (1 + size * torch.randn(images.shape, generator=made))
        for images in (batch.query_images, batch.support_images)
    )
    return replace(batch, query_images=query, support_images=support)


def _difference(found: np.ndarray, expected: np.ndarray, smallest: float) -> float:
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), smallest))


# --------------------------------------------------------------------------------------- small files


def cut(run: ReferenceRun, parts: list[str], path: Path) -> None:
    """Write a small file: without the transformers of `parts`, the layers' inputs and wide activations."""
    last = max(int(name.split("/")[1][6:]) for name in run.tensors if name.startswith("stage/layer_"))
    layers = {p: last if p == "logits" else int(p.removeprefix("convs.")) + 1 for p in parts}
    kept = {}
    for name, array in run.tensors.items():
        is_cut = any(name.startswith(f"weight/{part}.slices.transformer.") for part in parts)
        is_wide = name.endswith("/act") and array.size > 3000
        is_input = any(name.startswith(f"stage/layer_{n}/tokens_in") for n in layers.values())
        is_gradient = name.startswith("gradient_norm/")
        is_whole = "logits" not in parts and re.match(
            rf"gradient_norm/(logits|convs\.{last - 2}\.(gamma|beta|base)|EXTRA\.fc)", name
        )
        if not (is_cut or is_wide or is_input or (is_gradient and not is_whole)):
            kept[name] = array
    setting = {"name": run.name, "reference": run.options, "episode": run.episode, "cut": parts}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(kept, path, {"setting": json.dumps(setting, sort_keys=True)})


if __name__ == "__main__":
    CONVS = [f"convs.{index}" for index in range(4)]
    cut(load(SHARED_FOLDER / "11b.safetensors"), CONVS, FIXTURES / "bases.safetensors")
    cut(load(SHARED_FOLDER / "8e.safetensors"), [*CONVS, "logits"], FIXTURES / "mix.safetensors")
