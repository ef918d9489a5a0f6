//! Merge of containers: the newest generations of several containers, the parts, become the first generation of a new
//! file, one after the other.
//!
//! ```text
//! part 0  ── leaves in order ──┐
//! part 1  ── leaves in order ──┼── places moved, payload copied ── nodes filled from the left
//! …                            ┘
//! ```
//!
//! All nodes are rewritten, because the offsets in them move. Payload that lies in a part's base is not read.

use super::batch::{self, NewCommit};
use super::body::{BODY_MEMORY, Laid, Placed, PlacedTile, Stop};
use super::encoded;
use super::file::ContainerFile;
use super::filler::Filler;
use super::records::{Commit, MAX_NOTE, MAX_TILES, ParsedChildren, RawTile};
use super::seal::CHAINS;
use super::store::GenerationStore;
use super::{CommitOptions, Container, ContainerCreateOptions, open};
use crate::base::buffer::{Buffer, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::out_bytes::OutBytes;
use crate::base::units::{TILE_BYTES, TILE_SIZE, to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::hash::digest::same;
use crate::hash::tile_tree::{Leaf, RootFolder};
use crate::layer2::Residue;
use crate::source::Source;
use crate::tile::stored::{NodeRef, Span, SpanKind, Store, StoredTile, TileEntry, TileSpans};
use crate::tile::tree::Tree;
use std::path::Path;
use std::sync::Arc;

impl Container {
    /// Writes the newest generations of `parts`, one after the other, as generation 1 of a new container at `path`.
    ///
    /// All parts but the last must consist of full tiles of 1 MiB, or be empty. Bytes in a part's base stay there: the
    /// base of the merged container is [`Source::concat`] of the parts' bases, and `create.handle.base` must be this
    /// base or `None`. Other payload is decoded and copied. With the same id, block size, time and note the merged
    /// outline equals the outline of a single import byte for byte. Chaining values are kept if the parts have them.
    /// Fails with INVALID_ARGUMENT if type, K, key, policy or chaining values of the parts differ, for a part before
    /// the last whose tiles are not full, or a base of another size; with WITNESS or FORMAT for a part that is damaged.
    /// The index of an error is the number of the part.
    pub fn merge(
        parts: &[&Container],
        path: impl AsRef<Path>,
        create: &ContainerCreateOptions,
        options: &CommitOptions,
        operation: &mut Operation<'_>,
    ) -> Result<Container> {
        operation.executor.check()?;
        let path = path.as_ref();
        // All parts are checked before the new file exists.
        let merge = Merge::new(parts, create, options)?;
        let Some(first) = merge.parts.first() else {
            return Err(AtlasError::invalid_argument(
                "the list of parts is empty, and a merge needs at least one",
            ));
        };
        // The context of the first part is shared, with caches of the new handle.
        let (cache, outboards) = open::caches(create.handle.cache_size);
        let context = first.container.context.beside(outboards)?;
        // Type, K and flags are taken from the parts; id, salt and block size are new.
        let (mut log, unfinished) = open::new_log(path, create, &first.file.ident, first.file.seals.clone())?;
        // A merge that fails, or is killed, leaves no file.
        merge.write(&mut log, options, operation)?;
        unfinished.name_new()?;
        let path = Some(path.to_owned());
        Ok(Container::of(log, context, Arc::new(cache), path, create.handle.clone(), false))
    }
}

/// Container to merge: its newest generation, and the offset of its base in the merged base.
struct Part<'c> {
    container: &'c Container,
    file: Arc<ContainerFile>,
    /// Commit of the part's newest generation. `None` if it has no generation and counts as an empty domain.
    tip: Option<Commit>,
    /// Offset at which the part's base begins in the merged base.
    base: u64,
}

impl Part<'_> {
    fn bytes(&self) -> u64 {
        self.tip.as_ref().map_or(0, |tip| tip.size)
    }

    fn tiles(&self) -> u64 {
        self.tip.as_ref().map_or(0, |tip| tip.tiles)
    }

    fn residue(&self) -> Residue {
        self.tip.as_ref().and_then(|tip| tip.top.as_ref()).map_or(Residue::ZERO, |top| top.residue)
    }
}

/// Merge in progress: the checked parts, and the totals of their bytes, tiles and base sizes.
struct Merge<'c> {
    parts: Vec<Part<'c>>,
    bytes: u64,
    tiles: u64,
    base_size: u64,
}

impl<'c> Merge<'c> {
    /// Checks the containers to merge, and the options for the new container and its commit. Reads no tree node.
    fn new(
        containers: &[&'c Container],
        create: &ContainerCreateOptions,
        options: &CommitOptions,
    ) -> Result<Merge<'c>> {
        // Invalid options are refused before any part is read.
        check_options(options)?;
        let mut merge = Merge { parts: try_vec(containers.len())?, bytes: 0, tiles: 0, base_size: 0 };
        // In a STRICT domain only the sum over all parts must be 0 mod 96, and not the sum of each part.
        let mut residue = Residue::ZERO;
        // Each part must continue the one before it.
        for (index, container) in containers.iter().enumerate() {
            let is_last = index + 1 == containers.len();
            let part = merge.add(container, is_last).map_err(|error| error.at_index(to_u64(index)))?;
            residue = residue + part.residue();
            merge.parts.push(part);
        }
        let Some(first) = merge.parts.first() else { return Ok(merge) };
        // Check the sum of all parts against the policy.
        first.container.check_sum(residue)?;
        // Chaining values cannot be added: the payload in a base is not read.
        if create.keep_chains && !first.file.ident.has(CHAINS) {
            return Err(AtlasError::invalid_argument(
                "keep_chains is set, and the parts have no chaining values, which a merge cannot compute: \
                 do not set keep_chains",
            ));
        }
        // The base of the merged container has the bases of all parts, one after the other.
        match create.handle.base.as_ref().map(Source::size) {
            Some(size) if size != merge.base_size => Err(AtlasError::invalid_argument(format!(
                "the base has {size} bytes instead of the {} of the parts' bases together: concatenate \
                 these bases, or give no base",
                merge.base_size
            ))),
            _ => Ok(merge),
        }
    }

    /// Checks a container against the parts before it and the limits of a container, and adds its sizes to the totals.
    /// Returns it as the next part.
    fn add(&mut self, container: &'c Container, is_last: bool) -> Result<Part<'c>> {
        // The part is the newest generation at this moment; later commits to it do not matter.
        let log = container.usable()?;
        let (file, tip) = (log.file, log.located.tip);
        if let Some(tip) = &tip {
            container.check_commit(&file, tip)?;
        }
        // The places of the part in the base move by the sizes of all bases before it.
        let part = Part { container, file, tip, base: self.base_size };
        // All parts must be of one kind.
        if let Some(first) = self.parts.first() {
            check_kind(first, &part)?;
        }
        // A short tile in the middle would not be a tile of a single import.
        let (bytes, tiles) = (part.bytes(), part.tiles());
        if !is_last && tiles.checked_mul(TILE_BYTES) != Some(bytes) {
            return Err(AtlasError::invalid_argument(format!(
                "{}: its {bytes} bytes in {tiles} tiles are not full tiles of 1 MiB, and only the last \
                 part may have shorter ones",
                part.file.path.display()
            )));
        }
        // Add up bytes, tiles and bases with checks for overflow.
        let base = part.tip.as_ref().map_or(0, |tip| tip.base_size);
        let sum = |so_far: u64, more: u64, limit: u64| so_far.checked_add(more).filter(|sum| *sum <= limit);
        let sums = (
            sum(self.bytes, bytes, (1 << 63) - 1),
            sum(self.tiles, tiles, MAX_TILES),
            sum(self.base_size, base, u64::MAX),
        );
        let (Some(bytes), Some(tiles), Some(base_size)) = sums else {
            return Err(AtlasError::limit(
                "the parts together exceed a limit of a container: 2^63 - 1 bytes, 2^44 tiles, or 2^64 - 1 \
                 bytes of bases",
            ));
        };
        (self.bytes, self.tiles, self.base_size) = (bytes, tiles, base_size);
        Ok(part)
    }

    /// Writes the merged generation to the new file of `log`. After an error, the caller removes the incomplete file.
    fn write(
        &self,
        log: &mut super::Log,
        options: &CommitOptions,
        operation: &mut Operation<'_>,
    ) -> Result<()> {
        let file = Arc::clone(&log.file);
        // The batch, the payload of a tile, and an encoded record.
        let features =
            self.parts.iter().filter_map(|part| part.tip.as_ref()).fold(0, |all, tip| all | tip.features);
        operation.reserve(BODY_MEMORY + TILE_BYTES + encoded::reading(features))?;
        let mut tracker = operation.tracker(self.bytes, self.tiles);
        // The new file has no generation from which nodes could be taken over.
        let none = Tree::default();
        let (body, filled) = batch::lay_out(&file, &log.located, options.note.len(), |body, is_large| {
            // The tiles of a small batch that becomes too large are laid out again in a large batch.
            let mut quiet = |_| Ok(());
            let mut reported = |bytes| tracker.advance(bytes, 1);
            let progress: &mut dyn FnMut(u64) -> Result<()> =
                if is_large { &mut reported } else { &mut quiet };
            // Each layout starts again with the first part.
            let mut writer = PartWriter { filler: Filler::new(&none, body), scratch: None, progress };
            let mut kind = None;
            for (index, part) in self.parts.iter().enumerate() {
                writer.part(part).map_err(|stop| at_part(stop, index))?;
                // All parts have the same scheme, so that the scheme of the first part is used.
                kind.get_or_insert(&part.container.context.scheme);
            }
            let scheme = kind.ok_or_else(|| {
                AtlasError::internal("a defect of the library, please report it: a merge has no parts")
            })?;
            writer.filler.finish(scheme.digests(), scheme.root_kind())
        })?;
        tracker.finish()?;
        // The address space of the base covers the bases of all parts, even bases that are not attached.
        let new = NewCommit {
            time: options.time,
            note: options.note.clone(),
            base_size: self.base_size,
            root: filled.root,
            top: filled.top,
        };
        batch::commit(&file, &mut log.located, body, new, None).map_err(|unwritten| unwritten.error)?;
        // The slot of the commit is synced when the handle is dropped.
        log.slot_is_unsynced = true;
        Ok(())
    }
}

fn check_options(options: &CommitOptions) -> Result<()> {
    if options.note.len() > MAX_NOTE {
        return Err(AtlasError::invalid_argument(format!(
            "a note of {} bytes is longer than {MAX_NOTE}",
            options.note.len()
        )));
    }
    // A new file has no generation, so that no number can be expected.
    if options.expected != 0 {
        return Err(AtlasError::conflict(format!(
            "`expected` is generation {}, and must be 0 for a merge, which creates a new file",
            options.expected
        )));
    }
    Ok(())
}

/// Fails with INVALID_ARGUMENT if type, K, key, policy or chaining values of `part` differ from the first part's.
fn check_kind(first: &Part<'_>, part: &Part<'_>) -> Result<()> {
    // Type, K and flags are in the headers; the key is compared by the digests that it makes.
    let (a, b) = (&first.file.ident, &part.file.ident);
    let refused = |what: &str| {
        Err(AtlasError::invalid_argument(format!(
            "{} has another {what} than the first part, {}",
            part.file.path.display(),
            first.file.path.display()
        )))
    };
    // Witnesses and roots of two types or two K cannot be in a single tree.
    if a.kind() != b.kind() {
        return refused("type");
    }
    if a.data_classes() != b.data_classes() {
        return refused("K");
    }
    // Under another key a tile has another witness.
    if !first.container.context.scheme.digests().is_same(part.container.context.scheme.digests()) {
        return refused("key");
    }
    if first.container.context.policy != part.container.context.policy {
        return refused("conservation policy");
    }
    // Either all tiles of more than 16 KiB have chaining values or none has.
    if a.has(CHAINS) != b.has(CHAINS) {
        return refused("choice of chaining values");
    }
    Ok(())
}

fn at_part(stop: Stop, index: usize) -> Stop {
    match stop {
        Stop::Failed(error) => Stop::Failed(error.at_index(to_u64(index))),
        Stop::Large => Stop::Large,
    }
}

/// Lays out the tiles of the parts, one part after the other, in the tree of the merged generation.
struct PartWriter<'w, 'f> {
    filler: Filler<'w, 'f>,
    /// Buffer of 1 MiB for the payload of one tile, allocated at first use.
    scratch: Option<Buffer>,
    /// Called after each tile was added to the merged generation, with the number of its bytes. An error that it
    /// returns cancels the merge.
    progress: &'w mut dyn FnMut(u64) -> Result<()>,
}

impl PartWriter<'_, '_> {
    fn part(&mut self, part: &Part<'_>) -> Laid<()> {
        // A part without a generation, or of an empty domain, adds nothing.
        let Some(tip) = &part.tip else { return Ok(()) };
        let Some(top) = &tip.top else { return Ok(()) };
        let Container { context, cache, .. } = part.container;
        // The store gets no base, because the bytes of the base are not read; only their places move.
        let store = Arc::new(GenerationStore::new(&part.file, tip, None, context, cache)?);
        // If the top does not lead to the root, the root is computed from all leaves.
        let folder = RootFolder::new(context.scheme.digests());
        let mut folder = (!part.container.leads_to_root(tip)).then_some(folder);
        // The leaves are laid out in order, and folded in the same walk if the root needs it.
        self.node(&store, top, part.base, &mut folder)?;
        let root = folder.map(|folder| folder.finish(context.scheme.root_kind()));
        if root.is_some_and(|root| !same(&root, &tip.root)) {
            return Err(AtlasError::witness(format!(
                "{}: the tiles of generation {} do not have its root: the container is damaged",
                part.file.path.display(),
                tip.generation
            ))
            .into());
        }
        Ok(())
    }

    fn node(
        &mut self,
        store: &Arc<GenerationStore>,
        node: &NodeRef,
        base: u64,
        folder: &mut Option<RootFolder<'_>>,
    ) -> Laid<()> {
        // The node is checked against its parent, so that the part's root proves the copied entries.
        match store.parse(node)? {
            ParsedChildren::Nodes(nodes) => {
                nodes.iter().try_for_each(|child| self.node(store, child, base, folder))
            }
            ParsedChildren::Tiles(tiles) => tiles.iter().try_for_each(|raw| {
                let TileEntry { len, residue, witness, .. } = raw.entry;
                // The root commits to length, residue and witness of each tile.
                if let Some(folder) = folder {
                    folder.push(&Leaf { len, residue, witness });
                }
                // Payload is laid out before the leaf that names it.
                let place = self.place(store, node.offset, raw, base)?;
                let tile = PlacedTile { len, residue, witness, place };
                self.filler.push(store.context.scheme.digests(), tile)?;
                Ok((self.progress)(u64::from(len))?)
            }),
        }
    }

    /// Returns the place in the merged file of the tile `raw` in the part's leaf at offset `leaf`. Shifts places in the
    /// part's base by `base` bytes, and copies payload in the part's file to the merged file.
    fn place(&mut self, store: &Arc<GenerationStore>, leaf: u64, raw: &RawTile, base: u64) -> Laid<Placed> {
        // The spans of the tile as its part stores them.
        let as_store: Arc<dyn Store> = Arc::clone(store) as Arc<dyn Store>;
        let tile = StoredTile::new(as_store, raw.entry, leaf, raw.first);
        let old = tile.spans()?;
        // Encoded bytes are decoded, because a span may need only a part of its record.
        self.load_payload(store, old, raw.entry.len)?;
        let mut spans = try_vec(old.spans.len())?;
        let mut start = 0;
        for span in &old.spans {
            let len = to_usize(u64::from(span.len));
            let moved = match (span.kind, &self.scratch) {
                // The place and its new value are within the merged base.
                (SpanKind::Base, _) => Span { place: span.place + base, ..*span },
                (SpanKind::Zeros, _) => *span,
                // Plain and encoded bytes become plain runs of the new file.
                (SpanKind::Raw | SpanKind::Encoded, Some(bytes)) => {
                    let place = self.filler.body.run(&bytes[start..start + len])?;
                    Span { kind: SpanKind::Raw, place, start: 0, len: span.len }
                }
                (SpanKind::Raw | SpanKind::Encoded, None) => {
                    return Err(AtlasError::internal(
                        "a defect of the library, please report it: the payload of a tile is not loaded",
                    )
                    .into());
                }
            };
            // Spans that continue one another after the move are joined.
            Span::push(&mut spans, moved);
            start += len;
        }
        // Chaining values depend on the bytes alone and stay.
        Ok(Placed::Now(spans, old.chaining_values.to_vec()))
    }

    /// Reads the payload of a tile that lies in the part's file into the scratch buffer, each byte at its offset within
    /// the tile. Bytes in the base are not read and count as zeros.
    fn load_payload(&mut self, store: &GenerationStore, spans: &TileSpans, len: u32) -> Result<()> {
        // If no span has bytes in the file, nothing is read, and no buffer is needed.
        let is_outside = |span: &Span| matches!(span.kind, SpanKind::Base | SpanKind::Zeros);
        if spans.spans.iter().all(is_outside) {
            return Ok(());
        }
        // The base is not read: its bytes count as zeros here.
        let inside = |span: &Span| match span.kind {
            SpanKind::Base => Span { kind: SpanKind::Zeros, place: 0, ..*span },
            _ => *span,
        };
        // A read of the whole tile puts each byte at its place.
        let spans = TileSpans {
            spans: spans.spans.iter().map(inside).collect(),
            chaining_values: Box::new([]),
            record: spans.record,
        };
        let buffer = Buffer::or_new(&mut self.scratch, TILE_SIZE)?;
        store.read(&spans, 0, OutBytes::new(&mut buffer[..to_usize(u64::from(len))]))
    }
}
