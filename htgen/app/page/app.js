/* The page of `htgen app`: it shows what the server says, and asks for changes. */
"use strict";

(function () {
  const at = (id) => document.getElementById(id);
  let state = null, estimate = null, latest = null, shown = null, adding = null, viewing = null;

  // ------------------------------------------------------------------------------------------ requests

  function say(text) {
    at("message").textContent = text;
    at("message").hidden = !text;
  }

  async function ask(path, body) {
    let answer;
    try {
      answer = await fetch(path, body === undefined ? {} : { method: "POST", body });
    } catch {
      throw new Error("htgen does not answer; is it still running?");
    }
    const value = await answer.json().catch(() => ({ error: "htgen answered what cannot be read" }));
    if (!answer.ok) throw new Error(`${value.error}.${value.hint ? ` Try: ${value.hint}.` : ""}`);
    return value;
  }

  /** Do something that gives a new state, and show it; faults are told. */
  async function update(work) {
    try {
      const next = await work();
      say(next.faults.slice(0, 5).join("; ") + (next.faults.length > 5 ? `; and ${next.faults.length - 5} more` : ""));
      show(next);
      return next;
    } catch (error) {
      say(error.message);
      return null;
    }
  }

  const change = (what) => update(() => ask("api/change", JSON.stringify(what)));

  function asBase64(file) {
    return new Promise((done, failed) => {
      const reader = new FileReader();
      reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
      reader.onerror = () => failed(new Error(`${file.name} cannot be read`));
      reader.readAsDataURL(file);
    });
  }

  /** Files in parts, so that images are seen as they come and no request is large. */
  async function addFiles(id, files) {
    const faults = [];
    for (let start = 0; start < files.length; ) {
      const part = [];
      let size = 0;
      while (start < files.length && part.length < 12 && (part.length === 0 || size + files[start].size < 16e6)) {
        size += files[start].size;
        part.push({ name: files[start].name, data: await asBase64(files[start++]) });
      }
      const next = await update(() => ask(`api/images/${id}`, JSON.stringify({ files: part })));
      if (next === null) return;
      faults.push(...next.faults);
    }
    if (faults.length) say(faults.slice(0, 5).join("; ") + (faults.length > 5 ? `; and ${faults.length - 5} more` : ""));
  }

  // -------------------------------------------------------------------------------------------- showing

  const cards = makeCards(at("classes"), { change, addFiles, openAdder, openViewer });

  function show(next) {
    const isNew = state === null || state.version !== next.version;
    if (isNew) estimate = null;
    state = next;
    cards.update(state, estimate);
    const images = state.classes.reduce((sum, entry) => sum + entry.images.length, 0);
    at("class-count").textContent = `${state.classes.length} with ${images} images`;
    at("generator").replaceChildren(...state.generators.map((name) => new Option(name, name, false, name === state.generator)));
    at("device").checked = state.device;
    at("device").disabled = !state.drawings;
    at("sees").textContent = state.cnn === null ? "" : state.cnn.sees;
    showDownloads();
    showEstimate();
    if (!isNew) return;
    askEstimate();
    retry();
  }

  function showEstimate() {
    const { about, result, doubts } = sentencesOf(state, estimate);
    at("cnn").textContent = about;
    at("estimate").textContent = result;
    at("doubts").replaceChildren(...doubts.map((text) => element("li", { textContent: text })));
  }

  async function askEstimate() {
    const { version } = state;
    if (state.cnn === null || state.cnn.from !== null) return;
    const found = await ask("api/estimate").catch(() => null);
    if (found === null || state.version !== version || found.version !== version) return;
    estimate = found;
    cards.update(state, estimate);
    showEstimate();
  }

  function showDownloads() {
    const all = state.cnn === null ? [] : [...state.downloads];
    if (state.classes.some((entry) => entry.images.length)) all.push({ name: "support.zip", what: "your images, in folders" });
    at("downloads").replaceChildren(
      ...all.map(({ name, what }) => element("li", {}, element("a", { className: "button", href: `download/${name}`, download: name, textContent: name }), ` ${what}`))
    );
    if (!all.length) at("downloads").append(element("li", { className: "quiet", textContent: "There is nothing yet." }));
  }

  // -------------------------------------------------------------------------------------------- trying

  const limit = () => at("limit").value / 100;

  function showTried(found) {
    shown = found;
    at("seen").hidden = found === null;
    at("nearest").replaceChildren();
    if (found === null) {
      at("answer").textContent = "–";
      at("bars").replaceChildren();
      at("notes").textContent = state !== null && state.cnn === null ? state.why : "Draw something here, drop an image, or use the camera.";
      return;
    }
    at("seen").src = found.seen;
    showAnswer(at("answer"), at("bars"), found.classes, found.probabilities, limit());
    const notes = [...(found.blank ? ["nothing is to be seen"] : []), ...found.warnings.filter((text) => !(found.blank && text === "nothing is to be seen"))];
    at("notes").textContent = notes.length ? `Note: ${notes.join("; ")}.` : "";
    at("nearest").replaceChildren(...found.nearest.map((id) => element("img", { src: `image/${id}`, alt: "", title: "one of the nearest images of the classes" })));
  }

  /** Ask for the answer for a picture; only the newest is shown. */
  async function tryBlob(blob) {
    latest = blob;
    if (blob === null || state === null || state.cnn === null) return showTried(null);
    try {
      const found = await ask("api/try", blob);
      if (latest === blob) showTried(found);
      return found;
    } catch (error) {
      if (latest === blob) say(error.message);
      return null;
    }
  }

  let isAsking = false, isWaiting = false;
  /** One request at a time; the last stroke is never left out. */
  async function tryPad() {
    if (isAsking) return (isWaiting = true);
    isAsking = true;
    do {
      isWaiting = false;
      await tryBlob(pad.isEmpty() ? null : await pad.toBlob());
    } while (isWaiting);
    isAsking = false;
  }

  const retry = () => (pad.isEmpty() && latest !== null ? tryBlob(latest) : tryPad());

  const pad = makePad(at("pad"), () => queueMicrotask(tryPad));
  at("clear").addEventListener("click", () => {
    at("files").replaceChildren();
    latest = null;
    pad.clear();
  });
  const blobOf = (canvas) => new Promise((done) => canvas.toBlob(done, "image/png"));
  const camera = makeCamera(at("video"), at("camera"), async (canvas) => tryBlob(await blobOf(canvas)), say);
  at("limit").addEventListener("input", () => {
    at("limit-text").textContent = `${at("limit").value} %`;
    if (shown !== null) showTried(shown);
    for (const row of at("files").children) row.answer();
  });

  async function tryFiles(files) {
    if (state.cnn === null) return say(state.why);
    for (const file of files) {
      const text = element("strong"), address = URL.createObjectURL(file);
      const row = element("li", {}, element("img", { src: address, alt: "" }));
      let found = null;
      try {
        found = await ask("api/try", file);
        row.append(element("img", { src: found.seen, alt: "as the CNN sees it" }));
      } catch (error) {
        text.textContent = error.message;
      }
      row.answer = () => {
        if (found === null) return;
        const best = Math.max(...found.probabilities), label = found.classes[found.probabilities.indexOf(best)];
        text.textContent = `${best < limit() ? "none of these" : label} (${(100 * best).toFixed(1)} %)`;
      };
      row.answer();
      row.append(element("span", { textContent: file.name }), text);
      at("files").prepend(row);
      if (found !== null) {
        latest = file;
        showTried(found);
      }
    }
  }
  acceptFiles(document.body, at("choose"), tryFiles);
  document.addEventListener("paste", (event) => tryFiles([...event.clipboardData.files]));

  // ------------------------------------------------------------------------------------- adding, viewing

  const adderPad = makePad(at("adder-pad"), () => {});
  const adderCamera = makeCamera(at("adder-video"), at("adder-camera"), async () => { at("adder-shot").hidden = false; }, say);

  function openAdder(id) {
    adding = id;
    adderPad.clear();
    at("adder-title").textContent = `Images of “${state.classes.find((entry) => entry.id === id).name}”`;
    at("adder-count").textContent = "";
    at("adder").showModal();
    at("adder-pad").focus();
  }

  async function addBlob(blob, what) {
    const number = 1 + state.classes.find((entry) => entry.id === adding).images.length;
    await addFiles(adding, [new File([blob], `${what} ${number}.png`, { type: "image/png" })]);
    const entry = state.classes.find((other) => other.id === adding);
    at("adder-count").textContent = entry === undefined ? "" : `${entry.images.length} images; draw the next one, or choose Done.`;
  }
  at("adder-add").addEventListener("click", async () => {
    if (adderPad.isEmpty()) return (at("adder-count").textContent = "Draw something first.");
    const blob = await adderPad.toBlob();
    adderPad.clear();
    return addBlob(blob, "drawing");
  });
  at("adder-shot").addEventListener("click", async () => {
    const canvas = adderCamera.grab();
    if (canvas !== null) await addBlob(await blobOf(canvas), "picture");
  });
  at("adder-clear").addEventListener("click", adderPad.clear);
  at("adder-done").addEventListener("click", () => at("adder").close());
  at("adder").addEventListener("close", () => {
    adderCamera.stop();
    at("adder-shot").hidden = true;
  });

  async function openViewer(id) {
    viewing = id;
    const own = state.classes.find((entry) => entry.images.some((image) => image.id === id));
    const image = own.images.find((other) => other.id === id), notes = notesOf(image, estimate);
    at("viewer-title").textContent = image.name;
    at("viewer-notes").textContent = notes.length ? `Note: ${notes.join("; ")}.` : "";
    at("viewer-class").replaceChildren(...state.classes.map((entry) => new Option(entry.name, entry.id, false, entry === own)));
    const figure = (what, src) => element("figure", {}, element("img", { src, alt: what }), element("figcaption", { className: "quiet", textContent: what }));
    at("viewer-stages").replaceChildren(figure("as it came", `image/${id}`));
    at("viewer").showModal();
    const found = await ask(`stages/${id}`).catch(() => []);
    if (viewing === id) at("viewer-stages").append(...found.map(({ what, image: src }, i) => figure(i === found.length - 1 ? `${what}: what the CNN sees` : what, src)));
  }
  at("viewer-class").addEventListener("change", () => change({ do: "move image", image: viewing, class: Number(at("viewer-class").value) }));
  at("viewer-remove").addEventListener("click", async () => {
    at("viewer").close();
    await change({ do: "remove image", image: viewing });
  });
  at("viewer-done").addEventListener("click", () => at("viewer").close());

  // --------------------------------------------------------------------------------------------- the rest

  at("add-class").addEventListener("click", async () => {
    const names = new Set(state.classes.map((entry) => entry.name));
    let number = state.classes.length + 1;
    while (names.has(`class ${number}`)) number++;
    const next = await change({ do: "add class", name: `class ${number}` });
    if (next !== null) cards.focusName(next.classes[next.classes.length - 1].id);
  });
  at("start-again").addEventListener("click", () => {
    if (window.confirm("Remove all classes and images from this page?")) change({ do: "start again" });
  });
  at("generator").addEventListener("change", () => change({ do: "choose", generator: at("generator").value, device: false }));
  at("device").addEventListener("change", () => change({ do: "choose", generator: state.generator, device: at("device").checked }));
  at("open-file").addEventListener("change", async () => {
    const [file] = at("open-file").files;
    const kind = file.name.toLowerCase().endsWith(".zip") ? "folder" : "cnn";
    await update(() => ask(`api/open/${kind}?name=${encodeURIComponent(file.name)}`, file));
    at("open-file").value = "";
  });
  at("open-folder").addEventListener("change", async () => {
    const folders = new Map();
    for (const file of at("open-folder").files) {
      const parts = file.webkitRelativePath.split("/");
      if (parts.length < 3 || parts.some((part) => part.startsWith("."))) continue;
      const name = parts[parts.length - 2];
      folders.set(name, [...(folders.get(name) || []), file]);
    }
    at("open-folder").value = "";
    if (!folders.size) return say("This folder has no sub-folders with images; there must be one for each class.");
    for (const [name, files] of folders) {
      const known = state.classes.find((entry) => entry.name === name);
      const next = known ? state : await change({ do: "add class", name });
      if (next === null) return undefined;
      await addFiles((known || next.classes[next.classes.length - 1]).id, files);
    }
    for (const entry of state.classes.filter((other) => !other.images.length)) await change({ do: "remove class", class: entry.id });
    return undefined;
  });

  update(() => ask("api/state"));
})();
