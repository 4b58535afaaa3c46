//! One server: its connections, and what is done when it does not answer.
//!
//! A server that does not answer is left alone for a while, so that callers are told at once instead of waiting for it: 100 ms
//! after the first failure, twice as long after each further one, two seconds at most. One caller then tries; the others are
//! still told at once.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Mutex, RwLock};
use runtime::Pipelined;
use runtime::pipelined::Failure;

use super::address::Address;
use super::command::{Batch, Command, Word};
use super::resp::{self, Frames, Value};
use super::script;
use crate::error::{Error, Result};

/// Time for connecting, logging in and loading the scripts.
const CONNECT_LIMIT: Duration = Duration::from_millis(500);
/// Time for one pipeline. Scripts that have not begun by then do nothing.
pub(super) const PIPELINE_LIMIT: Duration = Duration::from_millis(1_000);
/// Longer than that for the answer, so that what counts as not answered has not happened later either.
const ANSWER_LIMIT: Duration = Duration::from_millis(1_100);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Which of a server's two connections: a fan-out must not stand before a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lane {
    Read,
    Write,
}

/// An open connection, and which process of the server it leads to.
pub(super) struct Link {
    connection: Pipelined,
    /// Never the same for two links.
    pub(super) number: u64,
    pub(super) run_id: String,
    /// By how much the server's clock is ahead of ours.
    ahead_ms: i64,
}

#[derive(Default)]
struct Health {
    failure_count: u32,
    closed_until: Option<Instant>,
}

pub(super) struct Node {
    pub(super) address: String,
    login: Address,
    links: [RwLock<Option<Arc<Link>>>; 2],
    connecting: [tokio::sync::Mutex<()>; 2],
    health: Mutex<Health>,
}

/// What became of a pipeline whose server was reached.
pub(super) enum Sent {
    /// An answer for each command; some may be errors.
    Answered(Vec<Value>, Arc<Link>),
    /// Nobody knows how much of it happened.
    Lost(String),
}

impl Node {
    pub(super) fn new(address: String, login: Address) -> Node {
        Node { address, login, links: Default::default(), connecting: Default::default(), health: Mutex::default() }
    }

    /// Sends commands and waits for their answers. `Err`: the server was not reached, nothing happened.
    pub(super) async fn send(&self, lane: Lane, commands: &[Command<'_>], asking: bool) -> Result<Sent> {
        let link = self.link(lane).await?;
        let started = Instant::now();
        let mut answers = match self.send_over(&link, lane, commands, asking).await {
            Ok(answers) => answers,
            Err(reason) => return Ok(Sent::Lost(reason)),
        };
        let is_unknown = |value: &Value| value.error().is_some_and(|(kind, _)| kind == "NOSCRIPT");
        if answers.iter().any(is_unknown) && started.elapsed() < PIPELINE_LIMIT {
            // Somebody flushed the scripts.
            if let Err(reason) = load_scripts(&link.connection).await {
                return Ok(Sent::Lost(reason));
            }
            let places: Vec<usize> = answers.iter().enumerate().filter(|(_, value)| is_unknown(value)).map(|(place, _)| place).collect();
            let again: Vec<Command<'_>> = places.iter().map(|place| commands[*place]).collect();
            match self.send_over(&link, lane, &again, asking).await {
                Ok(values) => places.into_iter().zip(values).for_each(|(place, value)| answers[place] = value),
                Err(reason) => return Ok(Sent::Lost(reason)),
            }
        }
        Ok(Sent::Answered(answers, link))
    }

    /// Returns the connection of the writing lane, which leads to one process of the server for as long as it works.
    pub(super) async fn writing_link(&self) -> Result<Arc<Link>> {
        self.link(Lane::Write).await
    }

    /// Sends commands over this connection and no other.
    pub(super) async fn send_over(
        &self,
        link: &Arc<Link>,
        lane: Lane,
        commands: &[Command<'_>],
        asking: bool,
    ) -> std::result::Result<Vec<Value>, String> {
        const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";
        let deadline_ms = now_ms() + PIPELINE_LIMIT.as_millis() as i64 + link.ahead_ms;
        let mut bytes = Vec::with_capacity(commands.iter().map(|command| command.len() + if asking { ASKING.len() } else { 0 }).sum());
        for command in commands {
            if asking {
                bytes.extend_from_slice(ASKING);
            }
            command.write(deadline_ms, &mut bytes);
        }
        let count = commands.len() * if asking { 2 } else { 1 };
        match call(&link.connection, bytes, count).await {
            Ok(answers) => {
                self.succeeded();
                Ok(if asking { answers.into_iter().skip(1).step_by(2).collect() } else { answers })
            }
            Err(Unanswered { is_busy, reason }) => {
                if !is_busy {
                    self.failed(lane, link);
                }
                Err(format!("{}: {reason}", self.address))
            }
        }
    }

    /// Returns the number of the open connection, if there is one.
    pub(super) fn link_number(&self, lane: Lane) -> Option<u64> {
        self.links[lane as usize].read().as_ref().map(|link| link.number)
    }

    /// Returns the open connection, or opens one.
    async fn link(&self, lane: Lane) -> Result<Arc<Link>> {
        let slot = &self.links[lane as usize];
        if let Some(link) = slot.read().clone() {
            return Ok(link);
        }
        let away = || Error::Unavailable(format!("{} does not answer", self.address));
        let is_closed = || self.health.lock().closed_until.is_some_and(|until| Instant::now() < until);
        if is_closed() {
            return Err(away());
        }
        let has_failed = self.health.lock().failure_count > 0;
        let _one = match has_failed {
            true => self.connecting[lane as usize].try_lock().map_err(|_| away())?,
            false => self.connecting[lane as usize].lock().await,
        };
        if let Some(link) = slot.read().clone() {
            return Ok(link);
        }
        if is_closed() {
            return Err(away());
        }
        let opened = tokio::time::timeout(CONNECT_LIMIT, self.open()).await;
        match opened.unwrap_or_else(|_| Err(format!("connecting took longer than {} ms", CONNECT_LIMIT.as_millis()))) {
            Ok(link) => {
                let link = Arc::new(link);
                *slot.write() = Some(link.clone());
                self.succeeded();
                Ok(link)
            }
            Err(reason) => {
                self.pause();
                Err(Error::Unavailable(format!("{} can't be reached: {reason}", self.address)))
            }
        }
    }

    async fn open(&self) -> std::result::Result<Link, String> {
        let mut frames = Frames::default();
        let connection = Pipelined::open(&self.address, CONNECT_LIMIT, move |bytes: &[u8]| frames.framed(bytes)).await?;
        let mut greeting = Batch::new();
        match (&self.login.user, &self.login.password) {
            (Some(user), Some(password)) => greeting.keyless(&[&"AUTH", &user.as_str(), &password.as_str()]),
            (_, Some(password)) => greeting.keyless(&[&"AUTH", &password.as_str()]),
            _ => {}
        }
        if self.login.database != 0 {
            greeting.keyless(&[&"SELECT", &self.login.database]);
        }
        if let Some((_, why)) = ask(&connection, &greeting).await?.iter().find_map(Value::error) {
            return Err(why.to_owned());
        }
        load_scripts(&connection).await?;
        let mut questions = Batch::new();
        questions.keyless(&[&"INFO", &"server"]);
        questions.keyless(&[&"TIME"]);
        // Redis before 7.2 does not know it, and nothing hangs on it.
        questions.keyless(&[&"CLIENT", &"SETINFO", &"LIB-NAME", &"corkboard"]);
        let asked = now_ms();
        let answers = ask(&connection, &questions).await?;
        let info = String::from_utf8_lossy(answers[0].bytes().unwrap_or_default()).into_owned();
        let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:")).ok_or("it does not say which process it is")?.to_owned();
        let number = |value: &Value| std::str::from_utf8(value.bytes()?).ok()?.parse::<i64>().ok();
        let [seconds, micros] = answers[1].list() else { return Err("it does not tell the time".to_owned()) };
        let time_ms = number(seconds).zip(number(micros)).map(|(seconds, micros)| seconds * 1_000 + micros / 1_000);
        let ahead_ms = time_ms.ok_or("it does not tell the time")? - (asked + now_ms()) / 2;
        Ok(Link { number: connection.number, connection, run_id, ahead_ms })
    }

    /// Runs one command that has no key, over a connection of the reading lane.
    pub(super) async fn ask(&self, words: &[&dyn Word]) -> Result<Value> {
        let mut batch = Batch::new();
        batch.keyless(words);
        match self.send(Lane::Read, &batch.commands(), false).await? {
            Sent::Answered(mut values, _) => {
                let value = values.pop().unwrap_or(Value::Nil);
                match value.error() {
                    Some((_, why)) => Err(Error::Unavailable(format!("{}: {why}", self.address))),
                    None => Ok(value),
                }
            }
            Sent::Lost(reason) => Err(Error::Unavailable(reason)),
        }
    }

    /// Leaves a link that may not be what it was: the next call opens another.
    pub(super) fn drop_link(&self, lane: Lane, link: &Arc<Link>) {
        let mut slot = self.links[lane as usize].write();
        if slot.as_ref().is_some_and(|present| present.number == link.number) {
            *slot = None;
        }
    }

    fn succeeded(&self) {
        let mut health = self.health.lock();
        if health.failure_count > 0 {
            tracing::info!(server = self.address, "the feeds' Redis answers again");
            *health = Health::default();
        }
    }

    fn failed(&self, lane: Lane, link: &Arc<Link>) {
        self.drop_link(lane, link);
        self.pause();
    }

    fn pause(&self) {
        let mut health = self.health.lock();
        if health.failure_count == 0 {
            tracing::warn!(server = self.address, "the feeds' Redis does not answer");
        }
        let pause = PAUSE_MIN.saturating_mul(1 << health.failure_count.min(8)).min(PAUSE_MAX);
        health.failure_count += 1;
        health.closed_until = Some(Instant::now() + pause);
    }
}

async fn load_scripts(connection: &Pipelined) -> std::result::Result<(), String> {
    let mut batch = Batch::new();
    script::ALL.iter().for_each(|named| batch.keyless(&[&"SCRIPT", &"LOAD", &named.code.concat().as_str()]));
    for (answer, named) in ask(connection, &batch).await?.iter().zip(script::ALL) {
        if answer.bytes() != Some(named.hash.as_bytes()) {
            let why = answer.error().map_or("it has another hash there", |(_, why)| why);
            return Err(format!("its script '{}' was refused: {why}", named.name));
        }
    }
    Ok(())
}

/// Asks over a connection that is not anybody's yet, or what is no script.
async fn ask(connection: &Pipelined, batch: &Batch) -> std::result::Result<Vec<Value>, String> {
    let mut bytes = Vec::new();
    batch.commands().iter().for_each(|command| command.write(0, &mut bytes));
    call(connection, bytes, batch.len()).await.map_err(|unanswered| unanswered.reason)
}

/// Why there is no answer.
struct Unanswered {
    /// Others are waiting, and nothing is wrong with the server.
    is_busy: bool,
    reason: String,
}

async fn call(connection: &Pipelined, bytes: Vec<u8>, count: usize) -> std::result::Result<Vec<Value>, Unanswered> {
    let (is_busy, reason) = match connection.call(bytes, count, ANSWER_LIMIT).await {
        Ok(answers) => match resp::values(answers, count) {
            Some(values) => return Ok(values),
            None => (false, "it answered what is no answer".to_owned()),
        },
        Err(Failure::Late) => (false, format!("it has not answered for {} ms", ANSWER_LIMIT.as_millis())),
        Err(Failure::Lost) => (false, "the connection has ended".to_owned()),
        Err(Failure::Busy) => (true, "too many are waiting for its answers".to_owned()),
    };
    Err(Unanswered { is_busy, reason })
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
