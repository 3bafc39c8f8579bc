/* Dots that are strewn over an image, no part of the drawing: htgen/images/strewn.py in JavaScript. */
"use strict";

const LEFT_OUT = "small dots beside the drawing are left out";

const KEPT = "something small lies beside the drawing; it is taken as part of it";

/** Strewn dots among the parts of the ink, {areDots, warnings}; `areDots` is null where that is not plain. */
function findStrewn(found) {
  const { parts } = found, side = Math.max(found.height, found.width), limit = Math.max(3, 0.024 * side);
  const none = (warnings) => ({ areDots: null, warnings });
  if (parts.length < 3 || !parts.some((part) => part.extent >= 0.15 * side)) return none([]);
  let areDots = parts.map((part) => part.extent <= limit);
  const count = countTrue(areDots);
  if (count >= 4) {
    const usual = median(parts.filter((_, i) => areDots[i]).map((part) => part.area));
    // Two or three that touch.
    areDots = parts.map((part, i) => areDots[i] || (part.extent <= 2 * limit && part.area <= 3 * usual));
    if (areStrewn(found, areDots)) return { areDots, warnings: count >= 12 ? [] : [LEFT_OUT] };
  }
  const isGrain = ({ extent, area, top, bottom, left, right }) =>
    extent <= 0.06 * side && area >= 0.6 * (bottom - top) * (right - left);
  areDots = parts.map((part, i) => areDots[i] || isGrain(part));
  return none(mayBeStrewn(found, areDots) ? [KEPT] : []);
}

/** Whether dots are all over the image, beyond the rest on two sides and more. */
function areStrewn(found, areDots) {
  const { height, width } = found;
  if (areDots.every((is) => is)) return false;
  const dots = dotsOf(found, areDots), [top, bottom] = extremesOf(dots.map((dot) => dot.y));
  const [left, right] = extremesOf(dots.map((dot) => dot.x));
  const isBeyond = (side) => dots.some((dot) => dot.beyond[side] > 0.04 * Math.max(height, width));
  return bottom - top >= 0.5 * height && right - left >= 0.5 * width && [0, 1, 2, 3].filter(isBeyond).length > 1;
}

/** Whether there are some dots, and one of them far from the rest and near the border. */
function mayBeStrewn(found, areDots) {
  const { height, width } = found, side = Math.max(height, width);
  if (countTrue(areDots) < 2 || areDots.every((is) => is)) return false;
  return dotsOf(found, areDots).some(
    ({ x, y, beyond }) => Math.max(...beyond) > 0.1 * side && Math.min(y, height - y, x, width - x) < 0.1 * side
  );
}

/** The middles of dots, and how far they are above, below, left and right of the box of the rest. */
function dotsOf({ parts }, areDots) {
  const { top, bottom, left, right } = boxOf(parts.filter((_, i) => !areDots[i]));
  return parts.filter((_, i) => areDots[i]).map((dot) => {
    const x = (dot.left + dot.right) / 2, y = (dot.top + dot.bottom) / 2;
    return { x, y, beyond: [top - y, y - bottom, left - x, x - right] };
  });
}
