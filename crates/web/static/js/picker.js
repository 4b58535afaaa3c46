// The popover that saves a pin to a board: opened from any Save link, usable by keyboard, closed by Escape.
import { $, $$, ask, failed, icon, make, nodes, signedIn, toast, toLogIn } from "./dom.js";

let open = null; // { link, popover, abort }

function close({ focus = true } = {}) {
  if (!open) return;
  const { link, popover, abort } = open;
  open = null;
  abort.abort();
  popover.remove();
  link.setAttribute("aria-expanded", "false");
  if (focus) link.focus({ preventScroll: true });
}

function place(link, popover) {
  const box = link.getBoundingClientRect();
  const width = popover.offsetWidth;
  const height = popover.offsetHeight;
  const left = Math.min(Math.max(12, box.right - width), innerWidth - width - 12);
  const below = box.bottom + 8 + height < innerHeight || box.top < height + 20;
  const top = below ? box.bottom + 8 : box.top - height - 8;
  popover.style.left = `${left + scrollX}px`;
  popover.style.top = `${Math.max(12, top) + scrollY}px`;
}

const stops = (popover) => $$("a[href], button, input, summary", popover).filter((element) => element.offsetParent !== null && element.type !== "hidden");

function onKey(event) {
  if (event.key === "Escape") {
    event.stopPropagation();
    return close();
  }
  const list = stops(open.popover);
  const at = list.indexOf(document.activeElement);
  if (event.key === "Tab") {
    event.preventDefault();
    list[(at + (event.shiftKey ? -1 : 1) + list.length) % list.length]?.focus();
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.type !== "checkbox") {
    event.preventDefault();
    const buttons = $$(".picker-list button", open.popover).filter((button) => button.offsetParent !== null);
    const now = buttons.indexOf(document.activeElement);
    const next = event.key === "ArrowDown" ? now + 1 : now < 0 ? buttons.length - 1 : now - 1;
    (buttons[next] ?? $("[data-picker-find]", open.popover))?.focus();
  }
}

function narrow(popover, words) {
  const wanted = words.trim().toLowerCase();
  for (const item of $$(".picker-list > ul > li", popover)) item.hidden = wanted !== "" && !item.dataset.name.includes(wanted);
  for (const list of $$(".picker-list > ul", popover)) {
    const none = $$("li", list).every((item) => item.hidden);
    list.hidden = none;
    if (list.previousElementSibling?.tagName === "H2") list.previousElementSibling.hidden = none;
  }
}

async function send(form, submitter, link) {
  const body = new FormData(form, submitter);
  for (const button of $$("button", form)) button.disabled = true;
  try {
    const { json } = await ask(form.action, { method: "POST", body });
    close();
    for (const other of $$(`[data-pin="${CSS.escape(pinOf(link))}"] [data-save]`)) {
      other.textContent = "Saved";
      other.classList.add("done");
    }
    toast(json?.message ?? "Saved.", {
      undo: json?.undo,
      link: json?.url ? [json.url, "View"] : undefined,
      onUndone: () => {
        for (const other of $$(`[data-pin="${CSS.escape(pinOf(link))}"] [data-save]`)) {
          other.textContent = "Save";
          other.classList.remove("done");
        }
      },
    });
  } catch (error) {
    for (const button of $$("button", form)) button.disabled = false;
    failed(error);
  }
}

const pinOf = (link) => link.closest("[data-pin]")?.dataset.pin ?? "";

async function show(link) {
  close({ focus: false });
  const abort = new AbortController();
  const popover = make("div", { class: "popover", role: "dialog", "aria-label": "Save to a board", tabindex: "-1" }, make("p", { class: "quiet" }, "Looking up your boards…"));
  open = { link, popover, abort };
  link.setAttribute("aria-expanded", "true");
  document.body.append(popover);
  popover.addEventListener("keydown", onKey);
  popover.addEventListener("submit", (event) => {
    event.preventDefault();
    send(event.target, event.submitter, link);
  });
  place(link, popover);
  popover.focus({ preventScroll: true });
  try {
    const { html } = await ask(link.href, { fragment: "save", signal: abort.signal });
    if (open?.popover !== popover) return;
    if (!html) return location.assign(link.href);
    const shut = make("button", { type: "button", class: "vh", "aria-label": "Close" }, icon("x"));
    shut.addEventListener("click", () => close());
    popover.replaceChildren(nodes(html), shut);
    const find = $("[data-picker-find]", popover);
    if ($$(".picker-list > ul > li", popover).length < 6) find?.closest("p").remove();
    else find?.addEventListener("input", () => narrow(popover, find.value));
    place(link, popover);
    const touch = matchMedia("(hover: none)").matches;
    if (touch) popover.focus({ preventScroll: true });
    else ($("[data-picker-find]", popover) ?? $(".picker-list button", popover) ?? $(".picker-new input", popover))?.focus({ preventScroll: true });
  } catch (error) {
    if (open?.popover === popover) close();
    failed(error);
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-save]");
  if (link && !event.metaKey && !event.ctrlKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    if (!signedIn()) return toLogIn();
    if (open?.link === link) close();
    else show(link);
  } else if (open && !open.popover.contains(event.target)) close({ focus: false });
});
addEventListener("pagehide", () => close({ focus: false }));
