//! Pictures for the tests: generated, oriented, with profiles, with secrets, animated, lying.

use std::{
    io::Cursor,
    path::{Path, PathBuf},
};

use image::{AnimationDecoder as _, DynamicImage, ImageFormat, Rgb, RgbImage};
use media::Format;

/// What must not be found in any stored form.
pub const SECRET: &[u8] = b"48.858N-2.294E";

pub fn gradient(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| Rgb(expected_pixel(x, y, width, height))).into()
}

pub fn expected_pixel(x: u32, y: u32, width: u32, height: u32) -> [u8; 3] {
    [(x * 255 / width) as u8, (y * 255 / height) as u8, 128]
}

pub fn encoded(pixels: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    pixels.write_to(&mut bytes, format).expect("an encoder");
    bytes.into_inner()
}

pub fn png_of(pixels: &DynamicImage) -> Vec<u8> {
    encoded(pixels, ImageFormat::Png)
}

/// Finding a palette at the encoder's own pace takes half a minute without optimisation.
fn gif_of(pixels: &DynamicImage) -> Vec<u8> {
    const FASTEST: i32 = 30;
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new_with_speed(&mut bytes, FASTEST);
    encoder.encode_frame(image::Frame::new(pixels.to_rgba8())).expect("a GIF");
    drop(encoder);
    bytes
}

fn jpeg_encoder(bytes: &mut Vec<u8>) -> jpeg_encoder::Encoder<&mut Vec<u8>> {
    jpeg_encoder::Encoder::new(bytes, 95)
}

fn jpeg_with(pixels: &RgbImage, set: impl FnOnce(&mut jpeg_encoder::Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder(&mut bytes);
    set(&mut encoder);
    encoder.encode(pixels, pixels.width() as u16, pixels.height() as u16, jpeg_encoder::ColorType::Rgb).expect("a JPEG");
    bytes
}

pub fn all_formats(width: u32, height: u32) -> Vec<(Format, Vec<u8>)> {
    let pixels = gradient(width, height);
    vec![
        (Format::Jpeg, jpeg_with(&pixels.to_rgb8(), |_| {})),
        (Format::Png, png_of(&pixels)),
        (Format::Gif, gif_of(&pixels)),
        (Format::Webp, encoded(&pixels, ImageFormat::WebP)),
    ]
}

const QUADRANTS: [[u8; 3]; 4] = [[230, 20, 20], [20, 200, 20], [20, 20, 230], [230, 230, 20]];

fn quadrants() -> DynamicImage {
    RgbImage::from_fn(320, 160, |x, y| Rgb(QUADRANTS[(x / 160 + y / 80 * 2) as usize])).into()
}

pub fn assert_quadrants(pixels: &RgbImage, what: &str) {
    let (width, height) = pixels.dimensions();
    for (index, expected) in QUADRANTS.into_iter().enumerate() {
        let x = width / 4 + index as u32 % 2 * width / 2;
        let y = height / 4 + index as u32 / 2 * height / 2;
        let found = pixels.get_pixel(x, y).0;
        let is_near = found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 12);
        assert!(is_near, "{what}: quadrant {index} is {found:?}, expected {expected:?}");
    }
}

/// The quadrants stored as each orientation tag says, as JPEG, PNG and WebP.
pub fn oriented_pictures(tag: u16) -> Vec<(Format, Vec<u8>)> {
    let upright = quadrants();
    // What is stored is the upright picture under the inverse of the tag's transformation.
    let stored = match tag {
        1 => upright,
        2 => upright.fliph(),
        3 => upright.rotate180(),
        4 => upright.flipv(),
        5 => upright.rotate90().fliph(),
        6 => upright.rotate270(),
        7 => upright.rotate270().fliph(),
        _ => upright.rotate90(),
    };
    let exif = exif_with_orientation(tag);
    let jpeg = jpeg_with(&stored.to_rgb8(), |encoder| encoder.add_exif_metadata(&exif).expect("EXIF"));
    let png = png_with_chunks(&png_of(&stored), &[(b"eXIf", &exif)]);
    let webp = webp_with_chunks(&encoded(&stored, ImageFormat::WebP), stored.width(), stored.height(), None, &[(b"EXIF", &exif)]);
    vec![(Format::Jpeg, jpeg), (Format::Png, png), (Format::Webp, webp)]
}

/// A big-endian TIFF structure with the orientation behind another tag, and a position.
fn exif_with_orientation(tag: u16) -> Vec<u8> {
    let mut exif = b"MM\0\x2a\0\0\0\x08\0\x02".to_vec();
    exif.extend_from_slice(b"\x01\x0e\0\x02\0\0\0\x04GPS\0");
    exif.extend_from_slice(b"\x01\x12\0\x03\0\0\0\x01");
    exif.extend_from_slice(&tag.to_be_bytes());
    exif.extend_from_slice(b"\0\0\0\0\0\0");
    exif
}

pub fn with_profile(color: [u8; 3], profile: &[u8]) -> Vec<(Format, Vec<u8>)> {
    let pixels = RgbImage::from_pixel(100, 100, Rgb(color));
    let jpeg = jpeg_with(&pixels, |encoder| encoder.add_icc_profile(profile).expect("a profile"));
    let mut png = Vec::new();
    let mut info = png::Info::with_size(100, 100);
    info.color_type = png::ColorType::Rgb;
    info.bit_depth = png::BitDepth::Eight;
    info.icc_profile = Some(profile.into());
    let mut writer = png::Encoder::with_info(&mut png, info).expect("a PNG").write_header().expect("a PNG");
    writer.write_image_data(&pixels).expect("a PNG");
    writer.finish().expect("a PNG");
    let webp = webp_with_chunks(&encoded(&pixels.into(), ImageFormat::WebP), 100, 100, Some(profile), &[]);
    vec![(Format::Jpeg, jpeg), (Format::Png, png), (Format::Webp, webp)]
}

pub fn cmyk_jpeg(inks: [u8; 4]) -> Vec<u8> {
    let mut bytes = Vec::new();
    jpeg_encoder(&mut bytes).encode(&inks.repeat(100 * 100), 100, 100, jpeg_encoder::ColorType::Cmyk).expect("a JPEG");
    bytes
}

pub fn parse_color(text: &str) -> [u8; 3] {
    let value = u32::from_str_radix(text.trim_start_matches('#'), 16).expect("a colour");
    let [_, red, green, blue] = value.to_be_bytes();
    [red, green, blue]
}

fn exif_with_secrets() -> Vec<u8> {
    let mut exif = exif_with_orientation(1);
    exif.extend_from_slice(b"GPS");
    exif.extend_from_slice(SECRET);
    exif
}

pub fn pictures_with_secrets() -> Vec<(Format, Vec<u8>)> {
    let pixels = gradient(90, 60);
    let exif = exif_with_secrets();
    let mut jpeg = jpeg_with(&pixels.to_rgb8(), |encoder| {
        encoder.add_exif_metadata(&exif).expect("EXIF");
        encoder.add_app_segment(1, [b"http://ns.adobe.com/xap/1.0/\0", SECRET].concat()).expect("XMP");
        encoder.add_app_segment(2, [b"MPF\0", SECRET].concat()).expect("MPF");
        encoder.add_app_segment(13, [b"Photoshop 3.0\08BIM\x04\x04\0\0\0\0\0\x0e", SECRET].concat()).expect("IPTC");
        encoder.add_app_segment(15, SECRET.to_vec()).expect("a private segment");
    });
    // A comment, and a film behind the end.
    let comment = [b"\xff\xfe\0\x10", SECRET].concat();
    jpeg.splice(2..2, comment);
    jpeg.extend_from_slice(SECRET);
    let text = [b"Location\0", SECRET].concat();
    let international = [b"XML:com.adobe.xmp\0\0\0\0\0", SECRET].concat();
    let mut png = png_with_chunks(
        &png_of(&pixels),
        &[(b"eXIf", &exif), (b"tEXt", &text), (b"iTXt", &international), (b"prVt", SECRET), (b"tIME", b"\x07\xe8\x05\x06\x07\x08\x09")],
    );
    png.extend_from_slice(SECRET);
    let mut webp =
        webp_with_chunks(&encoded(&pixels, ImageFormat::WebP), 90, 60, None, &[(b"EXIF", &exif), (b"XMP ", SECRET), (b"PRVT", SECRET)]);
    webp.extend_from_slice(SECRET);
    let mut gif = gif_of(&pixels);
    let table_end = 13 + if gif[10] & 0x80 == 0 { 0 } else { 3 << ((gif[10] & 7) + 1) };
    let comment = [b"\x21\xfe\x0e", SECRET, b"\0"].concat();
    let application = [b"\x21\xff\x0bXMP DataXMP\x0e", SECRET, b"\0"].concat();
    gif.splice(table_end..table_end, [comment, application].concat());
    gif.extend_from_slice(SECRET);
    vec![(Format::Jpeg, jpeg), (Format::Png, png), (Format::Webp, webp), (Format::Gif, gif)]
}

/// A JPEG with a description, an artist and a time in its EXIF, little-endian.
pub fn jpeg_with_exif() -> Vec<u8> {
    let texts: [(u16, &[u8]); 2] = [(0x010e, b"A lake at dawn\0"), (0x013b, b"Ann\0")];
    let time = b"2024:05:06 07:08:09\0";
    let mut directory = Vec::new();
    let mut values = Vec::new();
    let values_at = 8 + 2 + 3 * 12 + 4;
    for (tag, text) in texts {
        directory.extend_from_slice(&tag.to_le_bytes());
        directory.extend_from_slice(&2_u16.to_le_bytes());
        directory.extend_from_slice(&(text.len() as u32).to_le_bytes());
        if text.len() <= 4 {
            directory.extend_from_slice(text);
        } else {
            directory.extend_from_slice(&((values_at + values.len()) as u32).to_le_bytes());
            values.extend_from_slice(text);
        }
    }
    directory.extend_from_slice(&0x8769_u16.to_le_bytes());
    directory.extend_from_slice(&4_u16.to_le_bytes());
    directory.extend_from_slice(&1_u32.to_le_bytes());
    let inner_at = values_at + values.len();
    directory.extend_from_slice(&(inner_at as u32).to_le_bytes());
    let mut exif = b"II\x2a\0\x08\0\0\0\x03\0".to_vec();
    exif.extend(directory);
    exif.extend_from_slice(&0_u32.to_le_bytes());
    exif.extend(values);
    exif.extend_from_slice(b"\x01\0\x03\x90\x02\0\x14\0\0\0");
    exif.extend_from_slice(&((inner_at + 18) as u32).to_le_bytes());
    exif.extend_from_slice(&0_u32.to_le_bytes());
    exif.extend_from_slice(time);
    jpeg_with(&gradient(20, 20).to_rgb8(), |encoder| encoder.add_exif_metadata(&exif).expect("EXIF"))
}

/// Writes a PNG in which every row is this one.
pub fn png_rows(
    (width, height): (u32, u32),
    color: png::ColorType,
    depth: png::BitDepth,
    row: &[u8],
    set: impl FnOnce(&mut png::Encoder<'_, &mut Vec<u8>>),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.set_compression(png::Compression::Fast);
    set(&mut encoder);
    let mut writer = encoder.write_header().expect("a header");
    let mut stream = writer.stream_writer().expect("a stream");
    for _ in 0..height {
        std::io::Write::write_all(&mut stream, row).expect("a row");
    }
    stream.finish().expect("all rows");
    writer.finish().expect("a PNG");
    bytes
}

/// A small PNG whose header claims this.
pub fn claiming_png(width: u32, height: u32, is_interlaced: bool) -> Vec<u8> {
    with_claim(png_of(&gradient(8, 8)), width, height, is_interlaced)
}

/// Rewrites a PNG's header.
pub fn with_claim(mut png: Vec<u8>, width: u32, height: u32, is_interlaced: bool) -> Vec<u8> {
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    png[28] = u8::from(is_interlaced);
    let mut crc = flate2::Crc::new();
    crc.update(&png[12..29]);
    png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    png
}

/// Small files whose headers claim this size.
pub fn claiming(width: u32, height: u32) -> Vec<(Format, Vec<u8>)> {
    let pixels = gradient(8, 8);
    let mut jpeg = jpeg_with(&pixels.to_rgb8(), |_| {});
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame header");
    jpeg[frame + 5..frame + 7].copy_from_slice(&(height as u16).to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&(width as u16).to_be_bytes());
    let png = claiming_png(width, height, false);
    let mut gif = gif_of(&pixels);
    gif[6..8].copy_from_slice(&(width as u16).to_le_bytes());
    gif[8..10].copy_from_slice(&(height as u16).to_le_bytes());
    let mut pictures = vec![(Format::Jpeg, jpeg), (Format::Png, png), (Format::Gif, gif)];
    if width > 0 {
        let webp = webp_with_chunks(&encoded(&pixels, ImageFormat::WebP), width, height, None, &[]);
        pictures.push((Format::Webp, webp));
    }
    pictures
}

const FRAMES: [[u8; 4]; 3] = [[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255]];

pub fn animated_gif(count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
    encoder.set_repeat(image::codecs::gif::Repeat::Infinite).expect("a GIF");
    for index in 0..count {
        let pixels = image::RgbaImage::from_pixel(40, 30, image::Rgba(FRAMES[index % 3]));
        encoder.encode_frame(image::Frame::new(pixels)).expect("a frame");
    }
    drop(encoder);
    bytes
}

pub fn animated_webp(count: usize) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    body.extend(riff_chunk(b"VP8X", &[2, 0, 0, 0, 39, 0, 0, 29, 0, 0]));
    body.extend(riff_chunk(b"ANIM", &[0; 6]));
    for index in 0..count {
        let pixels = image::RgbaImage::from_pixel(40, 30, image::Rgba(FRAMES[index % 3]));
        let still = encoded(&pixels.into(), ImageFormat::WebP);
        let mut frame = vec![0, 0, 0, 0, 0, 0, 39, 0, 0, 29, 0, 0, 100, 0, 0, 0];
        frame.extend_from_slice(&still[12..]);
        body.extend(riff_chunk(b"ANMF", &frame));
    }
    riff_chunk(b"RIFF", &body)
}

pub fn frames_of(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"GIF") {
        image::codecs::gif::GifDecoder::new(Cursor::new(bytes)).expect("a GIF").into_frames().count()
    } else {
        image::codecs::webp::WebPDecoder::new(Cursor::new(bytes)).expect("a WebP").into_frames().count()
    }
}

/// Puts chunks before the first picture data.
pub fn png_with_chunks(png: &[u8], chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    const HEADER_END: usize = 33;
    let mut bytes = png[..HEADER_END].to_vec();
    for (kind, body) in chunks {
        bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
        let start = bytes.len();
        bytes.extend_from_slice(*kind);
        bytes.extend_from_slice(body);
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[start..]);
        bytes.extend_from_slice(&crc.sum().to_be_bytes());
    }
    bytes.extend_from_slice(&png[HEADER_END..]);
    bytes
}

fn riff_chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_vec();
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(body);
    if body.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes
}

/// Puts a plain WebP into the extended form, with a profile before and chunks behind its picture.
fn webp_with_chunks(webp: &[u8], width: u32, height: u32, profile: Option<&[u8]>, chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let has = |kind: &[u8; 4]| chunks.iter().any(|chunk| chunk.0 == kind);
    let flags = if profile.is_some() { 0x20 } else { 0 } | if has(b"EXIF") { 0x08 } else { 0 } | if has(b"XMP ") { 0x04 } else { 0 };
    let mut header = vec![flags, 0, 0, 0];
    header.extend_from_slice(&(width - 1).to_le_bytes()[..3]);
    header.extend_from_slice(&height.saturating_sub(1).to_le_bytes()[..3]);
    let mut body = b"WEBP".to_vec();
    body.extend(riff_chunk(b"VP8X", &header));
    if let Some(profile) = profile {
        body.extend(riff_chunk(b"ICCP", profile));
    }
    body.extend_from_slice(&webp[12..]);
    for (kind, chunk) in chunks {
        body.extend(riff_chunk(kind, chunk));
    }
    riff_chunk(b"RIFF", &body)
}

pub fn count_of(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).filter(|window| *window == needle).count()
}

/// Lists the files under a folder.
pub fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}
