"""Classes that are added to a CNN, or removed from it, without the images that it was made of. No torch here.

The convolutions and their statistics stay as they were written; the last layer is made anew of the class
means in the CNN's file. Where the convolutions are the same for every support set
(`GeneratorPlan.has_trunk`), a CNN made of all images at once has the same answers; up to rounding, where
images join a class that is there. Elsewhere they differ: docs/guide/growing.md has by how much.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from htgen.arrays import Floats, Integers
from htgen.cnn.bundle import Bundle
from htgen.cnn.class_means import ClassMeans
from htgen.cnn.executor_numpy import last_features, one_by_one
from htgen.errors import DataError, ModelError
from htgen.generator.generator import Generator, load_generator
from htgen.generator.self_check import LeaveOneOut
from htgen.generator.shipped import shipped_generators
from htgen.generator.support import Support


def generator_of(cnn: Bundle, given: str | None = None) -> Generator:
    """The generator that wrote a CNN, prepared for the images that it reads.

    Args:
        given: a name or file; None: the one that ships by the name in the CNN's file.

    Raises:
        ModelError: there is none, it is another one, or the CNN cannot grow.
    """
    if cnn.means is None:
        raise ModelError(
            "the CNN's file holds no class means, so no class can be added or dropped",
            "making it anew: files of before hold none, nor do those of generators without class means",
        )
    name = cnn.generator.get("name", "")
    if given is None and name not in shipped_generators():
        raise ModelError(f"the CNN was written by '{name}', which does not ship", "--generator FILE")
    generator = load_generator(given or name)
    if generator.sha256 != cnn.generator.get("sha256"):
        raise ModelError(
            f"'{given or name}' is not the generator that wrote the CNN: the checksums differ",
            "--generator FILE with that one, or make the CNN anew",
        )
    return generator.preparing(cnn.preprocessing)


def is_exact(generator: Generator) -> bool:
    """Whether a CNN that grew answers as one that is made of all images at once."""
    return generator.cnns.writes_means_alone


def without_classes(cnn: Bundle, generator: Generator, names: Sequence[str]) -> Bundle:
    """A CNN without some of its classes; the others keep their order.

    Raises:
        DataError: there is no such class, or fewer than two would be left.
    """
    for name in names:
        if name not in cnn.classes:
            raise DataError(f"the CNN has no class '{name}'; its classes are {', '.join(cnn.classes)}")
    kept = [place for place, name in enumerate(cnn.classes) if name not in names]
    if len(kept) < 2:
        left = "one class" if kept else "no class"
        raise DataError(f"{left} would be left; a classifier needs at least 2", "dropping fewer")
    assert cnn.means is not None
    classes = tuple(cnn.classes[place] for place in kept)
    support = {name: cnn.support[name] for name in classes if name in cnn.support}
    gaps = {name: gaps for name, gaps in cnn.gaps.items() if name in classes}
    photographs = tuple(name for name in cnn.photographs if name in classes)
    means, cnn = cnn.means.of(kept), replace(cnn, gaps=gaps, photographs=photographs)
    return _changed(cnn, generator, classes, means, support, dropped=len(set(names)))


def with_images(cnn: Bundle, generator: Generator, images: Support) -> Bundle:
    """A CNN that knows further images: of new classes, which come behind the others, or of those it has.

    Args:
        images: labelled ones, prepared; their `classes` are those of the CNN and then the new ones.
    """
    means = cnn.means
    assert means is not None
    added = images.classes[len(cnn.classes) :]
    features = features_of(cnn, images.images)
    support = dict(cnn.support)
    for place, name in enumerate(images.classes):
        own = features[images.labels == place]
        if not len(own):
            continue
        mean = generator.cnns.last_layer.mean(own)
        if place < len(cnn.classes):
            means = means.with_images(place, mean, len(own))
        else:
            means = means.and_further(ClassMeans(mean[None], np.array([len(own)], np.float32)))
        support[name] = support.get(name, 0) + len(own)
    return _changed(cnn, generator, images.classes, means, support, added=len(added))


def _changed(
    cnn: Bundle,
    generator: Generator,
    classes: tuple[str, ...],
    means: ClassMeans,
    support: dict[str, int],
    **counts: int,
) -> Bundle:
    """The CNN with other classes. Its estimate was of the classes that it had."""
    shot = sum(support.values()) / len(classes) if support else float(means.counts.mean())
    weight, bias = generator.cnns.last_layer.of(means, shot)
    grown = {name: cnn.grown.get(name, 0) + counts.get(name, 0) for name in ("added", "dropped")}
    tensors = {**cnn.tensors, "logits.weight": weight, "logits.bias": bias}
    return replace(
        cnn, classes=classes, tensors=tensors, means=means, support=support, estimate=None, grown=grown
    )


def features_of(cnn: Bundle, images: Floats) -> Floats:
    """The inputs of the logits layer for prepared images `[S, C, H, W]`: `[S, F]`."""
    blocks = cnn.weights.map(lambda tensor: tensor[None]).blocks
    return one_by_one(partial(last_features, cnn.spec, blocks), images)


def leave_one_out(cnn: Bundle, generator: Generator, images: Support, copies: Integers) -> LeaveOneOut | None:
    """Classify each added image by the class means without it and without its copies.

    Args:
        cnn: that knows the images already (`with_images`).
        images, copies: as for `htgen.generator.self_check.leave_one_out`.

    Returns:
        None when no image can be left out.
    """
    assert cnn.means is not None
    layer, shot = generator.cnns.last_layer, sum(cnn.support.values()) / len(cnn.classes)
    seen = layer.coordinates(features_of(cnn, images.images))  # [S, F]
    probabilities, positions = [], []
    for position, label in enumerate(images.labels.tolist()):
        together = (images.labels == label) & (copies == copies[position])
        count = int(together.sum())
        if cnn.means.counts[label] - count < 0.5:
            continue  # nothing would be left of the class
        means = cnn.means.with_images(label, seen[together].mean(axis=0), -count)
        probabilities.append(layer.probabilities(means, shot, seen[position]))
        positions.append(position)
    if not positions:
        return None
    labels = images.labels[positions]
    present = np.unique(images.labels)
    untested = tuple(
        name for place, name in enumerate(images.classes) if place in present and place not in labels
    )
    return LeaveOneOut(
        labels,
        np.array(probabilities, np.float32),
        images.classes,
        np.array(positions),
        untested,
        copies[positions],
    )
