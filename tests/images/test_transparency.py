"""What is transparent is filled as the paper beside it, or in contrast to ink that has none."""

import numpy as np
import pytest
from helpers.drawings import FULL, PLAIN, distance, drawing, to_image
from PIL import Image, ImageDraw, ImageFilter

from htgen.images.transparency import NOTHING_OPAQUE


def opaque_within(image: Image.Image, shape: str, margin: int = 0) -> Image.Image:
    """An image of which only a shape is opaque."""
    alpha = Image.new("L", image.size, 0)
    pen = ImageDraw.Draw(alpha)
    box = [margin, margin, image.width - 1 - margin, image.height - 1 - margin]
    if shape == "disc":
        pen.ellipse(box, fill=255)
    else:
        pen.rounded_rectangle(box, {"square": 0, "rounded": 12, "round": 60}[shape], fill=255)
    image = image.copy()
    image.putalpha(alpha.filter(ImageFilter.GaussianBlur(1)))
    return image


def shaded() -> Image.Image:
    y, x = np.mgrid[0:1:200j, 0:1:200j]
    return to_image((235 - 60 * x - 30 * y) * np.asarray(drawing(200, ink=80), float) / 255)


PAPERS = {
    "white": drawing(200, ink=20),
    "colour": Image.merge("RGB", [drawing(200, ink=30, paper=v) for v in (250, 240, 170)]),
    "board": drawing(200, ink=230, paper=40),
    "shaded": shaded(),
}


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize(("shape", "margin"), [("rounded", 0), ("round", 0), ("square", 14), ("disc", 0)])
def test_surroundings_that_are_transparent_are_filled_as_the_paper(
    paper: str, shape: str, margin: int
) -> None:
    assert distance(opaque_within(PAPERS[paper], shape, margin)) < 0.3


@pytest.mark.parametrize("paper", PAPERS)
def test_a_turned_page_on_transparency(paper: str) -> None:
    image = PAPERS[paper].copy()
    image.putalpha(255)
    turned = image.rotate(8, Image.Resampling.BICUBIC, expand=True)
    clean = drawing(200).rotate(8, Image.Resampling.BICUBIC, expand=True, fillcolor=255)
    assert distance(turned, clean=clean) < 0.3


@pytest.mark.parametrize(
    "colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (230, 30, 30), (250, 230, 20)]
)
def test_ink_alone_stays_ink(colour: tuple[int, int, int]) -> None:
    image = Image.new("RGBA", (120, 120), (*colour, 0))
    image.putalpha(Image.fromarray(255 - np.asarray(drawing())))
    assert distance(image) < 0.2
    filled = Image.new("RGBA", (120, 120), (*colour, 0))
    mask = Image.new("L", (120, 120))
    ImageDraw.Draw(mask).rectangle([30, 40, 90, 80], fill=255)
    filled.putalpha(mask)
    assert (FULL.without("stroke").apply(filled)[10:18, 6:22] > 240).all()


def test_what_lies_beneath_is_read_where_nothing_is_opaque() -> None:
    image = drawing().convert("RGBA")
    image.putalpha(0)
    for preprocessing in (FULL, PLAIN):
        reading = preprocessing.read(image)
        assert not reading.is_blank
        assert reading.warnings == (NOTHING_OPAQUE,)
        np.testing.assert_array_equal(reading.pixels, preprocessing.apply(drawing()))
    ignored = PLAIN.without("transparency").read(image)
    assert ignored.warnings == ()
    empty = Image.new("RGBA", (40, 40), (9, 9, 9, 0))
    assert FULL.read(empty).is_blank
    assert FULL.read(empty).warnings == ()
