//! What can go wrong, said by what is known about it.

pub type Result<T> = std::result::Result<T, Error>;

/// Why storage did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What was asked makes no sense; asking again will not help.
    #[error("{0}")]
    Invalid(String),
    /// What is stored is not what the caller thought; nothing was written. Read again and decide anew.
    #[error("{0}")]
    Conflict(String),
    /// What should be changed is not there; nothing was written.
    #[error("{0}")]
    NotFound(String),
    /// It did not happen; trying again later may help.
    #[error("{0}")]
    Unavailable(String),
    /// It may have happened. With an idempotency key the same batch can be written again.
    #[error("{0}")]
    Unknown(String),
    /// What is stored can't be what was stored.
    #[error("{0}")]
    Corrupt(String),
}

impl Error {
    /// Names the kind of error for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Error::Invalid(_) => "invalid",
            Error::Conflict(_) => "conflict",
            Error::NotFound(_) => "not_found",
            Error::Unavailable(_) => "unavailable",
            Error::Unknown(_) => "unknown",
            Error::Corrupt(_) => "corrupt",
        }
    }
}

impl From<sqlite::Error> for Error {
    fn from(error: sqlite::Error) -> Error {
        match error {
            sqlite::Error::Invalid(message) => Error::Invalid(message),
            sqlite::Error::Conflict(message) => Error::Conflict(message),
            sqlite::Error::NotFound(message) => Error::NotFound(message),
            sqlite::Error::Unavailable(message) => Error::Unavailable(message),
            sqlite::Error::Unknown(message) => Error::Unknown(message),
            sqlite::Error::Corrupt(message) => Error::Corrupt(message),
        }
    }
}
