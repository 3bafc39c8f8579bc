/* Shadows and beams of light on paper, which no smooth surface follows: htgen/images/shadows.py in JavaScript. */
"use strict";

const LIGHT_WITHIN = "something wide and soft, away from the border, is taken for light or shadow and left out";

/** An image in even light, the same where its light is even enough, or not plain; and what is to be said of it, or null. */
function withoutShadows(grey) {
  const values = shrinkGrid(mapGrid(grey, (v) => v, Float32Array), 128);
  for (const reach of [2, 4, 10]) {
    if (Math.min(values.height, values.width) < 2 * reach) break;
    for (const [first, second] of [["max", "min"], ["min", "max"]]) {
      const light = mapGrid(sweepGrid(sweepGrid(values, reach, first), reach, second), (v) => Math.max(v, 16));
      if (!isLight(values, light)) continue;
      const full = resizeGrid(light, grey.width, grey.height, "bicubic"), bright = quantile(sorted(light.values), 0.9);
      const even = mapGrid(grey, (v, i) => clip(rint(Math.fround(v * Math.fround(bright / Math.max(full.values[i], 16)))), 0, 255));
      return [even, isWithin(light) ? LIGHT_WITHIN : null];
    }
  }
  return [grey, null];
}

/** Whether light changes away from the border, as a glow or the stroke of a brush does. */
function isWithin(light) {
  const [low, high] = extremesOf(borderOf(light)), ordered = sorted(light.values);
  return high - low < 0.4 * (quantile(ordered, 0.98) - quantile(ordered, 0.02));
}

/** Whether what is wide is light on the paper, and what is left is ink. */
function isLight(values, light) {
  const ordered = sorted(light.values), low = quantile(ordered, 0.02), high = quantile(ordered, 0.98);
  const steps = sorted(stepsOf(light).values);
  if (high - low < 0.15 * high || quantile(steps, 0.998) > 0.6 * (high - low)) return false;
  const taken = mapGrid(values, (v, i) => Math.fround(Math.abs(Math.fround(light.values[i] - v))) / light.values[i]);
  const levels = findLevels(sorted(taken.values)), isInk = makeMask(taken, (v) => v > Math.fround(levels.threshold));
  const count = countTrue(isInk.values);
  if (!count || count > 0.2 * isInk.values.length) return false;
  const longest = findComponents(isInk).parts.reduce((most, part) => Math.max(most, part.extent), 0);
  if (longest < 0.12 * Math.max(values.height, values.width)) return false;
  const contrast = taken.values.reduce((sum, v, i) => sum + (isInk.values[i] ? v : 0), 0) / count - levels.paper;
  if (levels.spread > 0.1 * contrast) return false;
  const edges = sorted(stepsOf(values).values.filter((_, i) => isInk.values[i]));
  if (quantile(edges, 0.5) < 1.6 * quantile(steps, 0.99)) return false;
  const small = shrinkGrid(light, 32), surface = paperLight(small);
  const bent = sorted(small.values.map((v, i) => Math.abs(v - surface.values[i]) / v));
  return quantile(bent, 0.98) > 0.4 * contrast;
}
