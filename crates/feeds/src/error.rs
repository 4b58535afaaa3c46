//! What can go wrong, said by what is known about it.

/// Why a call of the feeds failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The call makes no sense; the message says what to write instead.
    #[error("{0}")]
    Invalid(String),
    /// It did not happen. Trying again later is safe.
    #[error("The feeds are unavailable: {0}")]
    Unavailable(String),
    /// It may have happened. Trying again is safe, because every call sets a state.
    #[error("The feeds gave no answer: {0} (it may have happened; doing it again is safe)")]
    Unknown(String),
    /// A snapshot can't be read as what it should be.
    #[error("The snapshot of the feeds is damaged: {0}")]
    Corrupt(String),
}

/// What calls of the feeds return.
pub type Result<T> = std::result::Result<T, Error>;
