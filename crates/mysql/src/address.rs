//! Where a server is and who asks it.

use std::fmt;
use std::str::FromStr;

/// `HOST:PORT/DATABASE`, with `?tls=on` for a server that must be spoken to under TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    pub host: String,
    pub port: u16,
    pub database: String,
    pub tls: bool,
}

/// A login. Its debug form hides the password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let wrong = || format!("'{text}' is no address of a MySQL server; write HOST:PORT/DATABASE, as in 10.0.0.1:3306/corkboard");
        let url = url::Url::parse(&format!("mysql://{text}")).map_err(|_| wrong())?;
        let database = url.path().trim_matches('/').to_owned();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if database.is_empty() || !database.chars().all(is_plain) || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong());
        }
        let tls = match url.query() {
            None => false,
            Some("tls=on") => true,
            Some(_) => return Err(wrong()),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
        Ok(Address { host, port: url.port().unwrap_or(3306), database, tls })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{host}:{}/{}{}", self.port, self.database, if self.tls { "?tls=on" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in ["10.0.0.1:3307/corkboard", "db.example.org:3306/pins_2?tls=on", "[::1]:3306/x"] {
            assert_eq!(text.parse::<Address>().expect("an address").to_string(), text);
        }
        assert_eq!("db/x".parse::<Address>().expect("an address").port, 3306);
        for text in ["", "host", "host:3306", "host:3306/a;b", "user:pw@host/x", "host/x?ssl=1", ":3306/x"] {
            assert!(text.parse::<Address>().expect_err("no address").contains("HOST:PORT/DATABASE"), "{text}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = format!("{:?}", Credentials { user: "ada".to_owned(), password: "secret".to_owned() });
        assert!(shown.contains("ada") && !shown.contains("secret"));
    }
}
