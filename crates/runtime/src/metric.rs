//! What a metric is. Each crate lists its own in its `metrics.rs`; the binary tells the recorder about all of them, and
//! `docs/metrics.md` is held against the lists by a test.

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    Gauge,
    Histogram,
}

impl MetricKind {
    pub fn as_str(self) -> &'static str {
        match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        }
    }
}

/// A metric as it is listed in documentation. Its name is `<crate>_<noun>_<unit>`; a counter's ends in `_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: MetricKind,
    pub description: &'static str,
}

impl Metric {
    pub const fn counter(name: &'static str, description: &'static str) -> Metric {
        Metric { name, kind: MetricKind::Counter, description }
    }

    pub const fn gauge(name: &'static str, description: &'static str) -> Metric {
        Metric { name, kind: MetricKind::Gauge, description }
    }

    pub const fn histogram(name: &'static str, description: &'static str) -> Metric {
        Metric { name, kind: MetricKind::Histogram, description }
    }

    /// Tells the recorder what the metric is.
    pub fn describe(&self) {
        match self.kind {
            MetricKind::Counter => metrics::describe_counter!(self.name, self.description),
            MetricKind::Gauge => metrics::describe_gauge!(self.name, self.description),
            MetricKind::Histogram => metrics::describe_histogram!(self.name, self.description),
        }
    }

    /// Returns what is wrong with the names in a crate's list: for a test.
    pub fn problems(crate_name: &str, metrics: &[Metric]) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, metric) in metrics.iter().enumerate() {
            let Metric { name, kind, description } = metric;
            if !name.strip_prefix(crate_name).is_some_and(|rest| rest.starts_with('_')) {
                problems.push(format!("{name} does not begin with {crate_name}_"));
            }
            if (*kind == MetricKind::Counter) != name.ends_with("_total") {
                problems.push(format!("{name} is a {}; counters, and they alone, end in _total", kind.as_str()));
            }
            if !description.ends_with('.') {
                problems.push(format!("{name} has no sentence that describes it"));
            }
            if metrics[..index].iter().any(|other| other.name == *name) {
                problems.push(format!("{name} is there twice"));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_names_are_found() {
        let good = Metric::counter("web_requests_total", "Requests.");
        assert_eq!(Metric::problems("web", &[good]), Vec::<String>::new());
        for bad in [
            Metric::counter("web_requests_count", "Requests."),
            Metric::gauge("web_waiting_total", "Requests."),
            Metric::counter("webrequests_total", "Requests."),
            Metric::counter("web_other_total", "Requests"),
            good,
        ] {
            assert_eq!(Metric::problems("web", &[good, bad]).len(), 1, "{bad:?}");
        }
    }
}
