// Comments without leaving the page: what is sent comes back as the comments are now.
import { $, announce, ask, failed, nodes } from "./dom.js";

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("form[data-comment]") || event.defaultPrevented) return;
  event.preventDefault();
  const button = event.submitter ?? $("button", form);
  button.disabled = true;
  try {
    const { html, redirected } = await ask(form.action, { method: "POST", body: new FormData(form), fragment: "comments" });
    const fresh = html && $("[data-comments]", nodes(html));
    if (redirected || !fresh) return location.reload();
    $("[data-comments]").replaceWith(fresh);
    const refused = $("[aria-invalid]", fresh);
    if (refused) refused.focus();
    else {
      announce(form.action.endsWith("/delete") ? "Comment deleted." : "Comment posted.");
      $("#comment-text", fresh)?.focus({ preventScroll: true });
    }
  } catch (error) {
    button.disabled = false;
    failed(error);
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches?.("[data-comment] textarea")) {
    event.preventDefault();
    event.target.form.requestSubmit();
  }
});

// A reply begins with the name of whom it answers.
document.addEventListener("toggle", (event) => {
  if (!event.target.matches?.("details.reply") || !event.target.open) return;
  const text = $("textarea", event.target);
  if (!text.value) text.value = text.dataset.mention ?? "";
  text.focus();
}, true);

document.addEventListener("click", async (event) => {
  const link = event.target.closest?.(".comments > a[rel=next]");
  if (!link || event.metaKey || event.ctrlKey) return;
  event.preventDefault();
  try {
    const { html } = await ask(link.href, { fragment: "comments" });
    const older = html && $("[data-comments]", nodes(html));
    if (!older) return location.assign(link.href);
    link.replaceWith(...[...older.children].filter((item) => item.matches(".comment, a[rel=next]")));
  } catch (error) {
    failed(error);
  }
});
