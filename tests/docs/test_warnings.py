"""The warnings that the guide lists are those that htgen gives, and all of them."""

import inspect
import re
from pathlib import Path

from htgen.generator.from_folder import GeneratedFromFolder
from htgen.images import doubts, notices, pages, reading, ruled, shadows, strewn, surroundings, transparency

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "your-images.md"

OF_AN_IMAGE = (
    notices.NOTHING_SEEN,
    notices.PHOTOGRAPH,
    notices.DRAWN,
    notices.MIDDLE_ALONE,
    notices.SEVERAL,
    notices.ENCLOSED,
    notices.TINY,
    reading.DAMAGED_IN_PART,
    ruled.RULED,
    transparency.NOTHING_OPAQUE,
    transparency.SHAPE_OF_PAPER,
    transparency.BLACK_GROUND,
    shadows.LIGHT_WITHIN,
    strewn.KEPT,
    strewn.LEFT_OUT,
    surroundings.FRAME_LEFT_OUT,
    surroundings.FRAME_KEPT,
    surroundings.EMPTY,
    surroundings.DARK_PAPER,
    doubts.AROUND,
    doubts.FOLD,
    doubts.SHEET,
    doubts.SPOTS,
    doubts.TONES,
)


def listed() -> list[str]:
    table = PAGE.read_text().partition("| warning | what to do |")[2].partition("\n\n")[0]
    return re.findall(r"^\| (.+?) \| ", table, re.MULTILINE)


def test_every_warning_of_an_image_is_listed():
    for text in OF_AN_IMAGE:
        assert any(text.startswith(line) for line in listed()), text


def test_every_warning_that_is_listed_is_given():
    of_all = inspect.getsource(GeneratedFromFolder) + inspect.getsource(pages.turn_to)
    for line in listed():
        is_of_an_image = any(text.startswith(line) for text in OF_AN_IMAGE)
        of_pages = line == "page or frame 1 of 3 was read" and "was read; for another one" in of_all
        assert is_of_an_image or of_pages or line in of_all, line
