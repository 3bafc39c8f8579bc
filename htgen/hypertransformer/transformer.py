"""The transformer, part 4: tokens in, tokens out.

It knows no images and no CNN, and adds no positions, so token order carries nothing.

Axis legend: E episodes, T tokens, D token width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from htgen.hypertransformer import fused_layer, joint_layer
from htgen.hypertransformer.transformer_plan import (
    LAYER_NORM_EPSILON,
    MLP_LEAKY_SLOPE,
    AttentionPlan,
    LayerPlan,
    MlpPlan,
    TransformerPlan,
)

MASK_PENALTY = 1e8


class Attention(nn.Module):
    """Multi-head attention: queries `[E, T, D]` over sources `[E, U, D']` -> `[E, T, D]`.

    `ignore` `[E, U]` is 1 for sources that are not to be seen; it is subtracted from the attention
    logits times 1e8 (as in the reference system). `sigmoid` weighs every source on its own instead of
    sharing a total of one.
    """

    def __init__(self, plan: AttentionPlan) -> None:
        super().__init__()
        self.heads, self.activation = plan.heads, plan.activation
        self.query = nn.Linear(plan.width, plan.key_width)
        self.key = nn.Linear(plan.source_width, plan.key_width)
        self.value = nn.Linear(plan.source_width, plan.value_width)
        self.output = nn.Linear(plan.value_width, plan.width)

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
    """Two linear layers, with a nonlinearity between them or none."""

    def __init__(self, plan: MlpPlan) -> None:
        super().__init__()
        self.expand = nn.Linear(plan.width, plan.inner_width)
        self.contract = nn.Linear(plan.inner_width, plan.width)
        self.nonlinearity = plan.nonlinearity

    def forward(self, x: Tensor) -> Tensor:
        x = self.expand(x)
        if self.nonlinearity == "relu":
            x = F.relu(x)
        elif self.nonlinearity == "gelu":
            x = F.gelu(x)
        elif self.nonlinearity == "lrelu":
            x = F.leaky_relu(x, MLP_LEAKY_SLOPE)
        return self.contract(x)


class Layer(nn.Module):
    """Post-norm layer: self-attention, cross-attention (decoder layers only), MLP (if it has one); each with
    dropout, residual and LayerNorm."""

    def __init__(self, plan: LayerPlan) -> None:
        super().__init__()
        self.plan = plan
        self.attention = Attention(plan.attention)
        self.attention_norm = nn.LayerNorm(plan.width, eps=LAYER_NORM_EPSILON)
        if plan.cross is not None:
            self.cross = Attention(plan.cross)
            self.cross_norm = nn.LayerNorm(plan.width, eps=LAYER_NORM_EPSILON)
        if plan.mlp is not None:
            self.mlp = Mlp(plan.mlp)
            self.mlp_norm = nn.LayerNorm(plan.width, eps=LAYER_NORM_EPSILON)
        self.dropout = nn.Dropout(plan.dropout)

    def forward(
        self,
        x: Tensor,
        placeholders: int,
        ignore: Tensor | None,
        memory: Tensor | None = None,
        memory_ignore: Tensor | None = None,
    ) -> Tensor:
        """`[E, T, D] -> [E, T, D]`, or `[E, P, D]` where only placeholders are wanted.

        Args:
            placeholders: the number P of them; they come first.
            ignore, memory_ignore: `[E, T]` and `[E, U]`, 1 for tokens that are not to be seen.
            memory: what the encoder returned, `[E, U, D']`; for decoder layers.
        """
        if ignore is None and joint_layer.serves(self.plan, x, self.dropout.training):
            run = fused_layer.run if fused_layer.serves(self.plan, x) else joint_layer.run
            return run(self.plan, x, placeholders, self._parts())
        source = x
        x = x[:, : placeholders if self.plan.placeholders_only else None]
        x = self.attention_norm(x + self.dropout(self.attention(x, source, ignore)))
        if self.plan.cross is not None:
            x = self.cross_norm(x + self.dropout(self.cross(x, memory, memory_ignore)))
        if self.plan.mlp is not None:
            x = self.mlp_norm(x + self.dropout(self.mlp(x)))
        return x

    def _parts(self) -> tuple[nn.Module, ...]:
        """What has weights, in the order of `joint_layer.run` and `fused_layer.run`."""
        own, mlp = self.attention, self.mlp
        linears = own.query, own.key, own.value, own.output, mlp.expand, mlp.contract
        return *linears, self.attention_norm, self.mlp_norm


class Transformer(nn.Module):
    """Processes weight placeholders in view of the support samples."""

    def __init__(self, plan: TransformerPlan) -> None:
        super().__init__()
        self.joined = plan.topology.joined
        self.encoder = nn.ModuleList(Layer(layer) for layer in plan.encoder)
        self.decoder = nn.ModuleList(Layer(layer) for layer in plan.decoder)

    def forward(self, placeholders: Tensor, samples: Tensor, ignore: Tensor | None = None) -> Tensor:
        """Process placeholders `[E, P, D]` given samples `[E, S, D']` -> `[E, P, D]`.

        Args:
            ignore: `[E, S]`, 1 for samples that are not to be seen.
        """
        count = placeholders.shape[1]
        own_ignore = None
        if self.joined:
            x = memory = torch.cat([placeholders, samples], dim=1)  # [E, P + S, D]
            if ignore is not None:
                own_ignore = ignore = F.pad(ignore.to(x.dtype), (count, 0))
        else:
            x, memory = placeholders, samples
        for layer in self.encoder:
            memory = layer(memory, count, ignore)
        if not self.decoder:
            return memory
        for layer in self.decoder:
            x = layer(x, count, own_ignore, memory, ignore)
        return x
