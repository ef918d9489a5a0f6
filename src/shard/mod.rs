//! Shards: regions of a domain that verify alone, with their proof against the root.
//!
//! A LINEAR shard holds the pages that its region touches, an R96 shard some classes of its tiles
//! (docs/format.md). No shard exists whose bytes did not verify: extraction hashes the copy that it
//! returns, deserialisation checks the proof.

#![forbid(unsafe_code)]

mod extract;
mod format;
mod layout;

pub(crate) use extract::region_list;
pub use extract::{ExtractOptions, ParallelStrategy};
pub use format::Limits;
pub(crate) use format::{PROOF_RECORDS, proof_lengths, read_proof, within, write_proof};
use layout::{Scope, Share};

use crate::base::buffer::Buffer;
use crate::base::error::{AtlasError, Result, check_range};
use crate::base::units::{to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::exec::pool;
use crate::exec::progress::{Progress, Tracker};
use crate::exec::workers::Workers;
use crate::hash::class_tree::{ClassSet, witness_from_classes};
use crate::hash::digest::{Digest, Digests, hex, same};
use crate::hash::key::Key;
use crate::hash::outboard::witness_from_pages;
use crate::hash::rfc6962;
use crate::hash::tile_tree::{Leaf, RootHeader, Sibling, root_from_tiles};
use crate::layer2::Residue;
use crate::r96::{CLASS_BLOCK_BYTES, block_bytes};
use crate::tile::one_tile::sum_and_digest;
use crate::tile::options::ProjectionType;
use crate::tile::scheme::{decode_blocks, decoder};
use std::ops::Range;
use std::sync::Arc;

/// A part of a domain: `length` bytes from `offset` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AtlasBoundaryRegion {
    /// Offset of the first byte.
    pub offset: u64,
    /// Number of bytes. 0 is allowed.
    pub length: u64,
}

impl AtlasBoundaryRegion {
    /// Returns the region of `length` bytes from `offset` on.
    pub fn new(offset: u64, length: u64) -> Self {
        AtlasBoundaryRegion { offset, length }
    }

    /// Returns the offset after the last byte, or 2^64 - 1 if the region ends beyond that.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// Length and residue of a tile, which the root of the projection covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TileShape {
    pub(crate) len: u32,
    pub(crate) residue: Residue,
}

/// All parts of a serialised shard except its payload.
pub(crate) struct Proof {
    pub(crate) root: Digest,
    pub(crate) header: RootHeader,
    pub(crate) keyed: bool,
    pub(crate) region: AtlasBoundaryRegion,
    /// Classes that the shard carries. Empty for LINEAR.
    pub(crate) classes: ClassSet,
    pub(crate) first_tile: u64,
    pub(crate) tiles: Vec<TileShape>,
    /// LINEAR: chaining values that prove the pages of the first tile, then the pages of the last tile. R96:
    /// nodes that prove the classes, tile by tile.
    pub(crate) chaining_values: Vec<Digest>,
    /// Nodes of the tree above the tiles that prove the shard's tiles against the root.
    pub(crate) siblings: Vec<Sibling>,
}

/// A region of a domain with its bytes and their proof against the root.
///
/// A shard owns its bytes and needs neither the projection nor its source any more.
///
/// Compressed shards made from it share its proof and payload.
///
/// ```
/// use atlas_manifold::{
///     AtlasBoundaryRegion, AtlasProjection, AtlasShard, ErrorKind, Limits, Operation, Source, VerifyOptions,
/// };
///
/// let operation = &mut Operation::new();
/// let projection = AtlasProjection::linear(&Source::from_vec(vec![7; 3_000_000]))?;
/// let trust = VerifyOptions::new().with_root(projection.root(operation)?);
/// let mut bytes =
///     projection.extract_shard(&AtlasBoundaryRegion::new(1_000_000, 5_000), operation)?.serialize()?;
///
/// // The reader needs the root, and no other byte of the domain.
/// let shard = AtlasShard::deserialize(&bytes, &Limits::default(), &trust, operation)?;
/// assert_eq!(shard.data(), [7; 5_000]);
///
/// // One damaged byte is refused.
/// bytes[300] ^= 1;
/// let error = AtlasShard::deserialize(&bytes, &Limits::default(), &trust, operation).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Format);
/// # Ok::<(), atlas_manifold::AtlasError>(())
/// ```
pub struct AtlasShard {
    pub(crate) proof: Arc<Proof>,
    pub(crate) payload: Arc<Buffer>,
    /// Offset of the payload in the domain.
    pub(crate) payload_offset: u64,
    /// Residue of the content: the region's bytes, or the classes' payload.
    pub(crate) residue: Residue,
}

/// Properties of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardInfo {
    /// Type of the projection to which the shard belongs.
    pub projection_type: ProjectionType,
    /// Number of bytes of the whole domain.
    pub domain_size: u64,
    /// Region of the domain that the shard covers. R96: whole tiles.
    pub region: AtlasBoundaryRegion,
    /// Number of bytes of [`AtlasShard::data`]. LINEAR: the region's length.
    pub payload_size: u64,
    /// LINEAR: sum of the region's bytes mod 96. R96: 0.
    pub residue: Residue,
    /// K of R96. 0 for LINEAR.
    pub data_classes: u8,
    /// Classes that the shard carries. Empty for LINEAR.
    pub classes: ClassSet,
    /// True if the witnesses of the shard are keyed.
    pub keyed: bool,
    /// Root of the projection state to which the shard belongs.
    pub root: Digest,
}

/// Trust settings of a verifier.
///
/// With a key, a shard must be keyed with it. A keyed shard fails with WITNESS if no key is given. Without an
/// expected root only self-consistency is checked: anyone can make a shard that is consistent with a root of
/// their own.
///
/// ```
/// use atlas_manifold::{
///     AtlasBoundaryRegion, AtlasProjection, ErrorKind, Operation, ProjectionOptions, ProjectionType, Source,
///     VerifyOptions,
/// };
///
/// let operation = &mut Operation::new();
/// let options = ProjectionOptions::new().with_key(&[7; 32]);
/// let projection =
///     AtlasProjection::create(ProjectionType::Linear, &Source::copy(b"secret")?, &options, operation)?;
/// let shard = projection.extract_shard(&AtlasBoundaryRegion::new(0, 6), operation)?;
/// shard.verify(&VerifyOptions::new().with_key(&[7; 32]), operation)?;
/// let error = shard.verify(&VerifyOptions::new().with_key(&[8; 32]), operation).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Witness);
/// # Ok::<(), atlas_manifold::AtlasError>(())
/// ```
#[derive(Clone, Default)]
pub struct VerifyOptions {
    pub(crate) expected_root: Option<Digest>,
    pub(crate) key: Option<Key>,
}

impl VerifyOptions {
    /// Returns the settings for self-consistency, without a key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the root that the proof of a shard must lead to.
    #[must_use]
    pub fn with_root(mut self, root: Digest) -> Self {
        self.expected_root = Some(root);
        self
    }

    /// Sets the key of the projection.
    #[must_use]
    pub fn with_key(mut self, key: &[u8; 32]) -> Self {
        self.key = Some(Key::new(key));
        self
    }

    pub(crate) fn digests(&self) -> Digests {
        Digests::new(self.key.as_deref())
    }
}

/// Share of a shard in one tile, with its byte range in the payload and the range of its nodes in the proof.
#[derive(Clone)]
pub(crate) struct TilePart {
    share: Share,
    /// Number of bytes of the tile.
    len: usize,
    /// Byte range of the share in the shard's payload.
    pub(crate) payload: Range<usize>,
    /// Range in [`Proof::chaining_values`] of the nodes that prove the share.
    proof: Range<usize>,
}

impl TilePart {
    /// Returns the number of bytes of the whole tile.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns true if the shard has all pages of the tile. False for classes.
    pub(crate) fn is_whole(&self) -> bool {
        self.share.is_whole(self.len)
    }

    /// Returns the byte range in the shard's payload of the payload of `class` in this tile. `None` if there is
    /// none.
    pub(crate) fn class_range(&self, class: u8) -> Option<Range<usize>> {
        let range = self.share.class_range(class)?;
        Some(self.payload.start + range.start..self.payload.start + range.end)
    }
}

/// Number of R96 blocks that a read of a shard decodes at a time.
const BLOCKS_A_READ: usize = 8;

/// Number of bytes of memory for the verification of a tile, besides the payload. The same on every processor,
/// so that all accept the same shards.
const VERIFIED_TILE: u64 = 168;
const _: () = assert!(
    (size_of::<TileShape>() + size_of::<(TilePart, Leaf, Digest, Residue)>()) as u64 <= VERIFIED_TILE
);

impl Proof {
    pub(crate) fn scope(&self) -> Scope {
        Scope { region: self.region, classes: self.classes, data_classes: self.header.classes }
    }

    pub(crate) fn kind(&self) -> ProjectionType {
        if self.header.classes > 0 { ProjectionType::R96Fourier } else { ProjectionType::Linear }
    }

    fn tile_range(&self) -> Range<u64> {
        self.first_tile..self.first_tile + to_u64(self.tiles.len())
    }

    /// Checks that tiles, region, proof and payload, which may all be hostile, are consistent with one another.
    /// Returns the part of the shard in each tile, and the offset of the payload in the domain. Fails with
    /// FORMAT or WITNESS.
    pub(crate) fn layout(&self, payload_len: usize) -> Result<(Vec<TilePart>, u64)> {
        // The region lies in the domain, and its tiles are tiles of the domain.
        let malformed = |what: String| Err(AtlasError::format(what));
        let region = &self.region;
        check_range(region.offset, region.length, self.header.size, "the region")
            .map_err(|error| AtlasError::format(format!("{}", error.message())))?;
        let count = to_u64(self.tiles.len());
        match self.first_tile.checked_add(count) {
            Some(end) if end <= self.header.tiles => {}
            _ => {
                return malformed(format!(
                    "malformed shard: its {count} tiles from tile {} on are outside 0..{}",
                    self.first_tile, self.header.tiles
                ));
            }
        }
        // The empty region has no tiles, and every other region has at least one tile.
        if (region.length == 0) != self.tiles.is_empty() || (count == 0 && self.first_tile != 0) {
            return malformed(format!(
                "malformed shard: its region of {} bytes has {count} tiles from tile {} on: only an empty \
                 region has no tiles, and its first tile is 0",
                region.length, self.first_tile
            ));
        }
        // The number of siblings follows from the tile range alone.
        let wanted = crate::hash::tile_tree::proof_len(&self.tile_range(), self.header.tiles)?;
        if wanted != self.siblings.len() {
            return malformed(format!(
                "malformed shard: its proof has {} nodes, and must have {wanted}",
                self.siblings.len()
            ));
        }
        // Every tile has at least one block of each class, and all tiles prove the same classes.
        let class_nodes = match self.header.classes {
            0 => None,
            _ => Some(crate::hash::class_tree::proof_len(self.classes)?),
        };
        let least = count.saturating_mul(to_u64(self.classes.len() * CLASS_BLOCK_BYTES));
        if least > to_u64(payload_len) {
            return malformed(format!(
                "malformed shard: its payload has {payload_len} bytes, and {} classes of {count} tiles \
                 have at least {least}",
                self.classes.len()
            ));
        }
        // The offset of the first tile follows from the claimed lengths of the siblings.
        let (scope, start) = (self.scope(), self.claimed_start()?);
        if start > region.offset {
            return malformed(format!(
                "malformed shard: its tiles begin at offset {start}, after the region's first byte at {}",
                region.offset
            ));
        }
        // Walk the tiles, and place each share in payload and proof.
        let (mut parts, mut tile_offset) = (crate::base::buffer::try_vec(self.tiles.len())?, start);
        let (mut payload, mut proof, mut payload_offset) = (0usize, 0usize, start);
        for (index, tile) in (self.first_tile..).zip(&self.tiles) {
            let len = to_usize(u64::from(tile.len));
            let end = tile_offset.checked_add(u64::from(tile.len));
            let Some(end) = end.filter(|_| (1..=crate::TILE_SIZE).contains(&len)) else {
                return malformed(format!(
                    "malformed shard: tile {index} has {len} bytes, outside 1..={}",
                    crate::TILE_SIZE
                ));
            };
            if end <= region.offset || tile_offset >= region.end() {
                return malformed(format!(
                    "malformed shard: it has tile {index}, which has no byte of its region"
                ));
            }
            let share = scope.share(tile_offset, len);
            if parts.is_empty() {
                payload_offset = tile_offset + share.offset();
            }
            let bytes = share.payload_len(len);
            let siblings = class_nodes.map_or_else(|| share.proof_len(len), Ok)?;
            // Sums of lengths of at most 1 MiB, one per tile in memory, do not overflow 64 bits. On 32-bit
            // processors `payload_len` bounds them.
            parts.push(TilePart {
                share,
                len,
                payload: payload..payload.saturating_add(bytes),
                proof: proof..proof + siblings,
            });
            payload = payload.saturating_add(bytes);
            proof += siblings;
            tile_offset = end;
        }
        // The tiles end with the region, and the lengths match the payload and the proof exactly.
        if tile_offset < region.end() && count > 0 {
            return malformed(format!(
                "malformed shard: its tiles end at offset {tile_offset}, before the region"
            ));
        }
        if self.header.classes > 0 && count > 0 && (start..tile_offset) != (region.offset..region.end()) {
            return malformed(format!(
                "malformed shard: its tiles have the bytes {start}..{tile_offset}, and its region is {}..{}",
                region.offset,
                region.end()
            ));
        }
        if payload != payload_len {
            return malformed(format!(
                "malformed shard: its payload has {payload_len} bytes, and must have {payload}"
            ));
        }
        if proof != self.chaining_values.len() {
            let found = self.chaining_values.len();
            return malformed(format!(
                "malformed shard: its proof has {found} nodes inside tiles, and must have {proof}"
            ));
        }
        Ok((parts, payload_offset))
    }

    /// Returns the offset in the domain of the shard's first tile, by lengths that the proof claims. The root
    /// confirms these later.
    pub(crate) fn claimed_start(&self) -> Result<u64> {
        // A shard that proves the root alone begins at its region.
        if self.tiles.is_empty() {
            return Ok(self.region.offset);
        }
        // Siblings before the tiles come first, and their bytes lead up to the first tile.
        let places = rfc6962::siblings(&self.tile_range(), self.header.tiles)?;
        places
            .iter()
            .zip(&self.siblings)
            .take_while(|(node, _)| node.leaves(self.header.tiles).end <= self.first_tile)
            .try_fold(0u64, |sum, (_, sibling)| sum.checked_add(sibling.bytes))
            .ok_or_else(|| {
                AtlasError::witness("wrong proof: the lengths in it add up to more than 2^64 bytes")
            })
    }

    /// Verifies payload and proof against the shard's root and the trust settings `options`.
    ///
    /// WITNESS takes precedence over CONSERVATION. Returns the offset of the payload in the domain and the
    /// residue of the shard's content. `before` is progress that was reported already.
    fn verify(
        &self,
        payload: &[u8],
        options: &VerifyOptions,
        operation: &mut Operation<'_>,
        before: Progress,
    ) -> Result<(u64, Residue)> {
        // Cheap checks first: trust, memory, then the layout of all lists.
        self.check_trust(options)?;
        let workers = self.verifiers(payload.len(), operation)?;
        let (parts, payload_offset) = self.layout(payload.len())?;
        // Continue the progress of reading, with the payload as further work.
        let mut tracker = operation.resume(
            Progress {
                bytes_total: before.bytes_done + to_u64(payload.len()),
                chunks_total: before.chunks_done + to_u64(parts.len()),
                ..before
            },
            // Without parts the end of reading was the end of the call.
            parts.is_empty() && before.chunks_done > 0,
        );
        let layout = (&parts[..], payload_offset);
        let residue = self.verify_parts(payload, layout, options, workers, &mut tracker)?;
        tracker.finish()?;
        Ok((payload_offset, residue))
    }

    /// Returns the workers that verify a payload of `payload` bytes. Fails with LIMIT if the memory limit is too
    /// small for the results and for the lists that [`layout`](Self::layout) makes, which is called later.
    pub(crate) fn verifiers<'a>(&self, payload: usize, operation: &Operation<'a>) -> Result<Workers<'a>> {
        // A thread is worth waking from 64 KiB of payload on.
        let (tiles, worth) = (to_u64(self.tiles.len()), payload / pool::TASK_BYTES);
        Ok(operation.workers(tiles, 0, tiles.saturating_mul(VERIFIED_TILE))?.at_most(worth))
    }

    /// Verifies the payload part by part, and then the root. The caller has the parts from
    /// [`layout`](Self::layout), and has called [`check_trust`](Self::check_trust) with the same options. Returns
    /// the residue of the content. Reports progress for every part, but not the end of the call.
    pub(crate) fn verify_parts(
        &self,
        payload: &[u8],
        (parts, payload_offset): (&[TilePart], u64),
        options: &VerifyOptions,
        workers: Workers<'_>,
        tracker: &mut Tracker<'_, '_>,
    ) -> Result<Residue> {
        let digests = options.digests();
        let mut hashed = crate::base::buffer::try_vec(parts.len())?;
        // The tiles are hashed in parallel; the sink keeps them in order.
        workers.run(
            to_u64(parts.len()),
            || Ok(()),
            |(), index| {
                // A part needs no other part: its own proof leads to the witness of its tile.
                let part = &parts[to_usize(index)];
                self.hash_part(&digests, part, &payload[part.payload.clone()])
            },
            |index, done| {
                hashed.push(done);
                tracker.advance(to_u64(parts[to_usize(index)].payload.len()), 1)
            },
        )?;
        // The last step compares with the root.
        self.conclude(&digests, parts, payload_offset, payload, &hashed)
    }

    /// Performs the last step of verification: computes the root from the witness and residue of each part's
    /// tile, and compares it with the shard's root. Returns the residue of the content. Fails with WITNESS or
    /// CONSERVATION.
    pub(crate) fn conclude(
        &self,
        digests: &Digests,
        parts: &[TilePart],
        payload_offset: u64,
        payload: &[u8],
        hashed: &[(Digest, Residue)],
    ) -> Result<Residue> {
        // Leaves from the computed witnesses and the claimed lengths and residues.
        let mut leaves = crate::base::buffer::try_vec(hashed.len())?;
        leaves.extend(self.tiles.iter().zip(hashed).map(|(tile, (witness, _))| Leaf {
            len: tile.len,
            residue: tile.residue,
            witness: *witness,
        }));
        let (root, _) = root_from_tiles(digests, &self.header, &self.tile_range(), &leaves, &self.siblings)?;
        let place = |error: AtlasError| error.at_range(self.region.offset, self.region.length);
        if !same(&root, &self.root) {
            // Damage and a wrong key cannot be distinguished, because both lead to another root.
            let cause = if self.keyed { "damaged, or made with another key" } else { "damaged" };
            return Err(place(AtlasError::witness(format!(
                "{cause}: the shard's bytes and proof do not lead to its root"
            ))));
        }
        // The root covers the claimed residues; whole tiles are compared with them.
        for (index, ((tile, part), (_, residue))) in
            (self.first_tile..).zip(self.tiles.iter().zip(parts).zip(hashed))
        {
            if part.share.is_whole(part.len) && tile.residue != *residue {
                return Err(place(AtlasError::conservation(format!(
                    "tile {index} sums to {residue} mod 96 instead of the {} in its proof: the bytes lead to \
                     the root, so that the program that made the shard is faulty",
                    tile.residue
                )))
                .at_index(index));
            }
        }
        // The content is the payload without the bytes on either side of the region.
        let total = hashed.iter().map(|(_, residue)| *residue).sum();
        Ok(self.scope().content_residue(total, payload, payload_offset))
    }

    /// Fails with WITNESS if the shard has another root than expected, if it is keyed and no key is given, or
    /// if a key is given and it is not keyed.
    pub(crate) fn check_trust(&self, options: &VerifyOptions) -> Result<()> {
        if let Some(expected) = &options.expected_root
            && !same(expected, &self.root)
        {
            return Err(AtlasError::witness(format!(
                "the shard belongs to the root {} instead of the expected {}",
                hex(&self.root),
                hex(expected)
            )));
        }
        // A superfluous key is refused too: its owner expects a keyed shard.
        match (self.keyed, options.key.is_some()) {
            (true, false) => Err(AtlasError::witness("the shard is keyed and no key was given")),
            (false, true) => Err(AtlasError::witness("a key was given and the shard is not keyed")),
            _ => Ok(()),
        }
    }

    /// Returns the witness of a part's tile, computed from `bytes`, the shard's payload in this part, and from
    /// the nodes that prove it. Also returns the residue of `bytes`.
    pub(crate) fn hash_part(
        &self,
        digests: &Digests,
        part: &TilePart,
        bytes: &[u8],
    ) -> Result<(Digest, Residue)> {
        // A whole tile needs no proof inside.
        if part.share.is_whole(part.len) {
            let (residues, witness) = sum_and_digest(digests, bytes);
            return Ok((witness, residues.total()));
        }
        // The sum brings the bytes into the cache for the digest.
        let residue = Residue::of(bytes);
        let proof = &self.chaining_values[part.proof.clone()];
        // Pages and classes lead to the witness through their proof.
        let witness = match &part.share {
            Share::Pages(pages) => {
                let mut values = proof.iter();
                let take = || {
                    values.next().copied().ok_or_else(|| {
                        AtlasError::internal(
                            "a defect of the library, please report it: the proof of a tile's pages has \
                             too few nodes",
                        )
                    })
                };
                witness_from_pages(digests, part.len, pages, bytes, take)?
            }
            Share::Classes { classes, .. } => {
                let mut payloads = crate::base::buffer::try_vec(classes.len())?;
                payloads.extend(part.share.class_payloads(bytes).map(|payload| digests.tile(payload)));
                witness_from_classes(digests, *classes, &payloads, proof)?
            }
        };
        Ok((witness, residue))
    }
}

impl AtlasShard {
    pub(crate) fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Returns the offset of the payload in the domain, and all of the payload. LINEAR: the pages that the
    /// region touches, with up to 4,095 bytes on either side of it. R96: the payloads of all classes.
    pub(crate) fn payload(&self) -> (u64, &[u8]) {
        (self.payload_offset, &self.payload)
    }

    pub(crate) fn shared_payload(&self) -> Arc<Buffer> {
        Arc::clone(&self.payload)
    }

    /// Returns the properties of the shard.
    pub fn info(&self) -> ShardInfo {
        let kind = self.proof.kind();
        ShardInfo {
            projection_type: kind,
            domain_size: self.proof.header.size,
            region: self.proof.region,
            payload_size: to_u64(self.data().len()),
            // The sum of coefficients of R96 has no meaning for the domain.
            residue: match kind {
                ProjectionType::Linear => self.residue,
                ProjectionType::R96Fourier => Residue::ZERO,
            },
            data_classes: self.proof.header.classes,
            classes: self.proof.classes,
            keyed: self.proof.keyed,
            root: self.proof.root,
        }
    }

    /// Returns the shard's bytes. LINEAR: the region's bytes. R96: the tiles in order, in each tile the
    /// classes, in each class its blocks, whose coefficients have 14 bits.
    pub fn data(&self) -> &[u8] {
        &self.payload[self.proof.scope().content(self.payload.len(), self.payload_offset)]
    }

    /// Reads bytes of the domain from `offset` on. Fails with OUT_OF_RANGE outside the region.
    ///
    /// R96: decodes the blocks that contain them, from all classes of the shard. Fails with INCOMPLETE if
    /// these are fewer than K, with FORMAT or WITNESS if they do not decode to bytes.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let mut done = 0;
        self.read_parts(offset, buffer.len(), |part| {
            buffer[done..done + part.len()].copy_from_slice(part);
            done += part.len();
        })
    }

    /// Reads `len` bytes of the domain like [`read`](Self::read), and passes them to `then` in parts.
    pub(crate) fn read_parts(&self, offset: u64, len: usize, mut then: impl FnMut(&[u8])) -> Result<()> {
        let region = &self.proof.region;
        // The whole range must lie in the region, without overflow.
        let end = match offset.checked_add(to_u64(len)) {
            Some(end) if offset >= region.offset && end <= region.end() => end,
            _ => {
                return Err(AtlasError::out_of_range(format!(
                    "read of {len} bytes at offset {offset} is outside the shard's {}..{}",
                    region.offset,
                    region.end()
                ))
                .at_range(offset, to_u64(len)));
            }
        };
        match self.proof.kind() {
            ProjectionType::Linear => {
                let start = to_usize(offset - region.offset);
                then(&self.data()[start..start + len]);
                Ok(())
            }
            ProjectionType::R96Fourier => self.decode_parts(offset..end, then),
        }
    }

    /// Decodes the domain's bytes of `range`, which lies in the region of an R96 shard, and passes them to
    /// `then` in parts.
    fn decode_parts(&self, range: Range<u64>, mut then: impl FnMut(&[u8])) -> Result<()> {
        // One decoder serves all tiles, because they carry the same classes.
        let decoder = decoder(self.proof.header.classes, self.proof.classes)?;
        let block = block_bytes(usize::from(self.proof.header.classes));
        let mut buffer = Buffer::new(BLOCKS_A_READ * block)?;
        // Domain and payload are walked together, tile by tile.
        let (scope, mut start, mut payload) = (self.proof.scope(), self.proof.region.offset, 0);
        for tile in &self.proof.tiles {
            // The part of the range in this tile.
            let (len, end) = (to_usize(u64::from(tile.len)), start + u64::from(tile.len));
            let share = scope.share(start, len);
            let part = payload..payload + share.payload_len(len);
            payload = part.end;
            let wanted = range.start.clamp(start, end) - start..range.end.clamp(start, end) - start;
            let (mut at, until) = (to_usize(wanted.start), to_usize(wanted.end));
            if at < until {
                let payloads: Vec<&[u8]> = share.class_payloads(&self.payload[part]).collect();
                // Whole blocks are decoded, and their requested bytes are passed on.
                while at < until {
                    let first = at / block * block;
                    let last = until.next_multiple_of(block).min(first + BLOCKS_A_READ * block).min(len);
                    let out = &mut buffer[..last - first];
                    decode_blocks(&decoder, &payloads, first / block, out)
                        .map_err(|error| error.at_range(start, to_u64(len)))?;
                    then(&out[at - first..until.min(last) - first]);
                    at = last;
                }
            }
            start = end;
        }
        Ok(())
    }

    /// Hashes the payload again and checks the proof against the shard's root and the trust settings `options`.
    pub fn verify(&self, options: &VerifyOptions, operation: &mut Operation<'_>) -> Result<()> {
        self.proof.verify(&self.payload, options, operation, Progress::default()).map(|_| ())
    }
}

impl std::fmt::Debug for AtlasShard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AtlasShard").field(&self.info()).finish()
    }
}

#[cfg(test)]
pub(crate) mod tests;
