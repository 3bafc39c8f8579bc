/* Ruled and squared paper: thin straight lines from border to border, at even distances, are no ink.
 * htgen/images/ruled.py in JavaScript. */
"use strict";

const RULED = "the lines of ruled or squared paper are left out";

/** An image without such lines; the same where there are none. */
function withoutRules(grey) {
  if (Math.min(grey.height, grey.width) < 48) return grey;
  const across = withoutLines(grey, 3), turned = transposeGrid(across);
  const down = withoutLines(turned, across !== grey ? 1 : 3);
  if (down === turned) return across;
  return across === grey ? withoutLines(transposeGrid(down), 1) : transposeGrid(down);
}

function transposeGrid({ height, width, values }) {
  return makeGrid(width, height, values.map((_, i) => values[(i % height) * width + Math.floor(i / height)]));
}

/** The same for so many lines and more from left to right. */
function withoutLines(grey, fewest) {
  const edge = Math.max(1, Math.floor(grey.width / 100));
  if ([0, grey.width - edge].some((first) => isOneValue(grey, first, edge))) return grey;
  const isDark = median(shrinkGrid(mapGrid(grey, (v) => v, Float32Array), 32).values) > 127;
  const values = isDark ? grey : mapGrid(grey, (v) => 255 - v), lines = findLines(values, fewest);
  if (lines === null) return grey;
  const cleaned = eraseLines(values, lines);
  return isDark ? cleaned : mapGrid(cleaned, (v) => 255 - v);
}

/** Whether some columns have one value, so that no line crosses them. */
function isOneValue({ height, width, values }, first, count) {
  for (let y = 0; y < height; y++) {
    for (let x = first; x < first + count; x++) if (values[y * width + x] !== values[first]) return false;
  }
  return true;
}

/** Dark lines from left to right, as many or more: {middles, reach, slope}; null without them. */
function findLines(values, fewest) {
  const { height, width } = values, columns = Math.min(32, width), reach = Math.max(3, rint(0.02 * height));
  const strips = resizeGrid(mapGrid(values, (v) => v, Float32Array), columns, height, "box");
  const light = alongGrid(alongGrid(strips, reach, Math.max), reach, Math.min);
  const taken = mapGrid(strips, (v, i) => 1 - Math.fround(v / Math.max(light.values[i], 16)));
  const used = new Array(columns).fill(0);
  taken.values.forEach((v, i) => (used[i % columns] += v > Math.fround(0.03 / 2) ? 1 : 0));
  if (used.filter((count) => count >= fewest).length < (1 - 0.2) * columns) return null;
  const best = (slopes) => {
    let found = slopes[0], most = -Infinity;
    for (const slope of slopes) {
      const sum = levelAlong(taken, slope, width).reduce((total, v) => total + v, 0);
      if (sum > most) [found, most] = [slope, sum];
    }
    return found;
  };
  const coarse = best(evenly(-0.09, 0.09, 37)), slope = best(evenly(-0.004, 0.004, 9).map((step) => coarse + step));
  const level = levelAlong(taken, slope, width), ordered = Float64Array.from(level).sort();
  const usual = ordered[Math.floor(height / 4)], most = ordered[height - 1 - Math.floor(height / 50)];
  const limit = Math.max(0.03, 4 * usual, 0.4 * most), runs = [];
  level.forEach((v, y) => {
    if (v > limit && !(y > 0 && level[y - 1] > limit)) runs.push([y, y]);
    if (v > limit) runs[runs.length - 1][1] = y + 1;
  });
  const isInner = ([start, end]) => start > 0.01 * height && end < (1 - 0.01) * height, wide = Math.max(...runs.map(([start, end]) => end - start));
  if (runs.filter(isInner).length < fewest || wide > reach) return null;
  const middle = ([start, end]) => (start + end - 1) / 2;
  const inner = runs.filter(isInner), usualLevel = median(inner.map(([start]) => level[start]));
  if (!reachTheBorder(values, inner.map(middle), wide, slope, usualLevel)) return null;
  const middles = continuedLines(runs.map(middle), runs.filter(isInner).map(middle), wide, (Math.abs(slope) * width) / 2, height);
  return middles === null ? null : { middles, reach: Math.floor((wide + 1) / 2) + 1, slope };
}

/** Whether lines go on to both borders; what is drawn ends before, if by little. */
function reachTheBorder({ height, width, values }, middles, wide, slope, level) {
  const edge = Math.max(1, Math.floor(width / 100));
  return [[0, (edge - width) / 2], [width - edge, (width - edge) / 2]].every(([first, x]) => {
    const column = Array.from({ length: height }, (_, y) => values.slice(y * width + first, y * width + first + edge).reduce((sum, v) => sum + v, 0) / edge);
    const near = (row, reach) => Array.from({ length: 2 * reach + 1 }, (_, i) => column[clip(row - reach + i, 0, height - 1)]);
    const rows = middles.map((middle) => rint(middle + slope * x)).filter((row) => row >= 0 && row < height);
    const dark = rows.filter((row) => 1 - Math.min(...near(row, wide)) / Math.max(...near(row, 3 * wide), 16) > 0.5 * level);
    return rows.length > 0 && dark.length >= (1 - 0.2) * rows.length;
  });
}

/** Numbers from a first to a last one, at even distances. */
function evenly(first, last, count) {
  return Array.from({ length: count }, (_, i) => first + i * ((last - first) / (count - 1)));
}

/** Lines at even distances, and those that cross the upper or lower border; null where they are not even. */
function continuedLines(middles, inner, wide, rise, height) {
  const gaps = inner.slice(1).map((middle, i) => middle - inner[i]);
  if (!gaps.length) return middles;
  const usual = median(gaps), isEven = (gap) => Math.abs(gap / Math.max(rint(gap / usual), 1) - usual) <= Math.max(0.12 * usual, 1.5);
  if (!gaps.every(isEven) || usual < 2 * wide) return null;
  const more = Array.from({ length: 1 + Math.trunc((3 * rise) / usual) }, (_, i) => (i + 1) * usual);
  const before = more.map((step) => middles[0] - step).filter((place) => place < 2 * rise).reverse();
  const after = more.map((step) => middles[middles.length - 1] + step).filter((place) => place > height - 1 - 2 * rise);
  return [...before, ...middles, ...after];
}

/** What all strips but a few, and those at both ends, have in a row, each moved up as a line falls there. */
function levelAlong({ height, width: columns, values }, slope, width) {
  const level = new Float64Array(height), moved = new Float64Array(columns), position = 0.2 * (columns - 1), below = Math.floor(position);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < columns; x++) {
      const place = clip(y + slope * ((x + 0.5) * (width / columns) - width / 2), 0, height - 1), row = Math.min(Math.floor(place), height - 2);
      const low = values[row * columns + x], high = values[(row + 1) * columns + x];
      moved[x] = (high - low) * (place - row) + low;
    }
    const ends = Math.min(Math.max(moved[0], moved[1]), Math.max(moved[columns - 2], moved[columns - 1]));
    moved.sort();
    level[y] = Math.min(ends, moved[below] + (moved[Math.min(below + 1, columns - 1)] - moved[below]) * (position - below));
  }
  return level;
}

/** The least or greatest over so many rows above and below. */
function alongGrid(grid, reach, extreme) {
  const { height, width, values } = grid;
  return mapGrid(grid, (v, i) => {
    const y = Math.floor(i / width);
    for (let row = Math.max(0, y - reach); row <= Math.min(height - 1, y + reach); row++) v = extreme(v, values[row * width + (i % width)]);
    return v;
  });
}

/** Dark lines filled from above and below, but for what is darker and crosses them. */
function eraseLines(grid, { middles, reach, slope }) {
  const { height, width, values } = grid, step = 2 * reach;
  const isLine = makeMask(grid, (_, i) => {
    const place = Math.floor(i / width) - slope * ((i % width) + 0.5 - width / 2);
    return middles.some((middle) => Math.abs(place - middle) <= reach);
  });
  if (!countTrue(isLine.values)) return grid;
  const at = (i) => (i < 0 || i >= values.length ? 255 : values[i]);
  const beside = mapGrid(grid, (_, i) => Math.min(at(i - step * width), at(i + step * width)));
  const taken = mapGrid(grid, (v, i) => 1 - Math.fround(v / Math.max(beside.values[i], 1)), Float32Array);
  const limit = 1.3 * quantile(sorted(taken.values.filter((_, i) => isLine.values[i])), 0.85) + 0.03;
  return mapGrid(grid, (v, i) => (isLine.values[i] && taken.values[i] <= Math.fround(limit) ? Math.max(v, beside.values[i]) : v));
}
