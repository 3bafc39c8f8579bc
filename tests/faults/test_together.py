"""Two processes at one place, and what is no regular file."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from htgen.cli import main
from htgen.datasets.store import Store
from htgen.files import atomic_path, write_bytes

WRITES = """
import sys
from htgen.files import write_bytes
for i in range(150):
    write_bytes(sys.argv[1], sys.argv[2].encode() * 5000)
"""

PREPARES = """
import sys
from htgen.cli import main
codes = [main(["prepare-data", "folder", "--source", sys.argv[1], "--out", sys.argv[2], "--image-size",
               sys.argv[3], "--overwrite"]) for _ in range(12)]
sys.exit(0 if set(codes) <= {0, 4, 7} else 1)  # 4: what was written is another one's by now
"""


def started(code: str, *arguments: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stderr=subprocess.PIPE)


def ended(process: "subprocess.Popen[bytes]") -> str:
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said.decode()
    return said.decode()


def test_two_that_write_one_file_leave_a_whole_one(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"a" * 5000)
    both = [started(WRITES, path, letter) for letter in "ab"]
    while any(process.poll() is None for process in both):
        content = path.read_bytes()
        assert len(content) == 5000
        assert len(set(content)) == 1
    for process in both:
        assert "Traceback" not in ended(process)
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_what_another_process_writes_now_is_not_taken_for_a_leftover(tmp_path):
    with atomic_path(tmp_path / "file") as temporary:
        temporary.write_text("first")
        (tmp_path / ".file.abcd1234.tmp").write_text("of a process that was killed")
        assert main(["configs", "copy", "glyph-8", str(tmp_path / "file")]) == 0
        assert sorted(found.name for found in tmp_path.iterdir()) == sorted([temporary.name, "file"])
    assert (tmp_path / "file").read_text() == "first"


def test_two_that_replace_one_store_leave_a_whole_one(tmp_path):
    from PIL import Image

    for kind in range(2):
        (tmp_path / "source" / f"{kind}").mkdir(parents=True)
        Image.new("L", (9, 9), 99).save(tmp_path / "source" / f"{kind}" / "x.png")
    both = [started(PREPARES, tmp_path / "source", tmp_path / "store", size) for size in (6, 9)]
    for process in both:
        assert "Traceback" not in ended(process)
    again = ["--source", str(tmp_path / "source"), "--out", str(tmp_path / "store"), "--overwrite"]
    assert main(["prepare-data", "folder", *again]) == 0
    assert Store.open(tmp_path / "store", verify=True).size == 28
    assert sorted(found.name for found in tmp_path.iterdir()) == ["source", "store"]


REPLACES = """
import sys
from pathlib import Path
import numpy as np
from htgen.datasets.store import StoreWriter
from htgen.images.preprocessing import Preprocessing
for i in range(150):
    with StoreWriter(sys.argv[1], f"s{i % 2}", Preprocessing(2, 1, "bright", "pad"), {}, True) as writer:
        for name in "ab":
            writer.add_class(name, "", np.full((1 + i % 2, 2, 2, 1), i, np.uint8))
"""


def test_a_store_that_is_replaced_while_it_is_read_is_the_old_or_the_new_one(tmp_path):
    path = tmp_path / "store"
    process = started(REPLACES, path)
    while not path.exists():
        time.sleep(0.01)
    opened = 0
    while process.poll() is None:
        store = Store.open(path, verify=True)
        assert store.images.max() == store.images.min()
        assert store.name == f"s{store.images[0, 0, 0, 0] % 2}"
        opened += 1
    assert "Traceback" not in ended(process)
    assert opened > 5


@pytest.mark.parametrize("kind", ["pipe", "link", "device", "folder"])
@pytest.mark.parametrize("command", ["predict", "inspect", "export", "generate"])
def test_a_model_that_is_no_regular_file_is_refused_at_once(kind, command, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "folder").mkdir()
    path = {"device": "/dev/zero"}.get(kind, str(tmp_path / kind))
    arguments = {
        "predict": ["predict", path, str(tmp_path)],
        "inspect": ["inspect", path],
        "export": ["export", path, "-o", str(tmp_path / "x.h")],
        "generate": ["generate", "--support", "examples/symbols/support", "--generator", path, "-o", "x"],
    }[command]
    began = time.monotonic()
    assert main(arguments) == 5
    assert time.monotonic() - began < 5
    assert Path(path).name in capsys.readouterr().err


@pytest.mark.parametrize("how", ["pipe", "link"])
def test_a_pipe_among_images_is_told_in_its_row(how, tmp_path, capsys):
    from PIL import Image

    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("pipe.png")
    picture = Image.new("L", (28, 28))
    picture.paste(255, (9, 9, 20, 12))
    for kind in ("a", "b"):
        (tmp_path / "support" / kind).mkdir(parents=True)
        picture.rotate(90 * (kind == "b")).save(tmp_path / "support" / kind / "1.png")
    (tmp_path / "support" / "a" / "2.png").symlink_to(tmp_path / f"{how}.png")
    # In a folder it is no image file, as a sub-folder is none, and is told as such.
    assert main(["generate", "--support", str(tmp_path / "support"), "-o", str(tmp_path / "x.cnn")]) == 0
    assert f"no regular files, in {tmp_path / 'support' / 'a'}: 2.png" in capsys.readouterr().err
    (tmp_path / "1.png").symlink_to("support/a/1.png")
    assert main(["predict", str(tmp_path / "x.cnn"), str(tmp_path)]) == 0
    assert f"no regular files, in {tmp_path}: link.png; pipe.png" in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "x.cnn"), str(tmp_path / f"{how}.png")]) == 1
    assert "it is not a regular file" in capsys.readouterr().out
