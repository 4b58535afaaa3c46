//! What can go wrong, said by what is known about it.

pub type Result<T> = std::result::Result<T, Error>;

/// Why a statement has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing reached the server.
    #[error("{0}")]
    Unavailable(String),
    /// The connection broke, or the deadline passed, while a statement was on its way: it may have been done.
    #[error("{0}")]
    Lost(String),
    /// The server said no. Statements before this one in the same call were done.
    #[error("The server refused: {message} (error {code}).")]
    Refused { code: u16, message: String },
    /// The answer is not what the question was about.
    #[error("{0}")]
    Corrupt(String),
}

impl Error {
    /// Tells whether another attempt may succeed by itself: deadlocks and lock waits, a server that shuts down or only reads.
    pub fn is_passing(&self) -> bool {
        match self {
            Error::Unavailable(_) | Error::Lost(_) => true,
            // Too many connections, shutting down, lock wait, deadlock, read-only, statement time limit, killed.
            Error::Refused { code, .. } => matches!(code, 1040 | 1053 | 1205 | 1213 | 1290 | 1836 | 1969 | 3024 | 1317 | 1927),
            Error::Corrupt(_) => false,
        }
    }

    /// Tells whether it is the server's health that failed, and not the statement.
    pub(crate) fn is_sick(&self) -> bool {
        match self {
            Error::Unavailable(_) | Error::Lost(_) => true,
            Error::Refused { code, .. } => matches!(code, 1040 | 1053 | 1927),
            Error::Corrupt(_) => false,
        }
    }

    /// Names the kind of error for metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Error::Unavailable(_) => "unavailable",
            Error::Lost(_) => "lost",
            Error::Refused { .. } => "refused",
            Error::Corrupt(_) => "corrupt",
        }
    }

    pub fn code(&self) -> Option<u16> {
        match self {
            Error::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}
