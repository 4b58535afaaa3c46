// Lists that grow: the next page is fetched as a fragment when the end comes near, or by the button where endless scrolling is off.
// On Back the pages that were there are there again, and so is the place.
import { $, $$, announce, ask, failed, nodes, plural } from "./dom.js";

const endless = document.documentElement.dataset.infinite === "on";
/** How far below the window the next page is fetched, in pixels: about two screens. */
const AHEAD = 1600;
const PREFIX = "grid:";

const grids = [];

class Growing {
  constructor(list) {
    this.list = list;
    this.pages = []; // the fragments that were added, as they came
    this.loading = false;
    this.watch = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.load(), { rootMargin: `${AHEAD}px` });
    this.arm();
  }

  get more() {
    return $(":scope > [data-more]", this.list);
  }

  arm() {
    const more = this.more;
    if (!more) return;
    more.addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey) return;
      event.preventDefault();
      this.load(true);
    });
    if (endless) {
      more.classList.add("auto");
      this.watch.observe(more);
    }
  }

  // Adds a fragment; what is there already is left out. Gives the first new element and how many there are.
  add(html) {
    const fragment = nodes(html);
    const next = $("[data-more]", fragment);
    this.more?.remove();
    const known = new Set($$("[data-pin]", this.list).map((card) => card.dataset.pin));
    const fresh = [...fragment.children].filter((item) => item !== next && !known.has(item.dataset.pin ?? ""));
    this.list.append(...fresh);
    if (next) this.list.append(next);
    if (this.list.classList.contains("masonry")) window.corkboardLay(this.list);
    this.pages.push(html);
    this.arm();
    return { first: fresh[0], count: fresh.length };
  }

  async load(byHand = false) {
    const more = this.more;
    if (!more || this.loading) return;
    this.loading = true;
    this.watch.disconnect();
    more.setAttribute("aria-busy", "true");
    try {
      const { html } = await ask(more.href, { fragment: "cards" });
      if (html == null || /^\s*<!doctype/i.test(html)) {
        if (byHand) return location.assign(more.href);
        throw new Error("The next page did not come.");
      }
      const { first, count } = this.add(html);
      announce(count ? `${plural(count, "more", "more")} loaded.` : "That was all.");
      if (byHand) $("a[href]", first ?? document.createElement("p"))?.focus({ preventScroll: true });
    } catch (error) {
      more.classList.remove("auto");
      more.removeAttribute("aria-busy");
      more.textContent = "Try again";
      failed(error);
    } finally {
      this.loading = false;
    }
  }
}

function firstInView() {
  for (const card of $$("[data-pin]")) {
    const box = card.getBoundingClientRect();
    if (box.height && box.bottom > 80) return { pin: card.dataset.pin, top: Math.round(box.top) };
  }
  return null;
}

function remember() {
  const pages = grids.map((grid) => grid.pages);
  if (!pages.some((list) => list.length)) return;
  const key = history.state?.grid ?? Math.random().toString(36).slice(2);
  history.replaceState({ ...history.state, grid: key }, "");
  history.scrollRestoration = "manual";
  const value = JSON.stringify({ pages, anchor: firstInView(), y: Math.round(scrollY) });
  try {
    sessionStorage.setItem(PREFIX + key, value);
  } catch {
    // The store is full: older lists make room; without room Back starts at the top of the page, as without scripts.
    for (const old of Object.keys(sessionStorage)) if (old.startsWith(PREFIX)) sessionStorage.removeItem(old);
    try { sessionStorage.setItem(PREFIX + key, value); } catch { history.scrollRestoration = "auto"; }
  }
}

function restore() {
  const kind = performance.getEntriesByType("navigation")[0]?.type;
  const stored = history.state?.grid && sessionStorage.getItem(PREFIX + history.state.grid);
  if (kind !== "back_forward" || !stored) {
    history.scrollRestoration = "auto";
    return;
  }
  const { pages, anchor, y } = JSON.parse(stored);
  grids.forEach((grid, at) => { for (const html of pages[at] ?? []) grid.add(html); });
  scrollTo({ top: y, behavior: "instant" });
  const card = anchor && $(`[data-pin="${CSS.escape(anchor.pin)}"]`);
  if (card) scrollBy({ top: card.getBoundingClientRect().top - anchor.top, behavior: "instant" });
}

for (const list of $$("[data-grow]")) grids.push(new Growing(list));
restore();
addEventListener("pagehide", remember);
