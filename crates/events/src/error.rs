//! What can go wrong, said by what is known about it.

/// Why a call of the log failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The call makes no sense; the message says what to write instead.
    #[error("{0}")]
    Invalid(String),
    /// It did not happen. Trying again later is safe.
    #[error("The event log is unavailable: {0}")]
    Unavailable(String),
    /// It may have happened. Trying again is safe, because an event id is kept once.
    #[error("The event log gave no answer: {0} (it may have happened; doing it again is safe)")]
    Unknown(String),
    /// What is kept can't be read as what it should be.
    #[error("The event log is damaged: {0}")]
    Corrupt(String),
}

/// What calls of the log return.
pub type Result<T> = std::result::Result<T, Error>;
