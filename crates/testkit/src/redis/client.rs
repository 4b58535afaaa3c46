//! Commands to a server in RESP, one connection each: simple, and enough for tests.

use std::{
    fmt,
    io::{BufRead, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};

/// A list in a list is as deep as answers to tests go; more is no answer of Redis.
const DEPTH_MAX: usize = 8;

/// An error that the server has answered.
#[derive(Debug)]
pub(super) struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Runs one command. `limit` is for each read and each write.
pub(super) fn command(server: SocketAddr, words: &[&str], limit: Duration) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&server, limit).with_context(|| format!("connecting to {server}"))?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    stream.write_all(&encoded(words)).with_context(|| format!("sending to {server}"))?;
    // An answer that is an error is shown as it is, without saying that there was none.
    answer(&mut BufReader::new(stream), 0)
        .map_err(|error| if error.is::<Refused>() { error } else { error.context(format!("no answer from {server}")) })
}

fn encoded(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    bytes
}

/// Reads one answer: `+status`, `-error`, `:number`, `$length` and a text, `*count` and so many answers.
fn answer(reader: &mut impl BufRead, depth: usize) -> anyhow::Result<String> {
    ensure!(depth < DEPTH_MAX, "lists are nested more than {DEPTH_MAX} deep");
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.strip_suffix("\r\n").context("the connection ended")?;
    let Some((kind, rest)) = line.split_at_checked(1) else { bail!("an empty line") };
    match kind {
        "+" | ":" => Ok(rest.to_owned()),
        "-" => Err(Refused(rest.to_owned()).into()),
        "$" => match rest.parse::<i64>()? {
            ..0 => Ok(String::new()),
            length => {
                let mut text = vec![0; usize::try_from(length)? + 2];
                reader.read_exact(&mut text)?;
                text.truncate(text.len() - 2);
                Ok(String::from_utf8_lossy(&text).into_owned())
            }
        },
        "*" => {
            let elements = (0..rest.parse::<i64>()?).map(|_| answer(reader, depth + 1));
            Ok(elements.collect::<anyhow::Result<Vec<String>>>()?.join("\n"))
        }
        _ => bail!("'{line}' is no answer of Redis"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_texts() {
        let read = |bytes: &[u8]| answer(&mut &*bytes, 0).map_err(|error| error.to_string());
        assert_eq!(read(b"+OK\r\n").as_deref(), Ok("OK"));
        assert_eq!(read(b":-7\r\n").as_deref(), Ok("-7"));
        assert_eq!(read(b"$4\r\na\r\nb\r\n").as_deref(), Ok("a\r\nb"));
        assert_eq!(read(b"$-1\r\n").as_deref(), Ok(""));
        assert_eq!(read(b"*3\r\n$1\r\na\r\n:2\r\n*1\r\n+c\r\n").as_deref(), Ok("a\n2\nc"));
        assert_eq!(read(b"-ERR no such thing\r\n").unwrap_err(), "ERR no such thing");
        assert_eq!(read(b"$4\r\na").unwrap_err(), "failed to fill whole buffer");
        assert_eq!(read(b"").unwrap_err(), "the connection ended");
        assert_eq!(read(b"HTTP/1.1\r\n").unwrap_err(), "'HTTP/1.1' is no answer of Redis");
    }

    #[test]
    fn commands_are_lists_of_texts() {
        assert_eq!(encoded(&["SET", "käse", ""]), "*3\r\n$3\r\nSET\r\n$5\r\nkäse\r\n$0\r\n\r\n".as_bytes());
    }
}
