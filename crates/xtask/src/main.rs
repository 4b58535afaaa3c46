//! Every developer's command: `cargo xtask test | tidy | times | bench NAME | chaos NAME`.
//!
//! ```text
//! test.rs          runs every test there is and adds up what passed, failed and was skipped
//!   summary.rs     what the test runners' last lines say
//! tidy.rs          rules of the house that the compiler does not know
//!   tidy/mask.rs           Rust source with comments and strings told apart from code
//!   tidy/dependencies.rs   which crate may use which
//!   tidy/source.rs         Rust files: headers, size, stubs, SQL, printing, names
//!   tidy/pages.rs          templates: nothing that the site's content security policy would block
//!   tidy/documents.rs      README, ARCHITECTURE, decisions, comments on dependencies, lock files
//! times.rs         CPU minutes of a clean release build, per crate
//! bench.rs         benches by name, as a table or as JSON
//!   start.rs       time to the first page, memory at rest
//! chaos.rs         a fleet, or feeds and cache, under kills and cuts, once per seed
//! install.rs       what tests need from outside: found, installed, or named
//! command.rs       running other programs
//! ```

mod bench;
mod chaos;
mod command;
mod install;
mod start;
mod summary;
mod test;
mod tidy;
mod times;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Every developer's command.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs every test; the last line says how many passed, failed and were skipped.
    Test(test::Arguments),
    /// Checks the rules of the house that the compiler does not know.
    Tidy,
    /// Measures the CPU minutes of a clean release build, per crate.
    Times(times::Arguments),
    /// Runs a bench: thumbnails, site, storage or start.
    Bench(bench::Arguments),
    /// Kills and cuts off what runs while it is used, and looks whether anything was lost: storage.
    Chaos(chaos::Arguments),
}

fn main() -> ExitCode {
    if let Some(status) = times::as_compiler() {
        return match status {
            Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(1)),
            Err(error) => failed(&error),
        };
    }
    match run() {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("xtask: {error:#}");
    ExitCode::FAILURE
}

fn run() -> anyhow::Result<ExitCode> {
    let root = command::workspace_root()?;
    match Arguments::parse().command {
        Command::Test(arguments) => return test::run(&root, &arguments),
        Command::Tidy => tidy::run(&root)?,
        Command::Times(arguments) => times::run(&root, &arguments)?,
        Command::Bench(arguments) => bench::run(&root, &arguments)?,
        Command::Chaos(arguments) => chaos::run(&root, &arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}
