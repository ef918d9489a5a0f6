//! Tiles hashed again and compared with their witnesses.

#![forbid(unsafe_code)]

use crate::base::buffer::zeros;
use crate::base::error::{AtlasError, Result};
use crate::base::units::{TILE_BYTES, TileIndex};
use crate::exec::operation::Operation;
use crate::hash::digest::{Digest, same};
use crate::hash::outboard::source_changed;
use crate::layer2::Residue;
use crate::source::{Holes, Source};
use crate::tile::Tile;
use crate::tile::context::Context;
use crate::tile::offload::{Confirmed, Offload, Runs};
use crate::tile::one_tile::Scratch;
use crate::tile::scheme::{Scheme, Workspace};
use crate::tile::stored::{SpanKind, TilePlace, TileSpans};
use crate::tile::tree::{TileAt, Tree};

/// Hashes and sums the bytes of the tile at `at`. Fails with WITNESS if they do not match the tile's witness, else
/// with CONSERVATION if they do not match its residue.
pub(crate) fn check_tile(
    scheme: &Scheme,
    workspace: &mut Workspace,
    at: &TileAt,
    bytes: &[u8],
) -> Result<()> {
    let (residues, found) = scheme.sum_and_witness(bytes, workspace)?;
    compare(at, residues.total(), &found)
}

/// Compares the residue and digest that were computed from a tile's bytes with the tile's own. Fails with WITNESS
/// or CONSERVATION if they differ.
fn compare(at: &TileAt, residue: Residue, found: &Digest) -> Result<()> {
    let place = |error: AtlasError| error.at_index(at.index.0).at_range(at.offset.0, at.tile.len() as u64);
    // The witness is compared first: changed bytes are reported as WITNESS, whatever their sum is.
    match at.tile.witness() {
        Some(witness) if same(witness, found) => {}
        Some(_) => return Err(place(source_changed(at))),
        None => {
            return Err(AtlasError::internal(format!(
                "a defect of the library, please report it: tile {} has no witness to check",
                at.index
            )));
        }
    }
    // The bytes are right here, so that a wrong sum is a fault of the tree.
    if residue != at.tile.residue() {
        return Err(place(AtlasError::conservation(format!(
            "tile {} sums to {residue} mod 96 instead of the recorded {}: its bytes match its witness, so that the \
             recorded sum is wrong",
            at.index,
            at.tile.residue()
        ))));
    }
    Ok(())
}

/// Reads every tile of `tree` in parallel, checks its bytes against its witness and residue, and passes the bytes
/// to `then`, from any thread. Tiles in holes of a sparse file are checked as zeros, without a read. With
/// `in_place`, bytes in memory are checked without a copy, and `then` is not called for tiles that an accelerator
/// has checked.
pub(crate) fn for_each_checked_tile(
    context: &Context,
    tree: &Tree,
    operation: &mut Operation<'_>,
    in_place: bool,
    then: impl Fn(&TileAt, &[u8]) -> Result<()> + Sync,
) -> Result<()> {
    let scheme = &context.scheme;
    // Memory needs no buffer per worker.
    let in_memory = in_place && tree.is_in_memory()?;
    let per_worker = scheme.workspace() + if in_memory { 0 } else { TILE_BYTES + context.reading() };
    // With an accelerator a worker takes several tiles, which are confirmed before each is looked at.
    let offload = Offload::of_tree(operation.executor, scheme, tree).filter(|_| in_place);
    let left = operation.memory_left(per_worker);
    let is_fixed = offload.is_none() || tree.is_fixed()?;
    let runs = Runs::new(offload, tree.tiles(), operation.threads(), (!is_fixed).then_some(left))?;
    let per_worker = per_worker + runs.buffers();
    let workers = operation.workers(tree.tiles(), per_worker, 0)?.in_runs(&runs.ends);
    let mut tracker = operation.tracker(tree.bytes(), tree.tiles());
    let holes = Holes::default();
    workers.run(
        tree.tiles(),
        || Ok((Scratch::default(), Workspace::default(), Confirmed::default())),
        |(scratch, workspace, confirmed), index| {
            // Each task checks one tile.
            let Some(at) = tree.tile(TileIndex(index))? else {
                return Err(AtlasError::internal(format!(
                    "a defect of the library, please report it: tile {index} is not in the tree"
                )));
            };
            let len = at.tile.len();
            // An accelerator confirms right tiles, and leaves the rest.
            let confirmed = confirmed.take(&runs, index, (scheme, workspace), |index| {
                let at = tree.tile(TileIndex(index)).ok().flatten();
                at.filter(|at| !is_hole(&holes, &at.tile))
            })?;
            if confirmed.map_err(|error| error.at_index(index))? {
                return Ok(len as u64);
            }
            // A hole is compared with the witness of as many zeros, without a read.
            if is_hole(&holes, &at.tile) {
                compare(&at, Residue::ZERO, &scheme.witness_of_zeros(len, workspace)?)?;
                then(&at, zeros(len))?;
                return Ok(len as u64);
            }
            // The tile is checked in place, or in a private copy that cannot change.
            let bytes = match at.tile.slice().filter(|_| in_place) {
                Some(bytes) => bytes,
                None => {
                    let bytes = scratch.bytes(len)?;
                    at.tile.read(0, bytes).map_err(|error| error.at_index(index))?;
                    bytes
                }
            };
            // `then` gets the bytes that were checked, and not bytes of a second read.
            check_tile(scheme, workspace, &at, bytes)?;
            then(&at, bytes)?;
            Ok(len as u64)
        },
        |_, len| tracker.advance(len, 1),
    )?;
    tracker.finish()
}

/// Returns true if all bytes of a tile are known to be zeros without a read: they lie in a hole of their source, or
/// their container records them as zeros.
pub(crate) fn is_hole(holes: &Holes, tile: &Tile) -> bool {
    // An edited tile is never a hole: its pieces may come from several places.
    let Some(extent) = tile.whole() else { return false };
    let Some(stored) = extent.stored_tile() else {
        let (source, offset) = extent.place();
        return holes.have(source, offset, tile.len() as u64);
    };
    // Reading reports any fault of the spans.
    !matches!(stored.entry.place, TilePlace::Span(SpanKind::Raw | SpanKind::Encoded, ..))
        && stored.spans().is_ok_and(|spans| are_holes(holes, spans, stored.store.base()))
}

/// Returns true if all bytes of a tile of a container are known to be zeros without a read: each of its spans is
/// recorded as zeros, or lies in a hole of `base`, the container's source of the bytes that it does not hold.
pub(crate) fn are_holes(holes: &Holes, spans: &TileSpans, base: Option<&Source>) -> bool {
    // A span of the base is looked up in the base; raw and encoded bytes count as data.
    spans.spans.iter().all(|span| match (span.kind, base) {
        (SpanKind::Zeros, _) => true,
        (SpanKind::Base, Some(base)) => {
            let len = u64::from(span.len);
            span.place.checked_add(len).is_some_and(|end| end <= base.size())
                && holes.have(base, span.place, len)
        }
        _ => false,
    })
}
