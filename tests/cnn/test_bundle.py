"""The exported CNN: equal to the generator's own executor, and safe to load."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.generators import LABELS, SHAPES, make_generator, pictures
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from htgen.cnn.bundle import Bundle
from htgen.cnn.module import GeneratedCNN, load_cnn
from htgen.cnn.score import Score
from htgen.errors import DataError, ModelError, OutputError
from htgen.generator.network import build
from htgen.images.drawings import DRAWING_STEPS
from htgen.images.inputs import prepare_images
from htgen.images.preprocessing import Preprocessing
from htgen.tensor_files import encode, read_any

TOLERANCE = 4e-5
"""Of logits of size 4 that were computed in float32 twice, by torch or kernels and by NumPy: 1e-5 of them."""


@pytest.fixture(scope="module")
def cnn_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cnn") / "toy.safetensors"
    make_generator().generate(pictures(), LABELS).save(path)
    return path


@pytest.mark.parametrize("name", SHAPES)
@torch.no_grad()
def test_the_exported_cnn_equals_the_generators_executor(name, tmp_path):
    generator = make_generator(**SHAPES[name])
    support = torch.from_numpy(prepare_images(pictures(), generator.preprocessing))
    queries = torch.from_numpy(prepare_images(pictures(7, seed=1), generator.preprocessing))
    class_ids = torch.tensor([[2, 0, 1, 0, 2, 1]])  # LABELS in alphabetical order
    expected = build(generator.file)(support[None], class_ids, queries[None], torch.arange(3)[None])[0]

    path = tmp_path / "cnn.safetensors"
    generator.generate(pictures(), LABELS).save(path)
    loaded, plain = load_cnn(path), Bundle.load(path)
    assert loaded.classes == plain.classes == ("ant", "bee", "cat")
    assert (loaded(queries) - expected).abs().max() <= TOLERANCE
    assert np.abs(plain.logits(queries.numpy()) - expected.numpy()).max() <= TOLERANCE
    if name != "batch norm":
        for i in range(len(queries)):
            assert (loaded(queries[i : i + 1])[0] - expected[i]).abs().max() <= TOLERANCE
            assert (
                np.abs(plain.logits(queries[i : i + 1].numpy())[0] - expected[i].numpy()).max() <= TOLERANCE
            )


@pytest.mark.parametrize(
    ("images", "labels", "unlabeled"),
    [
        (Path("a.png"), ["a", "b"], ()),
        (pictures(), LABELS, Path("a.png")),
        (pictures(), LABELS, "a.png"),
        (pictures(5), LABELS, ()),
        ([*pictures(5), Image.new("L", (0, 4))], LABELS, ()),
        ([*pictures(5), Image.fromarray(np.full((4, 4), np.nan, np.float32))], LABELS, ()),
    ],
)
def test_what_is_no_support_set_is_refused(images, labels, unlabeled):
    with pytest.raises(DataError):
        make_generator().prepare(images, labels, unlabeled)


def test_prepared_images_make_the_same_support_set():
    generator = make_generator()
    prepared = prepare_images(pictures(8), generator.preprocessing)
    support = generator.support(prepared, LABELS)
    again = generator.prepare(pictures(8)[:6], LABELS, pictures(8)[6:])
    assert support.classes == again.classes
    assert np.array_equal(support.images, again.images)
    assert support.labels.tolist() == again.labels.tolist() == [2, 0, 1, 0, 2, 1, -1, -1]
    with pytest.raises(DataError, match="8 images but 9 labels"):
        generator.support(prepared, [*LABELS, "ant", "bee", "cat"])


def test_the_same_inputs_give_the_same_bytes(cnn_path):
    again = make_generator().generate(pictures(), LABELS)
    assert again.bundle.to_bytes() == cnn_path.read_bytes()
    assert Bundle.load(cnn_path).to_bytes() == cnn_path.read_bytes()


def test_the_file_says_what_it_is(cnn_path):
    bundle = Bundle.load(cnn_path)
    assert bundle.generator == {"name": "toy", "sha256": "0" * 64}
    assert bundle.support == {"ant": 2, "bee": 2, "cat": 2}
    assert bundle.preprocessing == Preprocessing(20, 1, "bright", "pad", DRAWING_STEPS)
    assert set(bundle.tensors) >= {"conv1.weight", "conv4.norm.var", "logits.weight", "logits.bias"}


def test_predictions_are_the_softmax_of_the_logits_best_first(cnn_path):
    bundle = Bundle.load(cnn_path)
    images = pictures(4, seed=2)
    logits = torch.from_numpy(bundle.logits(prepare_images(images, bundle.preprocessing)))
    for prediction, row in zip(bundle.predict(images), logits.softmax(1), strict=True):
        values = list(prediction.probabilities.values())
        assert values == sorted(values, reverse=True)
        assert sum(values) == pytest.approx(1)
        assert prediction.label == bundle.classes[int(row.argmax())]
        for name, p in zip(bundle.classes, row, strict=True):
            assert prediction.probabilities[name] == pytest.approx(float(p), abs=1e-5)
    assert bundle.predict([]) == load_cnn(cnn_path).predict([]) == []


def test_torch_and_numpy_predict_alike_from_paths_images_and_arrays(cnn_path, tmp_path):
    array = pictures(1, seed=3)[0]
    file = tmp_path / "x.png"
    Image.fromarray(array).save(file)
    answers = [
        model.predict([thing])[0].probabilities
        for model in (Bundle.load(cnn_path), load_cnn(cnn_path))
        for thing in (file, str(file), Image.fromarray(array), array)
    ]
    for answer in answers[1:]:
        assert answer == pytest.approx(answers[0], abs=1e-5)


def test_a_large_batch_is_predicted_like_single_images(cnn_path):
    bundle = Bundle.load(cnn_path)
    images = pictures(300, seed=4)
    together = bundle.predict(images)
    for i in (0, 255, 256, 299):
        assert together[i].probabilities == pytest.approx(
            bundle.predict([images[i]])[0].probabilities, abs=1e-5
        )


def test_the_module_has_the_names_of_the_file(cnn_path):
    assert set(load_cnn(cnn_path).state_dict()) == set(Bundle.load(cnn_path).tensors)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda h: h["cnn"].update(convs=[]), "no convolutions"),
        (lambda h: h["cnn"].update(norm="layer"), "norm 'layer'"),
        (lambda h: h["cnn"].update(activation="tanh"), "activation 'tanh'"),
        (lambda h: h["cnn"]["convs"][1].update(in_size=9), "conv2 does not fit"),
        (lambda h: h["cnn"]["convs"][0].update(stride=0), "conv1 does not fit"),
        (lambda h: h.update(classes=["a", "a", "b"]), "different texts"),
        (lambda h: h.update(classes=[1, 2, 3]), "different texts"),
        (lambda h: h["preprocessing"].update(size=99), "other images than the CNN reads"),
    ],
)
def test_a_description_that_cannot_be_is_refused(change, says, cnn_path, tmp_path):
    with safe_open(cnn_path, framework="np") as file:
        header = json.loads(file.metadata()["htgen"])
    del header["checksum"]
    tensors = load_file(cnn_path)
    change(header)
    path = tmp_path / "odd.safetensors"
    save_file(tensors, path, metadata={"htgen": json.dumps(header)})
    with pytest.raises(ModelError, match=says):
        Bundle.load(path)


@pytest.mark.parametrize("value", [np.float32("nan"), np.float32("inf"), "int8"])
def test_weights_that_are_no_numbers_are_refused(value, cnn_path):
    bundle = Bundle.load(cnn_path)
    weight = bundle.tensors["conv2.weight"].copy()
    if value == "int8":
        weight = weight.astype(np.int8)
    else:
        weight[0, 0, 0, 0] = value
    with pytest.raises(
        ModelError, match=r"conv2\.weight (holds values that are no numbers|must hold float32)"
    ):
        Bundle(bundle.spec, bundle.classes, bundle.preprocessing, {**bundle.tensors, "conv2.weight": weight})


def test_the_module_can_be_fine_tuned_and_saved_as_it_is_then(cnn_path, tmp_path):
    cnn = load_cnn(cnn_path)
    x = torch.from_numpy(prepare_images(pictures(), cnn.preprocessing))
    target = torch.tensor([0, 1, 2, 0, 1, 2])
    optimizer = torch.optim.SGD(cnn.parameters(), lr=0.01)
    losses = []
    for _ in range(5):
        loss = torch.nn.functional.cross_entropy(cnn(x), target)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    cnn.save(tmp_path / "tuned.safetensors")
    again = load_cnn(tmp_path / "tuned.safetensors")
    assert torch.equal(again(x), cnn(x))
    assert again.bundle.generator == cnn.bundle.generator
    with torch.no_grad():
        cnn.logits.bias[0] = float("nan")
    with pytest.raises(ModelError, match=r"logits\.bias"):
        cnn.save(tmp_path / "broken.safetensors")
    assert not (tmp_path / "broken.safetensors").exists()


@pytest.mark.parametrize(
    "damage", ["missing", "empty", "text", "truncated", "foreign", "generator", "shape", "header"]
)
def test_a_file_that_is_no_cnn_is_refused_by_name(damage, cnn_path, tmp_path):
    path = tmp_path / "bad.safetensors"
    data = cnn_path.read_bytes()
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("hello " * 50)
    elif damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "foreign":
        save_file({"weight": np.zeros(3, np.float32)}, path)
    elif damage == "generator":
        file = make_generator().file
        path.write_bytes(file.to_bytes())
    elif damage == "shape":
        path.write_bytes(data.replace(b"ant", b"a\\\\")[: len(data)])
    elif damage == "header":
        header = {"format": "htgen-cnn", "version": 1}
        save_file({"weight": np.zeros(3, np.float32)}, path, metadata={"htgen": json.dumps(header)})
    for load in (Bundle.load, load_cnn):
        with pytest.raises(ModelError) as caught:
            load(path)
        assert "bad.safetensors" in caught.value.message
        assert caught.value.hint


def test_a_newer_format_asks_for_a_newer_htgen(cnn_path, tmp_path):
    path = tmp_path / "new.safetensors"
    path.write_bytes(cnn_path.read_bytes().replace(b'\\"version\\": 1', b'\\"version\\": 9'))
    with pytest.raises(ModelError, match="version 9"):
        Bundle.load(path)


def test_tensors_that_do_not_fit_the_description_are_refused(cnn_path):
    bundle = Bundle.load(cnn_path)
    with pytest.raises(ModelError, match=r"logits\.bias is \(3,\), expected \(2,\)"):
        Bundle(bundle.spec, ("a", "b"), bundle.preprocessing, bundle.tensors)


def test_a_bias_that_is_described_and_not_there_is_missed(cnn_path, tmp_path):
    file, path = read_any(cnn_path), tmp_path / "cnn.safetensors"
    file.header["cnn"]["convs"][1]["bias"] = True
    rest = {key: value for key, value in file.header.items() if key not in ("format", "version")}
    path.write_bytes(encode("htgen-cnn", rest, file.tensors))
    with pytest.raises(ModelError, match=r"conv2\.bias is missing"):
        Bundle.load(path)


def test_an_array_of_another_type_is_refused(cnn_path):
    with pytest.raises(DataError, match="float64"):
        Bundle.load(cnn_path).predict([np.zeros((5, 5))])
    with pytest.raises(DataError, match=r"\[0, 5\]"):
        Bundle.load(cnn_path).predict([np.zeros((0, 5), np.uint8)])


def test_a_failed_write_keeps_the_old_file(cnn_path, tmp_path):
    target = tmp_path / "folder.safetensors"
    target.mkdir()
    with pytest.raises(OutputError, match=r"folder\.safetensors"):
        GeneratedCNN(Bundle.load(cnn_path)).save(target)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.safetensors"]


def test_an_image_that_pillow_opened_is_read_as_its_file(cnn_path, tmp_path):
    """Turned as its EXIF entry says, of any mode; and what cannot be decoded is told the same way."""
    bundle, path = Bundle.load(cnn_path), tmp_path / "turned.png"
    turned = Image.fromarray(pictures(1)[0])
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(path, exif=exif)
    with Image.open(path) as opened:
        assert (
            bundle.predict([path])
            == bundle.predict([opened])
            != bundle.predict([Image.fromarray(pictures(1)[0])])
        )
        # Whoever has turned it already has it turned no further.
        upright = opened.rotate(270, expand=True)
        assert bundle.predict([upright]) == bundle.predict([np.asarray(upright)])
    path.write_bytes(path.read_bytes()[:-40])
    with Image.open(path) as opened:
        for damaged in (path, opened):
            with pytest.raises(DataError, match="damaged or incomplete"):
                bundle.predict([damaged])


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ("a.png", "list of images"),
        (Path("a.png"), "list of images"),
        (np.zeros((8, 8), np.uint8), "list of images"),
        (np.zeros((8, 8, 4), np.uint8), "list of images"),
        ([np.zeros((8, 8, 5), np.uint8)], "1 to 4 channels"),
        ([None], "got NoneType"),
        (None, "got NoneType"),
        ((image for image in ()), "got generator"),
        (["nul\0.png"], "check the path"),
    ],
)
def test_what_is_no_list_of_images_is_refused(images, says, cnn_path):
    with pytest.raises(DataError, match=says):
        Bundle.load(cnn_path).predict(images)


def test_the_estimate_is_kept_and_left_out_when_unknown(cnn_path, tmp_path):
    plain = Bundle.load(cnn_path)
    assert plain.estimate is None
    assert plain.to_bytes() == cnn_path.read_bytes()
    path = tmp_path / "cnn.safetensors"
    replace(plain, estimate=Score(17, 18)).save(path)
    assert Bundle.load(path).estimate == Score(17, 18)
    with safe_open(path, "np") as file:
        header = json.loads(file.metadata()["htgen"])
    assert header.pop("estimate") == {"right": 17, "images": 18}
    for wrong in ({"right": 19, "images": 18}, {"right": 1}, [], "17 of 18", {"right": 1.0, "images": 2}):
        metadata = {"htgen": json.dumps(header | {"estimate": wrong})}
        save_file(load_file(path), path, metadata)
        with pytest.raises(ModelError, match="damaged"):
            Bundle.load(path)


def test_a_cnn_that_was_changed_has_no_estimate(cnn_path, tmp_path):
    path = tmp_path / "cnn.safetensors"
    replace(Bundle.load(cnn_path), estimate=Score(17, 18)).save(path)
    module = load_cnn(path)
    module.save(path)
    assert Bundle.load(path).estimate == Score(17, 18)
    with torch.no_grad():
        module.logits.bias += 1
    module.save(path)
    assert Bundle.load(path).estimate is None
