"""What never ends, or waits for ever: pipes and devices wherever a file is read or written, and stdin."""

import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from htgen.cli import main
from htgen.datasets.idx import read_idx
from htgen.datasets.omniglot_runs import read_runs
from htgen.datasets.raw_images import open_archive
from htgen.datasets.safe_pickle import load_pickle
from htgen.datasets.store_format import map_images
from htgen.datasets.tieredimagenet import _open_images
from htgen.errors import HtgenError
from htgen.generator.tensorflow_checkpoint import Checkpoint
from htgen.images.labels import labels_from_csv
from htgen.images.reading import list_pages, load_image
from htgen.tensor_files import read_any
from htgen.training.curve import read_curve
from htgen.training.run_folder import RunFolder

SOURCE = Path(__file__).parents[2] / "htgen"
SYMBOLS = Path(__file__).parents[2] / "examples" / "symbols"


def _entered(run: Path) -> None:
    with RunFolder(run) as folder:
        folder.log({})


def _archive(path: Path) -> None:
    import contextlib

    with contextlib.ExitStack() as stack:
        open_archive(path, stack)


def _array(path: Path) -> None:
    import contextlib

    with contextlib.ExitStack() as stack:
        _open_images(path, stack)


READERS = {
    "image": ("x.png", load_image),
    "pages": ("x.tif", list_pages),
    "tensors": ("x.safetensors", read_any),
    "labels": ("x.csv", lambda path: labels_from_csv(path, path.parent)),
    "idx": ("x-ubyte", lambda path: read_idx(path, (1, 2, 2))),
    "pickle": ("x.pkl", load_pickle),
    "archive": ("x.zip", _archive),
    "array": ("x.npz", _array),
    "runs": ("all_runs.zip", lambda path: list(read_runs(path))),
    "images of a store": ("images.npy", lambda path: map_images(path.parent, (1, 2, 2, 1))),
    "checkpoint": ("x.index", lambda path: Checkpoint(path.with_suffix(""))),
    "metrics": ("metrics.jsonl", lambda path: read_curve(path.parent)),
    "lock of a run": (".lock", lambda path: _entered(path.parent)),
    "log of a run": ("metrics.jsonl", lambda path: _entered(path.parent)),
}


@pytest.mark.parametrize("kind", ["pipe", "link", "device"])
@pytest.mark.parametrize("reader", READERS)
def test_what_never_ends_is_refused_at_once(reader, kind, tmp_path):
    name, read = READERS[reader]
    path = tmp_path / name
    if kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "link":
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to("pipe")
    else:
        os.mkfifo(path)
    began = time.monotonic()
    with pytest.raises(HtgenError, match=r"regular file|no image"):
        read(path)
    assert time.monotonic() - began < 5


def test_nothing_is_read_but_by_what_refuses_pipes():
    """`htgen.files` opens what others made; the packaged files are read by `importlib.resources`."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"\.read_bytes\(|\.read_text\(|\.open\(\"[ra]|ZipFile\((?!stack|io|file)", line):
                found.append(f"{path.relative_to(SOURCE)}:{number}: {line.strip()}")
    allowed = ("files(", "resources.files", "temporary.open", "/proc/cpuinfo", "archive.open(", "part.open(")
    assert [line for line in found if not any(word in line for word in allowed)] == []


@pytest.mark.parametrize("command", ["predict", "generate", "test", "prepare"])
def test_links_in_a_circle_are_told(command, tmp_path, capsys):
    for name in ("anchor", "arrow"):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "loop.png").symlink_to("loop.png")
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    cnn = tmp_path / "cnn.safetensors"
    assert main(["generate", "--support", str(SYMBOLS / "support"), "-o", str(cnn), "--no-estimate"]) == 0
    folder, page = str(tmp_path / "images"), str(tmp_path / "page.html")
    arguments = {
        "predict": ["predict", str(cnn), f"{folder}/arrow/loop.png", "--report", page],
        "generate": ["generate", "--support", folder, "-o", str(loop), "--report", page],
        "test": ["test", str(cnn), folder, "--report", page],
        "prepare": ["prepare-data", "folder", "--source", str(loop), "--out", str(tmp_path / "store")],
    }[command]
    capsys.readouterr()
    assert main(arguments) in (1, 4, 7)
    assert "loop" in "".join(capsys.readouterr())


def test_stdin_without_end_is_refused(tmp_path):
    cnn = tmp_path / "cnn.safetensors"
    assert main(["generate", "--support", str(SYMBOLS / "support"), "-o", str(cnn), "--no-estimate"]) == 0
    command = [sys.executable, "-m", "htgen", "predict", str(cnn), "--stdin"]
    with Path("/dev/zero").open("rb") as zeros:
        ended = subprocess.run(command, stdin=zeros, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 4
    assert "line 1 of stdin" in ended.stderr
    named = b"\xff\x00\xfe.png\n" + os.fsencode(SYMBOLS / "new" / "01.png") + b"\n"
    ended = subprocess.run(command, input=named, capture_output=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert b"Traceback" not in ended.stderr
    assert len(ended.stdout.splitlines()) == 2
    assert b"01.png: flag" in ended.stdout


def test_the_page_refuses_an_archive_of_very_many_files():
    import io

    from htgen.app.uploads import MOST_IMAGES, read_archive
    from htgen.errors import DataError

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/x.png", b"x")
    one = buffer.getvalue()
    start, end = one.index(b"PK\1\2"), one.index(b"PK\5\6")
    many = one[:start] + one[start:end] * (2 * MOST_IMAGES + 1) + one[end:]
    with pytest.raises(DataError, match="more than 6000 files"):
        read_archive(many)


class PanicException(BaseException):
    """As of a library in Rust that has no memory left."""


@pytest.mark.parametrize("error", [MemoryError, PanicException])
def test_memory_that_runs_out_is_told(error, monkeypatch, capsys):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("htgen.tensor_files.load", fail)
    assert main(["inspect", "glyph-8", "--check"]) == 5
    assert "there is not enough memory" in capsys.readouterr().err
    if error is MemoryError:
        monkeypatch.setattr("htgen.config.files.preset_text", fail)
        assert main(["configs", "show", "glyph-8"]) == 1
        assert "error: there is not enough memory" in capsys.readouterr().err


def test_control_characters_of_names_are_escapes_in_reports(tmp_path):
    from htgen.report.page import page, text

    assert text("a\x1b[2J<b>\u202e\n") == "a\\x1b[2J&lt;b&gt;\\u202e\\n"
    folder = tmp_path / "images"
    for name, source in (("a\x1b[2J", "key"), ("<b>", "bolt")):
        (folder / name).mkdir(parents=True)
        for path in (SYMBOLS / "support" / source).iterdir():
            (folder / name / path.name).write_bytes(path.read_bytes())
    report, cnn, own = (tmp_path / name for name in ("x.html", "x.safetensors", "cnn.html"))
    assert main(["generate", "--support", str(folder), "-o", str(cnn), "--report", str(report)]) == 0
    assert main(["export", str(cnn), "-o", str(own)]) == 0
    for written in (report, own):
        assert "\x1b" not in written.read_text()
        assert "<b>" not in written.read_text()
    assert page("x", []).count("\x1b") == 0


def test_what_pillow_logs_of_a_damaged_tiff_is_not_printed(tmp_path):
    import struct

    tags = {256: 9, 257: 9, 258: 8, 259: 1, 262: 2, 273: 8, 277: 60_000, 278: 9, 279: 99}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    (tmp_path / "x.tif").write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(400))
    code = "import sys; from htgen.images.reading import load_image; load_image(sys.argv[1])"
    command = [sys.executable, "-c", code, str(tmp_path / "x.tif")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "cannot read image" in ended.stderr
    assert "More samples per pixel" not in ended.stderr
