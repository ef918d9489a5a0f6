//! Tiles hashed again and compared with what was projected.

#![forbid(unsafe_code)]

use crate::base::error::{AtlasError, Result};
use crate::base::units::{TILE_BYTES, TileIndex};
use crate::exec::operation::Operation;
use crate::exec::pool::{self};
use crate::hash::digest::same;
use crate::hash::outboard::source_changed;
use crate::tile::one_tile::Scratch;
use crate::tile::scheme::{Scheme, Workspace};
use crate::tile::tree::{TileAt, Tree};

/// Refuses the bytes of a tile that are not those that it commits to: WITNESS before CONSERVATION.
pub(crate) fn check_tile(
    scheme: &Scheme,
    workspace: &mut Workspace,
    at: &TileAt,
    bytes: &[u8],
) -> Result<()> {
    let (residues, found) = scheme.sum_and_witness(bytes, workspace)?;
    let residue = residues.total();
    let place = |error: AtlasError| error.at_index(at.index.0).at_range(at.offset.0, bytes.len() as u64);
    match at.tile.witness() {
        Some(witness) if same(witness, &found) => {}
        Some(_) => return Err(place(source_changed(at))),
        None => return Err(AtlasError::internal("a tile without a witness is checked")),
    }
    if residue != at.tile.residue() {
        return Err(place(AtlasError::conservation(format!(
            "tile {} sums to {residue} mod 96 where {} was projected",
            at.index,
            at.tile.residue()
        ))));
    }
    Ok(())
}

/// Reads and checks every tile in parallel, and gives the bytes of each to `then`, from any thread.
pub(crate) fn for_each_checked_tile(
    scheme: &Scheme,
    tree: &Tree,
    operation: &mut Operation<'_>,
    in_place: bool,
    then: impl Fn(&TileAt, &[u8]) -> Result<()> + Sync,
) -> Result<()> {
    let in_memory = in_place && tree.is_in_memory()?;
    let per_worker = scheme.workspace() + if in_memory { 0 } else { TILE_BYTES };
    let workers = operation.workers(tree.tiles(), per_worker, 0)?;
    let executor = operation.executor;
    let order = pool::Order { unwatched: operation.unwatched(), ..pool::Order::default() };
    let mut tracker = operation.tracker(tree.bytes(), tree.tiles());
    pool::run_within(
        executor,
        workers,
        tree.tiles(),
        order,
        || Ok((Scratch::default(), Workspace::default())),
        |(scratch, workspace), index| {
            let Some(at) = tree.tile(TileIndex(index))? else {
                return Err(AtlasError::internal(format!("tile {index} is not in the tree")));
            };
            let len = at.tile.len();
            let bytes = match at.tile.slice().filter(|_| in_place) {
                Some(bytes) => bytes,
                None => {
                    let bytes = scratch.bytes(len)?;
                    at.tile.read(0, bytes).map_err(|error| error.at_index(index))?;
                    bytes
                }
            };
            check_tile(scheme, workspace, &at, bytes)?;
            then(&at, bytes)?;
            Ok(len as u64)
        },
        |_, len| tracker.advance(len, 1),
    )?;
    tracker.finish()
}
