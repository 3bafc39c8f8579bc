"""The page of `htgen app`, served for a test."""

import base64
import http.client
import io
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from helpers.drawings import drawing
from htgen.app.session import Session

TOKEN = "a-token-for-tests"


@dataclass
class Served:
    """A page that is served."""

    session: Session
    port: int
    token: str = TOKEN
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    def ask(
        self, path: str, body: bytes | str | None = None, token: str | None = None, **headers: str
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """A request: status, body and headers of the answer."""
        return self.ask_at(f"/{self.token if token is None else token}/{path}", body, **headers)

    def ask_at(
        self, where: str, body: bytes | str | None = None, method: str | None = None, **headers: str
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """The same for a whole path; other methods than GET and POST are named."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            usual = "GET" if body is None else "POST"
            connection.request(method or usual, where, body, {k.title(): v for k, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def json(self, path: str, value: Any = None) -> Any:
        """What is answered, which must be right."""
        status, body, _ = self.ask(path, None if value is None else json.dumps(value))
        assert status == 200, body
        return json.loads(body)

    def fault(self, path: str, body: bytes | str) -> str:
        """What is answered to what is wrong."""
        status, answer, _ = self.ask(path, body)
        assert status == 400, answer
        return json.loads(answer)["error"]


@contextmanager
def served(session: Session) -> Iterator[Served]:
    """Serve a session in a thread of its own."""
    import uvicorn

    from htgen.app.server import create_app

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config = uvicorn.Config(
        create_app(session, TOKEN, port), log_level="critical", access_log=False, lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Served(session, port)
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def cross(seed: int) -> Image.Image:
    """A plus sign, a little different for each seed."""
    random = np.random.default_rng(seed)
    values = np.full((80, 80), 255, np.uint8)
    x, y = random.integers(32, 48, 2)
    values[12 + seed % 5 : 68, x : x + 5] = 0
    values[y : y + 5, 14 : 66 - seed % 7] = 0
    return Image.fromarray(values)


def hook(seed: int) -> Image.Image:
    return drawing(90 + 7 * seed, 0.03 + 0.006 * seed)


def as_files(**images: bytes) -> dict[str, Any]:
    """What the page sends."""
    return {
        "files": [{"name": name, "data": base64.b64encode(data).decode()} for name, data in images.items()]
    }
