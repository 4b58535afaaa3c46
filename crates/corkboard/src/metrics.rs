//! The metrics of all crates.

use runtime::Metric;

/// Every crate that has metrics, with its list, in the order of `docs/metrics.md`.
const CRATES: [(&str, &[Metric]); 12] = [
    ("storage", storage::METRICS),
    ("sqlite", storage::SQLITE_METRICS),
    ("mysql", storage::MYSQL_METRICS),
    ("cache", cache::METRICS),
    ("feeds", feeds::METRICS),
    ("jobs", jobs::METRICS),
    ("events", events::METRICS),
    ("search", search::METRICS),
    ("media", media::METRICS),
    ("web", web::METRICS),
    ("app", app::METRICS),
    ("runtime", runtime::METRICS),
];

/// Tells the recorder about all metrics.
pub fn describe() {
    for metric in CRATES.iter().flat_map(|(_, metrics)| *metrics) {
        metric.describe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order() {
        for (name, metrics) in CRATES {
            assert_eq!(Metric::problems(name, metrics), Vec::<String>::new());
        }
    }

    #[test]
    fn the_page_lists_every_metric_and_no_other() {
        let page = include_str!("../../../docs/metrics.md");
        let listed: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let metrics = CRATES.iter().flat_map(|(_, metrics)| *metrics);
        let known: Vec<String> =
            metrics.map(|metric| format!("| `{}` | {} | {} |", metric.name, metric.kind.as_str(), metric.description)).collect();
        assert_eq!(listed, known);
    }
}
