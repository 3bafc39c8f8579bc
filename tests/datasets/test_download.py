import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from htgen.datasets.download import fetch
from htgen.errors import DataError, OutputError
from htgen.version import __version__

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT at every path, and remembers the requests."""

    daemon_threads = True
    ranges = True  # whether it answers Range
    cut_after = len(CONTENT)  # bytes sent before the connection closes
    announces_length = True
    lies_about_range = False
    status = 0  # an error to answer with

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/data.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.requests.append({key.lower(): value for key, value in self.headers.items()})
        if server.status:
            self.send_error(server.status)
            return
        start = 0
        asked = self.headers.get("Range")
        if asked and server.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(CONTENT):
                self.send_error(416)
                return
            start -= 1 if server.lies_about_range else 0
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        else:
            self.send_response(200)
        if server.announces_length:
            self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : start + server.cut_after])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def get(server: Server, tmp_path: Path) -> Callable[..., Path]:
    def run(**options: object) -> Path:
        return fetch(server.url, tmp_path / "cache" / "data.zip", **{"digest": SHA256, **options})

    return run


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.rglob("*") if path.is_file())


def part(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cache").mkdir(exist_ok=True)
    (tmp_path / "cache" / "data.zip.part").write_bytes(content)


Get = Callable[..., Path]


@pytest.mark.parametrize("how", [{}, {"digest": MD5, "algorithm": "md5"}, {"digest": SHA256.upper()}])
def test_whole_file(get: Get, server: Server, tmp_path: Path, how: dict[str, str]) -> None:
    calls: list[tuple[str, int, int]] = []
    path = get(progress=lambda *call: calls.append(call), **how)
    assert path.read_bytes() == CONTENT
    assert names(tmp_path) == ["data.zip"]
    assert calls[0] == ("data.zip", 0, len(CONTENT))
    assert calls[-1] == ("data.zip", len(CONTENT), len(CONTENT))
    assert server.requests[0]["user-agent"] == f"htgen/{__version__}"
    assert "range" not in server.requests[0]


def test_file_that_is_there_is_not_fetched_again(get: Get, server: Server) -> None:
    get()
    get()
    assert len(server.requests) == 1


def test_file_that_is_there_with_another_hash_is_replaced(get: Get, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "data.zip").write_bytes(b"old")
    assert get().read_bytes() == CONTENT


def test_interrupted_download_continues(get: Get, server: Server, tmp_path: Path) -> None:
    server.cut_after = 300_000
    with pytest.raises(DataError, match=f"broke after 300000 of {len(CONTENT)} bytes") as caught:
        get()
    assert caught.value.hint == "run again to continue"
    assert names(tmp_path) == ["data.zip.part"]
    server.cut_after = len(CONTENT)
    assert get().read_bytes() == CONTENT
    assert server.requests[1]["range"] == "bytes=300000-"
    assert names(tmp_path) == ["data.zip"]


def test_server_without_ranges_starts_over(get: Get, server: Server, tmp_path: Path) -> None:
    server.ranges = False
    part(tmp_path, CONTENT[:1000])
    calls: list[tuple[str, int, int]] = []
    assert get(progress=lambda *call: calls.append(call)).read_bytes() == CONTENT
    assert server.requests[0]["range"] == "bytes=1000-"
    assert calls[0] == ("data.zip", 0, len(CONTENT))


def test_part_that_is_whole_already(get: Get, server: Server, tmp_path: Path) -> None:
    part(tmp_path, CONTENT)
    assert get().read_bytes() == CONTENT
    assert names(tmp_path) == ["data.zip"]


def test_part_of_another_file_is_deleted_so_that_the_next_run_succeeds(get: Get, tmp_path: Path) -> None:
    part(tmp_path, b"x" * 1000)
    with pytest.raises(DataError, match="it was deleted"):
        get()
    assert names(tmp_path) == []
    assert get().read_bytes() == CONTENT


def test_wrong_hash_is_deleted(get: Get, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"sha256 {SHA256}, not 00") as caught:
        get(digest="00" * 32)
    assert "--source" in (caught.value.hint or "")
    assert names(tmp_path) == []


def test_wrong_range_is_not_appended(get: Get, server: Server, tmp_path: Path) -> None:
    server.lies_about_range = True
    part(tmp_path, CONTENT[:1000])
    with pytest.raises(DataError, match="another part"):
        get()
    server.lies_about_range = False
    assert get().read_bytes() == CONTENT


def test_length_need_not_be_announced(get: Get, server: Server) -> None:
    server.announces_length = False
    calls: list[tuple[str, int, int]] = []
    assert get(progress=lambda *call: calls.append(call)).read_bytes() == CONTENT
    assert {total for _, _, total in calls} == {0}


@pytest.mark.parametrize("status", [403, 404, 500])
def test_refusal_names_the_status(get: Get, server: Server, tmp_path: Path, status: int) -> None:
    server.status = status
    part(tmp_path, CONTENT[:1000])
    with pytest.raises(DataError, match=f"answered {status}") as caught:
        get()
    assert "--source" in (caught.value.hint or "")
    assert names(tmp_path) == ["data.zip.part"]


def test_no_connection(tmp_path: Path, server: Server) -> None:
    url = server.url
    server.server_close()
    with pytest.raises(DataError, match="no connection to") as caught:
        fetch(url, tmp_path / "cache" / "data.zip", digest=SHA256)
    assert "check the network" in (caught.value.hint or "")
    assert list(tmp_path.iterdir()) == []


def test_silent_server_times_out(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:  # accepts, never answers
        url = f"http://127.0.0.1:{listening.server_port}/data.zip"
        with pytest.raises(DataError, match="timed out"):
            fetch(url, tmp_path / "data.zip", digest=SHA256, timeout=0.2)


def test_folder_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(OutputError, match="cannot write"):
        fetch(server.url, tmp_path / "cache" / "data.zip", digest=SHA256)
