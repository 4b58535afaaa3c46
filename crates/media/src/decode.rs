//! From the bytes of a file to pixels: the first frame, 8 bits per channel, as stored (not turned, colours not converted).
//!
//! JPEG is decoded at an eighth, a quarter, half or all of its size: the inverse transform then makes fewer samples of
//! every block, which costs a fraction and filters well.

use std::io::Cursor;

use image::ImageDecoder as _;

use crate::{
    container::{Container, Orientation},
    error::Refusal,
    picture::Format,
    raster::{Raster, Space},
    rendition::{Rendition, dimensions},
};

/// How much larger than the largest rendition a scaled-down JPEG must still be, in quarters. At 4 (just as large) the
/// block-wise filter of the scaled transform would be all the filtering there is.
const OVERSAMPLING_QUARTERS: u64 = 6;

/// Chooses the scale, in eighths, at which a JPEG is decoded to make renditions.
pub(crate) fn jpeg_eighths(width: u32, height: u32, orientation: Orientation) -> u8 {
    let (width, height) = orientation.apply_to_size(width, height);
    let is_enough = |eighths: u64| {
        Rendition::MADE.into_iter().all(|rendition| {
            let (w, h) = dimensions(rendition, width, height);
            let across = u64::from(width) * eighths * 4 >= u64::from(w) * 8 * OVERSAMPLING_QUARTERS;
            let down = u64::from(height) * eighths * 4 >= u64::from(h) * 8 * OVERSAMPLING_QUARTERS;
            across && down
        })
    };
    [1, 2, 4].into_iter().find(|&eighths| is_enough(u64::from(eighths))).unwrap_or(8)
}

/// Decodes the first frame. `eighths` (1, 2, 4 or 8) is the scale of JPEG; the other formats are decoded whole.
pub(crate) fn decode(bytes: &[u8], container: &Container<'_>, eighths: u8) -> Result<Raster, Refusal> {
    let raster = match container.format {
        Format::Jpeg => decode_jpeg(bytes, container, eighths)?,
        Format::Png => decode_png(bytes)?,
        Format::Gif => {
            let mut decoder = image::codecs::gif::GifDecoder::new(Cursor::new(bytes)).map_err(|error| broken(Format::Gif, &error))?;
            decoder.set_limits(limits(container)).map_err(|error| broken(Format::Gif, &error))?;
            decode_with(decoder, Format::Gif)?
        }
        Format::Webp => {
            let decoder = image::codecs::webp::WebPDecoder::new(Cursor::new(bytes)).map_err(|error| broken(Format::Webp, &error))?;
            decode_with(decoder, Format::Webp)?
        }
    };
    Ok(raster.without_idle_alpha())
}

/// Holds the decoder to what the estimate promised.
fn limits(container: &Container<'_>) -> image::Limits {
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(container.decode_bytes().max(64 * 1024));
    limits
}

fn decode_with(decoder: impl image::ImageDecoder, format: Format) -> Result<Raster, Refusal> {
    let (width, height) = decoder.dimensions();
    let space = match decoder.color_type() {
        image::ColorType::L8 => Space::Luma,
        image::ColorType::Rgb8 => Space::Rgb,
        image::ColorType::Rgba8 => Space::Rgba,
        other => return Err(Refusal::broken(format, format!("its pixels are of a kind that is not known here ({other:?})"))),
    };
    let mut pixels = vec![0; width as usize * height as usize * space.channels()];
    decoder.read_image(&mut pixels).map_err(|error| broken(format, &error))?;
    Ok(Raster { width, height, space, pixels })
}

fn decode_jpeg(bytes: &[u8], container: &Container<'_>, eighths: u8) -> Result<Raster, Refusal> {
    use jpeg_decoder::PixelFormat;
    let fail = |error: jpeg_decoder::Error| broken(Format::Jpeg, &error);
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    decoder.read_info().map_err(fail)?;
    let scaled = |side: u32| (side * u32::from(eighths)).div_ceil(8).min(u32::from(u16::MAX)) as u16;
    let (width, height) = decoder.scale(scaled(container.width), scaled(container.height)).map_err(fail)?;
    let mut pixels = decoder.decode().map_err(fail)?;
    let format = decoder.info().map(|info| info.pixel_format);
    let space = match format {
        Some(PixelFormat::L8) => Space::Luma,
        Some(PixelFormat::RGB24) => Space::Rgb,
        Some(PixelFormat::CMYK32) => Space::Cmyk,
        Some(PixelFormat::L16) => {
            pixels = pixels.chunks_exact(2).map(|sample| u16::from_ne_bytes([sample[0], sample[1]]).to_be_bytes()[0]).collect();
            Space::Luma
        }
        None => return Err(Refusal::broken(Format::Jpeg, "its header makes no sense")),
    };
    Ok(Raster { width: u32::from(width), height: u32::from(height), space, pixels })
}

fn decode_png(bytes: &[u8]) -> Result<Raster, Refusal> {
    let fail = |error: png::DecodingError| broken(Format::Png, &error);
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(fail)?;
    let size = reader.output_buffer_size().ok_or_else(|| Refusal::broken(Format::Png, "its header makes no sense"))?;
    let mut pixels = vec![0; size];
    let info = reader.next_frame(&mut pixels).map_err(fail)?;
    pixels.truncate(info.buffer_size());
    let space = match info.color_type {
        png::ColorType::Grayscale => Space::Luma,
        png::ColorType::Rgb | png::ColorType::Indexed => Space::Rgb,
        png::ColorType::Rgba => Space::Rgba,
        png::ColorType::GrayscaleAlpha => {
            pixels = pixels.chunks_exact(2).flat_map(|pixel| [pixel[0], pixel[0], pixel[0], pixel[1]]).collect();
            Space::Rgba
        }
    };
    Ok(Raster { width: info.width, height: info.height, space, pixels })
}

/// Says a decoder's complaint in a sentence of ours, with its own words behind.
fn broken(format: Format, error: &dyn std::error::Error) -> Refusal {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words = cause.to_string();
        source = cause.source();
    }
    let lower = words.to_ascii_lowercase();
    let is_cut_off = ["end of file", "eof", "fill whole buffer", "unexpected end", "not enough data", "incomplete"]
        .iter()
        .any(|sign| lower.contains(sign));
    if is_cut_off {
        Refusal::broken(format, "it ends before the picture does, as if a download had broken off")
    } else {
        Refusal::broken(format, format!("it can't be read to its end ({})", words.trim_end_matches('.')))
    }
}
