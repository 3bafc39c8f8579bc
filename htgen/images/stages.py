"""What becomes of one image, step by step: pictures for people who ask what a CNN sees."""

from dataclasses import replace

from PIL import Image

from htgen.arrays import Pixels
from htgen.images.drawings import NO_STEPS
from htgen.images.preprocessing import Preprocessing

_SCALED = "scaled"


def stages(image: Image.Image, preprocessing: Preprocessing) -> list[tuple[str, Pixels]]:
    """The image after each step that the preprocessing takes, the last as a CNN sees it.

    Args:
        image: any image of Pillow.

    Returns:
        What was done, and uint8 `[size, size, channels]`. A step that is not taken is left out.

    Raises:
        DataError: the image cannot be used.
    """
    whole = preprocessing.apply(image)
    if not preprocessing.is_for_drawings:
        return [(_SCALED, whole)]
    steps = preprocessing.steps
    so_far = replace(NO_STEPS, polarity=False)
    found = [(_SCALED, replace(preprocessing, steps=so_far, device=False).apply(image))]
    if preprocessing.device:
        return [*found, ("prepared as a small device does it", whole)]
    taken = (
        ("ink made " + preprocessing.ink, {"polarity": steps.polarity}),
        ("light made even", {"flatten": steps.flatten}),
        ("surroundings left out", {"clean": steps.cleans}),
        ("cut to the ink", {"crop": steps.crop}),
        ("contrast stretched", {"contrast": steps.contrast}),
        ("solid shapes made outlines", {"outline": steps.outline}),
        ("strokes made even", {"stroke": steps.stroke}),
    )
    for what, values in taken:
        if any(values.values()):
            so_far = replace(so_far, **values)
            found.append((what, replace(preprocessing, steps=so_far).apply(image)))
    return found
