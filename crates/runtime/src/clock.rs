//! The system's clock.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use model::{Clock, Timestamp};

/// A clock shared by all parts of a process.
pub type SharedClock = Arc<dyn Clock>;

/// Tells the time of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    pub fn shared() -> SharedClock {
        Arc::new(SystemClock)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(since_epoch.as_millis() as i64)
    }
}
