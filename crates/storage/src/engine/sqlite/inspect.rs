//! What verification lists, and the one thing that it mends below the front.

use async_trait::async_trait;
use model::{Assoc, Id, Kind, NameKind, Shard};
use sqlite::rusqlite::{Connection, Row as SqlRow, ToSql, params};

use super::{SqliteEngine, check, read};
use crate::engine::inspection::{Inspection, MappedEdge, ShardRange, StoredName};
use crate::error::Result;
use crate::row::{Name, Row};
use crate::storage::name_shard;
use crate::verify::Finding;

#[async_trait]
impl Inspection for SqliteEngine {
    fn server_of(&self, _: Shard) -> Option<String> {
        None
    }

    /// All at once: the file's own structure is looked at once per piece.
    fn piece_shards(&self) -> u16 {
        model::id::SHARD_COUNT
    }

    async fn list_rows(&self, kind: Kind, shards: ShardRange, after: Option<Id>, limit: usize) -> Result<Vec<Row>> {
        let (low, high) = shards.numbers();
        let sql = format!(
            "SELECT id, data, version, created_at, updated_at, active FROM {} WHERE id > ?1 AND id <= ?2 AND (id >> 36) & 1023 = {} ORDER BY id LIMIT ?3",
            kind.table(),
            kind as u16
        );
        let after = after.map_or(low - 1, Id::as_i64);
        self.read(false, move |connection| rows(connection, &sql, params![after, high, limit as i64], read::decode_row)).await
    }

    async fn list_edges(&self, assoc: Assoc, shards: ShardRange, after: Option<MappedEdge>, limit: usize) -> Result<Vec<MappedEdge>> {
        let (low, high) = shards.numbers();
        let sql = format!(
            "SELECT from_id, to_id, sequence FROM {} WHERE (from_id, to_id) > (?1, ?2) AND from_id <= ?3 ORDER BY from_id, to_id LIMIT ?4",
            assoc.table()
        );
        let (from, to) = after.map_or((low, i64::MIN), |edge| (edge.from, edge.to));
        let decode = |row: &SqlRow<'_>| Ok(MappedEdge { from: row.get(0)?, to: row.get(1)?, sequence: row.get(2)? });
        self.read(false, move |connection| rows(connection, &sql, params![from, to, high, limit as i64], decode)).await
    }

    async fn list_names(&self, shards: ShardRange, after: Option<&StoredName>, limit: usize) -> Result<Vec<StoredName>> {
        let (low, high) = shards.numbers();
        let (slot, kind, key) = after.map_or((low, String::new(), String::new()), |name| (name.slot, name.kind.clone(), name.key.clone()));
        let sql = "SELECT slot, kind, key, id, confirmed, claimed_at FROM names WHERE (slot, kind, key) > (?1, ?2, ?3) AND slot <= ?4 \
                   ORDER BY slot, kind, key LIMIT ?5";
        let decode = |row: &SqlRow<'_>| {
            let (slot, kind, key) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(StoredName { slot, kind, key, id: row.get(3)?, confirmed: row.get(4)?, claimed_at: row.get(5)? })
        };
        self.read(false, move |connection| rows(connection, sql, params![slot, kind, key, high, limit as i64], decode)).await
    }

    async fn find_edges(&self, assoc: Assoc, pairs: &[(Id, Id)]) -> Result<Vec<Option<i64>>> {
        let pairs = pairs.to_vec();
        let find = move |connection: &Connection| pairs.iter().map(|(from, to)| read::edge(connection, assoc, *from, *to)).collect();
        self.read(false, find).await
    }

    async fn holders(&self, wanted: &[(NameKind, String)]) -> Result<Vec<Option<Name>>> {
        let wanted = wanted.to_vec();
        let find = move |connection: &Connection| {
            wanted.iter().map(|(kind, key)| read::name(connection, name_shard(*kind, key), *kind, key)).collect()
        };
        self.read(false, find).await
    }

    async fn examine(&self, shards: ShardRange, findings_max: usize) -> Result<Vec<Finding>> {
        self.read(false, move |connection| check::examine(connection, shards, findings_max)).await
    }

    async fn recount(&self, assoc: Assoc, from: Id) -> Result<bool> {
        let table = assoc.table();
        let sql = format!(
            "INSERT INTO mapping_counts (from_id, assoc, count) SELECT ?1, ?2, count(*) FROM {table} WHERE from_id = ?1 \
             ON CONFLICT DO UPDATE SET count = excluded.count WHERE count <> excluded.count"
        );
        // Writes of the file follow one another, so that nobody comes between.
        let changed =
            self.file.write(move |connection| Ok(connection.prepare_cached(&sql)?.execute(params![from.as_i64(), table])?)).await?;
        Ok(changed > 0)
    }
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
    decode: impl Fn(&SqlRow<'_>) -> sqlite::Result<T>,
) -> sqlite::Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(values)?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push(decode(row)?);
    }
    Ok(rows)
}
