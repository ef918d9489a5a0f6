//! Compressed shards: lossless, bounded, verified.
//!
//! The payload of a shard is cut into blocks that know nothing of one another. A codec encodes a block
//! (`codec/`), as it is or permuted into byte planes (`filter/`), or it stays as it is; its head carries
//! digest and residue, so that a part can be read and trusted alone. What does not become smaller is not
//! copied: a shard that is stored whole shares the payload of the one that it was made of.
//!
//! ```text
//! compress:    each block: looks like noise? stays : filter, residue, codec, and back again to compare
//!              nothing or too little gained: the shard is stored whole; hash what stays
//! decompress:  each block: codec, residue, merge, digest; then the proof of the shard, as ever
//! ```

// Nothing but the lanes of the filter.
#![deny(unsafe_code)]

mod auto;
mod block;
mod codec;
mod coding;
mod config;
mod filter;
mod format;
mod manager;
mod method;
pub(crate) mod record;

pub use config::{CompressionConfig, CompressionLevel};
pub use manager::{CompressionManager, CompressionStats};
pub use method::{CompressionAlgorithm, CompressionFilter, CompressionTarget};

pub(crate) use codec::free_used;

use crate::base::buffer::{Buffer, try_vec};
use crate::base::error::{AtlasError, ErrorKind, Result};
use crate::base::units::{to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::exec::pool;
use crate::exec::progress::Tracker;
use crate::hash::digest::{Digest, Digests};
use crate::hash::tile_tree::Leaf;
use crate::layer2::Residue;
use crate::shard::{AtlasShard, Proof, TilePart, VerifyOptions};
use block::{Attempt, BlockDecoder, BlockEncoder, BlockHead, Decoded, Encoded};
use codec::Codec;
use config::{MAX_BLOCK_SIZE, Plan};
use method::Method;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Digest and residue of each tile of a shard, as far as they are known.
type KnownTiles = Vec<Option<(Digest, Residue)>>;

/// A shard whose payload takes less room, or is stored where it would not.
///
/// Every shard handle was verified; this one was not until it is decompressed: its blocks have
/// digests of their own, against accidents.
pub struct CompressedShard {
    proof: Arc<Proof>,
    /// Where the payload begins in the domain.
    payload_offset: u64,
    /// Of the payload.
    payload_len: usize,
    /// Of the bytes that the shard is about.
    residue: Residue,
    algorithm: CompressionAlgorithm,
    level: u8,
    block_size: usize,
    heads: Vec<BlockHead>,
    data: Body,
    /// Which of the blocks that are kept as they are have their digest, all where it was just made of
    /// them: nobody can change them since, so that a read need not hash them again.
    checked: Vec<AtomicBool>,
}

/// The encoded blocks.
enum Body {
    /// All of them as they are.
    Shared(Arc<Buffer>),
    Blocks(Vec<Encoded>),
}

/// Properties of a compressed shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompressedInfo {
    /// The one in fact used: none where stored.
    pub algorithm: CompressionAlgorithm,
    /// The one in fact used: 0 where stored.
    pub level: u8,
    /// Of the shard's bytes: the region's, or the packed coefficients.
    pub residue: Residue,
    /// Bytes of the shard: what can be read.
    pub original_size: u64,
    /// What the payload takes: its blocks and their heads. The payload of a region that does not end
    /// at pages is up to 8,190 bytes more than the region.
    pub compressed_size: u64,
    /// The filters of its blocks by their numbers in docs/format.md: bit f is set if a block has filter f, and
    /// bit 0 if one has none. 0 where there is no block.
    pub filters: u32,
}

/// Bytes that a task is worth at least.
const TASK_BYTES: usize = 128 * 1024;

/// What a shard of a call takes beside what it has of blocks, runs and tiles: itself, its draft, the heads of
/// some lists and allocations.
const A_SHARD: usize = size_of::<CompressedShard>() + size_of::<AtlasShard>() + size_of::<Draft<'_>>() + 512;
const A_BLOCK: usize = size_of::<(Attempt, BlockHead, Encoded, Settled, AtomicBool)>() + 32;
const A_TILE: usize = size_of::<(TilePart, (usize, usize), (Digest, Residue), Leaf)>();
/// A buffer that is used again may be so much longer than asked for.
const ROUNDING: usize = 16 * 1024;

/// Some blocks of one shard of a batch.
struct Run {
    shard: usize,
    blocks: Range<usize>,
    /// Their bytes in the payload.
    bytes: Range<usize>,
}

/// How many blocks of `block_size` a run has.
fn blocks_a_run(block_size: usize) -> usize {
    TASK_BYTES.div_ceil(block_size)
}

fn run_count(len: usize, block_size: usize) -> usize {
    len.div_ceil(block_size).div_ceil(blocks_a_run(block_size))
}

/// Cuts blocks of `block_size` over `len` bytes into runs worth a task each.
fn runs(shard: usize, len: usize, block_size: usize) -> impl Iterator<Item = Run> {
    let (count, each) = (len.div_ceil(block_size), blocks_a_run(block_size));
    (0..count).step_by(each).map(move |first| {
        let last = (first + each).min(count);
        Run { shard, blocks: first..last, bytes: first * block_size..(last * block_size).min(len) }
    })
}

/// Names the shard of a batch that failed, in the place of its tile.
fn named(batch: bool, shard: usize) -> impl Fn(AtlasError) -> AtlasError {
    move |error| if batch { error.in_batch(to_u64(shard)) } else { error }
}

/// A shard on its way through compression.
struct Draft<'a> {
    shard: &'a AtlasShard,
    /// What its blocks are tried with.
    plan: Option<Plan>,
    /// Of a block each; none where there is no attempt, or where it was not worth it.
    attempts: Vec<Attempt>,
    /// True if its blocks go through the first pass. The second pass then counts for 1/16 of its bytes of
    /// progress, otherwise for all of them.
    tried: bool,
    settled: Vec<Settled>,
}

/// A block that stays as it is, and a copy of it where the shard is not stored whole.
type Settled = (BlockHead, Option<Encoded>);

impl Draft<'_> {
    /// Whether what the attempts came to is not worth it.
    fn is_stored(&self, config: &CompressionConfig) -> bool {
        let (mut saved, mut size) = (false, coding::HEAD_SIZE * self.attempts.len());
        let blocks = self.shard.payload.chunks(to_usize(config.block_size));
        for (attempt, block) in self.attempts.iter().zip(blocks) {
            size += match attempt {
                Attempt::Done(head, _) => head.len,
                Attempt::Stored => block.len(),
            };
            saved |= matches!(attempt, Attempt::Done(..));
        }
        !saved || !config.is_worth(size, self.shard.payload.len())
    }

    /// Bytes of progress that `bytes` of the payload are in the first pass and in the second, in which what
    /// was tried is at the most hashed.
    fn worth(&self, bytes: &Range<usize>) -> (u64, u64) {
        let second = if self.tried { bytes.end / 16 - bytes.start / 16 } else { bytes.len() };
        (to_u64(bytes.len() - second), to_u64(second))
    }
}

/// Compresses all shards, in their order: all of them or none. `batch`: an error names the shard.
fn compress_all(
    shards: &[&AtlasShard],
    config: &CompressionConfig,
    batch: bool,
    operation: &mut Operation<'_>,
) -> Result<Vec<CompressedShard>> {
    let block_size = config.check()?;
    available()?;
    let (executor, threads) = (operation.executor, operation.threads());
    executor.check()?;
    let plans = auto::plans(config)?;
    let is_tried = |shard: &AtlasShard| {
        !plans.is_empty()
            && !shard.payload.is_empty()
            && to_u64(shard.data().len()) >= config.min_size_threshold
    };
    let (mut count, mut fixed, mut total, mut largest) = (0, 0u64, 0, 0);
    for shard in shards {
        let len = shard.payload.len();
        total += to_u64(len);
        let mut memory = A_SHARD + len.div_ceil(MAX_BLOCK_SIZE) * (A_BLOCK + size_of::<Run>());
        if is_tried(shard) {
            let (blocks, runs) = (len.div_ceil(block_size), run_count(len, block_size));
            memory += len + blocks * A_BLOCK + runs * 2 * size_of::<Run>();
            // Copies of blocks are buffers that can be used again where they are large enough.
            memory += if block_size >= 4 * ROUNDING { blocks * ROUNDING } else { 0 };
            count += runs;
            largest = largest.max(len.min(block_size));
        }
        fixed = fixed.saturating_add(to_u64(memory));
    }
    let footprint = match count {
        0 => 0,
        _ => BlockEncoder::footprint(config, &plans, largest)?,
    };
    let workers = operation.workers(to_u64(count), to_u64(footprint), fixed)?;

    let (mut tasks, mut drafts): (Vec<Run>, Vec<Draft<'_>>) = (try_vec(count)?, try_vec(shards.len())?);
    for (index, shard) in shards.iter().enumerate() {
        let (len, tried) = (shard.payload.len(), is_tried(shard));
        let attempts = try_vec(if tried { len.div_ceil(block_size) } else { 0 })?;
        if tried {
            tasks.extend(runs(index, len, block_size));
        }
        let plan = plans.first().copied().filter(|_| tried);
        drafts.push(Draft { shard, plan, tried, attempts, settled: Vec::new() });
    }
    let mut tracker = operation.tracker(total, to_u64(shards.len()));
    let new_encoder = || BlockEncoder::new(config, &plans, largest);
    if config.is_auto() {
        let tried = drafts.iter_mut().filter(|draft| draft.tried);
        let mut tried: Vec<&mut Draft<'_>> = tried.collect();
        let mut chosen: Vec<Plan> = try_vec(tried.len())?;
        pool::run(
            executor,
            workers,
            to_u64(tried.len()),
            new_encoder,
            |encoder, task| auto::choose(&tried[to_usize(task)].shard.payload, config, &plans, encoder),
            |_, plan| {
                chosen.push(plan);
                tracker.advance(0, 0)
            },
        )?;
        tried.iter_mut().zip(chosen).for_each(|(draft, plan)| draft.plan = Some(plan));
    }
    // What the tasks look at does not change while their results come in.
    let mut chosen: Vec<Option<Plan>> = try_vec(drafts.len())?;
    chosen.extend(drafts.iter().map(|draft| draft.plan));
    pool::run(
        executor,
        workers,
        to_u64(tasks.len()),
        new_encoder,
        |encoder, task| {
            let run = &tasks[to_usize(task)];
            let plan = chosen[run.shard].as_ref().ok_or_else(no_method)?;
            let bytes = &shards[run.shard].payload[run.bytes.clone()];
            let attempts = bytes.chunks(block_size).map(|block| encoder.encode(plan, block));
            attempts.collect::<Result<Vec<_>>>().map_err(named(batch, run.shard))
        },
        |task, attempts| {
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
    settle(&mut drafts, config, batch, (executor, threads), tracker)?;
    let mut compressed = try_vec(drafts.len())?;
    for (index, draft) in drafts.into_iter().enumerate() {
        compressed.push(finish(draft, config).map_err(named(batch, index))?);
    }
    Ok(compressed)
}

/// The second pass: decides what is stored whole, and hashes what stays as it is. Only now is the size of
/// its blocks known.
fn settle(
    drafts: &mut [Draft<'_>],
    config: &CompressionConfig,
    batch: bool,
    (executor, threads): (pool::Executor<'_>, usize),
    mut tracker: Tracker<'_, '_>,
) -> Result<()> {
    let is_left = |attempt: &Attempt| matches!(attempt, Attempt::Stored);
    let block_size = to_usize(config.block_size);
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
    let mut tasks: Vec<Run> = try_vec(count)?;
    for (index, draft) in drafts.iter().enumerate() {
        let block_size = if draft.attempts.is_empty() { MAX_BLOCK_SIZE } else { block_size };
        tasks.extend(runs(index, draft.shard.payload.len(), block_size));
    }
    let mut settled: Vec<Vec<Settled>> = try_vec(drafts.len())?;
    settled.extend(drafts.iter_mut().map(|draft| std::mem::take(&mut draft.settled)));
    pool::run(
        executor,
        threads.min((left / pool::TASK_BYTES).max(1)),
        to_u64(tasks.len()),
        || Ok(()),
        |(), task| {
            let run = &tasks[to_usize(task)];
            let draft = &drafts[run.shard];
            let bytes = &draft.shard.payload[run.bytes.clone()];
            if draft.attempts.is_empty() {
                return Ok(vec![(BlockHead::stored(bytes), None)]);
            }
            let blocks = draft.attempts[run.blocks.clone()].iter().zip(bytes.chunks(block_size));
            let settle = |block: &[u8]| Ok((BlockHead::stored(block), Some(Encoded::copy_of(block)?)));
            let blocks = blocks.filter(|(attempt, _)| is_left(attempt)).map(|(_, block)| settle(block));
            blocks.collect::<Result<Vec<Settled>>>().map_err(named(batch, run.shard))
        },
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

/// A flag a block.
fn flags(blocks: usize, value: bool) -> Result<Vec<AtomicBool>> {
    let mut flags = try_vec(blocks)?;
    flags.resize_with(blocks, || AtomicBool::new(value));
    Ok(flags)
}

fn finish(draft: Draft<'_>, config: &CompressionConfig) -> Result<CompressedShard> {
    let shard = draft.shard;
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
    if draft.attempts.is_empty() {
        compressed.heads = try_vec(settled.len())?;
        compressed.heads.extend(settled.map(|(head, _)| head));
    } else {
        let mut blocks = try_vec(draft.attempts.len())?;
        compressed.heads = try_vec(draft.attempts.len())?;
        for attempt in draft.attempts {
            let (head, bytes) = match attempt {
                Attempt::Done(head, bytes) => (head, bytes),
                Attempt::Stored => match settled.next() {
                    Some((head, Some(bytes))) => (head, bytes),
                    _ => return Err(AtlasError::internal("a block was left out")),
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
    // Their digests were just made of them.
    compressed.checked = flags(compressed.heads.len(), true)?;
    if config.preserve_conservation && compressed.payload_residue() != payload_residue(shard) {
        return Err(AtlasError::conservation("the residues of the blocks do not add up to the shard's"));
    }
    Ok(compressed)
}

/// Of all bytes of the payload, from the residue of what the shard is about.
fn payload_residue(shard: &AtlasShard) -> Residue {
    let within = shard.proof.scope().content(shard.payload.len(), shard.payload_offset);
    shard.residue + Residue::of(&shard.payload[..within.start]) + Residue::of(&shard.payload[within.end..])
}

/// The first shard of a call with a block whose residue was another one, and what is said about it: after
/// everything that is WITNESS.
type Held = Option<(usize, AtlasError)>;

/// Decompresses and verifies all shards, in their order: all of them or none. `batch`: an error names the
/// shard.
fn decompress_all(
    compressed: &[&CompressedShard],
    verify: &VerifyOptions,
    batch: bool,
    operation: &mut Operation<'_>,
) -> Result<Vec<AtlasShard>> {
    available()?;
    let (executor, threads) = (operation.executor, operation.threads());
    executor.check()?;
    let (mut count, mut fixed, mut total, mut largest, mut footprint) = (0, 0u64, 0, 0, 0);
    for (index, shard) in compressed.iter().enumerate() {
        shard.proof.check_trust(verify).map_err(named(batch, index))?;
        let runs = run_count(shard.payload_len, shard.block_size);
        let mut memory = A_SHARD + runs * size_of::<(Run, Mutex<&mut [u8]>)>();
        if shard.is_packed() {
            memory += shard.payload_len + ROUNDING;
            let block_len = shard.block_size.min(shard.payload_len);
            largest = largest.max(block_len);
            footprint = footprint.max(BlockDecoder::footprint(shard.method()?.codec, block_len)?);
        }
        // The tiles are those of a proof that nobody looked at yet, and that may have many.
        let tiles = to_u64(shard.proof.tiles.len()).saturating_mul(to_u64(A_TILE));
        fixed = fixed.saturating_add(to_u64(memory)).saturating_add(tiles);
        total += 2 * to_u64(shard.payload_len);
        count += runs;
    }
    let workers = operation.workers(to_u64(count), to_u64(footprint), fixed)?;

    let mut layouts: Vec<Vec<TilePart>> = try_vec(compressed.len())?;
    let (mut payloads, mut tasks): (Vec<Buffer>, Vec<Run>) = (try_vec(compressed.len())?, try_vec(count)?);
    for (index, shard) in compressed.iter().enumerate() {
        let (parts, _) = shard.proof.layout(shard.payload_len).map_err(named(batch, index))?;
        layouts.push(parts);
        payloads.push(Buffer::new(if shard.is_packed() { shard.payload_len } else { 0 })?);
        tasks.extend(runs(index, shard.payload_len, shard.block_size));
    }
    let mut tracker = operation.tracker(total, to_u64(compressed.len()));
    let mut targets: Vec<Mutex<&mut [u8]>> = try_vec(count)?;
    for (index, (shard, payload)) in compressed.iter().zip(&mut payloads).enumerate() {
        let mut rest = &mut payload[..];
        for run in runs(index, shard.payload_len, shard.block_size) {
            let (target, later) = rest.split_at_mut(if shard.is_packed() { run.bytes.len() } else { 0 });
            targets.push(Mutex::new(target));
            rest = later;
        }
    }
    let digests = verify.digests();
    let mut known: Vec<KnownTiles> = try_vec(compressed.len())?;
    for parts in &layouts {
        let mut of_shard = try_vec(parts.len())?;
        of_shard.resize_with(parts.len(), || None);
        known.push(of_shard);
    }
    let mut held: Held = None;
    pool::run(
        executor,
        workers,
        to_u64(count),
        || Ok(BlockDecoder::new(largest)),
        |decoder, task| {
            let run = &tasks[to_usize(task)];
            let shard = compressed[run.shard];
            let mut target = targets[to_usize(task)].lock().unwrap_or_else(PoisonError::into_inner);
            let mut out = target.chunks_mut(shard.block_size);
            let (mut first, mut witness) = (None, None);
            for block in run.blocks.clone() {
                let decoded = match out.next() {
                    Some(out) => shard.decode(decoder, block, out),
                    None => shard.check(block),
                };
                let decoded = decoded.map_err(named(batch, run.shard))?;
                first = first.or(decoded.unconserved);
                witness = Some((decoded.digest, decoded.residue));
            }
            Ok((first, witness.filter(|_| run.blocks.len() == 1)))
        },
        |task, (unconserved, witness)| {
            let run = &tasks[to_usize(task)];
            held = held.take().or(unconserved.map(|error| (run.shard, error)));
            // The digest of a block that is a tile is its witness: it need not be hashed again.
            if let Some(part) = whole_tile(&layouts[run.shard], &run.bytes, &digests) {
                known[run.shard][part] = witness;
            }
            tracker.advance(to_u64(run.bytes.len()), 0)
        },
    )?;
    drop(targets);

    let mut whole: Vec<Arc<Buffer>> = try_vec(compressed.len())?;
    whole.extend(compressed.iter().zip(payloads).map(|(shard, fresh)| match &shard.data {
        Body::Shared(payload) => Arc::clone(payload),
        Body::Blocks(_) => Arc::new(fresh),
    }));
    verify_all(compressed, &whole, (&layouts, &known), &digests, held, batch, (executor, threads), tracker)
}

/// The part of a payload that a run of blocks is, if that is a whole tile whose witness is a plain digest.
fn whole_tile(parts: &[TilePart], bytes: &Range<usize>, digests: &Digests) -> Option<usize> {
    let part = parts.binary_search_by_key(&bytes.start, |part| part.payload.start).ok()?;
    let found = &parts[part];
    (found.payload == *bytes && found.is_whole() && !digests.keyed()).then_some(part)
}

/// Verifies the payloads against the roots of their shards.
#[expect(clippy::too_many_arguments, reason = "the second half of decompress_all")]
fn verify_all(
    compressed: &[&CompressedShard],
    payloads: &[Arc<Buffer>],
    (layouts, known): (&[Vec<TilePart>], &[KnownTiles]),
    digests: &Digests,
    mut held: Held,
    batch: bool,
    (executor, threads): (pool::Executor<'_>, usize),
    mut tracker: Tracker<'_, '_>,
) -> Result<Vec<AtlasShard>> {
    let bytes: usize = payloads.iter().map(|payload| payload.len()).sum();
    let mut tasks: Vec<(usize, usize)> = try_vec(layouts.iter().map(Vec::len).sum())?;
    let mut hashed: Vec<Vec<(Digest, Residue)>> = try_vec(layouts.len())?;
    for (shard, parts) in layouts.iter().enumerate() {
        tasks.extend((0..parts.len()).map(|part| (shard, part)));
        hashed.push(try_vec(parts.len())?);
    }
    pool::run(
        executor,
        threads.min((bytes / pool::TASK_BYTES).max(1)),
        to_u64(tasks.len()),
        || Ok(()),
        |(), task| {
            let (shard, part) = tasks[to_usize(task)];
            if let Some(hashed) = known[shard][part] {
                return Ok(hashed);
            }
            let (proof, part) = (&compressed[shard].proof, &layouts[shard][part]);
            proof
                .hash_part(digests, part, &payloads[shard][part.payload.clone()])
                .map_err(named(batch, shard))
        },
        |task, done| {
            let (shard, part) = tasks[to_usize(task)];
            hashed[shard].push(done);
            let last = hashed[shard].len() == layouts[shard].len();
            tracker.advance(to_u64(layouts[shard][part].payload.len()), u64::from(last))
        },
    )?;
    let mut shards = try_vec(compressed.len())?;
    // WITNESS of a later shard comes before CONSERVATION of an earlier one.
    let mut first_unconserved = None;
    for (index, (shard, payload)) in compressed.iter().zip(payloads).enumerate() {
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

/// Fails with UNSUPPORTED if DEFLATE is not built in: all of compression needs it, stored shards too.
pub(crate) fn available() -> Result<()> {
    Codec::Deflate.get().map(|_| ())
}

fn no_method() -> AtlasError {
    AtlasError::internal("a block is to be encoded or decoded, and nothing says how")
}

impl AtlasShard {
    /// Compresses the payload; what does not become smaller is stored, which is no error.
    ///
    /// Runs on the library's pool: [`compress_with`](Self::compress_with) takes an operation.
    ///
    /// ```
    /// use atlas_manifold::{CompressionAlgorithm, CompressionConfig, CompressionLevel, decompress_shard};
    /// # use atlas_manifold::{AtlasBoundaryRegion, AtlasProjection, Operation, Source};
    /// # fn main() -> atlas_manifold::Result<()> {
    /// # if !cfg!(feature = "compression") { return Ok(()); }
    /// # let projection = AtlasProjection::linear(&Source::from_vec(vec![7; 100_000]))?;
    /// # let shard = projection.extract_shard(&AtlasBoundaryRegion::new(5, 99_000), &mut Operation::new())?;
    /// let config = CompressionConfig {
    ///     algorithm: CompressionAlgorithm::ConservationAware,
    ///     level: CompressionLevel::Default,
    ///     preserve_conservation: true,
    ///     ..CompressionConfig::default()
    /// };
    /// let compressed = shard.compress(&config)?;
    /// let decompressed = decompress_shard(&compressed, &config)?;
    /// assert_eq!(decompressed.data(), shard.data());
    /// # Ok(())
    /// # }
    /// ```
    pub fn compress(&self, config: &CompressionConfig) -> Result<CompressedShard> {
        self.compress_with(config, &mut Operation::new())
    }

    /// [`compress`](Self::compress) with a pool, progress and a memory limit.
    pub fn compress_with(
        &self,
        config: &CompressionConfig,
        operation: &mut Operation<'_>,
    ) -> Result<CompressedShard> {
        let shards = compress_all(&[self], config, false, operation)?;
        shards.into_iter().next().ok_or_else(|| AtlasError::internal("a batch of one gave no shard"))
    }
}

/// The shard that went in, exactly, or an error.
///
/// For shards without a key, and for self-consistency: [`CompressedShard::decompress`] takes what a
/// verifier trusts. Everything is checked whatever `config` says, which is only looked at for being
/// valid.
pub fn decompress_shard(compressed: &CompressedShard, config: &CompressionConfig) -> Result<AtlasShard> {
    config.check()?;
    compressed.decompress(&VerifyOptions::new(), &mut Operation::new())
}

impl CompressedShard {
    /// The shard that went in, exactly: blocks, residue and the proof against the root are checked.
    ///
    /// FORMAT for a damaged stream, then WITNESS, then CONSERVATION.
    pub fn decompress(&self, verify: &VerifyOptions, operation: &mut Operation<'_>) -> Result<AtlasShard> {
        let shards = decompress_all(&[self], verify, false, operation)?;
        shards.into_iter().next().ok_or_else(|| AtlasError::internal("a batch of one gave no shard"))
    }

    /// Properties of the compressed shard.
    pub fn info(&self) -> CompressedInfo {
        CompressedInfo {
            algorithm: self.algorithm,
            level: self.level,
            residue: self.residue,
            original_size: to_u64(self.content().len()),
            compressed_size: to_u64(self.data_len() + self.heads.len() * coding::HEAD_SIZE),
            filters: self.heads.iter().fold(0, |filters, head| filters | 1 << head.filter.code()),
        }
    }

    /// Bytes of [`AtlasShard::data`] from `offset` on: of the region, or of the packed coefficients.
    /// Only the blocks that they lie in are decompressed, each checked against its own digest; a block
    /// that is kept as it is, and so cannot change, once after [`deserialize`](Self::deserialize), and not
    /// where it was just hashed to compress the shard. OUT_OF_RANGE outside.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let mut done = 0;
        self.read_parts(offset, buffer.len(), |part| {
            buffer[done..done + part.len()].copy_from_slice(part);
            done += part.len();
        })
    }

    /// [`read`](Self::read), part by part.
    pub(crate) fn read_parts(&self, offset: u64, len: usize, mut then: impl FnMut(&[u8])) -> Result<()> {
        available()?;
        let content = self.content();
        let size = to_u64(content.len());
        crate::base::error::check_range(offset, to_u64(len), size, "read of the compressed shard")?;
        if len == 0 {
            return Ok(());
        }
        let start = content.start + to_usize(offset);
        let end = start + len;
        let (mut scratch, mut unconserved): (Option<(BlockDecoder, Buffer)>, _) = (None, None);
        for block in start / self.block_size..end.div_ceil(self.block_size) {
            let bytes = self.block_bytes(block);
            let wanted = start.max(bytes.start) - bytes.start..end.min(bytes.end) - bytes.start;
            if self.heads[block].len == bytes.len() {
                // Written once: the flags of many blocks share a cache line.
                if !self.checked[block].load(Ordering::Relaxed) {
                    match self.check(block)?.unconserved {
                        None => self.checked[block].store(true, Ordering::Relaxed),
                        error => unconserved = unconserved.or(error),
                    }
                }
                then(&self.encoded(block)[wanted]);
                continue;
            }
            let (decoder, buffer) = match &mut scratch {
                Some(scratch) => scratch,
                None => {
                    let size = self.block_size.min(self.payload_len);
                    scratch.insert((BlockDecoder::new(size), Buffer::new(size)?))
                }
            };
            let buffer = &mut buffer[..bytes.len()];
            unconserved = unconserved.or(self.decode(decoder, block, buffer)?.unconserved);
            then(&buffer[wanted]);
        }
        unconserved.map_or(Ok(()), Err)
    }

    /// What the shard is about, in the payload.
    fn content(&self) -> Range<usize> {
        self.proof.scope().content(self.payload_len, self.payload_offset)
    }

    /// Whether it has blocks of its own, and not the payload.
    fn is_packed(&self) -> bool {
        matches!(self.data, Body::Blocks(_))
    }

    /// Method of its blocks; an error if they are the payload.
    fn method(&self) -> Result<Method> {
        self.algorithm.method().ok_or_else(no_method)
    }

    fn data_len(&self) -> usize {
        self.heads.iter().map(|head| head.len).sum()
    }

    fn payload_residue(&self) -> Residue {
        self.heads.iter().map(|head| head.residue).sum()
    }

    /// The bytes of a block in the payload.
    fn block_bytes(&self, block: usize) -> Range<usize> {
        let start = block * self.block_size;
        start..(start + self.block_size).min(self.payload_len)
    }

    fn encoded(&self, block: usize) -> &[u8] {
        match &self.data {
            Body::Shared(payload) => &payload[self.block_bytes(block)],
            Body::Blocks(blocks) => &blocks[block],
        }
    }

    /// Checks a block that is kept as it is, and gives what [`block::check`] gives.
    fn check(&self, block: usize) -> Result<Decoded> {
        self.placed(block, block::check(&self.heads[block], self.encoded(block)))
    }

    /// Fills `out` with a block, checked.
    fn decode(&self, decoder: &mut BlockDecoder, block: usize, out: &mut [u8]) -> Result<Decoded> {
        let method = self.method()?;
        self.placed(block, decoder.decode(method, &self.heads[block], self.encoded(block), out))
    }

    /// The last step of decompression: what was hashed must lead to the root.
    fn conclude(
        &self,
        digests: &Digests,
        layout: &[TilePart],
        payload: &Arc<Buffer>,
        hashed: &[(Digest, Residue)],
        unconserved: Option<AtlasError>,
    ) -> Result<AtlasShard> {
        let (proof, payload_offset) = (Arc::clone(&self.proof), self.payload_offset);
        let residue = proof.conclude(digests, layout, payload_offset, payload, hashed);
        let residue = match (residue, unconserved) {
            (Err(error), Some(unconserved)) if error.kind() == ErrorKind::Conservation => Err(unconserved),
            (Ok(_), Some(unconserved)) => Err(unconserved),
            (residue, _) => residue,
        }?;
        if residue != self.residue {
            return Err(AtlasError::conservation(format!(
                "the shard sums to {residue} mod 96 where the compressed one says {}",
                self.residue
            ))
            .at_range(proof.region.offset, proof.region.length));
        }
        Ok(AtlasShard { proof, payload: Arc::clone(payload), payload_offset, residue })
    }

    fn placed(&self, block: usize, checked: Result<Decoded>) -> Result<Decoded> {
        match checked {
            Ok(Decoded { digest, residue, unconserved }) => {
                Ok(Decoded { digest, residue, unconserved: unconserved.map(self.place(block)) })
            }
            Err(error) => Err(self.place(block)(error)),
        }
    }

    /// Says where in the domain a block lies.
    fn place(&self, block: usize) -> impl Fn(AtlasError) -> AtlasError {
        let bytes = self.block_bytes(block);
        let region = self.proof.region;
        let (offset, len) = match self.proof.scope().data_classes {
            0 => (self.payload_offset.saturating_add(to_u64(bytes.start)), to_u64(bytes.len())),
            // Every class has a part of every byte.
            _ => (region.offset, region.length),
        };
        move |error| error.at_range(offset, len)
    }
}

impl std::fmt::Debug for CompressedShard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CompressedShard").field(&self.info()).finish()
    }
}

#[cfg(test)]
#[cfg(feature = "compression")]
mod tests;
