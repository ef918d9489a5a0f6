//! Calls over many shards, which are compressed or decompressed in parallel; the results have the order of the shards.
//! A call handles all shards or fails without a result.
//!
//! The blocks of all shards are grouped into runs, one task each. Compression has two passes, because only
//! the first pass shows which blocks are stored uncompressed and which shards are stored as a whole.
//! Decompression decodes all blocks first and then verifies the payloads, tile by tile, against the proofs.

use super::block::{Attempt, BlockDecoder, BlockEncoder, BlockHead, Encoded};
use super::config::{CompressionConfig, MAX_BLOCK_SIZE, Plan};
use super::method::CompressionAlgorithm;
use super::{Body, CompressedShard, auto, available, coding, flags, no_method};
use crate::base::buffer::{Buffer, try_collect, try_vec};
use crate::base::error::{AtlasError, ErrorKind, Result};
use crate::base::sync::lock;
use crate::base::units::{to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::exec::pool;
use crate::exec::progress::Tracker;
use crate::exec::workers::Workers;
use crate::hash::digest::{Digest, Digests};
use crate::hash::tile_tree::Leaf;
use crate::layer2::Residue;
use crate::shard::{AtlasShard, TilePart, VerifyOptions};
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// Digest and residue of each tile of a shard, `None` if they are not known yet.
type KnownTiles = Vec<Option<(Digest, Residue)>>;

/// Minimum number of payload bytes of a task, except for the last task of a shard.
const TASK_BYTES: usize = 128 * 1024;

/// Bytes of memory that a call needs per shard, besides its blocks, runs and tiles: the shard, its draft, the
/// heads of some lists, and allocations.
const A_SHARD: usize = size_of::<CompressedShard>() + size_of::<AtlasShard>() + size_of::<Draft<'_>>() + 512;
const A_BLOCK: usize = size_of::<(Attempt, BlockHead, Encoded, Settled, AtomicBool)>() + 32;
const A_TILE: usize = size_of::<(TilePart, (usize, usize), (Digest, Residue), Leaf)>();
/// Bytes that the estimate of a call's memory adds for each buffer of a payload or of a large block, because buffers
/// are rounded up.
const ROUNDING: usize = 16 * 1024;

/// Consecutive blocks of one shard of a call, the work of one task.
struct Run {
    shard: usize,
    blocks: Range<usize>,
    /// Range of the bytes of these blocks in the payload of the shard.
    bytes: Range<usize>,
}

/// Returns the number of blocks of `block_size` per run.
fn blocks_a_run(block_size: usize) -> usize {
    TASK_BYTES.div_ceil(block_size)
}

fn run_count(len: usize, block_size: usize) -> usize {
    len.div_ceil(block_size).div_ceil(blocks_a_run(block_size))
}

/// Divides the payload of the shard with index `shard`, `len` bytes in blocks of `block_size`, into runs, one
/// task each.
fn runs(shard: usize, len: usize, block_size: usize) -> impl Iterator<Item = Run> {
    let (count, each) = (len.div_ceil(block_size), blocks_a_run(block_size));
    // Runs never cross a shard, and all their blocks are whole except the last block of the shard.
    (0..count).step_by(each).map(move |first| {
        let last = (first + each).min(count);
        Run { shard, blocks: first..last, bytes: first * block_size..(last * block_size).min(len) }
    })
}

/// Returns a function that, if `batch` is set, replaces the index in an error (that of a tile or block) by the
/// index of the shard in the batch.
fn named(batch: bool, shard: usize) -> impl Fn(AtlasError) -> AtlasError {
    move |error| if batch { error.in_batch(to_u64(shard)) } else { error }
}

/// A shard that is being compressed, with the results of both passes so far.
struct Draft<'a> {
    shard: &'a AtlasShard,
    /// Plan by which the blocks of the shard are encoded.
    plan: Option<Plan>,
    /// Result of the first pass for each block. Empty if the shard is stored.
    attempts: Vec<Attempt>,
    /// True if the blocks of the shard go through the first pass. Then the second pass counts as 1/16 of the
    /// shard's bytes of progress, otherwise as all bytes of the shard.
    tried: bool,
    settled: Vec<Settled>,
}

/// Result of the second pass for a block that is stored uncompressed: its head, and a copy of the block unless
/// the whole shard is stored.
type Settled = (BlockHead, Option<Encoded>);

impl Draft<'_> {
    /// Returns true if the results of the first pass do not make the shard small enough, so that it is stored as
    /// a whole.
    fn is_stored(&self, config: &CompressionConfig) -> bool {
        // The heads count, because a stored shard has far fewer heads.
        let (mut saved, mut size) = (false, coding::HEAD_SIZE * self.attempts.len());
        let blocks = self.shard.payload.chunks(to_usize(config.block_size));
        for (attempt, block) in self.attempts.iter().zip(blocks) {
            size += match attempt {
                Attempt::Done(head, _) => head.len,
                Attempt::Stored => block.len(),
            };
            saved |= matches!(attempt, Attempt::Done(..));
        }
        // If no block became smaller, the shard is stored whatever the ratio is, because a stored shard has
        // only one encoding.
        !saved || !config.is_worth(size, self.shard.payload.len())
    }

    /// Returns the progress that the range `bytes` of the payload counts in the first pass, which tries to compress,
    /// and in the second. If `tried` is set, the second pass counts a sixteenth, because it only hashes and copies
    /// blocks that stay uncompressed. Otherwise there is no first pass.
    fn worth(&self, bytes: &Range<usize>) -> (u64, u64) {
        // Differences of rounded ends add up exactly over all runs of a shard.
        let second = if self.tried { bytes.end / 16 - bytes.start / 16 } else { bytes.len() };
        (to_u64(bytes.len() - second), to_u64(second))
    }
}

/// Compresses all shards. Returns the results in the order of the shards, or an error and no result. If `batch` is set,
/// an error names the shard.
pub(super) fn compress_all(
    shards: &[&AtlasShard],
    config: &CompressionConfig,
    batch: bool,
    operation: &mut Operation<'_>,
) -> Result<Vec<CompressedShard>> {
    // An invalid configuration is refused before any shard is read, also for an empty batch.
    let block_size = config.check()?;
    available()?;
    operation.executor.check()?;
    let threads = Workers::new(operation, operation.threads());
    let plans = auto::plans(config)?;
    // A small or empty shard is stored without an attempt.
    let is_tried = |shard: &AtlasShard| {
        !plans.is_empty()
            && !shard.payload.is_empty()
            && to_u64(shard.data().len()) >= config.min_size_threshold
    };
    // Add up the memory and the tasks of all shards.
    let (mut count, mut fixed, mut total, mut largest) = (0, 0u64, 0, 0);
    for shard in shards {
        let len = shard.payload.len();
        total += to_u64(len);
        // A stored shard has blocks of the largest size, and copies nothing.
        let mut memory = A_SHARD + len.div_ceil(MAX_BLOCK_SIZE) * (A_BLOCK + size_of::<Run>());
        if is_tried(shard) {
            let (blocks, runs) = (len.div_ceil(block_size), run_count(len, block_size));
            memory += len + blocks * A_BLOCK + runs * 2 * size_of::<Run>();
            // Copies of blocks are buffers that can be reused if they are large enough.
            memory += if block_size >= 4 * ROUNDING { blocks * ROUNDING } else { 0 };
            count += runs;
            largest = largest.max(len.min(block_size));
        }
        fixed = fixed.saturating_add(to_u64(memory));
    }
    // The largest block determines the memory of a worker.
    let footprint = match count {
        0 => 0,
        _ => BlockEncoder::footprint(config, &plans, largest)?,
    };
    let workers = operation.workers(to_u64(count), to_u64(footprint), fixed)?;

    // One draft per shard, one task per run of blocks.
    let (mut tasks, mut drafts): (Vec<Run>, Vec<Draft<'_>>) = (try_vec(count)?, try_vec(shards.len())?);
    for (index, shard) in shards.iter().enumerate() {
        let (len, tried) = (shard.payload.len(), is_tried(shard));
        // All lists get their memory here, so that the sinks below cannot fail for lack of memory.
        let attempts = try_vec(if tried { len.div_ceil(block_size) } else { 0 })?;
        if tried {
            tasks.extend(runs(index, len, block_size));
        }
        let plan = plans.first().copied().filter(|_| tried);
        drafts.push(Draft { shard, plan, tried, attempts, settled: Vec::new() });
    }
    let mut tracker = operation.tracker(total, to_u64(shards.len()));
    let new_encoder = || BlockEncoder::new(config, &plans, largest);
    // With AUTO, first choose an algorithm for each shard.
    if config.is_auto() {
        let tried = drafts.iter_mut().filter(|draft| draft.tried);
        let mut tried: Vec<&mut Draft<'_>> = try_collect(tried)?;
        let mut chosen: Vec<Plan> = try_vec(tried.len())?;
        workers.run(
            to_u64(tried.len()),
            new_encoder,
            |encoder, task| auto::choose(&tried[to_usize(task)].shard.payload, config, &plans, encoder),
            |_, plan| {
                chosen.push(plan);
                tracker.advance(0, 0)
            },
        )?;
        // The choice depends on the payload alone, so that it is the same for every number of workers.
        tried.iter_mut().zip(chosen).for_each(|(draft, plan)| draft.plan = Some(plan));
    }
    // The plans are copied, because the tasks read them while the results of other tasks change the drafts.
    let mut chosen: Vec<Option<Plan>> = try_vec(drafts.len())?;
    chosen.extend(drafts.iter().map(|draft| draft.plan));
    workers.run(
        to_u64(tasks.len()),
        new_encoder,
        |encoder, task| {
            // First pass: try to make each block smaller.
            let run = &tasks[to_usize(task)];
            let plan = chosen[run.shard].as_ref().ok_or_else(no_method)?;
            let bytes = &shards[run.shard].payload[run.bytes.clone()];
            let attempts = bytes.chunks(block_size).map(|block| encoder.encode(plan, block));
            attempts.collect::<Result<Vec<_>>>().map_err(named(batch, run.shard))
        },
        |task, attempts| {
            // Progress per block, in order.
            let Run { shard, bytes, .. } = &tasks[to_usize(task)];
            let draft = &mut drafts[*shard];
            draft.attempts.extend(attempts);
            for start in bytes.clone().step_by(block_size) {
                let (first, _) = draft.worth(&(start..(start + block_size).min(bytes.end)));
                tracker.advance(first, 0)?;
            }
            Ok(())
        },
    )?;
    // Second pass, and then the results.
    settle(&mut drafts, config, batch, threads, tracker)?;
    let mut compressed = try_vec(drafts.len())?;
    for (index, draft) in drafts.into_iter().enumerate() {
        compressed.push(finish(draft, config).map_err(named(batch, index))?);
    }
    Ok(compressed)
}

/// Runs the second pass of a compression: decides which shards are stored as a whole, and hashes the blocks that are
/// stored uncompressed. Also copies these blocks, unless their whole shard is stored.
fn settle(
    drafts: &mut [Draft<'_>],
    config: &CompressionConfig,
    batch: bool,
    threads: Workers<'_>,
    mut tracker: Tracker<'_, '_>,
) -> Result<()> {
    let is_left = |attempt: &Attempt| matches!(attempt, Attempt::Stored);
    let block_size = to_usize(config.block_size);
    // A shard that did not become small enough drops its attempts. Its blocks then have the largest size.
    let (mut count, mut left) = (0, 0);
    for draft in drafts.iter_mut() {
        let len = draft.shard.payload.len();
        if draft.is_stored(config) {
            draft.attempts = Vec::new();
            draft.settled = try_vec(len.div_ceil(MAX_BLOCK_SIZE))?;
            (count, left) = (count + run_count(len, MAX_BLOCK_SIZE), left + len);
        } else {
            let blocks = draft.attempts.iter().filter(|attempt| is_left(attempt)).count();
            draft.settled = try_vec(blocks)?;
            (count, left) = (count + run_count(len, block_size), left + blocks * block_size);
        }
    }
    // One task per run of blocks, as in the first pass.
    let mut tasks: Vec<Run> = try_vec(count)?;
    for (index, draft) in drafts.iter().enumerate() {
        let block_size = if draft.attempts.is_empty() { MAX_BLOCK_SIZE } else { block_size };
        tasks.extend(runs(index, draft.shard.payload.len(), block_size));
    }
    // The results are collected in a list of their own, because the tasks read the drafts.
    let mut settled: Vec<Vec<Settled>> = try_vec(drafts.len())?;
    settled.extend(drafts.iter_mut().map(|draft| std::mem::take(&mut draft.settled)));
    threads.at_most(left / pool::TASK_BYTES).run(
        to_u64(tasks.len()),
        || Ok(()),
        // Hashing needs no state of a worker.
        |(), task| {
            let run = &tasks[to_usize(task)];
            let draft = &drafts[run.shard];
            let bytes = &draft.shard.payload[run.bytes.clone()];
            // A shard that is stored as a whole is only hashed. Of other shards only the stored blocks are
            // copied.
            if draft.attempts.is_empty() {
                return Ok(vec![(BlockHead::stored(bytes), None)]);
            }
            let blocks = draft.attempts[run.blocks.clone()].iter().zip(bytes.chunks(block_size));
            let settle = |block: &[u8]| Ok((BlockHead::stored(block), Some(Encoded::copy_of(block)?)));
            let blocks = blocks.filter(|(attempt, _)| is_left(attempt)).map(|(_, block)| settle(block));
            blocks.collect::<Result<Vec<Settled>>>().map_err(named(batch, run.shard))
        },
        // Progress of the second pass.
        |task, blocks| {
            let run = &tasks[to_usize(task)];
            settled[run.shard].extend(blocks);
            let draft = &drafts[run.shard];
            let (_, second) = draft.worth(&run.bytes);
            tracker.advance(second, u64::from(run.bytes.end == draft.shard.payload.len()))
        },
    )?;
    for (draft, settled) in drafts.iter_mut().zip(settled) {
        draft.settled = settled;
    }
    tracker.finish()
}

fn finish(draft: Draft<'_>, config: &CompressionConfig) -> Result<CompressedShard> {
    let shard = draft.shard;
    // Begin with a stored shard, which shares the payload.
    let mut compressed = CompressedShard {
        proof: Arc::clone(&shard.proof),
        payload_offset: shard.payload_offset,
        payload_len: shard.payload.len(),
        residue: shard.residue,
        algorithm: CompressionAlgorithm::None,
        level: 0,
        block_size: MAX_BLOCK_SIZE,
        heads: Vec::new(),
        data: Body::Shared(Arc::clone(&shard.payload)),
        checked: Vec::new(),
    };
    let mut settled = draft.settled.into_iter();
    // A shard that is stored as a whole has only heads.
    if draft.attempts.is_empty() {
        compressed.heads = try_vec(settled.len())?;
        compressed.heads.extend(settled.map(|(head, _)| head));
    } else {
        let mut blocks = try_vec(draft.attempts.len())?;
        compressed.heads = try_vec(draft.attempts.len())?;
        // Otherwise collect head and bytes of each block, in order.
        for attempt in draft.attempts {
            let (head, bytes) = match attempt {
                Attempt::Done(head, bytes) => (head, bytes),
                // The second pass went through the blocks in the same order.
                Attempt::Stored => match settled.next() {
                    Some((head, Some(bytes))) => (head, bytes),
                    _ => {
                        return Err(AtlasError::internal(
                            "a defect of the library, please report it: a stored block has no bytes",
                        ));
                    }
                },
            };
            compressed.heads.push(head);
            blocks.push(bytes);
        }
        let plan = draft.plan.ok_or_else(no_method)?;
        (compressed.algorithm, compressed.level) = (plan.algorithm, plan.level);
        compressed.block_size = to_usize(config.block_size);
        compressed.data = Body::Blocks(blocks);
    }
    // The digests were just computed from these bytes.
    compressed.checked = flags(compressed.heads.len(), true)?;
    // The blocks together must have the residue of the payload.
    if config.preserve_conservation && compressed.payload_residue() != payload_residue(shard) {
        return Err(AtlasError::conservation(format!(
            "the blocks sum to {} mod 96 and the shard's payload to {}: verify the shard before \
             compressing it",
            compressed.payload_residue(),
            payload_residue(shard)
        )));
    }
    Ok(compressed)
}

/// Returns the residue of all bytes of the payload, computed from the residue of the shard's content.
fn payload_residue(shard: &AtlasShard) -> Residue {
    // The payload begins and ends at pages, and may have bytes on both sides of the content.
    let within = shard.proof.scope().content(shard.payload.len(), shard.payload_offset);
    shard.residue + Residue::of(&shard.payload[..within.start]) + Residue::of(&shard.payload[within.end..])
}

/// CONSERVATION error of the first block whose residue differs, with the index of its shard. Reported only if no
/// shard fails with WITNESS.
type Held = Option<(usize, AtlasError)>;

/// Decompresses and verifies all shards. Returns the results in the order of the shards, or an error and no result. If
/// `batch` is set, an error names the shard.
pub(super) fn decompress_all(
    compressed: &[&CompressedShard],
    verify: &VerifyOptions,
    batch: bool,
    operation: &mut Operation<'_>,
) -> Result<Vec<AtlasShard>> {
    available()?;
    operation.executor.check()?;
    let threads = Workers::new(operation, operation.threads());
    // Check the trust settings and count the memory of all shards first.
    let (mut count, mut fixed, mut total, mut largest, mut footprint) = (0, 0u64, 0, 0, 0);
    for (index, shard) in compressed.iter().enumerate() {
        shard.proof.check_trust(verify).map_err(named(batch, index))?;
        let runs = run_count(shard.payload_len, shard.block_size);
        let mut memory = A_SHARD + runs * size_of::<(Run, Mutex<&mut [u8]>)>();
        if shard.is_packed() {
            // A stored shard shares its payload, and needs no memory for it.
            memory += shard.payload_len + ROUNDING;
            let block_len = shard.block_size.min(shard.payload_len);
            largest = largest.max(block_len);
            footprint = footprint.max(BlockDecoder::footprint(shard.method()?.codec, block_len)?);
        }
        // The tile count comes from a proof that is not verified yet, and may be large.
        let tiles = to_u64(shard.proof.tiles.len()).saturating_mul(to_u64(A_TILE));
        fixed = fixed.saturating_add(to_u64(memory)).saturating_add(tiles);
        // Each byte counts twice: decoded, and hashed against the root.
        total += 2 * to_u64(shard.payload_len);
        count += runs;
    }
    let workers = operation.workers(to_u64(count), to_u64(footprint), fixed)?;

    // Make the layouts, payloads and tasks. A hostile layout is refused before anything is decoded.
    let mut layouts: Vec<Vec<TilePart>> = try_vec(compressed.len())?;
    let (mut payloads, mut tasks): (Vec<Buffer>, Vec<Run>) = (try_vec(compressed.len())?, try_vec(count)?);
    for (index, shard) in compressed.iter().enumerate() {
        let (parts, _) = shard.proof.layout(shard.payload_len).map_err(named(batch, index))?;
        layouts.push(parts);
        payloads.push(Buffer::new(if shard.is_packed() { shard.payload_len } else { 0 })?);
        tasks.extend(runs(index, shard.payload_len, shard.block_size));
    }
    let mut tracker = operation.tracker(total, to_u64(compressed.len()));
    // Each task gets its own part of the output.
    let mut targets: Vec<Mutex<&mut [u8]>> = try_vec(count)?;
    for (index, (shard, payload)) in compressed.iter().zip(&mut payloads).enumerate() {
        let mut rest = &mut payload[..];
        for run in runs(index, shard.payload_len, shard.block_size) {
            // A stored shard has no output; its tasks have empty targets.
            let (target, later) = rest.split_at_mut(if shard.is_packed() { run.bytes.len() } else { 0 });
            targets.push(Mutex::new(target));
            rest = later;
        }
    }
    let digests = verify.digests();
    // Digests of whole tiles are kept, so that they are not hashed twice.
    let mut known: Vec<KnownTiles> = try_vec(compressed.len())?;
    for parts in &layouts {
        let mut of_shard = try_vec(parts.len())?;
        of_shard.resize_with(parts.len(), || None);
        known.push(of_shard);
    }
    let mut held: Held = None;
    workers.run(
        to_u64(count),
        || Ok(BlockDecoder::new(largest)),
        |decoder, task| {
            let run = &tasks[to_usize(task)];
            let shard = compressed[run.shard];
            let mut target = lock(&targets[to_usize(task)]);
            let mut out = target.chunks_mut(shard.block_size);
            // Decode or check each block of the run.
            let (mut first, mut witness) = (None, None);
            for block in run.blocks.clone() {
                let decoded = match out.next() {
                    Some(out) => shard.decode(decoder, block, out),
                    // The bytes are in the payload already, and only their digest is checked.
                    None => shard.check(block),
                };
                let decoded = decoded.map_err(named(batch, run.shard))?;
                // The first block with a wrong sum determines the place in the error.
                first = first.or(decoded.unconserved);
                witness = Some((decoded.digest, decoded.residue));
            }
            Ok((first, witness.filter(|_| run.blocks.len() == 1)))
        },
        |task, (unconserved, witness)| {
            let run = &tasks[to_usize(task)];
            // CONSERVATION waits until every WITNESS is excluded.
            held = held.take().or(unconserved.map(|error| (run.shard, error)));
            // The digest of a block that is a whole tile is its witness, and need not be computed again.
            if let Some(part) = whole_tile(&layouts[run.shard], &run.bytes, &digests) {
                known[run.shard][part] = witness;
            }
            tracker.advance(to_u64(run.bytes.len()), 0)
        },
    )?;
    // The targets borrow the payloads, which are shared from here on.
    drop(targets);

    // Stored shards share their payload, all other shards have a new payload.
    let mut whole: Vec<Arc<Buffer>> = try_vec(compressed.len())?;
    whole.extend(compressed.iter().zip(payloads).map(|(shard, fresh)| match &shard.data {
        Body::Shared(payload) => Arc::clone(payload),
        Body::Blocks(_) => Arc::new(fresh),
    }));
    verify_all(compressed, &whole, (&layouts, &known), &digests, held, batch, threads, tracker)
}

/// Returns the index in `parts` of the whole tile that has exactly the range `bytes` of the payload. `None` if there is
/// no such tile, or if witnesses are keyed and differ from the digests of blocks.
fn whole_tile(parts: &[TilePart], bytes: &Range<usize>, digests: &Digests) -> Option<usize> {
    // Most blocks are smaller than a tile, and end here.
    let part = parts.binary_search_by_key(&bytes.start, |part| part.payload.start).ok()?;
    let found = &parts[part];
    // With a key, the witness differs from the digest of the block.
    (found.payload == *bytes && found.is_whole() && !digests.keyed()).then_some(part)
}

/// Verifies the decoded payloads against the roots of their shards, and returns the shards.
#[expect(clippy::too_many_arguments, reason = "the second half of decompress_all")]
fn verify_all(
    compressed: &[&CompressedShard],
    payloads: &[Arc<Buffer>],
    (layouts, known): (&[Vec<TilePart>], &[KnownTiles]),
    digests: &Digests,
    mut held: Held,
    batch: bool,
    threads: Workers<'_>,
    mut tracker: Tracker<'_, '_>,
) -> Result<Vec<AtlasShard>> {
    // The number of threads follows from the bytes that are to be hashed.
    let bytes: usize = payloads.iter().map(|payload| payload.len()).sum();
    // One task per tile of every shard.
    let mut tasks: Vec<(usize, usize)> = try_vec(layouts.iter().map(Vec::len).sum())?;
    let mut hashed: Vec<Vec<(Digest, Residue)>> = try_vec(layouts.len())?;
    for (shard, parts) in layouts.iter().enumerate() {
        tasks.extend((0..parts.len()).map(|part| (shard, part)));
        hashed.push(try_vec(parts.len())?);
    }
    threads.at_most(bytes / pool::TASK_BYTES).run(
        to_u64(tasks.len()),
        || Ok(()),
        |(), task| {
            let (shard, part) = tasks[to_usize(task)];
            // The digest of the tile is known from its block.
            if let Some(hashed) = known[shard][part] {
                return Ok(hashed);
            }
            let (proof, part) = (&compressed[shard].proof, &layouts[shard][part]);
            proof
                .hash_part(digests, part, &payloads[shard][part.payload.clone()])
                .map_err(named(batch, shard))
        },
        // The sink collects the tiles of each shard in order.
        |task, done| {
            let (shard, part) = tasks[to_usize(task)];
            hashed[shard].push(done);
            let last = hashed[shard].len() == layouts[shard].len();
            tracker.advance(to_u64(layouts[shard][part].payload.len()), u64::from(last))
        },
    )?;
    let mut shards = try_vec(compressed.len())?;
    // WITNESS of a later shard takes precedence over CONSERVATION of an earlier shard.
    let mut first_unconserved = None;
    for (index, (shard, payload)) in compressed.iter().zip(payloads).enumerate() {
        // A wrong sum of a block counts only if the proof of its shard holds.
        let unconserved = held.take_if(|(held, _)| *held == index).map(|(_, error)| error);
        let shard = shard.conclude(digests, &layouts[index], payload, &hashed[index], unconserved);
        match shard.map_err(named(batch, index)) {
            Ok(shard) => shards.push(shard),
            Err(error) if error.kind() == ErrorKind::Conservation => {
                first_unconserved.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(error) = first_unconserved {
        return Err(error);
    }
    tracker.finish()?;
    Ok(shards)
}
