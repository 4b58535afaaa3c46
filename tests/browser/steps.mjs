// What people do, by the names that they read on the page.
import assert from 'node:assert/strict';
import { pictureFile } from './pictures.mjs';

const PASSWORD = 'correct horse battery staple';

export async function signUp(visitor, username) {
  const { page } = visitor;
  await page.goto('/signup');
  await page.getByLabel('User name').fill(username);
  await page.getByLabel('E-mail').fill(`${username}@example.org`);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Create account' }).click();
  await page.locator('html[data-signed-in]').waitFor();
}

export async function logIn(visitor, username) {
  const { page } = visitor;
  await page.goto('/login');
  await page.getByLabel('User name or e-mail').fill(username);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.locator('html[data-signed-in]').waitFor();
}

/** Chooses files on the page for new pins, gives each a title, and creates them on `board`, which is made when it is the first. */
export async function upload(visitor, files, board) {
  const { page } = visitor;
  await page.goto('/create');
  await page.getByLabel(/Choose pictures/).setInputFiles(files);
  await finishUpload(visitor, files, board);
}

/** Drops files onto the page for new pins, as from the desktop. */
export async function dropOnto(visitor, files, board) {
  const { page } = visitor;
  await page.goto('/create');
  const carried = files.map((file) => ({ name: file.name, type: file.mimeType, bytes: file.buffer.toString('base64') }));
  const transfer = await page.evaluateHandle((list) => {
    const transfer = new DataTransfer();
    for (const { name, type, bytes } of list) {
      const raw = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
      transfer.items.add(new File([raw], name, { type }));
    }
    return transfer;
  }, carried);
  for (const event of ['dragenter', 'dragover', 'drop']) await page.dispatchEvent('[data-drop]', event, { dataTransfer: transfer });
  await finishUpload(visitor, files, board);
}

async function finishUpload(visitor, files, board) {
  const { page } = visitor;
  const rows = page.getByRole('list', { name: 'Chosen pictures' }).getByRole('listitem');
  await rows.nth(files.length - 1).waitFor();
  assert.equal(await rows.count(), files.length);
  for (const [index, file] of files.entries()) await rows.nth(index).getByLabel('Title').fill(file.name.replace('.png', ''));
  const first = page.getByLabel('Name of your first board');
  if (await first.count()) await first.fill(board);
  else await page.getByLabel('Board', { exact: true }).selectOption({ label: board });
  const button = page.getByRole('button', { name: /^Create/ });
  await button.click();
  // A single pin leads to its page, several to their board.
  await page.waitForURL((url) => !url.pathname.startsWith('/create'));
}

/** Gives the pin's card in a grid. */
export function card(page, title) {
  return page.locator('article.card').filter({ has: page.getByRole('heading', { name: title, exact: true }) });
}

/** Reloads `path` until something of the background (feed, index) shows there. */
export async function eventually(visitor, path, locate, what) {
  const { page } = visitor;
  const end = Date.now() + 15_000;
  for (;;) {
    await page.goto(path);
    if (await locate(page).count()) return;
    assert.ok(Date.now() < end, `${path} does not show ${what}`);
    await page.waitForTimeout(250);
  }
}

export function files(count, stem, color, size = (index) => [300, 200 + (index % 5) * 60]) {
  return Array.from({ length: count }, (_, index) => pictureFile(`${stem} ${index + 1}`, ...size(index), color, index + 1));
}
