//! Classes that wait until their tile has K of them.
//!
//! ```text
//! add:    plan:    for each tile of the shard: whole already? the classes are surplus
//!                  K with those that wait? decode : keep those that are new
//!         verify, decode in parallel, put the bytes in place, keep the rest: memory, or a file that
//!         has no name to stay
//! ```

use super::{AtlasReconstruction, Collected, Store, finished};
use crate::atomic_file::AtomicFile;
use crate::buffer::{Buffer, try_vec};
use crate::classes::ClassSet;
use crate::error::{AtlasError, Result};
use crate::geometry::{TILE_BYTES, to_u64, to_usize};
use crate::layer2::Residue;
use crate::operation::Operation;
use crate::pool;
use crate::r96::Decoder;
use crate::scheme::{decode_blocks, decoder};
use crate::shard::{AtlasShard, TilePart};
use crate::source::Source;
use crate::sync::lock;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The classes of tiles that have fewer than K.
#[derive(Default)]
pub(super) struct Waiting {
    tiles: BTreeMap<u64, Vec<Payload>>,
    /// With a spool: where the payloads are, and how many bytes. Removed with the reconstruction.
    file: Option<(AtomicFile, u64)>,
}

/// What waits of one class of one tile.
#[derive(Clone)]
struct Payload {
    class: u8,
    bytes: Bytes,
}

#[derive(Clone)]
enum Bytes {
    Memory(Arc<Buffer>, Range<usize>),
    /// Their offset in the file.
    File(u64),
}

/// What a shard does for one tile.
struct Step<'s> {
    tile: u64,
    offset: u64,
    residue: Residue,
    part: &'s TilePart,
    /// All classes that there are now, and those of them that are new.
    classes: ClassSet,
    fresh: ClassSet,
    /// The others, where there are K.
    waiting: Vec<Payload>,
}

impl Step<'_> {
    /// The bytes that the fresh classes take.
    fn fresh_len(&self) -> usize {
        self.fresh.iter().filter_map(|class| self.part.class_range(class)).map(|range| range.len()).sum()
    }
}

/// The buffers of a worker that decodes.
#[derive(Default)]
struct Scratch {
    decoder: Option<(ClassSet, Decoder)>,
    read: Vec<u8>,
}

impl AtlasReconstruction {
    /// Verifies a shard of R96 and takes the classes that it adds.
    pub(super) fn add_classes(&self, shard: &AtlasShard, operation: &mut Operation<'_>) -> Result<()> {
        let (proof, (_, payload)) = (shard.proof(), shard.payload());
        let data_classes = proof.head.classes;
        proof.check_trust(&self.trust)?;
        let (parts, payload_offset) = proof.parts(payload.len())?;
        let (steps, told, file) = {
            let collected = lock(&self.collected);
            let file = match &collected.waiting.file {
                Some((file, _)) => Some(Source::from_file(file.reopen()?, file.target())?),
                None => None,
            };
            (collected.steps(shard, &parts)?, collected.new_tiles(proof)?, file)
        };
        let enough = |step: &Step<'_>| step.classes.len() >= usize::from(data_classes);
        let (decoded, kept): (Vec<Step<'_>>, Vec<Step<'_>>) = steps.into_iter().partition(enough);
        let bytes: u64 = decoded.iter().map(|step| to_u64(step.part.len())).sum();
        let in_memory = matches!(lock(&self.collected).store, Store::Memory(_));
        let result = if in_memory {
            to_u64(kept.iter().map(Step::fresh_len).sum::<usize>()).saturating_add(bytes)
        } else {
            0
        };

        let verifiers = proof.verifiers(parts.len(), payload.len(), operation)?;
        // The payloads of a tile take little more than its bytes, and so does the tile.
        let per_worker = if decoded.is_empty() { 0 } else { 3 * TILE_BYTES };
        let workers = operation.workers(to_u64(decoded.len()), per_worker, result)?;
        let executor = operation.executor;
        let total = to_u64(payload.len()).saturating_add(bytes);
        let mut tracker = operation.tracker(total, to_u64(parts.len() + decoded.len()));
        let layout = (&parts[..], payload_offset);
        proof.verify_parts(payload, layout, &self.trust, (executor, verifiers), &mut tracker)?;

        let mut pieces = try_vec(if in_memory { decoded.len() } else { 0 })?;
        pool::run(
            executor,
            workers,
            to_u64(decoded.len()),
            || Ok(Scratch::default()),
            |scratch, index| {
                let step = &decoded[to_usize(index)];
                let place = |error: AtlasError| {
                    error.at_index(step.tile).at_range(step.offset, to_u64(step.part.len()))
                };
                decode(scratch, data_classes, step, payload, file.as_ref()).map_err(place)
            },
            |index, bytes| {
                let (offset, len) = (decoded[to_usize(index)].offset, to_u64(bytes.len()));
                let piece = (offset, Arc::new(bytes));
                if in_memory {
                    pieces.push(piece);
                } else {
                    lock(&self.collected).store.put(vec![piece])?;
                }
                tracker.advance(len, 1)
            },
        )?;
        let ranges = decoded.iter().map(|step| step.offset..step.offset + to_u64(step.part.len())).collect();

        let mut collected = lock(&self.collected);
        let kept = collected.keep(&kept, shard)?;
        collected.store.put(pieces)?;
        // Nothing fails from here on, except that the callback may say so at the end.
        for step in &decoded {
            collected.waiting.tiles.remove(&step.tile);
        }
        for (tile, payloads) in kept {
            collected.waiting.tiles.entry(tile).or_default().extend(payloads);
        }
        collected.has_come(proof, told, ranges);
        drop(collected);
        tracker.finish()
    }
}

/// The bytes of a tile from the classes that wait and those that came.
fn decode(
    scratch: &mut Scratch,
    data_classes: u8,
    step: &Step<'_>,
    fresh: &[u8],
    file: Option<&Source>,
) -> Result<Buffer> {
    let classes = step.classes;
    let decoder = match &mut scratch.decoder {
        Some((of, decoder)) if *of == classes => decoder,
        other => &mut other.insert((classes, decoder(data_classes, classes)?)).1,
    };
    let class_len = step.fresh_len() / step.fresh.len().max(1);
    let in_file = |payload: &&Payload| matches!(payload.bytes, Bytes::File(_));
    let read = &mut scratch.read;
    read.clear();
    let wanted = step.waiting.iter().filter(in_file).count() * class_len;
    read.try_reserve(wanted).map_err(|_| AtlasError::out_of_memory(format!("{wanted} bytes of classes")))?;
    read.resize(wanted, 0);
    let places = step.waiting.iter().filter_map(|payload| match payload.bytes {
        Bytes::File(offset) => Some(offset),
        Bytes::Memory(..) => None,
    });
    for (offset, out) in places.zip(read.chunks_exact_mut(class_len.max(1))) {
        let file = file.ok_or_else(|| AtlasError::internal("the file of waiting classes is gone"))?;
        file.read(offset, out)?;
    }
    let mut read = read.chunks_exact(class_len.max(1));
    let mut payloads: Vec<(u8, &[u8])> = try_vec(classes.len())?;
    for payload in &step.waiting {
        let bytes = match &payload.bytes {
            Bytes::Memory(buffer, range) => buffer.get(range.clone()),
            Bytes::File(_) => read.next(),
        };
        let bytes = bytes.ok_or_else(|| AtlasError::internal("a waiting class is gone"))?;
        payloads.push((payload.class, bytes));
    }
    for class in step.fresh.iter() {
        let bytes = step.part.class_range(class).and_then(|range| fresh.get(range));
        payloads.push((class, bytes.ok_or_else(|| AtlasError::internal("a class is not in its shard"))?));
    }
    payloads.sort_unstable_by_key(|(class, _)| *class);
    let payloads: Vec<&[u8]> = payloads.into_iter().map(|(_, bytes)| bytes).collect();
    let mut out = Buffer::new(step.part.len())?;
    decode_blocks(decoder, &payloads, 0, &mut out)?;
    let residue = Residue::of(&out);
    if residue != step.residue {
        return Err(AtlasError::conservation(format!(
            "tile {} sums to {residue} mod 96 where its leaf says {}",
            step.tile, step.residue
        )));
    }
    Ok(out)
}

impl Collected {
    /// What a shard does for those of its tiles that are not whole.
    fn steps<'s>(&self, shard: &AtlasShard, parts: &'s [TilePart]) -> Result<Vec<Step<'s>>> {
        let proof = shard.proof();
        let mut steps = try_vec(parts.len())?;
        let mut offset = proof.claimed_start()?;
        for (tile, (part, shape)) in (proof.first_tile..).zip(parts.iter().zip(&proof.tiles)) {
            let end = offset + to_u64(part.len());
            if !self.have.gaps(offset..end).is_empty() {
                let known = self.waiting.tiles.get(&tile).map_or(&[][..], |payloads| payloads);
                let waiting = known.iter().filter_map(|payload| ClassSet::of(payload.class));
                let waiting = waiting.fold(ClassSet::EMPTY, ClassSet::union);
                let (classes, fresh) = (waiting.union(proof.classes), proof.classes.without(waiting));
                let waiting = match classes.len() >= usize::from(proof.head.classes) {
                    true => known.to_vec(),
                    false => Vec::new(),
                };
                if !fresh.is_empty() {
                    let residue = shape.residue;
                    steps.push(Step { tile, offset, residue, part, classes, fresh, waiting });
                }
            }
            offset = end;
        }
        Ok(steps)
    }

    /// Puts the fresh classes of some tiles where they can wait.
    fn keep(&mut self, steps: &[Step<'_>], shard: &AtlasShard) -> Result<Vec<(u64, Vec<Payload>)>> {
        let (_, payload) = shard.payload();
        let total = steps.iter().map(Step::fresh_len).sum();
        let mut kept = try_vec(steps.len())?;
        if total == 0 {
            return Ok(kept);
        }
        let ranges = || {
            steps.iter().flat_map(|step| {
                let ranges = step.fresh.iter().map(|class| (class, step.part.class_range(class)));
                ranges.filter_map(|(class, range)| Some((step.tile, class, range?)))
            })
        };
        let mut place: Box<dyn FnMut(Range<usize>) -> Result<Bytes>> = match &self.store {
            // All of it: the shard's own memory.
            Store::Memory(_) if total == payload.len() => {
                let buffer = shard.shared_payload();
                Box::new(move |range| Ok(Bytes::Memory(Arc::clone(&buffer), range)))
            }
            Store::Memory(_) => {
                let mut copy = Buffer::new(total)?;
                let mut at = 0;
                for (_, _, range) in ranges() {
                    copy[at..at + range.len()].copy_from_slice(&payload[range.clone()]);
                    at += range.len();
                }
                let (buffer, mut at) = (Arc::new(copy), 0);
                Box::new(move |range| {
                    at += range.len();
                    Ok(Bytes::Memory(Arc::clone(&buffer), at - range.len()..at))
                })
            }
            Store::Spool(spool) => {
                if self.waiting.file.is_none() {
                    self.waiting.file = Some((AtomicFile::create(spool.target())?, 0));
                }
                let Some((file, end)) = &mut self.waiting.file else {
                    return Err(AtlasError::internal("waiting classes have no file"));
                };
                Box::new(move |range| {
                    file.write_at(*end, &payload[range.clone()])?;
                    *end += to_u64(range.len());
                    Ok(Bytes::File(*end - to_u64(range.len())))
                })
            }
            Store::Finished => return Err(finished()),
        };
        for (tile, class, range) in ranges() {
            let payload = Payload { class, bytes: place(range)? };
            match kept.last_mut() {
                Some((last, payloads)) if *last == tile => payloads.push(payload),
                _ => kept.push((tile, vec![payload])),
            }
        }
        Ok(kept)
    }

    pub(super) fn classes_needed(&self) -> u32 {
        let Some(domain) = self.domain.as_ref().filter(|domain| self.present < domain.head.size) else {
            return 0;
        };
        let waiting = &self.waiting.tiles;
        // A tile that no shard told of needs all K.
        let unknown = to_u64(self.tiles.len()) < domain.head.tiles;
        let fewest = waiting.values().map(Vec::len).min().filter(|_| !unknown).unwrap_or(0);
        u32::from(domain.head.classes).saturating_sub(u32::try_from(fewest).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests;
