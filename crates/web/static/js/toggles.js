// Likes and follows: shown at once, taken back when the server refuses.
import { $, ask, failed, signedIn, toLogIn } from "./dom.js";

const busy = new WeakSet();

function shift(element, by) {
  if (!element) return;
  const text = element.textContent.trim();
  // Only plain numbers can be counted on; "18.4k followers" stays.
  if (text && !/^\d+$/.test(text)) return;
  const count = Math.max(0, Number(text || 0) + by);
  element.textContent = count || element.closest(".likes") ? String(count) : "";
}

function showLike(form, button, on) {
  button.setAttribute("aria-pressed", String(on));
  form.action = form.action.replace(/\/(un)?like$/, on ? "/unlike" : "/like");
}

async function like(form) {
  const button = $("button", form);
  const count = $("[data-count]", form);
  const on = button.getAttribute("aria-pressed") !== "true";
  const url = form.action;
  const before = count?.textContent;
  showLike(form, button, on);
  shift(count, on ? 1 : -1);
  try {
    const { json } = await ask(url, { method: "POST" });
    if (count && typeof json?.count === "number") count.textContent = json.count || count.closest(".likes") ? String(json.count) : "";
  } catch (error) {
    showLike(form, button, !on);
    if (count) count.textContent = before;
    failed(error);
  }
}

function showToggle(form, button, on) {
  button.setAttribute("aria-pressed", String(on));
  $("[data-label]", button).textContent = on ? button.dataset.releaseLabel : button.dataset.pressLabel;
  form.action = on ? form.dataset.release : form.dataset.press;
}

async function toggle(form) {
  const button = $("button", form);
  const on = button.getAttribute("aria-pressed") !== "true";
  showToggle(form, button, on);
  try {
    await ask(on ? form.dataset.press : form.dataset.release, { method: "POST" });
  } catch (error) {
    showToggle(form, button, !on);
    failed(error);
  }
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const act = form.matches("[data-like]") ? like : form.matches("[data-toggle]") ? toggle : null;
  if (!act) return;
  event.preventDefault();
  if (!signedIn()) return toLogIn();
  if (busy.has(form)) return;
  busy.add(form);
  await act(form);
  busy.delete(form);
});
