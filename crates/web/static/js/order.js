// Order by hand: drag what can be moved, or press its buttons; both tell the server at once.
import { $, $$, announce, ask, failed } from "./dom.js";

const items = (list) => $$(":scope > .movable", list);

async function tell(list, item) {
  const before = item.previousElementSibling?.closest(".movable");
  const body = new FormData();
  body.append("id", item.dataset.id);
  body.append("after", before?.dataset.id ?? "");
  try {
    await ask(list.dataset.order, { method: "POST", body });
    announce(`Moved to place ${items(list).indexOf(item) + 1} of ${items(list).length}.`);
  } catch (error) {
    failed(error);
    location.reload();
  }
}

for (const list of $$("[data-order]")) {
  let dragged = null;
  const clear = () => { for (const item of items(list)) item.classList.remove("over", "dragging"); };

  for (const item of items(list)) {
    item.draggable = true;
    // Links and pictures would be dragged instead of what holds them.
    for (const inner of $$("a, img", item)) inner.draggable = false;
  }
  list.addEventListener("dragstart", (event) => {
    dragged = event.target.closest(".movable");
    if (!dragged) return;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", dragged.dataset.id);
    requestAnimationFrame(() => dragged?.classList.add("dragging"));
  });
  list.addEventListener("dragover", (event) => {
    const over = event.target.closest?.(".movable");
    if (!dragged || !over || over === dragged) return;
    event.preventDefault();
    for (const item of items(list)) item.classList.toggle("over", item === over);
  });
  list.addEventListener("drop", (event) => {
    const over = event.target.closest?.(".movable");
    if (!dragged || !over) return;
    event.preventDefault();
    event.stopPropagation();
    const all = items(list);
    if (all.indexOf(dragged) < all.indexOf(over)) over.after(dragged);
    else over.before(dragged);
    tell(list, dragged);
  });
  list.addEventListener("dragend", () => {
    clear();
    dragged = null;
  });
  list.addEventListener("submit", (event) => {
    if (!event.target.matches(".moves")) return;
    event.preventDefault();
    const item = event.target.closest(".movable");
    const all = items(list);
    const at = all.indexOf(item);
    const other = all[event.submitter.value === "up" ? at - 1 : at + 1];
    if (!other) return announce("It is at the end already.");
    if (event.submitter.value === "up") other.before(item);
    else other.after(item);
    event.submitter.focus();
    tell(list, item);
  });
}

const chosen = $("[data-chosen]");
if (chosen) {
  const show = () => {
    const count = $$("input[name=pin]:checked").length;
    $("[data-chosen-count]", chosen).textContent = count ? `${count} chosen` : "Tick pins to move or delete them together.";
    for (const button of $$("button", chosen)) button.disabled = !count;
  };
  document.addEventListener("change", show);
  show();
}
