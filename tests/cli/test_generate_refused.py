"""What `htgen generate` refuses: one clear error and its exit code, and nothing is written."""

import shutil
from pathlib import Path

import pytest

from htgen.cli import main


def break_support(support: Path, how: str) -> None:
    if how == "missing":
        support.rename(support.with_name("gone"))
    elif how == "file":
        support.rename(support.with_name("gone"))
        support.write_text("x")
    elif how in ("empty", "one class"):
        for folder in sorted(support.iterdir())[how == "one class" :]:
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
    elif how == "empty class":
        for file in (support / "kind1").iterdir():
            file.unlink()
    elif how == "nothing readable":
        for file in (support / "kind1").iterdir():
            file.write_bytes(file.read_bytes()[:60])


@pytest.mark.parametrize(
    ("how", "code", "says"),
    [
        ("missing", 4, "there is no folder"),
        ("file", 4, "is not a folder"),
        ("empty", 4, "no classes"),
        ("one class", 4, "only one class ('kind0')"),
        ("empty class", 4, "class 'kind1' has no images"),
        ("nothing readable", 4, "class 'kind1' has no image that can be read"),
    ],
)
def test_a_support_folder_that_cannot_be_used_is_one_clear_error(
    how, code, says, run_path, support, tmp_path, capsys
):
    break_support(support, how)
    output = tmp_path / "out" / "cnn.safetensors"
    capsys.readouterr()
    assert (
        main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == code
    )
    captured = capsys.readouterr()
    error = captured.err[captured.err.index("error: ") :]
    assert says in error
    assert "\n  try: " in error
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert not output.exists()


def test_output_that_cannot_be_written_is_one_clear_error(run_path, support, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    output = tmp_path / "file" / "cnn.safetensors"
    assert main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == 7
    assert f"cannot write {output}" in capsys.readouterr().err


def test_the_folder_is_named_once(support, tmp_path, capsys):
    output = ["-o", str(tmp_path / "x")]
    for words in ([], [str(support), "--support", str(support)]):
        assert main(["generate", *words, *output]) == 2
        assert "--support" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "name",
    [
        *("cnn.onnx", "cnn.H", "cnn.html", "cnn.py", "cup.png", "cup.JPG", "-"),
        *("a.csv", "a.TSV", "a.json", "a.zip", "a.tar.gz"),
    ],
)
def test_a_cnn_is_not_written_under_the_name_of_something_else(name, support, run_path, tmp_path, capsys):
    (tmp_path / name).write_text("mine")
    command = ["generate", str(support), "-o", str(tmp_path / name), "--generator", str(run_path)]
    assert main(command) == 2
    assert "safetensors" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "mine"


def test_images_without_labels_in_sub_folders_are_no_pattern(support, run_path, tmp_path, capsys):
    command = ["generate", str(support), "-o", str(tmp_path / "x.st"), "--generator", str(run_path)]
    assert main([*command, "--unlabeled", str(support)]) == 4
    assert "try: a folder with images directly in it" in capsys.readouterr().err


def test_an_image_is_not_replaced_by_its_cnn(tmp_path, capsys):
    symbols = Path(__file__).parents[2] / "examples" / "symbols"
    for name in ("key", "flag"):
        shutil.copytree(symbols / "support" / name, tmp_path / "support" / name)
    image = min((tmp_path / "support" / "key").iterdir()).rename(tmp_path / "support" / "key" / "one")
    before = image.read_bytes()
    assert main(["generate", str(tmp_path / "support"), "-o", str(image)]) == 2
    assert "is one of the images" in capsys.readouterr().err
    assert image.read_bytes() == before


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_what_is_no_finite_number_is_none(value, tmp_path):
    model, folder = str(tmp_path / "cnn"), str(tmp_path)
    for command in (
        ["generate", folder, "-o", model, "--estimate-seconds", value],
        ["predict", model, folder, "--reject", value],
        ["test", model, folder, "--reject", value],
        ["watch", folder, model, "--reject", value],
    ):
        assert main(command) == 2


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_nothing_that_a_cnn_is_made_of_is_replaced(cnn, run_path, support, tmp_path, capsys):
    run = shutil.copytree(run_path, tmp_path / "run")
    own, best = shutil.copy(run / "best.safetensors", tmp_path / "own"), run / "best.safetensors"
    image = (support / "kind0" / "0.png").rename(support / "kind0" / "zero")
    table, link = tmp_path / "labels", tmp_path / "link.safetensors"
    table.write_text("kind0/zero,a\nkind0/1.png,a\nkind1/0.png,b\nkind1/1.png,b\n")
    link.symlink_to(table)
    further = shutil.copytree(support / "kind1", tmp_path / "further" / "new").parent
    added = (further / "new" / "0.png").rename(further / "new" / "zero")
    page = shutil.copy(support / "kind2" / "0.png", support / "kind2" / "page.html")
    make, labels = ["generate", support, "--generator", run], ["--labels", table]
    grow = ["generate", cnn, "--generator", run, "--add"]
    before = contents(tmp_path)
    for command, what in (
        ([*make, *labels, "-o", table], "the table of labels"),
        ([*make, *labels, "-o", link], "the table of labels"),
        ([*grow, support, *labels, "-o", link], "the table of labels"),
        ([*make, "-o", best], "the generator"),
        (["generate", support, "--generator", own, "-o", own], "the generator"),
        ([*grow, support, "-o", best], "the generator"),
        ([*make, "-o", image], "one of the images"),
        ([*grow, further, "-o", added], "one of the images"),
        ([*make, "-o", tmp_path / "new", "--report", page], "one of the images"),
    ):
        capsys.readouterr()
        assert main([*map(str, command)]) == 2, command
        said = " ".join(capsys.readouterr().err.replace("│", " ").split())
        assert f"it is {what}" in said, command
        assert contents(tmp_path) == before
    assert main([*map(str, [*grow, further, "-o", cnn])]) == 0  # the CNN becomes another
    assert cnn.read_bytes() != before[cnn]
