//! CPU time and likeness of our four renditions, against `vipsthumbnail` making the same four sizes.
//!
//! ```text
//! cargo bench -p media --bench thumbnails                        small: two generated pictures, sanity asserted
//! cargo bench -p media --bench thumbnails -- FOLDER …            the photographs in these folders
//! cargo bench -p media --bench thumbnails -- --installed         those of the wallpaper packages of Debian
//! ```
//!
//! Both sides read each picture from a file and write four files. The peer runs once per size over all pictures, so that
//! its start is paid four times in all, on one thread, with the same JPEG quality. Rounds are interleaved. CPU time is
//! user + system, from `/proc/self/stat`: our own, and that of children that were waited for.
//!
//! Likeness is SSIM on luma in windows of 8 × 8, against Lanczos3 of the full-size decode in one step. `ssim_min` and
//! `ssim_mean` judge decoding and reduction alone: the files are written at quality 100 for this. `ssim_file_min` and
//! `ssim_file_mean` are of the files as they are stored, compression included, and `…_of_peer` of the peer's files.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use fast_image_resize::{PixelType, ResizeOptions, Resizer, images::Image};
use image::{DynamicImage, ImageDecoder as _, ImageReader};
use media::{Hash, JPEG_QUALITY, Limits, Rendition, render_all};

const PEER: &str = "vipsthumbnail";
const ROUNDS: usize = 3;
const CPU_RATIO_GOAL: f64 = 1.0;
const SSIM_GOAL: f64 = 0.98;
/// Narrower files in the wallpaper packages are previews of others.
const WIDTH_MIN: u32 = 1_200;
const INSTALLED: [&str; 2] = ["/usr/share/backgrounds", "/usr/share/wallpapers"];
/// `USER_HZ` on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut folders: Vec<PathBuf> = arguments.iter().filter(|argument| !argument.starts_with('-')).map(PathBuf::from).collect();
    if arguments.iter().any(|argument| argument == "--installed") {
        folders.extend(INSTALLED.map(PathBuf::from));
    }
    let work = tempfile::tempdir().expect("a temporary folder");
    if folders.is_empty() || arguments.iter().any(|argument| argument == "--test") {
        small(work.path());
    } else {
        large(work.path(), &folders);
    }
}

/// Runs over two generated pictures and asserts sanity, so that this file can't rot.
fn small(work: &Path) {
    let pictures = generated(work);
    let result = measure(work, &pictures, 1);
    result.print(false);
    assert!(result.likeness.min > 0.98, "renditions do not look like their originals: {}", result.likeness.min);
    assert!(result.likeness.count == 8, "four renditions of each picture");
    assert!((ssim(&[7; 64 * 64], &[7; 64 * 64], 64) - 1.0).abs() < 1e-9);
    let noise: Vec<u8> = (0..64 * 64_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert!(ssim(&[7; 64 * 64], &noise, 64) < 0.2);
}

fn large(work: &Path, folders: &[PathBuf]) {
    let mut pictures = Vec::new();
    let mut seen = HashSet::new();
    for folder in folders {
        if !folder.is_dir() {
            eprintln!(
                "SKIPPED: {} is not there. Install mate-backgrounds and plasma-workspace-wallpapers, or name other folders.",
                folder.display()
            );
        }
        collect(folder, &mut seen, &mut pictures, work);
    }
    if pictures.is_empty() {
        eprintln!("SKIPPED: no photographs found, so nothing was measured.");
        std::process::exit(2);
    }
    pictures.sort();
    eprintln!("{} photographs", pictures.len());
    measure(work, &pictures, ROUNDS).print(true);
}

/// Copies the photographs under a folder (JPEG, and PNG that is all opaque) into the work folder under unique names.
fn collect(folder: &Path, seen: &mut HashSet<Hash>, pictures: &mut Vec<PathBuf>, work: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            collect(&path, seen, pictures, work);
        }
        let is_photograph = path.extension().is_some_and(|ending| ending == "jpg" || ending == "png");
        if !kind.is_file() || !is_photograph {
            continue;
        }
        let Ok(bytes) = fs::read(&path) else { continue };
        let Ok(picture) = image::load_from_memory(&bytes) else { continue };
        let is_opaque = !picture.color().has_alpha() || picture.to_rgba8().pixels().all(|pixel| pixel[3] == 255);
        if is_opaque && picture.width() >= WIDTH_MIN && seen.insert(Hash::of(&bytes)) {
            let ending = path.extension().map_or_else(String::new, |ending| ending.to_string_lossy().into_owned());
            let copy = work.join(format!("picture{:03}.{ending}", pictures.len()));
            fs::write(&copy, bytes).expect("a copy");
            pictures.push(copy);
        }
    }
}

fn generated(work: &Path) -> Vec<PathBuf> {
    let soft = image::RgbImage::from_fn(1_800, 1_200, |x, y| {
        let wave = |scale: f64| ((f64::from(x) / scale).sin() * (f64::from(y) / scale).cos() * 100.0 + 128.0) as u8;
        image::Rgb([wave(40.0), wave(90.0), wave(170.0)])
    });
    let jpeg = work.join("picture000.jpg");
    soft.save(&jpeg).expect("a JPEG");
    let png = work.join("picture001.png");
    image::imageops::rotate90(&soft).save(&png).expect("a PNG");
    vec![jpeg, png]
}

struct Measured {
    pictures: usize,
    calibration_seconds: f64,
    own_seconds: f64,
    own_seconds_by_format: Vec<(String, f64)>,
    peer_seconds: Option<f64>,
    likeness: Likeness,
    file_likeness: Likeness,
    peer_likeness: Option<Likeness>,
}

#[derive(Clone, Copy)]
struct Likeness {
    min: f64,
    mean: f64,
    count: usize,
}

fn measure(work: &Path, pictures: &[PathBuf], rounds: usize) -> Measured {
    let own_folder = work.join("own");
    let peer_folder = work.join("peer");
    fs::create_dir_all(&own_folder).expect("a folder");
    fs::create_dir_all(&peer_folder).expect("a folder");
    let calibration_seconds = calibrate(&pictures[0]);
    let has_peer = Command::new(PEER).arg("--vips-version").output().is_ok_and(|output| output.status.success());
    if !has_peer {
        eprintln!("SKIPPED: {PEER} is not installed (libvips-tools), so there is nothing to compare with.");
    }
    let mut own = Vec::new();
    let mut peer = Vec::new();
    let mut own_by_format: Vec<(String, f64)> = Vec::new();
    for _ in 0..rounds {
        let before = cpu_seconds().own;
        for path in pictures {
            let before = cpu_seconds().own;
            render_to(path, &own_folder, JPEG_QUALITY);
            let format = path.extension().map_or_else(String::new, |ending| ending.to_string_lossy().into_owned());
            let spent = (cpu_seconds().own - before) / rounds as f64;
            match own_by_format.iter_mut().find(|other| other.0 == format) {
                Some(sum) => sum.1 += spent,
                None => own_by_format.push((format, spent)),
            }
        }
        own.push(cpu_seconds().own - before);
        if has_peer {
            let before = cpu_seconds().children;
            for rendition in Rendition::MADE {
                run_peer(pictures, rendition, &peer_folder);
            }
            peer.push(cpu_seconds().children - before);
        }
    }
    let exact_folder = work.join("exact");
    fs::create_dir_all(&exact_folder).expect("a folder");
    for path in pictures {
        render_to(path, &exact_folder, 100);
    }
    let [likeness, file_likeness, peer_likeness] = likeness(pictures, [&exact_folder, &own_folder, &peer_folder]);
    Measured {
        pictures: pictures.len(),
        calibration_seconds,
        own_seconds: median(own),
        own_seconds_by_format: own_by_format,
        peer_seconds: has_peer.then(|| median(peer)),
        likeness,
        file_likeness,
        peer_likeness: has_peer.then_some(peer_likeness),
    }
}

impl Measured {
    fn print(&self, is_judged: bool) {
        println!(
            "{{\"bench\":\"thumbnails\",\"figure\":\"calibration\",\"value\":{:.3},\"unit\":\"s\",\"goal\":null,\"peer\":null,\"ratio\":null,\"meets\":null}}",
            self.calibration_seconds
        );
        let ratio = self.peer_seconds.map(|peer| self.own_seconds / peer.max(1e-9));
        let per_picture = |seconds: f64| seconds * 1_000.0 / self.pictures as f64;
        line("cpu_per_picture", per_picture(self.own_seconds), "ms", None, ratio, None);
        for (format, seconds) in &self.own_seconds_by_format {
            line(&format!("cpu_{format}"), *seconds, "s", None, None, None);
        }
        if let Some(peer) = self.peer_seconds {
            line("cpu_per_picture_of_peer", per_picture(peer), "ms", None, None, None);
        }
        if let Some(ratio) = ratio {
            line("cpu_ratio", ratio, "x", Some(CPU_RATIO_GOAL), Some(ratio), is_judged.then_some(ratio <= CPU_RATIO_GOAL));
        }
        let judged = |value: f64| is_judged.then_some(value >= SSIM_GOAL);
        line("ssim_min", self.likeness.min, "ssim", Some(SSIM_GOAL), None, judged(self.likeness.min));
        line("ssim_mean", self.likeness.mean, "ssim", Some(SSIM_GOAL), None, judged(self.likeness.mean));
        let ratio = |own: f64, peer: fn(Likeness) -> f64| self.peer_likeness.map(|likeness| own / peer(likeness));
        line("ssim_file_min", self.file_likeness.min, "ssim", None, ratio(self.file_likeness.min, |peer| peer.min), None);
        line("ssim_file_mean", self.file_likeness.mean, "ssim", None, ratio(self.file_likeness.mean, |peer| peer.mean), None);
        if let Some(peer) = self.peer_likeness {
            line("ssim_file_min_of_peer", peer.min, "ssim", None, None, None);
            line("ssim_file_mean_of_peer", peer.mean, "ssim", None, None, None);
        }
    }
}

fn line(figure: &str, value: f64, unit: &str, goal: Option<f64>, ratio: Option<f64>, meets: Option<bool>) {
    let or_null = |value: Option<String>| value.unwrap_or_else(|| "null".to_owned());
    println!(
        "{{\"bench\":\"thumbnails\",\"figure\":\"{figure}\",\"value\":{value:.4},\"unit\":\"{unit}\",\"goal\":{},\"peer\":{},\"ratio\":{},\"meets\":{}}}",
        or_null(goal.map(|goal| goal.to_string())),
        or_null(ratio.map(|_| format!("\"{PEER}\""))),
        or_null(ratio.map(|ratio| format!("{ratio:.4}"))),
        or_null(meets.map(|meets| meets.to_string())),
    );
}

/// Times a fixed piece of work, so that figures of different machines can be told apart.
fn calibrate(picture: &Path) -> f64 {
    let bytes = fs::read(picture).expect("a picture");
    let before = cpu_seconds().own;
    let mut last = Hash::of(&bytes);
    for _ in 0..200_000 {
        last = Hash::of(last.as_bytes());
    }
    std::hint::black_box(last);
    cpu_seconds().own - before
}

struct CpuSeconds {
    own: f64,
    children: f64,
}

/// Reads fields 14 to 17 of `/proc/self/stat`: utime, stime, cutime, cstime in ticks.
fn cpu_seconds() -> CpuSeconds {
    let stat = fs::read_to_string("/proc/self/stat").expect("/proc is mounted");
    // The name in parentheses may hold spaces.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |split| split.1).split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    CpuSeconds { own: (ticks(11) + ticks(12)) / TICKS_PER_SECOND, children: (ticks(13) + ticks(14)) / TICKS_PER_SECOND }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn output(folder: &Path, picture: &Path, rendition: Rendition) -> PathBuf {
    let name = picture.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    folder.join(format!("{name}-{rendition}.jpg"))
}

fn render_to(picture: &Path, folder: &Path, quality: u8) {
    let bytes = fs::read(picture).expect("a picture");
    let made = render_all(&bytes, &Limits::default(), quality).unwrap_or_else(|refusal| panic!("{}: {refusal}", picture.display()));
    for (rendition, encoded) in made {
        fs::write(output(folder, picture, rendition), encoded).expect("a rendition");
    }
}

fn run_peer(pictures: &[PathBuf], rendition: Rendition, folder: &Path) {
    let mut command = Command::new(PEER);
    command.env("VIPS_CONCURRENCY", "1").args(pictures).arg("--size").arg(format!("{rendition}>"));
    if matches!(rendition, Rendition::Square150 | Rendition::Crop400x300) {
        command.args(["--smartcrop", "centre"]);
    }
    let status =
        command.args(["--eprofile", "srgb", "-o"]).arg(format!("{}/%s-{rendition}.jpg[Q={JPEG_QUALITY},strip]", folder.display())).status();
    assert!(status.is_ok_and(|status| status.success()), "{PEER} failed");
}

/// Compares every rendition in each of the folders with its reference. The peer rounds sizes in its own way; what
/// differs by a row, or is not there, is not compared.
fn likeness(pictures: &[PathBuf], folders: [&Path; 3]) -> [Likeness; 3] {
    let mut values: [Vec<f64>; 3] = Default::default();
    for path in pictures {
        let full = load(path);
        for rendition in Rendition::MADE {
            let exact = load(&output(folders[0], path, rendition));
            let (width, height) = (exact.width, exact.height);
            let reference = full.reduced(width, height);
            for (folder, values) in folders.iter().zip(&mut values) {
                let file = output(folder, path, rendition);
                if !file.exists() {
                    continue;
                }
                let made = load(&file);
                if (made.width, made.height) == (width, height) {
                    values.push(ssim(&reference, &made.luma(), width));
                    if std::env::var_os("THUMBNAILS_VERBOSE").is_some() {
                        eprintln!("{} {:.4}", file.display(), values[values.len() - 1]);
                    }
                }
            }
        }
    }
    values.map(|values| summed_up(&values))
}

fn summed_up(values: &[f64]) -> Likeness {
    Likeness {
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        mean: values.iter().sum::<f64>() / values.len() as f64,
        count: values.len(),
    }
}

/// A picture in RGB, upright and in sRGB.
struct Loaded {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

fn load(path: &Path) -> Loaded {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut decoder =
        ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format().expect("a format").into_decoder().expect("a picture");
    let orientation = decoder.orientation().expect("an orientation");
    let profile = decoder.icc_profile().expect("a profile or none");
    let mut picture = DynamicImage::from_decoder(decoder).expect("pixels");
    picture.apply_orientation(orientation);
    let is_gray = !picture.color().has_color();
    let picture = picture.into_rgb8();
    let (width, height) = picture.dimensions();
    let mut rgb = picture.into_raw();
    if let Some(profile) = profile.and_then(|profile| moxcms::ColorProfile::new_from_slice(&profile).ok())
        && is_gray == (profile.color_space == moxcms::DataColorSpace::Gray)
        && let Ok(transform) = profile.create_transform_8bit(
            moxcms::Layout::Rgb,
            &moxcms::ColorProfile::new_srgb(),
            moxcms::Layout::Rgb,
            moxcms::TransformOptions::default(),
        )
    {
        let source = rgb.clone();
        transform.transform(&source, &mut rgb).expect("colours");
    }
    Loaded { width, height, rgb }
}

impl Loaded {
    fn luma(&self) -> Vec<u8> {
        self.rgb
            .chunks_exact(3)
            .map(|pixel| ((u32::from(pixel[0]) * 299 + u32::from(pixel[1]) * 587 + u32::from(pixel[2]) * 114 + 500) / 1_000) as u8)
            .collect()
    }

    /// Reduces by Lanczos3 in one step, cut around the centre, and gives luma.
    fn reduced(&self, width: u32, height: u32) -> Vec<u8> {
        let source = Image::from_vec_u8(self.width, self.height, self.rgb.clone(), PixelType::U8x3).expect("a source");
        let mut target = Image::new(width, height, PixelType::U8x3);
        let mut options = ResizeOptions::new();
        let exact = f64::from(self.height) * f64::from(width) / f64::from(self.width);
        if (exact - f64::from(height)).abs() > 1.0 {
            options = options.fit_into_destination(None);
        }
        Resizer::new().resize(&source, &mut target, &options).expect("a reduction");
        Loaded { width, height, rgb: target.into_vec() }.luma()
    }
}

/// Structural similarity: the mean over windows of 8 × 8, every fourth pixel (Wang et al., 2004).
fn ssim(first: &[u8], second: &[u8], width: u32) -> f64 {
    const WINDOW: usize = 8;
    const STRIDE: usize = 4;
    const C1: f64 = (0.01 * 255.0) * (0.01 * 255.0);
    const C2: f64 = (0.03 * 255.0) * (0.03 * 255.0);
    let width = width as usize;
    let height = first.len() / width;
    let mut sum = 0.0;
    let mut count = 0;
    for top in (0..=height.saturating_sub(WINDOW)).step_by(STRIDE) {
        for left in (0..=width.saturating_sub(WINDOW)).step_by(STRIDE) {
            let (mut a, mut b, mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for y in top..top + WINDOW {
                for x in left..left + WINDOW {
                    let (p, q) = (f64::from(first[y * width + x]), f64::from(second[y * width + x]));
                    a += p;
                    b += q;
                    aa += p * p;
                    bb += q * q;
                    ab += p * q;
                }
            }
            let n = (WINDOW * WINDOW) as f64;
            let (mean_a, mean_b) = (a / n, b / n);
            let (variance_a, variance_b) = (aa / n - mean_a * mean_a, bb / n - mean_b * mean_b);
            let covariance = ab / n - mean_a * mean_b;
            sum += (2.0 * mean_a * mean_b + C1) * (2.0 * covariance + C2)
                / ((mean_a * mean_a + mean_b * mean_b + C1) * (variance_a + variance_b + C2));
            count += 1;
        }
    }
    sum / f64::from(count)
}
