//! The search for damage in the bytes of a projection.

use super::select::{Selected, Selection};
use super::survey::{AHEAD, Looked, Lost, Survey, Worker, lacks_base, lost, unloaded_spans};
use crate::base::damage::{Damage, DamageFn, DamageKind, DamagePart, kind_of, tell};
use crate::base::error::{AtlasError, Result};
use crate::base::units::{TILE_BYTES, to_u64};
use crate::exec::operation::Operation;
use crate::projection::AtlasProjection;
use crate::shard::AtlasBoundaryRegion;
use crate::tile::check::is_hole;
use crate::tile::offload::{Confirmed, Offload, Runs};
use crate::tile::scheme::Workspace;
use crate::tile::tree::TileAt;

impl AtlasProjection {
    /// Reads and hashes the bytes of all tiles that `regions` touch, and continues after damage, in contrast
    /// to [`verify`](Self::verify). `None` means all tiles.
    ///
    /// `damage` gets every damaged range, ascending, adjacent ranges of one kind merged. Ranges consist of
    /// groups of 16 KiB in tiles with stored chaining values, else of whole tiles. A damaged record of a
    /// container comes before the range that it makes unknown. `false` ends the call with CANCELLED. Memory
    /// is one tile per thread. Fails with WITNESS if there was any damage, CONSERVATION if only a sum
    /// differs, INCOMPLETE if all bytes that were read are right and other bytes lie in a base that is not
    /// attached, OUT_OF_RANGE for a region outside the domain, LIMIT, or CANCELLED.
    pub fn find_damage(
        &self,
        regions: Option<&[AtlasBoundaryRegion]>,
        damage: &mut DamageFn<'_>,
        operation: &mut Operation<'_>,
    ) -> Result<()> {
        let state = self.state();
        let (selection, listed) =
            (Selection::new(&state.tree, regions, operation)?, Selection::footprint(regions));
        let made = state.made_by_proof();
        // A root that does not match the tiles has no range. It is reported only if no range is damaged.
        let unproved = match operation.beside(listed, |operation| state.prove(operation)) {
            Err(error) if kind_of(&error).is_none() => return Err(error),
            proved => proved,
        };
        let listed = listed.saturating_add(made);
        let survey = Survey::new(&state, selection)?;
        // If the tree cannot be loaded, its bytes count as not in memory.
        let in_memory = state.tree.is_in_memory().unwrap_or(false);
        let per_worker = survey.per_worker() + if in_memory { 0 } else { TILE_BYTES };
        let Selection { tasks, bytes, .. } = survey.selection;
        let scheme = &state.context.scheme;
        // With an accelerator a worker takes several tiles, which are confirmed before each is looked at.
        let offload = Offload::of_tree(operation.executor, scheme, &state.tree);
        let left = operation.memory_left(listed.saturating_add(per_worker));
        let is_fixed = offload.is_none() || state.tree.is_fixed().unwrap_or(false);
        let runs = Runs::new(offload, tasks, operation.threads(), (!is_fixed).then_some(left))?;
        let per_worker = per_worker + runs.buffers();
        let workers = operation.workers(tasks, per_worker, listed)?.ahead(AHEAD).in_runs(&runs.ends);
        let mut tracker = operation.tracker(bytes, tasks);
        let mut search =
            Search { damage, last: None, record: None, first: None, ranges: 0, found: Counts::default() };
        let done = workers.run(
            tasks,
            || Ok((survey.worker(), Confirmed::default(), Workspace::default())),
            |(worker, confirmed, workspace), task| {
                // A tile that cannot be read is looked at group by group.
                let is_right = confirmed.take(&runs, task, (scheme, workspace), |task| survey.tile(task))?;
                if is_right.unwrap_or(false)
                    && let Some(at) = survey.tile(task)
                {
                    return Ok(Found { bytes: to_u64(at.tile.len()), end: at.end().0, ..Found::default() });
                }
                survey.find(worker, task)
            },
            |_, found: Found| {
                search.take(&found)?;
                tracker.advance(found.bytes, 1)
            },
        );
        // The range that waits is reported before an error is returned.
        search.end(done)?;
        tracker.finish()?;
        search.judge()?;
        // No range was damaged, so that the root decides.
        unproved
    }
}

/// Result of a search task: the damage in one tile, or in the bytes of a tree node that cannot be loaded.
#[derive(Default)]
struct Found {
    bytes: u64,
    /// Offset in the domain after the last byte that the task searched.
    end: u64,
    damage: Vec<Damage>,
    counts: Counts,
}

/// Counts of tiles with damaged bytes and of tiles that were not checked.
#[derive(Default, Clone, Copy)]
struct Counts {
    /// Number of tiles with damaged bytes. All tiles of a tree node that cannot be loaded count as one. Damaged
    /// tiles that do not count here have only a wrong sum.
    wrong: u64,
    /// Number of tiles with bytes that were not checked, because these lie in a base that is not attached.
    unchecked: u64,
}

impl<'s> Survey<'s> {
    /// Returns the tile that a task searches. `None` if the tile lies in a hole of a sparse file or its tree
    /// node cannot be loaded.
    fn tile(&self, task: u64) -> Option<TileAt> {
        match self.selection.look(&self.state.tree, task) {
            Ok(Selected::Tile(at)) => Some(at).filter(|at| !is_hole(&self.holes, &at.tile)),
            _ => None,
        }
    }

    fn find(&self, worker: &mut Worker<'s>, task: u64) -> Result<Found> {
        let looked = self.look(worker, task, |inspector, at| self.compare(inspector, at))?;
        let (at, mut verdict) = match looked {
            Looked::Told => return Ok(Found::default()),
            Looked::Lost(lost) => return Ok(self.found_lost(&lost)),
            Looked::Tile(at, verdict) => (at, verdict),
        };
        // If the spans of a tile cannot be loaded, the bytes are unknown, which does not mean that they are
        // damaged.
        if !verdict.faults.is_empty()
            && let Some((_, error)) = unloaded_spans(&at.tile)
        {
            return Ok(self.found_lost(&lost(&at, error)));
        }
        let mut found = Found { bytes: to_u64(at.tile.len()), end: at.end().0, ..Found::default() };
        // Bytes of a base that is not attached count as unchecked, and not as missing.
        if verdict.faults.iter().any(|fault| fault.kind == DamageKind::Missing) && lacks_base(&at.tile) {
            verdict.faults.retain(|fault| fault.kind != DamageKind::Missing);
            found.counts.unchecked = 1;
        }
        // A tile counts once, however many of its groups differ.
        found.counts.wrong = u64::from(!verdict.faults.is_empty());
        found.damage.extend(verdict.faults.into_iter().map(|fault| {
            let range = at.offset.0 + to_u64(fault.range.start)..at.offset.0 + to_u64(fault.range.end);
            self.damage(at.index.0, range, fault.kind, fault.os_error)
        }));
        // The bytes are right, but the tree states another sum.
        if verdict.sum_differs {
            found.damage.push(self.damage(at.index.0, at.offset.0..at.end().0, DamageKind::Differs, 0));
        }
        Ok(found)
    }

    fn found_lost(&self, lost: &Lost) -> Found {
        let mut found =
            Found { bytes: lost.range.end - lost.range.start, end: lost.range.end, ..Found::default() };
        // An edited tile that keeps bytes of a base that is not attached.
        if lost.is_unattached {
            found.counts.unchecked = 1;
            return found;
        }
        found.counts.wrong = 1;
        // The record comes before the range that it leaves unknown.
        found.damage.extend(self.record(lost));
        let (range, os_error) = (lost.range.clone(), lost.error.os_error());
        found.damage.push(self.damage(lost.index, range, Survey::kind_of_lost(lost), os_error));
        found
    }
}

/// State of a search for damage: the callback, and the damage that all tasks have found so far.
struct Search<'d, 'f> {
    damage: &'d mut DamageFn<'f>,
    /// Damaged range found last. It is not reported yet, because the next damaged range may extend it.
    last: Option<Damage>,
    /// Offset in the container of the damaged record that was reported last.
    record: Option<u64>,
    first: Option<Damage>,
    ranges: u64,
    found: Counts,
}

impl Search<'_, '_> {
    fn take(&mut self, found: &Found) -> Result<()> {
        self.found.wrong += found.counts.wrong;
        self.found.unchecked += found.counts.unchecked;
        // A range waits until it is clear that the next range does not continue it.
        for damage in &found.damage {
            if damage.part == DamagePart::Record {
                // Several tiles may need the same record, which is reported once.
                if self.record.replace(damage.offset) != Some(damage.offset) {
                    self.report(damage)?;
                }
            } else if !self.last.as_mut().is_some_and(|last| last.join(damage))
                && let Some(complete) = self.last.replace(*damage)
            {
                self.report(&complete)?;
            }
        }
        // A range that ends before its tile does cannot be extended any more.
        match self.last.take_if(|last| last.offset + last.length < found.end) {
            Some(complete) => self.report(&complete),
            None => Ok(()),
        }
    }

    fn report(&mut self, damage: &Damage) -> Result<()> {
        self.ranges += 1;
        // The error of the call names the first range.
        self.first.get_or_insert(*damage);
        let answer = tell(self.damage, damage);
        if matches!(answer, Ok(true)) {
            return Ok(());
        }
        // The search was cancelled, so that the waiting range is dropped.
        self.last = None;
        answer?;
        Err(AtlasError::cancelled("the damage callback returned false, which ended the search"))
    }

    /// Ends the search, whose outcome is `done`, and reports the damaged range that still waits in `last`. The
    /// range is reported also if the search failed, because progress has counted the range's tiles already.
    fn end(&mut self, done: Result<()>) -> Result<()> {
        let last = self.last.take().map_or(Ok(()), |last| self.report(&last));
        done.and(last)
    }

    fn judge(&self) -> Result<()> {
        let Counts { wrong, unchecked } = self.found;
        // Damage takes precedence over bytes that were not checked.
        if let Some(first) = &self.first {
            let what = match first.part {
                DamagePart::Record => "a record of the container",
                _ => "bytes of the domain",
            };
            let (offset, length, ranges) = (first.offset, first.length, self.ranges);
            let text =
                format!("{ranges} damaged ranges, the first of {length} bytes at offset {offset}: {what}");
            // If no byte is wrong, only sums differ.
            let error = if wrong > 0 { AtlasError::witness(text) } else { AtlasError::conservation(text) };
            return Err(error.at_index(first.index).at_range(offset, length));
        }
        if unchecked > 0 {
            return Err(AtlasError::incomplete(format!(
                "no damage was found, and {unchecked} tiles were not checked, because their bytes lie in a \
                 base and no base is attached"
            )));
        }
        Ok(())
    }
}
