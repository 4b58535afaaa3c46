//! What every role runs on: the clock, randomness, supervised tasks with one shutdown signal, health, retry, and telemetry.
//!
//! ```text
//! clock.rs       the system's clock
//! random.rs      secrets, event ids, chance
//! supervisor.rs  named tasks: restarted when they fail, drained on shutdown
//! health.rs      each part's state, as /readyz and `status` show it
//! pipelined.rs   one connection to a server, shared by all callers
//! pace.rs        rounds of work that gather under load
//! retry.rs       exponential back-off with jitter
//! metric.rs      what a metric is; metrics.rs lists this crate's own
//! telemetry.rs   logs and metrics
//! ```

pub mod clock;
pub mod health;
pub mod metric;
mod metrics;
pub mod pace;
pub mod pipelined;
pub mod random;
pub mod retry;
pub mod supervisor;
pub mod telemetry;

pub use clock::{SharedClock, SystemClock};
pub use health::{Health, PartState};
pub use metric::{Metric, MetricKind};
pub use metrics::METRICS;
pub use pace::paced;
pub use pipelined::Pipelined;
pub use random::{new_event_id, once_in, random_bytes, random_u64};
pub use retry::Backoff;
pub use supervisor::{Shutdown, Supervisor};
