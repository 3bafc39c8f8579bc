"""More classes than a transformer is shown at once. For tensors and arrays alike. No torch here.

A generator with a table of labels knows `model.max_way` of them. With more classes it writes its convolutions in
view of so many, spread evenly over all; statistics of norms, class means and PLDA are of all images. The last
layer is that of the class means.
"""

from htgen.config.model import ModelConfig

MOST_AT_ONCE = 256
"""Classes that a transformer is shown at once where codes stand for them: memory grows with their square."""


def most_at_once(config: ModelConfig) -> int:
    """The number of classes that the transformers of a generator are shown at once."""
    return MOST_AT_ONCE if config.has_codes else config.max_way


def spread(way: int, count: int) -> list[int]:
    """`count` of `way` classes, the first among them, with about equal gaps."""
    return [index * way // count for index in range(count)]


def groups(way: int, most: int) -> list[range]:
    """All classes in groups of at most `most` that follow each other, of about the same size."""
    count = -(-way // most)
    bounds = [index * way // count for index in range(count + 1)]
    return [range(start, end) for start, end in zip(bounds, bounds[1:], strict=False)]
