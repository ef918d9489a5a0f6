//! Serialised compressed shards (docs/format.md).

use super::block::{BlockHead, CHECK_SIZE, Encoded};
use super::config::{MAX_BLOCK_SIZE, MIN_BLOCK_SIZE};
use super::filter::Filter;
use super::method::CompressionAlgorithm;
use super::method::Method;
use super::{Body, CompressedShard, available, flags};
use crate::base::buffer::{Buffer, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::units::to_u64;
use crate::hash::record::{Kind, Reader, Writer, encoded_size};
use crate::layer2::Residue;
use crate::shard::{Limits, PROOF_RECORDS, proof_lengths, read_proof, within, write_proof};
use std::sync::Arc;

const COMPRESSION: u16 = 16;
const DATA: u16 = 17;

/// Bytes of COMPRESSION before the heads of the blocks.
pub(super) const FIXED_SIZE: usize = 16;
/// Bytes of the head of a block.
pub(super) const HEAD_SIZE: usize = 4 + CHECK_SIZE;

const LEN_BITS: u32 = 21;
const FILTER_BITS: u32 = 3;

impl CompressedShard {
    fn lengths(&self) -> [usize; PROOF_RECORDS + 2] {
        let [root, domain, region, tiles, parts, tree] = proof_lengths(&self.proof);
        let heads = FIXED_SIZE + HEAD_SIZE * self.heads.len();
        [root, domain, region, tiles, parts, tree, heads, self.data_len()]
    }

    /// The bytes that [`serialize`](Self::serialize) gives.
    pub fn serialized_size(&self) -> usize {
        // All parts are in memory, and their sum is little more than they take.
        encoded_size(&self.lengths()).unwrap_or(usize::MAX)
    }

    /// The one encoding of this compressed shard (docs/format.md).
    ///
    /// A reader with the default [`Limits`] refuses a shard of more than 1 GiB with LIMIT, also one that is
    /// smaller when compressed.
    pub fn serialize(&self) -> Result<Vec<u8>> {
        let lengths = self.lengths();
        let [.., heads, data] = lengths;
        let mut writer = Writer::to_vec(Kind::CompressedShard, &lengths)?;
        write_proof(&mut writer, &self.proof)?;
        writer.record(COMPRESSION, heads)?;
        writer.put(&[self.algorithm.code(), self.level, self.residue.value(), 0])?;
        writer.put(&u32_of(self.block_size)?.to_le_bytes())?;
        writer.put(&to_u64(self.payload_len).to_le_bytes())?;
        for head in &self.heads {
            put_head(head, |part| writer.put(part))?;
        }
        writer.record(DATA, data)?;
        match &self.data {
            Body::Shared(payload) => writer.put(payload)?,
            Body::Blocks(blocks) => blocks.iter().try_for_each(|block| writer.put(block))?,
        }
        writer.into_vec()
    }

    /// The compressed shard that `bytes` encode. Nothing is decompressed and nothing verified but the
    /// form: FORMAT, UNSUPPORTED or LIMIT.
    pub fn deserialize(bytes: &[u8], limits: &Limits) -> Result<CompressedShard> {
        available()?;
        let mut reader = Reader::new(bytes, Kind::CompressedShard)?;
        reader.check_digest(|_| Ok(()))?;
        let records = [(COMPRESSION, "COMPRESSION"), (DATA, "DATA")];
        let mut fixed = [0; FIXED_SIZE];
        let (proof, [how, data]) = read_proof(&mut reader, limits, records, |tiles, lists, [how, _]| {
            let Some((first, heads)) = how.split_first_chunk() else {
                return malformed(format!("COMPRESSION has {} bytes", how.len()));
            };
            fixed = *first;
            let (_, size) = sizes(&fixed);
            within("max_proof_size", lists + to_u64(heads.len()), limits.max_proof_size)?;
            within("max_payload_size", size, limits.max_payload_size)?;
            // A byte of each tile is there at least.
            if tiles > size {
                return malformed(format!("{tiles} tiles where the payload has {size} bytes"));
            }
            Ok(())
        })?;
        let heads = how.get(FIXED_SIZE..).unwrap_or_default();
        let [code, level, residue, reserved, ..] = fixed;
        let (block_size, size) = sizes(&fixed);
        let Some(algorithm) = CompressionAlgorithm::from_code(u32::from(code)) else {
            return Err(AtlasError::unsupported(format!("compression algorithm {code} is not known")));
        };
        let method = algorithm.method();
        let stored = method.is_none();
        let max_expansion = match method {
            Some(method) => method.codec.get()?.max_expansion(),
            None => 1,
        };
        let levels = method.map_or(0..=0, |method| method.codec.levels());
        if reserved != 0 || !levels.contains(&level) {
            return malformed(format!("level {level} of algorithm {code}, and a reserved byte {reserved}"));
        }
        let residue = residue_of(u32::from(residue))?;
        let block_size = usize::try_from(block_size).unwrap_or(usize::MAX);
        let least = if stored { MAX_BLOCK_SIZE } else { MIN_BLOCK_SIZE };
        if !(least..=MAX_BLOCK_SIZE).contains(&block_size) {
            return malformed(format!("a block size of {block_size} is outside {least}..={MAX_BLOCK_SIZE}"));
        }
        let (list, rest) = heads.as_chunks::<HEAD_SIZE>();
        let Ok(payload_len) = usize::try_from(size) else {
            return malformed(format!("a payload of {size} bytes"));
        };
        if !rest.is_empty() || list.len() != payload_len.div_ceil(block_size) {
            return malformed(format!(
                "{} bytes of heads where a payload of {size} bytes has {} blocks",
                heads.len(),
                payload_len.div_ceil(block_size)
            ));
        }
        let (_, payload_offset) = proof.layout(payload_len)?;

        let mut heads = try_vec(list.len())?;
        let mut blocks = try_vec(if stored { 0 } else { list.len() })?;
        let mut left = data;
        for (index, head) in list.iter().enumerate() {
            let block_len = block_size.min(payload_len - index * block_size);
            let head = read_head(head, block_len, method, max_expansion)
                .map_err(|error| error.at_index(to_u64(index)))?;
            let Some((block, later)) = left.split_at_checked(head.len) else {
                return malformed(format!(
                    "block {index} of {} bytes where {} are left",
                    head.len,
                    left.len()
                ));
            };
            if !stored {
                blocks.push(Encoded::copy_of(block, block_len)?);
            }
            heads.push(head);
            left = later;
        }
        if !left.is_empty() {
            return malformed(format!("{} bytes too many in DATA", left.len()));
        }
        if !stored && data.len() == payload_len {
            return malformed(format!("algorithm {code} where no block is smaller than its bytes"));
        }
        let data = match stored {
            true => Body::Shared(Arc::new(Buffer::copy_of(data)?)),
            false => Body::Blocks(blocks),
        };
        let proof = Arc::new(proof);
        Ok(CompressedShard {
            proof,
            payload_offset,
            payload_len,
            residue,
            algorithm,
            level,
            block_size,
            checked: flags(heads.len(), false)?,
            heads,
            data,
        })
    }
}

/// Gives the bytes of the head of a block to `put`.
pub(super) fn put_head(head: &BlockHead, mut put: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let word = u32_of(head.len)?
        | u32::from(head.filter.code()) << LEN_BITS
        | u32::from(head.residue.value()) << (LEN_BITS + FILTER_BITS);
    put(&word.to_le_bytes())?;
    put(&head.check)
}

/// Block size, and bytes of the payload, as COMPRESSION claims.
pub(super) fn sizes(fixed: &[u8; FIXED_SIZE]) -> (u32, u64) {
    let [_, _, _, _, b0, b1, b2, b3, size @ ..] = *fixed;
    (u32::from_le_bytes([b0, b1, b2, b3]), u64::from_le_bytes(size))
}

/// The head of a block of `block_len` bytes, of which an encoded byte stands for `max_expansion` at most:
/// 1 if they are stored.
pub(super) fn read_head(
    bytes: &[u8; HEAD_SIZE],
    block_len: usize,
    method: Option<Method>,
    max_expansion: usize,
) -> Result<BlockHead> {
    let [w0, w1, w2, w3, check @ ..] = *bytes;
    let word = u32::from_le_bytes([w0, w1, w2, w3]);
    let len = usize::try_from(word & ((1 << LEN_BITS) - 1)).unwrap_or(usize::MAX);
    let code = word >> LEN_BITS & ((1 << FILTER_BITS) - 1);
    let residue = residue_of(word >> (LEN_BITS + FILTER_BITS))?;
    let filter = u8::try_from(code).ok().and_then(Filter::new);
    let is_allowed = |filter: &Filter| match method {
        Some(method) if len < block_len => method.filters.allows(*filter),
        // A block that is kept as it is has none.
        _ => *filter == Filter::NONE,
    };
    let Some(filter) = filter.filter(is_allowed) else {
        return malformed(format!("filter {code} of a block of {block_len} bytes in {len}"));
    };
    if len > block_len || len < block_len.div_ceil(max_expansion) {
        return malformed(format!("a block of {block_len} bytes in {len}"));
    }
    Ok(BlockHead { len, filter, residue, check })
}

/// A residue with what must be 0 above it.
pub(super) fn residue_of(value: u32) -> Result<Residue> {
    match u8::try_from(value).ok().and_then(Residue::new) {
        Some(residue) => Ok(residue),
        None => malformed(format!("a residue of {value} is outside 0..=95")),
    }
}

fn u32_of(len: usize) -> Result<u32> {
    u32::try_from(len).map_err(|_| AtlasError::internal("a block is larger than 1 MiB"))
}

fn malformed<T>(what: String) -> Result<T> {
    Err(AtlasError::format(what))
}
