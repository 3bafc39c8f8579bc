"""What `side_by_side.py` measures of use: reading drawings, classifying, writing a CNN, the estimate.

The drawings are made here, of a fixed seed: some strokes of ink on paper, 105 x 105 pixels, in PNG files.
Whole commands are processes of their own; their processor time counts, and by the clock (`--clock`) they may
use all processors.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

WAY = 20


def draw(folder: Path, classes: int, each: int, noise: bool = False) -> list[Path]:
    """Files `CLASS/NUMBER.png`: strokes of each class, a little different each time; or noise of 28 x 28."""
    hand, paths = np.random.default_rng(0), []
    for kind in range(classes):
        strokes = hand.uniform(15, 90, (3, 4, 2))
        (folder / f"c{kind:02}").mkdir(parents=True)
        for number in range(each):
            if noise:
                image = Image.fromarray(hand.integers(0, 256, (28, 28), dtype=np.uint8))
            else:
                image = Image.new("L", (105, 105), 255)
                for stroke in strokes + hand.normal(0, 3, strokes.shape):
                    ImageDraw.Draw(image).line([tuple(point) for point in stroke], 0, 3)
            paths.append(folder / f"c{kind:02}" / f"{number:04}.png")
            image.save(paths[-1])
    return paths


def generator(name: str) -> Any:
    try:
        from htgen.generator.generator import load_generator
    except ImportError:  # builds before folders of the package
        from htgen.generator import load_generator
    return load_generator(name)


def support(made: Any, classes: int, each: int) -> Any:
    """Noise around a picture of each class, prepared."""
    hand = np.random.default_rng(0)
    means = hand.uniform(-1, 1, (classes, 1, 1, 28, 28))
    images = np.clip(0.5 * means + hand.normal(0, 0.5, (classes, each, 1, 28, 28)), -1, 1)
    labels = [f"c{kind:02}" for kind in range(classes) for _ in range(each)]
    return made.support(images.reshape(-1, 1, 28, 28).astype(np.float32), labels)


def by_turns(work: Callable[[], object], repeats: int, count: int = 1) -> tuple[float, float]:
    """Things a second of processor time and on the clock, `count` each time, after three times to warm up."""
    for _ in range(3):
        work()
    processor, clock = time.process_time(), time.perf_counter()
    for _ in range(repeats):
        work()
    total = repeats * count
    return total / (time.process_time() - processor), total / (time.perf_counter() - clock)


def writing() -> tuple[float, float]:
    made = generator("glyph-8")
    return by_turns(partial(made.generate_bundle, support(made, WAY, 1)), 100)


def one_image(name: str) -> tuple[float, float]:
    made = generator(name)
    cnn = made.generate_bundle(support(made, WAY, 1))
    image = np.random.default_rng(1).uniform(-1, 1, (1, 1, 28, 28)).astype(np.float32)
    return by_turns(partial(cnn.logits, image), 2000)


def leaving_out() -> tuple[float, float]:
    made = generator("glyph-8")
    found = support(made, 30, 20)
    processor, clock = time.process_time(), time.perf_counter()
    made.leave_one_out(found)
    return 1 / (time.process_time() - processor), 1 / (time.perf_counter() - clock)


def command(*words: str, count: int = 1) -> tuple[float, float]:
    """Things a second of a whole command that does `count` of them, where the CNN and the drawings are."""
    before, clock = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-m", "htgen", *words], check=True, capture_output=True)
    passed, after = time.perf_counter() - clock, os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return count / processor, count / passed


def predicting(classes: int, each: int, noise: bool = False) -> tuple[float, float]:
    draw(Path("support"), WAY, 2)
    subprocess.run(
        [sys.executable, "-m", "htgen", "generate", "--support", "support", "-o", "cnn.st"],
        check=True,
        capture_output=True,
    )
    paths = draw(Path("new"), classes, each, noise)
    folders = sorted({str(path.parent) for path in paths})
    return command("predict", "cnn.st", *folders, count=len(paths))


def generating(classes: int, each: int) -> tuple[float, float]:
    draw(Path("support"), classes, each)
    return command("generate", "--support", "support", "-o", "cnn.st")


USE: dict[str, tuple[str, Callable[[], tuple[float, float]]]] = {
    "write": ("writing a CNN of 20 classes, `glyph-8`, CNNs/s", writing),
    "one-8": ("one image by a CNN of `glyph-8`, images/s", partial(one_image, "glyph-8")),
    "one-16": ("one image by a CNN of `glyph-16`, images/s", partial(one_image, "glyph-16")),
    "leave-out": ("leave-one-out, 30 classes x 20 images, times/s", leaving_out),
    "predict-1": ("`htgen predict` of one drawing, times/s", partial(predicting, 1, 1)),
    "predict-400": ("`htgen predict` of 400 drawings, images/s", partial(predicting, 20, 20)),
    "predict-20000": ("`htgen predict` of 20 000 drawings, images/s", partial(predicting, 100, 200)),
    "predict-noise": ("`htgen predict` of 400 images of noise, images/s", partial(predicting, 20, 20, True)),
    "generate-20": ("`htgen generate`, 20 classes x 1 image, times/s", partial(generating, 20, 1)),
    "generate-600": ("`htgen generate`, 30 classes x 20 images, times/s", partial(generating, 30, 20)),
}
"""By name: what it is, and how it is measured, by processor time and by the clock."""
