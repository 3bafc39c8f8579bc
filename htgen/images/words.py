"""What is said of a preprocessing record, in words."""

from htgen.images.preprocessing import Preprocessing

_FITS = {
    "pad": "margins where it is not square",
    "crop": "cut to a square",
    "stretch": "stretched to a square",
}


def describe_images(preprocessing: Preprocessing) -> str:
    """What a CNN sees: `28 x 28 pixels, grey, light ink on dark; margins where it is not square`."""
    size = f"{preprocessing.size} x {preprocessing.size} pixels"
    colours = "grey" if preprocessing.channels == 1 else "colour"
    ink = {"bright": ", light ink on dark", "dark": ", dark ink on light", "none": ""}[preprocessing.ink]
    return f"{size}, {colours}{ink}; {_FITS[preprocessing.fit]}"


def describe_steps(preprocessing: Preprocessing) -> str:
    """What is done with drawings beside turning them over, and which steps for all images are left out."""
    if preprocessing.device:
        even = ", strokes made even" if preprocessing.steps.stroke else ""
        return f"those of a small device{even}"
    steps = preprocessing.steps
    done = {
        "surroundings left out": steps.cleans,
        "light made even": steps.flatten,
        "cut to the ink": steps.crop,
        "contrast stretched": steps.contrast,
        "solid shapes made outlines": steps.outline,
        "strokes made even": steps.stroke,
        "transparency ignored": preprocessing.transparency == "ignore",
        "stretched to a square": preprocessing.fit == "stretch",
    }
    return ", ".join(what for what, is_done in done.items() if is_done) or "none"
