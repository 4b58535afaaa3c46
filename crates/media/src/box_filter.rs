//! Rows in, a smaller raster out: the average of boxes of pixels, while the rows pass by.
//!
//! ```text
//! row ─▶ sums, one per box and channel ─▶ at the last row of the boxes: divided, one row of the small raster
//! ```
//!
//! Box `i` of `n` over `length` pixels covers `i × length ÷ n` up to `(i + 1) × length ÷ n`, so that the boxes lie evenly
//! over the whole picture and differ by one pixel at most.
//!
//! Invariants: what is held is the small raster and one row of sums, however many rows come. A colour weighs as much as
//! its alpha. A box is opaque only when all of its pixels are, so that the raster tells of a single clear pixel.

use crate::raster::{Raster, Space};

/// Pixels along a side of a box, at most: 256 × 256 pixels of 255 × 255 just fit sums of 32 bits.
pub(crate) const BOX_SIDE_MAX: u32 = 256;

/// Averages rows into a smaller raster.
#[derive(Debug)]
pub(crate) struct BoxFilter {
    source_width: usize,
    source_height: u32,
    rows_taken: u32,
    /// Pixels across of every box.
    box_widths: Vec<u32>,
    /// Rows in the sums.
    rows_summed: u32,
    sums: Vec<u32>,
    raster: Raster,
}

impl BoxFilter {
    /// Makes a filter for a picture of this size; `factor` is the side of its boxes, at most [`BOX_SIDE_MAX`].
    pub fn new(source_width: u32, source_height: u32, space: Space, factor: u32) -> BoxFilter {
        let factor = factor.clamp(1, BOX_SIDE_MAX);
        let (width, height) = reduced_size(source_width, source_height, factor);
        let box_widths = (0..width).map(|index| border(index + 1, width, source_width) - border(index, width, source_width));
        let pixels = Vec::with_capacity(width as usize * height as usize * space.channels());
        BoxFilter {
            source_width: source_width as usize,
            source_height,
            rows_taken: 0,
            box_widths: box_widths.collect(),
            rows_summed: 0,
            sums: vec![0; width as usize * space.channels()],
            raster: Raster { width, height, space, pixels },
        }
    }

    /// Takes the next row. Tells whether it had the promised length and was not one too many.
    #[must_use]
    pub fn push(&mut self, row: &[u8]) -> bool {
        if row.len() != self.source_width * self.raster.space.channels() || self.rows_taken == self.source_height {
            return false;
        }
        match self.raster.space {
            Space::Luma => add_plain::<1>(&mut self.sums, &self.box_widths, row),
            Space::Rgb => add_plain::<3>(&mut self.sums, &self.box_widths, row),
            Space::Cmyk => add_plain::<4>(&mut self.sums, &self.box_widths, row),
            Space::Rgba => add_weighted(&mut self.sums, &self.box_widths, row),
        }
        self.rows_taken += 1;
        self.rows_summed += 1;
        let rows_made = (self.raster.pixels.len() / self.sums.len()) as u32;
        if self.rows_taken == border(rows_made + 1, self.raster.height, self.source_height) {
            self.finish_row();
        }
        true
    }

    /// Divides the sums into a row of the raster, and clears them.
    fn finish_row(&mut self) {
        let channels = self.raster.space.channels();
        for (sums, width) in self.sums.chunks_exact_mut(channels).zip(&self.box_widths) {
            let count = width * self.rows_summed;
            if let (Space::Rgba, [red, green, blue, alpha]) = (self.raster.space, &*sums) {
                self.raster.pixels.extend_from_slice(&clear_average([*red, *green, *blue], *alpha, count));
            } else {
                self.raster.pixels.extend(sums.iter().map(|sum| ((sum + count / 2) / count) as u8));
            }
            sums.fill(0);
        }
        self.rows_summed = 0;
    }

    /// Gives the raster; `None` when rows are missing.
    pub fn finish(self) -> Option<Raster> {
        (self.rows_taken == self.source_height).then_some(self.raster)
    }
}

/// Gives the size of the raster that boxes of this side leave. No side is ever 0.
pub(crate) fn reduced_size(width: u32, height: u32, factor: u32) -> (u32, u32) {
    (width.div_ceil(factor), height.div_ceil(factor))
}

/// Gives the pixel at which box `index` of `count` begins.
fn border(index: u32, count: u32, length: u32) -> u32 {
    (u64::from(index) * u64::from(length) / u64::from(count)) as u32
}

fn add_plain<const CHANNELS: usize>(sums: &mut [u32], box_widths: &[u32], row: &[u8]) {
    let mut rest = row;
    for (sums, &width) in sums.chunks_exact_mut(CHANNELS).zip(box_widths) {
        let (pixels, behind) = rest.split_at(width as usize * CHANNELS);
        rest = behind;
        let mut total = [0; CHANNELS];
        for pixel in pixels.chunks_exact(CHANNELS) {
            for channel in 0..CHANNELS {
                total[channel] += u32::from(pixel[channel]);
            }
        }
        for channel in 0..CHANNELS {
            sums[channel] += total[channel];
        }
    }
}

fn add_weighted(sums: &mut [u32], box_widths: &[u32], row: &[u8]) {
    let mut rest = row;
    for (sums, &width) in sums.chunks_exact_mut(4).zip(box_widths) {
        let (pixels, behind) = rest.split_at(width as usize * 4);
        rest = behind;
        let mut total = [0; 4];
        for pixel in pixels.chunks_exact(4) {
            let alpha = u32::from(pixel[3]);
            for channel in 0..3 {
                total[channel] += u32::from(pixel[channel]) * alpha;
            }
            total[3] += alpha;
        }
        for channel in 0..4 {
            sums[channel] += total[channel];
        }
    }
}

/// Averages colours that alpha is multiplied into, and takes it out again.
fn clear_average(weighted: [u32; 3], alpha: u32, count: u32) -> [u8; 4] {
    if alpha == 0 {
        return [0; 4];
    }
    // In 64 bits: the half that is added for rounding would be too much for the fullest box.
    let divided = |sum: u32, by: u32| ((u64::from(sum) + u64::from(by) / 2) / u64::from(by)) as u8;
    let [red, green, blue] = weighted.map(|sum| divided(sum, alpha));
    let seen = if alpha == 255 * count { 255 } else { divided(alpha, count).clamp(1, 254) };
    [red, green, blue, seen]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filtered(width: u32, space: Space, factor: u32, pixels: &[u8]) -> Raster {
        let row_bytes = width as usize * space.channels();
        let mut filter = BoxFilter::new(width, (pixels.len() / row_bytes) as u32, space, factor);
        for row in pixels.chunks_exact(row_bytes) {
            assert!(filter.push(row));
        }
        filter.finish().expect("all rows")
    }

    #[test]
    fn boxes_are_averaged() {
        let gray = filtered(4, Space::Luma, 2, &[0, 10, 100, 100, 20, 30, 100, 101]);
        assert_eq!((gray.width, gray.height, gray.pixels), (2, 1, vec![15, 100]));
        let red_and_blue = filtered(2, Space::Rgb, 2, &[255, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0, 255]);
        assert_eq!(red_and_blue.pixels, vec![128, 0, 128]);
    }

    #[test]
    fn what_is_clear_lends_no_color() {
        let edge = filtered(2, Space::Rgba, 2, &[200, 100, 50, 255, 0, 255, 0, 0]);
        assert_eq!(edge.pixels, vec![200, 100, 50, 128]);
        assert_eq!(filtered(2, Space::Rgba, 2, &[9, 9, 9, 0, 8, 8, 8, 0]).pixels, vec![0; 4]);
    }

    #[test]
    fn one_clear_pixel_among_thousands_is_not_lost() {
        let mut pixels = vec![255; 64 * 64 * 4];
        assert!(!filtered(64, Space::Rgba, 64, &pixels).has_alpha());
        pixels[3] = 254;
        assert!(filtered(64, Space::Rgba, 64, &pixels).has_alpha());
    }

    #[test]
    fn the_fullest_box_overflows_nothing() {
        let side = BOX_SIDE_MAX;
        let white = filtered(side, Space::Rgba, side, &vec![255; (side * side * 4) as usize]);
        assert_eq!(white.pixels, vec![255; 4]);
    }

    #[test]
    fn rows_that_do_not_fit_are_told() {
        let mut filter = BoxFilter::new(3, 2, Space::Luma, 2);
        assert!(!filter.push(&[1, 2]));
        assert!(filter.push(&[1, 2, 3]));
        assert!(filter.push(&[1, 2, 3]));
        assert!(!filter.push(&[1, 2, 3]), "one row too many");
        assert!(BoxFilter::new(3, 2, Space::Luma, 2).finish().is_none(), "rows are missing");
    }

    proptest! {
        /// One colour stays that colour in every box, so no pixel is left out or counted twice.
        #[test]
        fn boxes_cover_everything_once(width in 1u32..200, height in 1u32..60, factor in 1u32..40, value in 0u8..=255) {
            let raster = filtered(width, Space::Luma, factor, &vec![value; (width * height) as usize]);
            prop_assert_eq!((raster.width, raster.height), reduced_size(width, height, factor));
            prop_assert_eq!(raster.pixels.len(), (raster.width * raster.height) as usize);
            prop_assert!(raster.pixels.iter().all(|&found| found == value));
        }
    }
}
