/* Whether what a CNN of photographs sees is a drawing: htgen/images/drawn.py in JavaScript. */
"use strict";

const DRAWN = "it looks like a drawing, not like a photograph of a thing";

/** What is to be said of a prepared picture that is drawn, where its class is of photographs alone. */
function drawnWarnings(cnn, { pixels, isBlank }, probabilities) {
  const { size, channels } = cnn.preprocessing, label = cnn.classes[probabilities.indexOf(Math.max(...probabilities))];
  return !isBlank && cnn.photographs.includes(label) && isPlainlyDrawn(pixels, size, channels) ? [DRAWN] : [];
}

/** Whether bytes [size, size, channels] are a drawing, an icon or writing, and no photograph of a thing. */
function isPlainlyDrawn(pixels, size, channels) {
  const step = Math.ceil(size / 64), side = 4 * Math.floor(Math.ceil(size / step) / 4), count = side * side;
  if (side < 16) return false;
  const channel = (number) =>
    Float64Array.from({ length: count }, (_, i) => pixels[(Math.floor(i / side) * step * size + (i % side) * step) * channels + Math.min(number, channels - 1)]);
  const [red, green, blue] = [0, 1, 2].map(channel);
  const ink = shareTaken(red.map((value, i) => (value + green[i] + blue[i]) / 3), side);
  const counts = new Array(64).fill(0);
  for (const value of ink) counts[Math.min(63, Math.max(0, Math.trunc(value * 64)))]++;
  let bits = 0;
  for (let i = 0; i < 64; i += 2) {
    const share = (counts[i] + counts[i + 1]) / count;
    if (share) bits -= share * Math.log2(share);
  }
  let darkest = 0;
  for (let sum = counts[0]; sum < 0.99 * count; sum += counts[darkest]) darkest++;
  darkest /= 64;
  if (darkest < 0.4) return false;
  const isFull = ink.map((value) => value > 0.75 * darkest), isInk = ink.map((value) => value > darkest / 2);
  const between = (countTrue(ink.map((value) => value > 0.25 * darkest)) - countTrue(isFull)) / count;
  let changes = 0;
  for (let i = 0; i < count; i++) {
    if (i >= side && isInk[i] !== isInk[i - side]) changes++;
    if (i % side && isInk[i] !== isInk[i - 1]) changes++;
  }
  const perEdge = between / (changes / count + 0.01);
  const ratios = [red, blue].map((values) => values.map((value, i) => (value + 8) / (green[i] + 8)));
  const paper = spreadOf(ratios, ink.map((value) => value < 0.2 * darkest));
  const isColourless = paper < 0.02 && spreadOf(ratios, isFull) < 0.03;
  return (isColourless && bits < 2.2 && perEdge < 1.2) || (paper < 0.2 && bits < 2 && perEdge < 0.4);
}

/** Which share of the light around it each pixel takes, 0..1; of what is bright on dark, the reverse. */
function shareTaken(grey, side) {
  const width = side / 4;
  let blocks = new Float64Array(width * width);
  grey.forEach((value, i) => (blocks[Math.floor(i / side / 4) * width + Math.floor((i % side) / 4)] += value / 16));
  if (blocks.slice().sort()[blocks.length >> 1] < blocks.reduce((sum, value) => sum + value, 0) / blocks.length) {
    grey = grey.map((value) => 255 - value);
    blocks = blocks.map((value) => 255 - value);
  }
  const around = (values, either) =>
    values.map((own, i) => {
      const row = Math.floor(i / width), column = i % width;
      for (let y = Math.max(0, row - 3); y <= Math.min(width - 1, row + 3); y++) {
        for (let x = Math.max(0, column - 3); x <= Math.min(width - 1, column + 3); x++) own = either(own, values[y * width + x]);
      }
      return own;
    });
  const light = around(around(blocks, Math.max), Math.min);
  return grey.map((value, i) => 1 - (value + 8) / (light[Math.floor(i / side / 4) * width + Math.floor((i % side) / 4)] + 8));
}

/** How much two ratios of colours vary at some places: the sum of their standard deviations. */
function spreadOf(ratios, where) {
  if (!countTrue(where)) return 0;
  return ratios.reduce((sum, ratio) => sum + Math.sqrt(varianceOf(ratio.filter((_, i) => where[i]))), 0);
}
