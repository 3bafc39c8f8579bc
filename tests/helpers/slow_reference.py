"""The reference system, one episode at a time and nothing batched: what
`htgen.hypertransformer.hypertransformer` must agree with.

Written from the description of the reference system (Zhmoginov, Sandler, Vladymyrov, "HyperTransformer",
ICML 2022), not from the model's code: images, tokens, heads and kernel positions are loops, and only
elementary tensor operations are used, so that gradients flow. It shares names and shapes of parameters
with the model, and nothing else.

An image is `[C, H, W]`, a token or a feature vector `[D]`; several of them are Python lists.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from htgen.config.model import ModelConfig

LABEL_NONE = -1
CNN_NORM_EPSILON = 1e-3
SHARED_NORM_EPSILON = 1e-3
LAYER_NORM_EPSILON = 1e-6
CNN_SLOPE = 0.01
TRANSFORMER_SLOPE = 0.1
MASK_PENALTY = 1e8


class Parameters:
    """Parameters by name below a prefix, as `model.state_dict()` calls them."""

    def __init__(self, tensors: Mapping[str, Tensor], prefix: str = "") -> None:
        self._tensors, self._prefix = tensors, prefix

    def below(self, name: str) -> "Parameters":
        return Parameters(self._tensors, f"{self._prefix}{name}.")

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[self._prefix + name]

    def __contains__(self, name: str) -> bool:
        return self._prefix + name in self._tensors


@dataclass
class Block:
    """One conv block of the CNN; sizes in pixels."""

    in_channels: int
    in_size: int
    out_size: int
    stride: int
    padding: int
    pool: bool


@dataclass
class SlowCnn:
    """A generated CNN, and the support statistics of its norms."""

    kernels: list[Tensor]
    biases: list[Tensor | None]
    gammas: list[Tensor]
    betas: list[Tensor]
    means: list[Tensor]
    variances: list[Tensor]
    weight: Tensor
    bias: Tensor


def slow_logits(
    config: ModelConfig,
    tensors: Mapping[str, Tensor],
    support: Tensor,
    labels: list[int],
    query: Tensor,
    slots: list[int],
    ignore: list[bool] | None = None,
) -> Tensor:
    """Logits `[Q, n]` of the query images of one episode.

    Args:
        tensors: `model.state_dict()`.
        support, query: `[S or Q, C, H, W]`.
        labels: class of each support image, or `LABEL_NONE`.
        slots: which label slot stands for each class.
        ignore: support images that are not to be seen.
    """
    images = list(support)
    ignore = ignore or [False] * len(images)
    shot = max(sum(label != LABEL_NONE for label in labels) / len(slots), 1)
    warps: list[tuple[float, float]] = []
    if config.views > shot:
        warps = [(10, 1), (-10, 1)] if config.views / shot <= 3 else [(10, 1), (-10, 1), (0, 1.12), (0, 0.9)]
    images += [_warp(image, *how) for how in warps for image in support]
    labels, ignore = labels * (1 + len(warps)), ignore * (1 + len(warps))
    cnn = _generate(config, Parameters(tensors), images, labels, slots, ignore)

    activations = list(query)
    for index, block in enumerate(cnn_blocks(config)):
        stats = (cnn.means[index], cnn.variances[index]) if config.cnn.norm == "support" else None
        parameters_of_norm = cnn.gammas[index], cnn.betas[index]
        kernel, bias = cnn.kernels[index], cnn.biases[index]
        activations, _ = _blocks(config, activations, kernel, bias, block, parameters_of_norm, stats, None)
    rows = []
    for x in activations:
        features = _head_features(config, x)
        rows.append(torch.stack([(features * cnn.weight[c]).sum() + cnn.bias[c] for c in range(len(slots))]))
    return torch.stack(rows)


def most_at_once(config: ModelConfig) -> int:
    """Classes that a transformer is shown: those of its table; of codes, 256."""
    return config.max_way if config.labels == "table" else 256


def slow_cross_entropy(logits: Tensor, labels: list[int]) -> Tensor:
    """Mean over queries of -log of the softmax."""
    losses = []
    for row, label in zip(logits, labels, strict=True):
        shifted = row - row.detach().max()
        losses.append(shifted.exp().sum().log() - shifted[label])
    return torch.stack(losses).sum() / len(losses)


def cnn_blocks(config: ModelConfig) -> list[Block]:
    """The CNN's conv blocks, with the sizes that go through them."""
    maxpool = config.cnn.shape == "maxpool-4-layer"
    count = 3 if config.cnn.shape == "3-layer" else 4
    blocks = []
    size, channels = config.image_size, config.image_channels
    for index in range(count):
        if maxpool:
            pool = index + 1 in config.cnn.pools
            out = size // 2 if pool else size
            blocks.append(Block(channels, size, out, 1, (config.cnn.kernel - 1) // 2, pool))
        else:
            stride = 2 if config.cnn.stride is None else config.cnn.stride
            out = len(range(0, size - config.cnn.kernel + 1, stride))
            blocks.append(Block(channels, size, out, stride, 0, False))
        size, channels = out, config.cnn.channels
    return blocks


def _generate(
    config: ModelConfig,
    parameters: Parameters,
    images: list[Tensor],
    labels: list[int],
    slots: list[int],
    ignore: list[bool],
) -> SlowCnn:
    """The layerwise loop: features, tokens, transformer, weights, the support set through them; next."""
    shared: list[Tensor] = [x.new_zeros(0) for x in images]
    if config.shared.layers:
        shared = _shared_features(config, parameters.below("shared"), images, ignore)
    label_rows = [LABEL_NONE if label == LABEL_NONE else slots[label] for label in labels]

    shown = list(range(len(images)))  # to the writers of convolutions
    if len(slots) > most_at_once(config):
        chosen = [i * len(slots) // most_at_once(config) for i in range(most_at_once(config))]
        shown = [i for i in shown if labels[i] in (LABEL_NONE, *chosen)]
        if config.labels == "table":
            label_rows = [chosen.index(label) if label in chosen else LABEL_NONE for label in labels]

    kernels, biases, gammas, betas, means, variances = [], [], [], [], [], []
    activations = images
    blocks = cnn_blocks(config)
    for index, block in enumerate(blocks):
        layer = parameters.below(f"convs.{index}")
        n = config.weights.learned_layers
        learned = index < n if n >= 0 else index >= len(blocks) + n
        has_copy = config.cnn.separate_query_norm == "kernels"
        if learned:
            kernel, bias, gamma, beta = layer["base_kernel"], None, layer["gamma"], layer["beta"]
            query = (layer["base_query_kernel"] if has_copy else kernel), bias, gamma, beta
        else:
            channels = max(block.in_channels, config.cnn.channels)
            local = _local_features(config, layer, activations, channels, layers=2)
            tokens = [[local[i], shared[i]] for i in shown]
            rows, hidden = [label_rows[i] for i in shown], [ignore[i] for i in shown]
            written = _generated_conv(config, layer, block, tokens, rows, hidden)
            kernel, bias, gamma, beta = _with_bases(config, layer, written, "base_")
            query = _with_bases(config, layer, written, "base_query_" if has_copy else "base_")
        activations, (mean, variance) = _blocks(
            config, activations, kernel, bias, block, (gamma, beta), None, ignore
        )
        kernels.append(query[0])
        biases.append(query[1])
        gammas.append(layer["query_gamma"] if "query_gamma" in layer else query[2])
        betas.append(layer["query_beta"] if "query_beta" in layer else query[3])
        means.append(mean)
        variances.append(variance)

    weight, bias = _generated_logits(
        config, parameters.below("logits"), activations, shared, labels, label_rows, slots, ignore
    )
    return SlowCnn(kernels, biases, gammas, betas, means, variances, weight, bias)


# ----------------------------------------------------------------------------------------- weights


def _generated_conv(
    config: ModelConfig,
    layer: Parameters,
    block: Block,
    features: list[list[Tensor]],
    label_rows: list[int],
    ignore: list[bool],
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """Kernel `[O, C, k, k]`, bias, gamma and beta `[O]` of one block, without what `weights.base` adds."""
    weights = config.weights
    k, inputs, outputs = config.cnn.kernel, block.in_channels, config.cnn.channels
    scale = layer["scale"] if weights.base is True else 1.0
    bias, gamma, beta = None, None, None
    if weights.allocation == "output":
        size = k * k * inputs
        total = size + (1 if weights.generate_bias else 0) + (2 if weights.generate_norm else 0)
        slices = _slices(config, layer.below("slices"), features, label_rows, outputs, total, ignore)
        if config.conventions == "reference":  # [k, k, C]
            kernels = [s[:size].reshape(k, k, inputs).permute(2, 0, 1) for s in slices]
        else:
            kernels = [s[:size].reshape(inputs, k, k) for s in slices]
        kernel = torch.stack(kernels) * scale
        rest = [[s[size + j] for s in slices] for j in range(total - size)]
        if weights.generate_bias:
            bias = torch.stack(rest.pop(0)) * scale
        if weights.generate_norm:
            gamma, beta = torch.stack(rest[0]) * scale, torch.stack(rest[1]) * scale
            if weights.base is True:
                gamma = gamma + 1
    else:
        size = inputs * outputs
        slices = _slices(config, layer.below("slices"), features, label_rows, k * k, size, ignore)
        # Position (a, b) of the kernel is slice a * k + b.
        if config.conventions == "reference":  # [C, O]
            positions = [s.reshape(inputs, outputs).T for s in slices]
        else:
            positions = [s.reshape(outputs, inputs) for s in slices]
        rows = [torch.stack(positions[a * k : a * k + k], dim=2) for a in range(k)]
        kernel = torch.stack(rows, dim=2) * scale
    if gamma is None or beta is None:
        gamma, beta = layer["gamma"], layer["beta"]
    return kernel, bias, gamma, beta


def _with_bases(
    config: ModelConfig,
    layer: Parameters,
    written: tuple[Tensor, Tensor | None, Tensor, Tensor],
    prefix: str,
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """Kernel, bias, gamma and beta with the learned parts of these names added."""
    kernel, bias, gamma, beta = written
    if config.weights.base:
        kernel = kernel + layer[f"{prefix}kernel"]
    if config.weights.base == "all":
        if bias is not None:
            bias = bias + layer[f"{prefix}bias"]
        if config.weights.generate_norm:
            gamma, beta = gamma + layer[f"{prefix}gamma"], beta + layer[f"{prefix}beta"]
    return kernel, bias, gamma, beta


def _generated_logits(
    config: ModelConfig,
    layer: Parameters,
    activations: list[Tensor],
    shared: list[Tensor],
    labels: list[int],
    label_rows: list[int],
    slots: list[int],
    ignore: list[bool],
) -> tuple[Tensor, Tensor]:
    """Weight `[n, F]` and bias `[n]` of the logits layer."""
    inputs = [_head_features(config, x) for x in activations]
    count = len(inputs[0])
    as_reference, flattened = config.conventions == "reference", config.cnn.shape == "maxpool-4-layer"
    tokens: list[list[Tensor]] = [[] for _ in activations]
    if config.local.logits in ("default", "mix"):
        local = _local_features(config, layer, activations, config.cnn.channels, layers=1)
        tokens = [[x] for x in local]
    if config.local.logits in ("passthrough", "mix"):
        own = inputs
        if as_reference and flattened:  # [H, W, C]
            own = [x.permute(1, 2, 0).reshape(-1) for x in activations]
        pairs = zip(tokens, own, strict=True)
        tokens = [[x, *token] if as_reference else [*token, x] for token, x in pairs]
    tokens = [[*token, x] for token, x in zip(tokens, shared, strict=True)]
    if len(slots) > most_at_once(config):
        slices = [inputs[0].new_zeros(count + 1) for _ in slots]
    else:
        slices = _slices(config, layer.below("slices"), tokens, label_rows, slots, count + 1, ignore)
    weights, biases = [s[:count] for s in slices], [s[count] for s in slices]
    if as_reference and flattened:
        side = activations[0].shape[1]
        weights = [w.reshape(side, side, -1).permute(2, 0, 1).reshape(-1) for w in weights]
    if config.weights.base == "all":
        prefix = "base_query_" if config.cnn.separate_query_norm == "kernels" else "base_"
        base_weight, base_bias = layer[f"{prefix}weight"], layer[f"{prefix}bias"]
        weights = [w + base_weight[slot] for w, slot in zip(weights, slots, strict=True)]
        biases = [b + base_bias[slot] for b, slot in zip(biases, slots, strict=True)]
    if config.weights.prototypes:
        # -sharpness |x - mean|^2, less its mean over the classes; plus the generated layer.
        sharpness = layer["log_sharpness"].exp()
        plda = layer.below("plda") if config.weights.plda else None
        means, counts = _class_means(len(slots), inputs, labels, ignore)
        nearest = _nearest(means, counts, sharpness, plda)
        for _ in range(config.weights.refine_prototypes):
            means, counts = _refined(nearest, inputs, labels, ignore)
            nearest = _nearest(means, counts, sharpness, plda)
        for c, (weight, bias) in enumerate(nearest):
            weights[c] = weight + layer["scale"] * weights[c]
            biases[c] = bias + layer["scale"] * biases[c]
    return torch.stack(weights), torch.stack(biases)


def _class_means(
    way: int, inputs: list[Tensor], labels: list[int], ignore: list[bool]
) -> tuple[list[Tensor], list[Tensor]]:
    """The mean of each class, and of how many samples it is."""
    means, counts = [], []
    for c in range(way):
        members = [x for x, label, out in zip(inputs, labels, ignore, strict=True) if label == c and not out]
        means.append(sum(members, torch.zeros_like(inputs[0])) / max(len(members), 1))
        counts.append(torch.tensor(float(len(members)), dtype=inputs[0].dtype))
    return means, counts


def _nearest(
    means: list[Tensor], counts: list[Tensor], sharpness: Tensor, plda: Parameters | None
) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of each class, less what all have in common.

    With PLDA (Ioffe 2006): along each of its directions a class centre is normal about 0 with variance 1 / r
    and a sample about its centre with variance 1. The logit is that of the centre's posterior mean, the
    sample's variance being that about an uncertain centre, relative to what it is when r = 0.
    """
    weights, biases = [], []
    for mean, count in zip(means, counts, strict=True):
        if plda is None:
            weights.append(2 * sharpness * mean)
            biases.append(-sharpness * (mean * mean).sum())
            continue
        typical = sum(counts) / len(counts)
        weight, bias = torch.zeros_like(mean), torch.zeros_like(sharpness)
        for k, r in enumerate(plda["prior_counts"]):
            direction = plda["directions"][:, k]
            centre = count * ((mean - plda["centre"]) @ direction) / (count + r)
            precision = (1 + 1 / typical) / (1 + 1 / (typical + r))
            weight = weight + 2 * sharpness * precision * centre * direction
            bias = bias - sharpness * precision * centre * centre
        weights.append(weight)
        biases.append(bias - weight @ plda["centre"])
    # In all classes alike: taken off the weights where the coordinates have their origin.
    shared_weight = sum(weights, torch.zeros_like(weights[0])) / len(weights)
    origin = torch.zeros_like(means[0]) if plda is None else plda["centre"]
    at_origin = [w @ origin + b for w, b in zip(weights, biases, strict=True)]
    shared_bias = sum(at_origin, torch.zeros_like(biases[0])) / len(biases)
    return [
        (w - shared_weight, value - shared_bias - (w - shared_weight) @ origin)
        for w, value in zip(weights, at_origin, strict=True)
    ]


def _refined(
    nearest: list[tuple[Tensor, Tensor]], inputs: list[Tensor], labels: list[int], ignore: list[bool]
) -> tuple[list[Tensor], list[Tensor]]:
    """Class means in which each unlabelled sample counts as much as it belongs to the class."""
    totals = [torch.zeros_like(inputs[0]) for _ in nearest]
    counts = [torch.zeros((), dtype=inputs[0].dtype) for _ in nearest]
    for x, label, out in zip(inputs, labels, ignore, strict=True):
        if out:
            continue
        if label >= 0:
            shares = [float(c == label) for c in range(len(nearest))]
        else:
            logits = torch.stack([weight @ x + bias for weight, bias in nearest])
            shares = list(torch.exp(logits - torch.logsumexp(logits, 0)))
        totals = [total + share * x for total, share in zip(totals, shares, strict=True)]
        counts = [count + share for count, share in zip(counts, shares, strict=True)]
    means = [total / count if count > 0 else total for total, count in zip(totals, counts, strict=True)]
    return means, counts


def _slices(
    config: ModelConfig,
    layer: Parameters,
    features: list[list[Tensor]],
    label_rows: list[int],
    wanted: int | list[int],
    slice_size: int,
    ignore: list[bool],
) -> list[Tensor]:
    """The weight slices of one layer, from the features of each support sample.

    Args:
        label_rows: the slot of each sample, or `LABEL_NONE`.
        wanted: slots of the classes that there are slices for; or how many slices there are.
    """
    embedding = config.embedding_dim
    separate = config.transformer.topology == "separate"
    sample_width = embedding + sum(len(x) for x in features[0])
    weight_width = embedding + slice_size
    if not separate:
        sample_width = weight_width = max(sample_width, weight_width)
    samples = [
        _padded(torch.cat([_embedded(config, layer["labels"], row, 1), *parts]), sample_width)
        for row, parts in zip(label_rows, features, strict=True)
    ]
    if isinstance(wanted, int):
        own = [layer["placeholders"][row] for row in range(wanted)]
    else:
        own = [_embedded(config, layer["placeholders"], slot, 0) for slot in wanted]
    placeholders = [_padded(x, weight_width) for x in own]
    tokens = _transformer(config, layer.below("transformer"), placeholders, samples, ignore)
    return [token[embedding : embedding + slice_size] for token in tokens]


def _embedded(config: ModelConfig, table: Tensor, slot: int, unlabeled_rows: int) -> Tensor:
    """What stands for a slot, or for no label: a row of the table, or the map of a code and its offset."""
    if slot == LABEL_NONE:
        return table[config.max_way]
    if config.labels == "table":
        return table[slot]
    assert len(table) == config.max_way + unlabeled_rows + 1
    code = slot_code(slot, config.max_way)
    return sum((number * table[k] for k, number in enumerate(code)), table[-1])


def slot_code(slot: int, width: int) -> list[float]:
    """Row `slot % width` of `C D1 C D2 C D3`: cosines and hashed signs, in Python's numbers."""

    def mix(x: int) -> int:  # SplitMix64
        x = (x + 0x9E3779B97F4A7C15) % 2**64
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
        return x ^ (x >> 31)

    def cosine(row: int, column: int) -> float:
        value = math.cos(math.pi * row * (column + 0.5) / width) * math.sqrt((1 if row == 0 else 2) / width)
        return struct.unpack("f", struct.pack("f", value))[0]  # as float32 has it

    matrix, row = divmod(slot, width)
    code = [1.0 if k == row else 0.0 for k in range(width)]
    for factor in range(3):
        code = [sum(code[k] * cosine(k, column) for k in range(width)) for column in range(width)]
        bits = [mix(mix(matrix) ^ mix(factor * width + column)) for column in range(width)]
        code = [-x if bit >> 32 & 1 else x for x, bit in zip(code, bits, strict=True)]
    return code


def _padded(x: Tensor, width: int) -> Tensor:
    assert len(x) <= width
    return torch.cat([x, x.new_zeros(width - len(x))])


# ------------------------------------------------------------------------------------- transformer


def _transformer(
    config: ModelConfig,
    parameters: Parameters,
    placeholders: list[Tensor],
    samples: list[Tensor],
    ignore: list[bool],
) -> list[Tensor]:
    """The processed placeholders."""
    topology, layers = config.transformer.topology, config.transformer.layers
    unmasked = [False] * len(placeholders)
    if topology == "separate":
        encoder_input, encoder_mask = samples, ignore
        decoder_input, decoder_mask = placeholders, unmasked
    else:
        encoder_input, encoder_mask = [*placeholders, *samples], [*unmasked, *ignore]
        decoder_input, decoder_mask = encoder_input, encoder_mask

    memory = encoder_input
    for index in range(layers):
        layer = parameters.below(f"encoder.{index}")
        memory = _attend(config, layer, "attention", memory, memory, encoder_mask)
        memory = _mlp(config, layer, memory, "encoder", last=index == layers - 1)
    if topology == "joint":
        return memory[: len(placeholders)]
    x = decoder_input
    for index in range(layers):
        layer = parameters.below(f"decoder.{index}")
        x = _attend(config, layer, "attention", x, x, decoder_mask)
        x = _attend(config, layer, "cross", x, memory, encoder_mask)
        x = _mlp(config, layer, x, "decoder", last=index == layers - 1)
    return x[: len(placeholders)]


def _attend(
    config: ModelConfig,
    layer: Parameters,
    name: str,
    tokens: list[Tensor],
    sources: list[Tensor],
    mask: list[bool],
) -> list[Tensor]:
    """Multi-head attention, residual, LayerNorm."""
    heads = config.transformer.heads
    attention = layer.below(name)
    width = len(tokens[0])
    key_size = _width(config, config.transformer.key_width, width) // heads
    value_size = _width(config, config.transformer.value_width, width) // heads
    queries = [_linear(attention.below("query"), t) for t in tokens]
    keys = torch.stack([_linear(attention.below("key"), s) for s in sources])
    values = torch.stack([_linear(attention.below("value"), s) for s in sources])
    assert keys.shape[1] == key_size * heads
    assert values.shape[1] == value_size * heads
    penalty = keys.new_tensor([MASK_PENALTY * hidden for hidden in mask])
    out = []
    for token, query in zip(tokens, queries, strict=True):
        mixed = []
        for h in range(heads):
            key = keys[:, h * key_size : (h + 1) * key_size]
            value = values[:, h * value_size : (h + 1) * value_size]
            logits = (key * query[h * key_size : (h + 1) * key_size]).sum(1) / key_size**0.5 - penalty
            if config.transformer.activation == "softmax":
                shares = (logits - logits.detach().max()).exp()
                shares = shares / shares.sum()
            else:
                shares = (1 + (logits / 2).tanh()) / 2  # the logistic function, without overflow
            mixed.append((shares[:, None] * value).sum(0))
        attended = _linear(attention.below("output"), torch.cat(mixed))
        out.append(_layer_norm(layer.below(f"{name}_norm"), token + attended))
    return out


def _mlp(config: ModelConfig, layer: Parameters, tokens: list[Tensor], part: str, last: bool) -> list[Tensor]:
    """Two-layer MLP, residual, LayerNorm; nothing at all if its inner width is 0.

    In the reference a decoder has ReLU, whatever is set, and the MLP of the last layer is linear only where
    there is no decoder.
    """
    settings = config.transformer
    nonlinearity, linear = settings.nonlinearity, last and settings.skip_last_nonlinearity
    if settings.decoder_nonlinearity == "relu" and settings.topology != "joint":
        linear = False
        if part == "decoder":
            nonlinearity = "relu"
    if settings.inner_width == 0:
        assert "mlp.expand.weight" not in layer
        return tokens
    inner = _width(config, settings.inner_width, len(tokens[0]))
    out = []
    for token in tokens:
        x = _linear(layer.below("mlp.expand"), token)
        assert len(x) == inner
        if not linear:
            if nonlinearity == "relu":
                x = _leaky(x, 0.0)
            elif nonlinearity == "lrelu":
                x = _leaky(x, TRANSFORMER_SLOPE)
            else:
                x = x * (1 + torch.erf(x / 2**0.5)) / 2
        out.append(_layer_norm(layer.below("mlp_norm"), token + _linear(layer.below("mlp.contract"), x)))
    return out


def _width(config: ModelConfig, setting: float, token_width: int) -> int:
    """Up to 3.0 a fraction of the token width, else absolute; rounded up to a multiple of the heads.

    In the reference cut to a whole number first, and rounded up only as a fraction of tokens that samples and
    weights share.
    """
    heads = config.transformer.heads
    exact = setting * token_width if setting <= 3.0 else setting
    if config.conventions == "reference":
        exact = math.floor(exact)
        if setting > 3.0 or config.transformer.topology == "separate":
            return exact
    width = 0
    while width < exact - 1e-6:
        width += heads
    return width


def _linear(parameters: Parameters, x: Tensor) -> Tensor:
    return (parameters["weight"] * x).sum(1) + parameters["bias"]


def _layer_norm(parameters: Parameters, x: Tensor) -> Tensor:
    centred = x - x.sum() / len(x)
    variance = (centred * centred).sum() / len(x)
    return centred / (variance + LAYER_NORM_EPSILON).sqrt() * parameters["weight"] + parameters["bias"]


# ---------------------------------------------------------------------------------------- features


def _shared_features(
    config: ModelConfig, parameters: Parameters, images: list[Tensor], ignore: list[bool]
) -> list[Tensor]:
    """Conv, ReLU and perhaps norm, layer by layer; averaged over positions."""
    x = images
    layers = config.shared.layers
    for index in range(layers):
        conv = parameters.below(f"convs.{index}")
        stride = 1 if index == layers - 1 else 2
        padding = _padding(config, x[0].shape[1], stride) if config.shared.padding == "same" else (0, 0)
        x = [_leaky(_convolve(i, conv["weight"], conv["bias"], stride, padding), 0.0) for i in x]
        if config.shared.norm:
            norm = parameters.below(f"norms.{index}")
            if config.shared.norm == "scale":  # moving statistics that never move
                mean, variance = torch.zeros_like(norm["bias"]), torch.ones_like(norm["bias"])
            else:
                mean, variance = _moments([i for i, out in zip(x, ignore, strict=True) if not out])
            x = [_normalise(i, mean, variance, norm["weight"], norm["bias"], SHARED_NORM_EPSILON) for i in x]
    return [_average(i) for i in x]


def _padding(config: ModelConfig, size: int, stride: int) -> tuple[int, int]:
    """Zeros before and behind, so that there are `size / stride` pixels, rounded up, after a kernel of 3."""
    if config.conventions == "htgen":
        return 1, 1
    missing = (math.ceil(size / stride) - 1) * stride + 3 - size
    return missing // 2, missing - missing // 2


def _local_features(
    config: ModelConfig, layer: Parameters, activations: list[Tensor], channels: int, layers: int
) -> list[Tensor]:
    """What each conv over the activations says, averaged over positions; the convs feed each other."""
    of_logits = layers == 1
    normal = 3 if of_logits or config.local.kernel == 3 else config.cnn.kernel
    nonlinear = config.local.nonlinear is True or (config.local.nonlinear == "logits" and of_logits)
    width = channels if config.local.width is None else config.local.width
    if width == 0:
        assert "local.convs.0.weight" not in layer
        return [x.new_zeros(0) for x in activations]
    features = []
    for activation in activations:
        x, pooled = activation, []
        for index in range(layers):
            size = x.shape[1]
            # What is larger than the image that comes in shrinks to it; htgen's second one does not.
            kernel = normal if index and config.conventions == "htgen" else min(normal, activation.shape[1])
            if size < kernel:
                assert f"local.convs.{index}.weight" not in layer
                break
            conv = layer.below(f"local.convs.{index}")
            assert conv["weight"].shape == (width, len(x), kernel, kernel)
            x = _convolve(x, conv["weight"], conv["bias"], 1 if index == layers - 1 else 2, (0, 0))
            positive = _leaky(x, 0.0)
            pooled.append(_average(positive if nonlinear else x))
            x = positive
        features.append(torch.cat(pooled))
    return features


def _average(image: Tensor) -> Tensor:
    return image.sum(dim=(1, 2)) / (image.shape[1] * image.shape[2])


# --------------------------------------------------------------------------------------------- CNN


def _blocks(
    config: ModelConfig,
    images: list[Tensor],
    kernel: Tensor,
    bias: Tensor | None,
    block: Block,
    parameters_of_norm: tuple[Tensor, Tensor],
    stats: tuple[Tensor, Tensor] | None,
    ignore: list[bool] | None,
) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
    """Conv, activation, pool, norm, or another order; without `stats`, those of the images."""
    steps = {
        False: ["activate", "pool", "norm"],
        True: ["norm", "activate", "pool"],
        "after-pool": ["pool", "norm", "activate"],
    }[config.cnn.norm_first]
    if not block.pool:
        steps = [step for step in steps if step != "pool"]
    padding = block.padding, block.padding
    x = [_convolve(image, kernel, bias, block.stride, padding) for image in images]
    for step in steps:
        if step == "activate":
            x = [_leaky(i, 0.0 if config.cnn.activation == "relu" else CNN_SLOPE) for i in x]
        elif step == "pool":
            x = [_max_pool(i) for i in x]
        else:
            hidden = [False] * len(x) if ignore is None or config.cnn.count_ignored else ignore
            stats = stats or _moments([i for i, out in zip(x, hidden, strict=True) if not out])
            x = [_normalise(i, *stats, *parameters_of_norm, CNN_NORM_EPSILON) for i in x]
    assert x[0].shape == (config.cnn.channels, block.out_size, block.out_size)
    assert stats is not None
    return x, stats


def _warp(image: Tensor, degrees: float, size: float) -> Tensor:
    """Every pixel reads, bilinearly, from a place turned about the centre and stretched by `size`."""
    side = image.shape[1]
    middle = (side - 1) / 2
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    rows = []
    for row in range(side):
        pixels = []
        for column in range(side):
            x, y = column - middle, row - middle
            x, y = size * (cosine * x - sine * y) + middle, size * (sine * x + cosine * y) + middle
            x, y = min(max(x, 0), side - 1), min(max(y, 0), side - 1)
            left, top = min(int(x), side - 2), min(int(y), side - 2)
            right_share, low_share = x - left, y - top
            upper = image[:, top, left] * (1 - right_share) + image[:, top, left + 1] * right_share
            lower = image[:, top + 1, left] * (1 - right_share) + image[:, top + 1, left + 1] * right_share
            pixels.append(upper * (1 - low_share) + lower * low_share)
        rows.append(torch.stack(pixels, dim=1))
    return torch.stack(rows, dim=1)


def _convolve(
    image: Tensor, kernel: Tensor, bias: Tensor | None, stride: int, padding: tuple[int, int]
) -> Tensor:
    """`[C, H, W] * [O, C, k, k] -> [O, H', W']`, as one sum per kernel position; zeros before and behind."""
    channels, height, width = image.shape
    side = kernel.shape[2]
    before = padding[0]
    padded = image.new_zeros(channels, height + sum(padding), width + sum(padding))
    padded[:, before : before + height, before : before + width] = image
    rows = len(range(0, padded.shape[1] - side + 1, stride))
    columns = len(range(0, padded.shape[2] - side + 1, stride))
    out = image.new_zeros(len(kernel), rows, columns)
    for a in range(side):
        for b in range(side):
            patch = padded[:, a : a + stride * rows : stride, b : b + stride * columns : stride]
            out = out + (kernel[:, :, a, b, None, None] * patch[None, :, :rows, :columns]).sum(1)
    return out if bias is None else out + bias[:, None, None]


def _max_pool(image: Tensor) -> Tensor:
    """Largest of each 2x2; an odd row or column at the end is left out."""
    rows, columns = image.shape[1] // 2 * 2, image.shape[2] // 2 * 2
    corners = [image[:, a:rows:2, b:columns:2] for a in range(2) for b in range(2)]
    return torch.maximum(torch.maximum(corners[0], corners[1]), torch.maximum(corners[2], corners[3]))


def _leaky(x: Tensor, slope: float) -> Tensor:
    return torch.where(x > 0, x, slope * x)


def _moments(images: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel over images and positions."""
    count = sum(x.shape[1] * x.shape[2] for x in images)
    mean = sum((x.sum(dim=(1, 2)) for x in images), images[0].new_zeros(len(images[0]))) / count
    variance = torch.zeros_like(mean)
    for x in images:
        centred = x - mean[:, None, None]
        variance = variance + (centred * centred).sum(dim=(1, 2)) / count
    return mean, variance


def _normalise(
    x: Tensor, mean: Tensor, variance: Tensor, gamma: Tensor, beta: Tensor, epsilon: float
) -> Tensor:
    scaled = (x - mean[:, None, None]) / (variance[:, None, None] + epsilon).sqrt()
    return scaled * gamma[:, None, None] + beta[:, None, None]


def _head_features(config: ModelConfig, image: Tensor) -> Tensor:
    """Inputs of the logits layer: every activation, or the average over positions."""
    return image.reshape(-1) if config.cnn.shape == "maxpool-4-layer" else _average(image)
