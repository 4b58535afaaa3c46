//! Each part's state, as `/readyz` and `corkboard status` show it.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

/// How a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartState {
    /// Not up yet; the site is not ready.
    Starting,
    Up,
    /// Works with less; the site is ready and says what is missing.
    Degraded(String),
    /// Does not work.
    Down(String),
}

impl PartState {
    pub fn as_str(&self) -> &'static str {
        match self {
            PartState::Starting => "starting",
            PartState::Up => "up",
            PartState::Degraded(_) => "degraded",
            PartState::Down(_) => "down",
        }
    }

    pub fn reason(&self) -> &str {
        match self {
            PartState::Degraded(reason) | PartState::Down(reason) => reason,
            PartState::Starting | PartState::Up => "",
        }
    }
}

/// The states of all parts of this process.
#[derive(Clone, Default)]
pub struct Health(Arc<RwLock<BTreeMap<String, PartState>>>);

impl Health {
    pub fn set(&self, part: &str, state: PartState) {
        let before = self.0.write().insert(part.to_owned(), state.clone());
        if before.as_ref() != Some(&state) {
            match &state {
                PartState::Degraded(reason) => tracing::warn!(part, reason, "part is degraded"),
                PartState::Down(reason) => tracing::error!(part, reason, "part is down"),
                PartState::Starting | PartState::Up => tracing::debug!(part, state = state.as_str(), "part changed state"),
            }
        }
    }

    pub fn parts(&self) -> BTreeMap<String, PartState> {
        self.0.read().clone()
    }

    /// True when every part is up or degraded: requests can be served.
    pub fn is_ready(&self) -> bool {
        self.0.read().values().all(|state| matches!(state, PartState::Up | PartState::Degraded(_)))
    }
}
