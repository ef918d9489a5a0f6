//! Encoded records: runs of payload that compress (docs/container.md, "E").

use super::body::{Body, Laid};
use super::file::ContainerFile;
use super::records::{RECORD_HEAD, RecordKind, features, malformed, u32_at, u64_at, up};
use super::seal::Tag;
use super::store::damaged;
use crate::base::buffer::{Buffer, try_vec};
use crate::base::error::Result;
use crate::base::units::{TILE_SIZE, to_u64};
use crate::compression::CompressionConfig;
use crate::compression::value::{self, EncodedValue, ValueEncoder};

/// Runs of fewer bytes stay as they are.
const LEAST_RUN: usize = 4_096;
/// The value of COMPRESSION begins with so many bytes of a known shape.
const FIXED: usize = 16;
/// Bytes of the largest record: 1 MiB in blocks of 4 KiB, each with its head.
const MOST: u64 = (RECORD_HEAD + FIXED + 12 * 256 + TILE_SIZE) as u64;

/// Encodes the runs that a handle stores.
pub(super) struct Encoder {
    encoder: ValueEncoder,
}

/// A run that is encoded.
pub(super) struct EncodedRun {
    contents: Vec<u8>,
    /// Bytes of the contents that the seal is over.
    sealed: usize,
    features: u32,
}

impl Encoder {
    /// `None` if the configuration stores.
    pub(super) fn new(config: &CompressionConfig) -> Result<Option<Encoder>> {
        Ok(ValueEncoder::new(config)?.map(|encoder| Encoder { encoder }))
    }

    /// The encoded form of a run, if its record is shorter than the run.
    pub(super) fn encode(&mut self, bytes: &[u8]) -> Result<Option<EncodedRun>> {
        if bytes.len() < LEAST_RUN {
            return Ok(None);
        }
        let Some(EncodedValue { bytes: mut contents, head, algorithm }) = self.encoder.encode(bytes)? else {
            return Ok(None);
        };
        let size = up(to_u64(RECORD_HEAD + contents.len()), 8);
        if size >= to_u64(bytes.len()) {
            return Ok(None);
        }
        contents.resize(contents.len().next_multiple_of(8), 0);
        Ok(Some(EncodedRun { contents, sealed: head, features: features_of(algorithm) }))
    }
}

/// The features that a record of this algorithm needs.
fn features_of(algorithm: u8) -> u32 {
    match algorithm {
        2 => features::DEFLATE | features::PLANES,
        _ => features::DEFLATE,
    }
}

impl EncodedRun {
    /// Lays the record out, and gives its offset.
    pub(super) fn lay_out(&self, body: &mut Body<'_>) -> Laid<u64> {
        let (offset, _) = body.record(RecordKind::Encoded, &self.contents, self.sealed)?;
        body.features |= self.features;
        Ok(offset)
    }
}

/// The sealed part of the record at `offset`: its size, and the bytes that it decodes to.
fn head(file: &ContainerFile, offset: u64) -> Result<(u64, usize, Vec<u8>)> {
    let absent = || damaged(file, RecordKind::Encoded, offset, to_u64(RECORD_HEAD));
    let fixed = RECORD_HEAD + FIXED;
    let mut bytes = file.read(offset, fixed)?.ok_or_else(absent)?;
    let size = u64::from(u32_at(&bytes, 4));
    if bytes[..4] != RecordKind::Encoded.magic()
        || u64_at(&bytes, 8) != offset
        || !size.is_multiple_of(8)
        || !(to_u64(fixed)..=up(MOST, 8)).contains(&size)
    {
        return Err(absent());
    }
    let value = bytes[RECORD_HEAD..].first_chunk().and_then(value::value_size);
    let Some((head, decoded)) = value.filter(|(head, _)| to_u64(RECORD_HEAD + head) <= size) else {
        return Err(absent());
    };
    bytes.extend_from_slice(&file.read(offset + to_u64(fixed), head - FIXED)?.ok_or_else(absent)?);
    let seal = file.seals.digest(Tag::Seal, &file.ident, &[&bytes[..16], &bytes[RECORD_HEAD..]]);
    if seal[..16] == bytes[16..32] { Ok((size, decoded, bytes)) } else { Err(absent()) }
}

/// Bytes that the record at `offset` decodes to.
pub(super) fn decoded_size(file: &ContainerFile, offset: u64) -> Result<u64> {
    head(file, offset).map(|(_, decoded, _)| to_u64(decoded))
}

/// Size of the record at `offset`.
pub(super) fn record_size(file: &ContainerFile, offset: u64) -> Result<u64> {
    head(file, offset).map(|(size, _, _)| size)
}

/// Lays a copy of the record at `offset` out, and gives the new offset.
pub(super) fn copy(file: &ContainerFile, offset: u64, body: &mut Body<'_>) -> Laid<u64> {
    let (size, _, sealed) = head(file, offset)?;
    let absent = || damaged(file, RecordKind::Encoded, offset, size);
    let bytes = file.read(offset, usize::try_from(size).unwrap_or(usize::MAX))?.ok_or_else(absent)?;
    let run = EncodedRun {
        features: features_of(bytes.get(RECORD_HEAD).copied().unwrap_or_default()),
        contents: bytes.get(RECORD_HEAD..).map(<[u8]>::to_vec).unwrap_or_default(),
        sealed: sealed.len() - RECORD_HEAD,
    };
    run.lay_out(body)
}

/// The bytes that the record at `offset` decodes to. It must end before `limit`.
pub(super) fn read(file: &ContainerFile, known: u32, offset: u64, limit: u64) -> Result<Buffer> {
    let (size, _, sealed) = head(file, offset)?;
    let len = usize::try_from(size).unwrap_or(usize::MAX);
    let wrong = |what: &str| Err(malformed(offset, len, what));
    if offset.checked_add(size).is_none_or(|end| end > limit) {
        return wrong("an encoded record does not end before the record that names it");
    }
    let algorithm = sealed[RECORD_HEAD];
    if features_of(algorithm) & !known != 0 {
        return wrong("a feature is used that the generation does not name");
    }
    let mut bytes = try_vec(len)?;
    bytes.extend_from_slice(&sealed);
    let rest = file.read(offset + to_u64(sealed.len()), len - sealed.len())?;
    let Some(rest) = rest else { return Err(damaged(file, RecordKind::Encoded, offset, size)) };
    bytes.extend_from_slice(&rest);
    value::decode(&bytes[RECORD_HEAD..]).map_err(|error| error.at_range(offset, size))
}
