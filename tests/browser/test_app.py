"""The page of `htgen app` in a real browser: drawn, dropped, filmed, and compared with `htgen predict`."""

import base64
import json

import numpy as np
import pytest
from helpers.commands import run
from helpers.drawing_on import STROKES, draw, draw_with_a_finger, drop, settled, until
from helpers.served import as_files, cross, hook, png, served
from PIL import Image, ImageDraw

from htgen.app.session import Session
from htgen.app.uploads import write_archive


@pytest.fixture
def app(tab):
    session = Session("glyph-8")
    session.start_again()
    with served(session) as page:
        tab.goto(page.address)
        tab.locator(".card").nth(1).wait_for()
        yield page


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
    files = {f"{i}.png": png(cross(i)) for i in range(60)}
    drop(tab, tab.locator(".card").nth(0), **files, **{"<img src=x onerror=alert(1)>.png": b"no image"})
    tab.locator(".card").nth(0).locator(".images button").nth(59).wait_for(timeout=60_000)
    message = tab.locator("#message", has_text="cannot read image")
    message.wait_for()
    assert "<img src=x onerror=alert(1)>.png" in message.inner_text()
    assert tab.locator("img[src=x]").count() == 0
    tab.locator(".card").nth(1).locator("input[type=file]").set_input_files(
        [{"name": f"{i}.png", "mimeType": "image/png", "buffer": png(hook(i))} for i in range(3)]
    )
    tab.locator("#cnn", has_text="A CNN of 2 classes").wait_for()


def test_what_is_dropped_on_a_class_is_its_own_and_elsewhere_it_is_tried(app, tab):
    for place, make in enumerate((cross, hook)):
        images = {f"{i}.png": png(make(i)) for i in range(2)}
        drop(tab, tab.locator(".card").nth(place), **images)
        tab.locator(".card").nth(place).locator(".images button").nth(1).wait_for()
    tab.locator("#cnn", has_text="A CNN of 2 classes").wait_for()
    drop(tab, tab.locator("#pad"), **{"x.png": png(hook(7)), "y.txt": b"no image"})
    tab.locator("#files strong", has_text="class 2").wait_for()
    tab.locator("#files strong", has_text="it is no image").wait_for()
    assert [len(entry["images"]) for entry in app.json("api/state")["classes"]] == [2, 2]


def test_sixty_classes_are_shown_on_a_phone(phone):
    strokes = np.random.default_rng(5).integers(8, 72, (60, 5, 2))
    folder = {}
    for number, points in enumerate(strokes):
        image = Image.new("L", (80, 80), 255)
        ImageDraw.Draw(image).line([tuple(map(int, point)) for point in points], fill=0, width=4)
        folder[f"class {number + 1}/1.png"] = png(image)
    session = Session("glyph-8")
    session.open_archive(write_archive(folder))
    with served(session) as page:
        phone.goto(page.address)
        phone.locator("#cnn", has_text="A CNN of 60 classes").wait_for()
        assert phone.locator(".card").count() == 60
        one = {"name": "x.png", "mimeType": "image/png", "buffer": folder["class 31/1.png"]}
        phone.locator("#choose").set_input_files([one])
        phone.locator("#answer", has_text="class 31").wait_for()
        phone.locator("#bars", has_text="52 more classes").wait_for()
        wide = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert phone.evaluate(wide)


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


def test_nothing_can_be_done_before_the_page_knows_its_classes(app, tab):
    """What is there is held back; a button that is clicked waits for it."""
    held = []
    tab.route("**/api/state", lambda route: held.append(route))
    tab.reload()
    until(tab, lambda: held)
    add = tab.locator("#add-class")
    assert add.evaluate("(button) => { button.focus(); return document.activeElement === button; }") is False
    tab.mouse.click(*[add.bounding_box()[side] + 5 for side in ("x", "y")])
    for route in held:
        route.continue_()
    tab.unroute("**/api/state")
    tab.locator(".card").nth(1).wait_for()
    tab.click("#add-class")
    tab.locator(".card").nth(2).wait_for()
    assert len(app.json("api/state")["classes"]) == 3


def fill(page) -> dict[str, int]:
    """Two classes of three images each; their numbers."""
    numbers = {}
    for entry, make in zip(page.json("api/state")["classes"], (cross, hook), strict=True):
        name = make.__name__
        numbers[name] = entry["id"]
        page.json("api/change", {"do": "rename class", "class": entry["id"], "name": name})
        page.json(f"api/images/{entry['id']}", as_files(**{f"{i}.png": png(make(i)) for i in range(3)}))
    return numbers


KEEP_ANSWERS = """() => {
  const answer = document.getElementById("answer");
  window.told = [];
  new MutationObserver(() => window.told.push(answer.textContent)).observe(answer, { childList: true });
}"""


def test_an_answer_of_an_earlier_cnn_is_not_shown(app, tab):
    """The answer is held back until the CNN is another one."""
    numbers = fill(app)
    tab.reload()
    tab.locator("#cnn", has_text="A CNN of 2 classes").wait_for()
    held = []
    tab.route("**/api/try", lambda route: held.append((route, route.fetch())), times=1)
    file = {"name": "x.png", "mimeType": "image/png", "buffer": png(cross(5))}
    tab.locator("#choose").set_input_files([file])
    until(tab, lambda: held)
    assert tab.locator("#answers").get_attribute("aria-busy") == "true"
    tab.evaluate(KEEP_ANSWERS)
    app.json("api/change", {"do": "rename class", "class": numbers["cross"], "name": "plus"})
    tab.evaluate("() => window.dispatchEvent(new Event('focus'))")
    tab.locator("#answer", has_text="plus").wait_for()
    settled(tab)
    ((route, answer),) = held
    route.fulfill(response=answer)
    tab.locator("#files strong", has_text="plus").wait_for()
    settled(tab)
    assert tab.locator("#answer").inner_text() == "plus"
    assert "cross" not in tab.evaluate("() => window.told")


def test_strokes_that_wait_are_not_shown_for_a_file(app, tab):
    """The answer for a first stroke is held back, a second one waits for it, and then a file is chosen."""
    fill(app)
    tab.reload()
    tab.locator("#cnn", has_text="A CNN of 2 classes").wait_for()
    held = []
    tab.route("**/api/try", lambda route: held.append((route, route.fetch())), times=1)
    first, *others = STROKES["gate"]
    draw(tab, "#pad", [first])
    until(tab, lambda: held)
    draw(tab, "#pad", others)
    tab.locator("#choose").set_input_files(
        [{"name": "x.png", "mimeType": "image/png", "buffer": png(cross(5))}]
    )
    tab.locator("#what", has_text="x.png is").wait_for()
    seen = tab.locator("#seen").get_attribute("src")
    ((route, answer),) = held
    route.fulfill(response=answer)
    tab.wait_for_timeout(300)
    settled(tab)
    assert tab.locator("#what").inner_text() == "x.png is"
    assert tab.locator("#seen").get_attribute("src") == seen
    draw(tab, "#pad", STROKES["zigzag"])
    tab.locator("#what", has_text="Your drawing is").wait_for()


def test_images_do_not_go_without_a_question(app, tab, questions, tmp_path):
    fill(app)
    tab.reload()
    tab.locator(".images button").nth(5).wait_for()
    cnn = tmp_path / "mine.safetensors"
    cnn.write_bytes(app.ask("download/cnn.safetensors")[1])
    packed = tmp_path / "images.zip"
    packed.write_bytes(app.ask("download/support.zip")[1])
    questions.answer = False
    for file in (cnn, packed):
        tab.locator("#open-file").set_input_files(file)
    tab.get_by_role("button", name="Remove class hook").click()
    tab.click("#start-again")
    until(tab, lambda: len(questions.asked) >= 4)
    assert len(questions.asked) == 4
    assert "6 images" in questions.asked[0]
    assert "“hook” and its 3 images" in questions.asked[2]
    assert tab.locator(".images button").count() == 6
    questions.answer = True
    tab.locator("#open-file").set_input_files(cnn)
    tab.locator("#cnn", has_text="The saved CNN “mine.safetensors” of 2 classes").wait_for()
    assert tab.locator(".images button").count() == 0
    questions.answer = None  # there is nothing to lose now
    tab.locator("#open-file").set_input_files(packed)
    tab.locator("#cnn", has_text="A CNN of 2 classes").wait_for()
    assert tab.locator(".images button").count() == 6


def test_a_folder_is_opened_with_its_classes(app, tab, tmp_path):
    for name, make in (("class 1", cross), ("b", hook)):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for i in range(2):
            (tmp_path / "mine" / name / f"{i}.png").write_bytes(png(make(i)))
    (tmp_path / "mine" / "b" / "bad.png").write_bytes(b"no image")
    (tmp_path / "mine" / "loose.png").write_bytes(png(cross(9)))
    (tmp_path / "mine" / "b" / ".DS_Store").write_bytes(b"")
    tab.locator("#open-folder").set_input_files(tmp_path / "mine")
    message = tab.locator("#message", has_text="left out, in no folder of a class or with a dot in front")
    message.wait_for()
    assert ": loose.png; cannot read image bad.png" in message.inner_text()
    tab.locator("#cnn", has_text="A CNN of 2 classes").wait_for()
    assert [entry["name"] for entry in app.json("api/state")["classes"]] == ["class 1", "b"]


def test_what_cannot_be_taken_away_is_told(app, tab):
    numbers = fill(app)
    tab.reload()
    tab.locator("#downloads a", has_text="cnn.h").nth(1).wait_for()
    app.json("api/change", {"do": "rename class", "class": numbers["cross"], "name": "Hook"})
    tab.locator("#downloads a", has_text="cnn.safetensors").click()
    tab.locator("#message", has_text="has changed since it was shown").wait_for()
    told = tab.locator("#downloads .not", has_text="have the same name in C")
    told.wait_for()
    assert told.inner_text().startswith("No cnn.h, no cnn-arduino.zip: classes 'Hook' and 'hook'")
    assert tab.locator("#downloads a").all_inner_texts() == [
        *("cnn.safetensors", "cnn.html", "cnn.onnx", "support.zip")
    ]
    tab.get_by_role("button", name="Close this message").click()
    assert tab.locator("#message").is_hidden()


def test_a_drawing_outlives_its_class(app, tab):
    """Another tab removes the class; the drawing is added to another one."""
    numbers = fill(app)
    tab.reload()
    tab.get_by_role("button", name="Draw or photograph images of hook").click()
    draw(tab, "#adder-pad", STROKES["cross"])
    app.json("api/change", {"do": "remove class", "class": numbers["hook"]})
    tab.click("#adder-add")
    tab.locator("#adder .message", has_text="there is no such class any more").wait_for()
    tab.locator("#adder-count", has_text="It stays here").wait_for()
    tab.click("#adder-done")
    tab.get_by_role("button", name="Draw or photograph images of cross").click()
    tab.click("#adder-add")
    tab.locator("#adder-count", has_text="4 images").wait_for()
    tab.click("#adder-done")
    tab.get_by_role("button", name="Draw or photograph images of cross").click()
    tab.click("#adder-add")
    tab.locator("#adder-count", has_text="Draw something first").wait_for()


def test_the_camera_fills_classes_and_is_answered(app, tab):
    """Chromium's own camera, which shows a moving picture."""
    for name in ("class 1", "class 2"):
        tab.get_by_role("button", name=f"Draw or photograph images of {name}").click()
        tab.click("#adder-camera")
        for number in range(2):
            tab.click("#adder-shot")
            tab.locator("#adder-count", has_text=f"{number + 1} images").wait_for()
        tab.click("#adder-done")
        tab.wait_for_function("() => document.getElementById('adder-video').srcObject === null")
    tab.locator("#cnn", has_text="A CNN of 2 classes").wait_for()
    tab.click("#camera")
    tab.locator("#bars li").nth(1).wait_for()
    first = tab.locator("#seen").get_attribute("src")
    tab.wait_for_function("first => document.getElementById('seen').src !== first", arg=first)
    tab.click("#camera")
    settled(tab)
    assert tab.evaluate("() => document.getElementById('video').srcObject") is None


def test_a_finger_draws_on_a_phone(phone):
    session = Session("glyph-8")
    session.start_again()
    with served(session) as page:
        phone.goto(page.address)
        for name, strokes in (("class 1", STROKES["cross"]), ("class 2", STROKES["gate"])):
            phone.get_by_role("button", name=f"Draw or photograph images of {name}").tap()
            for number in range(2):
                draw_with_a_finger(phone, "#adder-pad", strokes, 0.03 * number)
                phone.locator("#adder-add").tap()
                phone.locator("#adder-count", has_text=f"{number + 1} images").wait_for()
            phone.locator("#adder-done").tap()
        phone.locator("#cnn", has_text="A CNN of 2 classes").wait_for()
        draw_with_a_finger(phone, "#pad", STROKES["gate"], -0.04)
        phone.locator("#answer", has_text="class 2").wait_for()
        settled(phone)
        corner = "() => document.getElementById('pad').getContext('2d').getImageData(2, 2, 1, 1).data[0]"
        assert phone.evaluate(corner) == 255  # the second finger draws nothing
        wide = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert phone.evaluate(wide)


def test_another_generator_is_chosen_on_the_page(app, tab):
    fill(app)
    tab.reload()
    tab.locator("#cnn", has_text="written by glyph-8").wait_for()
    tab.get_by_text("What the CNN sees, and who makes it").click()
    tab.get_by_label("Written by").select_option("photo-small")
    tab.locator("#cnn", has_text="written by photo-small").wait_for()
    tab.locator("#sees", has_text="colour").wait_for()
    tab.locator("#doubts", has_text="photo-small' is for photographs").wait_for()
    assert tab.locator("#device").is_disabled()
    tab.get_by_label("Written by").select_option("as the images suggest")
    tab.locator("#cnn", has_text="The images look like").wait_for()
    assert tab.locator("#device").is_enabled()
    assert tab.locator("#doubts", has_text="photographs").count() == 0
