"""All that is added up into the training loss. Nothing here is part of a generator that ships.

Source: the paper, sections 3 and 4, and the options of its published implementation.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from htgen.config.run import Config
from htgen.episodes.batch import EpisodeBatch
from htgen.hypertransformer.hypertransformer import (
    EpisodeOutput,
    HyperTransformer,
    initialise_as_reference,
)
from htgen.hypertransformer.layer_writers import ConvWriter, LearnedConv

Scalars = dict[str, Tensor | float]

PASSES = 2
"""Passes through a CNN that count in the variation penalty: support images, queries."""


def head_weights(step: int, heads: int, head_steps: int) -> tuple[list[float], float]:
    """Loss weights of the warm-up heads, and of the real logits, at a step.

    The weight slides from head to head and then to the real loss. With stages of
    `s = head_steps / heads` steps, head `j` weighs `max(0, 1 - |t - j s| / s)` and the real loss
    `min(1, max(0, 1 + (t - heads s) / s))`.
    """
    if not heads or not head_steps:
        return [0.0] * heads, 1.0
    stage = head_steps / heads
    weights = [max(0.0, 1 - abs(step - j * stage) / stage) for j in range(heads)]
    return weights, min(1.0, max(0.0, 1 + (step - heads * stage) / stage))


def l2_penalty(model: HyperTransformer, output: EpisodeOutput) -> Tensor:
    """Sum of squares of conv kernels and logits weights, mean over episodes.

    Where support images have kernels of their own, these count, and those of queries if no part of them is
    generated, as in the reference.
    """
    tensors = [output.weights.logits_weight]
    for writer, block in zip(model.convs, output.weights.blocks, strict=True):
        assert isinstance(writer, LearnedConv | ConvWriter)
        has_copy = "query_kernel" in writer.plan.bases
        if not has_copy or isinstance(writer, LearnedConv):
            tensors.append(block.kernel)
        if has_copy:
            of_queries = writer.get_parameter("base_query_kernel")
            tensors.append(block.kernel - of_queries + writer.get_parameter("base_kernel"))
    return torch.stack([t.square().sum() / len(t) for t in tensors]).sum()


def variation_penalty(model: HyperTransformer, output: EpisodeOutput) -> Tensor:
    """`sum(generated^2) / (1e-8 + sum(base^2))`, summed over what has both in the blocks, mean over episodes.

    Counted twice, for the pass of the support images and that of the queries, as in the reference; where
    these have bases of their own, with each.
    """
    terms = []
    for writer, block in zip(model.convs, output.weights.blocks, strict=True):
        bases = writer.plan.bases if isinstance(writer, ConvWriter) else ()
        for name in bases:
            part = name.removeprefix("query_")
            has_copy = f"query_{part}" in bases
            of_queries = writer.get_parameter(f"base_query_{part}" if has_copy else f"base_{part}")
            whole: Tensor = getattr(block if part in ("kernel", "bias") else block.norm, part)
            generated = (whole - of_queries).square().sum() / len(whole)
            base = writer.get_parameter(f"base_{name}")
            passes = 1 if has_copy else PASSES
            terms.append(passes * generated / (1e-8 + base.square().sum()))
    return torch.stack(terms).sum()


class TrainingLoss(nn.Module):
    """The training loss, with the modules that only training has.

    Args:
        config: which terms there are, and their weights.
        model: the generator that is trained; it is not a part of this module.
        class_ids: the training classes, for the shared head.
    """

    def __init__(self, config: Config, model: HyperTransformer, class_ids: Sequence[int]) -> None:
        super().__init__()
        self.train_config = config.train
        blocks = model.spec.convs[:-1] if config.train.head_steps else ()
        self.heads = nn.ModuleList(nn.Linear(conv.out_channels, config.model.max_way) for conv in blocks)
        self.shared_head: nn.Linear | None = None
        if config.train.shared_head or config.train.pretrain_shared:
            shared = model.plan.shared
            self.shared_head = nn.Linear(0 if shared is None else shared.width, len(class_ids))
        if config.model.conventions == "reference":
            initialise_as_reference(self)
        # Position of each class of the store among the training classes.
        positions = torch.full((max(class_ids) + 1,), -1)
        positions[torch.as_tensor(class_ids)] = torch.arange(len(class_ids))
        self.register_buffer("positions", positions, persistent=False)

    @property
    def has_further_terms(self) -> bool:
        """Whether the loss is more than the cross-entropy of the queries."""
        train = self.train_config
        return bool(train.head_steps or train.shared_head or train.l2 or train.variation_penalty)

    def forward(self, model: HyperTransformer, batch: EpisodeBatch, step: int) -> tuple[Tensor, Scalars]:
        """Run a batch of episodes.

        Returns:
            The loss, and all scalars worth logging; `accuracy` is the one to look at first.
        """
        if self.train_config.pretrain_shared:
            shared = model.shared_features(batch.support_images.transpose(0, 1), batch.ignore)
            loss, accuracy = self._shared_loss(shared[0], batch)
            return loss, {"accuracy": accuracy}

        output = model.run(
            batch.support_images, batch.support_labels, batch.query_images, batch.slots, batch.ignore
        )
        weights, real_weight = head_weights(step, len(self.heads), self.train_config.head_steps)
        real = self._cross_entropy(output.logits, batch)
        loss = real_weight * real
        scalars: Scalars = {"accuracy": _accuracy(output.logits, batch.query_labels)}
        if self.has_further_terms:
            scalars["loss/query"] = real
        if self.heads:
            scalars["weight/query"] = real_weight
        for index, (head, weight) in enumerate(zip(self.heads, weights, strict=True), start=1):
            scalars[f"weight/head{index}"] = weight
            if weight:
                logits = _head_logits(head, output, index - 1)
                term = self._cross_entropy(logits, batch)
                loss = loss + weight * term
                scalars[f"loss/head{index}"] = term
                scalars[f"accuracy/head{index}"] = _accuracy(logits, batch.query_labels)
        if self.train_config.shared_head:
            term, accuracy = self._shared_loss(output.view.shared[0], batch)
            loss = loss + self.train_config.shared_head * term
            scalars |= {"loss/shared": term, "accuracy/shared": accuracy}
        if self.train_config.l2:
            heads = (head.get_parameter("weight").square().sum() for head in self.heads)
            term = sum(heads, l2_penalty(model, output))
            loss = loss + self.train_config.l2 * term
            scalars["loss/l2"] = term
        if self.train_config.variation_penalty:
            term = variation_penalty(model, output)
            loss = loss + self.train_config.variation_penalty * term
            scalars["loss/variation"] = term
        return loss, scalars

    def _cross_entropy(self, logits: Tensor, batch: EpisodeBatch) -> Tensor:
        return F.cross_entropy(
            logits.float().flatten(0, 1),
            batch.query_labels.flatten(),
            label_smoothing=self.train_config.label_smoothing,
        )

    def _shared_loss(self, features: Tensor, batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
        """Loss and accuracy of classifying support images `[E, S, F]` among all training classes."""
        assert self.shared_head is not None
        assert isinstance(self.positions, Tensor)
        logits = self.shared_head(features).float()
        target = self.positions[batch.support_classes]
        smoothing = self.train_config.label_smoothing
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), label_smoothing=smoothing)
        return loss, _accuracy(logits, target)


def _head_logits(head: nn.Module, output: EpisodeOutput, block: int) -> Tensor:
    """Query logits `[E, Q, n]` of a warm-up head on the averaged activations after a block.

    A head is a learned layer with an output for each label slot of the generator; with codes, for each number
    of a code, by which outputs are weighed.
    """
    queries = output.activations[block][output.view.labels.shape[1] :]
    features = queries.mean(dim=(3, 4)).transpose(0, 1)  # [E, Q, C]
    logits: Tensor = head(features)
    if output.view.codes is not None:
        return logits @ output.view.codes.transpose(1, 2)
    return logits.gather(2, output.view.slots[:, None].expand(-1, logits.shape[1], -1))


def _accuracy(logits: Tensor, target: Tensor) -> Tensor:
    return (logits.detach().argmax(dim=-1) == target).float().mean()
