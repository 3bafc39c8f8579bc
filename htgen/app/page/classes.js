/* The cards of the classes: names, images, marks. `page` has what the cards ask for. */
"use strict";

function element(kind, properties = {}, ...children) {
  const made = Object.assign(document.createElement(kind), properties);
  made.append(...children);
  return made;
}

/** Make the list of cards; `update(state, estimate, asSeen)` brings it to a state; `asSeen`: with images as the CNN sees them. */
function makeCards(list, page) {
  const cards = new Map();

  function makeCard(id) {
    const name = element("input", { className: "name", type: "text", maxLength: 80 });
    const choose = element("input", { type: "file", accept: "image/*", multiple: true });
    const draw = element("button", { type: "button", textContent: "Draw or camera" });
    const remove = element("button", { type: "button", textContent: "✕" });
    const images = element("div", { className: "images" });
    const head = element("div", { className: "head" }, name, remove);
    const row = element("div", { className: "row" }, element("label", { className: "button" }, "Add images", choose), draw);
    const alike = element("p", { className: "alike quiet" });
    const card = element("div", { className: "card" }, head, alike, images, row);
    card.setAttribute("role", "group");
    name.addEventListener("change", () => page.change({ do: "rename class", class: id, name: name.value }));
    name.addEventListener("keydown", (event) => {
      if (event.key === "Enter") name.blur();
    });
    remove.addEventListener("click", () => page.removeClass(id));
    draw.addEventListener("click", () => page.openAdder(id));
    acceptFiles(card, choose, (files) => page.addFiles(id, files));
    return { card, name, choose, draw, remove, alike, images, thumbs: new Map() };
  }

  function updateCard(found, entry, estimate, asSeen) {
    if (document.activeElement !== found.name) found.name.value = entry.name;
    found.card.setAttribute("aria-label", `Class ${entry.name}`);
    found.name.setAttribute("aria-label", "Name of the class");
    found.remove.setAttribute("aria-label", `Remove class ${entry.name}`);
    found.remove.title = `Remove class ${entry.name}`;
    found.draw.setAttribute("aria-label", `Draw or photograph images of ${entry.name}`);
    found.choose.setAttribute("aria-label", `Add images of ${entry.name}`);
    found.alike.textContent = alikeOf(entry.name, estimate);
    const kept = new Set(entry.images.map((image) => image.id));
    for (const [id, thumb] of found.thumbs) {
      if (!kept.has(id)) {
        thumb.remove();
        found.thumbs.delete(id);
      }
    }
    for (const image of entry.images) {
      if (!found.thumbs.has(image.id)) {
        const thumb = element("button", { type: "button" }, element("img", { alt: "", loading: "lazy" }));
        thumb.addEventListener("click", () => page.openViewer(image.id));
        found.thumbs.set(image.id, thumb);
        found.images.append(thumb);
      }
      const thumb = found.thumbs.get(image.id), src = asSeen ? `seen/${image.id}?${encodeURIComponent(image.seen)}` : `image/${image.id}`;
      if (thumb.firstElementChild.getAttribute("src") !== src) thumb.firstElementChild.src = src;
      thumb.classList.toggle("as-seen", asSeen);
      markImage(thumb, image, estimate);
    }
  }

  /** Marks are signs and borders, so that colours say nothing alone. */
  function markImage(thumb, image, estimate) {
    const notes = notesOf(image, estimate), isDoubtful = estimate !== null && image.id in estimate.doubtful;
    const sign = isDoubtful ? "?" : notes.length ? "!" : "";
    thumb.classList.toggle("marked", isDoubtful);
    thumb.title = [image.name, ...notes].join("; ");
    thumb.setAttribute("aria-label", `Image ${thumb.title}`);
    const badge = thumb.querySelector(".badge");
    if (badge !== null) badge.remove();
    if (sign) thumb.append(element("span", { className: "badge", textContent: sign }));
  }

  function update(state, estimate, asSeen) {
    const kept = new Set(state.classes.map((entry) => entry.id));
    for (const [id, found] of cards) {
      if (!kept.has(id)) {
        found.card.remove();
        cards.delete(id);
      }
    }
    for (const entry of state.classes) {
      if (!cards.has(entry.id)) {
        cards.set(entry.id, makeCard(entry.id));
        list.append(cards.get(entry.id).card);
      }
      updateCard(cards.get(entry.id), entry, estimate, asSeen);
    }
  }

  return { update, focusName: (id) => cards.has(id) && cards.get(id).name.select() };
}

/** What is to be said of an image of a class. */
function notesOf(image, estimate) {
  const notes = [...image.warnings];
  if (estimate === null) return notes;
  if (image.id in estimate.doubtful) notes.push(`it looks like ${estimate.doubtful[image.id]}; is it in the right class?`);
  if (estimate.copies.some((group) => group.includes(image.id))) notes.push("it is a copy of another image; both count as one");
  return notes;
}

/** Notes as one sentence. */
function noteOf(notes) {
  const text = notes.join("; ");
  return text && `Note: ${text}${text.endsWith("?") ? "" : "."}`;
}

/** What a class is hardly told apart from, in words; nothing where there is none. */
function alikeOf(name, estimate) {
  const pairs = estimate === null ? [] : estimate.lookAlikes.filter((pair) => pair.slice(0, 2).includes(name));
  const others = pairs.slice(0, 3).map(([first, second]) => `“${first === name ? second : first}”`);
  return others.length ? `≈ looks like ${others.join(", ")}${pairs.length > 3 ? ` and ${pairs.length - 3} more` : ""}` : "";
}

/** The sentences about a CNN and its estimate. */
function sentencesOf(state, estimate) {
  const { cnn } = state;
  if (cnn === null) return { about: state.why, result: "", doubts: [] };
  const size = `${cnn.classes.length} classes, ${cnn.numbers} numbers, ${cnn.bytes} bytes`;
  const why = state.isChosen ? "" : ` The images look like ${state.looks}; another generator can be chosen below.`;
  const about = cnn.from === null ? `A CNN of ${size}, written by ${state.generator} in ${cnn.milliseconds.toFixed(0)} ms.${why}` : `The saved CNN “${cnn.from}” of ${size}.`;
  if (cnn.from !== null) return { about, result: cnn.estimate === null ? "" : `Estimate: ${cnn.estimate}.`, doubts: [] };
  if (estimate === null) return { about, result: "Estimating …", doubts: state.notices };
  const result = estimate.text === null ? "No estimate: it takes two images of a class that are no copies of each other." : `Estimate: ${estimate.text}, each left out once.`;
  const wrong = Object.keys(estimate.doubtful).length;
  const doubts = [...state.notices];
  if (wrong) doubts.push(`${wrong === 1 ? "One image looks" : `${wrong} images look`} like another class; marked with “?”.`);
  for (const [first, second, share] of estimate.lookAlikes.slice(0, 8)) {
    doubts.push(`“${first}” and “${second}” look alike (${(100 * share).toFixed(0)} %); more images help.`);
  }
  if (estimate.copies.length) doubts.push(`${estimate.copies.length} group${estimate.copies.length === 1 ? "" : "s"} of copies; each counts as one image.`);
  return { about, result, doubts };
}
