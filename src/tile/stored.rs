//! References to the parts of a tile tree that lie in a container file.
//!
//! For some nodes and tiles of a tree only the place in the file is known. They are loaded when they are needed,
//! through a [`Store`], and checked against the digest in their parent. This module does not depend on the layout
//! of the file.

#![forbid(unsafe_code)]

use crate::base::error::Result;
use crate::base::out_bytes::OutBytes;
use crate::base::storage::FileId;
use crate::base::units::to_usize;
use crate::hash::digest::Digest;
use crate::layer2::Residue;
use crate::source::{ReadBytes, Source};
use crate::tile::Tile;
use crate::tile::context::Context;
use crate::tile::tree::{Charge, NodeCache};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Identity of a commit of a container file. It also identifies the contents of the file up to the end of the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommitId {
    pub(crate) generation: u64,
    /// Offset of the commit record in the container file.
    pub(crate) offset: u64,
    /// Seal of the commit record: the digest of its contents, all 32 bytes of it.
    pub(crate) seal: Digest,
}

/// Kind of the place in which a run of a tile's bytes lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SpanKind {
    /// The base: the source outside of the container file in which the bytes were left.
    Base,
    /// The container file itself, with the bytes stored as they are.
    Raw,
    /// A record of the container file that has the bytes compressed, possibly with other bytes.
    Encoded,
    /// No place: the bytes are zeros.
    Zeros,
}

/// A run of consecutive bytes of a tile, and the place of these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) kind: SpanKind,
    /// Offset of the bytes in the base or in the container file, or of the compressed record in the file; 0 for
    /// zeros.
    pub(crate) place: u64,
    /// Offset of the bytes within the decompressed record. 0 for other kinds.
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Span {
    /// Returns true if the bytes of `next` follow those of this span in the same place, so that both can be one span.
    pub(crate) fn continues(&self, next: &Span) -> bool {
        if self.kind != next.kind {
            return false;
        }
        match self.kind {
            // Zeros have no place that could differ.
            SpanKind::Zeros => true,
            // Both spans are parts of one decoded record, adjacent in it.
            SpanKind::Encoded => {
                self.place == next.place
                    && u64::from(self.start) + u64::from(self.len) == u64::from(next.start)
            }
            SpanKind::Base | SpanKind::Raw => self.place.checked_add(u64::from(self.len)) == Some(next.place),
        }
    }

    /// Returns the span of the bytes `range` of this span, counted from its first byte.
    pub(crate) fn part(&self, range: &Range<u32>) -> Span {
        // Bytes in a decoded record have two offsets, of which only the inner offset moves.
        let len = range.end - range.start;
        match self.kind {
            SpanKind::Zeros => Span { len, ..*self },
            SpanKind::Encoded => Span { start: self.start + range.start, len, ..*self },
            SpanKind::Base | SpanKind::Raw => {
                Span { place: self.place + u64::from(range.start), len, ..*self }
            }
        }
    }

    /// Appends `span` to `spans`. Extends the last span instead if `span` continues it.
    pub(crate) fn push(spans: &mut Vec<Span>, span: Span) {
        match spans.last_mut() {
            Some(last) if last.continues(&span) => last.len += span.len,
            _ => spans.push(span),
        }
    }
}

/// Place of all bytes of a tile, as the tile's entry in a container file states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TilePlace {
    /// All bytes are one span: its kind, its place, and its offset within a decompressed record.
    Span(SpanKind, u64, u32),
    /// The record at this offset of the container file lists the tile's spans and chaining values.
    Record(u64),
}

/// Entry of a tile in its parent node in a container file: all that is known of the tile before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TileEntry {
    pub(crate) len: u32,
    pub(crate) residue: Residue,
    pub(crate) place: TilePlace,
    pub(crate) witness: Digest,
}

/// Entry of a node in its parent in a container file: offset and size of its record, and the totals and digest of
/// its tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeRef {
    pub(crate) offset: u64,
    pub(crate) size: u32,
    pub(crate) residue: Residue,
    pub(crate) height: u8,
    pub(crate) bytes: u64,
    pub(crate) tiles: u64,
    pub(crate) top: Digest,
    /// Offset in the container file at or before which the record of the node must end.
    pub(crate) limit: u64,
}

/// Size in bytes of the head of a node's record. Each child follows with an entry, of `NODE_CHILD` bytes for a node
/// and `TILE_CHILD` bytes for a tile.
pub(crate) const NODE_HEAD: u32 = 40;
pub(crate) const NODE_CHILD: u32 = 64;
pub(crate) const TILE_CHILD: u32 = 48;

impl NodeRef {
    /// Returns the number of children of the node, which follows from the size of its record.
    pub(crate) fn count(&self) -> usize {
        let each = if self.height == 0 { TILE_CHILD } else { NODE_CHILD };
        // The count is small, because a record of a node has some kilobytes.
        usize::try_from(self.size.saturating_sub(NODE_HEAD) / each).unwrap_or(usize::MAX)
    }
}

/// The children of a node that was loaded from a container file.
pub(crate) enum StoredChildren {
    Nodes(Vec<NodeRef>),
    Tiles(Vec<Arc<Tile>>),
}

/// The places of all bytes of a tile, in order, and the chaining values of its 16 KiB groups if they are stored.
pub(crate) struct TileSpans {
    pub(crate) spans: Box<[Span]>,
    pub(crate) chaining_values: Box<[Digest]>,
    /// Offset of the record that lists the spans: a record of the tile alone, or the leaf if the tile is a single
    /// span.
    pub(crate) record: u64,
}

impl TileSpans {
    /// Returns the number of bytes that the spans and chaining values use in memory.
    pub(crate) fn footprint(&self) -> u64 {
        (size_of::<TileSpans>() + size_of_val(&*self.spans) + size_of_val(&*self.chaining_values)) as u64
    }
}

/// One generation of a container file, from which a tree loads its nodes and tiles.
pub(crate) trait Store: Send + Sync {
    /// Returns the commit that made the generation.
    fn commit(&self) -> &Arc<CommitId>;

    /// Returns the context that all trees of the projection share: its type, K and key, the conservation policy, and
    /// the cache of chaining values.
    fn context(&self) -> &Arc<Context>;

    /// Returns the cache of nodes that were loaded from the container file.
    fn cache(&self) -> &Arc<NodeCache>;

    /// Returns the source that has the bytes which the container does not hold, if it is attached.
    fn base(&self) -> Option<&Source>;

    /// Loads the children of a node. Fails with WITNESS or FORMAT if they do not match the entry of the node.
    fn children(self: Arc<Self>, node: &NodeRef) -> Result<StoredChildren>;

    /// Loads the places of a tile's bytes, and checks them for validity.
    fn spans(&self, tile: &StoredTile) -> Result<TileSpans>;

    /// Fills `out` with the bytes of the tile that has `spans`, from byte `start` of the tile on, unverified.
    fn read(&self, spans: &TileSpans, start: u32, out: OutBytes<'_>) -> Result<()>;

    /// Returns the identity of the container file (not of its base). `None` if it is not known.
    fn file(&self) -> Option<FileId>;

    /// Returns the name of the container for error texts.
    fn name(&self) -> String;
}

/// A tile of a tree in a container file. The first call of [`spans`](Self::spans) loads the list of the places where its
/// bytes lie.
pub(crate) struct StoredTile {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) entry: TileEntry,
    /// Offset of the leaf record that has the tile's entry. `first` has bytes 4..8 of the entry: the offset of the
    /// tile in a decompressed record, kept also if the kind of the entry allows none.
    pub(crate) leaf: u64,
    pub(crate) first: u32,
    spans: OnceLock<(TileSpans, Charge)>,
}

impl StoredTile {
    pub(crate) fn new(store: Arc<dyn Store>, entry: TileEntry, leaf: u64, first: u32) -> StoredTile {
        StoredTile { store, entry, leaf, first, spans: OnceLock::new() }
    }

    /// Returns the places of the tile's bytes, which the first call loads.
    pub(crate) fn spans(&self) -> Result<&TileSpans> {
        if let Some((spans, _)) = self.spans.get() {
            return Ok(spans);
        }
        // Several threads may load the spans; the first result stays, and the charge of any later result is
        // released.
        let spans = self.store.spans(self)?;
        let charge = self.store.cache().charge(spans.footprint());
        Ok(&self.spans.get_or_init(|| (spans, charge)).0)
    }
}

/// Reader of the bytes of a tile in a container file, in whatever places they lie.
pub(crate) struct StoredBytes(pub(crate) Arc<StoredTile>);

impl ReadBytes for StoredBytes {
    fn read_at(&self, offset: u64, out: OutBytes<'_>) -> Result<()> {
        let spans = self.0.spans()?;
        // The offset lies within a tile, whose length has 32 bits.
        self.0.store.read(spans, u32::try_from(to_usize(offset)).unwrap_or(u32::MAX), out)
    }

    fn name(&self) -> String {
        self.0.store.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(kind: SpanKind, place: u64, start: u32, len: u32) -> Span {
        Span { kind, place, start, len }
    }

    #[test]
    fn spans_that_continue_one_another_are_one() {
        use SpanKind::{Base, Encoded, Raw, Zeros};
        let all = [
            (span(Raw, 100, 0, 10), span(Raw, 110, 0, 5), true),
            (span(Raw, 100, 0, 10), span(Raw, 111, 0, 5), false),
            (span(Base, 100, 0, 10), span(Raw, 110, 0, 5), false),
            (span(Encoded, 64, 3, 7), span(Encoded, 64, 10, 1), true),
            (span(Encoded, 64, 3, 7), span(Encoded, 72, 10, 1), false),
            (span(Zeros, 0, 0, 7), span(Zeros, 0, 0, 1), true),
            (span(Base, u64::MAX, 0, 7), span(Base, 6, 0, 1), false),
        ];
        for (first, second, one) in all {
            let mut spans = Vec::new();
            Span::push(&mut spans, first);
            Span::push(&mut spans, second);
            assert_eq!(spans.len(), if one { 1 } else { 2 }, "{first:?} {second:?}");
            assert_eq!(spans.iter().map(|span| span.len).sum::<u32>(), first.len + second.len);
        }
    }

    #[test]
    fn cutting_a_span_and_joining_the_parts_gives_it_back() {
        for kind in [SpanKind::Base, SpanKind::Raw, SpanKind::Encoded, SpanKind::Zeros] {
            let start = if kind == SpanKind::Encoded { 9 } else { 0 };
            let place = if kind == SpanKind::Zeros { 0 } else { 4_096 };
            let whole = span(kind, place, start, 100);
            let mut spans = Vec::new();
            for range in [0..1, 1..50, 50..100] {
                Span::push(&mut spans, whole.part(&range));
            }
            assert_eq!(spans, [whole]);
        }
    }
}
