//! Live settings: the keys there are, their bounds, and a server that follows them.
//!
//! ```text
//! corkboard settings set KEY VALUE ─▶ settings.json in the registry ─▶ every server, within a second ─▶ the part it is about
//! ```
//!
//! A key that is not set has the configuration's value. A file that can't be read, or a value that can't be, changes nothing and is
//! said once.

use std::time::Duration;

use app::App;
use discovery::{LiveSettings, Registry};
use runtime::Shutdown;

use crate::config::Config;
use crate::tasks::TaskResult;

/// How often a server looks for new settings.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A setting that a running server follows.
pub struct Key {
    pub name: &'static str,
    pub what: &'static str,
    min: i64,
    max: i64,
    configured: fn(&Config) -> i64,
    apply: fn(&App, i64),
}

/// All live settings.
pub const KEYS: [Key; 1] = [Key {
    name: MERGE_THRESHOLD,
    what: "followers above which pins are merged in when feeds are read",
    min: 1,
    max: 1_000_000_000,
    configured: |config| i64::try_from(config.feeds.merge_threshold).unwrap_or(i64::MAX),
    apply: |app, followers| app.feeds.set_merge_threshold(usize::try_from(followers).unwrap_or(usize::MAX)),
}];

const MERGE_THRESHOLD: &str = "feeds.merge_threshold";

impl Key {
    /// Finds a key; the error lists those there are.
    pub fn named(name: &str) -> Result<&'static Key, String> {
        let known = || KEYS.iter().map(|key| key.name).collect::<Vec<_>>().join(", ");
        KEYS.iter().find(|key| key.name == name).ok_or_else(|| format!("'{name}' is no live setting. There are: {}.", known()))
    }

    /// Reads a value as people type it.
    pub fn parse(&self, text: &str) -> Result<i64, String> {
        let value = text.replace('_', "").parse().map_err(|_| format!("'{text}' is no number; {} counts {}.", self.name, self.what))?;
        self.check(value)
    }

    fn check(&self, value: i64) -> Result<i64, String> {
        if (self.min..=self.max).contains(&value) {
            return Ok(value);
        }
        Err(format!("{} is {value}; it can be {} to {}.", self.name, self.min, self.max))
    }

    /// Returns what is in force, and whether it was set live.
    pub fn value(&self, config: &Config, settings: &LiveSettings) -> Result<(i64, bool), String> {
        match settings.get(self.name) {
            None => Ok(((self.configured)(config), false)),
            Some(value) => match value.as_i64() {
                Some(value) => Ok((self.check(value)?, true)),
                None => Err(format!("{} is {value}; write a number.", self.name)),
            },
        }
    }
}

/// Names what stands in the settings and is no key of this build.
pub fn strangers(settings: &LiveSettings) -> Vec<String> {
    settings.keys().into_iter().filter(|name| Key::named(name).is_err()).collect()
}

/// Returns the merge threshold to begin with. What is wrong with the settings is said by `follow`.
pub fn merge_threshold(config: &Config) -> usize {
    let settings = Registry::open(&config.discovery.url).and_then(|registry| registry.settings()).unwrap_or_default();
    let live = Key::named(MERGE_THRESHOLD).and_then(|key| key.value(config, &settings));
    live.ok().and_then(|(followers, _)| usize::try_from(followers).ok()).unwrap_or(config.feeds.merge_threshold)
}

/// Follows the live settings until shutdown.
pub async fn follow(app: App, config: Config, shutdown: Shutdown) -> TaskResult {
    let registry = Registry::open(&config.discovery.url).map_err(|error| error.to_string())?;
    let mut follower = Follower { in_force: [None; KEYS.len()], complaint: String::new() };
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.wait() => return Ok(()),
            _ = every.tick() => follower.look(&app, &config, &registry),
        }
    }
}

struct Follower {
    in_force: [Option<i64>; KEYS.len()],
    /// What was said last about what can't be followed.
    complaint: String,
}

impl Follower {
    fn look(&mut self, app: &App, config: &Config, registry: &Registry) {
        let mut complaints = Vec::new();
        match registry.settings() {
            Err(error) => complaints.push(error.to_string()),
            Ok(settings) => {
                complaints.extend(strangers(&settings).into_iter().map(|name| format!("'{name}' is no live setting.")));
                for (key, in_force) in KEYS.iter().zip(&mut self.in_force) {
                    match key.value(config, &settings) {
                        Ok((value, is_live)) if *in_force != Some(value) => {
                            (key.apply)(app, value);
                            if in_force.is_some() || is_live {
                                tracing::info!(setting = key.name, value, before = *in_force, is_live, "a live setting is in force");
                            }
                            *in_force = Some(value);
                        }
                        Ok(_) => {}
                        Err(complaint) => complaints.push(complaint),
                    }
                }
            }
        }
        let complaint = complaints.join(" ");
        if !complaint.is_empty() && complaint != self.complaint {
            tracing::warn!(complaint, "live settings can't be followed; what was in force stays");
        }
        self.complaint = complaint;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked() {
        let key = Key::named(MERGE_THRESHOLD).expect("a key");
        assert_eq!(key.parse("20_000"), Ok(20_000));
        for wrong in ["", "many", "0", "-5", "1.5", "99999999999"] {
            assert!(key.parse(wrong).is_err_and(|error| error.contains(MERGE_THRESHOLD)), "{wrong}");
        }
        assert!(Key::named("feeds.url").is_err_and(|error| error.contains(MERGE_THRESHOLD)));
    }
}
