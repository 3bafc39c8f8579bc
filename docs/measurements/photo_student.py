"""Teach a small trunk what a large network finds in photographs (see `photo_teacher.py`).

    python docs/measurements/photo_student.py --start photo --steps 6000 --small-for 0.7 \\
        --work work -o photo.pt

The trunk of an earlier generator learns on. What it learns from: the 1 280 features of the teacher's last
layer, and the 320 before it over the quarters of an image, less their means, by their cosine; and the
teacher's probabilities of ImageNet's 1 000 classes (G. Hinton and others, "Distilling the knowledge in a
neural network", 2015). There are no norms: kernels are a direction and a length for each output channel
(T. Salimans, D. Kingma, "Weight normalization", 2016). So few images at once are enough, and those stay in
the processor's cache.
"""

import argparse
import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from photo_teacher import FEATURES, GRID, VIEWS, WIDE_FEATURES, boxes, shown
from torch import Tensor, nn

from htgen.cnn.shapes import SHAPES, CnnConfig
from htgen.cnn.spec import CnnSpec
from htgen.eight_bits import rounded
from htgen.generator.file import read_generator
from htgen.generator.weight_package import EFFICIENTNET_LITE0
from htgen.images.inputs import scale_pixels

SIDE, FIRST_SIDE = 96, 64
"""Of the student's images; and of those at first, when it sees whole images only."""

PART, PARTS = 16, 4
"""Images at once, and how many times before weights change."""

RATE, WARMUP, HEADS_FIRST = 0.012, 300, 300
"""Largest step relative to a kernel's size; steps until it is reached; steps in which the trunk stays."""

LARGEST_GRADIENT = 1.0
SHIFT = 0.04
TEMPERATURE = 2.0


def trunk_spec(shape: str, side: int) -> CnnSpec:
    return SHAPES[shape](CnnConfig(shape=shape), side, 3)


class Trunk(nn.Module):
    """A trunk as it is trained."""

    def __init__(self, spec: CnnSpec, tensors: dict[str, npt.NDArray[np.float32]]) -> None:
        super().__init__()
        self.spec = spec
        kernels = [torch.tensor(tensors[f"convs.{i}.base_kernel"]).float() for i in range(len(spec.convs))]
        sizes = [_size(kernel).clamp_min(1e-5) for kernel in kernels]
        self.directions = nn.ParameterList(k / size for k, size in zip(kernels, sizes, strict=True))
        self.lengths = nn.ParameterList(size.log() for size in sizes)
        self.biases = nn.ParameterList(
            torch.tensor(tensors[f"convs.{i}.base_bias"]).float() for i in range(len(spec.convs))
        )

    def kernels(self) -> list[Tensor]:
        return [
            (direction * (length.exp() / _size(direction).clamp_min(1e-5))).contiguous(
                memory_format=torch.channels_last
            )
            for direction, length in zip(self.directions, self.lengths, strict=True)
        ]

    def features(self, x: Tensor, kernels: list[Tensor]) -> Tensor:
        """Averages over the cells of a grid, `[N, F, GRID, GRID]`."""
        outputs: dict[str, Tensor] = {}
        for conv, kernel, bias in zip(self.spec.convs, kernels, self.biases, strict=True):
            x = F.conv2d(x, kernel, bias, conv.stride, conv.padding, groups=conv.groups)
            x = F.relu_(x + outputs[conv.add] if conv.add else x)
            if conv.name in self.spec.added:
                outputs[conv.name] = x
        return F.avg_pool2d(x, x.shape[2] // GRID)

    @torch.no_grad()
    def tensors(self) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
        """As the parameters of a generator."""
        for index, (kernel, bias) in enumerate(zip(self.kernels(), self.biases, strict=True)):
            yield f"convs.{index}.base_kernel", rounded(kernel.contiguous().numpy())
            yield f"convs.{index}.base_bias", bias.numpy().copy()


def _size(kernel: Tensor) -> Tensor:
    """Of an entry, by output channel, `[O, 1, 1, 1]`."""
    return kernel.square().mean((1, 2, 3), keepdim=True).sqrt()


class Lessons:
    """What the student learns from: some views of images with the teacher's features."""

    def __init__(self, work: Path, view_count: int) -> None:
        self.view_count = view_count
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
            for view in range(view_count):
                self.parts.append(boxes(len(names), images.shape[1], view)[rows])
                self.narrow.append(np.load(folder / f"narrow{view}.npy")[rows])
                self.wide.append(np.load(folder / f"wide{view}.npy")[rows])
        for name in ("parts", "narrow", "wide"):
            by_folder = getattr(self, name)
            views = [np.concatenate(by_folder[view::view_count]) for view in range(view_count)]
            setattr(self, name, np.stack(views))
        narrow = self.narrow[0].mean(0, np.float64).reshape(FEATURES, -1).mean(1)
        self.means = [torch.from_numpy(x).float() for x in (narrow, self.wide[0].mean(0, np.float64))]

    def part(
        self, chance: np.random.RandomState, rows: npt.NDArray[np.int64], side: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels `[B, 3, side, side]`; the features of the teacher `[B, 320, GRID, GRID]`, `[B, 1280]`."""
        views, flips = chance.choice(self.view_count, len(rows)), chance.rand(len(rows)) < 0.5
        pixels = []
        for row, view, is_flipped in zip(rows, views, flips, strict=True):
            images, place = self.images[row]
            image = shown(images[place], _moved(self.parts[view, row], images.shape[1], chance), side)
            pixels.append(image[:, ::-1] if is_flipped else image)
        x = scale_pixels(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float())
        # Light and colour change a little; what the teacher saw does not.
        mean = x.mean((2, 3), keepdim=True)
        contrast = chance.uniform(0.75, 1.25, (len(rows), 1, 1, 1))
        tint = chance.uniform(-0.07, 0.07, (len(rows), 3, 1, 1))
        x = (x - mean) * torch.from_numpy(contrast).float() + mean + torch.from_numpy(tint).float()
        narrow = self.narrow[views, rows].reshape(len(rows), FEATURES, GRID, GRID).astype(np.float32)
        narrow[flips] = narrow[flips][..., ::-1]
        wide = torch.from_numpy(self.wide[views, rows]).float()
        return x.contiguous(memory_format=torch.channels_last), torch.from_numpy(narrow), wide


def _moved(box: npt.NDArray[np.float64], side: int, chance: np.random.RandomState) -> npt.NDArray[np.float64]:
    """A part of an image a little beside another."""
    near = box + chance.uniform(-SHIFT, SHIFT, 4) * (box[[2, 3, 2, 3]] - box[[0, 1, 0, 1]])
    return near.clip(0, side)


class Heads(nn.Module):
    """From the student's features to what the teacher found."""

    def __init__(self, width: int, means: list[Tensor]) -> None:
        super().__init__()
        self.narrow, self.wide = nn.Linear(width, FEATURES), nn.Linear(width, WIDE_FEATURES)
        self.classes, self.means = nn.Linear(width, 1000), means
        package = EFFICIENTNET_LITE0.read()
        self.classify = [torch.from_numpy(package[f"_fc.{part}"]) for part in ("weight", "bias")]

    def loss(self, cells: Tensor, narrow: Tensor, wide: Tensor) -> Tensor:
        """How far the student's features `[B, F, GRID, GRID]` are from the teacher's."""
        features = cells.mean((2, 3))
        narrow = narrow.flatten(2).transpose(1, 2) - self.means[0]  # [B, cells, 320]
        found = self.narrow(cells.flatten(2).transpose(1, 2))
        of_cells = 1 - F.cosine_similarity(found, narrow, dim=2).mean()
        of_narrow = 1 - F.cosine_similarity(found.mean(1), narrow.mean(1)).mean()
        of_wide = 1 - F.cosine_similarity(self.wide(features), wide - self.means[1]).mean()
        wanted = F.log_softmax(F.linear(wide, *self.classify) / TEMPERATURE, dim=1)
        answers = F.log_softmax(self.classes(features) / TEMPERATURE, dim=1)
        of_classes = F.kl_div(answers, wanted, log_target=True, reduction="batchmean")
        loss: Tensor = 3 * of_wide + of_narrow + of_cells + 0.5 * of_classes
        return loss


def train_step(trunk: Trunk, heads: Heads, parts: Iterator[tuple[Tensor, ...]], learns: bool) -> float:
    """Gradients of a step; the mean loss."""
    kernels = trunk.kernels()
    leaves = [kernel.detach().requires_grad_(learns) for kernel in kernels]
    total = 0.0
    for x, narrow, wide in parts:
        with torch.set_grad_enabled(learns):
            cells = trunk.features(x, leaves)
        loss = heads.loss(cells, narrow, wide) / PARTS
        loss.backward()
        total += loss.item()
    if learns:
        torch.autograd.backward(kernels, [leaf.grad for leaf in leaves])
        nn.utils.clip_grad_norm_(trunk.parameters(), LARGEST_GRADIENT)
    return total


def main() -> None:
    """Train a trunk for some steps; the rate falls to nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--start", required=True, help="a generator")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument(
        "--small-for",
        type=float,
        default=0.0,
        help="share of the steps with smaller images of one view",
    )
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    torch.manual_seed(0)
    chance, lessons = np.random.RandomState(0), Lessons(options.work, 1)
    file = read_generator(options.start).file
    shape = file.model.cnn.shape
    trunk = Trunk(trunk_spec(shape, SIDE), file.tensors)
    heads = Heads(trunk.spec.feature_count, lessons.means)
    sizes = [{"params": list(trunk.directions), "share": 1.0}]
    sizes += [{"params": [*trunk.lengths, *trunk.biases, *heads.parameters()], "share": 0.2}]
    optimizer = torch.optim.Adam(sizes, lr=options.rate, betas=(0.9, 0.99))
    order, smooth = np.zeros(0, np.int64), 0.0
    for step in range(options.steps):
        done = step / options.steps
        for group in optimizer.param_groups:
            warm = min(1, max(1, step - HEADS_FIRST) / WARMUP) if group["share"] == 1 else 1
            group["lr"] = options.rate * group["share"] * warm * (0.5 * (1 + np.cos(np.pi * done)) + 1e-3)
        if len(order) < PART * PARTS:
            order = chance.permutation(len(lessons.images))
        rows, order = order[: PART * PARTS], order[PART * PARTS :]
        side = FIRST_SIDE if done < options.small_for else SIDE
        if side == SIDE and lessons.view_count < VIEWS:
            lessons = Lessons(options.work, VIEWS)
        parts = (lessons.part(chance, part, side) for part in np.split(rows, PARTS))
        optimizer.zero_grad(set_to_none=True)
        loss = train_step(trunk, heads, parts, step >= HEADS_FIRST)
        optimizer.step()
        smooth += (loss - smooth) * (0.02 if step else 1)
        if (step + 1) % 100 == 0 or step + 1 == options.steps:
            seconds = time.process_time()
            print(f"step {step + 1}, {seconds:.0f} s of processor, loss {smooth:.3f}", flush=True)
        if (step + 1) % 500 == 0 or step + 1 == options.steps:
            tensors = {name: torch.from_numpy(tensor) for name, tensor in trunk.tensors()}
            torch.save({"shape": shape, "tensors": tensors}, options.output)


if __name__ == "__main__":
    main()
