//! The meta protocol of memcached, as much of it as is needed: requests to bytes, bytes to replies. No I/O.
//!
//! ```text
//! mg KEY v f c N10 R60          ─▶ VA 3 f7 c2 W␍␊abc␍␊      7: the version; 2: the token of a lease; W: this caller refills
//!                                  VA 0 f7 c5 X Z␍␊␍␊       nothing but a floor; Z: somebody else refills
//! ms KEY 3 C2 F7 T600␍␊abc      ─▶ HD, or EX: the token is another, NF: nothing is there
//! ms KEY 0 ME F7 T60␍␊␍␊        ─▶ HD, or NS: something is there
//! md KEY I T60                  ─▶ HD: stale from now on, the next one who asks refills; NF: nothing is there
//! ```
//! An item's client flags are the version, its data the encoded row. Without data it is a floor: nothing older may be filled in. The data
//! [`ABSENT`] says that there is no such object. Source: `protocol.txt` of memcached 1.6.

use runtime::pipelined::Framed;

/// The data that says that there is no such object. No JSON is that.
pub(super) const ABSENT: &[u8] = b"-";
/// Longest line that an answer can have without its data.
const LINE_BYTES_MAX: usize = 2_048;
/// Most data that an answer can have: memcached's own largest limit is 1 GiB, its default 1 MiB, and we store less.
const DATA_BYTES_MAX: usize = 8 << 20;

/// One answer. Each request gets one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Reply {
    /// `VA`, and `HD` when it has flags.
    Item(Item),
    /// `HD`, `MN`: done.
    Done,
    /// `EN`, `NF`: nothing is there.
    Missing,
    /// `EX`, `NS`: something else is there.
    Conflict,
    /// The server did not do it; the text says why.
    Refused(String),
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Item {
    pub data: Vec<u8>,
    pub flags: u32,
    pub token: u64,
    /// `W`: the caller is the one to refill it.
    pub is_won: bool,
}

/// A version as client flags. Versions count writes and don't come near the limit, but for "whatever comes", which stays that.
pub(super) fn flags_of(version: u64) -> u32 {
    u32::try_from(version).unwrap_or(u32::MAX)
}

/// Finds the end of the first reply.
pub(super) fn framed(buffer: &[u8]) -> Framed {
    let Some(end) = buffer.windows(2).take(LINE_BYTES_MAX).position(|pair| pair == b"\r\n") else {
        return match buffer.len() < LINE_BYTES_MAX {
            true => Framed::Partial,
            false => Framed::Broken("a line without an end".to_owned()),
        };
    };
    let (line, after) = (&buffer[..end], end + 2);
    let broken = || Framed::Broken(String::from_utf8_lossy(line).into_owned());
    match line.split(|byte| *byte == b' ').next().unwrap_or_default() {
        b"VA" => match size_of_data(line) {
            None => broken(),
            Some(size) => match buffer.get(after..after + size + 2) {
                None => Framed::Partial,
                Some(data) if data.ends_with(b"\r\n") => Framed::Whole(after + size + 2),
                Some(_) => broken(),
            },
        },
        b"HD" | b"MN" | b"EN" | b"NF" | b"EX" | b"NS" | b"SERVER_ERROR" => Framed::Whole(after),
        // Also when a command is not known or not well formed: how many answers will follow is then not known.
        _ => broken(),
    }
}

fn size_of_data(line: &[u8]) -> Option<usize> {
    let size = std::str::from_utf8(line).ok()?.split(' ').nth(1)?.parse::<usize>().ok()?;
    (size <= DATA_BYTES_MAX).then_some(size)
}

/// Reads whole replies, one behind the other.
pub(super) fn replies(mut bytes: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    while let Framed::Whole(end) = framed(bytes) {
        replies.push(reply(&bytes[..end]));
        bytes = &bytes[end..];
    }
    replies
}

fn reply(bytes: &[u8]) -> Reply {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n").unwrap_or(bytes.len());
    let line = String::from_utf8_lossy(&bytes[..end]);
    let mut words = line.split(' ');
    match words.next().unwrap_or_default() {
        "VA" => {
            // The data is what stands between the line and the end: its size was looked at when the reply was framed.
            let data = bytes.get(end + 2..bytes.len() - 2).unwrap_or_default();
            Reply::Item(Item { data: data.to_vec(), ..item(words.skip(1)) })
        }
        "HD" if line.len() > 2 => Reply::Item(item(words)),
        "HD" | "MN" => Reply::Done,
        "EN" | "NF" => Reply::Missing,
        "EX" | "NS" => Reply::Conflict,
        _ => Reply::Refused(line.into_owned()),
    }
}

fn item<'a>(words: impl Iterator<Item = &'a str>) -> Item {
    let mut item = Item::default();
    for word in words {
        let (flag, value) = word.split_at_checked(1).unwrap_or_default();
        match flag {
            "f" => item.flags = value.parse().unwrap_or_default(),
            "c" => item.token = value.parse().unwrap_or_default(),
            "W" => item.is_won = true,
            _ => {}
        }
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(data: &[u8], flags: u32, token: u64, is_won: bool) -> Reply {
        Reply::Item(Item { data: data.to_vec(), flags, token, is_won })
    }

    #[test]
    fn replies_are_read_one_by_one() {
        let cases: [(&[u8], Reply); 9] = [
            (b"VA 3 f7 c2 W\r\nabc\r\n", item(b"abc", 7, 2, true)),
            (b"VA 0 f9 c5 X Z\r\n\r\n", item(b"", 9, 5, false)),
            (b"VA 4 f1 c1\r\n\r\n\r\n\r\n", item(b"\r\n\r\n", 1, 1, false)),
            (b"HD f9 c5 s0\r\n", item(b"", 9, 5, false)),
            (b"HD\r\n", Reply::Done),
            (b"EN\r\n", Reply::Missing),
            (b"EX\r\n", Reply::Conflict),
            (b"NS\r\n", Reply::Conflict),
            (b"SERVER_ERROR out of memory\r\n", Reply::Refused("SERVER_ERROR out of memory".to_owned())),
        ];
        for (bytes, reply) in cases {
            assert_eq!(framed(bytes), Framed::Whole(bytes.len()));
            let two = [bytes, b"EN\r\n"].concat();
            assert_eq!(framed(&two), Framed::Whole(bytes.len()), "what follows is left alone");
            assert_eq!(replies(&two), [reply, Reply::Missing]);
            for end in 0..bytes.len() {
                assert_eq!(framed(&bytes[..end]), Framed::Partial, "{}", String::from_utf8_lossy(&bytes[..end]));
            }
        }
    }

    #[test]
    fn what_is_not_understood_ends_everything() {
        for bytes in [&b"ERROR\r\n"[..], b"CLIENT_ERROR bad\r\n", b"VA x\r\n\r\n", b"VA 1 f1\r\nab\r\n", b"\xff\r\n", &[b'a'; 2_048]] {
            assert!(matches!(framed(bytes), Framed::Broken(_)), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn versions_fit_into_flags() {
        assert_eq!([0, 7, u64::MAX].map(flags_of), [0, 7, u32::MAX]);
    }
}
