//! HTTP/1.1 as far as a test client and a load generator need it: responses with a length, in chunks, or up to the close.
//! No I/O: bytes in, what is known out.

use anyhow::{Context as _, bail, ensure};

/// A server that sends more than this before the empty line is broken.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A whole response.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// In the order in which they came; names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON (status {}): {}", self.status, self.excerpt()))
    }

    /// Tells whether the server has acknowledged: 2xx or 3xx.
    pub fn is_success(&self) -> bool {
        (200..400).contains(&self.status)
    }

    /// Fails with the start of the body when the status is not one of success or redirection.
    pub fn expect_success(self, what: &str) -> anyhow::Result<Response> {
        ensure!(self.is_success(), "{what}: status {}, {}", self.status, self.excerpt());
        Ok(self)
    }

    fn excerpt(&self) -> String {
        self.text().chars().take(600).collect()
    }
}

/// Where the body of a response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// The head of a response, without copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    /// Bytes up to and including the empty line.
    pub bytes: usize,
    pub framing: Framing,
    pub closes: bool,
}

/// Reads the head at the start of `buffer`; `None` while it is not complete.
pub fn parse_head(buffer: &[u8]) -> anyhow::Result<Option<Head>> {
    let Some(end) = find(buffer, b"\r\n\r\n") else {
        ensure!(buffer.len() <= HEAD_BYTES_MAX, "no end of the headers within {HEAD_BYTES_MAX} bytes");
        return Ok(None);
    };
    let status = buffer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u16>().ok());
    let (Some(status), true) = (status, buffer.starts_with(b"HTTP/1.")) else {
        bail!("not an HTTP response: {}", String::from_utf8_lossy(&buffer[..end.min(80)]));
    };
    let mut head = Head { status, bytes: end + 4, framing: Framing::UntilClose, closes: false };
    for line in lines(&buffer[..end]).skip(1) {
        if let Some(value) = value_of(line, "content-length") {
            head.framing = Framing::Length(value.parse().with_context(|| format!("content-length {value:?}"))?);
        } else if value_of(line, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            head.framing = Framing::Chunked;
        } else if value_of(line, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            head.closes = true;
        }
    }
    if matches!(status, 100..200 | 204 | 304) {
        head.framing = Framing::Length(0);
    }
    head.closes |= head.framing == Framing::UntilClose;
    Ok(Some(head))
}

/// Gives how many bytes of `buffer` a chunked body takes, once it is complete, and appends what it carries to `body`.
pub fn parse_chunks(buffer: &[u8], mut body: Option<&mut Vec<u8>>) -> anyhow::Result<Option<usize>> {
    let mut at = 0;
    let start = body.as_ref().map_or(0, |body| body.len());
    while let Some(line_bytes) = find(&buffer[at..], b"\r\n") {
        let line = std::str::from_utf8(&buffer[at..at + line_bytes]).context("a chunk's size is not text")?;
        let digits = line.split(';').next().unwrap_or("").trim();
        let size = usize::from_str_radix(digits, 16).with_context(|| format!("a chunk's size is {line:?}"))?;
        let from = at + line_bytes + 2;
        if buffer.len() < from + size + 2 {
            break;
        }
        if size == 0 {
            return Ok(Some(from + 2)); // no trailers: our server sends none
        }
        if let Some(body) = &mut body {
            body.extend_from_slice(&buffer[from..from + size]);
        }
        at = from + size + 2;
    }
    if let Some(body) = body {
        body.truncate(start);
    }
    Ok(None)
}

/// Reads all headers of a complete head.
pub fn parse_headers(head: &[u8]) -> Vec<(String, String)> {
    let split = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    };
    lines(head).skip(1).filter_map(split).collect()
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).filter(|line| !line.is_empty())
}

fn value_of<'a>(line: &'a [u8], name: &str) -> Option<&'a str> {
    let (head, rest) = line.split_at_checked(name.len())?;
    if !head.eq_ignore_ascii_case(name.as_bytes()) {
        return None;
    }
    Some(std::str::from_utf8(rest.strip_prefix(b":")?).ok()?.trim())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = needle[0];
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|byte| *byte == first) {
        if haystack[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// Encodes one part of a URL or a form field: everything but unreserved characters becomes %XX.
pub fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Encodes fields as `application/x-www-form-urlencoded`.
pub fn form_encoded(fields: &[(&str, &str)]) -> String {
    let pairs = fields.iter().map(|(name, value)| format!("{}={}", percent_encoded(name), percent_encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello";
        let head = parse_head(text).unwrap().unwrap();
        assert_eq!(head, Head { status: 200, bytes: 44, framing: Framing::Length(5), closes: false });
        assert_eq!(parse_headers(&text[..head.bytes])[1], ("x".to_owned(), "y".to_owned()));
        for cut in 0..head.bytes {
            assert_eq!(parse_head(&text[..cut]).unwrap(), None);
        }
        assert_eq!(parse_head(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap().framing, Framing::Length(0));
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").unwrap().unwrap().closes);
        assert!(parse_head(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
    }

    #[test]
    fn chunks() {
        let text = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\nHTTP";
        let mut body = b"> ".to_vec();
        assert_eq!(parse_chunks(text, Some(&mut body)).unwrap(), Some(text.len() - 4));
        assert_eq!(body, b"> hello world");
        for cut in 0..text.len() - 4 {
            assert_eq!(parse_chunks(&text[..cut], Some(&mut body)).unwrap(), None, "{cut}");
            assert_eq!(body, b"> hello world");
        }
        assert!(parse_chunks(b"zz\r\n", None).is_err());
    }

    #[test]
    fn forms() {
        assert_eq!(form_encoded(&[("name", "a b&c"), ("q", "ü")]), "name=a%20b%26c&q=%C3%BC");
    }
}
