"""What a user would take instead: other few-shot learners with the same CNN, trained on the same episodes.

    python docs/measurements/peers.py prototypical --config glyph-8 --run runs/peer
    python docs/measurements/peers.py maml --config glyph-8 --run runs/peer --shot 1 5 --way 20
    python docs/measurements/peers.py prototypical --run runs/peer --trained --plda --against glyph-8

Everything that is not the method is the package's own: CNN, norms, augmentation, optimiser, averaged weights,
choice of the checkpoint on validation classes. So a difference is the method's.

* prototypical: learned convolutions; the logits layer is a nearest-mean classifier with a learned scale
  (Snell, Swersky, Zemel, "Prototypical networks for few-shot learning", NeurIPS 2017). `--plda` corrects its
  means as htgen's generators do theirs, which training does without.
* maml: learned convolutions and a learned start of the logits layer, all adapted by a few gradient steps on
  the support set; first-order (Finn, Abbeel, Levine, "Model-agnostic meta-learning", ICML 2017, section 5.2).
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from htgen.cnn.executor import after_norm, before_norm, head_features, linear
from htgen.cnn.layout import layout_for
from htgen.cnn.weights import Affine, BlockWeights, CnnWeights, WrittenBlock
from htgen.config.data import EpisodeConfig
from htgen.config.files import dump_config, load_config
from htgen.config.model import ModelConfig
from htgen.episodes.pool import ClassPool
from htgen.episodes.sampler import EpisodeSampler, EpisodeStream
from htgen.evaluation.accuracy import TASKS_PER_BATCH, half_width95, task_accuracies
from htgen.evaluation.plda import measure_plda
from htgen.generator.file import GeneratorFile
from htgen.generator.generator import load_generator
from htgen.generator.network import build
from htgen.hypertransformer.class_means import class_mean_layer, membership
from htgen.hypertransformer.encoder import SupportView
from htgen.hypertransformer.hypertransformer import EpisodeOutput, HyperTransformer
from htgen.hypertransformer.layer_writers import Plda, initial_log_sharpness
from htgen.training.events import Validated
from htgen.training.run_folder import RunFolder
from htgen.training.trainer import Trainer

INNER_STEPS = 5
INNER_RATE = 0.1


class NearestMean(nn.Module):
    """A logits layer from class means alone: `2 s mu . x - s |mu|^2`, with a learned scale `s`."""

    def __init__(self, feature_count: int, plda: bool) -> None:
        super().__init__()
        self.log_sharpness = initial_log_sharpness(feature_count)
        self.plda = Plda(feature_count) if plda else None

    def forward(self, support: Tensor, features: Tensor, view: SupportView) -> tuple[Tensor, Tensor]:
        classes = torch.arange(view.way, device=view.labels.device)
        return class_mean_layer(
            features,
            membership(view.labels, classes, view.ignore).to(features.dtype),
            view.labels < 0,
            sharpness=self.log_sharpness.exp(),
            copies=view.copies,
            plda=None if self.training else self.plda,
            refinements=0,
            classify=linear,  # never asked
        )[:2]


class PrototypicalNetwork(HyperTransformer):
    """Learned convolutions and `NearestMean`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(only_cnn(config))
        self.logits: nn.Module = NearestMean(self.spec.feature_count, config.weights.plda)


class Maml(HyperTransformer):
    """Learned weights, adapted to each support set by gradient steps; their gradient is taken as the
    identity of the start, which is what first-order means."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(only_cnn(config))
        self.logits: nn.Module = nn.Identity()
        self.start = nn.Parameter(torch.zeros(self.spec.feature_count + 1))

    def run(
        self,
        support_images: Tensor,
        support_labels: Tensor,
        query_images: Tensor,
        slots: Tensor,
        ignore: Tensor | None = None,
    ) -> EpisodeOutput:
        assert ignore is None
        episodes, way = slots.shape
        start = [
            value.expand(episodes, *value.shape)
            for conv in self.convs
            for value in (conv.base_kernel, conv.gamma, conv.beta)
        ]
        start.append(self.start.expand(episodes, way, -1))
        with torch.enable_grad():
            adapted = [value.detach().clone().requires_grad_() for value in start]
            for _ in range(INNER_STEPS):
                logits, _, _ = self.classify(adapted, None, support_images)
                loss = F.cross_entropy(logits.flatten(0, 1), support_labels.flatten(), reduction="sum")
                # The sum over episodes of each one's mean loss: episodes do not touch each other.
                gradients = torch.autograd.grad(loss / support_labels.shape[1], adapted)
                adapted = [
                    (value - INNER_RATE * gradient).detach().requires_grad_()
                    for value, gradient in zip(adapted, gradients, strict=True)
                ]
        moved = [value + (new - value).detach() for value, new in zip(start, adapted, strict=True)]
        both = torch.cat([support_images, query_images], dim=1)
        logits, blocks, features = self.classify(moved, support_images.shape[1], both)
        weights = CnnWeights(tuple(blocks), moved[-1][..., :-1], moved[-1][..., -1])
        view = SupportView(support_labels, slots, slots.gather(1, support_labels), None, [])
        return EpisodeOutput(weights, logits[:, support_images.shape[1] :], view, [], features)

    def classify(
        self, values: list[Tensor], support: int | None, images: Tensor
    ) -> tuple[Tensor, list[BlockWeights[Tensor]], Tensor]:
        """Logits of images, blocks, features; normalised by the first `support` of them (by all if None)."""
        x, blocks = layout_for(images.device).channels_last(images), []
        for conv, k, g, b in zip(self.spec.convs, *(values[i:-1:3] for i in range(3)), strict=True):
            norm = Affine(g, b)
            written = WrittenBlock(k, None, norm)
            x = before_norm(self.spec, conv, k, None, x)
            x, stats = self.normalise(x, written, norm, len(x) if support is None else support, None)
            x = after_norm(self.spec, conv, x)
            blocks.append(written.finished(stats))
        features = head_features(x, self.spec)
        return linear(features, values[-1][..., :-1], values[-1][..., -1]), blocks, features


def only_cnn(config: ModelConfig) -> ModelConfig:
    """The config with learned convolutions and nothing that reads support images."""
    weights = config.weights.model_copy(update={"learned_layers": 99})
    shared = config.shared.model_copy(update={"layers": 0})
    return config.model_copy(update={"weights": weights, "shared": shared})


METHODS: dict[str, Callable[[ModelConfig], HyperTransformer]] = {
    "prototypical": PrototypicalNetwork,
    "maml": Maml,
    "htgen": HyperTransformer,
}


def load_best(model: HyperTransformer, run: RunFolder) -> None:
    """Load the checkpoint that was chosen; its PLDA, if any, is measured anew."""
    tensors = GeneratorFile.read(run.best_path).tensors
    found = model.load_state_dict({k: torch.tensor(v) for k, v in tensors.items()}, strict=False)
    others = [*found.missing_keys, *found.unexpected_keys]
    others = [name for name in others if not name.startswith("logits.plda.")]
    if others:
        raise SystemExit(f"{run.best_path} is of another method: {', '.join(others[:3])}, ...")


def train(trainer: Trainer) -> None:
    started = time.perf_counter()
    for event in trainer.events():
        if isinstance(event, Validated):
            minutes = (time.perf_counter() - started) / 60
            print(f"step {event.step}, {minutes:.1f} min: {100 * event.result.accuracy:.2f} %", flush=True)


def accuracies(
    trainer: Trainer, model: HyperTransformer, max_way: int, split: str, shape: EpisodeConfig, tasks: int
) -> Tensor:
    """`[tasks]`, 0..1, of tasks that do not depend on the model; those of `htgen evaluate`."""
    pool = ClassPool.of_split(
        trainer.tasks.store, split, trainer.tasks.validation.pool.images, trainer.device
    )
    sampler = EpisodeSampler(pool, shape, EpisodeStream(0, "evaluation", period=TASKS_PER_BATCH), max_way)
    return task_accuracies(model, sampler, tasks)


def percent(accuracies: Tensor) -> str:
    """The mean over tasks of accuracies, or of differences, with its 95 % interval."""
    return f"{100 * accuracies.mean().item():.2f} ± {100 * half_width95(accuracies):.2f}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--config", default="glyph-8")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--way", type=int, nargs="*", default=[20])
    parser.add_argument("--shot", type=int, nargs="*", default=[1, 5])
    parser.add_argument("--query", type=int, default=10, help="of each class, when measured")
    parser.add_argument("--tasks", type=int, default=600)
    parser.add_argument("--split", default=None, help="where to measure; default: the validation classes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--plda", action="store_true", help="correct class means by PLDA, measured on training classes"
    )
    parser.add_argument(
        "--against", metavar="GENERATOR", help="also how much better this one is, task by task"
    )
    parser.add_argument("--trained", action="store_true", help="only measure the run, by its own config")
    options = parser.parse_args(arguments)
    if options.plda and options.method != "prototypical":
        parser.error("--plda is for prototypical networks; of htgen's, model.weights.plda decides")

    other = None if options.against is None else load_generator(options.against)
    if other is not None and max(options.way) > other.max_way:
        parser.error(f"{options.against} knows {other.max_way} classes at most")
    own = {} if options.method == "htgen" else {"model.weights.plda": options.plda}
    with RunFolder(options.run) as run:
        config = load_config(run.config_path if options.trained else options.config, options.set, own)
        trainer = Trainer(config, run, options.device, build=METHODS[options.method])
        if other is not None and other.file.preprocessing != trainer.tasks.store.preprocessing:
            parser.error(f"{options.against} is for images of another preparation than those of the run")
        if not options.trained:
            run.start(dump_config(config), overwrite=True)
            train(trainer)
        load_best(trainer.model, run)
    if trainer.tasks.plda is not None:
        measure_plda(trainer.model, trainer.tasks.plda)
    split = options.split or config.data.val
    for way in options.way:
        for shot in options.shot:
            shape = EpisodeConfig(way=way, shot=shot, query=options.query)
            measure = partial(accuracies, trainer, split=split, shape=shape, tasks=options.tasks)
            found = measure(trainer.model, config.model.max_way)
            line = f"{split} {way}-way {shot}-shot: {percent(found)} %"
            if other is not None:
                ahead = measure(build(other.file).to(options.device), other.max_way) - found
                line += f"; {options.against} is ahead by {percent(ahead)}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
