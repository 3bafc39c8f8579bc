from pathlib import Path

import pytest
from helpers.generators import LABELS, make_generator, pictures
from PIL import Image

from htgen.cnn import answers as module
from htgen.cnn.answers import Answer, NoAnswer, answers
from htgen.cnn.bundle import Bundle


@pytest.fixture(scope="module")
def cnn() -> Bundle:
    generator = make_generator()
    return generator.generate_bundle(generator.prepare(pictures(), LABELS))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{i}.png" for i in range(7)]
    for path, picture in zip(paths, pictures(7, seed=3), strict=True):
        Image.fromarray(picture).save(path)
    return paths


@pytest.mark.parametrize("batch", [1, 2, 3, 256])
def test_answers_are_those_of_the_cnn_in_order_around_what_cannot_be_read(cnn, files, batch, monkeypatch):
    monkeypatch.setattr(module, "IMAGES_PER_BATCH", batch)
    expected = cnn.predict(files)
    broken = files[0].with_name("broken.png")
    broken.write_bytes(b"")
    places = [broken, *files[:2], broken, broken, broken, *files[2:], broken]
    found = list(answers(cnn, places))
    assert [answer.path for answer in found] == places
    assert [isinstance(answer, NoAnswer) for answer in found] == [path == broken for path in places]
    given = [answer.prediction for answer in found if isinstance(answer, Answer)]
    assert [prediction.label for prediction in given] == [prediction.label for prediction in expected]
    for one, other in zip(given, expected, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    assert found[0].reason == f"cannot read image {broken}: it is empty"


def test_no_paths_have_no_answers(cnn):
    assert list(answers(cnn, [])) == []
