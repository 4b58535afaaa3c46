//! Pictures that the program paints itself, for the demo: a few motifs, each different for every seed, always the same for one.

use anyhow::Context;
use jpeg_encoder::{ColorType, Encoder};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motif {
    Hills,
    Waves,
    Tiles,
    Weave,
    Night,
    Circles,
}

impl Motif {
    pub fn tag(self) -> &'static str {
        match self {
            Motif::Hills => "hills",
            Motif::Waves => "water",
            Motif::Tiles => "tiles",
            Motif::Weave => "textile",
            Motif::Night => "night",
            Motif::Circles => "circles",
        }
    }

    /// Says what such a picture shows.
    pub fn words(self) -> &'static str {
        match self {
            Motif::Hills => "Layers of hills under a low sun",
            Motif::Waves => "Bands of waves in soft colours",
            Motif::Tiles => "A pattern of square tiles cut in triangles",
            Motif::Weave => "A woven plaid",
            Motif::Night => "Stars and a moon over a dark ridge",
            Motif::Circles => "Rings around several centres",
        }
    }
}

type Color = [f32; 3];

/// Ground, far, middle, near, accent.
const PALETTES: [[Color; 5]; 8] = [
    [[0.98, 0.86, 0.68], [0.93, 0.62, 0.45], [0.70, 0.36, 0.38], [0.30, 0.20, 0.30], [0.99, 0.95, 0.80]],
    [[0.80, 0.90, 0.94], [0.48, 0.68, 0.78], [0.26, 0.46, 0.60], [0.12, 0.24, 0.36], [0.97, 0.82, 0.56]],
    [[0.93, 0.91, 0.82], [0.66, 0.72, 0.56], [0.40, 0.52, 0.40], [0.20, 0.30, 0.26], [0.85, 0.45, 0.30]],
    [[0.96, 0.80, 0.78], [0.82, 0.52, 0.60], [0.52, 0.32, 0.50], [0.24, 0.18, 0.34], [0.98, 0.88, 0.62]],
    [[0.90, 0.88, 0.94], [0.62, 0.62, 0.80], [0.40, 0.40, 0.62], [0.20, 0.20, 0.38], [0.95, 0.72, 0.66]],
    [[0.97, 0.93, 0.86], [0.80, 0.70, 0.56], [0.56, 0.44, 0.34], [0.28, 0.22, 0.20], [0.30, 0.52, 0.54]],
    [[0.86, 0.93, 0.86], [0.46, 0.70, 0.64], [0.20, 0.46, 0.48], [0.08, 0.24, 0.30], [0.96, 0.62, 0.40]],
    [[0.99, 0.90, 0.74], [0.96, 0.70, 0.36], [0.80, 0.38, 0.26], [0.36, 0.16, 0.20], [0.40, 0.60, 0.66]],
];

/// A small generator of chance (xorshift), so that a seed always paints the same picture.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }
}

fn mix(a: Color, b: Color, t: f32) -> Color {
    let t = t.clamp(0.0, 1.0);
    [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t]
}

/// Paints a picture and returns it as JPEG.
pub fn paint(motif: Motif, seed: u64) -> anyhow::Result<Vec<u8>> {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (motif as u64 + 1).wrapping_mul(0x2545_f491_4f6c_dd1d) | 1);
    for _ in 0..8 {
        chance.next();
    }
    let palette = PALETTES[(chance.next() * PALETTES.len() as f32) as usize % PALETTES.len()];
    let width = 900u32;
    let height = (width as f32 * (0.66 + chance.next() * 0.95)) as u32;
    let shade = shader(motif, palette, &mut chance, height as f32 / width as f32);
    let mut pixels = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            let color = shade(x as f32 / width as f32, y as f32 / width as f32);
            // A little grain: flat colours look printed, not drawn.
            let grain = (chance.next() - 0.5) * 0.025;
            pixels.extend(color.map(|channel| ((channel + grain).clamp(0.0, 1.0) * 255.0) as u8));
        }
    }
    let mut jpeg = Vec::new();
    let (w, h) = (u16::try_from(width).context("too wide")?, u16::try_from(height).context("too high")?);
    Encoder::new(&mut jpeg, 88).encode(&pixels, w, h, ColorType::Rgb)?;
    Ok(jpeg)
}

type Shader = Box<dyn Fn(f32, f32) -> Color>;

/// Returns the colour at (x, y); both are in widths of the picture.
fn shader(motif: Motif, palette: [Color; 5], chance: &mut Chance, ratio: f32) -> Shader {
    let [ground, far, middle, near, accent] = palette;
    let waves: Vec<[f32; 4]> = (0..5)
        .map(|_| {
            [
                chance.next() * std::f32::consts::TAU,
                1.5 + chance.next() * 3.0,
                chance.next() * std::f32::consts::TAU,
                4.0 + chance.next() * 7.0,
            ]
        })
        .collect();
    let ridge = move |n: usize, x: f32| {
        let [a, b, c, d] = waves[n % waves.len()];
        (x * b * 2.0 + a).sin() * 0.05 + (x * d + c).sin() * 0.02
    };
    let (cx, cy) = (0.2 + chance.next() * 0.6, ratio * (0.18 + chance.next() * 0.2));
    let radius = 0.06 + chance.next() * 0.07;
    match motif {
        Motif::Hills => Box::new(move |x, y| {
            let sky = mix(accent, ground, y / ratio * 1.6);
            let distance = ((x - cx).powi(2) + (y - cy).powi(2)).sqrt();
            let mut color = mix(mix(accent, [1.0, 1.0, 0.95], 0.6), sky, (distance - radius) * 60.0);
            for (n, tone) in [mix(ground, far, 0.6), far, mix(far, middle, 0.6), middle, near].into_iter().enumerate() {
                let top = ratio * (0.42 + n as f32 * 0.125) + ridge(n, x) * (1.0 + n as f32 * 0.3);
                if y > top {
                    color = mix(mix(tone, ground, 0.25), tone, (y - top) * 4.0);
                }
            }
            color
        }),
        Motif::Waves => Box::new(move |x, y| {
            let bands = 9.0;
            let place = y / ratio * bands + ridge((y / ratio * bands) as usize, x) * 9.0;
            let band = place.floor();
            let tone = [ground, far, mix(ground, far, 0.5), middle, accent][(band.rem_euclid(5.0)) as usize];
            mix(mix(tone, near, 0.18), tone, (place - band) * 3.0)
        }),
        Motif::Tiles => {
            let count = 5.0 + (cx * 4.0).floor();
            let turn = (cy * 97.0) as u32;
            Box::new(move |x, y| {
                let (tx, ty) = ((x * count).floor(), (y * count).floor());
                let (u, v) = (x * count - tx, y * count - ty);
                let kind = (tx as u32).wrapping_mul(7).wrapping_add((ty as u32).wrapping_mul(13)).wrapping_add(turn) % 4;
                let inside = match kind {
                    0 => u > v,
                    1 => u + v > 1.0,
                    2 => (u - 0.5).abs() + (v - 0.5).abs() < 0.42,
                    _ => (u - 0.5).powi(2) + (v - 0.5).powi(2) < 0.14,
                };
                let edge = u.min(v).min(1.0 - u).min(1.0 - v);
                let color = if inside { [middle, near, accent, far][kind as usize] } else { ground };
                if edge < 0.018 { mix(ground, near, 0.25) } else { color }
            })
        }
        Motif::Weave => Box::new(move |x, y| {
            let stripe = |at: f32| match (at * 11.0).rem_euclid(6.0) as u32 {
                0 | 1 => near,
                2 => accent,
                3 => middle,
                _ => ground,
            };
            let over = ((x * 220.0).floor() + (y * 220.0).floor()).rem_euclid(2.0) < 1.0;
            let thread = if over { stripe(x) } else { stripe(y) };
            mix(thread, far, 0.12)
        }),
        Motif::Night => {
            let stars: Vec<[f32; 3]> = (0..170).map(|_| [chance.next(), chance.next() * ratio, 0.0008 + chance.next() * 0.0022]).collect();
            Box::new(move |x, y| {
                let mut color = mix(mix(near, [0.02, 0.03, 0.09], 0.75), mix(middle, near, 0.5), (y / ratio).powi(2));
                for [sx, sy, size] in &stars {
                    let distance = ((x - sx).powi(2) + (y - sy).powi(2)).sqrt();
                    if distance < *size {
                        color = mix([1.0, 0.98, 0.9], color, distance / size);
                    }
                }
                let moon = ((x - cx).powi(2) + (y - cy).powi(2)).sqrt();
                let shadow = ((x - cx - radius * 0.5).powi(2) + (y - cy + radius * 0.2).powi(2)).sqrt();
                if moon < radius && shadow > radius * 0.9 {
                    color = mix(accent, [1.0, 1.0, 0.95], 0.5);
                }
                let top = ratio * 0.8 + ridge(1, x) * 1.6;
                if y > top { mix([0.02, 0.02, 0.05], near, (y - top) * 0.8) } else { color }
            })
        }
        Motif::Circles => {
            let centres: Vec<[f32; 3]> = (0..6).map(|_| [chance.next(), chance.next() * ratio, 0.10 + chance.next() * 0.25]).collect();
            Box::new(move |x, y| {
                let mut color = ground;
                for (n, [sx, sy, size]) in centres.iter().enumerate() {
                    let distance = ((x - sx).powi(2) + (y - sy).powi(2)).sqrt();
                    if distance < *size {
                        let ring = (distance / size * 6.0).floor() as usize + n;
                        color = [far, accent, middle, ground, near][ring % 5];
                    }
                }
                color
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_paints_the_same_and_another_one_differs() {
        for motif in [Motif::Hills, Motif::Waves, Motif::Tiles, Motif::Weave, Motif::Night, Motif::Circles] {
            let first = paint(motif, 1).unwrap();
            assert_eq!(first, paint(motif, 1).unwrap());
            assert_ne!(first, paint(motif, 2).unwrap());
            assert!(first.starts_with(b"\xff\xd8\xff"));
        }
    }
}
