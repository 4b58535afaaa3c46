//! `corkboard dev-seed`: a data folder for load tests, from a social graph. Prints what a load generator needs as JSON.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use app::accounts::{Device, NewUser};
use app::boards::NewBoard;
use app::pictures::StoredPicture;
use app::pins::{NewPin, PinText, Place};
use app::{App, Viewer};
use bytes::Bytes;
use clap::Args;
use feeds::Target;
use futures_util::{StreamExt, TryStreamExt};
use model::{BoardId, PinId, Timestamp};
use serde_json::json;

use super::account::{finish, tool};
use crate::art;
use crate::config::Config;

/// Writes under way at once: enough to share group commits.
const IN_WORK_MAX: usize = 128;
/// Pictures that all pins share.
const PICTURES: u64 = 24;

#[derive(Args)]
pub struct DevSeedArgs {
    /// Edges, one `a b` per line, people numbered from 0 or from 1; each is a follow both ways.
    #[arg(long, value_name = "FILE")]
    graph: PathBuf,
    /// Pins of each person.
    #[arg(long, default_value_t = 20)]
    pins: usize,
    /// Takes only people with a number up to this.
    #[arg(long)]
    people: Option<usize>,
}

struct Seeded {
    viewer: Viewer,
    username: String,
    session: String,
    board: BoardId,
    pins: Vec<PinId>,
}

pub async fn run(args: &DevSeedArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(&args.graph).with_context(|| format!("{} can't be read", args.graph.display()))?;
    let limit = args.people.unwrap_or(usize::MAX);
    let edges: Vec<(usize, usize)> = text.lines().filter_map(edge).filter(|(a, b)| *a <= limit && *b <= limit).collect();
    let first = edges.iter().map(|(a, b)| *a.min(b)).min().context("the graph has no edge")?.min(1);
    let count = edges.iter().map(|(a, b)| *a.max(b)).max().context("the graph has no edge")? + 1 - first;
    let app = tool(config).await?;
    let mut pictures = Vec::new();
    for seed in 0..PICTURES {
        let motif = [art::Motif::Hills, art::Motif::Waves, art::Motif::Tiles, art::Motif::Weave, art::Motif::Night, art::Motif::Circles]
            [seed as usize % 6];
        pictures.push(app.store_picture(Bytes::from(art::paint(motif, seed)?)).await?);
    }
    let people: Vec<Seeded> =
        futures_util::stream::iter(0..count).map(|n| person(&app, n, args.pins, &pictures)).buffered(IN_WORK_MAX).try_collect().await?;
    let follows = edges.iter().flat_map(|(a, b)| [(a - first, b - first), (b - first, a - first)]);
    futures_util::stream::iter(follows)
        .map(|(from, to)| {
            let (app, viewer, target) = (&app, &people[from].viewer, people[to].viewer.require());
            async move { app.follow(viewer, Target::User(target?)).await }
        })
        .buffer_unordered(IN_WORK_MAX)
        .try_for_each(|()| std::future::ready(Ok(())))
        .await?;
    finish(&app).await?;
    let list: Vec<_> = people
        .iter()
        .map(|person| json!({ "username": person.username, "session": person.session, "board": person.board, "pins": person.pins }))
        .collect();
    println!("{}", json!({ "people": list, "follows": edges.len() * 2 }));
    Ok(ExitCode::SUCCESS)
}

fn edge(line: &str) -> Option<(usize, usize)> {
    let mut numbers = line.split_whitespace().map(|word| word.parse::<usize>().ok());
    let (a, b) = (numbers.next()??, numbers.next()??);
    (a != b).then_some((a, b))
}

async fn person(app: &App, n: usize, pin_count: usize, pictures: &[StoredPicture]) -> anyhow::Result<Seeded> {
    let username = format!("person{n}");
    let new = NewUser { username: username.clone(), name: format!("Person {n}"), without_login: true, ..NewUser::default() };
    let id = app.sign_up(&Viewer::anonymous(), new).await?;
    let user = app.object::<model::User>(id).await?.context("a person who was just made is gone")?;
    let viewer = Viewer::signed_in(user);
    let session = app.open_session(&viewer, id, Device { user_agent: "load test".into(), address: "127.0.0.1".into() }).await?;
    let board = app.create_board(&viewer, NewBoard { name: "Things".into(), ..NewBoard::default() }).await?.id();
    let mut pins = Vec::with_capacity(pin_count);
    for m in 0..pin_count {
        let text = PinText { title: format!("Thing {m} of person {n}"), description: "A thing to look at.".into(), ..PinText::default() };
        let mut new = NewPin::new(Place { board, section: None }, text, pictures[(n * 7 + m) % pictures.len()].clone());
        new.at = Some(app.now().plus(-((m * 997 + n) as i64 % 10_000) * Timestamp::MINUTE));
        pins.push(app.create_pin(&viewer, new).await?.id());
    }
    Ok(Seeded { viewer, username, session, board, pins })
}
