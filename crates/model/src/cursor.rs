//! Bookmarks: positions in lists, as they travel through URLs.
//!
//! ```text
//! byte  0      | 1 ……… 8              | 9 ……… 16
//!       list   | position (big endian) | id (big endian)
//! ```
//!
//! Written in base64url without padding, so that clients which paste a bookmark into a URL unencoded still work. `position` is the
//! sequence, instant or rank of the last item seen and `id` breaks ties; the next page starts strictly after both. `list` says what
//! kind of list the bookmark came from, so that one list's bookmark is refused by another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A position in a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bookmark {
    pub list: u8,
    pub position: i64,
    pub id: u64,
}

/// The bookmark is not one of this list's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this bookmark is not from this list; ask for the first page without a bookmark")]
pub struct BookmarkError;

impl Bookmark {
    pub fn encode(self) -> String {
        let mut bytes = [0u8; 17];
        bytes[0] = self.list;
        bytes[1..9].copy_from_slice(&self.position.to_be_bytes());
        bytes[9..17].copy_from_slice(&self.id.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a bookmark that must come from `list`.
    pub fn decode(text: &str, list: u8) -> Result<Bookmark, BookmarkError> {
        let bytes: [u8; 17] = URL_SAFE_NO_PAD.decode(text).ok().and_then(|b| b.try_into().ok()).ok_or(BookmarkError)?;
        let eight = |at: usize| <[u8; 8]>::try_from(&bytes[at..at + 8]).expect("eight bytes");
        let bookmark = Bookmark { list: bytes[0], position: i64::from_be_bytes(eight(1)), id: u64::from_be_bytes(eight(9)) };
        if bookmark.list == list { Ok(bookmark) } else { Err(BookmarkError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trips_in_url_safe_letters(list: u8, position: i64, id: u64) {
            let bookmark = Bookmark { list, position, id };
            let text = bookmark.encode();
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(Bookmark::decode(&text, list), Ok(bookmark));
            prop_assert_eq!(Bookmark::decode(&text, list.wrapping_add(1)), Err(BookmarkError));
        }

        #[test]
        fn never_panics_on_what_is_none(text: String) {
            let _ = Bookmark::decode(&text, 1);
        }
    }

    #[test]
    fn worked_example() {
        let bookmark = Bookmark { list: 1, position: 1_700_000_000_000, id: 241294492511762325 };
        assert_eq!(bookmark.encode(), "AQAAAYvP5WgAA1lAEABr95U");
        assert_eq!(Bookmark::decode("AQAAAYvP5WgAA1lAEABr95U", 1), Ok(bookmark));
    }
}
