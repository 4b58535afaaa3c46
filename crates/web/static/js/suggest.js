// Suggestions below the search box: a combobox with a list (ARIA Authoring Practices), asked for while one types.
import { $, $$, ask, icon, make, announce, plural } from "./dom.js";

const WAIT_MS = 120; // between the last key and the question
const ICONS = { query: "search", board: "board", person: "person", topic: "tag" };
const WORDS = { board: "Board", person: "Person", topic: "Topic" };

const form = $("form[data-suggest]");
const input = form && $("input[type=search]", form);

if (input) {
  let timer;
  let asking;
  let typed = "";
  let list = null;

  for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": "suggestions" })) input.setAttribute(name, value);

  const hide = () => {
    clearTimeout(timer);
    asking?.abort();
    list?.remove();
    list = null;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };

  const options = () => (list ? $$("[role=option]", list) : []);

  const choose = (index) => {
    const all = options();
    all.forEach((option, at) => option.setAttribute("aria-selected", String(at === index)));
    const option = all[index];
    if (option) input.setAttribute("aria-activedescendant", option.id);
    else input.removeAttribute("aria-activedescendant");
    input.value = option && option.dataset.kind === "query" ? option.dataset.text : typed;
  };

  const go = (option) => location.assign(option.dataset.url);

  const show = (found) => {
    if (!found.length || document.activeElement !== input) return hide();
    const fresh = make("ul", { class: "suggest", role: "listbox", id: "suggestions", "aria-label": "Suggestions" });
    found.forEach(({ text, kind, url }, at) => {
      const option = make("li", { role: "option", id: `suggestion-${at}`, "aria-selected": "false", "data-url": url, "data-text": text, "data-kind": kind }, icon(ICONS[kind] ?? "search"), make("span", {}, text));
      if (WORDS[kind]) option.append(make("small", {}, WORDS[kind]));
      option.addEventListener("pointerdown", (event) => event.preventDefault());
      option.addEventListener("click", () => go(option));
      fresh.append(option);
    });
    list?.remove();
    list = fresh;
    form.append(list);
    input.setAttribute("aria-expanded", "true");
    announce(plural(found.length, "suggestion", "suggestions"));
  };

  const look = async () => {
    asking?.abort();
    asking = new AbortController();
    try {
      const { json } = await ask(`${form.dataset.suggest}?q=${encodeURIComponent(typed)}`, { signal: asking.signal });
      show(Array.isArray(json) ? json.slice(0, 10) : []);
    } catch {
      hide(); // Suggestions are a courtesy: without them the box still searches.
    }
  };

  input.addEventListener("input", () => {
    typed = input.value;
    clearTimeout(timer);
    if (!typed.trim()) return hide();
    timer = setTimeout(look, WAIT_MS);
  });

  input.addEventListener("keydown", (event) => {
    const all = options();
    const at = all.findIndex((option) => option.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (!all.length) return;
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      choose(at < 0 && step < 0 ? all.length - 1 : at + step >= all.length || at + step < 0 ? -1 : at + step);
    } else if (event.key === "Enter" && at >= 0) {
      event.preventDefault();
      go(all[at]);
    } else if (event.key === "Escape") {
      if (list) {
        event.preventDefault();
        input.value = typed;
        hide();
      } else input.blur();
    }
  });
  input.addEventListener("blur", hide);
  form.addEventListener("submit", (event) => {
    if (!input.value.trim()) event.preventDefault();
    hide();
  });
}
