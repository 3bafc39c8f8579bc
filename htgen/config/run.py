"""The typed configuration: what may be set, its defaults, and what each value means.

How configs are read is in `htgen.config.files`, what is said of wrong ones in `htgen.config.faults`. No torch
here, so that listing presets is instant.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from htgen.config.data import AugmentConfig, DataConfig, EpisodeConfig, ValidationAugmentConfig
from htgen.config.model import ModelConfig, cnn_spec
from htgen.schema import Count, Fraction, Natural, Penalty, Positive, Section, refuse


def _known_name(name: str) -> str:
    # It becomes a folder below runs/.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise PydanticCustomError(
            "name", "input should be letters, digits, '.', '_' and '-', beginning with a letter or digit"
        )
    return name


Precision = Literal["auto", "float32", "bfloat16"]


MOST_PIXELS = 2**32
"""Values of pixels in all images of a step; each takes four bytes and more."""


class OptimizerConfig(Section):
    """Optimiser and learning-rate schedule."""

    name: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or plain stochastic gradient descent."""
    lr: Annotated[float, Field(gt=0, le=1000)] = 1e-3
    """Peak learning rate."""
    schedule: Literal["cosine", "exponential", "constant"] = "cosine"
    """How the learning rate goes on after the warm-up."""
    warmup: Natural = 200
    """Steps of linear rise to the peak."""
    final: Fraction = 0.01
    """cosine: the last learning rate, as a fraction of the peak."""
    decay_rate: Annotated[float, Field(gt=0, le=1)] = 0.95
    """exponential: factor per decay_steps."""
    decay_steps: Count = 100_000
    """exponential: see decay_rate."""
    weight_decay: Penalty = 0.01
    """Of matrices and kernels; embeddings, norms, biases and scales are left alone."""
    clip: Penalty = 1.0
    """Largest gradient norm; 0 = no clipping."""


class TrainConfig(Section):
    """The training loop."""

    steps: Count = 10_000
    """Optimiser steps in all."""
    minutes: Positive | None = None
    """Train for so long, instead of for `steps`; a cosine schedule then follows the clock. No such run can be
    repeated exactly."""
    episodes_per_step: Annotated[int, Field(ge=1, le=65_536)] = 16
    """Episodes whose mean loss makes one step."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target that is spread evenly over the classes of the episode (for the shared head, of the
    training)."""
    l2: Penalty = 0.0
    """Weight of the sum of squares of CNN kernels and logits weights in the loss."""
    variation_penalty: Penalty = 0.0
    """Weight of sum(generated^2) / sum(base^2) in the loss, of all in the blocks that has both, once for the
    support images and once for the queries; needs model.weights.base."""
    head_steps: Natural = 0
    """Steps over which the loss slides from warm-up heads to the real logits. Heads are learned layers behind
    convolutions."""
    shared_head: Penalty = 0.0
    """Weight of the loss of a linear classifier of all training classes on the shared features."""
    pretrain_shared: bool = False
    """Train the shared features alone, with the shared head's loss."""
    restore: str | None = None
    """Run folder (its averaged weights, if it averages), generator file, or name of one that ships, whose
    weights a new run starts from; with model.labels: codes its table of labels becomes a map of codes."""
    restore_shared: str | None = None
    """Run folder (its averaged ones, if it averages) or generator file whose shared features a new run starts
    from."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay per step of averaged weights, which are then the ones validated and shipped; 0 = off."""
    log_every: Count = 100
    """Steps between lines of metrics.jsonl."""
    val_every: Count = 500
    """Steps between validations."""
    val_tasks: Annotated[int, Field(ge=2, le=1_000_000)] = 200
    """Episodes per validation."""
    save_every: Count = 500
    """Steps between checkpoints."""
    precision: Precision = "auto"
    """auto = TF32 products on a GPU, float32 on the CPU; bfloat16 = mixed precision (autocast)."""


class Config(Section):
    """A whole training run."""

    name: Annotated[str, AfterValidator(_known_name)] = "run"
    """Name of the generator that the run makes: letters, digits, '.', '_' and '-'."""
    description: str = ""
    """One line for `htgen configs`."""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 0
    """Of initial weights, episodes and dropout."""
    data: DataConfig = DataConfig()
    episodes: EpisodeConfig = EpisodeConfig()
    validation: EpisodeConfig = EpisodeConfig(query=5)
    augment: AugmentConfig = AugmentConfig()
    augment_validation: ValidationAugmentConfig = ValidationAugmentConfig()
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> "Config":
        faults = []
        for section in ("episodes", "validation"):
            way = getattr(self, section).way
            largest = way[1] if isinstance(way, tuple) else way
            if largest > self.model.max_way and not self.model.has_codes:
                reason = f"{largest} classes, but model.max_way is {self.model.max_way}"
                faults.append((f"{section}.way", reason))
            if self.model.transformer.topology == "separate":
                reason = "samples cannot be removed with model.transformer.topology: separate"
                faults += [
                    (f"{section}.{name}", reason)
                    for name in ("remove_labeled", "remove_unlabeled")
                    if getattr(getattr(self, section), name)
                ]
        for section in ("augment", "augment_validation"):
            if getattr(self, section).photo.hue and self.model.image_channels == 1:
                faults.append(
                    (f"{section}.photo.hue", "grey images have no hue; model.image_channels: 3 has")
                )
        if self.train.variation_penalty and not self.model.weights.base:
            reason = "there is no variation without model.weights.base"
            faults.append(("train.variation_penalty", reason))
        elif self.train.variation_penalty and abs(self.model.weights.learned_layers) == len(
            cnn_spec(self.model).convs
        ):
            reason = "model.weights.learned_layers leaves nothing to generate"
            faults.append(("train.variation_penalty", reason))
        if not self.model.shared.layers:
            faults += [
                (f"train.{name}", "there are no shared features with model.shared.layers: 0")
                for name in ("shared_head", "pretrain_shared", "restore_shared")
                if getattr(self.train, name)
            ]
        if self.train.restore is not None and self.train.restore_shared is not None:
            faults.append(("train.restore_shared", "train.restore restores them too; leave one out"))
        if self.train.pretrain_shared:
            faults += [
                (f"train.{name}", "pretrain_shared trains no CNN, so it would change nothing")
                for name in ("head_steps", "l2", "variation_penalty")
                if getattr(self.train, name)
            ]
        for section in ("episodes", "validation"):
            numbers = (
                getattr(self, section).most_images * self.model.image_size**2 * self.model.image_channels
            )
            if section == "episodes":
                numbers *= self.train.episodes_per_step
            if numbers > MOST_PIXELS:
                per = "the episodes of a step hold" if section == "episodes" else "an episode holds"
                faults.append((section, f"{per} up to {numbers} pixel values, at most {MOST_PIXELS} can be"))
        refuse(faults)
        return self
