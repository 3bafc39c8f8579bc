#!/usr/bin/env bash
# OpenCV (4.12.0 and 5.0.0) scales a text PGM to 0..255 by its largest value, and a binary PGM not.
#
# The header of a PGM says which number is white. The same picture with 15 as white is read by OpenCV as
# [0, 85, 170, 255] from the text form (P2) and as [0, 5, 10, 15], nearly black, from the binary form (P5).
# With 1023 as white, read as 8-bit grey, white becomes 3. Pillow scales all of them.
# PGM is what small cameras, scanners and C programs write, as a header of three numbers is all it needs;
# 4-bit and 10-bit sensors give just these largest values.
#
# Seen (the same four greys in each file):
#   P2, white is 15:   Pillow [0, 85, 170, 255], OpenCV [0, 85, 170, 255]
#   P5, white is 15:   Pillow [0, 85, 170, 255], OpenCV [0, 5, 10, 15]
#   P5, white is 1023: Pillow [0, 85, 170, 255], OpenCV [0, 1, 2, 3]
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q numpy==2.4.6 pillow==13.0.0
for version in 4.12.0.88 5.0.0.93; do
  venv/bin/pip install -q --no-deps --target "opencv-$version" "opencv-python-headless==$version"
done
cat >show.py <<'PY'
import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import PIL
from PIL import Image

files = {
    "P2, white is 15": b"P2\n4 1\n15\n0 5 10 15\n",
    "P5, white is 15": b"P5\n4 1\n15\n" + bytes([0, 5, 10, 15]),
    "P5, white is 1023": b"P5\n4 1\n1023\n" + struct.pack(">4H", 0, 341, 682, 1023),
}
print(f"OpenCV {cv2.__version__}, Pillow {PIL.__version__}")
print("expected: [0, 85, 170, 255] everywhere")
seen = []
for text, content in files.items():
    Path("grey.pgm").write_bytes(content)
    with Image.open("grey.pgm") as image:
        pixels = np.asarray(image).ravel()
        pillow = (pixels // 257 if image.mode.startswith("I") else pixels).tolist()  # modes I hold 16 bits
    seen.append(cv2.imread("grey.pgm", cv2.IMREAD_GRAYSCALE).ravel().tolist())
    print(f"{text}: Pillow {pillow}, OpenCV {seen[-1]}")
    assert pillow == [0, 85, 170, 255]
sys.exit(0 if seen == [[0, 85, 170, 255], [0, 5, 10, 15], [0, 1, 2, 3]] else 1)
PY
PYTHONPATH=opencv-4.12.0.88 venv/bin/python show.py
PYTHONPATH=opencv-5.0.0.93 venv/bin/python show.py
