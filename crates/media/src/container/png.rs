//! PNG: a signature, then chunks of length, type, data and CRC.
//!
//! Kept: what pixels and colours need, and the frames of an animation. Everything else (texts, time, EXIF, unknown
//! chunks, bytes after the end) is dropped. Source: PNG specification, third edition.

use std::{borrow::Cow, io::Read as _};

use crate::{
    error::Refusal,
    limits::{METADATA_BLOCK_BYTES_MAX, PROFILE_BYTES_MAX},
    picture::Format,
};

use super::{CUT_OFF, Container, Orientation, PixelLayout, be32};

const SIGNATURE_BYTES: usize = 8;
const XMP_KEYWORD: &str = "XML:com.adobe.xmp";

pub(super) fn read(bytes: &[u8]) -> Result<Container<'_>, Refusal> {
    let mut container = Container::new(Format::Png, bytes);
    container.keep(0..SIGNATURE_BYTES);
    let mut at = SIGNATURE_BYTES;
    let mut has_data = false;
    loop {
        let (Some(length), Some(kind)) = (be32(bytes, at), bytes.get(at + 4..at + 8)) else {
            return Err(container.broken(CUT_OFF));
        };
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| at.checked_add(12)?.checked_add(length))
            .filter(|&end| end <= bytes.len())
            .ok_or_else(|| container.broken(CUT_OFF))?;
        let body = &bytes[at + 8..end - 4];
        if (at == SIGNATURE_BYTES) != (kind == b"IHDR") {
            return Err(container.broken("its header is missing or not the first thing in it"));
        }
        match kind {
            b"IHDR" => {
                read_header(&mut container, body)?;
                container.keep(at..end);
            }
            b"IDAT" => {
                has_data = true;
                container.keep(at..end);
            }
            b"PLTE" | b"gAMA" | b"cHRM" | b"sRGB" | b"cICP" | b"sBIT" | b"bKGD" | b"pHYs" | b"fcTL" | b"fdAT" => container.keep(at..end),
            b"tRNS" => {
                if let PixelLayout::Png { channels: channels @ (1 | 3), is_interlaced } = container.layout {
                    container.layout = PixelLayout::Png { channels: channels + 1, is_interlaced };
                }
                container.keep(at..end);
            }
            b"acTL" => {
                container.frames = be32(body, 0).unwrap_or(1).max(1);
                container.keep(at..end);
            }
            b"iCCP" => {
                container.icc = read_profile(body);
                if container.icc.is_some() {
                    container.keep(at..end);
                }
            }
            b"eXIf" => {
                container.orientation = Orientation::of_exif(body);
                container.metadata.exif = Some(body);
                if container.orientation != Orientation::Upright {
                    let own = chunk(b"eXIf", &container.orientation.to_exif());
                    container.add(own);
                }
            }
            b"tEXt" | b"zTXt" | b"iTXt" => read_text(&mut container, kind, body),
            b"IEND" => {
                container.keep(at..end);
                break;
            }
            _ if kind[0].is_ascii_uppercase() => {
                return Err(container.broken("it needs an extension that is not known here"));
            }
            _ => {}
        }
        at = end;
    }
    if !has_data {
        return Err(container.broken("it holds no picture data"));
    }
    Ok(container)
}

fn read_header(container: &mut Container<'_>, body: &[u8]) -> Result<(), Refusal> {
    let (Some(width), Some(height), Some(&color), Some(&interlacing)) = (be32(body, 0), be32(body, 4), body.get(9), body.get(12)) else {
        return Err(container.broken("its header is too short"));
    };
    container.width = width;
    container.height = height;
    container.layout = PixelLayout::Png {
        channels: match color {
            0 => 1,
            // A palette is written out as RGB.
            2 | 3 => 3,
            4 => 2,
            6 => 4,
            _ => return Err(container.broken("its header makes no sense")),
        },
        is_interlaced: interlacing != 0,
    };
    Ok(())
}

/// Reads `name \0 method zlib`; `None` when it is damaged or too large.
fn read_profile(body: &[u8]) -> Option<Vec<u8>> {
    let name = body.iter().position(|&byte| byte == 0)?;
    inflate(body.get(name + 2..)?, PROFILE_BYTES_MAX)
}

fn inflate(compressed: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    flate2::read::ZlibDecoder::new(compressed).take(bytes_max as u64 + 1).read_to_end(&mut plain).ok()?;
    (plain.len() <= bytes_max).then_some(plain)
}

fn read_text<'a>(container: &mut Container<'a>, kind: &[u8], body: &'a [u8]) {
    let Some((keyword, text)) = text_of(kind, body) else {
        return;
    };
    if keyword == XMP_KEYWORD {
        container.metadata.xmp.get_or_insert(text);
        return;
    }
    let text = if kind == b"iTXt" {
        String::from_utf8_lossy(&text).into_owned()
    } else {
        // Latin-1 by the specification, UTF-8 by what many programs write.
        match std::str::from_utf8(&text) {
            Ok(text) => text.to_owned(),
            Err(_) => text.iter().map(|&byte| char::from(byte)).collect(),
        }
    };
    container.metadata.texts.push((keyword, text));
}

fn text_of<'a>(kind: &[u8], body: &'a [u8]) -> Option<(String, Cow<'a, [u8]>)> {
    let split = body.iter().position(|&byte| byte == 0)?;
    let keyword = String::from_utf8_lossy(&body[..split]).into_owned();
    let rest = &body[split + 1..];
    let text = match kind {
        b"tEXt" => rest.into(),
        b"zTXt" => inflate(rest.get(1..)?, METADATA_BLOCK_BYTES_MAX)?.into(),
        _ => {
            let compressed = *rest.first()? == 1;
            let tail = rest.get(2..)?;
            let language = tail.iter().position(|&byte| byte == 0)?;
            let tail = &tail[language + 1..];
            let translated = tail.iter().position(|&byte| byte == 0)?;
            let text = &tail[translated + 1..];
            if compressed { inflate(text, METADATA_BLOCK_BYTES_MAX)?.into() } else { text.into() }
        }
    };
    Some((keyword, text))
}

/// Writes a chunk with its CRC.
fn chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 12);
    bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
    bytes.extend_from_slice(kind);
    bytes.extend_from_slice(body);
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[4..]);
    bytes.extend_from_slice(&crc.sum().to_be_bytes());
    bytes
}
