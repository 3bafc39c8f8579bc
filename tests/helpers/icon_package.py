"""Made-up packages of icon sets, laid out as npm's `@iconify/json`; and what draws them without resvg_py."""

import json
import sys
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image, ImageDraw

from htgen.datasets.icons import FEWEST_IMAGES

SETS = [f"set-{number}" for number in range(FEWEST_IMAGES)]
CONCEPTS = ["arrow-left", "arrow-right", "cup", "key", "map", "sun", "tree"]


def body(side: int) -> str:
    return f'<rect x="4" y="4" width="{side}" height="12" fill="currentColor"/>'


def tall(number: int) -> str:
    """Bodies of which none looks like one of `body`."""
    return f'<rect x="4" y="4" width="{2 + number / 4}" height="12" fill="currentColor"/>'


def draw(svg_string: str, width: int, height: int, **_: Any) -> bytes:
    """Stands in for resvg_py: draws the rectangle of `body`, in a box of 24x24."""
    if "broken" in svg_string:
        raise ValueError("no SVG")
    image = Image.new("L", (width, height), 255)
    if 'width="' in svg_string.partition("<rect")[2]:
        side = float(svg_string.partition("<rect")[2].partition('width="')[2].partition('"')[0])
        scale = width / 24
        ImageDraw.Draw(image).rectangle((4 * scale, 4 * scale, (4 + side) * scale, 16 * scale), fill=0)
    file = BytesIO()
    image.save(file, "png")
    return file.getvalue()


def render_without_resvg(monkeypatch: pytest.MonkeyPatch) -> None:
    """Icons are drawn by `draw` from now on."""
    module = ModuleType("resvg_py")
    module.svg_to_bytes = draw  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "resvg_py", module)


def icon_set(names: dict[str, str]) -> dict[str, Any]:
    return {"icons": {name: {"body": text} for name, text in names.items()}, "width": 24, "height": 24}


def collection(licence: str = "MIT", palette: bool = False) -> dict[str, Any]:
    return {"license": {"spdx": licence}, "palette": palette}


def write(folder: Path, sets: dict[str, dict[str, Any]], about: dict[str, dict[str, Any]]) -> Path:
    (folder / "json").mkdir(parents=True)
    (folder / "collections.json").write_text(json.dumps(about))
    for name, record in sets.items():
        (folder / "json" / f"{name}.json").write_text(json.dumps(record))
    return folder


def package(folder: Path, concepts: list[str] = CONCEPTS, **more: dict[str, Any]) -> Path:
    """Every concept in `FEWEST_IMAGES` sets, each time of another width; and what else is named."""
    sets = {
        name: icon_set({concept: body(5 + number) for concept in concepts})
        for number, name in enumerate(SETS)
    }
    return write(folder, {**sets, **more}, {name: collection() for name in [*sets, *more]})
