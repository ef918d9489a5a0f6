//! Compressed shards: lossless, bounded, verified.
//!
//! The payload of a shard is cut into blocks that know nothing of one another. A block is deflated,
//! or permuted into byte planes first, or stays as it is; its head carries digest and residue, so
//! that a part can be read and trusted alone. What does not become smaller is not copied: a shard
//! that is stored whole shares the payload of the one that it was made of.
//!
//! ```text
//! compress:    each block: looks like noise? stays : filter, residue, DEFLATE, and back again to compare
//!              nothing or too little gained: the shard is stored whole; hash what stays
//! decompress:  each block: INFLATE, residue, merge, digest; then the proof of the shard, as ever
//! ```

#![forbid(unsafe_code)]

mod blocks;
mod config;
mod deflate;
mod filter;
mod format;
mod manager;

pub use config::{CompressionAlgorithm, CompressionConfig, CompressionLevel};
pub use manager::{CompressionManager, CompressionStats};

use crate::buffer::{Buffer, try_vec};
use crate::digest::Digest;
use crate::error::{AtlasError, Result};
use crate::geometry::{to_u64, to_usize};
use crate::layer2::Residue;
use crate::operation::{Operation, Tracker};
use crate::pool;
use crate::shard::{AtlasShard, Proof, VerifyOptions};
use blocks::{Attempt, BlockHead, Decoder, Encoder};
use config::MAX_BLOCK_SIZE;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
    data: Data,
    /// Which of the blocks that are kept as they are had their digest when they were last looked at:
    /// nobody can change them since, so that a read need not hash them again.
    checked: Vec<AtomicBool>,
}

/// The encoded blocks.
enum Data {
    /// All of them as they are.
    Shared(Arc<Buffer>),
    Blocks(Vec<Vec<u8>>),
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
}

/// Bytes that a task is worth at least.
const TASK_BYTES: usize = 128 * 1024;

/// Some blocks of one shard of a batch.
struct Run {
    shard: usize,
    blocks: Range<usize>,
    /// Their bytes in the payload.
    bytes: Range<usize>,
}

/// Cuts blocks of `block_size` over `len` bytes into runs worth a task each.
fn runs(shard: usize, len: usize, block_size: usize) -> impl Iterator<Item = Run> {
    let (count, each) = (len.div_ceil(block_size), TASK_BYTES.div_ceil(block_size));
    (0..count).step_by(each).map(move |first| {
        let last = (first + each).min(count);
        Run { shard, blocks: first..last, bytes: first * block_size..(last * block_size).min(len) }
    })
}

/// Names the shard of a batch that failed.
fn of_batch(count: usize, shard: usize) -> impl Fn(AtlasError) -> AtlasError {
    move |error| if count > 1 { error.at_index(to_u64(shard)) } else { error }
}

/// A shard on its way through compression.
struct Draft<'a> {
    shard: &'a AtlasShard,
    /// Whether there is an attempt at all.
    tried: bool,
    attempts: Vec<Attempt>,
    /// Bytes of work that progress still expects.
    left: u64,
}

impl Draft<'_> {
    fn is_stored(&self, config: &CompressionConfig) -> bool {
        let len = self.shard.payload.len();
        let packed = |attempt: &Attempt| match attempt {
            Attempt::Packed(head, _) => Some(head.len),
            Attempt::Stored => None,
        };
        let saved = self.attempts.iter().filter_map(packed).count();
        let size: usize = self.attempts.iter().filter_map(packed).sum();
        let block = to_usize(config.block_size);
        let stored: usize = runs_of_stored(&self.attempts, len, block).map(|(_, bytes)| bytes.len()).sum();
        saved == 0 || !config.is_worth(size + stored + format::HEAD_SIZE * self.attempts.len(), len)
    }

    fn advance(&mut self, tracker: &mut Tracker<'_, '_>, bytes: usize, chunks: u64) -> Result<()> {
        let bytes = to_u64(bytes).min(self.left);
        self.left -= bytes;
        tracker.advance(bytes, chunks)
    }
}

/// The blocks that stay as they are, and their bytes.
fn runs_of_stored(
    attempts: &[Attempt],
    len: usize,
    block: usize,
) -> impl Iterator<Item = (usize, Range<usize>)> {
    let stored = attempts.iter().enumerate().filter(|(_, attempt)| matches!(attempt, Attempt::Stored));
    stored.map(move |(index, _)| (index, index * block..((index + 1) * block).min(len)))
}

/// Compresses all shards, in their order: all of them or none.
fn compress_all(
    shards: &[&AtlasShard],
    config: &CompressionConfig,
    operation: &mut Operation<'_>,
) -> Result<Vec<CompressedShard>> {
    let block_size = config.check()?;
    available()?;
    let executor = operation.executor;
    executor.check()?;
    let mut drafts: Vec<Draft<'_>> = try_vec(shards.len())?;
    let (mut tasks, mut result) = (Vec::new(), 0u64);
    for (index, shard) in shards.iter().enumerate() {
        let len = shard.payload.len();
        let wanted = config.algorithm != CompressionAlgorithm::None && config.level.value() > 0;
        let tried = wanted && len > 0 && to_u64(shard.data().len()) >= config.min_size_threshold;
        result += 512 + to_u64(len / block_size + 1) * 96;
        if tried {
            result += to_u64(len);
            tasks.extend(runs(index, len, block_size));
        }
        let left = to_u64(len) * if tried { 2 } else { 1 };
        drafts.push(Draft { shard, tried, attempts: Vec::new(), left });
    }
    let footprint = Encoder::footprint(block_size) + Decoder::footprint(block_size);
    let workers = operation.workers(
        to_u64(tasks.len()),
        if tasks.is_empty() { 0 } else { to_u64(footprint) },
        result,
    )?;
    let total = drafts.iter().map(|draft| draft.left).sum();
    let mut tracker = operation.tracker(total, to_u64(shards.len()));

    pool::run(
        executor,
        workers,
        to_u64(tasks.len()),
        || Encoder::new(block_size, config.verify_integrity),
        |encoder, task| {
            let run = &tasks[to_usize(task)];
            let bytes = &shards[run.shard].payload[run.bytes.clone()];
            let attempts = bytes.chunks(block_size).map(|block| encoder.encode(config, block));
            attempts.collect::<Result<Vec<_>>>().map_err(of_batch(shards.len(), run.shard))
        },
        |task, attempts| {
            let run = &tasks[to_usize(task)];
            let draft = &mut drafts[run.shard];
            let last = run.bytes.end == draft.shard.payload.len();
            for (attempt, block) in
                attempts.iter().zip(shards[run.shard].payload[run.bytes.clone()].chunks(block_size))
            {
                let times = if matches!(attempt, Attempt::Packed(..)) { 2 } else { 1 };
                draft.advance(&mut tracker, times * block.len(), 0)?;
            }
            draft.attempts.extend(attempts);
            if last { tracker.advance(0, 1) } else { Ok(()) }
        },
    )?;

    // What stays as it is: hashed only now, when the size of its blocks is known.
    let mut pieces: Vec<Run> = Vec::new();
    for (index, draft) in drafts.iter_mut().enumerate() {
        let len = draft.shard.payload.len();
        if draft.tried && draft.is_stored(config) {
            draft.attempts = Vec::new();
        }
        if draft.attempts.is_empty() {
            pieces.extend(runs(index, len, MAX_BLOCK_SIZE));
        } else {
            let stored = runs_of_stored(&draft.attempts, len, block_size);
            pieces.extend(stored.map(|(block, bytes)| Run { shard: index, blocks: block..block + 1, bytes }));
        }
    }
    let mut whole: Vec<Vec<BlockHead>> = drafts.iter().map(|_| Vec::new()).collect();
    let bytes: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
    let worth = (bytes / pool::TASK_BYTES).max(1);
    pool::run(
        executor,
        executor.threads().min(worth),
        to_u64(pieces.len()),
        || Ok(()),
        |(), task| {
            let piece = &pieces[to_usize(task)];
            Ok(BlockHead::stored(&shards[piece.shard].payload[piece.bytes.clone()]))
        },
        |task, head| {
            let piece = &pieces[to_usize(task)];
            let draft = &mut drafts[piece.shard];
            let last = !draft.tried && piece.bytes.end == draft.shard.payload.len();
            match draft.attempts.get_mut(piece.blocks.start) {
                Some(attempt) => {
                    let block = &draft.shard.payload[piece.bytes.clone()];
                    let mut copy = try_vec(block.len())?;
                    copy.extend_from_slice(block);
                    *attempt = Attempt::Packed(head, copy);
                }
                None => whole[piece.shard].push(head),
            }
            draft.advance(&mut tracker, piece.bytes.len(), u64::from(last))
        },
    )?;
    tracker.finish()?;
    drafts.into_iter().zip(whole).map(|(draft, heads)| finish(draft, heads, config)).collect()
}

/// A flag a block.
fn flags(blocks: usize, value: bool) -> Result<Vec<AtomicBool>> {
    let mut flags = try_vec(blocks)?;
    flags.resize_with(blocks, || AtomicBool::new(value));
    Ok(flags)
}

fn finish(draft: Draft<'_>, heads: Vec<BlockHead>, config: &CompressionConfig) -> Result<CompressedShard> {
    let shard = draft.shard;
    let mut compressed = CompressedShard {
        proof: Arc::clone(&shard.proof),
        payload_offset: shard.payload_offset,
        payload_len: shard.payload.len(),
        residue: shard.residue,
        algorithm: CompressionAlgorithm::None,
        level: 0,
        block_size: MAX_BLOCK_SIZE,
        heads,
        data: Data::Shared(Arc::clone(&shard.payload)),
        checked: Vec::new(),
    };
    if !draft.attempts.is_empty() {
        let mut blocks = try_vec(draft.attempts.len())?;
        compressed.heads = try_vec(draft.attempts.len())?;
        for attempt in draft.attempts {
            let Attempt::Packed(head, bytes) = attempt else {
                return Err(AtlasError::internal("a block was left out"));
            };
            compressed.heads.push(head);
            blocks.push(bytes);
        }
        compressed.algorithm = config.algorithm;
        compressed.level = config.level.value();
        compressed.block_size = to_usize(config.block_size);
        compressed.data = Data::Blocks(blocks);
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

/// Decompresses and verifies all shards, in their order: all of them or none.
fn decompress_all(
    compressed: &[&CompressedShard],
    verify: &VerifyOptions,
    operation: &mut Operation<'_>,
) -> Result<Vec<AtlasShard>> {
    available()?;
    let executor = operation.executor;
    executor.check()?;
    let count = compressed.len();
    let (mut layouts, mut total, mut result) = (try_vec(count)?, 0u64, 0u64);
    for (index, shard) in compressed.iter().enumerate() {
        shard.proof.check_trust(verify).map_err(of_batch(count, index))?;
        let (parts, _) = shard.proof.parts(shard.payload_len).map_err(of_batch(count, index))?;
        total += 2 * to_u64(shard.payload_len);
        result += 512 + to_u64(parts.len()) * 128 + to_u64(shard.fresh_len());
        layouts.push(parts);
    }
    let block_size = compressed.iter().filter(|shard| shard.fresh_len() > 0).map(|shard| shard.block_size);
    let block_size = block_size.max().unwrap_or(0);
    let mut payloads = try_vec(count)?;
    let footprint = if block_size > 0 { Decoder::footprint(block_size) } else { 0 };
    let tasks: Vec<Run> = compressed
        .iter()
        .enumerate()
        .flat_map(|(index, shard)| runs(index, shard.payload_len, shard.block_size))
        .collect();
    let workers = operation.workers(to_u64(tasks.len()), to_u64(footprint), result)?;
    for shard in compressed {
        payloads.push(Buffer::new(shard.fresh_len())?);
    }
    let mut tracker = operation.tracker(total, to_u64(count));

    let mut targets: Vec<Mutex<&mut [u8]>> = try_vec(tasks.len())?;
    for (index, (shard, payload)) in compressed.iter().zip(&mut payloads).enumerate() {
        let mut rest = &mut payload[..];
        for run in runs(index, shard.payload_len, shard.block_size) {
            let (target, later) = rest.split_at_mut(if shard.fresh_len() > 0 { run.bytes.len() } else { 0 });
            targets.push(Mutex::new(target));
            rest = later;
        }
    }
    pool::run(
        executor,
        workers,
        to_u64(tasks.len()),
        || if block_size > 0 { Decoder::new(block_size).map(Some) } else { Ok(None) },
        |decoder, task| {
            let run = &tasks[to_usize(task)];
            let shard = compressed[run.shard];
            let mut target = targets[to_usize(task)].lock().unwrap_or_else(PoisonError::into_inner);
            let mut out = target.chunks_mut(shard.block_size);
            for block in run.blocks.clone() {
                match (out.next(), &mut *decoder) {
                    (Some(out), Some(decoder)) => shard.decode(decoder, block, out),
                    _ => shard.stored(block).map(|_| ()),
                }
                .map_err(of_batch(count, run.shard))?;
            }
            Ok(run.bytes.len())
        },
        |_, bytes| tracker.advance(to_u64(bytes), 0),
    )?;
    drop(targets);

    let payloads: Vec<Arc<Buffer>> = compressed
        .iter()
        .zip(payloads)
        .map(|(shard, fresh)| match &shard.data {
            Data::Shared(payload) => Arc::clone(payload),
            Data::Blocks(_) => Arc::new(fresh),
        })
        .collect();
    verify_all(compressed, &payloads, &layouts, verify, operation_parts(executor, total), tracker)
}

/// What the second half of decompression needs of the operation.
fn operation_parts(executor: pool::Executor<'_>, bytes: u64) -> (pool::Executor<'_>, usize) {
    let worth = usize::try_from(bytes / 2 / to_u64(pool::TASK_BYTES)).unwrap_or(usize::MAX).max(1);
    (executor, executor.threads().min(worth))
}

/// Verifies the payloads against the roots of their shards.
fn verify_all(
    compressed: &[&CompressedShard],
    payloads: &[Arc<Buffer>],
    layouts: &[Vec<crate::shard::TilePart>],
    verify: &VerifyOptions,
    (executor, workers): (pool::Executor<'_>, usize),
    mut tracker: Tracker<'_, '_>,
) -> Result<Vec<AtlasShard>> {
    let digests = verify.digests();
    let count = compressed.len();
    let tasks: Vec<(usize, usize)> = layouts
        .iter()
        .enumerate()
        .flat_map(|(shard, parts)| (0..parts.len()).map(move |part| (shard, part)))
        .collect();
    let mut hashed: Vec<Vec<(Digest, Residue)>> = Vec::new();
    hashed.resize_with(count, Vec::new);
    pool::run(
        executor,
        workers,
        to_u64(tasks.len()),
        || Ok(()),
        |(), task| {
            let (shard, part) = tasks[to_usize(task)];
            let (proof, part) = (&compressed[shard].proof, &layouts[shard][part]);
            proof
                .hash_part(&digests, part, &payloads[shard][part.payload.clone()])
                .map_err(of_batch(count, shard))
        },
        |task, done| {
            let (shard, part) = tasks[to_usize(task)];
            hashed[shard].push(done);
            let last = hashed[shard].len() == layouts[shard].len();
            tracker.advance(to_u64(layouts[shard][part].payload.len()), u64::from(last))
        },
    )?;
    let mut shards = try_vec(count)?;
    for (index, (shard, payload)) in compressed.iter().zip(payloads).enumerate() {
        let (proof, payload_offset) = (&shard.proof, shard.payload_offset);
        let residue = proof
            .conclude(&digests, &layouts[index], payload_offset, payload, &hashed[index])
            .map_err(of_batch(count, index))?;
        if residue != shard.residue {
            let error = AtlasError::conservation(format!(
                "the shard sums to {residue} mod 96 where the compressed one says {}",
                shard.residue
            ));
            return Err(of_batch(count, index)(error.at_range(proof.region.offset, proof.region.length)));
        }
        let (proof, payload) = (Arc::clone(proof), Arc::clone(payload));
        shards.push(AtlasShard { proof, payload, payload_offset, residue });
    }
    tracker.finish()?;
    Ok(shards)
}

/// UNSUPPORTED without the feature.
pub(crate) fn available() -> Result<()> {
    if cfg!(feature = "compression") {
        return Ok(());
    }
    Err(AtlasError::unsupported("compression is not built in"))
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
        let shards = compress_all(&[self], config, operation)?;
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
        let shards = decompress_all(&[self], verify, operation)?;
        shards.into_iter().next().ok_or_else(|| AtlasError::internal("a batch of one gave no shard"))
    }

    /// Properties of the compressed shard.
    pub fn info(&self) -> CompressedInfo {
        CompressedInfo {
            algorithm: self.algorithm,
            level: self.level,
            residue: self.residue,
            original_size: to_u64(self.content().len()),
            compressed_size: to_u64(self.data_len() + self.heads.len() * format::HEAD_SIZE),
        }
    }

    /// Bytes of [`AtlasShard::data`] from `offset` on: of the region, or of the packed coefficients.
    /// Only the blocks that they lie in are decompressed, each checked against its own digest; a block
    /// that is kept as it is, and so cannot change, once. OUT_OF_RANGE outside.
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
        crate::error::check_range(offset, to_u64(len), size, "read of the compressed shard")?;
        if len == 0 {
            return Ok(());
        }
        let start = content.start + to_usize(offset);
        let end = start + len;
        let mut scratch: Option<(Decoder, Buffer)> = None;
        for block in start / self.block_size..end.div_ceil(self.block_size) {
            let bytes = self.block_bytes(block);
            let wanted = start.max(bytes.start) - bytes.start..end.min(bytes.end) - bytes.start;
            if self.heads[block].len == bytes.len() {
                let bytes = match self.checked[block].load(Ordering::Relaxed) {
                    true => self.encoded(block),
                    false => self.stored(block)?,
                };
                self.checked[block].store(true, Ordering::Relaxed);
                then(&bytes[wanted]);
                continue;
            }
            let (decoder, buffer) = match &mut scratch {
                Some(scratch) => scratch,
                None => scratch.insert((Decoder::new(self.block_size)?, Buffer::new(self.block_size)?)),
            };
            let buffer = &mut buffer[..bytes.len()];
            self.decode(decoder, block, buffer)?;
            then(&buffer[wanted]);
        }
        Ok(())
    }

    /// What the shard is about, in the payload.
    fn content(&self) -> Range<usize> {
        self.proof.scope().content(self.payload_len, self.payload_offset)
    }

    /// Bytes that the payload takes beside what is there already.
    fn fresh_len(&self) -> usize {
        if matches!(self.data, Data::Shared(_)) { 0 } else { self.payload_len }
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
            Data::Shared(payload) => &payload[self.block_bytes(block)],
            Data::Blocks(blocks) => &blocks[block],
        }
    }

    /// A block that is kept as it is, checked.
    fn stored(&self, block: usize) -> Result<&[u8]> {
        let (head, bytes) = (&self.heads[block], self.encoded(block));
        let conserved = Residue::of(bytes) == head.residue;
        blocks::check(head, bytes, conserved).map_err(self.place(block)).map(|()| bytes)
    }

    /// Fills `out` with a block, checked.
    fn decode(&self, decoder: &mut Decoder, block: usize, out: &mut [u8]) -> Result<()> {
        decoder.decode(&self.heads[block], self.encoded(block), out).map_err(self.place(block))
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
