/* Images of two values: which is the paper, where ink covers most of the image or reaches its border.
 * htgen/images/ground.py in JavaScript. */
"use strict";

/** The paper by the border of an image, {polarity, dark}; null where it has more than two values. */
function findGround(grid) {
  const { height, width, values } = grid, counts = histogram(values), limit = otsu(counts);
  const dark = makeMask(grid, (v) => v <= limit), share = countTrue(dark.values) / values.length;
  if (share <= 0 || share >= 1) return null;
  const border = borderOf(dark), edge = countTrue(border) / border.length;
  if (Math.min(edge, 1 - edge) < 0.06 && Math.abs(share - edge) < 0.3) return null;
  let sum = 0, lower = 0;
  counts.forEach((count, v) => {
    sum += count * v;
    if (v <= limit) lower += count * v;
  });
  const mean = sum / values.length;
  let variance = 0;
  counts.forEach((count, v) => (variance += count * (v - mean) ** 2));
  const between = (share / (1 - share)) * (mean - lower / (share * values.length)) ** 2;
  const needed = Math.max(height, width) > 16 ? 0.8 : 0.8 - 0.2;
  if (between < needed * (variance / values.length)) return null;
  if (Math.max(height, width) > 32 && (hasThird(grid, dark) || isHalfLit(grid, dark))) return null;
  let polarity = null;
  if (!(edge > 0.25 && edge < 0.75)) {
    const isDarkAround = edge > 0.5 !== areLines(edge > 0.5 ? dark : invertMask(dark));
    polarity = isDarkAround ? LIGHT_ON_DARK : DARK_ON_LIGHT;
  } else if (isAround(dark)) polarity = LIGHT_ON_DARK;
  else if (isAround(invertMask(dark))) polarity = DARK_ON_LIGHT;
  return { polarity, dark };
}

/** Whether there is ink beyond both values: they are light and shadow. */
function hasThird(grid, dark) {
  const low = median(grid.values.filter((_, i) => dark.values[i])), high = median(grid.values.filter((_, i) => !dark.values[i]));
  const beyond = 0.25 * (high - low), many = 0.001 * grid.values.length;
  const count = (holds) => countTrue(makeMask(grid, holds).values);
  return count((v) => v < low - beyond) > many || count((v) => v > high + beyond) > many;
}

/** Whether the dark value is a shadow, which has a soft edge, and strokes that are as dark beside it. */
function isHalfLit(grid, dark) {
  const wide = sweepGrid(sweepGrid(dark, 5, "min"), 5, "max"), inner = sweepGrid(dark, 1, "min");
  const high = sweepGrid(grid, 1, "max"), low = sweepGrid(grid, 1, "min"), steps = mapGrid(high, (v, i) => v - low.values[i]);
  const limit = 0.5 * (median(grid.values.filter((_, i) => !dark.values[i])) - median(grid.values.filter((_, i) => dark.values[i])));
  const sharp = mapGrid(dark, (v, i) => v && wide.values[i] === 0 && steps.values[i] > limit);
  if (!(countTrue(sharp.values) > 0.001 * dark.values.length && countTrue(wide.values) > 0.5 * countTrue(dark.values))) return false;
  const edge = steps.values.filter((_, i) => wide.values[i] > 0 && inner.values[i] === 0);
  return edge.length > 0 && median(edge) < limit;
}

/** Whether a mask is of lines, of which some run along the border and others reach into the middle. */
function areLines(mask) {
  const area = countTrue(mask.values);
  if (area > 0.5 * mask.values.length || isAround(mask)) return false;
  const reach = Math.max(1, rint((0.12 / 2) * Math.max(mask.height, mask.width)));
  const wider = sweepGrid(padGrid(mask, reach, reach, reach, reach, 0), reach, "min");
  return countTrue(wider.values) < 0.02 * area; // where lines meet
}

/** Whether a mask is what is left beside one filled shape that reaches the border: a band along it. */
function isAround(mask) {
  const { height, width } = mask, rows = 1 + Math.floor(height / 8), columns = 1 + Math.floor(width / 8);
  for (let y = rows; y < height - rows; y++) {
    for (let x = columns; x < width - columns; x++) if (mask.values[y * width + x]) return false;
  }
  const areas = findComponents(invertMask(mask)).parts.map((part) => part.area);
  return Math.max(...areas) > 0.98 * areas.reduce((sum, a) => sum + a, 0);
}

/** The light on the paper of such an image. */
function lightOfGround(ground, grey, small, polarity) {
  const paper = polarity === LIGHT_ON_DARK ? ground.dark : invertMask(ground.dark);
  const sure = surePlaces(paper, small.height, small.width);
  if (Math.max(grey.height, grey.width) > 16 && countTrue(sure.values) > 0.05 * sure.values.length) return paperLight(small, sure);
  const limit = otsu(histogram(grey.values)), wantsDark = polarity === LIGHT_ON_DARK;
  const light = median(grey.values.filter((v) => v <= limit === wantsDark));
  return mapGrid(small, () => light);
}

/** Where there is nothing but paper, in a coarser image. */
function surePlaces(paper, height, width) {
  return makeMask(resizeGrid(mapGrid(paper, (v) => v, Float32Array), width, height, "box"), (v) => v > Math.fround(0.99));
}
