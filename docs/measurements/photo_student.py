"""Teach a small trunk what a large network finds in photographs.

    python docs/measurements/photo_student.py --apart 3000 --together 6000 \\
        --images miniimagenet/train miniimagenet/val caltech101 -o photo.pt

The student is cut where its stages have the shape of the teacher's. At first each part is taught apart: it
reads what the teacher finds before it, and is held to what the teacher finds after it. So all of them learn
from the first step on (C. Li and others, "Blockwisely supervised neural architecture search with knowledge
distillation", CVPR 2020). Then they are taught together, each reading what the one before it gives; the
teacher's last features, by their cosine, and its probabilities of ImageNet's 1 000 classes (G. Hinton and
others, "Distilling the knowledge in a neural network", 2015) count most. Teacher and student see the very
same part of an image, mirrored, lighter or darker (L. Beyer and others, "Knowledge distillation: a good
teacher is patient and consistent", CVPR 2022).

There are no norms: kernels are a direction and a length for each output channel (T. Salimans, D. Kingma,
"Weight normalization", 2016).
"""

import argparse
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from photo_stages import LAST, WIDE, Teacher, Trunk, cut
from photo_teacher import FEATURES, WIDE_FEATURES, Uint8, read_folder, shown
from torch import Tensor, nn

from htgen.cnn.shapes import SHAPES, CnnConfig
from htgen.cnn.spec import CnnSpec
from htgen.generator.file import read_generator
from htgen.images.inputs import scale_pixels

SIDE = 96
"""Of what both see."""

PART, PARTS = 32, 2
"""Images at once, and how many times before weights change; once while they are taught apart."""

RATE, RATE_TOGETHER, WARMUP = 0.012, 0.008, 100
"""Largest steps relative to a kernel's size, and steps until they are reached."""

LARGEST_GRADIENT = {"apart": 5.0, "together": 1.0}
LEAST_SHARE = 0.35
"""Of an image that is seen."""

TEMPERATURE = 2.0
STORED = {"caltech101": 128}
"""Sides at which images are kept; others are those of miniImageNet, 84."""


def trunk_spec(shape: str, side: int) -> CnnSpec:
    return SHAPES[shape](CnnConfig(shape=shape), side, 3)


class Lessons:
    """Photographs, of which each batch is a part."""

    def __init__(self, folders: list[Path]) -> None:
        self.images: list[Uint8] = []
        for folder in folders:
            images, names = read_folder(folder, STORED.get(folder.name, 84))
            kept = set(names)
            if folder.name == "caltech101":  # the others are to choose and to report
                classes = sorted(kept)
                order = list(range(len(classes)))
                random.Random(0).shuffle(order)
                kept = {classes[place] for place in order[:60]}
            self.images += [image for image, name in zip(images, names, strict=True) if name in kept]
        self.order = np.zeros(0, np.int64)

    def batch(self, chance: np.random.RandomState, count: int) -> Tensor:
        """Parts of images `[N, 3, SIDE, SIDE]`."""
        if len(self.order) < count:
            self.order = chance.permutation(len(self.images))
        rows, self.order = self.order[:count], self.order[count:]
        pixels = []
        for row in rows:
            side = self.images[row].shape[0]
            area, stretch = chance.uniform(LEAST_SHARE, 1) * side**2, np.exp(chance.uniform(-0.22, 0.22))
            width, height = (min(side, np.sqrt(area * factor)) for factor in (stretch, 1 / stretch))
            left, top = chance.uniform(0, side - width), chance.uniform(0, side - height)
            image = shown(self.images[row], np.array([left, top, left + width, top + height]), SIDE)
            pixels.append(image[:, ::-1] if chance.rand() < 0.5 else image)
        x = scale_pixels(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float())
        mean = x.mean((2, 3), keepdim=True)
        contrast = torch.from_numpy(chance.uniform(0.75, 1.25, (count, 1, 1, 1))).float()
        tint = torch.from_numpy(chance.uniform(-0.07, 0.07, (count, 3, 1, 1))).float()
        x = ((x - mean) * contrast + mean + tint).clamp(-1, 1)
        return x.contiguous(memory_format=torch.channels_last)


class Course(nn.Module):
    """A student, the teacher, and how far the one is from the other.

    Args:
        samples: images by which the teacher's features are measured.
    """

    def __init__(self, trunk: Trunk, teacher: Teacher, samples: list[Tensor]) -> None:
        super().__init__()
        self.trunk, self.teacher = trunk, teacher
        width = trunk.spec.feature_count
        self.narrow, self.wide = nn.Conv2d(width, FEATURES, 1), nn.Linear(width, WIDE_FEATURES)
        self.classes = nn.Linear(width, 1000)
        self.parts = cut(trunk.spec, teacher.spec)
        seen = [teacher.stages(x) for x in samples]
        found = {name: torch.cat([stages[name] for stages in seen]) for name, _ in self.parts}
        self.means = {name: x.mean((0, 2, 3)) for name, x in found.items()}
        variances = {name: x.var((0, 2, 3)) for name, x in found.items()}
        self.variances = {name: x + 0.1 * x.mean() for name, x in variances.items()}
        self.mean_wide = torch.cat([stages[WIDE] for stages in seen]).mean(0)

    def distance(self, name: str, found: Tensor, wanted: Tensor) -> Tensor:
        """Of a stage: squared, by the variance of each channel."""
        return ((found - wanted).square().mean((0, 2, 3)) / self.variances[name]).mean()

    def apart(self, x: Tensor, kernels: list[Tensor], done: float) -> Tensor:
        """Loss of parts that read what the teacher finds."""
        stages, loss = self.teacher.stages(x), torch.zeros(())
        for name, which in self.parts:
            x = self.trunk.part(x, which, kernels)
            loss = loss + self.distance(name, self.narrow(x) if name == LAST else x, stages[name])
            x = stages[name]
        return loss

    def together(self, x: Tensor, kernels: list[Tensor], done: float) -> Tensor:
        """Loss of parts that read what the ones before them give; stages count less and less."""
        stages, loss = self.teacher.stages(x), torch.zeros(())
        for name, which in self.parts[:-1]:
            x = self.trunk.part(x, which, kernels)
            loss = loss + 0.5 * (1 - done) * self.distance(name, x, stages[name])
        cells = self.trunk.part(x, self.parts[-1][1], kernels)
        found, wanted = self.narrow(cells), stages[LAST]
        mean, features = self.means[LAST], cells.mean((2, 3))
        of_narrow = 1 - F.cosine_similarity(found.mean((2, 3)) - mean, wanted.mean((2, 3)) - mean).mean()
        of_wide = 1 - F.cosine_similarity(self.wide(features), stages[WIDE] - self.mean_wide).mean()
        expected = F.log_softmax(F.linear(stages[WIDE], *self.teacher.classify) / TEMPERATURE, dim=1)
        answers = F.log_softmax(self.classes(features) / TEMPERATURE, dim=1)
        of_classes = F.kl_div(answers, expected, log_target=True, reduction="batchmean")
        return (
            loss + 0.5 * self.distance(LAST, found, wanted) + 2 * of_narrow + 3 * of_wide + 0.5 * of_classes
        )

    @torch.no_grad()
    def settle(self, x: Tensor) -> None:
        """Make the outputs of parts that chance made as large as the teacher's."""
        stages, kernels = self.teacher.stages(x), self.trunk.kernels()
        for name, which in self.parts[:-1]:
            convs, last = self.trunk.spec.convs, which.stop - 1
            found = self.trunk.part(x, which, kernels)
            factor = (self.variances[name].sqrt() / found.std((0, 2, 3))).clamp(0.05, 20)
            for place in range(which.start, which.stop):
                if place == last or convs[last].add == convs[place].name:
                    self.trunk.lengths[place] += factor.log()[:, None, None, None]
            self.trunk.biases[last] += self.means[name] - found.mean((0, 2, 3)) * factor
            x = stages[name]
        self.narrow.bias.copy_(self.means[LAST])


def teach(
    course: Course, lessons: Lessons, chance: np.random.RandomState, kind: str, steps: int, output: Path
) -> None:
    """Steps of one kind; the rate falls to nothing."""
    trunk, loss_of = course.trunk, getattr(course, kind)
    most, parts = (RATE, 1) if kind == "apart" else (RATE_TOGETHER, PARTS)
    directions = {id(part) for part in trunk.directions}
    others = [part for part in course.parameters() if id(part) not in directions]
    sizes = [{"params": list(trunk.directions), "share": 1.0}, {"params": others, "share": 0.2}]
    optimizer = torch.optim.Adam(sizes, lr=most, betas=(0.9, 0.99))
    smooth = 0.0
    for step in range(steps):
        done = step / steps
        rate = most * min(1, (step + 1) / WARMUP) * (0.5 * (1 + np.cos(np.pi * done)) + 1e-3)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]
        optimizer.zero_grad(set_to_none=True)
        kernels = trunk.kernels()
        leaves = [kernel.detach().requires_grad_() for kernel in kernels]
        total = 0.0
        for _ in range(parts):
            loss = loss_of(lessons.batch(chance, PART), leaves, done) / parts
            loss.backward()
            total += loss.item()
        torch.autograd.backward(kernels, [leaf.grad for leaf in leaves])
        nn.utils.clip_grad_norm_(course.parameters(), LARGEST_GRADIENT[kind])
        optimizer.step()
        smooth += (total - smooth) * (0.02 if step else 1)
        if (step + 1) % 100 == 0 or step + 1 == steps:
            print(f"{kind} {step + 1}, {time.process_time():.0f} s of processor, {smooth:.3f}", flush=True)
        if (step + 1) % 500 == 0 or step + 1 == steps:
            found = {name: torch.from_numpy(tensor) for name, tensor in trunk.tensors()}
            torch.save({"shape": trunk.shape, "tensors": found}, output)


def main() -> None:
    """Train a trunk for some steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", choices=["inverted", "inverted-small"], default="inverted")
    parser.add_argument("--start", help="a generator of such a trunk to go on from")
    parser.add_argument("--apart", type=int, default=0, help="steps")
    parser.add_argument("--together", type=int, default=0, help="steps")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="folders of JPEG files")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    torch.manual_seed(0)
    chance, lessons = np.random.RandomState(0), Lessons(options.images)
    tensors = read_generator(options.start).file.tensors if options.start else {}
    trunk = Trunk(options.shape, trunk_spec(options.shape, SIDE), tensors)
    course = Course(trunk, Teacher(SIDE), [lessons.batch(chance, 64) for _ in range(4)])
    if not tensors:
        course.settle(lessons.batch(chance, 64))
    for kind, steps in (("apart", options.apart), ("together", options.together)):
        teach(course, lessons, chance, kind, steps, options.output)


if __name__ == "__main__":
    main()
