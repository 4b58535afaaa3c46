//! Bytes to text, and text cut to size.

use model::limits::PIN_LINK_CHARS_MAX;
use url::Url;

/// Decodes bytes as people save them: UTF-8 or UTF-16 with a byte order mark, UTF-8, else Windows-1252 (a superset of Latin-1).
pub fn decode(bytes: &[u8]) -> String {
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [0xff, 0xfe, rest @ ..] => decode_utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => decode_utf16(rest, u16::from_be_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|byte| windows_1252(*byte)).collect(),
        },
    }
}

fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// Returns the character of a Windows-1252 byte.
pub fn windows_1252(byte: u8) -> char {
    const C1: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•',
        '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => C1[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// Puts a text on one line: control characters go, runs of white space become one space.
pub fn one_line(text: &str) -> String {
    let visible: String = text.chars().filter(|c| !c.is_control() || c.is_whitespace()).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Trims a text, takes control characters out, and cuts it at the last word that fits, with '…'. `None` when nothing is left.
pub fn fit(text: &str, chars_max: usize) -> Option<String> {
    let text = text.replace("\r\n", "\n");
    let text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).filter(|c| *c != '\u{feff}').collect();
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    if text.chars().count() <= chars_max {
        return Some(text.to_owned());
    }
    let cut: String = text.chars().take(chars_max - 1).collect();
    // A word longer than half of the limit is cut inside; otherwise the text ends with a whole word.
    let kept = match cut.rfind(char::is_whitespace) {
        Some(space) if space >= cut.len() / 2 => &cut[..space],
        _ => &cut,
    };
    Some(format!("{}…", kept.trim_end().trim_end_matches([',', ';', ':', '-'])))
}

/// Returns the address in its normal form when it is http or https and within the limit of a pin's link.
pub fn http_link(text: &str) -> Option<String> {
    let text = text.trim();
    let url = match text.strip_prefix("//") {
        Some(rest) => Url::parse(&format!("https://{rest}")),
        None => Url::parse(text),
    };
    let url = url.ok()?;
    (matches!(url.scheme(), "http" | "https") && url.host_str().is_some() && url.as_str().chars().count() <= PIN_LINK_CHARS_MAX)
        .then(|| url.into())
}

/// Extensions that a picture's name may have; what the file really holds is found out when it is taken in.
pub fn has_picture_extension(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    matches!(extension.as_deref(), Some("jpg" | "jpeg" | "jpe" | "jfif" | "png" | "gif" | "webp"))
}

/// Tells whether an address names a picture by the end of its path.
pub fn is_picture_link(link: &str) -> bool {
    Url::parse(link).is_ok_and(|url| has_picture_extension(url.path()))
}

/// Makes a title of a file's name: without its extension, '_' as space.
pub fn title_of_file_name(name: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| if stem.is_empty() { name } else { stem });
    one_line(&stem.replace('_', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decodes_what_people_save() {
        for (bytes, text) in [
            (&b"\xef\xbb\xbfZo\xc3\xab"[..], "Zoë"),
            (b"Zo\xc3\xab", "Zoë"),
            (b"Zo\xeb \x80", "Zoë €"),
            (b"\xff\xfeZ\0o\0\xeb\0", "Zoë"),
            (b"\xfe\xff\0Z\0o\0\xeb", "Zoë"),
            (b"", ""),
        ] {
            assert_eq!(decode(bytes), text);
        }
    }

    #[test]
    fn cuts_at_words() {
        assert_eq!(fit("one two three", 9).as_deref(), Some("one two…"));
        assert_eq!(fit("abcdefghij", 5).as_deref(), Some("abcd…"));
        assert_eq!(fit(" \u{0}\n ", 5), None);
    }

    #[test]
    fn takes_web_addresses_only() {
        assert_eq!(http_link(" https://Example.org/ä "), Some("https://example.org/%C3%A4".into()));
        assert_eq!(http_link("//example.org/a"), Some("https://example.org/a".into()));
        for bad in ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "place:sort=8", "/relative", "", "http://"] {
            assert_eq!(http_link(bad), None, "{bad}");
        }
        assert_eq!(http_link(&format!("https://example.org/{}", "a".repeat(3_000))), None);
    }

    proptest! {
        #[test]
        fn what_fits_passes_the_models_check(text: String, max in 2_usize..200) {
            if let Some(cut) = fit(&text, max) {
                prop_assert!(model::limits::check_text("f", "It", &cut, max).is_ok());
            }
        }
    }
}
