/* Paper and its light, what is ink and which is darker: htgen/images/paper.py in JavaScript. */
"use strict";

const DARK_ON_LIGHT = "dark on light", LIGHT_ON_DARK = "light on dark";

/** The value of the paper, 0-255: a weighted median in which the border counts three tenths. */
function backgroundValue(grey) {
  const border = borderOf(grey), weight = new Float64Array(256);
  for (const value of border) weight[value] += 0.3 / border.length;
  histogram(grey.values).forEach((count, value) => (weight[value] += count * (0.7 / grey.values.length)));
  const total = weight.reduce((sum, w) => sum + w, 0);
  let sum = 0;
  for (let value = 0; value < 256; value++) {
    sum += weight[value];
    if (sum >= total / 2) return value;
  }
  return 255;
}

/** Whether a drawing is darker or brighter than its background. */
function detectPolarity(grey) {
  const background = backgroundValue(grey), counts = histogram(grey.values);
  let moment = 0;
  counts.forEach((count, value) => (moment += count * (value - background) ** 3));
  if (moment === 0) return background > 127 ? DARK_ON_LIGHT : LIGHT_ON_DARK;
  return moment < 0 ? DARK_ON_LIGHT : LIGHT_ON_DARK;
}

/** The value that the paper has, or would have under the ink: a quadratic surface by least absolute deviations. */
function paperLight(grey, where = null) {
  const { height, width, values } = grey, count = values.length;
  const surfaces = quadraticSurfaces(height, width);
  const isBorder = (i) => i < width || i >= count - width || i % width === 0 || i % width === width - 1;
  let borders = 0;
  for (let i = 0; i < count; i++) borders += isBorder(i) ? 1 : 0;
  const weight = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    weight[i] = (0.7 / count + (isBorder(i) ? 0.3 / borders : 0)) * (where === null || where.values[i] ? 1 : 1e-4);
  }
  const start = where === null ? backgroundValue(mapGrid(grey, rint, Uint8Array)) : median(values.filter((_, i) => where.values[i]));
  let light = new Float64Array(count).fill(start);
  for (let turn = 0; turn < 12; turn++) {
    const pull = weight.map((w, i) => w / Math.max(Math.abs(values[i] - light[i]), 1));
    const product = (row, other) => {
      let sum = 0;
      for (let i = 0; i < count; i++) sum += pull[i] * row[i] * other[i];
      return sum;
    };
    const factors = solve(surfaces.map((row) => surfaces.map((other) => product(row, other))), surfaces.map((row) => product(row, values)));
    const next = new Float64Array(count);
    let change = 0;
    for (let i = 0; i < count; i++) {
      for (let s = 0; s < surfaces.length; s++) next[i] += factors[s] * surfaces[s][i];
      change = Math.max(change, Math.abs(next[i] - light[i]));
    }
    light = next;
    if (change < 1e-8) break;
  }
  return makeGrid(height, width, Float32Array.from(light));
}

/** Orthonormal surfaces of which all quadratic ones are sums. */
function quadraticSurfaces(height, width) {
  const along = (i, length) => (length > 1 ? -1 + (2 * i) / (length - 1) : -1);
  const terms = [() => 1, (x) => x, (x, y) => y, (x) => x * x, (x, y) => x * y, (x, y) => y * y];
  const found = [];
  for (const term of terms) {
    const row = new Float64Array(height * width);
    for (let i = 0; i < row.length; i++) row[i] = term(along(i % width, width), along(Math.floor(i / width), height));
    for (let twice = 0; twice < 2; twice++) {
      for (const other of found) {
        const share = row.reduce((sum, v, i) => sum + v * other[i], 0);
        for (let i = 0; i < row.length; i++) row[i] -= share * other[i];
      }
    }
    const length = Math.hypot(...row);
    if (length > 1e-7) found.push(row.map((v) => v / length));
  }
  return found;
}

/** Solve a small system of equations by elimination. */
function solve(matrix, right) {
  const rows = matrix.map((row, i) => [...row, right[i]]), n = rows.length;
  for (let i = 0; i < n; i++) {
    let best = i;
    for (let k = i + 1; k < n; k++) if (Math.abs(rows[k][i]) > Math.abs(rows[best][i])) best = k;
    [rows[i], rows[best]] = [rows[best], rows[i]];
    for (let k = i + 1; k < n; k++) {
      const factor = rows[k][i] / rows[i][i];
      for (let j = i; j <= n; j++) rows[k][j] -= factor * rows[i][j];
    }
  }
  const result = new Array(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    let rest = rows[i][n];
    for (let j = i + 1; j < n; j++) rest -= rows[i][j] * result[j];
    result[i] = rest / rows[i][i];
  }
  return result;
}

/** The same as `detectPolarity`, from the differences to the paper's light. */
function sideOfInk(difference, paper) {
  let clearest = imbalance(difference);
  if (Math.abs(clearest) < 0.9) {
    const wide = medianGrid(difference, 11);
    const strokes = 0.9 * imbalance(mapGrid(difference, (d, i) => d - wide.values[i]));
    if (Math.abs(strokes) > Math.abs(clearest)) clearest = strokes;
  }
  if (clearest === 0) return paper > 127 ? DARK_ON_LIGHT : LIGHT_ON_DARK;
  return clearest < 0 ? DARK_ON_LIGHT : LIGHT_ON_DARK;
}

function imbalance(difference) {
  let sum = 0, size = 0;
  for (const value of difference.values) {
    if (Math.abs(value) < 1) continue; // a grey level is noise
    sum += value ** 3;
    size += Math.abs(value) ** 3;
  }
  return sum / Math.max(size, 1);
}

/** Shadows with edges: the share of the light that they take; with what is left along their soft edges, if wanted. */
function findShade(share, ink, withEdges) {
  const opened = (grid, reach) => sweepGrid(sweepGrid(grid, reach, "min"), reach, "max");
  let shade = mapGrid(opened(share, 5), (v) => (v < 0.75 * ink ? v : 0));
  const deepest = shade.values.reduce((most, v) => Math.max(most, v), -Infinity);
  if (withEdges && deepest > 0.04 && deepest < 0.5 * ink) {
    const near = sweepGrid(mapGrid(shade, (v) => (v > Math.fround(0.04) ? 1 : 0)), 3, "max").values;
    for (const reach of [3, 2]) {
      const rest = mapGrid(share, (v, i) => v - shade.values[i]), wide = opened(rest, reach).values;
      const darkest = sweepGrid(opened(rest, 1), reach + 1, "max").values;
      shade = mapGrid(shade, (v, i) => (near[i] && darkest[i] < 0.35 * ink ? v + wide[i] : v));
    }
  }
  return mapGrid(shade, (v) => clip(v, -1, 0.9));
}

/** What separates ink from paper: the paper's middle and spread, and a value between (after Otsu). */
function findLevels(ordered) {
  const edges = [];
  for (let i = 0; i <= 256; i++) edges.push(countBelow(ordered, Math.fround(i / 256), i === 256));
  const counts = edges.slice(1).map((edge, i) => edge - edges[i]);
  const between = betweenClasses(counts);
  let threshold = (bestPlace(between) + 1) / 256;
  const paper = ordered.subarray(0, countBelow(ordered, Math.fround(threshold)));
  if (!paper.length) return { paper: 0, spread: 0, threshold };
  const middle = quantile(paper, 0.5), half = paper.length >> 1;
  const spread = (1.4826 * (radius(paper, middle, paper.length - half) + radius(paper, middle, half + 1))) / 2;
  const darkest = quantile(ordered, 0.998);
  threshold = Math.max(threshold, middle + 4 * spread, middle + (darkest - middle) / 3);
  return { paper: middle, spread, threshold };
}

/** The variance between two classes of values, for each last value of the lower one. */
function betweenClasses(counts) {
  let below = 0, moment = 0;
  const total = counts.reduce((sum, c) => sum + c, 0), whole = counts.reduce((sum, c, i) => sum + c * i, 0);
  return Array.from(counts, (count, i) => {
    below += count;
    moment += count * i;
    const pairs = below * (total - below);
    return pairs === 0 ? 0 : (whole * (below / Math.max(total, 1)) - moment) ** 2 / Math.max(pairs, 1);
  });
}

/** The mean place of those that are largest. */
function bestPlace(between) {
  const limit = Math.max(...between) * (1 - 1e-9);
  const best = [...between.keys()].filter((i) => between[i] >= limit);
  return best.reduce((sum, i) => sum + i, 0) / best.length;
}

/** The last value of the lower of two classes of bytes. */
function otsu(counts) {
  return Math.floor(bestPlace(betweenClasses(counts)));
}
