"""More classes than a transformer is shown at once. No torch here.

A table of labels has `model.max_way` classes. Of more, the convolutions are written in view of so many,
spread evenly over all. Statistics of norms, class means and PLDA are of all images. The last layer is that of
class means alone: what the transformer adds to it changes next to no answer
(docs/explanation/class-means.md).
"""

from htgen.config.model import ModelConfig
from htgen.errors import ModelError


def spread(way: int, count: int) -> list[int]:
    """`count` of `way` classes, the first among them, with about equal gaps."""
    return [index * way // count for index in range(count)]


def most_classes(config: ModelConfig) -> int | None:
    """Classes that a CNN of a generator can have at most; None: any number, as there are class means."""
    has_class_means = config.weights.prototypes and config.weights.base != "all"
    return None if has_class_means else config.most_at_once


def check_way(config: ModelConfig, way: int, who: str = "this generator") -> None:
    """Check that a generator can write CNNs of so many classes.

    Raises:
        ModelError: there are more than its table has, and there are no class means.
    """
    most = most_classes(config)
    if most is not None and way > most:
        raise ModelError(
            f"{way} classes are too many: {who} knows at most {most} classes",
            "fewer classes, or a generator that starts from class means (model.weights.prototypes)",
        )
