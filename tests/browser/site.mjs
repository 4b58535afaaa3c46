// A private site: the binary of CORKBOARD_BIN on a free port with an empty data folder, gone when stopped.
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Milliseconds in which a debug build under load has started. */
const READY_MS = 60_000;
/** Milliseconds in which the site promises to drain, and some. */
const DRAIN_MS = 40_000;

export async function startSite() {
  const binary = process.env.CORKBOARD_BIN;
  if (!binary) throw new Error('CORKBOARD_BIN names no binary; run this by: cargo xtask test --only browser');
  const folder = await mkdtemp(path.join(tmpdir(), 'corkboard-browser-'));
  const data = path.join(folder, 'data');
  const child = spawn(binary, ['serve', '--listen', '127.0.0.1:0', '--data', data], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (log += chunk));
  const url = await until(READY_MS, () => `the site to listen\n${log}`, () => {
    if (child.exitCode !== null) throw new Error(`the site has ended with ${child.exitCode}\n${log}`);
    const found = log.match(/http:\/\/[^\s/]*?:(\d+)/);
    return found && found[1] !== '0' ? `http://127.0.0.1:${found[1]}` : null;
  });
  await until(READY_MS, () => `the site to be ready\n${log}`, async () => {
    const response = await fetch(`${url}/readyz`).catch(() => null);
    return response?.ok;
  });
  return {
    url,
    data,
    log: () => log,
    async stop() {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), DRAIN_MS);
      const code = await ended;
      clearTimeout(timer);
      await rm(folder, { recursive: true, force: true });
      if (code !== 0) throw new Error(`the site ended with ${code}\n${log}`);
    },
  };
}

/** Looks until `look` gives something; fails after `ms` with what was waited for. */
export async function until(ms, what, look) {
  const end = Date.now() + ms;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (Date.now() > end) throw new Error(`waited ${ms} ms for ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
