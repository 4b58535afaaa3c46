//! Small valid pictures, written by hand: PNG with stored (uncompressed) data, JPEG with nothing but the mean of each block.
//! Two pictures differ in their bytes when colour, size or mark differ, so that a test can make as many as it wants.

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// Makes a PNG of one colour.
pub fn png(width: u32, height: u32, color: Rgb) -> Vec<u8> {
    png_of(width, height, |_, _| color)
}

/// Makes a PNG of one colour with a mark of 64 squares in it, by which each number looks and hashes differently.
pub fn marked_png(width: u32, height: u32, color: Rgb, mark: u64) -> Vec<u8> {
    let inverse = color.map(|channel| channel ^ 0x80);
    png_of(width, height, |x, y| {
        let bit = (u64::from(y) * 8 / u64::from(height)) * 8 + u64::from(x) * 8 / u64::from(width);
        if mark >> bit & 1 == 1 { inverse } else { color }
    })
}

/// Makes a PNG from a function of the pixel's column and row.
pub fn png_of(width: u32, height: u32, pixel: impl Fn(u32, u32) -> Rgb) -> Vec<u8> {
    let mut rows = Vec::with_capacity((width as usize * 3 + 1) * height as usize);
    for y in 0..height {
        rows.push(0); // no filter
        for x in 0..width {
            rows.extend(pixel(x, y));
        }
    }
    let mut header = Vec::new();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]); // 8 bits, RGB, deflate, adaptive filters, not interlaced
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut file, b"IHDR", &header);
    chunk(&mut file, b"IDAT", &zlib_stored(&rows));
    chunk(&mut file, b"IEND", &[]);
    file
}

fn chunk(file: &mut Vec<u8>, name: &[u8; 4], body: &[u8]) {
    file.extend((body.len() as u32).to_be_bytes());
    let from = file.len();
    file.extend(name);
    file.extend(body);
    let crc = crc32(&file[from..]);
    file.extend(crc.to_be_bytes());
}

fn zlib_stored(bytes: &[u8]) -> Vec<u8> {
    const BLOCK_BYTES_MAX: usize = 65_535;
    let mut out = vec![0x78, 0x01];
    let blocks = bytes.chunks(BLOCK_BYTES_MAX);
    let last = blocks.len().saturating_sub(1);
    for (index, block) in blocks.enumerate() {
        let len = block.len() as u16;
        out.push(u8::from(index == last));
        out.extend(len.to_le_bytes());
        out.extend((!len).to_le_bytes());
        out.extend(block);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    out.extend((b << 16 | a).to_be_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// Makes a baseline JPEG of one colour. Sides are rounded up to blocks of 8 inside; the file says the sizes that were asked for.
pub fn jpeg(width: u16, height: u16, color: Rgb) -> Vec<u8> {
    let mut file = vec![0xFF, 0xD8];
    segment(&mut file, 0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    let mut quantization = vec![0];
    quantization.extend([1; 64]);
    segment(&mut file, 0xDB, &quantization);
    let mut frame = vec![8];
    frame.extend(height.to_be_bytes());
    frame.extend(width.to_be_bytes());
    frame.extend([3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]);
    segment(&mut file, 0xC0, &frame);
    // Means: categories 0 to 11, each a code of 4 bits equal to its number. Detail: only "end of block", the code 0.
    let mut means = vec![0x00, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    means.extend(0..12);
    segment(&mut file, 0xC4, &means);
    segment(&mut file, 0xC4, &[0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    segment(&mut file, 0xDA, &[3, 1, 0, 2, 0, 3, 0, 0, 63, 0]);
    let mut bits = Bits::default();
    let blocks = u32::from(width).div_ceil(8) * u32::from(height).div_ceil(8);
    for block in 0..blocks {
        for mean in ycbcr(color) {
            // Only the first block differs from its predecessor, which counts as 0.
            bits.mean(if block == 0 { mean * 8 } else { 0 });
            bits.put(0, 1);
        }
    }
    file.extend(bits.finish());
    file.extend([0xFF, 0xD9]);
    file
}

fn segment(file: &mut Vec<u8>, marker: u8, body: &[u8]) {
    file.extend([0xFF, marker]);
    file.extend((body.len() as u16 + 2).to_be_bytes());
    file.extend(body);
}

/// Luma and chroma (JFIF), each less 128.
fn ycbcr([red, green, blue]: Rgb) -> [i32; 3] {
    let [r, g, b] = [red, green, blue].map(f64::from);
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    [y - 128.0, (b - y) * 0.564, (r - y) * 0.713].map(|value| value.round() as i32)
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    held: u32,
    held_bits: u32,
}

impl Bits {
    fn put(&mut self, value: u32, bits: u32) {
        for bit in (0..bits).rev() {
            self.held = self.held << 1 | (value >> bit & 1);
            self.held_bits += 1;
            if self.held_bits == 8 {
                self.bytes.push(self.held as u8);
                if self.held as u8 == 0xFF {
                    self.bytes.push(0); // so that no marker appears by chance
                }
                (self.held, self.held_bits) = (0, 0);
            }
        }
    }

    /// Writes the category (how many bits), then the value; negative values as their one's complement.
    fn mean(&mut self, value: i32) {
        let category = 32 - value.unsigned_abs().leading_zeros();
        self.put(category, 4);
        let coded = if value < 0 { value - 1 } else { value };
        self.put(coded as u32 & ((1 << category) - 1), category);
    }

    fn finish(mut self) -> Vec<u8> {
        while self.held_bits != 0 {
            self.put(1, 1);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_the_known_ones() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(zlib_stored(b"Wikipedia")[2 + 5 + 9..], 0x11E6_0398_u32.to_be_bytes());
    }

    #[test]
    fn a_large_png_is_cut_into_blocks() {
        let file = png(200, 200, [1, 2, 3]);
        assert!(file.starts_with(b"\x89PNG\r\n\x1a\n") && file.ends_with(&[0xAE, 0x42, 0x60, 0x82]));
        assert_eq!(file.len(), 8 + 25 + 12 + 12 + 2 + 2 * 5 + 601 * 200 + 4);
    }

    #[test]
    fn marks_differ() {
        let files: std::collections::HashSet<Vec<u8>> = (0..50).map(|mark| marked_png(64, 48, [200, 30, 30], mark)).collect();
        assert_eq!(files.len(), 50);
    }

    #[test]
    fn a_gray_jpeg_is_the_known_bytes() {
        let file = jpeg(8, 8, [128, 128, 128]);
        // Three times category 0 and end of block: 15 zero bits, filled up with a one.
        assert!(file.ends_with(&[0x00, 0x01, 0xFF, 0xD9]), "{file:02x?}");
    }
}
