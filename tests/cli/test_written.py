"""Where a report may be written."""

import shutil
from pathlib import Path

import pytest
import typer

from htgen.cli import main
from htgen.cli.written import spare
from htgen.generator.shipped import generator_path

SYMBOLS = Path(__file__).parents[2] / "examples" / "symbols"


def usage_error(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert main([*map(str, arguments)]) == 2
    return " ".join(capsys.readouterr().err.replace("│", " ").split())  # without the frame around it


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cnn") / "cnn.safetensors"
    assert main(["generate", str(SYMBOLS / "support"), "-o", str(path), "--no-estimate"]) == 0
    return path


def test_a_report_never_takes_the_place_of_something_else(cnn, tmp_path, capsys):
    model, image = tmp_path / "cnn.safetensors", tmp_path / "image.html"
    shutil.copy(cnn, model)
    shutil.copy(SYMBOLS / "new" / "01.png", image)
    kept = model.read_bytes(), image.read_bytes()
    assert "does not end in .html" in usage_error(capsys, "predict", model, image, "--report", model)
    assert "is read or written" in usage_error(capsys, "predict", model, image, "--report", image)
    assert "does not end in .html" in usage_error(
        capsys, "test", model, SYMBOLS / "support", "--report", tmp_path / "a.png"
    )
    page = tmp_path / "page.html"
    assert "is read or written" in usage_error(
        capsys, "generate", SYMBOLS / "support", "-o", page, "--report", page
    )
    assert (model.read_bytes(), image.read_bytes()) == kept
    assert not page.exists()


def test_a_report_that_is_a_folder_is_told_before_the_work(cnn, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # for short names, which no line is too narrow for
    folder, model = Path("report.html"), Path("new.safetensors")
    folder.mkdir()
    images = SYMBOLS / "support"
    for command in (["generate", images, "-o", model], ["predict", cnn, images], ["test", cnn, images]):
        assert "report.html' is a folder" in usage_error(capsys, *command, "--report", folder)
    assert [*Path().iterdir()] == [folder]
    assert [*folder.iterdir()] == []


def test_a_report_of_a_test_replaces_no_image_and_no_table(cnn, tmp_path, capsys):
    folder = shutil.copytree(SYMBOLS / "support", tmp_path / "folder")
    first = min(min(folder.iterdir()).iterdir())
    image, table, page = first.with_name("a.html"), tmp_path / "b.html", tmp_path / "link.html"
    first.rename(image)
    table.write_text(f"{image.relative_to(folder)},{image.parent.name}\n")
    page.symlink_to(table)
    kept = image.read_bytes(), table.read_bytes()
    for report, labels in ((image, []), (table, ["--labels", table]), (page, ["--labels", table])):
        said = usage_error(capsys, "test", cnn, folder, *labels, "--report", report)
        assert ("one of the images" if report == image else "the table of labels") in said
    shown = usage_error(*(capsys, "predict", cnn, SYMBOLS / "new", "--support", folder, "--report", image))
    assert "one of the images" in shown
    assert (image.read_bytes(), table.read_bytes()) == kept


def test_a_page_of_a_file_is_the_file(tmp_path):
    whole, other = tmp_path / "a.tif", tmp_path / "b.tif"
    whole.touch()
    other.touch()
    images = [tmp_path / "a.tif#2"]
    with pytest.raises(typer.BadParameter, match="one of the images"):
        spare({"--output": whole}, {}, images)
    spare({"--output": other, "--report": None}, {"nothing": [None]}, images)


def test_an_export_replaces_no_image_and_no_cnn(cnn, tmp_path, capsys):
    images, model = tmp_path / "src", tmp_path / "library.properties"
    images.mkdir()
    image = images / f"{tmp_path.name}.h"
    shutil.copy(SYMBOLS / "new" / "01.png", images / "a.png")
    shutil.copy(SYMBOLS / "new" / "01.png", image)
    shutil.copy(cnn, model)
    kept = image.read_bytes(), model.read_bytes()
    link = tmp_path / "link.h"
    link.symlink_to(images / "a.png")
    said = usage_error(capsys, "export", cnn, "-o", link, "--selftest", images)
    assert "it is one of the images" in said
    assert "it is the CNN itself" in usage_error(capsys, "export", model, "--arduino", tmp_path)
    assert "it is the CNN of --like" in usage_error(
        capsys, "export", cnn, "--arduino", tmp_path, "--like", model
    )
    assert (image.read_bytes(), model.read_bytes()) == kept
    assert not (tmp_path / "examples").exists()


def test_a_calibrated_generator_and_an_imported_one_replace_no_source(tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    shipped = generator_path("glyph-8")
    shutil.copy(shipped, run / "best.safetensors")
    shutil.copy(shipped, tmp_path / "g.safetensors")
    for generator, output in (("g.safetensors", "g.safetensors"), ("run", "run/best.safetensors")):
        said = usage_error(capsys, "calibrate", tmp_path / generator, "-o", tmp_path / output)
        assert "it is the generator" in said
        assert (tmp_path / output).read_bytes() == shipped.read_bytes()
    index, config = tmp_path / "model-1.index", tmp_path / "config.yaml"
    index.write_bytes(b"an index")
    config.write_text("model: {}\n")
    for output, what in ((index, "a file of the checkpoint"), (config, "the config")):
        said = usage_error(
            *(capsys, "import-reference", tmp_path / "model-1", "-o", output, "--config", config)
        )
        assert f"it is {what}" in said
    assert (index.read_bytes(), config.read_text()) == (b"an index", "model: {}\n")


def test_names_of_bytes_that_are_no_text_come_into_a_report(cnn, tmp_path, capsysbinary):
    images = tmp_path / "images"
    images.mkdir()
    name = b"\xff\xfe.png"
    shutil.copy(SYMBOLS / "new" / "01.png", bytes(images) + b"/" + name)
    report = tmp_path / "report.html"
    assert main(["predict", str(cnn), str(images), "--report", str(report)]) == 0
    assert "udcff" in report.read_text(encoding="utf-8")
