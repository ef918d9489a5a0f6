//! Compaction: copies the kept generations of a container, and only the bytes that they need, to another file.
//!
//! ```text
//! look     find the bytes of the old file to which the kept generations refer
//! write    copy generation by generation from the oldest, each node and each run of bytes once, with the
//!          first generation that needs it
//! ```
//!
//! Bytes to which a kept generation refers are *live*, and a *run* is a maximal range of live bytes, which is copied as
//! a whole. An encoded record that is live as a whole is copied as it is. The live parts of any other encoded record
//! are decoded, and stored as plain runs. The new place of each node, run and encoded record is kept in memory.

use super::batch::{self, Kept, NewCommit};
use super::body::{BODY_MEMORY, Body, Laid, LeafLayout, Placed, PlacedTile};
use super::encoded;
use super::file::ContainerFile;
use super::log::{self, Located};
use super::records::{Commit, ParsedChildren};
use super::room::{check_room, table};
use super::seal::Ident;
use super::store::GenerationStore;
use super::unfinished::{Unfinished, without_suffix};
use super::{Container, Log, open};
use crate::base::buffer::{Buffer, no_memory_for, try_grow, try_insert};
use crate::base::error::{AtlasError, Result};
use crate::base::file_lock;
use crate::base::ranges::Ranges;
use crate::base::storage::{FileId, Storage};
use crate::base::sync::lock;
use crate::base::units::{TILE_BYTES, TILE_SIZE, to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::exec::progress::Tracker;
use crate::hash::digest::Digest;
use crate::tile::stored::{NodeRef, Span, SpanKind, Store, StoredTile};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

impl Container {
    /// Writes the generations from `keep_from` on, and only the bytes that they need, to the new file `path`.
    ///
    /// Numbers, times, notes, histories and roots stay. Commits may continue during the call; generations of later
    /// commits are not in the new file. A `keep_from` before the oldest generation keeps all; one after the newest
    /// fails with OUT_OF_RANGE. Fails with IO (EEXIST) if a file of that name exists.
    pub fn compact_to(
        &self,
        path: impl AsRef<Path>,
        keep_from: u64,
        operation: &mut Operation<'_>,
    ) -> Result<()> {
        operation.executor.check()?;
        // The call uses the tip of this moment. Handles for reading may compact too, and commits continue.
        let log = self.usable()?;
        let path = path.as_ref();
        // This name is refused, because the next compaction in place would remove the file.
        if is_beside(&log.file, path) {
            return Err(AtlasError::invalid_argument(format!(
                "{}: compaction in place uses this name for its temporary file; choose another name",
                path.display()
            )));
        }
        let unfinished = Unfinished::create(path)?;
        self.write_compacted(&log, unfinished.storage(), path, keep_from, operation)?;
        let writer = Arc::clone(unfinished.writer());
        unfinished.name_new()?;
        // A child of a fork may have the open file too, and would keep its lock.
        file_lock::unlock(writer.file());
        Ok(())
    }

    /// Compacts the container in place: a new file takes the name of the old one, with only the generations from
    /// `keep_from` on and the bytes that they need. Handles that have the old file open for reading keep it; other
    /// calls on this handle that change the file wait for the compaction.
    ///
    /// Existing snapshots stay valid and keep the old file on the disk. To edit and commit, take a new snapshot: a
    /// commit of an existing snapshot stores bytes again that the new file already has.
    pub fn compact(&self, keep_from: u64, operation: &mut Operation<'_>) -> Result<()> {
        operation.executor.check()?;
        let _one = lock(&self.writing);
        let mut log = self.writable()?;
        batch::check_fence(&log.file, &log.located)?;
        let Some(path) = &self.path else {
            return Err(AtlasError::state(
                "a container without a path cannot be compacted in place: compact it into a new file",
            ));
        };
        let failed = |what: &str, error| AtlasError::io(format_args!("{what} {}", path.display()), error);
        // A symbolic link stays a link: the file that it leads to is replaced. Another path is left as it is, since the
        // process may not search the folders above it.
        let is_link = std::fs::symlink_metadata(path).is_ok_and(|there| there.is_symlink());
        let target = if is_link { std::fs::canonicalize(path) } else { Ok(path.clone()) };
        let target = target.map_err(|error| failed("finding", error))?;
        // A second hard link would keep the old file.
        if let Some(writer) = &log.writer {
            check_links(&writer.file().metadata().map_err(|error| failed("looking at", error))?, &target)?;
        }
        // The new file is locked before it gets the name, so that no other writer comes in between.
        let new = Unfinished::create_beside(&target, &log.file)?;
        let (mut file, located) = self.write_compacted(&log, new.storage(), &target, keep_from, operation)?;
        let writer = Arc::clone(new.writer());
        let (is_named, flushed) = new.replace(&target, &log.file);
        if !is_named {
            return flushed;
        }
        // From here on the name leads to the new file, even if its folder could not be flushed.
        file.path.clone_from(path);
        // The handle changes to the new file before the old lock is released.
        let old = log.writer.replace(writer);
        (log.file, log.located, log.slot_is_unsynced) = (Arc::new(file), located, false);
        *lock(&self.log) = log;
        // Snapshots of the old file keep it open, and would keep its lock.
        if let Some(old) = old {
            file_lock::unlock(old.file());
        }
        // The new name is durable only after this flush; a failure fails the call, and the handle stays usable.
        flushed
    }

    /// Writes the generations from `keep_from` on to `storage`, a new and empty file, and syncs it. Returns the new
    /// container file and its newest commit. `path` is for error texts.
    pub(super) fn write_compacted(
        &self,
        log: &Log,
        storage: Arc<dyn Storage>,
        path: &Path,
        keep_from: u64,
        operation: &mut Operation<'_>,
    ) -> Result<(ContainerFile, Located)> {
        // A `keep_from` before the oldest generation keeps all; after the newest it is an error.
        let tip = log.located.tip.as_ref();
        // The batch, and a piece of payload or an encoded record.
        let fixed = BODY_MEMORY + TILE_BYTES.max(encoded::reading(tip.map_or(0, |tip| tip.features)));
        operation.reserve(fixed)?;
        let room = operation.memory_left(fixed);
        let newest = tip.map_or(0, |tip| tip.generation);
        if keep_from > newest {
            return Err(AtlasError::out_of_range(format!(
                "generation {keep_from} is after the newest, which is {newest}"
            )));
        }
        // Collect the commits to keep, from the newest backwards.
        let mut kept = Vec::new();
        let mut at = tip.cloned();
        while let Some(commit) = at.filter(|commit| commit.generation >= keep_from) {
            self.check_commit(&log.file, &commit)?;
            at = log::before(&log.file, &commit)?;
            try_grow(&mut kept, 1)?;
            kept.push(commit);
            check_room("the list of the generations", table::<Commit>(kept.len()), room)?;
        }
        // Batches are written from the oldest on, because each commit names its predecessor.
        kept.reverse();
        // The new file has the same header except for its salt.
        let old = &log.file.ident;
        let ident = Ident { salt: open::random()?, ..*old };
        let new = open::write_empty(storage, path, ident, log.file.seals.clone())?;
        let mut compaction = Compaction {
            container: self,
            old: &log.file,
            live: Ranges::default(),
            encoded: BTreeMap::new(),
            nodes: HashMap::new(),
            runs: BTreeMap::new(),
            records: HashMap::new(),
            parts: BTreeMap::new(),
            room: room.saturating_sub(table::<Commit>(kept.len())),
        };
        // First pass: find the parts of the old file that the kept generations use.
        let total: u64 = kept.iter().map(|commit| commit.size).fold(0, u64::saturating_add);
        let mut tracker = operation.tracker(total, to_u64(kept.len()));
        compaction.look(&kept, &mut tracker)?;
        // Second pass: write one batch per generation, in their order.
        let mut located = Located { is_confirmed: true, ..Located::default() };
        for commit in &kept {
            let store = compaction.store(commit)?;
            let mut steps = Steps { tracker: &mut tracker, laid: 0, reported: 0 };
            let moved = batch::lay_out(&new, &located, commit.note.len(), |mut body, _| {
                // The new places of this batch count only once it is laid out.
                let mut moved = Moved::default();
                steps.laid = 0;
                let top = commit
                    .top
                    .as_ref()
                    .map(|top| compaction.node(&store, top, &mut body, &mut moved, &mut steps));
                Ok((body, (top.transpose()?, moved)))
            })?;
            let reported = steps.reported;
            let (body, (top, moved)) = moved;
            compaction.keep(moved, body.end)?;
            let commit = commit.clone();
            let size = commit.size;
            let kept = Kept { generation: commit.generation, history: commit.history };
            // Number, history, time and note stay; offsets and digests of the batch are new.
            let written = NewCommit {
                time: commit.time,
                note: commit.note,
                // The base is not copied; the size of its address space stays.
                base_size: commit.base_size,
                root: commit.root,
                top,
            };
            batch::commit(&new, &mut located, body, written, Some(kept))
                .map_err(|unwritten| unwritten.error)?;
            // Nodes that an earlier generation moved count as done with this generation.
            tracker.advance(size.saturating_sub(reported), 1)?;
        }
        tracker.finish()?;
        // One flush makes all generations durable.
        new.storage.sync().map_err(|error| new.failed("flushing", error))?;
        Ok((new, located))
    }
}

/// Returns true if `path` names the temporary file of a compaction in place of the container `own`: a name in the same
/// folder leads to `own`, and `path` is this name with `.compact` appended.
fn is_beside(own: &ContainerFile, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let Some(of_own) = without_suffix(name) else { return false };
    let there = std::fs::metadata(path.with_file_name(of_own)).ok();
    let there = there.and_then(|there| FileId::of(&there));
    there.is_some() && there == own.storage.identity()
}

fn check_links(metadata: &std::fs::Metadata, path: &Path) -> Result<()> {
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::nlink(metadata) > 1 {
        return Err(AtlasError::unsupported(format!(
            "{} has several hard links, and compaction in place would replace only one of them; compact \
             into a new file",
            path.display()
        )));
    }
    let _ = (metadata, path);
    Ok(())
}

/// Compaction in progress: the live bytes of the old file, and the new place of each object that was copied.
struct Compaction<'c> {
    container: &'c Container,
    old: &'c Arc<ContainerFile>,
    /// Ranges of the old file with uncompressed payload that the kept generations use, merged into runs.
    live: Ranges,
    /// Encoded records that the kept generations use, by their offset in the old file: the number of bytes to which
    /// each decodes, and the used ranges of these bytes.
    encoded: BTreeMap<u64, (u64, Ranges)>,
    /// Entry in the new file of each copied tree node, by the node's offset in the old file and its digest.
    nodes: HashMap<(u64, Digest), NodeRef>,
    /// Offset in the new file of each copied run (contiguous live range), by its offset in the old file.
    runs: BTreeMap<u64, u64>,
    /// Offset in the new file of each encoded record that was copied as it is, by its offset in the old file.
    records: HashMap<u64, u64>,
    /// Offset in the new file of each decoded part of an encoded record, by the record's offset in the old file and the
    /// part's first byte within the decoded record.
    parts: BTreeMap<(u64, u64), u64>,
    /// Number of bytes that the memory limit leaves for the lists above.
    room: u64,
}

/// New places of the nodes, runs, encoded records and decoded parts of records that the batch under construction
/// copied. They are added to the maps of [`Compaction`] once the batch is laid out.
#[derive(Default)]
struct Moved {
    nodes: HashMap<(u64, Digest), NodeRef>,
    runs: BTreeMap<u64, u64>,
    records: HashMap<u64, u64>,
    parts: BTreeMap<(u64, u64), u64>,
}

/// Progress within a generation. Each byte is reported once, although the batch may be laid out twice.
struct Steps<'s, 't, 'a> {
    tracker: &'s mut Tracker<'t, 'a>,
    /// Bytes of the tiles laid out in the current attempt. `reported` counts the bytes reported in all attempts.
    laid: u64,
    reported: u64,
}

impl Steps<'_, '_, '_> {
    fn tile(&mut self, len: u64) -> Result<()> {
        self.laid = self.laid.saturating_add(len);
        // A second layout of the batch passes the same tiles, which are reported once.
        let new = self.laid.saturating_sub(self.reported);
        self.reported += new;
        self.tracker.advance(new, 0)
    }
}

impl Compaction<'_> {
    fn store(&self, commit: &Commit) -> Result<Arc<GenerationStore>> {
        let Container { context, cache, .. } = self.container;
        Ok(Arc::new(GenerationStore::new(self.old, commit, None, context, cache)?))
    }

    /// Finds the bytes of the old file that the generations `kept` use, and stores them in `live` and `encoded`.
    fn look(&mut self, kept: &[Commit], tracker: &mut Tracker<'_, '_>) -> Result<()> {
        let mut seen = HashSet::new();
        let mut live = Ranges::default();
        // Nodes are shared, so that each is visited once.
        for commit in kept {
            let store = self.store(commit)?;
            if let Some(top) = &commit.top {
                self.look_below(&store, top, &mut seen, &mut live, tracker)?;
            }
        }
        self.live = live;
        Ok(())
    }

    fn look_below(
        &mut self,
        store: &Arc<GenerationStore>,
        node: &NodeRef,
        seen: &mut HashSet<u64>,
        live: &mut Ranges,
        tracker: &mut Tracker<'_, '_>,
    ) -> Result<()> {
        // A node is shared by many generations and visited once.
        seen.try_reserve(1).map_err(|_| no_memory_for(seen.len() + 1))?;
        if !seen.insert(node.offset) {
            return Ok(());
        }
        tracker.advance(0, 0)?;
        let lists = table::<u64>(seen.len())
            + table::<(u64, u64)>(live.len())
            + table::<(u64, (u64, Ranges))>(self.encoded.len()).saturating_mul(2);
        check_room("the list of the bytes in use", lists, self.room)?;
        match store.parse(node)? {
            ParsedChildren::Nodes(nodes) => {
                // Every node that the kept generations reach is visited, and its payload is live.
                nodes.iter().try_for_each(|node| self.look_below(store, node, seen, live, tracker))
            }
            ParsedChildren::Tiles(tiles) => {
                for raw in tiles {
                    let as_store: Arc<dyn Store> = Arc::clone(store) as Arc<dyn Store>;
                    let tile = StoredTile::new(as_store, raw.entry, node.offset, raw.first);
                    // Plain bytes in this file are live; of an encoded record, the parts in the spans are
                    // live.
                    for span in &tile.spans()?.spans {
                        match span.kind {
                            SpanKind::Raw => live.add(span.place..span.place + u64::from(span.len)),
                            SpanKind::Encoded => {
                                // The decoded size shows later if all parts of the record are live.
                                if !self.encoded.contains_key(&span.place) {
                                    let size = encoded::decoded_size(self.old, span.place)?;
                                    self.encoded.insert(span.place, (size, Ranges::default()));
                                }
                                let start = u64::from(span.start);
                                if let Some((_, parts)) = self.encoded.get_mut(&span.place) {
                                    parts.add(start..start + u64::from(span.len));
                                }
                            }
                            // Spans of the base and of zeros have no bytes in this file.
                            SpanKind::Base | SpanKind::Zeros => {}
                        }
                    }
                }
                Ok(())
            }
        }
    }

    /// Copies a node of the old tree and everything below it to `body`, unless they were copied before. Returns the
    /// entry of the node in the new file.
    fn node(
        &self,
        store: &Arc<GenerationStore>,
        node: &NodeRef,
        body: &mut Body<'_>,
        moved: &mut Moved,
        steps: &mut Steps<'_, '_, '_>,
    ) -> Laid<NodeRef> {
        let key = (node.offset, node.top);
        // A node that was moved before keeps its new place.
        if let Some(known) = self.nodes.get(&key).or_else(|| moved.nodes.get(&key)) {
            return Ok(*known);
        }
        let digests = self.container.context.scheme.digests();
        let place = match store.parse(node)? {
            // Children are laid out before their node.
            ParsedChildren::Nodes(nodes) => {
                let mut below = Vec::new();
                for node in &nodes {
                    below.push(self.node(store, node, body, moved, steps)?);
                }
                body.inner(digests, &below)?
            }
            ParsedChildren::Tiles(tiles) => {
                let mut layout = LeafLayout::default();
                for raw in tiles {
                    let as_store: Arc<dyn Store> = Arc::clone(store) as Arc<dyn Store>;
                    let tile = StoredTile::new(as_store, raw.entry, node.offset, raw.first);
                    let old = tile.spans()?;
                    let mut spans = Vec::new();
                    // The spans of a tile are moved one by one; neighbours that continue each other are
                    // joined.
                    for span in &old.spans {
                        Span::push(&mut spans, self.span(store, span, body, moved)?);
                    }
                    let values = old.chaining_values.to_vec();
                    let entry = &raw.entry;
                    layout.push(PlacedTile {
                        len: entry.len,
                        residue: entry.residue,
                        witness: entry.witness,
                        place: Placed::Now(spans, values),
                    });
                    steps.tile(u64::from(entry.len))?;
                }
                layout.finish(body, digests)?.0
            }
        };
        // The key has the digest too, because offset and contents together identify a node.
        try_insert(&mut moved.nodes, key, place)?;
        let lists = table::<((u64, Digest), NodeRef)>(self.nodes.len() + moved.nodes.len())
            + table::<(u64, u64)>(self.live.len() + self.runs.len() + moved.runs.len())
            + table::<(u64, u64)>(self.records.len() + moved.records.len())
            + table::<((u64, u64), u64)>(self.parts.len() + moved.parts.len())
            + table::<(u64, (u64, Ranges))>(self.encoded.len()).saturating_mul(2);
        check_room("the list of what was copied", lists, self.room)?;
        Ok(place)
    }

    /// Copies the bytes of a span of the old file to `body`, unless they were copied before. Returns the span in the
    /// new file. Spans of the base and of zeros stay as they are.
    fn span(
        &self,
        store: &Arc<GenerationStore>,
        span: &Span,
        body: &mut Body<'_>,
        moved: &mut Moved,
    ) -> Laid<Span> {
        match span.kind {
            // Spans of the base and of zeros have no bytes in the old file that could move.
            SpanKind::Base | SpanKind::Zeros => Ok(*span),
            SpanKind::Raw => {
                // Runs of several tiles that touch move as a whole, so that they stay contiguous.
                let (start, end) = self.run_of(span.place)?;
                // The run may have moved with an earlier generation, or earlier in this batch.
                let place = match self.runs.get(&start).or_else(|| moved.runs.get(&start)) {
                    Some(place) => *place,
                    None => {
                        let place = self.move_run(start, end, body)?;
                        moved.runs.insert(start, place);
                        place
                    }
                };
                // The distance from the start of the run stays.
                Ok(Span { place: place + (span.place - start), ..*span })
            }
            SpanKind::Encoded => self.encoded_span(store, span, body, moved),
        }
    }

    fn encoded_span(
        &self,
        store: &Arc<GenerationStore>,
        span: &Span,
        body: &mut Body<'_>,
        moved: &mut Moved,
    ) -> Laid<Span> {
        // The first pass found the live parts of every record.
        let Some((size, parts)) = self.encoded.get(&span.place) else {
            return Err(AtlasError::internal(format!(
                "a defect of the library, please report it: the encoded record at byte {} is not live",
                span.place
            ))
            .into());
        };
        // If all parts are live, the record is copied without decoding.
        if parts.gaps(0..*size).next().is_none() {
            let place = match self.records.get(&span.place).or_else(|| moved.records.get(&span.place)) {
                Some(place) => *place,
                None => {
                    let place = encoded::copy(self.old, span.place, body)?;
                    try_insert(&mut moved.records, span.place, place)?;
                    place
                }
            };
            return Ok(Span { place, ..*span });
        }
        // Of a record with a dead part the live parts become plain runs.
        let start = u64::from(span.start);
        let part = parts.around(start).ok_or_else(|| {
            AtlasError::internal(format!(
                "a defect of the library, please report it: byte {start} of a record is not live"
            ))
        })?;
        let (first, last) = (part.start, part.end);
        let key = (span.place, first);
        // A part that several tiles share is decoded and moved once.
        let place = match self.parts.get(&key).or_else(|| moved.parts.get(&key)) {
            Some(place) => *place,
            None => {
                // The part moves with the first span that needs a byte of it.
                let bytes = store.decoded(span.place, u64::MAX)?;
                let live = bytes.get(to_usize(first)..to_usize(last)).ok_or_else(|| {
                    AtlasError::format(format!(
                        "{}: the container is malformed: the encoded record at byte {} decodes to {} \
                         bytes, and tiles use its bytes up to {last}",
                        self.old.path.display(),
                        span.place,
                        bytes.len()
                    ))
                })?;
                let place = body.run(live)?;
                moved.parts.insert(key, place);
                place
            }
        };
        // The span becomes a part of the plain run.
        Ok(Span { kind: SpanKind::Raw, place: place + (start - first), start: 0, len: span.len })
    }

    /// Returns start and end of the run of live bytes of the old file that contains byte `place`.
    fn run_of(&self, place: u64) -> Result<(u64, u64)> {
        let run = self.live.around(place);
        run.map(|run| (run.start, run.end)).ok_or_else(|| {
            AtlasError::internal(format!(
                "a defect of the library, please report it: byte {place} is in no live run"
            ))
        })
    }

    /// Copies the bytes `start..end` of the old file to `body`, 1 MiB at a time, and returns their new offset.
    fn move_run(&self, start: u64, end: u64, body: &mut Body<'_>) -> Laid<u64> {
        let mut first = None;
        let mut at = start;
        // A run may be long, so that it is copied through a buffer of one tile.
        let mut buffer = Buffer::new(TILE_SIZE)?;
        while at < end {
            let len = to_usize((end - at).min(to_u64(TILE_SIZE)));
            let bytes = &mut buffer[..len];
            let read = self.old.storage.read_at(at, crate::base::out_bytes::OutBytes::new(bytes));
            read.map_err(|error| self.old.failed(&format!("reading {len} bytes at offset {at} of"), error))?;
            let place = match first {
                None => body.run(bytes)?,
                // Later pieces follow without alignment, because a run must stay contiguous.
                Some(_) => body.continued(bytes)?,
            };
            first.get_or_insert(place);
            at += to_u64(len);
        }
        first.ok_or_else(|| {
            AtlasError::internal(format!(
                "a defect of the library, please report it: the run at byte {start} is empty"
            ))
            .into()
        })
    }

    /// Adds `moved`, the new places of the objects that a batch copied, to the maps of the compaction. `end` is the
    /// offset in the new file at which the batch ends. Fails with OUT_OF_MEMORY.
    fn keep(&mut self, moved: Moved, end: u64) -> Result<()> {
        // The tables get their memory first, so that the additions below cannot fail.
        let (nodes, records) = (moved.nodes.len(), moved.records.len());
        self.nodes.try_reserve(nodes).map_err(|_| no_memory_for(self.nodes.len() + nodes))?;
        self.records.try_reserve(records).map_err(|_| no_memory_for(self.records.len() + records))?;
        // The nodes end at or before `end`, which is their limit from now on.
        let limited = |(key, node)| (key, NodeRef { limit: end, ..node });
        self.nodes.extend(moved.nodes.into_iter().map(limited));
        self.runs.extend(moved.runs);
        self.records.extend(moved.records);
        self.parts.extend(moved.parts);
        Ok(())
    }
}
