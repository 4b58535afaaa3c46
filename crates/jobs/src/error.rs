//! What can go wrong, said by what is known about it.

/// Why a call of the job queues failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The call makes no sense; the message says what to write instead.
    #[error("{0}")]
    Invalid(String),
    /// What is there speaks against it; nothing has changed.
    #[error("{0}")]
    Conflict(String),
    /// What was named is not there; nothing has changed.
    #[error("{0}")]
    NotFound(String),
    /// It did not happen. Trying again later is safe.
    #[error("The job queues are unavailable: {0}")]
    Unavailable(String),
    /// It may have happened. Enqueue again only with an idempotency key.
    #[error("The job queues gave no answer: {0} (it may have happened)")]
    Unknown(String),
    /// What is stored can't be read as what it should be.
    #[error("The job queues are damaged: {0}")]
    Corrupt(String),
}

/// What calls of the job queues return.
pub type Result<T> = std::result::Result<T, Error>;
