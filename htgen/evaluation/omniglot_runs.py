"""The within-alphabet one-shot challenge of Omniglot (Lake et al., Science 2015): the error over its runs.

Every run is a task of one alphabet, mostly 20-way with one image a class. Each image is prepared as the
generator wants it, like that of a user.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from htgen.datasets.omniglot_runs import OmniglotRun, read_runs
from htgen.evaluation.accuracy import half_width95
from htgen.evaluation.protocol import Report, no_report
from htgen.files import printable
from htgen.generator.generator import Generator
from htgen.images.inputs import prepare_images


@dataclass(frozen=True)
class RunsResult:
    """The errors of a generator in the runs.

    Attributes:
        errors: in each run, 0..1, by its name.
        generator, sha256: which generator.
        source: the archive.
        way, images: classes, and images to classify, of the largest run.
    """

    errors: dict[str, float]
    generator: str
    sha256: str
    source: str
    way: int
    images: int

    @property
    def error(self) -> float:
        """Mean over runs, 0..1."""
        return float(np.mean(list(self.errors.values())))

    @property
    def interval95(self) -> float:
        """Half width of the 95 % confidence interval of the mean over runs."""
        return half_width95(torch.tensor(list(self.errors.values()), dtype=torch.float64))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; errors are 0..1."""
        return {
            "error": self.error,
            "interval95": self.interval95,
            "runs": dict(self.errors),
            "way": self.way,
            "images": self.images,
            "generator": self.generator,
            "sha256": self.sha256,
            "source": self.source,
            "protocol": "omniglot-runs",
        }

    def __str__(self) -> str:
        """The result in two lines."""
        return (
            f"{printable(self.generator)} on {self.source}, {self.way}-way 1-shot within alphabets: error "
            f"{100 * self.error:.2f} ± {100 * self.interval95:.2f} %\n"
            f"{len(self.errors)} runs, {self.images} images each"
        )


def evaluate_runs(generator: Generator, source: str | Path, report: Report = no_report) -> RunsResult:
    """Measure a generator on the runs.

    Args:
        source: `all_runs.zip`, or the folder that it unpacks to.
        report: told how many runs are done; their number is not known before.

    Raises:
        DataError: there are no such runs, or they are damaged.
        ModelError: a run has more classes than the generator knows, and it has no class means.
    """
    errors: dict[str, float] = {}
    way = images = 0
    for run in read_runs(source):
        errors[run.name] = _error(generator, run)
        way, images = max(way, len(run.training)), max(images, len(run.test))
        report(f"evaluating {generator.name} on {Path(source).name}", len(errors), max(20, len(errors)))
    return RunsResult(errors, generator.name, generator.sha256, str(source), way, images)


def _error(generator: Generator, run: OmniglotRun) -> float:
    """The share of test images of a run that get another class than their own."""
    cnn = generator.generate_bundle(generator.prepare([*run.training.values()], [*run.training]))
    logits = cnn.logits(prepare_images(run.test, generator.preprocessing))
    found = [cnn.classes[place] for place in logits.argmax(axis=1)]
    return float(np.mean([one != own for one, own in zip(found, run.labels, strict=True)]))
