"""A generated CNN as one ONNX file. Needs the extra `onnx`; where onnxruntime is there, it is compared."""

import importlib
import importlib.util
import json
from typing import Any

import numpy as np

from htgen.cnn.bundle import Bundle
from htgen.cnn.c_common import expect_support_norm
from htgen.cnn.spec import CNN_LEAKY_SLOPE, NORM_EPSILON, ConvSpec
from htgen.errors import ModelError
from htgen.images.inputs import scale_pixels

OPSET = 17

_IR_VERSION = 8
"""Of that time, so that older runtimes read the file too."""

CLOSE = 1e-5
"""How far logits may be from htgen's, relative to the largest."""


def onnx_bytes(bundle: Bundle) -> bytes:
    """The file: prepared `pixels` uint8 `[N, C, H, W]` -> `logits` and `probabilities` `[N, n]`.

    Class names and the preprocessing are in its metadata.

    Raises:
        ModelError: the CNN has norm `batch`; there is no package onnx; or onnxruntime gives other logits.
    """
    expect_support_norm(bundle.spec)
    try:
        onnx = importlib.import_module("onnx")
    except ImportError as error:
        raise ModelError("writing ONNX needs the package onnx", "pip install 'htgen[onnx]'") from error
    model = _Graph(bundle, onnx).model()
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    if importlib.util.find_spec("onnxruntime"):
        _compare(bundle, data)
    return data


class _Graph:
    """Nodes one after another; each reads what the one before wrote."""

    def __init__(self, bundle: Bundle, onnx: Any) -> None:
        self.bundle, self.spec, self.onnx = bundle, bundle.spec, onnx
        self.nodes: list[Any] = []
        self.tensors: dict[str, np.ndarray] = dict(bundle.tensors)
        self.at = "pixels"

    def model(self) -> Any:
        """The whole model."""
        helper, kinds = self.onnx.helper, self.onnx.TensorProto
        spec, way = self.spec, len(self.bundle.classes)
        self._write()
        graph = helper.make_graph(
            self.nodes,
            "htgen_cnn",
            [
                helper.make_tensor_value_info(
                    "pixels", kinds.UINT8, ["N", spec.image_channels, spec.image_size, spec.image_size]
                )
            ],
            [
                helper.make_tensor_value_info(name, kinds.FLOAT, ["N", way])
                for name in ("logits", "probabilities")
            ],
            [self.onnx.numpy_helper.from_array(np.ascontiguousarray(t), n) for n, t in self.tensors.items()],
        )
        model = helper.make_model(
            graph,
            producer_name="htgen",
            ir_version=_IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        about = {
            "classes": list(self.bundle.classes),
            "preprocessing": self.bundle.preprocessing.to_dict(),
            "generator": dict(self.bundle.generator),
        }
        helper.set_model_props(
            model, {key: json.dumps(value, sort_keys=True) for key, value in about.items()}
        )
        return model

    def _add(self, operator: str, *others: str, output: str = "", **attributes: Any) -> None:
        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(
            self.onnx.helper.make_node(operator, [self.at, *others], [output], name=output, **attributes)
        )
        self.at = output

    def _constant(self, name: str, values: Any) -> str:
        self.tensors[name] = np.asarray(values, np.float32)
        return name

    def _write(self) -> None:
        self._add("Cast", to=self.onnx.TensorProto.FLOAT)
        self._add("Mul", self._constant("scale", 1 / 128))
        self._add("Sub", self._constant("one", 1))
        outputs: dict[str, str] = {}
        for conv in self.spec.convs:
            for step in self.spec.steps(conv):
                self._step(conv, step, outputs)
            outputs[conv.name] = self.at
        if self.spec.head == "average":
            self._add("GlobalAveragePool")
        self._add("Flatten")
        if self.spec.unit_features:
            self._add("LpNormalization", axis=1, p=2)
        self._add("Gemm", "logits.weight", "logits.bias", output="logits", transB=1)
        self._add("Softmax", output="probabilities", axis=1)

    def _step(self, conv: ConvSpec, step: str, outputs: dict[str, str]) -> None:
        if step == "conv":
            bias = [f"{conv.name}.bias"] if conv.bias else []
            self._add(
                "Conv",
                f"{conv.name}.weight",
                *bias,
                kernel_shape=[conv.kernel] * 2,
                strides=[conv.stride] * 2,
                pads=[conv.padding_before] * 2 + [conv.padding] * 2,
                group=conv.groups,
            )
        elif step == "add":
            self._add("Add", outputs[conv.add])
        elif step == "activation":
            self._activation(conv)
        elif step == "pool":
            operator = "MaxPool" if conv.pooling == "max" else "AveragePool"
            self._add(operator, kernel_shape=[2, 2], strides=[2, 2])
        elif step == "norm":
            parts = (f"{conv.name}.norm.{part}" for part in ("weight", "bias", "mean", "var"))
            self._add("BatchNormalization", *parts, epsilon=NORM_EPSILON)

    def _activation(self, conv: ConvSpec) -> None:
        activation = self.spec.activation_of(conv)
        if activation == "relu6":
            self._add("Clip", self._constant("nothing", 0), self._constant("six", 6))
        elif activation == "lrelu":
            self._add("LeakyRelu", alpha=CNN_LEAKY_SLOPE)
        else:
            self._add("Relu")


def _compare(bundle: Bundle, data: bytes) -> None:
    """Hold onnxruntime's logits against htgen's, on noise."""
    onnxruntime = importlib.import_module("onnxruntime")
    spec = bundle.spec
    shape = (3, spec.image_channels, spec.image_size, spec.image_size)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    found = session.run(["logits"], {"pixels": pixels})[0]
    wanted = bundle.logits(scale_pixels(pixels.astype(np.float32)))
    difference = float(np.abs(found - wanted).max() / max(1.0, float(np.abs(wanted).max())))
    if not difference <= CLOSE:
        raise ModelError(
            f"onnxruntime's logits differ by {difference:.1e} of the largest", "another version of it"
        )
