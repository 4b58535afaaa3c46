//! Configuration: the compiled-in defaults, a file over them, environment variables over the file, flags over all.
//!
//! Every key of `config.default.toml` has an environment variable: CORKBOARD_<TABLE>_<KEY>, and CORKBOARD_LOG for the log's level.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;
use toml::{Table, Value};

pub const DEFAULT: &str = include_str!("../config.default.toml");

/// The effective configuration.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    pub server: Server,
    pub site: Site,
    pub storage: Storage,
    pub cache: Cache,
    pub feeds: Feeds,
    pub jobs: Engine,
    pub events: Engine,
    pub search: Engine,
    pub media: Engine,
    pub discovery: Engine,
    pub mail: Mail,
    pub retention: Retention,
    pub log: Log,
    #[serde(skip)]
    pub data: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Server {
    pub listen: String,
    pub base_url: String,
    pub behind_proxy: bool,
    pub rate_limit_scale: u32,
    pub threads: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Site {
    pub title: String,
}

#[derive(Clone, Deserialize)]
pub struct Storage {
    pub url: String,
    pub listen: String,
    pub access: String,
    pub caller: String,
    pub key: String,
    pub user: String,
    pub password: String,
    pub admin_user: String,
    pub admin_password: String,
    pub replication_user: String,
    pub replication_password: String,
}

impl Storage {
    /// Returns the site's login on database servers.
    pub fn login(&self) -> storage::Credentials {
        storage::Credentials { user: self.user.clone(), password: self.password.clone() }
    }

    /// Returns the login for operations on database servers: the site's own unless another one is set.
    pub fn admin_login(&self) -> storage::Credentials {
        if self.admin_user.is_empty() {
            return self.login();
        }
        storage::Credentials { user: self.admin_user.clone(), password: self.admin_password.clone() }
    }

    /// Returns the login by which database servers follow each other, if one is set.
    pub fn replication_login(&self) -> Option<storage::Credentials> {
        let login = storage::Credentials { user: self.replication_user.clone(), password: self.replication_password.clone() };
        (!login.user.is_empty()).then_some(login)
    }

    /// Tells whether storage runs in other processes.
    pub fn is_remote(&self) -> bool {
        self.url.starts_with("remote:")
    }
}

/// Without the key: what is printed ends up in logs.
impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage")
            .field("url", &hide_secret(&self.url))
            .field("listen", &self.listen)
            .field("access", &self.access)
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Engine {
    pub url: String,
}

#[derive(Clone, Deserialize)]
pub struct Feeds {
    pub url: String,
    pub persistence: String,
    pub merge_threshold: usize,
    pub listen: String,
    pub access: String,
    pub caller: String,
    pub key: String,
}

impl Feeds {
    /// Tells whether feeds live in other processes.
    pub fn is_remote(&self) -> bool {
        self.url.starts_with("remote:")
    }
}

/// Without the key: what is printed ends up in logs.
impl std::fmt::Debug for Feeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feeds")
            .field("url", &hide_secret(&self.url))
            .field("listen", &self.listen)
            .field("access", &self.access)
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Cache {
    pub url: String,
    pub mib: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Mail {
    pub url: String,
    pub from: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Retention {
    pub trash_days: i64,
    pub picture_minutes: i64,
    pub session_days: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Log {
    pub level: String,
    pub form: String,
}

/// Where configuration comes from beyond the defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    pub data: PathBuf,
    /// Flags, as (table, key, value).
    pub flags: Vec<(&'static str, &'static str, String)>,
}

impl Config {
    /// Reads the configuration with the process's environment.
    pub fn read(sources: &Sources) -> anyhow::Result<Config> {
        Config::read_with(sources, &std::env::vars().collect())
    }

    fn read_with(sources: &Sources, environment: &BTreeMap<String, String>) -> anyhow::Result<Config> {
        let mut table: Table = DEFAULT.parse().context("the compiled-in defaults can't be read")?;
        if let Some(path) = &sources.file {
            let text = std::fs::read_to_string(path).with_context(|| format!("the config file {} can't be read", path.display()))?;
            let given: Table = text.parse().with_context(|| format!("the config file {} is not TOML", path.display()))?;
            overlay(&mut table, given, path)?;
        }
        for (name, key, value) in environment_values(&table, environment) {
            set(&mut table, &name, &key, &value).with_context(|| format!("from the environment: {}", variable(&name, &key)))?;
        }
        for (name, key, value) in &sources.flags {
            set(&mut table, name, key, value)?;
        }
        let mut config: Config = Value::Table(table).try_into().context("the configuration does not fit")?;
        config.data.clone_from(&sources.data);
        config.place(&sources.data)?;
        Ok(config)
    }

    /// Puts the data folder into every URL.
    fn place(&mut self, data: &Path) -> anyhow::Result<()> {
        let data = data.to_str().context("the data folder's name is not UTF-8; choose another one with --data")?;
        let urls = [
            &mut self.storage.url,
            &mut self.storage.access,
            &mut self.feeds.url,
            &mut self.feeds.access,
            &mut self.jobs.url,
            &mut self.events.url,
            &mut self.search.url,
            &mut self.media.url,
            &mut self.discovery.url,
            &mut self.mail.url,
        ];
        for url in urls {
            *url = url.replace("{data}", data);
        }
        Ok(())
    }

    /// Finds what would only go wrong later. Each line says what to do.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let known: [(&str, &str, &[&str]); 8] = [
            ("storage.url", &self.storage.url, &["sqlite", "remote", "mysql"]),
            ("cache.url", &self.cache.url, &["memory", "memcached"]),
            ("feeds.url", &self.feeds.url, &["memory", "redis", "remote"]),
            ("jobs.url", &self.jobs.url, &["sqlite"]),
            ("events.url", &self.events.url, &["sqlite"]),
            ("search.url", &self.search.url, &["tantivy", "memory"]),
            ("media.url", &self.media.url, &["file", "memory"]),
            ("mail.url", &self.mail.url, &["file", "smtp", "smtps"]),
        ];
        for (key, url, schemes) in known {
            let scheme = url.split(':').next().unwrap_or("");
            if !schemes.contains(&scheme) {
                problems.push(format!("{key} is '{}': this build knows {}.", hide_secret(url), schemes.map_list()));
            }
        }
        if self.cache.url.starts_with("memcached:")
            && let Err(error) = cache::Memcached::new(&self.cache.url, cache::MemcachedLimits::default())
        {
            problems.push(format!("cache.url: {error}"));
        }
        if let Err(error) = self.feeds.persistence.parse::<feeds::Persistence>() {
            problems.push(format!("feeds.persistence: {error}"));
        }
        if self.server.listen.parse::<std::net::SocketAddr>().is_err() {
            problems
                .push(format!("server.listen is '{}': write an address and a port, like 127.0.0.1:8080 or [::]:8080.", self.server.listen));
        }
        let services = [
            ("storage", &self.storage.listen, &self.storage.caller, &self.storage.key),
            ("feeds", &self.feeds.listen, &self.feeds.caller, &self.feeds.key),
        ];
        for (name, listen, caller, key) in services {
            if listen.parse::<std::net::SocketAddr>().is_err() {
                problems.push(format!("{name}.listen is '{listen}': write an address and a port, like 127.0.0.1:8090."));
            }
            if caller.is_empty() != key.is_empty() {
                problems.push(format!("{name}.caller and {name}.key go together: set both, or neither."));
            }
        }
        let base = &self.server.base_url;
        if !base.is_empty() && (!(base.starts_with("http://") || base.starts_with("https://")) || base.ends_with('/')) {
            problems.push(format!("server.base_url is '{base}': write it like https://pins.example.org, without a slash at the end."));
        }
        if self.retention.trash_days < 0 || self.retention.picture_minutes < 0 || self.retention.session_days < 1 {
            problems.push("retention: days and minutes can't be negative, and a session lives at least a day.".into());
        }
        if !["auto", "text", "json"].contains(&self.log.form.as_str()) {
            problems.push(format!("log.form is '{}': choose auto, text or json.", self.log.form));
        }
        problems
    }

    /// Lists the effective values by key, secrets hidden.
    pub fn effective(&self) -> Vec<(String, String)> {
        let text = |value: &dyn std::fmt::Display| value.to_string();
        [
            ("data", self.data.display().to_string()),
            ("server.listen", self.server.listen.clone()),
            ("server.base_url", self.server.base_url.clone()),
            ("server.behind_proxy", text(&self.server.behind_proxy)),
            ("server.rate_limit_scale", text(&self.server.rate_limit_scale)),
            ("server.threads", text(&self.server.threads)),
            ("site.title", self.site.title.clone()),
            ("storage.url", hide_secret(&self.storage.url)),
            ("storage.listen", self.storage.listen.clone()),
            ("storage.access", self.storage.access.clone()),
            ("storage.caller", self.storage.caller.clone()),
            ("storage.key", hidden(&self.storage.key)),
            ("storage.user", self.storage.user.clone()),
            ("storage.password", hidden(&self.storage.password)),
            ("storage.admin_user", self.storage.admin_user.clone()),
            ("storage.admin_password", hidden(&self.storage.admin_password)),
            ("storage.replication_user", self.storage.replication_user.clone()),
            ("storage.replication_password", hidden(&self.storage.replication_password)),
            ("cache.url", hide_secret(&self.cache.url)),
            ("cache.mib", text(&self.cache.mib)),
            ("feeds.url", hide_secret(&self.feeds.url)),
            ("feeds.persistence", self.feeds.persistence.clone()),
            ("feeds.merge_threshold", text(&self.feeds.merge_threshold)),
            ("feeds.listen", self.feeds.listen.clone()),
            ("feeds.access", self.feeds.access.clone()),
            ("feeds.caller", self.feeds.caller.clone()),
            ("feeds.key", hidden(&self.feeds.key)),
            ("jobs.url", hide_secret(&self.jobs.url)),
            ("events.url", hide_secret(&self.events.url)),
            ("search.url", hide_secret(&self.search.url)),
            ("media.url", hide_secret(&self.media.url)),
            ("discovery.url", hide_secret(&self.discovery.url)),
            ("mail.url", hide_secret(&self.mail.url)),
            ("mail.from", self.mail.from.clone()),
            ("retention.trash_days", text(&self.retention.trash_days)),
            ("retention.picture_minutes", text(&self.retention.picture_minutes)),
            ("retention.session_days", text(&self.retention.session_days)),
            ("log.level", self.log.level.clone()),
            ("log.form", self.log.form.clone()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

trait MapList {
    fn map_list(&self) -> String;
}

impl MapList for &[&str] {
    fn map_list(&self) -> String {
        self.iter().map(|scheme| format!("{scheme}:")).collect::<Vec<_>>().join(", ")
    }
}

/// Shows that a secret is set, and nothing of it.
fn hidden(secret: &str) -> String {
    if secret.is_empty() { String::new() } else { "…".to_owned() }
}

/// Hides the password of a URL.
fn hide_secret(url: &str) -> String {
    let Some((before, after)) = url.split_once("://") else { return url.to_owned() };
    let Some((user, host)) = after.rsplit_once('@') else { return url.to_owned() };
    format!("{before}://{}:…@{host}", user.split(':').next().unwrap_or(""))
}

fn overlay(into: &mut Table, given: Table, path: &Path) -> anyhow::Result<()> {
    for (name, values) in given {
        let Some(Value::Table(known)) = into.get_mut(&name) else {
            bail!("{}: there is no table [{name}]. See config.default.toml for what there is.", path.display());
        };
        let Value::Table(values) = values else { bail!("{}: '{name}' is a table: write [{name}].", path.display()) };
        for (key, value) in values {
            let Some(old) = known.get(&key) else { bail!("{}: there is no key '{key}' in [{name}].", path.display()) };
            if old.type_str() != value.type_str() {
                bail!("{}: {name}.{key} is a {}, not a {}.", path.display(), old.type_str(), value.type_str());
            }
            known.insert(key, value);
        }
    }
    Ok(())
}

fn variable(table: &str, key: &str) -> String {
    if (table, key) == ("log", "level") {
        "CORKBOARD_LOG".into()
    } else {
        format!("CORKBOARD_{}_{}", table.to_uppercase(), key.to_uppercase())
    }
}

fn environment_values(table: &Table, environment: &BTreeMap<String, String>) -> Vec<(String, String, String)> {
    let mut values = Vec::new();
    for (name, keys) in table {
        for key in keys.as_table().into_iter().flat_map(|keys| keys.keys()) {
            if let Some(value) = environment.get(&variable(name, key)) {
                values.push((name.clone(), key.clone(), value.clone()));
            }
        }
    }
    values
}

fn set(table: &mut Table, name: &str, key: &str, text: &str) -> anyhow::Result<()> {
    let keys = table.get_mut(name).and_then(Value::as_table_mut).with_context(|| format!("there is no table [{name}]"))?;
    let old = keys.get(key).with_context(|| format!("there is no key {name}.{key}"))?;
    let value = match old {
        Value::String(_) => Value::String(text.to_owned()),
        Value::Integer(_) => Value::Integer(text.parse().with_context(|| format!("{name}.{key} is a number; '{text}' is none"))?),
        Value::Boolean(_) => Value::Boolean(text.parse().with_context(|| format!("{name}.{key} is true or false; '{text}' is neither"))?),
        other => bail!("{name}.{key} is a {}, which can't be given here", other.type_str()),
    };
    keys.insert(key.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Sources {
        Sources { data: "somewhere".into(), ..Sources::default() }
    }

    #[test]
    fn the_default_needs_nothing_and_has_no_problem() {
        let config = Config::read_with(&sources(), &BTreeMap::new()).unwrap();
        assert_eq!(config.storage.url, "sqlite:somewhere/corkboard.db");
        assert_eq!(config.problems(), Vec::<String>::new());
    }

    #[test]
    fn environment_goes_over_the_file_and_flags_over_both() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[server]\nlisten = \"127.0.0.1:1\"\nthreads = 3\n[site]\ntitle = \"File\"").unwrap();
        let sources = Sources { file: Some(file.path().into()), flags: vec![("server", "listen", "127.0.0.1:3".into())], ..sources() };
        let environment =
            BTreeMap::from([("CORKBOARD_SERVER_LISTEN".into(), "127.0.0.1:2".into()), ("CORKBOARD_SITE_TITLE".into(), "Env".into())]);
        let config = Config::read_with(&sources, &environment).unwrap();
        assert_eq!((config.server.listen.as_str(), config.server.threads, config.site.title.as_str()), ("127.0.0.1:3", 3, "Env"));
    }

    #[test]
    fn what_is_unknown_or_wrong_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, wanted) in [
            ("[sever]\na=1", "[sever]"),
            ("[server]\nlissten=\"x\"", "'lissten'"),
            ("[server]\nthreads=\"x\"", "server.threads is a integer"),
        ] {
            std::fs::write(file.path(), text).unwrap();
            let error = Config::read_with(&Sources { file: Some(file.path().into()), ..sources() }, &BTreeMap::new()).unwrap_err();
            assert!(format!("{error:#}").contains(wanted), "{error:#}");
        }
        let environment =
            BTreeMap::from([("CORKBOARD_SERVER_THREADS".into(), "many".into()), ("CORKBOARD_STORAGE_URL".into(), "oracle:x".into())]);
        assert!(format!("{:#}", Config::read_with(&sources(), &environment).unwrap_err()).contains("'many' is none"));
        let environment = BTreeMap::from([("CORKBOARD_STORAGE_URL".into(), "oracle:x".into())]);
        let config = Config::read_with(&sources(), &environment).unwrap();
        assert!(config.problems()[0].contains("sqlite:"), "{:?}", config.problems());
    }

    #[test]
    fn the_keys_of_services_are_never_shown() {
        for name in ["storage", "feeds"] {
            let variable = |key: &str| variable(name, key);
            let environment = BTreeMap::from([
                (variable("url"), "remote:10.0.0.5:8090".into()),
                (variable("caller"), "site".into()),
                (variable("key"), "hush".into()),
            ]);
            let config = Config::read_with(&sources(), &environment).unwrap();
            assert_eq!(config.problems(), Vec::<String>::new());
            assert_eq!((config.storage.is_remote(), config.feeds.is_remote()), (name == "storage", name == "feeds"));
            assert!([&config.storage.key, &config.feeds.key].contains(&&"hush".to_owned()));
            let shown = format!("{:?} {config:?}", config.effective());
            assert!(shown.contains("site") && !shown.contains("hush"), "{shown}");
            let environment = BTreeMap::from([(variable("caller"), "site".into())]);
            assert!(Config::read_with(&sources(), &environment).unwrap().problems()[0].contains(&format!("{name}.key")));
        }
    }

    #[test]
    fn passwords_are_hidden() {
        assert_eq!(hide_secret("smtp://me:secret@mail.example.org:587"), "smtp://me:…@mail.example.org:587");
        assert_eq!(hide_secret("sqlite:data/x.db"), "sqlite:data/x.db");
    }
}
