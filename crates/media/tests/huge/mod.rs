//! PNGs too large to be held: taken row by row, with the same answers as if they had been decoded whole.

use std::{path::Path, sync::Arc};

use media::{Limits, Media, MemoryEngine, Picture, Refusal, Rendition, dimensions};

use super::{
    assert_near, memory,
    pictures::{assert_quadrants, claiming_png, oriented_pictures, parse_color, png_rows, png_with_chunks, with_claim},
    refusal, served, take,
};

const CLIP_ART: &str = "/usr/share/openclipart/png";
const BLUE: [u8; 3] = [20, 40, 220];
const WHITE: [u8; 3] = [250, 250, 250];

/// 30,000 × 5,000 pixels with a palette: white on the left third, blue on the rest.
fn two_colors(transparency: Option<&[u8]>) -> Vec<u8> {
    let row: Vec<u8> = [vec![0; 10_000], vec![1; 20_000]].concat();
    png_rows((30_000, 5_000), png::ColorType::Indexed, png::BitDepth::Eight, &row, |encoder| {
        encoder.set_palette([WHITE, BLUE].concat());
        if let Some(alphas) = transparency {
            encoder.set_trns(alphas.to_vec());
        }
    })
}

async fn assert_renditions_fit(media: &Media, picture: &Picture) {
    media.make_renditions(picture.hash).await.expect("renditions");
    for rendition in Rendition::MADE {
        let pixels = served(media, picture.hash, rendition).await;
        assert_eq!((pixels.width(), pixels.height()), dimensions(rendition, picture.width, picture.height), "{rendition}");
    }
}

#[tokio::test]
async fn a_palette_picture_of_150_megapixels_is_taken() {
    let media = memory();
    let bytes = two_colors(None);
    let picture = take(&media, &bytes).await;
    assert_eq!((picture.width, picture.height, picture.has_alpha), (30_000, 5_000, false));
    assert_eq!(picture.bytes, bytes.len() as u64, "the original keeps its pixels as they were sent");
    let dominant = parse_color(&picture.dominant_color);
    assert_near(dominant, BLUE, 2, "the dominant colour");
    assert_renditions_fit(&media, &picture).await;
    let wide = served(&media, picture.hash, Rendition::W1200).await.to_rgb8();
    assert_eq!(wide.dimensions(), (1_200, 200));
    assert_near(wide.get_pixel(380, 100).0, WHITE, 4, "left of the border");
    assert_near(wide.get_pixel(420, 100).0, BLUE, 4, "right of the border");
    let original = media.rendition(picture.hash, Rendition::Original).await.expect("the original");
    assert_eq!(original.bytes, bytes);
}

#[tokio::test]
async fn a_gray_picture_longer_than_the_side_limit_is_taken() {
    let media = memory();
    let row = vec![30; 1_200];
    let bytes = png_rows((1_200, 30_000), png::ColorType::Grayscale, png::BitDepth::Eight, &row, |_| {});
    let picture = take(&media, &bytes).await;
    assert_eq!((picture.width, picture.height), (1_200, 30_000));
    assert_eq!(picture.dominant_color, "#1e1e1e");
    assert_renditions_fit(&media, &picture).await;
}

#[tokio::test]
async fn huge_pictures_that_can_be_seen_through_stay_so() {
    let media = memory();
    let picture = take(&media, &two_colors(Some(&[0]))).await;
    assert!(picture.has_alpha);
    let wide = served(&media, picture.hash, Rendition::W1200).await.to_rgba8();
    assert_eq!(wide.get_pixel(380, 100).0[3], 0);
    assert_eq!(wide.get_pixel(420, 100).0, [BLUE[0], BLUE[1], BLUE[2], 255]);
}

/// Runs every kind of PNG through both ways of decoding, by limits under which small ones count as huge.
#[tokio::test]
async fn by_rows_or_whole_looks_the_same() {
    let whole = memory();
    let limits = Limits { pixels_max: 40_000, ..Limits::default() };
    let by_rows = Media::with_engine(Arc::new(MemoryEngine::default()), limits);
    let (width, height) = (4_901, 1_301);
    for color in [png::ColorType::Grayscale, png::ColorType::Rgb, png::ColorType::GrayscaleAlpha, png::ColorType::Rgba] {
        for depth in [png::BitDepth::Eight, png::BitDepth::Sixteen] {
            let pixel_bytes = color.samples() * if depth == png::BitDepth::Sixteen { 2 } else { 1 };
            let row: Vec<u8> = (0..width as usize).flat_map(|x| vec![(x * 255 / width as usize) as u8; pixel_bytes]).collect();
            let bytes = png_rows((width, height), color, depth, &row, |_| {});
            let (one, other) = (take(&whole, &bytes).await, take(&by_rows, &bytes).await);
            assert_eq!((one.width, one.height, one.has_alpha), (other.width, other.height, other.has_alpha), "{color:?} {depth:?}");
            for rendition in Rendition::MADE {
                let expected = served(&whole, one.hash, rendition).await.to_rgba8();
                let found = served(&by_rows, other.hash, rendition).await.to_rgba8();
                assert_eq!(expected.dimensions(), found.dimensions());
                let at = (expected.width() * 3 / 4, expected.height() / 2);
                let [red, green, blue, alpha] = expected.get_pixel(at.0, at.1).0;
                let pixel = found.get_pixel(at.0, at.1).0;
                assert_near([pixel[0], pixel[1], pixel[2]], [red, green, blue], 3, &format!("{color:?} {depth:?} {rendition}"));
                assert!(pixel[3].abs_diff(alpha) <= 3, "{color:?} {depth:?} {rendition}: alpha {} for {alpha}", pixel[3]);
            }
        }
    }
    for tag in 1..=8 {
        let (_, bytes) = oriented_pictures(tag).into_iter().find(|picture| picture.0 == media::Format::Png).expect("a PNG");
        let picture = take(&by_rows, &bytes).await;
        assert_eq!((picture.width, picture.height), (320, 160), "orientation {tag}");
        assert_quadrants(&served(&by_rows, picture.hash, Rendition::W600).await.to_rgb8(), &format!("orientation {tag}"));
    }
}

#[tokio::test]
async fn what_must_be_held_whole_keeps_its_limits() {
    let media = memory();
    let interlaced = claiming_png(12_000, 10_000, true);
    let refused = refusal(&media, &interlaced).await;
    assert_eq!(refused, Refusal::TooLargeInterlaced { width: 12_000, height: 10_000, limit: 100_000_000, side_limit: 20_000 });
    assert!(refused.to_string().contains("Save it without interlacing"), "{refused}");
    assert_eq!(refusal(&media, &claiming_png(20_001, 10, true)).await.reason(), "too_large_interlaced");
    let absurd = Refusal::TooManyPixels { width: 40_000, height: 40_000, limit: 1_000_000_000 };
    assert_eq!(refusal(&media, &claiming_png(40_000, 40_000, true)).await, absurd);
    let animation = png_with_chunks(&claiming_png(12_000, 10_000, false), &[(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0])]);
    let refused = refusal(&media, &animation).await;
    assert_eq!(refused, Refusal::TooManyPixels { width: 12_000, height: 10_000, limit: 100_000_000 });
}

#[tokio::test]
async fn a_huge_picture_that_ends_early_is_refused() {
    let media = memory();
    let good = two_colors(None);
    // Once the file is cut, once its chunks are whole and the rows in them run out.
    let cut = good[..good.len() / 2].to_vec();
    let short = with_claim(good, 30_000, 10_000, false);
    for bytes in [cut, short, claiming_png(30_000, 30_000, false)] {
        let refused = refusal(&media, &bytes).await;
        assert!(matches!(&refused, Refusal::Broken { why, .. } if why.contains("it ends before the picture does")), "{refused}");
    }
}

/// Takes three of the posters among Debian's clip art; the largest has 623 megapixels.
#[tokio::test]
async fn debians_largest_clips_are_taken() {
    let clips = [
        ("computer/microchip_v.2_havok_redh_01.png", (16_000, 14_464)),
        ("food/fruit/banana_mateya_01.png", (10_561, 16_000)),
        ("signs_and_symbols/stop_sign_miguel_s_nchez_.png", (20_990, 29_700)),
    ];
    if !Path::new(CLIP_ART).is_dir() {
        return testkit::skip::skip("debians_largest_clips_are_taken", "Debian's openclipart-png is not installed");
    }
    let media = memory();
    for (name, size) in clips {
        let bytes = std::fs::read(Path::new(CLIP_ART).join(name)).expect("a clip");
        let started = std::time::Instant::now();
        let picture = take(&media, &bytes).await;
        let taken = started.elapsed();
        assert_eq!((picture.width, picture.height), size, "{name}");
        assert_renditions_fit(&media, &picture).await;
        println!("{name}: taken in {taken:?}, with renditions {:?}, {}", started.elapsed(), picture.dominant_color);
    }
}
