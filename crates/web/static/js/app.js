// The entry: what every page needs at once; what single pages need is loaded when they show it.
import { $, $$, confirmed, failed, keep, make, signedIn, toast } from "./dom.js";
import "./toggles.js";
import "./picker.js";
import "./suggest.js";
import "./keys.js";
import { pictures, put } from "./stash.js";

if ($("[data-grow]")) import("./grid.js");
if ($("[data-comments]")) import("./comments.js");
if ($("[data-order]")) import("./order.js");
if ($("[data-upload]")) import("./upload.js");
if ($("[data-from-url]")) import("./from_url.js");
if ($("[data-admin-live]")) import("./live.js");

for (const toast of $$("[data-toast]")) keep(toast);

// Menus close on a click elsewhere and on Escape.
document.addEventListener("click", (event) => {
  for (const menu of $$("details.menu[open]")) if (!menu.contains(event.target) || event.target.closest("a")) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && $("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  $("summary", menu).focus();
});

// Forms that ask first.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset.confirm || form.dataset.asked) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  const submitter = event.submitter;
  if (!(await confirmed(form.dataset.confirm, submitter?.textContent.trim() || "Yes"))) return;
  form.dataset.asked = "yes";
  form.requestSubmit(submitter);
  delete form.dataset.asked;
}, true);

document.addEventListener("change", (event) => event.target.closest?.("[data-autosubmit]")?.requestSubmit());

async function copy(text, words) {
  try {
    await navigator.clipboard.writeText(text);
    toast(words);
  } catch {
    toast("The browser does not allow copying here. Select the text and copy it.", { failed: true });
  }
}

document.addEventListener("click", (event) => {
  const share = event.target.closest?.("[data-share]");
  if (share) {
    if (navigator.share && matchMedia("(hover: none)").matches) navigator.share({ url: share.dataset.share, title: document.title }).catch(() => {});
    else copy(share.dataset.share, "The link is copied.");
  }
  const secret = event.target.closest?.("[data-copy]");
  if (secret) copy(secret.dataset.copy, "Copied.");
});

// Fields with a limit count down when it comes near.
document.addEventListener("input", (event) => {
  const field = event.target;
  const max = Number(field.maxLength);
  if (!(max > 0) || !field.id) return;
  const label = $(`label[for="${CSS.escape(field.id)}"]:not(.vh)`);
  if (!label) return;
  const left = max - field.value.length;
  let counter = $(".counter", label);
  if (left > Math.max(10, max / 5)) return counter?.remove();
  if (!counter) label.append((counter = make("span", { class: "counter", "aria-hidden": "true" })));
  counter.textContent = String(left);
});

// Pictures can be dropped or pasted on every page; they are carried to the one that uploads them.
async function carry(files) {
  if (!files.length) return;
  if ($("[data-upload]")) return document.dispatchEvent(new CustomEvent("corkboard:files", { detail: files }));
  try {
    await put(files);
    location.assign("/create");
  } catch (error) {
    failed(error);
  }
}

if (signedIn()) {
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  const mark = (change) => {
    depth = Math.max(0, change);
    document.body.classList.toggle("drop-all", depth > 0);
  };
  document.addEventListener("dragenter", (event) => holdsFiles(event) && mark(depth + 1));
  document.addEventListener("dragleave", (event) => holdsFiles(event) && mark(depth - 1));
  document.addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    mark(0);
    const files = pictures(event.dataTransfer.files);
    if (files.length) carry(files);
    else toast("These are no pictures: JPEG, PNG, GIF and WebP can be pinned.", { failed: true });
  });
  document.addEventListener("paste", (event) => {
    const files = pictures(event.clipboardData?.files);
    if (files.length) {
      event.preventDefault();
      carry(files);
    }
  });
}

if ("serviceWorker" in navigator && $("link[rel=manifest]")) {
  const script = $("link[rel=manifest]").dataset.worker;
  if (script) navigator.serviceWorker.register(script, { scope: "/" }).catch(() => {});
}
