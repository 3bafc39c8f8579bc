/* The page of an exported CNN: draw, drop or show something, and see the answer. */
"use strict";

(function () {
  const at = (id) => document.getElementById(id);
  const cnn = readCnn(JSON.parse(at("cnn").textContent));
  const { size, channels } = cnn.preprocessing;
  let shown = null;

  /** {probabilities, pixels, isBlank, warnings} of a picture. */
  function answerFor(picture) {
    const prepared = preparePicture(picture, cnn.preprocessing), probabilities = classify(cnn, prepared.pixels);
    return { ...prepared, probabilities, warnings: [...prepared.warnings, ...drawnWarnings(cnn, prepared, probabilities)] };
  }

  const limit = () => at("limit").value / 100;

  function say(text) {
    at("notes").textContent = text;
  }

  /** Show an answer; `what` says of which picture it is. */
  function show(found, what = "") {
    shown = found === null ? null : { found, what };
    at("what").textContent = what;
    if (found === null) {
      at("answer").textContent = "–";
      at("bars").replaceChildren();
      at("seen").hidden = true;
      return say("Draw something, drop an image, or use the camera.");
    }
    at("seen").hidden = false;
    showPixels(at("seen"), found.pixels, size, channels);
    showAnswer(at("answer"), at("bars"), cnn.classes, found.probabilities, limit());
    const warnings = [...(found.isBlank ? ["nothing is to be seen"] : []), ...found.warnings];
    return say(warnings.length ? `Note: ${warnings.join("; ")}.` : "");
  }

  let waits = false;
  const pad = makePad(at("pad"), () => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => {
      waits = false;
      if (pad.isEmpty()) show(null);
      else show(answerFor(pad.picture()), "Your drawing is");
    });
  });
  at("clear").addEventListener("click", pad.clear);
  at("limit").addEventListener("input", () => {
    at("limit-text").textContent = `${at("limit").value} %`;
    if (shown !== null) show(shown.found, shown.what);
    for (const row of at("files").children) if (row.answer) row.answer();
  });
  makeCamera(at("video"), at("camera"), (canvas) => show(answerFor(pictureOf(canvas)), "The camera shows"), say);

  async function addFile(file) {
    const row = document.createElement("li"), name = document.createElement("span"), text = document.createElement("strong");
    const words = document.createElement("div");
    name.className = "quiet";
    name.textContent = file.name;
    words.append(text, name);
    let canvas = null;
    try {
      canvas = await canvasOfFile(file);
    } catch {
      text.textContent = "this is no image that the browser can read";
      row.append(words);
      at("files").prepend(row);
      return;
    }
    const found = answerFor(pictureOf(canvas)), small = document.createElement("canvas"), prepared = document.createElement("canvas");
    const scale = 64 / Math.max(canvas.width, canvas.height);
    small.width = Math.max(1, canvas.width * scale);
    small.height = Math.max(1, canvas.height * scale);
    small.getContext("2d").drawImage(canvas, 0, 0, small.width, small.height);
    showPixels(prepared, found.pixels, size, channels);
    row.answer = () => {
      const best = Math.max(...found.probabilities), label = cnn.classes[found.probabilities.indexOf(best)];
      text.textContent = `${best < limit() ? "none of these" : label} (${(100 * best).toFixed(1)} %)${found.isBlank ? "; nothing is to be seen" : ""}`;
    };
    row.answer();
    row.append(small, prepared, words);
    row.dataset.probabilities = JSON.stringify(found.probabilities);
    at("files").prepend(row);
    show(found, `${file.name} is`);
  }

  acceptFiles(document.body, at("choose"), async (files) => {
    for (const file of files) await addFile(file);
  });
  document.addEventListener("paste", (event) => {
    for (const file of event.clipboardData.files) addFile(file);
  });
})();
