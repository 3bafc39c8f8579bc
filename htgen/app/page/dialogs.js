/* The dialogs: images that are drawn or filmed for a class, and a look at one image. */
"use strict";

/** The dialog that adds images to a class. `page` has `state()` and `addFiles(id, files)`, which gives what is wrong with them, or null. */
function makeAdder(page) {
  let adding = null, isKept = false;
  const pad = makePad(at("adder-pad"), () => {});
  const camera = makeCamera(at("adder-video"), at("adder-camera"), async () => { at("adder-shot").hidden = false; }, say);
  const entry = () => page.state().classes.find((other) => other.id === adding);

  function open(id) {
    adding = id;
    say("");
    if (!isKept) pad.clear(); // a drawing that could not be added stays
    at("adder-title").textContent = `Images of “${entry().name}”`;
    at("adder-count").textContent = "";
    at("adder").showModal();
    at("adder-pad").focus();
  }

  async function add(blob, what) {
    const number = 1 + (entry() === undefined ? 0 : entry().images.length);
    const faults = await page.addFiles(adding, [new File([blob], `${what} ${number}.png`, { type: "image/png" })]);
    const isAdded = faults !== null && !faults.length;
    at("adder-count").textContent =
      isAdded && entry() !== undefined
        ? `${entry().images.length} images; ${what === "drawing" ? "draw" : "take"} the next one, or choose Done.`
        : `The ${what} was not added.${what === "drawing" ? " It stays here, also for another class." : ""}`;
    return isAdded;
  }

  at("adder-add").addEventListener("click", async () => {
    if (pad.isEmpty()) return (at("adder-count").textContent = "Draw something first.");
    const blob = await pad.toBlob();
    pad.clear(); // for the next drawing, which may begin at once
    isKept = !(await add(blob, "drawing"));
    if (isKept && pad.isEmpty()) await pad.put(blob);
    return undefined;
  });
  at("adder-shot").addEventListener("click", async () => {
    const canvas = camera.grab();
    if (canvas !== null) await add(await blobOf(canvas), "picture");
  });
  at("adder-clear").addEventListener("click", () => {
    isKept = false;
    pad.clear();
  });
  at("adder-done").addEventListener("click", () => at("adder").close());
  at("adder").addEventListener("close", () => {
    camera.stop();
    at("adder-shot").hidden = true;
  });
  return { open };
}

/** The dialog that shows an image step by step. `page` has `state()`, `estimate()` and `change(what)`. */
function makeViewer(page) {
  let viewing = null;

  async function open(id) {
    const own = page.state().classes.find((entry) => entry.images.some((image) => image.id === id));
    if (own === undefined) return;
    viewing = id;
    say("");
    const image = own.images.find((other) => other.id === id), notes = notesOf(image, page.estimate());
    at("viewer-title").textContent = image.name;
    at("viewer-notes").textContent = noteOf(notes);
    at("viewer-class").replaceChildren(...page.state().classes.map((entry) => new Option(entry.name, entry.id, false, entry === own)));
    const figure = (what, src) => element("figure", {}, element("img", { src, alt: what }), element("figcaption", { className: "quiet", textContent: what }));
    at("viewer-stages").replaceChildren(figure("as it came", `image/${id}`));
    at("viewer").showModal();
    const found = await ask(`stages/${id}`).catch((error) => say(error.message) || []);
    if (viewing === id) at("viewer-stages").append(...found.map(({ what, image: src }, i) => figure(i === found.length - 1 ? `${what}: what the CNN sees` : what, src)));
  }

  at("viewer-class").addEventListener("change", () => page.change({ do: "move image", image: viewing, class: Number(at("viewer-class").value) }));
  at("viewer-remove").addEventListener("click", async () => {
    at("viewer").close();
    await page.change({ do: "remove image", image: viewing });
  });
  at("viewer-done").addEventListener("click", () => at("viewer").close());
  return { open };
}
