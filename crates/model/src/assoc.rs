//! Associations: directed edges between ids, each kind a mapping table on the shard of its *from* id.
//!
//! `sequence` orders an association and is usually the instant in milliseconds at which it was made; where it means something
//! else, the line says so. An edge is unique on (from, to). Edges that are read from both ends are two associations, one on each
//! shard; [`Assoc::mirror`] names the other one.

use crate::id::Kind;

macro_rules! assocs {
    ($($(#[$doc:meta])* $name:ident = $table:literal, $from:ident -> $to:ident;)+) => {
        /// One kind of association.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Assoc { $($(#[$doc])* $name,)+ }

        impl Assoc {
            pub const ALL: &'static [Assoc] = &[$(Assoc::$name),+];

            /// Returns the mapping table's name: noun_verb_noun.
            pub fn table(self) -> &'static str {
                match self { $(Assoc::$name => $table),+ }
            }

            /// Returns the kinds of the two ends: (from, to).
            pub fn ends(self) -> (Kind, Kind) {
                match self { $(Assoc::$name => (Kind::$from, Kind::$to)),+ }
            }
        }
    };
}

assocs! {
    /// Sequence: the owner's order by hand; new boards come first.
    UserHasBoards = "user_has_boards", User -> Board;
    UserHasPins = "user_has_pins", User -> Pin;
    /// Sequence: the pin's own instant.
    BoardHasPins = "board_has_pins", Board -> Pin;
    /// Only on boards ordered by hand. Sequence: the order by hand.
    BoardOrdersPins = "board_orders_pins", Board -> Pin;
    /// Sequence: the owner's order by hand.
    BoardHasSections = "board_has_sections", Board -> Section;
    SectionHasPins = "section_has_pins", Section -> Pin;
    /// Sequence: the instant of deletion; purged 30 days later.
    UserTrashesPins = "user_trashes_pins", User -> Pin;
    /// From the pin that was saved (the parent) to the copy.
    PinHasSaves = "pin_has_saves", Pin -> Pin;
    UserLikesPins = "user_likes_pins", User -> Pin;
    PinLikedByUsers = "pin_liked_by_users", Pin -> User;
    PinHasComments = "pin_has_comments", Pin -> Comment;
    CommentHasReplies = "comment_has_replies", Comment -> Comment;
    UserWritesComments = "user_writes_comments", User -> Comment;
    UserLikesComments = "user_likes_comments", User -> Comment;
    CommentLikedByUsers = "comment_liked_by_users", Comment -> User;
    UserFollowsUsers = "user_follows_users", User -> User;
    UserFollowedByUsers = "user_followed_by_users", User -> User;
    UserFollowsBoards = "user_follows_boards", User -> Board;
    BoardFollowedByUsers = "board_followed_by_users", Board -> User;
    /// Boards left out of a followed person.
    UserLeavesOutBoards = "user_leaves_out_boards", User -> Board;
    BoardLeftOutByUsers = "board_left_out_by_users", Board -> User;
    UserFollowsTopics = "user_follows_topics", User -> Topic;
    TopicFollowedByUsers = "topic_followed_by_users", Topic -> User;
    /// Public pins that carry the topic's tag.
    TopicHasPins = "topic_has_pins", Topic -> Pin;
    UserBlocksUsers = "user_blocks_users", User -> User;
    UserBlockedByUsers = "user_blocked_by_users", User -> User;
    UserMutesUsers = "user_mutes_users", User -> User;
    /// Boards of others on which a person collaborates; the role stands in the board.
    UserJoinsBoards = "user_joins_boards", User -> Board;
    UserInvitedToBoards = "user_invited_to_boards", User -> Board;
    ImageHasPins = "image_has_pins", Image -> Pin;
    /// People whose profile shows the picture.
    ImageShownByUsers = "image_shown_by_users", Image -> User;
    /// Sequence: the id of the person's newest pin of that picture, so that "already on board X" is one look-up.
    UserHasImages = "user_has_images", User -> Image;
    UserHasSessions = "user_has_sessions", User -> Session;
    UserHasTokens = "user_has_tokens", User -> Token;
    UserHasNotifications = "user_has_notifications", User -> Notification;
    SiteHasReports = "site_has_reports", Site -> Report;
    SiteHasUsers = "site_has_users", Site -> User;
    /// Those of a board's pins that were taken down: in no count.
    BoardHidesPins = "board_hides_pins", Board -> Pin;
    /// Legal holds on a person that are in force: while there is one, nothing of theirs is purged.
    UserHasHolds = "user_has_holds", User -> LegalHold;
    /// Legal holds on a pin that are in force.
    PinHasHolds = "pin_has_holds", Pin -> LegalHold;
    /// Pictures that a person's profile showed and that only a legal hold keeps.
    UserKeepsImages = "user_keeps_images", User -> Image;
    /// All takedowns of a person's pins and comments, for their own page.
    UserHasTakedowns = "user_has_takedowns", User -> Takedown;
    PinHasTakedowns = "pin_has_takedowns", Pin -> Takedown;
    /// All legal holds that ever were.
    SiteHasHolds = "site_has_holds", Site -> LegalHold;
    SiteHasTakedowns = "site_has_takedowns", Site -> Takedown;
    /// Takedowns whose appeal waits for a decision. Sequence: the instant of the appeal.
    SiteHasAppeals = "site_has_appeals", Site -> Takedown;
    /// Pins whose purge waits for the end of a legal hold. Sequence: since when.
    SitePostponesPins = "site_postpones_pins", Site -> Pin;
    /// People of whom something waits to be purged for the end of a legal hold. Sequence: since when.
    SitePostponesUsers = "site_postpones_users", Site -> User;
}

impl Assoc {
    /// Associations that hold the same edge from either end. The first of each pair is the truth: the second follows from it.
    pub const MIRRORED: [(Assoc, Assoc); 7] = [
        (Assoc::UserLikesPins, Assoc::PinLikedByUsers),
        (Assoc::UserLikesComments, Assoc::CommentLikedByUsers),
        (Assoc::UserFollowsUsers, Assoc::UserFollowedByUsers),
        (Assoc::UserFollowsBoards, Assoc::BoardFollowedByUsers),
        (Assoc::UserLeavesOutBoards, Assoc::BoardLeftOutByUsers),
        (Assoc::UserFollowsTopics, Assoc::TopicFollowedByUsers),
        (Assoc::UserBlocksUsers, Assoc::UserBlockedByUsers),
    ];

    /// Returns the association that holds the same edge on the shard of the other end.
    pub fn mirror(self) -> Option<Assoc> {
        Assoc::MIRRORED.iter().find_map(|(a, b)| {
            if *a == self {
                Some(*b)
            } else if *b == self {
                Some(*a)
            } else {
                None
            }
        })
    }
}

/// What a unique name is unique among.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum NameKind {
    /// A user name, in lower case.
    Username,
    /// An e-mail address, in lower case.
    Email,
    /// A picture's SHA-256, in hexadecimal.
    ImageHash,
    /// A topic's tag, in lower case, without '#'.
    Tag,
    /// `<owner id>/<slug>`: board addresses are unique per person. Lives on the owner's shard.
    BoardSlug,
    /// `<owner id>/<key of the source>`: what an import or an idempotent request made. Lives on the owner's shard.
    SourceKey,
}

impl NameKind {
    pub fn as_str(self) -> &'static str {
        match self {
            NameKind::Username => "username",
            NameKind::Email => "email",
            NameKind::ImageHash => "image_hash",
            NameKind::Tag => "tag",
            NameKind::BoardSlug => "board_slug",
            NameKind::SourceKey => "source_key",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_unique_and_mirrors_swap_ends() {
        let mut tables: Vec<_> = Assoc::ALL.iter().map(|assoc| assoc.table()).collect();
        tables.sort();
        tables.dedup();
        assert_eq!(tables.len(), Assoc::ALL.len());
        for assoc in Assoc::ALL {
            if let Some(mirror) = assoc.mirror() {
                assert_eq!(mirror.mirror(), Some(*assoc));
                assert_eq!((assoc.ends().1, assoc.ends().0), mirror.ends());
            }
        }
    }
}
