/* The try-out: what is drawn, dropped or filmed, and what the CNN answers. */
"use strict";

/**
 * Make the try-out. What is shown is the answer for the newest image by the newest CNN, or marked as busy until it is.
 * `page` has the state (`state()`), and what to do with the version that an answer comes from (`meet(version)`).
 */
function makeTryOut(page) {
  let shown = null, source = "pad";
  // An answer is for a turn. Those of an earlier source, or of an earlier CNN, are dropped; those of earlier strokes are shown on the way.
  let epoch = 0, number = 0;

  const limit = () => at("limit").value / 100;
  const hasCnn = () => page.state() !== null && page.state().cnn !== null;

  function want(what) {
    if (what !== source) epoch++;
    source = what;
    number++;
    at("answers").setAttribute("aria-busy", "true");
    return now();
  }
  const now = () => ({ epoch, number, source });

  function settle(turn, found) {
    if (turn.epoch !== epoch) return;
    show(found, turn.source);
    if (turn.number === number) at("answers").setAttribute("aria-busy", "false");
  }

  function show(found, of) {
    shown = found === null ? null : { found, of };
    at("sight").hidden = found === null;
    at("nearest").replaceChildren();
    if (found === null) {
      at("answer").textContent = "–";
      at("bars").replaceChildren();
      at("what").textContent = "";
      at("notes").textContent = page.state() === null || hasCnn() ? "Draw something here, drop an image, or use the camera." : page.state().why;
      return;
    }
    at("seen").src = found.seen;
    at("what").textContent = of === "pad" ? "Your drawing is" : of instanceof File ? `${of.name} is` : "The camera shows";
    showAnswer(at("answer"), at("bars"), found.classes, found.probabilities, limit());
    const notes = [...(found.blank ? ["nothing is to be seen"] : []), ...found.warnings.filter((text) => !(found.blank && text === "nothing is to be seen"))];
    at("notes").textContent = noteOf(notes);
    at("nearest").replaceChildren(...found.nearest.map(nearImage));
  }

  function nearImage(id) {
    const own = page.state().classes.find((entry) => entry.images.some((image) => image.id === id));
    const alt = own === undefined ? "" : `an image of ${own.name}`;
    return element("img", { src: `image/${id}`, alt, title: `one of the nearest images of the classes: ${alt}` });
  }

  async function answer(turn, blob) {
    if (blob === null || !hasCnn()) return settle(turn, null);
    try {
      const found = await ask("api/try", blob);
      settle(turn, found);
      return page.meet(found.version);
    } catch (error) {
      if (turn.epoch !== epoch) return undefined;
      settle(turn, null);
      return say(error.message);
    }
  }

  let isAsking = false, isWaiting = false;
  /** One request at a time; the last stroke is never left out. */
  async function tryPad() {
    want("pad");
    if (isAsking) return void (isWaiting = true);
    isAsking = true;
    do {
      isWaiting = false;
      await answer(now(), pad.isEmpty() ? null : await pad.toBlob());
    } while (isWaiting && source === "pad");
    isAsking = false;
    return undefined;
  }

  /** Ask again for all that is shown: there is another CNN. */
  function retry() {
    epoch++;
    if (source === "pad") tryPad();
    else answer(want(source), source);
    askRows();
  }

  const pad = makePad(at("pad"), () => queueMicrotask(tryPad));
  at("clear").addEventListener("click", () => {
    for (const row of at("files").children) row.forget();
    at("files").replaceChildren();
    pad.clear();
  });
  makeCamera(at("video"), at("camera"), async (canvas) => {
    const blob = await blobOf(canvas);
    return answer(want(blob), blob);
  }, say);
  at("limit").addEventListener("input", () => {
    at("limit-text").textContent = `${at("limit").value} %`;
    if (shown !== null) show(shown.found, shown.of);
    for (const row of at("files").children) row.tell();
  });

  // ---------------------------------------------------------------------------------------------- files

  /** A line for a file; `ask` gives the answer of the CNN that there is now. */
  function makeRow(file) {
    const text = element("strong"), href = URL.createObjectURL(file);
    const seen = element("img", { alt: "as the CNN sees it", hidden: true });
    const own = element("img", { src: href, alt: "", onerror: () => (own.hidden = true) });
    const row = element("li", {}, own, seen, element("div", {}, text, element("span", { className: "quiet", textContent: file.name })));
    let found = null, turn = 0;
    row.tell = () => {
      if (found === null) return;
      const best = Math.max(...found.probabilities), label = found.classes[found.probabilities.indexOf(best)];
      text.textContent = `${best < limit() ? "none of these" : label} (${(100 * best).toFixed(1)} %)${found.warnings.length || found.blank ? " !" : ""}`;
      text.title = found.warnings.join("; ");
    };
    row.forget = () => URL.revokeObjectURL(href);
    row.ask = async () => {
      const mine = ++turn;
      found = null;
      text.textContent = hasCnn() ? "…" : "no CNN";
      if (!hasCnn()) return null;
      const next = await ask("api/try", file).catch((error) => error);
      if (mine !== turn) return null;
      if (next instanceof Error) {
        text.textContent = next.message;
        return null;
      }
      found = next;
      seen.src = found.seen;
      seen.hidden = false;
      row.tell();
      return found;
    };
    return row;
  }

  let rowsTurn = 0;
  async function askRows() {
    const mine = ++rowsTurn;
    for (const row of [...at("files").children]) {
      if (mine !== rowsTurn) return;
      await row.ask();
    }
  }

  async function tryFiles(files) {
    if (!files.length) return;
    if (!hasCnn()) return say(page.state() === null ? "" : page.state().why);
    let last = null;
    for (const file of files) {
      const row = makeRow(file);
      at("files").prepend(row);
      const turn = last === null || source === last ? want(file) : null; // unless something else is tried by now
      last = file;
      const found = await row.ask();
      if (turn !== null) settle(turn, found);
      if (found !== null) page.meet(found.version);
    }
  }
  acceptFiles(document.body, at("choose"), tryFiles);
  document.addEventListener("paste", (event) => tryFiles([...event.clipboardData.files]));

  return { retry };
}
