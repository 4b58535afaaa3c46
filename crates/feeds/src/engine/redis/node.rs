//! One server: its connections, and what is done when it does not answer.
//!
//! A server that does not answer is left alone for a while, so that callers are told at once instead of waiting for it: 100 ms
//! after the first failure, twice as long after each further one, two seconds at most. One caller then tries; the others are
//! still told at once. The vendor's client has no such thing, and its reconnecting connection lets callers wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Mutex, RwLock};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, Pipeline, RedisConnectionInfo, ServerErrorKind, Value};

use super::address::Address;
use super::command::Command;
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
    connection: MultiplexedConnection,
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

static LINK_COUNT: AtomicU64 = AtomicU64::new(1);

impl Node {
    pub(super) fn new(address: String, login: Address) -> Node {
        Node { address, login, links: Default::default(), connecting: Default::default(), health: Mutex::default() }
    }

    /// Sends commands and waits for their answers. `Err`: the server was not reached, nothing happened.
    pub(super) async fn send(&self, lane: Lane, commands: &[&Command], asking: bool) -> Result<Sent> {
        let link = self.link(lane).await?;
        let started = Instant::now();
        let mut answers = match self.send_over(&link, lane, commands, asking).await {
            Ok(answers) => answers,
            Err(reason) => return Ok(Sent::Lost(reason)),
        };
        let is_unknown = |value: &Value| matches!(value, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript));
        if answers.iter().any(is_unknown) && started.elapsed() < PIPELINE_LIMIT {
            // Somebody flushed the scripts.
            let mut connection = link.connection.clone();
            if let Err(error) = load_scripts(&mut connection).await {
                return Ok(Sent::Lost(error));
            }
            let places: Vec<usize> = answers.iter().enumerate().filter(|(_, value)| is_unknown(value)).map(|(place, _)| place).collect();
            let again: Vec<&Command> = places.iter().map(|place| commands[*place]).collect();
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
        commands: &[&Command],
        asking: bool,
    ) -> std::result::Result<Vec<Value>, String> {
        let deadline_ms = now_ms() + PIPELINE_LIMIT.as_millis() as i64 + link.ahead_ms;
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for command in commands {
            if asking {
                pipeline.add_command(redis::cmd("ASKING"));
            }
            pipeline.add_command(command.to_cmd(deadline_ms));
        }
        let mut connection = link.connection.clone();
        let count = pipeline.len();
        let reason = match tokio::time::timeout(ANSWER_LIMIT, connection.send_packed_commands(&pipeline, 0, count)).await {
            Ok(Ok(mut answers)) if answers.len() == count => {
                self.succeeded();
                if asking {
                    answers = answers.into_iter().skip(1).step_by(2).collect();
                }
                return Ok(answers);
            }
            Ok(Ok(_)) => "it answered more or less than it was asked".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it has not answered for {} ms", ANSWER_LIMIT.as_millis()),
        };
        self.failed(lane, link);
        Err(format!("{}: {reason}", self.address))
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
        let text = |error: redis::RedisError| error.to_string();
        let (host, port) = self.address.rsplit_once(':').ok_or("its address has no port")?;
        let port = port.parse().map_err(|_| "its port is no number")?;
        let mut login = RedisConnectionInfo::default().set_db(self.login.database).set_lib_name("corkboard", env!("CARGO_PKG_VERSION"));
        if let Some(user) = &self.login.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.login.password {
            login = login.set_password(password);
        }
        let info = ConnectionAddr::Tcp(host.to_owned(), port).into_connection_info().map_err(text)?.set_redis_settings(login);
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_LIMIT)).set_response_timeout(None);
        let client = Client::open(info).map_err(text)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.map_err(text)?;
        load_scripts(&mut connection).await?;
        let server: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await.map_err(text)?;
        let run_id = server.lines().find_map(|line| line.strip_prefix("run_id:")).ok_or("it does not say which process it is")?.to_owned();
        let asked = now_ms();
        let (seconds, micros): (i64, i64) = redis::cmd("TIME").query_async(&mut connection).await.map_err(text)?;
        let ahead_ms = seconds * 1_000 + micros / 1_000 - (asked + now_ms()) / 2;
        Ok(Link { connection, number: LINK_COUNT.fetch_add(1, Ordering::Relaxed), run_id, ahead_ms })
    }

    /// Runs one command that has no key, over a connection of the reading lane.
    pub(super) async fn ask(&self, cmd: redis::Cmd) -> Result<Value> {
        let command = Command::Plain(cmd);
        match self.send(Lane::Read, &[&command], false).await? {
            Sent::Answered(mut values, _) => match values.pop() {
                Some(Value::ServerError(error)) => Err(Error::Unavailable(format!("{}: {error}", self.address))),
                value => Ok(value.unwrap_or(Value::Nil)),
            },
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

async fn load_scripts(connection: &mut MultiplexedConnection) -> std::result::Result<(), String> {
    let mut pipeline = Pipeline::with_capacity(script::ALL.len());
    for named in script::ALL {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(named.code.concat());
        pipeline.add_command(load);
    }
    let answers = connection.send_packed_commands(&pipeline, 0, script::ALL.len()).await.map_err(|error| error.to_string())?;
    for (answer, named) in answers.iter().zip(script::ALL) {
        if let Value::ServerError(error) = answer {
            return Err(format!("its script '{}' was refused: {error}", named.name));
        }
    }
    Ok(())
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
