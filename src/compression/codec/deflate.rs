//! Raw DEFLATE of whole buffers: the one place that knows the codec.

#[cfg(not(feature = "compression"))]
pub(crate) use none::{Deflater, Inflater, free_used};
#[cfg(feature = "compression")]
pub(crate) use zlib::{Deflater, Inflater, free_used};

/// Room in which the stream of `len` bytes ends, whatever they are: level 1 has nothing but the fixed code,
/// which makes nine bits of a byte from 144 on.
pub(crate) fn room(len: usize) -> usize {
    len + len / 8 + 1_024
}

#[cfg(feature = "compression")]
mod zlib {
    use crate::base::buffer::try_vec;
    use crate::base::error::{AtlasError, Result};
    use crate::base::units::to_u64;
    use crate::exec::pool::panic_text;
    use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
    use std::panic::{UnwindSafe, catch_unwind};
    use std::sync::Mutex;

    /// A new state of at most `footprint` bytes. The codec panics where it gets no memory for one, which
    /// prints: so it is seen before whether there is any.
    fn made<T>(footprint: usize, make: impl FnOnce() -> T + UnwindSafe) -> Result<T> {
        drop(try_vec::<u8>(footprint)?);
        catch_unwind(make).map_err(|payload| {
            AtlasError::out_of_memory(format!("no memory for a state of DEFLATE: {}", panic_text(payload)))
        })
    }

    /// Makes streams. Its state is large, so that one serves many blocks.
    pub(crate) struct Deflater(Option<(u8, Compress)>);

    impl Deflater {
        /// Bytes of its state, 368 KiB.
        pub(crate) const FOOTPRINT: usize = 384 * 1024;

        pub(crate) fn new() -> Result<Deflater> {
            Ok(Deflater(None))
        }

        /// One stream of `from` into `to`: its length, or None where it does not fit, which it always
        /// does in [`room`](super::room).
        pub(crate) fn deflate(&mut self, level: u8, from: &[u8], to: &mut [u8]) -> Result<Option<usize>> {
            let mut stream = match self.0.take() {
                Some((at, mut stream)) if at == level => {
                    stream.reset();
                    stream
                }
                _ => made(Self::FOOTPRINT, || Compress::new(Compression::new(u32::from(level)), false))?,
            };
            let status = stream.compress(from, to, FlushCompress::Finish);
            match status.map_err(|error| AtlasError::internal(format!("DEFLATE: {error}")))? {
                Status::StreamEnd => {
                    let len = usize::try_from(stream.total_out()).ok();
                    // Only one that ended: zlib-rs 0.6 resets no other one fully, and what it makes then
                    // begins in the middle of a block.
                    self.0 = Some((level, stream));
                    Ok(len)
                }
                Status::Ok | Status::BufError => Ok(None),
            }
        }
    }

    /// States that served and are whole: making one costs more than a small read.
    static USED: Mutex<Vec<Decompress>> = Mutex::new(Vec::new());
    /// The most that are kept, of some 50 KiB each.
    const MAX_USED: usize = 8;

    /// Frees the states that are kept.
    pub(crate) fn free_used() {
        // Never waits for the list, as below. What is in it is dropped without the lock.
        let used = USED.try_lock().map(|mut used| std::mem::take(&mut *used));
        drop(used);
    }

    /// Reads streams.
    pub(crate) struct Inflater(Option<Decompress>);

    impl Inflater {
        /// Bytes of its state.
        pub(crate) const FOOTPRINT: usize = 64 * 1024;

        pub(crate) fn new() -> Result<Inflater> {
            Ok(Inflater(None))
        }

        /// Fills `to` from the one stream that `from` is. FORMAT where it is not that.
        pub(crate) fn inflate(&mut self, from: &[u8], to: &mut [u8]) -> Result<()> {
            // Never waits for the list, which a fork may have left locked.
            let used = || USED.try_lock().ok()?.pop();
            let mut stream = match self.0.take().or_else(used) {
                Some(mut stream) => {
                    stream.reset(false);
                    stream
                }
                None => made(Self::FOOTPRINT, || Decompress::new(false))?,
            };
            let status = stream
                .decompress(from, to, FlushDecompress::Finish)
                .map_err(|error| AtlasError::format(format!("a DEFLATE stream is damaged: {error}")))?;
            let (read, made) = (stream.total_in(), stream.total_out());
            if status == Status::StreamEnd && read == to_u64(from.len()) && made == to_u64(to.len()) {
                self.0 = Some(stream);
                return Ok(());
            }
            let (from, to) = (from.len(), to.len());
            Err(AtlasError::format(format!(
                "a DEFLATE stream of {from} bytes for {to} gave {made} of {read} and {}",
                if status == Status::StreamEnd { "ended" } else { "did not end" }
            )))
        }
    }

    impl Drop for Inflater {
        fn drop(&mut self) {
            let Some(stream) = self.0.take() else { return };
            if let Ok(mut used) = USED.try_lock()
                && used.len() < MAX_USED
                && used.try_reserve(1).is_ok()
            {
                used.push(stream);
            }
        }
    }
}

#[cfg(not(feature = "compression"))]
mod none {
    use crate::base::error::{AtlasError, Result};

    /// Without the feature there is none.
    pub(crate) enum Deflater {}

    impl Deflater {
        pub(crate) const FOOTPRINT: usize = 0;

        pub(crate) fn new() -> Result<Deflater> {
            Err(unsupported())
        }

        pub(crate) fn deflate(&mut self, _level: u8, _from: &[u8], _to: &mut [u8]) -> Result<Option<usize>> {
            match *self {}
        }
    }

    /// Without the feature there is none.
    pub(crate) enum Inflater {}

    impl Inflater {
        pub(crate) const FOOTPRINT: usize = 0;

        pub(crate) fn new() -> Result<Inflater> {
            Err(unsupported())
        }

        pub(crate) fn inflate(&mut self, _from: &[u8], _to: &mut [u8]) -> Result<()> {
            match *self {}
        }
    }

    pub(crate) fn free_used() {}

    fn unsupported() -> AtlasError {
        AtlasError::unsupported("compression is not built in")
    }
}
