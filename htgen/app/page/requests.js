/* What the page asks of htgen, and where it tells what went wrong. */
"use strict";

const at = (id) => document.getElementById(id);

/** Tell something where it is seen: in the dialog that is open, or on top of the page. An empty text takes the last one away. */
function say(text) {
  const place = document.querySelector("dialog[open] .message") || at("message");
  for (const message of text ? [place] : document.querySelectorAll(".message")) {
    message.firstElementChild.textContent = text;
    message.hidden = !text;
  }
}

function sayFaults(faults) {
  say(faults.slice(0, 5).join("; ") + (faults.length > 5 ? `; and ${faults.length - 5} more` : ""));
}

for (const message of document.querySelectorAll(".message")) message.lastElementChild.addEventListener("click", () => say(""));

/** An answer of htgen that is right; what it refuses is thrown in words. */
async function answerOf(path, body) {
  let answer;
  try {
    answer = await fetch(path, body === undefined ? {} : { method: "POST", body });
  } catch {
    throw new Error("htgen does not answer; is it still running?");
  }
  if (answer.ok) return answer;
  const { error, hint } = await answer.json().catch(() => ({ error: "htgen answered what cannot be read" }));
  throw new Error(`${error}.${hint ? ` Try: ${hint}.` : ""}`);
}

async function ask(path, body) {
  const answer = await answerOf(path, body);
  return answer.json().catch(() => Promise.reject(new Error("htgen answered what cannot be read")));
}

function asBase64(file) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => failed(new Error(`${file.name} cannot be read; a folder is opened with “Open a folder”`));
    reader.readAsDataURL(file);
  });
}

/** Take a file away; whether it could be written. */
async function takeAway(name, version) {
  try {
    const answer = await answerOf(`download/${name}?version=${version}`);
    const href = URL.createObjectURL(await answer.blob());
    element("a", { href, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
    return true;
  } catch (error) {
    say(`${name} cannot be taken away: ${error.message}`);
    return false;
  }
}
