#!/usr/bin/env bash
# Pillow 13.0.0 and 11.3.0: a font file that is cut off is drawn in another font of the same file name.
#
# People draw the letters of many fonts to train readers of characters. `ImageFont.truetype` takes the path of a font
# file. When FreeType cannot read that file, Pillow looks for its bare name, `Regular.ttf`, in all folders of fonts
# of the system (`XDG_DATA_HOME`, `XDG_DATA_DIRS`, Windows, macOS), and returns the first that it finds, whatever
# family that is. The documentation says so of files that are not found; it is done for files that are there and
# damaged too, and for absolute paths. So a download that was cut off gives a class or a writer the letters of
# another font, on machines that have one of that name, and an error on all others. Of an open file in place of the
# path, or its bytes, the error is raised.
#
# Seen (pixels of "a", 40 px):
#   cut off, by its path: the letter of Amatic SC, 0 pixels differ
#   not there, by its path: the letter of Amatic SC, 0 pixels differ
#   cut off, as an open file: OSError: unknown file format
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p home/fonts/amatic dataset/caladea
cat >show.py <<'PY'
import sys
from pathlib import Path

import font_amatic_sc
import font_caladea
import PIL
from PIL import Image, ImageChops, ImageDraw, ImageFont


def letter(font):
    image = Image.new("L", (60, 60), 255)
    ImageDraw.Draw(image).text((10, 5), "a", fill=0, font=ImageFont.truetype(font, 40))
    return image


amatic = Path(font_amatic_sc.__file__).parent / "files" / "AmaticSC-Regular.ttf"
caladea = Path(font_caladea.__file__).parent / "files" / "Caladea-Regular.ttf"
Path("home/fonts/amatic/Regular.ttf").write_bytes(amatic.read_bytes())  # one that is installed
cut_off = Path("dataset/caladea/Regular.ttf").absolute()
cut_off.write_bytes(caladea.read_bytes()[:200])  # one of a data set
gone = Path("dataset/none/Regular.ttf").absolute()
wanted, other = letter(caladea), letter(amatic)
assert ImageChops.difference(wanted, other).getbbox() is not None
seen = []
print(f"Pillow {PIL.__version__}")
for name, path in (("cut off", cut_off), ("not there", gone)):
    try:
        apart = sum(ImageChops.difference(letter(path), other).histogram()[1:])
        seen.append(apart)
        print(f"{name}, by its path: the letter of Amatic SC, {apart} pixels differ")
    except OSError as error:
        print(f"{name}, by its path: OSError: {error}")
try:
    with cut_off.open("rb") as file:
        letter(file)
    print("cut off, as an open file: drawn")
except OSError as error:
    seen.append("error")
    print(f"cut off, as an open file: OSError: {error}")
sys.exit(0 if seen == [0, 0, "error"] else 1)
PY
echo "expected: an error for a path whose file cannot be read"
for version in 13.0.0 11.3.0; do
  python3 -m venv --clear venv
  venv/bin/pip install -q "pillow==$version" font-amatic-sc==0.0.4 font-caladea==0.0.2
  XDG_DATA_HOME="$folder/home" venv/bin/python show.py
done
