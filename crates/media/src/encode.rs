//! From pixels to the bytes of a rendition: JPEG for what is opaque, PNG for what can be seen through, and PNG for flat
//! art where it is smaller.

use std::collections::HashMap;

use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};

use crate::raster::{Raster, Space};

/// The quality of renditions on the scale of libjpeg. Below it edges ring visibly, above it bytes double.
pub const JPEG_QUALITY: u8 = 85;
/// Opaque pictures with at most this many colours are tried as PNG as well.
const FLAT_ART_COLORS_MAX: usize = 2_048;
/// What one byte of an index can name.
const PALETTE_COLORS_MAX: usize = 256;

/// Encodes a finished rendition. `may_be_flat` says that the original is of a format people use for drawings.
pub(crate) fn encode(raster: &Raster, may_be_flat: bool, quality: u8) -> Result<Vec<u8>, String> {
    if raster.space == Space::Rgba {
        return encode_png(raster);
    }
    let jpeg = encode_jpeg(raster, quality)?;
    if may_be_flat && colors(raster, FLAT_ART_COLORS_MAX).is_some() {
        let png = encode_png(raster)?;
        if png.len() <= jpeg.len() {
            return Ok(png);
        }
    }
    Ok(jpeg)
}

fn encode_jpeg(raster: &Raster, quality: u8) -> Result<Vec<u8>, String> {
    let color = match raster.space {
        Space::Luma => ColorType::Luma,
        Space::Rgb => ColorType::Rgb,
        Space::Rgba => ColorType::Rgba,
        Space::Cmyk => return Err("inks must be converted before they are encoded".to_owned()),
    };
    let (Ok(width), Ok(height)) = (u16::try_from(raster.width), u16::try_from(raster.height)) else {
        return Err(format!("{} × {} pixels do not fit a JPEG", raster.width, raster.height));
    };
    let mut bytes = Vec::with_capacity(raster.pixels.len() / 8);
    let mut encoder = Encoder::new(&mut bytes, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    // Optimised tables would make the encoder write one scan per component, which common decoders read wrongly.
    encoder.set_optimized_huffman_tables(false);
    encoder.encode(&raster.pixels, width, height, color).map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn encode_png(raster: &Raster) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(raster.pixels.len() / 4);
    let mut encoder = png::Encoder::new(&mut bytes, raster.width, raster.height);
    encoder.set_depth(png::BitDepth::Eight);
    let palette = match raster.space {
        Space::Luma => None,
        _ => colors(raster, PALETTE_COLORS_MAX),
    };
    let indices: Vec<u8>;
    let pixels = match &palette {
        Some(palette) => {
            encoder.set_color(png::ColorType::Indexed);
            encoder.set_filter(png::Filter::NoFilter);
            encoder.set_compression(png::Compression::Balanced);
            encoder.set_palette(palette.entries.iter().flat_map(|color| [color[0], color[1], color[2]]).collect::<Vec<u8>>());
            if raster.space == Space::Rgba {
                encoder.set_trns(palette.entries.iter().map(|color| color[3]).collect::<Vec<u8>>());
            }
            indices = raster.pixels.chunks_exact(raster.space.channels()).map(|pixel| palette.index_of[&key(pixel)] as u8).collect();
            &indices
        }
        None => {
            encoder.set_color(match raster.space {
                Space::Luma => png::ColorType::Grayscale,
                Space::Rgb => png::ColorType::Rgb,
                Space::Rgba | Space::Cmyk => png::ColorType::Rgba,
            });
            encoder.set_compression(png::Compression::Fast);
            &raster.pixels
        }
    };
    let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
    writer.write_image_data(pixels).map_err(|error| error.to_string())?;
    writer.finish().map_err(|error| error.to_string())?;
    Ok(bytes)
}

struct Palette {
    entries: Vec<[u8; 4]>,
    index_of: HashMap<u32, usize>,
}

fn key(pixel: &[u8]) -> u32 {
    match *pixel {
        [value] => u32::from_be_bytes([value, value, value, 255]),
        [red, green, blue] => u32::from_be_bytes([red, green, blue, 255]),
        [red, green, blue, alpha] => u32::from_be_bytes([red, green, blue, alpha]),
        _ => 0,
    }
}

/// Collects the colours of a picture in the order in which they appear; `None` when there are more than `count_max`.
fn colors(raster: &Raster, count_max: usize) -> Option<Palette> {
    let mut palette = Palette { entries: Vec::new(), index_of: HashMap::new() };
    let mut last = None;
    for pixel in raster.pixels.chunks_exact(raster.space.channels()) {
        let color = key(pixel);
        if last == Some(color) {
            continue;
        }
        last = Some(color);
        let next = palette.entries.len();
        if *palette.index_of.entry(color).or_insert(next) == next {
            if next == count_max {
                return None;
            }
            palette.entries.push(color.to_be_bytes());
        }
    }
    Some(palette)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_art_with_few_colors_gets_a_palette() {
        let pixels: Vec<u8> = (0..100 * 100).flat_map(|index| if index / 50 % 2 == 0 { [255, 0, 0] } else { [0, 0, 255] }).collect();
        let raster = Raster { width: 100, height: 100, space: Space::Rgb, pixels };
        let bytes = encode(&raster, true, JPEG_QUALITY).expect("a rendition");
        assert_eq!(&bytes[..4], b"\x89PNG");
        assert_eq!(bytes[25], 3, "the colour type is indexed");
        let bytes = encode(&raster, false, JPEG_QUALITY).expect("a rendition");
        assert_eq!(&bytes[..3], b"\xff\xd8\xff");
    }

    #[test]
    fn one_color_too_many_means_no_palette() {
        let of = |count: usize| {
            let pixels = (0..count).flat_map(|index| [(index % 256) as u8, (index / 256) as u8, 0]).collect();
            Raster { width: count as u32, height: 1, space: Space::Rgb, pixels }
        };
        assert!(colors(&of(256), 256).is_some_and(|palette| palette.entries.len() == 256));
        assert!(colors(&of(257), 256).is_none());
    }
}
