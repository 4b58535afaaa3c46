//! Passwords and other secrets: hashed with Argon2id, compared in constant time, a few at once so that sign-ins can't eat the machine.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::compose::{App, PasswordCost};
use crate::error::{Error, Result};

/// Hashes computed at once. Each takes 19 MiB and some tens of milliseconds of a core.
static HASHERS: Semaphore = Semaphore::const_new(2);

fn hasher(cost: PasswordCost) -> Result<Argon2<'static>> {
    let params = Params::new(cost.memory_kib, cost.passes, 1, None).map_err(Error::internal)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

impl App {
    /// Hashes a new password into a PHC string.
    pub(crate) async fn hash_password(&self, password: &str) -> Result<String> {
        let (password, cost) = (password.to_owned(), self.settings.password_cost);
        run(move || Ok(hasher(cost)?.hash_password(password.as_bytes()).map_err(Error::internal)?.to_string())).await
    }

    /// Checks a password. With no hash to check against it takes as long and says no, so that time does not tell who has an account.
    pub(crate) async fn check_password(&self, password: &str, hash: &str) -> Result<bool> {
        let (password, hash, cost) = (password.to_owned(), hash.to_owned(), self.settings.password_cost);
        run(move || {
            let Ok(parsed) = PasswordHash::new(&hash) else {
                hasher(cost)?.hash_password(password.as_bytes()).map_err(Error::internal)?;
                return Ok(false);
            };
            Ok(hasher(cost)?.verify_password(password.as_bytes(), &parsed).is_ok())
        })
        .await
    }
}

async fn run<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let _permit = HASHERS.acquire().await.map_err(Error::internal)?;
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

/// Makes a random secret of 32 bytes, in base64url.
pub(crate) fn new_secret() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(runtime::random_bytes::<32>())
}

/// Hashes a random secret for storage. It has 256 bits of its own, so a plain hash is enough.
pub(crate) fn hash_secret(secret: &str) -> String {
    model::text::hex(&Sha256::digest(secret.as_bytes()))
}

/// Compares a secret with its stored hash in constant time.
pub(crate) fn secret_matches(secret: &str, stored_hash: &str) -> bool {
    hash_secret(secret).as_bytes().ct_eq(stored_hash.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_only_its_own_hash() {
        let (a, b) = (new_secret(), new_secret());
        assert_ne!(a, b);
        assert!(secret_matches(&a, &hash_secret(&a)));
        assert!(!secret_matches(&b, &hash_secret(&a)));
        assert!(!secret_matches(&a, ""));
    }
}
