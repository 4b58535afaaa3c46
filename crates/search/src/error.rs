//! What can go wrong, said by what is known about it.

/// Why a call of search failed. Odd queries are not among the reasons: they get an empty page and a note.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The argument makes no sense; the message says what to write instead.
    #[error("{0}")]
    Invalid(String),
    /// Another process writes this index.
    #[error("{0}")]
    Conflict(String),
    /// It did not happen.
    #[error("{0}")]
    Unavailable(String),
    /// It may have happened; doing it again is safe.
    #[error("{0}")]
    Unknown(String),
    /// What is stored can't be read.
    #[error("{0}")]
    Corrupt(String),
}

impl Error {
    /// Names the kind of the error for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Error::Invalid(_) => "invalid",
            Error::Conflict(_) => "conflict",
            Error::Unavailable(_) => "unavailable",
            Error::Unknown(_) => "unknown",
            Error::Corrupt(_) => "corrupt",
        }
    }
}

pub type Result<T> = std::result::Result<T, Error>;
