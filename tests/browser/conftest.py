"""A real browser, where there is one: Debian's Chromium, or what `CHROMIUM` names."""

import os
import shutil
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """The browser; what asks for it is skipped where there is none (`make browser` installs it)."""
    from playwright import sync_api as playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("there is no Chromium; make browser installs it")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium) -> Iterator[object]:
    """A page whose faults, and requests to anywhere but 127.0.0.1 and files, fail the test."""
    context = chromium.new_context(viewport={"width": 1200, "height": 1000}, accept_downloads=True)
    tab = context.new_page()
    tab.set_default_timeout(30_000)
    faults: list[str] = []
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    own = ("http://127.0.0.1:", "file:", "data:", "blob:")
    tab.on("request", lambda r: None if r.url.startswith(own) else faults.append(r.url))
    yield tab
    context.close()
    assert faults == []
