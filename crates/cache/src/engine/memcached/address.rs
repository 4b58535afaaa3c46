//! `memcached://host:11211,host2:11211/name`: the nodes, and what keys begin with, so that several sites can share them.

use crate::error::{Error, Result};

const PORT: u16 = 11_211;
const PREFIX: &str = "corkboard";
/// Keys have 250 bytes at most, and what they name needs its part.
const PREFIX_BYTES_MAX: usize = 40;
/// All processes talk to all nodes.
const NODES_MAX: usize = 64;

/// Where a cache is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Address {
    /// `host:port` each.
    pub(super) nodes: Vec<String>,
    pub(super) prefix: String,
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Address> {
        let invalid =
            |why: &str| Error::Invalid(format!("'{url}' is no address of memcached: {why}; write memcached://host:11211,host2:11211."));
        let rest = url.strip_prefix("memcached://").ok_or_else(|| invalid("it begins otherwise"))?;
        let (nodes, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = if prefix.is_empty() { PREFIX } else { prefix };
        if prefix.len() > PREFIX_BYTES_MAX || !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Err(invalid("the name behind the slash has at most 40 letters, digits, '-' and '_'"));
        }
        let nodes =
            nodes.split(',').map(|node| node_of(node).ok_or_else(|| invalid("a node is a host and a port"))).collect::<Result<Vec<_>>>()?;
        if nodes.len() > NODES_MAX {
            return Err(invalid("it has more than 64 nodes"));
        }
        if nodes.iter().enumerate().any(|(index, node)| nodes[..index].contains(node)) {
            return Err(invalid("a node is there twice"));
        }
        Ok(Address { nodes, prefix: prefix.to_owned() })
    }
}

fn node_of(text: &str) -> Option<String> {
    let is_host = |host: &str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte));
    // An IPv6 address has colons of its own, and stands in brackets.
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse::<u16>().ok().filter(|port| *port > 0)?),
        _ => (text, PORT),
    };
    let is_whole = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
    (is_host(host) && is_whole).then(|| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let parsed =
            |url: &str| Address::parse(url).map(|address| (address.nodes.join(" "), address.prefix)).map_err(|error| error.to_string());
        let ok = |nodes: &str, prefix: &str| Ok((nodes.to_owned(), prefix.to_owned()));
        assert_eq!(parsed("memcached://a"), ok("a:11211", "corkboard"));
        assert_eq!(parsed("memcached://a:1,10.0.0.2,[::1]:3,[::1]/pins_2"), ok("a:1 10.0.0.2:11211 [::1]:3 [::1]:11211", "pins_2"));
        for url in
            ["memcached:a", "memcached://", "memcached://a,,b", "memcached://a:0", "memcached://a:b", "memcached://a b", "memcached://::1"]
        {
            assert!(parsed(url).is_err(), "{url}");
        }
        for url in ["memcached://a,a:11211", "memcached://a/with space", "memcached://a/b/c", "memcached://u:p@a"] {
            assert!(parsed(url).is_err(), "{url}");
        }
    }
}
