//! Labelled form fields with hints and errors bound to them, and buttons that post.

use askama::Template;
use askama::filters::HtmlSafe;
use model::Invalid;

use super::ui;

/// What is wrong with a form, by field. Errors of fields that the form doesn't show stand above it.
#[derive(Clone, Debug, Default)]
pub struct FormErrors(pub Vec<Invalid>);

impl FormErrors {
    pub fn none() -> FormErrors {
        FormErrors::default()
    }

    pub fn on(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|error| error.field == field).map(|error| error.message.as_str())
    }

    /// Returns what concerns the form as a whole: the errors with an empty field name.
    pub fn general(&self) -> Option<&str> {
        self.on("")
    }
}

/// A field with its label.
#[derive(Clone, Template)]
#[template(path = "parts/field.html")]
pub struct Field<'a> {
    name: &'static str,
    id: &'static str,
    label: &'static str,
    kind: &'static str,
    value: &'a str,
    error: Option<&'a str>,
    hint: &'static str,
    autocomplete: &'static str,
    placeholder: &'static str,
    required: bool,
    autofocus: bool,
    optional: bool,
    max: usize,
    rows: u8,
}

impl HtmlSafe for Field<'_> {}

/// Starts a field of one line; `kind` is the input's type.
pub fn input<'a>(kind: &'static str, name: &'static str, label: &'static str, value: &'a str, errors: &'a FormErrors) -> Field<'a> {
    Field {
        name,
        id: name,
        label,
        kind,
        value,
        error: errors.on(name),
        hint: "",
        autocomplete: "",
        placeholder: "",
        required: false,
        autofocus: false,
        optional: false,
        max: 0,
        rows: 0,
    }
}

pub fn text<'a>(name: &'static str, label: &'static str, value: &'a str, errors: &'a FormErrors) -> Field<'a> {
    input("text", name, label, value, errors)
}

pub fn password<'a>(name: &'static str, label: &'static str, errors: &'a FormErrors) -> Field<'a> {
    input("password", name, label, "", errors)
}

/// Starts a field of several lines.
pub fn area<'a>(name: &'static str, label: &'static str, value: &'a str, errors: &'a FormErrors) -> Field<'a> {
    Field { rows: 4, ..input("", name, label, value, errors) }
}

impl Field<'_> {
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    pub fn autofocus(mut self) -> Self {
        self.autofocus = true;
        self
    }

    pub fn hint(mut self, hint: &'static str) -> Self {
        self.hint = hint;
        self
    }

    pub fn placeholder(mut self, placeholder: &'static str) -> Self {
        self.placeholder = placeholder;
        self
    }

    /// Names the browser's autofill purpose.
    pub fn fill(mut self, autocomplete: &'static str) -> Self {
        self.autocomplete = autocomplete;
        self
    }

    /// Sets the most characters; scripts count them down.
    pub fn max(mut self, max: usize) -> Self {
        self.max = max;
        self
    }

    /// Sets another element id, for a second field of the same name on a page.
    pub fn id(mut self, id: &'static str) -> Self {
        self.id = id;
        self
    }

    pub fn rows(mut self, rows: u8) -> Self {
        self.rows = rows;
        self
    }
}

/// A toggle that posts: follow, like, leave out. Two URLs, two labels, one state.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/pressed.html")]
pub struct Pressed {
    pub pressed: bool,
    pub press_url: String,
    pub release_url: String,
    pub press_label: &'static str,
    pub release_label: &'static str,
    /// What it is about, for screen readers: "Ada", "the board Still life".
    pub of: String,
}

impl HtmlSafe for Pressed {}

impl Pressed {
    fn toggle(verbs: [&'static str; 2], labels: [&'static str; 2], target: &str, of: &str, pressed: bool) -> Pressed {
        Pressed {
            pressed,
            press_url: format!("/{}/{target}", verbs[0]),
            release_url: format!("/{}/{target}", verbs[1]),
            press_label: labels[0],
            release_label: labels[1],
            of: of.to_owned(),
        }
    }

    /// Follows a person, board or topic; `kind` is user, board or topic.
    pub fn follow(kind: &str, id: impl std::fmt::Display, of: &str, following: bool) -> Pressed {
        Pressed::toggle(["follow", "unfollow"], ["Follow", "Following"], &format!("{kind}/{id}"), of, following)
    }

    /// Leaves a board out of a followed person.
    pub fn leave_out(board: model::BoardId, of: &str, left_out: bool) -> Pressed {
        Pressed::toggle(["leave-out", "take-back"], ["Leave out", "Left out"], &board.to_string(), of, left_out)
    }
}
