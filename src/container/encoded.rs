//! Encoded records: compressed payload in records of a container file (docs/container.md, "E").

use super::body::{Body, Laid};
use super::file::ContainerFile;
use super::records::{RECORD_HEAD, RecordKind, features, malformed, u32_at, u64_at, up};
use super::seal::Tag;
use super::store::damaged;
use crate::base::buffer::Buffer;
use crate::base::error::Result;
use crate::base::units::{TILE_SIZE, to_u64};
use crate::compression::CompressionConfig;
use crate::compression::record::{BlockDecoder, MAX_RECORD_SIZE, Needs, Record, RecordEncoder};

/// Minimum size in bytes of a run of payload to be compressed, and minimum block size of an encoded record.
const LEAST_RUN: usize = 4_096;
/// Sizes in bytes: the fields before the block table of an encoded record, and an entry of that table.
const FIXED: usize = 16;
const BLOCK_HEAD: usize = 12;
/// Maximum size in bytes of an encoded record: 1 MiB in 256 blocks of 4 KiB, with record header and block table.
const MOST: u64 = (RECORD_HEAD + FIXED + BLOCK_HEAD * 256 + TILE_SIZE) as u64;

/// Compresses runs of payload into encoded records, with the compression settings of a container handle.
pub(super) struct Encoder {
    encoder: RecordEncoder,
}

/// Compressed run of payload: the contents of an encoded record that is not laid out yet.
pub(super) struct EncodedRun {
    contents: Vec<u8>,
    /// Number of bytes of `contents`, from the first on, that the record's seal covers.
    sealed: usize,
    features: u32,
}

impl Encoder {
    /// Returns the bytes of memory that an encoder with this configuration and one compressed run use.
    pub(super) fn footprint(config: &CompressionConfig) -> Result<u64> {
        Ok(to_u64(RecordEncoder::footprint(config)? + TILE_SIZE))
    }

    pub(super) fn new(config: &CompressionConfig) -> Result<Encoder> {
        Ok(Encoder { encoder: RecordEncoder::new(config)? })
    }

    /// Compresses a run of payload. `None` if it has less than 4 KiB, or its record would not be shorter.
    pub(super) fn encode(&mut self, bytes: &[u8]) -> Result<Option<EncodedRun>> {
        if bytes.len() < LEAST_RUN {
            return Ok(None);
        }
        // The encoder gives up if no block gets shorter.
        let Some(mut contents) = self.encoder.encode(bytes)? else { return Ok(None) };
        // Head and padding count, so that compression never costs space.
        let size = up(to_u64(RECORD_HEAD + contents.len()), 8);
        if size >= to_u64(bytes.len()) {
            return Ok(None);
        }
        let features = features_of(&Record::read(&contents)?.0.needs());
        // The seal covers the contents up to the end of the block table; the encoded blocks are proved by the
        // witness of the tile.
        let sealed = value_size(&contents).map_or(contents.len(), |(value, _)| value);
        contents.resize(contents.len().next_multiple_of(8), 0);
        Ok(Some(EncodedRun { contents, sealed, features }))
    }
}

/// Reads the fixed fields of an encoded record's contents. Returns the size of these fields and the block
/// table in bytes, and the number of bytes to which the record decodes. `None` if the fields have values
/// that an encoder never writes.
fn value_size(bytes: &[u8]) -> Option<(usize, usize)> {
    // Both numbers are not verified yet. They bound the size of the block table that is read next.
    let block_size = usize::try_from(u32_at(bytes, 4)).ok()?;
    let size = usize::try_from(u64_at(bytes, 8)).ok().filter(|size| (1..=MAX_RECORD_SIZE).contains(size))?;
    if !(LEAST_RUN..=MAX_RECORD_SIZE).contains(&block_size) {
        return None;
    }
    Some((FIXED + BLOCK_HEAD * size.div_ceil(block_size), size))
}

/// Returns the feature bits for the algorithm and the filters that an encoded record needs.
fn features_of(needs: &Needs) -> u32 {
    let bit = |is_needed: bool, bit: u32| if is_needed { bit } else { 0 };
    bit(needs.deflate, features::DEFLATE)
        | bit(needs.planes, features::PLANES)
        | bit(needs.zstd, features::ZSTD)
        | bit(needs.lz4, features::LZ4)
        | bit(needs.differences, features::DIFFERENCES)
}

/// Returns the feature bits that every encoded record with this algorithm number needs. `None` for an unknown number.
fn features_of_algorithm(algorithm: u8) -> Option<u32> {
    match algorithm {
        1 => Some(features::DEFLATE),
        2 => Some(features::DEFLATE | features::PLANES),
        3 => Some(features::ZSTD),
        4 => Some(features::LZ4),
        _ => None,
    }
}

/// Returns the number of bytes of memory that reading tiles of a generation with these feature bits uses: of one
/// encoded record at a time, and of its decoded bytes. 0 if no tile is encoded.
pub(super) fn reading(feature_bits: u32) -> u64 {
    if feature_bits & (features::DEFLATE | features::PLANES | features::ZSTD | features::LZ4) == 0 {
        return 0;
    }
    MOST + to_u64(TILE_SIZE + BlockDecoder::most(TILE_SIZE))
}

impl EncodedRun {
    /// Appends the encoded record to the body of a batch, and returns its offset in the file.
    pub(super) fn lay_out(&self, body: &mut Body<'_>) -> Laid<u64> {
        // The place consists of the offset alone, because the record states its own size.
        let (offset, _) = body.record(RecordKind::Encoded, &self.contents, self.sealed)?;
        body.features |= self.features;
        Ok(offset)
    }
}

/// Reads the sealed part (record header, fixed fields, block table) of the encoded record at `offset`, and checks the
/// seal. Returns the size of the record, the number of bytes to which it decodes, and the sealed part. Fails with
/// WITNESS if no such record with a valid seal is there.
fn head(file: &ContainerFile, offset: u64) -> Result<(u64, usize, Vec<u8>)> {
    // Every fault up to the seal is reported as WITNESS, because the record may be anything.
    let absent = || damaged(file, RecordKind::Encoded, offset, to_u64(RECORD_HEAD));
    // The first read has the fixed part, from which the size of the block table follows.
    let fixed = RECORD_HEAD + FIXED;
    let mut bytes = file.read(offset, fixed)?.ok_or_else(absent)?;
    // The size is compared with the limit of its kind before more is read.
    let size = u64::from(u32_at(&bytes, 4));
    if bytes[..4] != RecordKind::Encoded.magic()
        || u64_at(&bytes, 8) != offset
        || !size.is_multiple_of(8)
        || !(to_u64(fixed)..=up(MOST, 8)).contains(&size)
    {
        return Err(absent());
    }
    // The block table must lie within the record.
    let value = value_size(&bytes[RECORD_HEAD..]);
    let Some((head, decoded)) = value.filter(|(head, _)| to_u64(RECORD_HEAD + head) <= size) else {
        return Err(absent());
    };
    // The second read has the remaining bytes of the sealed part.
    bytes.extend_from_slice(&file.read(offset + to_u64(fixed), head - FIXED)?.ok_or_else(absent)?);
    let seal = file.seals.digest(Tag::Seal, &file.ident, &[&bytes[..16], &bytes[RECORD_HEAD..]]);
    if seal[..16] == bytes[16..32] { Ok((size, decoded, bytes)) } else { Err(absent()) }
}

/// Returns the number of bytes to which the encoded record at `offset` decodes.
pub(super) fn decoded_size(file: &ContainerFile, offset: u64) -> Result<u64> {
    head(file, offset).map(|(_, decoded, _)| to_u64(decoded))
}

/// Returns the size in bytes of the encoded record at `offset`.
pub(super) fn record_size(file: &ContainerFile, offset: u64) -> Result<u64> {
    head(file, offset).map(|(size, _, _)| size)
}

/// Appends a copy of the encoded record at `offset` of `file` to `body`, and returns the new offset.
pub(super) fn copy(file: &ContainerFile, offset: u64, body: &mut Body<'_>) -> Laid<u64> {
    // The seal covers the offset, so that a copy needs a new record around the same contents.
    let (size, _, sealed) = head(file, offset)?;
    let absent = || damaged(file, RecordKind::Encoded, offset, size);
    let mut contents = file.read(offset, usize::try_from(size).unwrap_or(usize::MAX))?.ok_or_else(absent)?;
    // The sealed part stays as it was when its seal was checked.
    contents[..sealed.len()].copy_from_slice(&sealed);
    contents.drain(..RECORD_HEAD.min(contents.len()));
    // Features are computed again, because the compacted file names only the features that it uses.
    let features = features_of(&Record::read(&contents)?.0.needs());
    EncodedRun { contents, sealed: sealed.len() - RECORD_HEAD, features }.lay_out(body)
}

/// Returns the decoded bytes of the encoded record at `offset`. `known` are the feature bits of the generation that is
/// read. Fails with FORMAT if the record needs a bit that is not in `known`, or ends after offset `limit`.
pub(super) fn read(file: &ContainerFile, known: u32, offset: u64, limit: u64) -> Result<Buffer> {
    // The sealed part comes first: it names the algorithm and bounds the memory.
    let (size, _, sealed) = head(file, offset)?;
    let len = usize::try_from(size).unwrap_or(usize::MAX);
    let wrong = |what: String| Err(malformed(offset, len, what));
    // The order in the file rules out cycles and records of later batches.
    if offset.checked_add(size).is_none_or(|end| end > limit) {
        return wrong(format!("an encoded record of {size} bytes must end at or before byte {limit}"));
    }
    // The feature is checked before anything is decoded with an algorithm that the generation does not name.
    let unnamed = |needed: u32| {
        format!("the record needs the feature bits {needed:#x}, and its generation names only {known:#x}")
    };
    let algorithm = sealed[RECORD_HEAD];
    match features_of_algorithm(algorithm) {
        Some(needed) if needed & !known == 0 => {}
        Some(needed) => return wrong(unnamed(needed)),
        None => return wrong(format!("the algorithm {algorithm} of an encoded record is not known")),
    }
    // The whole record is read at once; its sealed part stays as it was when its seal was checked.
    let Some(mut bytes) = file.read(offset, len)? else {
        return Err(damaged(file, RecordKind::Encoded, offset, size));
    };
    bytes[..sealed.len()].copy_from_slice(&sealed);
    drop(sealed);
    let place = |error: crate::AtlasError| error.at_range(offset, size);
    // Only padding to a multiple of 8 may follow the blocks.
    let (record, behind) = Record::read(&bytes[RECORD_HEAD..]).map_err(place)?;
    if behind.len() > 7 || behind.iter().any(|byte| *byte != 0) {
        return wrong("the bytes after the blocks of an encoded record are not up to 7 zeros".to_owned());
    }
    // Filters of single blocks are known only now.
    let needed = features_of(&record.needs());
    if needed & !known != 0 {
        return wrong(unnamed(needed));
    }
    let mut out = Buffer::new(record.len())?;
    record.decode(&mut BlockDecoder::new(record.block_size()), &mut out).map_err(place)?;
    Ok(out)
}
