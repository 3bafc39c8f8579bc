"""Made-up raw files of data sets, in their original formats."""

import pickle
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw


def drawing(seed: int) -> bytes:
    """A PNG like the real ones: 105 x 105, one bit, black strokes on white."""
    image = Image.new("1", (105, 105), 1)
    points = np.random.default_rng(seed).integers(0, 105, (6, 2)).tolist()
    ImageDraw.Draw(image).line([tuple(point) for point in points], fill=0, width=3)
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def members(half: str, alphabets: list[int]) -> list[str]:
    kind = "Alphabet" if half == "images_background" else "Later"
    # Numbered downwards, so that the order in the archive is not the order of the classes.
    return [
        f"{half}/{kind}{a:02}/character{c:02}/{a:02}{c:02}_01.png"
        for a in reversed(range(len(alphabets)))
        for c in range(alphabets[a], 0, -1)
    ]


def write_zip(path: Path, names: list[str], drawings: list[bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, drawings[number % len(drawings)])


def miniimagenet_record(part: str, count: int, images_each: int) -> dict[str, Any]:
    """Like the real ones, but with the rows of the classes mixed."""
    random = np.random.default_rng(count)
    images = random.integers(0, 256, (count * images_each, 84, 84, 3), dtype=np.uint8)
    rows = random.permutation(count * images_each).reshape(count, images_each).tolist()
    names = [f"n{part}{k:03}" for k in reversed(range(count))]
    return {"image_data": images, "class_dict": dict(zip(names, rows, strict=True))}


def write_miniimagenet(folder: Path, records: dict[str, dict[str, Any]], protocol: int = 2) -> Path:
    folder.mkdir(exist_ok=True)
    for part, value in records.items():
        (folder / f"mini-imagenet-cache-{part}.pkl").write_bytes(pickle.dumps(value, protocol))
    return folder


def write_tieredimagenet_part(folder: Path, part: str, count: int, labels: list[int]) -> None:
    folder.mkdir(exist_ok=True)
    images = np.arange(count, dtype=np.uint8).repeat(84 * 84 * 3).reshape(count, 84, 84, 3)
    np.savez_compressed(folder / f"{part}_images.npz", images=images)
    (folder / f"{part}_labels.pkl").write_bytes(pickle.dumps({"labels": labels}, 2))
