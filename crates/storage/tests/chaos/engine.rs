//! What the database servers themselves hold, asked past the engine: which shards they own, and rows that are where they don't belong.

use testkit::mariadb::Server;

/// Tables without shards.
const UNSHARDED: &str = "'outbox','owned_shards','lease','commits','shard_map','changes','capacity_samples'";
/// Bits of the first column of a primary key below the shard; sequences have fewer.
const SHIFT: &str = "46";
const SEQUENCES_SHIFT: &str = "10";
/// Events of a server's log that a finding shows.
const EVENTS_SHOWN: usize = 12;
const OWNED: &str = "('owned','copying','frozen')";

/// The shards that a server owns, and those that are on their way.
pub struct Rights {
    pub owned: Vec<u16>,
    pub unsettled: Vec<String>,
}

pub fn rights(server: &Server) -> anyhow::Result<Rights> {
    let rows = server.sql("SELECT shard, state FROM corkboard.owned_shards ORDER BY shard")?;
    let mut rights = Rights { owned: Vec::new(), unsettled: Vec::new() };
    for row in rows {
        let (shard, state) = (row[0].parse()?, row[1].as_str());
        match state {
            "owned" => rights.owned.push(shard),
            "moved" => {}
            // A range whose move was begun and never ended is still its old server's; it is copied to nobody.
            "copying" => {
                rights.owned.push(shard);
                rights.unsettled.push(format!("shard {shard} is still being copied"));
            }
            other => rights.unsettled.push(format!("shard {shard} is still {other}")),
        }
    }
    Ok(rights)
}

/// Lists rows of shards that a server does not own, table by table.
pub fn strays(server: &Server) -> anyhow::Result<Vec<String>> {
    let tables = server.sql(&format!(
        "SELECT table_name, column_name FROM information_schema.key_column_usage WHERE table_schema = 'corkboard' \
         AND constraint_name = 'PRIMARY' AND ordinal_position = 1 AND table_name NOT IN ({UNSHARDED})"
    ))?;
    anyhow::ensure!(tables.len() > 20, "only {} tables have shards; the look at them does not look", tables.len());
    let mut parts = Vec::new();
    for row in &tables {
        let (table, column) = (&row[0], &row[1]);
        let shift = if table == "sequences" { SEQUENCES_SHIFT } else { SHIFT };
        parts.push(format!(
            "SELECT '{table}', {column} >> {shift} AS shard, COUNT(*) FROM corkboard.{table} WHERE NOT EXISTS \
             (SELECT 1 FROM corkboard.owned_shards o WHERE o.shard = {column} >> {shift} AND o.state IN {OWNED}) GROUP BY 2"
        ));
    }
    let rows = server.sql(&parts.join(" UNION ALL "))?;
    Ok(rows.iter().map(|row| format!("{} has {} rows of shard {}", row[0], row[2], row[1])).collect())
}

/// Lists what is left in a server's outbox, as (position on that server, id of the event).
pub fn outbox(server: &Server) -> anyhow::Result<Vec<(i64, String)>> {
    let rows = server.sql("SELECT position, id FROM corkboard.outbox")?;
    rows.into_iter().map(|row| Ok((row[0].parse()?, row[1].clone()))).collect()
}

/// Returns the last statements that a server has written itself, from its log of changes: who wrote where nobody should have.
pub fn last_writes(server: &Server) -> anyhow::Result<String> {
    let file = server.sql("SHOW MASTER STATUS")?.first().and_then(|row| row.first().cloned()).unwrap_or_default();
    let events = server.sql(&format!("SHOW BINLOG EVENTS IN '{file}'"))?;
    let said: Vec<String> = events.iter().map(|event| event[event.len() - 1].chars().take(300).collect()).collect();
    Ok(said[said.len().saturating_sub(EVENTS_SHOWN)..].join(" | "))
}
