//! `corkboard demo`: a small made-up community with pictures that the program paints itself.

use std::process::ExitCode;

use app::accounts::NewUser;
use app::boards::NewBoard;
use app::pins::{NewPin, PinText, Place};
use app::profiles::ProfileEdit;
use app::{App, Viewer};
use bytes::Bytes;
use clap::Args;
use feeds::Target;
use model::object::Privacy;
use model::{BoardId, NameKind, PinId, Timestamp, UserId};

use super::account::{finish, tool};
use crate::art;
use crate::config::Config;

#[derive(Args)]
pub struct DemoArgs {}

/// Somebody of the made-up community: user name, name, about, boards with what their pictures are.
type Somebody = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str, art::Motif)]);

const PEOPLE: [Somebody; 6] = [
    (
        "mara",
        "Mara Lindqvist",
        "Walks a lot, paints a little. #hills #light",
        &[
            ("Evening hills", "Hills when the day is over", art::Motif::Hills),
            ("Tide lines", "What the sea leaves behind", art::Motif::Waves),
        ],
    ),
    (
        "tomas",
        "Tomás Rey",
        "Tiles, textiles, everything that repeats.",
        &[("Tiles", "From floors I liked", art::Motif::Tiles), ("Weaves", "Plaids and stripes", art::Motif::Weave)],
    ),
    ("inga", "Inga Brandt", "Night owl with a telescope.", &[("Night sky", "Clear nights only", art::Motif::Night)]),
    (
        "kofi",
        "Kofi Mensah",
        "Graphic designer. Circles are enough.",
        &[("Circles", "Round things", art::Motif::Circles), ("Posters", "Sketches for posters", art::Motif::Hills)],
    ),
    ("yuki", "Yuki Arai", "Ceramics and quiet colours.", &[("Glazes", "Colours from the kiln", art::Motif::Waves)]),
    ("lena", "Lena Okafor", "Collects patterns for quilts.", &[("Quilt ideas", "For the long winter", art::Motif::Tiles)]),
];

const TITLES: [(art::Motif, [&str; 6]); 6] = [
    (art::Motif::Hills, ["Last light", "Blue hour", "Ridge after ridge", "Before the storm", "Harvest moon", "North slope"]),
    (art::Motif::Waves, ["Low tide", "Long swell", "Sea glass", "Salt and sand", "Quiet water", "Celadon"]),
    (art::Motif::Tiles, ["Kitchen floor, Porto", "Eight-pointed", "Blue and white", "Courtyard", "Half-square triangles", "Leftovers"]),
    (art::Motif::Weave, ["Plain weave", "Winter plaid", "Selvedge", "Indigo", "Rust and oat", "Twill"]),
    (art::Motif::Night, ["New moon", "Perseids", "Over the lake", "First snow", "Waning", "Two in the morning"]),
    (art::Motif::Circles, ["Ripples", "Targets", "Orbit", "Vinyl", "Drops", "Sunday"]),
];

const COMMENTS: [&str; 6] = [
    "The colours in this one!",
    "I could look at this all day.",
    "Where was this?",
    "Saved for later, thank you @mara",
    "This would make a lovely quilt.",
    "More of these, please.",
];

pub async fn run(_: &DemoArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let app = tool(config).await?;
    let mut people = Vec::new();
    let mut pins = Vec::new();
    for (n, somebody) in PEOPLE.iter().enumerate() {
        let viewer = person(&app, somebody).await?;
        for (board_name, about, motif) in somebody.3 {
            let board = board(&app, &viewer, board_name, about).await?;
            pins.extend(board_pins(&app, &viewer, board, *motif, n).await?);
        }
        eprintln!("  @{} with {} boards", somebody.0, somebody.3.len());
        people.push(viewer);
    }
    let acts = mingle(&app, &people, &pins).await?;
    finish(&app).await?;
    println!("The demo has {} people, {} pins and {acts} follows, saves, likes and comments.", people.len(), pins.len());
    println!("Start the site with `corkboard`, sign up, and follow @mara.");
    Ok(ExitCode::SUCCESS)
}

/// Finds or makes a person of the demo; nobody can log in as them.
async fn person(app: &App, (username, name, about, _): &Somebody) -> anyhow::Result<Viewer> {
    let id = match app.name(NameKind::Username, username).await? {
        Some(found) => UserId::try_from(found.id)?,
        None => {
            let new = NewUser { username: (*username).into(), name: (*name).into(), without_login: true, ..NewUser::default() };
            app.sign_up(&Viewer::anonymous(), new).await?
        }
    };
    let user = app.object::<model::User>(id).await?.ok_or_else(|| anyhow::anyhow!("@{username} is gone"))?;
    let viewer = Viewer::signed_in(user);
    if viewer.user.as_ref().is_some_and(|user| user.data.about.is_empty() && user.data.password_hash.is_empty()) {
        app.edit_profile(&viewer, ProfileEdit { about: Some((*about).into()), ..ProfileEdit::default() }).await?;
    }
    Ok(viewer)
}

async fn board(app: &App, viewer: &Viewer, name: &str, description: &str) -> anyhow::Result<BoardId> {
    let existing = app.all_boards_of(viewer, viewer.require()?).await?;
    if let Some((_, board)) = existing.iter().find(|(_, board)| board.data.name == name) {
        return Ok(BoardId::try_from(board.id)?);
    }
    let new = NewBoard { name: name.into(), description: description.into(), privacy: Privacy::Public };
    Ok(app.create_board(viewer, new).await?.id())
}

async fn board_pins(app: &App, viewer: &Viewer, board: BoardId, motif: art::Motif, seed: usize) -> anyhow::Result<Vec<PinId>> {
    let titles = TITLES.iter().find(|(of, _)| *of == motif).map_or(&TITLES[0].1, |(_, titles)| titles);
    let owner = viewer.require()?;
    let mut pins = Vec::new();
    for (n, title) in titles.iter().enumerate() {
        let key = format!("demo/{board}/{n}");
        if let Some(name) = app.name(NameKind::SourceKey, &app::pins::source_key(owner, &key)).await? {
            pins.push(PinId::try_from(name.id)?);
            continue;
        }
        let seed = (seed * 31 + n) as u64;
        let picture = tokio::task::spawn_blocking(move || art::paint(motif, seed)).await??;
        let stored = app.store_picture(Bytes::from(picture)).await?;
        let text = PinText {
            title: (*title).into(),
            description: format!("Made for the demo. #{}", motif.tag()),
            alt_text: format!("{}: {}", motif.words(), title),
            ..PinText::default()
        };
        let mut new = NewPin::new(Place { board, section: None }, text, stored);
        new.source_key = Some(key);
        // Spread over the last days, people in turn, so that feeds look lived in.
        new.at = Some(app.now().plus(-((n as i64 * 7 + seed as i64 % 7) * 3 * Timestamp::HOUR)));
        pins.push(app.create_pin(viewer, new).await?.id());
    }
    Ok(pins)
}

/// Lets people follow each other, like, save and comment. Doing it again changes nothing but adds no second comment.
async fn mingle(app: &App, people: &[Viewer], pins: &[PinId]) -> anyhow::Result<usize> {
    let mut acts = 0;
    for (n, viewer) in people.iter().enumerate() {
        for step in [1, 2, 4] {
            let other = &people[(n + step) % people.len()];
            app.follow(viewer, Target::User(other.require()?)).await?;
            acts += 1;
        }
        let me = viewer.require()?;
        for (m, pin) in pins.iter().enumerate() {
            let view = app.pin(viewer, *pin).await?;
            if view.pin.data.owner == me {
                continue;
            }
            if (m * 7 + n * 3) % 5 < 2 {
                app.like_pin(viewer, *pin, true).await?;
                acts += 1;
            }
            let comments = app.storage.count(model::Assoc::PinHasComments, pin.id()).await?;
            if (m + n * 5) % 11 == 0 && comments == 0 {
                app.add_comment(viewer, *pin, COMMENTS[(m + n) % COMMENTS.len()], None).await?;
                acts += 1;
            }
            let has = app.already_saved(viewer, &[&view]).await?;
            if (m * 3 + n * 5) % 17 == 0 && has[0].is_none() {
                let place = Place { board: board(app, viewer, "Saved", "Found here and there").await?, section: None };
                app.save_pin(viewer, *pin, place).await?;
                acts += 1;
            }
        }
    }
    Ok(acts)
}
