//! Who may do what: the access list of the feeds service. Pure; the binary reads the file.
//!
//! ```text
//! { "callers": [ { "name": "site", "key_sha256": "<64 hexadecimal digits>", "read": true, "write": true, "operate": true }, … ] }
//!
//! authorization: Bearer site:KEY ─▶ identify ─▶ Caller ─▶ may(Right::Write)?
//! ```
//!
//! What the list does not allow is refused.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What an entry allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Pages, follows, counts, and what was shown.
    Read,
    /// Changes, deliveries, fills, and what was shown.
    Write,
    /// What the one consumer does (restored offset, vouching, rebuilds), sweeps and figures.
    Operate,
}

impl Right {
    fn verb(self) -> &'static str {
        match self {
            Right::Read => "read",
            Right::Write => "write",
            Right::Operate => "operate",
        }
    }
}

/// Everybody who may call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessList {
    pub callers: Vec<Caller>,
}

/// One caller with what it may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    pub name: String,
    /// SHA-256 of the key, in hexadecimal.
    pub key_sha256: String,
    #[serde(default)]
    pub read: bool,
    #[serde(default)]
    pub write: bool,
    #[serde(default)]
    pub operate: bool,
}

impl grpc::Entry for Caller {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_sha256(&self) -> &str {
        &self.key_sha256
    }
}

impl AccessList {
    /// Reads a list from JSON and checks it.
    pub fn parse(text: &str) -> Result<AccessList> {
        let list: AccessList =
            serde_json::from_str(text).map_err(|error| Error::Invalid(format!("The access list can't be read: {error}.")))?;
        grpc::check(&list.callers).map_err(Error::Invalid)?;
        Ok(list)
    }

    /// Finds who calls.
    pub(crate) fn identify(&self, authorization: Option<&str>) -> std::result::Result<&Caller, String> {
        grpc::identify(&self.callers, authorization, "feeds")
    }
}

impl Caller {
    /// Makes an entry with a fresh key; returns both. The key is nowhere else.
    pub fn fresh(name: &str, read: bool, write: bool, operate: bool) -> Result<(Caller, String)> {
        let (key, key_sha256) = grpc::fresh_key();
        let caller = Caller { name: name.to_owned(), key_sha256, read, write, operate };
        grpc::check(std::slice::from_ref(&caller)).map_err(Error::Invalid)?;
        Ok((caller, key))
    }

    /// Tells whether the caller may do this; if not, what is missing.
    pub(crate) fn may(&self, right: Right) -> std::result::Result<(), String> {
        let is_allowed = match right {
            Right::Read => self.read,
            Right::Write => self.write,
            Right::Operate => self.operate,
        };
        if is_allowed {
            return Ok(());
        }
        let verb = right.verb();
        Err(format!("'{}' may not {verb}. Set \"{verb}\" of the caller in the feeds service's access list.", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_allowed_is_refused_by_name() {
        let (site, key) = Caller::fresh("site", true, false, false).expect("an entry");
        assert!(site.may(Right::Read).is_ok());
        for (right, verb) in [(Right::Write, "\"write\""), (Right::Operate, "\"operate\"")] {
            assert!(site.may(right).expect_err("a refusal").contains(verb));
        }
        let list = AccessList { callers: vec![site] };
        let text = serde_json::to_string(&list).expect("JSON");
        assert!(!text.contains(&key));
        assert_eq!(AccessList::parse(&text), Ok(list.clone()));
        assert!(list.identify(Some(&format!("Bearer site:{key}"))).is_ok());
        assert!(Caller::fresh("a:b", true, true, true).is_err());
        for wrong in ["{\"callers\": []}", "{\"callers\": [], \"x\": 1}", "[]"] {
            assert!(matches!(AccessList::parse(wrong), Err(Error::Invalid(_))), "{wrong}");
        }
    }
}
