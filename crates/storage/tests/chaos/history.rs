//! Who did what when: what makes findings explain themselves.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

/// Lines with the time since the start, from all threads.
pub struct History {
    started: Instant,
    lines: Mutex<Vec<String>>,
    findings: Mutex<Vec<String>>,
}

impl History {
    pub fn begin() -> History {
        History { started: Instant::now(), lines: Mutex::default(), findings: Mutex::default() }
    }

    /// Notes that something was done or answered.
    pub fn note(&self, line: impl AsRef<str>) {
        let line = format!("{:8.3} {}", self.started.elapsed().as_secs_f64(), line.as_ref());
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// Notes that something is wrong.
    pub fn find(&self, finding: impl Into<String>) {
        let finding = finding.into();
        self.note(format!("FINDING {finding}"));
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
    }

    pub fn findings(&self) -> Vec<String> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn text(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}
