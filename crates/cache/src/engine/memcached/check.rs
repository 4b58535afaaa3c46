//! Is this node what we need? For `corkboard doctor`.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::address::Address;
use crate::error::Result;

/// A check may take longer than a call: somebody is waiting for its answer.
const CHECK_TIME: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: usize = 4_096;

/// What a node said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// `host:port`.
    pub node: String,
    /// Its version, or what is wrong with it.
    pub outcome: std::result::Result<String, String>,
}

/// Asks every node of an address whether it is there and speaks the meta protocol.
pub async fn check_address(url: &str) -> Result<Vec<Checked>> {
    let mut checked = Vec::new();
    for node in Address::parse(url)?.nodes {
        let outcome = match tokio::time::timeout(CHECK_TIME, check(&node)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no answer within {} s", CHECK_TIME.as_secs())),
        };
        checked.push(Checked { node, outcome });
    }
    Ok(checked)
}

async fn check(node: &str) -> std::result::Result<String, String> {
    let described = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(node).await.map_err(described)?;
    stream.write_all(b"version\r\nmn\r\n").await.map_err(described)?;
    let mut answer = Vec::new();
    while answer.iter().filter(|byte| **byte == b'\n').count() < 2 && answer.len() < ANSWER_BYTES_MAX {
        if stream.read_buf(&mut answer).await.map_err(described)? == 0 {
            return Err("it closes the connection".to_owned());
        }
    }
    judged(&String::from_utf8_lossy(&answer))
}

fn judged(answer: &str) -> std::result::Result<String, String> {
    let mut lines = answer.lines();
    let version = lines.next().and_then(|line| line.strip_prefix("VERSION ")).ok_or("it is no memcached")?;
    match lines.next() {
        Some("MN") => Ok(version.to_owned()),
        _ => Err(format!("version {version} has no meta protocol; memcached 1.6 or later is needed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_memcached_with_the_meta_protocol_will_do() {
        assert_eq!(judged("VERSION 1.6.18\r\nMN\r\n"), Ok("1.6.18".to_owned()));
        assert_eq!(
            judged("VERSION 1.4.39\r\nERROR\r\n").unwrap_err(),
            "version 1.4.39 has no meta protocol; memcached 1.6 or later is needed"
        );
        assert_eq!(judged("-ERR unknown command\r\n\r\n").unwrap_err(), "it is no memcached");
    }
}
