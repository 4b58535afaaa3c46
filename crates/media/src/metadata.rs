//! What a picture says about itself: title, description, keywords, author, link and time, for importers.
//!
//! Four places are asked, and each field is taken from the first that has it: XMP (what editors write today), IPTC (what
//! agencies wrote before), EXIF (what cameras write), text chunks and comments. Damage in one place hides nothing in the
//! others. The position is never read.

mod exif;
mod iptc;
mod xmp;

use crate::{
    container::Container,
    limits::{Limits, METADATA_BLOCK_BYTES_MAX, METADATA_KEYWORDS_MAX, METADATA_TEXT_CHARS_MAX},
};

/// What was found; absent fields are `None` or empty. Texts are trimmed and never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PictureMetadata {
    pub title: Option<String>,
    pub description: Option<String>,
    /// In the order of the file, each once.
    pub keywords: Vec<String>,
    pub author: Option<String>,
    /// An http or https URL.
    pub link: Option<String>,
    /// Milliseconds since 1970 in UTC. Cameras that write no offset are taken to stand in UTC.
    pub taken_at: Option<i64>,
}

/// Reads what a picture of any accepted format says about itself; nothing when it can't be read.
pub fn read_metadata(bytes: &[u8]) -> PictureMetadata {
    let Ok(container) = Container::read(bytes, &Limits::default()) else {
        return PictureMetadata::default();
    };
    let blocks = &container.metadata;
    let mut found = PictureMetadata::default();
    if let Some(packet) = blocks.xmp.as_deref().filter(|packet| packet.len() <= METADATA_BLOCK_BYTES_MAX) {
        found.fill(xmp::read(packet));
    }
    if let Some(block) = blocks.iptc {
        found.fill(iptc::read(block));
    }
    if let Some(tiff) = blocks.exif {
        found.fill(exif::read(tiff));
    }
    found.fill(of_texts(&blocks.texts));
    found
}

impl PictureMetadata {
    /// Takes what is still absent from a less trusted place.
    fn fill(&mut self, other: PictureMetadata) {
        self.title = self.title.take().or(other.title.and_then(clean));
        self.description = self.description.take().or(other.description.and_then(clean));
        self.author = self.author.take().or(other.author.and_then(clean));
        self.link = self.link.take().or(other.link.and_then(clean).filter(|link| is_web_url(link)));
        self.taken_at = self.taken_at.or(other.taken_at);
        if self.keywords.is_empty() {
            for keyword in other.keywords.into_iter().filter_map(clean) {
                if self.keywords.len() < METADATA_KEYWORDS_MAX && !self.keywords.contains(&keyword) {
                    self.keywords.push(keyword);
                }
            }
        }
    }
}

/// Trims, drops control characters, cuts what is too long, and drops what programs write without being asked.
fn clean(text: String) -> Option<String> {
    const NOISE: [&str; 11] = [
        "created with",
        "creator: gd-jpeg",
        "file written by",
        "lead technologies",
        "olympus digital camera",
        "sony dsc",
        "samsung camera pictures",
        "kodak digital still camera",
        "minolta digital camera",
        "default",
        "untitled",
    ];
    let text: String = text.chars().filter(|char| !char.is_control() || *char == '\n').take(METADATA_TEXT_CHARS_MAX).collect();
    let text = text.trim();
    let lower = text.to_lowercase();
    let is_noise = NOISE.iter().any(|noise| lower == *noise || (noise.len() > 10 && lower.starts_with(noise)));
    (!text.is_empty() && !is_noise).then(|| text.to_owned())
}

fn is_web_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
}

fn of_texts(texts: &[(String, String)]) -> PictureMetadata {
    let mut found = PictureMetadata::default();
    for (keyword, text) in texts {
        let field = match keyword.to_ascii_lowercase().as_str() {
            "title" => &mut found.title,
            "description" => &mut found.description,
            "author" => &mut found.author,
            "url" => &mut found.link,
            "source" if is_web_url(text) => &mut found.link,
            "keywords" => {
                found.keywords.extend(split_keywords(text));
                continue;
            }
            "creation time" => {
                found.taken_at = found.taken_at.or(read_time(text));
                continue;
            }
            _ => continue,
        };
        field.get_or_insert_with(|| text.clone());
    }
    // A comment is a description when nothing else is.
    if found.description.is_none() {
        found.description = texts.iter().find(|(keyword, _)| keyword == "Comment").map(|(_, text)| text.clone());
    }
    found
}

fn split_keywords(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split([',', ';']).map(|keyword| keyword.trim().to_owned())
}

/// Reads a time as EXIF (`2024:05:06 07:08:09`) or ISO 8601 writes it, with or without time of day and offset.
fn read_time(text: &str) -> Option<i64> {
    let text = text.trim();
    let numbers = |part: &str| -> Option<i16> { part.parse().ok() };
    let year = numbers(text.get(..4)?)?;
    let month = numbers(text.get(5..7)?)? as i8;
    let day = numbers(text.get(8..10)?)? as i8;
    let clock = |from: usize| text.get(from..from + 2).and_then(numbers).map_or(0, |value| value as i8);
    let date_time = jiff::civil::DateTime::new(year, month, day, clock(11), clock(14), clock(17), 0).ok()?;
    let offset = text.get(19..).and_then(read_offset).unwrap_or(jiff::tz::Offset::UTC);
    offset.to_timestamp(date_time).ok().map(|timestamp| timestamp.as_millisecond())
}

/// Reads `+02:00`, `-0330` or `Z`, with fractions of a second before it.
fn read_offset(text: &str) -> Option<jiff::tz::Offset> {
    let at = text.find(['+', '-'])?;
    let digits: String = text[at + 1..].chars().filter(char::is_ascii_digit).collect();
    let hours: i32 = digits.get(..2)?.parse().ok()?;
    let minutes: i32 = digits.get(2..4).map_or(Some(0), |minutes| minutes.parse().ok())?;
    let seconds = hours * 3_600 + minutes * 60;
    jiff::tz::Offset::from_seconds(if text[at..].starts_with('-') { -seconds } else { seconds }).ok()
}

/// Decodes UTF-8, or Latin-1 where it isn't that.
fn text_of(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_all_shapes_are_read() {
        let base = 1_714_979_289_000;
        let cases = [
            ("2024:05:06 07:08:09", Some(base)),
            ("2024-05-06T07:08:09Z", Some(base)),
            ("2024-05-06T09:08:09+02:00", Some(base)),
            ("2024-05-06T03:38:09.123-0330", Some(base)),
            ("2024-05-06", Some(1_714_953_600_000)),
            ("2024-05-06T07:08", Some(1_714_979_280_000)),
            ("0000:00:00 00:00:00", None),
            ("    :  :     :  :  ", None),
            ("yesterday", None),
            ("ääääääääää", None),
        ];
        for (text, expected) in cases {
            assert_eq!(read_time(text), expected, "{text}");
        }
    }

    #[test]
    fn noise_is_dropped() {
        assert_eq!(clean("OLYMPUS DIGITAL CAMERA         ".to_owned()), None);
        assert_eq!(clean("Created with GIMP".to_owned()), None);
        assert_eq!(clean(" \0 ".to_owned()), None);
        assert_eq!(clean(" A default setting ".to_owned()), Some("A default setting".to_owned()));
    }

    #[test]
    fn text_chunks_give_what_they_name() {
        let texts = [
            ("Title", "Lake"),
            ("Author", "Ann"),
            ("Keywords", "lake, water;blue"),
            ("Source", "https://example.org/lake"),
            ("Comment", "At dawn"),
            ("Software", "x"),
        ];
        let found = of_texts(&texts.map(|(keyword, text)| (keyword.to_owned(), text.to_owned())));
        assert_eq!(found.title.as_deref(), Some("Lake"));
        assert_eq!(found.author.as_deref(), Some("Ann"));
        assert_eq!(found.description.as_deref(), Some("At dawn"));
        assert_eq!(found.link.as_deref(), Some("https://example.org/lake"));
        assert_eq!(found.keywords, ["lake", "water", "blue"]);
    }
}
