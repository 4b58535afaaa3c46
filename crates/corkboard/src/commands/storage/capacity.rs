//! `corkboard storage capacity`.

use std::process::ExitCode;

use clap::Args;
use model::Timestamp;
use storage::ServerCapacity;

use super::fleet::{MapArgs, operator};
use crate::config::Config;
use crate::table;

const MIB: f64 = (1_u64 << 20) as f64;
const GIB: f64 = (1_u64 << 30) as f64;

#[derive(Args)]
pub struct CapacityArgs {
    #[command(flatten)]
    map: MapArgs,
    /// Prints JSON for machines.
    #[arg(long)]
    json: bool,
}

pub async fn capacity(args: &CapacityArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let report = operator(&args.map, config)?.capacity().await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(ExitCode::SUCCESS);
    }
    let header = ["server", "shards", "rows, about", "GiB", "rows/day", "MiB/day", "disk GiB", "full on"];
    let rows: Vec<Vec<String>> = report.servers.iter().map(row).collect();
    print!("{}", table::render(&header, &rows));
    for server in &report.servers {
        for advice in &server.advice {
            println!("\n→ {}: {advice}", server.name);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(server: &ServerCapacity) -> Vec<String> {
    let known = |value: Option<f64>, digits: usize| value.map_or("?".to_owned(), |value| format!("{value:.digits$}"));
    let full = match (server.fills_at, server.growth_bytes_per_day, server.disk_bytes) {
        (Some(at), ..) => day_of(at),
        (None, Some(_), Some(_)) => "not in ten years".to_owned(),
        _ => "?".to_owned(),
    };
    vec![
        server.name.clone(),
        server.shards.to_string(),
        server.rows.to_string(),
        format!("{:.2}", server.bytes as f64 / GIB),
        known(server.growth_rows_per_day, 0),
        known(server.growth_bytes_per_day.map(|bytes| bytes / MIB), 1),
        known(server.disk_bytes.map(|bytes| bytes as f64 / GIB), 0),
        full,
    ]
}

/// Writes the day of an instant (UTC) as 2026-11-25. Days are counted in eras of 400 years that begin on the first of March, so that leap
/// days come last (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn day_of(at: Timestamp) -> String {
    let days = at.0.div_euclid(Timestamp::DAY) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, wanted) in [
            (0_i64, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_709_251_199, "2024-02-29"),
            (1_709_251_200, "2024-03-01"),
            (1_767_225_600, "2026-01-01"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(day_of(Timestamp(seconds * 1_000)), wanted);
        }
    }

    #[test]
    fn what_is_not_known_is_shown_as_such() {
        let server = ServerCapacity { name: "a".to_owned(), shards: 4_096, rows: 5, bytes: 1 << 30, ..ServerCapacity::default() };
        assert_eq!(row(&server), ["a", "4096", "5", "1.00", "?", "?", "?", "?"]);
        let steady = ServerCapacity { growth_bytes_per_day: Some(0.0), disk_bytes: Some(10 << 30), ..server };
        assert_eq!(row(&steady)[5..], ["0.0", "10", "not in ten years"]);
    }
}
