/* What the ink of an image is made of: the drawing, small things beside it, dust, or nothing at all.
 * htgen/images/beside.py in JavaScript. */
"use strict";

const FAINT = 0.04;

const UNSURE = "something small lies beside the drawing; it is taken as part of it";

/** {drawing, others, limit, isBlank, warnings}: masks, the most that ink counts as, and what is not plain. */
function findParts(ink, grey) {
  const levels = findLevels(sorted(ink.values));
  let isInk = makeMask(ink, (v) => v > Math.fround(levels.threshold));
  const blank = () => ({ drawing: isInk, others: null, limit: null, isBlank: true, warnings: [] });
  if (!countTrue(isInk.values)) return blank();
  const ofInk = () => ink.values.filter((_, i) => isInk.values[i]);
  const contrast = ofInk().reduce((sum, v) => sum + v, 0) / countTrue(isInk.values) - levels.paper;
  let found = findComponents(isInk);
  const side = Math.max(ink.height, ink.width);
  const longest = () => Math.max(...found.parts.map((part) => part.extent));
  if (contrast > FAINT && longest() < 0.08 * side) {
    const pale = besideDust(ink, isInk, levels);
    if (isDrawn(pale, grey, 0)) [isInk, found] = [pale, findComponents(pale)];
  }
  if (contrast < FAINT || longest() <= 0.024 * side) return blank();
  const sure = side >= 32 ? 0.5 : 0.125;
  if (contrast < sure && mayBeLight(ink, contrast) && !isDrawn(isInk, grey, contrast)) return blank();
  let limit = null, dust = null;
  const middle = median(ofInk());
  if (ink.values.reduce((m, v) => Math.max(m, v), -Infinity) > 2 * middle) [limit, dust] = findDust(ink, isInk, found, middle);
  let [others, warnings] = found.parts.length > 1 ? thingsBeside(isInk, found) : [null, []];
  if (dust !== null) others = others === null ? dust : mapGrid(others, (v, i) => v | dust.values[i]);
  const drawing = others === null ? isInk : mapGrid(isInk, (v, i) => v & (1 - others.values[i]));
  return { drawing, others, limit, isBlank: false, warnings };
}

function mayBeLight(ink, contrast) {
  return contrast < 0.15 || findLevels(sorted(shrinkGrid(ink, 32).values)).spread < 0.1 * contrast;
}

/** Whether ink of little contrast is drawn: noise has no large parts, and shadows have no sharp edges. */
function isDrawn(isInk, grey, contrast) {
  if (!countTrue(isInk.values)) return false;
  const found = findComponents(isInk), side = Math.max(isInk.height, isInk.width);
  const values = shrinkGrid(mapGrid(grey, (v) => v, Float32Array), side);
  const low = sweepGrid(values, 1, "min"), steps = mapGrid(sweepGrid(values, 1, "max"), (v, i) => v - low.values[i]);
  const usual = median(steps.values), inner = sweepGrid(isInk, 1, "min");
  const edge = mapGrid(isInk, (v, i) => (v && inner.values[i] === 0 ? 1 : 0));
  const length = totalOver(found, edge).map((v) => Math.max(v, 1));
  const sharp = Math.max(6, 0.35 * contrast * median(values.values));
  const share = (limit) => totalOver(found, mapGrid(edge, (v, i) => (v && steps.values[i] > limit ? 1 : 0))).map((v, i) => v / length[i]);
  const large = share(Math.max(sharp, 1.2 * usual)), small = share(Math.max(sharp, 2.5 * usual));
  return found.parts.some(
    (part, i) => (part.extent > Math.max(0.1 * side, 5) && large[i] > 0.5) || (part.extent > 0.024 * side && small[i] > 0.5)
  );
}

/** Where there is ink apart from dark grains, which hide pale ink from the histogram. */
function besideDust(ink, dust, levels) {
  const near = sweepGrid(dust, 2, "max");
  const rest = mapGrid(ink, (v, i) => (near.values[i] > 0 ? levels.paper : v));
  const pale = findLevels(sorted(rest.values));
  const isInk = makeMask(rest, (v) => v > Math.max(pale.threshold, pale.paper + FAINT));
  const longest = findComponents(isInk).parts.reduce((m, part) => Math.max(m, part.extent), 0);
  return longest > 0.2 * Math.max(ink.height, ink.width) ? isInk : mapGrid(isInk, () => 0);
}

/** Grains much darker than the drawing: the most that ink counts as, and where grains lie apart. */
function findDust(ink, isInk, found, middle) {
  const side = Math.max(ink.height, ink.width), heavy = makeMask(ink, (v) => v > 2 * middle);
  const grains = findComponents(heavy).parts, area = (parts) => parts.reduce((sum, part) => sum + part.area, 0);
  if (Math.max(...grains.map((grain) => grain.extent)) > 0.08 * side || area(grains) > 0.1 * area(found.parts)) return [null, null];
  const hasGrain = totalOver(found, heavy);
  const apart = maskOf(found, (part, i) => hasGrain[i] > 0 && part.extent < 1.5 * 0.08 * side);
  const lone = mapGrid(heavy, (v, i) => apart.values[i] | (v & (1 - isInk.values[i])));
  const wide = sweepGrid(lone, 2, "max");
  return [middle, makeMask(wide, (v, i) => v > 0 && !(isInk.values[i] && !apart.values[i]))];
}

/** Things of another kind near the border and far from the drawing; and what is not plain. */
function thingsBeside(isInk, found) {
  const { height, width } = isInk, side = Math.max(height, width), reach = Math.max(1, rint(0.025 * side));
  const groups = findComponents(makeMask(sweepGrid(isInk, reach, "max"), (v) => v > 0));
  if (groups.parts.length === 1) return [null, []];
  const names = found.parts.map((part) => groups.label[part.first]);
  const boxes = groups.parts.map((_, group) => boxOf(found.parts.filter((_, i) => names[i] === group)));
  const longer = boxes.map((b) => Math.max(b.bottom - b.top, b.right - b.left));
  const shorter = boxes.map((b) => Math.min(b.bottom - b.top, b.right - b.left));
  const off = boxes.map((b) => Math.max(Math.abs((b.left + b.right) / width - 1), Math.abs((b.top + b.bottom) / height - 1)));
  const worth = longer.map((l, i) => l * (l + shorter[i]) * (1 - off[i]) ** 2);
  const main = worth.indexOf(Math.max(...worth)), size = longer[main], own = boxes[main];
  const gaps = boxes.map((b) => [b.left - own.right, own.left - b.right, b.top - own.bottom, own.top - b.bottom]);
  const margins = boxes.map((b) => [b.top, height - b.bottom, b.left, width - b.right]);
  const distance = margins.map((m) => Math.min(...m)), farthest = gaps.map((g) => Math.max(...g));
  const isApart = boxes.map((_, i) => {
    const isSmall = longer[i] <= 0.6 * size || shorter[i] <= 0.25 * size;
    return i !== main && farthest[i] >= 0.1 * size && isSmall && distance[i] <= 0.1 * side;
  });
  if (!isApart.some((is) => is)) return [null, []];
  const nearest = Math.min(...margins.filter((_, i) => !isApart[i]).flat());
  const kinds = areOfAnotherKind(found, names, boxes, groups, main);
  const isPlain = [], isTold = [];
  boxes.forEach((_, i) => {
    const isFar = distance[i] <= 0.5 * nearest;
    const isCut = distance[i] === 0 && farthest[i] >= 0.2 * size && distance[main] > 0.08 * side;
    const isOther = isCut || kinds[i];
    const isLone = farthest[i] >= 0.4 * size || gaps[i].filter((gap) => gap >= 0.15 * size).length > 1;
    isPlain.push(isApart[i] && isFar && isOther);
    isTold.push(isApart[i] && !isPlain[i] && (isOther || (isFar && isLone)));
  });
  return [isPlain.some((is) => is) ? maskOf(groups, (_, i) => isPlain[i]) : null, isTold.some((is) => is) ? [UNSURE] : []];
}

function boxOf(parts) {
  const all = (key, pick) => pick(...parts.map((part) => part[key]));
  return { top: all("top", Math.min), bottom: all("bottom", Math.max), left: all("left", Math.min), right: all("right", Math.max) };
}

/** Whether groups of parts are no strokes as the drawing's: rows of three and more, or solid and thick. */
function areOfAnotherKind(found, names, boxes, groups, main) {
  const width = meanWidth(maskOf(found, (_, i) => names[i] === main));
  return groups.parts.map((group, number) => {
    const own = found.parts.filter((_, i) => names[i] === number);
    const solid = own.filter((part) => {
      const tall = part.bottom - part.top, wide = part.right - part.left;
      return part.area >= 0.7 * tall * wide && Math.min(tall, wide) >= Math.max(2.5 * width, 3);
    });
    const high = group.bottom - group.top, broad = group.right - group.left;
    return solid.length > 0.5 * own.length || (own.length >= 3 && Math.max(high, broad) >= 2 * Math.min(high, broad));
  });
}
