// Shows a page when there is no connection. Nothing else is answered from here: pages are always the server's.
const CACHE = "offline-1";
const PAGE = "/offline";

self.addEventListener("install", (event) => {
  event.waitUntil((async () => {
    const cache = await caches.open(CACHE);
    const response = await fetch(PAGE, { credentials: "omit", cache: "reload" });
    if (!response.ok) return;
    const html = await response.clone().text();
    await cache.put(PAGE, response);
    // The files that the page names: the same hashed ones that every page uses.
    await cache.addAll([...new Set(html.match(/\/static\/(app|masonry|icons|mark)\.[0-9a-f]+\.(css|js|svg)/g) ?? [])]);
    await self.skipWaiting();
  })());
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  if (event.request.mode === "navigate") {
    event.respondWith(fetch(event.request).catch(async () => (await caches.match(PAGE)) ?? Response.error()));
  } else if (!navigator.onLine && new URL(event.request.url).pathname.startsWith("/static/")) {
    event.respondWith((async () => (await caches.match(event.request)) ?? fetch(event.request))());
  }
});
