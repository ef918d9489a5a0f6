//! Writes a tile tree to the body of a batch: nodes, tiles and bytes that the container has already keep their places,
//! and all others are laid out.

use super::body::{Body, Laid, LeafLayout, Placed, PlacedTile};
use super::encoded::Encoder;
use super::file::ContainerFile;
use super::log;
use super::records::{Commit, MAX_DECODED};
use super::room::{check_room, table};
use super::seal::CHAINS;
use crate::base::buffer::{Buffer, try_grow, try_push};
use crate::base::error::{AtlasError, Result};
use crate::base::units::{GROUP_SIZE, PAGE_BYTES, TILE_SIZE, to_u64, to_usize};
use crate::hash::digest::{Digest, same};
use crate::hash::outboard::{Outboard, source_changed};
use crate::layer2::Residue;
use crate::source::Source;
use crate::tile::context::Context;
use crate::tile::extent::{Extent, WrittenRun};
use crate::tile::piece::Piece;
use crate::tile::rehash::CheckedReader;
use crate::tile::stored::{CommitId, NodeRef, Span, SpanKind, TileEntry, TilePlace};
use crate::tile::tree::{Children, Node, Tree, Written};
use crate::tile::{Tile, WrittenTile};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Lookup of commits in the log of a container file, with a cache. Stored nodes and bytes can keep their places only if
/// the commit that stored them is in this log.
pub(super) struct Chain<'f> {
    file: &'f ContainerFile,
    tip: Option<&'f Commit>,
    /// Base size of each commit that was looked up. `None` means that the commit is not in the log of this file.
    known: RefCell<HashMap<(u64, u64, Digest), Option<u64>>>,
}

impl<'f> Chain<'f> {
    pub(super) fn new(file: &'f ContainerFile, tip: Option<&'f Commit>) -> Chain<'f> {
        Chain { file, tip, known: RefCell::default() }
    }

    /// Returns the base size that the commit `id` states. `None` if the commit is not in the log of this file.
    pub(super) fn base_size(&self, id: &CommitId) -> Option<u64> {
        // A tree names few commits many times, so that each commit is searched once.
        let key = (id.generation, id.offset, id.seal);
        if let Some(known) = self.known.borrow().get(&key) {
            return *known;
        }
        // If the chain is damaged before the commit is reached, the commit counts as missing, and the bytes
        // are written.
        let found = log::find(self.file, self.tip, id.generation).ok();
        let found = found.filter(|commit| commit.offset == id.offset && same(&commit.seal, &id.seal));
        let base_size = found.map(|commit| commit.base_size);
        // Without memory for its entry, the commit is searched again the next time.
        let mut known = self.known.borrow_mut();
        if known.try_reserve(1).is_ok() {
            known.insert(key, base_size);
        }
        base_size
    }
}

/// Nodes, tiles and runs (byte ranges of extents) that the batch under construction stores, each with its place in the
/// file. The nodes, tiles and extents of the tree get these places once the batch is durable.
#[derive(Default)]
pub(super) struct Places {
    nodes: Vec<(Arc<Node>, NodeRef)>,
    tiles: Vec<(Arc<Tile>, TileEntry)>,
    runs: Vec<(Arc<Extent>, u32, Span)>,
    /// Number of bytes that the memory limit leaves for these lists.
    pub(super) room: u64,
}

impl Places {
    /// Fails with LIMIT if the lists use more memory than the memory limit leaves for them.
    fn check_room(&self) -> Result<()> {
        let lists = table::<(Arc<Node>, NodeRef)>(self.nodes.len())
            + table::<(Arc<Tile>, TileEntry)>(self.tiles.len())
            + table::<(Arc<Extent>, u32, Span)>(self.runs.len());
        check_room("the list of the places in the file", lists, self.room)
    }

    /// Stores in each node, tile and extent its place in the file, so that later commits refer to it. The commit `id`,
    /// whose batch ends at `end`, wrote them.
    pub(super) fn remember(self, id: &Arc<CommitId>, end: u64) {
        // The places are remembered only now, because a place in a failed batch would lead to bytes that were
        // cut off.
        for (node, place) in self.nodes {
            node.set_written(Written { commit: Arc::clone(id), node: NodeRef { limit: end, ..place } });
        }
        for (tile, entry) in self.tiles {
            tile.set_written(WrittenTile { commit: Arc::clone(id), entry });
        }
        for (extent, start, span) in self.runs {
            extent.set_written(WrittenRun { start, span, commit: Arc::clone(id) });
        }
    }
}

/// Part of a tile's bytes, stored already or to be written.
enum Part {
    /// Bytes that the container file or the base has already, at this span.
    There(Span),
    /// Bytes to be written: a byte range of an extent (bytes of a source or of an edit).
    Run(Arc<Extent>, Range<usize>),
    /// All bytes of the tile, to be written as a single run.
    Whole,
}

/// Lays out the new parts of a tile tree in the body of a batch.
pub(super) struct TreeWriter<'w, 'f> {
    pub(super) chain: &'w Chain<'f>,
    pub(super) context: &'w Context,
    /// Base that is attached. The commit refers to bytes in it and does not store them.
    pub(super) base: Option<&'w Source>,
    pub(super) encoder: Option<&'w mut Encoder>,
    pub(super) body: Body<'f>,
    pub(super) places: Places,
    /// Largest base size of all commits from which this batch takes over nodes, tiles or bytes.
    pub(super) base_size: u64,
    pub(super) keeps_chains: bool,
    scratch: Option<Buffer>,
    /// Called with the number of bytes of each tile that is laid out. Its error cancels the commit.
    pub(super) progress: &'w mut dyn FnMut(u64) -> Result<()>,
}

impl<'w, 'f> TreeWriter<'w, 'f> {
    pub(super) fn new(
        chain: &'w Chain<'f>,
        context: &'w Context,
        base: Option<&'w Source>,
        encoder: Option<&'w mut Encoder>,
        body: Body<'f>,
        progress: &'w mut dyn FnMut(u64) -> Result<()>,
    ) -> TreeWriter<'w, 'f> {
        let keeps_chains = chain.file.ident.has(CHAINS);
        let (places, base_size, scratch) = (Places::default(), 0, None);
        TreeWriter { chain, context, base, encoder, body, places, base_size, keeps_chains, scratch, progress }
    }

    /// Returns true if the commit `id` is in the file's log. If so, raises `base_size` to that commit's base size.
    fn has(&mut self, id: &CommitId) -> bool {
        let Some(base_size) = self.chain.base_size(id) else { return false };
        // Parts that are taken over may refer to any place of that generation's base ("C", byte 208).
        self.base_size = self.base_size.max(base_size);
        true
    }

    /// Lays out those nodes and tiles of `tree` that the file does not have yet. All tiles must have their witness.
    /// Returns the entry of the top node, or `None` for a tree without tiles.
    pub(super) fn tree(&mut self, tree: &Tree) -> Laid<Option<NodeRef>> {
        let mut reader = CheckedReader::new(self.context);
        tree.top_node().map(|top| self.node(top, &mut reader)).transpose()
    }

    fn node(&mut self, node: &Arc<Node>, reader: &mut CheckedReader<'_>) -> Laid<NodeRef> {
        // A node of this file, whether it was loaded from it or written earlier, keeps its place.
        if let Some((store, place)) = node.stored()
            && self.has(store.commit())
        {
            return Ok(*place);
        }
        if let Some(written) = node.written()
            && self.has(&written.commit)
        {
            return Ok(written.node);
        }
        // Otherwise the children of the node are laid out first.
        let children = node.children()?;
        let place = match &*children {
            Children::Tiles(tiles) => self.leaf(tiles, reader)?,
            Children::Nodes(nodes) => {
                let mut below = Vec::new();
                try_grow(&mut below, nodes.len())?;
                for node in nodes {
                    below.push(self.node(node, reader)?);
                }
                self.body.inner(self.context.scheme.digests(), &below)?
            }
        };
        // The place is remembered for the next commit.
        try_grow(&mut self.places.nodes, 1)?;
        self.places.nodes.push((Arc::clone(node), place));
        self.places.check_room()?;
        Ok(place)
    }

    fn leaf(&mut self, tiles: &[Arc<Tile>], reader: &mut CheckedReader<'_>) -> Laid<NodeRef> {
        let mut layout = LeafLayout::default();
        // The payload comes first, in the order of the tiles, then the records of the tiles and the leaf.
        for tile in tiles {
            let placed = self.tile(tile, reader)?;
            layout.push(placed);
        }
        let (node, entries) = layout.finish(&mut self.body, self.context.scheme.digests())?;
        try_grow(&mut self.places.tiles, tiles.len())?;
        self.places.tiles.extend(tiles.iter().cloned().zip(entries));
        Ok(node)
    }

    /// Returns the stored place of a tile if the container file has the whole tile, else `None`.
    fn place_before(&mut self, tile: &Tile) -> Option<TilePlace> {
        // A tile that was loaded and not edited is stored as a whole.
        if let Some(stored) = tile.whole().and_then(|extent| extent.stored_tile())
            && self.has(stored.store.commit())
        {
            return Some(stored.entry.place);
        }
        // A tile from memory may have been written by an earlier commit.
        let written = tile.written()?;
        self.has(&written.commit).then_some(written.entry.place)
    }

    /// Lays out the bytes of a tile that are not stored yet. Returns the tile with its place, for a leaf.
    fn tile(&mut self, tile: &Arc<Tile>, reader: &mut CheckedReader<'_>) -> Laid<PlacedTile> {
        let witness = *tile.witness().ok_or_else(|| {
            AtlasError::internal("a defect of the library, please report it: a tile has no witness")
        })?;
        // A tile has at most 1 MiB.
        let len = u32::try_from(tile.len()).unwrap_or(u32::MAX);
        let placed = |place| PlacedTile { len, residue: tile.residue(), witness, place };
        if let Some(place) = self.place_before(tile) {
            return Ok(placed(Placed::Before(place)));
        }
        // Parts are chosen before anything is laid out, because a tile in too many parts is written whole.
        let parts = self.parts(tile)?;
        let chaining_values = if self.keeps_chains && tile.len() > GROUP_SIZE {
            self.chaining_values(tile, reader)?
        } else {
            Vec::new()
        };
        // Chaining values come first: a changed source is found before its bytes are laid out.
        let spans = self.payload(tile, &parts, reader)?;
        (self.progress)(u64::from(len))?;
        Ok(placed(Placed::Now(spans, chaining_values)))
    }

    /// Divides a tile into parts that are stored already and parts to be written. Returns the whole tile as one part to
    /// be written if its parts are too many or too small, or need too much decoding.
    fn parts(&mut self, tile: &Arc<Tile>) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        for piece in tile.pieces() {
            self.parts_of_piece(piece, &mut parts)?;
        }
        // Many small parts, or much decoding, would make every later read slow ("Payload").
        let count = to_u64(parts.len());
        let decoded = self.decoded(&parts)?;
        if count > 1 && (to_u64(tile.len()) < PAGE_BYTES * count || decoded > MAX_DECODED) {
            return Ok(vec![Part::Whole]);
        }
        Ok(parts)
    }

    fn parts_of_piece(&mut self, piece: &Piece, parts: &mut Vec<Part>) -> Result<()> {
        let extent = piece.extent();
        let range = piece.start()..piece.start() + piece.len();
        // The offsets lie within a tile, whose length has 32 bits.
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let (start, end) = (number(range.start), number(range.end));
        // An extent of a stored tile takes over the spans.
        if let Some(stored) = extent.stored_tile()
            && self.has(stored.store.commit())
        {
            let mut at = 0;
            for span in &stored.spans()?.spans {
                // A piece may begin or end within a span.
                let (from, to) = (start.max(at), end.min(at + span.len));
                if from < to {
                    push_span(parts, span.part(&(from - at..to - at)))?;
                }
                at += span.len;
            }
            return Ok(());
        }
        // Bytes of the base are referred to, not copied.
        if let Some(base) = self.base {
            // Another source of the same file counts as the base.
            let (source, offset) = extent.place();
            if let Some(place) = source.place_in(base, offset + u64::from(start), u64::from(end - start)) {
                return push_span(parts, Span { kind: SpanKind::Base, place, start: 0, len: end - start });
            }
        }
        // Parts that earlier commits wrote are referred to; the gaps between them are new runs.
        let mut runs = extent.written(&(start..end))?;
        // Runs of other files, or of generations that were dropped, cannot be referred to.
        runs.retain(|run| self.has(&run.commit));
        runs.sort_unstable_by_key(|run| run.start);
        let mut at = start;
        for run in runs {
            // Runs never overlap, and only the first may begin before the piece.
            let (from, to) = (at.max(run.start), end.min(run.start + run.span.len));
            if at < from {
                let new = to_usize(at.into())..to_usize(from.into());
                try_push(parts, Part::Run(Arc::clone(extent), new))?;
            }
            push_span(parts, run.span.part(&(from - run.start..to - run.start)))?;
            at = to;
        }
        // The bytes after the last known run are new.
        if at < end {
            try_push(parts, Part::Run(Arc::clone(extent), to_usize(at.into())..to_usize(end.into())))?;
        }
        Ok(())
    }

    /// Returns the number of bytes to which the encoded records of a tile's stored parts decode. 0 for a single part.
    fn decoded(&self, parts: &[Part]) -> Result<u64> {
        let mut places: Vec<u64> = Vec::new();
        for part in parts {
            if let Part::There(Span { kind: SpanKind::Encoded, place, .. }) = part
                && !places.contains(place)
            {
                try_push(&mut places, *place)?;
            }
        }
        // A single span reads a single record, which has its own limit.
        if parts.len() < 2 {
            return Ok(0);
        }
        let mut total = 0;
        for place in places {
            total += super::encoded::decoded_size(self.chain.file, place)?;
        }
        Ok(total)
    }

    /// Lays out the parts of a tile that are to be written, and returns the spans of the whole tile. A tile of zeros
    /// without stored parts needs no payload.
    fn payload(
        &mut self,
        tile: &Arc<Tile>,
        parts: &[Part],
        reader: &mut CheckedReader<'_>,
    ) -> Laid<Vec<Span>> {
        // The buffer is taken out of `self`, so that the methods below can be called while it is borrowed.
        let mut scratch = self.scratch.take();
        let buffer = Buffer::or_new(&mut scratch, TILE_SIZE)?;
        // A tile of zeros needs no payload.
        // The residue rules out most tiles before their bytes are read.
        let nothing_is_there = !parts.iter().any(|part| matches!(part, Part::There(_)));
        if nothing_is_there && tile.residue() == Residue::ZERO && self.is_zero(tile, buffer, reader)? {
            self.scratch = scratch;
            let len = u32::try_from(tile.len()).unwrap_or(u32::MAX);
            return Ok(vec![Span { kind: SpanKind::Zeros, place: 0, start: 0, len }]);
        }
        // Stored parts keep their spans; each run is laid out, and its place remembered.
        let mut spans = Vec::new();
        for part in parts {
            match part {
                Part::There(span) => Span::push(&mut spans, *span),
                Part::Run(extent, range) => {
                    let bytes = &mut buffer[..range.len()];
                    // The reader checks the bytes against their witness: a changed source is not stored.
                    reader.copy(extent, range.start, bytes)?;
                    let span = self.run(bytes)?;
                    try_grow(&mut self.places.runs, 1)?;
                    let start = u32::try_from(range.start).unwrap_or(u32::MAX);
                    self.places.runs.push((Arc::clone(extent), start, span));
                    Span::push(&mut spans, span);
                }
                // For a tile that is written as a whole, the place of the tile is remembered instead of a
                // run.
                Part::Whole => {
                    let bytes = &mut buffer[..tile.len()];
                    assemble(tile, bytes, reader)?;
                    let span = self.run(bytes)?;
                    Span::push(&mut spans, span);
                }
            }
        }
        self.scratch = scratch;
        Ok(spans)
    }

    /// Appends a run of payload to the body, compressed if that is shorter, and returns its span.
    fn run(&mut self, bytes: &[u8]) -> Laid<Span> {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if let Some(encoder) = self.encoder.as_deref_mut()
            && let Some(value) = encoder.encode(bytes)?
        {
            let place = value.lay_out(&mut self.body)?;
            return Ok(Span { kind: SpanKind::Encoded, place, start: 0, len });
        }
        Ok(Span { kind: SpanKind::Raw, place: self.body.run(bytes)?, start: 0, len })
    }

    fn is_zero(&self, tile: &Tile, buffer: &mut Buffer, reader: &mut CheckedReader<'_>) -> Result<bool> {
        for piece in tile.pieces() {
            let bytes = &mut buffer[..piece.len()];
            reader.copy(piece.extent(), piece.start(), bytes)?;
            if bytes.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn chaining_values(&mut self, tile: &Arc<Tile>, reader: &mut CheckedReader<'_>) -> Result<Vec<Digest>> {
        let groups = tile.len().div_ceil(GROUP_SIZE);
        // Chaining values in memory were verified when they were made.
        if let Some(outboard) = tile.outboard() {
            return Ok((0..groups).map(|group| outboard.group(group)).collect());
        }
        let mut scratch = self.scratch.take();
        let bytes = &mut Buffer::or_new(&mut scratch, TILE_SIZE)?[..tile.len()];
        assemble(tile, bytes, reader)?;
        let (outboard, witness, _) = Outboard::with_residues(self.context.scheme.digests(), bytes)?;
        self.scratch = scratch;
        // The bytes were read again for the values, so that the source may have changed since the projection.
        if tile.witness().is_none_or(|known| !same(known, &witness)) {
            // An edited tile has bytes from several places, so that the error names only the source.
            let what = match tile.whole() {
                Some(extent) => extent.to_string(),
                None => format!("an edited tile of {}", tile.source_name()),
            };
            return Err(source_changed(&what));
        }
        Ok((0..groups).map(|group| outboard.group(group)).collect())
    }
}

fn push_span(parts: &mut Vec<Part>, span: Span) -> Result<()> {
    match parts.last_mut() {
        // Neighbours that continue one another count as one part.
        Some(Part::There(last)) if last.continues(&span) => last.len += span.len,
        _ => try_push(parts, Part::There(span))?,
    }
    Ok(())
}

/// Reads all pieces of a tile into `out`, and verifies the bytes against their witnesses.
fn assemble(tile: &Tile, out: &mut [u8], reader: &mut CheckedReader<'_>) -> Result<()> {
    let mut rest = out;
    for piece in tile.pieces() {
        let (now, later) = rest.split_at_mut(piece.len());
        reader.copy(piece.extent(), piece.start(), now)?;
        rest = later;
    }
    Ok(())
}
