"""htgen: a folder of a few labelled images in, a tiny CNN out, in one forward pass."""

from htgen.version import __version__

__all__ = ["__version__"]
