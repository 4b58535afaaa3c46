//! Every metric of this crate, with what it tells.

use runtime::Metric;

pub(crate) const USERS_SIGNED_UP_TOTAL: &str = "app_users_signed_up_total";
pub(crate) const SIGN_INS_REFUSED_TOTAL: &str = "app_sign_ins_refused_total";
pub(crate) const PINS_CREATED_TOTAL: &str = "app_pins_created_total";
pub(crate) const PINS_SAVED_TOTAL: &str = "app_pins_saved_total";
pub(crate) const EVENTS_RELAYED_TOTAL: &str = "app_events_relayed_total";
pub(crate) const EVENTS_WRITTEN_OFF_TOTAL: &str = "app_events_written_off_total";
pub(crate) const MIRROR_FAILURES_TOTAL: &str = "app_mirror_failures_total";
pub(crate) const EDGES_MENDED_TOTAL: &str = "app_edges_mended_total";
pub(crate) const HOME_FEEDS_REBUILT_TOTAL: &str = "app_home_feeds_rebuilt_total";
pub(crate) const FEEDS_LOST_TOTAL: &str = "app_feeds_lost_total";
pub(crate) const FAN_OUT_STEPS_TOTAL: &str = "app_fan_out_steps_total";
pub(crate) const FEED_SESSIONS_TOTAL: &str = "app_feed_sessions_total";
pub(crate) const FEED_SESSIONS_LOST_TOTAL: &str = "app_feed_sessions_lost_total";
pub(crate) const RANKING_SECONDS: &str = "app_ranking_seconds";
pub const DEGRADED_READS_TOTAL: &str = "app_degraded_reads_total";
pub(crate) const MAILS_SENT_TOTAL: &str = "app_mails_sent_total";
pub(crate) const PURGES_POSTPONED_TOTAL: &str = "app_purges_postponed_total";
pub(crate) const PURGES_WAITING: &str = "app_purges_waiting";
pub(crate) const PEOPLE_ERASED_TOTAL: &str = "app_people_erased_total";
pub(crate) const CACHE_CLEARED_TOTAL: &str = "app_cache_cleared_total";

/// All metrics of this crate.
pub const METRICS: &[Metric] = &[
    Metric::counter(USERS_SIGNED_UP_TOTAL, "Accounts made."),
    Metric::counter(SIGN_INS_REFUSED_TOTAL, "Log-ins with a wrong name or password."),
    Metric::counter(PINS_CREATED_TOTAL, "Pins made, saves included."),
    Metric::counter(PINS_SAVED_TOTAL, "Pins made of somebody's pin."),
    Metric::counter(EVENTS_RELAYED_TOTAL, "Events moved from the outbox into the log."),
    Metric::counter(EVENTS_WRITTEN_OFF_TOTAL, "Events that a consumer (`group`) could not handle. Should stay 0."),
    Metric::counter(MIRROR_FAILURES_TOTAL, "Edges that could not be mirrored at once; the consumer makes them good."),
    Metric::counter(EDGES_MENDED_TOTAL, "Edges that the consumer found missing or left over."),
    Metric::counter(HOME_FEEDS_REBUILT_TOTAL, "Home feeds built from storage."),
    Metric::counter(FEEDS_LOST_TOTAL, "Times that the feeds were found to have lost something; they are mended then."),
    Metric::counter(FAN_OUT_STEPS_TOTAL, "Deliveries of pins by jobs, to 5,000 followers of a source at most each."),
    Metric::counter(
        FEED_SESSIONS_TOTAL,
        "Best-first home feeds that were ranked: first pages, and what goes on for a session that was forgotten.",
    ),
    Metric::counter(FEED_SESSIONS_LOST_TOTAL, "Pages of best-first home feeds whose session was not known any more."),
    Metric::histogram(RANKING_SECONDS, "Time to rank a best-first home feed, reads of pins and counts included."),
    Metric::counter(DEGRADED_READS_TOTAL, "Pages shown without what a `part` (feeds, search) could not give."),
    Metric::counter(MAILS_SENT_TOTAL, "Mails that left, or were written to the mail folder."),
    Metric::counter(PURGES_POSTPONED_TOTAL, "Pins and people whose purge met a legal hold and waits."),
    Metric::gauge(PURGES_WAITING, "Pins and people whose purge waits for the end of a legal hold."),
    Metric::counter(PEOPLE_ERASED_TOTAL, "People of whom everything was deleted."),
    Metric::counter(CACHE_CLEARED_TOTAL, "Times that everything cached was forgotten because another process had written to storage."),
];
