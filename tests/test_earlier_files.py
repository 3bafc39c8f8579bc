"""Files that htgen 0.1.0 wrote load, are written again as they were, and give the same digits."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.files import without_checksum
from helpers.shipped import USABLE
from helpers.toy import drawing

import htgen
from htgen.cli import main
from htgen.cnn.bundle import Bundle
from htgen.cnn.c_float import float_code
from htgen.errors import OlderFileWarning
from htgen.generator.file import GeneratorFile
from htgen.generator.from_folder import generate_from_folder
from htgen.generator.generator import load_generator
from htgen.generator.shipped import shipped_generators
from htgen.images.inputs import prepare_images
from htgen.tensor_files import read_any

pytestmark = pytest.mark.filterwarnings("ignore::htgen.errors.OlderFileWarning")

FILES = Path(__file__).parent / "earlier_files"
SUPPORT = [drawing(kind, variant)[..., 0] for variant in range(2) for kind in range(3)]
LABELS = ["ant", "bee", "cat"] * 2
QUERIES = [drawing(kind, 9)[..., 0] for kind in range(3)]
SHIPPED = json.loads((FILES / "shipped.json").read_text())
EXAMPLE = Path(__file__).parents[1] / "examples" / "symbols" / "support"
PAIRS = {"cnn": "generator", "other-cnn": "other-generator"}


def without_version(data: bytes, tmp_path: Path) -> tuple[dict, dict]:
    """Header, less the version of htgen that wrote it, and tensors of a file's content."""
    path = tmp_path / "file.safetensors"
    path.write_bytes(data)
    file = read_any(path)
    header = {key: value for key, value in file.header.items() if key != "htgen"}
    return header, {name: (array.dtype, array.tobytes()) for name, array in file.tensors.items()}


@pytest.mark.parametrize("name", ["generator", "other-generator", "run/best"])
def test_a_generator_is_written_again_byte_for_byte_but_for_its_checksum(name):
    path = FILES / f"{name}.safetensors"
    assert without_checksum(GeneratorFile.read(path).to_bytes()) == path.read_bytes()


@pytest.mark.parametrize("name", PAIRS)
def test_a_cnn_is_written_again_as_it_was(name, tmp_path):
    path = FILES / f"{name}.safetensors"
    again = without_version(Bundle.load(path).to_bytes(), tmp_path)
    assert again == without_version(path.read_bytes(), tmp_path)


@pytest.mark.parametrize("name", PAIRS)
def test_a_cnn_gives_the_same_logits(name):
    cnn = Bundle.load(FILES / f"{name}.safetensors")
    expected = json.loads((FILES / "logits.json").read_text())[name]
    found = cnn.logits(prepare_images(QUERIES, cnn.preprocessing))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_files_without_a_checksum_are_told(tmp_path, capsys):
    cnn, generator = FILES / "cnn.safetensors", FILES / "generator.safetensors"
    header, written = str(tmp_path / "x.h"), str(tmp_path / "x.safetensors")
    drawing_of = str(EXAMPLE / "key" / "1.png")
    for path, command in (
        (cnn, ["predict", str(cnn), drawing_of, "--json"]),
        (cnn, ["predict", str(cnn), drawing_of, "--jobs", "1"]),  # each time, not once a process
        (cnn, ["export", str(cnn), "-o", header]),
        (cnn, ["test", str(cnn), str(tmp_path / "test")]),
        (generator, ["generate", str(tmp_path / "test"), "-o", written, "--generator", str(generator)]),
        (
            FILES / "run/best.safetensors",
            ["generate", str(EXAMPLE), "-o", written, "--generator", str(FILES / "run")],
        ),
    ):
        for name in ("ant", "bee"):
            (tmp_path / "test" / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(EXAMPLE / "key" / "1.png", tmp_path / "test" / name)
        assert main(command) == 0
        told = [line for line in capsys.readouterr().err.splitlines() if "checksum" in line]
        assert told == [f"note: {path} has no checksum, as files of htgen 0.1.0: damage may not be noticed"]
    with pytest.warns(OlderFileWarning, match="has no checksum"):
        htgen.load_cnn(cnn)


@pytest.mark.parametrize(("cnn", "generator"), PAIRS.items())
def test_a_generator_writes_the_same_cnn(cnn, generator):
    """Up to the rounding of another processor."""
    # A later step of the preparation, `clean`, is left out.
    loaded = load_generator(FILES / f"{generator}.safetensors").without_steps("clean")
    found = loaded.generate_bundle(loaded.prepare(SUPPORT, LABELS))
    expected = Bundle.load(FILES / f"{cnn}.safetensors")
    assert (found.spec, found.classes, found.preprocessing) == (
        expected.spec,
        expected.classes,
        expected.preprocessing,
    )
    assert found.support == expected.support
    for name, tensor in expected.tensors.items():
        np.testing.assert_allclose(found.tensors[name], tensor, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", USABLE)
def test_a_generator_that_ships_writes_the_same_cnn_of_the_example(name):
    """Sums of absolute values of each tensor, up to the rounding of another processor."""
    cnn = generate_from_folder(EXAMPLE, load_generator(name)).bundle
    found = {key: np.abs(tensor.astype(np.float64)).sum() for key, tensor in cnn.tensors.items()}
    assert found == pytest.approx(SHIPPED[name], rel=1e-5)


def test_every_generator_that_ships_is_pinned():
    assert sorted(SHIPPED) == sorted(shipped_generators())


def test_a_cnn_is_exported_with_the_same_constants():
    """The code around them has changed; it is compiled and run by the tests of the header."""
    text = float_code(Bundle.load(FILES / "cnn.safetensors"), "cnn").text
    found, earlier = (
        re.findall(r"(\w+)\[\d+\] = \{([^}]*)\}", code) for code in (text, (FILES / "cnn.h").read_text())
    )
    assert len(earlier) == 19
    assert found == earlier


def test_a_measurement_of_a_file_without_a_checksum_says_so(store_path, capsys):
    path = str(FILES / "generator.safetensors")
    assert (
        main(["evaluate", path, "--data", str(store_path), "--way", "2", "--query", "1", "--tasks", "2"]) == 0
    )
    told = [line for line in capsys.readouterr().err.splitlines() if "checksum" in line]
    assert told == [
        "note: generator 'toy' has no checksum, as files of htgen 0.1.0: damage may not be noticed"
    ]


def test_a_run_goes_on_as_it_would_have(store_path, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(FILES / "run", run)
    config = run / "config.yaml"
    text = (
        config.read_text()
        .replace("store: toy", f"store: {store_path}")
        .replace("  steps: 3\n", "  steps: 6\n")
    )
    config.write_text(text)
    assert main(["train", "--run", str(run), "--resume", "--device", "cpu"]) == 0
    assert f"note: {run / 'latest.safetensors'} has no checksum" in capsys.readouterr().err
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    expected = [json.loads(line) for line in (FILES / "metrics-when-resumed.jsonl").read_text().splitlines()]
    found = [line for line in lines if line["step"] > 3]
    assert [(line["event"], line["step"]) for line in found] == [
        (line["event"], line["step"]) for line in expected
    ]
    for one, other in zip(found, expected, strict=True):
        assert (one["event"], one["step"]) == (other["event"], other["step"])
        for key in ("loss", "accuracy", "lr"):
            if key in other:
                assert one[key] == pytest.approx(other[key], rel=2e-3, abs=1e-6), (one, other)
