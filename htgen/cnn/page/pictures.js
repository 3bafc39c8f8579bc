/* Pictures from files and from the camera. Nothing of them leaves the page by these functions. */
"use strict";

const LONGEST_SIDE = 4000;

/** A file as a canvas, upright; throws where it is no picture that the browser reads. */
async function canvasOfFile(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d", { willReadFrequently: true }).drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas;
}

function pictureOf(canvas) {
  return canvas.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, canvas.width, canvas.height);
}

/** Call `take(files)` for what is dropped onto an element, chosen with an input, or pasted into the page. */
function acceptFiles(place, input, take) {
  const show = (event, isOver) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    event.stopPropagation();
    place.classList.toggle("over", isOver);
  };
  place.addEventListener("dragover", (event) => show(event, true));
  place.addEventListener("dragleave", (event) => show(event, false));
  place.addEventListener("drop", (event) => {
    show(event, false);
    if (event.dataTransfer.files.length) take([...event.dataTransfer.files]);
  });
  input.addEventListener("change", () => {
    if (input.files.length) take([...input.files]);
    input.value = "";
  });
}

/** The camera behind a button; `onFrame(canvas)` is called for each picture, one after the other. */
function makeCamera(video, button, onFrame, say) {
  let stream = null;

  async function loop() {
    const own = stream; // one that is stopped and begun again has a loop of its own
    while (stream === own) {
      if (video.videoWidth) await onFrame(grab());
      await new Promise((done) => setTimeout(done, 150));
    }
  }

  function grab() {
    const canvas = document.createElement("canvas"), side = Math.min(video.videoWidth, video.videoHeight);
    canvas.width = canvas.height = Math.min(side, 480);
    const left = (video.videoWidth - side) / 2, top = (video.videoHeight - side) / 2;
    canvas.getContext("2d", { willReadFrequently: true }).drawImage(video, left, top, side, side, 0, 0, canvas.width, canvas.height);
    return canvas;
  }

  function stop() {
    if (stream !== null) for (const track of stream.getTracks()) track.stop();
    stream = video.srcObject = null;
    video.hidden = true;
    button.textContent = "Use the camera";
    button.setAttribute("aria-pressed", "false");
  }

  button.addEventListener("click", async () => {
    if (stream !== null) return stop();
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      return say(`The camera cannot be used: ${error.message || error}.`);
    }
    stream.getVideoTracks()[0].addEventListener("ended", stop); // unplugged, or forbidden by now
    video.srcObject = stream;
    video.hidden = false;
    button.textContent = "Stop the camera";
    button.setAttribute("aria-pressed", "true");
    await video.play();
    return loop();
  });
  return { stop, grab: () => (stream !== null && video.videoWidth ? grab() : null) };
}

/** Prepared pixels on a canvas of their own size. */
function showPixels(canvas, pixels, size, channels) {
  canvas.width = canvas.height = size;
  const image = new ImageData(size, size);
  for (let i = 0; i < size * size; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = pixels[i * channels + (channels === 3 ? c : 0)];
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** The answer for one picture: the class or "none of these", and a bar for each of the likeliest classes. */
function showAnswer(answer, list, classes, probabilities, limit, most = 8) {
  const order = [...classes.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
  const isNone = probabilities[order[0]] < limit;
  answer.textContent = isNone ? "none of these" : classes[order[0]];
  list.replaceChildren(
    ...order.slice(0, most).map((index, place) => {
      const row = document.createElement("li"), name = document.createElement("span");
      const bar = document.createElement("span"), fill = document.createElement("span"), share = document.createElement("span");
      const percent = `${(100 * probabilities[index]).toFixed(1)} %`;
      row.className = place === 0 && !isNone ? "best" : "";
      [name.className, bar.className, share.className] = ["name", "bar", "share"];
      name.textContent = name.title = classes[index];
      fill.style.width = `${100 * probabilities[index]}%`;
      share.textContent = percent;
      bar.append(fill);
      row.append(name, bar, share);
      return row;
    })
  );
  if (order.length > most) {
    const rest = document.createElement("li"), left = order.slice(most).reduce((sum, i) => sum + probabilities[i], 0);
    rest.textContent = `${order.length - most} more classes: ${(100 * left).toFixed(1)} % together`;
    list.append(rest);
  }
  return isNone ? null : classes[order[0]];
}
