//! The value of the record COMPRESSION (docs/format.md): algorithm, sizes and residue, and the heads of the
//! blocks.

use super::block::{BlockHead, CHECK_SIZE};
use super::config::{MAX_BLOCK_SIZE, MIN_BLOCK_SIZE};
use super::filter::Filter;
use super::method::{CompressionAlgorithm, Method};
use crate::base::buffer::try_vec;
use crate::base::error::{AtlasError, Result};
use crate::base::units::to_u64;
use crate::layer2::Residue;

/// Size in bytes of the fixed fields at the start of the record COMPRESSION. The heads of the blocks follow them.
pub(super) const FIXED_SIZE: usize = 16;
/// Number of bytes of the head of a block.
pub(super) const HEAD_SIZE: usize = 4 + CHECK_SIZE;

const LEN_BITS: u32 = 21;
const FILTER_BITS: u32 = 3;

/// Fixed part of the record COMPRESSION: properties of all blocks of a compressed shard or compressed record together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coding {
    pub(super) algorithm: CompressionAlgorithm,
    pub(super) level: u8,
    /// Residue of the shard's content, or of all bytes of a compressed record, before compression.
    pub(super) residue: Residue,
    pub(super) block_size: usize,
    /// Number of bytes to which all blocks together decode.
    pub(super) len: usize,
}

impl Coding {
    /// Returns the number of bytes to which the block with this index decodes.
    pub(super) fn block_len(&self, index: usize) -> usize {
        self.block_size.min(self.len - index * self.block_size)
    }

    /// Writes the value of COMPRESSION through `put`, part by part: [`FIXED_SIZE`] bytes, and [`HEAD_SIZE`] for
    /// each block.
    pub(super) fn write(&self, heads: &[BlockHead], mut put: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        // The order of the fields is that of COMPRESSION in docs/format.md.
        put(&[self.algorithm.code(), self.level, self.residue.value(), 0])?;
        put(&u32_of(self.block_size)?.to_le_bytes())?;
        put(&to_u64(self.len).to_le_bytes())?;
        // Length, filter and residue share a word.
        for head in heads {
            let word = u32_of(head.len)?
                | u32::from(head.filter.code()) << LEN_BITS
                | u32::from(head.residue.value()) << (LEN_BITS + FILTER_BITS);
            put(&word.to_le_bytes())?;
            put(&head.check)?;
        }
        Ok(())
    }

    /// Reads the value of COMPRESSION for encoded blocks of `data_len` bytes in total. Fails with FORMAT or
    /// UNSUPPORTED.
    pub(super) fn read(value: &[u8], data_len: usize) -> Result<(Coding, Vec<BlockHead>)> {
        let Some((fixed, heads)) = value.split_first_chunk::<FIXED_SIZE>() else {
            return malformed(format!(
                "malformed compressed data: its record COMPRESSION has {} bytes, fewer than {FIXED_SIZE}",
                value.len()
            ));
        };
        // The fixed part: algorithm and codec must be known before anything else is interpreted.
        let [code, level, residue, reserved, ..] = *fixed;
        let (block_size, size) = sizes(fixed);
        let algorithm = CompressionAlgorithm::from_format(code)?;
        let method = algorithm.method();
        let stored = method.is_none();
        // The codec must be built in, because its bounds are needed for the heads.
        let max_expansion = match method {
            Some(method) => method.codec.get()?.max_expansion(),
            None => 1,
        };
        let levels = method.map_or(0..=0, |method| method.codec.levels());
        if reserved != 0 || !levels.contains(&level) {
            return malformed(format!(
                "malformed compressed data: level {level} of algorithm {code} is invalid, or the reserved \
                 byte {reserved} is not 0"
            ));
        }
        // The sizes must be within their bounds, and there must be as many heads as the sizes require.
        let residue = residue_of(u32::from(residue))?;
        let block_size = usize::try_from(block_size).unwrap_or(usize::MAX);
        let least = if stored { MAX_BLOCK_SIZE } else { MIN_BLOCK_SIZE };
        if !(least..=MAX_BLOCK_SIZE).contains(&block_size) {
            return malformed(format!(
                "malformed compressed data: a block size of {block_size} is outside \
                 {least}..={MAX_BLOCK_SIZE}"
            ));
        }
        // The number of blocks follows from both sizes, and bounds the list.
        let (list, rest) = heads.as_chunks::<HEAD_SIZE>();
        let Ok(len) = usize::try_from(size) else {
            return malformed(format!(
                "the compressed data has a payload of {size} bytes, which does not fit the address space \
                 of this machine"
            ));
        };
        if !rest.is_empty() || list.len() != len.div_ceil(block_size) {
            return malformed(format!(
                "malformed compressed data: the heads of the blocks have {} bytes, which does not match a \
                 payload of {size} bytes in {} blocks: each has a head of {HEAD_SIZE} bytes",
                heads.len(),
                len.div_ceil(block_size)
            ));
        }
        let coding = Coding { algorithm, level, residue, block_size, len };
        // Each head is checked against the size of its block, and all blocks together must fill DATA.
        let mut heads = try_vec(list.len())?;
        let mut left = data_len;
        for (index, head) in list.iter().enumerate() {
            let head = read_head(head, coding.block_len(index), method, max_expansion)
                .map_err(|error| error.at_index(to_u64(index)))?;
            // DATA does not state lengths: the lengths in the heads divide it.
            let Some(later) = left.checked_sub(head.len) else {
                return malformed(format!(
                    "malformed compressed data: block {index} claims {} bytes, and only {left} are left in \
                     its record DATA",
                    head.len
                ));
            };
            heads.push(head);
            left = later;
        }
        if left > 0 {
            return malformed(format!(
                "malformed compressed data: its record DATA has {left} bytes after the last block"
            ));
        }
        // A shard in which no block is smaller must be stored, so that there is only one encoding.
        if !stored && data_len == len {
            return malformed(format!(
                "malformed compressed data: algorithm {code} is named although no block is compressed, \
                 which requires algorithm 0"
            ));
        }
        Ok((coding, heads))
    }
}

/// Returns the block size and the size of the payload that COMPRESSION claims. They are not checked yet.
pub(super) fn sizes(fixed: &[u8; FIXED_SIZE]) -> (u32, u64) {
    // The caller's limits are compared with these sizes before the rest of the value is read.
    let [_, _, _, _, b0, b1, b2, b3, size @ ..] = *fixed;
    (u32::from_le_bytes([b0, b1, b2, b3]), u64::from_le_bytes(size))
}

/// Reads and checks the head of a block that decodes to `block_len` bytes. An encoded byte stands for at most
/// `max_expansion` bytes, which is 1 if the blocks are stored. Fails with FORMAT.
fn read_head(
    bytes: &[u8; HEAD_SIZE],
    block_len: usize,
    method: Option<Method>,
    max_expansion: usize,
) -> Result<BlockHead> {
    let [w0, w1, w2, w3, check @ ..] = *bytes;
    // Unpack length, filter and residue.
    let word = u32::from_le_bytes([w0, w1, w2, w3]);
    let len = usize::try_from(word & ((1 << LEN_BITS) - 1)).unwrap_or(usize::MAX);
    let code = word >> LEN_BITS & ((1 << FILTER_BITS) - 1);
    let residue = residue_of(word >> (LEN_BITS + FILTER_BITS))?;
    let filter = u8::try_from(code).ok().and_then(Filter::new);
    let is_allowed = |filter: &Filter| match method {
        Some(method) if len < block_len => method.filters.allows(*filter),
        // A stored block has no filter.
        _ => *filter == Filter::NONE,
    };
    let Some(filter) = filter.filter(is_allowed) else {
        return malformed(format!(
            "malformed compressed data: filter {code} is not allowed for a block of {block_len} bytes in \
             {len} encoded bytes"
        ));
    };
    // The bound of the codec limits the memory that a hostile length can cost.
    if len > block_len || len < block_len.div_ceil(max_expansion) {
        return malformed(format!(
            "malformed compressed data: a block of {block_len} bytes cannot have {len} encoded bytes, \
             which must be {}..={block_len}",
            block_len.div_ceil(max_expansion)
        ));
    }
    Ok(BlockHead { len, filter, residue, check })
}

/// Returns the number of encoded bytes that the head of a block claims. It is not checked yet.
pub(super) fn claimed_len(head: &[u8]) -> usize {
    let word = head.first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
    // The length is not checked here, because only sums of these lengths are compared with the number of
    // available bytes.
    usize::try_from(word & ((1 << LEN_BITS) - 1)).unwrap_or(usize::MAX)
}

/// Returns `value` as a residue. Fails with FORMAT if it is outside 0..=95, also because a reserved bit above the
/// residue is set.
fn residue_of(value: u32) -> Result<Residue> {
    match u8::try_from(value).ok().and_then(Residue::new) {
        Some(residue) => Ok(residue),
        None => malformed(format!(
            "malformed compressed data: the head of a block has the residue {value}, outside 0..=95"
        )),
    }
}

fn u32_of(len: usize) -> Result<u32> {
    u32::try_from(len).map_err(|_| {
        AtlasError::internal(format!(
            "a defect of the library, please report it: a block of {len} bytes is larger than 1 MiB"
        ))
    })
}

pub(super) fn malformed<T>(what: String) -> Result<T> {
    Err(AtlasError::format(what))
}
