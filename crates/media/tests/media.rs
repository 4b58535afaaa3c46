//! The crate as its callers see it: pictures of all formats in, originals and renditions out, harm refused.

mod huge;
mod pictures;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use media::{
    BlobEntry, BlobKey, BlobName, Engine, EngineError, Fault, Faulty, Format, Hash, Limits, Media, MediaError, MemoryEngine, Picture,
    Refusal, Rendition, dimensions, read_metadata,
};
use pictures::*;

fn memory() -> Media {
    Media::with_engine(Arc::new(MemoryEngine::default()), Limits::default())
}

async fn take(media: &Media, bytes: &[u8]) -> Picture {
    media.ingest(Bytes::copy_from_slice(bytes)).await.expect("a good picture")
}

async fn refusal(media: &Media, bytes: &[u8]) -> Refusal {
    match media.ingest(Bytes::copy_from_slice(bytes)).await {
        Err(MediaError::Refused(refusal)) => refusal,
        other => panic!("not refused but {other:?}"),
    }
}

async fn served(media: &Media, hash: Hash, rendition: Rendition) -> image::DynamicImage {
    let stored = media.rendition(hash, rendition).await.expect("a rendition");
    image::load_from_memory(&stored.bytes).expect("a picture")
}

fn assert_near(found: [u8; 3], expected: [u8; 3], tolerance: u8, what: &str) {
    let is_near = found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= tolerance);
    assert!(is_near, "{what}: found {found:?}, expected {expected:?}");
}

#[tokio::test]
async fn every_format_is_taken_and_served_in_every_size() {
    let media = memory();
    for (format, bytes) in all_formats(1_400, 900) {
        let picture = take(&media, &bytes).await;
        assert_eq!((picture.format, picture.width, picture.height), (format, 1_400, 900));
        assert_eq!(picture.hash, Hash::of(&bytes));
        assert!(!picture.animated);
        assert!(picture.placeholder_data_url().is_some_and(|url| url.len() <= 300));
        media.make_renditions(picture.hash).await.expect("renditions");
        for rendition in Rendition::ALL {
            let stored = media.rendition(picture.hash, rendition).await.expect("a rendition");
            let pixels = image::load_from_memory(&stored.bytes).expect("a picture");
            assert_eq!((pixels.width(), pixels.height()), dimensions(rendition, 1_400, 900), "{format} {rendition}");
            assert!(stored.etag.starts_with('"') && stored.etag.contains(rendition.name()));
            let center = pixels.to_rgb8().get_pixel(pixels.width() / 2, pixels.height() / 2).0;
            assert_near(center, expected_pixel(700, 450, 1_400, 900), 24, &format!("{format} {rendition}"));
        }
        let original = media.rendition(picture.hash, Rendition::Original).await.expect("the original");
        assert_eq!(original.content_type, format.content_type());
        assert_eq!(original.bytes.len() as u64, picture.bytes);
    }
}

#[tokio::test]
async fn small_pictures_are_not_enlarged() {
    let media = memory();
    for (width, height) in [(1, 1), (3, 2), (100, 80), (1, 700), (700, 1)] {
        let bytes = png_of(&gradient(width, height));
        let picture = take(&media, &bytes).await;
        for rendition in Rendition::ALL {
            let pixels = served(&media, picture.hash, rendition).await;
            assert_eq!((pixels.width(), pixels.height()), dimensions(rendition, width, height));
        }
    }
}

#[tokio::test]
async fn all_eight_orientations_come_out_upright() {
    let media = memory();
    for tag in 1..=8 {
        for (format, bytes) in oriented_pictures(tag) {
            let picture = take(&media, &bytes).await;
            assert_eq!((picture.width, picture.height), (320, 160), "{format} orientation {tag}");
            for rendition in [Rendition::Square150, Rendition::Crop400x300, Rendition::W600] {
                let pixels = served(&media, picture.hash, rendition).await.to_rgb8();
                assert_quadrants(&pixels, &format!("{format} orientation {tag} {rendition}"));
            }
            // Browsers turn the original by the tag that is left in it.
            let original = media.rendition(picture.hash, Rendition::Original).await.expect("the original");
            let mut decoder = image::ImageReader::new(std::io::Cursor::new(&original.bytes))
                .with_guessed_format()
                .expect("a format")
                .into_decoder()
                .expect("a decoder");
            let orientation = image::ImageDecoder::orientation(&mut decoder).expect("an orientation");
            let mut pixels = image::DynamicImage::from_decoder(decoder).expect("pixels");
            pixels.apply_orientation(orientation);
            assert_quadrants(&pixels.to_rgb8(), &format!("{format} orientation {tag} original"));
        }
    }
}

#[tokio::test]
async fn a_display_p3_picture_lands_right_in_srgb() {
    let media = memory();
    let profile = moxcms::ColorProfile::new_display_p3().encode().expect("a profile");
    // Computed by hand from the two colour spaces' primaries.
    for (wide, narrow) in [([200, 100, 100], [215, 94, 97]), ([60, 160, 90], [0, 163, 82])] {
        for (format, bytes) in with_profile(wide, &profile) {
            let picture = take(&media, &bytes).await;
            let pixels = served(&media, picture.hash, Rendition::W600).await.to_rgb8();
            assert_near(pixels.get_pixel(50, 50).0, narrow, 4, &format!("{format} {wide:?}"));
            let [red, green, blue] = parse_color(&picture.dominant_color);
            assert_near([red, green, blue], narrow, 4, &format!("{format} dominant colour"));
            let original = media.rendition(picture.hash, Rendition::Original).await.expect("the original");
            let mut decoder = image::ImageReader::new(std::io::Cursor::new(&original.bytes))
                .with_guessed_format()
                .expect("a format")
                .into_decoder()
                .expect("a decoder");
            let kept = image::ImageDecoder::icc_profile(&mut decoder).expect("a profile");
            assert_eq!(kept.as_deref(), Some(&profile[..]), "{format} keeps its profile");
        }
    }
}

#[tokio::test]
async fn a_cmyk_picture_has_its_colors() {
    let media = memory();
    let picture = take(&media, &cmyk_jpeg([0, 255, 255, 0])).await;
    let pixels = served(&media, picture.hash, Rendition::W600).await.to_rgb8();
    assert_near(pixels.get_pixel(50, 50).0, [255, 0, 0], 6, "magenta and yellow ink");
}

#[tokio::test]
async fn no_stored_form_holds_metadata() {
    for (format, bytes) in pictures_with_secrets() {
        assert!(count_of(&bytes, SECRET) >= 3, "{format}: the test holds secrets");
        let engine = Arc::new(MemoryEngine::default());
        let media = Media::with_engine(engine.clone(), Limits::default());
        let picture = take(&media, &bytes).await;
        media.make_renditions(picture.hash).await.expect("renditions");
        for entry in engine.list(None, 100).await.expect("a list") {
            let blob = engine.get(entry.key).await.expect("a get").expect("a blob");
            assert_eq!(count_of(&blob, SECRET), 0, "{format} {}", entry.key);
            assert_eq!(count_of(&blob, b"GPS"), 0, "{format} {}", entry.key);
        }
        let before = image::load_from_memory(&bytes).expect("a picture");
        let after = served(&media, picture.hash, Rendition::Original).await;
        assert_eq!(before.as_bytes(), after.as_bytes(), "{format}: the pixels are untouched");
    }
}

#[tokio::test]
async fn what_was_stripped_can_be_read_before() {
    let found = read_metadata(&jpeg_with_exif());
    assert_eq!(found.description.as_deref(), Some("A lake at dawn"));
    assert_eq!(found.author.as_deref(), Some("Ann"));
    assert_eq!(found.taken_at, Some(1_714_979_289_000));
    assert_eq!(read_metadata(b"nothing"), media::PictureMetadata::default());
}

#[tokio::test]
async fn bombs_are_refused_by_their_header() {
    let media = memory();
    for (format, bytes) in claiming(40_000, 40_000) {
        let refused = refusal(&media, &bytes).await;
        let limit = if format == Format::Png { 1_000_000_000 } else { 100_000_000 };
        assert_eq!(refused, Refusal::TooManyPixels { width: 40_000, height: 40_000, limit }, "{format}");
        assert!(refused.to_string().contains("40,000 × 40,000 pixels"));
    }
    for (format, bytes) in claiming(40_001, 2) {
        assert_eq!(refusal(&media, &bytes).await.reason(), "side_too_long", "{format}");
    }
    for (format, bytes) in claiming(20_001, 2) {
        // A PNG of this length is taken, but this one's rows run out.
        let reason = if format == Format::Png { "broken" } else { "side_too_long" };
        assert_eq!(refusal(&media, &bytes).await.reason(), reason, "{format}");
    }
    for (format, bytes) in claiming(0, 10) {
        let refused = refusal(&media, &bytes).await;
        // The WebP header can't say 0.
        assert!(matches!(refused, Refusal::Broken { .. }), "{format}: {refused}");
    }
    // Within the pixel limit, but not within memory.
    let gif = claiming(9_900, 9_900).into_iter().find(|picture| picture.0 == Format::Gif).expect("a GIF").1;
    assert_eq!(refusal(&media, &gif).await.reason(), "too_much_memory");
}

#[tokio::test]
async fn large_bodies_and_long_animations_are_refused() {
    let limits = Limits { body_bytes_max: 2_000, frames_max: 3, ..Limits::default() };
    let media = Media::with_engine(Arc::new(MemoryEngine::default()), limits);
    assert_eq!(refusal(&media, &[0xff; 2_001]).await, Refusal::TooLarge { bytes: 2_001, limit: 2_000 });
    assert_eq!(refusal(&media, &animated_gif(4)).await.reason(), "too_long_animation");
    assert!(take(&media, &animated_gif(3)).await.animated);
}

#[tokio::test]
async fn fakes_and_broken_files_are_refused_by_name() {
    let media = memory();
    assert_eq!(refusal(&media, b"<!doctype html><title>picture.jpg</title>").await, Refusal::NotAPicture { holds: "a web page (HTML)" });
    assert_eq!(refusal(&media, b"").await, Refusal::Empty);
    for (format, bytes) in all_formats(300, 200) {
        for parts in [8, 4, 2] {
            let cut = &bytes[..bytes.len() * (parts - 1) / parts];
            let refused = refusal(&media, cut).await;
            assert!(matches!(refused, Refusal::Broken { .. }), "{format} cut by 1/{parts}: {refused}");
            assert!(refused.to_string().contains(&format.to_string()));
        }
    }
}

#[tokio::test]
async fn no_damage_makes_a_thread_panic() {
    let media = memory();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as usize
    };
    let mut samples: Vec<Vec<u8>> = all_formats(60, 40).into_iter().map(|picture| picture.1).collect();
    samples.extend(pictures_with_secrets().into_iter().map(|picture| picture.1));
    samples.push(animated_gif(3));
    samples.push(animated_webp(3));
    for sample in samples {
        for _ in 0..60 {
            let mut damaged = sample.clone();
            for _ in 0..1 + random() % 8 {
                let at = random() % damaged.len();
                damaged[at] = random() as u8;
            }
            damaged.truncate(damaged.len() - random() % (damaged.len() / 4));
            let _ = read_metadata(&damaged);
            match media.ingest(Bytes::from(damaged)).await {
                Ok(picture) => media
                    .make_renditions(picture.hash)
                    .await
                    .map_or_else(|error| assert!(matches!(error, MediaError::Corrupt { .. }), "{error}"), drop),
                Err(error) => assert!(matches!(error, MediaError::Refused(_)), "{error}"),
            }
        }
    }
}

#[tokio::test]
async fn animations_stay_animated_and_renditions_show_the_first_frame() {
    let media = memory();
    for bytes in [animated_gif(3), animated_webp(3)] {
        let picture = take(&media, &bytes).await;
        assert!(picture.animated, "{}", picture.format);
        let original = media.rendition(picture.hash, Rendition::Original).await.expect("the original");
        assert_eq!(frames_of(&original.bytes), 3, "{}", picture.format);
        let pixels = served(&media, picture.hash, Rendition::Square150).await.to_rgb8();
        assert_near(pixels.get_pixel(5, 5).0, [255, 0, 0], 8, "the first frame is red");
    }
}

#[tokio::test]
async fn what_can_be_seen_through_stays_so() {
    let media = memory();
    let mut pixels = image::RgbaImage::from_pixel(700, 500, image::Rgba([10, 200, 30, 255]));
    for pixel in pixels.pixels_mut().take(700 * 250) {
        pixel.0[3] = 0;
    }
    let picture = take(&media, &encoded(&pixels.into(), image::ImageFormat::Png)).await;
    assert!(picture.has_alpha);
    for rendition in Rendition::MADE {
        let stored = media.rendition(picture.hash, rendition).await.expect("a rendition");
        assert_eq!(stored.content_type, "image/png");
        let pixels = image::load_from_memory(&stored.bytes).expect("a picture").to_rgba8();
        assert_eq!(pixels.get_pixel(pixels.width() / 2, 2).0[3], 0);
        assert_eq!(pixels.get_pixel(pixels.width() / 2, pixels.height() - 2).0, [10, 200, 30, 255]);
    }
    let opaque =
        image::RgbaImage::from_fn(700, 500, |x, y| image::Rgba([(x * 7 % 256) as u8, (y * 3 % 256) as u8, (x * y % 251) as u8, 255]));
    let picture = take(&media, &encoded(&opaque.into(), image::ImageFormat::Png)).await;
    assert!(!picture.has_alpha, "an alpha channel that is all opaque says nothing");
    let stored = media.rendition(picture.hash, Rendition::W600).await.expect("a rendition");
    assert_eq!(stored.content_type, "image/jpeg");
}

#[tokio::test]
async fn the_same_bytes_are_stored_once() {
    let media = memory();
    let bytes = png_of(&gradient(50, 40));
    let first = take(&media, &bytes).await;
    let usage = media.usage().await.expect("a count");
    assert_eq!(usage.objects, 2, "the original and what is known about it");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (media, bytes) = (media.clone(), bytes.clone());
        tasks.spawn(async move { take(&media, &bytes).await });
    }
    while let Some(again) = tasks.join_next().await {
        assert_eq!(again.expect("a task"), first);
    }
    assert_eq!(media.list(None, 100).await.expect("a list").len(), 2);
    assert_eq!(media.picture(first.hash).await.expect("a picture"), first);
}

/// Counts puts.
#[derive(Debug, Default)]
struct Counting {
    inner: MemoryEngine,
    puts: AtomicUsize,
}

#[async_trait]
impl Engine for Counting {
    async fn put(&self, key: BlobKey, bytes: Bytes) -> Result<(), EngineError> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        self.inner.put(key, bytes).await
    }
    async fn get(&self, key: BlobKey) -> Result<Option<Bytes>, EngineError> {
        self.inner.get(key).await
    }
    async fn exists(&self, key: BlobKey) -> Result<bool, EngineError> {
        self.inner.exists(key).await
    }
    async fn delete(&self, key: BlobKey) -> Result<bool, EngineError> {
        self.inner.delete(key).await
    }
    async fn list(&self, after: Option<BlobKey>, count_max: usize) -> Result<Vec<BlobEntry>, EngineError> {
        self.inner.list(after, count_max).await
    }
}

#[tokio::test]
async fn renditions_asked_for_at_the_same_time_are_made_once() {
    let engine = Arc::new(Counting::default());
    let media = Media::with_engine(engine.clone(), Limits::default());
    let picture = take(&media, &png_of(&gradient(800, 600))).await;
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..24 {
        let media = media.clone();
        tasks.spawn(async move { media.rendition(picture.hash, Rendition::MADE[index % 4]).await.map(drop) });
    }
    while let Some(asked) = tasks.join_next().await {
        asked.expect("a task").expect("a rendition");
    }
    assert_eq!(engine.puts.load(Ordering::SeqCst), 2 + 4);
    media.make_renditions(picture.hash).await.expect("nothing to do");
    engine.inner.delete(BlobKey::rendition(picture.hash, Rendition::W600)).await.expect("a delete");
    media.make_renditions(picture.hash).await.expect("one to make");
    assert_eq!(engine.puts.load(Ordering::SeqCst), 2 + 4 + 1, "only what is missing is made");
}

#[tokio::test]
async fn after_any_single_fault_the_same_call_can_be_repeated() {
    let bytes = png_of(&gradient(80, 60));
    for fault in [Fault::Unavailable, Fault::AnswerLost] {
        for position in 0..8 {
            let faulty = Arc::new(Faulty::new(Arc::new(MemoryEngine::default())));
            let media = Media::with_engine(faulty.clone(), Limits::default());
            faulty.inject(std::iter::repeat_n(Fault::Pass, position).chain([fault]));
            let mut attempts = 0;
            let picture = loop {
                attempts += 1;
                assert!(attempts <= 2, "one fault costs one attempt");
                match media.ingest(Bytes::from(bytes.clone())).await {
                    Ok(picture) => break picture,
                    Err(error) => assert!(matches!(error, MediaError::Unavailable(_)), "{error}"),
                }
            };
            while media.make_renditions(picture.hash).await.is_err() {
                attempts += 1;
                assert!(attempts <= 2, "one fault costs one attempt");
            }
            assert!(media.contains(picture.hash).await.is_ok() || faulty.pending_count() == 0);
            for rendition in Rendition::ALL {
                served(&media, picture.hash, rendition).await;
            }
        }
    }
}

#[tokio::test]
async fn a_removed_picture_is_gone_in_every_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("file:{}", folder.path().join("media").display());
    let media = Media::open(&url, Limits::default()).await.expect("a store");
    let picture = take(&media, &png_of(&gradient(80, 60))).await;
    media.make_renditions(picture.hash).await.expect("renditions");
    drop(media);
    let media = Media::open(&url, Limits::default()).await.expect("the store again");
    assert!(media.contains(picture.hash).await.expect("an answer"), "a restart keeps it");
    assert_eq!(media.list(None, 100).await.expect("a list").len(), BlobName::ALL.len());
    assert!(media.remove(picture.hash).await.expect("a removal"));
    assert!(!media.remove(picture.hash).await.expect("a second removal"));
    assert!(media.list(None, 100).await.expect("a list").is_empty());
    for rendition in Rendition::ALL {
        assert!(matches!(media.rendition(picture.hash, rendition).await, Err(MediaError::NotFound(_))));
    }
    assert!(matches!(media.make_renditions(picture.hash).await, Err(MediaError::NotFound(_))));
    assert!(matches!(media.picture(picture.hash).await, Err(MediaError::NotFound(_))));
    let files = walk(folder.path());
    assert!(files.is_empty(), "left on disk: {files:?}");
}

#[tokio::test]
async fn a_store_with_a_wrong_url_says_what_to_write() {
    for url in ["", "data/media", "file:", "s3:bucket", "memory:x"] {
        let error = Media::open(url, Limits::default()).await.expect_err(url);
        assert!(error.to_string().contains("file:data/media"), "{error}");
    }
}

#[tokio::test]
async fn many_large_pictures_wait_for_memory_instead_of_failing() {
    let limits = Limits { working_bytes_max: 3 * 1024 * 1024, workers_max: 8, ..Limits::default() };
    let media = Media::with_engine(Arc::new(MemoryEngine::default()), limits);
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..6 {
        let (media, bytes) = (media.clone(), png_of(&gradient(1_000 + index, 900)));
        tasks.spawn(async move {
            let picture = take(&media, &bytes).await;
            media.make_renditions(picture.hash).await
        });
    }
    while let Some(made) = tasks.join_next().await {
        made.expect("a task").expect("renditions");
    }
}
