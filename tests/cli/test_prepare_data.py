import gzip
import io
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import htgen
from htgen.cli import console, main
from htgen.datasets import emnist, fashion_mnist, kmnist, miniimagenet, tieredimagenet
from htgen.datasets.recipes import RECIPES, Request
from htgen.datasets.splits import resolve_split
from htgen.datasets.store import Store
from htgen.images.drawings import DRAWING_STEPS
from htgen.images.preprocessing import Preprocessing

# So that a child process finds the package under test whether or not it is installed.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(htgen.__file__).parents[1])}


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    source = tmp_path / "birds"
    for number, name in enumerate(["auk", "owl", "tit", "wren"]):
        (source / name).mkdir(parents=True)
        for k in range(2 + number):
            Image.new("RGB", (9, 7), (number * 60, k * 30, 99)).save(source / name / f"{k}.png")
    return source


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def test_folder(birds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--source", str(birds), "--out", "s", "--color", "--image-size", "6", "--fit", "pad"]
    assert main(["prepare-data", "folder", *arguments]) == 0
    store = Store.open("s", verify=True)
    assert store.images.shape == (14, 6, 6, 3)
    assert store.preprocessing.fit == "pad"
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "store    s",
        "classes  4 (2 to 5 images each)",
        "images   14 of 6 x 6 x 3, ink: none",
        f"on disk  {sum(path.stat().st_size for path in Path('s').iterdir()) / 1e6:.1f} MB",
        "splits   default: train 2, val 1, test 1 classes",
        "next     htgen train --config NAME --data s --set data.train=default:train "
        "--set data.val=default:val --set episodes.way=2   (htgen configs lists the names)",
    ]
    assert "images: 100 %" in printed.err


def test_data_sets_of_raw_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of them in its own file format, from the command line to the opened store."""
    random = np.random.default_rng(0)
    raw = tmp_path / "raw"
    raw.mkdir()

    photos = random.integers(0, 256, (4, 84, 84, 3), dtype=np.uint8)
    monkeypatch.setattr(miniimagenet, "IMAGES", 2)
    monkeypatch.setattr(miniimagenet, "CLASSES", {"train": 2, "val": 2, "test": 2})
    monkeypatch.setattr(tieredimagenet, "CLASSES", {"train": 2, "val": 2, "test": 2})
    for part in ("train", "val", "test"):
        record = {"image_data": photos, "class_dict": {f"{part} a": [0, 3], f"{part} b": [1, 2]}}
        (raw / f"mini-imagenet-cache-{part}.pkl").write_bytes(pickle.dumps(record, 2))
        (raw / f"{part}_labels.pkl").write_bytes(pickle.dumps({"labels": [0, 1, 1, 0]}, 2))
        np.savez_compressed(raw / f"{part}_images.npz", images=photos)

    for module, name in ((emnist, "EMNIST"), (fashion_mnist, "FASHION_MNIST"), (kmnist, "KMNIST")):
        full = getattr(module, name)
        monkeypatch.setattr(module, name, replace(full, counts=dict.fromkeys(full.counts, 62)))
        for start in full.counts:
            labels = np.arange(62, dtype=np.uint8) % len(full.class_names)
            header = bytes([0, 0, 8, 3, 0, 0, 0, 62, 0, 0, 0, 28, 0, 0, 0, 28])
            (raw / f"{start}-images-idx3-ubyte").write_bytes(header + random.bytes(62 * 784))
            content = gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 62]) + labels.tobytes())
            (raw / f"{start}-labels-idx1-ubyte.gz").write_bytes(content)

    def prepared(name: str, *options: str) -> Store:
        assert main(["prepare-data", name, "--source", str(raw), *options]) == 0
        return Store.open(f"data/{name}", verify=True)

    for name in ("miniimagenet", "tieredimagenet"):
        store = prepared(name)
        assert store.images.shape == (12, 84, 84, 3)
        assert resolve_split(store, "reference:test") == resolve_split(store, f"{name}:4,5") == [4, 5]
        assert "splits   reference: train 2, val 2, test 2 classes" in capsys.readouterr().out
        np.testing.assert_array_equal(store.images[:4], photos[[0, 3, 1, 2]])
        assert prepared(name, "--overwrite", "--image-size", "28").size == 28
    for name, classes in (("emnist", 62), ("fashion_mnist", 10), ("kmnist", 10)):
        store = prepared(name)
        assert store.images.shape == (124, 28, 28, 1)
        assert store.class_count == classes
        assert resolve_split(store, f"{name}:0-1,{classes - 1}") == [0, 1, classes - 1]
        assert resolve_split(store, "default:train")


def test_store_goes_to_data_by_default(birds: Path) -> None:
    assert main(["prepare-data", "folder", "--source", str(birds), "--ink", "bright"]) == 0
    store = Store.open("data/birds")
    assert (store.channels, store.size, store.ink) == (1, 28, "bright")


def test_drawings_go_to_a_store_of_their_own(birds: Path) -> None:
    arguments = ["prepare-data", "folder", "--source", str(birds), "--ink", "bright", "--as-drawings"]
    assert main(arguments) == 0
    store = Store.open("data/birds-drawings")
    assert store.preprocessing == Preprocessing(28, 1, "bright", "pad", DRAWING_STEPS)


@pytest.mark.parametrize("options", [[], ["--ink", "none"], ["--ink", "dark", "--color"]])
def test_only_grey_ink_can_be_brought_to_the_form_of_drawings(
    birds: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare-data", "folder", "--source", str(birds), "--as-drawings", *options]) == 2
    assert "it is for grey drawings" in capsys.readouterr().err
    assert not Path("data").exists()


def test_unreadable_images_are_listed_and_said_by_the_exit_code(
    birds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (birds / "owl" / "0.png").write_bytes(b"")
    (birds / "owl" / "1.png").rename(birds / "owl" / "\x1b[2J.png")
    (birds / "owl" / "\x1b[2J.png").write_bytes(b"")
    assert main(["prepare-data", "folder", "--source", str(birds), "--out", "s"]) == 1
    assert Store.open("s").class_sizes.tolist() == [2, 1, 4, 5]
    told = capsys.readouterr().err
    assert f"left out: cannot read image {birds / 'owl' / '0.png'}: it is empty" in told
    assert r"\x1b[2J.png: it is empty" in told
    assert "\x1b" not in told


def test_existing_store(birds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["prepare-data", "folder", "--source", str(birds), "--out", "s", "--image-size"]
    assert main([*arguments, "6"]) == 0
    assert main([*arguments, "8"]) == 4
    assert "--overwrite" in capsys.readouterr().err
    assert Store.open("s").size == 6
    assert main([*arguments, "8", "--overwrite"]) == 0
    assert Store.open("s").size == 8


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["omniglott"], 2, "omniglot"),
        (["folder"], 2, "--source"),
        (["miniimagenet"], 2, "few-shot-ssl-public"),
        (["tieredimagenet"], 2, "MetaOptNet"),
        (["emnist"], 2, "nist.gov"),
        (["fashion_mnist", "--source", ".", "--color"], 2, "--color"),
        (["kmnist", "--source", "."], 4, "no file train-images-idx3-ubyte or"),
        (["miniimagenet", "--source", "nowhere"], 4, "there is no folder nowhere"),
        (["tieredimagenet", "--source", "."], 4, "no file train_images.npz"),
        (["omniglot", "--color"], 2, "--color"),
        (["omniglot", "--ink", "dark"], 2, "--ink"),
        (["folder", "--source", ".", "--image-size", "0"], 2, "--image-size"),
        (["folder", "--source", ".", "--fit", "squeeze"], 2, "squeeze"),
        ([], 2, "DATASET"),
        (["folder", "--source", "nowhere"], 4, "there is no folder nowhere"),
        (["folder", "--source", "."], 4, "no sub-folders"),
        (["omniglot", "--source", "nowhere"], 4, "there is no nowhere"),
        (["omniglot", "--source", "."], 4, "neither images_background.zip nor"),
    ],
)
def test_bad_input(arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare-data", *arguments]) == code
    printed = capsys.readouterr()
    assert message.lower() in printed.err.lower()
    assert printed.out == ""
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_interruption_leaves_nothing(tmp_path: Path, stop: signal.Signals, code: int) -> None:
    source = tmp_path / "slow"
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8)
    for name in "ab":
        (source / name).mkdir(parents=True)
        Image.fromarray(noise).save(source / name / "0.png", compress_level=0)
        for number in range(1, 2000):  # half a minute of work, unless it is stopped
            (source / name / f"{number}.png").symlink_to("0.png")
    command = [sys.executable, "-m", "htgen", "prepare-data", "folder", "--source", str(source), "--out", "s"]
    with subprocess.Popen(
        command,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Children of a shell's background jobs inherit that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 20
        while not list(Path.cwd().iterdir()) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert list(Path.cwd().glob(".s.*.tmp")), "it did not start to write"
        process.send_signal(stop)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert output == b""
    assert list(Path.cwd().iterdir()) == []


def test_sigterm_within_a_destructor_still_stops(birds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def prepare(request: Request) -> list[str]:
        Stopped()
        reached.append("after the destructor")
        request.progress("images", 1, 2)
        reached.append("after the progress")
        return []

    reached: list[str] = []
    dropped: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda fault: dropped.append(fault.exc_type))
    monkeypatch.setitem(RECIPES, "folder", replace(RECIPES["folder"], prepare=prepare))
    assert main(["prepare-data", "folder", "--source", str(birds), "--out", "s"]) == 143
    assert dropped == [SystemExit]
    assert reached == ["after the destructor"]


def test_help_names_every_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare-data", "--help"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in RECIPES)


def test_data_branch_does_not_load_torch() -> None:
    modules = ", ".join(f"htgen.datasets.{name}" for name in ("store", "splits", "download", *RECIPES))
    code = f"import sys, htgen.images.preprocessing, {modules}; print('torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"


def test_progress_on_a_terminal_is_one_bar_per_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    terminal = Console(file=file, force_terminal=True, width=80)
    monkeypatch.setattr(console, "stderr", lambda: terminal)
    with console.progress() as report:
        for done in range(3):
            report("a.zip", done, 0)
            report("images", done, 2)
    written = file.getvalue()
    assert "a.zip" in written
    assert "100%" in written


def test_progress_elsewhere_is_a_line_at_every_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress() as report:
        for done in range(1001):
            report("images", done, 1000)
            report("a.zip", done, 0)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "images" in line] == [f"images: {k} %" for k in range(0, 101, 10)]
    assert lines.count("a.zip") == 1


def test_help_loads_no_heavy_module() -> None:
    heavy = "{'numpy', 'PIL', 'torch', 'pydantic'}"
    code = f"import sys, htgen.cli.prepare_data; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
