//! From the bytes of a file to pixels: the first frame, 8 bits per channel, as stored (not turned, colours not converted).
//!
//! JPEG is decoded at an eighth, a quarter, half or all of its size: the inverse transform then makes fewer samples of
//! every block, which costs a fraction and filters well. A PNG too large to be held is averaged row by row.

use std::io::Cursor;

use image::ImageDecoder as _;

use crate::{
    box_filter::{BOX_SIDE_MAX, BoxFilter, reduced_size},
    container::{Container, Orientation},
    error::Refusal,
    limits::STREAMED_RASTER_BYTES_GOAL,
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

/// How much larger than every rendition the raster of a PNG decoded row by row should be. Lanczos, which does the rest,
/// then hides the boxes.
const STREAMED_OVERSAMPLING: u32 = 2;
/// Rows in their stored form that the PNG decoder holds at a time, from above.
const STREAMED_ROWS_HELD: u64 = 16;
/// Bytes per pixel of a row in its stored form, at most: four channels of 16 bits.
const STORED_PIXEL_BYTES_MAX: u64 = 8;

/// Chooses the side, in pixels, of the boxes that are averaged when a PNG is decoded row by row to make renditions.
fn streamed_factor(width: u32, height: u32, orientation: Orientation) -> u32 {
    let (across, down) = orientation.apply_to_size(width, height);
    let factor = |oversampling: u32| {
        let along = |side: u32, wanted: u32| side / (wanted * oversampling);
        let factors = Rendition::MADE.into_iter().map(|rendition| {
            let (w, h) = dimensions(rendition, across, down);
            along(across, w).min(along(down, h))
        });
        factors.min().unwrap_or(1).clamp(1, BOX_SIDE_MAX)
    };
    let good = factor(STREAMED_OVERSAMPLING);
    if raster_bytes(width, height, good) <= STREAMED_RASTER_BYTES_GOAL { good } else { factor(1) }
}

fn raster_bytes(width: u32, height: u32, factor: u32) -> u64 {
    let (width, height) = reduced_size(width, height, factor);
    u64::from(width) * u64::from(height) * Space::Rgba.channels() as u64
}

/// Estimates, from above, the bytes that decoding a PNG of this size row by row needs.
pub(crate) fn streamed_bytes(width: u32, height: u32, orientation: Orientation) -> u64 {
    let raster = raster_bytes(width, height, streamed_factor(width, height, orientation));
    raster + u64::from(width) * STORED_PIXEL_BYTES_MAX * STREAMED_ROWS_HELD
}

/// Decodes the first frame. `eighths` (1, 2, 4 or 8) is the scale of JPEG; the other formats are decoded whole, except
/// that a PNG over the limits of that comes out reduced.
pub(crate) fn decode(bytes: &[u8], container: &Container<'_>, eighths: u8) -> Result<Raster, Refusal> {
    let raster = match container.format {
        Format::Jpeg => decode_jpeg(bytes, container, eighths)?,
        Format::Png if container.is_streamed => decode_png_by_rows(bytes, container)?,
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

/// Reads up to the pixels; they will come with 8 bits per channel and without a palette.
fn png_reader(bytes: &[u8]) -> Result<png::Reader<Cursor<&[u8]>>, Refusal> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.read_info().map_err(|error| broken(Format::Png, &error))
}

fn decode_png(bytes: &[u8]) -> Result<Raster, Refusal> {
    let fail = |error: png::DecodingError| broken(Format::Png, &error);
    let mut reader = png_reader(bytes)?;
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

/// Averages a PNG into a smaller raster as its rows come out of the decoder, so that memory does not grow with its size.
fn decode_png_by_rows(bytes: &[u8], container: &Container<'_>) -> Result<Raster, Refusal> {
    let fail = |error: png::DecodingError| broken(Format::Png, &error);
    let senseless = || Refusal::broken(Format::Png, "its header makes no sense");
    let mut reader = png_reader(bytes)?;
    let color = reader.output_color_type().0;
    let space = match color {
        png::ColorType::Grayscale => Space::Luma,
        png::ColorType::Rgb | png::ColorType::Indexed => Space::Rgb,
        png::ColorType::Rgba | png::ColorType::GrayscaleAlpha => Space::Rgba,
    };
    let (width, height) = (container.width, container.height);
    let mut filter = BoxFilter::new(width, height, space, streamed_factor(width, height, container.orientation));
    let mut widened = Vec::new();
    while let Some(row) = reader.next_row().map_err(fail)? {
        let has_fit = if color == png::ColorType::GrayscaleAlpha {
            widened.clear();
            widened.extend(row.data().chunks_exact(2).flat_map(|pixel| [pixel[0], pixel[0], pixel[0], pixel[1]]));
            filter.push(&widened)
        } else {
            filter.push(row.data())
        };
        if !has_fit {
            return Err(senseless());
        }
    }
    filter.finish().ok_or_else(senseless)
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
    let is_cut_off = ["end of file", "eof", "fill whole buffer", "unexpected end", "not enough data", "not have enough data", "incomplete"]
        .iter()
        .any(|sign| lower.contains(sign));
    if is_cut_off {
        Refusal::broken(format, "it ends before the picture does, as if a download had broken off")
    } else {
        Refusal::broken(format, format!("it can't be read to its end ({})", words.trim_end_matches('.')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn boxes_leave_twice_the_largest_rendition() {
        let upright = |width, height| streamed_factor(width, height, Orientation::Upright);
        assert_eq!(upright(20_990, 29_700), 8);
        assert_eq!(upright(30_000, 5_000), 8, "the crop of 400 × 300 needs the height");
        assert_eq!(upright(40_000, 25_000), 16);
        assert_eq!(upright(40_000, 10), 1);
        assert_eq!(upright(4_799, 40_000), 3, "a high one is reduced further, to no less than its renditions");
        let turned = Orientation::from_tag(6).expect("a tag of EXIF");
        assert_eq!(streamed_factor(40_000, 4_799, turned), 3);
    }

    /// Looks at sizes along the limits of what is decoded row by row.
    #[test]
    fn memory_does_not_grow_with_the_picture() {
        let sides = (100..=40_000).step_by(97).chain([1, 1_199, 1_200, 2_399, 2_400, 2_501, 3_599, 3_600, 4_799, 4_800, 40_000]);
        let sides: Vec<u32> = sides.collect();
        let sizes = sides.iter().flat_map(|&width| sides.iter().map(move |&height| (width, height)));
        let mut most = 0;
        for (width, height) in sizes {
            let pixels = u64::from(width) * u64::from(height);
            let bytes = streamed_bytes(width, height, Orientation::Upright);
            let (across, down) = reduced_size(width, height, streamed_factor(width, height, Orientation::Upright));
            for rendition in Rendition::MADE {
                let (w, h) = dimensions(rendition, width, height);
                assert!(across >= w && down >= h, "{width} × {height} becomes {across} × {down}, too small for {rendition}");
            }
            if pixels > crate::limits::PIXELS_MAX {
                most = most.max(bytes);
            } else {
                assert!(bytes <= pixels * 4 + 5 * MIB, "{width} × {height} needs {bytes} bytes, more than all of its pixels");
            }
        }
        assert!(most <= 144 * MIB, "{most} bytes");
    }
}
