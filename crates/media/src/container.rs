//! Reads the outer structure of a received file: what it is, how large, and which bytes of it may be kept.
//!
//! ```text
//! bytes ─ sniff ─▶ format ─ walk of segments, chunks or blocks ─▶ Container
//!                             ├ size, frames, orientation, colour profile, what decoding costs
//!                             ├ metadata blocks (EXIF, XMP, IPTC, texts), borrowed, for importers
//!                             └ pieces: the file again without metadata, pixels untouched
//! ```
//!
//! Invariants: the name and the content type of a file are never asked. No allocation follows a number that the file
//! claims. The pieces hold no block that is not on a list of what pictures need, so an unknown block is dropped. The
//! orientation is the only thing of EXIF that survives, in a block of our own.

mod gif;
mod jpeg;
mod png;
mod tiff;
mod webp;

use std::ops::Range;

use crate::{error::Refusal, limits::Limits, picture::Format};

pub(crate) use tiff::Orientation;

/// What the walk over a file found.
#[derive(Debug)]
pub(crate) struct Container<'a> {
    pub format: Format,
    /// Pixels across as stored, before orientation.
    pub width: u32,
    pub height: u32,
    pub frames: u32,
    pub orientation: Orientation,
    /// The embedded colour profile, uncompressed.
    pub icc: Option<Vec<u8>>,
    pub layout: PixelLayout,
    /// Whether it is too large to be decoded whole, and is averaged row by row into a smaller raster instead.
    pub is_streamed: bool,
    pub metadata: MetadataBlocks<'a>,
    bytes: &'a [u8],
    pieces: Vec<Piece>,
}

/// What decoding costs depends on this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PixelLayout {
    Jpeg {
        components: u8,
        progressive: bool,
        /// Samples of all components per 64 pixels; 64 × components when nothing is subsampled.
        samples_per_64: u32,
    },
    Png {
        channels: u8,
        is_interlaced: bool,
    },
    /// Decoded as RGBA beside a frame of its own.
    Canvas,
}

/// Metadata as found in the file, for importers.
#[derive(Debug, Default)]
pub(crate) struct MetadataBlocks<'a> {
    /// TIFF structure, without the `Exif\0\0` before it.
    pub exif: Option<&'a [u8]>,
    pub xmp: Option<std::borrow::Cow<'a, [u8]>>,
    pub iptc: Option<&'a [u8]>,
    /// Keyword and text: PNG text chunks and comments.
    pub texts: Vec<(String, String)>,
}

#[derive(Debug)]
enum Piece {
    Kept(Range<usize>),
    Own(Vec<u8>),
}

impl<'a> Container<'a> {
    /// Walks over a file and checks it against the limits, without decoding a pixel.
    pub fn read(bytes: &'a [u8], limits: &Limits) -> Result<Container<'a>, Refusal> {
        let length = bytes.len() as u64;
        if length > limits.body_bytes_max {
            return Err(Refusal::TooLarge { bytes: length, limit: limits.body_bytes_max });
        }
        let mut container = match sniff(bytes)? {
            Format::Jpeg => jpeg::read(bytes),
            Format::Png => png::read(bytes),
            Format::Gif => gif::read(bytes),
            Format::Webp => webp::read(bytes),
        }?;
        container.check(limits)?;
        Ok(container)
    }

    fn new(format: Format, bytes: &'a [u8]) -> Container<'a> {
        Container {
            format,
            width: 0,
            height: 0,
            frames: 1,
            orientation: Orientation::Upright,
            icc: None,
            layout: PixelLayout::Canvas,
            is_streamed: false,
            metadata: MetadataBlocks::default(),
            bytes,
            pieces: Vec::new(),
        }
    }

    fn check(&mut self, limits: &Limits) -> Result<(), Refusal> {
        let (width, height) = (self.width, self.height);
        if width == 0 || height == 0 {
            return Err(Refusal::broken(self.format, format!("it claims to have {width} × {height} pixels")));
        }
        let pixels = u64::from(width) * u64::from(height);
        self.check_size(limits)?;
        let animation_pixels = pixels * u64::from(self.frames);
        if self.frames > limits.frames_max || (self.frames > 1 && animation_pixels > limits.animation_pixels_max) {
            return Err(Refusal::TooLongAnimation {
                frames: self.frames,
                width,
                height,
                frames_limit: limits.frames_max,
                pixels_limit: limits.animation_pixels_max,
            });
        }
        let cost = self.decode_bytes();
        if cost > limits.decode_bytes_max {
            return Err(Refusal::TooMuchMemory { format: self.format, bytes: cost, limit: limits.decode_bytes_max });
        }
        Ok(())
    }

    /// Checks the size, and decides whether the pixels are decoded whole or row by row.
    fn check_size(&mut self, limits: &Limits) -> Result<(), Refusal> {
        let (width, height) = (self.width, self.height);
        let fits = |pixels_max: u64, side_pixels_max: u32| {
            if u64::from(width) * u64::from(height) > pixels_max {
                return Err(Refusal::TooManyPixels { width, height, limit: pixels_max });
            }
            if width.max(height) > side_pixels_max {
                return Err(Refusal::SideTooLong { width, height, limit: side_pixels_max });
            }
            Ok(())
        };
        let Err(refusal) = fits(limits.pixels_max, limits.side_pixels_max) else {
            return Ok(());
        };
        match self.layout {
            PixelLayout::Png { is_interlaced, .. } if self.frames == 1 => {
                fits(limits.streamed_pixels_max, limits.streamed_side_pixels_max)?;
                if is_interlaced {
                    let (limit, side_limit) = (limits.pixels_max, limits.side_pixels_max);
                    return Err(Refusal::TooLargeInterlaced { width, height, limit, side_limit });
                }
                self.is_streamed = true;
                Ok(())
            }
            _ => Err(refusal),
        }
    }

    /// Gives width and height as people see the picture.
    pub fn oriented_size(&self) -> (u32, u32) {
        self.orientation.apply_to_size(self.width, self.height)
    }

    /// Estimates, from above, the bytes that decoding for renditions needs at its peak.
    pub fn decode_bytes(&self) -> u64 {
        let pixels = u64::from(self.width) * u64::from(self.height);
        match self.layout {
            PixelLayout::Jpeg { components, progressive, samples_per_64 } => {
                let eighths = u64::from(crate::decode::jpeg_eighths(self.width, self.height, self.orientation));
                let scaled_pixels = pixels * eighths * eighths / 64;
                let planes = scaled_pixels * u64::from(samples_per_64) / 64;
                // A progressive file's coefficients are all held, two bytes each, at whatever scale.
                let coefficients = if progressive { pixels * u64::from(samples_per_64) / 64 * 2 } else { 0 };
                scaled_pixels * u64::from(components) + planes + coefficients
            }
            PixelLayout::Png { .. } if self.is_streamed => crate::decode::streamed_bytes(self.width, self.height, self.orientation),
            PixelLayout::Png { channels, .. } => pixels * u64::from(channels),
            PixelLayout::Canvas => pixels * 8,
        }
    }

    fn keep(&mut self, range: Range<usize>) {
        if let Some(Piece::Kept(last)) = self.pieces.last_mut()
            && last.end == range.start
        {
            last.end = range.end;
            return;
        }
        self.pieces.push(Piece::Kept(range));
    }

    fn add(&mut self, bytes: Vec<u8>) {
        self.pieces.push(Piece::Own(bytes));
    }

    fn broken(&self, why: impl Into<String>) -> Refusal {
        Refusal::broken(self.format, why)
    }

    /// Writes the file again without metadata.
    pub fn stripped(&self) -> Vec<u8> {
        let mut file = Vec::with_capacity(self.bytes.len() + 64);
        for piece in &self.pieces {
            match piece {
                Piece::Kept(range) => file.extend_from_slice(&self.bytes[range.clone()]),
                Piece::Own(bytes) => file.extend_from_slice(bytes),
            }
        }
        if self.format == Format::Webp {
            webp::finish(&mut file);
        }
        file
    }
}

/// Finds the format in the bytes, or says what they hold instead.
pub(crate) fn sniff(bytes: &[u8]) -> Result<Format, Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::Empty);
    }
    if bytes.starts_with(b"\xff\xd8\xff") {
        return Ok(Format::Jpeg);
    }
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(Format::Png);
    }
    if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        return Ok(Format::Gif);
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Ok(Format::Webp);
    }
    Err(Refusal::NotAPicture { holds: name_of_contents(bytes) })
}

/// Names what the bytes look like, in words that go after "This file holds".
fn name_of_contents(bytes: &[u8]) -> &'static str {
    const SIGNATURES: [(&[u8], &str); 17] = [
        (b"BM", "a BMP picture"),
        (b"II*\0", "a TIFF picture"),
        (b"MM\0*", "a TIFF picture"),
        (b"\0\0\x01\0", "an icon (ICO)"),
        (b"8BPS", "a Photoshop document"),
        (b"%PDF", "a PDF document"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"\xff\x0a", "a JPEG XL picture"),
        (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
        (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
        (b"\x1aE\xdf\xa3", "a Matroska or WebM film"),
        (b"RIFF", "sound or a film (RIFF)"),
        (b"OggS", "sound or a film (Ogg)"),
        (b"ID3", "sound (MP3)"),
        (b"\x7fELF", "a program"),
        (b"MZ", "a program"),
    ];
    if bytes.get(4..8) == Some(b"ftyp") {
        return match bytes.get(8..12) {
            Some(b"avif" | b"avis") => "an AVIF picture",
            Some(b"heic" | b"heix" | b"mif1" | b"msf1" | b"hevc") => "a HEIC picture",
            _ => "a film (MP4)",
        };
    }
    for (signature, name) in SIGNATURES {
        if bytes.starts_with(signature) {
            return name;
        }
    }
    name_of_text(bytes)
}

fn name_of_text(bytes: &[u8]) -> &'static str {
    const LOOKED_AT_BYTES: usize = 2_048;
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(LOOKED_AT_BYTES)]);
    let start = start.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    let is_markup = start.starts_with('<');
    if is_markup
        && (start.contains("<!doctype html")
            || start.contains("<html")
            || start.contains("<head")
            || start.contains("<body")
            || start.contains("<script"))
    {
        "a web page (HTML)"
    } else if is_markup && start.contains("<svg") {
        "an SVG drawing"
    } else if is_markup && (start.starts_with("<?xml") || start.contains("xmlns")) {
        "an XML document"
    } else if is_markup {
        "a web page (HTML)"
    } else if start.starts_with('{') || start.starts_with('[') {
        "JSON text"
    } else if !start.is_empty() && !start.contains(['\0', '\u{fffd}']) {
        "plain text"
    } else {
        "something that is not a picture"
    }
}

/// Reads big- and little-endian numbers, `None` beyond the end.
fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Says that a file stops early. People know it as a download that broke off.
const CUT_OFF: &str = "it ends before the picture does, as if a download had broken off";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fakes_are_named() {
        let cases: [(&[u8], &str); 12] = [
            (b"<!DOCTYPE html><html><body>404", "a web page (HTML)"),
            (b"\n\n  <html>", "a web page (HTML)"),
            (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
            (b"<svg onload=alert(1)>", "an SVG drawing"),
            (b"<?xml version='1.0'?><rss/>", "an XML document"),
            (b"{\"error\":\"not found\"}", "JSON text"),
            (b"Not found", "plain text"),
            (b"%PDF-1.7", "a PDF document"),
            (b"\0\0\0\x20ftypheic", "a HEIC picture"),
            (b"\0\0\0\x20ftypavif", "an AVIF picture"),
            (b"MZ\x90\0", "a program"),
            (b"\0\0\0\0\0\0", "something that is not a picture"),
        ];
        for (bytes, holds) in cases {
            assert_eq!(sniff(bytes), Err(Refusal::NotAPicture { holds }));
        }
        assert_eq!(sniff(b""), Err(Refusal::Empty));
    }
}
