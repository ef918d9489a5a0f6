//! Search for damage in a container: checks every record, every tile, and the zeros between records.
//!
//! Nodes and tiles shared by several generations are checked once, with the oldest of them. The call fails with the
//! first fault in the order header, chain of commits, generations from the oldest, zero bytes between records; each
//! damaged record or range is reported to the callback.

use super::Container;
use super::encoded;
use super::file::ContainerFile;
use super::log;
use super::records::{self, Commit, HEADER_SIZE, MAX_CHILDREN, ParsedChildren, RawTile, body_start};
use super::room::{check_room, table};
use super::store::GenerationStore;
use crate::base::buffer::{try_grow, try_insert, try_push, try_vec};
use crate::base::damage::{Damage, DamageFn, DamageKind, DamagePart, tell};
use crate::base::error::{AtlasError, ErrorKind, Result};
use crate::base::out_bytes::OutBytes;
use crate::base::ranges::Ranges;
use crate::base::sync::lock;
use crate::base::units::{TILE_BYTES, TILE_SIZE, to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::exec::progress::Tracker;
use crate::exec::workers::Workers;
use crate::hash::digest::{Digest, same};
use crate::hash::tile_tree::{Leaf, RootFolder};
use crate::layer2::Residue;
use crate::source::Holes;
use crate::tile::check::are_holes;
use crate::tile::one_tile::Scratch;
use crate::tile::scheme::Workspace;
use crate::tile::stored::{NodeRef, SpanKind, Store, StoredTile, TileEntry, TilePlace};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

impl Container {
    /// Checks the header, the chain of commit records, and every other record and tile of the generations from
    /// `from` on; 0 means all. If these are all generations and no damage was found, it then checks that the bytes
    /// between records are zero. Slots (hints to the newest commit) are not checked.
    ///
    /// `damage` is called for each damaged range: records by their offset, then tiles, generation by
    /// generation. Fails with the status of the first fault in the order header, chain, generations from the
    /// oldest, zero bytes; with INCOMPLETE if no fault was found, but some tiles lie in a base that is not
    /// attached or too short; with CANCELLED if `damage` or the progress returned false.
    pub fn find_damage(
        &self,
        from: u64,
        damage: &mut DamageFn<'_>,
        operation: &mut Operation<'_>,
    ) -> Result<()> {
        // The search sees the generations of this moment; later commits are not in it.
        let log = self.usable()?;
        let tip = log.located.tip.as_ref();
        let (total, count) = tip.map_or((0, 0), |tip| (tip.size, tip.tiles));
        let reading = encoded::reading(tip.map_or(0, |tip| tip.features));
        let per_worker = TILE_BYTES + self.context.scheme.workspace() + reading;
        // The end of a batch, of which the digest is computed, and records.
        let fixed = TILE_BYTES + 64 * 1024;
        // Tiles of a leaf are checked in parallel, so that more workers than tiles of a leaf are of no use.
        let workers = operation.workers(count.min(to_u64(MAX_CHILDREN)), per_worker, fixed)?;
        let taken = fixed.saturating_add(per_worker.saturating_mul(to_u64(workers.count())));
        let room = operation.memory_left(taken);
        // Records and tiles are collected in two lists, because they are reported in two orders.
        let mut search = Search {
            container: self,
            file: &log.file,
            workers,
            first: None,
            records: Vec::new(),
            tiles: Vec::new(),
            used: Ranges::default(),
            nodes: HashMap::new(),
            checked: HashMap::new(),
            is_incomplete: false,
            holes: Holes::default(),
            room,
        };
        let mut tracker = operation.tracker(total, count);
        search.run(tip, from, &mut tracker)?;
        // Findings are reported in the order of the file, whatever the order of the search.
        let Search { first, records, tiles, is_incomplete, .. } = search;
        // A stable sort of the list itself would need memory that cannot be refused.
        let mut order = try_vec(records.len())?;
        order.extend(0..records.len());
        order.sort_unstable_by_key(|number| (records[*number].offset, *number));
        for found in order.into_iter().map(|number| &records[number]).chain(&tiles) {
            if !tell(damage, found)? {
                return Err(AtlasError::cancelled(
                    "the damage callback returned false, which ended the search",
                ));
            }
        }
        // The status is that of the first fault in the documented order.
        match first {
            Some((_, error)) => Err(error),
            None if is_incomplete => Err(AtlasError::incomplete(
                "the container is intact, and its bytes in the base were not checked: attach the whole base",
            )),
            None => tracker.finish(),
        }
    }
}

/// Part of the container in which a fault lies. The call fails with the fault that comes first in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Header,
    Chain,
    Generation(u64),
    Zeros,
}

struct Search<'s> {
    container: &'s Container,
    file: &'s Arc<ContainerFile>,
    /// Threads that read and check in parallel the tiles of one leaf, a lowest node of the stored tree, which has up to
    /// 32 tiles.
    workers: Workers<'s>,
    /// Error with which the call fails: the fault that comes first in [`Order`] of all found so far.
    first: Option<(Order, AtlasError)>,
    records: Vec<Damage>,
    tiles: Vec<Damage>,
    /// Ranges of the container file that records and payload use. All other bytes must be zero.
    used: Ranges,
    /// Tree nodes that were checked, by offset, digest and base size. True if the node and all below it are intact.
    nodes: HashMap<(u64, Digest, u64), bool>,
    /// Tiles that were checked. The value is true if no damage was found.
    checked: HashMap<TileKey, bool>,
    is_incomplete: bool,
    holes: Holes,
    /// Number of bytes that the memory limit leaves for the lists above.
    room: u64,
}

impl Search<'_> {
    fn run(&mut self, tip: Option<&Commit>, from: u64, tracker: &mut Tracker<'_, '_>) -> Result<()> {
        // The header is read again, because it may have been damaged meanwhile, or the file may have been
        // shorter when the container was opened.
        if self.file.is_header_damaged()? {
            let error = AtlasError::witness(
                "the header of the container is damaged: the container can be read, and compacted into a \
                 new file",
            )
            .at_range(0, to_u64(HEADER_SIZE));
            self.record(Order::Header, 0, to_u64(HEADER_SIZE), 0, error)?;
        }
        // The chain is read from the newest commit on, and the generations are checked from the oldest on.
        let chain = self.chain(tip)?;
        let is_whole_chain = chain.last().is_none_or(|oldest| oldest.ordinal == 0);
        for (index, commit) in chain.iter().enumerate().rev() {
            if commit.generation >= from {
                self.generation(commit, chain.get(index + 1), tracker)?;
            }
        }
        // Unless all generations were checked, the unused places are unknown.
        if is_whole_chain
            && from <= chain.last().map_or(0, |oldest| oldest.generation)
            && self.first.is_none()
        {
            self.zeros(tip)?;
        }
        Ok(())
    }

    /// Follows the chain of commit records back from `tip`, and returns the commits, newest first. A damaged record
    /// ends the chain, and is added to the damage to report.
    fn chain(&mut self, tip: Option<&Commit>) -> Result<Vec<Commit>> {
        let mut chain = Vec::new();
        let mut at = tip.cloned();
        while let Some(commit) = at {
            at = match log::before(self.file, &commit) {
                Ok(before) => before,
                // An error of the system other than an unreadable record is no damage, and ends the search.
                Err(error) if is_io(&error) => return Err(error),
                // The links end at a damaged commit, so that older generations cannot be reached.
                Err(error) => {
                    let size = u64::from(records::COMMIT_SIZE);
                    self.record(Order::Chain, commit.previous, size, commit.previous_generation, error)?;
                    None
                }
            };
            try_grow(&mut chain, 1)?;
            chain.push(commit);
        }
        Ok(chain)
    }

    /// Adds a damaged record of the container file to the damage to report, and `error` to the candidates for the
    /// call's error. The range in `error`, if any, replaces `offset` and `length`.
    fn record(
        &mut self,
        order: Order,
        offset: u64,
        length: u64,
        generation: u64,
        error: AtlasError,
    ) -> Result<()> {
        // The error may know the place better than the caller.
        let known = error.length().filter(|length| *length > 0);
        let (offset, length) = (error.offset().unwrap_or(offset), known.unwrap_or(length));
        let kind = if is_io(&error) { DamageKind::Unreadable } else { DamageKind::Differs };
        let found = Damage {
            part: DamagePart::Record,
            kind,
            repairable: false,
            os_error: error.os_error(),
            generation,
            index: 0,
            offset,
            length,
        };
        try_push(&mut self.records, found)?;
        self.fault(order, error);
        Ok(())
    }

    fn fault(&mut self, order: Order, error: AtlasError) {
        // If two faults are equal in the order, the fault that was found first counts.
        if self.first.as_ref().is_none_or(|(first, _)| order < *first) {
            self.first = Some((order, error));
        }
    }

    fn generation(
        &mut self,
        commit: &Commit,
        before: Option<&Commit>,
        tracker: &mut Tracker<'_, '_>,
    ) -> Result<()> {
        let (file, generation) = (self.file, commit.generation);
        let order = Order::Generation(generation);
        let size = commit.record_size();
        // The record counts as used. If the commit cannot be parsed, its check ends here.
        self.used.add(commit.offset..commit.offset + size);
        if let Err(error) = self.container.check_commit(file, commit) {
            // Exceeding a limit of the caller is no damage.
            if error.kind() == ErrorKind::Limit {
                return Err(error);
            }
            return self.record(order, commit.offset, size, generation, error);
        }
        let wrong = |what: &str| {
            AtlasError::witness(format!("generation {generation} of the container is damaged: {what}"))
                .at_range(commit.offset, size)
        };
        // Check the tree, then its agreement with the record and the chain.
        let container = self.container;
        // The base that is attached now. Without a base, tiles in it are not checked.
        let base = lock(&container.base).clone();
        let store = GenerationStore::new(file, commit, base, &container.context, &container.cache)?;
        let store = Arc::new(store);
        let mut whole = true;
        if let Some(top) = &commit.top {
            // Place in the domain, which advances with the walk.
            let mut place = Place { offset: 0, index: 0 };
            whole = self.node(&store, top, order, &mut place, tracker)?;
        }
        if whole && !self.leads_to_root(&store, commit)? {
            self.record(
                order,
                commit.offset,
                size,
                generation,
                wrong("the tiles do not have the generation's root"),
            )?;
        }
        // The history must follow from the history before. For the oldest kept generation that history is
        // unknown.
        if before.is_some() || (commit.ordinal == 0 && generation == 1) {
            let previous = before.map(|before| &before.history);
            let found = records::history_of(&file.seals, &file.ident, previous, commit);
            if !same(&found, &commit.history) {
                self.record(
                    order,
                    commit.offset,
                    size,
                    generation,
                    wrong("the history does not follow from the previous generation and the commit record"),
                )?;
            }
        }
        // Features never disappear in later commits, and the jump follows from the commit before.
        if let Some(before) = before {
            let malformed = |what: &str| {
                AtlasError::format(format!("generation {generation} of the container is malformed: {what}"))
                    .at_range(commit.offset, size)
            };
            let lost = before.features & !commit.features != 0
                || before.read_only_features & !commit.read_only_features != 0;
            if lost {
                self.record(
                    order,
                    commit.offset,
                    size,
                    generation,
                    malformed("the commit record lacks features of the previous generation"),
                )?;
            }
            match log::jump_after(file, before) {
                Ok(jump) if jump == (commit.jump, commit.jump_generation) => {}
                Ok(_) => self.record(
                    order,
                    commit.offset,
                    size,
                    generation,
                    malformed("the jump does not lead to the commit that the format requires"),
                )?,
                Err(error) if is_io(&error) => return Err(error),
                Err(error) => self.record(order, commit.offset, size, generation, error)?,
            }
        }
        // Compare the digest of the batch, which covers its body.
        let start = body_start(commit.offset, commit.end, size, file.block());
        match file.batch_digest(start, commit.end)? {
            Some(found) if same(&found, &commit.batch) => {}
            _ => self.record(
                order,
                commit.offset,
                size,
                generation,
                wrong("the bytes of the batch do not match their digest"),
            )?,
        }
        Ok(())
    }

    /// Returns true if the root of a generation, computed from its checked tree, is the root in its commit record.
    fn leads_to_root(&self, store: &Arc<GenerationStore>, commit: &Commit) -> Result<bool> {
        let scheme = &self.container.context.scheme;
        // The nodes were compared with their tops, so that the top alone decides.
        if self.container.leads_to_root(commit) && commit.top.is_some() {
            return Ok(true);
        }
        // For an irregular tree the root is computed from all of its leaves.
        let mut folder = RootFolder::new(scheme.digests());
        if let Some(top) = &commit.top {
            fold(store, top, &mut folder)?;
        }
        Ok(same(&folder.finish(scheme.root_kind()), &commit.root))
    }

    /// Checks a tree node and everything below it, and records all damage. `place` moves from the node's first tile to
    /// the end of its last. Returns true if no damage was found; bytes that the base lacks do not count.
    fn node(
        &mut self,
        store: &Arc<GenerationStore>,
        node: &NodeRef,
        order: Order,
        place: &mut Place,
        tracker: &mut Tracker<'_, '_>,
    ) -> Result<bool> {
        // A node that another generation checked before is skipped.
        let key = (node.offset, node.top, store.base_size);
        let end = Place { offset: place.offset + node.bytes, index: place.index + node.tiles };
        if let Some(known) = self.nodes.get(&key) {
            *place = end;
            return Ok(*known);
        }
        // A damaged node is reported, and the range under it is unknown.
        let parsed = match store.parse(node) {
            Ok(parsed) => parsed,
            Err(error) if is_io(&error) => return Err(error),
            Err(error) => {
                let generation = store.id.generation;
                self.record(order, node.offset, u64::from(node.size), generation, error)?;
                self.tile_damage(DamageKind::Unknown, generation, place, node.bytes, 0)?;
                *place = end;
                try_insert(&mut self.nodes, key, false)?;
                return Ok(false);
            }
        };
        // The record counts as used, so that the gaps between records can be checked later.
        self.used.add(node.offset..node.offset + u64::from(node.size));
        let mut whole = true;
        match parsed {
            ParsedChildren::Nodes(nodes) => {
                for child in &nodes {
                    // Children after a damaged child are checked too.
                    whole &= self.node(store, child, order, place, tracker)?;
                }
            }
            ParsedChildren::Tiles(tiles) => {
                let found = self.read_tiles(store, node.offset, &tiles, tracker)?;
                for (raw, found) in tiles.iter().zip(found) {
                    whole &= self.tile(store, node.offset, raw, found, order, place)?;
                    let len = u64::from(raw.entry.len);
                    // The place in the domain is counted here, because a tile does not state its place.
                    (place.offset, place.index) = (place.offset + len, place.index + 1);
                }
            }
        }
        // Remember the result for the generations that share the node.
        try_insert(&mut self.nodes, key, whole)?;
        self.check_room()?;
        Ok(whole)
    }

    /// Fails with LIMIT if the lists use more memory than the memory limit leaves for them.
    fn check_room(&self) -> Result<()> {
        let lists = table::<((u64, Digest, u64), bool)>(self.nodes.len())
            + table::<(TileKey, bool)>(self.checked.len())
            + table::<(u64, u64)>(self.used.len())
            + table::<Damage>(self.records.len() + self.tiles.len());
        check_room("the list of what was checked", lists, self.room)
    }

    /// Reads and checks the tiles of the leaf at offset `leaf` in parallel, each at most once. Returns a result for
    /// each tile: `None` if it was checked before, or if it equals an earlier tile of the leaf.
    fn read_tiles(
        &self,
        store: &Arc<GenerationStore>,
        leaf: u64,
        tiles: &[RawTile],
        tracker: &mut Tracker<'_, '_>,
    ) -> Result<Vec<Option<ReadTile>>> {
        // Equal tiles within the leaf are read once.
        let mut seen = HashSet::new();
        let is_new = |raw: &&RawTile| {
            let key = key_of(store, &raw.entry);
            !self.checked.contains_key(&key) && seen.insert(key)
        };
        let new: Vec<&RawTile> = tiles.iter().filter(is_new).collect();
        let mut found = Vec::with_capacity(new.len());
        self.workers.at_most(new.len()).run(
            to_u64(new.len()),
            // Each worker has memory of its own.
            || Ok((Scratch::default(), Workspace::default())),
            |(scratch, workspace), task| {
                let raw = new[to_usize(task)];
                let as_store: Arc<dyn Store> = Arc::clone(store) as Arc<dyn Store>;
                let tile = StoredTile::new(as_store, raw.entry, leaf, raw.first);
                // A fault is returned as a value, so that the remaining tasks still run.
                let found = self.check(store, &tile, scratch, workspace);
                Ok(ReadTile { tile, found })
            },
            |_, read: ReadTile| {
                let len = u64::from(read.tile.entry.len);
                found.push(read);
                // The total of progress is the size of the newest generation. All generations together may
                // have more tiles, which are not counted.
                tracker.advance_towards(len, 1)
            },
        )?;
        // The results are in the order of the tasks, so that a merge assigns them to the tiles.
        let mut found = found.into_iter().peekable();
        let take = |raw: &RawTile| {
            found.next_if(|read| key_of(store, &read.tile.entry) == key_of(store, &raw.entry))
        };
        Ok(tiles.iter().map(take).collect())
    }

    /// Reads a tile and compares its bytes with its witness and residue. Fails with WITNESS or CONSERVATION if they
    /// differ. A tile that lies in holes of the base is not read.
    fn check(
        &self,
        store: &Arc<GenerationStore>,
        tile: &StoredTile,
        scratch: &mut Scratch,
        workspace: &mut Workspace,
    ) -> Result<()> {
        let (spans, entry) = (tile.spans()?, &tile.entry);
        let scheme = &self.container.context.scheme;
        let len = to_usize(u64::from(entry.len));
        // Tiles in holes of the base have a known witness and are not read.
        let (residue, witness) = if are_holes(&self.holes, spans, store.base.as_ref()) {
            (Residue::ZERO, scheme.witness_of_zeros(len, workspace)?)
        } else {
            let bytes = scratch.bytes(len)?;
            // The bytes are read from the file without a cache.
            store.read(spans, 0, OutBytes::new(bytes))?;
            let (residues, witness) = scheme.sum_and_witness(bytes, workspace)?;
            (residues.total(), witness)
        };
        if !same(&witness, &entry.witness) {
            return Err(AtlasError::witness(format!(
                "the container is damaged: the bytes of a tile do not match its witness in the leaf at \
                 byte {}",
                tile.leaf
            )));
        }
        // The witness does not cover the sum, so that both are compared.
        if residue != entry.residue {
            return Err(AtlasError::conservation(format!(
                "the container is damaged: a tile sums to {residue} mod 96 instead of the {} in its leaf \
                 at byte {}",
                entry.residue, tile.leaf
            )));
        }
        Ok(())
    }

    /// Records the result `read` of checking a tile, unless the tile was checked before. Marks the tile's ranges of the
    /// file as used, and adds its damage, at `place` in the domain, to the damage to report. Returns true if the tile
    /// is not damaged; bytes that the base lacks do not count.
    fn tile(
        &mut self,
        store: &Arc<GenerationStore>,
        leaf: u64,
        raw: &RawTile,
        read: Option<ReadTile>,
        order: Order,
        place: &Place,
    ) -> Result<bool> {
        let entry = &raw.entry;
        let key = key_of(store, entry);
        // A tile that an earlier generation shares was checked with that generation.
        if let Some(known) = self.checked.get(&key) {
            return Ok(*known);
        }
        let Some(ReadTile { tile, found }) = read else {
            return Err(AtlasError::internal(format!(
                "a defect of the library, please report it: tile {} was not read",
                place.index
            )));
        };
        let (generation, len) = (store.id.generation, u64::from(entry.len));
        // A fault in the tile's records comes before a fault in its bytes.
        let found = self.note_used(&tile, entry).and(found);
        let whole = match found {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::Incomplete => {
                // Without a base nothing is reported for the tile; with a base that is too short it is missing.
                self.is_incomplete = true;
                if store.base.is_some() {
                    self.tile_damage(DamageKind::Missing, generation, place, len, 0)?;
                }
                // The tile was not checked, and is not known to be damaged.
                true
            }
            // An error of the system, such as a lack of memory, ends the search, because the state of the
            // tile is unknown.
            Err(error) if is_io(&error) && error.kind() != ErrorKind::Io => return Err(error),
            // A record that cannot be read leaves the state of the bytes unknown.
            Err(error) => {
                let kind = if is_io(&error) { DamageKind::Unreadable } else { DamageKind::Differs };
                if tile.spans().is_err() {
                    let offset = match entry.place {
                        TilePlace::Record(offset) => offset,
                        TilePlace::Span(..) => leaf,
                    };
                    self.record(order, offset, 56, generation, error.clone())?;
                    self.tile_damage(DamageKind::Unknown, generation, place, len, error.os_error())?;
                } else {
                    self.tile_damage(kind, generation, place, len, error.os_error())?;
                    self.fault(order, error.at_index(place.index));
                }
                false
            }
        };
        // Remember the result for the generations that share the tile.
        try_insert(&mut self.checked, key, whole)?;
        Ok(whole)
    }

    /// Marks the ranges of the container file with a tile's record and payload as used.
    fn note_used(&mut self, tile: &StoredTile, entry: &TileEntry) -> Result<()> {
        let spans = tile.spans()?;
        // Count the records and bytes of the tile as used.
        if let TilePlace::Record(offset) = entry.place {
            let size = 40 + 16 * spans.spans.len() + 32 * spans.chaining_values.len();
            self.used.add(offset..offset + to_u64(size));
        }
        for span in &spans.spans {
            match span.kind {
                SpanKind::Raw => self.used.add(span.place..span.place + u64::from(span.len)),
                SpanKind::Encoded => {
                    let size = encoded::record_size(self.file, span.place)?;
                    self.used.add(span.place..span.place.saturating_add(size));
                }
                SpanKind::Base | SpanKind::Zeros => {}
            }
        }
        Ok(())
    }

    fn tile_damage(
        &mut self,
        kind: DamageKind,
        generation: u64,
        place: &Place,
        length: u64,
        os_error: i32,
    ) -> Result<()> {
        let found = Damage {
            part: DamagePart::Data,
            kind,
            repairable: false,
            os_error,
            generation,
            index: place.index,
            offset: place.offset,
            length,
        };
        // Neighbours with the same fault are reported as a single range.
        if !self.tiles.last_mut().is_some_and(|last| last.join(&found)) {
            try_push(&mut self.tiles, found)?;
        }
        Ok(())
    }

    /// Checks that all bytes outside of header, slots, records and payload are zeros, up to the end of the newest
    /// batch. Records the first wrong byte of each gap.
    fn zeros(&mut self, tip: Option<&Commit>) -> Result<()> {
        let block = self.file.block();
        self.used.add(0..to_u64(HEADER_SIZE));
        // An interrupted write of a slot may leave any bytes in its block.
        self.used.add(block..3 * block);
        let end = tip.map_or(self.file.start(), |tip| tip.end);
        // Bytes after the last batch have no meaning and are not checked.
        let mut rest = 0..end;
        // Gap by gap, because a list of them could need much memory.
        loop {
            let Some(gap) = self.used.gaps(rest.clone()).next() else { return Ok(()) };
            rest.start = gap.end;
            let mut at = gap.start;
            while at < gap.end {
                let len = to_usize((gap.end - at).min(to_u64(TILE_SIZE)));
                let bytes = self.file.read(at, len)?.unwrap_or_default();
                // The first byte of a gap is enough; the search goes on with the next gap.
                if let Some(position) = bytes.iter().position(|byte| *byte != 0) {
                    let offset = at + to_u64(position);
                    let error = AtlasError::format(format!(
                        "the container is damaged: byte {offset}, which lies between two records, is \
                         not zero"
                    ));
                    self.record(Order::Zeros, offset, 1, 0, error.at_range(offset, 1))?;
                    break;
                }
                at += to_u64(len);
            }
        }
    }
}

/// Key of a checked tile: its place in the file or the base, its witness, and the size of the base. A tile that several
/// generations share has the same key in all that have a base of the same size.
type TileKey = (TilePlace, Digest, u64);

fn key_of(store: &GenerationStore, entry: &TileEntry) -> TileKey {
    // The size of the base is part of the key, because a place in the base may be valid in one generation
    // only.
    (entry.place, entry.witness, store.base_size)
}

/// Tile that was read, and the result of comparing its bytes with its witness and residue.
struct ReadTile {
    tile: StoredTile,
    found: Result<()>,
}

/// Position in the domain: byte offset, and index of the tile that begins there.
struct Place {
    offset: u64,
    index: u64,
}

fn is_io(error: &AtlasError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Io
            | ErrorKind::State
            | ErrorKind::OutOfMemory
            | ErrorKind::Cancelled
            | ErrorKind::Internal
    )
}

/// Adds length, residue and witness of each tile below a node to `folder`, which computes the root.
fn fold(store: &Arc<GenerationStore>, node: &NodeRef, folder: &mut RootFolder<'_>) -> Result<()> {
    match store.parse(node)? {
        ParsedChildren::Nodes(nodes) => nodes.iter().try_for_each(|node| fold(store, node, folder)),
        ParsedChildren::Tiles(tiles) => {
            for tile in tiles {
                let TileEntry { len, residue, witness, .. } = tile.entry;
                folder.push(&Leaf { len, residue, witness });
            }
            Ok(())
        }
    }
}
