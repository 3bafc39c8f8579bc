"""Fetching one file over HTTP: resumed where it stopped, checked before it takes its name."""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import Literal

from htgen.datasets.store import Progress
from htgen.errors import DataError, OutputError
from htgen.files import check_writable, open_regular
from htgen.version import __version__

_BLOCK_BYTES = 1 << 16
_MOST_BYTES = 1 << 34  # a server that sends more is not the one that is meant
_TIMEOUT_SECONDS = 30.0


def fetch(
    url: str,
    destination: str | Path,
    *,
    digest: str,
    algorithm: Literal["md5", "sha256"] = "sha256",
    progress: Progress | None = None,
    timeout: float = _TIMEOUT_SECONDS,
) -> Path:
    """Download a file, unless it is there already with the right hash.

    The data goes to `<destination>.part`, which stays when the connection breaks: run again, and only the
    rest is asked for. The file takes its name only with the right length and hash; one with a wrong hash is
    deleted.

    Args:
        url: http or https.
        destination: the file to write.
        digest: its hash in hexadecimal digits.
        algorithm: of the hash.
        progress: called with the file's name, bytes there, bytes in all (0 if the server does not say).
        timeout: seconds without any data after which the connection counts as broken.

    Returns:
        `destination`.

    Raises:
        DataError: no connection, refused by the server, broken off, or a wrong hash.
        OutputError: no space left, or no permission.
    """
    destination = Path(destination)
    part = destination.with_name(f"{destination.name}.part")
    if destination.is_file() and _hash(destination, algorithm) == digest.lower():
        return destination
    _transfer(url, part, destination.name, progress, timeout)
    found = _hash(part, algorithm)
    if found != digest.lower():
        part.unlink()
        raise DataError(
            f"{url} gave a file with {algorithm} {found}, not {digest}; it was deleted",
            "run again; if it happens again, get the file elsewhere and name its folder with --source",
        )
    try:
        part.replace(destination)
    except OSError as error:
        raise _cannot_write(destination, error) from error
    return destination


def _answer(url: str, done: int, timeout: float) -> "http.client.HTTPResponse | None":
    """What the server answers to a request for the bytes from `done` on; None when there are no more."""
    headers = {"User-Agent": f"htgen/{__version__}", "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=timeout
        )
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and done:  # nothing after `done`: the part is whole, or too long
                return None
        raise DataError(
            f"{url}: the server answered {error.code} {error.reason}",
            "try later, or get the file elsewhere and name its folder with --source",
        ) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DataError(
            f"no connection to {url}: {reason}",
            "check the network and run again, or get the file elsewhere and name its folder with --source",
        ) from error
    return response


def _transfer(url: str, part: Path, name: str, progress: Progress | None, timeout: float) -> None:
    """Bring `part` to the full length that the server announces."""
    again = "run again to continue"
    done = part.stat().st_size if part.exists() else 0
    response = _answer(url, done, timeout)
    if response is None:
        return
    with response:
        resumed = response.status == 206 and _range_start(response.headers.get("Content-Range")) == done
        if response.status == 206 and not resumed:
            part.unlink(missing_ok=True)
            raise DataError(f"{url}: the server sent another part of the file than asked for", "run again")
        if not resumed:
            done = 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length is not None and length.isdecimal() else 0
        try:
            check_writable(part)
            part.parent.mkdir(parents=True, exist_ok=True)
            file = part.open("ab" if resumed else "wb")
        except OSError as error:
            raise _cannot_write(part, error) from error
        with file:
            while True:
                if progress is not None:
                    progress(name, done, total)
                try:
                    block = response.read(_BLOCK_BYTES)
                except (OSError, http.client.HTTPException) as error:
                    raise DataError(
                        f"{url}: the connection broke after {done} bytes: {error}", again
                    ) from error
                if not block:
                    break
                try:
                    file.write(block)
                    file.flush()
                except OSError as error:
                    raise _cannot_write(part, error) from error
                if (done := done + len(block)) > _MOST_BYTES:
                    raise DataError(
                        f"{url}: the server sends more than {_MOST_BYTES} bytes", "another source"
                    )
    if total and done != total:
        raise DataError(f"{url}: the connection broke after {done} of {total} bytes", again)


def _range_start(content_range: str | None) -> int | None:
    """`bytes 100-199/200` -> 100."""
    unit, _, rest = (content_range or "").partition(" ")
    start = rest.partition("-")[0]
    return int(start) if unit == "bytes" and start.isdecimal() else None


def _hash(path: Path, algorithm: str) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write {path}: {error.strerror or error}",
        "check the free space and the permissions of the folder, or name another place",
    )
