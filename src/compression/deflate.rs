//! Raw DEFLATE of whole buffers: the one place that knows the codec.

#[cfg(not(feature = "compression"))]
pub(crate) use none::{Deflater, Inflater};
#[cfg(feature = "compression")]
pub(crate) use zlib::{Deflater, Inflater};

#[cfg(feature = "compression")]
mod zlib {
    use crate::error::{AtlasError, Result};
    use crate::geometry::to_u64;
    use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

    /// Makes streams. Its state is large, so that one serves many blocks.
    pub(crate) struct Deflater(Option<(u8, Compress)>);

    impl Deflater {
        pub(crate) fn new() -> Result<Deflater> {
            Ok(Deflater(None))
        }

        /// One stream of `from` into `to`: its length, or None where it does not fit.
        pub(crate) fn deflate(&mut self, level: u8, from: &[u8], to: &mut [u8]) -> Result<Option<usize>> {
            let stream = match self.0.take() {
                Some((at, mut stream)) if at == level => {
                    stream.reset();
                    stream
                }
                _ => Compress::new(Compression::new(u32::from(level)), false),
            };
            let (_, stream) = self.0.insert((level, stream));
            let status = stream.compress(from, to, FlushCompress::Finish);
            match status.map_err(|error| AtlasError::internal(format!("DEFLATE: {error}")))? {
                Status::StreamEnd => Ok(usize::try_from(stream.total_out()).ok()),
                Status::Ok | Status::BufError => Ok(None),
            }
        }
    }

    /// Reads streams.
    pub(crate) struct Inflater(Decompress);

    impl Inflater {
        pub(crate) fn new() -> Result<Inflater> {
            Ok(Inflater(Decompress::new(false)))
        }

        /// Fills `to` from the one stream that `from` is. FORMAT where it is not that.
        pub(crate) fn inflate(&mut self, from: &[u8], to: &mut [u8]) -> Result<()> {
            let stream = &mut self.0;
            stream.reset(false);
            let status = stream
                .decompress(from, to, FlushDecompress::Finish)
                .map_err(|error| AtlasError::format(format!("a DEFLATE stream is damaged: {error}")))?;
            let (read, made) = (stream.total_in(), stream.total_out());
            if status == Status::StreamEnd && read == to_u64(from.len()) && made == to_u64(to.len()) {
                return Ok(());
            }
            let (from, to) = (from.len(), to.len());
            Err(AtlasError::format(format!(
                "a DEFLATE stream of {from} bytes for {to} gave {made} of {read} and {}",
                if status == Status::StreamEnd { "ended" } else { "did not end" }
            )))
        }
    }
}

#[cfg(not(feature = "compression"))]
mod none {
    use crate::error::{AtlasError, Result};

    /// Without the feature there is none.
    pub(crate) enum Deflater {}

    impl Deflater {
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
        pub(crate) fn new() -> Result<Inflater> {
            Err(unsupported())
        }

        pub(crate) fn inflate(&mut self, _from: &[u8], _to: &mut [u8]) -> Result<()> {
            match *self {}
        }
    }

    fn unsupported() -> AtlasError {
        AtlasError::unsupported("compression is not built in")
    }
}
