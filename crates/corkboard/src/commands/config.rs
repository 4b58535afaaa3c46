//! `corkboard config`: what is in force, and whether it can work.

use std::process::ExitCode;

use clap::Subcommand;

use crate::config::{Config, DEFAULT};
use crate::table;

#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Prints the effective values, secrets hidden, and what is wrong with them.
    Check,
    /// Prints the default configuration with its comments.
    Default,
}

pub fn run(command: &ConfigCommand, config: &Config) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Default => {
            print!("{DEFAULT}");
            Ok(ExitCode::SUCCESS)
        }
        ConfigCommand::Check => {
            let rows: Vec<_> = config.effective().into_iter().map(|(key, value)| vec![key, value]).collect();
            print!("{}", table::render(&["key", "value"], &rows));
            let problems = config.problems();
            if problems.is_empty() {
                println!("\nThe configuration is fine.");
                return Ok(ExitCode::SUCCESS);
            }
            println!("\nProblems:");
            for problem in problems {
                println!("  {problem}");
            }
            Ok(ExitCode::FAILURE)
        }
    }
}
