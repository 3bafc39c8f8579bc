"""The page's server: what it lets in, what it refuses, and what it makes."""

import base64
import io
import json
import zipfile

import numpy as np
import pytest
from helpers.arduino import run_sketch
from helpers.compilers import needs_a_compiler
from helpers.drawings import scene
from helpers.files import without_checksum
from helpers.served import Served, as_files, cross, hook, png, served
from onnx.reference import ReferenceEvaluator
from PIL import Image

from htgen.app import uploads
from htgen.app.downloads import CNN_FILES
from htgen.app.session import Session
from htgen.cnn.bundle import Bundle
from htgen.cnn.executor_numpy import softmax
from htgen.images.inputs import scale_pixels


@pytest.fixture
def page():
    session = Session("glyph-8")
    session.start_again()
    with served(session) as found:
        yield found


@pytest.fixture
def two_classes(page) -> Served:
    first, second = (entry["id"] for entry in page.json("api/state")["classes"])
    page.json("api/change", {"do": "rename class", "class": first, "name": "cross"})
    page.json("api/change", {"do": "rename class", "class": second, "name": "hook"})
    page.json(f"api/images/{first}", as_files(**{f"{i}.png": png(cross(i)) for i in range(3)}))
    page.json(f"api/images/{second}", as_files(**{f"{i}.png": png(hook(i)) for i in range(3)}))
    return page


# --------------------------------------------------------------------------------------------- who is let in


def test_nothing_is_answered_without_the_token(page):
    for token in ("", "wrong", page.token[:-1], page.token + "x", "ä"):
        status, body, _ = page.ask("api/state", token=token.encode().hex() if token == "ä" else token)
        assert status == 404
        assert page.token.encode() not in body


def test_nothing_is_answered_to_other_hosts_and_other_pages(page):
    ours = f"127.0.0.1:{page.port}"
    assert page.ask("api/state", host=ours)[0] == 200
    assert page.ask("api/state", host=f"localhost:{page.port}")[0] == 200
    assert page.ask("api/state", host=ours, origin=f"http://{ours}")[0] == 200
    for host in ("evil.example", f"evil.example:{page.port}", "127.0.0.1", "127.0.0.1:1", ""):
        assert page.ask("api/state", host=host)[0] in (400, 404)
    for origin in ("http://evil.example", "null", f"https://{ours}", f"http://localhost:{page.port}"):
        assert page.ask("api/state", host=ours, origin=origin)[0] == 404


def test_the_address_without_its_last_slash_leads_to_the_page(page):
    status, _, headers = page.ask_at(f"/{page.token}")
    assert (status, headers["Location"]) == (307, f"/{page.token}/")
    assert page.ask_at(f"/{page.token[:-1]}")[0] == 404


def test_every_answer_forbids_what_comes_from_elsewhere(page):
    for path in ("", "app.js", "api/state", "nothing.js"):
        _, _, headers = page.ask(path)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        *("../app.html", "%2e%2e/server.py", "server.py", "download/..%2f..%2fx", "//", "%00", "x" * 60000),
        *("image/" + "9" * 5000, "image/-1", "image/1e3", "image/%d9%a1", "stages/" + "9" * 190),
    ],
)
def test_no_path_reaches_the_file_system(page, path):
    status, body, _ = page.ask(path)
    assert status in (400, 404)
    assert b"import" not in body


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "MOVE"])
def test_other_methods_do_nothing(page, method):
    before = page.json("api/state")
    for path in ("", "api/state", "api/change", "api/try", "image/1", "download/support.zip"):
        assert page.ask_at(f"/{page.token}/{path}", b'{"do": "start again"}', method)[0] == 405
    assert page.json("api/state") == before


# ----------------------------------------------------------------------------------------------- the journey


def test_a_cnn_is_made_and_its_answers_are_those_of_the_file(two_classes, tmp_path):
    found = two_classes.json("api/state")
    assert found["cnn"]["classes"] == ["cross", "hook"]
    status, data, _ = two_classes.ask("download/cnn.safetensors")
    assert status == 200
    path = tmp_path / "cnn.safetensors"
    path.write_bytes(data)
    bundle = Bundle.load(path)
    image = cross(7)
    status, body, _ = two_classes.ask("api/try", png(image))
    answer = json.loads(body)
    expected = bundle.predict([image])[0]
    assert dict(zip(answer["classes"], answer["probabilities"], strict=True)) == expected.probabilities
    assert answer["classes"] == list(bundle.classes)
    own = [image["id"] for entry in found["classes"] for image in entry["images"] if entry["name"] == "cross"]
    assert answer["nearest"][0] in own


def test_the_estimate_names_what_is_in_the_wrong_class(two_classes):
    state = two_classes.json("api/state")
    assert two_classes.json("api/estimate")["doubtful"] == {}
    hook_class = state["classes"][1]["id"]
    state = two_classes.json(f"api/images/{hook_class}", as_files(**{"wrong.png": png(cross(9))}))
    wrong = next(i["id"] for i in state["classes"][1]["images"] if i["name"] == "wrong.png")
    found = two_classes.json("api/estimate")
    assert found["version"] == state["version"]
    assert found["doubtful"].get(str(wrong)) == "cross"
    two_classes.json("api/change", {"do": "move image", "image": wrong, "class": state["classes"][0]["id"]})
    assert two_classes.json("api/estimate")["doubtful"] == {}
    assert two_classes.session.bundle.estimate is not None


def names_of(page: Served) -> dict[str, str | None]:
    return {file["name"]: file["fault"] for file in page.json("api/downloads")["files"]}


def test_all_formats_can_be_taken_away_and_answer_alike(two_classes, tmp_path):
    offered = names_of(two_classes)
    assert set(offered) == set(CNN_FILES)
    assert set(offered.values()) == {None}
    answer = json.loads(two_classes.ask("api/try", png(hook(7)))[1])
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["seen"].partition(",")[2]))))
    files = {}
    for name in offered:
        status, files[name], headers = two_classes.ask(f"download/{name}")
        assert status == 200
        assert name in headers["Content-Disposition"]
    path = tmp_path / "cnn.safetensors"
    path.write_bytes(files[path.name])
    logits = Bundle.load(path).logits(scale_pixels(pixels[None, None].astype(np.float32)))
    assert softmax(logits)[0] == pytest.approx(answer["probabilities"], abs=1e-5)
    (found,) = ReferenceEvaluator(files["cnn.onnx"]).run(["logits"], {"pixels": pixels[None, None]})
    assert found == pytest.approx(logits, rel=1e-4, abs=1e-4)
    assert b"cnn_classify" in files["cnn.h"]
    assert b"Content-Security-Policy" in files["cnn.html"]


@needs_a_compiler
def test_the_arduino_library_compiles_and_answers(two_classes, tmp_path):
    answer = json.loads(two_classes.ask("api/try", png(hook(7)))[1])
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["seen"].partition(",")[2]))))
    with zipfile.ZipFile(io.BytesIO(two_classes.ask("download/cnn-arduino.zip")[1])) as archive:
        archive.extractall(tmp_path)
    assert run_sketch(tmp_path / "cnn", tmp_path, pixels.ravel().tolist()) == "hook"


def test_what_cannot_be_written_is_told_and_not_offered(two_classes):
    first, second = (entry["id"] for entry in two_classes.json("api/state")["classes"])
    two_classes.json("api/change", {"do": "rename class", "class": first, "name": "Hook"})
    found = names_of(two_classes)
    assert "'Hook' and 'hook' have the same name in C" in found["cnn.h"]
    assert found["cnn-arduino.zip"] == found["cnn.h"]
    assert found["cnn.safetensors"] is found["cnn.html"] is found["cnn.onnx"] is None
    status, body, _ = two_classes.ask("download/cnn-arduino.zip")
    assert (status, json.loads(body)["error"]) == (400, found["cnn.h"])
    two_classes.json("api/change", {"do": "rename class", "class": second, "name": "other"})
    assert set(names_of(two_classes).values()) == {None}


def test_a_download_is_of_the_cnn_that_was_shown(two_classes):
    state = two_classes.json("api/state")
    now = f"download/cnn.safetensors?version={state['version']}"
    assert two_classes.ask(now)[0] == 200
    answer = json.loads(two_classes.ask("api/try", png(cross(7)))[1])
    assert answer["version"] == state["version"]
    first = state["classes"][0]["id"]
    two_classes.json("api/change", {"do": "rename class", "class": first, "name": "plus"})
    status, body, _ = two_classes.ask(now)
    assert status == 400
    assert "has changed" in json.loads(body)["error"]


def test_what_was_taken_away_can_be_opened_again(two_classes):
    before = two_classes.ask("download/cnn.safetensors")[1]
    images = two_classes.ask("download/support.zip")[1]
    two_classes.json("api/change", {"do": "start again"})
    assert two_classes.json("api/state")["cnn"] is None
    status, body, _ = two_classes.ask("api/open/cnn?name=mine", before)
    opened = json.loads(body)
    assert (status, opened["cnn"]["from"], opened["classes"]) == (200, "mine", [])
    assert json.loads(two_classes.ask("api/try", png(cross(7)))[1])["classes"] == ["cross", "hook"]
    assert opened["faults"] == []
    (told,) = json.loads(two_classes.ask("api/open/cnn?name=old", without_checksum(before))[1])["faults"]
    assert told.startswith("note: old has no checksum")
    status, body, _ = two_classes.ask("api/open/folder", images)
    state = json.loads(body)
    assert [len(entry["images"]) for entry in state["classes"]] == [3, 3]
    assert two_classes.ask("download/cnn.safetensors")[1] == before


def test_steps_of_an_image_end_with_what_the_cnn_sees(two_classes):
    number = two_classes.json("api/state")["classes"][0]["images"][0]["id"]
    found = two_classes.json(f"stages/{number}")
    assert found[0]["what"] == "scaled"
    assert found[-1]["what"] == "strokes made even"
    seen = two_classes.ask(f"seen/{number}")[1]
    image = Image.open(io.BytesIO(seen))
    assert image.size == (28, 28)


def test_the_generator_is_the_one_that_suits_the_images_unless_one_is_chosen():
    session = Session(None)
    session.start_again()
    with served(session) as page:
        state = page.json("api/state")
        assert (state["generator"], state["isChosen"], state["looks"]) == ("glyph-8", False, None)
        numbers = [entry["id"] for entry in state["classes"]]
        for seed, number in enumerate(numbers):
            names = {f"{i}.png": png(scene(10 * seed + i)) for i in range(2)}
            state = page.json(f"api/images/{number}", as_files(**names))
        assert (state["generator"], state["looks"], state["notices"]) == ("photo", "photographs", [])
        assert state["cnn"]["sees"].startswith("128 x 128 pixels, colour")
        assert page.ask("api/try", png(scene(3)))[0] == 200
        state = page.json("api/change", {"do": "choose", "generator": "glyph-8", "device": False})
        assert (state["generator"], state["isChosen"]) == ("glyph-8", True)
        for number in numbers:
            state = page.json(
                f"api/images/{number}", as_files(**{f"{i}.png": png(hook(i)) for i in range(8)})
            )
        state = page.json("api/change", {"do": "choose", "generator": "photo", "device": False})
        assert "the images look like" in state["notices"][0]
        state = page.json("api/change", {"do": "choose", "generator": "", "device": False})
        assert state["generator"] != "photo"
        assert not state["isChosen"]


def test_classes_come_and_go(page):
    state = page.json("api/state")
    for number in range(3, 8):
        state = page.json("api/change", {"do": "add class", "name": f"class {number}"})
    assert len(state["classes"]) == 7
    state = page.json("api/change", {"do": "remove class", "class": state["classes"][0]["id"]})
    assert len(state["classes"]) == 6
    assert "Two classes" in state["why"]


def test_sixty_classes_are_told_apart(page):
    """More than the generator is shown at once."""
    page.json("api/change", {"do": "start again"})
    for number in range(58):
        state = page.json("api/change", {"do": "add class", "name": f"k{number}"})
    for entry in state["classes"]:
        state = page.json(f"api/images/{entry['id']}", as_files(a=png(cross(entry["id"]))))
    assert len(state["cnn"]["classes"]) == 60
    answer = json.loads(page.ask("api/try", png(hook(1)))[1])
    assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)


# --------------------------------------------------------------------------------------------- hostile input


def test_what_is_no_image_is_told_and_the_others_stay(page):
    number = page.json("api/state")["classes"][0]["id"]
    state = page.json(
        f"api/images/{number}", as_files(good=png(cross(0)), bad=b"no image", empty=b"", svg=b"<svg/>")
    )
    assert len(state["faults"]) == 3
    assert [image["name"] for image in state["classes"][0]["images"]] == ["good"]


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>", "../../etc/x", "a\x00b\nc", "x" * 500, "  "]
)
def test_names_stay_names(page, name):
    number = page.json("api/state")["classes"][0]["id"]
    state = page.json("api/change", {"do": "rename class", "class": number, "name": name})
    shown = state["classes"][0]["name"]
    assert 0 < len(shown) <= 80
    assert shown.isprintable()
    page.json(f"api/images/{number}", as_files(**{name: png(cross(0))}))
    with zipfile.ZipFile(io.BytesIO(page.ask("download/support.zip")[1])) as archive:
        path = archive.namelist()[-1]
        assert archive.namelist()[:-1] in ([], ["labels.csv"])
    assert path.count("/") == 1
    assert not {"..", ""} & set(path.split("/"))
    assert not set('<>:"\\|?*') & set(path)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("api/change", "no json"),
        ("api/change", "[]"),
        ("api/change", "{}"),
        ("api/change", '{"do": "remove all files"}'),
        ("api/change", '{"do": "remove class", "class": "1"}'),
        ("api/change", '{"do": "remove class", "class": 999999}'),
        ("api/change", '{"do": "rename class", "class": 1, "name": ["x"]}'),
        ("api/change", '{"do": "choose", "generator": "/etc/passwd", "device": false}'),
        ("api/change", '{"do": "choose", "generator": "photo-40", "device": true}'),
        ("api/change", "[" * 30000),
        ("api/change", '{"do": "remove class", "class": true}'),
        ("api/change", '{"do": "remove class", "class": ' + "9" * 5000 + "}"),
        ("api/change", b"\xff\xfe{"),
        ("api/images/1", '{"files": 3}'),
        ("api/images/1", '{"files": [{"name": "x", "data": "!!"}]}'),
        ("api/images/999999", '{"files": []}'),
        ("api/try", b"no image"),
        ("api/open/cnn", b"no cnn"),
        ("api/open/folder", b"no zip"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(page, path, body):
    before = page.json("api/state")
    message = page.fault(path, body)
    assert message
    assert "Traceback" not in message
    assert page.json("api/state")["classes"] == before["classes"]


def test_what_is_too_large_is_refused(page, monkeypatch):
    told = page.fault("api/change", '{"do": "' + "x" * (1 << 17) + '"}')
    assert told == "more than 64 kB were sent at once"
    monkeypatch.setattr(uploads, "MOST_BYTES", 1000)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", b"0" * 5_000_000)
    assert "holds more than" in page.fault("api/open/folder", packed.getvalue())


def test_paths_in_an_archive_reach_nothing(page, tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("../../up/1.png", "/absolute/2.png", "x\\windows\\3.png", "top.png", "__MACOSX/a/4.png"):
            archive.writestr(name, png(cross(1)))
    status, body, _ = page.ask("api/open/folder", packed.getvalue())
    assert status == 200
    names = [entry["name"] for entry in json.loads(body)["classes"]]
    assert "__MACOSX" not in names
    assert all("/" not in name and "\\" not in name for name in names)
