//! `corkboard`: the program. Commands, configuration, choice of engines, wiring.
//!
//! ```text
//! main.rs       arguments
//! lib.rs        what tests of the whole site start as `serve` does:
//!   config.rs   defaults ◀ file ◀ environment ◀ flags
//!   wiring.rs   configuration ─▶ engines ─▶ application
//!   metrics.rs  what all crates count
//!   tasks.rs    the application's background tasks
//!   settings.rs live settings, and following them
//! commands/     serve · status · doctor · storage · user · token · legal · import · demo · settings · config
//! table.rs      tables for people
//! ```

mod art;
mod cache_mark;
mod commands;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use corkboard::config::{Config, Sources};
use corkboard::{config, metrics, settings, tasks, wiring};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A pinboard site that you host yourself.
///
/// Without a command it serves the site: http://localhost:8080, everything under ./data, no configuration needed. The first account
/// that signs up is the admin.
#[derive(Parser)]
#[command(name = "corkboard", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    places: Places,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args, Clone)]
struct Places {
    /// The folder that holds everything: store, pictures, index, log.
    #[arg(long, global = true, value_name = "DIR", default_value = "data", env = "CORKBOARD_DATA_DIR")]
    data: PathBuf,
    /// A TOML file that overrides the defaults; `corkboard config default` prints these with comments.
    #[arg(long, global = true, value_name = "FILE", env = "CORKBOARD_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the site until Ctrl-C, then drains.
    Serve(commands::serve::ServeArgs),
    /// Asks the running server how it is.
    Status(commands::status::StatusArgs),
    /// Checks the whole installation and says what to do about what it finds.
    Doctor(commands::doctor::DoctorArgs),
    /// Looks after the storage service and its fleet of database servers.
    #[command(subcommand)]
    Storage(commands::storage::StorageCommand),
    /// Rebuilds feeds in Redis from storage, and compares them with it.
    #[command(subcommand)]
    Feeds(commands::feeds::FeedsCommand),
    /// Makes and changes accounts.
    #[command(subcommand)]
    User(commands::account::UserCommand),
    /// Makes API tokens.
    #[command(subcommand)]
    Token(commands::account::TokenCommand),
    /// Answers the law: legal holds, takedowns, erasure, the audit log.
    Legal(commands::legal::LegalArgs),
    /// Brings in pictures and bookmarks from elsewhere. Can be stopped and run again: nothing is made twice.
    Import(commands::import::ImportArgs),
    /// Fills the site with a small made-up community, to see what it is like.
    Demo(commands::demo::DemoArgs),
    /// Shows and changes what a running server follows without a restart.
    #[command(subcommand)]
    Settings(commands::settings::SettingsCommand),
    /// Shows and checks the configuration.
    #[command(subcommand)]
    Config(commands::config::ConfigCommand),
    /// Seeds a data folder for load tests.
    #[command(hide = true)]
    DevSeed(commands::dev_seed::DevSeedArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("corkboard: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let command = cli.command.unwrap_or_else(|| Command::Serve(commands::serve::ServeArgs::default()));
    let sources = Sources { file: cli.places.config, data: cli.places.data, flags: command.flags() };
    let config = Config::read(&sources)?;
    if let Command::Config(command) = &command {
        return commands::config::run(command, &config);
    }
    let problems = config.problems();
    anyhow::ensure!(problems.is_empty(), "the configuration can't work:\n  {}", problems.join("\n  "));
    start_logs(&config, &command)?;
    // The one TLS provider of this process: for foreign addresses and for mail.
    let installed = rustls::crypto::ring::default_provider().install_default();
    anyhow::ensure!(installed.is_ok(), "another TLS provider is in place already");
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if config.server.threads > 0 {
        runtime.worker_threads(config.server.threads);
    }
    let runtime = runtime.enable_all().thread_name("corkboard").build()?;
    runtime.block_on(async {
        match command {
            Command::Serve(args) => commands::serve::run(&args, &config).await,
            Command::Status(args) => commands::status::run(&args, &config).await,
            Command::Doctor(args) => commands::doctor::run(&args, &config).await,
            Command::Storage(command) => commands::storage::run(&command, &config).await,
            Command::Feeds(command) => commands::feeds::run(&command, &config).await,
            Command::User(command) => commands::account::user(&command, &config).await,
            Command::Token(command) => commands::account::token(&command, &config).await,
            Command::Legal(args) => commands::legal::run(&args, &config).await,
            Command::Import(args) => commands::import::run(&args, &config).await,
            Command::Demo(args) => commands::demo::run(&args, &config).await,
            Command::DevSeed(args) => commands::dev_seed::run(&args, &config).await,
            Command::Settings(command) => commands::settings::run(&command, &config),
            Command::Config(_) => Ok(ExitCode::SUCCESS),
        }
    })
}

impl Command {
    /// Returns the configuration keys that the command's own flags set.
    fn flags(&self) -> Vec<(&'static str, &'static str, String)> {
        match self {
            Command::Serve(args) => args.listen.iter().map(|listen| ("server", "listen", listen.clone())).collect(),
            _ => Vec::new(),
        }
    }
}

/// Starts logging: everything for a server, only what matters for commands, whose output is for people.
fn start_logs(config: &Config, command: &Command) -> anyhow::Result<()> {
    let form = match config.log.form.as_str() {
        "json" => runtime::telemetry::LogForm::Json,
        "text" => runtime::telemetry::LogForm::Text,
        _ => runtime::telemetry::LogForm::Auto,
    };
    let level = if matches!(command, Command::Serve(_)) { config.log.level.as_str() } else { "warn" };
    runtime::telemetry::start_logs(form, level);
    Ok(())
}
