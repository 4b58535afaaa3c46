//! Pixels to fewer pixels: Lanczos3, cut around the centre to the target's shape.

use fast_image_resize::{
    PixelType, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};

use crate::raster::{Raster, Space};

/// Makes a raster of exactly this size of the largest centred box of the same shape.
pub(crate) fn resize(resizer: &mut Resizer, source: &Raster, width: u32, height: u32) -> Result<Raster, String> {
    let pixel_type = match source.space {
        Space::Luma => PixelType::U8,
        Space::Rgb => PixelType::U8x3,
        Space::Rgba | Space::Cmyk => PixelType::U8x4,
    };
    let from = ImageRef::new(source.width, source.height, &source.pixels, pixel_type).map_err(|error| error.to_string())?;
    let mut to = Image::new(width, height, pixel_type);
    let mut options = ResizeOptions::new().use_alpha(source.space == Space::Rgba);
    if !has_shape(source, width, height) {
        options = options.fit_into_destination(None);
    }
    resizer.resize(&from, &mut to, &options).map_err(|error| error.to_string())?;
    Ok(Raster { width, height, space: source.space, pixels: to.into_vec() })
}

/// Tells whether the target has the source's shape but for rounding, so that nothing needs to be cut.
fn has_shape(source: &Raster, width: u32, height: u32) -> bool {
    let exact = f64::from(source.height) * f64::from(width) / f64::from(source.width);
    (exact - f64::from(height)).abs() <= 1.0
}
