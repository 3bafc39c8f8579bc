"""CNNs as ONNX and as plain PyTorch: the same logits, whatever the description says."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.cnns import any_spec, any_weights, make_bundle
from helpers.generators import LABELS, SHAPES, pictures
from helpers.shipped import USABLE

from htgen.cnn.bundle import Bundle
from htgen.cnn.onnx_file import onnx_bytes
from htgen.cnn.pytorch_file import pytorch_text
from htgen.errors import ModelError
from htgen.generator.generator import load_generator
from htgen.images.inputs import scale_pixels
from htgen.images.preprocessing import Preprocessing


def any_bundles(count: int) -> list[Bundle]:
    bundles = [make_bundle(**changes) for name, changes in SHAPES.items() if name != "batch norm"]
    for seed in range(count):
        spec = any_spec(seed)
        tensors = any_weights(spec, seed, dtype=np.float32).to_tensors(spec)
        record = Preprocessing(spec.image_size, spec.image_channels, "none", "pad")
        bundles.append(Bundle(spec, tuple("abcd"), record, tensors))
    return bundles


def some_pixels(bundle: Bundle) -> np.ndarray:
    spec = bundle.spec
    shape = (5, spec.image_channels, spec.image_size, spec.image_size)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def wanted(bundle: Bundle) -> np.ndarray:
    return bundle.logits(scale_pixels(some_pixels(bundle).astype(np.float32)))


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.abs(found - expected).max() <= 1e-4 * max(1, np.abs(expected).max()))


def test_plain_pytorch_gives_the_same_logits(tmp_path):
    for bundle in any_bundles(30):
        bundle.save(tmp_path / "cnn.safetensors")
        names = {"__file__": str(tmp_path / "net.py"), "__name__": "net"}
        exec(compile(pytorch_text(bundle, "cnn.safetensors"), "net.py", "exec"), names)
        weights = names["load_file"](names["FILE"])
        found = names["logits"](torch.from_numpy(some_pixels(bundle)).float(), weights)
        assert close(found.numpy(), wanted(bundle)), bundle.spec
        assert tuple(names["CLASSES"]) == bundle.classes


def test_the_program_runs_without_htgen(tmp_path):
    bundle = replace(make_bundle(), classes=("naïve", "a\"'b", "c\\n"))
    bundle.save(tmp_path / "cnn ☃.safetensors")
    (tmp_path / "net.py").write_text(pytorch_text(bundle, "cnn ☃.safetensors"), encoding="utf-8")
    hidden = "import sys, runpy; sys.modules['htgen'] = None; runpy.run_path('net.py', run_name='__main__')"
    said = subprocess.run(
        [sys.executable, "-c", hidden], cwd=tmp_path, capture_output=True, check=True, encoding="utf-8"
    ).stdout
    assert "naïve" in said


def test_batch_norm_is_that_of_the_images_at_hand(tmp_path):
    bundle = make_bundle(**SHAPES["batch norm"])
    bundle.save(tmp_path / "cnn.safetensors")
    names = {"__file__": str(tmp_path / "net.py"), "__name__": "net"}
    exec(compile(pytorch_text(bundle, "cnn.safetensors"), "net.py", "exec"), names)
    found = names["logits"](torch.from_numpy(some_pixels(bundle)).float(), names["load_file"](names["FILE"]))
    assert close(found.numpy(), wanted(bundle))
    with pytest.raises(ModelError, match="norm batch"):
        onnx_bytes(bundle)


def test_onnx_gives_the_same_logits():
    """By onnx's own slow reference, for every kind of block."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    for bundle in any_bundles(12):
        data = onnx_bytes(bundle)
        model = onnx.load_model_from_string(data)
        logits, probabilities = ReferenceEvaluator(model).run(None, {"pixels": some_pixels(bundle)})
        assert close(logits, wanted(bundle)), bundle.spec
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        about = {prop.key: json.loads(prop.value) for prop in model.metadata_props}
        assert tuple(about["classes"]) == bundle.classes
        assert Preprocessing.from_dict(about["preprocessing"]) == bundle.preprocessing
        assert onnx_bytes(bundle) == data


def shipped_bundle(name: str) -> Bundle:
    generator = load_generator(name)
    support = generator.prepare(pictures(), LABELS)
    return generator.generate_bundle(support)


@pytest.mark.parametrize("name", USABLE)
def test_cnns_of_the_generators_that_ship_in_plain_pytorch(name, tmp_path):
    bundle = shipped_bundle(name)
    bundle.save(tmp_path / "cnn.safetensors")
    names = {"__file__": str(tmp_path / "net.py"), "__name__": "net"}
    exec(compile(pytorch_text(bundle, "cnn.safetensors"), "net.py", "exec"), names)
    weights = names["load_file"](names["FILE"])
    weights = names["widened"](weights) if bundle.has_8_bits else weights
    found = names["logits"](torch.from_numpy(some_pixels(bundle)).float(), weights)
    assert close(found.numpy(), wanted(bundle))


@pytest.mark.parametrize("name", USABLE)
def test_cnns_of_the_generators_that_ship_in_onnxruntime(name):
    import onnxruntime as runtime

    bundle = shipped_bundle(name)
    session = runtime.InferenceSession(onnx_bytes(bundle), providers=["CPUExecutionProvider"])
    logits, _ = session.run(None, {"pixels": some_pixels(bundle)})
    expected = wanted(bundle)
    assert np.abs(logits - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


def test_without_the_package_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match=r"htgen\[onnx\]"):
        onnx_bytes(make_bundle())
