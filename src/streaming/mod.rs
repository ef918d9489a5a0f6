//! Streaming: domains bigger than memory, chunk by chunk.
//!
//! ```text
//! source ── read ahead ── workers: read a tile, sum it, hash it ── in order ── tiles, progress
//! push   ── gather tiles ── workers: sum, hash, write or keep    ── in order ── tiles, progress
//! ```
//!
//! Chunks and tiles are independent of each other: tiles make the root; chunks are the window of work in
//! flight, the unit of progress and of read-ahead, and the pieces that [`StreamingContext::next`] returns.
//! The result therefore equals that of projecting in memory, whatever the configuration. A chunk is held in
//! memory only if the caller requests chunks.

#![forbid(unsafe_code)]

mod config;
mod pipeline;
mod pull;
mod push;

pub use config::StreamingConfig;
pub use pull::StreamingChunk;

use crate::base::buffer::Buffer;
use crate::base::error::{AtlasError, Result};
use crate::base::units::{TILE_BYTES, to_usize};
use crate::exec::operation::Operation;
use crate::exec::progress::Progress;
use crate::projection::AtlasProjection;
use crate::source::Source;
use crate::tile::options::{ProjectionOptions, ProjectionType};
use pipeline::{SharedProgress, StreamPlan};
use pull::Pull;
use push::{Keep, Push};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Fails with UNSUPPORTED if the Cargo feature `streaming` is not built in.
pub(crate) fn check_built_in() -> Result<()> {
    if cfg!(feature = "streaming") {
        return Ok(());
    }
    Err(AtlasError::unsupported("streaming needs the Cargo feature `streaming`, which is not built in"))
}

/// Projects a copy of `data`. [`stream_projection`] projects without a copy.
///
/// ```
/// use atlas_manifold::{ProjectionType, StreamingConfig, stream_large_domain_projection};
/// # fn main() -> atlas_manifold::Result<()> {
/// # if !cfg!(feature = "streaming") { return Ok(()); }
/// let data = vec![7; 3_000_000];
/// let config = StreamingConfig::new(8 * 1024 * 1024, 4)?; // 8 MiB chunks, 4 in flight
/// let handle = stream_large_domain_projection(&data, ProjectionType::Linear, config)?;
/// assert_eq!(handle.info().domain_size, 3_000_000);
/// # Ok(())
/// # }
/// ```
pub fn stream_large_domain_projection(
    data: &[u8],
    projection_type: ProjectionType,
    config: StreamingConfig,
) -> Result<AtlasProjection> {
    check_built_in()?;
    project_default(&Source::copy(data)?, projection_type, config)
}

/// Projects the bytes of the file at `path`, which is read by positioned reads.
pub fn stream_file_projection(
    path: impl AsRef<Path>,
    projection_type: ProjectionType,
    config: StreamingConfig,
) -> Result<AtlasProjection> {
    check_built_in()?;
    project_default(&Source::open_file(path)?, projection_type, config)
}

fn project_default(
    source: &Source,
    projection_type: ProjectionType,
    config: StreamingConfig,
) -> Result<AtlasProjection> {
    stream_projection(source, projection_type, &ProjectionOptions::new(), config, &mut Operation::new())
}

/// Projects any source. The result equals that of [`AtlasProjection::create`] on the same bytes.
///
/// Each worker reads into one buffer of its own; pages of a mapped file are released once their tile is
/// hashed. Progress is reported once per chunk.
pub fn stream_projection(
    source: &Source,
    projection_type: ProjectionType,
    options: &ProjectionOptions,
    config: StreamingConfig,
    operation: &mut Operation<'_>,
) -> Result<AtlasProjection> {
    StreamingContext::open(source, projection_type, options, config, operation)?.finish(operation)
}

/// Projects all bytes of `reader` and writes them to the file `spool`. `None` keeps them in memory.
///
/// ```
/// use atlas_manifold::{ProjectionType, StreamingConfig, stream_reader_projection};
/// # if !cfg!(feature = "streaming") { return Ok(()); }
/// let bytes: &[u8] = b"bytes from a pipe";
/// let projection =
///     stream_reader_projection(bytes, None, ProjectionType::Linear, StreamingConfig::default())?;
/// assert_eq!(projection.info().domain_size, 17);
/// # Ok::<(), atlas_manifold::AtlasError>(())
/// ```
pub fn stream_reader_projection(
    mut reader: impl Read,
    spool: Option<&Path>,
    projection_type: ProjectionType,
    config: StreamingConfig,
) -> Result<AtlasProjection> {
    let operation = &mut Operation::new();
    let mut stream =
        StreamingContext::open_push(spool, projection_type, &ProjectionOptions::new(), config, operation)?;
    // The buffer has as many bytes as the workers take at a time, so that they are hashed in parallel without
    // a further copy.
    let mut buffer = Buffer::new(to_usize(stream.batch(operation)? * TILE_BYTES))?;
    let mut filled = 0;
    // A read of a pipe returns any number of bytes, so that the buffer is filled before it is pushed.
    loop {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(AtlasError::io("reading the stream", error)),
        }
        if filled == buffer.len() {
            stream.push(&buffer, operation)?;
            filled = 0;
        }
    }
    // Push the remaining bytes, which may be none.
    stream.push(&buffer[..filled], operation)?;
    stream.finish(operation)
}

enum Stage {
    Pull(Box<Pull>),
    Push(Box<Push>),
    Finished,
    /// An error, a cancellation or a panic ended the stream, and its contents are gone.
    Failed,
}

/// A stream, step by step: chunks that are pulled from a source, or bytes that are pushed.
///
/// After a failure or a cancellation only the getters work, and the stream holds no file, no buffer and no
/// source. A call that is not valid in the present state fails with STATE and changes nothing.
///
/// ```
/// use atlas_manifold::{
///     Operation, ProjectionOptions, ProjectionType, Source, StreamingConfig, StreamingContext,
/// };
/// # if !cfg!(feature = "streaming") { return Ok(()); }
/// let operation = &mut Operation::new();
/// let source = Source::from_vec(vec![7; 3_000_000]);
/// let config = StreamingConfig::new(1 << 20, 1)?;
/// let (kind, options) = (ProjectionType::Linear, ProjectionOptions::new());
/// let mut stream = StreamingContext::open(&source, kind, &options, config, operation)?;
/// let mut seen = 0;
/// while let Some(chunk) = stream.next(operation)? {
///     seen += chunk.data.len(); // process the chunk here
/// }
/// assert_eq!(seen, 3_000_000);
/// assert_eq!(stream.finish(operation)?.info().tile_count, 3);
/// # Ok::<(), atlas_manifold::AtlasError>(())
/// ```
pub struct StreamingContext {
    setup: StreamPlan,
    monitor: StreamMonitor,
    stage: Stage,
}

/// A view of the progress of a stream, for any thread, also while the stream works.
#[derive(Clone)]
pub(crate) struct StreamMonitor {
    status: Arc<SharedProgress>,
    complete: Arc<AtomicBool>,
}

impl StreamMonitor {
    fn new() -> Self {
        StreamMonitor { status: Arc::default(), complete: Arc::default() }
    }

    pub(crate) fn progress(&self) -> Progress {
        self.status.progress()
    }

    pub(crate) fn is_complete(&self) -> bool {
        // Pairs with the release below: a thread that sees the flag also sees the last progress.
        self.complete.load(Ordering::Acquire)
    }

    fn set_complete(&self) {
        self.complete.store(true, Ordering::Release);
    }
}

impl StreamingContext {
    /// Opens a stream over `source`. Reads nothing yet. Fails with LIMIT if the memory limit is too small
    /// for one worker and the result.
    pub fn open(
        source: &Source,
        projection_type: ProjectionType,
        options: &ProjectionOptions,
        config: StreamingConfig,
        operation: &mut Operation<'_>,
    ) -> Result<StreamingContext> {
        check_built_in()?;
        operation.executor.check()?;
        let (setup, monitor) = (StreamPlan::new(projection_type, options, config)?, StreamMonitor::new());
        let pull = Pull::open(&setup, source, &monitor.status, operation)?;
        Ok(StreamingContext { setup, monitor, stage: Stage::Pull(Box::new(pull)) })
    }

    /// Opens a stream of bytes that the caller pushes. The bytes go to a temporary file beside `spool`, which
    /// `finish` renames to `spool`. `None` keeps them in memory.
    pub fn open_push(
        spool: Option<&Path>,
        projection_type: ProjectionType,
        options: &ProjectionOptions,
        config: StreamingConfig,
        operation: &mut Operation<'_>,
    ) -> Result<StreamingContext> {
        let keep = spool.map_or(Keep::Memory, Keep::File);
        Self::pushed(keep, projection_type, options, config, operation)
    }

    /// Begins a stream of bytes that are pushed, hashed and dropped, in memory bounded by the configuration.
    ///
    /// The projection has the root and the tiles of all bytes. Calls that read the bytes fail with IO.
    ///
    /// ```
    /// use atlas_manifold::{
    ///     AtlasProjection, Operation, ProjectionOptions, ProjectionType, Source, StreamingConfig, StreamingContext,
    /// };
    /// # if !cfg!(feature = "streaming") { return Ok(()); }
    /// let operation = &mut Operation::new();
    /// let (options, config) = (ProjectionOptions::new(), StreamingConfig::default());
    /// let mut stream = StreamingContext::open_hash(ProjectionType::Linear, &options, config, operation)?;
    /// for piece in [b"some bytes", b"and others"] {
    ///     stream.push(piece, operation)?;
    /// }
    /// let root = stream.finish(operation)?.root(operation)?;
    /// let whole = AtlasProjection::linear(&Source::copy(b"some bytesand others")?)?;
    /// assert_eq!(root, whole.root(operation)?);
    /// # Ok::<(), atlas_manifold::AtlasError>(())
    /// ```
    pub fn open_hash(
        projection_type: ProjectionType,
        options: &ProjectionOptions,
        config: StreamingConfig,
        operation: &mut Operation<'_>,
    ) -> Result<StreamingContext> {
        Self::pushed(Keep::Nothing, projection_type, options, config, operation)
    }

    fn pushed(
        keep: Keep<'_>,
        projection_type: ProjectionType,
        options: &ProjectionOptions,
        config: StreamingConfig,
        operation: &mut Operation<'_>,
    ) -> Result<StreamingContext> {
        check_built_in()?;
        operation.executor.check()?;
        let (setup, monitor) = (StreamPlan::new(projection_type, options, config)?, StreamMonitor::new());
        let push = Push::open(&setup, keep, operation)?;
        Ok(StreamingContext { setup, monitor, stage: Stage::Push(Box::new(push)) })
    }

    pub(crate) fn monitor(&self) -> StreamMonitor {
        self.monitor.clone()
    }

    /// Returns the number of tiles that a push stream hashes together, in parallel.
    fn batch(&self, operation: &Operation<'_>) -> Result<u64> {
        match &self.stage {
            Stage::Push(push) => push.batch(&self.setup, operation),
            _ => Err(AtlasError::internal(
                "a defect of the library, please report it: a stream that reads a source gathers no tiles",
            )),
        }
    }

    /// Adds `data`, which may have any length, to the end of the domain. Fails with STATE on a stream that reads a
    /// source.
    pub fn push(&mut self, data: &[u8], operation: &mut Operation<'_>) -> Result<()> {
        // The stage is Failed during the call, like in `next`.
        match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Push(mut push) => {
                push.push(data, &self.setup, &self.monitor.status, operation)?;
                self.stage = Stage::Push(push);
                Ok(())
            }
            other => Err(self.refuse(other, "the stream reads a source: nothing can be pushed")),
        }
    }

    /// Returns the next chunk, which is valid until the next call, or `None` at the end. Fails with STATE on
    /// a push stream.
    ///
    /// Progress is reported once, after the chunk was hashed and before it is returned.
    pub fn next(&mut self, operation: &mut Operation<'_>) -> Result<Option<StreamingChunk<'_>>> {
        // The stage is Failed during the call, so that a panic or an error leaves it there.
        match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Pull(mut pull) => {
                let more = pull.advance(&self.setup, &self.monitor.status, operation)?;
                let progress = self.monitor.progress();
                // After the last chunk every byte was processed, although `finish` was not called yet.
                if progress.chunks_done == progress.chunks_total {
                    self.monitor.set_complete();
                }
                // The stage comes back before the chunk is borrowed from it.
                self.stage = Stage::Pull(pull);
                match &self.stage {
                    Stage::Pull(pull) if more => pull.chunk().map(Some),
                    _ => Ok(None),
                }
            }
            other => Err(self.refuse(other, "bytes are pushed to the stream: it returns no chunks")),
        }
    }

    /// Reads and hashes the remaining bytes and returns the projection. May succeed once.
    ///
    /// A spool file gets its final name.
    pub fn finish(&mut self, operation: &mut Operation<'_>) -> Result<AtlasProjection> {
        let status = &self.monitor.status;
        // The stage is Failed during the call, so that an error leaves no buffer, no source and no temporary
        // file.
        let projection = match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Pull(pull) => pull.finish(&self.setup, status, operation)?,
            Stage::Push(push) => push.finish(&self.setup, status, operation)?,
            other => return Err(self.refuse(other, "")),
        };
        self.stage = Stage::Finished;
        self.monitor.set_complete();
        Ok(projection)
    }

    /// Puts the stage of the stream back, and returns the STATE error for a call that is not valid in this
    /// stage. `otherwise` is the text for a stream that has neither finished nor failed.
    fn refuse(&mut self, stage: Stage, otherwise: &'static str) -> AtlasError {
        let why = match &stage {
            Stage::Finished => "the stream is finished: begin a new stream",
            Stage::Failed => "an earlier call of the stream failed or was cancelled: begin a new stream",
            Stage::Pull(_) | Stage::Push(_) => otherwise,
        };
        self.stage = stage;
        AtlasError::state(why)
    }

    /// Returns the progress of the stream. The totals of a push stream are 0 until it is finished.
    pub fn progress(&self) -> Progress {
        self.monitor.progress()
    }

    /// Returns true if every byte of the domain was processed: after the last chunk was returned, and after
    /// `finish`.
    pub fn is_complete(&self) -> bool {
        self.monitor.is_complete()
    }
}

impl std::fmt::Debug for StreamingContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stage = match self.stage {
            Stage::Pull(_) => "pull",
            Stage::Push(_) => "push",
            Stage::Finished => "finished",
            Stage::Failed => "failed",
        };
        let progress = self.progress();
        f.debug_struct("StreamingContext").field("stage", &stage).field("progress", &progress).finish()
    }
}
