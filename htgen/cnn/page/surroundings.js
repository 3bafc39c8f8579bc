/* What is not the drawing: single pixels, and what lies around the paper.
 * htgen/images/specks.py and surroundings.py in JavaScript. */
"use strict";

// ---------------------------------------------------------------------------------------- single pixels

/** An image without single pixels that stand out from all around them. */
function withoutSpecks(grey) {
  const { height, width, values } = grey;
  if (Math.min(height, width) < 32 || Math.max(height, width) > 640) return grey;
  const [lowest, highest] = neighbours(grey);
  const [least, most] = extremesOf(values), step = Math.max(32, Math.floor((most - least) / 4));
  let dark = makeMask(grey, (v, i) => v < Math.max(lowest[i], step) - step);
  let bright = makeMask(grey, (v, i) => v > Math.min(highest[i], 255 - step) + step);
  if (!countTrue(dark.values) && !countTrue(bright.values)) return grey;
  const limit = otsu(histogram(values));
  let ink = makeMask(grey, (v) => v <= limit);
  if (countTrue(ink.values) > 0.5 * values.length) [ink, dark, bright] = [invertMask(ink), bright, dark];
  const area = countTrue(ink.values), count = countTrue(dark.values);
  if (!count || (count < 4 && meanWidth(mapGrid(ink, (v, i) => v & (1 - dark.values[i]))) < 1.6)) return grey;
  if (count > 0.4 * area && area > 0.02 * values.length) return blurred(grey);
  let specks = dark;
  if (count >= 4) {
    const small = smallParts(ink), others = smallParts(invertMask(ink));
    specks = mapGrid(dark, (v, i) => v | bright.values[i] | small.values[i] | others.values[i]);
  }
  return withoutPlaces(grey, specks);
}

/** The least and the greatest of the eight neighbours of each pixel. */
function neighbours({ height, width, values }) {
  const lowest = new Uint8Array(values.length).fill(255), highest = new Uint8Array(values.length);
  for (let down = -1; down <= 1; down++) {
    for (let across = -1; across <= 1; across++) {
      if (down === 0 && across === 0) continue;
      for (let y = Math.max(0, -down); y < Math.min(height, height - down); y++) {
        const first = Math.max(0, -across), last = Math.min(width, width - across);
        for (let i = y * width + first; i < y * width + last; i++) {
          const near = values[i + down * width + across];
          if (near < lowest[i]) lowest[i] = near;
          if (near > highest[i]) highest[i] = near;
        }
      }
    }
  }
  return [lowest, highest];
}

function smallParts(mask) {
  const found = findComponents(mask), most = found.parts.reduce((m, part) => Math.max(m, part.area), 0);
  return maskOf(found, (part) => part.area <= Math.min(Math.max(3, 0.01 * most), 8));
}

/** Specks filled with the median of what is near them. */
function withoutPlaces(grey, specks) {
  const { height, width, values } = grey, result = Uint8Array.from(values), usual = median(values);
  for (let place = 0; place < values.length; place++) {
    if (!specks.values[place]) continue;
    const x = place % width, y = (place - x) / width, near = [];
    for (let row = Math.max(0, y - 2); row <= Math.min(height - 1, y + 2); row++) {
      for (let column = Math.max(0, x - 2); column <= Math.min(width - 1, x + 2); column++) {
        if (!specks.values[row * width + column]) near.push(values[row * width + column]);
      }
    }
    result[place] = Math.floor(near.length ? median(near) : usual);
  }
  return makeGrid(height, width, result);
}

/** Means over 5 x 5 pixels, the border continued. */
function blurred({ height, width, values }) {
  const result = new Uint8Array(values.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let row = y - 2; row <= y + 2; row++) {
        for (let column = x - 2; column <= x + 2; column++) {
          sum += values[clip(row, 0, height - 1) * width + clip(column, 0, width - 1)];
        }
      }
      result[y * width + x] = rint(sum / 25);
    }
  }
  return makeGrid(height, width, result);
}

// ---------------------------------------------------------------------------- what lies around the paper

const FRAME_LEFT_OUT = "a frame around the drawing is left out";

const FRAME_KEPT = "a line runs around all the rest near the border; it is taken as part of the drawing";

const DARK_PAPER = "what is darker than all around it is taken for paper with bright ink on it";

const EMPTY = "an empty page seems to lie within a frame, beside a bar or on a table";

/** The part of an image that is paper, {grey, warnings, isEmpty}. */
function withoutSurroundings(grey) {
  const warnings = [];
  for (let turn = 0; turn < 3; turn++) {
    const isCoarse = Math.max(grey.height, grey.width) <= 128;
    const coarse = isCoarse ? grey : mapGrid(shrinkGrid(mapGrid(grey, (v) => v, Float32Array), 128), rint, Uint8Array);
    let { paper, isEmpty } = findPaper(coarse);
    if (isEmpty) return { grey, warnings: [...warnings, EMPTY], isEmpty };
    if (paper === null) {
      const isTiny = Math.min(coarse.height, coarse.width) < 16, frame = isTiny ? null : findFrame(coarse, frameThresholds(coarse));
      if (frame === null) break;
      warnings.push(frame.isPlain ? FRAME_LEFT_OUT : FRAME_KEPT);
      if (!frame.isPlain) break;
      paper = frame.within;
    } else if (isThin(coarse, paper)) warnings.push(FRAME_LEFT_OUT);
    else if (isDarkPaper(coarse, paper)) warnings.push(DARK_PAPER);
    grey = cutTo(grey, withoutEdge(paper));
  }
  return { grey, warnings: [...new Set(warnings)], isEmpty: false };
}

/** Whether paper is darker than what is around it, and what is on it is brighter than it. */
function isDarkPaper(grid, paper) {
  const within = withoutEdge(paper), inner = grid.values.filter((_, i) => within.values[i]);
  const level = inner.length ? median(inner) : 255;
  if (level >= medianOf(grid, paper, 0)) return false;
  return inner.filter((v) => v > level + 20).length > inner.filter((v) => v < level - 20).length;
}

/** The middle of the values inside a mask, or outside it. */
function medianOf(grid, mask, side) {
  return median(grid.values.filter((_, i) => mask.values[i] === side));
}

/** Values between ink and paper, and nearer to the paper: a thin line of a large image is pale. */
function frameThresholds({ values }) {
  const counts = histogram(values), first = otsu(counts), [low, high] = extremesOf(values);
  if (high - low < 40) return [];
  const paper = counts.indexOf(Math.max(...counts));
  return [first, Math.floor((first + paper + (first < paper ? 0 : 1)) / 2)];
}

/** The box of the paper; what lies in it beside the paper is filled as the paper is. */
function cutTo(grey, paper) {
  const { height, width } = grey;
  const values = shrinkGrid(mapGrid(grey, (v) => v, Float32Array), 32);
  const sure = surePlaces(paper, values.height, values.width);
  const light = resizeGrid(paperLight(values, countTrue(sure.values) ? sure : null), width, height, "bicubic");
  const isPaper = nearestGrid(paper, width, height);
  const filled = mapGrid(grey, (v, i) => (isPaper.values[i] ? v : clip(rint(light.values[i]), 0, 255)));
  return cropGrid(filled, boxOfMask(isPaper));
}

function withoutEdge(mask) {
  return makeMask(sweepGrid(mask, 2, "min"), (v) => v > 0);
}

/** {paper, isEmpty}: where the paper is, null where it is everywhere, or nothing tells; and whether it is empty. */
function findPaper(grid) {
  const { height, width, values } = grid;
  if (Math.min(height, width) < 16) return { paper: null, isEmpty: false };
  const counts = histogram(values), first = otsu(counts);
  const dark = makeMask(grid, (v) => v <= first), border = borderOf(dark);
  const edge = countTrue(border), area = countTrue(dark.values);
  if (edge === 0 || edge === border.length) {
    const ink = edge === 0 ? area : values.length - area;
    if (ink < (1 - 0.85) * values.length && !hasFrame(edge === 0 ? dark : invertMask(dark))) return { paper: null, isEmpty: false };
  }
  const [low, high] = extremesOf(values);
  if (high - low < 40) return { paper: null, isEmpty: false };
  const thresholds = [first];
  for (let i = 1; i < 7; i++) thresholds.push(low + (i * (high - low)) / 7);
  const inverted = mapGrid(grid, (v) => 255 - v);
  let isEmpty = false;
  for (const threshold of thresholds) {
    for (const [signed, limit] of [[grid, threshold], [inverted, 254 - threshold]]) {
      const paper = paperOf(signed, makeMask(signed, (v) => v > limit));
      if (paper === null) continue;
      if (hasContent(signed, paper)) return { paper, isEmpty: false };
      isEmpty = isEmpty || (signed === grid && isEmptyPage(grid, paper));
    }
  }
  return { paper: null, isEmpty };
}

/** Whether there is a line along a side, not far from it. */
function hasFrame({ height, width, values }) {
  const rows = 1 + Math.floor(0.03 * height), columns = 1 + Math.floor(0.03 * width);
  const isLine = (length, at) => {
    let count = 0;
    for (let i = 0; i < length; i++) count += values[at(i)];
    return count > 0.8 * length;
  };
  for (let y = 0; y < height; y++) {
    if ((y < rows || y >= height - rows) && isLine(width, (i) => y * width + i)) return true;
  }
  for (let x = 0; x < width; x++) {
    if ((x < columns || x >= width - columns) && isLine(height, (i) => i * width + x)) return true;
  }
  return false;
}

/** The paper, if it is the largest part of a region that is brighter than all else, and has the shape of paper. */
function paperOf(grid, region) {
  const size = region.values.length;
  if (countTrue(region.values) < 0.1 * size) return null;
  const found = findComponents(region), number = largestPart(found);
  const paper = withoutInk(fillHoles(maskOf(found, (_, i) => i === number)));
  const area = countTrue(paper.values);
  if (!(area >= 0.12 * size && area < size) || found.parts[number].area < 0.6 * area) return null;
  if (!liesWithin(mapGrid(region, (v, i) => v & (1 - paper.values[i])))) return null;
  const [hull, rectangle] = hullArea(paper);
  const empty = countTrue(mapGrid(region, (v, i) => v & paper.values[i]).values);
  const most = empty >= 0.8 * area ? 0.3 : 0.5;
  if (area < most * size && empty < area && isRing(grid, region, paper)) return null;
  if (area < 0.95 * hull || (area < 0.87 * rectangle && !(empty >= 0.8 * area && isRound(paper)))) return null;
  return endsInAnEdge(grid, paper) && isEven(grid, paper) ? paper : null;
}

/** Whether what is in a thick closed line is as bright as what is around it. */
function isRing(grid, region, paper) {
  const middle = (holds) => median(grid.values.filter((_, i) => holds(region.values[i], paper.values[i])));
  const line = middle((r, p) => r && p), within = middle((r, p) => p && !r), around = middle((r, p) => !p);
  return Math.abs(within - around) < 0.15 * (line - around);
}

/** Whether a mask leaves all corners of its box free, as an ellipse does; shadows leave one or two. */
function isRound(paper) {
  const { height, width, values } = cropGrid(paper, boxOfMask(paper));
  const y = Math.floor(height / 2), x = Math.floor(width / 2), sums = [0, 0, 0, 0];
  values.forEach((v, i) => (sums[(i >= y * width ? 2 : 0) + (i % width >= x ? 1 : 0)] += v));
  const sizes = [y * x, y * (width - x), (height - y) * x, (height - y) * (width - x)];
  return sums.every((sum, i) => sum / sizes[i] >= 0.7 && sum / sizes[i] <= 0.93);
}

/** Whether bright paper with nothing on it is an empty page, and no filled shape on a dark ground.
 *
 * Around a page there is a frame, as wide on all sides, or a bar at one side or two; or its light varies. */
function isEmptyPage(grid, paper) {
  const box = cropGrid(paper, boxOfMask(paper)), area = countTrue(box.values);
  const closed = sweepGrid(sweepGrid(padGrid(box, 10, 10, 10, 10, 0), 5, "max"), 5, "min");
  if (countTrue(closed.values) > 1.002 * area) return false; // a line reaches into it
  const page = withoutEdge(paper), inner = Float64Array.from(grid.values.filter((_, i) => page.values[i]));
  if (!inner.length || median(grid.values.filter((_, i) => !paper.values[i])) > 0.6 * median(inner)) return false;
  const mean = inner.reduce((sum, v) => sum + v, 0) / inner.length;
  if (Math.sqrt(inner.reduce((sum, v) => sum + (v - mean) ** 2, 0) / inner.length) > 1.5) return true;
  if (area < 0.9 * box.values.length) return false;
  const bars = marginsOf(paper), [narrowest, widest] = extremesOf(bars), side = Math.max(paper.height, paper.width);
  return narrowest > 0 ? widest <= 0.12 * side && widest - narrowest <= 0.03 * side : widest <= 0.25 * side;
}

/** How far the paper's box is from the four sides. */
function marginsOf(paper) {
  const { top, bottom, left, right } = boxOfMask(paper);
  return [top, paper.height - bottom, left, paper.width - right];
}

/** Whether what is around the paper is about as thin as the strokes on it, so that it may be a stroke. */
function isThin(grid, paper) {
  const margin = Math.max(...marginsOf(paper));
  if (margin > 0.12 * Math.max(paper.height, paper.width)) return false;
  const page = withoutEdge(paper), limit = otsu(histogram(grid.values.filter((_, i) => page.values[i])));
  const dark = mapGrid(page, (v, i) => (v && grid.values[i] <= limit ? 1 : 0));
  const isInk = 2 * countTrue(dark.values) <= countTrue(page.values);
  const stroke = meanWidth(isInk ? dark : mapGrid(page, (v, i) => v & (1 - dark.values[i])));
  return 0.5 * stroke <= margin && margin <= 2 * stroke;
}

/** The paper, and the ink that reaches the border: what is around runs along a side, or fills a corner. */
function withoutInk(paper) {
  const { height, width } = paper, found = findComponents(invertMask(paper));
  const along = found.parts.map(() => [0, 0, 0, 0]);
  found.label.forEach((part, i) => {
    if (part < 0) return;
    const x = i % width, y = (i - x) / width;
    [y === 0, y === height - 1, x === 0, x === width - 1].forEach((is, side) => (along[part][side] += is ? 1 : 0));
  });
  const outside = maskOf(found, (part, i) => {
    if (!(part.area > 0.001 * paper.values.length)) return false;
    const tall = (part.bottom - part.top) / height, wide = (part.right - part.left) / width;
    const shares = along[i].map((count, side) => count / (side < 2 ? width : height));
    const touched = shares.map((share, side) => share > 0.7 * (side < 2 ? wide : tall));
    return ((touched[0] || touched[1]) && (touched[2] || touched[3])) || Math.max(...shares) > 0.9;
  });
  return invertMask(outside);
}

function liesWithin(others) {
  const { height, width } = others, rows = 1 + Math.floor(0.03 * height), columns = 1 + Math.floor(0.03 * width);
  const outer = maskOf(findComponents(others), (part) => part.touchesBorder);
  for (let y = rows; y < height - rows; y++) {
    for (let x = columns; x < width - columns; x++) if (outer.values[y * width + x]) return false;
  }
  return true;
}

/** Whether the paper is brighter than what is beside it, nearly everywhere; a shadow fades. */
function endsInAnEdge(grid, paper) {
  const outside = sorted(grid.values.filter((_, i) => !paper.values[i]));
  const contrast = median(grid.values.filter((_, i) => paper.values[i])) - quantile(outside, 0.75), least = Math.max(20, 0.4 * contrast);
  const inner = sweepGrid(paper, 1, "min");
  const beside = sweepGrid(mapGrid(grid, (v, i) => (paper.values[i] ? Infinity : v), Float32Array), 2, "min");
  const within = sweepGrid(mapGrid(grid, (v, i) => (paper.values[i] ? v : -Infinity), Float32Array), 2, "max");
  let edge = 0, clear = 0;
  paper.values.forEach((v, i) => {
    if (!v || inner.values[i] !== 0) return;
    edge++;
    if (within.values[i] - beside.values[i] > least) clear++;
  });
  return edge > 0 && clear / edge > 0.9;
}

function isEven(grid, paper) {
  const inside = [], outside = [];
  grid.values.forEach((v, i) => (paper.values[i] ? inside : outside).push(v));
  const middle = median(inside);
  outside.sort((a, b) => a - b);
  const place = 0.25 * (outside.length - 1), low = Math.floor(place);
  const quarter = outside[low] + (place - low) * (outside[Math.min(low + 1, outside.length - 1)] - outside[low]);
  return median(inside.map((v) => Math.abs(v - middle))) < 0.27 * (middle - quarter);
}

/** Whether there is something on the paper, not at its edge. */
function hasContent(grid, paper) {
  const { height, width } = paper;
  const core = mapGrid(paper, (v, i) => {
    const x = i % width, y = (i - x) / width;
    return y >= 2 && y < height - 2 && x >= 2 && x < width - 2 ? v : 0;
  });
  const inner = sweepGrid(core, 3, "min"), high = sweepGrid(grid, 1, "max"), low = sweepGrid(grid, 1, "min");
  let count = 0, steps = 0;
  inner.values.forEach((v, i) => {
    if (!(v > 0)) return;
    count++;
    if (high.values[i] - low.values[i] > 20) steps++;
  });
  return count > 0 && steps / count > 0.003;
}
