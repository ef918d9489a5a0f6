//! Body of a batch: payload and tree records of a new generation, laid out one after the other behind the commit record
//! (docs/container.md, "Batch").
//!
//! A small batch, of at most 1 MiB, is laid out in memory and written in one piece with its commit record. A batch of
//! unknown size is first laid out as a small batch. If it becomes too long, the layout ends with [`Stop::Large`] and is
//! repeated as a large batch: the commit record gets a block of its own, and the body is written to the file in pieces.

use super::file::ContainerFile;
use super::planted::{Planted, planted, small_batch};
use super::records::features;
use super::records::{RecordKind, frame, inner_contents, leaf_contents, tile_contents, up};
use super::seal::Tag;
use crate::base::buffer::try_grow;
use crate::base::error::{AtlasError, Result};
use crate::base::units::{TILE_SIZE, to_u64};
use crate::hash::digest::{Digest, Digests};
use crate::hash::tile_tree::{Leaf, TreeHasher, fold};
use crate::layer2::Residue;
use crate::tile::stored::{NodeRef, Span, SpanKind, TileEntry, TilePlace};

/// Size from which a run (contiguous payload) begins at a multiple of the block size. Others begin at a multiple of 8.
const ALIGNED_RUN: usize = 64 * 1024;
/// Maximum number of bytes of memory of a batch: its body, which is copied behind the commit record of a small batch
/// when both are written, and lists of one node.
pub(super) const BODY_MEMORY: u64 = 2 * TILE_SIZE as u64 + 128 * 1024;
/// Number of bytes of a large batch that are written between two syncs, in units of the maximum size of a small batch
/// (1 MiB).
const SYNC_STEP: u64 = 256;

/// Reason why the layout of a batch ended early: too large for a small batch, or an error.
pub(super) enum Stop {
    /// The batch exceeds 1 MiB, the maximum of a small batch, and must be laid out again as a large batch.
    Large,
    Failed(AtlasError),
}

impl From<AtlasError> for Stop {
    fn from(error: AtlasError) -> Stop {
        Stop::Failed(error)
    }
}

pub(super) type Laid<T> = std::result::Result<T, Stop>;

/// Body of a batch under construction: the bytes that a commit appends to the container file after its commit record.
pub(super) struct Body<'f> {
    file: &'f ContainerFile,
    /// Offset in the file of the batch's commit record.
    commit: u64,
    /// Offset in the file of the first byte of the body, behind the commit record or the block reserved for it.
    start: u64,
    is_large: bool,
    /// Last bytes of the body, which are not in the file yet. They begin at offset `written` of the file.
    pending: Vec<u8>,
    written: u64,
    unsynced: u64,
    /// Feature bits, which a reader must know, of the records and payload of the body so far.
    pub(super) features: u32,
}

/// Finished body of a batch: the payload and tree records that a commit appends, ready for its commit record.
pub(super) struct Finished {
    pub(super) end: u64,
    pub(super) digest: Digest,
    /// All bytes of the body of a small batch. `None` for a large batch, whose body is in the file already.
    pub(super) bytes: Option<Vec<u8>>,
    pub(super) features: u32,
}

impl<'f> Body<'f> {
    /// Begins the body of a batch whose commit record has `record` bytes and lies at offset `commit` of the file.
    pub(super) fn new(file: &'f ContainerFile, commit: u64, record: u64, is_large: bool) -> Body<'f> {
        // The commit record of a large batch is alone in its block, because a synced block is not written again.
        let start = commit + if is_large && !planted(Planted::SharedBlock) { file.block() } else { record };
        let pending = Vec::new();
        Body { file, commit, start, is_large, pending, written: start, unsynced: 0, features: 0 }
    }

    fn position(&self) -> u64 {
        self.written + to_u64(self.pending.len())
    }

    /// Appends zeros up to a multiple of `to`, and returns the offset in the file at which the caller appends `len`
    /// bytes. Fails with [`Stop::Large`] if a small batch would exceed 1 MiB.
    fn place(&mut self, to: u64, len: usize) -> Laid<u64> {
        let offset = up(self.position(), to);
        let gap = offset - self.position();
        // The limit counts from the commit record to the end of the batch, filled up to a multiple of B.
        let end = up(offset.saturating_add(to_u64(len)), self.file.block());
        if !self.is_large && end - self.commit > small_batch() {
            return Err(Stop::Large);
        }
        // A gap is shorter than a block.
        let gap = usize::try_from(gap).unwrap_or(0);
        try_grow(&mut self.pending, gap)?;
        // Gaps between records are zeros, which find_damage checks.
        self.pending.resize(self.pending.len() + gap, 0);
        Ok(offset)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        // Long pieces of a large batch go to the file from the caller's buffer, without a copy into the pending bytes,
        // which are written before because the file is written in order.
        if self.is_large && bytes.len() >= ALIGNED_RUN {
            self.flush()?;
            return self.write(bytes);
        }
        try_grow(&mut self.pending, bytes.len())?;
        self.pending.extend_from_slice(bytes);
        // A small batch stays in memory until its commit record exists; a large batch is written in pieces of 1 MiB.
        if self.is_large && self.pending.len() >= TILE_SIZE {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes the pending bytes to the container file, and clears the buffer.
    fn flush(&mut self) -> Result<()> {
        // The buffer comes back after the write, so that its memory is used again.
        let bytes = std::mem::take(&mut self.pending);
        self.write(&bytes)?;
        self.pending = bytes;
        self.pending.clear();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        // Pending bytes begin at `written`, so that the position does not change here.
        let (offset, len) = (self.written, bytes.len());
        if len == 0 {
            return Ok(());
        }
        self.file.storage.write_at(offset, bytes).map_err(|error| {
            self.file
                .failed(&format!("writing {len} bytes at offset {offset} of"), error)
                .at_range(offset, to_u64(len))
        })?;
        self.written += to_u64(len);
        // The body is synced every 256 MiB, so that the last sync does not hold back the whole batch at once.
        self.unsynced += to_u64(len);
        if self.unsynced >= SYNC_STEP * small_batch() {
            self.file.sync_data().map_err(|error| self.file.failed("flushing", error))?;
            self.unsynced = 0;
        }
        Ok(())
    }

    /// Appends `bytes`, a run of payload, without encoding, and returns their offset in the file.
    pub(super) fn run(&mut self, bytes: &[u8]) -> Laid<u64> {
        // Long runs begin at a multiple of B, short runs at a multiple of 8 ("Batch").
        let to = if bytes.len() >= ALIGNED_RUN { self.file.block() } else { 8 };
        let offset = self.place(to, bytes.len())?;
        self.append(bytes)?;
        Ok(offset)
    }

    /// Appends more bytes of the run that was appended last, right after it, and returns their offset in the file.
    pub(super) fn continued(&mut self, bytes: &[u8]) -> Laid<u64> {
        // No alignment: the pieces of a run must touch each other to be a single span.
        let offset = self.place(1, bytes.len())?;
        self.append(bytes)?;
        Ok(offset)
    }

    /// Appends a record of this kind with these contents, and returns its offset in the file and its size in bytes. The
    /// seal covers the first `sealed` bytes of the contents.
    pub(super) fn record(&mut self, kind: RecordKind, contents: &[u8], sealed: usize) -> Laid<(u64, u32)> {
        let size = super::records::RECORD_HEAD + contents.len();
        // The offset must be known before sealing, because the seal covers it.
        let offset = self.place(8, size)?;
        let mut bytes = Vec::new();
        try_grow(&mut bytes, size)?;
        // An encoded record is sealed up to its block table; the witness proves the blocks.
        frame(&self.file.seals, &self.file.ident, kind, offset, contents, sealed, &mut bytes);
        self.append(&bytes)?;
        Ok((offset, u32::try_from(size).unwrap_or(u32::MAX)))
    }

    /// Ends the body with zeros up to a multiple of the block size, and computes its digest. The body of a large batch
    /// is in the file then, but not yet synced.
    pub(super) fn finish(mut self) -> Laid<Finished> {
        // Zeros up to the next multiple of B belong to the body and to its digest.
        let end = self.place(self.file.block(), 0)?;
        let (file, start) = (self.file, self.start);
        if !self.is_large {
            // A small body has at most 1 MiB, so that its digest covers the whole body.
            let digest = file.seals.digest(Tag::Batch, &file.ident, &[&self.pending]);
            return Ok(Finished { end, digest, bytes: Some(self.pending), features: self.features });
        }
        // The digest covers the last 1 MiB, part of which was written long before and is read back.
        self.flush()?;
        let digest = file.batch_digest(start, end)?.ok_or_else(|| {
            AtlasError::io(
                format_args!("reading what was just written to {}", file.path.display()),
                std::io::ErrorKind::UnexpectedEof.into(),
            )
        })?;
        Ok(Finished { end, digest, bytes: None, features: self.features })
    }

    /// Appends the record of an inner tree node with these children. Returns the entry for the node's parent.
    pub(super) fn inner(&mut self, digests: &Digests, children: &[NodeRef]) -> Laid<NodeRef> {
        let contents = inner_contents(children);
        // The children are laid out already, so that their offsets are final.
        let (offset, size) = self.record(RecordKind::Inner, &contents, contents.len())?;
        // The top of the node is the fold over the tops of its children.
        let items = children.iter().map(|child| (child.bytes, child.top)).collect();
        let (bytes, top) = fold(digests, items);
        Ok(NodeRef {
            offset,
            size,
            residue: children.iter().map(|child| child.residue).sum(),
            height: children.first().map_or(0, |child| child.height) + 1,
            bytes,
            tiles: children.iter().map(|child| child.tiles).sum(),
            top,
            // The end of the batch is not known yet; the limit is set once the commit is durable.
            limit: u64::MAX,
        })
    }
}

/// Length, residue and witness of a tile whose payload is laid out, and the place of its bytes.
pub(super) struct PlacedTile {
    pub(super) len: u32,
    pub(super) residue: Residue,
    pub(super) witness: Digest,
    pub(super) place: Placed,
}

pub(super) enum Placed {
    /// The tile is stored already, at this place.
    Before(TilePlace),
    /// Spans (locations of the tile's bytes) for a new entry, and the chaining values to store, if any.
    Now(Vec<Span>, Vec<Digest>),
}

/// Leaf of the tile tree under construction: the tiles collected so far, whose payload is in the body already.
/// [`finish`](Self::finish) appends the records of these tiles and the record of the leaf.
#[derive(Default)]
pub(super) struct LeafLayout {
    tiles: Vec<PlacedTile>,
}

impl LeafLayout {
    pub(super) fn len(&self) -> usize {
        self.tiles.len()
    }

    pub(super) fn push(&mut self, tile: PlacedTile) {
        self.tiles.push(tile);
    }

    /// Appends a tile record for each tile that needs several spans or chaining values, and then the record of the
    /// leaf. Returns the leaf's entry for its parent, and the entries of its tiles.
    pub(super) fn finish(self, body: &mut Body<'_>, digests: &Digests) -> Laid<(NodeRef, Vec<TileEntry>)> {
        // The T records of all tiles come before the leaf, in the order of the tiles.
        let mut entries = Vec::new();
        try_grow(&mut entries, self.tiles.len())?;
        for tile in self.tiles {
            // A tile that is stored already keeps its place.
            let place = match tile.place {
                // Its features are among the features of the tip, which the new commit names as well.
                Placed::Before(place) => place,
                Placed::Now(spans, chaining_values) => {
                    // The commit must name each feature that its tree uses.
                    if spans.iter().any(|span| span.kind == SpanKind::Base) {
                        body.features |= features::BASE;
                    }
                    // A single span fits into the leaf; several spans need a record.
                    match &spans[..] {
                        [only] if chaining_values.is_empty() => {
                            TilePlace::Span(only.kind, only.place, only.start)
                        }
                        _ => {
                            if !chaining_values.is_empty() {
                                body.features |= features::CHAINS;
                            }
                            let contents = tile_contents(tile.len, &spans, &chaining_values);
                            TilePlace::Record(body.record(RecordKind::Tile, &contents, contents.len())?.0)
                        }
                    }
                }
            };
            entries.push(TileEntry { len: tile.len, residue: tile.residue, place, witness: tile.witness });
        }
        // The leaf itself, after the records of its tiles.
        let contents = leaf_contents(&entries);
        let (offset, size) = body.record(RecordKind::Leaf, &contents, contents.len())?;
        // The top of the leaf is the commitment over all its tiles.
        let mut hasher = TreeHasher::new(digests);
        let items = entries.iter().map(|tile| {
            let leaf = Leaf { len: tile.len, residue: tile.residue, witness: tile.witness };
            (u64::from(tile.len), hasher.leaf(&leaf))
        });
        let (bytes, top) = fold(digests, items.collect());
        let node = NodeRef {
            offset,
            size,
            residue: entries.iter().map(|tile| tile.residue).sum(),
            height: 0,
            bytes,
            tiles: to_u64(entries.len()),
            top,
            limit: u64::MAX,
        };
        Ok((node, entries))
    }
}
