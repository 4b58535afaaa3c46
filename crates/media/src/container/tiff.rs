//! The orientation out of EXIF's TIFF structure, and the smallest EXIF that says it.
//!
//! ```text
//! "II" 42 | offset 8 | 1 entry: tag 0x0112, type SHORT, count 1, value | next IFD 0      (26 bytes)
//! ```

/// How stored pixels must be turned to be seen upright: the eight values of EXIF's orientation tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Orientation {
    Upright = 1,
    MirroredAcross = 2,
    Turned180 = 3,
    MirroredDown = 4,
    /// Mirrored along the diagonal from top left.
    Transposed = 5,
    /// To be turned right by 90°.
    Turned90 = 6,
    /// Mirrored along the diagonal from top right.
    Transversed = 7,
    /// To be turned right by 270°.
    Turned270 = 8,
}

impl Orientation {
    pub fn from_tag(tag: u16) -> Option<Orientation> {
        Some(match tag {
            1 => Orientation::Upright,
            2 => Orientation::MirroredAcross,
            3 => Orientation::Turned180,
            4 => Orientation::MirroredDown,
            5 => Orientation::Transposed,
            6 => Orientation::Turned90,
            7 => Orientation::Transversed,
            8 => Orientation::Turned270,
            _ => return None,
        })
    }

    /// Tells whether width and height change places.
    pub fn swaps_sides(self) -> bool {
        self as u16 >= 5
    }

    pub fn apply_to_size(self, width: u32, height: u32) -> (u32, u32) {
        if self.swaps_sides() { (height, width) } else { (width, height) }
    }

    /// Reads the orientation out of a TIFF structure; upright when it has none or is damaged.
    pub fn of_exif(tiff: &[u8]) -> Orientation {
        find(tiff).and_then(Orientation::from_tag).unwrap_or(Orientation::Upright)
    }

    /// Writes the smallest TIFF structure that says this orientation.
    pub fn to_exif(self) -> Vec<u8> {
        let mut tiff = Vec::with_capacity(26);
        tiff.extend_from_slice(b"II\x2a\0\x08\0\0\0");
        tiff.extend_from_slice(b"\x01\0");
        tiff.extend_from_slice(b"\x12\x01\x03\0\x01\0\0\0");
        tiff.extend_from_slice(&(self as u16).to_le_bytes());
        tiff.extend_from_slice(b"\0\0");
        tiff.extend_from_slice(b"\0\0\0\0");
        tiff
    }
}

fn find(tiff: &[u8]) -> Option<u16> {
    const ORIENTATION: u16 = 0x0112;
    const SHORT: u16 = 3;
    let big = match tiff.get(..4)? {
        b"MM\0\x2a" => true,
        b"II\x2a\0" => false,
        _ => return None,
    };
    let short = |at: usize| if big { super::be16(tiff, at) } else { super::le16(tiff, at) };
    let long = |at: usize| if big { super::be32(tiff, at) } else { super::le32(tiff, at) };
    let directory = usize::try_from(long(4)?).ok()?;
    let entries = usize::from(short(directory)?);
    for entry in 0..entries {
        let at = directory.checked_add(2 + entry * 12)?;
        if short(at)? == ORIENTATION && short(at + 2)? == SHORT {
            return short(at + 8);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_exif_is_read_back() {
        for tag in 1..=8 {
            let orientation = Orientation::from_tag(tag).expect("a tag of EXIF");
            assert_eq!(orientation.to_exif().len(), 26);
            assert_eq!(Orientation::of_exif(&orientation.to_exif()), orientation);
        }
    }

    #[test]
    fn damage_means_upright() {
        let whole = Orientation::Turned90.to_exif();
        for length in 0..20 {
            assert_eq!(Orientation::of_exif(&whole[..length]), Orientation::Upright);
        }
        assert_eq!(Orientation::of_exif(b"MM\0\x2a\xff\xff\xff\xff"), Orientation::Upright);
        let big = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0";
        assert_eq!(Orientation::of_exif(big), Orientation::Turned270);
    }
}
