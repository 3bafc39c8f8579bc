"""The pages in a real browser: drawn, dropped, taken away, and compared with `htgen predict`."""

import base64
import json
from pathlib import Path

import pytest
from helpers.commands import run
from helpers.served import cross, hook, png, served

from htgen.app.session import Session

SYMBOLS = Path(__file__).parents[2] / "examples" / "symbols"

STROKES = {
    "cross": [[(0.5, 0.15), (0.5, 0.85)], [(0.2, 0.5), (0.8, 0.5)], [(0.45, 0.45), (0.55, 0.55)]],
    "gate": [[(0.25, 0.85), (0.25, 0.2)], [(0.25, 0.2), (0.75, 0.2)], [(0.75, 0.2), (0.75, 0.85)]],
    "zigzag": [[(0.15, 0.75), (0.4, 0.25)], [(0.4, 0.25), (0.6, 0.75)], [(0.6, 0.75), (0.85, 0.25)]],
}
"""Three strokes for each class, in shares of the pad."""


def draw(tab, pad: str, strokes, shift: float = 0.0, height: float = 1.0) -> None:
    box = tab.locator(pad).bounding_box()

    def move(x: float, y: float, steps: int = 1) -> None:
        tab.mouse.move(
            box["x"] + (x + shift) * box["width"], box["y"] + y * height * box["height"], steps=steps
        )

    for first, *others in strokes:
        move(*first)
        tab.mouse.down()
        for point in others:
            move(*point, 4)
        tab.mouse.up()


@pytest.fixture
def app(tab):
    session = Session("glyph-8")
    session.start_again()
    with served(session) as page:
        tab.goto(page.address)
        tab.locator(".card").nth(1).wait_for()
        yield page


def settled(tab) -> None:
    """Wait until what is shown is the answer for all strokes, by the newest CNN; the page tells it."""
    tab.locator("#answers[aria-busy=false]").wait_for()


def probabilities_shown(tab) -> dict[str, str]:
    rows = tab.locator("#bars li:has(.bar)").all()
    return {row.locator(".name").inner_text(): row.locator(".share").inner_text() for row in rows}


def as_shown(probabilities: dict[str, float]) -> dict[str, str]:
    return {name: f"{100 * value:.1f} %" for name, value in probabilities.items()}


def test_drawn_classes_are_told_and_predict_says_the_same(app, tab, tmp_path):
    tab.click("#add-class")
    tab.locator(".card").nth(2).wait_for()
    for place, (name, strokes) in enumerate(STROKES.items()):
        card = tab.locator(".card").nth(place)
        card.locator("input.name").fill(name)
        card.locator("input.name").press("Enter")
        tab.get_by_role("button", name=f"Draw or photograph images of {name}").click()
        for number in range(2):
            draw(tab, "#adder-pad", strokes, 0.03 * number, 1 - 0.35 * number)
            tab.click("#adder-add")
            tab.locator("#adder-count", has_text=f"{number + 1} images").wait_for()
        tab.click("#adder-done")
    tab.locator("#cnn", has_text="A CNN of 3 classes").wait_for()
    draw(tab, "#pad", STROKES["gate"], -0.04)
    tab.locator("#answer", has_text="gate").wait_for()
    tab.locator("#estimate", has_text="images right").wait_for()
    settled(tab)
    shown = probabilities_shown(tab)

    drawing = tab.evaluate("document.getElementById('pad').toDataURL()").partition(",")[2]
    image = tmp_path / "drawing.png"
    image.write_bytes(base64.b64decode(drawing))
    with tab.expect_download() as waiting:
        tab.get_by_role("link", name="cnn.safetensors").click()
    cnn = tmp_path / "cnn.safetensors"
    waiting.value.save_as(cnn)
    found = json.loads(run("predict", cnn, image, "--json").stdout)["predictions"][0]
    assert found["class"] == "gate"
    assert shown == as_shown(found["probabilities"])


def test_sixty_images_are_dropped_and_a_file_that_is_none(app, tab):
    files = [{"name": f"{i}.png", "mimeType": "image/png", "buffer": png(cross(i))} for i in range(60)] + [
        {"name": "<img src=x onerror=alert(1)>.png", "mimeType": "image/png", "buffer": b"no image"}
    ]
    tab.locator(".card").nth(0).locator("input[type=file]").set_input_files(files)
    tab.locator(".card").nth(0).locator(".images button").nth(59).wait_for(timeout=60_000)
    message = tab.locator("#message", has_text="cannot read image")
    message.wait_for()
    assert "<img src=x onerror=alert(1)>.png" in message.inner_text()
    assert tab.locator("img[src=x]").count() == 0
    tab.locator(".card").nth(1).locator("input[type=file]").set_input_files(
        [{"name": f"{i}.png", "mimeType": "image/png", "buffer": png(hook(i))} for i in range(3)]
    )
    tab.locator("#cnn", has_text="A CNN of 2 classes").wait_for()


def test_a_hostile_name_of_a_class_is_text_everywhere(app, tab):
    name = "<img src=x onerror=alert(1)>"
    for place, make in enumerate((cross, hook)):
        card = tab.locator(".card").nth(place)
        card.locator("input.name").fill(name if place == 0 else "other")
        card.locator("input.name").press("Enter")
        card.locator("input[type=file]").set_input_files(
            [{"name": f"{i}.png", "mimeType": "image/png", "buffer": png(make(i))} for i in range(2)]
        )
    tab.locator("#cnn", has_text="A CNN of 2 classes").wait_for()
    tab.locator("#choose").set_input_files([{"name": name, "mimeType": "image/png", "buffer": png(cross(5))}])
    tab.locator("#answer", has_text=name).wait_for()
    tab.locator(".images button").first.click()
    tab.locator("#viewer-stages figure").nth(4).wait_for()
    assert tab.locator("img[src=x]").count() == 0


def test_everything_is_reached_by_keys(app, tab):
    """Two classes drawn and a third drawing answered, without a mouse."""

    def reach(selector: str) -> None:
        for _ in range(80):
            tab.keyboard.press("Tab")
            if tab.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"{selector} is not reached by Tab")

    def line(keys: list[str]) -> None:
        tab.keyboard.press(" ")
        for key in keys:
            tab.keyboard.press(f"Shift+{key}")
        tab.keyboard.press(" ")

    shapes = {
        "1": ["ArrowUp"] * 3 + ["ArrowDown"] * 6,
        "2": ["ArrowRight"] * 3 + ["ArrowUp"] * 3 + ["ArrowLeft"] * 5,
    }
    for name, keys in shapes.items():
        reach(f'button[aria-label="Draw or photograph images of class {name}"]')
        tab.keyboard.press("Enter")
        tab.locator("#adder[open]").wait_for()
        line(keys)
        reach("#adder-add")
        tab.keyboard.press("Enter")
        tab.locator("#adder-count", has_text="1 images").wait_for()
        tab.keyboard.press("Escape")
    tab.locator("#cnn", has_text="A CNN of 2 classes").wait_for()
    reach("#pad")
    line(shapes["2"])
    tab.locator("#answer", has_text="class 2").wait_for()


def test_an_exported_page_answers_as_predict_from_disk(tab, tmp_path):
    cnn, page = tmp_path / "symbols.safetensors", tmp_path / "symbols.html"
    assert run("generate", SYMBOLS / "support", "-o", cnn, "--no-estimate").returncode == 0
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
