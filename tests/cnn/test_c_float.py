"""Exported C, compiled and run, against the CNN that it was made of."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.cnns import any_bundle, make_bundle
from helpers.compilers import needs_a_compiler
from helpers.generators import SHAPES, pictures
from PIL import Image

from htgen.cli import main
from htgen.cnn.c_float import float_code
from htgen.errors import ModelError
from htgen.images.inputs import as_input, scale_pixels

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


def run_c(folder: Path, name: str, pixels: np.ndarray) -> list[list[str]]:
    """Label, probability and logits of prepared images `[N, C, H, W]`, by the header in a folder."""
    (folder / "main.c").write_text(MAIN.format(name=name, upper=name.upper()))
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"]
    subprocess.run(["cc", *strict, "main.c", "-o", "main", "-lm"], cwd=folder, check=True)
    said = subprocess.run([folder / "main"], input=pixels.tobytes(), capture_output=True, check=True).stdout
    return [line.split("\t") for line in said.decode().splitlines()]


@needs_a_compiler
@pytest.mark.parametrize("variant", [name for name in SHAPES if name != "batch norm"])
def test_the_c_answers_as_the_cnn(variant, tmp_path):
    bundle = make_bundle(**SHAPES[variant])
    code = float_code(bundle, "cnn")
    (tmp_path / "cnn.h").write_text(code.text)
    prepared = [bundle.preprocessing.apply(Image.fromarray(p)) for p in pictures(8, seed=3)]
    pixels = np.stack([p.transpose(2, 0, 1) for p in prepared])
    rows = run_c(tmp_path, "cnn", pixels)
    x = as_input(prepared, bundle.preprocessing)
    for row, answer, wanted in zip(rows, bundle.classify(x), bundle.logits(x), strict=True):
        assert row[0] == answer.label
        assert float(row[1]) == pytest.approx(answer.probability, abs=1e-4)
        np.testing.assert_allclose([float(x) for x in row[2:]], wanted, rtol=1e-3, atol=1e-3)


@needs_a_compiler
def test_any_cnn_can_be_written_and_many_go_into_one_program(tmp_path):
    random, lines, expected = np.random.default_rng(5), ["#include <stdio.h>"], []
    calls = []
    while len(expected) < 16:
        bundle = any_bundle(random)
        if bundle is None:
            continue
        name = f"n{len(expected)}"
        (tmp_path / f"{name}.h").write_text(float_code(bundle, name).text)
        lines += [f'#include "{name}.h"'] * 2  # twice does no harm
        pixels = random.integers(
            0, 256, bundle.spec.image_channels * bundle.spec.image_size**2, dtype=np.uint8
        )
        side = (bundle.spec.image_channels, bundle.spec.image_size, bundle.spec.image_size)
        expected.append(bundle.logits(scale_pixels(pixels.astype(np.float32)).reshape(1, *side))[0])
        numbers = ", ".join(map(str, pixels))
        calls.append(
            f"    {{\n    static const uint8_t p[] = {{{numbers}}};\n    float l[{len(bundle.classes)}];\n"
            f"    {name}_logits(p, l);\n    for (int i = 0; i < {len(bundle.classes)}; i++)\n"
            '        printf("%.9g ", (double)l[i]);\n    puts("");\n    }'
        )
    (tmp_path / "main.c").write_text("\n".join([*lines, "int main(void) {", *calls, "return 0; }", ""]))
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow"]
    subprocess.run(["cc", *strict, "main.c", "-o", "main", "-lm"], cwd=tmp_path, check=True)
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
        assert main(["export", str(path), "-o", str(tmp_path / "3 marks.h"), "--float"]) == 0
        said = capsys.readouterr().out
        assert "cnn_3_marks_classify" in said
        (tmp_path / "cnn_3_marks.h").write_bytes((tmp_path / "3 marks.h").read_bytes())
        (tmp_path / "main.c").write_text(
            '#include <stdio.h>\n#include "cnn_3_marks.h"\nint main(void)\n{\n'
            "    for (int k = 0; k < CNN_3_MARKS_CLASSES; k++)\n"
            '        printf("%s%c", cnn_3_marks_class_names[k], 0);\n    return 0;\n}\n'
        )
        strict = ["-std=c99", "-Wall", "-Werror"]
        subprocess.run(["cc", *strict, "main.c", "-o", "main", "-lm"], cwd=tmp_path, check=True)
        written = subprocess.run([tmp_path / "main"], capture_output=True, check=True).stdout
        assert written.decode().split("\0")[:-1] == classes


def test_what_it_needs_is_what_is_written():
    bundle = make_bundle()
    code = float_code(bundle, "cnn")
    arrays = re.findall(r"static const float \w+\[(\d+)\] = \{([^}]*)\}", code.text)
    assert sum(4 * int(count) for count, _ in arrays) == code.constants
    for count, numbers in arrays:
        assert len(numbers.replace("\n", "").rstrip(", ").split(",")) == int(count)
    buffers = re.search(r"static float even\[(\d+)\], odd\[(\d+)\]", code.text)
    assert 4 * (int(buffers[1]) + int(buffers[2])) == code.buffers
    assert code.multiply_adds == bundle.spec.multiply_adds(3)
    assert f"{code.constants} bytes of constants" in code.text


def test_what_c_could_not_hold_is_refused(tmp_path, capsys):
    bundle = make_bundle()
    huge = {**bundle.tensors, "conv1.norm.weight": np.full(4, 1e38, np.float32)}
    with pytest.raises(ModelError, match="values beyond"):
        replace(bundle, tensors=huge)
    large = {**bundle.tensors, "conv1.norm.var": np.zeros(4, np.float32)}
    large["conv1.norm.weight"] = large["conv1.norm.mean"] = np.full(4, 9e11, np.float32)
    text = float_code(replace(bundle, tensors=large), "cnn").text
    assert not re.search(r"\b(inf|nan)", text)
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
        float_code(make_bundle(cnn={"channels": 4, "norm": "batch"}), "cnn")


def test_what_is_no_cnn_is_refused(tmp_path, capsys):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nothing")
    assert main(["export", str(path), "-o", str(tmp_path / "x.h")]) == 5
    assert not (tmp_path / "x.h").exists()
    assert main(["export", "glyph-8", "-o", str(tmp_path / "x.h")]) == 5
    make_bundle().save(path)
    (tmp_path / "y.h").mkdir()
    assert main(["export", str(path), "-o", str(tmp_path / "y.h")]) == 7
