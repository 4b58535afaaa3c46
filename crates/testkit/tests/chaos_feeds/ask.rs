//! Requests to a site that may die at any time. An answer is a success, or says honestly that something is away; a connection may be lost
//! only together with the site. Whatever else comes is a finding.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use testkit::Response;

use crate::history::{Counted, History};

/// Between two tries while something is away.
const PAUSE: Duration = Duration::from_millis(20);
/// An act that is not acknowledged for so long never will be.
const ACT_LIMIT: Duration = Duration::from_secs(60);

/// How a request ended.
pub enum Answer {
    /// 2xx.
    Done(Response),
    /// 4xx: nothing was done, for a reason.
    No(Response),
    /// The site said that something is away: nobody knows whether it was done.
    Away,
    /// The connection was lost with the site: nobody knows whether it was done.
    Lost,
}

/// Asks a site, and judges its answers.
#[derive(Clone)]
pub struct Asker<'a> {
    pub history: &'a History,
    /// Even while the site runs.
    pub life: Arc<AtomicU64>,
    pub who: String,
}

impl Asker<'_> {
    /// Waits until the site runs. Gives the number of its life.
    fn wait_for_life(&self) -> u64 {
        loop {
            let life = self.life.load(Ordering::SeqCst);
            if life % 2 == 0 {
                return life;
            }
            thread::sleep(PAUSE);
        }
    }

    /// Sends one request and judges the answer.
    pub fn once(&self, what: &str, send: impl FnOnce() -> anyhow::Result<Response>) -> Answer {
        let life = self.wait_for_life();
        let started = Instant::now();
        let answered = send();
        let took = started.elapsed();
        match answered {
            Ok(response) if (200..300).contains(&response.status) => Answer::Done(response),
            Ok(response) if matches!(response.status, 503 | 429) => {
                self.history.note(format!("{}: {what}: {} after {took:?}", self.who, response.status));
                self.history.count(Counted::Refused);
                if response.body.is_empty() {
                    self.history.find(format!("{}: {what}: {} without a word", self.who, response.status));
                }
                Answer::Away
            }
            Ok(response) if (400..500).contains(&response.status) => Answer::No(response),
            Ok(response) => {
                self.history.find(format!("{}: {what}: status {} after {took:?}: {}", self.who, response.status, excerpt(&response)));
                Answer::Away
            }
            Err(error) => {
                self.history.count(Counted::Lost);
                if self.life.load(Ordering::SeqCst) == life {
                    self.history.find(format!("{}: {what}: the site lives and did not answer ({took:?}): {error:#}", self.who));
                }
                Answer::Lost
            }
        }
    }

    /// Reads something that this person may read: `None` when it was refused or lost.
    pub fn read(&self, what: &str, send: impl FnOnce() -> anyhow::Result<Response>) -> Option<Response> {
        match self.once(what, send) {
            Answer::Done(response) => {
                self.history.count(Counted::Read);
                Some(response)
            }
            Answer::No(response) => {
                self.history.find(format!("{}: {what}: status {}: {}", self.who, response.status, excerpt(&response)));
                None
            }
            Answer::Away | Answer::Lost => None,
        }
    }

    /// Repeats something that is the same when it is done twice, until it is acknowledged.
    pub fn until_acknowledged(&self, what: &str, mut send: impl FnMut() -> anyhow::Result<Response>) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut is_first = true;
        while started.elapsed() < ACT_LIMIT {
            match self.once(what, &mut send) {
                Answer::Done(_) => {
                    self.history.note(format!("{}: {what}", self.who));
                    self.history.count(Counted::Act);
                    return Ok(());
                }
                // It was done the first time.
                Answer::No(response) if response.status == 404 && !is_first => {
                    self.history.note(format!("{}: {what} was done before", self.who));
                    return Ok(());
                }
                Answer::No(response) => bail!("{what}: status {}: {}", response.status, excerpt(&response)),
                Answer::Away | Answer::Lost => is_first = false,
            }
            thread::sleep(PAUSE);
        }
        bail!("{what} was not acknowledged for {} s", ACT_LIMIT.as_secs());
    }
}

fn excerpt(response: &Response) -> String {
    response.text().chars().take(200).collect()
}
