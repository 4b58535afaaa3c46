//! The tables as MySQL and MariaDB make them. They hold what SQLite's hold, and what a fleet needs beside it.
//!
//! ```text
//! pins, … board_has_pins, … mapping_counts names audit idempotency sequences     as in engine/sqlite/schema.rs
//! outbox          position │ id │ event          its own order on each server
//! owned_shards    shard │ epoch │ state │ other │ frozen_until │ records         the shards that this server has: the law for writes
//! lease           at_ms │ until_ms │ semi_sync   whether this server may take writes; renewed every second, replicated with all else
//! commits         writer, lane │ count           what tells processes of each other's commits
//! shard_map       epoch │ promised │ map         the newest shard map that this server was told
//! changes         position │ shard │ epoch │ records │ at_ms │ changes    what commits changed, while a shard is copied or changes are kept
//!                 for recovery; `records` is since when they are, 0 when they are not
//! capacity_samples  at_ms │ row_count │ bytes
//! ```

use std::fmt::Write;

use model::{Assoc, Kind};

use super::shape::shapes;

const OPTIONS: &str = "ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC";

/// Returns the statements that make every table where it is missing.
pub(crate) fn tables() -> Vec<String> {
    let mut tables: Vec<String> = Vec::new();
    for kind in Kind::OBJECTS {
        tables.push(format!(
            "{} (id BIGINT NOT NULL PRIMARY KEY, data MEDIUMTEXT NOT NULL, version BIGINT NOT NULL, created_at BIGINT NOT NULL, \
             updated_at BIGINT NOT NULL, active TINYINT NOT NULL)",
            kind.table()
        ));
    }
    for assoc in Assoc::ALL {
        tables.push(format!(
            "{} (from_id BIGINT NOT NULL, to_id BIGINT NOT NULL, sequence BIGINT NOT NULL, PRIMARY KEY (from_id, to_id), \
             KEY by_sequence (from_id, sequence, to_id))",
            assoc.table()
        ));
    }
    tables.extend(FIXED.map(str::to_owned));
    tables.iter().map(|table| format!("CREATE TABLE IF NOT EXISTS {table} {OPTIONS}")).collect()
}

/// Names every table, for whoever looks what is missing.
pub(crate) fn names() -> Vec<&'static str> {
    let fixed = FIXED.iter().filter_map(|table| table.split(' ').next());
    let mut names: Vec<&str> = shapes().iter().map(|shape| shape.name).chain(fixed).collect();
    names.sort_unstable();
    names.dedup();
    names
}

const FIXED: [&str; 11] = [
    "mapping_counts (from_id BIGINT NOT NULL, assoc VARCHAR(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, count BIGINT NOT NULL, \
     PRIMARY KEY (from_id, assoc))",
    // A name's key has at most 1,024 bytes and is compared byte by byte.
    "names (slot BIGINT NOT NULL, kind VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, name_key VARBINARY(1024) NOT NULL, \
     id BIGINT NOT NULL, confirmed TINYINT NOT NULL, claimed_at BIGINT NOT NULL, PRIMARY KEY (slot, kind, name_key), \
     KEY unconfirmed (confirmed, claimed_at))",
    "outbox (position BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, id VARCHAR(64) NOT NULL, event MEDIUMTEXT NOT NULL)",
    "audit (id BIGINT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, actor BIGINT, act TEXT NOT NULL, subjects MEDIUMTEXT NOT NULL, \
     data MEDIUMTEXT NOT NULL, previous_hash VARCHAR(64) NOT NULL, hash VARCHAR(64) NOT NULL, KEY by_at (at, id))",
    "idempotency (slot BIGINT NOT NULL, idempotency_key VARBINARY(200) NOT NULL, batch_hash VARCHAR(64) NOT NULL, \
     answer MEDIUMTEXT NOT NULL, created_at BIGINT NOT NULL, PRIMARY KEY (slot, idempotency_key), KEY by_created_at (created_at))",
    "sequences (slot BIGINT NOT NULL PRIMARY KEY, next BIGINT NOT NULL)",
    "owned_shards (shard SMALLINT UNSIGNED NOT NULL PRIMARY KEY, epoch BIGINT NOT NULL, \
     state VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, other VARCHAR(64) NOT NULL DEFAULT '', \
     frozen_until BIGINT NOT NULL DEFAULT 0, records BIGINT NOT NULL DEFAULT 0)",
    "lease (id TINYINT NOT NULL PRIMARY KEY, at_ms BIGINT NOT NULL, until_ms BIGINT NOT NULL, semi_sync TINYINT NOT NULL)",
    "commits (writer BIGINT NOT NULL, lane SMALLINT NOT NULL, count BIGINT NOT NULL, at_ms BIGINT NOT NULL, PRIMARY KEY (writer, lane))",
    "shard_map (id TINYINT NOT NULL PRIMARY KEY, epoch BIGINT NOT NULL, promised BIGINT NOT NULL DEFAULT 0, map MEDIUMTEXT NOT NULL)",
    "changes (position BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, shard SMALLINT UNSIGNED NOT NULL, epoch BIGINT NOT NULL DEFAULT 0, \
     records BIGINT NOT NULL DEFAULT 0, at_ms BIGINT NOT NULL, changes LONGTEXT NOT NULL, KEY by_shard (shard, position), KEY by_at (at_ms))",
];

/// Tables that hold measurements and nothing of anybody's.
pub(crate) const SAMPLES: &str = "CREATE TABLE IF NOT EXISTS capacity_samples (at_ms BIGINT NOT NULL PRIMARY KEY, row_count BIGINT NOT NULL, \
     bytes BIGINT NOT NULL) ENGINE = InnoDB";

/// Returns the statements that make the audit log append-only. A move of shards, which takes the rows to another server, says so in a
/// variable of its session.
pub(crate) fn audit_triggers() -> String {
    let mut sql = String::new();
    for (name, act) in [("audit_is_never_changed", "UPDATE"), ("audit_is_never_deleted", "DELETE")] {
        let _ = write!(
            sql,
            "DROP TRIGGER IF EXISTS {name}; CREATE TRIGGER {name} BEFORE {act} ON audit FOR EACH ROW \
             IF @corkboard_moves_shards IS NULL THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the audit log is append-only'; END IF; "
        );
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_has_its_table() {
        let tables = tables();
        for shape in shapes() {
            let table = tables.iter().find(|table| table.contains(&format!(" {} (", shape.name))).expect("a table");
            for column in shape.columns {
                assert!(table.contains(&format!("{column} ")), "{} has no {column}", shape.name);
            }
        }
        assert!(names().contains(&"outbox") && names().contains(&"pins"));
    }
}
