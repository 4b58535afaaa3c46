//! `corkboard storage`: what looks after the storage service and its fleet of database servers.

mod backup;
mod capacity;
mod failover;
mod fleet;
mod migrate;
mod moves;
mod objects;
mod progress;
mod verify;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::Config;

#[derive(Subcommand)]
pub enum StorageCommand {
    /// Makes an entry of the access list with a fresh key, and prints both, this once.
    Access(AccessArgs),
    /// Makes tables on database servers, spreads the shards over them and writes the shard map; later, lets servers join.
    Init(fleet::InitArgs),
    /// Shows every server: its shards, its lease, its replicas, and what needs a look.
    Status(fleet::StatusArgs),
    /// Moves shards to another server while the site runs. Can be killed and run again at any step.
    Move(moves::MoveArgs),
    /// Puts a replica in the place of a primary that has died, or, with --planned, of one that is alive.
    Failover(failover::FailoverArgs),
    /// Moves an embedded site (sqlite:) to a fleet while it runs. Can be killed and run again at any step.
    Migrate(migrate::MigrateArgs),
    /// Moves the upper half of a server's shards to another one.
    Split(moves::SplitArgs),
    /// Compares everything that is stored twice and says what differs; can mend what is derived. Ends with 1 when something differs.
    Verify(verify::VerifyArgs),
    /// Shows how large every server is, how fast it grows, the day it fills, and what to do before.
    Capacity(capacity::CapacityArgs),
    /// Backs the fleet up, archives what changes, lists and checks backups.
    Backup(backup::BackupArgs),
    /// Restores a backup into an empty fleet, as it was then or at a later moment.
    Restore(backup::RestoreArgs),
}

#[derive(Args)]
pub struct AccessArgs {
    /// What the caller calls itself: letters, digits, - and _.
    name: String,
    /// Tables that it may look things up in, like pins,board_has_pins,names; * for all.
    #[arg(long, value_name = "TABLES", value_delimiter = ',')]
    read: Vec<String>,
    /// Tables that it may write; * for all.
    #[arg(long, value_name = "TABLES", value_delimiter = ',')]
    write: Vec<String>,
    /// Tables that it may list from one end to the other; * for all.
    #[arg(long, value_name = "TABLES", value_delimiter = ',')]
    scan: Vec<String>,
    /// Lets it check, count and sweep.
    #[arg(long)]
    operations: bool,
}

pub async fn run(command: &StorageCommand, config: &Config) -> anyhow::Result<ExitCode> {
    match command {
        StorageCommand::Access(args) => access(args),
        StorageCommand::Init(args) => fleet::init(args, config).await,
        StorageCommand::Status(args) => fleet::status(args, config).await,
        StorageCommand::Move(args) => moves::shift(args, config).await,
        StorageCommand::Failover(args) => failover::run(args, config).await,
        StorageCommand::Migrate(args) => migrate::run(args, config).await,
        StorageCommand::Split(args) => moves::split(args, config).await,
        StorageCommand::Verify(args) => verify::verify(args, config).await,
        StorageCommand::Capacity(args) => capacity::capacity(args, config).await,
        StorageCommand::Backup(args) => backup::backup(args, config).await,
        StorageCommand::Restore(args) => backup::restore(args, config).await,
    }
}

fn access(args: &AccessArgs) -> anyhow::Result<ExitCode> {
    let (read, write, scan) = (args.read.clone(), args.write.clone(), args.scan.clone());
    let (entry, key) = storage::Caller::fresh(&args.name, read, write, scan, args.operations)?;
    println!("The caller's configuration (the key is shown this once; keep it out of files that others read):\n");
    println!("CORKBOARD_STORAGE_CALLER={}\nCORKBOARD_STORAGE_KEY={key}\n", entry.name);
    println!("The entry for \"callers\" in the service's access list (storage.access):\n");
    println!("{}", serde_json::to_string_pretty(&entry)?);
    Ok(ExitCode::SUCCESS)
}
