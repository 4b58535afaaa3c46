//! EXIF: what cameras write, and the fields that Windows adds.

use exif::{Context, Exif, In, Reader, Tag, Value};

use super::{PictureMetadata, read_time, split_keywords, text_of};

const XP_TITLE: Tag = Tag(Context::Tiff, 0x9c9b);
const XP_COMMENT: Tag = Tag(Context::Tiff, 0x9c9c);
const XP_AUTHOR: Tag = Tag(Context::Tiff, 0x9c9d);
const XP_KEYWORDS: Tag = Tag(Context::Tiff, 0x9c9e);
const XP_SUBJECT: Tag = Tag(Context::Tiff, 0x9c9f);

pub(super) fn read(tiff: &[u8]) -> PictureMetadata {
    let parsed = Reader::new().continue_on_error(true).read_raw(tiff.to_vec());
    let Ok(exif) = parsed.or_else(|error| error.distill_partial_result(|_| {})) else {
        return PictureMetadata::default();
    };
    let taken = [Tag::DateTimeOriginal, Tag::DateTimeDigitized];
    let offset = ascii(&exif, Tag::OffsetTimeOriginal).unwrap_or_default();
    PictureMetadata {
        title: wide(&exif, XP_TITLE),
        description: ascii(&exif, Tag::ImageDescription).or_else(|| wide(&exif, XP_COMMENT)).or_else(|| wide(&exif, XP_SUBJECT)),
        keywords: wide(&exif, XP_KEYWORDS).map(|keywords| split_keywords(&keywords).collect()).unwrap_or_default(),
        author: ascii(&exif, Tag::Artist).or_else(|| wide(&exif, XP_AUTHOR)),
        link: None,
        taken_at: taken.into_iter().find_map(|tag| ascii(&exif, tag)).and_then(|time| read_time(&format!("{time}{offset}"))),
    }
}

/// Reads a text of 8-bit characters; cameras pad it with blanks and zeros.
fn ascii(exif: &Exif, tag: Tag) -> Option<String> {
    let field = exif.get_field(tag, In::PRIMARY)?;
    let Value::Ascii(lines) = &field.value else {
        return None;
    };
    let text = lines.iter().map(|line| text_of(line)).collect::<Vec<_>>().join(" ");
    let text = text.trim_matches([' ', '\0']);
    (!text.is_empty()).then(|| text.to_owned())
}

/// Reads a text of 16-bit characters, as Windows writes them into a field of bytes.
fn wide(exif: &Exif, tag: Tag) -> Option<String> {
    let field = exif.get_field(tag, In::PRIMARY)?;
    let (Value::Byte(bytes) | Value::Undefined(bytes, _)) = &field.value else {
        return None;
    };
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).take_while(|&unit| unit != 0).collect();
    let text = String::from_utf16_lossy(&units);
    (!text.trim().is_empty()).then_some(text)
}
