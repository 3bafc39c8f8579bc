/* What the ink of an image is made of: the drawing, small things beside it, dust, or nothing at all.
 * htgen/images/beside.py in JavaScript. */
"use strict";

const FAINT = 0.04;

/** Share of the side; grains of dust, and what of them touches, are no larger. */
const DUST = 0.12;

/** {drawing, others, limit, isBlank, warnings}: masks, the most that ink counts as, and what is not plain. */
function findParts(ink, grey, isBright) {
  const levels = findLevels(sorted(ink.values));
  let isInk = makeMask(ink, (v) => v > Math.fround(levels.threshold));
  const blank = () => blankParts(isInk);
  if (!countTrue(isInk.values)) return blank();
  const ofInk = () => ink.values.filter((_, i) => isInk.values[i]);
  const contrast = ofInk().reduce((sum, v) => sum + v, 0) / countTrue(isInk.values) - levels.paper;
  let found = findComponents(isInk);
  const side = Math.max(ink.height, ink.width);
  const longest = () => Math.max(...found.parts.map((part) => part.extent));
  if (contrast > FAINT && longest() < DUST * side) {
    const pale = besideDust(ink, isInk, levels);
    if (isDrawn(pale, grey, 0)) [isInk, found] = [pale, findComponents(pale)];
  }
  if (contrast < FAINT || longest() <= 0.024 * side) return blank();
  const sure = side >= 32 ? 0.5 : 0.125;
  if (contrast < sure && mayBeLight(ink, contrast) && !isDrawn(isInk, grey, contrast)) return blank();
  if (contrast < 0.75 && isShadow(isInk, found, grey)) return blank();
  const { areDots, warnings: told } = findStrewn(found);
  let limit = null, dust = null, strewn = null, isLarge = false;
  if (areDots !== null) {
    const near = sweepGrid(maskOf(found, (_, i) => areDots[i]), 1, "max");
    isInk = maskOf(found, (_, i) => !areDots[i]);
    found = findComponents(isInk);
    strewn = mapGrid(isInk, (v, i) => (near.values[i] > 0 && !v ? 1 : 0));
  }
  const middle = median(ofInk());
  if (ink.values.reduce((m, v) => Math.max(m, v), -Infinity) > 2 * middle) [limit, dust, isLarge] = findDust(ink, isInk, found, middle);
  let [others, warnings] = found.parts.length > 1 ? thingsBeside(isInk, found) : [null, []];
  for (const more of [dust, strewn]) {
    if (more !== null) others = others === null ? more : mapGrid(others, (v, i) => v | more.values[i]);
  }
  const drawing = others === null ? isInk : mapGrid(isInk, (v, i) => v & (1 - others.values[i]));
  if (!countTrue(drawing.values)) return blank();
  return { drawing, others, limit, isBlank: false, warnings: [...new Set([...told, ...(isLarge ? [LEFT_OUT] : []), ...warnings, ...findDoubts(isInk, found, isBright)])] };
}

function blankParts(drawing) {
  return { drawing, others: null, limit: null, isBlank: true, warnings: [] };
}

function mayBeLight(ink, contrast) {
  return contrast < 0.15 || findLevels(sorted(shrinkGrid(ink, 32).values)).spread < 0.1 * contrast;
}

/** Whether ink of little contrast is drawn: noise has no large parts, and shadows have no sharp edges. */
function isDrawn(isInk, grey, contrast) {
  if (!countTrue(isInk.values)) return false;
  const found = findComponents(isInk), side = Math.max(isInk.height, isInk.width);
  const values = shrinkGrid(mapGrid(grey, (v) => v, Float32Array), side), steps = stepsOf(values);
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

/** How much values differ from what is next to them. */
function stepsOf(values) {
  const low = sweepGrid(values, 1, "min");
  return mapGrid(sweepGrid(values, 1, "max"), (v, i) => v - low.values[i]);
}

/** Whether all that seems ink is shadow: wide, along the border, and as smooth within as the paper is. */
function isShadow(isInk, found, grey) {
  const side = Math.max(isInk.height, isInk.width), isLarge = (part) => part.extent > 0.024 * side;
  if (side < 32 || !found.parts.every((part) => part.touchesBorder || !isLarge(part))) return false;
  const inner = totalOver(found, sweepGrid(isInk, rint(0.08 * side), "min"));
  if (!found.parts.every((part, i) => inner[i] > 0 || !isLarge(part))) return false;
  const border = borderOf(isInk);
  if (countTrue(border) / border.length < 0.08) return false;
  const steps = stepsOf(shrinkGrid(mapGrid(grey, (v) => v, Float32Array), side)).values;
  const ink = sweepGrid(isInk, 6, "min").values, near = sweepGrid(isInk, 6, "max").values;
  const within = steps.filter((_, i) => ink[i] > 0), paper = steps.filter((_, i) => near[i] === 0);
  if (!within.length || !paper.length) return false;
  const limit = Math.max(6, 2 * quantile(sorted(paper), 0.9));
  return within.filter((v) => v > limit).length / within.length < 0.01;
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
  if (Math.max(...grains.map((grain) => grain.extent)) > DUST * side || area(grains) > 0.5 * area(found.parts)) return [null, null, false];
  const hasGrain = totalOver(found, heavy);
  const isApart = (part, i) => hasGrain[i] > 0 && part.extent < 1.5 * DUST * side;
  const apart = maskOf(found, isApart), isLarge = found.parts.some((part, i) => isApart(part, i) && part.extent > 0.06 * side);
  const lone = mapGrid(heavy, (v, i) => apart.values[i] | (v & (1 - isInk.values[i])));
  const wide = sweepGrid(lone, 2, "max");
  return [middle, makeMask(wide, (v, i) => v > 0 && !(isInk.values[i] && !apart.values[i])), isLarge];
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
  return [isPlain.some((is) => is) ? maskOf(groups, (_, i) => isPlain[i]) : null, isTold.some((is) => is) ? [KEPT] : []];
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
