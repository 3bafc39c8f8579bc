/* Frames that are set in from the border, a line around all the rest of an image: htgen/images/frames.py in
 * JavaScript. */
"use strict";

/** The line that runs around all the rest, {within, isPlain}; null where there is none, or nothing in it. */
function findFrame(grid, thresholds) {
  for (const threshold of thresholds) {
    let ink = makeMask(grid, (v) => v <= threshold);
    if (2 * countTrue(ink.values) > ink.values.length) ink = invertMask(ink);
    const frame = hasLinesAround(ink) ? frameOf(ink) : null;
    if (frame !== null) return frame;
  }
  return null;
}

/** Whether near each side there is a row or column with much ink in it. */
function hasLinesAround({ height, width, values }) {
  const along = new Float64Array(height), across = new Float64Array(width);
  values.forEach((v, i) => {
    along[Math.floor(i / width)] += v;
    across[i % width] += v;
  });
  const both = (lines) => {
    const count = 1 + Math.floor(0.3 * lines.length);
    return Math.min(Math.max(...lines.subarray(0, count)), Math.max(...lines.subarray(-count)));
  };
  return both(along) > 0.15 * width && both(across) > 0.15 * height;
}

function frameOf(ink) {
  const { height, width } = ink, found = findComponents(ink), size = ink.values.length;
  const boxes = found.parts.map((part) => (part.right - part.left) * (part.bottom - part.top));
  const outer = boxes.indexOf(Math.max(...boxes)), part = found.parts[outer];
  if (part.right - part.left < 0.5 * width || part.bottom - part.top < 0.5 * height || !encloses(found, outer)) return null;
  const line = sweepGrid(maskOf(found, (_, i) => i === outer), 1, "max");
  const rest = findComponents(makeMask(line, (v) => !(v > 0)));
  const holes = rest.parts.map((hole) => (hole.touchesBorder ? -1 : hole.area));
  const largest = Math.max(...holes);
  if (!(largest > 0)) return null;
  const within = fillHoles(maskOf(rest, (_, i) => i === holes.indexOf(largest)));
  const content = mapGrid(ink, (v, i) => v & within.values[i]), count = countTrue(content.values);
  if (!count || count < 0.002 * size) return null;
  if (countTrue(within.values) < 0.95 * hullArea(within)[0]) return null;
  const inner = boxOfMask(within), own = boxOfMask(content);
  const isLarge =
    own.bottom - own.top > 0.25 * (inner.bottom - inner.top) || own.right - own.left > 0.25 * (inner.right - inner.left);
  const margin = Math.max(part.top, height - part.bottom, part.left, width - part.right), side = Math.max(height, width);
  if (margin <= 0.2 * side && isLarge && isStraight(cropGrid(within, inner))) return { within, isPlain: true };
  return margin <= 0.04 * side ? { within, isPlain: false } : null;
}

/** Whether all other parts lie in the box of one, but for single pixels. */
function encloses({ parts, height, width }, outer) {
  const own = parts[outer];
  const beyond = parts.filter(
    (part, i) =>
      i !== outer &&
      !(part.top > own.top && part.bottom < own.bottom && part.left > own.left && part.right < own.right)
  );
  return beyond.reduce((sum, part) => sum + part.area, 0) <= 0.0005 * height * width;
}

/** Whether each side of a mask runs along its box for long enough. */
function isStraight({ height, width, values }) {
  const runsAlong = (length, depth, at) => {
    let count = 0;
    for (let i = 0; i < length; i++) {
      let reach = 0;
      while (reach < depth && !values[at(i, reach)]) reach++;
      if (reach <= 1 || reach === depth) count++;
    }
    return count > 0.33 * length;
  };
  return (
    runsAlong(width, height, (x, y) => y * width + x) &&
    runsAlong(width, height, (x, y) => (height - 1 - y) * width + x) &&
    runsAlong(height, width, (y, x) => y * width + x) &&
    runsAlong(height, width, (y, x) => y * width + width - 1 - x)
  );
}
