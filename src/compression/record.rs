//! Compressed records: up to 1 MiB of bytes, encoded like the payload of a compressed shard (the value of
//! COMPRESSION, then the encoded blocks), but without a shard.
//!
//! Files other than shards store bytes in this form. They verify the decoded bytes by digests of their own.

use super::auto;
pub(crate) use super::block::BlockDecoder;
use super::block::{Attempt, BlockEncoder, BlockHead};
use super::codec::Codec;
use super::coding::{Coding, FIXED_SIZE, HEAD_SIZE, malformed, sizes};
use super::config::{CompressionConfig, MAX_BLOCK_SIZE, MIN_BLOCK_SIZE, Plan};
use super::filter::Filter;
use crate::base::buffer::try_vec;
use crate::base::error::{AtlasError, Result};
use crate::base::units::{to_u64, to_usize};
use crate::layer2::Residue;

/// Maximum number of bytes to which a compressed record decodes.
pub(crate) const MAX_RECORD_SIZE: usize = MAX_BLOCK_SIZE;

/// Features of this library that a reader needs to decode a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) deflate: bool,
    pub(crate) zstd: bool,
    pub(crate) lz4: bool,
    /// Byte planes: the algorithm is conservation-aware, or a block has a filter.
    pub(crate) planes: bool,
    /// Byte planes of stride 3, 6 or 12, or byte planes with differences.
    pub(crate) differences: bool,
}

/// Encoder of compressed records. One encoder makes many records, because its state may be large.
pub(crate) struct RecordEncoder {
    config: CompressionConfig,
    plans: Vec<Plan>,
    blocks: BlockEncoder,
}

impl RecordEncoder {
    /// Returns the size of the memory of an encoder with these settings, without the records that it makes.
    pub(crate) fn footprint(config: &CompressionConfig) -> Result<usize> {
        let block_size = config.check()?;
        BlockEncoder::footprint(config, &auto::plans(config)?, block_size)
    }

    /// Returns an encoder with these settings. Fails with INVALID_ARGUMENT or UNSUPPORTED if they are not valid.
    pub(crate) fn new(config: &CompressionConfig) -> Result<RecordEncoder> {
        // Impossible settings are refused here and not at the first record.
        let block_size = config.check()?;
        let plans = auto::plans(config)?;
        let blocks = BlockEncoder::new(config, &plans, block_size)?;
        Ok(RecordEncoder { config: *config, plans, blocks })
    }

    /// Encodes `bytes`, at most [`MAX_RECORD_SIZE`], as a record. `None` if no block becomes smaller, as at
    /// level 0. The caller decides whether to use the record.
    pub(crate) fn encode(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
        // The caller cuts its runs to the limit.
        if bytes.len() > MAX_RECORD_SIZE {
            return Err(AtlasError::internal(format!(
                "a defect of the library, please report it: a record of {} bytes is too long",
                bytes.len()
            )));
        }
        // Use the only plan, or choose among several plans.
        let plan = match self.plans[..] {
            _ if bytes.is_empty() => return Ok(None),
            [] => return Ok(None),
            [plan] => plan,
            _ => auto::choose(bytes, &self.config, &self.plans, &mut self.blocks)?,
        };
        let block_size = to_usize(self.config.block_size);
        // A record of up to 1 MiB has 256 blocks at most.
        let count = bytes.len().div_ceil(block_size);
        let (mut heads, mut blocks) = (try_vec(count)?, try_vec(count)?);
        let (mut saved, mut size) = (false, FIXED_SIZE);
        // Encode block by block; stored blocks keep their bytes.
        for block in bytes.chunks(block_size) {
            let (head, encoded) = match self.blocks.encode(&plan, block)? {
                Attempt::Done(head, encoded) => {
                    saved = true;
                    (head, Some(encoded))
                }
                Attempt::Stored => (BlockHead::stored(block), None),
            };
            size += HEAD_SIZE + head.len;
            heads.push(head);
            blocks.push(encoded);
        }
        // If no block became smaller, there is no record.
        if !saved {
            return Ok(None);
        }
        // Assemble the heads and the blocks.
        let residue = heads.iter().map(|head: &BlockHead| head.residue).sum();
        let Plan { algorithm, level, .. } = plan;
        let coding = Coding { algorithm, level, residue, block_size, len: bytes.len() };
        let mut record = try_vec(size)?;
        // The sum of all lengths was counted above, so that the record never grows.
        coding.write(&heads, |part| {
            record.extend_from_slice(part);
            Ok(())
        })?;
        for (encoded, block) in blocks.iter().zip(bytes.chunks(block_size)) {
            record.extend_from_slice(encoded.as_deref().unwrap_or(block));
        }
        Ok(Some(record))
    }
}

/// A compressed record whose heads were read and checked, and whose blocks are not decoded yet.
pub(crate) struct Record<'a> {
    coding: Coding,
    heads: Vec<BlockHead>,
    data: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads the compressed record at the beginning of `bytes`, and returns it and the bytes after it. All input
    /// is hostile. Fails with FORMAT or UNSUPPORTED.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<(Record<'a>, &'a [u8])> {
        // Without codecs a record cannot be decoded, so that UNSUPPORTED is reported instead of damage.
        super::available()?;
        let Some(fixed) = bytes.first_chunk() else {
            return malformed(format!(
                "malformed compressed data: it ends after {} bytes, in its first fields",
                bytes.len()
            ));
        };
        // The sizes are bounded before anything depends on them.
        let (block_size, len) = sizes(fixed);
        if len > to_u64(MAX_RECORD_SIZE) {
            return malformed(format!(
                "malformed compressed data: it claims to decode to {len} bytes, above the limit of \
                 {MAX_RECORD_SIZE}"
            ));
        }
        if to_usize(u64::from(block_size)) < MIN_BLOCK_SIZE {
            return malformed(format!(
                "malformed compressed data: a block size of {block_size} is below {MIN_BLOCK_SIZE}"
            ));
        }
        // The heads, as many as the sizes require.
        let count = to_usize(len.div_ceil(u64::from(block_size)));
        let Some((value, behind)) = bytes.split_at_checked(FIXED_SIZE + HEAD_SIZE * count) else {
            return malformed(format!(
                "malformed compressed data: it has {} bytes and claims {count} blocks, whose heads would \
                 end at byte {}",
                bytes.len(),
                FIXED_SIZE + HEAD_SIZE * count
            ));
        };
        // The lengths of the blocks are the low bits of their heads; Coding::read checks their sum.
        let data_len: usize = value[FIXED_SIZE..].chunks(HEAD_SIZE).map(super::coding::claimed_len).sum();
        let Some((data, behind)) = behind.split_at_checked(data_len) else {
            return malformed(format!(
                "malformed compressed data: its blocks claim {data_len} bytes, and only {} are left",
                behind.len()
            ));
        };
        // The lengths were only claimed so far; each head is checked now.
        let (coding, heads) = Coding::read(value, data_len)?;
        // A stored record is refused, because the bytes themselves would be a second encoding of it.
        if coding.algorithm.method().is_none() {
            return malformed(
                "malformed compressed data: none of its blocks is compressed, and such bytes must be \
                 stored as they are"
                    .to_owned(),
            );
        }
        Ok((Record { coding, heads, data }, behind))
    }

    /// Returns the number of bytes to which the record decodes.
    pub(crate) fn len(&self) -> usize {
        self.coding.len
    }

    /// Returns the size of the largest block, for which a decoder must have room.
    pub(crate) fn block_size(&self) -> usize {
        self.coding.block_size.min(self.coding.len)
    }

    /// Returns the features that a reader needs to decode the record.
    pub(crate) fn needs(&self) -> Needs {
        // The algorithm alone decides about codec and permutations.
        let method = self.coding.algorithm.method();
        let codec = method.map(|method| method.codec);
        let free = method.is_some_and(|method| method.filters.has_differences());
        let mut needs = Needs {
            deflate: codec == Some(Codec::Deflate),
            zstd: codec == Some(Codec::Zstd),
            lz4: codec == Some(Codec::Lz4),
            planes: method.is_some_and(|method| method.filters.has_permutations_alone()),
            differences: false,
        };
        let mut left = self.data;
        // Filters are per block; differences are marked inside the encoded block.
        for head in &self.heads {
            let (block, later) = left.split_at(head.len.min(left.len()));
            if free && head.filter != Filter::NONE {
                needs.planes = true;
                needs.differences |= !Filter::SPLITS.contains(&head.filter)
                    || super::block::has_differences(head.filter, block);
            }
            left = later;
        }
        needs
    }

    /// Decodes the record to `to`, which has [`len`](Self::len) bytes, and checks digests and residues. Fails with
    /// FORMAT for a damaged block, with WITNESS for a wrong digest, and with CONSERVATION for a wrong residue only if
    /// neither occurs. `decoder` has room for blocks of [`block_size`](Self::block_size).
    pub(crate) fn decode(&self, decoder: &mut BlockDecoder, to: &mut [u8]) -> Result<()> {
        let Some(method) = self.coding.algorithm.method() else { return Err(super::no_method()) };
        if to.len() != self.len() {
            return Err(AtlasError::internal(format!(
                "a defect of the library, please report it: a buffer of {} bytes for a record of {}",
                to.len(),
                self.len()
            )));
        }
        let (mut left, mut unconserved) = (self.data, None);
        let mut residue = Residue::default();
        // Decode all blocks first: CONSERVATION is reported after every WITNESS.
        for (head, block) in self.heads.iter().zip(to.chunks_mut(self.coding.block_size)) {
            // `read` made sure that the lengths add up to the data.
            let (encoded, later) = left.split_at(head.len.min(left.len()));
            let decoded = decoder.decode(method, head, encoded, block)?;
            residue = residue + decoded.residue;
            unconserved = unconserved.or(decoded.unconserved);
            left = later;
        }
        if let Some(error) = unconserved {
            return Err(error);
        }
        // Each block has the residue of its head here; the total that COMPRESSION claims may still be wrong.
        if residue != self.coding.residue {
            let claimed = self.coding.residue;
            return Err(AtlasError::conservation(format!(
                "damaged compressed data: its bytes sum to {residue} mod 96 instead of the {claimed} that \
                 it states"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
#[cfg(feature = "compression")]
mod tests {
    use super::*;
    use crate::base::error::ErrorKind;
    use crate::compression::{CompressionAlgorithm, CompressionLevel};

    fn numbers(len: usize) -> Vec<u8> {
        (0..len / 4 + 1).flat_map(|i| ((i as u32 * 31) ^ (i as u32 % 7)).to_le_bytes()).take(len).collect()
    }

    fn algorithms() -> Vec<CompressionAlgorithm> {
        let mut all = vec![CompressionAlgorithm::Deflate, CompressionAlgorithm::ConservationAware];
        if cfg!(feature = "zstd") {
            all.push(CompressionAlgorithm::Zstd);
        }
        if cfg!(feature = "lz4") {
            all.push(CompressionAlgorithm::Lz4);
        }
        all.push(CompressionAlgorithm::Auto);
        all
    }

    #[test]
    fn records_come_back_and_wrong_ones_are_refused() {
        for algorithm in algorithms() {
            for (len, block_size) in [(4_096, 4_096), (70_001, 16_384), (1 << 20, 1 << 20)] {
                let config = CompressionConfig { algorithm, block_size, ..CompressionConfig::default() };
                let mut encoder = RecordEncoder::new(&config).unwrap();
                let bytes = numbers(len);
                let mut record = encoder.encode(&bytes).unwrap().unwrap();
                let size = record.len();
                assert!(size < len);
                record.extend([0; 5]);
                let (read, behind) = Record::read(&record).unwrap();
                assert_eq!((read.len(), behind), (len, &[0; 5][..]));
                let mut back = vec![0; len];
                let mut decoder = BlockDecoder::new(read.block_size());
                read.decode(&mut decoder, &mut back).unwrap();
                assert!(back == bytes);
                assert!(Record::read(&record[..size - 1]).is_err());
                if len > 4_096 {
                    continue;
                }
                for at in 0..size {
                    let mut wrong = record.clone();
                    wrong[at] ^= 0x41;
                    let Ok((read, _)) = Record::read(&wrong) else { continue };
                    let mut back = vec![0; read.len()];
                    let mut decoder = BlockDecoder::new(read.block_size());
                    // Only this byte states the level, so that another level changes nothing else.
                    assert!(read.decode(&mut decoder, &mut back).is_err() || back == bytes, "byte {at}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_become_smaller_is_none() {
        let config = CompressionConfig::default();
        assert!(RecordEncoder::new(&config).unwrap().encode(&[]).unwrap().is_none());
        let mut state = 1u64;
        let noise: Vec<u8> = (0..20_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                (state >> 56) as u8
            })
            .collect();
        assert!(RecordEncoder::new(&config).unwrap().encode(&noise).unwrap().is_none());
        let stored = CompressionConfig { level: CompressionLevel::Custom(0), ..config };
        assert!(RecordEncoder::new(&stored).unwrap().encode(&numbers(5_000)).unwrap().is_none());
        let error = RecordEncoder::new(&config).unwrap().encode(&vec![0; MAX_RECORD_SIZE + 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        // Sizes that a record may not have.
        let record = RecordEncoder::new(&config).unwrap().encode(&numbers(5_000)).unwrap().unwrap();
        for (at, value) in [(10, 0x10), (15, 1), (4, 0), (0, 0), (0, 9)] {
            let mut wrong = record.clone();
            wrong[at] = value;
            if at == 4 {
                wrong[4..8].fill(0);
            }
            assert!(Record::read(&wrong).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_record_says_what_its_reader_must_know() {
        let needs = |config: &CompressionConfig, bytes: &[u8]| {
            let record = RecordEncoder::new(config).unwrap().encode(bytes).unwrap().unwrap();
            let (record, _) = Record::read(&record).unwrap();
            record.needs()
        };
        let none = Needs { deflate: false, zstd: false, lz4: false, planes: false, differences: false };
        let with = |algorithm| CompressionConfig { algorithm, ..CompressionConfig::default() };
        let zeros = vec![0; 10_000];
        let deflate = Needs { deflate: true, ..none };
        assert_eq!(needs(&with(CompressionAlgorithm::Deflate), &numbers(50_000)), deflate);
        let aware = Needs { planes: true, ..deflate };
        assert_eq!(needs(&with(CompressionAlgorithm::ConservationAware), &zeros), aware);
        for algorithm in algorithms() {
            let codec = match algorithm {
                CompressionAlgorithm::Zstd => Needs { zstd: true, ..none },
                CompressionAlgorithm::Lz4 => Needs { lz4: true, ..none },
                _ => continue,
            };
            assert_eq!(needs(&with(algorithm), &zeros), codec);
            let of_numbers = needs(&with(algorithm), &numbers(50_000));
            assert_eq!(of_numbers, Needs { planes: true, differences: of_numbers.differences, ..codec });
            let triples: Vec<u8> =
                (0..30_000u32).flat_map(|i| [(i / 9) as u8, (i / 5) as u8, (i / 7) as u8]).collect();
            assert!(needs(&with(algorithm), &triples).differences);
        }
    }
}
