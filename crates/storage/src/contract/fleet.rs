//! A small fleet for tests: databases of one real server, each of which stands for a server of its own.

use std::path::PathBuf;
use std::sync::Arc;

use mysql::Credentials;
use testkit::mariadb::{self, OPERATIONS, SITE, Shared};

use crate::engine::mysql::MysqlEngine;
use crate::{Operator, Quiet, ServerEntry, ShardMap};

pub(crate) struct Fleet {
    pub(crate) map: ShardMap,
    folder: tempfile::TempDir,
    /// Dropped with their tables at the end.
    _databases: Vec<Shared>,
}

impl Fleet {
    /// Makes the databases with their tables and shards. `None` without a MariaDB on this machine, when tests may be skipped.
    pub(crate) fn start(test: &str, count: usize) -> Option<Fleet> {
        let databases = (0..count).map(|_| mariadb::shared(test).expect("a database")).collect::<Option<Vec<Shared>>>()?;
        let entry = |(index, database): (usize, &Shared)| ServerEntry {
            name: format!("db{}", index + 1),
            number: index as u16 + 1,
            primary: format!("{}/{}", database.address(), database.database()),
            replicas: Vec::new(),
            disk_gib: None,
        };
        let servers: Vec<ServerEntry> = databases.iter().enumerate().map(entry).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let operator = operator(folder.path().join("shards.json"));
        // Tests make their places outside of what waits.
        let init = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(operator.init(servers, false)).expect("tables")
        });
        let report = init.join().expect("an initialisation");
        Some(Fleet { map: report.map, folder, _databases: databases })
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("shards.json")
    }

    /// Opens the store as the site's login does; every opening stands for a process.
    pub(crate) fn open(&self) -> MysqlEngine {
        MysqlEngine::start(self.map.clone(), site(), None).expect("an engine")
    }
}

pub(crate) fn site() -> Credentials {
    Credentials { user: SITE.user.to_owned(), password: SITE.password.to_owned() }
}

pub(crate) fn operator(file: PathBuf) -> Operator {
    let admin = Credentials { user: OPERATIONS.user.to_owned(), password: OPERATIONS.password.to_owned() };
    Operator::new(file, site(), admin, Arc::new(Quiet))
}
