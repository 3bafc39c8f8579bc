/* Shadows with sharp edges, which leave paper of two tones: htgen/images/sharp_shadows.py in JavaScript. */
"use strict";

const SHADOW_LEFT_OUT = "a part of another tone, as a shadow or a table, is taken for paper, not drawn";
const SHADOW_KEPT = "a part of another tone may be a shadow or a part of the drawing; it is not plain which";

/** An image whose paper has one tone, and what is to be said of it unless it turns out to be blank. */
function withoutSharpShadow(grey) {
  const values = shrinkGrid(mapGrid(grey, (v) => v, Float32Array), 128);
  const border = sorted(borderOf(values)), few = Math.floor(0.01 * border.length);
  if (border[few] > Math.fround(Math.fround(0.88) * border[border.length - 1 - few])) return [grey, null];
  for (const reach of [2, 4, 10]) {
    if (Math.min(values.height, values.width) < 4 * reach) break;
    const narrowed = (first, second) => sweepGrid(sweepGrid(values, reach, first), reach, second);
    const found = [
      tonesOf(values, narrowed("max", "min"), false),
      tonesOf(values, narrowed("min", "max"), true),
    ].filter((tones) => tones !== null);
    for (const tones of found) {
      if (!isDrawnOn(values, tones)) continue;
      return [mapGrid(evenTones(grey, tones), (v) => clip(rint(v), 0, 255), Uint8Array), SHADOW_LEFT_OUT];
    }
    if (found.length) return [grey, SHADOW_KEPT]; // what is wider than this is part of a tone, as a finger
  }
  return [grey, null];
}

/** The two tones of paper, from which what is narrow was removed; null where it has not two. */
function tonesOf(values, paper, isInkBright) {
  const [least, greatest] = extremesOf(paper.values);
  if (least > 0.88 * greatest) return null;
  const limit = otsu(histogram(mapGrid(paper, rint, Uint8Array).values)), isDark = makeMask(paper, (v) => v <= limit);
  const share = countTrue(isDark.values) / isDark.values.length;
  if (share < 0.03 || share > 0.97) return null;
  const isBright = invertMask(isDark), of = (mask) => Math.fround(median(paper.values.filter((_, i) => mask.values[i])));
  const dark = of(isDark), bright = of(isBright), apart = bright - dark;
  if (dark < 0.3 * bright || dark > 0.88 * bright) return null;
  const far = paper.values.filter((v, i) => Math.fround(Math.abs(v - (isDark.values[i] ? dark : bright))) > Math.fround(0.2 * apart));
  const edge = edgeOf(isDark);
  if (edge > 5 * Math.max(values.height, values.width) || far.length > 2 * edge) return null;
  for (const [tone, there] of [[dark, isDark], [bright, isBright]]) {
    const has = makeMask(values, (v, i) => there.values[i] && Math.fround(Math.abs(v - tone)) < Math.fround(0.25 * apart));
    if (countTrue(has.values) < 0.7 * countTrue(there.values)) return null;
    const border = borderOf(has);
    if (countTrue(border) < 0.02 * border.length || !reachesBorder(there)) return null;
  }
  return { dark, bright, isDark, isInkBright };
}

/** How long the edge of a mask is. */
function edgeOf({ height, width, values }) {
  let length = 0;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (x && values[i] !== values[i - 1]) length++;
      if (y && values[i] !== values[i - width]) length++;
    }
  }
  return length;
}

/** Whether nearly all of a mask lies in parts that reach the border. */
function reachesBorder(mask) {
  const { parts } = findComponents(mask);
  const area = parts.reduce((sum, part) => sum + (part.touchesBorder ? part.area : 0), 0);
  return area >= 0.95 * countTrue(mask.values);
}

/** An image as if all paper had the brighter tone. */
function evenTones(grid, { dark, bright, isDark, isInkBright }) {
  const { width, height } = grid, mask = mapGrid(isDark, (v) => v, Float32Array);
  const share = resizeGrid(mask, width, height, "bilinear"), less = sweepGrid(mask, 2, "min");
  const near = resizeGrid(mapGrid(sweepGrid(mask, 2, "max"), (v, i) => v - less.values[i]), width, height, "bilinear");
  const isInk = (v) => (isInkBright ? v > Math.fround(bright / 0.8) : v < Math.fround(dark * 0.8));
  const factor = Math.fround(bright / dark);
  return mapGrid(grid, (v, i) => {
    if (near.values[i] > 0 && !isInk(v)) return bright;
    return share.values[i] > 0.5 ? Math.fround(v * factor) : v;
  }, Float32Array);
}

/** Whether there is clear ink on paper of two tones. */
function isDrawnOn(values, tones) {
  const sign = tones.isInkBright ? 1 : -1;
  const taken = mapGrid(evenTones(values, tones), (v) => sign * Math.fround(Math.fround(v - tones.bright) / tones.bright));
  const levels = findLevels(sorted(taken.values)), ink = makeMask(taken, (v) => v > Math.fround(levels.threshold));
  const count = countTrue(ink.values);
  if (count < 0.002 * ink.values.length || count > 0.2 * ink.values.length) return false;
  const contrast = taken.values.reduce((sum, v, i) => sum + (ink.values[i] ? v : 0), 0) / count - levels.paper;
  if (contrast < 0.15 || levels.spread > 0.12 * contrast) return false;
  const longest = findComponents(ink).parts.reduce((most, part) => Math.max(most, part.extent), 0);
  return longest >= 0.12 * Math.max(values.height, values.width) && !isOfATone(ink, values, tones);
}

/** Whether what is taken for ink is a finger, light between two of them, or drawn with the pen that filled an area. */
function isOfATone(ink, values, { dark, bright, isDark, isInkBright }) {
  const tone = isInkBright ? bright : dark, there = isInkBright ? invertMask(isDark) : isDark, near = 0.25 * (bright - dark);
  const own = sorted(values.values.filter((_, i) => ink.values[i]));
  if (Math.abs(quantile(own, isInkBright ? 0.9 : 0.1) - tone) < near) return true;
  const isAlike = (v) => Math.fround(Math.abs(v - tone)) < Math.fround(near);
  const found = findComponents(makeMask(values, (v, i) => there.values[i] || isAlike(v))), holds = totalOver(found, there);
  const continued = maskOf(found, (_, number) => holds[number] > 0);
  const within = ink.values.filter((is, i) => is && continued.values[i] && !there.values[i]).length;
  return within > 0.5 * countTrue(ink.values);
}
