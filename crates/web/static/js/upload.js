// Uploading many pictures: chosen, dropped anywhere or pasted; each with its own texts, progress and error, sent one after another.
import { $, $$, make, plural, toast, toLogIn } from "./dom.js";
import { pictures, take } from "./stash.js";

/** As many as one form may hold without scripts; more are chosen in another turn. */
const ROWS_MAX = 100;

const form = $("form[data-upload]");
const list = $("[data-uploads]", form);
const row = $("template[data-upload-row]");
const input = $("input[type=file]", form);
const drop = $("[data-drop]", form);
const status = $("[data-upload-status]", form);
const go = $("[data-upload-go]", form);
const bytesMax = Number(form.dataset.bytesMax);
const waiting = []; // { file, element, state: "waiting" | "sending" | "done" | "failed" }
let number = 0;
let sending = false;

const part = (entry, name) => $(`[data-${name}]`, entry.element);

function say(entry, message) {
  part(entry, "error").textContent = message;
}

function count() {
  const left = waiting.filter((entry) => entry.state !== "done").length;
  go.textContent = left > 1 ? `Create ${left} pins` : "Create";
  drop.classList.toggle("small", waiting.length > 0);
  input.required = waiting.length === 0;
}

function add(files) {
  for (const file of files) {
    if (waiting.length >= ROWS_MAX) {
      toast(`${ROWS_MAX} pictures at a time; choose the others afterwards.`, { failed: true });
      break;
    }
    const element = row.content.firstElementChild.cloneNode(true);
    const entry = { file, element, state: "waiting" };
    number += 1;
    for (const label of $$("[data-for]", element)) {
      const field = $(`[data-field="${label.dataset.for}"]`, element);
      field.id = `${label.dataset.for}-${number}`;
      label.htmlFor = field.id;
    }
    part(entry, "name").textContent = file.name || "Pasted picture";
    const picture = make("img", { alt: "", width: 132, height: 132 });
    picture.src = URL.createObjectURL(file);
    picture.addEventListener("load", () => URL.revokeObjectURL(picture.src), { once: true });
    part(entry, "pic").append(picture);
    const remove = part(entry, "remove");
    remove.setAttribute("aria-label", `Remove ${file.name || "the pasted picture"}`);
    remove.addEventListener("click", () => {
      entry.request?.abort();
      const next = element.nextElementSibling ?? element.previousElementSibling;
      waiting.splice(waiting.indexOf(entry), 1);
      element.remove();
      (next ? $("input", next) : input).focus();
      count();
    });
    waiting.push(entry);
    list.append(element);
    if (file.size > bytesMax) {
      entry.state = "failed";
      say(entry, `This file has ${Math.ceil(file.size / 1e6)} MB; at most ${Math.floor(bytesMax / 1e6)} MB are taken. Remove it or make it smaller.`);
    }
  }
  count();
  status.textContent = waiting.length ? `${plural(waiting.length, "picture", "pictures")} chosen.` : "";
}

function send(entry, place) {
  return new Promise((resolve) => {
    const body = new FormData();
    for (const [name, value] of Object.entries(place)) body.append(name, value);
    for (const field of $$("[data-field]", entry.element)) body.append(field.dataset.field, field.value);
    body.append("file", entry.file, entry.file.name || "pasted.png");
    const request = new XMLHttpRequest();
    const progress = part(entry, "progress");
    entry.request = request;
    entry.state = "sending";
    progress.hidden = false;
    say(entry, "");
    const end = (state, message, answer) => {
      entry.state = state;
      entry.request = null;
      progress.hidden = true;
      say(entry, message);
      if (state === "done") entry.element.classList.add("done");
      resolve(answer);
    };
    request.upload.addEventListener("progress", (event) => event.lengthComputable && (progress.value = event.loaded / event.total));
    request.addEventListener("load", () => {
      const answer = request.response;
      if (request.status === 401) return toLogIn();
      if (request.status < 300 && answer?.url) return end("done", "", answer);
      end("failed", answer?.message ?? `The site did not take it (${request.status}).`);
    });
    request.addEventListener("error", () => end("failed", "There is no connection to the site. Try again."));
    request.addEventListener("abort", () => end("failed", ""));
    request.open("POST", form.action);
    request.responseType = "json";
    request.setRequestHeader("X-Fragment", "state");
    request.send(body);
  });
}

async function sendAll() {
  const entries = waiting.filter((entry) => entry.state === "waiting" || (entry.state === "failed" && entry.file.size <= bytesMax));
  const chosen = new FormData(form);
  let place = {};
  for (const name of ["to", "board_name"]) if (chosen.get(name)) place[name] = chosen.get(name);
  let last = null;
  for (const [at, entry] of entries.entries()) {
    status.textContent = `Sending ${at + 1} of ${entries.length}…`;
    const answer = await send(entry, place);
    if (answer) {
      last = answer;
      // The first pin has made the board; the others go to the same one.
      if (answer.to) place = { to: answer.to };
    }
  }
  return last;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (sending || !form.reportValidity()) return;
  if (!waiting.length) return input.click();
  sending = true;
  go.disabled = true;
  const last = await sendAll();
  sending = false;
  go.disabled = false;
  count();
  const done = waiting.filter((entry) => entry.state === "done").length;
  const bad = waiting.length - done;
  if (!bad && last) {
    status.textContent = "Done.";
    return location.assign(done > 1 && last.board_url ? last.board_url : last.url);
  }
  status.textContent = `${plural(done, "pin", "pins")} made, ${bad} not. See what each says, then try again.`;
});

input.addEventListener("change", () => {
  add(input.files);
  input.value = "";
});
document.addEventListener("corkboard:files", (event) => add(event.detail));
addEventListener("beforeunload", (event) => {
  if (sending) event.preventDefault();
});
take().then((files) => files.length && add(pictures(files))).catch(() => {});
