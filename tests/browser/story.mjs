// Two people and what they do with each other's pins: the way through the whole site.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { closeBrowser, newVisitor } from './browser.mjs';
import { startSite } from './site.mjs';
import { card, dropOnto, eventually, files, signUp, upload } from './steps.mjs';

describe('two people', () => {
  let site;
  let ada;
  let grace;

  before(async () => {
    site = await startSite();
    ada = await newVisitor(site);
    grace = await newVisitor(site);
  });
  after(async () => {
    await closeBrowser();
    await site?.stop();
  });

  test('the first account signs up and is told that it is the admin', async () => {
    await ada.page.goto('/signup');
    await ada.page.getByText('It will be the admin of the site').waitFor();
    await signUp(ada, 'ada');
    await ada.page.getByLabel('Your menu').click();
    await ada.page.getByRole('link', { name: 'Admin' }).waitFor();
    await ada.isClean();
  });

  test('two pictures are uploaded to a new board', async () => {
    await upload(ada, files(2, 'Harbour', [40, 110, 170]), 'Water');
    await ada.page.goto('/ada/pins');
    await card(ada.page, 'Harbour 1').waitFor();
    await card(ada.page, 'Harbour 2').waitFor();
    await ada.isClean();
  });

  test('pictures show, in their own shape', async () => {
    const picture = card(ada.page, 'Harbour 2').getByRole('img').first();
    await picture.evaluate((image) => image.decode());
    const [natural, shown] = await picture.evaluate((image) => [image.naturalWidth / image.naturalHeight, image.clientWidth / image.clientHeight]);
    assert.ok(Math.abs(natural - shown) < 0.02, `${natural} is shown as ${shown}`);
  });

  test('a picture is dropped onto the page', async () => {
    await dropOnto(ada, files(1, 'Dropped', [150, 60, 60]), 'Water');
    await ada.page.goto('/ada/pins');
    await card(ada.page, 'Dropped 1').waitFor();
    await ada.isClean();
  });

  test('a second person signs up and follows', async () => {
    await signUp(grace, 'grace');
    await grace.page.goto('/ada');
    await grace.page.getByRole('button', { name: /^Follow/ }).first().click();
    await grace.page.getByRole('button', { name: /^Following|^Unfollow/ }).first().waitFor();
    await grace.isClean();
  });

  test('what is pinned then shows in the feed', async () => {
    await upload(ada, files(1, 'Lighthouse', [220, 180, 60]), 'Water');
    await eventually(grace, '/', (page) => card(page, 'Lighthouse 1'), 'the new pin');
    assert.equal(await card(grace.page, 'Lighthouse 1').count(), 1);
    await grace.isClean();
  });

  test('she saves it to a board that she makes', async () => {
    const pin = card(grace.page, 'Lighthouse 1');
    await pin.hover();
    await pin.getByRole('link', { name: 'Save' }).click();
    await grace.page.getByLabel('New board').fill('Coast');
    await grace.page.getByRole('button', { name: 'Create', exact: true }).click();
    await grace.page.getByText(/Saved to/).first().waitFor();
    await grace.page.goto('/grace/coast');
    await card(grace.page, 'Lighthouse 1').waitFor();
    await grace.isClean();
  });

  test('the copy says where it is from', async () => {
    await card(grace.page, 'Lighthouse 1').getByRole('heading').getByRole('link').click();
    await grace.page.getByText('Saved from').waitFor();
    await grace.page.getByRole('definition').getByRole('link', { name: 'ada' }).first().click();
    await grace.page.waitForURL(/\/pin\//);
    await grace.isClean();
  });

  test('she likes it and writes a comment that mentions her', async () => {
    const { page } = grace;
    const like = page.getByRole('button', { name: 'Like', exact: true }).first();
    await like.click();
    await page.locator('.likes [data-count]', { hasText: '1' }).waitFor();
    assert.equal(await like.getAttribute('aria-pressed'), 'true');
    await page.getByLabel('Write a comment').fill('What a light, @ada!');
    await page.getByRole('button', { name: 'Post' }).click();
    await page.locator('article.comment', { hasText: 'What a light' }).getByRole('link', { name: '@ada' }).waitFor();
    await grace.isClean();
  });

  test('the other is told', async () => {
    await eventually(ada, '/notifications', (page) => page.getByText(/mentioned you|commented/), 'the comment');
    await ada.page.getByText(/follow/).first().waitFor();
    await ada.isClean();
  });

  test('search finds it within a moment', async () => {
    await eventually(grace, '/search?q=lighthouse', (page) => card(page, 'Lighthouse 1'), 'the pin');
    await grace.page.goto('/');
    await grace.page.getByLabel('Search pins, boards and people').fill('harbour');
    await grace.page.keyboard.press('Enter');
    await card(grace.page, 'Harbour 1').waitFor();
    await grace.isClean();
  });

  test('a deleted pin comes back by undo', async () => {
    const { page } = ada;
    await page.goto('/ada/pins');
    await card(page, 'Dropped 1').getByRole('heading').getByRole('link').click();
    await page.getByLabel('More about this pin').click();
    await page.getByRole('button', { name: 'Move to trash' }).click();
    await page.getByRole('button', { name: 'Undo' }).click();
    await eventually(ada, '/ada/pins', (here) => card(here, 'Dropped 1'), 'the restored pin');
    await ada.isClean();
  });

  test('a deleted pin is gone from feed and search, and waits in the trash', async () => {
    const { page } = ada;
    await page.goto('/ada/pins');
    await card(page, 'Harbour 1').getByRole('heading').getByRole('link').click();
    await page.getByLabel('More about this pin').click();
    await page.getByRole('button', { name: 'Move to trash' }).click();
    await page.getByRole('button', { name: 'Undo' }).waitFor();
    await grace.page.goto('/');
    assert.equal(await card(grace.page, 'Harbour 1').count(), 0);
    await page.goto('/trash');
    await page.getByText('Harbour 1').first().waitFor();
    await page.getByRole('button', { name: 'Restore' }).click();
    await page.goto('/ada/pins');
    await card(page, 'Harbour 1').waitFor();
    await ada.isClean();
  });

  test('a secret board shows to nobody else', async () => {
    const { page } = ada;
    await page.goto('/board/new');
    await page.getByLabel('Name').fill('Presents');
    await page.getByRole('radio', { name: /Secret/ }).check();
    await page.getByRole('button', { name: 'Create board' }).click();
    await page.waitForURL(/presents/);
    await upload(ada, files(1, 'Telescope', [90, 90, 90]), 'Presents');
    await eventually(ada, '/search?q=telescope', (here) => card(here, 'Telescope 1'), 'her own secret pin');
    await grace.page.goto('/search?q=telescope');
    assert.equal(await card(grace.page, 'Telescope 1').count(), 0);
    await grace.page.goto('/ada');
    assert.equal(await grace.page.getByRole('link', { name: 'Presents' }).count(), 0);
    grace.expect(404);
    const response = await grace.page.goto('/ada/presents');
    assert.equal(response.status(), 404);
    await grace.isClean();
  });

  test('logging out leaves nothing of hers', async () => {
    const { page } = grace;
    await page.goto('/');
    await page.getByLabel('Your menu').click();
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByRole('link', { name: 'Sign up' }).waitFor();
    await page.goto('/settings');
    await page.waitForURL(/\/login/);
    await grace.isClean();
  });
});
