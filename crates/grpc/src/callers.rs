//! Who calls: names and keys of access lists. What each caller may do is the service's own. Pure; the binary reads the file.
//!
//! ```text
//! authorization: Bearer site:KEY ─▶ identify ─▶ the entry "site" whose key_sha256 is that of KEY
//! ```
//!
//! Lists hold hashes, so whoever reads one can't call; a key is 256 random bits, so one round of SHA-256 is enough.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Bytes of a caller's name. It stands in metrics and logs.
const NAME_BYTES_MAX: usize = 64;
/// Callers of a list: one per kind of process is usual. Each is a label of a metric.
const CALLERS_MAX: usize = 1_000;

/// An entry of an access list.
pub trait Entry {
    fn name(&self) -> &str;
    /// Returns the SHA-256 of the key, in hexadecimal.
    fn key_sha256(&self) -> &str;
}

/// Makes a key and the hash of it for the list. The key is nowhere else.
pub fn fresh_key() -> (String, String) {
    let key = hexadecimal(&runtime::random_bytes::<32>());
    let hash = hexadecimal(&Sha256::digest(key.as_bytes()));
    (key, hash)
}

/// Checks the names and hashes of a list; says what is wrong.
pub fn check<E: Entry>(callers: &[E]) -> Result<(), String> {
    let wrong = |what: String| Err(format!("The access list is wrong: {what}."));
    if callers.is_empty() || callers.len() > CALLERS_MAX {
        return wrong(format!("it has {} callers; 1 to {CALLERS_MAX} are possible", callers.len()));
    }
    for (index, caller) in callers.iter().enumerate() {
        let name = caller.name();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(is_plain) {
            return Err(format!("'{name}' is no name of a caller; use up to {NAME_BYTES_MAX} letters, digits, - and _."));
        }
        if callers[..index].iter().any(|other| other.name() == name) {
            return wrong(format!("'{name}' stands in it twice"));
        }
        if key_hash(caller).is_none() {
            return wrong(format!("the key_sha256 of '{name}' is not 64 hexadecimal digits"));
        }
    }
    Ok(())
}

/// Finds who calls; `service` is what its keys are called in the configuration. Takes the same time for a wrong key as for a right
/// one, and for a name that is not on the list.
pub fn identify<'a, E: Entry>(callers: &'a [E], authorization: Option<&str>, service: &str) -> Result<&'a E, String> {
    let credentials = authorization.and_then(|text| text.strip_prefix("Bearer ")).and_then(|text| text.split_once(':'));
    let Some((name, key)) = credentials else {
        return Err(format!(
            "The {service} service has an access list, and this call names no caller. Set {service}.caller and {service}.key."
        ));
    };
    let given: [u8; 32] = Sha256::digest(key.as_bytes()).into();
    let mut found = None;
    for caller in callers {
        let is_key = key_hash(caller).unwrap_or_default().ct_eq(&given);
        if bool::from(is_key) && caller.name() == name {
            found = Some(caller);
        }
    }
    found.ok_or_else(|| {
        format!("The {service} service's access list has no such caller with such a key. Look at {service}.caller and {service}.key.")
    })
}

fn key_hash<E: Entry>(caller: &E) -> Option<[u8; 32]> {
    let digits = caller.key_sha256().as_bytes();
    let mut hash = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| (digit as char).to_digit(16));
        *byte = (high? * 16 + low?) as u8;
    }
    Some(hash)
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)] as char, DIGITS[usize::from(byte & 15)] as char]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(String, String);

    impl Entry for Named {
        fn name(&self) -> &str {
            &self.0
        }
        fn key_sha256(&self) -> &str {
            &self.1
        }
    }

    fn named(name: &str) -> (Named, String) {
        let (key, hash) = fresh_key();
        (Named(name.to_owned(), hash), key)
    }

    #[test]
    fn callers_are_known_by_name_and_key() {
        let ((site, site_key), (other, other_key)) = (named("site"), named("other"));
        let list = [site, other];
        let known = |text: String| identify(&list, Some(&text), "feeds").map(|caller| caller.0.clone());
        assert_eq!(known(format!("Bearer site:{site_key}")), Ok("site".to_owned()));
        assert_eq!(known(format!("Bearer other:{other_key}")), Ok("other".to_owned()));
        for wrong in [
            format!("Bearer other:{site_key}"),
            format!("Bearer site:{site_key}0"),
            "Bearer site:".to_owned(),
            format!("Bearer nobody:{site_key}"),
            format!("Basic site:{site_key}"),
            format!("Bearer {site_key}"),
            String::new(),
        ] {
            let refusal = known(wrong.clone()).expect_err("a refusal");
            assert!(refusal.contains("feeds.key"), "{wrong}: {refusal}");
            assert!(!refusal.contains(&site_key), "a refusal never holds a key");
        }
        assert!(identify(&list, None, "feeds").is_err());
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said() {
        let hash = "a".repeat(64);
        let cases: [(&str, &[(&str, &str)]); 4] = [
            ("has 0 callers", &[]),
            ("twice", &[("site", &hash), ("site", &hash)]),
            ("64 hexadecimal digits", &[("site", "z")]),
            ("'a:b' is no name", &[("a:b", &hash)]),
        ];
        for (wanted, callers) in cases {
            let callers: Vec<Named> = callers.iter().map(|(name, hash)| Named((*name).to_owned(), (*hash).to_owned())).collect();
            let error = check(&callers).expect_err("a wrong list");
            assert!(error.contains(wanted), "{error} should say {wanted}");
        }
        assert_eq!(check(&[Named("site".to_owned(), hash)]), Ok(()));
    }
}
