// A feed that goes on: it grows by itself, shows nothing twice, keeps one's place on Back, and has a switch.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { closeBrowser, newVisitor } from './browser.mjs';
import { startSite } from './site.mjs';
import { eventually, files, signUp, upload } from './steps.mjs';

const PINS = 70;

describe('an endless feed', () => {
  let site;
  let ada;
  let grace;

  before(async () => {
    site = await startSite();
    ada = await newVisitor(site);
    grace = await newVisitor(site);
    await signUp(ada, 'ada');
    await signUp(grace, 'grace');
    await grace.page.goto('/ada');
    await grace.page.getByRole('button', { name: /^Follow/ }).first().click();
    await grace.page.getByRole('button', { name: /^Following|^Unfollow/ }).first().waitFor();
    await upload(ada, files(PINS, 'Stone', [120, 130, 110]), 'Stones');
    await eventually(grace, '/', (page) => page.locator('article.card').nth(20), 'the pins');
  });
  after(async () => {
    await closeBrowser();
    await site?.stop();
  });

  test('grows to its end and shows every pin once', async () => {
    const { page } = grace;
    await scrollTo(page, PINS);
    const ids = await page.locator('article.card').evaluateAll((cards) => cards.map((card) => card.dataset.pin));
    assert.equal(new Set(ids).size, PINS);
    assert.equal(ids.length, PINS);
    await grace.layoutHoldsStill('the growing feed');
    await grace.isClean();
  });

  test('Back keeps the place', async () => {
    const { page } = grace;
    await page.goto('/');
    await scrollTo(page, 50);
    await backKeepsThePlace(page);
    await grace.isClean();
  });

  test('best-first shows every pin once, says why, and keeps the place on Back', async () => {
    const { page } = grace;
    await page.goto('/');
    await page.getByRole('button', { name: 'Best first' }).click();
    await page.waitForURL('**/');
    assert.equal(await page.getByRole('button', { name: 'Best first' }).getAttribute('aria-pressed'), 'true');
    await page.getByText('Because you follow ada').first().waitFor();
    await scrollTo(page, PINS);
    const ids = await page.locator('article.card').evaluateAll((cards) => cards.map((card) => card.dataset.pin));
    assert.equal(new Set(ids).size, PINS);
    assert.equal(ids.length, PINS);
    await backKeepsThePlace(page);
    const again = await page.locator('article.card').evaluateAll((cards) => cards.map((card) => card.dataset.pin));
    assert.equal(new Set(again).size, again.length, 'on Back a pin stands twice');
    await page.getByRole('button', { name: 'Newest first' }).focus();
    await page.keyboard.press('Enter');
    await page.locator('button[value="newest"][aria-pressed="true"]').waitFor();
    await grace.layoutHoldsStill('the best-first feed');
    await grace.isClean();
  });

  test('can be switched off: then a button loads more', async () => {
    const { page } = grace;
    await page.goto('/settings/preferences');
    await page.getByRole('switch', { name: /Endless scrolling/ }).uncheck();
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await page.waitForLoadState();
    await page.goto('/');
    const count = await page.locator('article.card').count();
    await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    assert.equal(await page.locator('article.card').count(), count, 'it grew although it is switched off');
    await page.getByRole('link', { name: 'Load more' }).click();
    await page.locator('article.card').nth(count).waitFor();
    await grace.isClean();
  });
});

/** Opens a pin from far down and goes back: the pin is there again, where it was. */
async function backKeepsThePlace(page) {
  const wanted = page.locator('article.card').nth(45);
  await wanted.scrollIntoViewIfNeeded();
  const id = await wanted.getAttribute('data-pin');
  const before = await wanted.evaluate((card) => card.getBoundingClientRect().top);
  await wanted.getByRole('heading').getByRole('link').click();
  await page.waitForURL(`**/pin/${id}`);
  await page.goBack();
  await page.locator(`article.card[data-pin="${id}"]`).waitFor();
  await page.waitForFunction(
    ([pin, top]) => Math.abs(document.querySelector(`article.card[data-pin="${pin}"]`).getBoundingClientRect().top - top) < 80,
    [id, before],
  );
}

/** Scrolls down, a screen at a time, until so many cards are there. */
async function scrollTo(page, count) {
  const cards = page.locator('article.card');
  for (let turn = 0; turn < 200 && (await cards.count()) < count; turn++) {
    await page.mouse.wheel(0, 800);
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 60))));
  }
  assert.ok((await cards.count()) >= count, `the feed ends after ${await cards.count()} of ${count} pins`);
}
