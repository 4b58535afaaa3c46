//! IPTC-IIM: what agencies wrote into Photoshop's resources.
//!
//! ```text
//! 1c │ record │ dataset │ length (2, big-endian) │ data       repeated; a length over 32,767 is an extended one
//! ```
//!
//! Tolerant: it stops at the first thing that makes no sense and keeps what it has.

use super::{PictureMetadata, read_time, text_of};

const MARKER: u8 = 0x1c;
const HEADER_BYTES: usize = 5;
const APPLICATION_RECORD: u8 = 2;

pub(super) fn read(mut block: &[u8]) -> PictureMetadata {
    let mut found = PictureMetadata::default();
    let mut date = None;
    let mut time = None;
    while let [MARKER, record, dataset, high, low, ..] = *block {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(data) = block.get(HEADER_BYTES..HEADER_BYTES + length) else {
            break;
        };
        block = &block[HEADER_BYTES + length..];
        if record != APPLICATION_RECORD || data.is_empty() {
            continue;
        }
        let text = text_of(data);
        match dataset {
            5 => found.title = found.title.or(Some(text)),
            // A headline serves as the title when there is none.
            105 => found.title = found.title.or(Some(text)),
            120 => found.description = found.description.or(Some(text)),
            25 => found.keywords.push(text),
            80 => found.author = found.author.or(Some(text)),
            55 => date = Some(text),
            60 => time = Some(text),
            _ => {}
        }
    }
    found.taken_at = date.and_then(|date| taken_at(&date, time.as_deref().unwrap_or("000000")));
    found
}

/// Joins `20240506` and `070809+0200`.
fn taken_at(date: &str, time: &str) -> Option<i64> {
    let (year, month, day) = (date.get(..4)?, date.get(4..6)?, date.get(6..8)?);
    let (hour, minute, second) = (time.get(..2)?, time.get(2..4)?, time.get(4..6)?);
    let offset = time.get(6..).unwrap_or_default();
    read_time(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}{offset}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(number: u8, text: &str) -> Vec<u8> {
        let mut bytes = vec![MARKER, APPLICATION_RECORD, number];
        bytes.extend_from_slice(&(text.len() as u16).to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    #[test]
    fn fields_are_read_until_the_first_nonsense() {
        let mut block = [
            dataset(5, "Harbour"),
            dataset(25, "boats"),
            dataset(25, "sea"),
            dataset(80, "Ann"),
            dataset(55, "20240506"),
            dataset(60, "090809+0200"),
        ]
        .concat();
        block.extend_from_slice(&[MARKER, 2, 120, 0x7f, 0xff, b'x']);
        let found = read(&block);
        assert_eq!(found.title.as_deref(), Some("Harbour"));
        assert_eq!(found.keywords, ["boats", "sea"]);
        assert_eq!(found.author.as_deref(), Some("Ann"));
        assert_eq!(found.taken_at, Some(1_714_979_289_000));
        assert_eq!(found.description, None);
        assert_eq!(read(b"\x1c\x02"), PictureMetadata::default());
    }
}
