// What all modules need: finding elements, speaking to the server, telling the person.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
export const signedIn = () => document.documentElement.hasAttribute("data-signed-in");

/** Makes an element: make("a", { href: "/x", class: "btn" }, "text", child). */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** Copies an icon of the page's sprite. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  const sprite = ($(".i use")?.getAttribute("href") ?? "").split("#")[0];
  svg.setAttribute("class", "i");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `${sprite}#${name}`);
  svg.append(use);
  return svg;
}

export function toLogIn() {
  location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
}

/**
 * Asks the server. Gives { json } or { html } or { redirected }; throws an Error whose message can be shown.
 * `fragment` names what is wanted instead of a page.
 */
export async function ask(url, { method = "GET", body, fragment = "state", signal } = {}) {
  let response;
  try {
    response = await fetch(url, {
      method,
      signal,
      redirect: "manual",
      credentials: "same-origin",
      headers: { "X-Fragment": fragment, Accept: "application/json, text/html;q=0.9" },
      body: body instanceof FormData ? new URLSearchParams(body) : body,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("There is no connection to the site.");
  }
  if (response.type === "opaqueredirect") return { redirected: true };
  if (response.status === 401) {
    toLogIn();
    throw new Error("Please log in.");
  }
  const type = response.headers.get("content-type") ?? "";
  if (!response.ok) {
    const told = type.includes("json") ? (await response.json().catch(() => null))?.message : null;
    throw new Error(told ?? (response.status === 429 ? "A little slower, please." : `That didn't work (${response.status}).`));
  }
  if (response.status === 204) return {};
  if (type.includes("json")) return { json: await response.json() };
  return { html: await response.text() };
}

/** Parses HTML of this site into nodes. */
export function nodes(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

let announcing;
/** Tells screen readers, once. */
export function announce(text) {
  const region = $("[data-announce]");
  if (!region) return;
  clearTimeout(announcing);
  region.textContent = "";
  announcing = setTimeout(() => (region.textContent = text), 60);
}

const SECONDS_SHOWN = 6;
const SECONDS_SHOWN_WITH_UNDO = 12;

/** Shows a message for a while; as long as it has focus or the pointer it stays. */
export function keep(toast) {
  const seconds = $("form, a", toast) ? SECONDS_SHOWN_WITH_UNDO : SECONDS_SHOWN;
  let timer;
  const start = () => {
    clearTimeout(timer);
    timer = setTimeout(() => toast.remove(), seconds * 1000);
  };
  for (const event of ["pointerenter", "focusin"]) toast.addEventListener(event, () => clearTimeout(timer));
  for (const event of ["pointerleave", "focusout"]) toast.addEventListener(event, start);
  start();
}

/** Shows a message. `undo`: URL to POST to; `onUndone` is called after it; `link`: [url, words]. */
export function toast(text, { failed = false, undo, onUndone, link } = {}) {
  const element = make("div", { class: failed ? "toast failed" : "toast", "data-toast": true }, make("p", {}, text));
  if (link) element.append(make("a", { href: link[0] }, link[1]));
  if (undo) {
    const form = make("form", { method: "post", action: undo }, make("button", {}, "Undo"));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      element.remove();
      try {
        await ask(undo, { method: "POST" });
        onUndone?.();
        toast("Undone.");
      } catch (error) {
        toast(error.message, { failed: true });
      }
    });
    element.append(form);
  }
  $("[data-toasts]")?.append(element);
  keep(element);
}

export const failed = (error) => {
  if (error.name !== "AbortError") toast(error.message, { failed: true });
};

/** Asks in a dialog; gives true when confirmed. */
export function confirmed(question, words = "Yes") {
  return new Promise((resolve) => {
    const dialog = make(
      "dialog",
      { "aria-labelledby": "confirm-title" },
      make("h2", { id: "confirm-title" }, question),
      make(
        "form",
        { method: "dialog", class: "form-end" },
        make("button", { class: "btn", value: "no" }, "Cancel"),
        make("button", { class: "btn danger", value: "yes" }, words),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** "12 pins" with the right form of the word. */
export const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`;
