//! Every metric of this crate, with what it tells.

use crate::metric::Metric;

pub(crate) const TASK_FAILURES_TOTAL: &str = "runtime_task_failures_total";

/// All metrics of this crate.
pub const METRICS: &[Metric] = &[Metric::counter(TASK_FAILURES_TOTAL, "Background tasks that failed and were started again, by `task`.")];
