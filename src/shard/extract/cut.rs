//! Cutting the requested parts out of a tile, checked, with their proof.

use super::plan::{Request, groups_wanted};
use super::{Batch, Share};
use crate::base::buffer::{Buffer, try_vec};
use crate::base::copy::{copy_to_both, copy_to_payload};
use crate::base::error::{AtlasError, Result};
use crate::base::units::{GROUP_SIZE, TileIndex, to_u64, to_usize};
use crate::hash::digest::{Digest, Digests, same};
use crate::hash::outboard::{GroupPages, Outboard, cut_groups, page_bytes, source_changed};
use crate::hash::tile_tree::Sibling;
use crate::layer2::Residue;
use crate::projection::state::Levels;
use crate::shard::{AtlasShard, Proof, TileShape};
use crate::tile::Tile;
use crate::tile::one_tile::Scratch;
use crate::tile::outboards::OutboardBudget;
use crate::tile::scheme::Workspace;
use crate::tile::tree::TileAt;
use std::ops::Range;
use std::sync::Arc;

/// Part of a shard in one tile, cut out of the tile and checked.
pub(super) struct Cut {
    pub(super) shard: usize,
    pub(super) tile: u64,
    /// Chaining values or nodes inside the tile that prove the part against the tile's witness.
    pub(super) proof: Vec<Digest>,
    /// Nodes of the tree above the tiles that prove the shard's tiles against the root. Set only in the part in
    /// the first tile of the shard.
    pub(super) siblings: Option<Vec<Sibling>>,
    pub(super) residue: Residue,
    pub(super) payload: Option<Buffer>,
}

/// Result of one request: a part of a shard, or a whole shard that lies in one tile.
pub(super) enum Outcome {
    Part(Cut),
    Whole(usize, AtlasShard),
}

/// Shard under construction: the parts that were collected so far, or the finished shard.
#[derive(Default)]
pub(super) struct Assembly {
    /// The shard itself, if it lies in one tile and a worker has finished it; the other fields are then unused.
    pub(super) finished: Option<AtlasShard>,
    /// Proof of each part inside its tile, with the tile's index, in any order.
    pub(super) proofs: Vec<(u64, Vec<Digest>)>,
    pub(super) siblings: Vec<Sibling>,
    pub(super) residue: Residue,
    pub(super) payload: Option<Buffer>,
}

/// Returns the pages that a shard takes from a LINEAR tile, counted from the start of the tile.
fn pages(share: &Share) -> Result<Range<u64>> {
    match share {
        Share::Pages(pages) => Ok(pages.clone()),
        Share::Classes { .. } => Err(AtlasError::internal(
            "a defect of the library, please report it: classes are requested of a LINEAR tile",
        )),
    }
}

impl Batch<'_> {
    /// Returns the finished shard if `done`, cut out of `tile`, is its only part. Otherwise returns `done` as a
    /// part.
    fn settle(&self, tile: &Tile, done: Cut) -> Result<Outcome> {
        let shard = done.shard;
        // A shard of several tiles waits for its parts.
        if self.spans[shard].tile_count() > 1 {
            return Ok(Outcome::Part(done));
        }
        let payload = done.payload.map_or_else(|| Buffer::new(0), Ok)?;
        let mut tiles = try_vec(1)?;
        tiles.push(shape(tile));
        let siblings = done.siblings.unwrap_or_default();
        let made = self.shard(shard, payload, tiles, done.proof, siblings, done.residue);
        Ok(Outcome::Whole(shard, made))
    }

    /// Reads, transforms and checks the tile `at`, and cuts out the classes for each request of `wants`. Adds
    /// the results to `all`.
    pub(super) fn cut_classes(
        &self,
        at: &TileAt,
        wants: &mut [Request<'_>],
        scratch: &mut Scratch,
        workspace: &mut Workspace,
        all: &mut Vec<Outcome>,
    ) -> Result<()> {
        let (tile, len) = (&at.tile, at.tile.len());
        let mut shares = try_vec(wants.len())?;
        let mut own = try_vec(wants.len())?;
        // A shard of one tile gets a payload of its own; the parts of other shards write into the shared
        // payload of their shard.
        for want in &*wants {
            let share = self.share(want);
            let fresh = want.out.is_none().then(|| Buffer::new(share.payload_len(len)));
            own.push(fresh.transpose()?);
            shares.push(share);
        }
        // The bytes in memory are hashed and passed on as they are, so that they need no copy.
        let bytes = match tile.slice() {
            Some(bytes) => bytes,
            None => {
                let bytes = scratch.bytes(len)?;
                tile.read(0, bytes)?;
                bytes
            }
        };
        // The transform returns each class slice by slice. A slice is copied to every shard that requests its
        // class.
        let tree = self.state.context.scheme.classes(bytes, workspace, |class, start, payload| {
            for ((want, share), own) in wants.iter_mut().zip(&shares).zip(&mut own) {
                let out = want.out.as_deref_mut().or(own.as_deref_mut());
                if let (Some(range), Some(out)) = (share.class_range(class), out) {
                    out[range][start..start + payload.len()].copy_from_slice(payload);
                }
            }
        })?;
        // The witness proves that the source still has the projected bytes.
        let witness = tree.witness()?;
        if tile.witness().is_none_or(|known| !same(known, &witness)) {
            return Err(source_changed(at));
        }
        // Residue, proof inside the tile and proof of the tile, for each shard.
        let mut proofs = TreeProofs { levels: &self.levels, last: None };
        for ((want, share), own) in wants.iter_mut().zip(shares).zip(own) {
            let Share::Classes { classes, .. } = share else {
                return Err(AtlasError::internal(
                    "a defect of the library, please report it: pages are requested of a transformed tile",
                ));
            };
            let residue = Residue::of(want.out.as_deref().or(own.as_deref()).unwrap_or_default());
            let (shard, proof) = (want.shard, tree.prove(classes)?);
            let siblings = proofs.first(at, &self.spans[shard].tiles)?;
            all.push(
                self.settle(tile, Cut { shard, tile: at.index.0, proof, siblings, residue, payload: own })?,
            );
        }
        Ok(())
    }

    /// Reads and checks the tile `at`, and cuts out the pages for each request of `wants`. Adds the results to
    /// `all`. `outboards` limits how many outboards (chaining values of a tile's groups) are kept for later
    /// calls.
    pub(super) fn cut_pages(
        &self,
        at: &TileAt,
        wants: &mut [Request<'_>],
        scratch: &mut Scratch,
        outboards: &OutboardBudget,
        all: &mut Vec<Outcome>,
    ) -> Result<()> {
        let context = &self.state.context;
        let (tile, len) = (&at.tile, at.tile.len());
        // With a stored outboard and few groups only these groups are read; a single whole tile needs no
        // proof.
        let groups: usize = wants.iter().map(|want| groups_wanted(&self.share(want), len)).sum();
        let few = groups * 2 <= len.div_ceil(GROUP_SIZE);
        let outboard = if few { tile.outboard() } else { None };
        let mut cutter = match &outboard {
            _ if matches!(&*wants, [want] if self.share(want).is_whole(len)) => Cutter::Whole { scratch },
            Some(outboard) if len > GROUP_SIZE => Cutter::Groups { outboard, scratch },
            _ => {
                // Otherwise the whole tile is hashed, with the pages of every group that a proof cuts.
                // A region cuts a group at either end at most.
                let mut edges: Vec<usize> = try_vec(2 * wants.len())?;
                for want in &*wants {
                    edges.extend(cut_groups(&pages(&self.share(want))?, len));
                }
                // The edges are sorted and without duplicates, because neighbouring regions may cut the same
                // group.
                edges.sort_unstable();
                edges.dedup();
                let bytes = scratch.bytes(len)?;
                tile.read(0, bytes)?;
                let (outboard, witness, edges) = Outboard::of_tile(context.scheme.digests(), bytes, &edges)?;
                // The copy was hashed, so that every part of it is right if the witness matches.
                if tile.witness().is_none_or(|known| !same(known, &witness)) {
                    return Err(source_changed(at));
                }
                // The outboard serves later small regions of the tile.
                let outboard = Arc::new(outboard);
                if len > GROUP_SIZE && outboards.take() {
                    context.outboards.keep(tile, Arc::clone(&outboard));
                }
                Cutter::Checked { outboard, edges, bytes }
            }
        };
        // Shards within one tile share the proof of the tile.
        let mut proofs = TreeProofs { levels: &self.levels, last: None };
        for want in wants {
            let shard = to_u64(want.shard);
            let done = cutter.cut(self, want, &mut proofs).and_then(|done| self.settle(tile, done));
            all.push(done.map_err(|error| error.at_index(shard))?);
        }
        Ok(())
    }

    pub(super) fn finish(
        &self,
        shard: usize,
        shared: Option<Buffer>,
        mut assembly: Assembly,
    ) -> Result<AtlasShard> {
        // Assembles payload, proof and tiles into the shard; its parts are complete and checked.
        let span = &self.spans[shard];
        let payload = match shared.or(assembly.payload) {
            Some(payload) => payload,
            None => Buffer::new(0)?,
        };
        // Chaining values come tile by tile, and parts arrive in any order.
        assembly.proofs.sort_unstable_by_key(|(tile, _)| *tile);
        let mut chaining_values = try_vec(assembly.proofs.iter().map(|(_, proof)| proof.len()).sum())?;
        chaining_values.extend(assembly.proofs.into_iter().flat_map(|(_, proof)| proof));
        // A region of 0 bytes is proved by the top alone.
        let siblings = if self.scopes[shard].region.length == 0 {
            self.levels.prove(&(0..0))?
        } else {
            assembly.siblings
        };
        let count = to_usize(span.tile_count());
        let mut tiles = try_vec(count)?;
        for at in self.state.tree.iter_from_tile(TileIndex(span.tiles.start)).take(count) {
            tiles.push(shape(&at?.tile));
        }
        Ok(self.shard(shard, payload, tiles, chaining_values, siblings, assembly.residue))
    }

    /// Returns the shard with the number `shard` of the batch, made of its payload, the payload's residue and
    /// its proof.
    fn shard(
        &self,
        shard: usize,
        payload: Buffer,
        tiles: Vec<TileShape>,
        chaining_values: Vec<Digest>,
        siblings: Vec<Sibling>,
        residue: Residue,
    ) -> AtlasShard {
        let (state, scope, span) = (self.state, &self.scopes[shard], &self.spans[shard]);
        // The residue covers the region, without the bytes around it in its pages.
        let residue = scope.content_residue(residue, &payload, span.payload_offset);
        let proof = Proof {
            root: *self.levels.root(),
            header: state.root_header(),
            keyed: state.context.scheme.digests().keyed(),
            region: scope.region,
            classes: scope.classes,
            first_tile: span.tiles.start,
            tiles,
            chaining_values,
            siblings,
        };
        // Proof and payload are shared, because compressed shards and reconstructions keep them without a
        // copy.
        let (proof, payload) = (Arc::new(proof), Arc::new(payload));
        AtlasShard { proof, payload, payload_offset: span.payload_offset, residue }
    }
}

fn shape(tile: &Tile) -> TileShape {
    // A tile has at most 1 MiB.
    TileShape { len: u32::try_from(tile.len()).unwrap_or(u32::MAX), residue: tile.residue() }
}

impl Assembly {
    pub(super) fn take(&mut self, done: Cut) -> Result<()> {
        // Adds one part: its proof, the siblings if it is the first part, its residue and its payload.
        if !done.proof.is_empty() {
            let failed = |_| AtlasError::out_of_memory("no memory for the proof of another tile");
            self.proofs.try_reserve(1).map_err(failed)?;
            self.proofs.push((done.tile, done.proof));
        }
        if let Some(siblings) = done.siblings {
            self.siblings = siblings;
        }
        self.residue = self.residue + done.residue;
        // Only a shard of a single tile brings a payload; several tiles fill a shared payload.
        self.payload = self.payload.take().or(done.payload);
        Ok(())
    }
}

/// Proofs of tiles against the root. The last proof is kept, because shards within one tile have the same
/// proof.
struct TreeProofs<'a> {
    levels: &'a Levels<'a>,
    last: Option<(Range<u64>, Vec<Sibling>)>,
}

impl TreeProofs<'_> {
    /// Returns the proof of the tile range `tiles` against the root if `at` is the first of these tiles, else
    /// `None`.
    fn first(&mut self, at: &TileAt, tiles: &Range<u64>) -> Result<Option<Vec<Sibling>>> {
        if at.index == TileIndex(tiles.start) { self.prove(tiles).map(Some) } else { Ok(None) }
    }

    fn prove(&mut self, tiles: &Range<u64>) -> Result<Vec<Sibling>> {
        if let Some((range, proof)) = &self.last
            && range == tiles
        {
            return Ok(proof.clone());
        }
        let proof = self.levels.prove(tiles)?;
        self.last = Some((tiles.clone(), proof.clone()));
        Ok(proof)
    }
}

/// The three ways to get checked bytes of a LINEAR tile.
enum Cutter<'c> {
    /// The whole tile, copied and hashed in one pass.
    Whole { scratch: &'c mut Scratch },
    /// Single groups of 16 KiB, each checked against the stored chaining values of the tile.
    Groups { outboard: &'c Outboard, scratch: &'c mut Scratch },
    /// A copy of the whole tile, from which parts are taken. All of the copy was checked against the witness.
    Checked { outboard: Arc<Outboard>, edges: Vec<(usize, GroupPages)>, bytes: &'c [u8] },
}

impl Cutter<'_> {
    fn cut(&mut self, batch: &Batch<'_>, want: &mut Request<'_>, proofs: &mut TreeProofs<'_>) -> Result<Cut> {
        let wanted = pages(&batch.share(want))?;
        let Request { shard, at, out } = want;
        let (at, len) = (&*at, at.tile.len());
        let within = page_bytes(&wanted, len);
        // A request without a place for its bytes gets a payload of its own.
        let mut own = None;
        let out = match out.as_deref_mut() {
            Some(out) => out,
            None => &mut own.insert(Buffer::new(within.len())?)[..],
        };
        let digests = batch.state.context.scheme.digests();
        // Each way checks the bytes before it returns a proof for them.
        let (proof, residue) = match self {
            Cutter::Whole { scratch } => {
                let witness = copy_and_hash(&at.tile, digests, scratch, out)?;
                if at.tile.witness().is_none_or(|known| !same(known, &witness)) {
                    return Err(source_changed(at));
                }
                // A whole tile needs no proof inside, and its leaf has its sum.
                (Vec::new(), at.tile.residue())
            }
            Cutter::Checked { outboard, edges, bytes } => {
                let part = &bytes[within];
                copy_to_payload(part, out);
                (outboard.prove(digests, len, edges, &wanted)?, Residue::of(part))
            }
            Cutter::Groups { outboard, scratch } => {
                // Whole groups are read into place. A cut group is read into a copy, so that its pages can be
                // hashed.
                let mut edges = Vec::new();
                for group in within.start / GROUP_SIZE..within.end.div_ceil(GROUP_SIZE) {
                    let bytes = group * GROUP_SIZE..((group + 1) * GROUP_SIZE).min(len);
                    let wanted = bytes.start.max(within.start)..bytes.end.min(within.end);
                    let target = &mut out[wanted.start - within.start..wanted.end - within.start];
                    if wanted == bytes {
                        at.tile.read(bytes.start, target)?;
                        outboard.check_group(digests, len, group, target, false, at)?;
                    } else {
                        let copy = &mut scratch.bytes(GROUP_SIZE)?[..bytes.len()];
                        at.tile.read(bytes.start, copy)?;
                        let pages = outboard.check_group(digests, len, group, copy, true, at)?;
                        edges.extend(pages.map(|pages| (group, pages)));
                        target.copy_from_slice(&copy[wanted.start - bytes.start..wanted.end - bytes.start]);
                    }
                }
                (outboard.prove(digests, len, &edges, &wanted)?, Residue::of(out))
            }
        };
        // The tile's own proof against the root.
        let siblings = proofs.first(at, &batch.spans[*shard].tiles)?;
        Ok(Cut { shard: *shard, tile: at.index.0, proof, siblings, residue, payload: own })
    }
}

/// Number of bytes of a tile in memory that are copied and then hashed at a time, while they are in the
/// cache.
const COPY_STEP: usize = 256 * 1024;

/// Copies all bytes of a tile to `out`. Returns the BLAKE3 digest of the copy, which is keyed if `digests` are.
fn copy_and_hash(tile: &Tile, digests: &Digests, scratch: &mut Scratch, out: &mut [u8]) -> Result<Digest> {
    // A tile that is not in memory is read first.
    let Some(bytes) = tile.slice() else {
        let copy = scratch.bytes(tile.len())?;
        tile.read(0, copy)?;
        copy_to_payload(copy, out);
        return Ok(digests.tile(copy));
    };
    // Otherwise copy and hash in steps, so that the copied bytes themselves are hashed.
    let mut hasher = digests.tile_hasher();
    for (bytes, out) in bytes.chunks(COPY_STEP).zip(out.chunks_mut(COPY_STEP)) {
        let copy = scratch.bytes(bytes.len())?;
        copy_to_both(bytes, copy, out);
        hasher.update(copy);
    }
    Ok(*hasher.finalize().as_bytes())
}
