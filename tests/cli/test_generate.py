"""`htgen generate` as a user runs it, with a toy generator that is trained for a second."""

import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
from helpers.toy import drawing
from PIL import Image

from htgen.cli import main
from htgen.images import heic


def test_from_a_folder_to_predictions(run_path, support, tmp_path, capsys):
    output = tmp_path / "cnn.safetensors"
    assert main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == 0
    said = capsys.readouterr().out
    assert "kind0 (3), kind1 (3), kind2 (3)" in said
    assert "9 dark on light; 9 inverted" in said
    assert f"{output.stat().st_size} bytes" in said
    assert "% of 9 images right when left out" in said

    new = tmp_path / "new"
    new.mkdir()
    for kind in range(3):
        Image.fromarray(drawing(5 * kind, 7)[..., 0]).save(new / f"{kind}.png")  # light on dark this time
    assert main(["predict", str(output), str(new)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["image", "class", "probability", "runner-up"]
    assert [line.split()[1] for line in lines[1:]] == ["kind0", "kind1", "kind2"]


def test_steps_are_recorded_in_the_file_and_each_can_be_left_out(run_path, support, tmp_path, capsys):
    from htgen import Bundle
    from htgen.images.drawings import DRAWING_STEPS

    output = tmp_path / "cnn.safetensors"
    command = ["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]
    assert main(command) == 0
    every = "surroundings left out, light made even, cut to the ink, contrast stretched, strokes made even"
    assert every in capsys.readouterr().out
    assert Bundle.load(output).preprocessing.steps == DRAWING_STEPS
    for step in ("polarity", "flatten", "crop", "contrast", "stroke"):
        assert main([*command, f"--no-{step}"]) == 0
        expected = replace(DRAWING_STEPS, **{step: type(getattr(DRAWING_STEPS, step))(0)})
        assert Bundle.load(output).preprocessing.steps == expected
        said = capsys.readouterr().out
        assert ("taken to be light on dark" in said) == (step == "polarity")
        assert (every in said) == (step == "polarity")
    assert main([*command, "--no-aspect"]) == 0
    assert Bundle.load(output).preprocessing.fit == "stretch"
    assert "stretched to a square" in capsys.readouterr().out
    assert main(["inspect", str(output)]) == 0
    said = capsys.readouterr().out
    assert "cut to the ink, contrast stretched, strokes made even, stretched to a square" in said
    assert "% of " in said


def test_without_transparency_hidden_colours_count(run_path, support, tmp_path, capsys):
    """All images are transparent but for a corner, so there is nothing else to see but what lies beneath."""
    hidden = tmp_path / "hidden"
    for path in support.glob("*/*.png"):
        (hidden / path.parent.name).mkdir(parents=True, exist_ok=True)
        image = Image.open(path).convert("LA")
        image.putalpha(0)
        image.putpixel((0, 0), (0, 255))
        image.save(hidden / path.parent.name / path.name)
    output = tmp_path / "cnn.safetensors"
    command = ["generate", "--support", str(hidden), "-o", str(output), "--generator", str(run_path)]
    queries = sorted(hidden.glob("*/*.png"))
    right = {}
    for option in ([], ["--no-transparency"]):
        assert main([*command, *option]) == 0
        said = capsys.readouterr().out
        assert ("transparency ignored" in said) == bool(option)
        assert main(["predict", str(output), *map(str, queries), "--json"]) == 0
        answers = json.loads(capsys.readouterr().out)["predictions"]
        right[bool(option)] = sum(a["class"] == q.parent.name for a, q in zip(answers, queries, strict=True))
    assert right[False] == len(queries) / 3  # one answer for all
    assert right[True] > len(queries) / 2


def test_the_same_folder_gives_the_same_bytes(run_path, support, cnn, tmp_path):
    again = tmp_path / "again.safetensors"
    assert main(["generate", "--support", str(support), "-o", str(again), "--generator", str(run_path)]) == 0
    assert again.read_bytes() == cnn.read_bytes()


def test_files_of_no_known_format_are_named(cnn, support, run_path, tmp_path, capsys):
    for name in ("2.docx", "scan3", "Thumbs.db", ".hidden"):
        (support / "kind0" / name).write_bytes(b"something")
    capsys.readouterr()
    (support / "kind0" / "deep").mkdir()
    told = (
        f"warning: not of a known image format, in {support / 'kind0'}: 2.docx; scan3\n"
        f"warning: sub-folders are not looked into, in {support / 'kind0'}: deep\n"
    )
    output = tmp_path / "new.safetensors"
    assert main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == 0
    assert capsys.readouterr().err == told
    assert main(["predict", str(cnn), str(support / "kind0")]) == 0
    assert capsys.readouterr().err == told
    for image in (support / "kind0").glob("*.png"):
        image.unlink()
    shutil.copy(support / "kind1" / "1.png", support / "loose.png")
    assert main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == 4
    error = capsys.readouterr().err
    assert "kind0 holds no image files, only files such as '2.docx'" in error
    assert "convert them to PNG or JPEG" in error
    (support / "kind0" / "2.docx").rename(support / "kind0" / "2.png")
    assert main(["predict", str(cnn), str(support / "kind0"), "--json"]) == 1
    assert "of an unknown format" in json.loads(capsys.readouterr().out)["predictions"][0]["error"]
    shutil.copy(support / "kind1" / "1.png", support / "kind0" / "1.png")
    assert main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == 1
    assert f"images beside the folders of classes, in {support}: loose.png" in capsys.readouterr().err


def test_heic_is_read_or_told_how(run_path, support, tmp_path, monkeypatch, capsys):
    """As PNG with the optional package; without it in one line, at each of three places."""
    assert heic.teach_pillow()
    drawing = Image.open(support / "kind0" / "0.png").convert("RGB").resize((80, 64))
    for ending in ("heic", "HIF"):
        drawing.save(support / "kind0" / f"9.{ending}", "HEIF", quality=-1)
    drawing.save(tmp_path / "same.png")
    output = tmp_path / "cnn.safetensors"
    generating = ["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]
    assert main(generating) == 0
    assert "kind0 (5)" in capsys.readouterr().out
    images = [str(support / "kind0" / "9.heic"), str(tmp_path / "same.png")]
    assert main(["predict", str(output), *images, "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["predictions"]
    for name, probability in first["probabilities"].items():
        assert probability == pytest.approx(second["probabilities"][name], abs=0.05)

    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    heic.teach_pillow.cache_clear()
    try:
        assert main(generating) == 0
        captured = capsys.readouterr()
        assert "kind0 (3)" in captured.out
        assert "(pip install 'htgen[heic]' for HEIC)" in captured.err
        assert main(["predict", str(output), images[0], "--json"]) == 1
        (row,) = json.loads(capsys.readouterr().out)["predictions"]
        assert "it is HEIC, which needs a package that is not installed" in row["error"]
        for image in (support / "kind0").glob("*.png"):
            image.unlink()
        assert main(generating) == 4
        assert "pip install 'htgen[heic]'" in capsys.readouterr().err
    finally:
        monkeypatch.undo()
        heic.teach_pillow.cache_clear()


def test_an_image_in_which_nothing_is_to_be_seen_is_told(cnn, support, run_path, tmp_path, capsys):
    names = ("clear.png", "page.png", "white.png")
    blank = [support / "kind0" / name for name in names]
    Image.new("RGBA", (50, 40), (9, 9, 9, 0)).save(blank[0])
    noise = np.random.default_rng(0).normal(200, 1.5, (300, 300)) + np.linspace(0, 30, 300)
    Image.fromarray(noise.astype(np.uint8)).save(blank[1])  # an empty sheet in uneven light
    Image.new("L", (50, 40), 255).save(blank[2])
    told = f"warning: nothing is to be seen: 3 of 6 images, the first is {blank[0]}\n"
    capsys.readouterr()
    assert main(["predict", str(cnn), str(support / "kind0")]) == 0
    assert capsys.readouterr().err == told
    output = tmp_path / "new.safetensors"
    assert main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == 0
    captured = capsys.readouterr()
    assert told.replace("of 6", "of 12") in captured.err
    for path in blank:
        assert f"{path.relative_to(support)}: nothing is to be seen" in captured.out
    others = tmp_path / "others"
    others.mkdir()
    for name in names:
        (support / "kind0" / name).rename(others / name)
    generating = ["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]
    assert main([*generating, "--unlabeled", str(others)]) == 0
    assert (
        f"note: 3 of 3 unlabelled images are empty and do not count; the first is {others / names[0]}"
        in capsys.readouterr().err
    )


def test_what_is_a_step_of_drawings_alone_cannot_be_left_out_with_photographs(support, tmp_path, capsys):
    output = str(tmp_path / "cnn.safetensors")
    arguments = ["generate", "--support", str(support), "-o", output, "--generator", "photo-40"]
    assert main([*arguments, "--no-crop"]) == 2
    assert "photo-40" in capsys.readouterr().err
    assert main([*arguments, "--no-aspect", "--no-transparency"]) == 0


def test_names_that_a_terminal_would_obey_are_shown_as_they_are(run_path, support, tmp_path, capsys):
    (support / "kind0").rename(support / ":heart: [red]a\nb\x1b[2J")
    output = tmp_path / "cnn.safetensors"
    assert main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == 0
    shown = ":heart: [red]a\\nb\\x1b[2J"
    assert shown in capsys.readouterr().out
    assert main(["predict", str(output), str(support / "kind1")]) == 0
    assert main(["predict", str(output), *map(str, support.glob(":*"))]) == 0
    table = capsys.readouterr().out
    assert shown in table
    assert main(["inspect", str(output)]) == 0
    assert shown in (said := capsys.readouterr().out)
    assert "\x1b" not in table + said


def test_an_empty_folder_of_unlabelled_images_is_refused(support, tmp_path, capsys):
    (tmp_path / "none").mkdir()
    words = ["generate", "--support", str(support), "--unlabeled", str(tmp_path / "none")]
    assert main([*words, "-o", str(tmp_path / "x.safetensors")]) == 4
    assert "holds no image files" in capsys.readouterr().err
    assert not (tmp_path / "x.safetensors").exists()


def test_photographs_are_noticed_and_coloured_ink_is_not(run_path, support, tmp_path, capsys):
    output = tmp_path / "cnn.safetensors"
    command = ["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]
    for path in support.glob("*/*.png"):
        ink = np.asarray(Image.open(path).convert("L"))[..., None] / 255
        Image.fromarray((ink * (250, 240, 200) + (1 - ink) * (30, 60, 200)).astype(np.uint8)).save(path)
    assert main(command) == 0
    assert main(["predict", str(output), str(support / "kind0")]) == 0
    assert "photographs" not in capsys.readouterr().err
    rng = np.random.default_rng(0)
    for path in support.glob("*/*.png"):
        grid = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        grid.resize((80, 60), Image.Resampling.BICUBIC).save(path)
    assert main(["predict", str(output), str(support / "kind0")]) == 0
    assert "of 3 images look like photographs" in capsys.readouterr().err
    assert main(command) == 0
    assert "of 9 images look like photographs" in capsys.readouterr().err
    for number in range(9):  # what cannot be read is not counted as a drawing
        (support / "kind0" / f"broken{number}.png").write_bytes(b"")
    assert main(["predict", str(output), str(support / "kind0")]) == 1
    assert "of 3 images look like photographs" in capsys.readouterr().err


def test_unreadable_support_images_are_left_out_and_said(run_path, support, tmp_path, capsys):
    (support / "kind0" / "1.png").write_bytes(b"")
    output = tmp_path / "cnn.safetensors"
    assert main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == 1
    captured = capsys.readouterr()
    assert output.exists()
    assert "kind0 (2)" in captured.out
    assert "1.png" in captured.err


def test_one_image_per_class_gives_no_estimate(run_path, support, tmp_path, capsys):
    for path in support.glob("*/[12].png"):
        path.unlink()
    output = tmp_path / "cnn.safetensors"
    assert main(["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]) == 0
    assert "at least two images of a class" in capsys.readouterr().out


def test_a_shipped_name_is_never_a_folder_of_that_name(support, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "glyph-8").mkdir()
    assert main(["generate", "--support", str(support), "-o", "x.safetensors"]) == 0


def test_the_estimate_is_kept_in_the_file_and_inspect_tells_it(run_path, support, tmp_path, capsys):
    from htgen import Bundle

    output = tmp_path / "cnn.safetensors"
    command = ["generate", str(support), "-o", str(output), "--generator", str(run_path)]
    assert main(command) == 0
    said = capsys.readouterr().out
    score = Bundle.load(output).estimate
    assert score.images == 9
    low, high = (f"{100 * bound:.0f}" for bound in score.interval)
    line = f"{100 * score.accuracy:.0f} % of 9 images right when left out of the support set; 95 % interval "
    assert f"{line}{low} to {high} %" in said
    assert main(["inspect", str(output)]) == 0
    assert f"estimate    {100 * score.accuracy:.0f} % of 9 images right ({low} to {high} %)" in (
        capsys.readouterr().out
    )
    for path in support.glob("kind1/[12].png"):
        path.unlink()
    assert main(command) == 0
    assert "without kind1: only one image each that is no copy" in capsys.readouterr().out
    assert Bundle.load(output).estimate.images == 6


def test_ctrl_c_in_the_estimate_leaves_the_cnn(run_path, support, tmp_path, monkeypatch, capsys):
    from htgen import Bundle, Generator

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Generator, "leave_one_out", interrupt)
    output = tmp_path / "cnn.safetensors"
    command = ["generate", "--support", str(support), "-o", str(output), "--generator", str(run_path)]
    assert main(command) == 130
    assert f"the CNN is written, without an estimate: {output}" in capsys.readouterr().err
    assert Bundle.load(output).estimate is None
    assert main(["predict", str(output), str(support / "kind0")]) == 0


def test_labels_in_a_table_or_in_names_make_the_same_cnn(run_path, support, tmp_path, capsys):
    from htgen import Bundle

    flat = tmp_path / "flat"
    flat.mkdir()
    lines = ["what;which"]
    for path in sorted(support.glob("*/*.png")):
        name = f"{path.parent.name[:4]}{'abc'[int(path.parent.name[4])]}_{path.stem}.png"
        shutil.copy(path, flat / name)
        lines.append(f"{name};{path.parent.name[:4]}{'abc'[int(path.parent.name[4])]}")
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(lines))
    outputs = [tmp_path / name for name in ("table", "names")]
    options = [["--labels", str(table)], ["--labels-in-names"]]
    for output, words in zip(outputs, options, strict=True):
        assert main(["generate", str(flat), *words, "-o", str(output), "--generator", str(run_path)]) == 0
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    assert Bundle.load(outputs[0]).classes == ("kinda", "kindb", "kindc")
    both = [*options[0], *options[1]]
    assert main(["generate", str(flat), *both, "-o", str(outputs[0])]) == 2
    capsys.readouterr()
    assert main(["generate", str(flat), "-o", str(outputs[0])]) == 4
    assert "try: --labels-in-names, if 'kinda', 'kindb', 'kindc' are the classes" in capsys.readouterr().err
    shutil.copy(table, flat / "any.csv")
    assert main(["generate", str(flat), "-o", str(outputs[0])]) == 4
    assert f"--labels '{flat / 'any.csv'}'" in capsys.readouterr().err


def test_more_classes_than_are_shown_at_once(support, tmp_path, capsys):
    for number in range(40):
        (support / f"more{number}").mkdir()
        Image.fromarray(drawing(number % 16, 1)[..., 0]).save(support / f"more{number}" / "x.png")
    cnn, grown = tmp_path / "cnn.safetensors", tmp_path / "grown.safetensors"
    assert main(["generate", str(support), "-o", str(cnn), "--no-estimate"]) == 0
    said = capsys.readouterr().out
    assert "drawings: glyph-8; --generator decides" in said
    assert "43: kind0 (3)" in said
    (tmp_path / "further").mkdir()
    (support / "kind0").rename(tmp_path / "further" / "again")
    drops = [part for name in ("kind0", "more7", "kind0") for part in ("--drop", name)]
    add = ["generate", "--add", str(tmp_path / "further"), *drops]
    assert main([*add, str(cnn), "-o", str(grown)]) == 0
    said = capsys.readouterr().out
    assert "added again; dropped kind0, more7" in said
    assert "42: kind1 (3)" in said
    assert main(["predict", str(grown), str(support / "kind1")]) == 0
    assert main([*add, "-o", str(grown)]) == 2
    assert "name the CNN that is changed" in capsys.readouterr().err
    assert main([*add, str(cnn), "-o", str(grown), "--no-crop"]) == 2


def test_an_estimate_can_be_left_out(run_path, support, tmp_path, capsys):
    from htgen import Bundle

    made = ["generate", str(support), "--generator", str(run_path), "-o", str(tmp_path / "x.safetensors")]
    capsys.readouterr()
    assert main([*made, "--no-estimate"]) == 0
    assert "estimate   none, as --no-estimate says" in capsys.readouterr().out
    assert Bundle.load(tmp_path / "x.safetensors").estimate is None
    assert main(made) == 0
    assert Bundle.load(tmp_path / "x.safetensors").estimate is not None


def test_of_many_images_with_a_warning_some_are_named(support, run_path, tmp_path, capsys):
    for number in range(30):
        Image.new("L", (30, 30), 255).save(support / "kind1" / f"blank{number}.png")
    command = ["generate", str(support), "-o", str(tmp_path / "x"), "--generator", str(run_path)]
    assert main([*command, "--no-estimate"]) == 0
    said = capsys.readouterr()
    assert said.out.count("nothing is to be seen") == 20
    assert "... and 10 more" in said.out
    assert "nothing is to be seen: 30 of 39 images" in said.err
