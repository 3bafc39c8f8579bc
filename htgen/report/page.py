"""The frame of a report, and its parts as HTML. Whatever people chose is escaped here."""

import base64
import html
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from htgen.arrays import Integers, Pixels
from htgen.cnn.html_page import page_file
from htgen.errors import DataError
from htgen.files import printable
from htgen.images.pictures import image_of, png_of
from htgen.images.reading import load_image
from htgen.version import __version__

SMALL = 96
"""Longer side of a picture of an image, in pixels."""

MOST_IMAGES = 300
"""So many images are shown; the others are counted."""

MOST_CELLS = 30
"""Classes of a table of confusions; with more, pairs are listed."""

_STYLE = """
body { max-width: 86rem; }
.images { display: flex; flex-wrap: wrap; gap: .8rem; }
figure { margin: 0; max-width: 14rem; }
figure img { border: 1px solid var(--line); background: #fff; vertical-align: top; max-width: 100%; }
img.small { width: 4.5rem; height: 4.5rem; object-fit: contain; }
img.pixels { image-rendering: pixelated; }
figure:has(.wide) { max-width: 100%; }
.images > figure:has(.bars) { width: 14rem; }
figure .bars li:has(.bar) { grid-template-columns: 4.5rem 1fr 3.9rem; gap: .3rem; }
.nearest { display: flex; flex-wrap: wrap; gap: .3rem; align-items: end; }
.nearest figure { width: 3rem; }
.nearest img.small { width: 2.6rem; height: 2.6rem; }
figcaption { font-size: .85rem; color: var(--quiet); }
.marked { border: 2px dashed var(--mark); padding: .3rem; }
section { margin-top: 1rem; overflow-x: auto; }
table { border-collapse: collapse; }
td, th { padding: .2rem .5rem; text-align: right; border: 1px solid var(--line); }
td, th { max-width: 9rem; overflow-wrap: break-word; }
th:first-child, td:first-child { text-align: left; }
td.right { font-weight: 700; }
pre { white-space: pre-wrap; }
@media (max-width: 26rem) { .images > figure > img.small { width: 3.9rem; height: 3.9rem; } }
"""


def text(value: object) -> str:
    """A text in HTML; control characters and what UTF-8 cannot hold are shown as escapes."""
    return html.escape(printable(str(value)))


def page(title: str, sections: Iterable[tuple[str, str]]) -> str:
    """A whole page: nothing on it comes from elsewhere, and it has no scripts.

    Args:
        title: plain text.
        sections: headings in plain text, and their HTML; those without any are left out.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'"
    body = "".join(
        f"<section><h2>{text(heading)}</h2>{content}</section>\n" for heading, content in sections if content
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title><style>{page_file('page.css')}{_STYLE}</style></head>\n"
        f'<body><h1>{text(title)}</h1>\n{body}<p class="quiet">htgen {__version__}</p></body></html>\n'
    )


def paragraph(words: object) -> str:
    """A paragraph of plain text."""
    return f"<p>{text(words)}</p>"


def listed(lines: Sequence[object], most: int = 50) -> str:
    """A list of plain texts; nothing without any."""
    if not lines:
        return ""
    items = "".join(f"<li>{text(line)}</li>" for line in lines[:most])
    more = f"<li>and {len(lines) - most} more</li>" if len(lines) > most else ""
    return f"<ul>{items}{more}</ul>"


def command_line(arguments: Sequence[str] | None = None) -> str:
    """The command that is running, as it can be typed again."""
    return shlex.join(["htgen", *(sys.argv[1:] if arguments is None else arguments)])


def commands(*lines: str) -> str:
    """Commands as they are typed."""
    return "<pre>" + "\n".join(map(text, lines)) + "</pre>"


def picture(pixels: Pixels, label: str) -> str:
    """Pixels `[H, W, 1 or 3]` as a small square."""
    return f'<img class="small pixels" alt="{text(label)}" src="{_address(image_of(pixels))}">'


def sheet(pixels: Pixels, label: str, scale: int) -> str:
    """Pixels of any shape, each so many pixels of the screen wide."""
    size = f'width="{scale * pixels.shape[1]}"'
    return f'<img class="wide pixels" {size} alt="{text(label)}" src="{_address(image_of(pixels))}">'


def original(path: Path) -> str:
    """An image file as it is, small; a remark where it cannot be read any more."""
    try:
        image = load_image(path)
    except DataError:
        return '<span class="quiet">cannot be read any more</span>'
    image.thumbnail((SMALL, SMALL))
    return f'<img class="small" alt="{text(path.name)}" src="{_address(image)}">'


def figure(pictures: str, caption: str, marked: bool = False) -> str:
    """Pictures side by side, with a caption in HTML."""
    mark = ' class="marked"' if marked else ""
    return f"<figure{mark}>{pictures}<figcaption>{caption}</figcaption></figure>"


def images(figures: Sequence[str], left_out: int = 0) -> str:
    """Figures in rows."""
    if not figures:
        return ""
    more = paragraph(f"{left_out} more images are not shown.") if left_out else ""
    return f'<div class="images">{"".join(figures)}</div>{more}'


def folded(content: str, summary: str, is_folded: bool) -> str:
    """HTML that is shown when its summary is clicked, if it is folded."""
    if not is_folded:
        return content
    return f"<details><summary>{text(summary)}</summary>{content}</details>"


def bars(probabilities: dict[str, float], most: int = 5) -> str:
    """The likeliest classes, a bar and a percentage each."""
    rows = []
    for place, (name, share) in enumerate([*probabilities.items()][:most]):
        best = ' class="best"' if place == 0 else ""
        bar = f'<span class="bar"><span style="width:{100 * share:.1f}%"></span></span>'
        words = f'<span class="name">{text(name)}</span>{bar}<span class="share">{100 * share:.1f} %</span>'
        rows.append(f"<li{best}>{words}</li>")
    return f'<ol class="bars">{"".join(rows)}</ol>'


def confusions(classes: Sequence[str], table: Integers) -> str:
    """What is found as what: `[n, n]`, or `[n, n + 1]` with none of these last; rows are true classes."""
    columns = [*classes, "none of these"][: table.shape[1]]
    if len(classes) <= MOST_CELLS:
        head = "".join(f"<th>{text(name)}</th>" for name in ["is, found as", *columns])
        rows = []
        for row, name in enumerate(classes):
            if table[row].any():
                cells = "".join(
                    f"<td{' class=right' if row == column else ''}>{count or '·'}</td>"
                    for column, count in enumerate(table[row].tolist())
                )
                rows.append(f"<tr><td>{text(name)}</td>{cells}</tr>")
        return f"<table><tr>{head}</tr>{''.join(rows)}</table>"
    pairs = [
        (int(table[row, column]), f"{name} is found as {columns[column]}: {table[row, column]}")
        for row, name in enumerate(classes)
        for column in np.flatnonzero(table[row]).tolist()
        if row != column
    ]
    return listed([line for _, line in sorted(pairs, key=lambda pair: -pair[0])])


def _address(image: Image.Image) -> str:
    return "data:image/png;base64," + base64.b64encode(png_of(image)).decode()
