//! `corkboard settings`: what a running server follows without a restart.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use corkboard::settings::{KEYS, Key, strangers};
use discovery::Registry;
use serde_json::json;

use crate::config::Config;
use crate::table;

#[derive(Subcommand)]
pub enum SettingsCommand {
    /// Lists the live settings, and where their values come from.
    List {
        /// Prints JSON for machines.
        #[arg(long)]
        json: bool,
    },
    /// Sets one. A running server follows within a second.
    Set {
        /// The setting, like feeds.merge_threshold.
        key: String,
        value: String,
        /// Prints JSON for machines.
        #[arg(long)]
        json: bool,
    },
    /// Takes one back: the configuration's value counts again.
    Unset {
        key: String,
        /// Prints JSON for machines.
        #[arg(long)]
        json: bool,
    },
}

pub fn run(command: &SettingsCommand, config: &Config) -> anyhow::Result<ExitCode> {
    let registry = Registry::open(&config.discovery.url)?;
    let as_json = match command {
        SettingsCommand::List { json } => return list(&registry, config, *json),
        SettingsCommand::Set { key, value, json } => {
            let key = Key::named(key).map_err(anyhow::Error::msg)?;
            let value = key.parse(value).map_err(anyhow::Error::msg)?;
            registry.set(key.name, Some(value.into())).with_context(|| format!("{} could not be set", key.name))?;
            *json
        }
        SettingsCommand::Unset { key, json } => {
            let settings = registry.settings()?;
            // What is no key of this build can be taken away all the same.
            if !settings.keys().contains(key) {
                Key::named(key).map_err(anyhow::Error::msg)?;
            }
            registry.set(key, None).with_context(|| format!("{key} could not be taken back"))?;
            *json
        }
    };
    list(&registry, config, as_json)
}

fn list(registry: &Registry, config: &Config, as_json: bool) -> anyhow::Result<ExitCode> {
    let settings = registry.settings()?;
    let (mut rows, mut values, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for key in &KEYS {
        match key.value(config, &settings) {
            Ok((value, is_live)) => {
                let origin = if is_live { "settings" } else { "configuration" };
                rows.push(vec![key.name.to_owned(), value.to_string(), origin.to_owned(), key.what.to_owned()]);
                values.push(json!({ "key": key.name, "value": value, "origin": origin, "what": key.what }));
            }
            Err(problem) => problems.push(problem),
        }
    }
    problems
        .extend(strangers(&settings).into_iter().map(|name| format!("'{name}' is no live setting; `corkboard settings unset {name}`.")));
    if as_json {
        println!("{}", json!({ "settings": values, "problems": problems }));
    } else {
        print!("{}", table::render(&["setting", "value", "from", "what"], &rows));
        problems.iter().for_each(|problem| println!("BAD  {problem}"));
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
