"""A CNN as a web page: one file that classifies in the browser, without a server. No torch here.

The scripts in `page/` are the preparation of images and the CNN in plain JavaScript. A policy in the page
(Content-Security-Policy) forbids every request, and every script but those that are part of it.
"""

import base64
import hashlib
import html
import json
from importlib.resources import files
from pathlib import PurePath
from string import Template
from typing import Any

import numpy as np

from htgen.cnn.bundle import Bundle
from htgen.cnn.c_common import expect_support_norm
from htgen.files import printable
from htgen.images.words import describe_images, describe_steps
from htgen.version import __version__

CNN_SCRIPTS = (
    "resample",
    "paper",
    "components",
    "ground",
    "frames",
    "surroundings",
    "strewn",
    "shadows",
    "sharp_shadows",
    "ruled",
    "doubts",
    "beside",
    "photographs",
    "device",
    "prepare",
    "cnn",
    "drawn",
)
"""What an answer takes, in the order in which it is loaded; nothing of it needs a browser."""

WIDGETS = ("pad", "pictures")
"""Parts of pages: where people draw, files, the camera, bars."""

_NAMED_CLASSES = 12
"""So many are named at the top of the page."""


def page_file(name: str) -> str:
    """A file that pages are made of."""
    return files("htgen.cnn").joinpath("page", name).read_text(encoding="utf-8")


def page_html(bundle: Bundle, name: str) -> str:
    """A whole page for a CNN.

    Args:
        name: what the page is called, such as the name of its file.

    Raises:
        ModelError: the CNN has norm `batch`, and cannot answer for one image.
    """
    expect_support_norm(bundle.spec)
    scripts = [page_file(f"{part}.js") for part in (*CNN_SCRIPTS, *WIDGETS, "page")]
    style = page_file("page.css")
    classes = ", ".join(bundle.classes[:_NAMED_CLASSES])
    more = len(bundle.classes) - _NAMED_CLASSES
    return Template(page_file("page.html.in")).substitute(
        title=html.escape(printable(name)),
        classes=html.escape(printable(classes) + (f" and {more} more" if more > 0 else "")),
        count=len(bundle.classes),
        how=html.escape(_how(bundle)),
        about=html.escape(_about(bundle)),
        style=style,
        style_hash=_hash(style),
        script_hashes=" ".join(f"'{_hash(script)}'" for script in scripts),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
        cnn=json_for_html(description(bundle)),
    )


def page_name(path: PurePath) -> str:
    """What the page in a file is called."""
    return path.stem or "CNN"


def description(bundle: Bundle) -> dict[str, Any]:
    """A CNN as its page holds it: plain values, weights as base64 of little-endian float32."""
    tensors, parts, place = {}, [], 0
    for name, tensor in bundle.tensors.items():
        tensors[name] = [tensor.size, place]
        parts.append(np.ascontiguousarray(tensor, "<f4").tobytes())
        place += len(parts[-1])
    return {
        "spec": bundle.spec.to_dict(),
        "steps": [bundle.spec.steps(conv) for conv in bundle.spec.convs],
        "classes": list(bundle.classes),
        "preprocessing": bundle.preprocessing.to_dict(),
        "photographs": list(bundle.photographs),
        "tensors": tensors,
        "data": base64.b64encode(b"".join(parts)).decode(),
    }


def json_for_html(value: Any) -> str:
    """JSON that ends no script element and begins no comment."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    """A source expression of a Content-Security-Policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _how(bundle: Bundle) -> str:
    images = describe_images(bundle.preprocessing)
    if bundle.preprocessing.ink == "none":
        return images
    return f"{images}. Steps: {describe_steps(bundle.preprocessing)}."


def _about(bundle: Bundle) -> str:
    made = f"Made by {bundle.generator.get('name', 'a generator')} of htgen {__version__}"
    images = f"of {sum(bundle.support.values())} images" if bundle.support else ""
    estimate = "" if bundle.estimate is None else f" Estimate: {bundle.estimate}."
    return f"{made} {images}; {bundle.parameter_count} numbers.{estimate}"
