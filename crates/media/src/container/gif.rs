//! GIF: header, colour table, then blocks; the frames are counted, comments and applications' blocks dropped.
//!
//! ```text
//! "GIF89a" │ screen │ table │ 21 f9 control · 2c frame · 21 fe comment · 21 ff application · 21 01 text │ 3b
//!                             keep          keep      drop       loop count only    drop       keep
//! ```
//!
//! Source: GIF89a specification.

use crate::{error::Refusal, picture::Format};

use super::{CUT_OFF, Container, PixelLayout, le16};

const HEADER_BYTES: usize = 13;

pub(super) fn read(bytes: &[u8]) -> Result<Container<'_>, Refusal> {
    let mut container = Container::new(Format::Gif, bytes);
    container.frames = 0;
    container.layout = PixelLayout::Canvas;
    let (Some(width), Some(height), Some(&flags)) = (le16(bytes, 6), le16(bytes, 8), bytes.get(10)) else {
        return Err(container.broken(CUT_OFF));
    };
    container.width = u32::from(width);
    container.height = u32::from(height);
    let mut at = HEADER_BYTES + color_table_bytes(flags);
    if at > bytes.len() {
        return Err(container.broken(CUT_OFF));
    }
    container.keep(0..at);
    loop {
        match bytes.get(at) {
            Some(0x3b) => break,
            Some(0x21) => at = read_extension(&mut container, bytes, at)?,
            Some(0x2c) => {
                let end = end_of_frame(bytes, at).ok_or_else(|| container.broken(CUT_OFF))?;
                container.keep(at..end);
                container.frames += 1;
                at = end;
            }
            // Browsers show what came before stray bytes or a missing end; so does the decoder.
            _ if container.frames > 0 => break,
            Some(_) => return Err(container.broken("its blocks make no sense")),
            None => return Err(container.broken(CUT_OFF)),
        }
    }
    if container.frames == 0 {
        return Err(container.broken("it holds no picture data"));
    }
    container.add(vec![0x3b]);
    Ok(container)
}

fn color_table_bytes(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

fn read_extension<'a>(container: &mut Container<'a>, bytes: &'a [u8], at: usize) -> Result<usize, Refusal> {
    let cut_off = |container: &Container<'_>| container.broken(CUT_OFF);
    let label = *bytes.get(at + 1).ok_or_else(|| cut_off(container))?;
    let end = end_of_blocks(bytes, at + 2).ok_or_else(|| cut_off(container))?;
    match label {
        0xf9 => container.keep(at..end),
        0xff => {
            let application = bytes.get(at + 3..at + 14);
            // Only the loop count, in its fixed size of one sub-block of three bytes.
            let is_loop_count =
                matches!(application, Some(b"NETSCAPE2.0" | b"ANIMEXTS1.0")) && end - at == 19 && bytes.get(at + 14) == Some(&3);
            if is_loop_count {
                container.keep(at..end);
            } else if application == Some(b"XMP DataXMP") {
                container.metadata.xmp = bytes.get(at + 14..end).map(without_trailer);
            }
        }
        0xfe => {
            let text = blocks(bytes, at + 2);
            let text = String::from_utf8_lossy(&text).into_owned();
            container.metadata.texts.push(("Comment".to_owned(), text));
        }
        _ => {}
    }
    Ok(end)
}

/// Cuts the "magic trailer" after XMP, which makes any reader of sub-blocks find the end.
fn without_trailer(packet: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let end = packet.iter().rposition(|&byte| byte == b'>').map_or(0, |last| last + 1);
    (&packet[..end]).into()
}

fn end_of_frame(bytes: &[u8], at: usize) -> Option<usize> {
    let flags = *bytes.get(at + 9)?;
    // The descriptor, its table, and one byte with the code size.
    end_of_blocks(bytes, at + 10 + color_table_bytes(flags) + 1)
}

/// Passes over sub-blocks (length, data) to behind the empty one.
fn end_of_blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1 + length;
        if length == 0 {
            return Some(at);
        }
    }
}

fn blocks(bytes: &[u8], mut at: usize) -> Vec<u8> {
    let mut joined = Vec::new();
    while let Some(&length) = bytes.get(at) {
        let end = at + 1 + usize::from(length);
        if length == 0 || end > bytes.len() {
            break;
        }
        joined.extend_from_slice(&bytes[at + 1..end]);
        at = end;
    }
    joined
}
