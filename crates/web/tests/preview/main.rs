//! Renders every page with sample data in several states and checks it. With `PREVIEW_DIR` the pages are kept there, with the static
//! files, to be looked at: `python3 -m http.server --directory $PREVIEW_DIR`.

mod checks;
mod pages;
mod samples;

use std::path::Path;

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
fn a_grid_is_lean() {
    let card_bytes = samples::cards(25).render().expect("cards render").len() / 25;
    assert!(card_bytes < 1_500, "a card has {card_bytes} bytes");
}
