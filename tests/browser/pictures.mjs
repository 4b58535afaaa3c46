// PNG files of a colour, each number with a mark of its own.
import * as zlib from 'node:zlib';

export function png(width, height, [red, green, blue], mark = 0) {
  const rows = Buffer.alloc((width * 3 + 1) * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const bit = Math.floor((y * 4) / height) * 8 + Math.floor((x * 8) / width);
      const flip = (mark >>> bit) & 1 ? 0x60 : 0;
      const at = y * (width * 3 + 1) + 1 + x * 3;
      rows.set([red ^ flip, green ^ flip, blue ^ flip], at);
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', header), chunk('IDAT', zlib.deflateSync(rows)), chunk('IEND', Buffer.alloc(0))]);
}

/** A file as the browser's file chooser takes it. */
export function pictureFile(name, width, height, color, mark) {
  return { name: `${name}.png`, mimeType: 'image/png', buffer: png(width, height, color, mark) };
}

function chunk(name, body) {
  const named = Buffer.concat([Buffer.from(name, 'latin1'), body]);
  const out = Buffer.alloc(8 + named.length);
  out.writeUInt32BE(body.length, 0);
  named.copy(out, 4);
  out.writeUInt32BE(crc32(named), 4 + named.length);
  return out;
}

function crc32(bytes) {
  if (zlib.crc32) return zlib.crc32(bytes); // newer versions of Node have it
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}
