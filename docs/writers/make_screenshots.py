"""Write docs/images/app*.png, cnn-page*.png and report*.png: the pages as a browser shows them.

    python docs/writers/make_screenshots.py

Needs the extra dev and Debian's Chromium. Each page is shown at 1400 and at 360 pixels width, the latter in
dark colours.
"""

import contextlib
import io
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from htgen.app.server import create_app
from htgen.app.session import Session
from htgen.app.start import begin, listen
from htgen.app.uploads import Upload
from htgen.cli import main as command

ROOT = Path(__file__).resolve().parents[2]
SYMBOLS = ROOT / "examples" / "symbols"
IMAGES = ROOT / "docs" / "images"
ANCHOR = [
    [(0.5, 0.2), (0.5, 0.85)],
    [(0.36, 0.36), (0.64, 0.36)],
    [(0.2, 0.6), (0.3, 0.78), (0.5, 0.86), (0.7, 0.78), (0.8, 0.6)],
    [(0.5, 0.2), (0.42, 0.13), (0.5, 0.06), (0.58, 0.13), (0.5, 0.2)],
]
TALLEST = 1250
"""Pixels of a picture; what is below is cut off."""


def draw(page: Page) -> None:
    """An anchor on the pad."""
    pad = page.locator("#pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box is not None
    for first, *others in ANCHOR:
        page.mouse.move(box["x"] + first[0] * box["width"], box["y"] + first[1] * box["height"])
        page.mouse.down()
        for x, y in others:
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
        page.mouse.up()
    page.locator("#answer", has_text="anchor").wait_for()
    page.wait_for_timeout(500)


def shoot(page: Page, name: str, top: int = 0) -> None:
    """A picture of the page, from `top` down."""
    page.evaluate("() => document.activeElement.blur()")
    image = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    image = image.crop((0, top, image.width, min(image.height, top + TALLEST)))
    image.quantize(96, dither=Image.Dither.NONE).save(IMAGES / f"{name}.png", optimize=True)


def open_page(browser: Browser, address: str, is_narrow: bool) -> Page:
    """The page, at one of the two widths."""
    width = 360 if is_narrow else 1400
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if is_narrow else "light"
    )
    page = context.new_page()
    page.goto(address)
    return page


def session_with_a_doubt() -> Session:
    """The symbols, a key among the houses."""
    session, _ = begin(None, SYMBOLS / "support")
    house = next(number for number, found in session.classes.items() if found.name == "house")
    wrong = SYMBOLS / "new" / "04.png"
    session.add_images(house, [Upload("4.png", wrong.read_bytes())])
    return session


def served(session: Session) -> tuple[Any, threading.Thread, str]:
    """A server, its thread, and the address."""
    listener = listen(0)
    port = listener.getsockname()[1]
    page_app = create_app(session, "token", port)
    server = uvicorn.Server(uvicorn.Config(page_app, log_level="critical", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    return server, thread, f"http://127.0.0.1:{port}/token/"


def main() -> None:
    """Write all pictures."""
    folder = Path(tempfile.mkdtemp())
    page_file, report = folder / "symbols.html", folder / "report.html"
    shutil.copytree(SYMBOLS / "support", folder / "support")
    with contextlib.chdir(folder):
        generate = ["generate", "support", "-o", "symbols.safetensors", "--report", report.name]
        sys.argv[1:] = generate  # the report tells the command
        command(generate)
        command(["export", "symbols.safetensors", "-o", page_file.name])
    server, thread, address = served(session_with_a_doubt())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for is_narrow, suffix in ((False, ""), (True, "-phone")):
            page = open_page(browser, address, is_narrow)
            page.locator("#estimate", has_text="images right").wait_for()
            draw(page)
            top = page.locator("#try").bounding_box() if is_narrow else None
            scrolled = float(page.evaluate("() => window.scrollY"))
            shoot(page, f"app{suffix}", 0 if top is None else int(top["y"] + scrolled) - 330)
            page = open_page(browser, page_file.as_uri(), is_narrow)
            page.locator("#choose").set_input_files(sorted((SYMBOLS / "new").glob("*.png"))[:4])
            page.locator("#files li").nth(3).wait_for()
            draw(page)
            shoot(page, f"cnn-page{suffix}")
            shoot(open_page(browser, report.as_uri(), is_narrow), f"report{suffix}")
        browser.close()
    server.should_exit = True
    thread.join()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
