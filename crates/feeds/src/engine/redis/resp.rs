//! What Redis answers: its protocol, version 2, bytes to values. No I/O. What it is asked is written by `command.rs`.
//!
//! ```text
//! +OK␍␊  $3␍␊abc␍␊   text                    :42␍␊    number
//! -ERR why␍␊         an error                *2␍␊ …   so many values
//! $-1␍␊  *-1␍␊       nothing
//! ```
//! A page of a feed is two hundred values. They are read out of the bytes in which they came, and none of them is copied. Source: Redis's
//! protocol specification, RESP2.

use bytes::Bytes;
use runtime::pipelined::Framed;

/// Longest text: nothing that is asked for comes near it.
const TEXT_BYTES_MAX: usize = 64 << 20;
/// Most values in one, and how deep they may lie.
const VALUES_MAX: usize = 1 << 24;
const DEPTH_MAX: usize = 8;
/// Longest line that says what comes; errors tell stories.
const LINE_BYTES_MAX: usize = 64 << 10;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Value {
    Nil,
    Int(i64),
    Text(Bytes),
    List(Vec<Value>),
    /// The first word says of which kind.
    Error(Bytes),
}

/// What a line says.
enum Head<'a> {
    Text(&'a [u8]),
    Error(&'a [u8]),
    Int(i64),
    /// The line is followed by so many bytes, and an end of line.
    Bytes(usize),
    Values(usize),
    Nil,
}

/// Reads the line at `at`, and tells where the next begins. `Ok(None)`: it is not whole yet.
fn head(bytes: &[u8], at: usize) -> Result<Option<(Head<'_>, usize)>, String> {
    let rest = &bytes[at..];
    let Some(kind @ (b'$' | b'*' | b':')) = rest.first() else { return line(rest, at) };
    // A page is hundreds of these: they are read digit by digit, once.
    let is_negative = rest.get(1) == Some(&b'-');
    let digits = 1 + usize::from(is_negative);
    let (mut number, mut end) = (0_i64, digits);
    while let Some(digit @ b'0'..=b'9') = rest.get(end) {
        let Some(next) = number.checked_mul(10).and_then(|number| number.checked_add(i64::from(digit - b'0'))) else {
            return Err(broken(rest));
        };
        (number, end) = (next, end + 1);
    }
    match (rest.get(end), rest.get(end + 1)) {
        (None, _) | (Some(b'\r'), None) => return Ok(None),
        (Some(b'\r'), Some(b'\n')) if end > digits => {}
        _ => return Err(broken(rest)),
    }
    let size = |max: usize| usize::try_from(number).ok().filter(|size| *size <= max).ok_or_else(|| broken(rest));
    let head = match (kind, is_negative) {
        (b':', _) => Head::Int(if is_negative { -number } else { number }),
        (_, true) if number == 1 => Head::Nil,
        (_, true) => return Err(broken(rest)),
        (b'$', _) => Head::Bytes(size(TEXT_BYTES_MAX)?),
        _ => Head::Values(size(VALUES_MAX)?),
    };
    Ok(Some((head, at + end + 2)))
}

/// Reads a line of text.
fn line(rest: &[u8], at: usize) -> Result<Option<(Head<'_>, usize)>, String> {
    let Some(end) = rest.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n') else {
        return if rest.len() < LINE_BYTES_MAX { Ok(None) } else { Err("a line without an end".to_owned()) };
    };
    let head = match rest[..end].strip_suffix(b"\r").and_then(<[u8]>::split_first) {
        Some((b'+', line)) => Head::Text(line),
        Some((b'-', line)) => Head::Error(line),
        _ => return Err(broken(rest)),
    };
    Ok(Some((head, at + end + 1)))
}

fn broken(rest: &[u8]) -> String {
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    format!("'{}' is no answer of Redis", String::from_utf8_lossy(&line[..line.len().min(100)]).trim_end())
}

/// Finds the end of the first answer, and remembers what is whole of it: a million members come in thousands of pieces.
#[derive(Default)]
pub(super) struct Frames {
    at: usize,
    /// Values that are still to come.
    due: usize,
}

impl Frames {
    pub(super) fn framed(&mut self, bytes: &[u8]) -> Framed {
        if self.due == 0 {
            *self = Frames { at: 0, due: 1 };
        }
        while self.due > 0 {
            let (head, next) = match head(bytes, self.at) {
                Ok(Some(found)) => found,
                Ok(None) => return Framed::Partial,
                Err(why) => return Framed::Broken(why),
            };
            let (end, more) = match head {
                Head::Bytes(size) => (next + size + 2, 0),
                Head::Values(count) => (next, count),
                _ => (next, 0),
            };
            if end > bytes.len() {
                return Framed::Partial;
            }
            (self.at, self.due) = (end, self.due - 1 + more);
        }
        Framed::Whole(self.at)
    }
}

/// Reads `count` whole answers, one behind the other; `None`: that is not what they are.
pub(super) fn values(bytes: Vec<u8>, count: usize) -> Option<Vec<Value>> {
    let bytes = Bytes::from(bytes);
    let mut at = 0;
    let values = list(&bytes, &mut at, count, 0)?;
    (at == bytes.len()).then_some(values)
}

fn list(bytes: &Bytes, at: &mut usize, count: usize, depth: usize) -> Option<Vec<Value>> {
    // Each value takes three bytes at least, so no more room is made than there are bytes.
    let mut values = Vec::with_capacity(count.min(bytes.len() / 3));
    for _ in 0..count {
        values.push(value(bytes, at, depth)?);
    }
    Some(values)
}

fn value(bytes: &Bytes, at: &mut usize, depth: usize) -> Option<Value> {
    let (head, next) = head(bytes, *at).ok()??;
    *at = next;
    Some(match head {
        Head::Text(text) => Value::Text(bytes.slice_ref(text)),
        Head::Error(text) => Value::Error(bytes.slice_ref(text)),
        Head::Int(number) => Value::Int(number),
        Head::Nil => Value::Nil,
        Head::Bytes(size) => {
            let text = bytes.get(next..next + size)?;
            *at = next + size + 2;
            Value::Text(bytes.slice_ref(text))
        }
        Head::Values(count) if depth < DEPTH_MAX => Value::List(list(bytes, at, count, depth + 1)?),
        Head::Values(_) => return None,
    })
}

/// In the form in which they are asked for. What is of another form than expected reads as nothing.
impl Value {
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        if let Value::Text(bytes) = self { Some(bytes) } else { None }
    }

    pub(super) fn list(&self) -> &[Value] {
        if let Value::List(values) = self { values } else { &[] }
    }

    pub(super) fn int(&self) -> i64 {
        if let Value::Int(number) = self { *number } else { 0 }
    }

    /// Reads a sorted set's score.
    pub(super) fn score(&self) -> Option<i64> {
        std::str::from_utf8(self.bytes()?).ok()?.parse::<f64>().ok().map(|number| number as i64)
    }

    /// Returns what kind of error this is, and all that it says.
    pub(super) fn error(&self) -> Option<(&str, &str)> {
        let Value::Error(text) = self else { return None };
        let text = std::str::from_utf8(text).unwrap_or("ERR an error that is no text");
        Some((text.split(' ').next().unwrap_or(text), text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(bytes: &[u8]) -> Framed {
        Frames::default().framed(bytes)
    }

    fn text(text: &str) -> Value {
        Value::Text(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn answers_are_read_as_drawn() {
        let cases: [(&[u8], Value); 10] = [
            (b"+OK\r\n", text("OK")),
            (b"$3\r\nabc\r\n", text("abc")),
            (b"$0\r\n\r\n", text("")),
            (b"$4\r\n\r\n\r\n\r\n", text("\r\n\r\n")),
            (b":-42\r\n", Value::Int(-42)),
            (b"-MOVED 7 a:1\r\n", Value::Error(Bytes::from_static(b"MOVED 7 a:1"))),
            (b"$-1\r\n", Value::Nil),
            (b"*-1\r\n", Value::Nil),
            (b"*0\r\n", Value::List(Vec::new())),
            (
                b"*3\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n+b\r\n",
                Value::List(vec![text("a"), Value::List(vec![Value::Int(1), Value::Nil]), text("b")]),
            ),
        ];
        for (bytes, value) in cases {
            assert_eq!(framed(bytes), Framed::Whole(bytes.len()));
            assert_eq!(framed(&[bytes, b":1\r\n"].concat()), Framed::Whole(bytes.len()), "what follows is left alone");
            assert_eq!(values([bytes, bytes].concat(), 2), Some(vec![value.clone(), value]));
            assert_eq!(values(bytes.to_vec(), 2), None);
            let mut frames = Frames::default();
            for end in 0..bytes.len() {
                assert_eq!(framed(&bytes[..end]), Framed::Partial, "{}", String::from_utf8_lossy(&bytes[..end]));
                assert_eq!(frames.framed(&bytes[..end]), Framed::Partial, "the same, piece by piece");
            }
            assert_eq!([frames.framed(bytes), frames.framed(bytes)], [Framed::Whole(bytes.len()), Framed::Whole(bytes.len())]);
        }
    }

    #[test]
    fn what_is_not_understood_ends_everything() {
        let endless = vec![b'+'; LINE_BYTES_MAX];
        for bytes in [
            &b"?\r\n"[..],
            b"\r\n",
            b"+OK\n",
            b":x\r\n",
            b":\r\n",
            b":-\r\n",
            b":1\rx",
            b":9223372036854775808\r\n",
            b"$-2\r\n",
            b"$999999999999\r\n",
            b"*x\r\n",
            &endless,
        ] {
            assert!(matches!(framed(bytes), Framed::Broken(_)), "{}", String::from_utf8_lossy(bytes));
        }
        let deep = b"*1\r\n".repeat(DEPTH_MAX + 1);
        assert_eq!(values([&deep[..], b":1\r\n"].concat(), 1), None, "nothing nests so deep");
    }

    #[test]
    fn errors_say_of_which_kind_they_are() {
        assert_eq!(Value::Error(Bytes::from_static(b"ASK 7 a:1")).error(), Some(("ASK", "ASK 7 a:1")));
        assert_eq!(Value::Error(Bytes::from_static(b"")).error(), Some(("", "")));
        assert_eq!(text("ASK").error(), None);
        assert_eq!(text("1764158400123").score(), Some(1_764_158_400_123));
    }

    proptest! {
        #[test]
        fn never_panics_on_what_is_none(bytes: Vec<u8>, count in 0_usize..5) {
            if let Framed::Whole(end) = framed(&bytes) {
                prop_assert!(end <= bytes.len());
            }
            let _ = values(bytes, count);
        }
    }
}
