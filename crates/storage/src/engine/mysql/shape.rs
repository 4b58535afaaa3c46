//! The tables' shapes, and changes of their rows as values: what commits write, what moves carry over, what backups hold.
//!
//! ```text
//! Change { table, key, row: Some(cells) }   the row is there, with these values       ─▶ INSERT … (ON DUPLICATE KEY UPDATE …)
//! Change { table, key, row: None }          the row is gone                           ─▶ DELETE …
//! ```
//!
//! Changes say what a row is afterwards, so that applying them again, in their order, ends in the same state.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::LazyLock;

use model::{Assoc, Kind};
use serde::{Deserialize, Serialize};

use crate::engine::slots::{SEQUENCE_SHIFT, SHARD_SHIFT};
use crate::error::{Error, Result};

/// Rows in one statement. More parse no faster, and a statement must stay far below the packet limit.
const STATEMENT_ROWS_MAX: usize = 500;
/// Bytes after which a statement is ended; the largest object has 1 MiB.
const STATEMENT_BYTES_MAX: usize = 2 << 20;

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Cell {
    Int(i64),
    Text(String),
    Null,
}

/// One table: its columns in order, the first of which are the primary key. The shard is on top of the first.
#[derive(Debug)]
pub(crate) struct Shape {
    pub name: &'static str,
    pub columns: &'static [&'static str],
    /// Which columns hold texts; all others hold whole numbers.
    pub texts: &'static [&'static str],
    /// How many columns are the primary key.
    pub key: usize,
    /// Bits of the first column below the shard.
    pub shift: u32,
}

const OBJECT_COLUMNS: &[&str] = &["id", "data", "version", "created_at", "updated_at", "active"];
const AUDIT_COLUMNS: &[&str] = &["id", "at", "actor", "act", "subjects", "data", "previous_hash", "hash"];
const IDEMPOTENCY_COLUMNS: &[&str] = &["slot", "idempotency_key", "batch_hash", "answer", "created_at"];
const EDGE_COLUMNS: &[&str] = &["from_id", "to_id", "sequence"];

static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    let object = |kind: &Kind| Shape { name: kind.table(), columns: OBJECT_COLUMNS, texts: &["data"], key: 1, shift: SHARD_SHIFT };
    let edge = |assoc: &Assoc| Shape { name: assoc.table(), columns: EDGE_COLUMNS, texts: &[], key: 2, shift: SHARD_SHIFT };
    let mut shapes: Vec<Shape> = Kind::OBJECTS.iter().map(object).chain(Assoc::ALL.iter().map(edge)).collect();
    let fixed = |name, columns, texts, key, shift| Shape { name, columns, texts, key, shift };
    shapes.extend([
        fixed("mapping_counts", &["from_id", "assoc", "count"], &["assoc"], 2, SHARD_SHIFT),
        fixed("names", &["slot", "kind", "name_key", "id", "confirmed", "claimed_at"], &["kind", "name_key"], 3, SHARD_SHIFT),
        fixed("audit", AUDIT_COLUMNS, &["act", "subjects", "data", "previous_hash", "hash"], 1, SHARD_SHIFT),
        fixed("idempotency", IDEMPOTENCY_COLUMNS, &["idempotency_key", "batch_hash", "answer"], 2, SHARD_SHIFT),
        fixed("sequences", &["slot", "next"], &[], 1, SEQUENCE_SHIFT),
    ]);
    shapes
});

/// Lists every table that has shards.
pub(crate) fn shapes() -> &'static [Shape] {
    &SHAPES
}

pub(crate) fn shape(name: &str) -> Result<&'static Shape> {
    static BY_NAME: LazyLock<HashMap<&'static str, &'static Shape>> =
        LazyLock::new(|| shapes().iter().map(|shape| (shape.name, shape)).collect());
    BY_NAME.get(name).copied().ok_or_else(|| Error::Corrupt(format!("'{name}' is no table of this version; use a newer program.")))
}

impl Shape {
    /// Returns the columns as they stand in statements.
    pub fn column_list(&self) -> String {
        self.columns.join(", ")
    }

    /// Returns the first and last value (both inclusive) that the first column may have on shards `first` to `last`.
    pub fn bounds(&self, first: u16, last: u16) -> (i64, i64) {
        (i64::from(first) << self.shift, ((i64::from(last) + 1) << self.shift) - 1)
    }

    /// Returns the statement for the next rows of a range of shards, by primary key; `after` is the key of the last one before.
    pub fn page(&self, first: u16, last: u16, after: Option<&[Cell]>, limit: usize) -> String {
        let (low, high) = self.bounds(first, last);
        let mut sql = format!("SELECT {} FROM {} WHERE {} ", self.column_list(), self.name, self.columns[0]);
        match after {
            None => {
                let _ = write!(sql, "BETWEEN {low} AND {high}");
            }
            Some(key) => {
                let _ = write!(sql, "BETWEEN ");
                key[0].write(&mut sql);
                // (a, b) > (x, y) as the optimisers of both servers understand it: a > x OR (a = x AND b > y).
                let _ = write!(sql, " AND {high} AND (");
                for (depth, cell) in key.iter().enumerate() {
                    sql.push_str(if depth > 0 { " OR (" } else { "(" });
                    for (column, equal) in self.columns[..depth].iter().zip(key) {
                        let _ = write!(sql, "{column} = ");
                        equal.write(&mut sql);
                        sql.push_str(" AND ");
                    }
                    let _ = write!(sql, "{} > ", self.columns[depth]);
                    cell.write(&mut sql);
                    sql.push(')');
                }
                sql.push(')');
            }
        }
        let _ = write!(sql, " ORDER BY {} LIMIT {limit}", self.columns[..self.key].join(", "));
        sql
    }

    /// Returns a query for the table's name, how many rows it has on a range of shards, and a sum over all that is in them.
    pub fn sum(&self, first: u16, last: u16) -> String {
        let (low, high) = self.bounds(first, last);
        let columns: Vec<String> = self.columns.iter().map(|column| format!("COALESCE({column}, '')")).collect();
        format!(
            "SELECT '{}', COUNT(*), COALESCE(BIT_XOR(CRC32(CONCAT_WS('#', {}))), 0) FROM {} WHERE {} BETWEEN {low} AND {high}",
            self.name,
            columns.join(", "),
            self.name,
            self.columns[0]
        )
    }

    /// Reads a row of all columns.
    pub fn decode(&self, row: &mysql::Row) -> Result<Vec<Cell>> {
        let cell = |(index, column): (usize, &&str)| {
            if row.is_null(index)? {
                Ok(Cell::Null)
            } else if self.texts.contains(column) {
                row.string(index).map(Cell::Text)
            } else {
                row.i64(index).map(Cell::Int)
            }
        };
        self.columns.iter().enumerate().map(cell).collect::<mysql::Result<_>>().map_err(Error::from)
    }
}

impl Cell {
    fn write(&self, sql: &mut String) {
        match self {
            Cell::Int(number) => {
                let _ = write!(sql, "{number}");
            }
            Cell::Text(text) => mysql::quote(sql, text),
            Cell::Null => sql.push_str("NULL"),
        }
    }

    /// Returns about how many bytes it takes in a statement.
    pub fn bytes(&self) -> usize {
        match self {
            Cell::Text(text) => text.len() + 2,
            _ => 12,
        }
    }
}

/// What becomes of one row.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub shape: &'static Shape,
    pub key: Vec<Cell>,
    /// All columns, the key included; `None` when the row is gone.
    pub row: Option<Vec<Cell>>,
    /// The row is known not to be there yet: to find one would be a defect, and the statement fails then.
    pub is_new: bool,
}

impl Change {
    /// Puts a whole row, whether it is there or not.
    pub fn put(shape: &'static Shape, row: Vec<Cell>) -> Change {
        Change { shape, key: row[..shape.key].to_vec(), row: Some(row), is_new: false }
    }
}

/// Writes changes as JSON: `["pins", [cells]]` for a row that is there, `["pins", [key], 0]` for one that is gone.
pub(crate) fn changes_to_json(changes: &[Change]) -> Result<String> {
    let lines: Vec<_> = changes
        .iter()
        .map(|change| match &change.row {
            Some(row) => serde_json::json!([change.shape.name, row]),
            None => serde_json::json!([change.shape.name, change.key, 0]),
        })
        .collect();
    serde_json::to_string(&lines).map_err(|error| Error::Invalid(format!("Changes can't be kept: {error}.")))
}

/// Reads what [`changes_to_json`] wrote.
pub(crate) fn changes_from_json(text: &str) -> Result<Vec<Change>> {
    let broken = |error: serde_json::Error| Error::Corrupt(format!("A list of changes can't be read: {error}."));
    let lines: Vec<(String, Vec<Cell>, Option<u8>)> = serde_json::from_str::<Vec<serde_json::Value>>(text)
        .map_err(broken)?
        .into_iter()
        .map(read_line)
        .collect::<std::result::Result<_, _>>()
        .map_err(broken)?;
    lines
        .into_iter()
        .map(|(table, cells, gone)| {
            let shape = shape(&table)?;
            let wanted = if gone.is_some() { shape.key } else { shape.columns.len() };
            if cells.len() != wanted {
                return Err(Error::Corrupt(format!("A change of {table} has {} values, not {wanted}.", cells.len())));
            }
            Ok(match gone {
                Some(_) => Change { shape, key: cells, row: None, is_new: false },
                None => Change::put(shape, cells),
            })
        })
        .collect()
}

fn read_line(mut line: serde_json::Value) -> std::result::Result<(String, Vec<Cell>, Option<u8>), serde_json::Error> {
    if let Some(parts) = line.as_array_mut()
        && parts.len() == 2
    {
        parts.push(serde_json::Value::Null);
    }
    serde_json::from_value(line)
}

/// Returns the statements that make these changes. Of several changes of one row only the last may be given.
pub(crate) fn statements(changes: &[Change]) -> Vec<String> {
    let mut groups: Vec<(&'static Shape, bool, bool, Vec<&Change>)> = Vec::new();
    for change in changes {
        let (gone, new) = (change.row.is_none(), change.is_new);
        match groups.iter_mut().find(|(shape, is_gone, is_new, _)| std::ptr::eq(*shape, change.shape) && *is_gone == gone && *is_new == new)
        {
            Some((.., group)) => group.push(change),
            None => groups.push((change.shape, gone, new, vec![change])),
        }
    }
    let mut statements = Vec::new();
    for (shape, gone, new, group) in groups {
        for chunk in chunks(&group) {
            statements.push(if gone { delete(shape, chunk) } else { insert(shape, chunk, new) });
        }
    }
    statements
}

/// Bytes of one packet of statements; servers take 16 MiB and more.
const PACKET_BYTES_MAX: usize = 6 << 20;

/// Joins statements to packets that servers take.
pub(crate) fn packets(statements: Vec<String>) -> Vec<String> {
    let mut packets: Vec<String> = Vec::new();
    for statement in statements {
        match packets.last_mut() {
            Some(packet) if packet.len() + statement.len() < PACKET_BYTES_MAX => {
                packet.push(';');
                packet.push_str(&statement);
            }
            _ => packets.push(statement),
        }
    }
    packets
}

/// Returns the statement that puts events, as (id, JSON), into the outbox, in their order.
pub(crate) fn insert_events<'a>(events: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut sql = String::from("INSERT INTO outbox (id, event) VALUES ");
    for (index, (id, json)) in events.into_iter().enumerate() {
        sql.push_str(if index > 0 { ",(" } else { "(" });
        mysql::quote(&mut sql, id);
        sql.push(',');
        mysql::quote(&mut sql, json);
        sql.push(')');
    }
    sql
}

/// Cuts a list so that no statement gets too long.
fn chunks<'a, 'b>(group: &'a [&'b Change]) -> Vec<&'a [&'b Change]> {
    let (mut chunks, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (index, change) in group.iter().enumerate() {
        let size: usize = change.row.as_ref().unwrap_or(&change.key).iter().map(Cell::bytes).sum();
        if index > start && (bytes + size > STATEMENT_BYTES_MAX || index - start == STATEMENT_ROWS_MAX) {
            chunks.push(&group[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    chunks.push(&group[start..]);
    chunks
}

fn insert(shape: &Shape, changes: &[&Change], strictly: bool) -> String {
    let mut sql = format!("INSERT INTO {} ({}) VALUES ", shape.name, shape.column_list());
    for (index, row) in changes.iter().filter_map(|change| change.row.as_ref()).enumerate() {
        sql.push_str(if index > 0 { ",(" } else { "(" });
        for (index, cell) in row.iter().enumerate() {
            if index > 0 {
                sql.push(',');
            }
            cell.write(&mut sql);
        }
        sql.push(')');
    }
    if !strictly {
        let updates: Vec<String> = shape.columns[shape.key..].iter().map(|column| format!("{column} = VALUES({column})")).collect();
        let _ = write!(sql, " ON DUPLICATE KEY UPDATE {}", updates.join(", "));
    }
    sql
}

fn delete(shape: &Shape, changes: &[&Change]) -> String {
    let mut sql = format!("DELETE FROM {} WHERE ", shape.name);
    for (index, change) in changes.iter().enumerate() {
        if index > 0 {
            sql.push_str(" OR ");
        }
        write_key(&mut sql, shape, &change.key);
    }
    sql
}

/// Appends `(a = 1 AND b = 2)`.
pub(crate) fn write_key(sql: &mut String, shape: &Shape, key: &[Cell]) {
    sql.push('(');
    for (index, (column, cell)) in shape.columns.iter().zip(key).enumerate() {
        let _ = write!(sql, "{}{column} = ", if index > 0 { " AND " } else { "" });
        cell.write(sql);
    }
    sql.push(')');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: i64, to: i64, sequence: i64) -> Change {
        Change::put(shape("user_has_pins").expect("a table"), vec![Cell::Int(from), Cell::Int(to), Cell::Int(sequence)])
    }

    #[test]
    fn changes_become_statements_by_table() {
        let gone = Change { row: None, ..edge(1, 3, 0) };
        let new = Change { is_new: true, ..edge(2, 2, 9) };
        let name = Change::put(
            shape("names").expect("a table"),
            vec![Cell::Int(1), Cell::Text("tag".into()), Cell::Text("it's".into()), Cell::Int(5), Cell::Int(1), Cell::Int(7)],
        );
        let found = statements(&[edge(1, 2, 5), gone, edge(1, 4, 6), new, name]);
        assert_eq!(
            found,
            [
                "INSERT INTO user_has_pins (from_id, to_id, sequence) VALUES (1,2,5),(1,4,6) ON DUPLICATE KEY UPDATE sequence = VALUES(sequence)",
                "DELETE FROM user_has_pins WHERE (from_id = 1 AND to_id = 3)",
                "INSERT INTO user_has_pins (from_id, to_id, sequence) VALUES (2,2,9)",
                "INSERT INTO names (slot, kind, name_key, id, confirmed, claimed_at) VALUES (1,'tag','it\\'s',5,1,7) \
                 ON DUPLICATE KEY UPDATE id = VALUES(id), confirmed = VALUES(confirmed), claimed_at = VALUES(claimed_at)",
            ]
        );
    }

    #[test]
    fn long_lists_are_cut() {
        let many: Vec<Change> = (0..1_001).map(|to| edge(1, to, 0)).collect();
        assert_eq!(statements(&many).len(), 3);
        let big = |id| {
            let row = vec![Cell::Int(id), Cell::Text("x".repeat(1 << 20)), Cell::Int(1), Cell::Int(1), Cell::Int(1), Cell::Int(1)];
            Change::put(shape("pins").expect("a table"), row)
        };
        assert_eq!(statements(&[big(1), big(2), big(3)]).len(), 3);
    }

    #[test]
    fn changes_travel_as_json() {
        let gone = Change { row: None, ..edge(1, 3, 0) };
        let json = changes_to_json(&[edge(1, 2, 5), gone]).expect("JSON");
        assert_eq!(json, r#"[["user_has_pins",[1,2,5]],["user_has_pins",[1,3],0]]"#);
        let back = changes_from_json(&json).expect("changes");
        assert_eq!(changes_to_json(&back).expect("JSON"), json);
        for wrong in ["{", r#"[["attic",[1]]]"#, r#"[["pins",[1]]]"#, r#"[["pins",[1,2],0]]"#] {
            assert!(matches!(changes_from_json(wrong), Err(Error::Corrupt(_))), "{wrong}");
        }
    }

    #[test]
    fn pages_go_along_the_key() {
        let shape = shape("user_has_pins").expect("a table");
        assert_eq!(
            shape.page(0, 0, Some(&[Cell::Int(7), Cell::Int(8)]), 3),
            "SELECT from_id, to_id, sequence FROM user_has_pins WHERE from_id BETWEEN 7 AND 70368744177663 AND \
             ((from_id > 7) OR (from_id = 7 AND to_id > 8)) ORDER BY from_id, to_id LIMIT 3"
        );
        assert_eq!(shape.bounds(4095, 4095).1, (1 << 58) - 1);
        assert_eq!(crate::engine::mysql::shape::shape("sequences").expect("a table").bounds(1, 2), (1 << 10, (3 << 10) - 1));
    }
}
