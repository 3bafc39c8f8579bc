"""Exported C, compiled and run, against the CNN that it was made of."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from helpers.generators import LABELS, SHAPES, make_generator, pictures
from helpers.toy import toy_values
from PIL import Image

from htgen.cli import main
from htgen.cnn.bundle import Bundle
from htgen.cnn.c_header import c_code
from htgen.cnn.eight_bits import round_to_8_bits, rounded
from htgen.cnn.spec import CnnSpec, ConvSpec
from htgen.cnn.weights import tensor_shapes
from htgen.errors import ModelError
from htgen.generator.generator import load_generator
from htgen.generator.network import build
from htgen.images.inputs import as_input, scale_pixels
from htgen.images.preprocessing import Preprocessing

COMPILER = shutil.which("cc")
needs_a_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")

MAIN = """
#include <stdio.h>
#include "{name}.h"
int main(void)
{{
    uint8_t pixels[{upper}_PIXELS];
    float logits[{upper}_CLASSES], probability;
    while (fread(pixels, 1, sizeof pixels, stdin) == sizeof pixels) {{
        int best = {name}_classify(pixels, &probability);
        {name}_logits(pixels, logits);
        printf("%s\\t%.9g", {name}_class_names[best], probability);
        for (int k = 0; k < {upper}_CLASSES; k++)
            printf("\\t%.9g", logits[k]);
        printf("\\n");
    }}
    return 0;
}}
"""


def make_bundle(**model) -> Bundle:
    generator = make_generator(**model)
    return generator.generate_bundle(generator.prepare(pictures(), LABELS))


def run_c(folder: Path, name: str, pixels: np.ndarray) -> list[list[str]]:
    """Label, probability and logits of prepared images `[N, C, H, W]`, by the header in a folder."""
    (folder / "main.c").write_text(MAIN.format(name=name, upper=name.upper()))
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"]
    subprocess.run([COMPILER, *strict, "main.c", "-o", "main", "-lm"], cwd=folder, check=True)
    said = subprocess.run([folder / "main"], input=pixels.tobytes(), capture_output=True, check=True).stdout
    return [line.split("\t") for line in said.decode().splitlines()]


@needs_a_compiler
@pytest.mark.parametrize("eight_bits", [False, True])
@pytest.mark.parametrize("variant", [name for name in SHAPES if name != "batch norm"])
def test_the_c_answers_as_the_cnn(variant, eight_bits, tmp_path):
    bundle = make_bundle(**SHAPES[variant])
    code = c_code(bundle, "cnn", eight_bits)
    (tmp_path / "cnn.h").write_text(code.text)
    prepared = [bundle.preprocessing.apply(Image.fromarray(p)) for p in pictures(8, seed=3)]
    pixels = np.stack([p.transpose(2, 0, 1) for p in prepared])
    rows = run_c(tmp_path, "cnn", pixels)
    same = in_8_bits(bundle) if eight_bits else bundle
    x = as_input(prepared, bundle.preprocessing)
    for row, answer, wanted in zip(rows, same.classify(x), same.logits(x), strict=True):
        assert row[0] == answer.label
        assert float(row[1]) == pytest.approx(answer.probability, abs=1e-4)
        np.testing.assert_allclose([float(x) for x in row[2:]], wanted, rtol=1e-3, atol=1e-3)


def in_8_bits(bundle: Bundle) -> Bundle:
    return replace(bundle, tensors=rounded(bundle.weights).to_tensors(bundle.spec))


def any_bundle(random: np.random.Generator) -> Bundle | None:
    """A CNN of any description that there can be, of random numbers; None where the draw is impossible."""
    size, channels = int(random.integers(8, 23)), int(random.choice([1, 3]))
    side, inputs, convs = size, channels, []
    for index in range(int(random.integers(1, 4))):
        kernel, stride, outputs = (
            int(random.integers(1, 6)),
            int(random.integers(1, 4)),
            int(random.integers(1, 5)),
        )
        same, pool = bool(random.integers(2)), bool(random.integers(2))
        bias = bool(random.integers(2))
        conv = ConvSpec(f"conv{index + 1}", inputs, outputs, kernel, stride, same, pool, side, 0, bias)
        out = conv.conv_size // 2 if pool else conv.conv_size
        if side + 2 * conv.padding < kernel or out < 1:
            return None
        convs.append(replace(conv, out_size=out))
        side, inputs = out, outputs
    activation, head = str(random.choice(["relu", "lrelu"])), str(random.choice(["flatten", "average"]))
    spec = CnnSpec(size, channels, tuple(convs), activation, "support", head, bool(random.integers(2)))
    classes = tuple(f"class {i}" for i in range(random.integers(2, 6)))
    tensors = {
        name: np.abs(x) + np.float32(0.01) if name.endswith("var") else x
        for name, shape in tensor_shapes(spec, len(classes)).items()
        for x in [random.normal(0, 0.5, shape).astype(np.float32)]
    }
    return Bundle(spec, classes, Preprocessing(size, channels, "none", "pad"), tensors)


@needs_a_compiler
def test_any_cnn_can_be_written_and_many_go_into_one_program(tmp_path):
    random, lines, expected = np.random.default_rng(5), ["#include <stdio.h>"], []
    calls = []
    while len(expected) < 16:
        bundle = any_bundle(random)
        if bundle is None:
            continue
        name, eight_bits = f"n{len(expected)}", bool(random.integers(2))
        (tmp_path / f"{name}.h").write_text(c_code(bundle, name, eight_bits).text)
        lines += [f'#include "{name}.h"'] * 2  # twice does no harm
        pixels = random.integers(
            0, 256, bundle.spec.image_channels * bundle.spec.image_size**2, dtype=np.uint8
        )
        side = (bundle.spec.image_channels, bundle.spec.image_size, bundle.spec.image_size)
        same = in_8_bits(bundle) if eight_bits else bundle
        expected.append(same.logits(scale_pixels(pixels.astype(np.float32)).reshape(1, *side))[0])
        numbers = ", ".join(map(str, pixels))
        calls.append(
            f"    {{\n    static const uint8_t p[] = {{{numbers}}};\n    float l[{len(bundle.classes)}];\n"
            f"    {name}_logits(p, l);\n    for (int i = 0; i < {len(bundle.classes)}; i++)\n"
            '        printf("%.9g ", (double)l[i]);\n    puts("");\n    }'
        )
    (tmp_path / "main.c").write_text("\n".join([*lines, "int main(void) {", *calls, "return 0; }", ""]))
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow"]
    subprocess.run([COMPILER, *strict, "main.c", "-o", "main", "-lm"], cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "main"], capture_output=True, check=True, text=True)
    for line, logits in zip(said.stdout.splitlines(), expected, strict=True):
        scale = max(1, np.abs(logits).max())
        np.testing.assert_allclose(np.array(line.split(), float) / scale, logits / scale, atol=1e-4)


@needs_a_compiler
def test_any_name_and_label_can_be_written(tmp_path, capsys):
    labels = ['a"b\\n', "naïve ☃", "what??/", "1\x01\n23", "per%cent", "*/ x"]
    bundle = replace(make_bundle(), classes=tuple(labels[:3]))
    for classes in (labels[:3], labels[3:]):
        path = tmp_path / "some cnn.safetensors"
        replace(bundle, classes=tuple(classes)).save(path)
        assert main(["export", str(path), "-o", str(tmp_path / "3 marks.h")]) == 0
        said = capsys.readouterr().out
        assert "cnn_3_marks_classify" in said
        (tmp_path / "cnn_3_marks.h").write_bytes((tmp_path / "3 marks.h").read_bytes())
        (tmp_path / "main.c").write_text(
            '#include <stdio.h>\n#include "cnn_3_marks.h"\nint main(void)\n{\n'
            "    for (int k = 0; k < CNN_3_MARKS_CLASSES; k++)\n"
            '        printf("%s%c", cnn_3_marks_class_names[k], 0);\n    return 0;\n}\n'
        )
        strict = ["-std=c99", "-Wall", "-Werror"]
        subprocess.run([COMPILER, *strict, "main.c", "-o", "main", "-lm"], cwd=tmp_path, check=True)
        written = subprocess.run([tmp_path / "main"], capture_output=True, check=True).stdout
        assert written.decode().split("\0")[:-1] == classes


def test_what_it_needs_is_what_is_written():
    bundle = make_bundle()
    for eight_bits in (False, True):
        code = c_code(bundle, "cnn", eight_bits)
        sizes = {"float": 4, "int8_t": 1}
        arrays = re.findall(r"static const (float|int8_t) \w+\[(\d+)\] = \{([^}]*)\}", code.text)
        assert sum(sizes[kind] * int(count) for kind, count, _ in arrays) == code.constants
        for _, count, numbers in arrays:
            assert len(numbers.replace("\n", "").rstrip(", ").split(",")) == int(count)
        buffers = re.search(r"static float even\[(\d+)\], odd\[(\d+)\]", code.text)
        assert 4 * (int(buffers[1]) + int(buffers[2])) == code.buffers
        assert code.multiply_adds == bundle.spec.multiply_adds(3)
        assert f"{code.constants} bytes of constants" in code.text
    # Weights make up nearly all of it.
    assert code.constants < c_code(bundle, "cnn").constants / 2


def test_weights_are_rounded_to_the_nearest_of_255_values():
    weights = np.random.default_rng(0).normal(0, 1, (5, 3, 2, 2)).astype(np.float32)
    weights[2] = 0
    steps, whole = round_to_8_bits(weights)
    assert whole.dtype == np.int8
    for row, step, numbers in zip(weights, steps, whole, strict=True):
        assert np.abs(row - step * numbers).max() <= step / 2 * 1.0001
        assert np.abs(numbers).max() == (127 if row.any() else 0)


def test_the_benchmark_measures_the_cnns_that_are_written(store_path, tmp_path, capsys):
    """In floats as `htgen evaluate` does; each CNN rounded by itself."""
    from eight_bits import main as eight_bits_main
    from eight_bits import rounded_each

    values = toy_values(store_path)
    run = tmp_path / "run"
    config = tmp_path / "toy.yaml"
    config.write_text(yaml.safe_dump(values))
    assert main(["train", "--config", str(config), "--run", str(run)]) == 0
    measuring = ["--split", "toy:test", "--way", "3", "--shot", "1", "--query", "2", "--tasks", "32"]
    capsys.readouterr()
    assert main(["evaluate", str(run), *measuring, "--json"]) == 0
    percent = 100 * json.loads(capsys.readouterr().out)["accuracy"]
    eight_bits_main([str(run), *measuring])
    assert f"toy:test 3-way 1-shot: {percent:.2f} ± " in capsys.readouterr().out

    generator = load_generator(run)
    supports = [generator.prepare(pictures(4, seed), ["a", "b", "a", "b"]) for seed in (0, 1)]
    model = build(generator.file)
    images = torch.from_numpy(np.stack([support.images for support in supports]))
    labels = torch.from_numpy(np.stack([support.labels for support in supports]))
    with torch.no_grad():
        cnns = rounded_each(model.generate(images, labels, torch.arange(2).tile(2, 1)))
    for index, support in enumerate(supports):
        wanted = in_8_bits(generator.generate_bundle(support)).tensors
        np.testing.assert_allclose(cnns.blocks[1].kernel[index], wanted["conv2.weight"], atol=0.01)
        np.testing.assert_allclose(cnns.logits_weight[index], wanted["logits.weight"], atol=0.1)


def test_weights_next_to_nothing_are_rounded_to_nothing():
    steps, whole = round_to_8_bits(np.array([[1.9e-43, 5e-45], [1e-44, 0]], np.float32))
    assert (whole == 0).all()
    assert (steps == 1).all()


def test_what_c_could_not_hold_is_refused(tmp_path, capsys):
    bundle = make_bundle()
    huge = {**bundle.tensors, "conv1.norm.weight": np.full(4, 1e38, np.float32)}
    huge["conv1.norm.var"] = np.zeros(4, np.float32)
    with pytest.raises(ModelError, match="holds values beyond"):
        c_code(replace(bundle, tensors=huge), "cnn")
    with pytest.raises(ModelError, match="variances"):
        replace(bundle, tensors={**bundle.tensors, "conv1.norm.var": np.full(4, -1, np.float32)})
    first, *others = bundle.spec.convs
    for name in ("conv 1[0]={0};int", "logits", "conv2", ""):
        spec = replace(bundle.spec, convs=(replace(first, name=name), *others))
        tensors = {key.replace("conv1.", f"{name}."): tensor for key, tensor in bundle.tensors.items()}
        with pytest.raises(ModelError, match="names of layers"):
            replace(bundle, spec=spec, tensors=tensors)
    for generator in ({"name": 3}, {"name": None}):
        with pytest.raises(ModelError, match="generator"):
            replace(bundle, generator=generator)
    path = tmp_path / "cnn.safetensors"
    bundle.save(path)
    before = path.read_bytes()
    assert main(["export", str(path), "-o", str(tmp_path / "." / "cnn.safetensors")]) == 2
    assert path.read_bytes() == before


def test_a_cnn_that_needs_other_images_has_no_c():
    with pytest.raises(ModelError, match="norm batch"):
        c_code(make_bundle(cnn={"channels": 4, "norm": "batch"}), "cnn")


def test_what_is_no_cnn_is_refused(tmp_path, capsys):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nothing")
    assert main(["export", str(path), "-o", str(tmp_path / "x.h")]) == 5
    assert not (tmp_path / "x.h").exists()
    assert main(["export", "glyph-8", "-o", str(tmp_path / "x.h")]) == 5
    make_bundle().save(path)
    assert main(["export", str(path), "-o", str(tmp_path)]) == 7


@needs_a_compiler
def test_the_example_of_the_documents_runs(tmp_path, monkeypatch, capsys):
    """Both blocks of docs/guide/devices.md, in a folder with the examples."""
    root = Path(__file__).parents[2]
    page = (root / "docs" / "guide" / "devices.md").read_text(encoding="utf-8")
    (c_block,) = re.findall(r"```c\n(.*?)```", page, re.DOTALL)
    (python_block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "examples").symlink_to(root / "examples")
    monkeypatch.chdir(tmp_path)
    for command in re.findall(r"^    htgen (.*)$", page, re.MULTILINE):
        assert main(command.split()) == 0
    exec(compile(python_block, "devices.md", "exec"), {})
    Path("main.c").write_text(c_block)
    subprocess.run([COMPILER, "-O2", "main.c", "-o", "main", "-lm"], check=True)
    said = subprocess.run(["./main"], input=Path("03.raw").read_bytes(), capture_output=True, check=True)
    label, percent, _ = said.stdout.decode().split()
    capsys.readouterr()
    assert main(["predict", "symbols.safetensors", "examples/symbols/new/03.png", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["predictions"][0]
    assert label == answer["class"] == "key"
    assert float(percent) == pytest.approx(100 * answer["probability"], abs=0.2)
