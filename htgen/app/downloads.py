"""What can be taken away from the page: a CNN in its formats, and the images that it is made of."""

import csv
import io
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import PurePosixPath

from htgen.app.session import Session
from htgen.app.uploads import LABELS, file_name, write_archive
from htgen.cnn.arduino import library_files
from htgen.cnn.bundle import Bundle
from htgen.cnn.c_common import CCode, class_constants, expect_support_norm
from htgen.cnn.c_source import c_code
from htgen.cnn.html_page import page_html
from htgen.cnn.onnx_file import onnx_bytes
from htgen.errors import DataError, ModelError

CNN_FILES = {
    "cnn.safetensors": "htgen and Python",
    "cnn.html": "a page for others, which works offline",
    "cnn.h": "C, for devices",
    "cnn-arduino.zip": "an Arduino library",
    "cnn.onnx": "ONNX, for other programs",
}
"""File -> what it is for."""

SUPPORT = "support.zip"


def download(session: Session, name: str, version: int | None = None) -> bytes:
    """The content of a file.

    Args:
        version: of the session that is meant; None: as it is now.

    Raises:
        DataError: there is no such file, no CNN yet, or another version by now.
        ModelError: the CNN cannot be written in that format.
    """
    with session.lock:
        bundle, is_meant = session.bundle, version in (None, session.version)
    if not is_meant:
        raise DataError("what is on the page has changed since it was shown", "it again")
    if name == SUPPORT:
        return write_archive(support_files(session))
    if bundle is None or name not in CNN_FILES:
        raise DataError("there is no CNN yet" if name in CNN_FILES else f"there is no file '{name}'")
    return _WRITERS[name](bundle)


def offers(session: Session) -> tuple[int, dict[str, str | None]]:
    """The version of a session, and for each file of its CNN why it cannot be written: None where it can."""
    with session.lock:
        version, bundle = session.version, session.bundle
    return version, {} if bundle is None else {name: _fault(bundle, name) for name in CNN_FILES}


def _fault(bundle: Bundle, name: str) -> str | None:
    """Why a file cannot be written; it is tried, but for ONNX, whose package is slow to load."""
    try:
        if name != "cnn.onnx":
            _WRITERS[name](bundle)
        elif find_spec("onnx") is None:
            return "it needs the package onnx: pip install 'htgen[onnx]'"
        else:
            expect_support_norm(bundle.spec)
    except ModelError as error:
        return error.message
    return None


def support_files(session: Session) -> dict[str, bytes]:
    """The images as they came, in a folder for each class; and a table where folders have other names."""
    files: dict[str, bytes] = {}
    labels: dict[str, str] = {}
    with session.lock:
        folders = {LABELS}
        for found in session.classes.values():
            folder, taken = file_name(found.name, folders), set[str]()
            for image in found.images.values():
                stem, _, ending = image.upload.name.rpartition(".")
                is_ending = stem and re.fullmatch(r"[A-Za-z0-9]{1,8}", ending)
                parts = (stem, f".{ending.lower()}") if is_ending else (image.upload.name, "")
                name = file_name(parts[0], taken, parts[1])
                files[f"{folder}/{name}"] = image.upload.data
                labels[f"{folder}/{name}"] = found.name
    if all(PurePosixPath(path).parent.name == label for path, label in labels.items()):
        return files
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\n").writerows([("file", "label"), *labels.items()])
    return {LABELS: table.getvalue().encode(), **files}


def _c(bundle: Bundle) -> CCode:
    """Whole numbers, with the preparation where the CNN was made so; float where that cannot be.

    Raises:
        ModelError: names of classes clash, or there is neither.
    """
    list(class_constants(bundle, "cnn"))  # float has none, and must not be taken for their sake
    try:
        return _whole(bundle)
    except ModelError as error:
        try:
            return c_code(bundle, "cnn", in_float=True)
        except ModelError:
            raise error from None


def _whole(bundle: Bundle) -> CCode:
    return c_code(bundle, "cnn", prepare=bundle.preprocessing.device)


def _arduino(bundle: Bundle) -> bytes:
    library = library_files(_whole(bundle))  # its sketch takes logits that are whole
    return write_archive({f"cnn/{path}": text.encode() for path, text in library.items()})


_WRITERS: dict[str, Callable[[Bundle], bytes]] = {
    "cnn.safetensors": Bundle.to_bytes,
    "cnn.html": lambda bundle: page_html(bundle, "My CNN").encode(),
    "cnn.h": lambda bundle: _c(bundle).text.encode(),
    "cnn-arduino.zip": _arduino,
    "cnn.onnx": onnx_bytes,
}
