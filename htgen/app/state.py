"""What the page is told: plain values of a session."""

from typing import Any

from htgen.app.downloads import CNN_FILES, offers
from htgen.app.made import Estimate, Tried
from htgen.app.session import Session
from htgen.generator.choice import warn_of_kind
from htgen.generator.shipped import shipped_generators
from htgen.images.words import describe_images, describe_steps


def state(session: Session) -> dict[str, Any]:
    """Classes, images, and the CNN, without the estimate."""
    with session.lock:
        return {
            "version": session.version,
            "generator": session.generator_name,
            "isChosen": session.is_chosen,
            **_choice(session),
            "generators": generators(session),
            "device": session.device,
            "drawings": session.preprocessing.is_for_drawings,
            "classes": [
                {
                    "id": number,
                    "name": found.name,
                    "images": [
                        {
                            "id": image_number,
                            "name": image.upload.name,
                            "warnings": list(image.read.warnings),
                            "seen": f"{image_number}-{session.generator_name}-{session.device}",
                        }
                        for image_number, image in found.images.items()
                    ],
                }
                for number, found in session.classes.items()
            ],
            "cnn": _cnn(session),
            "why": session.why_none,
        }


def generators(session: Session) -> list[str]:
    """The names that can be chosen from."""
    return sorted({*shipped_generators(), session.generator_name})


def _choice(session: Session) -> dict[str, Any]:
    """What the images look like, and what is to be said of it."""
    choice = session.choice
    if choice is None:
        return {"looks": None, "notices": []}
    lines = warn_of_kind(session.generator, choice) if session.is_chosen else choice.notices
    notices = [line.removeprefix("warning: ").replace("--generator", "the generator") for line in lines]
    return {"looks": choice.domain, "notices": notices}


def _cnn(session: Session) -> dict[str, Any] | None:
    bundle = session.bundle
    if bundle is None:
        return None
    made, preprocessing = session.made, bundle.preprocessing
    images = describe_images(preprocessing)
    return {
        "from": None if made is not None or session.opened is None else session.opened[0],
        "classes": list(bundle.classes),
        "bytes": len(bundle.to_bytes()),
        "numbers": bundle.parameter_count,
        "milliseconds": None if made is None else 1000 * made.seconds,
        "sees": images
        + ("" if preprocessing.ink == "none" else f". Steps: {describe_steps(preprocessing)}."),
        "estimate": None if bundle.estimate is None else str(bundle.estimate),
    }


def estimate(version: int, found: Estimate | None) -> dict[str, Any]:
    """What left-out images tell."""
    if found is None:
        return {"version": version, "text": None, "doubtful": {}, "lookAlikes": [], "copies": []}
    check = found.check
    text = None if check is None else str(check.score)
    return {
        "version": version,
        "text": text,
        "untested": [] if check is None else list(check.untested),
        "doubtful": {str(number): name for number, name in found.doubtful.items()},
        "lookAlikes": [[pair.first, pair.second, pair.confusion] for pair in found.look_alikes],
        "copies": found.copies,
    }


def downloads(session: Session) -> dict[str, Any]:
    """What the CNN can be written as, and why it cannot be written as the others."""
    version, faults = offers(session)
    files = [{"name": name, "what": CNN_FILES[name], "fault": fault} for name, fault in faults.items()]
    return {"version": version, "files": files}


def tried(found: Tried, pixels: str) -> dict[str, Any]:
    """The answer for a new image.

    Args:
        pixels: what the CNN sees, a PNG as a data address.
    """
    probabilities = found.prediction.probabilities
    return {
        "version": found.version,
        "classes": list(found.classes),
        "probabilities": [probabilities[name] for name in found.classes],
        "blank": found.read.is_blank,
        "warnings": list(found.read.warnings),
        "nearest": found.nearest,
        "seen": pixels,
    }
