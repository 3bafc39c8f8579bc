"""What can be taken away from the page: a CNN in its formats, and the images that it is made of."""

import re

from htgen.app.session import Session
from htgen.app.uploads import file_name, write_archive
from htgen.cnn.arduino import library_files
from htgen.cnn.bundle import Bundle
from htgen.cnn.c_float import float_code
from htgen.cnn.c_source import CCode
from htgen.cnn.c_whole import whole_code
from htgen.cnn.html_page import page_html
from htgen.cnn.onnx_file import onnx_bytes
from htgen.errors import DataError, ModelError

CNN_FILES = {
    "cnn.safetensors": "htgen and Python",
    "cnn.html": "a page for others, without installing anything",
    "cnn.h": "C, for devices",
    "cnn-arduino.zip": "an Arduino library",
    "cnn.onnx": "ONNX, for other programs",
}
"""File -> what it is for."""

SUPPORT = "support.zip"


def download(session: Session, name: str) -> bytes:
    """The content of a file.

    Raises:
        DataError: there is no such file, or no CNN yet.
        ModelError: the CNN cannot be written in that format.
    """
    if name == SUPPORT:
        return write_archive(support_files(session))
    with session.lock:
        bundle = session.bundle
    if bundle is None or name not in CNN_FILES:
        raise DataError("there is no CNN yet" if name in CNN_FILES else f"there is no file '{name}'")
    if name == "cnn.safetensors":
        return bundle.to_bytes()
    if name == "cnn.html":
        return page_html(bundle, "My CNN").encode()
    if name == "cnn.onnx":
        return onnx_bytes(bundle)
    if name == "cnn.h":
        return _c(bundle).text.encode()
    library = library_files(_whole(bundle))  # its sketch takes logits that are whole
    return write_archive({f"cnn/{path}": text.encode() for path, text in library.items()})


def support_files(session: Session) -> dict[str, bytes]:
    """The images as they came, in a folder for each class."""
    files: dict[str, bytes] = {}
    with session.lock:
        folders: set[str] = set()
        for found in session.classes.values():
            folder, taken = file_name(found.name, folders), set[str]()
            for image in found.images.values():
                stem, _, ending = image.upload.name.rpartition(".")
                is_ending = stem and re.fullmatch(r"[A-Za-z0-9]{1,8}", ending)
                parts = (stem, f".{ending.lower()}") if is_ending else (image.upload.name, "")
                name = file_name(parts[0], taken, parts[1])
                files[f"{folder}/{name}"] = image.upload.data
    return files


def _c(bundle: Bundle) -> CCode:
    """Whole numbers, with the preparation where the CNN was made so; float where that cannot be."""
    try:
        return _whole(bundle)
    except ModelError as error:
        try:
            return float_code(bundle, "cnn")
        except ModelError:
            raise error from None


def _whole(bundle: Bundle) -> CCode:
    return whole_code(bundle, "cnn", bundle.preprocessing.device, None)
