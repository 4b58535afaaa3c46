//! What a server really does with its data, against what the configuration says.

use std::fmt;
use std::str::FromStr;

use super::address::Address;
use super::client::Client;
use super::node::Node;
use crate::error::{Error, Result};

/// What is kept of the feeds when their Redis dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Persistence {
    /// Nothing: they are rebuilt from storage.
    None,
    /// A snapshot now and then: the log mends what came after it.
    Snapshot,
    /// A log of writes: about a second is lost, and mended from the log of events.
    Aof,
}

impl FromStr for Persistence {
    type Err = Error;

    fn from_str(text: &str) -> Result<Persistence> {
        match text {
            "none" => Ok(Persistence::None),
            "snapshot" => Ok(Persistence::Snapshot),
            "aof" => Ok(Persistence::Aof),
            _ => Err(Error::Invalid(format!("'{text}' is no way to keep feeds: choose none, snapshot or aof."))),
        }
    }
}

impl fmt::Display for Persistence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Persistence::None => "none",
            Persistence::Snapshot => "snapshot",
            Persistence::Aof => "aof",
        })
    }
}

/// What one server says about itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServerSettings {
    pub address: String,
    pub version: String,
    pub used_bytes: u64,
    /// `None`: it does not tell its settings, as managed servers do.
    pub config: Option<ServerConfig>,
}

/// Settings that matter to feeds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServerConfig {
    /// Redis's own words, `3600 1 300 100`; empty: no snapshots.
    pub save: String,
    pub is_appending: bool,
    pub fsync: String,
    /// Bytes; 0: no limit.
    pub memory_max: u64,
    pub eviction: String,
}

/// Asks every server behind a `redis:` URL.
pub async fn survey(url: &str) -> Result<Vec<ServerSettings>> {
    let client = Client::new(Address::parse(url)?);
    let mut servers = Vec::new();
    for (node, _) in client.nodes().await? {
        servers.push(settings_of(&node).await?);
    }
    Ok(servers)
}

async fn settings_of(node: &Node) -> Result<ServerSettings> {
    let info = node.ask(&[&"INFO"]).await?;
    let info = String::from_utf8_lossy(info.bytes().unwrap_or_default()).into_owned();
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default();
    let mut config = ServerConfig::default();
    let mut is_told = true;
    for name in ["save", "appendonly", "appendfsync", "maxmemory", "maxmemory-policy"] {
        let Ok(answer) = node.ask(&[&"CONFIG", &"GET", &name]).await else {
            is_told = false;
            break;
        };
        let Some(value) = answer.list().get(1).and_then(|value| Some(String::from_utf8_lossy(value.bytes()?).into_owned())) else {
            is_told = false;
            break;
        };
        match name {
            "save" => config.save = value,
            "appendonly" => config.is_appending = value == "yes",
            "appendfsync" => config.fsync = value,
            "maxmemory" => config.memory_max = value.parse().unwrap_or_default(),
            _ => config.eviction = value,
        }
    }
    Ok(ServerSettings {
        address: node.address.clone(),
        version: field("redis_version").to_owned(),
        used_bytes: field("used_memory").parse().unwrap_or_default(),
        config: is_told.then_some(config),
    })
}

impl ServerSettings {
    /// Says what is lost when the server dies.
    pub fn loss(&self) -> String {
        match &self.config {
            None => "it does not tell what it keeps".to_owned(),
            Some(config) if config.is_appending => match config.fsync.as_str() {
                "always" => "if it dies, nothing is lost".to_owned(),
                "everysec" => "if it dies, the last second is lost and mended from the log".to_owned(),
                _ => "if its machine dies, what the system had not written is lost and mended from the log".to_owned(),
            },
            Some(config) if !config.save.is_empty() => "if it dies, what came after its last snapshot is mended from the log".to_owned(),
            Some(_) => "if it dies, everything is lost and rebuilt from storage".to_owned(),
        }
    }

    /// Finds what is not as configured, or harms feeds. Each line says what to do.
    pub fn problems(&self, wanted: Persistence) -> Vec<String> {
        let Some(config) = &self.config else { return Vec::new() };
        let mut problems = Vec::new();
        let has = match (config.is_appending, config.save.is_empty()) {
            (true, _) => Persistence::Aof,
            (false, false) => Persistence::Snapshot,
            (false, true) => Persistence::None,
        };
        if has != wanted {
            let how = match wanted {
                Persistence::None => "CONFIG SET save \"\" and appendonly no",
                Persistence::Snapshot => "CONFIG SET save \"3600 1 300 100\" and appendonly no",
                Persistence::Aof => "CONFIG SET appendonly yes",
            };
            let loss = self.loss();
            problems.push(format!(
                "{}: feeds.persistence is '{wanted}' but the server does '{has}' ({loss}). Set one of them right: {how}, or the configuration.",
                self.address
            ));
        }
        if config.memory_max > 0 && !matches!(config.eviction.as_str(), "volatile-lru" | "volatile-lfu" | "volatile-ttl" | "noeviction") {
            problems.push(format!(
                "{}: maxmemory-policy is '{}', which throws away parts of the follower graph without anybody noticing. Set it to volatile-lru.",
                self.address, config.eviction
            ));
        }
        if config.memory_max > 0 && config.eviction == "noeviction" {
            problems.push(format!(
                "{}: maxmemory-policy is 'noeviction', so that a full server refuses writes instead of dropping idle feeds. Set it to volatile-lru.",
                self.address
            ));
        }
        if config.memory_max > 0 && self.used_bytes > config.memory_max / 10 * 9 {
            problems
                .push(format!("{}: it uses more than nine tenths of its maxmemory; feeds are being dropped. Give it more.", self.address));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::redis::{Options, Server, is_available};

    fn server(save: &str, is_appending: bool, memory_max: u64, eviction: &str) -> ServerSettings {
        let config = ServerConfig { save: save.into(), is_appending, fsync: "everysec".into(), memory_max, eviction: eviction.into() };
        ServerSettings { address: "h:1".into(), version: "7.0.15".into(), used_bytes: 10, config: Some(config) }
    }

    #[test]
    fn what_differs_or_harms_is_said() {
        let problems = |server: ServerSettings, wanted| server.problems(wanted).len();
        assert_eq!(problems(server("", false, 0, "noeviction"), Persistence::None), 0);
        assert_eq!(problems(server("", false, 0, "noeviction"), Persistence::Aof), 1);
        assert_eq!(problems(server("60 1", false, 0, "noeviction"), Persistence::Snapshot), 0);
        assert_eq!(problems(server("60 1", true, 0, "noeviction"), Persistence::Snapshot), 1);
        assert_eq!(problems(server("60 1", true, 100, "volatile-lru"), Persistence::Aof), 0);
        assert_eq!(problems(server("", false, 100, "allkeys-lru"), Persistence::None), 1);
        assert_eq!(problems(server("", false, 100, "noeviction"), Persistence::None), 1);
        assert_eq!(problems(server("", false, 10, "volatile-lru"), Persistence::None), 1);
        assert_eq!(problems(ServerSettings::default(), Persistence::Aof), 0, "nothing is known");
        assert!("sometimes".parse::<Persistence>().is_err());
    }

    #[tokio::test]
    async fn a_real_server_tells_its_settings() {
        if !is_available("feeds::engine::redis::survey::tests::a_real_server_tells_its_settings") {
            return;
        }
        let server = Server::start(Options::default()).expect("a server");
        server.command(&["CONFIG", "SET", "appendonly", "yes"]).expect("set");
        let servers = survey(&server.url()).await.expect("settings");
        assert_eq!(servers.len(), 1);
        assert!(servers[0].config.as_ref().is_some_and(|config| config.is_appending) && servers[0].used_bytes > 0);
        assert_eq!(servers[0].problems(Persistence::Aof), Vec::<String>::new());
        assert!(servers[0].loss().contains("second"));
    }
}
