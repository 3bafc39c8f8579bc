/* The page of `htgen app`: it shows what the server says, and asks for changes. */
"use strict";

(function () {
  const madeBySystem = /^(\._.*|\.DS_Store|Thumbs\.db|desktop\.ini)$/;
  let state = null, estimate = null, offers = null;

  // ------------------------------------------------------------------------------------------- changes

  /** Do something that gives a new state, and show it; faults are told, and null is given. */
  async function update(work) {
    try {
      const next = await work();
      sayFaults(next.faults);
      show(next);
      return next;
    } catch (error) {
      say(error.message);
      await refresh();
      return null;
    }
  }

  const change = (what) => update(() => ask("api/change", JSON.stringify(what)));

  /** Show what there is now: another tab may have changed it. */
  const refresh = () => ask("api/state").then(show, () => null);

  /** Files in parts, so that images are seen as they come and no request is large: what is wrong with some, or null where a part was refused. */
  async function addFiles(id, files) {
    const faults = [];
    let next = state;
    for (let start = 0; start < files.length && next !== null; ) {
      const part = [];
      let size = 0;
      while (start < files.length && part.length < 12 && (part.length === 0 || size + files[start].size < 16e6)) {
        const file = files[start++];
        size += file.size;
        await asBase64(file).then((data) => part.push({ name: file.name, data }), (error) => faults.push(error.message));
      }
      if (part.length) next = await update(() => ask(`api/images/${id}`, JSON.stringify({ files: part })));
      if (next !== null && part.length) faults.push(...next.faults);
    }
    if (next === null) return null;
    if (faults.length) sayFaults(faults);
    return faults;
  }

  // ------------------------------------------------------------------------------------------- showing

  const page = { state: () => state, estimate: () => estimate, change, addFiles, meet: (version) => (version > state.version ? refresh() : undefined) };
  const adder = makeAdder(page), viewer = makeViewer(page), tryOut = makeTryOut(page);
  const cards = makeCards(at("classes"), { change, removeClass, addFiles, openAdder: adder.open, openViewer: viewer.open });
  const countImages = () => state.classes.reduce((sum, entry) => sum + entry.images.length, 0);

  function show(next) {
    if (state !== null && next.version < state.version) return; // an answer that came late
    const isNew = state === null || state.version !== next.version;
    if (isNew) estimate = null;
    state = next;
    at("columns").inert = false; // before, nothing can be done, as nothing is known
    showCards();
    const images = countImages();
    at("class-count").textContent = `${state.classes.length} with ${images} image${images === 1 ? "" : "s"}`;
    const own = new Option("as the images suggest", "", false, !state.isChosen);
    at("generator").replaceChildren(own, ...state.generators.map((name) => new Option(name, name, false, state.isChosen && name === state.generator)));
    at("device").checked = state.device;
    at("device").disabled = !state.drawings;
    at("sees").textContent = state.cnn === null ? "" : state.cnn.sees;
    showDownloads();
    showEstimate();
    if (!isNew) return;
    tryOut.retry();
    askEstimate();
    askOffers();
  }

  const showCards = () => cards.update(state, estimate, at("as-seen").checked);
  at("as-seen").addEventListener("change", showCards);

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
    showCards();
    showEstimate();
  }

  async function askOffers() {
    const { version } = state;
    await new Promise((done) => setTimeout(done, 250)); // answers go first
    if (state.version !== version || state.cnn === null) return;
    const found = await ask("api/downloads").catch(() => null);
    if (found === null || state.version !== version || found.version !== version) return;
    offers = found.files;
    showDownloads();
  }

  function showDownloads() {
    const files = state.cnn === null || offers === null ? [] : offers;
    const all = files.filter(({ fault }) => fault === null);
    if (countImages()) all.push({ name: "support.zip", what: "your images, in folders" });
    const faults = new Map();
    for (const { name, fault } of files) if (fault !== null) faults.set(fault, [...(faults.get(fault) || []), name]);
    const not = [...faults].map(([fault, names]) => element("li", { className: "not quiet", textContent: `No ${names.join(", no ")}: ${fault}.` }));
    at("downloads").replaceChildren(...all.map(downloadRow), ...not);
    if (!all.length) at("downloads").append(element("li", { className: "not quiet", textContent: "There is nothing yet." }));
  }

  function downloadRow({ name, what }) {
    const link = element("a", { className: "button", href: `download/${name}?version=${state.version}`, download: name, textContent: name });
    link.addEventListener("click", async (event) => {
      event.preventDefault();
      link.setAttribute("aria-busy", "true");
      const isTaken = await takeAway(name, state.version);
      link.removeAttribute("aria-busy");
      if (!isTaken) await refresh();
    });
    return element("li", {}, link, ` ${what}`);
  }

  // --------------------------------------------------------------------------------- opening, beginning

  /** Whether the images may go, if there are any. */
  function mayReplace(what) {
    const images = countImages();
    return !images || window.confirm(`${what} takes the place of the ${images === 1 ? "image" : `${images} images`} on this page. Go on? “support.zip” keeps them.`);
  }

  at("add-class").addEventListener("click", async () => {
    const names = new Set(state.classes.map((entry) => entry.name));
    let number = state.classes.length + 1;
    while (names.has(`class ${number}`)) number++;
    const next = await change({ do: "add class", name: `class ${number}` });
    if (next !== null) cards.focusName(next.classes[next.classes.length - 1].id);
  });
  function removeClass(id) {
    const { name, images } = state.classes.find((entry) => entry.id === id);
    const what = images.length === 1 ? "its image" : `its ${images.length} images`;
    if (!images.length || window.confirm(`Remove “${name}” and ${what}?`)) change({ do: "remove class", class: id });
  }
  at("start-again").addEventListener("click", () => {
    if (!countImages() || window.confirm("Remove all classes and images from this page?")) change({ do: "start again" });
  });
  at("generator").addEventListener("change", () => choose({ generator: at("generator").value, device: false }));
  at("device").addEventListener("change", () => choose({ generator: at("generator").value, device: at("device").checked }));
  async function choose(what) {
    if ((await change({ do: "choose", ...what })) === null) show(state); // what was chosen before
  }

  at("open-file").addEventListener("change", async () => {
    const [file] = at("open-file").files;
    const kind = file.name.toLowerCase().endsWith(".zip") ? "folder" : "cnn";
    if (mayReplace(kind === "cnn" ? "A saved CNN holds no images; it" : "The zip")) await update(() => ask(`api/open/${kind}?name=${encodeURIComponent(file.name.slice(0, 80))}`, file));
    at("open-file").value = "";
  });
  at("open-folder").addEventListener("change", async () => {
    const folders = new Map(), leftOut = [], files = [...at("open-folder").files];
    at("open-folder").value = "";
    for (const file of files) {
      const parts = file.webkitRelativePath.split("/");
      if (parts.length < 3 || parts.some((part) => part.startsWith("."))) {
        if (!madeBySystem.test(file.name)) leftOut.push(parts.slice(1).join("/"));
        continue;
      }
      const name = parts[parts.length - 2];
      folders.set(name, [...(folders.get(name) || []), file]);
    }
    if (!folders.size) return say("This folder has no sub-folders with images; there must be one for each class.");
    if (!mayReplace("The folder") || (await change({ do: "start again" })) === null) return undefined;
    const faults = [];
    for (const [name, images] of folders) {
      const known = state.classes.find((entry) => entry.name === name);
      const next = known ? state : await change({ do: "add class", name });
      const unread = next && (await addFiles((known || next.classes[next.classes.length - 1]).id, images));
      if (unread === null) return undefined;
      faults.push(...unread);
    }
    for (const entry of state.classes.filter((other) => !folders.has(other.name))) await change({ do: "remove class", class: entry.id });
    if (leftOut.length) faults.unshift(`left out, in no folder of a class or with a dot in front: ${leftOut.slice(0, 3).join("; ")}${leftOut.length > 3 ? `; and ${leftOut.length - 3} more` : ""}`);
    return faults.length ? sayFaults(faults) : undefined;
  });

  window.addEventListener("focus", refresh);
  update(() => ask("api/state"));
})();
