//! Who did what when: what makes findings explain themselves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Lines with the time since the start, from all threads.
pub struct History {
    started: Instant,
    lines: Mutex<Vec<String>>,
    findings: Mutex<Vec<String>>,
    acts: AtomicU64,
    reads: AtomicU64,
    refused: AtomicU64,
    lost: AtomicU64,
}

/// What is counted of all answers.
#[derive(Clone, Copy, Debug)]
pub enum Counted {
    /// A write was acknowledged.
    Act,
    Read,
    /// The site said that something is away.
    Refused,
    /// The connection ended without an answer, with the site.
    Lost,
}

impl History {
    pub fn begin() -> History {
        History {
            started: Instant::now(),
            lines: Mutex::default(),
            findings: Mutex::default(),
            acts: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// Notes that something was done or answered.
    pub fn note(&self, line: impl AsRef<str>) {
        let line = format!("{:8.3} {}", self.started.elapsed().as_secs_f64(), line.as_ref());
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// Notes that something is wrong.
    pub fn find(&self, finding: impl Into<String>) {
        let finding = format!("{:.3} s: {}", self.started.elapsed().as_secs_f64(), finding.into());
        self.note(format!("FINDING {finding}"));
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
    }

    pub fn count(&self, counted: Counted) {
        let counter = match counted {
            Counted::Act => &self.acts,
            Counted::Read => &self.reads,
            Counted::Refused => &self.refused,
            Counted::Lost => &self.lost,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives the numbers of acts, reads, refused and lost answers.
    pub fn counts(&self) -> (u64, u64, u64, u64) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (of(&self.acts), of(&self.reads), of(&self.refused), of(&self.lost))
    }

    pub fn findings(&self) -> Vec<String> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn text(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}
