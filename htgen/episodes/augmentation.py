"""Changes of episode images, batched on the device and drawn from counter-based keys.

Families, by what shares one draw; each follows its section of `htgen.config.data.AugmentConfig`:

* **Warps**, per image: each image is moved on its own, as another hand would have drawn it
  (`htgen.episodes.warps`).
* **New classes**, per class: a warp that is the class's own, and made together with those of its images,
  so that images are sampled once (`htgen.episodes.warps`).
* **Chimeras**, per class: images that are one class's on one side of a line and another class's on the
  other, which makes new classes out of pairs of old ones (`htgen.episodes.warps`).
* **Alike** (`rotate90` and the section `alike`), per class or per episode: all images of the class (or
  episode) change in the same way, which makes new classes (or a new look of the whole task) of old ones
  (`htgen.episodes.alike`).
* **Photo**, per image or per episode: what leaves a photograph a photograph of the same thing
  (`htgen.episodes.photographs`).

The order is fixed: everything that moves pixels comes before everything that changes their values, so
that a negated drawing has a negated background in the corners too. Area that comes from outside an
image is 0: the background of drawings with bright ink (see `Preprocessing.ink`), black in photographs.

An image that a probability leaves alone keeps its exact pixels. What is off costs nothing.
"""

from torch import Tensor

from htgen.config.data import AugmentConfig
from htgen.episodes.alike import move_alike, quarter_turns, recolor_alike
from htgen.episodes.photographs import move_photographs, recolor_photographs
from htgen.episodes.warps import chimeras, warp


def augment(
    config: AugmentConfig,
    images: Tensor,
    labels: Tensor,
    keys: Tensor,
    others: Tensor | None = None,
    support: int = 0,
) -> Tensor:
    """Change the images of a batch of episodes.

    Args:
        config: what is changed, and how much.
        images: `[E, M, C, H, W]` float32, 0..255, square; scaled to -1..1 afterwards.
        labels: `[E, M]` int64, the class of every image in its episode.
        keys: `[E]` int64, one random key per episode.
        others: `[E, M, C, H, W]`, an image of another class for every image, the same class for all of a
            class; read when there are chimeras.
        support: how many images, from the first, are support images.

    Returns:
        Images of the same shape, 0..255; the very same tensor where all is off.

    Raises:
        ValueError: there are chimeras, and no `others`.
    """
    if config.chimeras:
        if others is None:
            raise ValueError("chimeras need images of other classes")
        images = chimeras(config.chimeras, images, others, labels, keys)
    images = quarter_turns(config, images, labels, keys)
    images = move_alike(config.alike, images, labels, keys)
    images = warp(config, images, labels, keys)
    images = move_photographs(config.photo, images, keys)
    images = recolor_alike(config.alike, images, labels, keys)
    return recolor_photographs(config.photo, images, keys, support)
