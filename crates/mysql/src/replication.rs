//! Primaries and replicas: what a replica says of itself, and how it becomes a primary or follows another one.

use std::time::Duration;

use crate::address::Credentials;
use crate::dialect::Dialect;
use crate::error::{Error, Result};
use crate::server::Server;

/// What a replica says of its replication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaState {
    /// It is connected to its primary and gets what happens there.
    pub sees_primary: bool,
    /// It applies what it got.
    pub applies: bool,
    /// `HOST:PORT` of the primary that it follows, by which others may not know it.
    pub primary: String,
    /// The number of the server that it was last connected to; 0 when it never was.
    pub primary_id: u64,
    /// The last error of either, for people.
    pub error: String,
    /// Everything that it got has been applied.
    pub has_caught_up: bool,
}

/// Asks and tells servers about replication. Wants a login that may do so.
pub struct Replication<'a>(pub &'a Server);

impl Replication<'_> {
    /// Returns what the server says of its replication; `None` when it replicates nothing.
    pub async fn state(&self) -> Result<Option<ReplicaState>> {
        let (sql, columns) = match self.0.dialect().await? {
            // Positions in the answer differ over versions; the information is asked for by name.
            Dialect::MariaDb => ("SHOW SLAVE STATUS", MARIADB_COLUMNS),
            Dialect::MySql => ("SHOW REPLICA STATUS", MYSQL_COLUMNS),
        };
        let Some(row) = self.0.named(sql).await? else { return Ok(None) };
        let text = |name: &str| row.iter().find(|(column, _)| column == name).map(|(_, value)| value.clone()).unwrap_or_default();
        let error =
            [text(columns.io_error), text(columns.sql_error)].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
        Ok(Some(ReplicaState {
            sees_primary: text(columns.io) == "Yes",
            applies: text(columns.sql) == "Yes",
            primary: format!("{}:{}", text(columns.host), text(columns.port)),
            primary_id: text(columns.server_id).parse().unwrap_or(0),
            // The second for a primary that died in the middle of a transaction: its rest never comes, and it was acknowledged to nobody.
            has_caught_up: (text(columns.read_file) == text(columns.applied_file)
                && text(columns.read_position) == text(columns.applied_position))
                || text(columns.sql_state).contains("read all relay log"),
            error,
        }))
    }

    /// Returns the server's own number.
    pub async fn server_id(&self) -> Result<u64> {
        let sets = self.0.query("SELECT @@server_id").await?;
        crate::first(&sets).ok_or_else(|| Error::Corrupt("The server does not say its number.".to_owned()))?.u64(0)
    }

    /// Returns everything that the server has applied, in its own words.
    pub async fn applied(&self) -> Result<String> {
        let sql = format!("SELECT {}", self.0.dialect().await?.applied());
        let sets = self.0.query(&sql).await?;
        sets.first()
            .and_then(|rows| rows.first())
            .ok_or_else(|| Error::Corrupt("The server does not say what it has applied.".to_owned()))?
            .string(0)
    }

    /// Waits until the server has applied everything of `position`. Returns false when it has not within the time.
    pub async fn wait_for(&self, position: &str, time: Duration) -> Result<bool> {
        let sql = format!("SELECT {}", self.0.dialect().await?.wait_for(position, time.as_secs_f64()));
        let sets = self.0.query_within(&sql, time + Duration::from_secs(2)).await?;
        Ok(sets.first().and_then(|rows| rows.first()).map(|row| row.i64(0)).transpose()? == Some(0))
    }

    /// Makes a primary of a replica: it follows nobody any more and takes writes. Safe to repeat.
    pub async fn promote(&self) -> Result<()> {
        let sql = match self.0.dialect().await? {
            Dialect::MariaDb => "STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = 0",
            Dialect::MySql => "STOP REPLICA; RESET REPLICA ALL; SET GLOBAL super_read_only = 0; SET GLOBAL read_only = 0",
        };
        self.0.query(sql).await.map(drop)
    }

    /// Stops writes on a server by everybody but its administrators.
    pub async fn set_read_only(&self, read_only: bool) -> Result<()> {
        self.0.query(&format!("SET GLOBAL read_only = {}", i32::from(read_only))).await.map(drop)
    }

    /// Lets commits wait until a replica has them, or no longer. A primary without a replica would wait for nobody; a replica must not wait
    /// either, or it would never apply anything. MySQL needs its plugin for it: without that this is refused.
    pub async fn set_semi_sync(&self, waits: bool) -> Result<()> {
        let variable = match self.0.dialect().await? {
            Dialect::MariaDb => "rpl_semi_sync_master_enabled",
            Dialect::MySql => "rpl_semi_sync_source_enabled",
        };
        self.0.query(&format!("SET GLOBAL {variable} = {}", i32::from(waits))).await.map(drop)
    }

    /// Writes on this server alone, though it only reads: nothing of it is replicated.
    pub async fn write_here(&self, sql: &str) -> Result<()> {
        let lifted = match self.0.dialect().await? {
            Dialect::MariaDb => "",
            // What even administrators may not do there.
            Dialect::MySql => "SET GLOBAL super_read_only = 0; ",
        };
        self.0.query(&format!("{lifted}SET SESSION sql_log_bin = 0; {sql}; SET SESSION sql_log_bin = 1")).await.map(drop)
    }

    /// Makes the server a replica of another one. A server that was one already keeps its login. Safe to repeat.
    pub async fn follow(&self, host: &str, port: u16, login: Option<&Credentials>) -> Result<()> {
        let literal = |text: &str| {
            let mut sql = String::new();
            crate::quote(&mut sql, text);
            sql
        };
        let host = literal(host);
        let sql = match self.0.dialect().await? {
            Dialect::MariaDb => {
                let login = login.map_or(String::new(), |login| {
                    format!("MASTER_USER={}, MASTER_PASSWORD={}, ", literal(&login.user), literal(&login.password))
                });
                format!(
                    "SET GLOBAL read_only = 1; STOP SLAVE; SET GLOBAL gtid_slave_pos = @@gtid_current_pos; CHANGE MASTER TO MASTER_HOST={host}, MASTER_PORT={port}, {login}\
                     MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=2; START SLAVE"
                )
            }
            Dialect::MySql => {
                let login = login.map_or(String::new(), |login| {
                    format!("SOURCE_USER={}, SOURCE_PASSWORD={}, ", literal(&login.user), literal(&login.password))
                });
                format!(
                    "SET GLOBAL super_read_only = 1; STOP REPLICA; CHANGE REPLICATION SOURCE TO SOURCE_HOST={host}, SOURCE_PORT={port}, {login}\
                     SOURCE_AUTO_POSITION=1, SOURCE_CONNECT_RETRY=2; START REPLICA"
                )
            }
        };
        self.0.query(&sql).await.map(drop)
    }
}

/// Names of the columns of a replica's state.
struct Columns {
    io: &'static str,
    sql: &'static str,
    host: &'static str,
    port: &'static str,
    server_id: &'static str,
    io_error: &'static str,
    sql_error: &'static str,
    sql_state: &'static str,
    read_file: &'static str,
    read_position: &'static str,
    applied_file: &'static str,
    applied_position: &'static str,
}

const MARIADB_COLUMNS: Columns = Columns {
    io: "Slave_IO_Running",
    sql: "Slave_SQL_Running",
    host: "Master_Host",
    port: "Master_Port",
    server_id: "Master_Server_Id",
    io_error: "Last_IO_Error",
    sql_error: "Last_SQL_Error",
    sql_state: "Slave_SQL_Running_State",
    read_file: "Master_Log_File",
    read_position: "Read_Master_Log_Pos",
    applied_file: "Relay_Master_Log_File",
    applied_position: "Exec_Master_Log_Pos",
};

const MYSQL_COLUMNS: Columns = Columns {
    io: "Replica_IO_Running",
    sql: "Replica_SQL_Running",
    host: "Source_Host",
    port: "Source_Port",
    server_id: "Source_Server_Id",
    io_error: "Last_IO_Error",
    sql_error: "Last_SQL_Error",
    sql_state: "Replica_SQL_Running_State",
    read_file: "Source_Log_File",
    read_position: "Read_Source_Log_Pos",
    applied_file: "Relay_Source_Log_File",
    applied_position: "Exec_Source_Log_Pos",
};
