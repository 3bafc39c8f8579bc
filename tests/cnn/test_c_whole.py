"""C in whole numbers, compiled and run: the bits of `htgen.cnn.whole_numbers`."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.cnns import any_bundle, bundle_of, make_bundle, random_bundle
from helpers.compilers import needs_a_compiler
from helpers.generators import SHAPES

from htgen.cnn.bundle import Bundle
from htgen.cnn.c_common import expect_fits
from htgen.cnn.c_whole import whole_code
from htgen.cnn.spec import CnnSpec, ConvSpec
from htgen.cnn.whole_numbers import whole_cnn
from htgen.errors import ModelError

COMPILERS = [name for name in ("cc", "clang", "tcc", "c++") if shutil.which(name)]

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wdouble-promotion", "-Wshadow", "-Werror"]
SANITIZED = ["-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

FLAGS = {
    "cc": ["-std=c99", *STRICT, *SANITIZED],
    "clang": ["-std=c99", *STRICT, "-O2"],
    "tcc": ["-std=c99", "-Wall", "-Werror"],
    "c++": ["-x", "c++", "-std=c++11", *STRICT, "-O2"],
}

MAIN = """#include <stdio.h>
{includes}
int main(void)
{{
{calls}
    return 0;
}}
"""

CALL = """    {{
        static uint8_t p[] = {{{pixels}}};
        static int32_t l[{upper}_CLASSES];
        int k;
        printf("%d", (int){name}_classify(p, l));
        for (k = 0; k < {upper}_CLASSES; k++)
            printf(" %ld", (long)l[k]);
        puts("");
    }}"""


def some_pixels(bundle: Bundle, seed: int) -> np.ndarray:
    """`[1, C, H, W]`."""
    spec = bundle.spec
    shape = (1, spec.image_channels, spec.image_size, spec.image_size)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def run(folder: Path, bundles: dict[str, Bundle], compiler: str, bits: int | None = None) -> list[list[int]]:
    """Class and logits of one image of each CNN, all in one program."""
    includes, calls = [], []
    for seed, (name, bundle) in enumerate(bundles.items()):
        (folder / f"{name}.h").write_text(whole_code(bundle, name, bits=bits).text)
        includes += [f'#include "{name}.h"'] * 2  # twice does no harm
        pixels = ", ".join(map(str, some_pixels(bundle, seed).ravel()))
        calls.append(CALL.format(name=name, upper=name.upper(), pixels=pixels))
    text = MAIN.format(includes="\n".join(includes), calls="\n".join(calls))
    (folder / "main.c").write_text(text)
    subprocess.run([compiler, *FLAGS[compiler], "main.c", "-o", "main"], cwd=folder, check=True)
    said = subprocess.run([folder / "main"], capture_output=True, check=True, text=True).stdout
    return [list(map(int, line.split())) for line in said.splitlines()]


def expected(bundles: dict[str, Bundle], bits: int | None = None) -> list[list[int]]:
    rows = []
    for seed, bundle in enumerate(bundles.values()):
        (logits,) = whole_cnn(bundle, bits).logits(some_pixels(bundle, seed))
        rows.append([int(logits.argmax()), *logits.tolist()])
    return rows


@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_shape_gives_the_same_bits(compiler, tmp_path):
    bundles = {
        f"n{number}": make_bundle(**changes)
        for number, (name, changes) in enumerate(SHAPES.items())
        if name != "batch norm"
    }
    assert run(tmp_path, bundles, compiler) == expected(bundles)


@needs_a_compiler
def test_any_cnn_gives_the_same_bits(tmp_path):
    random, bundles = np.random.default_rng(11), {}
    while len(bundles) < 24:
        bundle = any_bundle(random)
        if bundle is not None:
            bundles[f"n{len(bundles)}"] = bundle
    # All ways to move down: lines that are kept, none, and lines that nothing reads.
    moves = {
        np.sign(conv.kernel + (conv.stride if conv.pool else 0) - (2 if conv.pool else 1) * conv.stride)
        for bundle in bundles.values()
        for conv in bundle.spec.convs
    }
    assert moves == {-1, 0, 1}
    assert run(tmp_path, bundles, "cc") == expected(bundles)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_blocks_of_any_kind_give_the_same_bits(compiler, tmp_path):
    """Groups, residual sums, average pools, blocks without a norm, activations of their own."""
    start = 100 * COMPILERS.index(compiler)
    bundles = {f"n{seed}": random_bundle(seed) for seed in range(start, start + 20)}
    assert run(tmp_path, bundles, compiler) == expected(bundles)


@needs_a_compiler
@pytest.mark.parametrize("bits", [8, 16])
def test_both_widths_give_the_same_bits(bits, tmp_path):
    bundles = {f"n{seed}": random_bundle(seed) for seed in range(40, 55)}
    bundles |= {f"s{i}": make_bundle(**SHAPES[name]) for i, name in enumerate(SHAPES) if name != "batch norm"}
    assert run(tmp_path, bundles, "cc", bits) == expected(bundles, bits)


@needs_a_compiler
def test_many_channels_give_the_same_bits(tmp_path):
    """More than a byte counts; a large CNN, which has weights of 8 bits with levels of 16."""
    sizes = [(3, 300, 1, 1), (300, 300, 3, 300), (300, 260, 1, 1), (260, 8, 1, 1)]
    convs = [
        ConvSpec(f"conv{i}", *size[:3], 1, True, False, 6, 6, True, size[3], norm=False)
        for i, size in enumerate(sizes)
    ]
    bundles = {"net": bundle_of(CnnSpec(6, 3, tuple(convs), "relu6", "support", "average"), 0)}
    assert {block.weight_bytes for block in whole_cnn(bundles["net"]).blocks} == {1, 2}
    assert run(tmp_path, bundles, "cc") == expected(bundles)


@needs_a_compiler
@pytest.mark.parametrize("stored", [False, True])
def test_the_selftest_passes_and_finds_a_wrong_bit(stored, tmp_path):
    bundle = make_bundle()
    text = whole_code(bundle, "net", images=some_pixels(bundle, 3) if stored else None).text

    def check(text: str) -> tuple[int, str]:
        (tmp_path / "net.h").write_text(text)
        (tmp_path / "net.c").write_text('#include "net.h"\n')
        command = ["cc", "-std=c99", *STRICT, "-DNET_SELFTEST", "net.c", "-o", "net"]
        subprocess.run(command, cwd=tmp_path, check=True)
        done = subprocess.run([tmp_path / "net"], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    assert check(text) == (0, "pass: largest difference 0\n")
    wrong = re.sub(
        r"(net_logits_bias\[3\] NET_FLASH = \{\s+)(-?\d+)", lambda m: f"{m[1]}{int(m[2]) + 7}", text
    )
    assert wrong != text
    assert check(wrong) == (1, "FAIL: largest difference 7\n")


@pytest.mark.parametrize("compiler", COMPILERS)
def test_probabilities_where_they_are_asked_for(compiler, tmp_path):
    bundle = make_bundle()
    (tmp_path / "net.h").write_text(whole_code(bundle, "net").text)
    pixels = ", ".join(map(str, some_pixels(bundle, 0).ravel()))
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#define NET_SOFTMAX\n#include "net.h"\nint main(void)\n{\n'
        f"    static const uint8_t p[] = {{{pixels}}};\n    int32_t l[NET_CLASSES];\n"
        "    net_classify(p, l);\n    for (int k = 0; k < NET_CLASSES; k++)\n"
        '        printf("%.9g ", (double)net_probability(l, (uint8_t)k));\n    return 0;\n}\n'
    )
    subprocess.run([compiler, *FLAGS[compiler], "main.c", "-o", "main", "-lm"], cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "main"], capture_output=True, check=True, text=True).stdout
    cnn = whole_cnn(bundle)
    logits = cnn.logits(some_pixels(bundle, 0))[0] * cnn.logits_step
    wanted = np.exp(logits - logits.max())
    np.testing.assert_allclose(np.array(said.split(), float), wanted / wanted.sum(), rtol=1e-4, atol=1e-6)


@needs_a_compiler
def test_names_of_classes_are_constants(tmp_path):
    bundle = replace(make_bundle(), classes=("a b", "naïve ☃", "2"))
    (tmp_path / "net.h").write_text(whole_code(bundle, "net").text)
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "net.h"\nint main(void)\n{\n'
        '    printf("%d%d%d %s", NET_CLASS_A_B, NET_CLASS_NAIVE_U2603, NET_CLASS_2, net_class_names[1]);\n'
        "    return 0;\n}\n"
    )
    subprocess.run(["cc", "-std=c99", "-Wall", "-Werror", "main.c", "-o", "main"], cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "main"], capture_output=True, check=True).stdout.decode()
    assert said == "012 naïve ☃"


@pytest.mark.parametrize("names", [("猫", "狗"), ("дом", "кот"), ("か", "が"), ("→", "←"), ("🐟", "🐈")])
def test_classes_named_in_any_script_have_names_in_c(names):
    code = whole_code(replace(make_bundle(), classes=(*names, "Été")), "net").text
    first, second, third = re.findall(r"NET_CLASS_(\w+) = ", code)
    assert third == "ETE"
    for name, constant in zip(names, (first, second), strict=True):
        assert constant == "".join(f"U{ord(character):04X}" for character in name)


@pytest.mark.parametrize(
    ("names", "constants"),
    [
        (("e", "é", "è"), ["E", "U00E9", "U00E8"]),
        (("cafe", "café", "thé"), ["CAFE", "CAFU00E9", "THE"]),
        (("2", "²", "③"), ["2", "U00B2", "3"]),
        (("a b", "à—b", "à b"), ["A_B", "AU2014B", "U00E0_B"]),
        (("ก", "ก้", "a"), ["U0E01", "U0E01U0E49", "A"]),
    ],
)
def test_classes_that_differ_by_accents_alone_have_names_in_c(names, constants):
    code = whole_code(replace(make_bundle(), classes=names), "net").text
    assert re.findall(r"NET_CLASS_(\w+) = ", code) == constants


@pytest.mark.parametrize("names", [("a b", "a_b", "c"), ("A", "a", "b"), ("é", "e", "U00e9")])
def test_classes_of_one_name_in_c_are_refused(names):
    with pytest.raises(ModelError, match="have the same name in C"):
        whole_code(replace(make_bundle(), classes=names), "net")


@pytest.mark.parametrize("seed", [None, 2, 3, 9, 19, 38])
def test_what_it_needs_is_what_is_written(seed):
    bundle = make_bundle() if seed is None else random_bundle(seed)
    code = whole_code(bundle, "net")
    sizes = {"uint8_t": 1, "int8_t": 1, "int16_t": 2, "uint16_t": 2, "int32_t": 4, "uint32_t": 4}
    arrays = re.findall(r"static const (\w+) \w+\[(\d+)\] NET_FLASH = \{([^}]*)\}", code.text)
    arrays = [a for a in arrays if a[0] in sizes]
    expected_logits = int(re.search(r"net_expected\[(\d+)\]", code.text)[1])
    assert sum(sizes[kind] * int(count) for kind, count, _ in arrays) - 4 * expected_logits == code.constants
    for _, count, numbers in arrays:
        assert len(numbers.replace("\n", "").rstrip(", ").split(",")) == int(count)
    buffers = re.findall(r"^static (u?int\d+_t) net_\w+(?:\[(\d+)\])?;", code.text, re.MULTILINE)
    pointer = 4
    assert sum(sizes[kind] * int(count or 1) for kind, count in buffers) + pointer == code.buffers


def test_the_smallest_generator_fits_where_it_should():
    from htgen.generator.generator import load_generator
    from htgen.images.inputs import as_input

    generator = load_generator("glyph-8")
    pictures = [np.random.default_rng(i).integers(0, 256, (28, 28, 1), dtype=np.uint8) for i in range(6)]
    support = generator.support(as_input(pictures, generator.preprocessing), list("abcdef"))
    code = whole_code(generator.generate_bundle(support), "net")
    assert code.buffers + 784 <= 3000


def test_what_the_c_has_no_room_for_is_refused():
    bundle = make_bundle()
    many = tuple(f"class {i}" for i in range(256))
    tensors = {
        key: np.resize(t, (256, *t.shape[1:])) if key.startswith("logits") else t
        for key, t in bundle.tensors.items()
    }
    with pytest.raises(ModelError, match="256 classes"):
        whole_code(replace(bundle, classes=many, tensors=tensors), "net")
    with pytest.raises(ModelError, match="'a b' and 'a-b' have the same name"):
        whole_code(replace(bundle, classes=("a b", "a-b", "c")), "net")
    with pytest.raises(ModelError, match="no ASCII letter"):
        whole_code(bundle, "--")
    with pytest.raises(ModelError, match="norm batch"):
        whole_code(make_bundle(cnn={"channels": 4, "norm": "batch"}), "net")
    with pytest.raises(ModelError, match="--device"):
        whole_code(bundle, "net", prepare=True)
    code = whole_code(bundle, "net")
    expect_fits(code, code.constants + code.code, code.buffers)
    with pytest.raises(ModelError, match="bytes of flash"):
        expect_fits(code, code.constants + code.code - 1, None)
    with pytest.raises(ModelError, match="bytes of RAM"):
        expect_fits(code, None, code.buffers - 1)


@pytest.mark.parametrize("name", ["conv1.weight", "conv1.norm.weight", "conv2.norm.bias", "logits.bias"])
def test_enormous_numbers_give_c_all_the_same(name):
    """Scales are floating-point numbers; what is whole stays within its bits."""
    bundle = make_bundle()
    tensors = {**bundle.tensors, name: np.full_like(bundle.tensors[name], 1e11)}
    assert "nan" not in whole_code(replace(bundle, tensors=tensors), "net").text


def test_a_large_array_is_refused_by_small_compilers():
    bundle = make_bundle(cnn={"channels": 64}, image_size=24)
    assert "#error" in whole_code(bundle, "net").text
    assert "#error" not in whole_code(make_bundle(), "net").text
