"""The within-alphabet challenge: an archive of runs, read and measured; and what is no such archive."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.toy import drawing
from PIL import Image

from htgen.cli import main
from htgen.datasets import omniglot_runs
from htgen.datasets.omniglot_runs import read_runs
from htgen.errors import DataError
from htgen.evaluation.omniglot_runs import evaluate_runs
from htgen.generator.generator import load_generator
from htgen.images.inputs import prepare_images

CLASSES = 4


def png(kind: int, variant: int) -> bytes:
    from io import BytesIO

    file = BytesIO()
    Image.fromarray(255 - drawing(3 * kind, variant, roughness=5)[..., 0]).resize((60, 60)).save(file, "PNG")
    return file.getvalue()


def files(swapped: bool = False) -> dict[str, bytes]:
    """Two runs; in the second of a swapped archive, two labels are exchanged."""
    made: dict[str, bytes] = {}
    for run in (1, 2):
        lines = []
        for item in range(CLASSES):
            kind = (item + run) % CLASSES
            made[f"run{run:02d}/training/class{kind + 1:02d}.png"] = png(kind + run, 0)
            made[f"run{run:02d}/test/item{item + 1:02d}.png"] = png(kind + run, 1)
            told = kind ^ 1 if swapped and run == 2 and kind < 2 else kind
            lines.append(
                f"run{run:02d}/test/item{item + 1:02d}.png run{run:02d}/training/class{told + 1:02d}.png"
            )
        made[f"run{run:02d}/class_labels.txt"] = "\n".join(lines).encode()
    return made


def archive(path: Path, content: dict[str, bytes], below: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for name, data in content.items():
            target.writestr(below + name, data)
    return path


def test_runs_are_read_from_an_archive_and_from_a_folder(tmp_path):
    content = files()
    plain = [*read_runs(archive(tmp_path / "a.zip", content))]
    below = [*read_runs(archive(tmp_path / "b.zip", content, "all_runs/"))]
    with zipfile.ZipFile(tmp_path / "b.zip") as packed:
        packed.extractall(tmp_path / "unpacked")
    unpacked = [*read_runs(tmp_path / "unpacked")]
    for runs in (plain, below, unpacked):
        assert [run.name for run in runs] == ["run01", "run02"]
        assert [*runs[0].training] == [f"run01/training/class{k + 1:02d}.png" for k in range(CLASSES)]
        assert runs[0].labels == [
            f"run01/training/class{(i + 1) % CLASSES + 1:02d}.png" for i in range(CLASSES)
        ]
        for one, other in zip(runs[1].test, plain[1].test, strict=True):
            assert np.array_equal(np.asarray(one), np.asarray(other))


def test_the_error_is_that_of_the_cnns_by_hand(tmp_path):
    generator = load_generator("glyph-8")
    result = evaluate_runs(generator, archive(tmp_path / "runs.zip", files(swapped=True)))
    expected = []
    for run in read_runs(tmp_path / "runs.zip"):
        names = [*run.training]
        cnn = generator.generate_bundle(generator.prepare([*run.training.values()], names))
        answers = [p.label for p in cnn.classify(prepare_images(run.test, generator.preprocessing))]
        expected.append(sum(a != b for a, b in zip(answers, run.labels, strict=True)) / CLASSES)
    assert [*result.errors.values()] == expected
    assert result.errors["run01"] == 0
    assert result.errors["run02"] == 0.5
    assert result.error == 0.25
    assert result.interval95 == pytest.approx(1.96 * np.std([0, 0.5], ddof=1) / 2**0.5)
    assert "20 runs" not in str(result)
    assert "error 25.00 ± 49.00 %" in str(result)


def test_as_a_command(tmp_path, capsys):
    path = archive(tmp_path / "runs.zip", files())
    command = ["evaluate", "glyph-8", "--protocol", "omniglot-runs"]
    assert main([*command, "--source", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["error"], told["way"], told["images"], told["protocol"]) == (0, 4, 4, "omniglot-runs")
    assert told["runs"] == {"run01": 0, "run02": 0}
    assert main(command) == 2
    assert "all_runs.zip" in capsys.readouterr().err
    assert main([*command, "--source", str(path), "--tasks", "5"]) == 2
    assert main(["evaluate", "glyph-8", "--source", str(path)]) == 2
    assert "omniglot-runs" in capsys.readouterr().err


def changed(name: str, data: bytes) -> dict[str, bytes]:
    return files() | {name: data}


LABELS = "run01/class_labels.txt"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds 0 folders run01"),
        ({name: data for name, data in files().items() if name.startswith("run01")}, "holds 1 folders"),
        (changed(LABELS, b""), "has 0 lines"),
        (changed(LABELS, b"run01/test/item01.png\n"), "line 1 .* names 1 images"),
        (changed(LABELS, b"run01/test/../../x.png run01/training/class01.png"), "no image of run01"),
        (changed(LABELS, b"/etc/passwd run01/training/class01.png"), "no image of run01"),
        (changed(LABELS, b"run02/test/item01.png run02/training/class01.png"), "no image of run01"),
        (changed(LABELS, b"run01/test/item01.png run01/training/class01.png"), "names 1 classes"),
        (changed(LABELS, b"run01/test/item77.png run01/training/class01.png\n" * 2), "names 1 classes"),
        (changed(LABELS, b"\xff\xfe"), "no list of images"),
        (changed(LABELS, b"a b\n" * 5000), "has 5000 lines"),
        (changed("run01/test/item01.png", b"x"), "item01.png"),
        (changed("run01/training/class02.png", b""), "class02.png: it is empty"),
    ],
)
def test_what_is_no_archive_of_runs(content, message, tmp_path):
    with pytest.raises(DataError, match=message):
        [*read_runs(archive(tmp_path / "runs.zip", content))]


def test_large_members_and_damaged_archives_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("htgen.datasets.raw_images.MOST_BYTES", 1000)
    bomb = changed("run01/test/item01.png", bytes(10**6))
    with pytest.raises(DataError, match="more than 1000 bytes"):
        [*read_runs(archive(tmp_path / "bomb.zip", bomb))]
    (tmp_path / "no.zip").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(DataError, match="cannot read"):
        [*read_runs(tmp_path / "no.zip")]
    with pytest.raises(DataError, match="there is no"):
        [*read_runs(tmp_path / "missing.zip")]
    assert omniglot_runs.MOST_RUNS >= 20
