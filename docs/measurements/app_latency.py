"""From a stroke to the answer, and from a new image to the CNN, on the page of `htgen app` in a real browser.

    python docs/measurements/app_latency.py

Needs the extra dev and Debian's Chromium. Times are those that the page itself takes with its clock: from the
end of a stroke, or the click, until the text on the page has changed.
"""

import argparse
import io
import shutil
import statistics
import threading
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import Page, sync_playwright

from htgen.app.server import create_app
from htgen.app.start import begin, listen

SYMBOLS = Path(__file__).parents[2] / "examples" / "symbols" / "support"

CHANGED = """(watched) => {
  window.taken = new Promise((done) => {
    const start = () => { window.started = performance.now(); };
    document.addEventListener(watched.event, start, { once: true, capture: true });
    new MutationObserver((_, observer) => {
      if (window.started === undefined) return;
      observer.disconnect();
      done(performance.now() - window.started);
    }).observe(document.querySelector(watched.place), { childList: true, subtree: true });
  });
  window.started = undefined;
}"""


def stroke(page: Page, pad: str, turn: int) -> None:
    """One stroke on a pad."""
    box = page.locator(pad).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 40 + turn % 50, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 150 - turn % 40, steps=3)
    page.mouse.up()


def measure(page: Page, event: str, place: str, act: Any, times: int) -> list[float]:
    """Milliseconds from an event until a place of the page has changed."""
    found = []
    for turn in range(times):
        page.wait_for_timeout(150)
        page.evaluate(CHANGED, {"event": event, "place": place})
        act(turn)
        found.append(float(page.evaluate("() => window.taken")))
    return found


def told(what: str, values: list[float]) -> None:
    """One line about many times."""
    ordered = sorted(values)
    high = ordered[int(0.95 * (len(ordered) - 1))]
    print(f"{what:44} median {statistics.median(values):5.0f} ms, 95 % within {high:5.0f} ms")


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=30)
    times = parser.parse_args().times
    session, _ = begin(None, SYMBOLS)
    listener = listen(0)
    port = listener.getsockname()[1]
    config = uvicorn.Config(
        create_app(session, "token", port), log_level="critical", lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    image = io.BytesIO((SYMBOLS / "key" / "1.png").read_bytes()).getvalue()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(f"http://127.0.0.1:{port}/token/")
        page.locator("#estimate", has_text="images right").wait_for()
        stroke(page, "#pad", 0)
        page.wait_for_timeout(500)
        answers = measure(page, "pointerup", "#bars", lambda turn: stroke(page, "#pad", turn), times)
        told("a stroke, until its answer is shown", answers)
        chooser = page.locator(".card").first.locator("input[type=file]")

        def add(turn: int) -> None:
            file = {"name": f"{turn}.png", "mimeType": "image/png", "buffer": image + bytes([turn])}
            chooser.set_input_files([file])

        told("an image chosen, until the CNN is made", measure(page, "change", "#cnn", add, times))
        browser.close()
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    main()
