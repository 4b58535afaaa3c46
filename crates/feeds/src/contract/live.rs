//! Real servers for the suites: started for one test, gone with it. A cluster takes seconds to come together, so all tests of one
//! process share it, one after the other.

use std::sync::{Arc, OnceLock};

use testkit::redis::{Cluster, Options, Server, is_available};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// One server, or a cluster of three.
pub(crate) enum Servers {
    One(Box<Server>),
    Three(OwnedMutexGuard<Option<Cluster>>),
}

/// Takes time off what every key has left to live; what has none left is gone.
const PASS: &str = "
    local cursor = '0'
    repeat
        local step = redis.call('SCAN', cursor, 'COUNT', 1000)
        cursor = step[1]
        for _, key in ipairs(step[2]) do
            local left = redis.call('PTTL', key)
            if left >= 0 then
                if left <= tonumber(ARGV[1]) then redis.call('DEL', key) else redis.call('PEXPIRE', key, left - ARGV[1]) end
            end
        end
    until cursor == '0'
    return 'OK'
";

impl Servers {
    /// Starts a server; `None`, said loudly, where there is none to start.
    pub(crate) fn one(test: &str) -> Option<Servers> {
        is_available(test).then(|| Servers::One(Box::new(Server::start(Options::default()).expect("a server"))))
    }

    /// Takes the cluster for one test.
    pub(crate) async fn cluster(test: &str) -> Option<Servers> {
        static CLUSTER: OnceLock<Arc<Mutex<Option<Cluster>>>> = OnceLock::new();
        if !is_available(test) {
            return None;
        }
        let mut cluster = CLUSTER.get_or_init(Arc::default).clone().lock_owned().await;
        if cluster.is_none() {
            *cluster = Some(Cluster::start(Options::default()).expect("a cluster"));
        }
        Some(Servers::Three(cluster))
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Servers::One(server) => server.url(),
            Servers::Three(cluster) => cluster.as_ref().expect("a cluster").url(),
        }
    }

    fn all(&self) -> Vec<&Server> {
        match self {
            Servers::One(server) => vec![server],
            Servers::Three(cluster) => cluster.as_ref().expect("a cluster").servers().iter().collect(),
        }
    }

    /// Lets time pass for what expires.
    pub(crate) fn advance(&self, ms: i64) {
        for server in self.all() {
            server.command(&["EVAL", PASS, "0", &ms.to_string()]).expect("time passes");
        }
    }

    /// Empties the servers.
    pub(crate) fn flush(&self) {
        for server in self.all() {
            server.command(&["FLUSHALL"]).expect("emptied");
        }
    }
}
