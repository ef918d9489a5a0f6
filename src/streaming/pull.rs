//! Streams that read a source and return it chunk by chunk.
//!
//! A chunk and its overlap lie in one buffer. The next chunk begins with the bytes of this overlap, which are
//! moved to the front of the buffer, so that every byte is read once. The workers take the chunk in parts
//! that end at tile boundaries: each reads its part and, if the part is a tile, hashes it while it is in the
//! cache. A tile that begins in a chunk and does not end in it waits in a buffer of its own. A source in
//! memory is returned and hashed in place.

use super::config::StreamingConfig;
use super::pipeline::{ChunkTracker, Pass, SharedProgress, StreamPlan, project_rest, reserve_tiles};
use crate::base::buffer::{Buffer, try_extend, try_push, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::sync::lock;
use crate::base::units::{TILE_BYTES, TILE_SIZE, to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::exec::progress::Progress;
use crate::layer2::Residue;
use crate::projection::AtlasProjection;
use crate::source::Source;
use crate::tile::Tile;
use crate::tile::hash_tiles::{StopFlag, read_in_steps};
use crate::tile::hash_tiles::{fresh_tile, tile_footprint};
use crate::tile::scheme::Workspace;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// A chunk of a domain, and the beginning of the next chunk.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct StreamingChunk<'a> {
    /// Number of the chunk, from 0.
    pub id: u64,
    /// Offset of the chunk's first byte in the domain.
    pub offset: u64,
    /// Bytes of the chunk.
    pub data: &'a [u8],
    /// The bytes after the chunk: `chunk_overlap` of them, or fewer at the end of the domain.
    pub overlap: &'a [u8],
    /// Sum of `data` mod 96.
    pub residue: Residue,
}

/// Range of a chunk and its overlap in the domain, with the chunk's number and residue.
#[derive(Clone, Copy, Default)]
struct ChunkPlace {
    id: u64,
    start: u64,
    /// Offset of the end of the chunk, and of the start of its overlap.
    end: u64,
    /// Offset of the end of the overlap.
    overlap_end: u64,
    residue: Residue,
}

pub(super) struct Pull {
    source: Source,
    /// Hashed tiles, from the start of the domain on. All of them end within the last returned chunk or before
    /// it.
    tiles: Vec<Arc<Tile>>,
    /// Range of the last returned chunk. Before the first chunk, an empty range at 0.
    place: ChunkPlace,
    /// The chunk and its overlap, for a source that is not in memory.
    buffer: Option<Buffer>,
    /// First bytes of the tile that the last returned chunk did not complete.
    begun: Option<Buffer>,
    /// Offset up to which the system was asked to read ahead.
    announced: u64,
    /// The sequential read of the source. Set from the first chunk on.
    pass: Option<Pass>,
}

/// Part of a chunk or of its overlap that one worker fills: its range in the domain, its bytes in the buffer,
/// and the number of its first bytes that were read before.
struct Part<'b> {
    range: Range<u64>,
    bytes: &'b mut [u8],
    known: usize,
}

impl Pull {
    pub(super) fn open(
        setup: &StreamPlan,
        source: &Source,
        status: &SharedProgress,
        operation: &Operation<'_>,
    ) -> Result<Pull> {
        // A memory limit that is too small fails now instead of at the first chunk.
        setup.job(source, 0).plan(operation)?;
        let size = source.size();
        let chunks_total = size.div_ceil(setup.config.chunk_size());
        // The totals of a source are known from the start.
        status.set(Progress { bytes_total: size, chunks_total, ..Progress::default() });
        Ok(Pull {
            source: source.clone(),
            tiles: Vec::new(),
            place: ChunkPlace::default(),
            buffer: None,
            begun: None,
            announced: 0,
            pass: None,
        })
    }

    /// Reads and hashes the next chunk. Returns false at the end of the source.
    pub(super) fn advance(
        &mut self,
        setup: &StreamPlan,
        status: &SharedProgress,
        operation: &mut Operation<'_>,
    ) -> Result<bool> {
        let (before, size) = (self.place, self.source.size());
        // At the end the buffers are released at once.
        if before.end == size {
            (self.buffer, self.pass) = (None, None);
            return Ok(false);
        }
        // The next chunk begins with the overlap of the chunk before it.
        let end = before.end.saturating_add(setup.config.chunk_size()).min(size);
        let place = ChunkPlace {
            id: status.progress().chunks_done,
            start: before.end,
            end,
            overlap_end: end.saturating_add(setup.config.chunk_overlap()).min(size),
            residue: Residue::ZERO,
        };
        // Memory is reserved before the first read, so that a lack of it costs no work.
        reserve_tiles(&mut self.tiles, size)?;
        self.pass.get_or_insert_with(|| Pass::new(&self.source, 0, &setup.config));
        // A source in memory is hashed in place.
        let residue = if self.source.slice(0, to_usize_or_max(size)).is_some() {
            self.hash_in_place(setup, place, operation)?
        } else {
            self.read_and_hash(setup, before, place, operation)?
        };
        self.place = ChunkPlace { residue, ..place };
        // Announce the following chunks to the system while the caller uses this chunk.
        self.read_ahead(&setup.config);
        ChunkTracker::new(operation, setup.config.chunk_size(), status).reach(end)?;
        Ok(true)
    }

    /// Returns the chunk that [`advance`](Self::advance) has read last.
    pub(super) fn chunk(&self) -> Result<StreamingChunk<'_>> {
        let ChunkPlace { id, start, end, overlap_end, residue } = self.place;
        let len = to_usize(end - start);
        // The bytes lie in the buffer, or in the memory of the source.
        let both = match &self.buffer {
            Some(buffer) => Some(&buffer[..to_usize(overlap_end - start)]),
            None => self.source.slice(start, to_usize(overlap_end - start)),
        };
        let both = both.ok_or_else(|| {
            AtlasError::internal(format!(
                "a defect of the library, please report it: chunk {id} is not in memory"
            ))
        })?;
        let (data, overlap) = both.split_at(len);
        Ok(StreamingChunk { id, offset: start, data, overlap, residue })
    }

    /// Reads and hashes the remaining bytes without returning them as chunks, and returns the projection.
    pub(super) fn finish(
        mut self,
        setup: &StreamPlan,
        status: &SharedProgress,
        operation: &mut Operation<'_>,
    ) -> Result<AtlasProjection> {
        // Bytes that were read already are hashed from the buffers.
        if self.buffer.is_some() {
            self.hash_what_is_held(setup, status, operation)?;
        }
        // The remaining bytes are read tile by tile, for which the memory of the buffers is freed.
        for buffer in [self.buffer, self.begun].into_iter().flatten() {
            // With a memory limit the buffers are freed now; otherwise they are kept for reuse.
            if operation.is_limited() {
                buffer.discard();
            }
        }
        // The remaining bytes have a pass of their own, which begins at the first tile that is not hashed.
        drop(self.pass);
        project_rest(setup, &self.source, self.tiles, status, operation)
    }

    /// Hashes the tiles of which the buffers hold some bytes, and reads only the missing bytes of these tiles.
    fn hash_what_is_held(
        &mut self,
        setup: &StreamPlan,
        status: &SharedProgress,
        operation: &mut Operation<'_>,
    ) -> Result<()> {
        let size = self.source.size();
        // Read up to the end of the tile in which the overlap ends, in steps of a chunk.
        let last = self.place.overlap_end.checked_next_multiple_of(TILE_BYTES).unwrap_or(size).min(size);
        while self.place.end < last {
            let before = self.place;
            let end = before.end.saturating_add(setup.config.chunk_size()).min(last);
            let id = status.progress().chunks_done;
            // Bytes of the overlap stay in the buffer until their tile is hashed.
            let overlap_end = before.overlap_end.max(end);
            let place = ChunkPlace { id, start: before.end, end, overlap_end, residue: Residue::ZERO };
            // These chunks are not returned, so that their residues are not kept.
            self.read_and_hash(setup, before, place, operation)?;
            self.place = place;
            ChunkTracker::new(operation, setup.config.chunk_size(), status).reach(end)?;
        }
        Ok(())
    }

    /// Returns the offset in the domain of the first tile that is not hashed.
    fn hashed(&self) -> u64 {
        (to_u64(self.tiles.len()) * TILE_BYTES).min(self.source.size())
    }

    /// Asks the system to read the next chunks ahead, and releases mapped pages before the present chunk.
    fn read_ahead(&mut self, config: &StreamingConfig) {
        let wanted = self.place.end.saturating_add(config.ahead()).min(self.source.size());
        // The overlap was read already, and more may have been announced.
        let from = self.announced.max(self.place.overlap_end);
        if wanted > from {
            self.source.will_need(from, wanted - from);
            self.announced = wanted;
        }
        if let Some(pass) = &mut self.pass {
            // The caller still uses the present chunk.
            pass.leave_behind(self.place.start);
        }
    }

    /// Hashes the tiles that end in the chunk `place` of a source in memory, and returns the residue of the
    /// chunk.
    fn hash_in_place(
        &mut self,
        setup: &StreamPlan,
        place: ChunkPlace,
        operation: &Operation<'_>,
    ) -> Result<Residue> {
        let (source, scheme) = (&self.source, &setup.projection.scheme);
        // Parts end at tile boundaries; each is at most a tile.
        let parts = cuts(place.start..place.end)?;
        let count = to_u64(parts.len());
        let workers = operation.workers(count, scheme.workspace(), self.result())?;
        let slice = |range: &Range<u64>| {
            source.slice(range.start, to_usize(range.end - range.start)).ok_or_else(|| {
                AtlasError::internal("a defect of the library, please report it: a chunk is not in memory")
            })
        };
        let (mut residue, tiles) = (Residue::ZERO, &mut self.tiles);
        workers.run(
            count,
            || Ok(Workspace::default()),
            |workspace, index| {
                // For a part that completes a tile, the whole tile is hashed, including its beginning in an
                // earlier chunk.
                let part = &parts[to_usize(index)];
                let start = part.start / TILE_BYTES * TILE_BYTES;
                let whole = part.end.is_multiple_of(TILE_BYTES) || part.end == source.size();
                let tile = match whole {
                    true => Some(fresh_tile(scheme, workspace, source, start, slice(&(start..part.end))?)?),
                    false => None,
                };
                // If the part is a whole tile, the tile's residue is known; otherwise the part is summed.
                match &tile {
                    Some(tile) if part.start == start => Ok((tile.residue(), Some(Arc::clone(tile)))),
                    _ => Ok((Residue::of(slice(part)?), tile)),
                }
            },
            |_, (part, tile)| {
                residue = residue + part;
                tiles.extend(tile);
                Ok(())
            },
        )?;
        Ok(residue)
    }

    /// Reads the chunk `place` and its overlap into the buffer. The bytes up to the end of the overlap of `before`,
    /// the previous chunk, are in the buffer already and are not read again. Hashes the tiles that end in the chunk
    /// `place`, and returns the residue of this chunk.
    fn read_and_hash(
        &mut self,
        setup: &StreamPlan,
        before: ChunkPlace,
        place: ChunkPlace,
        operation: &Operation<'_>,
    ) -> Result<Residue> {
        let size = self.source.size();
        // Bytes up to the end of the last overlap are in the buffer.
        let (start, known) = (place.start, before.overlap_end);
        let chunk = setup.config.chunk_size();
        let whole = chunk.saturating_add(setup.config.chunk_overlap()).min(size);
        // Chunks that end at tile boundaries begin no tile of the next chunk.
        let begun = if chunk.is_multiple_of(TILE_BYTES) || size <= chunk { 0 } else { TILE_BYTES };
        let mut parts = cuts(place.start..place.end)?;
        try_extend(&mut parts, cuts(place.end..place.overlap_end)?)?;
        let count = to_u64(parts.len());
        let scheme = &setup.projection.scheme;
        // The buffers count against the memory limit before they are allocated.
        let fixed = self.result().saturating_add(whole + begun);
        let workers = operation.workers(count, scheme.workspace(), fixed)?;

        let mut buffer = match self.buffer.take() {
            Some(buffer) => buffer,
            None => Buffer::new(usize::try_from(whole).map_err(|_| too_large(whole))?)?,
        };
        // The chunk begins with the overlap returned before.
        buffer.copy_within(to_usize(before.end - before.start)..to_usize(known - before.start), 0);
        let buffer = self.buffer.insert(buffer);
        let places = split(buffer, parts, start, known)?;

        let source = &self.source;
        let step = setup.config.read_size();
        // The list gets its room first, so that the sink cannot fail for lack of memory.
        let (mut residue, mut tiles) = (Residue::ZERO, try_vec(to_usize(count))?);
        // Each worker fills its part, and hashes it if it is a tile.
        workers.run(
            count,
            || Ok(Workspace::default()),
            |workspace, index| {
                // A part is taken once, and its bytes move to the worker.
                let part = lock(&places[to_usize(index)]).take();
                let part = part.ok_or_else(|| {
                    AtlasError::internal(format!(
                        "a defect of the library, please report it: part {index} of a chunk is taken twice"
                    ))
                })?;
                let (offset, end) = (part.range.start, part.range.end);
                // The first parts may begin with known bytes, which are not read again.
                let rest = &mut part.bytes[part.known..];
                read_in_steps(source, offset + to_u64(part.known), rest, step, &StopFlag::default())
                    .map_err(|error| error.at_index(place.id))?;
                // The overlap is only read; it is hashed with the next chunk.
                if end > place.end {
                    return Ok((Residue::ZERO, None));
                }
                let whole =
                    offset.is_multiple_of(TILE_BYTES) && (end.is_multiple_of(TILE_BYTES) || end == size);
                if whole {
                    let tile = fresh_tile(scheme, workspace, source, offset, part.bytes)?;
                    return Ok((tile.residue(), Some(tile)));
                }
                Ok((Residue::of(part.bytes), None))
            },
            |_, (part, tile)| {
                residue = residue + part;
                tiles.extend(tile);
                Ok(())
            },
        )?;
        // A tile that began in an earlier chunk is completed after the workers have ended.
        drop(places);
        self.join_tiles(setup, place, tiles)?;
        Ok(residue)
    }

    /// Adds the tiles that end in a chunk to the hashed tiles: the tile that began in earlier chunks, and
    /// `tiles`, which the workers hashed. Keeps the first bytes of a tile that the chunk does not complete.
    fn join_tiles(&mut self, setup: &StreamPlan, place: ChunkPlace, tiles: Vec<Arc<Tile>>) -> Result<()> {
        let size = self.source.size();
        let Some(buffer) = &self.buffer else {
            return Err(AtlasError::internal(
                "a defect of the library, please report it: a chunk is not in memory",
            ));
        };
        let bytes = |range: Range<u64>| {
            &buffer[to_usize(range.start - place.start)..to_usize(range.end - place.start)]
        };
        // A tile that began before this chunk is completed from the kept beginning.
        let tile = to_u64(self.tiles.len()) * TILE_BYTES;
        if tile < place.start {
            let tile_end = (tile + TILE_BYTES).min(size);
            let end = place.end.min(tile_end);
            let begun = self.begun.as_mut().ok_or_else(|| {
                AtlasError::internal(
                    "a defect of the library, please report it: the first bytes of a tile are missing",
                )
            })?;
            begun[to_usize(place.start - tile)..to_usize(end - tile)]
                .copy_from_slice(bytes(place.start..end));
            // A chunk smaller than a tile may leave the tile incomplete.
            if end == tile_end {
                let whole = &begun[..to_usize(end - tile)];
                let (scheme, workspace) = (&setup.projection.scheme, &mut Workspace::default());
                self.tiles.push(fresh_tile(scheme, workspace, &self.source, tile, whole)?);
            }
        }
        // Then add the tiles of the chunk itself.
        self.tiles.extend(tiles);
        let tile = self.hashed();
        // The beginning of the next tile is kept until its chunk arrives.
        if tile >= place.start && tile < place.end {
            let begun = match &mut self.begun {
                Some(begun) => begun,
                None => self.begun.insert(Buffer::new(TILE_SIZE)?),
            };
            begun[..to_usize(place.end - tile)].copy_from_slice(bytes(tile..place.end));
        }
        Ok(())
    }

    /// Returns the number of bytes of memory that the projection of the whole source will use.
    fn result(&self) -> u64 {
        self.source.size().div_ceil(TILE_BYTES).saturating_mul(tile_footprint())
    }
}

fn to_usize_or_max(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

fn too_large(size: u64) -> AtlasError {
    AtlasError::out_of_memory(format!("a chunk of {size} bytes does not fit this machine's address space"))
}

/// Divides `range`, a range of the domain, at the tile boundaries within it. Returns the parts.
fn cuts(range: Range<u64>) -> Result<Vec<Range<u64>>> {
    let mut parts = Vec::new();
    let mut at = range.start;
    while at < range.end {
        // The next tile boundary may be beyond 2^64.
        let end = (at / TILE_BYTES + 1).saturating_mul(TILE_BYTES).min(range.end);
        try_push(&mut parts, at..end)?;
        at = end;
    }
    Ok(parts)
}

/// Divides `buffer` into one part for each range of `parts`, for the workers. The buffer begins at the offset
/// `start` of the domain, and its bytes up to `known` were read before.
fn split(
    buffer: &mut [u8],
    parts: Vec<Range<u64>>,
    start: u64,
    known: u64,
) -> Result<Vec<Mutex<Option<Part<'_>>>>> {
    let mut rest = buffer;
    debug_assert!(parts.first().is_none_or(|part| part.start == start));
    let mut places = try_vec(parts.len())?;
    for range in parts {
        // The parts follow each other in the buffer.
        let (bytes, after) = rest.split_at_mut(to_usize(range.end - range.start));
        // Parts before `known` are filled already, parts after it are empty.
        let known = to_usize(known.clamp(range.start, range.end) - range.start);
        places.push(Mutex::new(Some(Part { range, bytes, known })));
        rest = after;
    }
    Ok(places)
}
