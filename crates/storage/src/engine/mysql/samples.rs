//! Samples of how large a server is, one an hour, for `corkboard storage capacity`.

use mysql::Server;

use super::lane::now_ms;
use crate::error::Result;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Every hour is kept for so long; of older days only the first sample.
const HOURLY_MS: i64 = 14 * DAY_MS;
/// Older samples are forgotten: a server has at most 14 × 24 + 730 of them.
const KEPT_MS: i64 = 730 * DAY_MS;

/// Takes the samples of one server. Each process that writes there tries; the first of an hour is the one that counts.
#[derive(Default)]
pub(super) struct Sampler {
    hour: i64,
}

impl Sampler {
    /// Takes a sample when a new hour has begun. Only for a server whose lease holds: another one must not write.
    pub async fn round(&mut self, primary: &Server) {
        let hour = now_ms() / HOUR_MS;
        if hour == self.hour {
            return;
        }
        self.hour = hour;
        if let Err(error) = sample(primary, hour * HOUR_MS).await {
            tracing::warn!(server = %primary.address(), %error, "the server's size was not sampled; it is tried again in an hour");
        }
    }
}

/// Rows are those that the server estimates: to count them all would cost more than the figure is worth.
pub(super) const SIZES: &str = "SELECT CAST(COALESCE(SUM(table_rows), 0) AS SIGNED), CAST(COALESCE(SUM(data_length + index_length), 0) AS SIGNED) \
     FROM information_schema.tables WHERE table_schema = DATABASE()";

/// Keeps the size at an instant, and thins what is old.
pub(super) async fn sample(primary: &Server, at_ms: i64) -> Result<()> {
    let fresh = primary.dialect().await?.fresh_statistics();
    let sizes = SIZES.replacen("SELECT ", &format!("SELECT {at_ms}, "), 1);
    let (hourly, kept) = (at_ms - HOURLY_MS, at_ms - KEPT_MS);
    primary
        .query(&format!(
            "{fresh}INSERT IGNORE INTO capacity_samples (at_ms, row_count, bytes) {sizes}; \
             DELETE FROM capacity_samples WHERE at_ms < {kept}; \
             DELETE FROM capacity_samples WHERE at_ms < {hourly} AND at_ms NOT IN \
             (SELECT first_ms FROM (SELECT MIN(at_ms) AS first_ms FROM capacity_samples GROUP BY at_ms DIV {DAY_MS}) firsts)"
        ))
        .await?;
    Ok(())
}
