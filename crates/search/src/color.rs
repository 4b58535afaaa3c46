//! Colours as people name them: every `#rrggbb` falls into one of fourteen names, by hue, saturation and lightness.

/// A colour that can be searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Color {
    Black,
    Gray,
    White,
    Red,
    Orange,
    Brown,
    Beige,
    Yellow,
    Green,
    Teal,
    Blue,
    Purple,
    Pink,
    Cyan,
}

impl Color {
    pub const ALL: [Color; 14] = [
        Color::Black,
        Color::Gray,
        Color::White,
        Color::Red,
        Color::Orange,
        Color::Brown,
        Color::Beige,
        Color::Yellow,
        Color::Green,
        Color::Teal,
        Color::Cyan,
        Color::Blue,
        Color::Purple,
        Color::Pink,
    ];

    /// Returns the name by which it is searched and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Color::Black => "black",
            Color::Gray => "gray",
            Color::White => "white",
            Color::Red => "red",
            Color::Orange => "orange",
            Color::Brown => "brown",
            Color::Beige => "beige",
            Color::Yellow => "yellow",
            Color::Green => "green",
            Color::Teal => "teal",
            Color::Cyan => "cyan",
            Color::Blue => "blue",
            Color::Purple => "purple",
            Color::Pink => "pink",
        }
    }

    /// Reads a name, another word for it, or `#rgb` / `#rrggbb` with or without '#'.
    pub fn parse(text: &str) -> Option<Color> {
        let text = text.trim().to_lowercase();
        let named = match text.as_str() {
            "grey" | "silver" => Some(Color::Gray),
            "violet" | "lilac" => Some(Color::Purple),
            "turquoise" => Some(Color::Teal),
            "aqua" => Some(Color::Cyan),
            "navy" => Some(Color::Blue),
            "cream" | "tan" => Some(Color::Beige),
            "gold" => Some(Color::Yellow),
            "magenta" | "rose" => Some(Color::Pink),
            other => Color::ALL.into_iter().find(|color| color.as_str() == other),
        };
        named.or_else(|| Color::of_hex(&text))
    }

    /// Returns the name of `#rrggbb` or `#rgb`; `None` if it is neither.
    pub fn of_hex(hex: &str) -> Option<Color> {
        let digits = hex.strip_prefix('#').unwrap_or(hex);
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let number = u32::from_str_radix(digits, 16).ok()?;
        let [red, green, blue] = match digits.len() {
            6 => [16, 8, 0].map(|shift| (number >> shift & 0xff) as f32 / 255.0),
            3 => [8, 4, 0].map(|shift| (number >> shift & 0xf) as f32 / 15.0),
            _ => return None,
        };
        Some(Color::of_rgb(red, green, blue))
    }

    fn of_rgb(red: f32, green: f32, blue: f32) -> Color {
        let (max, min) = (red.max(green).max(blue), red.min(green).min(blue));
        let (lightness, chroma) = ((max + min) / 2.0, max - min);
        if max < 0.16 {
            return Color::Black;
        }
        if chroma < 0.09 {
            return match lightness {
                light if light > 0.9 => Color::White,
                light if light < 0.16 => Color::Black,
                _ => Color::Gray,
            };
        }
        let sector = if max == red {
            (green - blue) / chroma
        } else if max == green {
            (blue - red) / chroma + 2.0
        } else {
            (red - green) / chroma + 4.0
        };
        let hue = (sector * 60.0).rem_euclid(360.0);
        let saturation = chroma / (1.0 - (2.0 * lightness - 1.0).abs()).max(0.001);
        match hue {
            hue if !(15.0..345.0).contains(&hue) => match (lightness, saturation) {
                (light, _) if light > 0.7 => Color::Pink,
                (light, saturation) if light < 0.35 && saturation < 0.5 => Color::Brown,
                _ => Color::Red,
            },
            hue if hue < 45.0 => match (lightness, saturation) {
                (light, saturation) if light > 0.7 || (light > 0.55 && saturation < 0.45) => Color::Beige,
                (light, saturation) if light < 0.4 || saturation < 0.45 => Color::Brown,
                _ => Color::Orange,
            },
            hue if hue < 68.0 => match (lightness, saturation) {
                (light, _) if light > 0.82 => Color::Beige,
                (light, saturation) if light < 0.3 || saturation < 0.25 => Color::Brown,
                _ => Color::Yellow,
            },
            hue if hue < 160.0 => Color::Green,
            hue if hue < 192.0 => match lightness {
                light if light > 0.45 && saturation > 0.6 => Color::Cyan,
                _ => Color::Teal,
            },
            hue if hue < 255.0 => Color::Blue,
            hue if hue < 300.0 => Color::Purple,
            _ => Color::Pink,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_colors_have_their_names() {
        for (hex, color) in [
            ("#000000", Color::Black),
            ("#ffffff", Color::White),
            ("#808080", Color::Gray),
            ("#ff0000", Color::Red),
            ("#b22222", Color::Red),
            ("#ffa500", Color::Orange),
            ("#8b4513", Color::Brown),
            ("#f5f5dc", Color::Beige),
            ("#ffd700", Color::Yellow),
            ("#228b22", Color::Green),
            ("#008080", Color::Teal),
            ("#00ffff", Color::Cyan),
            ("#1e90ff", Color::Blue),
            ("#000080", Color::Blue),
            ("#800080", Color::Pink),
            ("#8a2be2", Color::Purple),
            ("#ffc0cb", Color::Pink),
            ("#f00", Color::Red),
        ] {
            assert_eq!(Color::of_hex(hex), Some(color), "{hex}");
        }
    }

    #[test]
    fn names_are_read_back_and_others_refused() {
        for color in Color::ALL {
            assert_eq!(Color::parse(color.as_str()), Some(color));
        }
        assert_eq!(Color::parse("Grey"), Some(Color::Gray));
        assert_eq!(Color::parse("1e90ff"), Some(Color::Blue));
        for bad in ["", "#", "reddish", "#12345", "#ggg", "ü", "+12345"] {
            assert_eq!(Color::parse(bad), None, "{bad:?}");
        }
    }
}
