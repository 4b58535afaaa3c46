// Looks for pictures on a page of the web without leaving this one.
import { $, $$, ask, nodes, plural } from "./dom.js";

const form = $("form[data-from-url]");
const found = $("[data-found]");
const status = $("[data-status]", form);

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = $("button", form);
  const url = $("input[name=url]", form).value.trim();
  button.disabled = true;
  status.textContent = "Reading the page…";
  try {
    const { html } = await ask(`${form.action}?url=${encodeURIComponent(url)}`, { fragment: "pictures" });
    if (!html || /^\s*<!doctype/i.test(html)) return form.submit();
    found.replaceChildren(nodes(html));
    const count = $$(".pick", found).length;
    status.textContent = count ? `${plural(count, "picture", "pictures")} found.` : "";
    $("input[type=checkbox]", found)?.focus();
  } catch (error) {
    status.textContent = error.message;
  } finally {
    button.disabled = false;
  }
});
