/* What may be no drawing although it is read as one: htgen/images/doubts.py in JavaScript. */
"use strict";

const SPOTS = "only small spots are to be seen, as of dust; they are taken as the drawing";

const TONES = "either of its two tones may be the paper, so what is drawn is not plain";

const SHEET = "it may be an empty page on something dark; it is taken as a filled shape";

const FOLD = "only a line from border to border is to be seen, as of a fold or an edge; it is taken as the drawing";

const AROUND = "a straight line runs around all the rest; it is taken as part of the drawing";

/** What is to be said of ink that is read as a drawing. */
function findDoubts(ink, found, isBright) {
  const { height, width, values } = ink, side = Math.max(height, width);
  if (side < 32) return [];
  const boxArea = (part) => (part.bottom - part.top) * (part.right - part.left);
  if (found.parts.every((part) => part.extent <= 0.12 * side && part.area >= 0.55 * boxArea(part))) return [SPOTS];
  if (hasEqualTones(ink)) return [TONES];
  const number = largestPart(found), { area, top, bottom, left, right } = found.parts[number];
  const isAcross = left <= 1 && right >= width - 1 && bottom - top <= 0.1 * height;
  const isDown = top <= 1 && bottom >= height - 1 && right - left <= 0.1 * width;
  const all = found.parts.reduce((sum, part) => sum + part.area, 0);
  if ((isAcross || isDown) && area >= 0.9 * all && area <= 0.03 * height * width) return [FOLD];
  if (area >= 0.5 * boxArea(found.parts[number])) return isBright && isSheet(found, number) ? [SHEET] : [];
  const margin = Math.max(top, height - bottom, left, width - right);
  const isLarge = bottom - top >= 0.4 * height && right - left >= 0.4 * width;
  if (!isLarge || margin > 0.15 * side) return [];
  const covered = (length, at) => {
    let count = 0;
    for (let i = 0; i < length; i++) count += values[at(i)];
    return count / length >= 0.85;
  };
  const row = (y) => covered(right - left, (i) => y * width + left + i), column = (x) => covered(bottom - top, (i) => (top + i) * width + x);
  const isFramed = [[row, top], [row, bottom - 3], [column, left], [column, right - 3]].every(([line, first]) =>
    [0, 1, 2].some((k) => line(first + k))
  );
  return isFramed ? [AROUND] : [];
}

/** Whether neither the area nor the border says which tone is the paper. */
function hasEqualTones(ink) {
  const share = countTrue(ink.values) / ink.values.length, border = borderOf(ink), along = countTrue(border) / border.length;
  return share >= 0.35 && share <= 0.65 && along > 0.25 && along < 0.75;
}

/** Whether a part is nearly all there is, and a filled rectangle in any position. */
function isSheet(found, number) {
  const { area } = found.parts[number];
  if (area < 0.12 * found.height * found.width || area < 0.9 * found.parts.reduce((sum, part) => sum + part.area, 0)) return false;
  const [hull, rectangle] = hullArea(maskOf(found, (_, i) => i === number));
  return area >= 0.9 * hull && hull >= 0.95 * rectangle;
}
