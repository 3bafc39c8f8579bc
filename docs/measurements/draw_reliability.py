"""The reliability of a calibrated generator's probabilities as a picture, for its card.

    pip install 'htgen[plot]'
    python docs/measurements/draw_reliability.py glyph-8        # writes docs/images/reliability-glyph-8.png

How often answers are right over how sure they are, in 15 bins, with the temperatures and without; the figures
are those that `htgen calibrate` left in the generator's file.
"""

import argparse
import json
from pathlib import Path

from safetensors import safe_open

from htgen.generator.shipped import generator_path

LABELS = {"bins_before": "without temperatures", "bins": "with temperatures"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("generator", help="one that ships, or a generator file")
    options = parser.parse_args()
    path = generator_path(options.generator)
    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["htgen"])
    calibration = header["provenance"]["calibration"]

    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.4, 4.2), dpi=110, layout="constrained")
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey")
    for key, label in LABELS.items():
        confidence, accuracy, share = zip(*calibration[key], strict=True)
        error = calibration["error" if key == "bins" else "error_before"]
        axes.plot(confidence, accuracy, alpha=0.6)
        sizes = [10 + 200 * value for value in share]
        axes.scatter(confidence, accuracy, sizes, label=f"{label}: error {100 * error:.1f} %")
    axes.set_xlabel("probability of the answer")
    axes.set_ylabel("share of right answers")
    axes.set_title(f"{header['name']} on {calibration['split']}; areas: share of answers", fontsize="medium")
    axes.legend(loc="upper left", fontsize="small")
    axes.grid(alpha=0.3)
    target = Path(__file__).parents[1] / "images" / f"reliability-{header['name']}.png"
    figure.savefig(target)
    print(target)


if __name__ == "__main__":
    main()
