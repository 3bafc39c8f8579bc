"""What `htgen generate` tells of the CNN that it made."""

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from htgen.generator.from_folder import FolderImages, GeneratedFromFolder
    from htgen.images.preprocessing import Preprocessing


def print_report(made: "GeneratedFromFolder") -> None:
    """Classes, images, steps, size, estimate and warnings."""
    bundle, images, counts = made.bundle_with_estimate, made.images, made.bundle.support
    say("classes", f"{len(counts)}: " + ", ".join(f"{name} ({count})" for name, count in counts.items()))
    if images.unlabeled or images.ignored:
        ignored = f"; {len(images.ignored)} more do not count" if images.ignored else ""
        say("unlabelled", f"{len(images.unlabeled)} images{ignored}")
    print_images(made)
    size, milliseconds = len(bundle.to_bytes()), f"{1000 * made.seconds:.1f} ms"
    numbers = f"{bundle.parameter_count} numbers, {size} bytes"
    say("CNN", f"{numbers}; written by {made.generator.name} in {milliseconds}")
    print_estimate(made)
    print_warnings(made)


def print_images(made: "GeneratedFromFolder") -> None:
    """How images are prepared."""
    from htgen.images.words import describe_steps

    preprocessing = made.bundle.preprocessing
    if preprocessing.ink != "none":
        say("ink", _describe_polarity(made.images, preprocessing))
        say("steps", describe_steps(preprocessing))


def print_warnings(made: "GeneratedFromFolder") -> None:
    """Of single images, and of classes that look alike."""
    from htgen.cli.console import tell

    images = made.images
    lines = [f"{images.name_of(path)}: {'; '.join(texts)}" for path, texts in images.warnings.items()]
    say_all("warnings", _first(lines, 20))
    tell(made.doubts)


def print_estimate(
    made: "GeneratedFromFolder", of: str = "images right when left out of the support set"
) -> None:
    """How many images are right when left out, or why that is not known.

    Args:
        of: what is said of how many.
    """
    check = made.check
    if made.bundle.spec.norm == "batch":
        say("estimate", "none: with norm batch an answer depends on the other images (transductive)")
    elif not made.estimates:
        say("estimate", "none, as --no-estimate says")
    elif check is None:
        say("estimate", "none: it takes at least two images of a class that are no copies of each other")
    else:
        low, high = (f"{100 * bound:.0f}" for bound in check.score.interval)
        percent, count = f"{100 * check.accuracy:.0f} %", check.score.images
        say(
            "estimate",
            f"{percent} of {count} {of}; 95 % interval {low} to {high} %",
        )
        if check.planned is not None:
            say("", f"of {check.planned} images, as time ran out: --estimate-seconds")
        if check.untested:
            say("", f"without {', '.join(check.untested)}: only one image each that is no copy")
        say_all("", _first(made.missed, 10))


def _first(lines: list[str], most: int) -> list[str]:
    """So many lines, and how many more there are."""
    return lines if len(lines) <= most else [*lines[:most], f"... and {len(lines) - most} more"]


def say_all(key: str, lines: list[str]) -> None:
    """Lines of a report, the first with a key."""
    for line in lines:
        say(key, line)
        key = ""


def say(key: str, value: str) -> None:
    """A line of a report."""
    from htgen.cli.console import write

    write(f"{key:11}{value}")


def _describe_polarity(images: "FolderImages", preprocessing: "Preprocessing") -> str:
    """What the labelled images are, and how many of them are inverted for the CNN."""
    wanted = "light on dark" if preprocessing.ink == "bright" else "dark on light"
    if not preprocessing.steps.polarity:
        return f"taken to be {wanted}, as the generator was trained on"
    counts = Counter(image.polarity for image in images.labeled.values() if image.polarity)
    found = ", ".join(f"{count} {polarity}" for polarity, count in sorted(counts.items()))
    inverted = sum(count for polarity, count in counts.items() if polarity != wanted)
    return f"{found}; {inverted} inverted, as the generator was trained on {wanted}"
