// Every main page, in light, in dark and on a phone's width: axe-core finds nothing serious, nothing shifts, nothing is blocked
// or missing, and nothing sticks out at the side.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { closeBrowser, newVisitor } from './browser.mjs';
import { startSite } from './site.mjs';
import { card, eventually, files, logIn, signUp, upload } from './steps.mjs';

const LOOKS = {
  light: { colorScheme: 'light' },
  dark: { colorScheme: 'dark' },
  phone: { colorScheme: 'light', viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
};
/** Where to leave pictures of the pages, to be looked at; none are made without it. */
const SHOTS = process.env.CORKBOARD_SHOTS;

describe('every page', () => {
  let site;
  const paths = new Map();

  before(async () => {
    site = await startSite();
    const ada = await newVisitor(site);
    await signUp(ada, 'ada');
    await upload(ada, files(12, 'Tile', [180, 90, 60]), 'Tiles');
    const grace = await newVisitor(site);
    await signUp(grace, 'grace');
    await upload(grace, files(8, 'Leaf', [70, 130, 80]), 'Leaves');
    await ada.page.goto('/grace');
    await ada.page.getByRole('button', { name: /^Follow/ }).first().click();
    await ada.page.getByRole('button', { name: /^Following|^Unfollow/ }).first().waitFor();
    await eventually(ada, '/', (page) => card(page, 'Leaf 1'), 'the pins of the other');
    const pin = await card(ada.page, 'Leaf 1').getByRole('heading').getByRole('link').getAttribute('href');
    await ada.page.goto(pin);
    await ada.page.getByLabel('Write a comment').fill('Which tree is it from?');
    await ada.page.getByRole('button', { name: 'Post' }).click();
    await ada.page.locator('article.comment').waitFor();
    await ada.page.goto('/grace/leaves');
    const number = (await card(ada.page, 'Leaf 3').getByRole('heading').getByRole('link').getAttribute('href')).split('/').at(-1);
    const form = `/admin/takedowns/new?subject=${number}`;
    await takeDown(ada, form, 'Its maker asked for it.');
    await grace.page.goto('/takedowns');
    await grace.page.getByLabel(/appeal|why/i).first().fill('I made it myself, on a walk in May.');
    await grace.page.getByRole('button', { name: /^Appeal|^Send/ }).first().click();
    await grace.page.getByText('Your appeal is sent').waitFor();
    await ada.page.goto('/admin/holds');
    await ada.page.getByLabel(/User name/).fill('grace');
    await ada.page.getByLabel('Reason', { exact: true }).fill('Asked for by a court.');
    await ada.page.getByRole('button', { name: 'Place hold' }).click();
    await ada.page.getByText('Asked for by a court.').waitFor();
    for (const [name, where] of Object.entries({
      home: '/',
      explore: '/explore',
      popular: '/explore/popular',
      topics: '/explore/topics',
      search: '/search?q=leaf',
      nothing: '/search?q=zzzzzz',
      pin,
      save: `${pin}/save`,
      create: '/create',
      'from the web': '/create/from-url',
      profile: '/ada',
      pins: '/ada/pins',
      other: '/grace',
      followers: '/grace/followers',
      board: '/grace/leaves',
      organise: '/ada/tiles?organise=1',
      'new board': '/board/new',
      notifications: '/notifications',
      trash: '/trash',
      settings: '/settings',
      preferences: '/settings/preferences',
      sessions: '/settings/sessions',
      tokens: '/settings/tokens',
      admin: '/admin',
      takedowns: '/admin/takedowns',
      'take down': form,
      holds: '/admin/holds',
      'not there': '/no-such-person',
    })) {
      paths.set(name, where);
    }
    if (SHOTS) await mkdir(SHOTS, { recursive: true });
    await ada.close();
    await grace.close();
  });
  after(async () => {
    await closeBrowser();
    await site?.stop();
  });

  for (const [look, options] of Object.entries(LOOKS)) {
    test(`in ${look}, logged in`, async (context) => {
      const visitor = await newVisitor(site, options);
      visitor.expect(404);
      await logIn(visitor, 'ada');
      for (const [name, where] of paths) await context.test(`${name}: ${where}`, () => check(visitor, where, `${look} ${name}`));
      await visitor.close();
    });

    test(`in ${look}, as a stranger`, async (context) => {
      const visitor = await newVisitor(site, options);
      for (const where of ['/', '/explore', paths.get('pin'), '/ada', '/grace/leaves', '/search?q=leaf', '/login', '/signup', '/forgot']) {
        await context.test(where, () => check(visitor, where, `${look} stranger ${where.replaceAll('/', '_')}`));
      }
      await visitor.close();
    });
  }

  test('what was taken down, as its owner sees it, in every look', async (context) => {
    for (const [look, options] of Object.entries(LOOKS)) {
      const visitor = await newVisitor(site, options);
      await logIn(visitor, 'grace');
      await context.test(look, () => check(visitor, '/takedowns', `${look} own takedowns`));
      await visitor.close();
    }
  });

  test('best-first, in every look', async (context) => {
    for (const [look, options] of Object.entries(LOOKS)) {
      const visitor = await newVisitor(site, options);
      await logIn(visitor, 'ada');
      await visitor.page.goto('/');
      await visitor.page.getByRole('button', { name: 'Best first' }).click();
      await visitor.page.locator('button[value="best"][aria-pressed="true"]').waitFor();
      await context.test(look, () => check(visitor, '/', `${look} home best first`));
      await visitor.close();
    }
  });

  test('dark is dark', async () => {
    const visitor = await newVisitor(site, LOOKS.dark);
    await visitor.page.goto('/');
    const [red, green, blue] = await visitor.page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
    assert.ok(red + green + blue < 150, `the ground is ${red} ${green} ${blue}`);
    await visitor.close();
  });
});

/** Takes down what a form is about. */
async function takeDown(admin, form, note) {
  await admin.page.goto(form);
  await admin.page.getByRole('radio').first().check();
  await admin.page.getByLabel(/What the owner is told/).fill(note);
  await admin.page.getByRole('button', { name: 'Take down' }).click();
  await admin.page.getByText('It is taken down').waitFor();
}

async function check(visitor, where, name) {
  const { page } = visitor;
  await page.goto(where);
  await page.waitForLoadState('networkidle');
  if (SHOTS) await page.screenshot({ path: path.join(SHOTS, `${name.replaceAll(/[^a-z0-9 _-]/gi, '_')}.png`), fullPage: true });
  await visitor.isAccessible(`${name}: axe-core`);
  await visitor.layoutHoldsStill(name);
  const excess = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(excess <= 0, `${name}: sticks out at the side by ${excess} pixels`);
  const broken = await page.evaluate(() =>
    [...document.images].filter((image) => image.complete && image.naturalWidth === 0 && image.getAttribute('src')).map((image) => image.src),
  );
  assert.deepEqual(broken, [], `${name}: pictures that don't show`);
  await visitor.isClean(name);
}
