//! What can go wrong, said by what is known about it. Closures use the same type to refuse.

use rusqlite::ErrorCode;

pub type Result<T> = std::result::Result<T, Error>;

/// Why a read or a write was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What was asked makes no sense; the message says what to write instead.
    #[error("{0}")]
    Invalid(String),
    /// What was asked contradicts what is stored; nothing was written.
    #[error("{0}")]
    Conflict(String),
    /// What was asked for is not there; nothing was written.
    #[error("{0}")]
    NotFound(String),
    /// It did not happen; trying again later may help.
    #[error("{0}")]
    Unavailable(String),
    /// It may have happened: the disk failed while it was made durable.
    #[error("{0}")]
    Unknown(String),
    /// The file holds what it should not.
    #[error("{0}")]
    Corrupt(String),
}

impl From<rusqlite::Error> for Error {
    /// Classifies an error of a statement. Inside a transaction that has not been committed every failure means that nothing
    /// happened; only a failing COMMIT is less certain, and the writer deals with it itself.
    fn from(error: rusqlite::Error) -> Error {
        match &error {
            rusqlite::Error::QueryReturnedNoRows => Error::NotFound("The row is not there.".to_owned()),
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::InvalidColumnType(..) => {
                Error::Corrupt(format!("A row holds what its table should not: {error}. Run `corkboard doctor`; restore a backup."))
            }
            _ => match error.sqlite_error_code() {
                Some(ErrorCode::ConstraintViolation) => Error::Conflict(format!("A constraint of the database refused this: {error}.")),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    Error::Corrupt(format!("The database file is damaged: {error}. Stop, copy the file, and restore a backup."))
                }
                Some(ErrorCode::DiskFull) => Error::Unavailable(format!("The disk is full: {error}. Make room; nothing was written.")),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                    Error::Unavailable(format!("Another process holds the database for too long: {error}. Try again."))
                }
                _ => Error::Unavailable(format!("The database did not do it: {error}.")),
            },
        }
    }
}
