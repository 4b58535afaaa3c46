//! Where MariaDB and MySQL differ. Everything else in the engines is understood by both (MySQL 8, MariaDB 10.6 and later).
//!
//! | | MariaDB | MySQL |
//! | --- | --- | --- |
//! | time limit of a statement | `max_statement_time`, seconds, every statement | `max_execution_time`, milliseconds, reads only |
//! | where a server stands | `@@gtid_current_pos`, `@@last_gtid` | `@@gtid_executed` |
//! | waiting for a transaction | `MASTER_GTID_WAIT(gtid, s)` is 0 | `WAIT_FOR_EXECUTED_GTID_SET(set, s)` is 0 |
//! | statistics of tables | always of now | up to a day old, unless `information_schema_stats_expiry` is 0 |
//! | state of a replica | `SHOW SLAVE STATUS` | `SHOW REPLICA STATUS`, other column names |
//! | repointing a replica | `CHANGE MASTER TO … MASTER_USE_GTID` | `CHANGE REPLICATION SOURCE TO … SOURCE_AUTO_POSITION` |

/// Which server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    MariaDb,
    MySql,
}

impl Dialect {
    /// Tells from the text of `SELECT VERSION()`.
    pub(crate) fn of_version(version: &str) -> Dialect {
        if version.contains("MariaDB") { Dialect::MariaDb } else { Dialect::MySql }
    }

    /// Returns the statement that sets the time limit of statements on a connection.
    pub(crate) fn time_limit(self, ms: u128) -> String {
        match self {
            Dialect::MariaDb => format!("SET SESSION max_statement_time = {}.{:03}", ms / 1000, ms % 1000),
            Dialect::MySql => format!("SET SESSION max_execution_time = {ms}"),
        }
    }

    /// Returns an expression that is 1 while every commit waits until a replica has it.
    pub fn semi_sync(self) -> &'static str {
        match self {
            Dialect::MariaDb => {
                "COALESCE((SELECT VARIABLE_VALUE = 'ON' FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'RPL_SEMI_SYNC_MASTER_STATUS'), 0)"
            }
            Dialect::MySql => {
                "COALESCE((SELECT MAX(VARIABLE_VALUE = 'ON') FROM performance_schema.global_status \
                 WHERE VARIABLE_NAME IN ('Rpl_semi_sync_source_status', 'Rpl_semi_sync_master_status')), 0)"
            }
        }
    }

    /// Returns what must be said before `information_schema` tells how large tables are now.
    pub fn fresh_statistics(self) -> &'static str {
        match self {
            Dialect::MariaDb => "",
            Dialect::MySql => "SET SESSION information_schema_stats_expiry = 0; ",
        }
    }

    /// Returns an expression for where this connection's last commit stands.
    pub fn last_commit(self) -> &'static str {
        match self {
            Dialect::MariaDb => "@@last_gtid",
            Dialect::MySql => "@@global.gtid_executed",
        }
    }

    /// Returns an expression for everything that a server has applied.
    pub fn applied(self) -> &'static str {
        match self {
            Dialect::MariaDb => "@@gtid_current_pos",
            Dialect::MySql => "@@global.gtid_executed",
        }
    }

    /// Returns an expression that waits until a transaction is applied here, and is 0 when it is.
    pub fn wait_for(self, gtid: &str, seconds: f64) -> String {
        let mut text = String::new();
        crate::quote(&mut text, gtid);
        match self {
            Dialect::MariaDb => format!("MASTER_GTID_WAIT({text}, {seconds:.3})"),
            Dialect::MySql => format!("WAIT_FOR_EXECUTED_GTID_SET({text}, {seconds:.3})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_tell() {
        assert_eq!(Dialect::of_version("10.11.19-MariaDB-0+deb12u1-log"), Dialect::MariaDb);
        assert_eq!(Dialect::of_version("8.0.41"), Dialect::MySql);
    }

    #[test]
    fn both_ways_of_saying_it() {
        assert_eq!(Dialect::MariaDb.time_limit(2_050), "SET SESSION max_statement_time = 2.050");
        assert_eq!(Dialect::MySql.time_limit(2_050), "SET SESSION max_execution_time = 2050");
        assert_eq!(Dialect::MariaDb.wait_for("1-1-5", 0.5), "MASTER_GTID_WAIT('1-1-5', 0.500)");
        assert_eq!(Dialect::MySql.wait_for("a:1-5", 1.0), "WAIT_FOR_EXECUTED_GTID_SET('a:1-5', 1.000)");
    }
}
