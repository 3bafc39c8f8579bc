"""Pages that open from disk, in a real browser: answers are those of `htgen predict`."""

import json
from pathlib import Path

import pytest
from helpers.commands import run
from helpers.drawing_on import STROKES, draw

SYMBOLS = Path(__file__).parents[2] / "examples" / "symbols"


@pytest.mark.parametrize("generator", ["glyph-8", "photo-small"])
def test_an_exported_page_answers_as_predict_from_disk(tab, tmp_path, generator):
    cnn, page = tmp_path / "symbols.safetensors", tmp_path / "symbols.html"
    options = ("--no-estimate", "--generator", generator)
    assert run("generate", SYMBOLS / "support", "-o", cnn, *options).returncode == 0
    assert run("export", cnn, "-o", page).returncode == 0
    tab.goto(page.as_uri())
    images = sorted((SYMBOLS / "new").glob("*.png"))[:12]
    tab.locator("#choose").set_input_files([*images, page])
    tab.locator("#files li").nth(len(images)).wait_for(timeout=60_000)
    rows = tab.evaluate(
        "() => [...document.getElementById('files').children].map(row =>"
        " [row.querySelector('span').textContent, row.dataset.probabilities || '', row.textContent])"
    )
    found = {name: json.loads(values) for name, values, _ in rows if values}
    assert "no image" in next(text for name, values, text in rows if not values)
    expected = json.loads(run("predict", cnn, *images, "--json").stdout)["predictions"]
    classes = sorted(expected[0]["probabilities"])
    assert len(found) == len(expected)
    for prediction in expected:
        wanted = [prediction["probabilities"][name] for name in classes]
        assert found[Path(prediction["image"]).name] == pytest.approx(wanted, abs=1e-4)
    draw(tab, "#pad", STROKES["zigzag"])
    tab.locator("#bars li").nth(5).wait_for()
    tab.locator("#limit").focus()
    tab.keyboard.press("End")
    tab.locator("#answer", has_text="none of these").wait_for()


def test_a_report_opens_from_disk_and_says_what_predict_says(tab, tmp_path):
    cnn, report = tmp_path / "symbols.safetensors", tmp_path / "report.html"
    assert run("generate", SYMBOLS / "support", "-o", cnn, "--no-estimate").returncode == 0
    images = sorted((SYMBOLS / "new").glob("*.png"))[:6]
    arguments = ["predict", cnn, *images, "--json", "--report", report, "--support", SYMBOLS / "support"]
    expected = json.loads(run(*arguments).stdout)["predictions"]
    tab.goto(report.as_uri())
    assert tab.evaluate("() => [...document.images].every(image => image.naturalWidth > 0)")
    for place, prediction in enumerate(expected):
        shown = tab.locator("figure:has(.bars)").nth(place)
        assert shown.locator("strong").first.inner_text() == prediction["class"]
        assert f"{100 * prediction['probability']:.1f} %" in shown.inner_text()
