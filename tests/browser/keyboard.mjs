// The keyboard alone: from the log-in to a saved pin, without a mouse.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { closeBrowser, newVisitor } from './browser.mjs';
import { startSite } from './site.mjs';
import { card, eventually, files, signUp, upload } from './steps.mjs';

describe('the keyboard alone', () => {
  let site;
  let ada;
  let grace;

  before(async () => {
    site = await startSite();
    ada = await newVisitor(site);
    grace = await newVisitor(site);
    await signUp(ada, 'ada');
    await upload(ada, files(2, 'Fern', [60, 140, 70]), 'Green');
    await signUp(grace, 'grace');
    await upload(grace, files(1, 'Moss', [80, 120, 40]), 'Forest');
  });
  after(async () => {
    await closeBrowser();
    await site?.stop();
  });

  test('the first stop is the way past the header', async () => {
    const { page } = grace;
    await page.goto('/explore');
    await page.keyboard.press('Tab');
    assert.equal(await focused(page), 'Skip to content');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  });

  test('a pin is saved', async () => {
    const { page } = grace;
    await eventually(grace, '/explore', (here) => card(here, 'Fern 1'), 'the pins');
    const save = card(page, 'Fern 1').getByRole('link', { name: 'Save' });
    await tabTo(page, save);
    await page.keyboard.press('Enter');
    const board = page.getByRole('button', { name: /^Forest/ }).first();
    await board.waitFor();
    await tabTo(page, board);
    await page.keyboard.press('Enter');
    await page.getByText(/Saved to/).first().waitFor();
    await page.goto('/grace/forest');
    await card(page, 'Fern 1').waitFor();
    await grace.isClean();
  });

  test('everything that has focus shows it', async () => {
    const { page } = grace;
    await page.goto('/explore');
    for (let stop = 0; stop < 25; stop++) {
      await page.keyboard.press('Tab');
      const seen = await page.evaluate(() => {
        const element = document.activeElement;
        const box = element.getBoundingClientRect();
        const style = getComputedStyle(element);
        const isMarked = style.outlineStyle !== 'none' || style.boxShadow !== 'none' || style.borderColor !== style.color;
        return { tag: element.outerHTML.slice(0, 120), isMarked, isThere: box.width > 0 && box.height > 0, opacity: style.opacity };
      });
      assert.ok(seen.isMarked && seen.isThere && Number(seen.opacity) > 0, `focus does not show on ${seen.tag}`);
    }
  });
});

/** What a screen reader would say of the focused element. */
function focused(page) {
  return page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim());
}

/** Presses Tab until the element has focus. */
async function tabTo(page, locator) {
  const handle = await locator.elementHandle();
  for (let stop = 0; stop < 200; stop++) {
    if (await handle.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press('Tab');
  }
  assert.fail(`Tab does not reach ${await handle.evaluate((element) => element.outerHTML.slice(0, 200))}`);
}
