//! Repairs: damaged units of the protected file are rebuilt and written.

#![forbid(unsafe_code)]

use super::call::Call;
use super::code::Code;
use super::create::linear_root;
use super::file::{Found, Padded, ParityFile, State, UnitReader, changed};
use super::geometry::Geometry;
use super::options::{ParityReport, ParityVerdict, RepairMode, RepairOptions};
use super::rows::{RowBuilder, RowPlan, Wish};
use super::survey::{Bits, Survey};
use super::write::refuse_existing;
use crate::base::atomic_file::{AtomicFile, sync_folder};
use crate::base::buffer::{Buffer, try_grow};
use crate::base::damage::{DamageFn, tell};
use crate::base::error::{AtlasError, Result};
use crate::base::folder::link;
use crate::base::in_place;
use crate::base::out_bytes::OutBytes;
use crate::base::storage::{FileId, Storage};
use crate::base::units::{TILE_BYTES, TILE_SIZE, to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::hash::digest::{Digest, hex, same};
use crate::source::{ReadAt, Source};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Repair of one protected file: the parity file, the expected root, the protected file, and the options.
pub(super) struct Repair<'r> {
    pub(super) file: &'r ParityFile,
    /// Root that the repaired bytes must have. `key` is the key with which this root is computed.
    pub(super) known_root: Option<&'r Digest>,
    pub(super) key: Option<&'r [u8; 32]>,
    pub(super) path: &'r Path,
    /// Bytes of the damaged file.
    pub(super) source: Source,
    /// The damaged file, open for writing. `None` unless the repair is in place.
    pub(super) storage: Option<Arc<dyn Storage>>,
    pub(super) options: &'r RepairOptions,
}

/// Data units that are to be repaired, and the refusals of the damage callback.
struct Chosen {
    units: Bits,
    /// Number of repairable units that the damage callback refused.
    refused: u64,
    /// True if the damage callback refused a unit that reaches past the end of a truncated file.
    refused_end: bool,
}

/// Rows with at least one data unit that is to be repaired.
struct Plan {
    rows: Vec<u64>,
    /// Largest number of data units that one of these rows has lost.
    most: u64,
    /// Number of bytes of the data units of one row, for progress.
    row_bytes: u64,
}

/// Findings of the check and the choices that follow from them, shared by the steps of a repair.
#[derive(Clone, Copy)]
struct Work<'w> {
    survey: &'w Survey,
    data: &'w Padded,
    chosen: &'w Chosen,
    plan: &'w Plan,
}

impl Repair<'_> {
    /// Checks both files, passes the damage to the callback, and repairs. `make` creates a temporary file
    /// beside a path.
    pub(super) fn run(
        &self,
        damage: Option<&mut DamageFn<'_>>,
        report: &mut ParityReport,
        operation: &mut Operation<'_>,
        make: impl FnOnce(&Path) -> Result<AtomicFile>,
    ) -> Result<()> {
        // A name that is taken is refused before any work.
        if let RepairMode::NewFile(other) | RepairMode::Keep(other) = &self.options.mode {
            refuse_existing(other)?;
        }
        // Check both files. Nothing is written until the findings are complete.
        let geometry = *self.file.geometry();
        // Bytes after the protected bytes are not checked; they are only copied.
        let data = Padded::data(&self.source, &geometry);
        let (bytes, tasks) = Survey::work(&geometry);
        let mut call = Call::new(operation, bytes, tasks);
        // The last report of the check is held back until the size of the repair is known.
        let held = Survey::take(self.file, &data, &mut call)?;
        *report = held.survey().report;
        // A lost row ends the call, unless the caller asked for a partial repair.
        let incomplete = report.data == ParityVerdict::Incomplete;
        if incomplete && !self.options.partial {
            held.release(&mut call)?;
            return Err(lost(report));
        }
        // The owner decides about each unit before the first one is written.
        let chosen = self.ask(held.survey(), &data, damage)?;
        // A partial result would not match a known root.
        if self.known_root.is_some() && chosen.refused > 0 {
            return Err(AtlasError::witness(format!(
                "{} was not changed: the damage callback refused {} units, and the result would not have the \
                 expected root: allow all units, or open the parity file without expected_root",
                self.path.display(),
                chosen.refused
            )));
        }
        if self.known_root.is_some() && incomplete {
            return Err(AtlasError::witness(format!(
                "{} was not changed: {} rows have lost more units than they have parity, and the result \
                 would not have the expected root: open the parity file without expected_root to repair the \
                 other rows",
                self.path.display(),
                report.lost_rows
            )));
        }
        // In the mode Keep an intact file needs no new file.
        let plan = self.plan(held.survey(), &chosen)?;
        let other = match &self.options.mode {
            RepairMode::InPlace => None,
            RepairMode::NewFile(other) => Some((other, false)),
            RepairMode::Keep(_) if report.data == ParityVerdict::Intact => {
                held.release(&mut call)?;
                return call.finish();
            }
            RepairMode::Keep(other) => Some((other, true)),
        };
        // Announce the work before it begins, so that the totals of progress do not grow later.
        call.expect(plan.row_bytes.saturating_mul(to_u64(plan.rows.len())), to_u64(plan.rows.len()));
        if other.is_some() {
            let (bytes, tasks) = self.copy_work();
            call.expect(bytes, tasks);
        }
        if self.known_root.is_some() {
            call.expect(geometry.size, geometry.size.div_ceil(TILE_BYTES));
        }
        let survey = held.release(&mut call)?;
        // Rebuild the chosen units, in place or in a copy.
        let work = Work { survey: &survey, data: &data, chosen: &chosen, plan: &plan };
        match other {
            None => self.in_place(&work, report, &mut call, make)?,
            Some((other, keeps)) => {
                // In the mode Keep the new file is made beside the old name, because it takes that name.
                let target = make(if keeps { self.path } else { other })?;
                let target = self.copy_and_repair(target, &work, report, &mut call)?;
                if keeps {
                    keep(self.path, other, target)?;
                } else {
                    target.persist_new().map_err(|failed| failed.1)?;
                }
            }
        }
        // A partial repair ends with the status of the units that were left.
        call.finish()?;
        if incomplete {
            return Err(lost(report));
        }
        if chosen.refused > 0 {
            return Err(AtlasError::witness(format!(
                "{}: {} units were repaired, and {} are still bad because the damage callback refused them",
                self.path.display(),
                report.repaired_units,
                chosen.refused
            )));
        }
        Ok(())
    }

    /// Calls `damage` for each damaged data unit before the first unit is written. Returns the repairable units
    /// for which it returned true, or all of them without a callback.
    fn ask(&self, survey: &Survey, data: &Padded, mut damage: Option<&mut DamageFn<'_>>) -> Result<Chosen> {
        let geometry = self.file.geometry();
        let mut chosen = Chosen { units: Bits::new(geometry.units())?, refused: 0, refused_end: false };
        for unit in survey.hurt(0..geometry.units()) {
            let found = survey.damage(self.file, data, unit);
            // The owner is also told of units that cannot be rebuilt, but only repairable units can be
            // chosen.
            let wanted = damage.as_mut().map_or(Ok(true), |damage| tell(damage, &found))?;
            if !found.repairable {
                continue;
            }
            chosen.units.set(unit, wanted);
            chosen.refused += u64::from(!wanted);
            // A refused unit after the end must not make the file longer.
            chosen.refused_end |= !wanted && found.offset + found.length > self.source.size();
        }
        Ok(chosen)
    }

    /// Returns the size of the repaired file: the protected bytes and the bytes after them. If a unit past the
    /// end of a truncated file was refused, the file becomes no longer than the last chosen unit requires.
    fn size(&self, chosen: &Chosen) -> u64 {
        let (geometry, size) = (self.file.geometry(), self.source.size());
        if !chosen.refused_end {
            return size.max(geometry.size);
        }
        // The file ends with the last unit that is written.
        let last = chosen.units.iter(0..geometry.units()).last();
        last.map_or(size, |unit| size.max(geometry.unit_offset(unit) + geometry.data_len(unit)))
    }

    fn plan(&self, survey: &Survey, chosen: &Chosen) -> Result<Plan> {
        let geometry = self.file.geometry();
        let (mut rows, mut most) = (Vec::new(), 0);
        for row in 0..geometry.rows {
            if geometry.data_of_row(row).any(|(_, unit)| chosen.units.has(unit)) {
                try_grow(&mut rows, 1)?;
                rows.push(row);
                // All lost units of a row are unknowns of the code, also those that are not written.
                let lost = geometry.data_of_row(row).filter(|(_, unit)| survey.is_hurt(*unit)).count();
                most = most.max(to_u64(lost));
            }
        }
        Ok(Plan { rows, most, row_bytes: geometry.columns.saturating_mul(geometry.unit) })
    }

    /// Rebuilds the chosen units, row by row, and passes each to `write`, except units with an unknown state
    /// that are right already. Returns the number of units written.
    fn rebuild(
        &self,
        work: &Work<'_>,
        call: &mut Call<'_, '_>,
        write: impl Fn(u64, &[u8]) -> Result<()> + Sync,
    ) -> Result<u64> {
        let geometry = *self.file.geometry();
        let Work { survey, data, chosen, plan } = *work;
        if plan.rows.is_empty() {
            return Ok(0);
        }
        // Count the memory for all rows, then use the rest of the limit for workers.
        let (code, tasks) = (Code::new(&geometry)?, to_u64(plan.rows.len()));
        let fixed = Survey::footprint(&geometry)
            + Bits::footprint(geometry.units())
            + 8 * tasks
            + Code::footprint(&geometry);
        let row_plan = RowPlan::new(&geometry, Wish::Data, plan.most, fixed, &call.run)?;
        let workers = call.workers(tasks, row_plan.per_worker + geometry.unit, fixed)?;
        let mut written = 0;
        workers.run(
            tasks,
            || {
                let builder = RowBuilder::new(self.file, data, &code, survey, row_plan)?;
                Ok((builder, Buffer::aligned(geometry.unit_len())?))
            },
            // A task rebuilds one row and writes its chosen units.
            |(builder, present), task| {
                let rebuilt = builder.rebuild(plan.rows[to_usize(task)], |_, _| {})?;
                let mut written = 0;
                for (unit, bytes, _) in rebuilt.units {
                    // The zeros after n are a part of the unit, but not of the file.
                    let bytes = &bytes[..to_usize(geometry.data_len(unit))];
                    // An unknown unit may be right already.
                    let same = chosen.units.has(unit)
                        && survey.is_unknown(unit)
                        && is_present(data, geometry.unit_offset(unit), bytes, present)?;
                    // Units that the owner refused are rebuilt with their row, but not written.
                    if chosen.units.has(unit) && !same {
                        write(unit, bytes)?;
                        written += 1;
                    }
                }
                Ok(written)
            },
            |_, count: u64| {
                // The pool delivers the counts in order, on this thread.
                written += count;
                // Progress counts the units that are read for the row.
                call.advance(plan.row_bytes, 1)
            },
        )?;
        Ok(written)
    }

    /// Copies the damaged file to `target` and writes the rebuilt units over the copy. Fails with WITNESS if
    /// the known root does not match the result. Returns `target`.
    fn copy_and_repair(
        &self,
        target: AtomicFile,
        work: &Work<'_>,
        report: &mut ParityReport,
        call: &mut Call<'_, '_>,
    ) -> Result<AtomicFile> {
        // The copy first, then the repaired units over it.
        // The new file begins as a hole, so that zeros need not be written.
        target.set_len(self.size(work.chosen))?;
        self.copy(&target, work, call)?;
        let geometry = self.file.geometry();
        report.repaired_units =
            self.rebuild(work, call, |unit, bytes| target.write_at(geometry.unit_offset(unit), bytes))?;
        // The whole result is compared with the known root before it gets its name.
        if let Some(known) = self.known_root {
            let whole = Source::from_storage(target.storage()?, target.target())?;
            let front = whole.range(0, geometry.size)?;
            compare_root(known, &call.inner(|operation| linear_root(&front, self.key, operation))?)?;
        }
        Ok(target)
    }

    /// Returns the numbers of bytes and tasks of copying the damaged file, for progress.
    fn copy_work(&self) -> (u64, u64) {
        let (units, behind) = self.copy_tasks();
        // A truncated file has fewer bytes to copy than it protects.
        (self.source.size(), units + behind)
    }

    /// Returns the number of tasks that copy units, and the number of tasks that copy the bytes after the
    /// protected bytes.
    fn copy_tasks(&self) -> (u64, u64) {
        let (geometry, size) = (self.file.geometry(), self.source.size());
        let behind = size.saturating_sub(geometry.size);
        (geometry.units().div_ceil(units_a_task(geometry)), behind.div_ceil(TILE_BYTES))
    }

    /// Copies the damaged file to `target`, except the bad units that will be rebuilt and units that cannot be
    /// read. Good units are verified again on the way.
    fn copy(&self, target: &AtomicFile, work: &Work<'_>, call: &mut Call<'_, '_>) -> Result<()> {
        let geometry = *self.file.geometry();
        let Work { survey, data, chosen, .. } = *work;
        let size = self.source.size();
        // Units end where the source ends or where the protected bytes end.
        let protected = size.min(geometry.size);
        let units_a_task = units_a_task(&geometry);
        let (of_units, behind) = self.copy_tasks();
        // The survey and the choice stay in memory during the copy.
        let fixed = Survey::footprint(&geometry) + Bits::footprint(geometry.units());
        let per_worker = UnitReader::footprint(&geometry) + TILE_BYTES;
        let workers = call.workers(of_units + behind, per_worker, fixed)?;
        workers.run(
            of_units + behind,
            || Ok((UnitReader::new(self.file, data)?, None)),
            |(reader, buffer): &mut (UnitReader<'_>, Option<Buffer>), task| {
                // Bytes after the protected bytes have no digest, and are copied unchecked.
                if let Some(piece) = task.checked_sub(of_units) {
                    let start = protected + piece * TILE_BYTES;
                    let len = to_usize((size - start).min(TILE_BYTES));
                    let bytes = &mut Buffer::or_new(buffer, TILE_SIZE)?[..len];
                    self.source.read(start, bytes)?;
                    target.write_sparse_at(start, bytes)?;
                    return Ok(to_u64(len));
                }
                // Other tasks have units, which are checked again because time has passed.
                let units = task * units_a_task..((task + 1) * units_a_task).min(geometry.units());
                let end = (units.end * geometry.unit).min(protected);
                let bytes = end.saturating_sub(units.start * geometry.unit);
                reader.visit(units, |unit| {
                    // An unknown unit may be right already.
                    if chosen.units.has(unit.index) && !survey.is_unknown(unit.index) {
                        return Ok(());
                    }
                    // A unit that was good at the check and is not now was changed by another program.
                    if unit.state != State::Good && !survey.is_hurt(unit.index) {
                        return Err(changed(self.file, unit.index, unit.unreadable));
                    }
                    // Units that cannot be read stay zeros; all other units are copied unchanged.
                    if let (Found::Bytes, Some(bytes)) = (unit.found, &unit.bytes) {
                        let offset = geometry.unit_offset(unit.index);
                        let len = to_usize(geometry.data_len(unit.index).min(protected - offset));
                        target.write_sparse_at(offset, &bytes[..len])?;
                    }
                    Ok(())
                })?;
                Ok(bytes)
            },
            |_, bytes| call.advance(bytes, 1),
        )
    }

    /// Overwrites the chosen units in the damaged file. Only verified bytes are written, and only over damaged
    /// bytes, so that an interruption at any moment does no harm.
    fn in_place(
        &self,
        work: &Work<'_>,
        report: &mut ParityReport,
        call: &mut Call<'_, '_>,
        make: impl FnOnce(&Path) -> Result<AtomicFile>,
    ) -> Result<()> {
        let Some(storage) = &self.storage else {
            return Err(AtlasError::internal(
                "a defect of the library, please report it: a repair in place has no file to write to",
            ));
        };
        let geometry = *self.file.geometry();
        let failed = |what: String, error: io::Error| {
            AtlasError::io(format_args!("{what} of {}", self.path.display()), error)
        };
        // Units are written directly, because an interruption leaves each of them bad or right.
        let write = |unit: u64, bytes: &[u8]| {
            let offset = geometry.unit_offset(unit);
            let what = || format!("writing {} bytes at offset {offset}", bytes.len());
            storage
                .write_at(offset, bytes)
                .map_err(|error| failed(what(), error).at_index(unit).at_range(offset, to_u64(bytes.len())))
        };
        // With a known root nothing is written before the whole result was compared with it.
        let repaired = match self.known_root {
            None => self.rebuild(work, call, write),
            Some(known) => self.rebuild_aside(known, work, call, make, write),
        };
        // A truncated file gets its length at the end, because an unknown unit whose missing end is zeros is
        // not written.
        let resized = repaired.and_then(|repaired| {
            report.repaired_units = repaired;
            let (size, now) = (self.size(work.chosen), storage.len());
            let now = now.map_err(|error| failed("reading the size".to_owned(), error))?;
            // A longer file is never cut.
            if now < size {
                storage.set_len(size).map_err(|error| failed(format!("setting the length {size}"), error))?;
            }
            Ok(())
        });
        // The file is synced also after an early end, because the written units stay.
        let synced = in_place::flush(&**storage, self.path);
        resized.and(synced)
    }

    /// Rebuilds the chosen units into a temporary file, and passes them to `write` only if the protected bytes
    /// with these units have the root `known`. Returns the number of units.
    fn rebuild_aside(
        &self,
        known: &Digest,
        work: &Work<'_>,
        call: &mut Call<'_, '_>,
        make: impl FnOnce(&Path) -> Result<AtomicFile>,
        write: impl Fn(u64, &[u8]) -> Result<()> + Sync,
    ) -> Result<u64> {
        let geometry = *self.file.geometry();
        // The file is removed when it is dropped.
        // Rebuild every unit into the temporary file first.
        // The temporary file lies beside the file, on the same file system.
        let aside = make(self.path)?;
        let mut rebuilt = Bits::new(geometry.units())?;
        // Several workers write units, each at its own place.
        let seen = std::sync::Mutex::new(&mut rebuilt);
        let repaired = self.rebuild(work, call, |unit, bytes| {
            aside.write_at(geometry.unit_offset(unit), bytes)?;
            crate::base::sync::lock(&seen).set(unit, true);
            Ok(())
        })?;
        // The root of the whole result, read through the rebuilt units.
        let rebuilt = Arc::new(rebuilt);
        // The damaged file is read with the repaired units in place of the damaged ones, without a copy of
        // the whole file.
        let overlay = Overlay {
            data: work.data.clone(),
            aside: aside.storage()?,
            rebuilt: Arc::clone(&rebuilt),
            geometry,
        };
        let whole = Source::from_reader(geometry.size, overlay);
        let root = call.inner(|operation| linear_root(&whole, self.key, operation))?;
        compare_root(known, &root)?;
        // The root is right: write the units.
        let aside = aside.storage()?;
        // One unit at a time: the repaired units may exceed the memory.
        let mut buffer = Buffer::aligned(geometry.unit_len())?;
        for unit in rebuilt.iter(0..geometry.units()) {
            let bytes = &mut buffer[..to_usize(geometry.data_len(unit))];
            aside
                .read_at(geometry.unit_offset(unit), OutBytes::new(bytes))
                .map_err(|error| AtlasError::io("reading the rebuilt units back from the file", error))?;
            write(unit, bytes)?;
        }
        Ok(repaired)
    }
}

fn units_a_task(geometry: &Geometry) -> u64 {
    (TILE_BYTES / geometry.unit).max(1)
}

/// Returns true if the protected file `data` has `bytes` at `offset`. Reads into `scratch`.
fn is_present(data: &Padded, offset: u64, bytes: &[u8], scratch: &mut Buffer) -> Result<bool> {
    // A unit that cannot be read does not have these bytes, and must be written.
    let scratch = &mut scratch[..bytes.len()];
    Ok(data.read(offset, scratch)? == Found::Bytes && scratch == bytes)
}

/// Returns the INCOMPLETE error of a check that found rows that cannot be rebuilt.
pub(super) fn lost(report: &ParityReport) -> AtlasError {
    AtlasError::incomplete(format!(
        "{} of {} damaged rows have lost more units than they have parity: {} data units are bad, {} \
         unknown, and {} parity units",
        report.lost_rows,
        report.damaged_rows,
        report.bad_units,
        report.unknown_units,
        report.bad_parity_units
    ))
}

fn compare_root(known: &Digest, found: &Digest) -> Result<()> {
    if same(known, found) {
        return Ok(());
    }
    Err(AtlasError::witness(format!(
        "the repaired bytes have the root {} instead of the expected {}",
        hex(found),
        hex(known)
    )))
}

/// Links the damaged file at `path` to the name `other`, under which it is kept, and renames `target` to
/// `path`. Fails with IO if `other` exists. At any moment, also after a failure, a name leads to the damaged file.
fn keep(path: &Path, other: &Path, target: AtomicFile) -> Result<()> {
    // The link fails if `other` exists, so that no file is replaced.
    link(path, other).map_err(|error| {
        AtlasError::io(format_args!("keeping {} as {}", path.display(), other.display()), error)
    })?;
    // The new name is durable before the old one changes, because the two may be in different folders.
    let kept = sync_folder(other).map_err(|error| (true, error));
    // The name changes from the damaged to the repaired file in one step.
    let done = kept.and_then(|()| target.persist().map_err(|failed| (!failed.0.is_named(), failed.1)));
    done.map_err(|(unchanged, error)| {
        // The second name is removed only while the first one leads to the damaged file, also if a file system of
        // a network reports a failure of a rename that it has done.
        let identity = |path| std::fs::metadata(path).map(|found| FileId::of(&found)).ok();
        if unchanged && identity(path).is_some_and(|file| identity(other) == Some(file)) {
            drop(std::fs::remove_file(other));
        }
        error
    })
}

/// Reader of the protected bytes that takes rebuilt units from a temporary file and all other units from the
/// damaged file.
struct Overlay {
    data: Padded,
    aside: Arc<dyn Storage>,
    rebuilt: Arc<Bits>,
    geometry: Geometry,
}

impl ReadAt for Overlay {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let unit_len = self.geometry.unit;
        // Unit by unit: rebuilt units come from the temporary file, all other units from the damaged file.
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let unit = at / unit_len;
            // A read may begin and end within a unit.
            let len = to_usize(((unit + 1) * unit_len - at).min(to_u64(rest.len())));
            let (part, after) = rest.split_at_mut(len);
            if self.rebuilt.has(unit) {
                self.aside.read_at(at, OutBytes::new(part))?;
            } else {
                // A unit that was refused or not rebuilt enters the root unchanged.
                match self.data.read(at, part).map_err(io::Error::other)? {
                    Found::Bytes => {}
                    Found::Behind => part.fill(0),
                    Found::Before => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Found::Unreadable(code) => return Err(io::Error::from_raw_os_error(code)),
                }
            }
            (at, rest) = (at + to_u64(len), after);
        }
        Ok(())
    }
}
