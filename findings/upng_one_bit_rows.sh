#!/usr/bin/env bash
# upng-js 2.1.0: drawings of 1, 2 or 4 bits become slanted, unless their width fills whole bytes.
#
# In a PNG each row begins with a new byte. `toRGBA8` of upng-js, which pages in the browser read and write PNGs with,
# takes the pixels of grey images below 8 bits as one long line. A row that ends within a byte so shifts all rows
# after it. One would expect the pixels that other readers see, or an error.
# Scanners and drawing programs save black and white like this; so are the 105 x 105 drawings of Omniglot. Palettes of as many
# bits are read rightly, and so are widths that are a multiple of 8.
#
# Seen: of a vertical bar in 105 x 105 pixels of 1 bit 14.2 % of the pixels are wrong; with 104 columns none is.
# pngjs 7.0.0 is right for both.
set -euo pipefail

for tool in node npm; do
    command -v "$tool" >/dev/null || { echo "needs $tool (Debian packages nodejs and npm)" >&2; exit 2; }
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund upng-js@2.1.0 pngjs@7.0.0
cat >show.cjs <<'JS'
const assert = require("assert"), zlib = require("zlib");
const UPNG = require("upng-js"), { PNG } = require("pngjs");

/** A chunk of a PNG file. */
function chunk(kind, data) {
  const body = Buffer.concat([Buffer.from(kind, "latin1"), data]), whole = Buffer.alloc(body.length + 8);
  whole.writeUInt32BE(data.length, 0);
  body.copy(whole, 4);
  whole.writeUInt32BE(zlib.crc32 ? zlib.crc32(body) : crc32(body), body.length + 4);
  return whole;
}

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** A black bar from top to bottom on white, of 1 bit a pixel. */
function drawing(width, height) {
  const bytes = Math.ceil(width / 8), rows = Buffer.alloc(height * (1 + bytes));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (x < 50 || x >= 55) rows[y * (1 + bytes) + 1 + (x >> 3)] |= 128 >> (x & 7);
    }
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head[8] = 1;
  const magic = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]), none = Buffer.alloc(0);
  return Buffer.concat([magic, chunk("IHDR", head), chunk("IDAT", zlib.deflateSync(rows)), chunk("IEND", none)]);
}

for (const width of [104, 105]) {
  const height = 105, file = drawing(width, height);
  const bytes = file.buffer.slice(file.byteOffset, file.byteOffset + file.length);
  const found = { upng: new Uint8Array(UPNG.toRGBA8(UPNG.decode(bytes))[0]), pngjs: PNG.sync.read(file).data };
  const wrong = { upng: 0, pngjs: 0 };
  for (let i = 0; i < width * height; i++) {
    const right = i % width < 50 || i % width >= 55 ? 255 : 0;
    for (const name of Object.keys(found)) wrong[name] += found[name][4 * i] !== right;
  }
  const share = (name) => (100 * wrong[name] / (width * height)).toFixed(1) + " %";
  console.log(`${width} x ${height}, 1 bit: wrong pixels: upng-js ${share("upng")}, pngjs ${share("pngjs")}`);
  assert.strictEqual(wrong.pngjs, 0);
  assert(width % 8 ? wrong.upng > 0.05 * width * height : wrong.upng === 0);
}
console.log("as described");
JS
node show.cjs || exit 1
