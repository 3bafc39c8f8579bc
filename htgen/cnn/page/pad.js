/* Where people draw, with mouse, finger, pen or keys. The paper is white and the ink black, whatever the page's colours. */
"use strict";

const blobOf = (canvas) => new Promise((done) => canvas.toBlob(done, "image/png"));

/** Make a canvas a pad; `onChange` is called after each stroke, and while one is drawn. */
function makePad(canvas, onChange) {
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const side = canvas.width, wide = side / 20, key = { x: side / 2, y: side / 2, isDown: false };
  let last = null, pointer = null, isEmpty = true;

  function clear() {
    pen.fillStyle = "white";
    pen.fillRect(0, 0, side, side);
    isEmpty = true;
    key.isDown = false;
    onChange();
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) * side) / box.width, y: ((event.clientY - box.top) * side) / box.height };
  }

  function line(from, to) {
    pen.strokeStyle = "black";
    pen.lineWidth = wide;
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    pen.moveTo(from.x, from.y);
    pen.lineTo(to.x, to.y);
    pen.stroke();
    isEmpty = false;
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || last !== null) return; // a second finger draws nothing
    pointer = event.pointerId;
    canvas.setPointerCapture(event.pointerId);
    last = place(event);
    line(last, { x: last.x + 0.01, y: last.y });
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (last === null || event.pointerId !== pointer) return;
    for (const part of event.getCoalescedEvents ? event.getCoalescedEvents() : [event]) {
      const next = place(part);
      line(last, next);
      last = next;
    }
    onChange();
  });
  const end = (event) => {
    if (last === null || event.pointerId !== pointer) return;
    last = null;
    onChange();
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);

  // Keys: arrows move the pen, Space puts it down or lifts it, Delete clears.
  canvas.addEventListener("keydown", (event) => {
    const step = side / (event.shiftKey ? 7 : 28);
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key === " ") {
      key.isDown = !key.isDown;
      if (key.isDown) line(key, { x: key.x + 0.01, y: key.y });
    } else if (event.key in moves) {
      const next = { x: Math.min(side, Math.max(0, key.x + moves[event.key][0])), y: Math.min(side, Math.max(0, key.y + moves[event.key][1])) };
      if (key.isDown) line(key, next);
      Object.assign(key, next);
    } else if (event.key === "Delete" || event.key === "Backspace") clear();
    else return;
    event.preventDefault();
    const where = `${Math.round((100 * key.x) / side)} across, ${Math.round((100 * key.y) / side)} down`;
    canvas.setAttribute("aria-description", `Pen ${key.isDown ? "down" : "up"}, at ${where} of 100`);
    onChange();
  });

  clear();
  return {
    clear,
    isEmpty: () => isEmpty,
    picture: () => pen.getImageData(0, 0, side, side),
    toBlob: () => blobOf(canvas),
    /** Show a drawing that was made before. */
    async put(blob) {
      pen.drawImage(await createImageBitmap(blob), 0, 0, side, side);
      isEmpty = false;
      onChange();
    },
  };
}
