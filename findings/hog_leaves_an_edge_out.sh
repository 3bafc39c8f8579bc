#!/usr/bin/env bash
# scikit-image 0.26.0: the HOG of a 28 x 28 image does not see its last rows and columns.
#
# `skimage.feature.hog` divides an image into whole cells from its top left corner, and leaves what is over at the
# right and at the bottom out. With the usual cell of 8 pixels that is a seventh of the width of the images that
# this field uses most (28 x 28: MNIST, Omniglot) and a twentieth of miniImageNet's 84. Nothing is said, and the documentation
# of the parameters does not mention it. HOG with the nearest class mean is the usual baseline for drawings, so two
# characters that differ there alone look the same to it.
# Cells of 7 pixels for 28, of 12 or 7 for 84, see everything.
#
# Seen:
#   28 x 28, cells of 8: last column that changes a feature 24, an L and an I that differ in rows 25 to 27: same features
#   28 x 28, cells of 7: last column that changes a feature 27, an L and an I that differ in rows 25 to 27: other features
#   32 x 32, cells of 8: last column that changes a feature 31, an L and an I that differ in rows 25 to 27: other features
#   84 x 84, cells of 8: last column that changes a feature 80, an L and an I that differ in rows 25 to 27: other features
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q numpy==2.4.6 scikit-image==0.26.0
cat >show.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from skimage.feature import hog


def features(image, cell):
    return hog(image, pixels_per_cell=(cell, cell), cells_per_block=(2, 2))


def look(side, cell):
    columns = []
    for column in range(side):
        image = np.zeros((side, side))
        image[:, column] = 1
        if np.any(features(image, cell)):
            columns.append(column)
    letter_i = np.zeros((side, side))
    letter_i[4:25, 6:9] = 1
    letter_l = letter_i.copy()
    letter_l[25:28, 6:22] = 1
    same = np.array_equal(features(letter_i, cell), features(letter_l, cell))
    print(
        f"{side} x {side}, cells of {cell}: last column that changes a feature {max(columns)}, "
        f"an L and an I that differ in rows 25 to 27: {'same' if same else 'other'} features"
    )
    return max(columns), same


print(f"scikit-image {version('scikit-image')}, numpy {version('numpy')}")
print("expected: each column of an image changes a feature, or a warning says which do not")
seen = [look(28, 8), look(28, 7), look(32, 8), look(84, 8)]
sys.exit(0 if seen == [(24, True), (27, False), (31, False), (80, False)] else 1)
PY
venv/bin/python show.py
