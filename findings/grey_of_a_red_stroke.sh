#!/usr/bin/env bash
# One red stroke has four greys: white in tfjs 4.22.0, 127 in sharp 0.35.5, 54 in jimp 1.6.1, 76 in Pillow.
#
# A CNN learns from grey pixels in Python and is often used in a browser or a Node server.
# `tf.browser.fromPixels(image, 1)` does not mix colours: it takes the red channel, so red ink on white paper
# is gone. `greyscale()` of sharp mixes in linear light (127), that of jimp with the weights of HD video (54).
# jimp makes 62 of the 256 greys darker by one, white among them, so "is this pixel white" is answered no.
#
# Seen (greys of white, red, green, blue, black):
#   Pillow 13.0.0 convert("L"): 255 76 150 29 0
#   tfjs 4.22.0 fromPixels(_, 1): 255 255 0 0 0
#   sharp 0.35.5 greyscale(): 255 127 220 76 0
#   jimp 1.6.1 greyscale(): 254 54 182 18 0
set -euo pipefail

command -v npm >/dev/null || { echo "needs npm (Debian package npm)" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --prefix "$folder" \
  @tensorflow/tfjs-core@4.22.0 @tensorflow/tfjs-backend-cpu@4.22.0 sharp@0.35.5 jimp@1.6.1 pngjs@7.0.0 >/dev/null
python3 -m venv venv
venv/bin/pip install -q pillow==13.0.0
cat >show.py <<'PY'
import PIL
from PIL import Image

image = Image.new("RGB", (5, 1))
for at, colour in enumerate(("white", "red", "lime", "blue", "black")):
    image.paste(colour, (at, 0, at + 1, 1))
image.save("colours.png")
print(f'Pillow {PIL.__version__} convert("L"):', *image.convert("L").tobytes())
PY
cat >show.cjs <<'JS'
const fs = require('fs');
const { PNG } = require('pngjs');
const sharp = require('sharp');
const { Jimp } = require('jimp');
const tf = require('@tensorflow/tfjs-core');
require('@tensorflow/tfjs-backend-cpu');

const versionOf = (name) => JSON.parse(fs.readFileSync(`node_modules/${name}/package.json`)).version;
async function main() {
  const file = fs.readFileSync('colours.png');
  await tf.setBackend('cpu');
  const { data, width, height } = PNG.sync.read(file);
  const found = {
    tfjs: Array.from(tf.browser.fromPixels({ data: new Uint8Array(data), width, height }, 1).dataSync()),
    sharp: Array.from(await sharp(file).greyscale().raw().toBuffer()),
    jimp: Array.from((await Jimp.read(file)).greyscale().bitmap.data).filter((_, at) => at % 4 === 0),
  };
  console.log(`tfjs ${versionOf('@tensorflow/tfjs-core')} fromPixels(_, 1): ${found.tfjs.join(' ')}`);
  console.log(`sharp ${versionOf('sharp')} greyscale(): ${found.sharp.join(' ')}`);
  console.log(`jimp ${versionOf('jimp')} greyscale(): ${found.jimp.join(' ')}`);
  const holds = found.tfjs[1] === 255 && found.sharp[1] === 127 && found.jimp[1] === 54 && found.jimp[0] === 254;
  process.exitCode = holds ? 0 : 1;
}
main().catch((error) => { console.error(error); process.exitCode = 1; });
JS
echo "expected: nearly the same greys from all, white stays 255"
venv/bin/python show.py
node show.cjs 2>show.log | grep -E '^(tfjs|sharp|jimp) [0-9]'
