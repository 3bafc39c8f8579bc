"""One image through the CNN of a generator, with NumPy and with onnxruntime: milliseconds of one thread.

    export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
    python docs/measurements/photo_speed.py photo-large --side 160 224
    python docs/measurements/photo_speed.py glyph-8

The CNN is of five classes of noise. The image is prepared before; the median of 15 runs is told, each of
as many images as take some milliseconds.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from htgen.cnn.onnx_file import onnx_bytes
from htgen.generator.generator import load_generator
from htgen.images.inputs import scale_pixels

RUNS = 15

SECONDS = 0.005
"""That a run takes at least."""


def milliseconds(run: Callable[[], object]) -> float:
    run()
    start = time.process_time()
    run()
    count = 1 + int(SECONDS / max(time.process_time() - start, 1e-6))
    found = []
    for _ in range(RUNS):
        start = time.process_time()
        for _ in range(count):
            run()
        found.append(1e3 * (time.process_time() - start) / count)
    return float(np.median(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("generator")
    parser.add_argument(
        "--side", type=int, nargs="*", default=[], help="pixels; none: those of the generator"
    )
    options = parser.parse_args()
    import onnxruntime

    generator, noise = load_generator(options.generator), np.random.default_rng(0)
    usual, channels = generator.preprocessing.size, generator.preprocessing.channels
    images = scale_pixels(noise.uniform(0, 255, (5, channels, usual, usual)).astype(np.float32))
    own = generator.generate_bundle(generator.support(images, list("abcde")))
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    for side in options.side or [usual]:
        preprocessing = replace(own.preprocessing, size=side)
        bundle = replace(own, spec=own.spec.at_size(side), preprocessing=preprocessing)
        pixels = noise.integers(0, 256, (1, channels, side, side), dtype=np.uint8)
        x = scale_pixels(pixels.astype(np.float32))
        session = onnxruntime.InferenceSession(
            onnx_bytes(bundle), settings, providers=["CPUExecutionProvider"]
        )
        with_onnx = milliseconds(partial(session.run, ["logits"], {"pixels": pixels}))
        with_numpy = milliseconds(partial(bundle.logits, x))
        difference = np.abs(session.run(["logits"], {"pixels": pixels})[0] - bundle.logits(x)).max()
        print(
            f"{generator.name} at {side} pixels: NumPy {with_numpy:.3g} ms, onnxruntime {with_onnx:.3g} ms, "
            f"{with_numpy / with_onnx:.2f} times, "
            f"logits differ by {difference:.0e} at most"
        )


if __name__ == "__main__":
    main()
