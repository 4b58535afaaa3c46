//! Why a source can't be read at all. What is wrong with a part of it is an [`Entry::Refused`](crate::Entry::Refused) instead.

use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Nothing of that name is there, or it can't be opened.
    #[error("{} can't be read: {source}. Check the path and its permissions.", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    /// A folder was expected.
    #[error("{} is not a folder. Name a folder that holds pictures.", .0.display())]
    NotAFolder(PathBuf),
    /// The file is larger than the limit.
    #[error("{} has {bytes} bytes; at most {limit} are read. Cut it into parts and import them one after the other.", path.display())]
    TooLarge { path: PathBuf, bytes: u64, limit: u64 },
    /// The file is of another kind.
    #[error("{} is not {expected}: {why}.", path.display())]
    Unrecognised { path: PathBuf, expected: &'static str, why: String },
}

impl ImportError {
    pub(crate) fn unreadable(path: &Path, source: std::io::Error) -> ImportError {
        ImportError::Unreadable { path: path.to_owned(), source }
    }
}
