"""Tokens in, tokens out. Knows no images and no CNN; adds no positions, so token order carries nothing.

Axis legend: E episodes, T tokens, D token width.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from htgen.hypertransformer.plan import LAYER_NORM_EPSILON, LEAKY_SLOPE, resolve_width

AttentionActivation = Literal["softmax", "sigmoid"]

Nonlinearity = Literal["relu", "gelu", "lrelu"]

Topology = Literal["joint", "encoder-decoder", "separate"]

MASK_PENALTY = 1e8


class Attention(nn.Module):
    """Multi-head attention: queries `[E, T, D]` over sources `[E, U, D']` -> `[E, T, D]`.

    `ignore` `[E, U]` is 1 for sources that are not to be seen; it is subtracted from the attention
    logits times 1e8 (as in the reference system). `sigmoid` weighs every source on its own instead of
    sharing a total of one.
    """

    def __init__(
        self,
        width: int,
        source_width: int,
        key_width: int,
        value_width: int,
        heads: int,
        activation: AttentionActivation,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.activation = activation
        self.query = nn.Linear(width, key_width)
        self.key = nn.Linear(source_width, key_width)
        self.value = nn.Linear(source_width, value_width)
        self.output = nn.Linear(value_width, width)

    def forward(self, x: Tensor, source: Tensor, ignore: Tensor | None = None) -> Tensor:
        query, key, value = (
            t.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for t in (self.query(x), self.key(source), self.value(source))
        )  # [E, heads, T or U, width / heads]
        penalty = None if ignore is None else ignore.to(x.dtype)[:, None, None, :] * -MASK_PENALTY
        if self.activation == "softmax":
            out = F.scaled_dot_product_attention(query, key, value, attn_mask=penalty)
        else:
            logits = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
            out = torch.sigmoid(logits if penalty is None else logits + penalty) @ value
        return self.output(out.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two-layer MLP of inner width `inner`; without nonlinearity when `linear`."""

    def __init__(self, width: int, inner: int, nonlinearity: Nonlinearity, linear: bool) -> None:
        super().__init__()
        self.expand = nn.Linear(width, inner)
        self.contract = nn.Linear(inner, width)
        self.nonlinearity: Nonlinearity | None = None if linear else nonlinearity

    def forward(self, x: Tensor) -> Tensor:
        x = self.expand(x)
        if self.nonlinearity == "relu":
            x = F.relu(x)
        elif self.nonlinearity == "gelu":
            x = F.gelu(x)
        elif self.nonlinearity == "lrelu":
            x = F.leaky_relu(x, LEAKY_SLOPE)
        return self.contract(x)


class Layer(nn.Module):
    """Post-norm layer: self-attention, cross-attention (decoder layers only), MLP; each with dropout,
    residual and LayerNorm. An inner width of 0 removes the MLP."""

    def __init__(
        self,
        width: int,
        *,
        key_width: int,
        value_width: int,
        inner_width: int,
        heads: int,
        dropout: float,
        activation: AttentionActivation,
        nonlinearity: Nonlinearity,
        linear_mlp: bool,
        cross_width: int | None = None,
    ) -> None:
        super().__init__()
        self.attention = Attention(width, width, key_width, value_width, heads, activation)
        self.attention_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPSILON)
        self.cross = self.cross_norm = None
        if cross_width is not None:
            self.cross = Attention(width, cross_width, key_width, value_width, heads, activation)
            self.cross_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPSILON)
        self.mlp = self.mlp_norm = None
        if inner_width:
            self.mlp = Mlp(width, inner_width, nonlinearity, linear_mlp)
            self.mlp_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        ignore: Tensor | None = None,
        memory: Tensor | None = None,
        memory_ignore: Tensor | None = None,
        keep: int | None = None,
    ) -> Tensor:
        """`[E, T, D] -> [E, T or keep, D]`; with `keep`, only the first tokens are wanted of the result."""
        source = x
        x = x[:, :keep]
        x = self.attention_norm(x + self.dropout(self.attention(x, source, ignore)))
        if self.cross is not None and self.cross_norm is not None and memory is not None:
            x = self.cross_norm(x + self.dropout(self.cross(x, memory, memory_ignore)))
        if self.mlp is not None and self.mlp_norm is not None:
            x = self.mlp_norm(x + self.dropout(self.mlp(x)))
        return x


class Transformer(nn.Module):
    """Processes weight placeholders in view of the support samples.

    Args:
        topology: `joint` = placeholders and samples in one encoder sequence; `encoder-decoder` = the
            same joint sequence goes to an encoder and to a decoder; `separate` = samples to the
            encoder, placeholders to the decoder.
        sample_width, weight_width: token widths; equal except in `separate`.
        key_width, value_width, inner_width: see `resolve_width`.
    """

    def __init__(
        self,
        *,
        topology: Topology,
        sample_width: int,
        weight_width: int,
        layers: int,
        heads: int,
        key_width: float,
        value_width: float,
        inner_width: float,
        dropout: float = 0.0,
        activation: AttentionActivation = "softmax",
        nonlinearity: Nonlinearity = "relu",
        skip_last_nonlinearity: bool = False,
    ) -> None:
        super().__init__()
        self.topology = topology

        def layer(width: int, index: int, cross_width: int | None = None) -> Layer:
            return Layer(
                width,
                key_width=resolve_width(key_width, width, heads),
                value_width=resolve_width(value_width, width, heads),
                inner_width=resolve_width(inner_width, width, heads),
                heads=heads,
                dropout=dropout,
                activation=activation,
                nonlinearity=nonlinearity,
                linear_mlp=skip_last_nonlinearity and index == layers - 1,
                cross_width=cross_width,
            )

        self.encoder = nn.ModuleList(layer(sample_width, i) for i in range(layers))
        self.decoder = nn.ModuleList(
            layer(weight_width, i, cross_width=sample_width)
            for i in range(layers if topology != "joint" else 0)
        )

    def forward(self, placeholders: Tensor, samples: Tensor, ignore: Tensor | None = None) -> Tensor:
        """Process placeholders `[E, P, D]` given samples `[E, S, D']` -> `[E, P, D]`.

        Args:
            ignore: `[E, S]`, 1 for samples that are not to be seen.
        """
        count = placeholders.shape[1]
        if self.topology == "separate":
            x, memory = placeholders, samples
        else:
            x = memory = torch.cat([placeholders, samples], dim=1)
            if ignore is not None:
                ignore = F.pad(ignore.to(x.dtype), (count, 0))
        # Nothing reads what the last layer makes of the samples, so it is not computed.
        is_joint = self.topology == "joint"
        for index, layer in enumerate(self.encoder, start=1):
            memory = layer(memory, ignore, keep=count if is_joint and index == len(self.encoder) else None)
        if is_joint:
            return memory
        own_ignore = ignore if self.topology == "encoder-decoder" else None
        for index, layer in enumerate(self.decoder, start=1):
            keep = count if index == len(self.decoder) else None
            x = layer(x, own_ignore, memory, ignore, keep)
        return x
