// One browser for everything. A visitor has cookies of their own, and watches: what the console says, what the content security
// policy blocks, what is asked of other hosts, what fails, and how much the layout shifts.
import assert from 'node:assert/strict';
import axe from 'axe-core';
import { chromium } from 'playwright-core';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
/** Milliseconds for one step. A debug build on two busy cores is slow; a broken page is slower. */
const STEP_MS = 20_000;
/** The layout may not move by more than this in all (Core Web Vitals call 0.1 good). */
const SHIFT_MAX = 0.01;

let browser;

export async function newVisitor(site, options = {}) {
  browser ??= await chromium.launch({ executablePath: EXECUTABLE, headless: true, args: ARGUMENTS });
  const context = await browser.newContext({ baseURL: site.url, viewport: { width: 1280, height: 900 }, reducedMotion: 'reduce', ...options });
  context.setDefaultTimeout(STEP_MS);
  if (options.javaScriptEnabled !== false) await context.addInitScript(watchInPage);
  const page = await context.newPage();
  const problems = [];
  // Statuses that the test itself asks for.
  const expected = new Set();
  page.on('console', (message) => {
    if (message.type() !== 'error') return;
    // The response's own watcher reports these, with their address.
    if (message.text().startsWith('Failed to load resource')) return;
    problems.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => problems.push(`script: ${error.stack ?? error}`));
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (!['blob:', 'data:'].includes(url.protocol) && url.origin !== site.url) problems.push(`another site: ${request.url()}`);
  });
  page.on('response', (response) => {
    if (response.status() >= 400 && !expected.has(response.status())) problems.push(`${response.status()}: ${response.request().method()} ${response.url()}`);
  });
  return {
    page,
    context,
    expect: (status) => expected.add(status),
    /** Fails on everything that the watchers have seen since the last call. */
    async isClean(where) {
      if (options.javaScriptEnabled !== false) {
        const blocked = await page.evaluate(() => globalThis.__watch?.blocked.splice(0) ?? []);
        problems.push(...blocked.map((what) => `blocked by the policy: ${what}`));
      }
      assert.deepEqual(problems.splice(0), [], `${where ?? page.url()}`);
    },
    async layoutHoldsStill(where) {
      const shift = await page.evaluate(() => globalThis.__watch.shift);
      assert.ok(shift.sum <= SHIFT_MAX, `${where}: the layout shifts by ${shift.sum.toFixed(4)}: ${JSON.stringify(shift.what)}`);
    },
    async isAccessible(where) {
      await page.evaluate(axe.source);
      const result = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
      const serious = result.violations
        .filter((violation) => ['serious', 'critical'].includes(violation.impact))
        .map((violation) => `${violation.impact} ${violation.id}: ${violation.help}\n    ${violation.nodes.map((node) => `${node.target} ${node.failureSummary?.replaceAll('\n', ' ')}`).join('\n    ')}`);
      assert.equal(serious.join('\n'), '', where);
    },
    close: () => context.close(),
  };
}

export async function closeBrowser() {
  await browser?.close();
  browser = undefined;
}

/** Runs in every page before its own scripts. */
function watchInPage() {
  const watch = { blocked: [], shift: { sum: 0, what: [] } };
  globalThis.__watch = watch;
  document.addEventListener('securitypolicyviolation', (event) => {
    watch.blocked.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile ?? ''}:${event.lineNumber}`);
  });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.hadRecentInput) continue;
      watch.shift.sum += entry.value;
      for (const source of entry.sources ?? []) {
        const node = source.node;
        watch.shift.what.push(`${node?.nodeName ?? '?'}.${node?.className ?? ''} ${JSON.stringify(source.previousRect)} to ${JSON.stringify(source.currentRect)}`);
      }
    }
  }).observe({ type: 'layout-shift', buffered: true });
}
