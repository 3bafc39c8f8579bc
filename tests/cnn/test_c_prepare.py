"""Preparation in C: the bytes of `htgen.images.on_device`."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from helpers.compilers import needs_a_compiler

from htgen.cnn.c_prepare import preparation
from htgen.images.drawings import NO_STEPS
from htgen.images.on_device import prepare_on_device
from htgen.images.preprocessing import Preprocessing

HEAD = """#include <stdint.h>
#include <string.h>
#define NET_API static inline
#define NET_PIXELS {pixels}
"""

MAIN = """#include <stdio.h>
#include <stdlib.h>
#include "net.h"
int main(void)
{
    static uint8_t pixels[NET_PIXELS];
    uint16_t sides[2];
    while (fread(sides, 1, 4, stdin) == 4) {
        size_t size = (size_t)sides[0] * sides[1];
        uint8_t *frame = (uint8_t *)malloc(size), found;
        if (fread(frame, 1, size, stdin) != size)
            return 1;
        found = net_prepare(frame, sides[0], sides[1], pixels);
        fputc(found, stdout);
        fwrite(pixels, 1, sizeof pixels, stdout);
        free(frame);
    }
    return 0;
}
"""


def any_frame(random: np.random.Generator, kind: int) -> np.ndarray:
    """Noise, rectangles on an even ground, waves, or a disc in a gradient: of any size, often a tiny one."""
    height, width = (int(side) for side in random.integers(1, random.choice([6, 40, 200]), 2))
    y, x = np.mgrid[:height, :width]
    if kind == 0:
        return random.integers(0, 256, (height, width), dtype=np.uint8)
    if kind == 1:
        frame = np.full((height, width), random.integers(0, 256), np.uint8)
        for _ in range(random.integers(0, 5)):
            top, left = random.integers(0, height), random.integers(0, width)
            frame[top : top + 1 + height // 3, left : left + 1 + width // 9] = random.integers(0, 256)
        return frame
    if kind == 2:
        lengths = 1 + 30 * random.random(2)
        values = 128 + 60 * np.sin(y / lengths[0]) + 60 * np.cos(x / lengths[1])
    else:
        disc = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (width / 3) ** 2
        values = 200 - x * 100 / width - 80 * disc + random.normal(0, 5, (height, width))
    frame = np.clip(values, 0, 255).astype(np.uint8)
    return 255 - frame if random.random() < 0.5 else frame


@pytest.mark.parametrize(("size", "stroke"), [(20, 0.0), (20, 0.12), (28, 0.058), (33, 0.02)])
@needs_a_compiler
def test_python_and_c_give_the_same_bytes(tmp_path, size, stroke):
    random = np.random.default_rng(2)
    frames = [any_frame(random, kind % 4) for kind in range(160)]
    frames += [random.integers(0, 256, shape, dtype=np.uint8) for shape in ((2, 4096), (900, 3), (1, 1))]
    frames += [np.full((30, 20), value, np.uint8) for value in (0, 127, 128, 255)]
    noises = [random.normal(level, spread, (60, 80)) for level in (20, 150, 235) for spread in (1, 3, 6, 9)]
    frames += [np.clip(np.round(noise), 0, 255).astype(np.uint8) for noise in noises]
    how = Preprocessing(size, 1, "bright", "pad", replace(NO_STEPS, stroke=stroke), device=True)
    (tmp_path / "net.h").write_text(HEAD.format(pixels=size * size) + preparation("net", how))
    (tmp_path / "main.c").write_text(MAIN)
    strict = (
        "-std=c99 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -O1 -fsanitize=address,undefined"
    )
    command = ["cc", *strict.split(), "-fno-sanitize-recover=all", "main.c", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    refused = [np.full(shape, 90, np.uint8) for shape in ((0, 0), (0, 5), (5, 0), (1, 4097), (4097, 1))]
    frames += refused  # an array without rows or columns is no frame in Python; a long one is scaled down
    given = b"".join(np.array(f.shape[::-1], np.uint16).tobytes() + f.tobytes() for f in frames)
    said = subprocess.run([tmp_path / "main"], input=given, capture_output=True, check=True).stdout
    found = np.frombuffer(said, np.uint8).reshape(len(frames), -1)
    wanted = np.zeros_like(found[:, 1:])
    for place, frame in enumerate(frames[: -len(refused)]):
        wanted[place] = prepare_on_device(frame, size, stroke).ravel()
    np.testing.assert_array_equal(found[:, 1:], wanted)
    assert (found[:, 0] == 0).sum() >= 4 + len(refused)
    assert not found[-len(refused) :].any()
    assert not found[found[:, 0] == 0, 1:].any()
    assert (wanted.max(axis=1) >= 128).sum() > 80
