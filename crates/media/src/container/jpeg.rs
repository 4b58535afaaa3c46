//! JPEG: a row of segments, with entropy-coded data after every start of scan.
//!
//! ```text
//! SOI │ APP0 APP1(EXIF, XMP) APP2(ICC) APP13(IPTC) APP14 COM │ DQT SOF DHT │ SOS data … │ SOS data … │ EOI │ rest
//!       keep  drop            keep      drop        keep drop   keep                              keep   drop
//! ```
//!
//! What follows the end (films of "motion photos", previews with their own GPS position) is dropped as well.
//! Source: ITU-T T.81 annex B.

use crate::{error::Refusal, limits::PROFILE_BYTES_MAX, picture::Format};

use super::{CUT_OFF, Container, Orientation, PixelLayout, be16};

const EXIF_HEADER: &[u8] = b"Exif\0\0";
const XMP_HEADER: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const ICC_HEADER: &[u8] = b"ICC_PROFILE\0";
const PHOTOSHOP_HEADER: &[u8] = b"Photoshop 3.0\0";

const SOI_BYTES: usize = 2;

pub(super) fn read(bytes: &[u8]) -> Result<Container<'_>, Refusal> {
    let mut container = Container::new(Format::Jpeg, bytes);
    container.keep(0..SOI_BYTES);
    let mut profile_parts: Vec<(u8, &[u8])> = Vec::new();
    let mut has_frame = false;
    let mut has_scan = false;
    let mut at = SOI_BYTES;
    loop {
        let Some((marker, start)) = next_marker(bytes, at) else {
            // Many writers forget the end marker. The decoder says whether the data are all there.
            if !has_scan {
                return Err(container.broken(CUT_OFF));
            }
            container.add(vec![0xff, 0xd9]);
            break;
        };
        match marker {
            0xd9 => {
                container.add(vec![0xff, 0xd9]);
                break;
            }
            // Restart markers and TEM stand alone.
            0x01 | 0xd0..=0xd8 => {
                at = start + 2;
                continue;
            }
            _ => {}
        }
        let end = be16(bytes, start + 2)
            .map(|length| start + 2 + usize::from(length))
            .filter(|&end| end <= bytes.len() && end >= start + 4)
            .ok_or_else(|| container.broken(CUT_OFF))?;
        let body = &bytes[start + 4..end];
        match marker {
            // Quantisation, Huffman and arithmetic tables, restart interval, number of lines.
            0xdb | 0xc4 | 0xcc | 0xdc | 0xdd => container.keep(start..end),
            0xc0..=0xcf => {
                if has_frame {
                    return Err(container.broken("it holds more than one frame"));
                }
                has_frame = true;
                read_frame(&mut container, marker, body)?;
                finish_header(&mut container, &mut profile_parts);
                container.keep(start..end);
            }
            0xda => {
                if !has_frame {
                    return Err(container.broken("its data come before its size"));
                }
                has_scan = true;
                let data_end = end_of_scan(bytes, end);
                container.keep(start..data_end);
                at = data_end;
                continue;
            }
            _ => read_application(&mut container, marker, body, start..end, &mut profile_parts),
        }
        at = end;
    }
    if !has_scan {
        return Err(container.broken("it holds no picture data"));
    }
    Ok(container)
}

/// Finds the next marker at or after `at`: its code and where its `ff` stands. Fill bytes and stray bytes are passed over.
fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        let byte = *bytes.get(at)?;
        let code = *bytes.get(at + 1)?;
        if byte == 0xff && code != 0xff && code != 0x00 {
            return Some((code, at));
        }
        at += 1;
    }
}

/// Finds where entropy-coded data end: at the next marker that is no restart, or at the end of the file.
fn end_of_scan(bytes: &[u8], mut at: usize) -> usize {
    while at + 1 < bytes.len() {
        if bytes[at] == 0xff && !matches!(bytes[at + 1], 0x00 | 0xff | 0xd0..=0xd7) {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

fn read_frame(container: &mut Container<'_>, marker: u8, body: &[u8]) -> Result<(), Refusal> {
    if !matches!(marker, 0xc0..=0xc3) {
        return Err(container.broken("it uses a rare kind of JPEG coding that cannot be read (arithmetic or hierarchical)"));
    }
    let (Some(height), Some(width), Some(&components)) = (be16(body, 1), be16(body, 3), body.get(5)) else {
        return Err(container.broken("its header is too short"));
    };
    if !matches!(components, 1 | 3 | 4) || body.len() < 6 + usize::from(components) * 3 {
        return Err(container.broken("its header makes no sense"));
    }
    let factors: Vec<(u32, u32)> =
        (0..usize::from(components)).map(|index| body[7 + index * 3]).map(|byte| (u32::from(byte >> 4), u32::from(byte & 15))).collect();
    if factors.iter().any(|&(h, v)| !(1..=4).contains(&h) || !(1..=4).contains(&v)) {
        return Err(container.broken("its header makes no sense"));
    }
    let across = factors.iter().map(|factor| factor.0).max().unwrap_or(1);
    let down = factors.iter().map(|factor| factor.1).max().unwrap_or(1);
    let samples: u32 = factors.iter().map(|(h, v)| h * v).sum();
    container.width = u32::from(width);
    container.height = u32::from(height);
    container.layout =
        PixelLayout::Jpeg { components, progressive: marker == 0xc2, samples_per_64: (64 * samples).div_ceil(across * down) };
    Ok(())
}

/// Puts the orientation and joins the colour profile before the frame header, where readers expect both.
fn finish_header(container: &mut Container<'_>, profile_parts: &mut Vec<(u8, &[u8])>) {
    if container.orientation != Orientation::Upright {
        let tiff = container.orientation.to_exif();
        let length = 2 + EXIF_HEADER.len() + tiff.len();
        let mut segment = vec![0xff, 0xe1];
        segment.extend_from_slice(&(length as u16).to_be_bytes());
        segment.extend_from_slice(EXIF_HEADER);
        segment.extend_from_slice(&tiff);
        container.add(segment);
    }
    profile_parts.sort_by_key(|part| part.0);
    let profile: Vec<u8> = profile_parts.iter().flat_map(|part| part.1.iter().copied()).collect();
    if !profile.is_empty() && profile.len() <= PROFILE_BYTES_MAX {
        container.icc = Some(profile);
    }
}

fn read_application<'a>(
    container: &mut Container<'a>,
    marker: u8,
    body: &'a [u8],
    range: std::ops::Range<usize>,
    profile_parts: &mut Vec<(u8, &'a [u8])>,
) {
    match marker {
        // JFIF without the preview that may hang on it.
        0xe0 if body.starts_with(b"JFIF\0") && body.len() >= 14 => {
            let mut segment = vec![0xff, 0xe0, 0, 16];
            segment.extend_from_slice(&body[..12]);
            segment.extend_from_slice(&[0, 0]);
            container.add(segment);
        }
        0xe1 if body.starts_with(EXIF_HEADER) => {
            let tiff = &body[EXIF_HEADER.len()..];
            if container.metadata.exif.is_none() {
                container.orientation = Orientation::of_exif(tiff);
                container.metadata.exif = Some(tiff);
            }
        }
        0xe1 if body.starts_with(XMP_HEADER) => {
            container.metadata.xmp.get_or_insert((&body[XMP_HEADER.len()..]).into());
        }
        0xe2 if body.starts_with(ICC_HEADER) && body.len() > ICC_HEADER.len() + 2 => {
            profile_parts.push((body[ICC_HEADER.len()], &body[ICC_HEADER.len() + 2..]));
            container.keep(range);
        }
        0xed if body.starts_with(PHOTOSHOP_HEADER) => {
            container.metadata.iptc = iptc_resource(&body[PHOTOSHOP_HEADER.len()..]).or(container.metadata.iptc);
        }
        // Adobe's marker says how the colours are coded; a fixed size leaves no room for anything else.
        0xee if body.starts_with(b"Adobe") && body.len() == 12 => container.keep(range),
        0xfe => {
            let text = String::from_utf8_lossy(body).trim_end_matches('\0').to_owned();
            container.metadata.texts.push(("Comment".to_owned(), text));
        }
        _ => {}
    }
}

/// Finds IPTC among Photoshop's image resources: `8BIM`, id, padded name, length, data padded to even.
fn iptc_resource(mut resources: &[u8]) -> Option<&[u8]> {
    const IPTC: u16 = 0x0404;
    loop {
        if resources.get(..4)? != b"8BIM" {
            return None;
        }
        let id = be16(resources, 4)?;
        let name = usize::from(*resources.get(6)?);
        let length_at = 6 + (1 + name).next_multiple_of(2);
        let length = usize::try_from(super::be32(resources, length_at)?).ok()?;
        let start = length_at + 4;
        let block = resources.get(start..start.checked_add(length)?)?;
        if id == IPTC {
            return Some(block);
        }
        resources = resources.get(start + length.next_multiple_of(2)..)?;
    }
}
