//! WebP: RIFF chunks of type, length and data padded to even.
//!
//! ```text
//! "RIFF" size "WEBP" │ VP8X flags, canvas │ ICCP │ ANIM │ ANMF … │ ALPH │ VP8 or VP8L │ EXIF │ XMP
//!                      keep, flags mended   keep   keep   keep     keep   keep          drop   drop
//! ```
//!
//! Inside a frame only its picture chunks are kept. Source: the WebP container specification.

use crate::{error::Refusal, limits::PROFILE_BYTES_MAX, picture::Format};

use super::{CUT_OFF, Container, Orientation, PixelLayout, le16, le32};

const RIFF_HEADER_BYTES: usize = 12;
const ANMF_HEADER_BYTES: usize = 16;
const FLAG_XMP: u8 = 0x04;
const FLAG_EXIF: u8 = 0x08;

pub(super) fn read(bytes: &[u8]) -> Result<Container<'_>, Refusal> {
    let mut container = Container::new(Format::Webp, bytes);
    container.layout = PixelLayout::Canvas;
    let claimed = le32(bytes, 4).map_or(0, |size| size as usize).saturating_add(8);
    // What stands behind the RIFF is dropped; a RIFF that claims more than there is was cut off.
    if claimed > bytes.len() {
        return Err(container.broken(CUT_OFF));
    }
    let mut body = None;
    let mut frames = 0;
    container.keep(0..RIFF_HEADER_BYTES);
    for (kind, data, range) in chunks(bytes, RIFF_HEADER_BYTES, claimed) {
        let range = range.ok_or_else(|| container.broken(CUT_OFF))?;
        match &kind {
            b"VP8X" => {
                let (Some(width), Some(height)) = (le24(data, 4), le24(data, 7)) else {
                    return Err(container.broken("its header is too short"));
                };
                container.width = width + 1;
                container.height = height + 1;
                let mut header = bytes[range].to_vec();
                header[8] &= !(FLAG_EXIF | FLAG_XMP);
                container.add(header);
            }
            b"VP8 " | b"VP8L" => {
                body.get_or_insert((kind, data));
                container.keep(range);
            }
            b"ALPH" | b"ANIM" => container.keep(range),
            b"ICCP" => {
                if data.len() <= PROFILE_BYTES_MAX {
                    container.icc = Some(data.to_vec());
                }
                container.keep(range);
            }
            b"ANMF" => {
                frames += 1;
                let own = frame(data).ok_or_else(|| container.broken(CUT_OFF))?;
                container.add(own);
            }
            b"EXIF" => {
                let tiff = data.strip_prefix(b"Exif\0\0").unwrap_or(data);
                container.orientation = Orientation::of_exif(tiff);
                container.metadata.exif = Some(tiff);
            }
            b"XMP " => container.metadata.xmp = Some(data.into()),
            _ => {}
        }
    }
    container.frames = frames.max(1);
    match body {
        Some((kind, data)) if container.width == 0 => {
            let (width, height) = size_of_bitstream(&kind, data).ok_or_else(|| container.broken("its header makes no sense"))?;
            container.width = width;
            container.height = height;
            // EXIF needs the extended header; readers ignore it without one, and so do we.
            container.orientation = Orientation::Upright;
        }
        None if frames == 0 => return Err(container.broken("it holds no picture data")),
        _ => {}
    }
    if container.orientation != Orientation::Upright {
        let own = chunk(b"EXIF", &container.orientation.to_exif());
        container.add(own);
    }
    Ok(container)
}

/// Writes the size into the RIFF header, and into the flags whether EXIF is there.
pub(super) fn finish(file: &mut [u8]) {
    let size = (file.len() - 8) as u32;
    let has_exif = chunks(file, RIFF_HEADER_BYTES, file.len()).any(|chunk| &chunk.0 == b"EXIF");
    file[4..8].copy_from_slice(&size.to_le_bytes());
    if has_exif && &file[12..16] == b"VP8X" {
        file[20] |= FLAG_EXIF;
    }
}

type Chunk<'a> = ([u8; 4], &'a [u8], Option<std::ops::Range<usize>>);

/// Walks over chunks; the range covers header, data and padding, and is `None` for a chunk that was cut off.
fn chunks(bytes: &[u8], start: usize, end: usize) -> impl Iterator<Item = Chunk<'_>> {
    let mut at = start;
    std::iter::from_fn(move || {
        let kind: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        if at + 8 > end {
            return None;
        }
        let length = le32(bytes, at + 4)? as usize;
        let from = at + 8;
        let to = from.saturating_add(length);
        if to > end {
            at = end;
            return Some((kind, &[][..], None));
        }
        let padded = to.saturating_add(length % 2).min(end);
        let range = at..padded;
        at = padded;
        Some((kind, &bytes[from..to], Some(range)))
    })
}

/// Writes an animation's frame again with nothing but its picture.
fn frame(data: &[u8]) -> Option<Vec<u8>> {
    let mut body = data.get(..ANMF_HEADER_BYTES)?.to_vec();
    for (kind, picture, range) in chunks(data, ANMF_HEADER_BYTES, data.len()) {
        range?;
        if matches!(&kind, b"ALPH" | b"VP8 " | b"VP8L") {
            body.extend(chunk(&kind, picture));
        }
    }
    Some(chunk(b"ANMF", &body))
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(data.len() + 9);
    bytes.extend_from_slice(kind);
    bytes.extend_from_slice(&(data.len() as u32).to_le_bytes());
    bytes.extend_from_slice(data);
    if data.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes
}

fn le24(bytes: &[u8], at: usize) -> Option<u32> {
    let three = bytes.get(at..at + 3)?;
    Some(u32::from(three[0]) | u32::from(three[1]) << 8 | u32::from(three[2]) << 16)
}

/// Reads the size out of a lossy (RFC 6386, 9.1) or lossless bit stream.
fn size_of_bitstream(kind: &[u8; 4], data: &[u8]) -> Option<(u32, u32)> {
    if kind == b"VP8L" {
        if *data.first()? != 0x2f {
            return None;
        }
        let bits = le32(data, 1)?;
        return Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1));
    }
    if data.get(3..6)? != b"\x9d\x01\x2a" {
        return None;
    }
    let width = le16(data, 6)? & 0x3fff;
    let height = le16(data, 8)? & 0x3fff;
    Some((u32::from(width), u32::from(height)))
}
