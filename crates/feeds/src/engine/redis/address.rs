//! Addresses: `redis://[USER:PASSWORD@]HOST:PORT[,HOST:PORT…][/DATABASE][?cluster=true]`.

use std::fmt;

use crate::error::{Error, Result};

/// Redis listens here unless told otherwise.
const DEFAULT_PORT: u16 = 6379;

/// Where the servers are and how to log in.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// `HOST:PORT`: the one server, or those of a cluster that are asked first for the others.
    pub(super) hosts: Vec<String>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: i64,
    pub(super) is_cluster: bool,
}

impl fmt::Debug for Address {
    /// Leaves the password out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redis://{}/{}", self.hosts.join(","), self.database)
    }
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Address> {
        let invalid = |what: &str| {
            Error::Invalid(format!(
                "The address of the feeds' Redis is not right: {what}. Write redis://HOST:PORT, redis://USER:PASSWORD@HOST:PORT/DATABASE, or \
                 redis://HOST:PORT,HOST:PORT for a cluster."
            ))
        };
        let rest = url.strip_prefix("redis://").ok_or_else(|| invalid("it does not begin with redis://"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (rest, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = rest.rsplit_once('@').map_or((None, rest), |(login, hosts)| (Some(login), hosts));
        let is_asked = match query {
            "" | "cluster=false" => false,
            "cluster=true" => true,
            _ => return Err(invalid("after '?' only cluster=true is known")),
        };
        let mut addresses = Vec::new();
        for host in hosts.split(',') {
            let (name, port) = host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
            let port = port.map_or(Ok(DEFAULT_PORT), str::parse).map_err(|_| invalid("a port is a number"))?;
            if name.is_empty() {
                return Err(invalid("a host is missing"));
            }
            addresses.push(format!("{name}:{port}"));
        }
        let is_cluster = is_asked || addresses.len() > 1;
        let database = if database.is_empty() { 0 } else { database.parse().map_err(|_| invalid("a database is a number"))? };
        if is_cluster && database != 0 {
            return Err(invalid("a cluster has only database 0"));
        }
        let (user, password) = match login {
            None => (None, None),
            Some(login) => {
                let (user, password) = login.split_once(':').ok_or_else(|| invalid("before '@' stand USER:PASSWORD"))?;
                let user = Some(decoded(user)).filter(|user| !user.is_empty());
                (user, Some(decoded(password)))
            }
        };
        Ok(Address { hosts: addresses, user, password, database, is_cluster })
    }
}

/// Reads `%2F` and the like, which passwords may need.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let code = text.get(index + 1..index + 3).and_then(|code| u8::from_str_radix(code, 16).ok());
        match code.filter(|_| bytes[index] == b'%') {
            Some(byte) => {
                plain.push(byte);
                index += 3;
            }
            None => {
                plain.push(bytes[index]);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_servers_clusters_and_logins() {
        let one = Address::parse("redis://localhost").expect("an address");
        assert_eq!((one.hosts, one.database, one.is_cluster), (vec!["localhost:6379".to_owned()], 0, false));
        let full = Address::parse("redis://feeds:p%40ss:w@10.0.0.1:7000/3").expect("an address");
        assert_eq!((full.user.as_deref(), full.password.as_deref(), full.database), (Some("feeds"), Some("p@ss:w"), 3));
        assert_eq!(format!("{full:?}"), "redis://10.0.0.1:7000/3");
        let password = Address::parse("redis://:secret@h:1").expect("an address");
        assert_eq!((password.user, password.password.as_deref()), (None, Some("secret")));
        assert!(Address::parse("redis://a:1,b:2,c").expect("an address").is_cluster);
        assert!(Address::parse("redis://a:1?cluster=true").expect("an address").is_cluster);
        for wrong in ["redis://", "redis://:x", "redis://a:x", "redis://a/x", "redis://a,b/1", "redis://a?x=1", "redis://u@a", "memory:"] {
            assert!(matches!(Address::parse(wrong), Err(Error::Invalid(_))), "{wrong}");
        }
    }
}
