// Lays cards out as masonry, in reading order, each into the shortest column. Runs in the head, before anything is painted, and
// goes on while the page arrives: heights are known from width and height attributes before any picture has loaded.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");

  const COLUMN = 236; // the least width of a column in pixels; two columns always fit on a phone
  const states = new WeakMap();

  function shape(grid) {
    const style = getComputedStyle(grid);
    const gap = parseFloat(style.getPropertyValue("--gap")) || 16;
    const width = grid.clientWidth;
    const columns = Math.max(2, Math.floor((width + gap) / (COLUMN + gap)));
    return { width, gap, columns, column: (width - gap * (columns - 1)) / columns };
  }

  // Places the cards that have no place yet; those that have one don't move.
  function lay(grid) {
    let state = states.get(grid);
    if (!state) {
      state = { ...shape(grid), heights: [], placed: 0, last: null };
      state.heights = new Array(state.columns).fill(0);
      states.set(grid, state);
      sizes.observe(grid);
    }
    if (!state.width) return;
    const fresh = [];
    let card = state.last ? state.last.nextElementSibling : grid.firstElementChild;
    for (; card; card = card.nextElementSibling) if (card.classList.contains("card")) fresh.push(card);
    // While the page arrives its last card may be half there; it waits for what follows it.
    if (document.readyState === "loading" && fresh.length && !fresh[fresh.length - 1].nextElementSibling && !grid.nextElementSibling) fresh.pop();
    const more = grid.querySelector(":scope > .more");
    if (fresh.length) {
      const width = state.column + "px";
      for (const item of fresh) item.style.width = width;
      const heights = fresh.map((item) => item.offsetHeight);
      fresh.forEach((item, at) => {
        let column = 0;
        for (let i = 1; i < state.columns; i++) if (state.heights[i] < state.heights[column] - 0.5) column = i;
        const x = column * (state.column + state.gap);
        const y = state.heights[column];
        item.style.transform = `translate(${x}px, ${y}px)`;
        state.heights[column] = y + heights[at] + state.gap + 8;
      });
      state.last = fresh[fresh.length - 1];
    }
    grid.style.height = Math.max(0, ...state.heights) + (more ? 72 : 0) + "px";
    grid.classList.add("laid");
  }

  function again(grid) {
    const old = states.get(grid);
    const now = shape(grid);
    if (old && old.width === now.width && old.gap === now.gap) return;
    // The card at the top of the window stays there.
    const anchor = scrollY > 200 ? [...grid.children].find((c) => c.classList.contains("card") && c.getBoundingClientRect().bottom > 80) : null;
    const before = anchor ? anchor.getBoundingClientRect().top : 0;
    states.set(grid, { ...now, heights: new Array(now.columns).fill(0), last: null });
    lay(grid);
    if (anchor) scrollBy({ top: anchor.getBoundingClientRect().top - before, behavior: "instant" });
  }

  const sizes = new ResizeObserver((entries) => { for (const entry of entries) again(entry.target); });
  const all = () => { for (const grid of document.getElementsByClassName("masonry")) lay(grid); };
  const parsing = new MutationObserver(all);
  parsing.observe(root, { childList: true, subtree: true });
  addEventListener("DOMContentLoaded", () => { parsing.disconnect(); all(); });

  window.corkboardLay = lay;
  // After a card has gone or grown, everything is placed anew.
  window.corkboardRelay = (grid) => { states.delete(grid); lay(grid); };
})();
