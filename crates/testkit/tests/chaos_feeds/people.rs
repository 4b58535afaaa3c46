//! People who act and read, each one thing after the other. What they read is compared with what was acknowledged before they asked.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, bail};
use serde_json::json;
use testkit::person::id_of;
use testkit::{Person, Random, picture};

use crate::ask::{Answer, Asker};
use crate::history::{Counted, History};
use crate::ledger::{BOARDS, HIDDEN_BOARD, Hidden, Ledger, PEOPLE, Pin, Switch, side};
use crate::stage::Stage;

/// Home feeds are read in pages of this size, so that most have several.
const PAGE: usize = 20;
/// A feed that goes on for longer than this goes in circles.
const PAGES_MAX: usize = 300;
/// Looks at one's own board before a pin of unknown fate is given up.
const LOOKS_MAX: usize = 3_000;

pub struct Actor<'a> {
    index: usize,
    person: Person,
    ids: [String; BOARDS],
    /// The number of each person's account, found when it is needed.
    accounts: Vec<Option<String>>,
    random: Random,
    ask: Asker<'a>,
    ledger: &'a Ledger,
    made: u64,
}

pub fn name_of(index: usize) -> String {
    format!("person{index}")
}

impl<'a> Actor<'a> {
    /// Makes an account with two boards and a first pin.
    pub fn create(index: usize, seed: u64, stage: &Stage, history: &'a History, ledger: &'a Ledger) -> anyhow::Result<Actor<'a>> {
        let mut person = Person::create(&stage.site, &name_of(index))?;
        let ids = [person.create_board("Shown")?, person.create_board("Now and then")?];
        let ask = Asker { history, life: Arc::clone(&stage.life), who: name_of(index) };
        let random = Random::new(seed ^ (index as u64 + 1) << 32);
        let mut actor = Actor { index, person, ids, accounts: vec![None; PEOPLE], random, ask, ledger, made: 0 };
        actor.pin_picture()?;
        Ok(actor)
    }

    /// Acts and reads until it ends. What goes wrong is a finding, and the end of this person's acts.
    pub fn act_until(&mut self, ends: &AtomicBool) {
        while !ends.load(Ordering::Relaxed) {
            if let Err(error) = self.act() {
                self.ask.history.find(format!("{}: {error:#}", self.ask.who));
                return;
            }
        }
    }

    fn act(&mut self) -> anyhow::Result<()> {
        let other = self.someone_else();
        match self.random.below(100) {
            0..4 => self.pin_picture(),
            4..28 => self.save(other),
            28..33 => self.delete(),
            33..39 => self.change_privacy(),
            39..51 => self.change_follow(other),
            51..56 => self.change_block(other),
            56..62 => self.read_page("/"),
            62..66 => self.read_page(&format!("/{}", name_of(other))),
            66..74 => self.read_own(),
            _ => self.read_home().map(drop),
        }
    }

    fn someone_else(&mut self) -> usize {
        (self.index + 1 + self.random.index(PEOPLE - 1)) % PEOPLE
    }

    pub fn pin_picture(&mut self) -> anyhow::Result<()> {
        self.made += 1;
        let (png, title) = (picture::marked_png(24, 16, [90, 40, 160], self.random.next_u64()), format!("{} {}", self.index, self.made));
        let board = self.random.index(BOARDS);
        let (ask, id) = (self.ask.clone(), self.ids[board].clone());
        let sent = Instant::now();
        let answer = ask.once("a new pin", || self.person.create_pin(&id, &title, &png));
        self.made_pin(board, sent, answer)
    }

    /// Saves a pin of somebody, perhaps one's own, to one of one's boards.
    fn save(&mut self, other: usize) -> anyhow::Result<()> {
        let from = if self.random.below(3) == 0 { self.index } else { other };
        let pin = {
            let own = self.ledger.own(from);
            own.pins[self.random.index(own.pins.len())].id.clone()
        };
        let board = self.random.index(BOARDS);
        let (ask, id) = (self.ask.clone(), self.ids[board].clone());
        let sent = Instant::now();
        match ask.once(&format!("saving {pin}"), || self.person.save(&pin, &id)) {
            // Gone, secret, or of somebody who blocks.
            Answer::No(response) if response.status == 404 => Ok(()),
            answer => self.made_pin(board, sent, answer),
        }
    }

    /// Notes a new pin, or finds out whether there is one.
    fn made_pin(&mut self, board: usize, sent: Instant, answer: Answer) -> anyhow::Result<()> {
        match answer {
            Answer::Done(response) => {
                let id = id_of(&response)?;
                self.ask.history.note(format!("{}: pinned {id} to {board}", self.ask.who));
                self.ask.history.count(Counted::Act);
                self.ledger.own(self.index).pins.push(Pin { id, board, sent, acknowledged: Instant::now(), gone: Switch::Off });
                if self.random.below(4) == 0 { self.read_own() } else { Ok(()) }
            }
            Answer::No(response) => bail!("a new pin: status {}: {}", response.status, response.text()),
            Answer::Away | Answer::Lost => {
                for _ in 0..LOOKS_MAX {
                    if let Some(shown) = self.board(board)? {
                        return self.settle(board, sent, shown);
                    }
                }
                bail!("one's own board could not be read {LOOKS_MAX} times")
            }
        }
    }

    /// Takes what stands on one's own board beyond the ledger as the pin of unknown fate.
    fn settle(&mut self, board: usize, sent: Instant, shown: Vec<String>) -> anyhow::Result<()> {
        let mut own = self.ledger.own(self.index);
        let known: HashSet<&String> = own.pins.iter().map(|pin| &pin.id).collect();
        let new: Vec<String> = shown.into_iter().filter(|id| !known.contains(id)).collect();
        if new.len() > 1 {
            bail!("one pin of unknown fate became {new:?}");
        }
        self.ask.history.note(format!("{}: of unknown fate on {board}, and there is {new:?}", self.ask.who));
        own.pins.extend(new.into_iter().map(|id| Pin { id, board, sent, acknowledged: Instant::now(), gone: Switch::Off }));
        Ok(())
    }

    fn delete(&mut self) -> anyhow::Result<()> {
        let chosen = {
            let mut own = self.ledger.own(self.index);
            let there: Vec<usize> = (0..own.pins.len()).filter(|at| own.pins[*at].gone == Switch::Off).collect();
            // The others want something to save.
            if there.len() < 4 {
                return Ok(());
            }
            let at = *self.random.pick(&there);
            own.pins[at].gone = Switch::Changing;
            (at, own.pins[at].id.clone())
        };
        let (at, id) = chosen;
        self.ask.clone().until_acknowledged(&format!("deleting {id}"), || self.person.delete_pin(&id))?;
        self.ledger.own(self.index).pins[at].gone = Switch::On;
        Ok(())
    }

    fn change_privacy(&mut self) -> anyhow::Result<()> {
        let becomes = {
            let mut own = self.ledger.own(self.index);
            own.privacy_changes += 1;
            let becomes = if own.is_secret == Switch::On { Switch::Off } else { Switch::On };
            own.is_secret = Switch::Changing;
            becomes
        };
        let privacy = if becomes == Switch::On { "SECRET" } else { "PUBLIC" };
        let path = format!("/v5/boards/{}", self.ids[HIDDEN_BOARD]);
        let body = json!({ "privacy": privacy });
        self.ask.clone().until_acknowledged(&format!("making the board {privacy}"), || self.person.api.patch_json(&path, &body))?;
        self.ledger.own(self.index).is_secret = becomes;
        Ok(())
    }

    fn change_follow(&mut self, other: usize) -> anyhow::Result<()> {
        let ledger = self.ledger;
        let _turn = ledger.turn(self.index, other);
        let mine = side(self.index, other);
        let becomes = {
            let mut between = ledger.between(self.index, other);
            if between.blocks.contains(&Switch::On) {
                return Ok(());
            }
            between.changes += 1;
            // More follow than don't.
            let becomes = match between.follows[mine] {
                Switch::On if self.random.below(2) == 0 => Switch::Off,
                _ => Switch::On,
            };
            between.follows[mine] = Switch::Changing;
            becomes
        };
        let path = format!("/v5/user_account/following/{}", name_of(other));
        let ask = self.ask.clone();
        match becomes {
            Switch::On => {
                ask.until_acknowledged(&format!("following {other}"), || self.person.api.post_json(&path, &json!({})))?;
            }
            _ => ask.until_acknowledged(&format!("not following {other}"), || self.person.api.delete(&path))?,
        }
        ledger.between(self.index, other).follows[mine] = becomes;
        Ok(())
    }

    fn change_block(&mut self, other: usize) -> anyhow::Result<()> {
        let Some(account) = self.account(other)? else { return Ok(()) };
        let ledger = self.ledger;
        let _turn = ledger.turn(self.index, other);
        let mine = side(self.index, other);
        let becomes = {
            let mut between = ledger.between(self.index, other);
            if between.blocks[1 - mine] == Switch::On {
                return Ok(());
            }
            between.changes += 1;
            let becomes = if between.blocks[mine] == Switch::On { Switch::Off } else { Switch::On };
            between.blocks[mine] = Switch::Changing;
            // Whoever blocks ends what both followed of each other.
            if becomes == Switch::On {
                between.follows = [Switch::Changing; 2];
            }
            becomes
        };
        let word = if becomes == Switch::On { "block" } else { "unblock" };
        let ask = self.ask.clone();
        ask.until_acknowledged(&format!("{word} {other}"), || self.person.pages.post_form(&format!("/{word}/{account}"), &[]))?;
        let mut between = ledger.between(self.index, other);
        between.blocks[mine] = becomes;
        if becomes == Switch::On {
            between.follows = [Switch::Off; 2];
        }
        Ok(())
    }

    /// The number of somebody's account, from the form that blocks them on their page.
    fn account(&mut self, other: usize) -> anyhow::Result<Option<String>> {
        if self.accounts[other].is_none() && !self.ledger.between(self.index, other).blocks.contains(&Switch::On) {
            let path = format!("/{}", name_of(other));
            let answer = self.ask.clone().once(&path, || self.person.pages.get(&path));
            let Answer::Done(response) = answer else { return Ok(None) };
            let page = response.text();
            let account = page.split("/block/").nth(1).and_then(|rest| rest.split('"').next());
            self.accounts[other] = Some(account.with_context(|| format!("{path} offers no block"))?.to_owned());
        }
        Ok(self.accounts[other].clone())
    }

    /// Reads the whole home feed over the API, newest first: `None` when a page was refused or lost.
    pub fn read_home(&mut self) -> anyhow::Result<Option<Vec<String>>> {
        let hidden = self.ledger.hidden_from(self.index);
        let path = format!("/v5/home/feed?order=newest&page_size={PAGE}");
        let Some(items) = self.list(&path)? else { return Ok(None) };
        let ids: Vec<String> = items.iter().map(|(id, _)| id.clone()).collect();
        self.compare_with_hidden(&hidden, &ids, "the home feed");
        let times: Vec<&String> = items.iter().map(|(_, at)| at).collect();
        if !times.is_sorted_by(|a, b| a >= b) {
            self.find(format!("the home feed is out of order: {items:?}"));
        }
        Ok(Some(ids))
    }

    /// Reads a page that shows pins, if nobody hides it.
    fn read_page(&mut self, path: &str) -> anyhow::Result<()> {
        let hidden = self.ledger.hidden_from(self.index);
        let response = match self.ask.clone().once(path, || self.person.pages.get(path)) {
            Answer::Done(response) => response,
            Answer::No(response) if path != "/" && response.status == 404 => return Ok(()),
            Answer::No(response) => bail!("{path}: status {}", response.status),
            Answer::Away | Answer::Lost => return Ok(()),
        };
        self.ask.history.count(Counted::Read);
        if path == "/" {
            let page = response.text();
            let marks = page.split("<article class=\"card\" data-pin=\"").skip(1);
            let ids: Vec<String> = marks.filter_map(|rest| rest.split('"').next().map(str::to_owned)).collect();
            self.compare_with_hidden(&hidden, &ids, "the home page");
        }
        Ok(())
    }

    fn compare_with_hidden(&self, before: &Hidden, ids: &[String], what: &str) {
        let after = self.ledger.hidden_from(self.index);
        for id in ids.iter().filter(|id| before.get(*id).is_some_and(|why| after.get(*id) == Some(why))) {
            self.find(format!("{what} shows {id}, which was hidden before it was asked for ({:?})", before[id]));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = ids.iter().find(|id| !seen.insert(*id)) {
            self.find(format!("{what} shows {twice} twice: {ids:?}"));
        }
    }

    /// One's own boards hold exactly what was acknowledged: whoever wrote sees it at once.
    pub fn read_own(&mut self) -> anyhow::Result<()> {
        for board in 0..BOARDS {
            let Some(shown) = self.board(board)? else { continue };
            let own = self.ledger.own(self.index);
            let mut there: Vec<&String> =
                own.pins.iter().filter(|pin| pin.board == board && pin.gone == Switch::Off).map(|pin| &pin.id).collect();
            there.reverse();
            if !shown.iter().eq(there.iter().copied()) {
                self.find(format!("one's own board {board} shows {shown:?}, and acknowledged were {there:?}"));
            }
        }
        let expected = self.ledger.own(self.index).is_secret;
        let (ask, path) = (self.ask.clone(), format!("/v5/boards/{}", self.ids[HIDDEN_BOARD]));
        if let Some(response) = ask.read("one's own board", || self.person.api.get(&path)) {
            let privacy = response.json()?["privacy"].as_str().unwrap_or_default().to_owned();
            if (privacy == "SECRET") != (expected == Switch::On) {
                self.find(format!("one's own board is {privacy}, and acknowledged was {expected:?}"));
            }
        }
        Ok(())
    }

    fn board(&mut self, board: usize) -> anyhow::Result<Option<Vec<String>>> {
        let path = format!("/v5/boards/{}/pins?page_size=100", self.ids[board]);
        Ok(self.list(&path)?.map(|items| items.into_iter().map(|(id, _)| id).collect()))
    }

    /// Reads all pages of a list: ids and times. `None` when one was refused or lost.
    fn list(&mut self, path: &str) -> anyhow::Result<Option<Vec<(String, String)>>> {
        let ask = self.ask.clone();
        let (mut items, mut next) = (Vec::new(), path.to_owned());
        for _ in 0..PAGES_MAX {
            let Some(response) = ask.read(&next, || self.person.api.get(&next)) else { return Ok(None) };
            let page = response.json()?;
            let text = |item: &serde_json::Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
            items.extend(page["items"].as_array().context("no items")?.iter().map(|item| (text(item, "id"), text(item, "created_at"))));
            let Some(bookmark) = page["bookmark"].as_str() else { return Ok(Some(items)) };
            next = format!("{path}&bookmark={bookmark}");
        }
        bail!("{path}: no end after {PAGES_MAX} pages")
    }

    fn find(&self, finding: String) {
        self.ask.history.find(format!("{}: {finding}", self.ask.who));
    }
}
