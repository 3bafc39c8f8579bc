/* What is not the drawing: single pixels, what lies around the paper, small things beside the drawing.
 * htgen/images/specks.py, ground.py, surroundings.py and beside.py in JavaScript. */
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

// ------------------------------------------------------------------------------- images of two values

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
  let polarity = null;
  if (!(edge > 0.25 && edge < 0.75)) polarity = edge > 0.5 ? LIGHT_ON_DARK : DARK_ON_LIGHT;
  else if (isAround(dark)) polarity = LIGHT_ON_DARK;
  else if (isAround(invertMask(dark))) polarity = DARK_ON_LIGHT;
  return { polarity, dark };
}

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

// ---------------------------------------------------------------------------- what lies around the paper

/** The part of an image that is paper. */
function withoutSurroundings(grey) {
  for (let turn = 0; turn < 3; turn++) {
    const isCoarse = Math.max(grey.height, grey.width) <= 128;
    const coarse = isCoarse ? grey : mapGrid(shrinkGrid(mapGrid(grey, (v) => v, Float32Array), 128), rint, Uint8Array);
    const paper = findPaper(coarse);
    if (paper === null) return grey;
    grey = cutTo(grey, withoutEdge(paper));
  }
  return grey;
}

/** The box of the paper; what lies in it beside the paper is filled as the paper is. */
function cutTo(grey, paper) {
  const { height, width } = grey;
  const values = shrinkGrid(mapGrid(grey, (v) => v, Float32Array), 32);
  const sure = surePlaces(paper, values.height, values.width);
  const light = resizeGrid(paperLight(values, countTrue(sure.values) ? sure : null), width, height, "bicubic");
  const isPaper = nearestGrid(paper, width, height);
  let [top, bottom, left, right] = [height, 0, width, 0];
  isPaper.values.forEach((v, i) => {
    if (!v) return;
    const x = i % width, y = (i - x) / width;
    [top, bottom, left, right] = [Math.min(top, y), Math.max(bottom, y + 1), Math.min(left, x), Math.max(right, x + 1)];
  });
  const filled = mapGrid(grey, (v, i) => (isPaper.values[i] ? v : clip(rint(light.values[i]), 0, 255)));
  const result = new Uint8Array((bottom - top) * (right - left));
  for (let y = top; y < bottom; y++) result.set(filled.values.subarray(y * width + left, y * width + right), (y - top) * (right - left));
  return makeGrid(bottom - top, right - left, result);
}

function withoutEdge(mask) {
  return makeMask(sweepGrid(mask, 2, "min"), (v) => v > 0);
}

/** Where the paper is; null where it is everywhere, or nothing tells. */
function findPaper(grid) {
  const { height, width, values } = grid;
  if (Math.min(height, width) < 16) return null;
  const counts = histogram(values), first = otsu(counts);
  const dark = makeMask(grid, (v) => v <= first), border = borderOf(dark);
  const edge = countTrue(border), area = countTrue(dark.values);
  if (edge === 0 || edge === border.length) {
    const ink = edge === 0 ? area : values.length - area;
    if (ink < (1 - 0.85) * values.length && !hasFrame(edge === 0 ? dark : invertMask(dark))) return null;
  }
  const low = counts.findIndex((c) => c > 0), high = 255 - [...counts].reverse().findIndex((c) => c > 0);
  if (high - low < 40) return null;
  const thresholds = [first];
  for (let i = 1; i < 7; i++) thresholds.push(low + (i * (high - low)) / 7);
  const inverted = mapGrid(grid, (v) => 255 - v);
  for (const threshold of thresholds) {
    for (const [signed, limit] of [[grid, threshold], [inverted, 254 - threshold]]) {
      const paper = paperOf(signed, makeMask(signed, (v) => v > limit));
      if (paper !== null) return paper;
    }
  }
  return null;
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

/** The paper, if it is the largest part of a region that is brighter than all else. */
function paperOf(grid, region) {
  const size = region.values.length;
  if (countTrue(region.values) < 0.1 * size) return null;
  const found = findComponents(region), number = largestPart(found);
  const paper = withoutInk(fillHoles(maskOf(found, (_, i) => i === number)));
  const area = countTrue(paper.values);
  if (!(area >= 0.12 * size && area < size) || found.parts[number].area < 0.6 * area) return null;
  if (!liesWithin(mapGrid(region, (v, i) => v & (1 - paper.values[i])))) return null;
  const [hull, rectangle] = hullArea(paper);
  if (area < 0.95 * hull || area < 0.87 * rectangle) return null;
  if (!endsInAnEdge(grid, paper)) return null;
  return isEven(grid, paper) && hasContent(grid, paper) ? paper : null;
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

/** Whether the paper is brighter than what is beside it, nearly everywhere. */
function endsInAnEdge(grid, paper) {
  const inner = sweepGrid(paper, 1, "min");
  const beside = sweepGrid(mapGrid(grid, (v, i) => (paper.values[i] ? Infinity : v), Float32Array), 2, "min");
  const within = sweepGrid(mapGrid(grid, (v, i) => (paper.values[i] ? v : -Infinity), Float32Array), 2, "max");
  let edge = 0, clear = 0;
  paper.values.forEach((v, i) => {
    if (!v || inner.values[i] !== 0) return;
    edge++;
    if (within.values[i] - beside.values[i] > 20) clear++;
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
