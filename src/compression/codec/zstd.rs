//! Zstandard: frames of whole buffers, by the C library.

use super::{BlockCodec, Decode, Encode};
use crate::base::error::{AtlasError, Result};
use crate::base::units::to_u64;
use zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd_safe::{CCtx, DCtx, ErrorCode, find_frame_compressed_size, get_error_name, is_error_kind};

/// The codec Zstandard (RFC 8878). A stream is one or more frames.
pub(super) struct Zstd;

/// Level for trials, with short searches.
const QUICK_LEVEL: i32 = 1;
/// Highest level at which byte planes are divided into pieces, because the tables for larger inputs do not fit
/// the cache. Above this level the search takes so long that cache misses do not matter, and whole planes
/// compress better.
const LAST_CUT_LEVEL: i32 = 3;
/// Number of bytes of a piece of a byte plane. Each piece becomes a frame of its own.
const PIECE: usize = 64 * 1024;
/// Bytes to reserve for the state of a decoder, which needs 94 KiB.
const DECODER_FOOTPRINT: usize = 112 * 1024;

impl BlockCodec for Zstd {
    fn quick_level(&self, level: i32) -> i32 {
        if level == 0 { QUICK_LEVEL } else { level.min(QUICK_LEVEL) }
    }

    /// Returns 32,768, because a block of four bytes can stand for 131,072 times the same byte.
    fn max_expansion(&self) -> usize {
        32_768
    }

    /// Returns `len` and more than the library needs besides it for all pieces: 1/256 of `len`, and 64 bytes per piece.
    fn room(&self, len: usize) -> usize {
        len + len / 128 + 1_024
    }

    /// Returns the size that the library reports for its states, rounded up. A test compares them.
    fn encoder_footprint(&self, level: i32, len: usize) -> usize {
        /// Levels, each with the KiB needed up to this level for inputs of up to 16, 128, 256 and 1,024 KiB.
        const KIB: [(i32, [usize; 4]); 6] = [
            (-1, [128, 544, 552, 552]),
            (2, [232, 648, 648, 784]),
            (4, [304, 1_552, 1_552, 2_576]),
            (8, [304, 1_168, 3_088, 5_648]),
            (12, [520, 2_064, 4_624, 10_768]),
            (22, [592, 2_832, 5_408, 17_696]),
        ];
        // Level 0 means 3.
        let level = if level == 0 { super::ZSTD_DEFAULT } else { level };
        let class = [16, 128, 256].iter().position(|kib| len <= kib * 1024).unwrap_or(3);
        let row = KIB.iter().find(|(most, _)| level <= *most).unwrap_or(&KIB[5]);
        row.1[class] * 1024
    }

    fn decoder_footprint(&self, _len: usize) -> usize {
        DECODER_FOOTPRINT
    }

    fn encoder(&self, level: i32) -> Result<Box<dyn Encode>> {
        Ok(Box::new(Encoder { level, context: None }))
    }

    fn decoder(&self) -> Result<Box<dyn Decode>> {
        Ok(Box::new(Decoder(None)))
    }
}

fn no_memory() -> AtlasError {
    AtlasError::out_of_memory("no memory for the tables of Zstandard".to_owned())
}

/// Encoder of Zstandard streams of one level.
struct Encoder {
    level: i32,
    /// Context of the library for the encoder, made for the first stream.
    context: Option<CCtx<'static>>,
}

impl Encode for Encoder {
    fn encode(&mut self, from: &[u8], to: &mut [u8]) -> Result<Option<usize>> {
        let context = match &mut self.context {
            Some(context) => context,
            None => self.context.insert(CCtx::try_create().ok_or_else(no_memory)?),
        };
        // Each call begins a new frame, so that the result does not depend on earlier calls.
        match context.compress(to, from, self.level) {
            Ok(len) => Ok(Some(len)),
            Err(code) if is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) => Ok(None),
            Err(code) => Err(failure(code)),
        }
    }

    fn encode_plane(&mut self, from: &[u8], to: &mut [u8]) -> Result<Option<usize>> {
        // At high levels the ratio counts more than the time.
        if self.level > LAST_CUT_LEVEL {
            return self.encode(from, to);
        }
        // Each piece is a frame of its own.
        let mut used = 0;
        for piece in from.chunks(PIECE) {
            match self.encode(piece, &mut to[used..])? {
                Some(len) => used += len,
                None => return Ok(None),
            }
        }
        Ok(Some(used))
    }
}

fn failure(code: ErrorCode) -> AtlasError {
    if is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_memory_allocation) {
        return no_memory();
    }
    AtlasError::internal(format!(
        "a defect of the library, please report it: Zstandard: {}",
        get_error_name(code)
    ))
}

/// Decoder of Zstandard streams. Its state is made for the first stream.
struct Decoder(Option<DCtx<'static>>);

impl Decode for Decoder {
    fn decode(&mut self, from: &[u8], to: &mut [u8]) -> Result<()> {
        // Frame by frame, until the output is full.
        let (mut left, mut rest) = (from, &mut *to);
        while !rest.is_empty() {
            // The header bounds the window and the content before the C library sees the frame.
            let content = content_of(left, rest.len())?;
            let damaged = |code: ErrorCode| {
                if is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_memory_allocation) {
                    return no_memory();
                }
                AtlasError::format(format!(
                    "damaged compressed data: a Zstandard stream cannot be decoded: {}",
                    get_error_name(code)
                ))
            };
            // Find the end of the frame, which its header does not state.
            let len = find_frame_compressed_size(left).map_err(damaged)?;
            let (Some((frame, later)), Some((target, behind))) =
                (left.split_at_checked(len), rest.split_at_mut_checked(content))
            else {
                return Err(AtlasError::format(format!(
                    "damaged compressed data: a Zstandard frame has {len} bytes, and only {} are left",
                    left.len()
                )));
            };
            let context = match &mut self.0 {
                Some(context) => context,
                none => none.insert(DCtx::try_create().ok_or_else(no_memory)?),
            };
            // The decoded size must match the size in the header.
            let made = context.decompress(target, frame).map_err(damaged)?;
            if made != content {
                return Err(AtlasError::format(format!(
                    "damaged compressed data: a Zstandard frame decoded to {made} bytes instead of the \
                     {content} that it states"
                )));
            }
            (left, rest) = (later, behind);
        }
        // The output is full; bytes after the last frame are no part of a stream.
        if left.is_empty() {
            return Ok(());
        }
        Err(AtlasError::format(format!(
            "damaged compressed data: {} bytes follow after the end of a Zstandard stream",
            left.len()
        )))
    }
}

/// Returns the content size of the first frame of `stream`, from 1 to `most`. Fails with FORMAT if the
/// header of the frame does not conform to docs/format.md.
///
/// ```text
/// 0  4        28 B5 2F FD
/// 4  1        bits 0..1 dictionary, 2 checksum, 3 reserved, 4 unused, 5 one segment, 6..7 size of the content size
/// 5  0 or 1   window: bits 0..2 mantissa, 3..7 exponent; absent if there is one segment
/// …  0..8     content size
/// ```
fn content_of(stream: &[u8], most: usize) -> Result<usize> {
    let malformed =
        |why: String| AtlasError::format(format!("damaged compressed data: a Zstandard frame {why}"));
    // The magic and the flags.
    let Some((&[0x28, 0xB5, 0x2F, 0xFD, flags], fields)) = stream.split_first_chunk::<5>() else {
        return Err(malformed(
            "is shorter than 5 bytes, or does not begin with the magic number 28 b5 2f fd".to_owned(),
        ));
    };
    if flags & 0b1111 != 0 {
        return Err(malformed(format!(
            "has a dictionary, a checksum or a reserved bit in its flags {flags:#04x}"
        )));
    }
    // The flags determine the fields that follow.
    let one_segment = flags & 0x20 != 0;
    let size_len = match (flags >> 6, one_segment) {
        (0, false) => return Err(malformed("has no content size".to_owned())),
        (0, true) => 1,
        (code, _) => 1 << code,
    };
    let window_len = usize::from(!one_segment);
    let Some(field) = fields.get(window_len..window_len + size_len) else {
        return Err(malformed("ends in its header".to_owned()));
    };
    // Little-endian, whatever the length of the field.
    let mut bytes = [0; 8];
    bytes[..size_len].copy_from_slice(field);
    // Content sizes of two bytes count from 256.
    let content = u64::from_le_bytes(bytes) + if size_len == 2 { 256 } else { 0 };
    let window = match fields.first() {
        Some(window) if !one_segment => {
            let base = 1u64 << (10 + (window >> 3));
            base + base / 8 * u64::from(window & 7)
        }
        // A single segment has the content itself as its window.
        _ => content,
    };
    // A larger window would make the library allocate for it.
    if content == 0 || content.max(window) > to_u64(most) {
        return Err(malformed(format!(
            "has {content} bytes of content and a window of {window}: content is at least 1 byte, and \
             neither may exceed the {most} bytes that remain to be decoded"
        )));
    }
    usize::try_from(content).map_err(|_| malformed(format!("has {content} bytes of content")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorKind;

    /// Bytes of which one half is noise.
    fn bytes(len: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            state
        };
        (0..len).map(|i| if i % 3 == 0 { (next() >> 60) as u8 } else { (i / 50) as u8 }).collect()
    }

    #[test]
    fn states_take_no_more_than_is_said() {
        let (data, mut out) = (bytes(1 << 20), vec![0; 2 << 20]);
        for level in (-7..=19).filter(|level| *level < 4 || level % 3 == 0 || *level == 4) {
            for kib in [4, 16, 17, 64, 128, 129, 256, 257, 512, 1_024] {
                let mut context = CCtx::create();
                context.compress(&mut out[..], &data[..kib * 1024], level).unwrap();
                let (taken, said) = (context.sizeof(), Zstd.encoder_footprint(level, kib * 1024));
                assert!(taken <= said, "level {level}, {kib} KiB: {taken} of {said}");
            }
        }
        let mut context = DCtx::create();
        let len = CCtx::create().compress(&mut out[..], &data[..], 1).unwrap();
        context.decompress(&mut vec![0; 1 << 20][..], &out[..len]).unwrap();
        assert!(context.sizeof() <= DECODER_FOOTPRINT, "{}", context.sizeof());
    }

    #[test]
    fn a_header_is_refused_before_anything_is_decoded() {
        let frame = |flags: u8, fields: &[u8]| [&[0x28, 0xB5, 0x2F, 0xFD, flags], fields].concat();
        let content = |bytes: &[u8], most| content_of(bytes, most).ok();
        assert_eq!(content(&frame(0x20, &[7]), 7), Some(7));
        assert_eq!(content(&frame(0x20, &[7]), 6), None, "content");
        assert_eq!(content(&frame(0x20, &[0]), 6), None, "nothing");
        assert_eq!(content(&frame(0x60, &[0, 0]), 256), Some(256));
        assert_eq!(content(&frame(0xa0, &[0, 0, 1, 0]), 65_536), Some(65_536));
        assert_eq!(content(&frame(0xe0, &[0xff; 8]), 1 << 20), None);
        // Windows of 1 KiB, of 1.125 KiB, and of the largest possible size.
        assert_eq!(content(&frame(0x40, &[0, 0, 4]), 1_280), Some(1_280));
        assert_eq!(content(&frame(0x40, &[1, 0, 0]), 1_152), Some(256));
        assert_eq!(content(&frame(0x40, &[1, 0, 0]), 1_151), None, "window");
        assert_eq!(content(&frame(0x40, &[0xff, 0, 0]), 1 << 20), None, "window");
        // A dictionary, a checksum, a reserved bit, no content size, another magic number, a skippable frame.
        for flags in [0x21, 0x22, 0x23, 0x24, 0x28, 0x00] {
            assert_eq!(content(&frame(flags, &[7, 7, 7]), 7), None, "{flags:#x}");
        }
        assert_eq!(content(&[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9], 7), None);
        for len in 0..6 {
            assert_eq!(content(&frame(0x20, &[7])[..len], 7), None);
        }
    }

    #[test]
    fn planes_are_cut_and_read_as_one_stream() {
        let data = bytes(3 * PIECE + 11);
        let mut out = vec![0; Zstd.room(data.len())];
        for (level, frames) in [(1, 4), (3, 4), (5, 1)] {
            let mut encoder = Zstd.encoder(level).unwrap();
            let len = encoder.encode_plane(&data, &mut out).unwrap().unwrap();
            let (mut left, mut count) = (&out[..len], 0);
            while !left.is_empty() {
                left = &left[find_frame_compressed_size(left).unwrap()..];
                count += 1;
            }
            assert_eq!(count, frames);
            let (mut back, mut decoder) = (vec![0; data.len()], Zstd.decoder().unwrap());
            decoder.decode(&out[..len], &mut back).unwrap();
            assert!(back == data);
            // One frame too few or too many, or bytes after the last frame.
            for wrong in
                [&out[..len - 1], &[&out[..len], &out[..len]].concat(), &[&out[..len], &[0][..]].concat()]
            {
                assert_eq!(decoder.decode(wrong, &mut back).unwrap_err().kind(), ErrorKind::Format);
            }
            let more = &mut vec![0; data.len() + 1];
            assert_eq!(decoder.decode(&out[..len], more).unwrap_err().kind(), ErrorKind::Format);
            let fewer = &mut vec![0; data.len() - 1];
            assert_eq!(decoder.decode(&out[..len], fewer).unwrap_err().kind(), ErrorKind::Format);
            decoder.decode(&out[..len], &mut back).unwrap();
        }
    }
}
