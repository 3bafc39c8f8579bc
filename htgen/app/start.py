"""Serving the page of a session until it is interrupted."""

import secrets
import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path

from htgen.app.session import Session
from htgen.app.uploads import Upload, clean_name
from htgen.errors import OutputError
from htgen.files import as_text, read_regular
from htgen.generator.support_files import find_support


def begin(generator: str | None, folder: Path | None) -> tuple[Session, list[str]]:
    """A session, with the classes of a folder or two empty ones; and lines on what was left out.

    Raises:
        ModelError: there is no such generator.
        DataError: the folder has no classes.
    """
    session = Session(generator)
    if folder is None:
        session.start_again()
        return session, []
    files = find_support(folder)
    lines = [*files.notices]
    for name, paths in files.classes.items():
        uploads = []
        for path in paths:
            try:
                uploads.append(Upload(clean_name(path.name, "image"), read_regular(path, 1 << 29)))
            except OSError as error:
                lines.append(f"left out: cannot read image {as_text(str(path))}: {error.strerror or error}")
        lines += session.add_images(session.add_class(clean_name(name, "class")), uploads)
    return session, lines


def serve(
    generator: str | None,
    port: int,
    folder: Path | None,
    ready: Callable[[str, list[str]], None],
    browser: bool,
) -> None:
    """Serve a page on 127.0.0.1 until Ctrl-C.

    Args:
        generator: one that ships, a generator file or a run folder; None: the one that suits the images.
        port: 0: one that is free.
        folder: with what the page begins.
        ready: called with the address, when it is served, and with lines on what was left out of the folder.
        browser: whether to open it.

    Raises:
        OutputError: the packages for it are missing, or the port is taken.
    """
    try:
        import uvicorn

        from htgen.app.server import create_app
    except ImportError as error:
        raise OutputError(
            "the page needs starlette and uvicorn, which are not installed", "pip install 'htgen[app]'"
        ) from error
    session, lines = begin(generator, folder)
    listener = listen(port)
    port = listener.getsockname()[1]
    token = secrets.token_urlsafe(24)
    address = f"http://127.0.0.1:{port}/{token}/"

    class Server(uvicorn.Server):
        """Says when it is ready."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready(address, lines)
            if browser:
                webbrowser.open(address)

    config = uvicorn.Config(
        create_app(session, token, port),
        log_level="critical",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
    )
    Server(config).run(sockets=[listener])


def listen(port: int) -> socket.socket:
    """A socket of this machine alone; `port` 0: one that is free.

    Raises:
        OutputError: the port is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise OutputError(
            f"port {port} cannot be used: {error.strerror or error}", "--port 0, or another number"
        ) from error
    return listener
