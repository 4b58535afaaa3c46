//! What can go wrong when somebody does something, in the words of what is known.

use model::Invalid;

/// Why an action did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input is wrong; the message says what and what to do.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("Log in to do this.")]
    SignInNeeded,
    #[error("{0}")]
    Forbidden(String),
    /// Not there, or not for this viewer: the two are never told apart.
    #[error("{} not found.", .0.label())]
    NotFound(What),
    #[error("{0}")]
    Conflict(String),
    #[error("Too many attempts. Try again in {retry_after_seconds} seconds.")]
    TooMany { retry_after_seconds: u64 },
    /// A part that is needed is away; nothing was changed.
    #[error("{0}")]
    Unavailable(String),
    /// A defect or a broken part; the details are in the log.
    #[error("Something went wrong on our side. It was logged.")]
    Internal(#[source] anyhow::Error),
}

pub type Result<T> = std::result::Result<T, Error>;

/// What was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    User,
    Board,
    Section,
    Pin,
    Comment,
    Topic,
    Picture,
    Report,
    Session,
    Token,
    Invitation,
    LegalHold,
    Takedown,
    Page,
}

impl What {
    pub fn label(self) -> &'static str {
        match self {
            What::User => "User",
            What::Board => "Board",
            What::Section => "Section",
            What::Pin => "Pin",
            What::Comment => "Comment",
            What::Topic => "Topic",
            What::Picture => "Picture",
            What::Report => "Report",
            What::Session => "Session",
            What::Token => "Token",
            What::Invitation => "Invitation",
            What::LegalHold => "Legal hold",
            What::Takedown => "Takedown",
            What::Page => "Page",
        }
    }
}

impl Error {
    pub fn invalid(field: &'static str, message: impl Into<String>) -> Error {
        Error::Invalid(Invalid::new(field, message))
    }

    pub fn internal(message: impl std::fmt::Display) -> Error {
        Error::Internal(anyhow::anyhow!("{message}"))
    }
}

impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Error {
        match error {
            storage::Error::Conflict(reason) => {
                tracing::debug!(reason, "a write met another one");
                Error::Conflict("This was changed by somebody else at the same time. Look at it again and repeat what you did.".into())
            }
            storage::Error::NotFound(reason) => Error::Conflict(format!("What this belongs to is gone: {reason}")),
            storage::Error::Unavailable(reason) => {
                tracing::warn!(reason, "storage is away");
                Error::Unavailable("The store is away for a moment. Nothing was changed; try again.".into())
            }
            storage::Error::Unknown(reason) => {
                tracing::warn!(reason, "storage does not know whether a write happened");
                Error::Unavailable("The store did not answer in time. Look whether it happened before you try again.".into())
            }
            other => Error::Internal(other.into()),
        }
    }
}

/// Turns a part's errors into the application's: one that is away is waited for by whoever can wait, and said to whoever can't.
macro_rules! away_or_internal {
    ($($error:ty, $what:literal);+) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Error {
                type Part = $error;
                match error {
                    Part::Unavailable(reason) | Part::Unknown(reason) => {
                        tracing::warn!(reason, concat!($what, " are away"));
                        Error::Unavailable(concat!($what, " are away for a moment. Try again.").into())
                    }
                    other => Error::Internal(other.into()),
                }
            }
        }
    )+};
}

away_or_internal!(feeds::Error, "The feeds"; search::Error, "The search results"; jobs::Error, "The background jobs"; events::Error, "The events");

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Error {
        Error::Internal(error.into())
    }
}
