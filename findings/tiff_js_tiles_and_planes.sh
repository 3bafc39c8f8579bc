#!/usr/bin/env bash
# tiff 7.1.3, utif 3.1.0, utif2 4.1.0 (npm): two ordinary layouts of a colour TIFF are read as other pixels, silently.
#
# Slide scanners and maps write TIFF in tiles, and microscopes write the colours as planes one after another. Both layouts
# are in TIFF 6.0. `tiff`, which image-js reads files with, takes a tile of RGB for one of grey: each third place
# gets a value, and the rest stays 0. `utif` and `utif2` take the planes for pixels side by side.
# One would expect the same pixels from every reader, or an error that the layout is not known; for planes `tiff`
# raises one. Sizes and numbers of samples are right, so a page or a server that prepares images for a CNN goes on.
#
# Seen: tiles of RGB: of the values 99.6 % are wrong in tiff, none in utif and utif2. Planes: 99.6 % in utif and utif2.
# Tiles of grey are right everywhere.
set -euo pipefail

for tool in node npm; do
    command -v "$tool" >/dev/null || { echo "needs $tool (Debian packages nodejs and npm)" >&2; exit 2; }
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --prefix "$folder" tiff@7.1.3 utif@3.1.0 utif2@4.1.0 >/dev/null
python3 -m venv venv
venv/bin/pip install -q numpy==2.4.6 tifffile==2026.3.3
cat >write.py <<'PY'
import numpy as np
import tifffile

grey = (np.arange(32 * 64) % 251).astype(np.uint8).reshape(32, 64)
colour = (np.arange(32 * 64 * 3) % 251).astype(np.uint8).reshape(32, 64, 3)
tifffile.imwrite("grey, tiles.tif", grey, photometric="minisblack", tile=(16, 32))
tifffile.imwrite("colour, rows.tif", colour, photometric="rgb")
tifffile.imwrite("colour, tiles.tif", colour, photometric="rgb", tile=(16, 32))
planes = np.ascontiguousarray(colour.transpose(2, 0, 1))
tifffile.imwrite("colour, planes.tif", planes, photometric="rgb", planarconfig="separate")
for name, image in (("grey", np.repeat(grey[..., None], 3, axis=2)), ("colour", colour)):
    image.tofile(f"{name}.raw")
PY
venv/bin/python write.py
cat >show.mjs <<'JS'
import assert from "assert";
import fs from "fs";
import { decode } from "tiff";
import UTIF from "utif";
import UTIF2 from "utif2";

const by = (library) => (file) => {
  const bytes = file.buffer.slice(file.byteOffset, file.byteOffset + file.length), [page] = library.decode(bytes);
  library.decodeImage(bytes, page);
  return library.toRGBA8(page).filter((_, i) => i % 4 < 3);
};
const byTiff = (file) => {
  const page = decode(file)[0], samples = page.samplesPerPixel;
  return samples === 3 ? page.data : Uint8Array.from({ length: 3 * page.data.length }, (_, i) => page.data[Math.floor(i / 3)]);
};
const found = {};
for (const name of ["colour, rows", "grey, tiles", "colour, tiles", "colour, planes"]) {
  const file = fs.readFileSync(`${name}.tif`), right = fs.readFileSync(`${name.split(",")[0]}.raw`);
  found[name] = [byTiff, by(UTIF), by(UTIF2)].map((read) => {
    try {
      const values = read(file);
      return values.length === right.length ? values.reduce((sum, v, i) => sum + (v !== right[i]), 0) / right.length : "size";
    } catch (error) {
      return "error";
    }
  });
}
for (const [name, shares] of Object.entries(found)) {
  const words = shares.map((share) => (typeof share === "number" ? (100 * share).toFixed(1) + " % wrong" : share));
  console.log(`${name.padEnd(15)} tiff ${words[0]}, utif ${words[1]}, utif2 ${words[2]}`);
}
assert.deepStrictEqual(found["colour, rows"], [0, 0, 0]);
assert.deepStrictEqual(found["grey, tiles"], [0, 0, 0]);
assert(found["colour, tiles"][0] > 0.9);
assert.deepStrictEqual(found["colour, tiles"].slice(1), [0, 0]);
assert(found["colour, planes"][0] === "error" && found["colour, planes"].slice(1).every((share) => share > 0.9));
console.log("as described");
JS
node show.mjs | grep -v '^====' || exit 1
