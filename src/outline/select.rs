//! Selection of the tiles that a list of regions touches, one task per tile.

use crate::base::buffer::try_vec;
use crate::base::error::{AtlasError, Result, check_range};
use crate::base::units::{ByteOffset, TILE_BYTES, TileIndex, to_u64};
use crate::exec::operation::Operation;
use crate::shard::AtlasBoundaryRegion;
use crate::tile::tree::{Seen, TileAt, Tree, Unloaded};
use std::ops::Range;

/// Selected tiles of a tree, each examined by one task. Tasks are numbered from 0 in the order of the tiles.
pub(super) struct Selection {
    /// Runs of consecutive selected tiles, ascending, with other tiles between them.
    runs: Vec<Run>,
    pub(super) tasks: u64,
    pub(super) bytes: u64,
}

/// Run of consecutive selected tiles. Each tile is examined by one task.
struct Run {
    /// Number of the task that examines the first tile of the run.
    task: u64,
    tiles: Range<u64>,
    bytes: Range<u64>,
}

/// Result of looking up the tile of a task: the tile, or the reason that there is none.
pub(super) enum Selected {
    Tile(TileAt),
    /// All tiles of a tree node that cannot be loaded, and the selected part of their bytes. Only the task of
    /// the first selected one of these tiles gets this value.
    Unknown(Unloaded),
    /// A later tile of a tree node that cannot be loaded. The result of an earlier task covers it.
    Told,
}

impl Selection {
    /// Selects the tiles of `tree` that `regions` touch. `None` means all tiles. Fails with OUT_OF_RANGE for a
    /// region outside the domain, LIMIT if the list of them exceeds the memory limit.
    pub(super) fn new(
        tree: &Tree,
        regions: Option<&[AtlasBoundaryRegion]>,
        operation: &Operation<'_>,
    ) -> Result<Selection> {
        // Without regions no tile edges have to be found.
        let Some(regions) = regions else {
            let all = Run { task: 0, tiles: 0..tree.tiles(), bytes: 0..tree.bytes() };
            return Ok(Self::of_runs(vec![all]));
        };
        operation.reserve(Self::footprint(Some(regions)))?;
        let mut runs = try_vec(regions.len())?;
        for region in regions {
            check_range(region.offset, region.length, tree.bytes(), "region")?;
            // A region without bytes touches no tile.
            if region.length > 0 {
                runs.push(touched(tree, region.offset..region.end())?);
            }
        }
        // Regions may overlap, touch each other, and come in any order.
        runs.sort_unstable_by_key(|run: &Run| (run.tiles.start, run.bytes.start));
        runs.dedup_by(|next, run| {
            // Tiles that several regions touch are examined once.
            let joins = next.tiles.start <= run.tiles.end;
            if joins {
                run.tiles.end = run.tiles.end.max(next.tiles.end);
                run.bytes.end = run.bytes.end.max(next.bytes.end);
            }
            joins
        });
        Ok(Self::of_runs(runs))
    }

    /// Returns the memory of the selection of `regions`.
    pub(super) fn footprint(regions: Option<&[AtlasBoundaryRegion]>) -> u64 {
        to_u64(regions.map_or(1, <[_]>::len).saturating_mul(size_of::<Run>()))
    }

    fn of_runs(mut runs: Vec<Run>) -> Selection {
        let (mut tasks, mut bytes) = (0, 0);
        for run in &mut runs {
            run.task = tasks;
            tasks += run.tiles.end - run.tiles.start;
            bytes += run.bytes.end - run.bytes.start;
        }
        Selection { runs, tasks, bytes }
    }

    /// Looks up the tile of the task number `task`. Returns the tile, or that its tree node cannot be loaded.
    pub(super) fn look(&self, tree: &Tree, task: u64) -> Result<Selected> {
        // The run of a task is the last that begins at or before it.
        let run = self.runs.partition_point(|run| run.task <= task).checked_sub(1);
        let Some(run) = run.and_then(|run| self.runs.get(run)) else {
            return Err(AtlasError::internal(format!(
                "a defect of the library, please report it: task {task} has no tile"
            )));
        };
        let index = run.tiles.start + (task - run.task);
        match tree.look_at_tile(TileIndex(index))? {
            Some(Seen::Tile(at)) => Ok(Selected::Tile(at)),
            Some(Seen::Unloaded(mut unknown)) => {
                // A lost node is reported by its first selected tile, for all of its selected bytes.
                let is_first = index == run.tiles.start.max(unknown.tiles.start);
                unknown.bytes.start = unknown.bytes.start.max(run.bytes.start);
                unknown.bytes.end = unknown.bytes.end.min(run.bytes.end);
                Ok(if is_first { Selected::Unknown(unknown) } else { Selected::Told })
            }
            None => Err(AtlasError::internal(format!(
                "a defect of the library, please report it: tile {index} is not in the tree"
            ))),
        }
    }
}

/// Returns the run of tiles that hold the bytes of `range`, which is not empty and within the domain.
fn touched(tree: &Tree, range: Range<u64>) -> Result<Run> {
    let edge = |offset: u64| {
        let seen = tree.look_at_byte(ByteOffset(offset))?;
        let seen = seen.ok_or_else(|| {
            AtlasError::internal(format!(
                "a defect of the library, please report it: byte {offset} is not in the tree"
            ))
        })?;
        Ok(match seen {
            Seen::Tile(at) => (at.index.0..at.index.0 + 1, at.offset.0..at.end().0),
            // The edges of the tiles are lost. The range is assumed to consist of full tiles.
            Seen::Unloaded(Unloaded { tiles, bytes, .. }) => {
                let start = offset - (offset - bytes.start) % TILE_BYTES;
                (tiles, start..start.saturating_add(TILE_BYTES).min(bytes.end))
            }
        })
    };
    // Both edges grow to whole tiles.
    let ((first, start), (last, end)) = (edge(range.start)?, edge(range.end - 1)?);
    Ok(Run { task: 0, tiles: first.start..last.end, bytes: start.start..end.end })
}
