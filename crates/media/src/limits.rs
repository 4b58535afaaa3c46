//! Every limit on pictures, with its unit, its reason and what happens when it is hit.

/// Limits on what is taken in and on what decoding may cost. All of them end in a [`Refusal`](crate::Refusal)
/// that says what was found and what is allowed, except `working_bytes_max`, which makes work wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one received file.
    pub body_bytes_max: u64,
    /// Pixels of one picture (width × height) that is decoded whole: all but the next.
    pub pixels_max: u64,
    /// Pixels along one side of a picture that is decoded whole.
    pub side_pixels_max: u32,
    /// Pixels of one PNG that is decoded row by row: one that moves not, is not interlaced, and is over the limits above.
    pub streamed_pixels_max: u64,
    /// Pixels along one side of a PNG that is decoded row by row.
    pub streamed_side_pixels_max: u32,
    /// Frames of one animation.
    pub frames_max: u32,
    /// Pixels of all frames of one animation together.
    pub animation_pixels_max: u64,
    /// Bytes that decoding one picture may need.
    pub decode_bytes_max: u64,
    /// Bytes that all decoding at one time may need; further pictures wait for their turn.
    pub working_bytes_max: u64,
    /// Pictures worked on at one time; 0 means one per core.
    pub workers_max: usize,
}

/// Takes what cameras and editors make; a larger file is nearly always a raw scan. Pinterest takes 20 MB as well.
pub const BODY_BYTES_MAX: u64 = 20 * 1024 * 1024;
/// The largest common cameras make 100 megapixels; beyond it a small file can ask for gigabytes of memory.
pub const PIXELS_MAX: u64 = 100_000_000;
/// A longer side breaks browsers (textures) and JPEG encoders (65,535) alike.
pub const SIDE_PIXELS_MAX: u32 = 20_000;
/// Drawings that were exported for posters have 600 megapixels in 3 MB. Memory does not grow with them, only time: a
/// bomb of a thousand megapixels of nothing costs a few seconds of one core. It is decoded on one of the threads for
/// pixels, of which there are as many as cores, so that bombs queue up behind each other and hold up nothing else.
pub const STREAMED_PIXELS_MAX: u64 = 1_000_000_000;
/// An A0 poster at 600 dots per inch has 28,087; the renditions are far shorter, and JPEG ends at 65,535.
pub const STREAMED_SIDE_PIXELS_MAX: u32 = 40_000;
/// Bytes that the reduced raster of a picture decoded row by row should have at most; a larger one is reduced further,
/// but never below the size of its renditions.
pub const STREAMED_RASTER_BYTES_GOAL: u64 = 96 * 1024 * 1024;
/// A longer animation is a film, and browsers hold every frame.
pub const FRAMES_MAX: u32 = 2_000;
/// Two thousand frames of a megapixel; the reader's browser pays for every one of them.
pub const ANIMATION_PIXELS_MAX: u64 = 2_000_000_000;
/// Enough for 100 megapixels of any ordinary JPEG or PNG; what needs more would starve everybody else.
pub const DECODE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// One picture of the worst kind, or many ordinary ones, at one time.
pub const WORKING_BYTES_MAX: u64 = 640 * 1024 * 1024;

/// Temporary files older than this belong to a process that died while writing; opening a store deletes them.
/// No write takes an hour, and another living process may be writing younger ones.
pub const STALE_TEMPORARY_SECONDS: u64 = 3_600;

/// Characters kept of any text read from a picture's metadata; the rest is cut. Longer ones are edit histories.
pub const METADATA_TEXT_CHARS_MAX: usize = 4_000;
/// Keywords kept of one picture; the rest is dropped.
pub const METADATA_KEYWORDS_MAX: usize = 100;
/// Bytes of one metadata block after decompression; a larger one is ignored.
pub const METADATA_BLOCK_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a colour profile after decompression; a larger one is ignored. The largest printer profiles have 4 MB.
pub const PROFILE_BYTES_MAX: usize = 8 * 1024 * 1024;

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes_max: BODY_BYTES_MAX,
            pixels_max: PIXELS_MAX,
            side_pixels_max: SIDE_PIXELS_MAX,
            streamed_pixels_max: STREAMED_PIXELS_MAX,
            streamed_side_pixels_max: STREAMED_SIDE_PIXELS_MAX,
            frames_max: FRAMES_MAX,
            animation_pixels_max: ANIMATION_PIXELS_MAX,
            decode_bytes_max: DECODE_BYTES_MAX,
            working_bytes_max: WORKING_BYTES_MAX,
            workers_max: 0,
        }
    }
}
