"""The page of an exported CNN: its answers against Python, its policy, and names that people choose.

The scripts run in Node here; tests/browser opens the page in a browser.
"""

import base64
import hashlib
import html.parser
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from helpers.cnns import any_bundle, any_spec, any_weights, make_bundle
from helpers.drawn_things import DRAWN_THINGS, THINGS

from htgen.cnn.bundle import Bundle
from htgen.cnn.executor_numpy import softmax
from htgen.cnn.html_page import CNN_SCRIPTS, WIDGETS, description, page_file, page_html
from htgen.errors import ModelError
from htgen.images.drawn import is_drawn
from htgen.images.inputs import as_input
from htgen.images.notices import DRAWN
from htgen.images.preprocessing import Preprocessing

HOSTILE = ("</script><img src=x onerror=alert(1)>", "<!--", "a&b\"'", "ü\u2028", "plain")

# --------------------------------------------------------------------------------------------------- the CNN


def compare_probabilities(js, bundle: Bundle, random: np.random.Generator) -> None:
    size, channels = bundle.preprocessing.size, bundle.preprocessing.channels
    pixels = random.integers(0, 256, (3, size, size, channels)).astype(np.uint8)
    expected = softmax(bundle.logits(as_input(list(pixels), bundle.preprocessing)))
    found = js.call("probabilities", description(bundle), pixels.reshape(3, -1).tolist())
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("seed", range(12))
def test_probabilities_are_those_of_numpy(js, seed):
    random = np.random.default_rng(seed)
    bundle = None
    while bundle is None:
        bundle = any_bundle(random)
    compare_probabilities(js, bundle, random)


@pytest.mark.parametrize("seed", range(12))
def test_every_kind_of_block_is_run(js, seed):
    """Groups, residual sums, average pools, other orders: whatever a description can say."""
    spec = any_spec(seed)
    weights = any_weights(spec, seed, dtype=np.float32)
    tensors = weights.to_tensors(spec)
    classes = tuple(f"class {i}" for i in range(len(tensors["logits.bias"])))
    preprocessing = Preprocessing(spec.image_size, spec.image_channels, "none", "pad")
    compare_probabilities(js, Bundle(spec, classes, preprocessing, tensors), np.random.default_rng(seed))


# -------------------------------------------------------------------------------------------------- the page


class Parts(html.parser.HTMLParser):
    """Elements of a page, the text of scripts and styles, and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self.current = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in self.inside:
            self.inside[tag].append("")

        self.current = tag

    def handle_endtag(self, tag):
        self.current = ""

    def handle_data(self, data):
        if self.current in self.inside:
            self.inside[self.current][-1] += data


def test_the_page_loads_nothing_and_its_policy_says_so():
    text = page_html(make_bundle(), "my cnn")
    parts = Parts(text)
    policy = next(
        e["content"] for tag, e in parts.elements if e.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "connect-src" not in rules  # falls back on default-src
    for kind, rule in (("script", "script-src"), ("style", "style-src")):
        texts = [t for t in parts.inside[kind] if not t.lstrip().startswith("{")]
        hashes = {base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in texts}
        assert {f"'sha256-{digest}'" for digest in hashes} == set(rules[rule].split())
    assert not [e for _, e in parts.elements if {"src", "href", "onclick", "style"} & e.keys()]
    assert "http:" not in text
    assert "https:" not in text
    assert "$" not in text.split("<main")[1].split("</main>")[0]


def test_no_script_takes_a_function_of_another():
    names = [
        name
        for part in (*CNN_SCRIPTS, *WIDGETS)
        for name in re.findall(r"^(?:async )?function (\w+)", page_file(f"{part}.js"), re.MULTILINE)
    ]
    assert len(names) > 100
    assert len(set(names)) == len(names)


def test_names_that_people_choose_stay_names():
    bundle = make_bundle()
    hostile = replace(bundle, classes=HOSTILE[: len(bundle.classes)], support={})
    text = page_html(hostile, "<b>page</b>")
    parts = Parts(text)
    assert not [tag for tag, _ in parts.elements if tag in ("img", "b")]
    data = next(t for t in parts.inside["script"] if t.startswith("{"))
    assert json.loads(data)["classes"] == list(hostile.classes)
    assert len(parts.inside["script"]) == len(Parts(page_html(bundle, "page")).inside["script"])


def test_a_cnn_whose_answers_depend_on_other_images_is_refused():
    bundle = make_bundle()
    with pytest.raises(ModelError, match="norm batch"):
        page_html(replace(bundle, spec=replace(bundle.spec, norm="batch")), "page")


@pytest.mark.parametrize(("size", "channels"), [(16, 3), (48, 1), (96, 3), (130, 3)])
def test_drawings_among_photographs_are_told_as_python_tells_them(js, size, channels):
    preprocessing = Preprocessing(size, channels, "none", "crop")
    images = [preprocessing.apply(image) for image in (*DRAWN_THINGS.values(), *THINGS.values())]
    expected = [[DRAWN] if is_drawn(image) else [] for image in images]
    assert 0 < sum(map(bool, expected)) < len(images)
    file = {"classes": ["lake", "mixed"], "photographs": ["lake"], "preprocessing": preprocessing.to_dict()}
    pixels = [image.ravel().tolist() for image in images]
    assert js.call("warningsOfDrawn", file, pixels, [0.9, 0.1]) == expected
    assert js.call("warningsOfDrawn", file, pixels, [0.1, 0.9]) == [[]] * len(images)
