//! What can go wrong, said by what is known about it. Readers never see these: a cache that fails is a miss.

/// Why a call of the cache failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The call makes no sense; the message says what to write instead.
    #[error("{0}")]
    Invalid(String),
    /// It did not happen.
    #[error("The cache is unavailable: {0}")]
    Unavailable(String),
    /// It may have happened; doing it again is safe.
    #[error("The cache gave no answer: {0}")]
    Unknown(String),
}

/// What calls of the cache return.
pub type Result<T> = std::result::Result<T, Error>;
