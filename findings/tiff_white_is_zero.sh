#!/usr/bin/env bash
# Pillow 13.0.0, OpenCV 5.0.0: whether a TIFF whose least value is white is read as a negative hangs on its bits.
#
# A TIFF file says in its tag 262 whether 0 is black or white; scanners and fax machines write both. One black square
# on white paper is written here with 1, 8 and 16 bits, each time with 0 as white.
# One would expect white paper from every reader and every depth. Pillow and OpenCV turn 1 and 8 bits over, and leave
# 16 bits as they are: black paper. tifffile never turns an image over, and so neither do scikit-image and imageio, which read
# TIFF with it; imageio with its reader "pillow" does for two of the three.
# A data set of scans gets some images as negatives, by the depth that was chosen at the scanner, without an error.
#
# Seen (paper, as a share of white): Pillow and OpenCV 1, 1, 0 for 1, 8, 16 bits; tifffile, imageio, scikit-image 0, 0, 0.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 pillow==13.0.0 opencv-python-headless==5.0.0.93 tifffile==2026.3.3 \
    imageio==2.38.1 scikit-image==0.26.0
cd "$folder"
cat >show.py <<'PY'
import cv2
import imageio.v3 as iio
import numpy as np
import skimage.io
import tifffile
from PIL import Image

READERS = {
    "Pillow": lambda path: np.asarray(Image.open(path)),
    "OpenCV": lambda path: cv2.imread(path, cv2.IMREAD_UNCHANGED),
    "tifffile": tifffile.imread,
    "imageio": iio.imread,
    "imageio, plugin pillow": lambda path: iio.imread(path, plugin="pillow"),
    "scikit-image": skimage.io.imread,
}
DEPTHS = {1: bool, 8: np.uint8, 16: np.uint16}
for bits, kind in DEPTHS.items():
    stored = np.zeros((32, 32), kind)  # 0 is white
    stored[10:20, 10:20] = True if bits == 1 else (1 << bits) - 1
    tifffile.imwrite(f"{bits}.tif", stored, photometric="miniswhite")

found = {}
for name, read in READERS.items():
    found[name] = []
    for bits in DEPTHS:
        image = read(f"{bits}.tif")
        found[name].append(int(bool(image[0, 0] > image[15, 15])))
    print(f"{name:24} paper with 1, 8, 16 bits:", *("white" if white else "BLACK" for white in found[name]))
half = [1, 1, 0]
assert found == {
    "Pillow": half,
    "OpenCV": half,
    "tifffile": [0, 0, 0],
    "imageio": [0, 0, 0],
    "imageio, plugin pillow": half,
    "scikit-image": [0, 0, 0],
}, "the behaviour has changed"
print("as described")
PY
"$folder/venv/bin/python" show.py || exit 1
