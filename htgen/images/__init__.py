"""Pictures -> pixels: files, folders, drawings, and the record of their preparation."""

from htgen.images.preprocessing import Preprocessing
from htgen.images.reading import load_image

__all__ = ["Preprocessing", "load_image"]
