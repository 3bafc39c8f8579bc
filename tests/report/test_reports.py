"""The reports: whole, without anything from elsewhere, and safe whatever names people choose."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from htgen.cli import main
from htgen.cnn.bundle import Bundle
from htgen.generator.attention import attended
from htgen.generator.from_folder import generate_from_folder
from htgen.generator.generator import load_generator

SYMBOLS = Path(__file__).parents[2] / "examples" / "symbols"

HOSTILE = '<img src=x onerror="alert(1)">'


class Seen(HTMLParser):
    """Elements of a page, their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def expect_whole(page: Path) -> Seen:
    """It has no scripts, loads nothing, and forbids both."""
    seen = Seen(page.read_text(encoding="utf-8"))
    assert not {"script", "iframe", "link", "object", "form"} & {tag for tag, _ in seen.elements}
    sources = [attributes["src"] or "" for attributes in seen.all("img")]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not [a for _, a in seen.elements if any(key.startswith("on") or key == "href" for key in a)]
    (policy,) = (a["content"] for a in seen.all("meta") if a.get("http-equiv"))
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script" not in policy
    return seen


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two classes, one with a name that is markup, one image in the wrong class."""
    folder = tmp_path_factory.mktemp("images") / "support"
    for kind, name in (("anchor", HOSTILE.replace("/", "")), ("key", "key"), ("house", "house")):
        shutil.copytree(SYMBOLS / "support" / kind, folder / name)
    shutil.copy(SYMBOLS / "support" / "key" / "1.png", folder / "house" / f"{HOSTILE}.png")
    return folder


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory) -> tuple[Path, Seen]:
    out = tmp_path_factory.mktemp("out")
    cnn, report = out / "cnn.safetensors", out / "report.html"
    assert main(["generate", str(folder), "-o", str(cnn), "--report", str(report)]) == 0
    return cnn, expect_whole(report)


def test_a_report_of_a_cnn_shows_every_image_with_its_steps(made, folder):
    _, seen = made
    images = sum(1 for _ in folder.rglob("*.png"))
    assert seen.words.count("attention ") == images
    for step in ("scaled", "cut to the ink", "contrast stretched", "strokes made even"):
        assert seen.words.count(step) >= images
    assert seen.words.count(HOSTILE) > images / 3
    assert len(seen.all("img")) >= 8 * images


def test_a_report_of_a_cnn_tells_doubts_estimate_and_cost(made):
    cnn, seen = made
    bundle = Bundle.load(cnn)
    assert str(bundle.estimate) in seen.words
    assert f"{bundle.parameter_count} numbers" in seen.words
    assert "looks like key" in seen.words
    assert "multiply-adds" in seen.words
    assert "is, found as" in seen.words


def test_a_report_of_answers_has_what_predict_says(made, tmp_path, folder, capsys):
    cnn, _ = made
    report, bad = tmp_path / "report.html", tmp_path / "no image.png"
    bad.write_bytes(b"no image")
    images = [*sorted((SYMBOLS / "new").glob("*.png"))[:5], bad]
    capsys.readouterr()
    arguments = ["predict", str(cnn), *map(str, images), "--json", "--report", str(report)]
    assert main([*arguments, "--support", str(folder)]) == 1
    found = json.loads(capsys.readouterr().out)["predictions"]
    seen = expect_whole(report)
    for prediction in found[:5]:
        assert f"{100 * prediction['probability']:.1f} %" in seen.words
        assert Path(prediction["image"]).name in seen.words
    assert "1 could not be read" in seen.words
    assert "it is no image" in seen.words
    assert seen.words.count("nearest:") == 5


def test_a_report_of_a_test_shows_what_is_wrong(made, folder, tmp_path):
    cnn, _ = made
    report = tmp_path / "report.html"
    assert main(["test", str(cnn), str(folder), "--report", str(report)]) == 0
    seen = expect_whole(report)
    assert "house, found as key" in seen.words
    assert f"{HOSTILE}.png" in seen.words
    assert re.search(r"\d+ of 10 images right", seen.words)


def test_shares_of_attention_are_of_each_image():
    made = generate_from_folder(SYMBOLS / "support", load_generator("glyph-8"))
    shares = attended(made.generator, made.support)
    assert "logits" in shares
    for share in shares.values():
        assert share.shape == (18,)
        assert share.sum() == pytest.approx(1, abs=1e-5)
        assert (share > 0).all()
    # They are of the images: in another order they are in another order, and the generator is as before.
    order = np.random.default_rng(0).permutation(18)
    labels = [made.support.classes[label] for label in made.support.labels[order]]
    other = made.generator.support(made.support.images[order], labels)
    for name, share in attended(made.generator, other).items():
        np.testing.assert_allclose(share, shares[name][order], rtol=1e-3)
    again = made.generator.generate_bundle(made.support)
    assert all(np.array_equal(again.tensors[name], tensor) for name, tensor in made.bundle.tensors.items())


def test_kernels_and_contact_sheets_are_pictures(made, tmp_path, store_path, capsys):
    cnn, _ = made
    for file in (cnn, store_path):
        picture = tmp_path / "picture.png"
        assert main(["inspect", str(file), "--plot", str(picture)]) == 0
        with Image.open(picture) as image:
            assert min(image.size) > 50
            assert len(np.unique(np.asarray(image))) > 10
    assert main(["inspect", str(cnn), "--plot", str(tmp_path / "picture.jpg")]) == 2
