/* An image -> the pixels that the CNN sees: htgen/images/preprocessing.py and drawings.py in JavaScript.
 * A picture is {width, height, data}, RGBA as a canvas gives it. */
"use strict";

/** What the CNN sees of a picture.
 *
 * `how` is the preprocessing record of a CNN file. Gives {pixels, isBlank, warnings}; pixels are bytes,
 * [size, size, channels]. */
function preparePicture(picture, how) {
  const steps = { polarity: true, flatten: false, crop: 0, contrast: false, outline: 0, stroke: 0, clean: false, ...how.steps };
  const changes = Boolean(steps.flatten || steps.crop || steps.contrast || steps.outline || steps.stroke);
  const { planes, notes } = opaquePlanes(picture, how.transparency || "fill", steps.clean && changes, how.ink !== "none");
  if (how.channels === 3) return seen(interleave(planes.map((plane) => fitGrid(plane, how.fit, how.size))), notes);
  const grey = greyOf(planes);
  if (how.ink === "none") return seen(fitGrid(grey, how.fit, how.size).values, notes);
  const wanted = how.ink === "dark" ? DARK_ON_LIGHT : LIGHT_ON_DARK;
  const isSure = changes && !how.device && steps.clean && steps.flatten && steps.polarity;
  const sure = readInk(grey, isSure ? steps : ALL_STEPS, wanted);
  const result = seen(drawingPixels(grey, how, steps, changes ? isSure && sure : null, wanted), [...notes, ...sure.parts.warnings]);
  result.isBlank = result.isBlank || sure.parts.isBlank;
  if (!result.isBlank && isPhotograph(sure, planes)) result.warnings = [PHOTOGRAPH, ...result.warnings];
  return result;
}

/** What it takes to say whether anything is drawn, and what lies beside it. */
const ALL_STEPS = { polarity: true, flatten: true, crop: 0.9, contrast: true, outline: 0, stroke: 0.058, clean: true };

/** The pixels of a grey drawing. `drawing` is null where it is scaled alone, and false where it is yet to be read. */
function drawingPixels(grey, how, steps, drawing, wanted) {
  const invert = (values) => values.map((v) => 255 - v);
  if (how.device) {
    const ink = prepareOnDevice(grey, how.size, steps.stroke);
    return how.ink === "dark" ? invert(ink) : ink;
  }
  if (drawing === null) {
    const isWrong = steps.polarity && detectPolarity(grey) !== wanted;
    return fitGrid(isWrong ? mapGrid(grey, (v) => 255 - v) : grey, how.fit, how.size).values;
  }
  const square = normaliseDrawing(drawing || readInk(grey, steps, wanted), steps, how.fit, how.size);
  const ink = mapGrid(square, (v) => rint(Math.fround(v * 255)), Uint8Array);
  return fitGrid(how.ink === "dark" ? mapGrid(ink, (v) => 255 - v) : ink, how.fit, how.size).values;
}

function seen(pixels, warnings) {
  const [low, high] = extremesOf(pixels);
  return { pixels, isBlank: high - low < 10, warnings };
}

function interleave(planes) {
  const count = planes[0].values.length, pixels = new Uint8Array(count * planes.length);
  planes.forEach((plane, channel) => plane.values.forEach((v, i) => (pixels[i * planes.length + channel] = v)));
  return pixels;
}

// ------------------------------------------------------------------------------- colours, transparency

function greyOf(planes) {
  if (planes.length === 1) return planes[0];
  const [red, green, blue] = planes.map((plane) => plane.values);
  return mapGrid(planes[0], (_, i) => Math.floor((red[i] * 19595 + green[i] * 38470 + blue[i] * 7471 + 32768) / 65536));
}

const NOTHING_OPAQUE = "all of it is transparent; the colours that lie beneath were read";

const SHAPE_OF_PAPER = "its opaque part is taken for paper, and only what is on that for the drawing";

const BLACK_GROUND = "it is a bright thing on transparency, which is taken as black; others may get a white ground";

/** {planes, notes}: red, green and blue, with what is transparent filled; grey alone where the opaque part is paper. */
function opaquePlanes(picture, transparency, mayBePaper, isDrawn) {
  const { width, height, data } = picture;
  const [red, green, blue, alpha] = [0, 1, 2, 3].map((channel) => {
    const values = new Uint8Array(width * height);
    for (let i = 0; i < values.length; i++) values[i] = data[4 * i + channel];
    return makeGrid(height, width, values);
  });
  const planes = [red, green, blue], [lowest, highest] = extremesOf(alpha.values);
  if (transparency === "ignore" || lowest === 255) return { planes, notes: [] };
  const grey = greyOf(planes);
  const [darkest, brightest] = extremesOf(grey.values);
  if (highest === 0 && brightest - darkest >= 10) return { planes, notes: [NOTHING_OPAQUE] };
  const page = mayBePaper ? findPage(grey, alpha) : null;
  if (page !== null) return page;
  let opacity = 0, brightness = 0;
  alpha.values.forEach((a, i) => {
    opacity += a;
    brightness += a * grey.values[i];
  });
  const fill = brightness < 127.5 * opacity || !opacity ? 255 : 0;
  const filled = planes.map((plane) => mapGrid(plane, (v, i) => Math.round((v * alpha.values[i] + fill * (255 - alpha.values[i])) / 255)));
  return { planes: filled, notes: fill || isDrawn ? [] : [BLACK_GROUND] };
}

/** {planes, notes} of the paper, if the opaque part is one: convex, or of two levels; and with something on it. */
function findPage(grey, alpha) {
  const [width, height] = thumbnailSize(grey.width, grey.height, 128);
  const smallAlpha = resizeGrid(alpha, width, height, "box");
  const premultiplied = resizeGrid(mapGrid(grey, (v, i) => Math.round((v * alpha.values[i]) / 255)), width, height, "box");
  const small = mapGrid(premultiplied, (v, i) => (smallAlpha.values[i] ? clip(Math.floor((255 * v) / smallAlpha.values[i]), 0, 255) : v));
  const paper = makeMask(smallAlpha, (v) => v > 127);
  if (Math.min(width, height) < 16) return null;
  const share = shareOfRectangle(small, paper);
  if (share === null || !hasContent(small, paper)) return null;
  const isPlain = share >= 0.85 || medianOf(small, paper, 1) >= 160;
  return { planes: [cutTo(grey, withoutEdge(paper))], notes: isPlain ? [] : [SHAPE_OF_PAPER] };
}

/** How much of the smallest rectangle around it the opaque part fills; null where it is no paper. */
function shareOfRectangle(grey, opaque) {
  const found = findComponents(opaque);
  if (!found.parts.length) return null;
  const number = largestPart(found), total = countTrue(opaque.values);
  if (found.parts[number].area < 0.95 * total) return null;
  const whole = fillHoles(maskOf(found, (_, i) => i === number)), area = countTrue(whole.values);
  if (countTrue(withoutEdge(whole).values) < 0.25 * whole.values.length || total < 0.9 * area) return null;
  const [hull, rectangle] = hullArea(whole);
  return area >= 0.93 * hull || (area >= 0.75 * hull && holdsInk(grey, opaque)) ? area / rectangle : null;
}

/** Whether the opaque part is of two levels, and the lesser one lies within the other, as ink on paper. */
function holdsInk(grey, opaque) {
  const counts = new Array(256).fill(0), both = countTrue(opaque.values), inner = withoutEdge(opaque).values;
  opaque.values.forEach((is, i) => (counts[grey.values[i]] += is));
  const limit = otsu(counts);
  const dark = makeMask(opaque, (is, i) => is && grey.values[i] <= limit);
  const bright = makeMask(opaque, (is, i) => is && grey.values[i] > limit);
  const ink = countTrue(dark.values) <= countTrue(bright.values) ? dark : bright, share = countTrue(ink.values) / both;
  if (!(share >= 0.02 && share <= 0.4)) return false;
  const mean = (mask) => grey.values.reduce((sum, v, i) => sum + v * mask.values[i], 0) / countTrue(mask.values);
  if (mean(bright) - mean(dark) < 40) return false;
  const rim = makeMask(opaque, (is, i) => is && !inner[i]);
  if (countTrue(rim.values.map((is, i) => is & ink.values[i])) > 0.1 * countTrue(rim.values)) return false;
  const largest = (mask, from, to) => Math.max(...findComponents(mask).parts.map((part) => part[to] - part[from]));
  return [["top", "bottom"], ["left", "right"]].some((way) => largest(ink, ...way) >= 0.2 * largest(opaque, ...way));
}

/** An image of any shape as a square of so many pixels. */
function fitGrid(grid, fit, size) {
  const { width, height } = grid;
  if (fit === "stretch" || width === height) return resizeGrid(grid, size, size);
  if (fit === "crop") {
    const short = Math.min(width, height), left = (width - short) / 2, top = (height - short) / 2;
    return resizeGrid(grid, size, size, "lanczos", [left, top, left + short, top + short]);
  }
  const long = Math.max(width, height);
  const [columns, rows] = [width, height].map((side) => Math.max(1, rint((side * size) / long)));
  const before = Math.floor((size - columns) / 2), above = Math.floor((size - rows) / 2);
  return padGrid(resizeGrid(grid, columns, rows), above, size - rows - above, before, size - columns - before, backgroundValue(grid));
}

// ------------------------------------------------------------------------------------------ ink and paper

/** A grey image as amounts of ink: {ink, ground, polarity, parts, page}; the page where ink was not found on even paper. */
function readInk(grey, steps, wanted) {
  const [width, height] = thumbnailSize(grey.width, grey.height, 1024);
  let pixels = resizeGrid(grey, width, height, "box");
  if (!steps.clean) return inkOf(pixels, steps, wanted);
  const unruled = withoutRules(pixels), told = unruled === pixels ? [] : [RULED];
  const clean = withoutSpecks(unruled), soft = withoutShadows(clean);
  const [lit, doubt] = soft[0] === clean ? withoutSharpShadow(clean) : soft;
  const paper = withoutSurroundings(lit);
  if (!told.length && (paper.grey.height !== pixels.height || paper.grey.width !== pixels.width)) {
    const page = withoutRules(paper.grey);
    if (page !== paper.grey) told.push(RULED);
    paper.grey = page;
  }
  pixels = paper.grey;
  const drawing = inkOf(pixels, steps, wanted), ground = Math.fround(drawing.ground);
  let parts = findParts(shrinkGrid(mapGrid(drawing.ink, (v) => v - ground), 128), pixels, drawing.polarity === LIGHT_ON_DARK);
  if (paper.isEmpty) parts = blankParts(mapGrid(parts.drawing, () => 0));
  if (doubt !== null && !parts.isBlank) told.push(doubt);
  parts.warnings = [...new Set([...told, ...paper.warnings, ...parts.warnings])];
  let { ink } = drawing;
  if (parts.limit !== null) ink = mapGrid(ink, (v) => Math.min(v, drawing.ground + parts.limit));
  if (parts.others !== null) {
    const others = nearestGrid(parts.others, ink.width, ink.height);
    ink = mapGrid(ink, (v, i) => (others.values[i] ? ground : v));
  }
  return { ...drawing, ink, parts, page: drawing.page || parts.others !== null ? pixels : null };
}

function inkOf(pixels, steps, wanted) {
  let values = mapGrid(pixels, (v) => v, Float32Array), coarse = shrinkGrid(values, 64);
  let ground = steps.clean ? findGround(mapGrid(coarse, rint, Uint8Array)) : null;
  const told = () => (ground === null ? null : ground.polarity);
  if (!steps.flatten) {
    const polarity = steps.polarity ? told() || detectPolarity(pixels) : wanted;
    const bright = polarity === LIGHT_ON_DARK ? pixels : mapGrid(pixels, (v) => 255 - v);
    return { ink: mapGrid(bright, (v) => v / 255, Float32Array), ground: backgroundValue(bright) / 255, polarity, parts: null };
  }
  const small = shrinkGrid(values, 32);
  let light = paperLight(small);
  const surface = resizeGrid(light, coarse.width, coarse.height, "bicubic");
  const mean = light.values.reduce((sum, v) => sum + v, 0) / light.values.length;
  const difference = mapGrid(coarse, (v, i) => v - surface.values[i]);
  const isExplained = (share) => varianceOf(difference.values) < share * Math.max(varianceOf(coarse.values), 1);
  if (ground !== null && isExplained(0.1)) ground = null;
  const polarity = steps.polarity ? told() || sideOfInk(difference, mean) : wanted;
  if (ground !== null) light = lightOfGround(ground, pixels, small, polarity);
  if (polarity === LIGHT_ON_DARK) [values, coarse, light] = [values, coarse, light].map((grid) => mapGrid(grid, (v) => 255 - v));
  // Ink takes the same share of the light in the shadow as beside it. Very dark paper says little, and is no ink.
  const floor = mapGrid(light, (v) => Math.max(v, 32)), isDark = steps.clean && light.values.some((v) => v < 32);
  const taken = (grid) => {
    const full = resizeGrid(floor, grid.width, grid.height, "bicubic");
    const share = mapGrid(grid, (v, i) => 1 - Math.fround(v / full.values[i]));
    if (!isDark) return share;
    const own = resizeGrid(light, grid.width, grid.height, "bicubic");
    return mapGrid(share, (v, i) => v - Math.fround(1 - Math.fround(own.values[i] / full.values[i])));
  };
  const ink = taken(values);
  if (ground !== null) return { ink, ground: 0, polarity, parts: null, page: pixels };
  const darkest = quantile(sorted(ink.values), 0.999);
  if (steps.clean && polarity === LIGHT_ON_DARK && darkest < 0.5 && isExplained(0.002) && !hasPeaks(difference.values)) {
    return { ink: mapGrid(ink, () => 0), ground: 0, polarity, parts: null }; // light alone
  }
  const shade = resizeGrid(findShade(taken(coarse), darkest, steps.clean), values.width, values.height, "bilinear");
  const even = mapGrid(ink, (v, i) => Math.fround(v - shade.values[i]) / Math.fround(1 - shade.values[i]));
  return { ink: even, ground: 0, polarity, parts: null };
}

/** Whether something faint stands out from what the light leaves. */
function hasPeaks(differences) {
  const most = differences.reduce((found, v) => Math.max(found, Math.abs(v)), 0);
  return most >= 8 * Math.max(Math.sqrt(varianceOf(differences)), 0.5);
}

/** Cut out, clear and bring to an even stroke: a square, 0..1, bright ink. */
function normaliseDrawing(drawing, steps, fit, size) {
  if (drawing.parts !== null && drawing.parts.isBlank) return makeGrid(size, size, new Float32Array(size * size));
  let canvas = cutOut(drawing, windowOf(drawing, steps.crop, fit), 4 * size);
  if (steps.contrast) canvas = stretchContrast(canvas);
  canvas = mapGrid(canvas, (v) => clip(v, 0, 1));
  if (steps.outline) canvas = outlinesOf(canvas, steps.outline, size);
  return steps.stroke ? evenStrokes(canvas, steps.stroke, size) : canvas;
}

/** What is cut out, as [centre, length] along x and y; it may reach beyond the image. */
function windowOf(drawing, crop, fit) {
  const { height, width } = drawing.ink;
  let x = [width / 2, width], y = [height / 2, height];
  const box = crop ? inkBox(drawing) : null;
  if (box !== null) [x, y] = box.map(([centre, length]) => [centre, Math.max(length / crop, 4)]);
  else if (fit === "crop") return [[x[0], Math.min(x[1], y[1])], [y[0], Math.min(x[1], y[1])]];
  if (fit === "stretch") return [x, y];
  const side = Math.max(x[1], y[1]);
  return [[x[0], side], [y[0], side]];
}

/** Where the ink is, as [centre, length] along x and y; null where there is none. */
function inkBox(drawing) {
  let isInk = drawing.parts === null ? null : drawing.parts.drawing;
  if (isInk === null) {
    const ground = Math.fround(drawing.ground), ink = shrinkGrid(mapGrid(drawing.ink, (v) => v - ground), 128);
    const levels = findLevels(sorted(ink.values));
    isInk = makeMask(ink, (v) => v > Math.fround(levels.threshold));
    const found = ink.values.filter((_, i) => isInk.values[i]);
    if (!found.length || found.reduce((sum, v) => sum + v, 0) / found.length < levels.paper + FAINT) return null;
  }
  const across = new Float64Array(isInk.width), down = new Float64Array(isInk.height);
  isInk.values.forEach((v, i) => {
    across[i % isInk.width] += v;
    down[Math.floor(i / isInk.width)] += v;
  });
  return [[across, drawing.ink.width], [down, drawing.ink.height]].map(([mass, full]) => {
    const total = mass.reduce((sum, v) => sum + v, 0), scale = full / mass.length;
    let sum = 0, first = 0, last = 1;
    for (const value of mass) {
      sum += value;
      if (sum <= 0.005 * total) first++;
      if (sum < (1 - 0.005) * total) last++;
    }
    return [((first + last) / 2) * scale, (last - first) * scale];
  });
}

/** A window as a square of its own resolution, or of `limit` pixels where that is less. */
function cutOut(drawing, [x, y], limit) {
  const { height, width } = drawing.ink;
  const left = x[0] - x[1] / 2, right = x[0] + x[1] / 2, top = y[0] - y[1] / 2, bottom = y[0] + y[1] / 2;
  const outside = (low, high, length) => [Math.max(0, Math.ceil(-low)), Math.max(0, Math.ceil(high - length))];
  const [above, below] = outside(top, bottom, height), [before, after] = outside(left, right, width);
  const ink = padGrid(drawing.ink, above, below, before, after, drawing.ground);
  const box = [
    Math.max(left + before, 0),
    Math.max(top + above, 0),
    Math.min(right + before, ink.width),
    Math.min(bottom + above, ink.height),
  ];
  const side = Math.max(1, Math.min(rint(Math.max(x[1], y[1])), limit));
  return resizeGrid(ink, side, side, "lanczos", box);
}

/** Map the paper, with three times its spread, to 0 and the ink's middle to 1. */
function stretchContrast(ink) {
  const ordered = sorted(ink.values), levels = findLevels(ordered);
  const values = ordered.subarray(countBelow(ordered, Math.fround(levels.threshold), true));
  const full = values.length ? quantile(values, 0.6) : 0;
  if (!values.length || full < levels.paper + FAINT) return ink;
  const empty = Math.min(levels.paper + 3 * levels.spread, (levels.paper + full) / 2);
  const low = Math.fround(empty), range = Math.fround(full - empty);
  return mapGrid(ink, (v) => Math.fround(v - low) / range);
}

function fineGrid(ink, size) {
  return ink.height >= 4 * size ? ink : mapGrid(resizeGrid(ink, 4 * size, 4 * size, "bicubic"), (v) => clip(v, 0, 1));
}

/** Take away what is farther from paper than the width of the outline. */
function outlinesOf(ink, outline, size) {
  ink = fineGrid(ink, size);
  const inner = sweepGrid(ink, Math.max(1, rint(outline * ink.height)), "min");
  return mapGrid(ink, (v, i) => clip(Math.fround(v - inner.values[i]), 0, 1));
}

/** Thin or thicken all strokes alike, towards the wanted width. */
function evenStrokes(ink, stroke, size) {
  ink = fineGrid(ink, size);
  const width = meanWidth(makeMask(ink, (v) => v > 0.5)), excess = width - stroke * ink.height;
  const steps = width ? Math.min(Math.trunc(Math.abs(excess) / 2), 3) : 0;
  for (let step = 0; step < steps; step++) {
    const changed = sweepGrid(ink, 1, excess > 0 ? "min" : "max");
    if (changed.values.reduce((m, v) => Math.max(m, v), 0) < 0.5) break;
    ink = changed;
  }
  return ink;
}
