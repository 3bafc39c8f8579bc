/* Connected parts of a mask: htgen/images/components.py in JavaScript. A mask is a grid of 0 and 1. */
"use strict";

function makeMask(grid, holds) {
  return mapGrid(grid, (value, i) => (holds(value, i) ? 1 : 0), Uint8Array);
}

function invertMask(mask) {
  return mapGrid(mask, (value) => 1 - value);
}

/** The connected parts, numbered from 0 in the order of their first places; pixels touch at corners too. */
function findComponents(mask) {
  const { height, width, values } = mask, label = new Int32Array(values.length).fill(-1);
  const parts = [], waiting = [];
  for (let start = 0; start < values.length; start++) {
    if (!values[start] || label[start] >= 0) continue;
    const part = { area: 0, top: height, bottom: 0, left: width, right: 0, first: start };
    label[start] = parts.length;
    waiting.push(start);
    while (waiting.length) {
      const place = waiting.pop(), x = place % width, y = (place - x) / width;
      part.area++;
      part.top = Math.min(part.top, y);
      part.bottom = Math.max(part.bottom, y + 1);
      part.left = Math.min(part.left, x);
      part.right = Math.max(part.right, x + 1);
      for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
        for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) {
          const near = row * width + column;
          if (values[near] && label[near] < 0) {
            label[near] = parts.length;
            waiting.push(near);
          }
        }
      }
    }
    part.extent = Math.max(part.bottom - part.top, part.right - part.left);
    part.touchesBorder = part.top === 0 || part.left === 0 || part.bottom === height || part.right === width;
    parts.push(part);
  }
  return { height, width, label, parts };
}

/** Where the chosen of the parts are. */
function maskOf(found, isChosen) {
  const chosen = found.parts.map(isChosen);
  const values = new Uint8Array(found.label.length); // a loop, as `from` takes longer
  for (let i = 0; i < values.length; i++) if (found.label[i] >= 0 && chosen[found.label[i]]) values[i] = 1;
  return makeGrid(found.height, found.width, values);
}

/** The sum of a grid's values over each part. */
function totalOver(found, grid) {
  const sums = new Float64Array(found.parts.length);
  found.label.forEach((part, i) => {
    if (part >= 0) sums[part] += grid.values[i];
  });
  return sums;
}

/** The box of a mask: first row, the one after the last, and the same of columns. */
function boxOfMask({ height, width, values }) {
  let [top, bottom, left, right] = [height, 0, width, 0];
  values.forEach((v, i) => {
    if (!v) return;
    const x = i % width, y = (i - x) / width;
    [top, bottom, left, right] = [Math.min(top, y), Math.max(bottom, y + 1), Math.min(left, x), Math.max(right, x + 1)];
  });
  return { top, bottom, left, right };
}

function largestPart(found) {
  const most = Math.max(...found.parts.map((part) => part.area));
  return found.parts.findIndex((part) => part.area === most);
}

/** A mask and all that it encloses. */
function fillHoles(mask) {
  const holes = maskOf(findComponents(invertMask(mask)), (part) => !part.touchesBorder);
  return mapGrid(mask, (value, i) => value | holes.values[i]);
}

/** The areas of the convex hull of a mask and of the smallest rectangle around it. */
function hullArea(mask) {
  const points = hullOf(mask);
  let hull = 0, rectangle = Infinity;
  points.forEach(([x, y], i) => {
    const [nextX, nextY] = points[(i + 1) % points.length];
    hull += (x * nextY - y * nextX) / 2;
  });
  for (let degrees = 0; degrees < 90; degrees += 2) {
    const c = Math.cos((degrees * Math.PI) / 180), s = Math.sin((degrees * Math.PI) / 180);
    const reach = (values) => Math.max(...values) - Math.min(...values);
    rectangle = Math.min(rectangle, reach(points.map(([x, y]) => x * c + y * s)) * reach(points.map(([x, y]) => y * c - x * s)));
  }
  return [Math.abs(hull), rectangle];
}

function hullOf({ height, width, values }) {
  const points = [];
  for (let y = 0; y < height; y++) {
    const row = values.subarray(y * width, (y + 1) * width), first = row.indexOf(1);
    if (first < 0) continue;
    const last = row.lastIndexOf(1) + 1;
    points.push([first, y], [first, y + 1], [last, y], [last, y + 1]);
  }
  points.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const turn = (a, b, c) => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
  const half = (ordered) => {
    const chain = [];
    for (const point of ordered) {
      while (chain.length > 1 && turn(chain[chain.length - 2], chain[chain.length - 1], point) <= 0) chain.pop();
      chain.push(point);
    }
    return chain.slice(0, -1);
  };
  return [...half(points), ...half([...points].reverse())];
}
