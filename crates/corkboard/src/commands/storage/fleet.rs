//! `corkboard storage init` and `status`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::Args;
use storage::{Operator, ReplicaStatus, ServerEntry, ServerStatus};

use super::progress::Terminal;
use crate::config::Config;
use crate::table;

/// Where the map is, for every operation.
#[derive(Args, Clone)]
pub struct MapArgs {
    /// The file of the shard map. Default: that of storage.url.
    #[arg(long, value_name = "FILE")]
    pub map: Option<PathBuf>,
}

#[derive(Args)]
pub struct InitArgs {
    #[command(flatten)]
    map: MapArgs,
    /// A server: its name and its primary, like a=10.0.0.1:3306/corkboard. Once for each.
    #[arg(long = "server", value_name = "NAME=HOST:PORT/DATABASE")]
    servers: Vec<String>,
    /// A replica of one of them, like a=10.0.0.2:3306/corkboard. Replication is set up beforehand.
    #[arg(long = "replica", value_name = "NAME=HOST:PORT/DATABASE")]
    replicas: Vec<String>,
    /// How much a server's disk holds, like a=500, for `capacity`.
    #[arg(long = "disk-gib", value_name = "NAME=GIB")]
    disks: Vec<String>,
    /// Says what would be done, and does nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
pub struct StatusArgs {
    #[command(flatten)]
    map: MapArgs,
    /// Prints JSON for machines.
    #[arg(long)]
    json: bool,
}

/// Returns whoever runs the fleet that the configuration or the flag names.
pub fn operator(args: &MapArgs, config: &Config) -> anyhow::Result<Operator> {
    let file = match (&args.map, config.storage.url.split_once(':')) {
        (Some(file), _) => file.clone(),
        (None, Some(("mysql", file))) if !file.starts_with("//") => file.into(),
        _ => bail!(
            "storage.url is '{}', which names no shard map; give its file with --map, or set storage.url to mysql:FILE",
            config.storage.url
        ),
    };
    let (site, admin) = (config.storage.login(), config.storage.admin_login());
    ensure!(!admin.user.is_empty(), "set storage.user, and storage.admin_user for operations (CORKBOARD_STORAGE_ADMIN_USER, …_PASSWORD)");
    Ok(Operator::new(file, site, admin, Arc::new(Terminal::new())))
}

pub async fn init(args: &InitArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let operator = operator(&args.map, config)?;
    let report = operator.init(servers(args)?, args.dry_run).await?;
    println!("{}", if args.dry_run { "This would be done:" } else { "Done:" });
    for step in &report.steps {
        println!("  {step}");
    }
    if !args.dry_run {
        println!(
            "\nNext: set storage.url to the map (mysql:FILE) and start `corkboard serve`, or `corkboard storage migrate` what is here."
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts what the flags say of each server together.
fn servers(args: &InitArgs) -> anyhow::Result<Vec<ServerEntry>> {
    let pair = |text: &'static str| {
        move |value: &String| -> anyhow::Result<(String, String)> {
            let (name, rest) = value.split_once('=').with_context(|| format!("--{text} {value}: write NAME=…"))?;
            Ok((name.to_owned(), rest.to_owned()))
        }
    };
    let mut servers: Vec<ServerEntry> = Vec::new();
    for (name, primary) in args.servers.iter().map(pair("server")).collect::<anyhow::Result<Vec<_>>>()? {
        let number = servers.len() as u16 + 1;
        servers.push(ServerEntry { name, number, primary, replicas: Vec::new(), disk_gib: None });
    }
    let find = |name: &str, flag: &str| -> anyhow::Result<usize> {
        servers.iter().position(|server| server.name == name).with_context(|| format!("--{flag} {name}=…: no --server has that name"))
    };
    let mut found = Vec::new();
    for (name, address) in args.replicas.iter().map(pair("replica")).collect::<anyhow::Result<Vec<_>>>()? {
        found.push((find(&name, "replica")?, Some(address), None));
    }
    for (name, gib) in args.disks.iter().map(pair("disk-gib")).collect::<anyhow::Result<Vec<_>>>()? {
        let gib: u64 = gib.parse().with_context(|| format!("--disk-gib {name}={gib}: write a number of GiB"))?;
        found.push((find(&name, "disk-gib")?, None, Some(gib)));
    }
    for (index, replica, disk) in found {
        servers[index].replicas.extend(replica);
        servers[index].disk_gib = disk.or(servers[index].disk_gib);
    }
    Ok(servers)
}

pub async fn status(args: &StatusArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let status = operator(&args.map, config)?.status().await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        println!("The shard map is at epoch {}.\n", status.epoch);
        let header = ["server", "address", "state", "shards", "MiB", "outbox", "version"];
        let rows: Vec<_> = status.servers.iter().flat_map(rows).collect();
        print!("{}", table::render(&header, &rows));
        for problem in &status.problems {
            println!("\n→ {problem}");
        }
        if status.problems.is_empty() {
            println!("\nEverything is as it should be.");
        }
    }
    Ok(if status.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line for the primary, and one for each replica.
fn rows(server: &ServerStatus) -> Vec<Vec<String>> {
    let state = match (server.answers, server.has_lease) {
        (false, _) => "AWAY",
        (true, true) => "primary",
        (true, false) => "primary, no lease",
    };
    let numbers = [server.shards, server.bytes >> 20, server.outbox].map(|number| number.to_string());
    let mut row = vec![server.name.clone(), server.primary.clone(), state.to_owned()];
    row.extend(numbers);
    row.push(server.version.clone());
    std::iter::once(row).chain(server.replicas.iter().map(replica_row)).collect()
}

fn replica_row(replica: &ReplicaStatus) -> Vec<String> {
    let state = match (replica.answers, replica.sees_primary && replica.applies, replica.behind_ms) {
        (false, ..) => "AWAY".to_owned(),
        (true, true, Some(behind)) => format!("replica, {:.1} s behind", behind as f64 / 1_000.0),
        (true, true, None) => "replica".to_owned(),
        (true, false, _) => "replica, STOPPED".to_owned(),
    };
    let mut row = vec!["  └".to_owned(), replica.address.clone(), state];
    row.extend(std::iter::repeat_n(String::new(), 4));
    row
}
