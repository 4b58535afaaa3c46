// Without JavaScript everything can be read, and the forms work.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { closeBrowser, newVisitor } from './browser.mjs';
import { startSite } from './site.mjs';
import { card, files, signUp } from './steps.mjs';

describe('without JavaScript', () => {
  let site;
  let ada;

  before(async () => {
    site = await startSite();
    ada = await newVisitor(site, { javaScriptEnabled: false });
  });
  after(async () => {
    await closeBrowser();
    await site?.stop();
  });

  test('one signs up and uploads', async () => {
    const { page } = ada;
    await signUp(ada, 'ada');
    await page.goto('/create');
    await page.getByLabel(/Choose pictures/).setInputFiles(files(30, 'Shell', [210, 170, 140]));
    await page.getByLabel('Name of your first board').fill('Beach');
    await page.getByRole('button', { name: /^Create/ }).click();
    await page.waitForURL((url) => url.pathname !== '/create');
    await page.goto('/ada/pins');
    assert.equal(await page.locator('article.card').count(), 25);
    await ada.isClean();
  });

  test('lists go on by a link', async () => {
    const { page } = ada;
    await page.getByRole('link', { name: 'Load more' }).click();
    await page.waitForLoadState();
    assert.equal(await page.locator('article.card').count(), 5);
    await ada.isClean();
  });

  test('likes, comments and searches are forms', async () => {
    const { page } = ada;
    await page.locator('article.card').first().getByRole('link').first().click();
    await page.waitForURL(/\/pin\//);
    await page.getByRole('button', { name: 'Like', exact: true }).first().click();
    await page.locator('[aria-pressed="true"]').first().waitFor();
    await page.getByLabel('Write a comment').fill('From the north');
    await page.getByRole('button', { name: 'Post' }).click();
    await page.locator('article.comment', { hasText: 'From the north' }).waitFor();
    await page.getByLabel('Search pins, boards and people').fill('beach');
    await page.getByLabel('Search pins, boards and people').press('Enter');
    await page.waitForURL(/\/search\?q=beach/);
    await ada.isClean();
  });

  test('the order of the feed is a form', async () => {
    const grace = await newVisitor(site, { javaScriptEnabled: false });
    await signUp(grace, 'grace');
    await grace.page.goto('/ada');
    await grace.page.getByRole('button', { name: /^Follow/ }).first().click();
    await grace.page.goto('/');
    await grace.page.getByRole('button', { name: 'Best first' }).click();
    await grace.page.locator('button[value="best"][aria-pressed="true"]').waitFor();
    const first = await pinsOf(grace.page);
    await grace.page.getByRole('link', { name: 'Load more' }).click();
    await grace.page.waitForURL(/bookmark/);
    const pins = [...first, ...(await pinsOf(grace.page))];
    assert.deepEqual([pins.length, new Set(pins).size], [30, 30]);
    await grace.isClean();
    await grace.close();
  });

  test('pictures have room before they come', async () => {
    const { page } = ada;
    await page.goto('/explore');
    const sizes = await page.locator('article.card img').evaluateAll((images) => images.map((image) => [image.clientWidth, image.clientHeight]));
    assert.ok(sizes.length > 0 && sizes.every(([width, height]) => width > 50 && height > 20), JSON.stringify(sizes));
    assert.equal(await card(page, 'nothing').count(), 0);
  });
});

const pinsOf = (page) => page.locator('article.card').evaluateAll((cards) => cards.map((card) => card.dataset.pin));
