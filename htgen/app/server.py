"""The page's server: this machine alone, and with a token in the address alone.

Every address begins with the token, which is compared in constant time. The headers Host and Origin must be
the page's own, so that no other page of the browser can use it, and no name that is made to lead here. What
is sent may not be larger than what is expected, and nothing of it becomes a path.
"""

import base64
import hmac
import json
import re
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from htgen.app import state
from htgen.app.downloads import download
from htgen.app.session import Session
from htgen.app.uploads import LARGEST_IMAGE, MOST_BYTES, Upload, clean_name, decode
from htgen.arrays import Pixels
from htgen.cnn.html_page import page_file
from htgen.errors import DataError, HtgenError
from htgen.images.pictures import image_of, png_of
from htgen.images.stages import stages

_SCRIPTS = {"pad.js": "cnn", "pictures.js": "cnn"} | dict.fromkeys(
    ("app.js", "classes.js", "dialogs.js", "requests.js", "trying.js"), "app"
)
_STYLES = {"page.css": "cnn", "app.css": "app"}

_LARGEST_REQUEST = 64 << 20
"""Bytes of a request with images; the page sends them in parts."""

_SMALL_REQUEST = 1 << 16

_LONGEST_PATH = 200
"""Bytes of a path behind the token; the longest that there is has less."""

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; media-src blob: mediastream:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Handler = Callable[[Request], Awaitable[Response]]


class Guard:
    """Refuses whatever is not the page itself.

    Args:
        app: what answers the others.
        token: the first part of every path.
        port: on which it is served.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app, self.token = app, token.encode()
        ending = "" if port == 80 else f":{port}"  # which clients leave out
        self.hosts = {f"127.0.0.1{ending}".encode(), f"localhost{ending}".encode()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http" or not self._is_ours(scope):
            if scope["type"] == "http":
                await Response("There is nothing here.", 404, _HEADERS)(scope, receive, send)
            return
        _, slash, rest = scope["path"].lstrip("/").partition("/")
        if not slash:  # addresses on the page are relative to the folder
            moved = {**_HEADERS, "Location": f"/{self.token.decode()}/"}
            await Response(status_code=307, headers=moved)(scope, receive, send)
            return
        inner = {**scope, "path": f"/{rest}"}

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = [(key.lower().encode(), value.encode()) for key, value in _HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        await self.app(inner, receive, with_headers)

    def _is_ours(self, scope: Scope) -> bool:
        headers = scope["headers"]
        hosts = [value for key, value in headers if key == b"host"]
        origins = [value for key, value in headers if key == b"origin"]
        token, _, rest = scope["path"].lstrip("/").partition("/")
        return (
            hmac.compare_digest(token.encode("utf-8", "replace"), self.token)
            and len(rest) <= _LONGEST_PATH
            and len(hosts) == 1
            and hosts[0] in self.hosts
            and all(origin == b"http://" + hosts[0] for origin in origins)
        )


def create_app(session: Session, token: str, port: int) -> ASGIApp:
    """What serves the page of a session.

    Args:
        token: without it nothing is answered.
        port: on which it will be served.
    """
    pages = _Pages(session)
    routes = [
        Route("/", pages.page),
        Route("/{name:str}", pages.asset),
        Route("/api/state", pages.state),
        Route("/api/estimate", pages.estimate),
        Route("/api/downloads", pages.downloads),
        Route("/api/change", pages.change, methods=["POST"]),
        Route("/api/images/{number:int}", pages.add_images, methods=["POST"]),
        Route("/api/try", pages.try_image, methods=["POST"]),
        Route("/api/open/{kind:str}", pages.open, methods=["POST"]),
        Route("/image/{number:int}", pages.image),
        Route("/seen/{number:int}", pages.seen),
        Route("/stages/{number:int}", pages.stages),
        Route("/download/{name:str}", pages.download),
    ]
    errors = {HtgenError: _told, RecursionError: _told}
    return Guard(Starlette(routes=routes, exception_handlers=errors), token, port)


async def _told(request: Request, error: Exception) -> Response:
    hint = getattr(error, "hint", None)
    return JSONResponse({"error": getattr(error, "message", "it is too deep"), "hint": hint}, 400)


async def _body(request: Request, most: int) -> bytes:
    """What was sent.

    Raises:
        DataError: it is larger.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            size_text = f"{most >> 20} MB" if most >> 20 else f"{most >> 10} kB"
            raise DataError(f"more than {size_text} were sent at once", "smaller or fewer files")
        parts.append(part)
    return b"".join(parts)


async def _json(request: Request, most: int) -> dict[str, Any]:
    """An object that was sent.

    Raises:
        DataError: it is none.
    """
    try:
        value = json.loads(await _body(request, most))
    except ValueError as error:
        raise DataError(f"the page sent what cannot be read: {error}", "load the page again") from error
    if not isinstance(value, dict):
        raise DataError("the page sent what is no object", "load the page again")
    return value


def _value(record: dict[str, Any], key: str, kind: type) -> Any:
    value = record.get(key)
    if type(value) is not kind:
        raise DataError(f"the page sent no {key}", "load the page again")
    return value


def _uploads(record: dict[str, Any]) -> list[Upload]:
    """Files that were sent: `{"files": [{"name": ..., "data": base64}]}`."""
    found = []
    for file in _value(record, "files", list):
        if not isinstance(file, dict):
            raise DataError("the page sent what is no file", "load the page again")
        name = clean_name(_value(file, "name", str), "image")
        try:
            data = base64.b64decode(_value(file, "data", str), validate=True)
        except ValueError as error:
            raise DataError(f"{name} did not arrive whole", "try it again") from error
        found.append(Upload(name, data))
    return found


class _Pages:
    """The answers to all requests that are let in."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def page(self, request: Request) -> Response:
        return Response(_page_file("app", "app.html"), media_type="text/html")

    async def asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        for known, kind in ((_SCRIPTS, "text/javascript"), (_STYLES, "text/css")):
            if name in known:
                return Response(_page_file(known[name], name), media_type=kind)
        return Response("There is nothing here.", 404)

    async def state(self, request: Request) -> Response:
        return await self._state([])

    async def _state(self, faults: list[str]) -> Response:
        return JSONResponse({**await run_in_threadpool(state.state, self.session), "faults": faults})

    async def estimate(self, request: Request) -> Response:
        version = self.session.version
        return JSONResponse(state.estimate(version, await run_in_threadpool(self.session.estimate)))

    async def downloads(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(state.downloads, self.session))

    async def change(self, request: Request) -> Response:
        """One change: `{"do": ..., ...}`."""
        record = await _json(request, _SMALL_REQUEST)
        change = _CHANGES.get(_value(record, "do", str))
        if change is None:
            raise DataError("the page asked for what there is not", "load the page again")
        await run_in_threadpool(change, self.session, record)
        return await self._state([])

    async def add_images(self, request: Request) -> Response:
        uploads = _uploads(await _json(request, _LARGEST_REQUEST))
        number = request.path_params["number"]
        return await self._state(await run_in_threadpool(self.session.add_images, number, uploads))

    async def try_image(self, request: Request) -> Response:
        data = await _body(request, LARGEST_IMAGE)
        found = await run_in_threadpool(self.session.try_image, Upload("the image", data))
        return JSONResponse(state.tried(found, _data_address(found.read.pixels)))

    async def open(self, request: Request) -> Response:
        data = await _body(request, MOST_BYTES)
        if request.path_params["kind"] == "cnn":
            name = request.query_params.get("name", "")
            return await self._state(await run_in_threadpool(self.session.open_cnn, name, data))
        return await self._state(await run_in_threadpool(self.session.open_archive, data))

    async def image(self, request: Request) -> Response:
        image = await run_in_threadpool(self.session.image, request.path_params["number"])
        return _picture(image.small)

    async def seen(self, request: Request) -> Response:
        image = await run_in_threadpool(self.session.image, request.path_params["number"])
        return _picture(png_of(image_of(image.read.pixels)))

    async def stages(self, request: Request) -> Response:
        """What becomes of an image, step by step."""

        def find() -> list[dict[str, str]]:
            image = self.session.image(request.path_params["number"])
            found = stages(decode(image.upload), self.session.preprocessing)
            return [{"what": what, "image": _data_address(pixels)} for what, pixels in found]

        return JSONResponse(await run_in_threadpool(find))

    async def download(self, request: Request) -> Response:
        name = request.path_params["name"]
        version = request.query_params.get("version", "")
        meant = int(version) if re.fullmatch(r"[0-9]{1,15}", version) else None
        data = await run_in_threadpool(download, self.session, name, meant)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}  # one of our own names
        return Response(data, media_type="application/octet-stream", headers=headers)


_CHANGES: dict[str, Callable[[Session, dict[str, Any]], Any]] = {
    "add class": lambda session, r: session.add_class(_value(r, "name", str)),
    "rename class": lambda session, r: session.rename_class(_value(r, "class", int), _value(r, "name", str)),
    "remove class": lambda session, r: session.remove_class(_value(r, "class", int)),
    "remove image": lambda session, r: session.remove_image(_value(r, "image", int)),
    "move image": lambda session, r: session.move_image(_value(r, "image", int), _value(r, "class", int)),
    "choose": lambda session, r: session.choose(_known_generator(session, r), _value(r, "device", bool)),
    "start again": lambda session, r: session.start_again(),
}


def _known_generator(session: Session, record: dict[str, Any]) -> str | None:
    """A generator by its name, or None for the one that suits the images; the page names no files.

    Raises:
        DataError: there is none of that name.
    """
    name: str = _value(record, "generator", str)
    if name and name not in state.generators(session):
        raise DataError("there is no such generator", "one of the list")
    return name or None


def _page_file(package: str, name: str) -> str:
    if package == "cnn":
        return page_file(name)
    return files("htgen.app").joinpath("page", name).read_text(encoding="utf-8")


def _picture(data: bytes) -> Response:
    return Response(data, media_type="image/png")


def _data_address(pixels: Pixels) -> str:
    return "data:image/png;base64," + base64.b64encode(png_of(image_of(pixels))).decode()
