//! The admin pages.

use web::view::admin::{
    AdminErrors, AdminJobs, AdminOverview, AdminPeople, AdminPerson, AdminReports, AdminStorage, ErrorRow, FailedJob, Number, PartRow,
    QueueRow, Rate, ReportRow, TableRow,
};
use web::view::page::{Nav, Page};

use crate::samples::{notification_id, page, person, picture, report_id, time};
use crate::{Rendered, shown};

fn number(key: &str, label: &str, value: &str) -> Number {
    Number { key: key.into(), label: label.into(), value: value.into() }
}

pub fn pages(all: &mut Vec<Rendered>) {
    let frame = || -> Page { page("Admin", Nav::Elsewhere) };
    let rates = [("requests", "Requests", 41.0), ("pins", "New pins", 1.2), ("home", "Feed loads", 17.0), ("errors", "Errors", 0.0)];
    let rates = rates.map(|(key, label, scale)| Rate {
        key: format!("rate.{key}"),
        label: label.into(),
        value: format!("{scale:.1}"),
        unit: "a second".into(),
        points: (0..60).map(|at| scale * (1.0 + f64::from(at * 7 % 11) / 11.0 + (f64::from(at) / 9.0).sin() * 0.4)).collect(),
    });
    let parts = ["storage", "feeds", "jobs", "events", "search", "media"].iter().enumerate();
    let parts = parts.map(|(at, name)| PartRow {
        name: (*name).into(),
        ready: at != 4,
        detail: if at == 4 { "the index is being rebuilt".into() } else { "ready".into() },
    });
    let overview = AdminOverview {
        page: frame(),
        alerts: vec![("3 reports wait for a decision".into(), "/admin/reports".into())],
        parts: parts.collect(),
        rates: rates.to_vec(),
        numbers: vec![
            number("people", "People", "1,204"),
            number("pins", "Pins", "18.4k"),
            number("boards", "Boards", "3,210"),
            number("media", "Pictures", "9.1 GB"),
        ],
    };
    all.push(shown("admin", overview));
    let queues = ["renditions", "mail", "purge", "fan_out"].iter().enumerate();
    let queues = queues.map(|(at, name)| QueueRow {
        name: (*name).into(),
        pending: at as u64 * 12,
        in_progress: at as u64,
        succeeded: 12_044,
        failed: u64::from(at == 1) * 2,
        oldest: if at == 0 { "–".into() } else { "4 s".into() },
        paused: at == 2,
    });
    let failed = vec![FailedJob {
        queue: "mail".into(),
        name: "SendMail".into(),
        error: "connection refused by smtp.example.org:587; the next try is in 4 minutes".into(),
        attempts: 3,
        at: time("2 minutes ago"),
    }];
    all.push(shown("admin_jobs", AdminJobs { page: frame(), queues: queues.collect(), failed }));
    let tables = [("pins", 18_400, "41 MB", 62), ("board_has_pins", 18_400, "6 MB", 9), ("users", 1_204, "2 MB", 3)];
    let tables = tables.map(|(name, rows, bytes, percent)| TableRow { name: name.into(), rows, bytes: bytes.into(), percent }).to_vec();
    let media = vec![number("originals", "Originals", "7.2 GB"), number("renditions", "Renditions", "1.9 GB")];
    all.push(shown("admin_storage", AdminStorage { page: frame(), tables, media, total: "66 MB".into() }));
    let errors = vec![ErrorRow {
        at: time("a minute ago"),
        role: "web".into(),
        message: "the search index did not answer within 300 ms".into(),
        request_id: notification_id(0).to_string(),
        count: 12,
    }];
    all.push(shown("admin_errors", AdminErrors { page: frame(), errors, next_url: Some("?bookmark=x".into()) }));
    let report = |at: usize, decision: Option<&str>| ReportRow {
        id: report_id(at),
        reason: "Spam".into(),
        note: if at == 0 { "The same link under every pin.".into() } else { String::new() },
        reporter: person(2),
        at: time("an hour ago"),
        subject: ("Colourful cups".into(), "/pin/1".into()),
        owner: Some(person(3)),
        picture: (at != 1).then(|| picture(15)),
        takedown_of: (at == 0).then(|| crate::samples::pin_as_id(0)),
        count: 3,
        decision: decision.map(str::to_owned),
    };
    let open = AdminReports { page: frame(), reports: vec![report(0, None), report(1, None)], decided: false, next_url: None };
    all.push(shown("admin_reports", open));
    let decided = vec![report(2, Some("Taken down by Ada"))];
    all.push(shown("admin_reports_decided", AdminReports { page: frame(), reports: decided, decided: true, next_url: None }));
    let people = (0..6).map(|at| AdminPerson {
        person: person(at),
        email: format!("{}@example.org", person(at).username),
        joined: time("2026-01-12"),
        pin_count: 1_204,
        admin: at == 0,
        suspended: at == 4,
        is_viewer: at == 0,
    });
    all.push(shown(
        "admin_people",
        AdminPeople { page: frame(), query: String::new(), people: people.collect(), next_url: Some("?bookmark=x".into()) },
    ));
}
