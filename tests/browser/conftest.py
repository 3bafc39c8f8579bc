"""A real browser, where there is one: Debian's Chromium, or what `CHROMIUM` names."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

OWN = ("http://127.0.0.1:", "file:", "data:", "blob:")

FLAGS = [
    *("--no-sandbox", "--disable-gpu"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),  # a camera that moves
]


@dataclass
class Questions:
    """What pages ask in dialogs.

    Attributes:
        answer: what they are answered; None: none is expected, and one fails the test.
        asked: their texts.
    """

    answer: bool | None = None
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """The browser; what asks for it is skipped where there is none (`make browser` installs it)."""
    from playwright import sync_api as playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("there is no Chromium; make browser installs it")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def questions() -> Questions:
    return Questions()


@contextmanager
def watched(browser: Any, questions: Questions, **settings: Any) -> Iterator[Any]:
    """A page whose faults, and requests to anywhere but 127.0.0.1 and files, fail the test."""
    context = browser.new_context(accept_downloads=True, **settings)
    tab = context.new_page()
    tab.set_default_timeout(30_000)
    faults: list[str] = []

    def answer(dialog: Any) -> None:
        questions.asked.append(dialog.message)
        if questions.answer is None:
            faults.append(f"dialog: {dialog.message}")
        (dialog.accept if questions.answer else dialog.dismiss)()

    def listen(page: Any) -> None:
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", answer)
        page.on("request", lambda r: None if r.url.startswith(OWN) else faults.append(r.url))

    listen(tab)
    context.on("page", listen)
    yield tab
    context.close()
    assert faults == []


@pytest.fixture
def tab(chromium, questions) -> Iterator[Any]:
    with watched(chromium, questions, viewport={"width": 1200, "height": 1000}) as page:
        yield page


@pytest.fixture
def phone(chromium, questions) -> Iterator[Any]:
    """A narrow page that is touched."""
    settings = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    with watched(chromium, questions, **settings, device_scale_factor=2) as page:
        yield page
