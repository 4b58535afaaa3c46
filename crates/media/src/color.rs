//! Colours: from any embedded profile to sRGB, the dominant colour, the placeholder.

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use crate::raster::{Raster, Space};

/// Converts to sRGB, which is what a picture without a profile is taken for. A damaged profile, or one for another
/// kind of channels, is passed over: the picture is shown as if it had none. CMYK always becomes RGB.
pub(crate) fn to_srgb(raster: Raster, icc: Option<&[u8]>) -> Raster {
    if let Some(converted) = icc.and_then(|icc| convert(&raster, icc)) {
        return converted;
    }
    match raster.space {
        Space::Cmyk => inks_to_rgb(&raster),
        Space::Luma | Space::Rgb | Space::Rgba => raster,
    }
}

fn convert(raster: &Raster, icc: &[u8]) -> Option<Raster> {
    let profile = ColorProfile::new_from_slice(icc).ok()?;
    let (from, to, space) = match (raster.space, profile.color_space) {
        (Space::Luma, DataColorSpace::Gray) => (Layout::Gray, Layout::Rgb, Space::Rgb),
        (Space::Rgb, DataColorSpace::Rgb) => (Layout::Rgb, Layout::Rgb, Space::Rgb),
        (Space::Rgba, DataColorSpace::Rgb) => (Layout::Rgba, Layout::Rgba, Space::Rgba),
        (Space::Cmyk, DataColorSpace::Cmyk) => (Layout::Rgba, Layout::Rgb, Space::Rgb),
        _ => return None,
    };
    let transform = profile.create_transform_8bit(from, &ColorProfile::new_srgb(), to, TransformOptions::default()).ok()?;
    if raster.space == space && changes_nothing(&*transform, space.channels()) {
        return Some(raster.clone());
    }
    let count = raster.width as usize * raster.height as usize;
    let mut pixels = vec![0; count * space.channels()];
    transform.transform(&raster.pixels, &mut pixels).ok()?;
    let converted = Raster { width: raster.width, height: raster.height, space, pixels };
    // A grey picture stays one channel, which is a third of the work from here on.
    Some(if raster.space == Space::Luma { to_luma(converted) } else { converted })
}

/// Tries a profile on a cube of colours. Most embedded profiles are sRGB under one of a hundred names.
fn changes_nothing(transform: &moxcms::Transform8BitExecutor, channels: usize) -> bool {
    const STEPS: [u8; 5] = [0, 64, 128, 192, 255];
    let mut probe = Vec::with_capacity(STEPS.len().pow(3) * channels);
    for red in STEPS {
        for green in STEPS {
            for blue in STEPS {
                probe.extend_from_slice(&[red, green, blue, 255][..channels]);
            }
        }
    }
    let mut converted = vec![0; probe.len()];
    transform.transform(&probe, &mut converted).is_ok() && probe.iter().zip(&converted).all(|(a, b)| a.abs_diff(*b) <= 1)
}

fn to_luma(raster: Raster) -> Raster {
    let pixels = raster.pixels.chunks_exact(3).map(|pixel| pixel[1]).collect();
    Raster { space: Space::Luma, pixels, ..raster }
}

fn inks_to_rgb(raster: &Raster) -> Raster {
    let pixels = raster
        .pixels
        .chunks_exact(4)
        .flat_map(|inks| {
            let light = 255 - u32::from(inks[3]);
            [inks[0], inks[1], inks[2]].map(|ink| ((255 - u32::from(ink)) * light / 255) as u8)
        })
        .collect();
    Raster { width: raster.width, height: raster.height, space: Space::Rgb, pixels }
}

/// Gives the pixels as RGBA, whatever they are (CMYK must be converted before).
pub(crate) fn to_rgba(raster: &Raster) -> Vec<u8> {
    match raster.space {
        Space::Luma => raster.pixels.iter().flat_map(|&value| [value, value, value, 255]).collect(),
        Space::Rgb => raster.pixels.chunks_exact(3).flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect(),
        Space::Rgba | Space::Cmyk => raster.pixels.clone(),
    }
}

/// Finds the colour that most of the picture has: the fullest of 512 boxes of colours, with lively colours counted up
/// to three times, and in it the average. A picture that can be seen through everywhere gives grey.
pub(crate) fn dominant_color(rgba: &[u8]) -> String {
    const BOXES: usize = 512;
    let mut weights = [0u64; BOXES];
    let mut sums = [[0u64; 3]; BOXES];
    for pixel in rgba.chunks_exact(4) {
        let [red, green, blue, alpha] = [pixel[0], pixel[1], pixel[2], pixel[3]];
        let liveliness = red.max(green).max(blue) - red.min(green).min(blue);
        let weight = u64::from(alpha) * (128 + u64::from(liveliness));
        let index = usize::from(red >> 5) << 6 | usize::from(green >> 5) << 3 | usize::from(blue >> 5);
        weights[index] += weight;
        for (sum, value) in sums[index].iter_mut().zip([red, green, blue]) {
            *sum += weight * u64::from(value);
        }
    }
    let fullest = (0..BOXES).max_by_key(|&index| weights[index]).unwrap_or(0);
    let weight = weights[fullest];
    if weight == 0 {
        return "#808080".to_owned();
    }
    let [red, green, blue] = sums[fullest].map(|sum| (sum + weight / 2) / weight);
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dominant_color_is_that_of_most_pixels() {
        let mut rgba = [200, 30, 30, 255].repeat(60);
        rgba.extend([30, 30, 200, 255].repeat(40));
        assert_eq!(dominant_color(&rgba), "#c81e1e");
        assert_eq!(dominant_color(&[9, 9, 9, 0].repeat(10)), "#808080");
    }

    #[test]
    fn a_damaged_profile_is_passed_over() {
        let raster = Raster { width: 1, height: 1, space: Space::Rgb, pixels: vec![1, 2, 3] };
        assert_eq!(to_srgb(raster.clone(), Some(b"not a profile")).pixels, vec![1, 2, 3]);
        let gray = ColorProfile::new_gray_with_gamma(2.2).encode().expect("a profile");
        assert_eq!(to_srgb(raster, Some(&gray)).pixels, vec![1, 2, 3]);
    }

    #[test]
    fn inks_without_a_profile_become_light() {
        let raster = Raster { width: 2, height: 1, space: Space::Cmyk, pixels: vec![0, 255, 255, 0, 0, 0, 0, 255] };
        assert_eq!(to_srgb(raster, None).pixels, vec![255, 0, 0, 0, 0, 0]);
    }
}
