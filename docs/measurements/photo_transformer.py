"""Does a transformer that writes the head of `photo` beat PLDA? A trial on stored features.

    python docs/measurements/photo_transformer.py features --work work --out features
    python docs/measurements/photo_transformer.py trial --features features --sees trunk
    python docs/measurements/photo_transformer.py trial --features features --sees teacher

`work` is what `photo_teacher.py` wrote. The transformer reads the support images and writes, in the
coordinates of PLDA, a correction of each class's centre, and a scale and a shift of every feature. At the
start all of these are nothing, and the answers those of PLDA. It sees the support images through the trunk of
`photo` alone, or through the teacher too (`--sees teacher`: strong eyes, small hands); queries pass through
the trunk of `photo` in both cases.
"""

import argparse
import random
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from htgen.evaluation.accuracy import half_width95
from htgen.generator.file import read_generator
from htgen.generator.network import build
from htgen.images.inputs import scale_pixels

WAY, QUERIES, SHOTS = 5, 10, (1, 1, 2, 5)
WIDTH, LAYERS, EPISODES = 192, 2, 16
RATE, DROPOUT = 5e-4, 0.1
EACH_OF_MANY = 100
"""Images of each class of miniImageNet."""

Floats = npt.NDArray[np.float32]


# ------------------------------------------------------------------------------------------------ features


def features(options: argparse.Namespace) -> None:
    """Write what the trunk and the teacher find in whole images."""
    model = build(read_generator("photo").file)
    side = model.spec.image_size
    options.out.mkdir(parents=True, exist_ok=True)
    for folder in sorted(options.work.iterdir()):
        images, names = np.load(folder / "images.npy", mmap_mode="r"), np.load(folder / "names.npy")
        most = EACH_OF_MANY if folder.name == "miniimagenet" else len(names)
        rows = np.concatenate([np.flatnonzero(names == name)[:most] for name in sorted(set(names))])
        found = []
        for part in np.array_split(rows, len(rows) // 32):
            pixels = [Image.fromarray(images[r]).resize((side, side), Image.Resampling.BICUBIC) for r in part]
            x = torch.from_numpy(np.stack([np.asarray(p) for p in pixels])).permute(0, 3, 1, 2).float()
            with torch.no_grad():
                found.append(model.trunk_features(scale_pixels(x))[:, :, 0, 0].numpy())
        np.savez(
            options.out / f"{folder.name}.npz",
            trunk=np.concatenate(found),
            teacher=np.load(folder / "wide0.npy")[rows].astype(np.float32),
            names=names[rows],
        )


class Tasks:
    """Tasks of some classes, `[E, S, F]`."""

    def __init__(self, classes: list[tuple[Floats, Floats]], seed: int) -> None:
        self.classes, self.chance = classes, np.random.RandomState(seed)

    def draw(self, episodes: int, shot: int) -> tuple[Tensor, Tensor, Tensor]:
        """Support by trunk `[E, n, k, F]` and by teacher `[E, n, k, T]`, and queries `[E, n, q, F]`."""
        parts: list[list[Floats]] = [[], [], []]
        for _ in range(episodes):
            for place in self.chance.choice(len(self.classes), WAY, replace=False):
                trunk, teacher = self.classes[place]
                rows = self.chance.permutation(len(trunk))[: shot + QUERIES]
                parts[0].append(trunk[rows[:shot]])
                parts[1].append(teacher[rows[:shot]])
                parts[2].append(trunk[rows[shot:]])
        support, seen, asked = (torch.from_numpy(np.stack(x)).unflatten(0, (episodes, WAY)) for x in parts)
        return support, seen, asked


def read_classes(folder: Path) -> tuple[list[tuple[Floats, Floats]], list[tuple[Floats, Floats]]]:
    """Training classes of both data sets, and the validation classes 60 to 69 of Caltech-101."""
    groups = {}
    for path in sorted(folder.glob("*.npz")):
        held = np.load(path)
        names = sorted(set(held["names"]))
        groups[path.stem] = [
            tuple(held[x][held["names"] == name] for x in ("trunk", "teacher")) for name in names
        ]
    caltech = next(group for name, group in groups.items() if name.startswith("caltech"))
    order = list(range(len(caltech)))
    random.Random(0).shuffle(order)
    caltech = [caltech[place] for place in order]
    return caltech[:60] + groups["miniimagenet"], caltech[60:70]


# --------------------------------------------------------------------------------------------------- trial


class Writer(nn.Module):
    """Writes a head from support images; at first that of PLDA."""

    def __init__(self, tensors: dict[str, Tensor], teacher_width: int, sees_teacher: bool) -> None:
        super().__init__()
        self.centre, self.directions, self.prior = (
            tensors[f"logits.plda.{part}"].float() for part in ("centre", "directions", "prior_counts")
        )
        count = len(self.centre)
        self.sees_teacher = sees_teacher
        self.of_trunk, self.of_teacher = nn.Linear(count, WIDTH), nn.Linear(teacher_width, WIDTH)
        self.labels = nn.Parameter(torch.randn(WAY, WIDTH) * 0.5)
        self.kinds = nn.Parameter(torch.randn(2, WIDTH) * 0.5)
        layer = nn.TransformerEncoderLayer(
            WIDTH, 4, 2 * WIDTH, DROPOUT, batch_first=True, norm_first=True, activation="gelu"
        )
        self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.correction, self.affine = nn.Linear(WIDTH, count), nn.Linear(WIDTH, 2 * count)
        for last in (self.correction, self.affine):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.sharpness = nn.Parameter(tensors["logits.log_sharpness"].float().clone())

    def forward(self, support: Tensor, seen: Tensor, asked: Tensor, writes: bool = True) -> Tensor:
        """Logits of queries `[E, n * q, n]`; of PLDA alone where nothing is written."""
        support, asked = ((x - self.centre) @ self.directions for x in (support, asked.flatten(1, 2)))
        shot = support.shape[2]
        means = support.mean(2) * shot / (shot + self.prior)
        weight = (1 + 1 / shot) / (1 + 1 / (shot + self.prior))
        if writes:
            tokens = self.of_trunk(support)
            if self.sees_teacher:
                tokens = tokens + self.of_teacher(F.normalize(seen, dim=3))
            tokens = tokens + self.labels[torch.randperm(WAY)][:, None]
            classes = (tokens.mean(2) + self.kinds[0]).clone()
            whole = (tokens.mean((1, 2)) + self.kinds[1])[:, None]
            read = self.layers(torch.cat([classes, whole, tokens.flatten(1, 2)], dim=1))
            means = means + self.correction(read[:, :WAY])
            scale, shift = self.affine(read[:, WAY : WAY + 1]).chunk(2, dim=2)
            asked = asked + shift
            weight = weight * scale.exp()
        difference = asked[:, :, None] - means[:, None]
        distance = (difference.square() * weight.reshape(-1, 1, 1, weight.shape[-1])).sum(3)
        return -self.sharpness.exp() * distance


def answers(model: Writer, tasks: Tasks, shot: int, count: int, writes: bool) -> str:
    """Accuracy in percent, with its 95 % interval."""
    right = []
    with torch.no_grad():
        for _ in range(count // 20):
            logits = model(*tasks.draw(20, shot), writes)
            wanted = torch.arange(WAY).repeat_interleave(QUERIES)
            right.append((logits.argmax(2) == wanted).double().mean(1))
    found = 100 * torch.cat(right)
    return f"{found.mean():.2f} ± {half_width95(found):.2f}"


def trial(options: argparse.Namespace) -> None:
    """Train, and measure on the same validation tasks as PLDA."""
    torch.manual_seed(0)
    train, val = read_classes(options.features)
    file = read_generator("photo").file
    tensors = {name: torch.from_numpy(np.array(x)) for name, x in file.tensors.items()}
    model = Writer(tensors, train[0][1].shape[1], options.sees == "teacher")
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    tasks, wanted = Tasks(train, 0), torch.arange(WAY).repeat_interleave(QUERIES)
    for step in range(options.steps + 1):
        if step % (options.steps // 5) == 0:
            model.eval()
            for shot in (1, 5):
                with_it, alone = (
                    answers(model, Tasks(val, 1), shot, options.tasks, writes) for writes in (True, False)
                )
                print(f"{options.sees}, step {step}, shot {shot}: {with_it}; PLDA {alone}", flush=True)
            model.train()
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, step / 100) * 0.5 * (1 + np.cos(np.pi * step / options.steps))
        logits = model(*tasks.draw(EPISODES, int(tasks.chance.choice(SHOTS))))
        loss = F.cross_entropy(logits.flatten(0, 1), wanted.repeat(EPISODES))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("features")
    one.set_defaults(run=features)
    one.add_argument("--work", type=Path, required=True)
    one.add_argument("--out", type=Path, required=True)
    one = commands.add_parser("trial")
    one.set_defaults(run=trial)
    one.add_argument("--features", type=Path, required=True)
    one.add_argument("--sees", choices=["trunk", "teacher"], required=True)
    one.add_argument("--steps", type=int, default=3000)
    one.add_argument("--tasks", type=int, default=1000)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
