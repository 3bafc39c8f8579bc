/* Whether a picture is plainly no drawing: htgen/images/drawings.py (looks_drawn) and coloured.py in JavaScript. */
"use strict";

const PHOTOGRAPH = "it looks like a photograph of a thing, not like a drawing";

/** Whether it is so uneven, or so coloured; of `planes` that are grey, and of paper that was cut out, the colours say nothing. */
function isPhotograph(drawing, planes) {
  const { width, height } = planes[0], whole = width * height * Math.min(1, 1024 / Math.max(width, height)) ** 2;
  return !looksDrawn(drawing) || (drawing.ink.values.length > 0.98 * whole && hasColoursOfScene(planes));
}

/** Whether an image may be a drawing: the paper is even, compared with how far the ink is from it. */
function looksDrawn(drawing) {
  if (drawing.parts.isBlank) return true;
  const read = drawing.page === null ? drawing : inkOf(drawing.page, { ...ALL_STEPS, clean: false }, drawing.polarity);
  const ink = shrinkGrid(read.ink, 64).values, levels = findLevels(sorted(ink)), limit = Math.fround(levels.threshold);
  let full = 0, paper = 0, count = 0;
  for (const value of ink) {
    if (value > limit) {
      full += value;
      count++;
    } else paper += value;
  }
  if (!count || count === ink.length) return true;
  return levels.spread < 0.1 * (full / count - paper / (ink.length - count));
}

/** Whether an image can be no drawing, by its colours: many of them, all over, with soft steps between them. */
function hasColoursOfScene(planes) {
  const [width, height] = thumbnailSize(planes[0].width, planes[0].height, 64);
  if (planes.length < 3 || Math.max(planes[0].width, planes[0].height) < 60 || Math.min(width, height) < 3) return false;
  const [red, green, blue] = planes.map((plane) => resizeGrid(plane, width, height, "box").values), count = width * height;
  const softShare = (step, holds) => {
    let soft = 0, all = 0;
    for (let i = 0; i < count - step; i++) {
      if (!holds(i)) continue;
      const change = Math.abs(red[i] + green[i] + blue[i] - red[i + step] - green[i + step] - blue[i + step]);
      all++;
      if (change >= 9 && change < 75) soft++;
    }
    return soft / all;
  };
  if ((softShare(1, (i) => (i + 1) % width) + softShare(width, () => true)) / 2 <= 0.35) return false;
  const counts = new Map();
  for (let i = 0; i < count; i++) {
    const colour = [red, green, blue].reduce((sum, values) => 16 * sum + Math.floor(values[i] / 24), 0);
    counts.set(colour, (counts.get(colour) || 0) + 1);
  }
  let bits = 0;
  for (const number of counts.values()) bits -= (number / count) * Math.log2(number / count);
  if (bits <= 3.9) return false;
  const ratios = [red, blue].map((values) => Float64Array.from(values, (v, i) => Math.log(v + 16) - Math.log(green[i] + 16)));
  const changes = (ratio) => ratio.map((v, i) => Math.abs(v - ratio[i - 1])).filter((_, i) => i % width);
  const noise = ratios.reduce((sum, ratio) => sum + median(changes(ratio)), 0);
  const [first, second] = ratios.map((ratio) => besideTilt(ratio, width, height));
  return Math.sqrt(median(first.map((v, i) => v * v + second[i] * second[i]))) > Math.max(0.025, noise);
}

/** Values less their middle and their change from one side to the other, by that of the outer thirds. */
function besideTilt(values, width, height) {
  const down = Math.floor(height / 3), across = Math.floor(width / 3), middle = (holds) => median(values.filter((_, i) => holds(i)));
  const fall = (middle((i) => i >= (height - down) * width) - middle((i) => i < down * width)) / (height - down);
  const shift = (middle((i) => i % width >= width - across) - middle((i) => i % width < across)) / (width - across);
  const even = values.map((v, i) => v - fall * Math.floor(i / width) - shift * (i % width)), centre = median(even);
  return even.map((v) => v - centre);
}
