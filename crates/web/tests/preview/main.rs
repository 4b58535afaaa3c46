//! Renders every page with sample data in several states and checks it. With `PREVIEW_DIR` the pages are kept there, with the static
//! files, to be looked at: `python3 -m http.server --directory $PREVIEW_DIR`.

mod checks;
mod pages;
mod samples;

use std::path::Path;
use std::time::Instant;

use askama::Template;
use checks::{check_fragment, check_page};

/// A rendered page or fragment with its name.
pub struct Rendered {
    pub name: &'static str,
    pub html: String,
    pub is_page: bool,
}

pub fn shown(name: &'static str, view: impl Template) -> Rendered {
    Rendered { name, html: view.render().expect("templates write into a string"), is_page: true }
}

pub fn fragment(name: &'static str, view: impl Template) -> Rendered {
    Rendered { is_page: false, ..shown(name, view) }
}

#[test]
fn every_page_is_sound() {
    let kept = std::env::var_os("PREVIEW_DIR");
    for rendered in pages::all() {
        if rendered.is_page {
            check_page(rendered.name, &rendered.html);
        } else {
            check_fragment(rendered.name, &rendered.html);
        }
        if let Some(folder) = &kept {
            std::fs::create_dir_all(folder).expect("the folder can be made");
            std::fs::write(Path::new(folder).join(format!("{}.html", rendered.name)), &rendered.html).expect("the page can be written");
        }
    }
    if let Some(folder) = kept {
        let folder = Path::new(&folder).join("static");
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        for asset in web::assets::all() {
            std::fs::write(folder.join(asset.url.strip_prefix("/static/").expect("assets live there")), &asset.body)
                .expect("the file can be written");
        }
    }
}

#[test]
fn what_people_write_is_escaped() {
    for rendered in pages::all() {
        assert!(!rendered.html.contains("<script>alert"), "{}: markup from a comment", rendered.name);
        assert!(!rendered.html.contains("<b>Duarte"), "{}: markup from a name", rendered.name);
    }
}

#[test]
fn a_grid_is_lean_and_quick() {
    let cards = samples::cards(25);
    let html = cards.render().expect("cards render");
    let card_bytes = html.len() / 25;
    assert!(card_bytes < 1_500, "a card has {card_bytes} bytes");
    // The best of several turns: the others measure the machine.
    let best = (0..20)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(cards.render().expect("cards render"));
            start.elapsed()
        })
        .min()
        .expect("there were turns");
    println!("25 cards: {} bytes, {best:?}", html.len());
    // Without optimisation it takes about ten times as long as in a release build.
    assert!(best.as_micros() < 5_000, "25 cards take {best:?}");
}

#[test]
fn mails_read_well() {
    use web::view::mail::{DigestMail, InvitationMail, ResetPasswordMail, WelcomeMail, subject_and_body};
    let reset = ResetPasswordMail {
        site_title: "Pins & Co".into(),
        username: "ada".into(),
        reset_url: "https://pins.example.org/reset?secret=a&b".into(),
        valid_for: "an hour".into(),
    };
    let text = reset.render().expect("mails render");
    let (subject, body) = subject_and_body(&text);
    assert_eq!(subject, "Set a new password for Pins & Co");
    assert!(body.starts_with("Hello ada,") && body.contains("https://pins.example.org/reset?secret=a&b"), "{body}");
    let digest = DigestMail {
        site_title: "Corkboard".into(),
        name: "Ada".into(),
        lines: vec![
            ("Grace liked Dune".into(), "https://pins.example.org/pin/1".into()),
            ("Yuki follows you".into(), "https://pins.example.org/yuki".into()),
        ],
        more_count: 2,
        notifications_url: "https://pins.example.org/notifications".into(),
        settings_url: "https://pins.example.org/settings/preferences".into(),
    };
    let text = digest.render().expect("mails render");
    assert!(text.contains("- Grace liked Dune\n  https://pins.example.org/pin/1\n") && text.contains("and 2 more."), "{text}");
    let welcome = WelcomeMail { site_title: "Corkboard".into(), site_url: "https://pins.example.org".into(), username: "ada".into() };
    assert!(welcome.render().expect("mails render").contains("https://pins.example.org/ada"));
    let invitation = InvitationMail {
        site_title: "Corkboard".into(),
        from_name: "Grace".into(),
        board_name: "Light".into(),
        allows: "add pins to".into(),
        notifications_url: "https://pins.example.org/notifications".into(),
    };
    assert!(invitation.render().expect("mails render").starts_with("Grace invites you to the board “Light”"));
}
