//! The forms in which a picture is served, and their sizes.

use std::{fmt, str::FromStr};

use bytes::Bytes;

/// A form in which a picture is served. The names are those of Pinterest's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rendition {
    /// 150 × 150, filled, cut around the centre.
    Square150,
    /// 400 × 300, filled, cut around the centre.
    Crop400x300,
    /// 600 pixels wide.
    W600,
    /// 1,200 pixels wide.
    W1200,
    /// What was sent, without metadata.
    Original,
}

impl Rendition {
    /// All forms, the original last.
    pub const ALL: [Rendition; 5] = [Rendition::Square150, Rendition::Crop400x300, Rendition::W600, Rendition::W1200, Rendition::Original];

    /// The forms that are made from the original.
    pub const MADE: [Rendition; 4] = [Rendition::Square150, Rendition::Crop400x300, Rendition::W600, Rendition::W1200];

    /// Gives the name used in URLs, in the API and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Rendition::Square150 => "150x150",
            Rendition::Crop400x300 => "400x300",
            Rendition::W600 => "600x",
            Rendition::W1200 => "1200x",
            Rendition::Original => "originals",
        }
    }
}

impl fmt::Display for Rendition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No rendition has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("A rendition is one of 150x150, 400x300, 600x, 1200x and originals.")]
pub struct UnknownRendition;

impl FromStr for Rendition {
    type Err = UnknownRendition;

    fn from_str(name: &str) -> Result<Rendition, UnknownRendition> {
        Rendition::ALL.into_iter().find(|rendition| rendition.name() == name).ok_or(UnknownRendition)
    }
}

/// A rendition as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRendition {
    pub bytes: Bytes,
    pub content_type: &'static str,
    /// A strong entity tag with its quotes. It never changes for the same hash, kind and way of making.
    pub etag: String,
}

/// Computes the size of a rendition of a picture of `width` × `height` pixels (after orientation).
///
/// Nothing is ever enlarged: a picture that is smaller than a crop gives the largest box of the crop's shape that
/// it holds, and a picture that is narrower than a width keeps its size. No side is ever 0.
pub fn dimensions(rendition: Rendition, width: u32, height: u32) -> (u32, u32) {
    match rendition {
        Rendition::Square150 => cropped(width, height, 150, 150),
        Rendition::Crop400x300 => cropped(width, height, 400, 300),
        Rendition::W600 => scaled(width, height, 600),
        Rendition::W1200 => scaled(width, height, 1_200),
        Rendition::Original => (width, height),
    }
}

fn scaled(width: u32, height: u32, width_max: u32) -> (u32, u32) {
    if width <= width_max {
        return (width, height);
    }
    (width_max, ratio(height, width_max, width))
}

fn cropped(width: u32, height: u32, box_width: u32, box_height: u32) -> (u32, u32) {
    if width >= box_width && height >= box_height {
        return (box_width, box_height);
    }
    let fits_by_width = u64::from(width) * u64::from(box_height) <= u64::from(height) * u64::from(box_width);
    if fits_by_width {
        (width, ratio(width, box_height, box_width).min(height))
    } else {
        (ratio(height, box_width, box_height).min(width), height)
    }
}

/// Computes `value × numerator ÷ denominator`, rounded to the nearest and at least 1.
fn ratio(value: u32, numerator: u32, denominator: u32) -> u32 {
    let product = u64::from(value) * u64::from(numerator);
    let rounded = (product + u64::from(denominator) / 2) / u64::from(denominator).max(1);
    u32::try_from(rounded).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_of_known_pictures() {
        let cases = [
            (Rendition::Square150, (4000, 3000), (150, 150)),
            (Rendition::Square150, (100, 80), (80, 80)),
            (Rendition::Crop400x300, (4000, 3000), (400, 300)),
            (Rendition::Crop400x300, (4000, 200), (267, 200)),
            (Rendition::Crop400x300, (200, 300), (200, 150)),
            (Rendition::W600, (4000, 3000), (600, 450)),
            (Rendition::W600, (599, 9000), (599, 9000)),
            (Rendition::W600, (20_000, 1), (600, 1)),
            (Rendition::W1200, (1201, 801), (1200, 800)),
            (Rendition::Original, (31, 7), (31, 7)),
        ];
        for (rendition, (width, height), expected) in cases {
            assert_eq!(dimensions(rendition, width, height), expected, "{rendition} of {width} × {height}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for rendition in Rendition::ALL {
            assert_eq!(rendition.name().parse(), Ok(rendition));
        }
        assert!("600X".parse::<Rendition>().is_err());
    }

    proptest! {
        #[test]
        fn nothing_is_enlarged_or_vanishes(width in 1u32..=40_000, height in 1u32..=40_000) {
            for rendition in Rendition::ALL {
                let (w, h) = dimensions(rendition, width, height);
                prop_assert!(w >= 1 && h >= 1);
                prop_assert!(w <= width && h <= height.max(1));
            }
        }
    }
}
