//! Events: what happened, as records that are kept. A noun and a past verb.

use serde::{Deserialize, Serialize};

use crate::id::{Id, UserId};
use crate::time::Timestamp;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Unique; a log that is handed the same id twice keeps one.
    pub id: String,
    pub kind: EventKind,
    pub at: Timestamp,
    /// Who did it; `None` for the site itself and for people who are not signed in.
    #[serde(default)]
    pub actor: Option<UserId>,
    /// What it was done to. The first one keys the order: one subject's events stay in order.
    #[serde(default)]
    pub subjects: Vec<Id>,
    #[serde(default)]
    pub request_id: String,
    #[serde(default)]
    pub role: String,
    #[serde(default)]
    pub host: String,
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub data: serde_json::Value,
}

impl Event {
    /// Returns the `n`th subject if it is of the wanted kind.
    pub fn subject<T: TryFrom<Id>>(&self, n: usize) -> Option<T> {
        self.subjects.get(n).and_then(|id| T::try_from(*id).ok())
    }
}

/// A stream of events that is consumed on its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// What people did.
    Activity,
    /// What people saw: pages, searches.
    Impressions,
    /// What went wrong.
    Errors,
    /// Privileged acts and sign-ins.
    Audit,
}

impl Topic {
    pub const ALL: [Topic; 4] = [Topic::Activity, Topic::Impressions, Topic::Errors, Topic::Audit];

    pub fn as_str(self) -> &'static str {
        match self {
            Topic::Activity => "activity",
            Topic::Impressions => "impressions",
            Topic::Errors => "errors",
            Topic::Audit => "audit",
        }
    }
}

macro_rules! event_kinds {
    ($($topic:ident: $($name:ident = $text:literal),+;)+) => {
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum EventKind { $($(#[serde(rename = $text)] $name,)+)+ }

        impl EventKind {
            pub const ALL: &'static [EventKind] = &[$($(EventKind::$name),+),+];

            pub fn as_str(self) -> &'static str {
                match self { $($(EventKind::$name => $text),+),+ }
            }

            /// Returns the topic that events of this kind go to.
            pub fn topic(self) -> Topic {
                match self { $($(EventKind::$name)|+ => Topic::$topic),+ }
            }
        }
    };
}

event_kinds! {
    Activity:
        UserSignedUp = "user_signed_up", UserChanged = "user_changed", UserDeleted = "user_deleted",
        BoardCreated = "board_created", BoardChanged = "board_changed", BoardDeleted = "board_deleted",
        SectionCreated = "section_created", SectionChanged = "section_changed", SectionDeleted = "section_deleted",
        PinCreated = "pin_created", PinSaved = "pin_saved", PinChanged = "pin_changed", PinMoved = "pin_moved",
        PinTrashed = "pin_trashed", PinRestored = "pin_restored", PinPurged = "pin_purged",
        PinLiked = "pin_liked", PinUnliked = "pin_unliked",
        CommentCreated = "comment_created", CommentDeleted = "comment_deleted",
        CommentLiked = "comment_liked", CommentUnliked = "comment_unliked",
        UserFollowed = "user_followed", UserUnfollowed = "user_unfollowed",
        BoardFollowed = "board_followed", BoardUnfollowed = "board_unfollowed",
        BoardLeftOut = "board_left_out", BoardTakenBack = "board_taken_back",
        TopicFollowed = "topic_followed", TopicUnfollowed = "topic_unfollowed",
        UserBlocked = "user_blocked", UserUnblocked = "user_unblocked",
        UserMuted = "user_muted", UserUnmuted = "user_unmuted",
        CollaboratorInvited = "collaborator_invited", CollaboratorJoined = "collaborator_joined",
        CollaboratorLeft = "collaborator_left",
        // Privileged acts from which something follows: purges, notices, mails. The audit log of storage has them too.
        LegalHoldReleased = "legal_hold_released",
        TakedownMade = "takedown_made", TakedownAppealed = "takedown_appealed", TakedownDecided = "takedown_decided";
    Impressions:
        PageViewed = "page_viewed", SearchMade = "search_made", LinkClicked = "link_clicked";
    Errors:
        RequestFailed = "request_failed", JobFailed = "job_failed", ConsumerFailed = "consumer_failed", ImportRefused = "import_refused";
    Audit:
        UserSignedIn = "user_signed_in", UserSignedOut = "user_signed_out", SignInRefused = "sign_in_refused",
        PasswordChanged = "password_changed", PasswordResetAsked = "password_reset_asked", SessionRevoked = "session_revoked",
        TokenCreated = "token_created", TokenRevoked = "token_revoked",
        UserSuspended = "user_suspended", UserReinstated = "user_reinstated", AdminGranted = "admin_granted",
        ReportMade = "report_made", ReportDecided = "report_decided",
        PinHidden = "pin_hidden", PinShown = "pin_shown", SiteChanged = "site_changed",
        LegalHoldPlaced = "legal_hold_placed", UserErased = "user_erased";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_written_as_their_text() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{}\"", kind.as_str()));
        }
        assert_eq!(EventKind::PinSaved.topic(), Topic::Activity);
    }
}
