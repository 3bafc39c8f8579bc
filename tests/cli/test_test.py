"""`htgen test` as a user runs it, with a CNN of a toy generator."""

import json

from PIL import Image

from htgen.cli import main


def test_the_document_and_the_report_agree(cnn, support, capsys):
    (support / "kind0" / "0.png").rename(support / "kind1" / "wrong.png")
    capsys.readouterr()
    assert main(["test", str(cnn), str(support), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["images"] == 9 == len(document["predictions"])
    assert document["right"] == sum(entry["right"] for entry in document["predictions"]) < 9
    assert document["accuracy"] == document["right"] / 9
    assert sum(map(sum, document["confusion"])) == 9
    low, high = document["interval95"]
    assert low < document["accuracy"] < high
    assert main(["test", str(cnn), str(support)]) == 0
    said = capsys.readouterr().out
    assert f"{100 * document['accuracy']:.1f} %, {document['right']} of 9 images right" in said
    assert f"95 % interval {100 * low:.1f} to {100 * high:.1f} %" in said
    wrong = [entry for entry in document["predictions"] if not entry["right"]]
    assert all(f"{entry['image']}: {entry['label']} " in said for entry in wrong)
    table = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.startswith(" " * 11)}
    assert table["kind0"] == ["0" if n is None else str(n or ".") for n in document["confusion"][0][:3]]
    assert main(["test", str(cnn), str(support), "--worst", "0"]) == 0
    assert f"{len(wrong)} more are wrong" in capsys.readouterr().out


def test_warnings_and_unreadable_images(cnn, support, capsys):
    Image.new("L", (50, 50), 255).save(support / "kind0" / "0.png")
    (support / "kind1" / "1.png").write_bytes(b"")
    capsys.readouterr()
    assert main(["test", str(cnn), str(support), "--json"]) == 1
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    (blank,) = (entry for entry in document["predictions"] if entry["blank"])
    assert blank["warnings"] == ["nothing is to be seen"]
    assert [entry["image"] for entry in document["unread"]] == [str(support / "kind1" / "1.png")]
    assert "left out: cannot read image" in captured.err
    assert "warning: nothing is to be seen: " in captured.err


def test_a_cnn_of_other_classes_is_one_clear_error(cnn, support, capsys):
    (support / "kind0").rename(support / "other")
    assert main(["test", str(cnn), str(support)]) == 4
    assert "the CNN has no class 'other'" in capsys.readouterr().err


def test_a_class_without_images_is_told_and_not_tested(cnn, support, capsys):
    for file in (support / "kind1").iterdir():
        file.unlink()
    (support / "kind1" / ".DS_Store").touch()
    capsys.readouterr()
    assert main(["test", str(cnn), str(support), "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert {entry["label"] for entry in document["predictions"]} == {"kind0", "kind2"}
    assert "classes without an image are not tested" in captured.err
    assert "kind1" in captured.err
    (support / "kind1" / "drawing.svg").write_text("<svg/>")  # an image, to people
    assert main(["test", str(cnn), str(support)]) == 4
    (support / "kind1" / "drawing.svg").unlink()
    for name in ("kind0", "kind2"):
        for file in (support / name).iterdir():
            file.unlink()
    assert main(["test", str(cnn), str(support)]) == 4
    assert "class 'kind0' has no images" in capsys.readouterr().err


def test_labels_are_told_in_one_way(cnn, support, tmp_path):
    (tmp_path / "l.csv").write_text("kind0/0.png,kind0\n")
    words = ["test", str(cnn), str(support), "--labels", str(tmp_path / "l.csv")]
    assert main(words) == 0
    assert main([*words, "--labels-in-names"]) == 2


def test_what_is_left_out_of_the_folder_stands_in_the_document(cnn, support, capsys):
    (support / "kind0" / "notes.txt").write_text("x")
    (support / ".net").mkdir()
    (support / ".net" / "1.png").write_bytes((support / "kind0" / "0.png").read_bytes())
    assert main(["test", str(cnn), str(support), "--json"]) == 0
    said = capsys.readouterr()
    notices = json.loads(said.out)["notices"]
    assert [notice.rpartition(" ")[2] for notice in notices] == ["notes.txt", ".net"]
    assert all(notice in said.err for notice in notices)
