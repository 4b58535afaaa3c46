//! `corkboard user` and `corkboard token`: accounts without a browser. A server may be running meanwhile.

use std::io::Read;
use std::process::ExitCode;

use anyhow::Context;
use app::accounts::NewUser;
use app::tokens::parse_scopes;
use app::{App, Viewer};
use clap::Subcommand;
use model::UserId;

use crate::config::Config;
use crate::wiring::{Purpose, open_app};

#[derive(Subcommand)]
pub enum UserCommand {
    /// Makes an account; the password is read from standard input.
    Create {
        /// The user name.
        name: String,
        #[arg(long)]
        email: String,
        /// Reads the password from standard input, up to the end of the line. Passwords never stand in arguments, where others see them.
        #[arg(long, required = true)]
        password_stdin: bool,
        /// Makes the account an admin. The first account of a site is one anyway.
        #[arg(long)]
        admin: bool,
    },
    /// Makes an account an admin.
    Promote {
        /// The user name.
        name: String,
    },
    /// Sets a new password, read from standard input, and ends all sessions.
    Password {
        /// The user name.
        name: String,
        #[arg(long, required = true)]
        password_stdin: bool,
    },
}

#[derive(Subcommand)]
pub enum TokenCommand {
    /// Makes a token and prints it, this once.
    Create {
        /// Whose token it is: a user name.
        #[arg(long)]
        user: String,
        /// What it may do, like boards:read,pins:write.
        #[arg(long)]
        scopes: String,
        /// What it is for, as the settings page shows it.
        #[arg(long, default_value = "command line")]
        name: String,
    },
}

fn read_password() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().take(4096).read_to_string(&mut text).context("the password can't be read from standard input")?;
    Ok(text.lines().next().unwrap_or("").to_owned())
}

/// Opens the application for a command.
pub async fn tool(config: &Config) -> anyhow::Result<App> {
    open_app(config, Purpose::Tool, config.server.base_url.clone()).await
}

/// Finds a person by user name.
pub async fn named(app: &App, name: &str) -> anyhow::Result<UserId> {
    let user = app
        .user_named(&Viewer::anonymous(), name)
        .await
        .with_context(|| format!("there is no user '{name}'; `corkboard user create` makes one"))?;
    Ok(UserId::try_from(user.id)?)
}

/// Brings what a command caused on its way and closes everything.
pub async fn finish(app: &App) -> anyhow::Result<()> {
    while app.relay_step().await? > 0 {}
    app.events.close().await;
    app.jobs.close().await;
    app.storage.close().await?;
    Ok(())
}

pub async fn user(command: &UserCommand, config: &Config) -> anyhow::Result<ExitCode> {
    let app = tool(config).await?;
    match command {
        UserCommand::Create { name, email, admin, .. } => {
            let new =
                NewUser { username: name.clone(), email: email.clone(), password: read_password()?, admin: *admin, ..NewUser::default() };
            let id = app.sign_up(&Viewer::anonymous(), new).await?;
            println!("{id}");
        }
        UserCommand::Promote { name } => {
            let user = named(&app, name).await?;
            app.set_admin(&Viewer::anonymous(), user, true).await?;
            println!("{name} is an admin now.");
        }
        UserCommand::Password { name, .. } => {
            let user = named(&app, name).await?;
            app.set_password(user, &read_password()?, None).await?;
            println!("The password of {name} is changed and all sessions are ended.");
        }
    }
    finish(&app).await?;
    Ok(ExitCode::SUCCESS)
}

pub async fn token(command: &TokenCommand, config: &Config) -> anyhow::Result<ExitCode> {
    let app = tool(config).await?;
    let TokenCommand::Create { user, scopes, name } = command;
    let user = named(&app, user).await?;
    let token = app.create_token(&Viewer::anonymous(), user, name, parse_scopes(scopes)?).await?;
    println!("{token}");
    finish(&app).await?;
    Ok(ExitCode::SUCCESS)
}
