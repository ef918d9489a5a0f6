//! DEFLATE: raw streams of whole buffers.

use super::{BlockCodec, Decode, Encode};
use crate::base::buffer::try_vec;
use crate::base::error::{AtlasError, Result};
use crate::base::units::to_u64;
use crate::exec::pool::panic_text;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::panic::{UnwindSafe, catch_unwind};
use std::sync::Mutex;

/// The codec DEFLATE (RFC 1951), by flate2 on zlib-rs.
pub(super) struct Deflate;

/// Level for trials, with short searches. Level 1 uses fixed Huffman codes, so that trials with it would be
/// misleading.
const QUICK_LEVEL: i32 = 3;
/// Bytes to reserve for the state of an encoder, which needs 368 KiB.
const ENCODER_FOOTPRINT: usize = 384 * 1024;
/// Bytes to reserve for the state of a decoder.
const DECODER_FOOTPRINT: usize = 64 * 1024;

impl BlockCodec for Deflate {
    fn quick_level(&self, level: i32) -> i32 {
        level.min(QUICK_LEVEL)
    }

    /// Returns 1,032, because a match of 258 bytes needs at least two bits.
    fn max_expansion(&self) -> usize {
        1_032
    }

    /// Returns room for streams of level 1, which uses only the fixed code and encodes every byte from 144 on in
    /// nine bits.
    fn room(&self, len: usize) -> usize {
        len + len / 8 + 1_024
    }

    fn encoder_footprint(&self, _level: i32, _len: usize) -> usize {
        ENCODER_FOOTPRINT
    }

    fn decoder_footprint(&self, _len: usize) -> usize {
        DECODER_FOOTPRINT
    }

    fn encoder(&self, level: i32) -> Result<Box<dyn Encode>> {
        Ok(Box::new(Deflater { level, stream: None }))
    }

    fn decoder(&self) -> Result<Box<dyn Decode>> {
        Ok(Box::new(Inflater(None)))
    }

    fn free_used(&self) {
        // The states are dropped outside of the lock.
        let used = USED.try_lock().map(|mut used| std::mem::take(&mut *used));
        drop(used);
    }
}

/// Makes a state of the codec by `make`, which needs at most `footprint` bytes. The codec panics and prints a
/// message if it gets no memory, so that an allocation of this size is tried first.
fn made<T>(footprint: usize, make: impl FnOnce() -> T + UnwindSafe) -> Result<T> {
    // The allocation that follows then rarely fails.
    drop(try_vec::<u8>(footprint)?);
    catch_unwind(make).map_err(|payload| {
        AtlasError::out_of_memory(format!("no memory for the tables of DEFLATE: {}", panic_text(payload)))
    })
}

/// Encoder of DEFLATE streams of one level.
struct Deflater {
    level: i32,
    /// State of the encoder, made for the first stream.
    stream: Option<Compress>,
}

impl Encode for Deflater {
    fn encode(&mut self, from: &[u8], to: &mut [u8]) -> Result<Option<usize>> {
        // A state is reset for every stream, so that the result does not depend on earlier streams.
        let mut stream = match self.stream.take() {
            Some(mut stream) => {
                stream.reset();
                stream
            }
            None => {
                let level = Compression::new(self.level.unsigned_abs());
                made(ENCODER_FOOTPRINT, || Compress::new(level, false))?
            }
        };
        // The whole input in a single call, so that a full output means a block that does not fit.
        let status = stream.compress(from, to, FlushCompress::Finish);
        match status.map_err(|error| {
            AtlasError::internal(format!("a defect of the library, please report it: DEFLATE: {error}"))
        })? {
            Status::StreamEnd => {
                let len = usize::try_from(stream.total_out()).ok();
                // Only the state of a stream that ended is kept: zlib-rs 0.6 does not fully reset any other
                // state, and the next stream would begin in the middle of a block.
                self.stream = Some(stream);
                Ok(len)
            }
            // The state is dropped here.
            Status::Ok | Status::BufError => Ok(None),
        }
    }
}

/// Decoder states that are kept for reuse, because making one costs more than a small read.
static USED: Mutex<Vec<Decompress>> = Mutex::new(Vec::new());
/// Maximum number of kept states, of some 50 KiB each.
const MAX_USED: usize = 8;

/// Decoder of DEFLATE streams. For the first stream, its state is made or taken from the list of used states.
struct Inflater(Option<Decompress>);

impl Decode for Inflater {
    fn decode(&mut self, from: &[u8], to: &mut [u8]) -> Result<()> {
        // The call never waits for the list, which a fork may have left locked.
        let used = || USED.try_lock().ok()?.pop();
        let mut stream = match self.0.take().or_else(used) {
            Some(mut stream) => {
                stream.reset(false);
                stream
            }
            None => made(DECODER_FOOTPRINT, || Decompress::new(false))?,
        };
        // The end of the stream, its length and the length of its contents must all be right.
        let status = stream.decompress(from, to, FlushDecompress::Finish).map_err(|error| {
            AtlasError::format(format!(
                "damaged compressed data: a DEFLATE stream cannot be decoded: {error}"
            ))
        })?;
        let (read, made) = (stream.total_in(), stream.total_out());
        if status == Status::StreamEnd && read == to_u64(from.len()) && made == to_u64(to.len()) {
            // Only the state of a stream that ended without an error is used again.
            self.0 = Some(stream);
            return Ok(());
        }
        let (from, to) = (from.len(), to.len());
        Err(AtlasError::format(format!(
            "damaged compressed data: a DEFLATE stream {} after {read} of its {from} bytes, with {made} of \
             {to} bytes decoded",
            if status == Status::StreamEnd { "ends" } else { "does not end" }
        )))
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        let Some(stream) = self.0.take() else { return };
        // If the list is full or in use, the state is dropped, and a later call makes a new state.
        if let Ok(mut used) = USED.try_lock()
            && used.len() < MAX_USED
            && used.try_reserve(1).is_ok()
        {
            used.push(stream);
        }
    }
}
