// The watchers themselves: a page that does everything wrong is caught at each thing.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { closeBrowser, newVisitor } from './browser.mjs';

const PAGES = {
  '/good': '<h1>Good</h1>',
  '/inline': '<h1>Inline</h1><script>1</script>',
  '/console': '<h1>Console</h1><script src="/error.js"></script>',
  '/thrown': '<h1>Thrown</h1><script src="/throw.js"></script>',
  '/foreign': '<h1>Foreign</h1><img src="http://127.0.0.2:9/x.png" alt="x">',
  '/missing': '<h1>Missing</h1><img src="/missing.png" alt="x">',
  '/shift': '<h1>Shift</h1><p class="tall">Down it goes</p><script src="/shift.js"></script>',
  '/faint': '<h1>Faint</h1><p class="faint">Who can read this?</p>',
  '/error.js': 'console.error("this page complains")',
  '/throw.js': 'null.x',
  '/shift.js': 'requestAnimationFrame(() => setTimeout(() => document.querySelector("h1").insertAdjacentHTML("afterend", "<p>a<br>b<br>c<br>d<br>e<br>f<br>g<br>h<br>i<br>j</p>"), 100))',
  '/page.css': '.faint { color: #bbb; background: #fff } .tall { height: 500px; background: #eee }',
  '/favicon.ico': '',
};

describe('the watchers', () => {
  let server;
  let visitor;

  before(async () => {
    server = createServer((request, response) => {
      const content = PAGES[request.url];
      const kind = request.url.endsWith('.js') ? 'text/javascript' : request.url.endsWith('.css') ? 'text/css' : 'text/html';
      response.writeHead(content === undefined ? 404 : 200, { 'content-type': kind, 'content-security-policy': "default-src 'self'; img-src *" });
      const isPage = kind === 'text/html' && content;
      response.end(isPage ? `<!doctype html><html lang="en"><title>${request.url}</title><link rel="stylesheet" href="/page.css"><main>${content}</main>` : content);
    });
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    visitor = await newVisitor({ url: `http://127.0.0.1:${server.address().port}` });
  });
  after(async () => {
    await closeBrowser();
    server.close();
  });

  const see = async (where) => {
    await visitor.page.goto(where);
    await visitor.page.waitForLoadState('networkidle');
  };

  test('let a good page pass', async () => {
    await see('/good');
    await visitor.isClean();
    await visitor.isAccessible('good');
    await visitor.layoutHoldsStill('good');
  });

  for (const [where, said] of Object.entries({
    '/inline': /blocked by the policy: script-src-elem inline/,
    '/console': /console: this page complains/,
    '/thrown': /script: TypeError/,
    '/foreign': /another site: http:\/\/127\.0\.0\.2/,
    '/missing': /404: GET .*\/missing\.png/,
  })) {
    test(`catch ${where}`, async () => {
      await see(where);
      await assert.rejects(visitor.isClean(), said);
    });
  }

  test('catch what shifts', async () => {
    await see('/shift');
    await visitor.page.waitForFunction(() => globalThis.__watch.shift.sum > 0);
    await assert.rejects(visitor.layoutHoldsStill('shift'), /the layout shifts by 0\.\d+/);
  });

  test('catch what is too faint to read', async () => {
    await see('/faint');
    await assert.rejects(visitor.isAccessible('faint'), /color-contrast/);
  });
});
