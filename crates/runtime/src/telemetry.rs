//! Logs and metrics of a process.
//!
//! Logs go to standard error: for people on a terminal, as JSON lines otherwise or when asked for. The level comes from
//! `CORKBOARD_LOG` (like `info,storage=debug`). Metrics are kept in the process and rendered as Prometheus text.

use std::io::IsTerminal;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogForm {
    /// For people when standard error is a terminal, JSON otherwise.
    Auto,
    Text,
    Json,
}

/// Starts logging. `filter` is what is logged when `CORKBOARD_LOG` says nothing.
pub fn start_logs(form: LogForm, filter: &str) {
    let filter = EnvFilter::try_from_env("CORKBOARD_LOG").unwrap_or_else(|_| EnvFilter::new(filter));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(true);
    let terminal = std::io::stderr().is_terminal();
    let started = if form == LogForm::Json || (form == LogForm::Auto && !terminal) {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(terminal).compact().try_init()
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}

/// Upper bounds of the histogram buckets of everything measured in seconds: 100 µs to 10 s.
const SECONDS_BUCKETS: [f64; 14] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts keeping metrics. Safe to call more than once.
pub fn start_metrics() -> &'static PrometheusHandle {
    METRICS.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS_BUCKETS)
            .expect("the buckets are not empty");
        builder.install_recorder().unwrap_or_else(|error| {
            tracing::warn!(%error, "another metrics recorder is in place; /metrics stays empty");
            PrometheusBuilder::new().build_recorder().handle()
        })
    })
}

/// Renders all metrics as Prometheus text.
pub fn render_metrics() -> String {
    start_metrics().render()
}

/// Does the exporter's regular housekeeping: without it histograms grow.
pub fn upkeep_metrics() {
    start_metrics().run_upkeep();
}
