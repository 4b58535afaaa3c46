//! Takedowns and legal holds, as their owner and as admins see them.

use model::legal::{TakedownReason, TakedownState};
use model::{Invalid, LegalHoldId, Shard};
use web::view::FormErrors;
use web::view::legal::{AdminHolds, AdminTakedowns, HoldRow, TakedownForm, TakedownRow, Takedowns};
use web::view::page::{Nav, Page};

use crate::samples::{page, person, picture, pin_as_id, report_id, takedown_id, time};
use crate::{Rendered, shown};

fn row(at: usize, state: TakedownState) -> TakedownRow {
    let ended = matches!(state, TakedownState::Upheld | TakedownState::Reversed);
    TakedownRow {
        id: takedown_id(at),
        subject: if at == 2 { ("Pin 17, on a secret board".into(), String::new()) } else { ("Pin Two wings".into(), "/pin/1".into()) },
        picture: (at != 2).then(|| picture(3)),
        reason: TakedownReason::ALL[at % 5],
        note: if at == 0 { "The photographer says: <never> without a licence.".into() } else { String::new() },
        state,
        at: time("3 days ago"),
        appeal: (state != TakedownState::InForce).then(|| ("It is my own photograph.".into(), time("2 days ago"))),
        decision: ended.then(|| ("Thank you for the proof.".into(), time("an hour ago"))),
        owner: Some(person(3)),
        complainant: "Letter of Example & Sons, 3 March".into(),
        by: "by Ada".into(),
    }
}

fn rows() -> Vec<TakedownRow> {
    TakedownState::ALL.into_iter().enumerate().map(|(at, state)| row(at, state)).collect()
}

pub fn pages(all: &mut Vec<Rendered>) {
    let frame = || -> Page { page("Takedowns", Nav::Elsewhere) };
    let errors = FormErrors(vec![Invalid::new("text", "The appeal is empty; say it in a sentence.")]);
    let own = Takedowns { page: frame(), takedowns: rows(), draft: None, next_url: Some("/takedowns?bookmark=x".into()) };
    all.push(shown("takedowns_refused", Takedowns { draft: Some((takedown_id(0), "x < y".into(), errors)), ..own.clone() }));
    all.push(shown("takedowns_empty", Takedowns { takedowns: Vec::new(), next_url: None, ..own.clone() }));
    all.push(shown("takedowns", own));
    let list = AdminTakedowns { page: frame(), takedowns: rows(), state: None, next_url: None };
    let appealed = Some(TakedownState::Appealed);
    all.push(shown("admin_takedowns_none", AdminTakedowns { takedowns: Vec::new(), state: appealed, ..list.clone() }));
    all.push(shown("admin_takedowns", list));
    let form = TakedownForm {
        page: frame(),
        subject: pin_as_id(0),
        subject_text: ("Pin Two wings".into(), "/pin/1".into()),
        report: Some(report_id(0)),
        reason: String::new(),
        note: String::new(),
        complainant: String::new(),
        errors: FormErrors::none(),
    };
    let errors = FormErrors(vec![
        Invalid::new("reason", "Choose why it is taken down."),
        Invalid::new("", "This pin is taken down already."),
        Invalid::new("subject", "Only a pin or a comment can be taken down."),
    ]);
    all.push(shown("admin_takedown_refused", TakedownForm { errors, report: None, ..form.clone() }));
    all.push(shown("admin_takedown", form));
    let hold = |at: u64| HoldRow {
        id: LegalHoldId::new(Shard(1), 1 + at),
        subject: ("@grace".into(), "/grace".into()),
        reason: "Order of the court of <Example>.".into(),
        reference: if at == 0 { "12 C 34/26".into() } else { String::new() },
        by: "by whoever runs the site".into(),
        at: time("3 days ago"),
        release: (at == 1).then(|| ("The case is closed. by Ada".into(), time("an hour ago"))),
    };
    let holds = AdminHolds {
        page: frame(),
        holds: vec![hold(0), hold(1)],
        all: true,
        waiting: 2,
        subject: String::new(),
        reason: String::new(),
        reference: String::new(),
        errors: FormErrors::none(),
        next_url: None,
    };
    let errors = FormErrors(vec![Invalid::new("subject", "There is no person 'x'."), Invalid::new("", "Something else.")]);
    let refused = AdminHolds { holds: Vec::new(), all: false, waiting: 0, subject: "x\"y".into(), errors, ..holds.clone() };
    all.push(shown("admin_holds_refused", refused));
    all.push(shown("admin_holds", holds));
}
