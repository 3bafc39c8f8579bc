"""What people do on pages in a browser: strokes with a mouse or a finger, files that are dropped."""

import base64
from collections.abc import Callable
from typing import Any

STROKES = {
    "cross": [[(0.5, 0.15), (0.5, 0.85)], [(0.2, 0.5), (0.8, 0.5)], [(0.45, 0.45), (0.55, 0.55)]],
    "gate": [[(0.25, 0.85), (0.25, 0.2)], [(0.25, 0.2), (0.75, 0.2)], [(0.75, 0.2), (0.75, 0.85)]],
    "zigzag": [[(0.15, 0.75), (0.4, 0.25)], [(0.4, 0.25), (0.6, 0.75)], [(0.6, 0.75), (0.85, 0.25)]],
}
"""Three strokes for each class, in shares of the pad."""

Strokes = list[list[tuple[float, float]]]


def draw(tab: Any, pad: str, strokes: Strokes, shift: float = 0.0, height: float = 1.0) -> None:
    """With the mouse."""
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


def draw_with_a_finger(tab: Any, pad: str, strokes: Strokes, shift: float = 0.0) -> None:
    """With one finger, while a second one rests beside it."""
    tab.locator(pad).scroll_into_view_if_needed()
    box = tab.locator(pad).bounding_box()
    touch = tab.context.new_cdp_session(tab)

    def point(x: float, y: float, finger: int) -> dict[str, float]:
        return {"x": box["x"] + (x + shift) * box["width"], "y": box["y"] + y * box["height"], "id": finger}

    def send(kind: str, *points: dict[str, float]) -> None:
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    for (x, y), *others in strokes:
        send("touchStart", point(x, y, 0))
        send("touchStart", point(x, y, 0), point(0.02, 0.02, 1))
        for to_x, to_y in others:
            for part in range(1, 5):
                share = part / 4
                there = point(x + (to_x - x) * share, y + (to_y - y) * share, 0)
                send("touchMove", there, point(0.02, 0.02, 1))
            x, y = to_x, to_y
        send("touchEnd")
    touch.detach()


def drop(tab: Any, place: Any, **files: bytes) -> None:
    """Drop files onto a place of the page."""
    carried = tab.evaluate_handle(
        """files => {
            const carried = new DataTransfer();
            for (const [name, data] of files)
                carried.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name));
            return carried;
        }""",
        [[name, base64.b64encode(data).decode()] for name, data in files.items()],
    )
    for event in ("dragover", "drop"):
        place.dispatch_event(event, {"dataTransfer": carried})


def until(tab: Any, holds: Callable[[], object]) -> None:
    """Wait until something holds outside of the page, which goes on meanwhile."""
    for _ in range(600):
        if holds():
            return
        tab.wait_for_timeout(50)
    raise AssertionError("it did not come about within 30 seconds")


def settled(tab: Any) -> None:
    """Wait until what is shown is the answer for all strokes, by the newest CNN; the page tells it."""
    tab.locator("#answers[aria-busy=false]").wait_for()
