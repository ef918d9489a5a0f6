//! Classes of R96 that wait until their tile has K of them and can be decoded.
//!
//! ```text
//! add:    plan:    for each tile of the shard: complete already? the classes are surplus
//!                  K with those that wait? decode : keep the new ones
//!         verify, decode in parallel, put the bytes in place, keep the rest: memory, or a file that
//!         never gets a name
//! ```

use super::{ADDED_TILE, AtlasReconstruction, Collected, Files};
use crate::base::buffer::{Buffer, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::sync::lock;
use crate::base::units::{TILE_BYTES, to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::exec::pool::Executor;
use crate::exec::progress::Tracker;
use crate::hash::class_tree::ClassSet;
use crate::hash::digest::same;
use crate::layer2::Residue;
use crate::r96::Decoder;
use crate::shard::{AtlasShard, Proof, TilePart};
use crate::source::Source;
use crate::tile::options::{ProjectionOptions, ProjectionType};
use crate::tile::scheme::{Scheme, Workspace, decode_blocks, decoder};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Payloads of the classes of R96 tiles for which fewer than K classes were added so far.
#[derive(Default)]
pub(super) struct Waiting {
    tiles: BTreeMap<u64, Vec<Payload>>,
}

impl Waiting {
    /// Returns the waiting payloads of the tile number `tile`.
    fn of(&self, tile: u64) -> &[Payload] {
        self.tiles.get(&tile).map_or(&[], |payloads| payloads)
    }
}

/// Payload of one class of one tile, which waits until the tile has K classes.
#[derive(Clone)]
struct Payload {
    class: u8,
    bytes: Bytes,
}

#[derive(Clone)]
enum Bytes {
    Memory(Arc<Buffer>, Range<usize>),
    /// Offset of the payload in the file of waiting classes.
    File(u64),
}

/// Work for one tile of a shard that is being added, and the classes that the shard adds to the tile.
struct Step<'s> {
    tile: u64,
    offset: u64,
    residue: Residue,
    part: &'s TilePart,
    /// All classes of the tile that are available with this shard. `fresh` has those that only this shard
    /// brought.
    classes: ClassSet,
    fresh: ClassSet,
}

impl Step<'_> {
    /// Returns the number of payload bytes of the classes that the shard adds to the tile.
    fn fresh_len(&self) -> usize {
        self.fresh.iter().filter_map(|class| self.part.class_range(class)).map(|range| range.len()).sum()
    }
}

/// Number of bytes of bookkeeping per waiting class of a tile: its entry in the list of the call, and its entry
/// in the tile's list, which may have room for twice as many.
const WAITING_CLASS: usize = size_of::<(u64, Payload)>() + 2 * size_of::<Payload>();

/// Decoder and read buffer of a worker that decodes tiles.
#[derive(Default)]
struct ClassScratch {
    decoder: Option<(ClassSet, Decoder)>,
    read: Vec<u8>,
}

impl AtlasReconstruction {
    /// Verifies a shard of R96 and keeps the classes that it adds.
    pub(super) fn add_classes(
        &self,
        shard: &AtlasShard,
        files: &mut Files,
        operation: &mut Operation<'_>,
    ) -> Result<()> {
        let (proof, (_, payload)) = (shard.proof(), shard.payload());
        let data_classes = proof.header.classes;
        // Plan: which tiles become complete with this shard, and which classes wait.
        proof.check_trust(&self.trust)?;
        let verifiers = proof.verifiers(payload.len(), operation)?;
        let tiles = to_u64(proof.tiles.len()).saturating_mul(ADDED_TILE);
        operation.reserve(tiles)?;
        let (parts, payload_offset) = proof.layout(payload.len())?;
        // The lock is held for the plan only, so that getters do not wait for the work.
        let (steps, told) = {
            let collected = lock(&self.collected);
            (collected.steps(proof, &parts)?, collected.new_tiles(proof)?)
        };
        let enough = |step: &Step<'_>| step.classes.len() >= usize::from(data_classes);
        let complete = steps.iter().filter(|step| enough(step)).count();
        let (mut decoded, mut kept) = (try_vec(complete)?, try_vec(steps.len() - complete)?);
        for step in steps {
            if enough(&step) { decoded.push(step) } else { kept.push(step) }
        }
        // Count the memory and the work of decoded tiles and of waiting classes, for the limit and the
        // totals.
        let bytes: u64 = decoded.iter().map(|step| to_u64(step.part.len())).sum();
        let waits = to_u64(kept.iter().map(Step::fresh_len).sum::<usize>());
        // Without a file, waiting classes and decoded tiles stay in memory; with a file, both are written to
        // it.
        let (result, (written, writes)) = match files.spool {
            None => (waits.saturating_add(bytes), (0, 0)),
            Some(_) => (0, (waits, kept.iter().map(|step| step.fresh.len()).sum())),
        };
        let waiting = to_u64(kept.iter().map(|step| step.fresh.len()).sum::<usize>() * WAITING_CLASS);
        let result = result.saturating_add(tiles).saturating_add(waiting);

        // The payloads of a tile use little more memory than its bytes, and the decoded tile uses as much as
        // its bytes.
        let per_worker = if decoded.is_empty() { 0 } else { 3 * TILE_BYTES };
        let workers = operation.workers(to_u64(decoded.len()), per_worker, result)?;
        let total = to_u64(payload.len()).saturating_add(bytes).saturating_add(written);
        let mut tracker = operation.tracker(total, to_u64(parts.len() + decoded.len() + writes));
        // Verify the shard before anything of it is kept.
        let layout = (&parts[..], payload_offset);
        proof.verify_parts(payload, layout, &self.trust, verifiers, &mut tracker)?;

        // Waiting classes in the file are read through a source over the file.
        let file = match &files.waiting {
            Some((file, _)) => Some(Source::from_storage(file.storage()?, file.target())?),
            None => None,
        };
        let spool = files.spool.as_ref();
        let mut pieces = try_vec(if spool.is_none() { decoded.len() } else { 0 })?;
        // Decode the complete tiles in parallel.
        workers.run(
            to_u64(decoded.len()),
            || Ok(ClassScratch::default()),
            |scratch, index| {
                let step = &decoded[to_usize(index)];
                let place = |error: AtlasError| {
                    error.at_index(step.tile).at_range(step.offset, to_u64(step.part.len()))
                };
                // The list is copied, so that the lock is released before the decoding and getters do not
                // wait for it.
                let waiting = {
                    let collected = lock(&self.collected);
                    let known = collected.waiting.of(step.tile);
                    let mut waiting = try_vec(known.len())?;
                    waiting.extend_from_slice(known);
                    waiting
                };
                let bytes = decode(scratch, data_classes, step, &waiting, payload, file.as_ref())
                    .and_then(|bytes| self.check_sum(shard, step, bytes))
                    .map_err(place)?;
                // The worker writes the bytes, and not the sink, so that they do not pile up in memory before
                // a slow callback.
                match spool {
                    Some(spool) => spool.write_at(step.offset, &bytes).map(|()| None),
                    None => Ok(Some(bytes)),
                }
            },
            |index, bytes| {
                let step = &decoded[to_usize(index)];
                pieces.extend(bytes.map(|bytes| (step.offset, Arc::new(bytes))));
                tracker.advance(to_u64(step.part.len()), 1)
            },
        )?;
        // Keep the new classes of the other tiles, and prepare everything that can fail.
        let mut ranges = try_vec(decoded.len())?;
        ranges.extend(decoded.iter().map(|step| step.offset..step.offset + to_u64(step.part.len())));
        let (kept, end) = keep(&kept, shard, files, &mut tracker)?;
        tracker.finish()?;

        // Nothing fails from here on.
        if let Some(waiting) = &mut files.waiting {
            waiting.1 = end;
        }
        let mut collected = lock(&self.collected);
        // A complete tile no longer needs its waiting classes.
        for step in &decoded {
            collected.waiting.tiles.remove(&step.tile);
        }
        for (tile, payload) in kept {
            collected.waiting.tiles.entry(tile).or_default().push(payload);
        }
        collected.has_come(proof, told, ranges, pieces);
        Ok(())
    }

    /// Returns `bytes` of a decoded tile if their sum mod 96 is the residue in the shard's proof. Fails with
    /// CONSERVATION, or with WITNESS if the bytes do not match the tile's witness either.
    fn check_sum(&self, shard: &AtlasShard, step: &Step<'_>, bytes: Buffer) -> Result<Buffer> {
        let residue = Residue::of(&bytes);
        if residue == step.residue {
            return Ok(bytes);
        }
        // Bytes that do not match the witness are wrong whatever their sum is, so that WITNESS is reported
        // first.
        let (proof, (_, payload)) = (shard.proof(), shard.payload());
        let mut options = ProjectionOptions::new().with_data_classes(proof.header.classes);
        options.key.clone_from(&self.trust.key);
        let scheme = Scheme::new(ProjectionType::R96Fourier, &options)?;
        let (expected, _) =
            proof.hash_part(scheme.digests(), step.part, &payload[step.part.payload.clone()])?;
        if !same(&scheme.witness(&bytes, &mut Workspace::default(), Executor::Inline)?, &expected) {
            return Err(AtlasError::witness(format!(
                "the classes of tile {} verify one by one, and decode to bytes that do not match its witness: give \
                 the root that you trust, or get the shards from another source",
                step.tile
            )));
        }
        Err(AtlasError::conservation(format!(
            "tile {} decodes to bytes that sum to {residue} mod 96 instead of the {} in its proof: verify \
             the shards",
            step.tile, step.residue
        )))
    }
}

/// Decodes the bytes of a tile from its waiting classes and from the classes that a shard adds. `fresh` is the
/// payload of this shard, and `file` has the waiting classes that are not in memory.
fn decode(
    scratch: &mut ClassScratch,
    data_classes: u8,
    step: &Step<'_>,
    waiting: &[Payload],
    fresh: &[u8],
    file: Option<&Source>,
) -> Result<Buffer> {
    // Neighbouring tiles mostly have the same classes, so that the decoder is kept.
    let classes = step.classes;
    let decoder = match &mut scratch.decoder {
        Some((of, decoder)) if *of == classes => decoder,
        other => &mut other.insert((classes, decoder(data_classes, classes)?)).1,
    };
    // Read the classes that wait in the file.
    // All classes of a tile have the same length.
    let class_len = step.fresh_len() / step.fresh.len().max(1);
    let in_file = |payload: &&Payload| matches!(payload.bytes, Bytes::File(_));
    let read = &mut scratch.read;
    // The buffer keeps its capacity from tile to tile.
    read.clear();
    let wanted = waiting.iter().filter(in_file).count() * class_len;
    read.try_reserve(wanted)
        .map_err(|_| AtlasError::out_of_memory(format!("allocation of {wanted} bytes failed")))?;
    read.resize(wanted, 0);
    let places = waiting.iter().filter_map(|payload| match payload.bytes {
        Bytes::File(offset) => Some(offset),
        Bytes::Memory(..) => None,
    });
    for (offset, out) in places.zip(read.chunks_exact_mut(class_len.max(1))) {
        let file = file.ok_or_else(|| {
            AtlasError::internal(
                "a defect of the library, please report it: the file of waiting classes is gone",
            )
        })?;
        file.read(offset, out)?;
    }
    // Collect the payloads of all classes, waiting and fresh.
    let mut read = read.chunks_exact(class_len.max(1));
    let mut payloads: Vec<(u8, &[u8])> = try_vec(classes.len())?;
    for payload in waiting {
        let bytes = match &payload.bytes {
            Bytes::Memory(buffer, range) => buffer.get(range.clone()),
            Bytes::File(_) => read.next(),
        };
        let bytes = bytes.ok_or_else(|| {
            AtlasError::internal(format!(
                "a defect of the library, please report it: the payload of waiting class {} is missing",
                payload.class
            ))
        })?;
        payloads.push((payload.class, bytes));
    }
    for class in step.fresh.iter() {
        let bytes = step.part.class_range(class).and_then(|range| fresh.get(range));
        payloads.push((
            class,
            bytes.ok_or_else(|| {
                AtlasError::internal(format!(
                    "a defect of the library, please report it: class {class} is not in its shard"
                ))
            })?,
        ));
    }
    // The decoder expects the payloads by ascending class.
    payloads.sort_unstable_by_key(|(class, _)| *class);
    let payloads: Vec<&[u8]> = payloads.into_iter().map(|(_, bytes)| bytes).collect();
    let mut out = Buffer::new(step.part.len())?;
    decode_blocks(decoder, &payloads, 0, &mut out)?;
    Ok(out)
}

/// Stores the classes that a shard adds to tiles that stay incomplete: in the file of waiting classes if there
/// is a spool file, else in memory. Returns the stored payloads with their tile numbers, and the new end of the
/// file.
fn keep(
    steps: &[Step<'_>],
    shard: &AtlasShard,
    files: &mut Files,
    tracker: &mut Tracker<'_, '_>,
) -> Result<(Vec<(u64, Payload)>, u64)> {
    let (_, payload) = shard.payload();
    // The end of the valid classes. A call that failed may have written more after it.
    let mut end = files.waiting.as_ref().map_or(0, |(_, end)| *end);
    let total = steps.iter().map(Step::fresh_len).sum();
    if total == 0 {
        return Ok((Vec::new(), end));
    }
    // The file of waiting classes is made when it is first needed.
    if let (Some(spool), None) = (&files.spool, &files.waiting) {
        files.waiting = Some((spool.create_another()?, 0));
    }
    let ranges = || {
        steps.iter().flat_map(|step| {
            let ranges = step.fresh.iter().map(|class| (class, step.part.class_range(class)));
            ranges.filter_map(|(class, range)| Some((step.tile, class, range?)))
        })
    };
    // The payloads go to the file if there is a file, otherwise to memory.
    let mut kept = try_vec(ranges().count())?;
    match (&files.waiting, total == payload.len()) {
        (Some((file, _)), _) => {
            for (tile, class, range) in ranges() {
                file.write_at(end, &payload[range.clone()])?;
                kept.push((tile, Payload { class, bytes: Bytes::File(end) }));
                end += to_u64(range.len());
                tracker.advance(to_u64(range.len()), 1)?;
            }
        }
        // The whole payload has to wait for other classes: share the shard's own memory.
        (None, true) => {
            let buffer = shard.shared_payload();
            kept.extend(ranges().map(|(tile, class, range)| {
                (tile, Payload { class, bytes: Bytes::Memory(Arc::clone(&buffer), range) })
            }));
        }
        // Only a part of the payload has to wait for other classes: copy only that part.
        (None, false) => {
            let (mut copy, mut at) = (Buffer::new(total)?, 0);
            for (_, _, range) in ranges() {
                copy[at..at + range.len()].copy_from_slice(&payload[range.clone()]);
                at += range.len();
            }
            let (buffer, mut at) = (Arc::new(copy), 0);
            kept.extend(ranges().map(|(tile, class, range)| {
                at += range.len();
                let place = at - range.len()..at;
                (tile, Payload { class, bytes: Bytes::Memory(Arc::clone(&buffer), place) })
            }));
        }
    }
    Ok((kept, end))
}

impl Collected {
    /// Returns a step for each tile that is not complete and to which the shard adds classes.
    fn steps<'s>(&self, proof: &Proof, parts: &'s [TilePart]) -> Result<Vec<Step<'s>>> {
        let mut steps = try_vec(parts.len())?;
        // Claimed offsets, which the root confirms before anything is kept.
        let mut offset = proof.claimed_start()?;
        for (tile, (part, shape)) in (proof.first_tile..).zip(parts.iter().zip(&proof.tiles)) {
            let end = offset + to_u64(part.len());
            // Plan only tiles with missing bytes, and only classes that these tiles do not have yet.
            if self.have.gaps(offset..end).next().is_some() {
                let waiting = self.waiting.of(tile).iter().filter_map(|payload| ClassSet::of(payload.class));
                let waiting = waiting.fold(ClassSet::EMPTY, ClassSet::union);
                let (classes, fresh) = (waiting.union(proof.classes), proof.classes.without(waiting));
                if !fresh.is_empty() {
                    steps.push(Step { tile, offset, residue: shape.residue, part, classes, fresh });
                }
            }
            offset = end;
        }
        Ok(steps)
    }

    pub(super) fn classes_needed(&self) -> u32 {
        // Nothing is needed before the first shard, and after the last byte.
        let Some(domain) = self.domain.as_ref().filter(|domain| self.present < domain.header.size) else {
            return 0;
        };
        let waiting = &self.waiting.tiles;
        // A tile that no shard has described needs all K classes.
        let unknown = to_u64(self.tiles.len()) < domain.header.tiles;
        let fewest = waiting.values().map(Vec::len).min().filter(|_| !unknown).unwrap_or(0);
        u32::from(domain.header.classes).saturating_sub(u32::try_from(fewest).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests;
