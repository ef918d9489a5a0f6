//! Importing a source: projected and stored in one pass.
//!
//! ```text
//! workers    read a tile, sum and hash it, look whether the newest generation has it, encode it
//! this       lays the tiles out in order, a leaf for 32 of them, and nodes above as they fill up
//! ```

use super::batch::{self, NewCommit};
use super::body::{Body, Laid, LeafLayout, Placed, PlacedTile, Stop};
use super::encoded::{EncodedRun, Encoder};
use super::records::{MAX_CHILDREN, MAX_TILES};
use super::seal::CHAINS;
use super::{CommitOptions, Container};
use crate::base::buffer::{Buffer, try_grow};
use crate::base::error::{AtlasError, Result};
use crate::base::sync::lock;
use crate::base::units::{GROUP_SIZE, TILE_BYTES, TILE_SIZE, TileIndex, to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::exec::pool;
use crate::hash::digest::{Digest, Digests};
use crate::hash::outboard::Outboard;
use crate::hash::tile_tree::{Leaf, RootFolder};
use crate::layer2::Residue;
use crate::source::Source;
use crate::tile::scheme::Workspace;
use crate::tile::stored::{NodeRef, Span, SpanKind, TilePlace};
use crate::tile::tree::{Children, Node, Tree};
use std::ops::Range;
use std::sync::Arc;

/// Tiles that may be hashed before they are laid out.
const WINDOW: u64 = 16;

/// A tile that a worker is done with.
struct Imported {
    len: u32,
    residue: Residue,
    witness: Digest,
    chaining_values: Vec<Digest>,
    payload: Payload,
}

enum Payload {
    /// The newest generation has it at this place.
    Before(TilePlace),
    /// At this offset of the base.
    Base(u64),
    Zeros,
    Bytes(Buffer),
    Encoded(EncodedRun),
    /// At this offset of the source, which is memory that does not change.
    InPlace(u64),
}

impl Container {
    /// Projects `source` and makes it the newest generation, in one pass and in memory bounded by the number of
    /// workers.
    ///
    /// If the source is the base, or another source of the same file, its bytes stay there and only digests are
    /// stored. A tile that the newest generation has at the same index is taken over from it. Returns the
    /// generation's number. Fails as [`commit`](Self::commit) does, and with what reading fails with.
    pub fn import(
        &self,
        source: &Source,
        options: &CommitOptions,
        operation: &mut Operation<'_>,
    ) -> Result<u64> {
        self.change(options, |log| {
            let size = source.size();
            if size >= 1 << 63 || size.div_ceil(TILE_BYTES) > MAX_TILES {
                return Err(AtlasError::limit(format!(
                    "a source of {size} bytes is too large for a container"
                ))
                .into());
            }
            let file = Arc::clone(&log.file);
            let tip = log.located.tip.as_ref();
            let base = lock(&self.base).clone();
            let of_base = base.as_ref().is_some_and(|base| base.is_same(source));
            let old = match tip.filter(|tip| self.check_commit(&file, tip).is_ok()) {
                Some(tip) => self.state(&file, tip)?.tree.clone(),
                None => Tree::default(),
            };
            let import =
                Import { container: self, source, of_base, old: &old, keeps_chains: file.ident.has(CHAINS) };
            let (body, imported) = match import.lay_out(&file, &log.located, options.note.len(), operation) {
                Ok(done) => done,
                Err(error) => return Err(batch::undo(&file, &log.located, error)),
            };
            if let Err(error) = self.check_sum(imported.residue) {
                return Err(batch::undo(&file, &log.located, error));
            }
            let attached = base.as_ref().map(Source::size);
            let before = tip.map_or(0, |tip| tip.base_size);
            let base_size = match attached {
                Some(attached) if of_base => attached.max(size),
                Some(attached) => attached,
                None => before,
            };
            let (root, top) = (imported.root, imported.top);
            let new = NewCommit { time: options.time, note: options.note.clone(), base_size, root, top };
            let commit = batch::commit(&file, &mut log.located, body, new, None)?;
            Ok(commit.generation)
        })
    }
}

/// One import.
struct Import<'i> {
    container: &'i Container,
    source: &'i Source,
    of_base: bool,
    /// The newest generation.
    old: &'i Tree,
    keeps_chains: bool,
}

/// What all tiles add up to.
struct Total {
    root: Digest,
    residue: Residue,
    top: Option<NodeRef>,
}

#[derive(Default)]
struct Worker {
    workspace: Workspace,
    encoder: Option<Encoder>,
}

impl Import<'_> {
    fn lay_out(
        &self,
        file: &super::ContainerFile,
        located: &super::Located,
        note: usize,
        operation: &mut Operation<'_>,
    ) -> Result<(super::body::Finished, Total)> {
        let scheme = &self.container.context.scheme;
        let digests = scheme.digests();
        let count = self.source.size().div_ceil(TILE_BYTES);
        let in_place = self.source.is_fixed() && self.source.in_memory();
        // A tile that is read, and what encodes it.
        let encoding = match &self.container.options.compression {
            Some(config) => Encoder::footprint(config)?,
            None => 0,
        };
        let per_worker = if in_place { 0 } else { TILE_BYTES } + scheme.workspace() + encoding;
        let fixed = if in_place { 0 } else { 2 * TILE_BYTES };
        let workers = operation.workers(count, per_worker, fixed)?;
        let order = pool::Order { window: Some(WINDOW), runs: &[], unwatched: operation.unwatched() };
        let executor = operation.executor;
        let mut tracker = operation.tracker(self.source.size(), count);
        let (commit, record) = (located.end(file), super::records::commit_size(note));
        let mut filler = Filler::new(self, Body::new(file, commit, record, false));
        // What a small batch has so far, until it turns out to be too large.
        let mut retained: Option<Vec<Imported>> = Some(Vec::new());
        let mut folder = RootFolder::new(digests);
        let mut residue = Residue::ZERO;
        pool::run_within(
            executor,
            workers,
            count,
            order,
            || Ok(Worker { workspace: Workspace::default(), encoder: self.container.encoder()? }),
            |worker, index| self.tile(index, worker).map_err(|error| error.at_index(index)),
            |_, tile| {
                let len = u64::from(tile.len);
                residue = residue + tile.residue;
                folder.push(&Leaf { len: tile.len, residue: tile.residue, witness: tile.witness });
                match filler.push(digests, &tile) {
                    Ok(()) => {
                        if let Some(retained) = &mut retained {
                            try_grow(retained, 1)?;
                            retained.push(tile);
                        }
                    }
                    Err(Stop::Failed(error)) => return Err(error),
                    Err(Stop::Large) => {
                        filler = Filler::new(self, Body::new(file, commit, record, true));
                        for tile in retained.take().iter().flatten().chain([&tile]) {
                            filler.push(digests, tile).map_err(only_failed)?;
                        }
                    }
                }
                tracker.advance(len, 1)
            },
        )?;
        let finished = match filler.finish(digests).and_then(|(body, top)| Ok((body.finish()?, top))) {
            Ok(finished) => finished,
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Large) => {
                let mut filler = Filler::new(self, Body::new(file, commit, record, true));
                for tile in retained.take().iter().flatten() {
                    filler.push(digests, tile).map_err(only_failed)?;
                }
                let large = filler.finish(digests).and_then(|(body, top)| Ok((body.finish()?, top)));
                large.map_err(only_failed)?
            }
        };
        tracker.finish()?;
        let (body, top) = finished;
        Ok((body, Total { root: folder.finish(scheme.root_kind()), residue, top }))
    }

    /// Reads, sums and hashes tile `index`.
    fn tile(&self, index: u64, worker: &mut Worker) -> Result<Imported> {
        let offset = index * TILE_BYTES;
        let len = to_usize(TILE_BYTES.min(self.source.size() - offset));
        let mut buffer = None;
        let bytes = match self.source.fixed_slice(offset, len) {
            Some(bytes) => bytes,
            None => {
                let buffer = buffer.insert(Buffer::new(TILE_SIZE)?.truncated(len));
                self.source.read(offset, buffer)?;
                &buffer[..]
            }
        };
        let scheme = &self.container.context.scheme;
        let is_chained = self.keeps_chains && len > GROUP_SIZE;
        let (residue, witness, chaining_values) = if is_chained {
            let (outboard, witness, residues) = Outboard::with_residues(scheme.digests(), bytes)?;
            let values = (0..len.div_ceil(GROUP_SIZE)).map(|group| outboard.group(group)).collect();
            (residues.iter().copied().sum(), witness, values)
        } else {
            let (residues, witness) = scheme.sum_and_witness(bytes, &mut worker.workspace)?;
            (residues.total(), witness, Vec::new())
        };
        // A tile has at most 1 MiB.
        let len32 = u32::try_from(len).unwrap_or(u32::MAX);
        let done = |payload| Imported { len: len32, residue, witness, chaining_values, payload };
        if let Some(place) = self.place_before(index, offset, (len32, residue, &witness))? {
            return Ok(done(Payload::Before(place)));
        }
        if self.of_base {
            return Ok(done(Payload::Base(offset)));
        }
        if residue == Residue::ZERO && bytes.iter().all(|byte| *byte == 0) {
            return Ok(done(Payload::Zeros));
        }
        if let Some(encoder) = &mut worker.encoder
            && let Some(run) = encoder.encode(bytes)?
        {
            return Ok(done(Payload::Encoded(run)));
        }
        Ok(done(match buffer {
            Some(buffer) => Payload::Bytes(buffer),
            None => Payload::InPlace(offset),
        }))
    }

    /// The place of the tile in the newest generation, if it is the same there and its bytes do not lie in the base
    /// somewhere else.
    fn place_before(
        &self,
        index: u64,
        offset: u64,
        (len, residue, witness): (u32, Residue, &Digest),
    ) -> Result<Option<TilePlace>> {
        if index >= self.old.tiles() {
            return Ok(None);
        }
        let Some(old) = self.old.tile(TileIndex(index))? else { return Ok(None) };
        let Some(stored) = old.tile.whole().and_then(|extent| extent.stored_tile()) else { return Ok(None) };
        let entry = &stored.entry;
        if (entry.len, entry.residue, &entry.witness) != (len, residue, witness) {
            return Ok(None);
        }
        let spans = stored.spans()?;
        let mut at = offset;
        for span in &spans.spans {
            if span.kind == SpanKind::Base && !(self.of_base && span.place == at) {
                return Ok(None);
            }
            at += u64::from(span.len);
        }
        Ok(Some(entry.place))
    }
}

fn only_failed(stop: Stop) -> AtlasError {
    match stop {
        Stop::Failed(error) => error,
        Stop::Large => AtlasError::internal("a large batch is too large"),
    }
}

/// Fills nodes from the left.
struct Filler<'i, 'f> {
    import: &'i Import<'i>,
    body: Body<'f>,
    leaf: LeafLayout,
    /// True if all tiles of the leaf were taken over.
    leaf_is_old: bool,
    /// Number of tiles so far.
    tiles: u64,
    /// Nodes of each height that wait for their parent; and whether each is one of the newest generation.
    levels: Vec<Vec<(NodeRef, bool)>>,
}

impl<'i, 'f> Filler<'i, 'f> {
    fn new(import: &'i Import<'i>, body: Body<'f>) -> Filler<'i, 'f> {
        Filler { import, body, leaf: LeafLayout::default(), leaf_is_old: true, tiles: 0, levels: Vec::new() }
    }

    fn push(&mut self, digests: &Digests, tile: &Imported) -> Laid<()> {
        let span = |kind, place| Span { kind, place, start: 0, len: tile.len };
        let span = match &tile.payload {
            Payload::Before(_) => None,
            Payload::Base(place) => Some(span(SpanKind::Base, *place)),
            Payload::Zeros => Some(span(SpanKind::Zeros, 0)),
            Payload::Bytes(bytes) => Some(span(SpanKind::Raw, self.body.run(bytes)?)),
            Payload::Encoded(run) => Some(span(SpanKind::Encoded, run.lay_out(&mut self.body)?)),
            Payload::InPlace(offset) => {
                let bytes = self.import.source.fixed_slice(*offset, to_usize(u64::from(tile.len)));
                let bytes = bytes.ok_or_else(|| AtlasError::internal("memory of a source is gone"))?;
                Some(span(SpanKind::Raw, self.body.run(bytes)?))
            }
        };
        let place = match (span, &tile.payload) {
            (None, Payload::Before(place)) => Placed::Before(*place),
            (span, _) => {
                self.leaf_is_old = false;
                Placed::Now(span.into_iter().collect(), tile.chaining_values.clone())
            }
        };
        self.leaf.push(PlacedTile { len: tile.len, residue: tile.residue, witness: tile.witness, place });
        self.tiles += 1;
        if self.leaf.len() == MAX_CHILDREN { self.end_leaf(digests) } else { Ok(()) }
    }

    /// Ends the leaf, and the nodes above that are full.
    fn end_leaf(&mut self, digests: &Digests) -> Laid<()> {
        let leaf = std::mem::take(&mut self.leaf);
        let is_old = std::mem::replace(&mut self.leaf_is_old, true);
        let range = self.tiles - to_u64(leaf.len())..self.tiles;
        let old = if is_old { node_over(self.import.old, &range, 0)? } else { None };
        let node = match old {
            Some(node) => (node, true),
            None => (leaf.finish(&mut self.body, digests)?.0, false),
        };
        self.add(0, node);
        for level in 0..self.levels.len() {
            if self.levels[level].len() == MAX_CHILDREN {
                self.end_node(level, digests)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, level: usize, node: (NodeRef, bool)) {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        self.levels[level].push(node);
    }

    /// Ends the node over those of a level.
    fn end_node(&mut self, level: usize, digests: &Digests) -> Laid<()> {
        let children = std::mem::take(&mut self.levels[level]);
        let nodes: Vec<NodeRef> = children.iter().map(|(node, _)| *node).collect();
        let tiles: u64 = nodes.iter().map(|node| node.tiles).sum();
        let end = self.tiles;
        let height = u8::try_from(level + 1).unwrap_or(u8::MAX);
        let old = if children.iter().all(|(_, is_old)| *is_old) {
            node_over(self.import.old, &(end - tiles..end), height)?
        } else {
            None
        };
        let node = match old {
            Some(node) => (node, true),
            None => (self.body.inner(digests, &nodes)?, false),
        };
        self.add(level + 1, node);
        Ok(())
    }

    /// The top node.
    fn finish(mut self, digests: &Digests) -> Laid<(Body<'f>, Option<NodeRef>)> {
        if self.leaf.len() > 0 {
            self.end_leaf(digests)?;
        }
        let mut level = 0;
        while level < self.levels.len() {
            let is_top = level + 1 == self.levels.len();
            match self.levels[level].len() {
                0 => {}
                1 if is_top => {}
                _ => self.end_node(level, digests)?,
            }
            level += 1;
        }
        let top = self.levels.pop().and_then(|mut nodes| nodes.pop()).map(|(node, _)| node);
        Ok((self.body, top))
    }
}

/// The stored node of `tree` of this height that is over just these tiles.
fn node_over(tree: &Tree, tiles: &Range<u64>, height: u8) -> Result<Option<NodeRef>> {
    let Some(top) = tree.top_node() else { return Ok(None) };
    let (mut node, mut start): (Arc<Node>, u64) = (Arc::clone(top), 0);
    loop {
        let Some((_, place)) = node.stored() else { return Ok(None) };
        if place.height == height {
            return Ok((start == tiles.start && start + place.tiles == tiles.end).then_some(*place));
        }
        if place.height < height || tiles.end > start + place.tiles {
            return Ok(None);
        }
        let children = node.children()?;
        let Children::Nodes(nodes) = &*children else { return Ok(None) };
        let mut below = None;
        for child in nodes {
            let Some((_, place)) = child.stored() else { return Ok(None) };
            if tiles.start < start + place.tiles {
                below = Some(Arc::clone(child));
                break;
            }
            start += place.tiles;
        }
        let Some(below) = below else { return Ok(None) };
        drop(children);
        node = below;
    }
}
