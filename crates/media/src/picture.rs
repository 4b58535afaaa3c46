//! What is known about a stored picture. Plain values: they go into pins as they are.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The SHA-256 of the bytes as they were received: the address of a picture. Written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Computes the address of these bytes.
    pub fn of(bytes: &[u8]) -> Hash {
        Hash(Sha256::digest(bytes).into())
    }

    /// Makes a hash of its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Hash {
        Hash(bytes)
    }

    /// Gives the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// The text is not 64 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("A picture's hash is 64 lower-case hex digits.")]
pub struct InvalidHash;

impl FromStr for Hash {
    type Err = InvalidHash;

    /// Reads 64 lower-case hex digits; nothing else, so that one picture has one URL.
    fn from_str(text: &str) -> Result<Hash, InvalidHash> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(InvalidHash);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Hash(bytes))
    }
}

fn nibble(digit: u8) -> Result<u8, InvalidHash> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(InvalidHash),
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The formats that are taken in, as found in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Jpeg,
    Png,
    Gif,
    Webp,
}

impl Format {
    /// Gives the format's media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Jpeg => "image/jpeg",
            Format::Png => "image/png",
            Format::Gif => "image/gif",
            Format::Webp => "image/webp",
        }
    }

    /// Gives the usual ending of a file name, without the dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Format::Jpeg => "jpg",
            Format::Png => "png",
            Format::Gif => "gif",
            Format::Webp => "webp",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Jpeg => "JPEG",
            Format::Png => "PNG",
            Format::Gif => "GIF",
            Format::Webp => "WebP",
        })
    }
}

/// A picture that was taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    pub hash: Hash,
    /// Pixels across, after orientation: as people see it.
    pub width: u32,
    /// Pixels down, after orientation.
    pub height: u32,
    pub format: Format,
    /// Bytes of the stored original (metadata stripped).
    pub bytes: u64,
    /// Whether any pixel of the first frame is not opaque.
    pub has_alpha: bool,
    pub animated: bool,
    /// `#rrggbb` in sRGB.
    pub dominant_color: String,
    /// A thumbhash, about 25 bytes.
    #[serde(with = "base64_text")]
    pub placeholder: Vec<u8>,
}

impl Picture {
    /// Draws the placeholder as a tiny PNG in a `data:` URL of at most 300 bytes, to be stretched over the
    /// picture's place until it has loaded. `None` when the placeholder is damaged.
    pub fn placeholder_data_url(&self) -> Option<String> {
        placeholder_data_url(&self.placeholder)
    }
}

/// Pixels along the longer side of the drawn placeholder: what fits 300 bytes of base64.
const PLACEHOLDER_SIDE: usize = 6;

/// Draws a thumbhash as a `data:` URL of at most 300 bytes. `None` when the thumbhash is damaged.
pub fn placeholder_data_url(thumbhash: &[u8]) -> Option<String> {
    // The decoder indexes by what the header promises; the longest thumbhash has 25 bytes, the shortest 5.
    if !(5..=32).contains(&thumbhash.len()) {
        return None;
    }
    let mut padded = thumbhash.to_vec();
    padded.resize(32, 0);
    let (width, height, rgba) = thumbhash::thumb_hash_to_rgba(&padded).ok()?;
    let has_alpha = thumbhash[2] & 0x80 != 0;
    let longer = width.max(height).max(1);
    let columns = (width * PLACEHOLDER_SIDE).div_ceil(longer).max(1);
    let rows = (height * PLACEHOLDER_SIDE).div_ceil(longer).max(1);
    let channels = if has_alpha { 4 } else { 3 };
    // With alpha there is one byte more per pixel, so there are fewer pixels.
    let (columns, rows) = if has_alpha { (columns.min(5), rows.min(5)) } else { (columns, rows) };
    let mut pixels = Vec::with_capacity(columns * rows * channels);
    for row in 0..rows {
        for column in 0..columns {
            let x = (column * 2 + 1) * width / (columns * 2);
            let y = (row * 2 + 1) * height / (rows * 2);
            let at = (y * width + x) * 4;
            pixels.extend_from_slice(rgba.get(at..at + channels)?);
        }
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, columns as u32, rows as u32);
    encoder.set_color(if has_alpha { png::ColorType::Rgba } else { png::ColorType::Rgb });
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header().ok()?;
    writer.write_image_data(&pixels).ok()?;
    writer.finish().ok()?;
    Some(format!("data:image/png;base64,{}", STANDARD.encode(file)))
}

mod base64_text {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_written_and_read_in_one_way_only() {
        let hash = Hash::of(b"corkboard");
        let text = hash.to_string();
        assert_eq!(text.len(), 64);
        assert_eq!(text.parse(), Ok(hash));
        assert!(text.to_uppercase().parse::<Hash>().is_err());
        assert!(text[1..].parse::<Hash>().is_err());
        assert!("../../etc/passwd".parse::<Hash>().is_err());
        // The known vector of FIPS 180 for the empty message.
        assert_eq!(Hash::of(b"").to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn a_placeholder_fits_300_bytes_and_damage_is_no_panic() {
        for (width, height, alpha) in [(100, 60, 255), (20, 100, 128), (3, 3, 255), (1, 100, 0)] {
            let mut pixels = Vec::new();
            for index in 0..width * height {
                let index = index as u32;
                pixels.extend([
                    (index * 7) as u8,
                    (index * 13) as u8,
                    (index / 3) as u8,
                    if index.is_multiple_of(2) { alpha } else { 255 },
                ]);
            }
            let thumbhash = thumbhash::rgba_to_thumb_hash(width, height, &pixels);
            let url = placeholder_data_url(&thumbhash).expect("a placeholder");
            assert!(url.len() <= 300, "{} bytes", url.len());
            assert!(url.starts_with("data:image/png;base64,iVBOR"));
        }
        assert_eq!(placeholder_data_url(b""), None);
        assert_eq!(placeholder_data_url(&[0xff; 64]), None);
        let _ = placeholder_data_url(&[0xff; 5]);
        let _ = placeholder_data_url(&[0; 5]);
    }
}
