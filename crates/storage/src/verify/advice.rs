//! What to do about what a verification finds.

pub(crate) const RECOUNT: &str = "Run `corkboard storage verify --repair`: counts are set to the edges that are there.";
pub(crate) const MIRROR: &str = "Run `corkboard storage verify --repair`: the mirror follows from the edge on the first end's shard.";
pub(crate) const NAME: &str = "Run `corkboard storage verify --repair`: names follow from what bears them.";
pub(crate) const NAME_TAKEN: &str = "Two bear one name. Rename one of them on its page, then run `corkboard storage verify --repair`.";
pub(crate) const NAME_LOST: &str =
    "Nobody finds it there, and it can't be told who wrote it. Restore the shard from a backup, or delete the row by hand.";
pub(crate) const RESTORE: &str =
    "It can't be computed from anything else: restore the shard from a backup with `corkboard storage restore`.";
pub(crate) const SEQUENCE: &str =
    "Stop the writers of the shard and raise its row in `sequences` above the id, or restore the shard from a backup.";
pub(crate) const AUDIT: &str = "Somebody has changed the audit log past its protection. Nothing is mended here: keep the database as it is \
     for whoever looks into it, and compare with the last backup.";
pub(crate) const RIGHTS: &str = "A move or a failover was interrupted, or rights were changed by hand: run the same move again. \
     `corkboard storage status` tells which servers differ.";
pub(crate) const LEFT_BEHIND: &str =
    "Run `corkboard storage verify --repair`: rows that a move left behind are deleted once their new server is seen to have them.";
pub(crate) const STRAY: &str =
    "It can't be told where they belong: compare them with the shard's own server by hand before you delete them.";
pub(crate) const ON_ITS_WAY: &str =
    "If no move is running, run the interrupted one again, or take it back with `corkboard storage move --abort`.";
pub(crate) const AWAY: &str = "`corkboard storage status` says which server is away or which rights are wrong; verify again afterwards.";
pub(crate) const REPLICA: &str =
    "Don't read from it and don't fail over to it: take it out of the map, and build it anew from its primary.";
pub(crate) const REPLICA_AWAY: &str =
    "It was not compared. `corkboard storage status` says how its replication is; verify again when it has caught up.";
pub(crate) const REPLICA_BUSY: &str = "Too much is written there to compare it now: verify these shards again at a quieter time.";
