//! What can go wrong, said by what is known about it.

use crate::picture::{Format, Hash};

/// Why a received file is not taken as a picture. Every message can be shown to the person who sent the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing was received.
    #[error("This file is empty. Send a JPEG, PNG, GIF or WebP picture.")]
    Empty,
    /// The file is larger than the limit.
    #[error("This file has {}; the limit is {}. Make the picture smaller and send it again.", mib(*.bytes), mib(*.limit))]
    TooLarge { bytes: u64, limit: u64 },
    /// The bytes are of another kind, whatever the name says.
    #[error("This file holds {holds}, whatever its name says. Only JPEG, PNG, GIF and WebP pictures are taken.")]
    NotAPicture { holds: &'static str },
    /// Width × height is over the limit.
    #[error("This picture has {} × {} pixels; the limit is {} in all. Make it smaller and send it again.", grouped(u64::from(*.width)), grouped(u64::from(*.height)), grouped(*.limit))]
    TooManyPixels { width: u32, height: u32, limit: u64 },
    /// One side is over the limit.
    #[error("This picture has {} × {} pixels; the limit is {} along a side. Make it smaller and send it again.", grouped(u64::from(*.width)), grouped(u64::from(*.height)), grouped(u64::from(*.limit)))]
    SideTooLong { width: u32, height: u32, limit: u32 },
    /// An interlaced PNG is over the limits of what is decoded whole, and would be taken if it were not interlaced.
    #[error("This interlaced PNG picture has {} × {} pixels; interlaced, the limit is {} in all and {} along a side. Save it without interlacing, or make it smaller, and send it again.", grouped(u64::from(*.width)), grouped(u64::from(*.height)), grouped(*.limit), grouped(u64::from(*.side_limit)))]
    TooLargeInterlaced { width: u32, height: u32, limit: u64, side_limit: u32 },
    /// The animation has too many frames, or too many pixels over all of its frames.
    #[error("This animation has {} frames of {} × {} pixels; the limit is {} frames and {} pixels over all of them. Shorten it or make it smaller.", grouped(u64::from(*.frames)), grouped(u64::from(*.width)), grouped(u64::from(*.height)), grouped(u64::from(*.frames_limit)), grouped(*.pixels_limit))]
    TooLongAnimation { frames: u32, width: u32, height: u32, frames_limit: u32, pixels_limit: u64 },
    /// Decoding would need more memory than the limit.
    #[error("This {format} picture would need {} of memory to open; the limit is {}. Make it smaller, or save it without interlacing, and send it again.", mib(*.bytes), mib(*.limit))]
    TooMuchMemory { format: Format, bytes: u64, limit: u64 },
    /// The file starts like a picture but can't be read to its end.
    #[error("This {format} picture is broken: {why}. Open it in a picture editor, save it again, and send that.")]
    Broken { format: Format, why: String },
}

impl Refusal {
    /// Names the reason for metrics and import reports.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::Empty => "empty",
            Refusal::TooLarge { .. } => "too_large",
            Refusal::NotAPicture { .. } => "not_a_picture",
            Refusal::TooManyPixels { .. } => "too_many_pixels",
            Refusal::SideTooLong { .. } => "side_too_long",
            Refusal::TooLargeInterlaced { .. } => "too_large_interlaced",
            Refusal::TooLongAnimation { .. } => "too_long_animation",
            Refusal::TooMuchMemory { .. } => "too_much_memory",
            Refusal::Broken { .. } => "broken",
        }
    }

    pub(crate) fn broken(format: Format, why: impl Into<String>) -> Refusal {
        Refusal::Broken { format, why: why.into() }
    }
}

/// What the front answers when it can't do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The received file is not taken; the message is for the person who sent it.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The argument makes no sense; the message says what to write instead.
    #[error("{0}")]
    Invalid(String),
    /// No picture with this hash is stored.
    #[error("No picture with hash {0} is stored.")]
    NotFound(Hash),
    /// The store did not do it; nothing has changed.
    #[error("The picture store is unavailable: {0}")]
    Unavailable(String),
    /// What is stored can't be read as what it should be.
    #[error("The stored picture {hash} is damaged: {why}. Restore it from a backup.")]
    Corrupt { hash: Hash, why: String },
}

/// What an engine answers when it can't do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// It did not happen, and nothing has changed.
    #[error("{0}")]
    Unavailable(String),
    /// It may have happened; doing it again is safe.
    #[error("{0} (it may have happened; doing it again is safe)")]
    Unknown(String),
}

impl From<EngineError> for MediaError {
    fn from(error: EngineError) -> MediaError {
        MediaError::Unavailable(error.to_string())
    }
}

/// Writes a number with thousands separated by commas: `30,000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes bytes as people read them: `20.0 MiB`, below a tenth of it `812 bytes`.
pub(crate) fn mib(bytes: u64) -> String {
    const MIB: f64 = 1_048_576.0;
    if bytes < 104_858 {
        return format!("{} bytes", grouped(bytes));
    }
    format!("{:.1} MiB", bytes as f64 / MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_can_be_read_by_people() {
        let bomb = Refusal::TooManyPixels { width: 30_000, height: 30_000, limit: 100_000_000 };
        assert_eq!(
            bomb.to_string(),
            "This picture has 30,000 × 30,000 pixels; the limit is 100,000,000 in all. Make it smaller and send it again."
        );
        let interlaced = Refusal::TooLargeInterlaced { width: 12_000, height: 10_000, limit: 100_000_000, side_limit: 20_000 };
        assert_eq!(
            interlaced.to_string(),
            "This interlaced PNG picture has 12,000 × 10,000 pixels; interlaced, the limit is 100,000,000 in all and 20,000 along a side. \
             Save it without interlacing, or make it smaller, and send it again."
        );
        let heavy = Refusal::TooLarge { bytes: 31_457_280, limit: 20_971_520 };
        assert_eq!(heavy.to_string(), "This file has 30.0 MiB; the limit is 20.0 MiB. Make the picture smaller and send it again.");
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(mib(812), "812 bytes");
    }
}
