//! `corkboard storage`: what looks after the storage service.

use std::process::ExitCode;

use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub enum StorageCommand {
    /// Makes an entry of the access list with a fresh key, and prints both, this once.
    Access(AccessArgs),
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

pub fn run(command: &StorageCommand) -> anyhow::Result<ExitCode> {
    match command {
        StorageCommand::Access(args) => access(args),
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
