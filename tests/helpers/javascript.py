"""The scripts of exported pages, run by Node: the one of the system, or the one that Playwright brings."""

import base64
import importlib.util
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

import htgen

SCRIPTS = Path(htgen.__file__).parent / "cnn" / "page"

_LOOP = """
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const [name, ...parts] = JSON.parse(line);
  let answer;
  try {
    answer = { value: functions[name](...parts) };
  } catch (error) {
    answer = { error: String(error && error.stack) };
  }
  process.stdout.write(JSON.stringify(answer) + "\\n");
});
"""


def find_node() -> str | None:
    """Where Node is, if it is anywhere."""
    if found := shutil.which("node"):
        return found
    playwright = importlib.util.find_spec("playwright")
    if playwright is None or playwright.origin is None:
        return None
    bundled = Path(playwright.origin).parent / "driver" / "node"
    return str(bundled) if bundled.exists() else None


class Scripts:
    """Functions of JavaScript, called from Python; values go through JSON."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def call(self, name: str, *arguments: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, *arguments]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["value"]


@contextmanager
def scripts(names: list[str], functions: str, folder: Path) -> Iterator[Scripts]:
    """Load scripts of the page, and serve functions that use them.

    Args:
        names: of the scripts, without ending, in order.
        functions: the inside of an object of JavaScript: `name: (arguments) => ...,`.
        folder: for a temporary file.
    """
    node = find_node()
    assert node is not None
    source = "\n".join((SCRIPTS / f"{name}.js").read_text(encoding="utf-8") for name in names)
    path = folder / "scripts.js"
    path.write_text(f"{source}\nconst functions = {{ {functions} }};\n{_LOOP}", encoding="utf-8")
    with subprocess.Popen(
        [node, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        try:
            yield Scripts(process)
        finally:
            process.kill()


def as_picture(image: Image.Image) -> dict[str, Any]:
    """An image as a canvas of a browser holds it, but for its bytes, which are in base 64."""
    rgba = image.convert("RGBA")
    return {"width": rgba.width, "height": rgba.height, "data": base64.b64encode(rgba.tobytes()).decode()}
