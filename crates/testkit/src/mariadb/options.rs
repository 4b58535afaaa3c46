//! How a private server is to be, and the command line that makes it so.

use std::{path::Path, time::Duration};

/// What a private server is for decides these; `..Options::default()` gives the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Must differ between the servers of one replication.
    pub server_id: u32,
    /// The first part of every GTID that this server hands out; the same for a primary and its replicas.
    pub gtid_domain: u32,
    /// Whether commits must survive a power cut: the data is on a disk and every commit is synced. Without it the data is in memory, and
    /// commits survive only the death of the process, which is all that a test can do to it.
    pub durable: bool,
    /// As a primary, how long a commit waits for a replica to have it before it goes on without; `None` never waits. A primary that has
    /// no replica waits once for the whole time, which is why this is off unless it is asked for. As a replica every server acknowledges.
    pub semi_sync: Option<Duration>,
    pub buffer_pool_mib: u32,
    /// Refuses writes of all but those who have the right `READ ONLY ADMIN`. It is so again after each restart.
    pub read_only: bool,
    /// Many tests with a pool each share one server.
    pub connections_max: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            server_id: 1,
            gtid_domain: 1,
            durable: false,
            semi_sync: None,
            buffer_pool_mib: 64,
            read_only: false,
            connections_max: 500,
        }
    }
}

/// Redo log of a fast server: small, because every start copies it.
pub(super) const FAST_LOG_MIB: u32 = 8;
/// Redo log of a durable server: the default of the server, so that checkpoints don't slow what is measured.
const DURABLE_LOG_MIB: u32 = 96;

impl Options {
    /// The options of a replica: refuses writes, and is otherwise as by default.
    pub fn replica(server_id: u32) -> Options {
        Options { server_id, read_only: true, ..Options::default() }
    }

    /// The whole command line but for the program: nothing comes from the machine's own configuration.
    pub(super) fn arguments(&self, folder: &Path, port: u16) -> Vec<String> {
        let Options { server_id, gtid_domain, buffer_pool_mib, connections_max, .. } = self;
        let folder = folder.display();
        let mut arguments = vec![
            "--no-defaults".to_owned(),
            format!("--datadir={folder}/data"),
            format!("--tmpdir={folder}"),
            format!("--socket={folder}/socket"),
            format!("--pid-file={folder}/pid"),
            format!("--log-error={folder}/error.log"),
            format!("--port={port}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--server-id={server_id}"),
            format!("--gtid-domain-id={gtid_domain}"),
            format!("--innodb-buffer-pool-size={buffer_pool_mib}M"),
            format!("--max-connections={connections_max}"),
            format!("--read-only={}", on(self.read_only)),
        ];
        let fixed = [
            "--skip-name-resolve",
            "--performance-schema=OFF",
            // As Debian's own installation has it.
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_general_ci",
            "--log-bin=bin",
            "--relay-log=relay",
            "--binlog-format=ROW",
            "--gtid-strict-mode=ON",
            "--log-slave-updates=ON",
            "--rpl-semi-sync-slave-enabled=ON",
            // Seconds after which a replica takes a silent primary for gone and connects anew.
            "--slave-net-timeout=4",
            // On even in memory: a kill in the middle of a page's write would else leave a torn page, and the server would not start again.
            "--innodb-doublewrite=ON",
            // Tables of these kinds are none of ours; the defaults would be 128 MiB each.
            "--aria-pagecache-buffer-size=8M",
            "--key-buffer-size=1M",
        ];
        arguments.extend(fixed.map(str::to_owned));
        arguments.extend(self.durability());
        if let Some(limit) = self.semi_sync {
            arguments.push("--rpl-semi-sync-master-enabled=ON".into());
            arguments.push("--rpl-semi-sync-master-wait-point=AFTER_SYNC".into());
            arguments.push(format!("--rpl-semi-sync-master-timeout={}", limit.as_millis()));
        }
        arguments
    }

    fn durability(&self) -> Vec<String> {
        let (flush, sync, log_mib) = if self.durable { (1, 1, DURABLE_LOG_MIB) } else { (2, 0, FAST_LOG_MIB) };
        vec![
            format!("--innodb-flush-log-at-trx-commit={flush}"),
            format!("--sync-binlog={sync}"),
            format!("--innodb-log-file-size={log_mib}M"),
            // The kernel has a limit on asynchronous requests for the whole machine, which a dozen servers use up.
            format!("--innodb-use-native-aio={}", on(self.durable)),
        ]
    }
}

fn on(is_on: bool) -> &'static str {
    if is_on { "ON" } else { "OFF" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_arguments() {
        let has = |options: &Options, argument: &str| options.arguments(Path::new("/f"), 4_000).iter().any(|given| given == argument);
        let fast = Options::default();
        for argument in ["--datadir=/f/data", "--port=4000", "--sync-binlog=0", "--innodb-flush-log-at-trx-commit=2", "--read-only=OFF"] {
            assert!(has(&fast, argument), "{argument}");
        }
        assert!(!has(&fast, "--rpl-semi-sync-master-enabled=ON"));
        let durable = Options { durable: true, semi_sync: Some(Duration::from_secs(2)), ..Options::replica(7) };
        let expected = ["--server-id=7", "--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1", "--rpl-semi-sync-master-timeout=2000"];
        for argument in expected.iter().chain(&["--read-only=ON", "--rpl-semi-sync-master-wait-point=AFTER_SYNC"]) {
            assert!(has(&durable, argument), "{argument}");
        }
    }
}
