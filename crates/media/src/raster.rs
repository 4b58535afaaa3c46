//! Pixels in memory.

use crate::container::Orientation;

/// What the channels of a raster mean. All have 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Luma,
    Rgb,
    /// Alpha is not multiplied in.
    Rgba,
    /// Amounts of ink: 255 is full.
    Cmyk,
}

impl Space {
    pub fn channels(self) -> usize {
        match self {
            Space::Luma => 1,
            Space::Rgb => 3,
            Space::Rgba | Space::Cmyk => 4,
        }
    }
}

/// A picture's pixels, row by row from the top left, without gaps.
#[derive(Clone, Debug)]
pub(crate) struct Raster {
    pub width: u32,
    pub height: u32,
    pub space: Space,
    pub pixels: Vec<u8>,
}

impl Raster {
    /// Tells whether any pixel can be seen through.
    pub fn has_alpha(&self) -> bool {
        self.space == Space::Rgba && self.pixels.chunks_exact(4).any(|pixel| pixel[3] != 255)
    }

    /// Drops an alpha channel that says nothing.
    pub fn without_idle_alpha(mut self) -> Raster {
        if self.space != Space::Rgba || self.has_alpha() {
            return self;
        }
        let count = self.pixels.len() / 4;
        for index in 0..count {
            self.pixels.copy_within(index * 4..index * 4 + 3, index * 3);
        }
        self.pixels.truncate(count * 3);
        self.space = Space::Rgb;
        self
    }

    /// Turns and mirrors the pixels, so that they are seen upright.
    pub fn oriented(self, orientation: Orientation) -> Raster {
        if orientation == Orientation::Upright {
            return self;
        }
        let (width, height) = (self.width as usize, self.height as usize);
        let channels = self.space.channels();
        let (out_width, out_height) = orientation.apply_to_size(self.width, self.height);
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for row in 0..out_height as usize {
            for column in 0..out_width as usize {
                let (x, y) = match orientation {
                    Orientation::Upright => (column, row),
                    Orientation::MirroredAcross => (width - 1 - column, row),
                    Orientation::Turned180 => (width - 1 - column, height - 1 - row),
                    Orientation::MirroredDown => (column, height - 1 - row),
                    Orientation::Transposed => (row, column),
                    Orientation::Turned90 => (row, height - 1 - column),
                    Orientation::Transversed => (width - 1 - row, height - 1 - column),
                    Orientation::Turned270 => (width - 1 - row, column),
                };
                let at = (y * width + x) * channels;
                pixels.extend_from_slice(&self.pixels[at..at + channels]);
            }
        }
        Raster { width: out_width, height: out_height, space: self.space, pixels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pictures of EXIF's own explanation: an upright "F" as each tag stores it.
    #[test]
    fn all_eight_orientations_give_the_same_upright_letter() {
        let upright = ["111", "100", "110", "100"];
        let stored: [(u16, &[&str]); 8] = [
            (1, &["111", "100", "110", "100"]),
            (2, &["111", "001", "011", "001"]),
            (3, &["001", "011", "001", "111"]),
            (4, &["100", "110", "100", "111"]),
            (5, &["1111", "1010", "1000"]),
            (6, &["1000", "1010", "1111"]),
            (7, &["0001", "0101", "1111"]),
            (8, &["1111", "0101", "0001"]),
        ];
        for (tag, rows) in stored {
            let raster =
                Raster { width: rows[0].len() as u32, height: rows.len() as u32, space: Space::Luma, pixels: rows.concat().into_bytes() };
            let orientation = Orientation::from_tag(tag).expect("a tag of EXIF");
            let turned = raster.oriented(orientation);
            assert_eq!((turned.width, turned.height), (3, 4), "orientation {tag}");
            assert_eq!(turned.pixels, upright.concat().into_bytes(), "orientation {tag}");
        }
    }

    #[test]
    fn idle_alpha_is_dropped_and_real_alpha_kept() {
        let opaque = Raster { width: 2, height: 1, space: Space::Rgba, pixels: vec![1, 2, 3, 255, 4, 5, 6, 255] };
        let opaque = opaque.without_idle_alpha();
        assert_eq!((opaque.space, opaque.pixels), (Space::Rgb, vec![1, 2, 3, 4, 5, 6]));
        let clear = Raster { width: 2, height: 1, space: Space::Rgba, pixels: vec![1, 2, 3, 255, 4, 5, 6, 254] };
        assert_eq!(clear.without_idle_alpha().space, Space::Rgba);
    }
}
