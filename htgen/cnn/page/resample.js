/* Grids of numbers, {height, width, values}, and their resampling: htgen/images/resampling.py in JavaScript.
 * Weights and rounding are those of Pillow. */
"use strict";

const FILTERS = {
  box: [0.5, (x) => (x > -0.5 && x <= 0.5 ? 1 : 0)],
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  bicubic: [2, (x) => cubic(Math.abs(x))],
  lanczos: [3, (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
};

function cubic(x) {
  const a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

function makeGrid(height, width, values) {
  return { height, width, values };
}

/** A grid whose values are changed one by one, of the same kind or of another. */
function mapGrid(grid, change, Kind = grid.values.constructor) {
  const old = grid.values, values = new Kind(old.length);
  for (let i = 0; i < values.length; i++) values[i] = change(old[i], i);
  return makeGrid(grid.height, grid.width, values);
}

/** The nearest whole number; of two that are as near, the even one. */
function rint(x) {
  const low = Math.floor(x), rest = x - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 ? low + 1 : low;
}

function clip(x, low, high) {
  return x < low ? low : x > high ? high : x;
}

/** For each place of the result, the first that it is made of and the weights of that and the next ones. */
function shares(length, from, to, result, filter) {
  const [reach, weigh] = FILTERS[filter];
  const scale = (to - from) / result, wide = Math.max(scale, 1), support = reach * wide;
  const found = [];
  for (let place = 0; place < result; place++) {
    const centre = from + (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(length, Math.trunc(centre + support + 0.5));
    const weights = new Float64Array(last - first);
    let total = 0;
    for (let i = 0; i < weights.length; i++) {
      weights[i] = weigh((i + first - centre + 0.5) * (1 / wide));
      total += weights[i];
    }
    if (total !== 0) for (let i = 0; i < weights.length; i++) weights[i] /= total;
    found.push([first, weights]);
  }
  return found;
}

/** Whole weights and sums for bytes, as Pillow has them. */
function wholeShares(found) {
  return found.map(([first, weights]) => [first, weights.map((w) => Math.trunc(w * 4194304 + (w < 0 ? -0.5 : 0.5)))]);
}

/** Resample a grid of bytes or of float32. */
function resizeGrid(grid, width, height, filter = "lanczos", box = null) {
  const whole = [0, 0, grid.width, grid.height];
  const isAll = box === null || box.every((edge, i) => edge === whole[i]);
  if (isAll && grid.width === width && grid.height === height) return grid;
  const [left, top, right, bottom] = isAll ? whole : box;
  const areBytes = grid.values instanceof Uint8Array || grid.values instanceof Uint8ClampedArray;
  const ofPixels = (found) => (areBytes ? wholeShares(found) : found);
  const across = (values, rows) =>
    width !== grid.width || left !== 0 || right !== width
      ? alongRows(values, rows, grid.width, ofPixels(shares(grid.width, left, right, width, filter)), areBytes)
      : values;
  const down = (values, columns) =>
    height !== grid.height || top !== 0 || bottom !== height
      ? alongColumns(values, columns, ofPixels(shares(grid.height, top, bottom, height, filter)), areBytes)
      : values;
  // Bytes are rounded in between; which comes first is as Pillow chooses for most images.
  const isTall = grid.height > grid.width && grid.width * height < width * grid.height;
  const values = isTall ? across(down(grid.values, grid.width), height) : down(across(grid.values, grid.height), width);
  return makeGrid(height, width, values);
}

function toByte(sum) {
  return clip(Math.floor(sum / 4194304), 0, 255);
}

function alongRows(values, height, width, found, areBytes) {
  const result = areBytes ? new Uint8Array(height * found.length) : new Float32Array(height * found.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < found.length; x++) {
      const [first, weights] = found[x];
      let sum = areBytes ? 2097152 : 0;
      for (let i = 0, at = y * width + first; i < weights.length; i++, at++) sum += values[at] * weights[i];
      result[y * found.length + x] = areBytes ? toByte(sum) : sum;
    }
  }
  return result;
}

function alongColumns(values, width, found, areBytes) {
  const result = areBytes ? new Uint8Array(width * found.length) : new Float32Array(width * found.length);
  const sums = new Float64Array(width);
  for (let y = 0; y < found.length; y++) {
    const [first, weights] = found[y];
    sums.fill(areBytes ? 2097152 : 0);
    for (let i = 0; i < weights.length; i++) {
      for (let x = 0, at = (first + i) * width; x < width; x++, at++) sums[x] += values[at] * weights[i];
    }
    for (let x = 0; x < width; x++) result[y * width + x] = areBytes ? toByte(sums[x]) : sums[x];
  }
  return result;
}

/** A grid in another size, each place as the nearest is; of two that are as near, the one that Pillow takes. */
function nearestGrid(grid, width, height) {
  const places = (from, to) => {
    const step = from / to, found = [];
    for (let i = 0, at = step * 0.5; i < to; i++, at += step) found.push(Math.floor(at)); // sums, with their rounding
    return found;
  };
  const values = new grid.values.constructor(width * height), columns = places(grid.width, width);
  places(grid.height, height).forEach((row, y) => {
    for (let x = 0; x < width; x++) values[y * width + x] = grid.values[row * grid.width + columns[x]];
  });
  return makeGrid(height, width, values);
}

/** Scale a grid of float32 down, by averaging, to a longer side of `limit`, if it is larger. */
function shrinkGrid(grid, limit) {
  const longest = Math.max(grid.height, grid.width);
  if (longest <= limit) return grid;
  const [height, width] = [grid.height, grid.width].map((side) => Math.max(1, rint((side * limit) / longest)));
  return resizeGrid(grid, width, height, "box");
}

/** A grid of bytes with a longer side of at most `limit`, of about the same shape, as Pillow's thumbnails. */
function thumbnailSize(width, height, limit) {
  if (Math.max(width, height) <= limit) return [width, height];
  const aspect = width / height;
  const nearest = (number, fault) => {
    const [low, high] = [Math.floor(number), Math.ceil(number)];
    return Math.max(fault(low) <= fault(high) ? low : high, 1);
  };
  if (aspect <= 1) return [nearest(limit * aspect, (n) => Math.abs(aspect - n / limit)), limit];
  return [limit, nearest(limit / aspect, (n) => (n === 0 ? 0 : Math.abs(aspect - limit / n)))];
}

/** Surround a grid with one value. */
function padGrid(grid, above, below, before, after, fill) {
  const height = above + grid.height + below, width = before + grid.width + after;
  const values = new grid.values.constructor(height * width).fill(fill);
  for (let y = 0; y < grid.height; y++) {
    values.set(grid.values.subarray(y * grid.width, (y + 1) * grid.width), (y + above) * width + before);
  }
  return makeGrid(height, width, values);
}

/** What is in a box of a grid. */
function cropGrid(grid, { top, bottom, left, right }) {
  const values = new grid.values.constructor((bottom - top) * (right - left));
  for (let y = top; y < bottom; y++) {
    values.set(grid.values.subarray(y * grid.width + left, y * grid.width + right), (y - top) * (right - left));
  }
  return makeGrid(bottom - top, right - left, values);
}

/** The least or the greatest over squares that reach so many places to every side. */
function sweepGrid(grid, reach, extreme) {
  const { height, width } = grid, side = 2 * reach + 1, wide = width + 2 * reach, sign = extreme === "min" ? -1 : 1;
  const values = new Float32Array(wide * (height + 2 * reach)).fill(-Infinity), result = new Float32Array(height * width);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0, to = (y + reach) * wide + reach; x < width; x++) values[to++] = sign * grid.values[i++];
  }
  for (let covered = 1, step; covered < side; covered += step) {
    step = Math.min(covered, side - covered);
    for (const off of [step, step * wide]) {
      // Beyond a row's end is the next row, which no place of the result reaches.
      for (let i = 0, j = off; j < values.length; i++, j++) if (values[j] > values[i]) values[i] = values[j];
    }
  }
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0, from = y * wide; x < width; x++) result[i++] = sign * values[from++];
  }
  return makeGrid(height, width, result);
}

/** Medians over windows along rows, then of those along columns; borders are continued. */
function medianGrid(grid, windowSize) {
  const middle = windowSize >> 1, near = new Float32Array(windowSize);
  const lines = (values, count, length, step, next) => {
    const result = new Float32Array(values.length);
    for (let line = 0; line < count; line++) {
      for (let i = 0; i < length; i++) {
        for (let k = 0; k < windowSize; k++) near[k] = values[line * next + clip(i + k - middle, 0, length - 1) * step];
        result[line * next + i * step] = near.slice().sort()[middle];
      }
    }
    return result;
  };
  const rows = lines(grid.values, grid.height, grid.width, 1, grid.width);
  return makeGrid(grid.height, grid.width, lines(rows, grid.width, grid.height, grid.width, 1));
}

function sorted(values) {
  return new Float32Array(values).sort();
}

/** How many of sorted values are less than a limit, or not more. */
function countBelow(ordered, limit, andEqual = false) {
  let low = 0, high = ordered.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ordered[middle] < limit || (andEqual && ordered[middle] === limit)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Of sorted values, the one that a share of them does not exceed, interpolated. */
function quantile(ordered, share) {
  const position = share * (ordered.length - 1), below = Math.floor(position);
  const lower = ordered[below], upper = ordered[Math.min(below + 1, ordered.length - 1)];
  return Math.fround(lower + Math.fround(Math.fround(position - below) * Math.fround(upper - lower)));
}

function median(values) {
  const ordered = new Float64Array(values).sort(), middle = ordered.length >> 1;
  return ordered.length % 2 ? ordered[middle] : (ordered[middle - 1] + ordered[middle]) / 2;
}

function varianceOf(values) {
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  return values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length;
}

/** How far from a middle the `count` nearest of sorted values reach. */
function radius(ordered, middle, count) {
  let least = Infinity;
  for (let i = 0; i + count <= ordered.length; i++) {
    least = Math.min(least, Math.max(middle - ordered[i], ordered[i + count - 1] - middle));
  }
  return Math.fround(least);
}

/** How often each byte occurs. */
function histogram(values) {
  const counts = new Float64Array(256);
  for (let i = 0; i < values.length; i++) counts[values[i]]++;
  return counts;
}

/** The least and the greatest of some numbers. */
function extremesOf(values) {
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  return [low, high];
}

function countTrue(values) {
  let count = 0;
  for (let i = 0; i < values.length; i++) if (values[i]) count++;
  return count;
}

/** The outermost values: first and last row, then what is between in the first and last column. */
function borderOf({ height, width, values }) {
  const found = [...values.subarray(0, width), ...values.subarray((height - 1) * width)];
  for (let y = 1; y < height - 1; y++) found.push(values[y * width]);
  for (let y = 1; y < height - 1; y++) found.push(values[y * width + width - 1]);
  return found;
}

/** How wide strokes are on average: twice their area by their outline; 0 without any. */
function meanWidth({ height, width, values }) {
  let area = 0, outline = 0;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (!values[i]) continue;
      area++;
      if (x === 0 || !values[i - 1]) outline++;
      if (x === width - 1 || !values[i + 1]) outline++;
      if (y === 0 || !values[i - width]) outline++;
      if (y === height - 1 || !values[i + width]) outline++;
    }
  }
  return outline ? (2 * area) / outline : 0;
}
