//! Small pieces that templates call: icons, counts, URL encoding, avatars.

use std::fmt;

use askama::filters::HtmlSafe;
use askama::{FastWritable, Template, Values};

use super::picture::Person;

/// An icon of the sprite, hidden from screen readers: the words beside it or its control's label say what it means.
#[derive(Clone, Copy)]
pub struct Icon(&'static str);

pub fn icon(name: &'static str) -> Icon {
    Icon(name)
}

impl Icon {
    fn write(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let parts = ["<svg class=\"i\" aria-hidden=\"true\"><use href=\"", crate::assets::icons(), "#", self.0, "\"/></svg>"];
        parts.into_iter().try_for_each(|part| to.write_str(part))
    }
}

impl fmt::Display for Icon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

/// A page has sixty of them.
impl FastWritable for Icon {
    fn write_into(&self, to: &mut dyn fmt::Write, _values: &dyn Values) -> askama::Result<()> {
        Ok(self.write(to)?)
    }
}

impl HtmlSafe for Icon {}

/// A number of things in words: "1 pin", "1,204 pins", "18.4k pins".
pub struct Count {
    count: u64,
    one: &'static str,
    many: &'static str,
}

pub fn count(count: &u64, one: &'static str, many: &'static str) -> Count {
    Count { count: *count, one, many }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", short(&self.count), if self.count == 1 { self.one } else { self.many })
    }
}

impl HtmlSafe for Count {}

/// Writes a number the way people read it at a glance: 999, 1,204, 18.4k, 3.1M.
pub fn short(number: &u64) -> String {
    let number = *number;
    match number {
        0..1_000 => number.to_string(),
        1_000..10_000 => format!("{},{:03}", number / 1_000, number % 1_000),
        10_000..1_000_000 => tenths(number, 1_000, 'k'),
        _ => tenths(number, 1_000_000, 'M'),
    }
}

fn tenths(number: u64, unit: u64, letter: char) -> String {
    let (whole, tenth) = (number / unit, number % unit * 10 / unit);
    if tenth == 0 || whole >= 100 { format!("{whole}{letter}") } else { format!("{whole}.{tenth}{letter}") }
}

/// Text inside a URL's query.
pub struct Encoded<'a>(&'a str);

pub fn encoded(text: &str) -> Encoded<'_> {
    Encoded(text)
}

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => f.write_str(byte_str(&byte))?,
                b' ' => f.write_str("+")?,
                _ => write!(f, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

fn byte_str(byte: &u8) -> &str {
    std::str::from_utf8(std::slice::from_ref(byte)).unwrap_or("")
}

impl HtmlSafe for Encoded<'_> {}

/// A person's picture, or the first letter of the name on one of eight quiet colours.
#[derive(Template)]
#[template(
    source = "{% match person.picture_url %}{% when Some with (url) %}<img class=\"av av-{{ size }}\" src=\"{{ url }}\" width=\"{{ pixels }}\" height=\"{{ pixels }}\" alt=\"\" loading=\"lazy\">{% when None %}<span class=\"av av-{{ size }} hue{{ person.hue() }}\" aria-hidden=\"true\">{{ person.initial() }}</span>{% endmatch %}",
    ext = "html"
)]
pub struct Avatar<'a> {
    person: &'a Person,
    size: &'static str,
    pixels: u16,
}

impl HtmlSafe for Avatar<'_> {}

/// Shows a person at one of the sizes "s" (28), "m" (40), "l" (64), "xl" (128 pixels).
pub fn avatar<'a>(person: &'a Person, size: &'static str) -> Avatar<'a> {
    let pixels = match size {
        "s" => 28,
        "m" => 40,
        "l" => 64,
        _ => 128,
    };
    Avatar { person, size, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_204, "1,204"), (18_432, "18.4k"), (20_000, "20k"), (999_999, "999k"), (3_100_000, "3.1M")]
        {
            assert_eq!(short(&number), text);
        }
        assert_eq!(count(&1, "pin", "pins").to_string(), "1 pin");
    }

    #[test]
    fn queries_are_encoded() {
        assert_eq!(encoded("still life & ö#1+1").to_string(), "still+life+%26+%C3%B6%231%2B1");
    }
}
