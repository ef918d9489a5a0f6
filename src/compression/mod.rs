//! Compressed shards: lossless, bounded, verified.
//!
//! The payload of a shard is divided into independent blocks. A block is encoded by a codec (`codec/`),
//! either directly or split into byte planes (`filter/`), or it is stored. The head of a block has its digest
//! and residue, so that a part can be read and verified alone. A payload that does not become smaller is not
//! copied: a stored shard shares the payload of the shard from which it was made.
//!
//! ```text
//! compress:    each block: looks like noise? store it : filter, residue, codec, and back again to compare
//!              nothing or too little gained: the shard is stored whole; hash the stored blocks
//! decompress:  each block: codec, residue, merge, digest; then the proof of the shard, as for any shard
//! ```

// Only the lanes of the filter use unsafe code.
#![deny(unsafe_code)]

mod auto;
mod batch;
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
use crate::hash::digest::{Digest, Digests};
use crate::layer2::Residue;
use crate::shard::{AtlasShard, Proof, TilePart, VerifyOptions};
use batch::{compress_all, decompress_all};
use block::{BlockDecoder, BlockHead, Decoded, Encoded};
use codec::Codec;
use method::Method;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shard with a compressed payload, or with a stored payload if compression would not make it smaller.
///
/// In contrast to an [`AtlasShard`], a compressed shard is verified against its root only when it is
/// decompressed. Its blocks have digests of their own, which detect accidental damage.
///
/// ```
/// use atlas_manifold::{
///     AtlasBoundaryRegion, AtlasProjection, CompressedShard, CompressionConfig, Limits, Operation, Source,
///     VerifyOptions,
/// };
/// # if !cfg!(feature = "compression") { return Ok(()); }
/// let operation = &mut Operation::new();
/// let projection = AtlasProjection::linear(&Source::from_vec(vec![1; 2_000_000]))?;
/// let shard = projection.extract_shard(&AtlasBoundaryRegion::new(5_000, 900_000), operation)?;
/// let bytes = shard.compress(&CompressionConfig::default())?.serialize()?;
///
/// let trust = VerifyOptions::new().with_root(projection.root(operation)?);
/// let compressed = CompressedShard::deserialize(&bytes, &Limits::default())?;
/// let mut part = [0; 10];
/// compressed.read(5_000, &mut part)?; // decompresses one block
/// assert_eq!(part, [1; 10]);
/// assert_eq!(compressed.decompress(&trust, operation)?.data(), shard.data());
/// # Ok::<(), atlas_manifold::AtlasError>(())
/// ```
pub struct CompressedShard {
    proof: Arc<Proof>,
    /// Offset of the payload in the domain.
    payload_offset: u64,
    /// Number of bytes of the payload.
    payload_len: usize,
    /// Residue of the shard's content, the bytes that can be read.
    residue: Residue,
    algorithm: CompressionAlgorithm,
    level: u8,
    block_size: usize,
    heads: Vec<BlockHead>,
    data: Body,
    /// True for each stored block that was checked. A block whose digest was just computed counts as checked,
    /// because its bytes cannot change, so that a read need not hash them again.
    checked: Vec<AtomicBool>,
}

/// Bytes of a compressed shard: encoded blocks, or the whole payload.
enum Body {
    /// The payload of a stored shard, which other shards may share.
    Shared(Arc<Buffer>),
    Blocks(Vec<Encoded>),
}

/// Properties of a compressed shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompressedInfo {
    /// Algorithm of the blocks, `None` if the shard is stored.
    pub algorithm: CompressionAlgorithm,
    /// Level of the blocks, 0 if the shard is stored.
    pub level: u8,
    /// Residue of the shard's content: the region's bytes, or the packed coefficients.
    pub residue: Residue,
    /// Number of bytes of the shard's content, which can be read.
    pub original_size: u64,
    /// Number of bytes of the blocks, encoded or stored, and of their heads. It may exceed `original_size`: the blocks
    /// cover the payload's whole pages, up to 8,190 bytes more than the region.
    pub compressed_size: u64,
    /// Filters of the shard's blocks by their numbers in docs/format.md: bit f is set if a block has filter f,
    /// and bit 0 if a block has none. 0 if there is no block.
    pub filters: u32,
}

/// Fails with UNSUPPORTED if DEFLATE is not built in. All compressed shards need it, even stored ones.
pub(crate) fn available() -> Result<()> {
    Codec::Deflate.get().map(|_| ())
}

fn no_method() -> AtlasError {
    AtlasError::internal(
        "a defect of the library, please report it: the blocks of a shard have no method to encode or \
         decode them",
    )
}

/// Returns a flag for each of `blocks` blocks, all with this value.
fn flags(blocks: usize, value: bool) -> Result<Vec<AtomicBool>> {
    let mut flags = try_vec(blocks)?;
    flags.resize_with(blocks, || AtomicBool::new(value));
    Ok(flags)
}

impl AtlasShard {
    /// Compresses the payload. A payload that does not become smaller is stored, which is no error.
    ///
    /// Runs on the library's pool; [`compress_with`](Self::compress_with) accepts an operation.
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

    /// Compresses like [`compress`](Self::compress), with a pool, progress and a memory limit.
    pub fn compress_with(
        &self,
        config: &CompressionConfig,
        operation: &mut Operation<'_>,
    ) -> Result<CompressedShard> {
        let shards = compress_all(&[self], config, false, operation)?;
        shards.into_iter().next().ok_or_else(|| {
            AtlasError::internal(
                "a defect of the library, please report it: a batch of one shard returned none",
            )
        })
    }
}

/// Restores the original shard exactly, or fails.
///
/// Works for shards without a key. Checks the shard against the root that it names, and does not compare this root with
/// a trusted one; [`CompressedShard::decompress`] accepts a key and a trusted root. `config` must be valid, but does
/// not influence the checks.
pub fn decompress_shard(compressed: &CompressedShard, config: &CompressionConfig) -> Result<AtlasShard> {
    config.check()?;
    compressed.decompress(&VerifyOptions::new(), &mut Operation::new())
}

impl CompressedShard {
    /// Restores the original shard exactly: blocks, residue and the proof against the root are checked.
    ///
    /// Fails with FORMAT for a damaged stream, with WITNESS for a wrong digest or root, and with CONSERVATION for a
    /// wrong residue only if neither occurs.
    pub fn decompress(&self, verify: &VerifyOptions, operation: &mut Operation<'_>) -> Result<AtlasShard> {
        let shards = decompress_all(&[self], verify, false, operation)?;
        shards.into_iter().next().ok_or_else(|| {
            AtlasError::internal(
                "a defect of the library, please report it: a batch of one shard returned none",
            )
        })
    }

    /// Returns the properties of the compressed shard.
    pub fn info(&self) -> CompressedInfo {
        CompressedInfo {
            algorithm: self.algorithm,
            level: self.level,
            residue: self.residue,
            original_size: to_u64(self.content().len()),
            // The heads count as part of the compressed size.
            compressed_size: to_u64(self.data_len() + self.heads.len() * coding::HEAD_SIZE),
            filters: self.heads.iter().fold(0, |filters, head| filters | 1 << head.filter.code()),
        }
    }

    /// Reads bytes of [`AtlasShard::data`] from `offset` on: of the region, or of the packed coefficients. Decompresses
    /// only the blocks that contain them, and checks each against its own digest. A stored block, which cannot change,
    /// is checked only by its first read after [`deserialize`](Self::deserialize), and by no read if
    /// [`compress`](AtlasShard::compress) made the shard. Fails with OUT_OF_RANGE outside the shard.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let mut done = 0;
        self.read_parts(offset, buffer.len(), |part| {
            buffer[done..done + part.len()].copy_from_slice(part);
            done += part.len();
        })
    }

    /// Reads like [`read`](Self::read), and passes the bytes to `then` part by part, a block or less at a time.
    pub(crate) fn read_parts(&self, offset: u64, len: usize, mut then: impl FnMut(&[u8])) -> Result<()> {
        available()?;
        let content = self.content();
        let size = to_u64(content.len());
        crate::base::error::check_range(offset, to_u64(len), size, "read of the compressed shard")?;
        if len == 0 {
            return Ok(());
        }
        // Offsets of the content become offsets of the payload.
        let start = content.start + to_usize(offset);
        let end = start + len;
        let (mut scratch, mut unconserved): (Option<(BlockDecoder, Buffer)>, _) = (None, None);
        // Every block that the range touches.
        for block in start / self.block_size..end.div_ceil(self.block_size) {
            let bytes = self.block_bytes(block);
            let wanted = start.max(bytes.start) - bytes.start..end.min(bytes.end) - bytes.start;
            if self.heads[block].len == bytes.len() {
                // The flag is written only once, because the flags of many blocks share a cache line.
                if !self.checked[block].load(Ordering::Relaxed) {
                    match self.check(block)?.unconserved {
                        None => self.checked[block].store(true, Ordering::Relaxed),
                        error => unconserved = unconserved.or(error),
                    }
                }
                then(&self.encoded(block)[wanted]);
                continue;
            }
            // The decoder is made for the first encoded block.
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
        // CONSERVATION is reported after the digests of all blocks were checked.
        unconserved.map_or(Ok(()), Err)
    }

    /// Returns the range in the payload of the shard's content, which need not begin or end at a page.
    fn content(&self) -> Range<usize> {
        self.proof.scope().content(self.payload_len, self.payload_offset)
    }

    /// Returns true if the shard has encoded blocks, false if it is stored.
    fn is_packed(&self) -> bool {
        matches!(self.data, Body::Blocks(_))
    }

    /// Returns the method (filters and codec) of the encoded blocks. Fails with INTERNAL if the shard is stored.
    fn method(&self) -> Result<Method> {
        self.algorithm.method().ok_or_else(no_method)
    }

    fn data_len(&self) -> usize {
        self.heads.iter().map(|head| head.len).sum()
    }

    fn payload_residue(&self) -> Residue {
        self.heads.iter().map(|head| head.residue).sum()
    }

    /// Returns the range in the payload of the block with this index.
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

    /// Checks the digest and the residue of a stored block, as [`block::check`] does.
    fn check(&self, block: usize) -> Result<Decoded> {
        self.placed(block, block::check(&self.heads[block], self.encoded(block)))
    }

    /// Decodes the block with this index to `out`, and checks its digest and residue.
    fn decode(&self, decoder: &mut BlockDecoder, block: usize, out: &mut [u8]) -> Result<Decoded> {
        let method = self.method()?;
        self.placed(block, decoder.decode(method, &self.heads[block], self.encoded(block), out))
    }

    /// Performs the last step of decompression: checks that the digests in `hashed` lead to the root, and
    /// returns the shard. `unconserved` is the CONSERVATION error of a block, which is reported unless the proof
    /// fails with WITNESS.
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
        // A wrong block explains a wrong sum of the shard, so that the error of the block is reported.
        let residue = match (residue, unconserved) {
            (Err(error), Some(unconserved)) if error.kind() == ErrorKind::Conservation => Err(unconserved),
            (Ok(_), Some(unconserved)) => Err(unconserved),
            (residue, _) => residue,
        }?;
        if residue != self.residue {
            return Err(AtlasError::conservation(format!(
                "damaged compressed shard: its decompressed bytes sum to {residue} mod 96 instead of the \
                 {} that it states",
                self.residue
            ))
            .at_range(proof.region.offset, proof.region.length));
        }
        Ok(AtlasShard { proof, payload: Arc::clone(payload), payload_offset, residue })
    }

    fn placed(&self, block: usize, checked: Result<Decoded>) -> Result<Decoded> {
        match checked {
            // Errors of both kinds get the block's place in the domain.
            Ok(Decoded { digest, residue, unconserved }) => {
                Ok(Decoded { digest, residue, unconserved: unconserved.map(self.place(block)) })
            }
            Err(error) => Err(self.place(block)(error)),
        }
    }

    /// Returns a function that adds to an error the range in the domain of the block with this index.
    fn place(&self, block: usize) -> impl Fn(AtlasError) -> AtlasError {
        let bytes = self.block_bytes(block);
        let region = self.proof.region;
        let (offset, len) = match self.proof.scope().data_classes {
            0 => (self.payload_offset.saturating_add(to_u64(bytes.start)), to_u64(bytes.len())),
            // Every class depends on every byte of the region.
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
