//! Kills the site at chance moments while several people write, starts it again, and compares what is there with what was
//! acknowledged.
//!
//! ```text
//! people ──▶ pins, saves, likes, comments, follows, deletes, sign-ups ──▶ site      each on its own thread, until …
//!                                                            kill -9 ──▶ site
//!                                                            restart ──▶ site ◀── look at everything
//! ```
//! What got an answer must be there exactly once. What got none may be there once or not at all. Lists and counts agree.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread::{self, JoinHandle},
    time::Duration,
};

use testkit::{
    Person, Random, Site,
    person::{self, PASSWORD},
    picture, wait_for,
};

pub(super) const PEOPLE: usize = 5;
const ROUNDS: usize = 4;
/// Sets another number of rounds, to look for something rare.
const ROUNDS_VARIABLE: &str = "CORKBOARD_CRASH_ROUNDS";
/// A round lasts between these before the kill.
const ROUND_MS: std::ops::Range<u64> = 400..2_500;
/// After a restart feeds are rebuilt and catch up within this.
const FEEDS_LIMIT: Duration = Duration::from_secs(60);

/// What is known about everything that was tried, over all rounds.
#[derive(Default)]
pub(super) struct Known {
    /// Acknowledged pins: by id, the board's index and the title.
    pub(super) pins: BTreeMap<String, (usize, String)>,
    deleted: BTreeSet<String>,
    /// Deletes without an answer.
    perhaps_deleted: BTreeSet<String>,
    /// Titles of pins that were tried, answered or not.
    tried_titles: BTreeSet<String>,
    /// (person, pin)
    likes: BTreeSet<(usize, String)>,
    /// (pin, text)
    comments: BTreeSet<(String, String)>,
    accounts: BTreeSet<String>,
}

/// One thing that a person did, with its answer where there was one.
pub(super) enum Act {
    Pinned { title: String, id: Option<String> },
    Deleted { pin: String, is_sure: bool },
    Liked { pin: String },
    Commented { pin: String, text: String },
    SignedUp { username: String },
}

pub(super) struct Crew {
    pub(super) people: Vec<Person>,
    boards: Vec<String>,
    /// A pin of each person that everybody may like, save and comment on; it is never deleted.
    shared: Vec<String>,
}

#[test]
fn nothing_acknowledged_is_lost() -> anyhow::Result<()> {
    let mut random = Random::from_environment("crash_writes");
    let mut site = Site::start()?;
    let mut known = Known::default();
    let mut crew = assemble(&site, &mut known)?;
    let rounds = std::env::var(ROUNDS_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    for round in 0..rounds {
        let lasting = Duration::from_millis(ROUND_MS.start + random.below(ROUND_MS.end - ROUND_MS.start));
        let workers = crew.set_to_work(round, &mut random);
        thread::sleep(lasting); // not a wait for a state: the moment of the kill is left to chance
        site.kill9();
        let acts = known.note_all(workers)?;
        println!("round {round}: killed after {lasting:?} and {acts} acts");
        let ready = site.restart()?;
        println!("round {round}: ready again after {ready:?}");
        for person in &mut crew.people {
            person.set_base_url(site.base_url());
        }
        check(&site, &mut crew, &known)?;
    }
    assert!(known.pins.len() > PEOPLE * rounds, "only {} pins were made; the test did not test", known.pins.len());
    person::run_with_input(&mut site.command(&["doctor"]), "")?;
    let status = site.terminate()?;
    anyhow::ensure!(status.success(), "the site did not end well: {status}\n{}", site.log());
    Ok(())
}

/// Makes people who all follow each other, each with a board and one pin.
pub(super) fn assemble(site: &Site, known: &mut Known) -> anyhow::Result<Crew> {
    let mut crew = Crew { people: Vec::new(), boards: Vec::new(), shared: Vec::new() };
    for index in 0..PEOPLE {
        let mut person = Person::create(site, &format!("person{index}"))?;
        crew.boards.push(person.create_board(&format!("Board {index}"))?);
        crew.people.push(person);
    }
    let names: Vec<String> = crew.people.iter().map(|person| person.username.clone()).collect();
    for (index, person) in crew.people.iter_mut().enumerate() {
        for (_, name) in names.iter().enumerate().filter(|(other, _)| *other != index) {
            person.follow(name)?.expect_success("following")?;
        }
        let title = format!("shared {index}");
        let png = picture::marked_png(40, 30, [200, 120, 40], index as u64);
        let response = person.create_pin(&crew.boards[index], &title, &png)?.expect_success("pinning")?;
        let id = person::id_of(&response)?;
        known.note(index, Act::Pinned { title, id: Some(id.clone()) });
        crew.shared.push(id);
    }
    Ok(crew)
}

impl Crew {
    /// Lets everybody work until the site is gone.
    pub(super) fn set_to_work(&self, round: usize, random: &mut Random) -> Vec<JoinHandle<anyhow::Result<Vec<Act>>>> {
        let start = |index: usize| {
            let worker = Worker { index, round, random: Random::new(random.next_u64()), me: self.people[index].clone() };
            let (board, shared) = (self.boards[index].clone(), self.shared.clone());
            thread::spawn(move || worker.work(&board, &shared))
        };
        (0..PEOPLE).map(start).collect()
    }
}

impl Known {
    /// Waits until everybody has stopped, and notes what they did; gives how much that was.
    pub(super) fn note_all(&mut self, workers: Vec<JoinHandle<anyhow::Result<Vec<Act>>>>) -> anyhow::Result<usize> {
        let mut acts = 0;
        for (index, worker) in workers.into_iter().enumerate() {
            let done = worker.join().map_err(|_| anyhow::anyhow!("person {index} panicked"))??;
            acts += done.len();
            done.into_iter().for_each(|act| self.note(index, act));
        }
        Ok(acts)
    }

    fn note(&mut self, index: usize, act: Act) {
        match act {
            Act::Pinned { title, id } => {
                self.tried_titles.insert(title.clone());
                if let Some(id) = id {
                    let previous = self.pins.insert(id.clone(), (index, title));
                    assert_eq!(previous, None, "the id {id} was given twice");
                }
            }
            Act::Deleted { pin, is_sure: true } => drop(self.deleted.insert(pin)),
            Act::Deleted { pin, is_sure: false } => drop(self.perhaps_deleted.insert(pin)),
            Act::Liked { pin } => drop(self.likes.insert((index, pin))),
            Act::Commented { pin, text } => drop(self.comments.insert((pin, text))),
            Act::SignedUp { username } => drop(self.accounts.insert(username)),
        }
    }
}

struct Worker {
    index: usize,
    round: usize,
    random: Random,
    me: Person,
}

impl Worker {
    /// Does one thing after the other until the site is gone. An answer that is a refusal is an error of the test.
    fn work(mut self, board: &str, shared: &[String]) -> anyhow::Result<Vec<Act>> {
        let mut acts = Vec::new();
        let mut own: Vec<String> = Vec::new();
        for step in 0.. {
            let tag = format!("{} {} {step}", self.round, self.index);
            let target = self.random.pick(shared).clone();
            match self.random.below(20) {
                0..8 => {
                    let title = format!("pin {tag}");
                    let mark = self.random.next_u64();
                    let png = picture::marked_png(40, 30, [30, 90, 160], mark);
                    let answer = self.me.create_pin(board, &title, &png);
                    let id = acknowledged(answer)?.map(|response| person::id_of(&response)).transpose()?;
                    let is_over = id.is_none();
                    own.extend(id.clone());
                    acts.push(Act::Pinned { title, id });
                    if is_over {
                        return Ok(acts);
                    }
                }
                8..11 => {
                    // A save takes the title of what it saves, so that the board may hold it as often as it was tried.
                    let Some(response) = acknowledged(self.me.save(&target, board))? else { return Ok(acts) };
                    let title = response.json()?["title"].as_str().unwrap_or_default().to_owned();
                    acts.push(Act::Pinned { title, id: Some(person::id_of(&response)?) });
                }
                11..14 => {
                    let Some(_) = acknowledged(self.me.like(&target))? else { return Ok(acts) };
                    acts.push(Act::Liked { pin: target });
                }
                14..17 => {
                    let text = format!("comment [{tag}]");
                    let Some(_) = acknowledged(self.me.comment(&target, &text))? else { return Ok(acts) };
                    acts.push(Act::Commented { pin: target, text });
                }
                17..19 => {
                    let Some(pin) = own.pop() else { continue };
                    let answer = acknowledged(self.me.delete_pin(&pin))?;
                    let is_sure = answer.is_some();
                    acts.push(Act::Deleted { pin, is_sure });
                    if !is_sure {
                        return Ok(acts);
                    }
                }
                _ => {
                    let username = format!("new{}x{}x{step}", self.round, self.index);
                    let email = format!("{username}@example.org");
                    let mut browser = testkit::Client::new(self.me.pages.base_url());
                    let form = [("username", username.as_str()), ("email", &email), ("password", PASSWORD)];
                    match browser.post_form("/signup", &form) {
                        // Sign-ups from one address are limited; being refused is an answer, too.
                        Ok(response) if response.status == 429 => continue,
                        answer => {
                            let Some(_) = acknowledged(answer)? else { return Ok(acts) };
                            acts.push(Act::SignedUp { username });
                        }
                    }
                }
            }
        }
        Ok(acts)
    }
}

/// Gives the answer; `None` when the connection was cut; an error when the site refused.
fn acknowledged(answer: anyhow::Result<testkit::Response>) -> anyhow::Result<Option<testkit::Response>> {
    match answer {
        Ok(response) => response.expect_success("a write").map(Some),
        Err(_) => Ok(None),
    }
}

pub(super) fn check(site: &Site, crew: &mut Crew, known: &Known) -> anyhow::Result<()> {
    for index in 0..PEOPLE {
        check_board(crew, index, known)?;
        check_likes(crew, index, known)?;
        check_feed(crew, index, known)?;
    }
    check_comments(crew, known)?;
    check_follows(crew)?;
    for username in &known.accounts {
        let mut person = Person { username: username.clone(), pages: site.client(), api: site.client() };
        // The site may limit how often one address logs in; an account that is there has a page.
        person.page(&format!("/{username}"))?;
    }
    Ok(())
}

/// The board holds what was acknowledged and not deleted, each pin once, each picture's title once, and says how many.
fn check_board(crew: &mut Crew, index: usize, known: &Known) -> anyhow::Result<()> {
    let board = crew.boards[index].clone();
    let listed = crew.people[index].board_pins(&board)?;
    let ids: BTreeSet<&str> = listed.iter().map(|pin| pin.id.as_str()).collect();
    anyhow::ensure!(ids.len() == listed.len(), "board {index} lists a pin twice");
    for (id, (_, title)) in known.pins.iter().filter(|(_, (owner, _))| *owner == index) {
        let is_there = ids.contains(id.as_str());
        let is_deleted = known.deleted.contains(id);
        let is_open = known.perhaps_deleted.contains(id);
        anyhow::ensure!(is_there || is_deleted || is_open, "board {index} has lost the acknowledged pin {id} ({title})");
        anyhow::ensure!(!is_there || !is_deleted, "board {index} still has the deleted pin {id} ({title})");
    }
    let mut titles = BTreeSet::new();
    for pin in listed.iter().filter(|pin| !known.pins.contains_key(&pin.id)) {
        let is_tried = known.tried_titles.contains(&pin.title);
        anyhow::ensure!(is_tried, "board {index} has a pin that nobody made: {} ({})", pin.id, pin.title);
    }
    for pin in listed.iter().filter(|pin| pin.title.starts_with("pin ")) {
        anyhow::ensure!(titles.insert(&pin.title), "board {index} has two pins from one upload: {}", pin.title);
    }
    let boards = crew.people[index].boards()?;
    let count = boards.iter().find(|other| other["id"] == board.as_str()).and_then(|board| board["pin_count"].as_u64());
    anyhow::ensure!(count == Some(listed.len() as u64), "board {index} says {count:?} pins and lists {}", listed.len());
    Ok(())
}

fn check_likes(crew: &mut Crew, index: usize, known: &Known) -> anyhow::Result<()> {
    let username = crew.people[index].username.clone();
    let listed = crew.people[index].cards(&format!("/{username}/likes"))?;
    let ids: BTreeSet<&String> = listed.iter().collect();
    anyhow::ensure!(ids.len() == listed.len(), "{username} likes a pin twice: {listed:?}");
    for (_, pin) in known.likes.iter().filter(|(person, _)| *person == index) {
        anyhow::ensure!(ids.contains(pin), "{username} liked {pin}, and that is gone");
    }
    Ok(())
}

/// The feed comes to hold every pin of the others, each once.
fn check_feed(crew: &mut Crew, index: usize, known: &Known) -> anyhow::Result<()> {
    let wanted: BTreeSet<&String> = known
        .pins
        .iter()
        .filter(|(id, (owner, _))| *owner != index && !known.deleted.contains(*id) && !known.perhaps_deleted.contains(*id))
        .map(|(id, _)| id)
        .collect();
    let person = &mut crew.people[index];
    wait_for("the home feed to hold every pin", FEEDS_LIMIT, || {
        let listed = person.cards("/").map_err(|error| format!("{error:#}"))?;
        let ids: BTreeSet<&String> = listed.iter().collect();
        assert_eq!(ids.len(), listed.len(), "the feed of {} shows a pin twice", person.username);
        let shown = listed.iter().find(|id| known.deleted.contains(*id));
        assert_eq!(shown, None, "the feed of {} shows a deleted pin", person.username);
        let missing: Vec<_> = wanted.difference(&ids).take(3).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{} lacks {missing:?} and perhaps more", person.username)) }
    })
}

fn check_comments(crew: &mut Crew, known: &Known) -> anyhow::Result<()> {
    for pin in &crew.shared {
        let mut pages = String::new();
        let mut next = format!("/pin/{pin}");
        loop {
            let page = crew.people[0].page(&next)?;
            let older = older_comments(&page);
            pages.push_str(&page);
            match older {
                Some(url) => next = url,
                None => break,
            }
        }
        for (_, text) in known.comments.iter().filter(|(on, _)| on == pin) {
            let count = pages.matches(text.as_str()).count();
            anyhow::ensure!(count == 1, "the comment {text:?} is there {count} times");
        }
    }
    Ok(())
}

/// The address behind "Older comments".
fn older_comments(page: &str) -> Option<String> {
    let (before, _) = page.split_once(">Older comments<")?;
    let (_, href) = before.rsplit_once("href=\"")?;
    Some(href.split('"').next()?.replace("&amp;", "&").replace("&#38;", "&"))
}

fn check_follows(crew: &mut Crew) -> anyhow::Result<()> {
    for person in &mut crew.people {
        let followed = person.following()?;
        let names: BTreeSet<&String> = followed.iter().collect();
        anyhow::ensure!(followed.len() == PEOPLE - 1 && names.len() == followed.len(), "{} follows {followed:?}", person.username);
    }
    Ok(())
}
