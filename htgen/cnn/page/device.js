/* The preparation in whole numbers of `htgen generate --device`: htgen/images/on_device.py in JavaScript.
 * Lengths are in sixteenths of a pixel; a frame is {left, top, width, height}. */
"use strict";

/** A grey grid of bytes -> bright ink, bytes [size * size]. Strokes are made even unless `stroke` is 0. */
function prepareOnDevice(frame, size, stroke) {
  const whole = { left: 0, top: 0, width: 16 * frame.width, height: 16 * frame.height };
  let values = frame, [cells] = cellMeans(values, whole, Math.min(32, frame.width), Math.min(32, frame.height));
  if (cellsAreDark(cells)) [values, cells] = [values, cells].map((grid) => mapGrid(grid, (v) => 255 - v));
  const paper = paperLevel(cells);
  let ink = standOut(cells, paper, whole, whole), box = cellBox(ink, whole);
  if (box === null) return new Uint8Array(size * size);
  const marginX = Math.floor(whole.width / ink.width), marginY = Math.floor(whole.height / ink.height);
  const left = Math.max(box.left - marginX, 0), top = Math.max(box.top - marginY, 0);
  const right = Math.min(box.left + box.width + marginX, whole.width);
  const bottom = Math.min(box.top + box.height + marginY, whole.height);
  const closer = { left, top, width: right - left, height: bottom - top };
  const [columns, rows] = [closer.width, closer.height].map((length) => Math.max(1, Math.min(32, length >> 4)));
  [cells] = cellMeans(values, closer, columns, rows);
  box = cellBox(standOut(cells, paper, whole, closer), closer) || box;
  const side = Math.floor((Math.max(box.width, box.height, 64) * 10) / 9);
  const middle = (start, length) => start + (length >> 1) - (side >> 1);
  const cut = { left: middle(box.left, box.width), top: middle(box.top, box.height), width: side, height: side };
  const inkOf = (aside) => {
    const [means, weights] = cellMeans(values, cut, aside, aside);
    return mapGrid(standOut(means, paper, whole, cut), (v, i) => (weights[i] === 0 ? 0 : v));
  };
  ink = inkOf(size);
  const levels = inkLevels(ink);
  if (levels === null) return Uint8Array.from(ink.values);
  ink = stretchCells(ink, levels);
  return Uint8Array.from((stroke ? evenCellStrokes(ink, stretchCells(inkOf(2 * size), levels), stroke) : ink).values);
}

function cellEdges(start, length, cells) {
  return Array.from({ length: cells + 1 }, (_, i) => start + Math.floor((length * i) / cells));
}

/** Means over cells, 0-255, and how much of each cell lies within the frame. */
function cellMeans(grid, area, columns, rows) {
  const part = (start, length, cells, pixels) => {
    const edges = cellEdges(start, length, cells);
    return Array.from({ length: cells }, (_, i) => {
      const found = [];
      for (let p = Math.max(0, edges[i] >> 4); p < pixels && 16 * p < edges[i + 1]; p++) {
        const share = Math.min(edges[i + 1], 16 * p + 16) - Math.max(edges[i], 16 * p);
        if (share > 0) found.push([p, share]);
      }
      return found;
    });
  };
  const across = part(area.left, area.width, columns, grid.width), down = part(area.top, area.height, rows, grid.height);
  const values = new Int32Array(rows * columns), weights = new Float64Array(rows * columns);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      let sum = 0, weight = 0;
      for (const [row, high] of down[y]) {
        for (let i = 0; i < across[x].length; i++) {
          const [column, wide] = across[x][i];
          sum += high * wide * grid.values[row * grid.width + column];
          weight += high * wide;
        }
      }
      weights[y * columns + x] = weight;
      values[y * columns + x] = Math.floor((sum + Math.floor(weight / 2)) / Math.max(weight, 1));
    }
  }
  return [makeGrid(rows, columns, values), weights];
}

/** The paper's level at the middles of cells, interpolated between its own cells. */
function levelAt(paper, whole, area, rows, columns) {
  const places = (start, length, cells, limit, known) => {
    const edges = cellEdges(start, length, cells);
    return Array.from({ length: cells }, (_, i) => {
      const at = clip((edges[i] + edges[i + 1]) >> 1, 0, limit);
      const scaled = clip(Math.floor((at * known * 16) / limit) * 16 - 128, 0, (known - 1) * 256);
      const first = scaled >> 8;
      return [first, Math.min(first + 1, known - 1), scaled & 255];
    });
  };
  const down = places(area.top, area.height, rows, whole.height, paper.height);
  const across = places(area.left, area.width, columns, whole.width, paper.width);
  const at = (y, x) => paper.values[y * paper.width + x];
  const values = new Int32Array(rows * columns);
  down.forEach(([row, nextRow, low], y) =>
    across.forEach(([column, nextColumn, right], x) => {
      const upper = at(row, column) * (256 - right) + at(row, nextColumn) * right;
      const lower = at(nextRow, column) * (256 - right) + at(nextRow, nextColumn) * right;
      values[y * columns + x] = (upper * (256 - low) + lower * low) >> 16;
    })
  );
  return values;
}

/** Of the cells that are near in a column, sorted, the one with a rank; then the same along rows. */
function rankCells(grid, reach, rank) {
  const lines = ({ height, width, values }) => {
    const result = new Int32Array(values.length), last = height - 1;
    for (let x = 0; x < width; x++) {
      const at = (i) => {
        if (i < 0) return clip(2 * values[x] - values[Math.min(-i, last) * width + x], 0, 255);
        if (i > last) return clip(2 * values[last * width + x] - values[(last - Math.min(i - last, last)) * width + x], 0, 255);
        return values[i * width + x];
      };
      for (let y = 0; y < height; y++) {
        const near = Int32Array.from({ length: 2 * reach + 1 }, (_, k) => at(y + k - reach)).sort();
        result[x * height + y] = near[rank];
      }
    }
    return makeGrid(width, height, result);
  };
  return lines(lines(grid));
}

function cellsAreDark(cells) {
  const reach = Math.max(1, Math.max(cells.height, cells.width) >> 2), light = rankCells(cells, reach, reach);
  let moment = 0, sum = 0, above = -255, below = -255;
  cells.values.forEach((v, i) => {
    const apart = v - light.values[i];
    above = Math.max(above, apart);
    below = Math.max(below, -apart);
    moment += apart ** 3;
    sum += light.values[i];
  });
  const isNoise = Math.max(above, below) < 10 && above <= 2 * below && below <= 2 * above;
  return moment === 0 || isNoise ? sum > 127 * cells.values.length : moment < 0;
}

/** What is left when all that is narrow is taken away, and reaches the border. */
function paperLevel(cells) {
  const { height, width } = cells, reach = Math.max(1, Math.floor(Math.max(height, width) / 12));
  const opened = rankCells(rankCells(cells, reach, 0), reach, 2 * reach);
  let level = mapGrid(opened, (v, i) => {
    const x = i % width, y = (i - x) / width;
    return y === 0 || x === 0 || y === height - 1 || x === width - 1 ? v : 0;
  });
  for (;;) {
    const at = (y, x) => (y >= 0 && x >= 0 && y < height && x < width ? level.values[y * width + x] : 0);
    const wider = mapGrid(level, (v, i) => {
      const x = i % width, y = (i - x) / width;
      const tall = (column) => Math.max(at(y, column), at(y - 1, column), at(y + 1, column));
      return Math.min(opened.values[i], Math.max(tall(x), at(y, x - 1), at(y, x + 1)));
    });
    if (wider.values.every((v, i) => v === level.values[i])) return level;
    level = wider;
  }
}

/** How far cells stand out from the paper, as a share of what it leaves: 0-255. */
function standOut(cells, paper, whole, area) {
  const level = levelAt(paper, whole, area, cells.height, cells.width);
  return mapGrid(cells, (v, i) => Math.min(255, Math.floor((Math.max(v - level[i], 0) * 255) / Math.max(255 - level[i], 32))));
}

function inkLimit(ordered) {
  return Math.max(Math.floor(ordered[Math.floor(((ordered.length - 1) * 255) / 256)] / 3), 10);
}

/** Where the ink is; null where there is none. */
function cellBox(ink, area) {
  const limit = inkLimit(ink.values.slice().sort());
  const across = new Array(ink.width).fill(0), down = new Array(ink.height).fill(0);
  let total = 0;
  ink.values.forEach((v, i) => {
    if (v <= limit) return;
    total++;
    across[i % ink.width]++;
    down[Math.floor(i / ink.width)]++;
  });
  if (total === 0) return null;
  const [[left, width], [top, height]] = [[across, area.left, area.width], [down, area.top, area.height]].map(([mass, start, length]) => {
    let sum = 0, first = 0, last = 1;
    for (const count of mass) {
      sum += count;
      if (sum * 200 <= total) first++;
      if (sum * 200 < total * 199) last++;
    }
    const low = start + Math.floor((length * first) / mass.length);
    return [low, start + Math.floor((length * last) / mass.length) - low];
  });
  return { left, top, width, height };
}

/** A quarter of the threshold, and the ink's middle; null where there is none. */
function inkLevels(ink) {
  const ordered = ink.values.slice().sort(), limit = inkLimit(ordered), above = countBelow(ordered, limit, true);
  return above === ordered.length ? null : [limit >> 2, ordered[above + Math.floor(((ordered.length - 1 - above) * 3) / 5)]];
}

/** Map the ink's middle to 255, and what is below a quarter of the threshold to 0. */
function stretchCells(ink, [empty, full]) {
  return mapGrid(ink, (v) => clip(Math.floor(((v - empty) * 255) / (full - empty)), 0, 255));
}

/** Strokes of about one width: htgen/images/device_strokes.py; `fine` is the ink on a grid twice as fine. */
function evenCellStrokes(ink, fine, stroke) {
  const excess = widthOfStrokes(ink) - Math.floor(stroke * ink.width * 36 + 0.5);
  const extreme = excess > 0 ? Math.min : Math.max;
  for (let change = Math.min(Math.abs(excess) >> 1, 48); ; change = Math.max(change - 16, 0)) {
    const made = changedStrokes(fine, change, extreme);
    if (change === 0 || made.values.some((v) => v >= 128)) return made;
  }
}

/** In sixteenths of a fine cell; 0 without any. */
function widthOfStrokes({ width, height, values }) {
  const at = (y, x) => (y >= 0 && x >= 0 && y < height && x < width ? values[y * width + x] : 0);
  let sum = 0, outline = 0;
  for (let y = 0; y <= height; y++) {
    for (let x = 0; x <= width; x++) {
      sum += at(y, x);
      outline += Math.abs(at(y, x) - at(y - 1, x)) + Math.abs(at(y, x) - at(y, x - 1));
    }
  }
  return outline ? Math.floor((64 * sum) / outline) : 0;
}

function changedStrokes(fine, change, extreme) {
  const reach = change >> 4, part = change & 15, less = extremesNearby(fine, reach, extreme);
  const more = part ? extremesNearby(fine, reach + 1, extreme) : less, half = fine.width >> 1;
  const at = (y, x) => (16 - part) * less.values[y * fine.width + x] + part * more.values[y * fine.width + x];
  return mapGrid(makeGrid(half, half, new Int32Array(half * half)), (_, i) => {
    const x = 2 * (i % half), y = 2 * Math.floor(i / half);
    return (at(y, x) + at(y, x + 1) + at(y + 1, x) + at(y + 1, x + 1) + 32) >> 6;
  });
}

/** The smallest or largest value of squares that reach so far. */
function extremesNearby(grid, reach, extreme) {
  const lines = ({ height, width, values }) =>
    mapGrid(makeGrid(width, height, new Int32Array(values.length)), (_, i) => {
      const x = Math.floor(i / height), y = i % height, last = Math.min(y + reach, height - 1);
      let found = values[y * width + x];
      for (let near = Math.max(y - reach, 0); near <= last; near++) found = extreme(found, values[near * width + x]);
      return found;
    });
  return lines(lines(grid));
}
