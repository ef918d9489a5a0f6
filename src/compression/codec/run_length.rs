//! Run lengths: pairs of a count and a byte. Every bound differs from the bounds of DEFLATE.

use super::{BlockCodec, Decode, Encode};
use crate::base::error::{AtlasError, Result};
use std::ops::RangeInclusive;

pub(crate) struct RunLength;

pub(crate) const LEVELS: RangeInclusive<u8> = 1..=3;
/// Two bytes stand for at most 255 bytes.
pub(crate) const MAX_EXPANSION: usize = 128;
/// Footprint that an encoder claims per level, and a decoder.
pub(crate) const FOOTPRINT: usize = 16 * 1024 * 1024;

impl BlockCodec for RunLength {
    fn quick_level(&self, _level: i32) -> i32 {
        1
    }

    fn max_expansion(&self) -> usize {
        MAX_EXPANSION
    }

    fn room(&self, len: usize) -> usize {
        2 * len
    }

    fn encoder_footprint(&self, level: i32, len: usize) -> usize {
        // Every level claims another size, so that a test can see which level was counted.
        usize::try_from(level).unwrap() * FOOTPRINT + len
    }

    fn decoder_footprint(&self, len: usize) -> usize {
        FOOTPRINT + len
    }

    fn encoder(&self, level: i32) -> Result<Box<dyn Encode>> {
        assert!(LEVELS.contains(&u8::try_from(level).unwrap()), "level {level}");
        Ok(Box::new(RunLength))
    }

    fn decoder(&self) -> Result<Box<dyn Decode>> {
        Ok(Box::new(RunLength))
    }
}

impl Encode for RunLength {
    fn encode(&mut self, from: &[u8], to: &mut [u8]) -> Result<Option<usize>> {
        let mut len = 0;
        for run in from.chunk_by(|a, b| a == b).flat_map(|run| run.chunks(255)) {
            // The caller always provides enough room, so that a lack of it is a defect.
            let Some(pair) = to.get_mut(len..len + 2) else {
                return Err(AtlasError::internal(
                    "a defect of the library, please report it: no room for run lengths",
                ));
            };
            pair.copy_from_slice(&[u8::try_from(run.len()).unwrap(), run[0]]);
            len += 2;
        }
        Ok(Some(len))
    }
}

impl Decode for RunLength {
    fn decode(&mut self, from: &[u8], to: &mut [u8]) -> Result<()> {
        // Each pair fills its run; the runs must fill the output exactly.
        let refused = |why: String| {
            Err(AtlasError::format(format!("damaged compressed data: a stream of run lengths {why}")))
        };
        let (pairs, []) = from.as_chunks::<2>() else {
            return refused(format!(
                "has {} bytes, and must consist of pairs of a count and a byte",
                from.len()
            ));
        };
        let mut rest = to;
        for &[count, byte] in pairs {
            let room = rest.len();
            match rest.split_at_mut_checked(usize::from(count)) {
                Some((run, later)) if count > 0 => {
                    run.fill(byte);
                    rest = later;
                }
                _ => {
                    return refused(format!(
                        "has a run of {count} bytes, and from 1 to {room} bytes are possible there"
                    ));
                }
            }
        }
        match rest.len() {
            0 => Ok(()),
            missing => refused(format!("ends {missing} bytes before the end of the block")),
        }
    }
}
