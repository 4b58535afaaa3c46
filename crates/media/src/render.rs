//! What is done with pixels: looking at a received picture, and making its renditions. Pure: bytes in, bytes out.
//!
//! ```text
//! bytes ─ Container ─ decode (JPEG at ⅛ … 1, a huge PNG averaged) ─▶ 1200x ─▶ 600x ─▶ 150x150
//!                                                                             └────▶ 400x300
//! ```
//!
//! Each rendition is made of the smallest level that is still twice as large, else of a larger one. Turning and colour
//! conversion happen after the first reduction, when there are few pixels left.

use fast_image_resize::Resizer;

use crate::{
    color,
    container::{Container, Orientation},
    decode::{decode, jpeg_eighths},
    encode::encode,
    error::Refusal,
    limits::Limits,
    picture::{Format, Hash, Picture},
    raster::Raster,
    rendition::{Rendition, dimensions},
    resize::resize,
};

/// Pixels along the longer side of what the dominant colour and the placeholder are computed from; thumbhash takes no more.
const GLANCE_SIDE: u32 = 100;

/// A received picture that was found good.
#[derive(Debug)]
pub(crate) struct Inspected {
    pub picture: Picture,
    /// The original as it is stored: without metadata.
    pub original: Vec<u8>,
}

/// Checks a received file whole, by decoding it, and computes all that is known about it.
pub(crate) fn inspect(bytes: &[u8], limits: &Limits) -> Result<Inspected, Refusal> {
    let container = Container::read(bytes, limits)?;
    // An eighth of the size costs little, and the entropy-coded data are read to their end all the same.
    let longer = container.width.max(container.height);
    let eighths = [1, 2, 4].into_iter().find(|eighths| longer * eighths / 8 >= GLANCE_SIDE).unwrap_or(8);
    let raster = decode(bytes, &container, eighths as u8)?;
    let format = container.format;
    let has_alpha = raster.has_alpha();
    let glance = glance(raster, &container).map_err(|why| Refusal::broken(format, why))?;
    let rgba = color::to_rgba(&glance);
    let original = container.stripped();
    let (width, height) = container.oriented_size();
    let picture = Picture {
        hash: Hash::of(bytes),
        width,
        height,
        format,
        bytes: original.len() as u64,
        has_alpha,
        animated: container.frames > 1,
        dominant_color: color::dominant_color(&rgba),
        placeholder: thumbhash::rgba_to_thumb_hash(glance.width as usize, glance.height as usize, &rgba),
    };
    Ok(Inspected { picture, original })
}

fn glance(raster: Raster, container: &Container<'_>) -> Result<Raster, String> {
    let longer = raster.width.max(raster.height);
    let side = |pixels: u32| (u64::from(pixels) * u64::from(GLANCE_SIDE) / u64::from(longer)).max(1) as u32;
    let small = if longer > GLANCE_SIDE { resize(&mut Resizer::new(), &raster, side(raster.width), side(raster.height))? } else { raster };
    let upright = small.oriented(container.orientation);
    Ok(color::to_srgb(upright, container.icc.as_deref()))
}

/// Estimates, from above, the bytes that working on this file needs. Unreadable files need next to none.
pub(crate) fn working_bytes(bytes: &[u8], limits: &Limits) -> u64 {
    Container::read(bytes, limits).map_or(0, |container| container.decode_bytes()) + bytes.len() as u64
}

/// One stage of the reduction.
struct Level {
    raster: Raster,
    /// How the raster must still be turned.
    orientation: Orientation,
    /// Whether the colours are still those of the embedded profile.
    has_own_colors: bool,
}

/// Makes all renditions of a picture's bytes, as [`Media::make_renditions`](crate::Media::make_renditions) stores them,
/// largest first, on the calling thread. `quality` is that of JPEG, usually [`JPEG_QUALITY`](crate::JPEG_QUALITY). For
/// benches and tools that have no store.
pub fn render_all(bytes: &[u8], limits: &Limits, quality: u8) -> Result<Vec<(Rendition, Vec<u8>)>, Refusal> {
    render(bytes, &Rendition::MADE, limits, quality)
}

/// Makes these renditions of a stored original in one decode.
pub(crate) fn render(bytes: &[u8], wanted: &[Rendition], limits: &Limits, quality: u8) -> Result<Vec<(Rendition, Vec<u8>)>, Refusal> {
    let container = Container::read(bytes, limits)?;
    let format = container.format;
    let eighths = jpeg_eighths(container.width, container.height, container.orientation);
    let raster = decode(bytes, &container, eighths)?;
    let mut levels = vec![Level { raster, orientation: container.orientation, has_own_colors: true }];
    let mut resizer = Resizer::new();
    let mut made: Vec<((u32, u32), Rendition, Vec<u8>)> = Vec::with_capacity(wanted.len());
    // From large to small, so that the large ones serve as levels for the small ones.
    for rendition in Rendition::MADE.into_iter().rev() {
        let size = dimensions(rendition, container.oriented_size().0, container.oriented_size().1);
        if !wanted.contains(&rendition) {
            continue;
        }
        let is_whole = matches!(rendition, Rendition::W600 | Rendition::W1200);
        if is_whole && let Some(same) = made.iter().find(|other| other.0 == size) {
            let copy = same.2.clone();
            made.push((size, rendition, copy));
            continue;
        }
        let finished = reduce(&mut resizer, &levels, size, &container).map_err(|why| Refusal::broken(format, why))?;
        let may_be_flat = matches!(format, Format::Png | Format::Gif);
        let encoded = encode(&finished, may_be_flat, quality).map_err(|why| Refusal::broken(format, why))?;
        made.push((size, rendition, encoded));
        if is_whole {
            levels.push(Level { raster: finished, orientation: Orientation::Upright, has_own_colors: false });
        }
    }
    Ok(made.into_iter().map(|(_, rendition, encoded)| (rendition, encoded)).collect())
}

/// Makes a raster of this size (as people see it), upright and in sRGB.
fn reduce(resizer: &mut Resizer, levels: &[Level], (width, height): (u32, u32), container: &Container<'_>) -> Result<Raster, String> {
    let is_twice_as_large = |level: &Level| {
        let (across, down) = level.orientation.apply_to_size(level.raster.width, level.raster.height);
        across >= width * 2 && down >= height * 2
    };
    let level = levels.iter().rev().find(|level| is_twice_as_large(level)).unwrap_or(&levels[0]);
    let (across, down) = level.orientation.apply_to_size(width, height);
    let small = resize(resizer, &level.raster, across, down)?.oriented(level.orientation);
    Ok(if level.has_own_colors { color::to_srgb(small, container.icc.as_deref()) } else { small })
}
