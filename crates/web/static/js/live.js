// Numbers and plots of the admin pages, kept up to date while the page is seen.
import { $, $$, ask } from "./dom.js";

const EVERY_MS = 2000;
const WIDTH = 240;
const HEIGHT = 48;
const MARGIN = 2;

function line(points) {
  const top = Math.max(0, ...points);
  const step = WIDTH / Math.max(1, points.length - 1);
  return points.map((point, at) => `${(at * step).toFixed(1)},${(HEIGHT - MARGIN - (top ? Math.max(0, point) / top : 0) * (HEIGHT - 2 * MARGIN)).toFixed(1)}`).join(" ");
}

async function refresh(url) {
  const { json } = await ask(url);
  for (const element of $$("[data-live]")) {
    const value = json?.numbers?.[element.dataset.live];
    if (value != null && element.textContent !== String(value)) element.textContent = value;
  }
  for (const plot of $$("[data-series]")) {
    const points = json?.series?.[plot.dataset.series];
    if (points) $("polyline", plot).setAttribute("points", line(points));
  }
}

const url = $("[data-admin-live]").dataset.adminLive;
setInterval(() => {
  // A missed turn is no news: the next one comes in two seconds.
  if (!document.hidden) refresh(url).catch(() => {});
}, EVERY_MS);
