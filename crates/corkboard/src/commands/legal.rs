//! `corkboard legal`: holds, takedowns, erasure and the audit log, for whoever runs the site. A server may be running meanwhile.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use app::holds::NewHold;
use app::hydrate::PageRequest;
use app::takedowns::NewTakedown;
use app::{App, Viewer};
use clap::{Args, Subcommand};
use model::legal::{TakedownReason, TakedownState};
use model::limits::PAGE_SIZE_MAX;
use model::{Id, LegalHoldId, TakedownId, Timestamp, User, UserId};
use serde_json::json;

use super::account::{finish, named, tool};
use super::audit;
use crate::config::Config;
use crate::table;

#[derive(Args)]
pub struct LegalArgs {
    /// The admin who acts: a user name. Without it the audit log says that whoever runs the site did it.
    #[arg(long, global = true, value_name = "ADMIN")]
    by: Option<String>,
    #[command(subcommand)]
    command: LegalCommand,
}

#[derive(Subcommand)]
enum LegalCommand {
    /// Places a legal hold: until it is released nothing of the person or pin is deleted for good. They are not told.
    Hold {
        /// A user name, or the number of a pin.
        subject: String,
        #[arg(long)]
        reason: String,
        /// The case's number at whoever asks for it.
        #[arg(long, default_value = "")]
        reference: String,
    },
    /// Ends a legal hold. What waited for it is deleted soon after.
    Release {
        /// The hold's number, as `legal list` shows it.
        hold: LegalHoldId,
        #[arg(long)]
        reason: String,
    },
    /// Takes a pin or a comment down and tells its owner, who can appeal once.
    Takedown {
        /// The number of a pin or a comment.
        subject: Id,
        #[arg(long, value_parser = ["copyright", "illegal", "privacy", "rules", "other"])]
        reason: String,
        /// What the owner is told besides the reason.
        #[arg(long, default_value = "")]
        note: String,
        /// Who complained, in which letter. Only admins see it.
        #[arg(long, default_value = "")]
        complainant: String,
    },
    /// Refuses an appeal: the takedown stays, for good.
    Uphold {
        /// The takedown's number, as `legal list` shows it.
        takedown: TakedownId,
        /// What the owner is told.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Takes a takedown back: what it hid shows again, and its owner is told.
    Reverse {
        /// The takedown's number, as `legal list` shows it.
        takedown: TakedownId,
        /// What the owner is told.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Lists legal holds and takedowns: those in force, or with --all those that ended too.
    List {
        #[arg(long)]
        all: bool,
        /// Prints JSON for machines.
        #[arg(long)]
        json: bool,
    },
    /// Erases a person on their request: everything of them is deleted; the audit log keeps ids only.
    Erase {
        /// The user name.
        name: String,
        /// Stays in the audit log for ever: name the request, not the person.
        #[arg(long)]
        reason: String,
    },
    /// Checks and exports the audit log.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
}

pub async fn run(args: &LegalArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let app = tool(config).await?;
    let done = act(&app, args).await;
    finish(&app).await?;
    done
}

async fn act(app: &App, args: &LegalArgs) -> anyhow::Result<ExitCode> {
    let viewer = actor(app, args.by.as_deref()).await?;
    match &args.command {
        LegalCommand::Hold { subject, reason, reference } => {
            let subject = app.legal_subject(subject).await?;
            let new = NewHold { subject, reason: reason.clone(), reference: reference.clone() };
            println!("{}", app.place_hold(&viewer, new).await?);
        }
        LegalCommand::Release { hold, reason } => {
            app.release_hold(&viewer, *hold, reason).await?;
            println!("The hold is released. What waited for it is deleted by a running server soon.");
        }
        LegalCommand::Takedown { subject, reason, note, complainant } => {
            let reason = TakedownReason::parse(reason).context("the reason is none of those that --help lists")?;
            let (note, complainant) = (note.clone(), complainant.clone());
            println!("{}", app.take_down(&viewer, NewTakedown { note, complainant, ..NewTakedown::new(*subject, reason) }).await?);
        }
        LegalCommand::Uphold { takedown, note } => {
            app.decide_takedown(&viewer, *takedown, TakedownState::Upheld, note).await?;
            println!("It stays down, and its owner is told.");
        }
        LegalCommand::Reverse { takedown, note } => {
            app.decide_takedown(&viewer, *takedown, TakedownState::Reversed, note).await?;
            println!("It shows again, and its owner is told.");
        }
        LegalCommand::List { all, json } => list(app, &viewer, *all, *json).await?,
        LegalCommand::Erase { name, reason } => {
            let user = any_named(app, name).await?;
            app.erase(&viewer, user, reason).await?;
            println!("They are gone for everybody. A running server deletes everything of them now.");
        }
        LegalCommand::Audit(command) => return audit::run(app, command).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns who acts: an admin, or whoever runs the site.
async fn actor(app: &App, by: Option<&str>) -> anyhow::Result<Viewer> {
    let Some(name) = by else { return Ok(Viewer::operator()) };
    let admin = named(app, name).await?;
    let stored = app.object::<User>(admin).await?.filter(|user| user.data.admin);
    let stored = stored.with_context(|| format!("'{name}' is no admin; leave --by away, or `corkboard user promote {name}`"))?;
    Ok(Viewer::signed_in(Arc::clone(&stored)))
}

/// Finds a person by user name, suspended ones and those who left too.
async fn any_named(app: &App, name: &str) -> anyhow::Result<UserId> {
    let found = app.name(model::NameKind::Username, &name.trim().trim_start_matches('@').to_lowercase()).await?;
    let found = found.with_context(|| format!("there is no user '{name}'; look for the name on the page /admin/people"))?;
    Ok(UserId::try_from(found.id)?)
}

async fn list(app: &App, viewer: &Viewer, all: bool, as_json: bool) -> anyhow::Result<()> {
    let mut holds = Vec::new();
    let mut request = PageRequest::first(PAGE_SIZE_MAX);
    loop {
        let page = app.holds(viewer, all, &request).await?;
        holds.extend(page.items);
        request.bookmark = page.bookmark;
        if request.bookmark.is_none() {
            break;
        }
    }
    let mut takedowns = Vec::new();
    loop {
        let page = app.takedowns(viewer, None, &request).await?;
        let standing = |state| matches!(state, TakedownState::InForce | TakedownState::Appealed);
        takedowns.extend(page.items.into_iter().filter(|view| all || standing(view.takedown.data.state)));
        request.bookmark = page.bookmark;
        if request.bookmark.is_none() {
            break;
        }
    }
    let waiting = app.count_postponed().await?;
    if as_json {
        let holds: Vec<_> = holds.iter().map(|view| json!({ "id": view.hold.id, "hold": view.hold.data })).collect();
        let takedowns: Vec<_> = takedowns.iter().map(|view| json!({ "id": view.takedown.id, "takedown": view.takedown.data })).collect();
        println!("{}", json!({ "holds": holds, "takedowns": takedowns, "purges_waiting": waiting }));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = holds
        .iter()
        .map(|view| {
            let data = &view.hold.data;
            let state = if data.release.is_none() { "in force" } else { "released" };
            vec![view.hold.id.to_string(), state.into(), day(data.placed_at), view.label.clone(), data.reference.clone()]
        })
        .collect();
    println!("Legal holds\n{}", table::render(&["hold", "state", "placed", "on", "reference"], &rows));
    let rows: Vec<Vec<String>> = takedowns
        .iter()
        .map(|view| {
            let data = &view.takedown.data;
            let (state, reason) = (data.state.as_str().to_owned(), data.reason.as_str().to_owned());
            vec![view.takedown.id.to_string(), state, day(data.at), reason, view.label.clone()]
        })
        .collect();
    println!("Takedowns\n{}", table::render(&["takedown", "state", "made", "reason", "of"], &rows));
    println!("{waiting} purges wait for the end of a legal hold.");
    Ok(())
}

fn day(at: Timestamp) -> String {
    web::present::iso(at).chars().take(10).collect()
}
