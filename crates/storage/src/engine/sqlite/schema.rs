//! The tables, and the statements on the many that look alike.
//!
//! ```text
//! pins, boards, …          id │ data (JSON) │ version │ created_at │ updated_at │ active         one table per kind
//! board_has_pins, …        from_id, to_id │ sequence                                             one table per association
//! mapping_counts           from_id, assoc │ count
//! names                    slot, kind, key │ id │ confirmed │ claimed_at
//! outbox                   position │ id │ event (JSON)
//! audit                    id │ at │ actor │ act │ subjects │ data │ previous_hash │ hash      id = shard<<46 | 13<<36 | number
//! idempotency              slot, key │ batch_hash │ answer │ created_at
//! sequences                slot │ next                                        slots: see engine/slots.rs
//! migration…               the site's way to a fleet of servers: see migration.rs
//! ```
//!
//! A shard is a contiguous range of every primary key but the outbox's.

use std::fmt::Write;
use std::sync::LazyLock;

use model::{Assoc, Kind};

/// The tables that don't follow from the vocabulary. Applied ones are never changed; a change is one more.
pub(super) const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE mapping_counts (
        from_id INTEGER NOT NULL,
        assoc TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (from_id, assoc)
    ) WITHOUT ROWID;
    CREATE TABLE names (
        slot INTEGER NOT NULL,
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        id INTEGER NOT NULL,
        confirmed INTEGER NOT NULL,
        claimed_at INTEGER NOT NULL,
        PRIMARY KEY (slot, kind, key)
    ) WITHOUT ROWID;
    CREATE INDEX names_unconfirmed ON names (slot, kind, key) WHERE confirmed = 0;
    CREATE TABLE outbox (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        event TEXT NOT NULL
    );
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        actor INTEGER,
        act TEXT NOT NULL,
        subjects TEXT NOT NULL,
        data TEXT NOT NULL,
        previous_hash TEXT NOT NULL,
        hash TEXT NOT NULL
    );
    CREATE INDEX audit_by_at ON audit (at);
    CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
    CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
    CREATE TABLE idempotency (
        slot INTEGER NOT NULL,
        key TEXT NOT NULL,
        batch_hash TEXT NOT NULL,
        answer TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        PRIMARY KEY (slot, key)
    ) WITHOUT ROWID;
    CREATE INDEX idempotency_by_created_at ON idempotency (created_at);
    CREATE TABLE sequences (
        slot INTEGER PRIMARY KEY,
        next INTEGER NOT NULL
    );
",
    "
    CREATE TABLE migration (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        state TEXT NOT NULL,
        token TEXT NOT NULL,
        target TEXT NOT NULL
    );
    INSERT INTO migration (id, state, token, target) VALUES (1, 'none', '', '');
    CREATE TABLE migration_changes (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        table_name TEXT NOT NULL,
        row_key TEXT NOT NULL
    );
    CREATE TABLE migration_followers (
        process INTEGER PRIMARY KEY,
        problem TEXT NOT NULL
    );
",
];

/// Returns the statements that make the tables of every kind and association, where they are missing.
pub(super) fn vocabulary_tables() -> String {
    let mut sql = String::new();
    for kind in Kind::OBJECTS {
        let table = kind.table();
        let _ = writeln!(
            sql,
            "CREATE TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY, data TEXT NOT NULL, version INTEGER NOT NULL, \
             created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, active INTEGER NOT NULL);"
        );
    }
    for assoc in Assoc::ALL {
        let table = assoc.table();
        let _ = writeln!(
            sql,
            "CREATE TABLE IF NOT EXISTS {table} (from_id INTEGER NOT NULL, to_id INTEGER NOT NULL, sequence INTEGER NOT NULL, \
             PRIMARY KEY (from_id, to_id)) WITHOUT ROWID;
             CREATE INDEX IF NOT EXISTS {table}_by_sequence ON {table} (from_id, sequence, to_id);"
        );
    }
    sql
}

/// The statements on one object table.
pub(super) struct ObjectSql {
    pub get: String,
    pub scan: String,
    pub state: String,
    pub create: String,
    pub update: String,
    pub set_active: String,
    pub purge: String,
}

/// The statements on one mapping table.
pub(super) struct MappingSql {
    pub descending: String,
    pub ascending: String,
    pub edge: String,
    pub map: String,
    pub remap: String,
    pub unmap: String,
}

static OBJECTS: LazyLock<Vec<ObjectSql>> = LazyLock::new(|| Kind::OBJECTS.iter().map(|kind| ObjectSql::of(kind.table())).collect());
static MAPPINGS: LazyLock<Vec<MappingSql>> = LazyLock::new(|| Assoc::ALL.iter().map(|assoc| MappingSql::of(assoc.table())).collect());

/// Returns the statements on a kind's table. The front has refused kinds without one.
pub(super) fn object_sql(kind: Kind) -> &'static ObjectSql {
    &OBJECTS[kind.object_index()]
}

pub(super) fn mapping_sql(assoc: Assoc) -> &'static MappingSql {
    &MAPPINGS[assoc as usize]
}

impl ObjectSql {
    fn of(table: &str) -> ObjectSql {
        ObjectSql {
            get: format!("SELECT id, data, version, created_at, updated_at, active FROM {table} WHERE id = ?1"),
            scan: format!("SELECT id, data, version, created_at, updated_at, active FROM {table} WHERE id > ?1 ORDER BY id LIMIT ?2"),
            state: format!("SELECT version, active FROM {table} WHERE id = ?1"),
            create: format!(
                "INSERT INTO {table} (id, data, version, created_at, updated_at, active) VALUES (?1, ?2, 1, ?3, ?3, 1) ON CONFLICT DO NOTHING"
            ),
            update: format!("UPDATE {table} SET data = ?2, version = version + 1, updated_at = ?3 WHERE id = ?1"),
            set_active: format!(
                "UPDATE {table} SET active = ?2, version = version + 1, updated_at = ?3 WHERE id = ?1 AND active <> ?2 RETURNING version"
            ),
            purge: format!("DELETE FROM {table} WHERE id = ?1 RETURNING version"),
        }
    }
}

impl MappingSql {
    fn of(table: &str) -> MappingSql {
        MappingSql {
            descending: format!(
                "SELECT to_id, sequence FROM {table} WHERE from_id = ?1 AND (sequence, to_id) < (?2, ?3) \
                 ORDER BY sequence DESC, to_id DESC LIMIT ?4"
            ),
            ascending: format!(
                "SELECT to_id, sequence FROM {table} WHERE from_id = ?1 AND (sequence, to_id) > (?2, ?3) \
                 ORDER BY sequence, to_id LIMIT ?4"
            ),
            edge: format!("SELECT sequence FROM {table} WHERE from_id = ?1 AND to_id = ?2"),
            map: format!("INSERT INTO {table} (from_id, to_id, sequence) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING"),
            remap: format!("UPDATE {table} SET sequence = ?3 WHERE from_id = ?1 AND to_id = ?2 AND sequence <> ?3"),
            unmap: format!("DELETE FROM {table} WHERE from_id = ?1 AND to_id = ?2"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_association_finds_its_own_statements() {
        for kind in Kind::OBJECTS {
            assert!(object_sql(kind).purge.contains(&format!("FROM {} ", kind.table())), "{kind:?}");
        }
        for assoc in Assoc::ALL {
            assert!(mapping_sql(*assoc).unmap.contains(&format!("FROM {} ", assoc.table())), "{assoc:?}");
        }
    }
}
