"""HyperTransformer: support images in, the weights of a CNN out, layer by layer.

The only place that joins the writers of the layers (`layer_writers`) with the CNN executor
(`htgen.cnn.executor`). Source: Zhmoginov, Sandler, Vladymyrov, "HyperTransformer", ICML 2022, section 3.

Axis legend: E episodes, n ways, S support and Q query images, N = S + Q, C channels, H x W pixels,
F features, P placeholders, D token width.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from htgen.cnn.batch_norm import batch_norm, moments, norm_of_parts, normalise
from htgen.cnn.executor import after_norm, before_norm, head_features, last_activations, linear
from htgen.cnn.executor import run as run_cnns
from htgen.cnn.fused import fit, serves, with_first
from htgen.cnn.layout import IMAGES_LAST, Layout, layout_for, layout_of
from htgen.cnn.spec import ConvSpec
from htgen.cnn.weights import Affine, BlockWeights, CnnWeights, Moments, WrittenBlock
from htgen.config.model import ModelConfig
from htgen.errors import ModelError
from htgen.hypertransformer.encoder import LabelCodes, SharedFeatures, SupportView
from htgen.hypertransformer.layer_writers import LogitsWriter, conv_writer
from htgen.hypertransformer.many_classes import check_way, spread
from htgen.hypertransformer.plan import generator_plan
from htgen.hypertransformer.transformer import Layer
from htgen.hypertransformer.views import add_views


@dataclass(frozen=True)
class EpisodeOutput:
    """All that comes of running episodes; training losses look at more than the logits.

    Attributes:
        weights: the generated CNNs.
        logits: `[E, Q, n]` of the query images.
        view: the support set as the generators saw it.
        activations: after each block, `[S + Q, E, C, H, W]`, support images first.
        features: inputs of the logits layer, `[E, S + Q, F]`.
    """

    weights: CnnWeights[Tensor]
    logits: Tensor
    view: SupportView
    activations: list[Tensor]
    features: Tensor


class HyperTransformer(nn.Module):
    """The generator.

    Args:
        config: see `htgen.config.model.ModelConfig`.

    Attributes:
        plan: what its parts are.
        spec: the CNN that it writes.
        can_be_fused: whether kernels made for CNNs (`htgen.cnn.fused`) do its work where they are.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.plan = plan = generator_plan(config)
        plan.check_size()
        self.spec = plan.spec
        self.shared = None if plan.shared is None else SharedFeatures(plan.shared)
        self.convs = nn.ModuleList(conv_writer(conv) for conv in plan.convs)
        self.logits = LogitsWriter(plan.logits)
        self.codes = LabelCodes(config.max_way) if config.has_codes else None
        self.cnn_dropout = nn.Dropout(config.cnn.dropout)
        self.can_be_fused = fit(self.spec)
        if config.conventions == "reference":
            initialise_as_reference(self)

    def forward(
        self,
        support_images: Tensor,
        support_labels: Tensor,
        query_images: Tensor,
        slots: Tensor,
        ignore: Tensor | None = None,
    ) -> Tensor:
        """Logits `[E, Q, n]` of the query images; see `run` for the arguments."""
        if self._has_many(slots):
            ones = self._one_by_one(support_images, support_labels, query_images, slots, ignore)
            return torch.cat([one.logits for one in ones])
        return self.run(support_images, support_labels, query_images, slots, ignore).logits

    @property
    def drops_when_measured(self) -> bool:
        """Whether random numbers decide what is measured, as in the reference's evaluation."""
        config = self.config
        return config.dropout_as == "reference" and bool(config.cnn.dropout or config.transformer.dropout)

    def train(self, mode: bool = True) -> "HyperTransformer":
        """Training or evaluation mode; in evaluation mode there is no dropout."""
        super().train(mode)
        if self.config.dropout_as == "reference":
            self.cnn_dropout.eval()  # the training loss of the reference has none
        return self

    def measure(self) -> None:
        """Evaluation mode, for measuring accuracy: with `dropout_as: reference` there is dropout, of the
        transformers and before the logits layer."""
        self.eval()
        if self.config.dropout_as == "reference":
            self.cnn_dropout.train()
            for part in self.modules():
                if isinstance(part, Layer):
                    part.dropout.train()

    def generate(
        self, support_images: Tensor, support_labels: Tensor, slots: Tensor, ignore: Tensor | None = None
    ) -> CnnWeights[Tensor]:
        """The CNNs alone; see `run` for the arguments."""
        if self._has_many(slots):
            ones = self._one_by_one(support_images, support_labels, support_images[:, :0], slots, ignore)
            return CnnWeights.joined(self.spec, [one.weights for one in ones], torch.cat)
        return self.run(support_images, support_labels, support_images[:, :0], slots, ignore).weights

    def _has_many(self, slots: Tensor) -> bool:
        """Whether there are more classes than are shown at once (`htgen.hypertransformer.many_classes`)."""
        return slots.shape[1] > self.config.most_at_once

    def _one_by_one(
        self, images: Tensor, labels: Tensor, queries: Tensor, slots: Tensor, ignore: Tensor | None
    ) -> Iterator[EpisodeOutput]:
        """`run` of each episode by itself."""
        for index in range(len(images)):
            one = slice(index, index + 1)
            own = None if ignore is None else ignore[one]
            yield self.run(images[one], labels[one], queries[one], slots[one], own)

    def _shown_to_convs(self, view: SupportView) -> tuple[Tensor | None, SupportView]:
        """Which samples the writers of convolutions are shown (None: all), and what of them."""
        if not self._has_many(view.slots):
            return None, view
        return view.of_classes(spread(view.way, self.config.most_at_once), self.config.max_way)

    def execute(self, weights: CnnWeights[Tensor], images: Tensor) -> Tensor:
        """Logits `[E, N, n]` of images `[E, N, C, H, W]` from CNNs that are already there."""
        dropout = self.cnn_dropout if self.drops_when_measured else None
        return run_cnns(self.spec, weights, images, dropout)

    def run(
        self,
        support_images: Tensor,
        support_labels: Tensor,
        query_images: Tensor,
        slots: Tensor,
        ignore: Tensor | None = None,
    ) -> EpisodeOutput:
        """Generate a CNN for each support set, and classify the query images with it.

        Args:
            support_images: `[E, S, C, H, W]`, -1..1.
            support_labels: `[E, S]`, 0..n-1; negative = unlabelled.
            query_images: `[E, Q, C, H, W]`, -1..1.
            slots: `[E, n]`, which of the generator's label slots stands for each class.
            ignore: `[E, S]` bool, True for support images that are not to be seen.
        """
        self._check(support_images, slots)
        without_views = support_images.shape[1]
        if not self.training and self.config.views > 1:
            support_images, support_labels, ignore = add_views(
                support_images, support_labels, ignore, self.config.views, slots.shape[1]
            )
        support = support_images.shape[1]
        # Support and query images pass each layer together: its weights are the same for both.
        layout = self._layout(support_images)
        x = layout.channels_last(torch.cat([support_images, query_images], dim=1))
        label_ids = slots.gather(1, support_labels.clamp(min=0))
        label_ids = label_ids.masked_fill(support_labels < 0, self.config.max_way)
        view = SupportView(
            support_labels,
            slots,
            label_ids,
            ignore,
            self.shared_features(x[:support], ignore),
            support // without_views,
            None if self.codes is None else self.codes.of_slots(slots),
        )

        counted_out = None if self.config.cnn.count_ignored else ignore
        blocks, activations, outputs = [], [], dict[str, Tensor]()
        seen, shown = self._shown_to_convs(view)
        for writer, conv in zip(self.convs, self.spec.convs, strict=True):
            x, first = with_first(x, support) if layout is IMAGES_LAST else (x, x[:support])
            written, addend = writer(first if seen is None else x[seen], shown), outputs.get(conv.add)
            x, stats = self._before_norm(conv, written, x, support, addend), None
            if written.support is not None:
                x, stats = self.normalise(x, written, written.support, support, counted_out)
            x = after_norm(self.spec, conv, x, addend)
            if conv.name in self.spec.added:
                outputs[conv.name] = x
            blocks.append(written.finished(stats))
            activations.append(x)

        features = head_features(x, self.spec)  # [E, N, F]
        weight, bias = self.logits(x[:support], features[:, :support], view)
        logits = linear(self.cnn_dropout(features[:, support:]), weight, bias)
        return EpisodeOutput(CnnWeights(tuple(blocks), weight, bias), logits, view, activations, features)

    def trunk_features(self, images: Tensor) -> Tensor:
        """Images `[N, C, H, W]`, -1..1, as those of `after_trunk`, `[N, F, 1, 1]`; see `plan.has_trunk`."""
        x = layout_for(images.device).channels_last(images[None])
        blocks = []
        for index, plan in enumerate(self.plan.convs):
            part = {name: self.get_parameter(f"convs.{index}.base_{name}")[None] for name in plan.bases}
            blocks.append(BlockWeights(part["kernel"], part.get("bias"), None))
        return head_features(last_activations(self.spec, blocks, x), self.spec)[0, :, :, None, None]

    def after_trunk(self) -> "HyperTransformer":
        """The rest of a generator with a trunk, which reads what `trunk_features` gives; the weights of its
        CNNs are those of the logits layer alone."""
        rest = copy(self)
        rest._modules = {**self._modules, "convs": nn.ModuleList()}
        rest.spec = self.spec.after_trunk
        rest.can_be_fused = False
        return rest

    def _layout(self, images: Tensor) -> Layout:
        """How the activations of these images lie in memory."""
        is_fused = self.can_be_fused and serves(images)
        return IMAGES_LAST if is_fused else layout_for(images.device)

    def shared_features(self, images: Tensor, ignore: Tensor | None = None) -> list[Tensor]:
        """Shared features of support images `[S, E, C, H, W]` as a list of one `[E, S, F]`, or none."""
        return [] if self.shared is None else [self.shared(images, ignore)]

    def _before_norm(
        self,
        conv: ConvSpec,
        written: WrittenBlock[Tensor],
        x: Tensor,
        support: int,
        addend: Tensor | None = None,
    ) -> Tensor:
        """What a block does up to its norm, in one step where support and query images have one kernel."""
        if written.query_kernel is None or support == len(x):
            return before_norm(self.spec, conv, written.kernel, written.bias, x, addend)
        seen = before_norm(self.spec, conv, written.kernel, written.bias, x[:support])
        asked = before_norm(self.spec, conv, written.query_kernel, written.query_bias, x[support:])
        return layout_of(x).join(seen, asked)

    def normalise(
        self,
        x: Tensor,
        written: WrittenBlock[Tensor],
        own: Affine[Tensor],
        support: int,
        ignore: Tensor | None,
    ) -> tuple[Tensor, Moments[Tensor]]:
        """Norm of support and query activations `[N, E, C, H, W]`, in one step where both are alike.

        Args:
            own: the scale and shift for support images.

        Returns:
            The activations, and the support set's statistics.
        """
        of_queries = written.query or own
        if self.spec.norm == "batch":
            if layout_of(x) is IMAGES_LAST and ignore is None and written.query is None:
                parts = ((0, support, support), (support, len(x), len(x)))
                return norm_of_parts(x, own.gamma, own.beta, parts[: 1 + (support < len(x))])
            normed, stats = batch_norm(x[:support], support, own.gamma, own.beta, ignore)
            if support == len(x):
                return normed, stats
            queries, _ = batch_norm(x[support:], len(x) - support, of_queries.gamma, of_queries.beta)
        elif written.query is None:
            return batch_norm(x, support, own.gamma, own.beta, ignore)
        else:  # the queries' gradient reaches the support images through the statistics
            stats = moments(x[:support], ignore)
            normed = normalise(x[:support], stats, own.gamma, own.beta)
            if support == len(x):
                return normed, stats
            queries = normalise(x[support:], stats, of_queries.gamma, of_queries.beta)
        return layout_of(x).join(normed, queries), stats

    def _check(self, support_images: Tensor, slots: Tensor) -> None:
        expected = (self.spec.image_channels, self.spec.image_size, self.spec.image_size)
        found = tuple(support_images.shape[2:])
        if found != expected:
            raise ModelError(
                f"the generator reads images of shape {list(expected)} [C, H, W], got {list(found)}"
            )
        check_way(self.config, slots.shape[1])
        if len(slots) > 1 and self._has_many(slots):
            raise ModelError(f"{len(slots)} episodes of {slots.shape[1]} classes at once", "one episode")


def initialise_as_reference(module: nn.Module) -> None:
    """Draw the weights of layers and learned kernels as the reference does.

    Uniform, with the variance 2 / (inputs + outputs) of Glorot and Bengio (AISTATS 2010); biases are zero.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for name, parameter in module.named_parameters():
        own = name.rpartition(".")[2]
        if own.startswith("base_") and own.endswith(("kernel", "weight")):
            nn.init.xavier_uniform_(parameter)
