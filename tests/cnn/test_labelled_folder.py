"""A CNN on a labelled folder, against predictions one by one."""

from pathlib import Path

import numpy as np
import pytest
from helpers.generators import make_generator
from helpers.toy import drawing
from PIL import Image

import htgen
from htgen.errors import DataError, ModelError


@pytest.fixture(scope="module")
def cnn() -> htgen.Bundle:
    generator = make_generator()
    images = [drawing(kind, variant) for kind in (1, 6, 11) for variant in range(3)]
    return generator.generate_bundle(generator.prepare(images, np.repeat(["a", "b", "c"], 3)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, kind in {"a": 1, "b": 6, "c": 11}.items():
        (tmp_path / "test" / name).mkdir(parents=True)
        for variant in range(4):
            shown = kind if variant < 3 else 6  # the last one is of class b, whatever its folder says
            picture = Image.fromarray(drawing(shown, 10 + variant)[..., 0])
            picture.save(tmp_path / "test" / name / f"{variant}.png")
    return tmp_path / "test"


def test_it_is_what_the_predictions_say(cnn, folder):
    result = htgen.test_cnn(cnn, folder)
    paths = sorted(folder.glob("*/*.png"))
    answers = [cnn.predict([path])[0] for path in paths]
    assert [image.path for image in result.images] == paths
    assert [image.predicted for image in result.images] == [answer.label for answer in answers]
    expected = np.zeros((3, 4), int)
    for path, answer in zip(paths, answers, strict=True):
        expected["abc".index(path.parent.name), "abc".index(answer.label)] += 1
    np.testing.assert_array_equal(result.confusion, expected)
    right = sum(answer.label == path.parent.name for path, answer in zip(paths, answers, strict=True))
    assert (result.score.right, result.score.images) == (right, 12)
    assert result.accuracy == right / 12
    wrong = {path for path, answer in zip(paths, answers, strict=True) if answer.label != path.parent.name}
    assert {image.path for image in result.worst} == wrong
    assert folder / "a" / "3.png" in wrong
    assert [image.own for image in result.worst] == sorted(image.own for image in result.worst)


def test_what_is_rejected_is_not_right(cnn, folder):
    everything = htgen.test_cnn(cnn, folder, reject=1.0)
    assert (
        everything.confusion[:, -1].sum() == sum(image.predicted is None for image in everything.images) > 0
    )
    assert everything.score.right == sum(image.is_right for image in everything.images)


def test_a_file_labels_and_some_classes(cnn, folder, tmp_path):
    cnn.save(tmp_path / "cnn")
    (tmp_path / "labels.csv").write_text("a/0.png,a\nb/1.png,b\n")
    told = []
    result = htgen.test_cnn(
        tmp_path / "cnn", folder, tmp_path / "labels.csv", progress=lambda *now: told.append(now)
    )
    assert [image.label for image in result.images] == ["a", "b"]
    assert result.confusion[2].sum() == 0
    assert told == [("images", 1, 2), ("images", 2, 2)]


def test_classes_in_whose_folders_nothing_is_are_left_out_and_told(cnn, folder):
    """However deep the folders are that hold nothing."""
    for path in folder.glob("b/*.png"):
        path.unlink()
    for deep in ("", "some", "some/more"):
        (folder / "b" / deep).mkdir(exist_ok=True)
        result = htgen.test_cnn(cnn, folder)
        assert {image.label for image in result.images} == {"a", "c"}
        assert result.notices == (f"warning: classes without an image are not tested, in {folder}: b",)
    (folder / "b/some/more/notes.txt").touch()
    with pytest.raises(DataError, match="class 'b' has no images"):
        htgen.test_cnn(cnn, folder)


def test_files_that_cannot_be_read_are_kept_apart(cnn, folder):
    (folder / "a" / "1.png").write_bytes(b"")
    result = htgen.test_cnn(cnn, folder)
    assert list(result.unread) == [folder / "a" / "1.png"]
    assert len(result.images) == 11
    for path in folder.glob("*/*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"no image in .* can be read"):
        htgen.test_cnn(cnn, folder)


def test_classes_that_the_cnn_does_not_know_are_refused(cnn, folder, tmp_path):
    (folder / "a").rename(folder / "A")
    with pytest.raises(DataError, match=r"the CNN has no class 'A' of .*; its classes are 'a', 'b', 'c'"):
        htgen.test_cnn(cnn, folder)
    with pytest.raises(ModelError):
        htgen.test_cnn(tmp_path / "none", folder)
    with pytest.raises(DataError, match="there is no folder"):
        htgen.test_cnn(cnn, tmp_path / "none")
