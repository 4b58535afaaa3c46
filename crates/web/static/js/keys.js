// Keyboard shortcuts. Single letters work only outside text fields, and never with Ctrl, Alt or Meta.
import { $, $$, icon, make, signedIn } from "./dom.js";

const HELP = [
  [["/"], "Search"],
  [["g", "h"], "Home"],
  [["g", "e"], "Explore"],
  [["n"], "Create a pin"],
  [["j"], "Next pin"],
  [["k"], "Pin before"],
  [["s"], "Save the pin"],
  [["l"], "Like the pin"],
  [["?"], "This help"],
];
/** How long "g" waits for its second letter. */
const SECOND_LETTER_MS = 1200;

let waiting = 0;

function current() {
  return document.activeElement?.closest?.("[data-pin]") ?? $(".closeup[data-pin]");
}

function step(by) {
  const links = $$(".card .pic > a:first-child");
  if (!links.length) return;
  const card = document.activeElement?.closest?.(".card");
  let at = card ? links.findIndex((link) => card.contains(link)) + by : links.findIndex((link) => link.getBoundingClientRect().top > 0);
  at = Math.min(Math.max(at, 0), links.length - 1);
  links[at].focus({ preventScroll: true });
  links[at].closest(".card").scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth" });
}

export function help() {
  if ($("#keys-help")) return;
  const list = make("dl", { class: "keys-list" });
  for (const [keys, words] of HELP) {
    list.append(make("dt", {}, ...keys.flatMap((key, at) => (at ? [" ", make("kbd", {}, key)] : [make("kbd", {}, key)]))), make("dd", {}, words));
  }
  const close = make("button", { class: "round close", "aria-label": "Close", value: "close" }, icon("x"));
  const dialog = make("dialog", { id: "keys-help", "aria-labelledby": "keys-title" }, make("h2", { id: "keys-title" }, "Keyboard shortcuts"), list, make("form", { method: "dialog" }, close));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}

const ACTIONS = {
  "/": () => $("#q")?.focus(),
  n: () => signedIn() && location.assign("/create"),
  j: () => step(1),
  k: () => step(-1),
  s: () => $("[data-save]", current() ?? document.createElement("p"))?.click(),
  l: () => $("[data-like]", current() ?? document.createElement("p"))?.requestSubmit(),
  "?": help,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target.closest?.("input, textarea, select, [contenteditable], dialog")) return;
  if (Date.now() < waiting) {
    waiting = 0;
    const to = { h: "/", e: "/explore" }[event.key];
    if (to) {
      event.preventDefault();
      return location.assign(to);
    }
  }
  if (event.key === "g") return void (waiting = Date.now() + SECOND_LETTER_MS);
  const act = ACTIONS[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
});

document.addEventListener("click", (event) => event.target.closest?.("[data-keys-help]") && help());
