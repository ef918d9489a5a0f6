//! Serialised shards (docs/format.md).

use super::{AtlasBoundaryRegion, AtlasShard, Proof, TileShape, VERIFIED_TILE, VerifyOptions};
use crate::base::buffer::{Buffer, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::units::to_u64;
use crate::exec::operation::Operation;
use crate::hash::class_tree::ClassSet;
use crate::hash::record::{Kind, Reader, Writer, encoded_size};
use crate::hash::tile_tree::{RootHeader, Sibling};
use crate::layer2::Residue;
use crate::tile::options::ProjectionType;
use std::io;
use std::sync::Arc;

const ROOT: u16 = 1;
const DOMAIN: u16 = 2;
const REGION: u16 = 3;
const TILES: u16 = 4;
const PARTS: u16 = 5;
const TREE: u16 = 6;
const PAYLOAD: u16 = 7;

const TILE_ENTRY: usize = 5;
const PART_ENTRY: usize = 32;
const TREE_ENTRY: usize = 40;

const KEYED: u8 = 1;

/// Limits of a reader of serialised data, checked before any allocation.
///
/// ```
/// use atlas_manifold::{
///     AtlasBoundaryRegion, AtlasProjection, AtlasShard, ErrorKind, Limits, Operation, Source, VerifyOptions,
/// };
///
/// let operation = &mut Operation::new();
/// let projection = AtlasProjection::linear(&Source::from_vec(vec![7; 100_000]))?;
/// let bytes = projection.extract_shard(&AtlasBoundaryRegion::new(0, 50_000), operation)?.serialize()?;
/// let limits = Limits { max_payload_size: 10_000, ..Limits::default() };
/// let error = AtlasShard::deserialize(&bytes, &limits, &VerifyOptions::new(), operation).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Limit);
/// # Ok::<(), atlas_manifold::AtlasError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of bytes of payload. Default 1 GiB.
    pub max_payload_size: u64,
    /// Maximum number of bytes of the proof. The memory to verify the shard's tiles, 168 bytes per tile, has the
    /// same limit. Default 64 MiB.
    pub max_proof_size: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Limits {
    pub(crate) const DEFAULT: Self = Limits { max_payload_size: 1 << 30, max_proof_size: 64 << 20 };
}

/// Number of records of a serialised shard before its payload: ROOT, DOMAIN, REGION, TILES, PARTS and TREE.
pub(crate) const PROOF_RECORDS: usize = 6;

/// Returns the number of bytes of the value of each record, from ROOT to TREE, in which `proof` is serialised.
pub(crate) fn proof_lengths(proof: &Proof) -> [usize; PROOF_RECORDS] {
    [
        32,
        24,
        if proof.header.classes > 0 { 28 } else { 16 },
        8 + proof.tiles.len() * TILE_ENTRY,
        proof.chaining_values.len() * PART_ENTRY,
        proof.siblings.len() * TREE_ENTRY,
    ]
}

/// Writes the records from ROOT to TREE, with which the encoding of every kind of shard begins.
pub(crate) fn write_proof<W: io::Write>(writer: &mut Writer<W>, proof: &Proof) -> Result<()> {
    // ROOT and DOMAIN: the values that a verifier compares first.
    let lengths = proof_lengths(proof);
    writer.record(ROOT, lengths[0])?;
    writer.put(&proof.root)?;
    writer.record(DOMAIN, lengths[1])?;
    writer.put(&[proof.header.kind, proof.header.classes, if proof.keyed { KEYED } else { 0 }])?;
    writer.put(&[0; 5])?;
    writer.put(&proof.header.size.to_le_bytes())?;
    writer.put(&proof.header.tiles.to_le_bytes())?;
    // REGION, with the class mask for R96.
    writer.record(REGION, lengths[2])?;
    writer.put(&proof.region.offset.to_le_bytes())?;
    writer.put(&proof.region.length.to_le_bytes())?;
    if proof.header.classes > 0 {
        writer.put(&proof.classes.to_mask())?;
    }
    // TILES: the first index, then length and residue of each.
    writer.record(TILES, lengths[3])?;
    writer.put(&proof.first_tile.to_le_bytes())?;
    for tile in &proof.tiles {
        writer.put(&tile.len.to_le_bytes())?;
        writer.put(&[tile.residue.value()])?;
    }
    // PARTS and TREE: the proofs inside and above the tiles.
    writer.record(PARTS, lengths[4])?;
    for value in &proof.chaining_values {
        writer.put(value)?;
    }
    writer.record(TREE, lengths[5])?;
    for sibling in &proof.siblings {
        writer.put(&sibling.bytes.to_le_bytes())?;
        writer.put(&sibling.digest)?;
    }
    Ok(())
}

impl AtlasShard {
    fn lengths(&self) -> [usize; PROOF_RECORDS + 1] {
        let [root, domain, region, tiles, parts, tree] = proof_lengths(&self.proof);
        [root, domain, region, tiles, parts, tree, self.payload.len()]
    }

    /// Returns the number of bytes that [`serialize`](Self::serialize) returns.
    pub fn serialized_size(&self) -> usize {
        // All parts are in memory, and their sum is little more than their size there.
        encoded_size(&self.lengths()).unwrap_or(usize::MAX)
    }

    /// Returns the one encoding of this shard (docs/format.md).
    ///
    /// A reader with the default [`Limits`] refuses a payload of more than 1 GiB with LIMIT: split a larger
    /// region into several shards, or raise the reader's `max_payload_size`.
    pub fn serialize(&self) -> Result<Vec<u8>> {
        let mut writer = Writer::to_vec(Kind::Shard, &self.lengths())?;
        write_proof(&mut writer, &self.proof)?;
        writer.record(PAYLOAD, self.payload.len())?;
        writer.put(&self.payload)?;
        writer.into_vec()
    }

    /// Reads the shard that `bytes` encode, verified against its own root and the trust settings `verify`.
    ///
    /// Fails with FORMAT or UNSUPPORTED if the bytes are no shard, with LIMIT if the shard is larger than
    /// `limits`, with WITNESS or CONSERVATION if it does not verify.
    pub fn deserialize(
        bytes: &[u8],
        limits: &Limits,
        verify: &VerifyOptions,
        operation: &mut Operation<'_>,
    ) -> Result<AtlasShard> {
        let mut reader = Reader::new(bytes, Kind::Shard)?;
        // Sizes are checked against limits and memory before any list is allocated.
        let read = read_proof(&mut reader, limits, [(PAYLOAD, "PAYLOAD")], |tiles, lists, [payload]| {
            let size = to_u64(payload.len());
            within("max_payload_size", size, limits.max_payload_size)?;
            // Every tile has at least one byte, so that a tile count above the payload's size is wrong.
            if tiles > size {
                return Err(AtlasError::format(format!(
                    "malformed shard: it claims {tiles} tiles and has only {size} bytes of payload"
                )));
            }
            let memory = tiles.saturating_mul(VERIFIED_TILE).saturating_add(lists);
            operation.reserve(memory.saturating_add(size))
        });
        // The totals of progress are known from here on. An error of `read` is returned only once the
        // digest is right.
        let (payload_len, tiles) =
            read.as_ref().map_or((0, 0), |(proof, [payload])| (payload.len(), proof.tiles.len()));
        let (body, steps) = reader.digest_work();
        let mut tracker = operation.tracker(body + to_u64(payload_len), steps + to_u64(tiles));
        reader.check_digest(|bytes| tracker.advance(bytes, 1))?;
        let progress = tracker.progress();
        let (proof, [payload]) = read?;
        // Root and key are compared before the payload is copied.
        proof.check_trust(verify)?;
        let payload = Buffer::copy_of(payload)?;
        let (payload_offset, residue) = proof.verify(&payload, verify, operation, progress)?;
        Ok(AtlasShard { proof: Arc::new(proof), payload: Arc::new(payload), payload_offset, residue })
    }
}

/// Reads the records from ROOT to TREE of a serialised shard, and then the records `behind`, which are the last
/// of the encoding. Returns the proof and the values of the last records.
///
/// `check` receives the number of tiles, the number of bytes of the lists in TILES, PARTS and TREE, and the
/// values of the last records, before any allocation.
pub(crate) fn read_proof<'a, const N: usize>(
    reader: &mut Reader<'a>,
    limits: &Limits,
    behind: [(u16, &str); N],
    check: impl FnOnce(u64, u64, [&'a [u8]; N]) -> Result<()>,
) -> Result<(Proof, [&'a [u8]; N])> {
    // ROOT: records come in ascending order, each with exactly its length.
    let mut value = reader.record(ROOT, "ROOT")?;
    let root = value.digest()?;
    value.finish("ROOT")?;

    // DOMAIN: type, K, flags, size and tile count.
    let mut value = reader.record(DOMAIN, "DOMAIN")?;
    let (kind, classes, flags) = (value.u8()?, value.u8()?, value.u8()?);
    value.zeros(5)?;
    let header = RootHeader { kind, classes, size: value.u64()?, tiles: value.u64()? };
    value.finish("DOMAIN")?;
    // The type decides which K is possible; unknown flags are refused.
    let valid = match ProjectionType::from_code(kind) {
        None => {
            return Err(AtlasError::unsupported(format!(
                "the shard has the projection type {kind}, which this version of the library does not know: \
                 use a newer version"
            )));
        }
        Some(ProjectionType::Linear) => classes == 0,
        Some(ProjectionType::R96Fourier) => (1..=96).contains(&classes),
    };
    if !valid || flags & !KEYED != 0 {
        return Err(AtlasError::format(format!(
            "malformed shard: K {classes} and flags {flags:#x} are not allowed with the projection type \
             {kind}"
        )));
    }

    // REGION: offset and length, and the classes for R96.
    let mut value = reader.record(REGION, "REGION")?;
    let region = AtlasBoundaryRegion { offset: value.u64()?, length: value.u64()? };
    let classes = match header.classes {
        0 => ClassSet::EMPTY,
        _ => ClassSet::from_mask(value.take()?),
    };
    value.finish("REGION")?;
    if header.classes > 0 && classes.is_empty() {
        return Err(AtlasError::format(
            "malformed shard: it is of an R96 projection, and has none of the 96 classes",
        ));
    }

    // The frames of all lists, without their entries.
    let mut tile_list = reader.record(TILES, "TILES")?;
    let mut part_list = reader.record(PARTS, "PARTS")?;
    let mut node_list = reader.record(TREE, "TREE")?;
    // The last records of this kind of shard, without a check of their contents.
    let mut rest = [&[][..]; N];
    for (value, (tag, name)) in rest.iter_mut().zip(behind) {
        *value = reader.record(tag, name)?.rest();
    }
    reader.end()?;
    // Limits come before the entries are read.
    let lists: u64 = [&tile_list, &part_list, &node_list].map(|list| to_u64(list.remaining())).iter().sum();
    within("max_proof_size", lists, limits.max_proof_size)?;

    // A record TILES that is too short for its first field fails with FORMAT at this step (docs/format.md).
    let first_tile = tile_list.u64()?;
    let count = to_u64(tile_list.remaining() / TILE_ENTRY);
    check(count, lists, rest)?;
    // An entry of a tile needs much more memory than its bytes here.
    within("max_proof_size", count.saturating_mul(VERIFIED_TILE), limits.max_proof_size)?;
    let mut tiles = entries(&tile_list, TILE_ENTRY, "TILES")?;
    while tile_list.remaining() > 0 {
        let (len, residue) = (tile_list.u32()?, tile_list.u8()?);
        let index = to_u64(tiles.len());
        let residue = Residue::new(residue).ok_or_else(|| {
            AtlasError::format(format!(
                "malformed shard: tile {index} in its record TILES has the residue {residue}, outside \
                 0..=95"
            ))
            .at_index(index)
        })?;
        tiles.push(TileShape { len, residue });
    }
    // The digests of both proofs are copied as they are; the root confirms them later.
    let mut chaining_values = entries(&part_list, PART_ENTRY, "PARTS")?;
    while part_list.remaining() > 0 {
        chaining_values.push(part_list.digest()?);
    }
    let mut siblings = entries(&node_list, TREE_ENTRY, "TREE")?;
    while node_list.remaining() > 0 {
        siblings.push(Sibling { bytes: node_list.u64()?, digest: node_list.digest()? });
    }
    let keyed = flags & KEYED != 0;
    Ok((Proof { root, header, keyed, region, classes, first_tile, tiles, chaining_values, siblings }, rest))
}

/// Fails with LIMIT if `size` exceeds `limit`. The error calls the limit `name`.
pub(crate) fn within(name: &str, size: u64, limit: u64) -> Result<()> {
    if size <= limit {
        return Ok(());
    }
    Err(AtlasError::limit(format!("the shard needs {size} bytes, more than the limit {name} of {limit}")))
}

/// Returns an empty list with room for the entries of `size` bytes in the record `name`. Fails with FORMAT if
/// the record ends inside an entry.
fn entries<T>(list: &Reader<'_>, size: usize, name: &str) -> Result<Vec<T>> {
    // A list that ends inside an entry has no encoding.
    if !list.remaining().is_multiple_of(size) {
        return Err(AtlasError::format(format!(
            "malformed shard: its record {name} has {} bytes of entries, which is not a multiple of {size}",
            list.remaining()
        )));
    }
    try_vec(list.remaining() / size)
}
