//! What is stored for the law: legal holds and takedowns. Both live on the shard of their subject, so that one batch decides.
//!
//! ```text
//! legal hold   in force ─▶ released                     while it stands nothing of its subject is purged
//! takedown     in force ─▶ appealed ─▶ upheld           the owner appeals once
//!                  └───────────┴─────────┴──▶ reversed  the subject shows again
//! ```
//!
//! Records outlive people: they name them by id only, and free text in them is blanked when its person is erased.

use serde::{Deserialize, Serialize};

use crate::id::{Id, ReportId, UserId};
use crate::object::SCHEMA_VERSION;
use crate::time::Timestamp;

fn schema_version() -> u16 {
    SCHEMA_VERSION
}

/// An order to keep what there is of a person or a pin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LegalHold {
    #[serde(default = "schema_version")]
    pub v: u16,
    /// A person, who is held with all of their pins, comments, boards and pictures; or a pin with all that hangs on it.
    pub subject: Id,
    pub reason: String,
    /// The case's number at whoever asked for it.
    #[serde(default)]
    pub reference: String,
    /// `None` for whoever runs the site, on the command line.
    #[serde(default)]
    pub placed_by: Option<UserId>,
    pub placed_at: Timestamp,
    #[serde(default)]
    pub release: Option<Release>,
}

/// The end of a legal hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    #[serde(default)]
    pub by: Option<UserId>,
    pub at: Timestamp,
    pub reason: String,
}

/// Why something was taken down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakedownReason {
    Copyright,
    Illegal,
    Privacy,
    Rules,
    Other,
}

impl TakedownReason {
    pub const ALL: [TakedownReason; 5] =
        [TakedownReason::Copyright, TakedownReason::Illegal, TakedownReason::Privacy, TakedownReason::Rules, TakedownReason::Other];

    pub fn as_str(self) -> &'static str {
        match self {
            TakedownReason::Copyright => "copyright",
            TakedownReason::Illegal => "illegal",
            TakedownReason::Privacy => "privacy",
            TakedownReason::Rules => "rules",
            TakedownReason::Other => "other",
        }
    }

    pub fn parse(text: &str) -> Option<TakedownReason> {
        TakedownReason::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// Says it in words that finish "It was taken down because …".
    pub fn because(self) -> &'static str {
        match self {
            TakedownReason::Copyright => "somebody says that it uses their work without permission",
            TakedownReason::Illegal => "it breaks the law",
            TakedownReason::Privacy => "it shows private things about somebody",
            TakedownReason::Rules => "it breaks the rules of this site",
            TakedownReason::Other => "of a reason of its own",
        }
    }
}

/// Where a takedown stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakedownState {
    InForce,
    /// The owner has appealed, nobody has decided.
    Appealed,
    /// The appeal was refused: final.
    Upheld,
    /// Taken back: the subject shows again.
    Reversed,
}

impl TakedownState {
    pub const ALL: [TakedownState; 4] = [TakedownState::InForce, TakedownState::Appealed, TakedownState::Upheld, TakedownState::Reversed];

    pub fn as_str(self) -> &'static str {
        match self {
            TakedownState::InForce => "in_force",
            TakedownState::Appealed => "appealed",
            TakedownState::Upheld => "upheld",
            TakedownState::Reversed => "reversed",
        }
    }

    pub fn parse(text: &str) -> Option<TakedownState> {
        TakedownState::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Says whether `next` may follow. An admin may take back whatever is not taken back yet, without an appeal too.
    pub fn may_become(self, next: TakedownState) -> bool {
        match next {
            TakedownState::InForce => false,
            TakedownState::Appealed => self == TakedownState::InForce,
            TakedownState::Upheld => self == TakedownState::Appealed,
            TakedownState::Reversed => self != TakedownState::Reversed,
        }
    }
}

/// The record of a pin or a comment that was taken down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Takedown {
    #[serde(default = "schema_version")]
    pub v: u16,
    /// A pin or a comment.
    pub subject: Id,
    /// Whose the subject is; only they and admins see the record.
    pub owner: UserId,
    pub reason: TakedownReason,
    /// What the owner is told besides the reason.
    #[serde(default)]
    pub note: String,
    /// Who complained, in which letter; only admins see it.
    #[serde(default)]
    pub complainant: String,
    #[serde(default)]
    pub report: Option<ReportId>,
    /// `None` for whoever runs the site, on the command line.
    #[serde(default)]
    pub by: Option<UserId>,
    pub at: Timestamp,
    pub state: TakedownState,
    #[serde(default)]
    pub appeal: Option<Appeal>,
    #[serde(default)]
    pub decision: Option<Decided>,
}

/// What the owner says against a takedown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Appeal {
    pub text: String,
    pub at: Timestamp,
}

/// How a takedown ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    #[serde(default)]
    pub by: Option<UserId>,
    pub at: Timestamp,
    /// What the owner is told about it.
    #[serde(default)]
    pub note: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_follow_what() {
        use TakedownState as S;
        let allowed = [
            (S::InForce, S::Appealed),
            (S::InForce, S::Reversed),
            (S::Appealed, S::Upheld),
            (S::Appealed, S::Reversed),
            (S::Upheld, S::Reversed),
        ];
        for from in S::ALL {
            for to in S::ALL {
                assert_eq!(from.may_become(to), allowed.contains(&(from, to)), "{from:?} → {to:?}");
            }
        }
    }

    #[test]
    fn words_are_those_that_are_stored() {
        for state in TakedownState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
            assert_eq!(TakedownState::parse(state.as_str()), Some(state));
        }
        for reason in TakedownReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
            assert_eq!(TakedownReason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(TakedownReason::parse("boring"), None);
    }
}
