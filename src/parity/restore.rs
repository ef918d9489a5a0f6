//! Restoring of a damaged parity file, byte for byte as it was first written.

#![forbid(unsafe_code)]

use super::call::Call;
use super::code::Code;
use super::file::{Entries, Padded, ParityFile, State, UnitReader, changed};
use super::format::{Short, same_short, short};
use super::geometry::{BLOCK, Geometry};
use super::options::ParityVerdict;
use super::repair::lost;
use super::rows::{RowBuilder, RowPlan, Wish, contradicts};
use super::survey::{Bits, Survey};
use super::write::{Table, begin, write_blocks};
use crate::base::atomic_file::AtomicFile;
use crate::base::buffer::{try_grow, try_vec};
use crate::base::error::Result;
use crate::base::units::{TILE_BYTES, to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::source::Source;
use std::path::Path;

/// Writes the parity file again to `path`, from the protected data and from the intact part of the old parity
/// file. `make` creates the temporary file that gets this name.
pub(super) fn restore(
    file: &ParityFile,
    source: &Source,
    path: &Path,
    operation: &mut Operation<'_>,
    make: impl FnOnce(&Path) -> Result<AtomicFile>,
) -> Result<()> {
    let geometry = *file.geometry();
    // Check everything first; nothing is written if a needed row is lost.
    // Data is needed only for rows that are rebuilt, but everything is checked.
    let data = Padded::data(source, &geometry);
    let (bytes, tasks) = Survey::work(&geometry);
    let mut call = Call::new(operation, bytes, tasks);
    let held = Survey::take(file, &data, &mut call)?;
    let report = held.survey().report;
    if report.parity == ParityVerdict::Incomplete {
        held.release(&mut call)?;
        return Err(lost(&report));
    }
    // The rows with damage are rebuilt, all other rows are copied.
    let Known { mut table, missing, .. } = known_digests(file, &geometry)?;
    let concerned = concerned(held.survey(), &geometry, &missing)?;
    let mut rows = Vec::new();
    for row in concerned.iter(0..geometry.rows) {
        try_grow(&mut rows, 1)?;
        rows.push(row);
    }
    // Announce the remaining work before the last report of the check.
    let copied = geometry.parity_units() * geometry.unit;
    let row_bytes = geometry.columns * geometry.unit;
    let units_a_task = (TILE_BYTES / geometry.unit).max(1);
    let copies = geometry.parity_units().div_ceil(units_a_task);
    call.expect(copied + row_bytes.saturating_mul(to_u64(rows.len())), copies + to_u64(rows.len()));
    call.expect(2 * BLOCK * geometry.blocks(), 1);
    let survey = held.release(&mut call)?;
    let target = begin(make(path)?, &geometry)?;
    let fixed = Survey::footprint(&geometry)
        + Table::footprint(&geometry)
        + Bits::footprint(geometry.all_units() + geometry.rows)
        + 8 * to_u64(rows.len());

    // The parity units of rows without damage are copied, and verified again.
    let workers = call.workers(copies, UnitReader::footprint(&geometry), fixed)?;
    workers.run(
        copies,
        || UnitReader::new(file, &data),
        |reader, task| {
            let first = geometry.units() + task * units_a_task;
            let units = first..(first + units_a_task).min(geometry.all_units());
            let bytes = (units.end - units.start) * geometry.unit;
            reader.visit(units, |unit| {
                if concerned.has(geometry.row(unit.index)) {
                    return Ok(());
                }
                if unit.state != State::Good {
                    // If a unit changed after the check, the copied unit would not match its digest.
                    return Err(changed(file, unit.index, unit.unreadable));
                }
                match &unit.bytes {
                    Some(bytes) => target.write_sparse_at(geometry.unit_offset(unit.index), bytes),
                    // A unit of zeros stays a hole.
                    None => Ok(()),
                }
            })?;
            Ok(bytes)
        },
        |_, bytes| call.advance(bytes, 1),
    )?;

    // The rows with damage are rebuilt from their good units.
    if !rows.is_empty() {
        let code = Code::new(&geometry)?;
        let fixed = fixed + Code::footprint(&geometry);
        // Damaged data units of these rows are unknowns as well.
        let hurt = |row: &u64| geometry.data_of_row(*row).filter(|(_, unit)| survey.is_hurt(*unit)).count();
        let most = rows.iter().map(hurt).max().unwrap_or(0);
        let plan = RowPlan::new(&geometry, Wish::DataAndParity, to_u64(most), fixed, &call.run)?;
        let workers = call.workers(to_u64(rows.len()), plan.per_worker, fixed)?;
        workers.run(
            to_u64(rows.len()),
            || RowBuilder::new(file, &data, &code, &survey, plan),
            |builder, task| {
                // Digests of all units of the row, to fill in lost digests and compare known digests.
                let row = rows[to_usize(task)];
                let mut made: Vec<(u64, Short)> = try_vec(to_usize(geometry.columns + 2 * geometry.parity))?;
                let rebuilt = builder.rebuild(row, |unit, digest| made.push((unit, digest)))?;
                made.extend(rebuilt.units.iter().map(|(unit, _, digest)| (*unit, *digest)));
                for (unit, bytes) in geometry.parity_of_row(row).zip(rebuilt.parity) {
                    made.push((unit, short(&file.digests.tile(bytes))));
                    target.write_sparse_at(geometry.unit_offset(unit), bytes)?;
                }
                Ok(made)
            },
            |_, made| {
                for (unit, digest) in made {
                    // A lost digest is set; every known digest must equal the digest in the file.
                    if missing.has(unit) {
                        table.set(unit, digest);
                    } else if !same_short(table.get(unit), &digest) {
                        return Err(contradicts(&geometry, unit));
                    }
                }
                call.advance(row_bytes, 1)
            },
        )?;
    }
    // The blocks of digests come last, and then the name of the file.
    write_blocks(&target, &file.head, &file.seals, &table)?;
    // Replaces a file of this name, possibly the damaged parity file itself.
    target.persist().map_err(|failed| failed.1)?;
    call.advance(2 * BLOCK * geometry.blocks(), 1)?;
    call.finish()
}

/// Digests of all units, as far as they are known.
pub(super) struct Known {
    pub(super) table: Table,
    /// Set of units whose digests are lost.
    pub(super) missing: Bits,
    /// Error number of the system, if a lost digest cannot be read.
    pub(super) unreadable: Option<i32>,
}

/// Returns all digests that a valid block of the parity file has.
pub(super) fn known_digests(file: &ParityFile, geometry: &Geometry) -> Result<Known> {
    let (mut table, mut missing) = (Table::new(geometry)?, Bits::new(geometry.all_units())?);
    let mut unreadable = None;
    let mut entries = Entries::new()?;
    for unit in 0..geometry.all_units() {
        // The units are ascending, so that each block is read once.
        match entries.digest(file, unit)? {
            Some(digest) => table.set(unit, digest),
            None => {
                missing.set(unit, true);
                unreadable = unreadable.or(entries.unreadable());
            }
        }
    }
    Ok(Known { table, missing, unreadable })
}

/// Returns the set of rows that have to be rebuilt: those with a damaged parity unit, or with a unit whose
/// digest is lost.
fn concerned(survey: &Survey, geometry: &Geometry, missing: &Bits) -> Result<Bits> {
    let mut rows = Bits::new(geometry.rows)?;
    for unit in survey.hurt(geometry.units()..geometry.all_units()) {
        rows.set(geometry.row(unit), true);
    }
    // A digest is computed from the unit, which must be rebuilt or verified by its row.
    for unit in missing.iter(0..geometry.all_units()) {
        rows.set(geometry.row(unit), true);
    }
    Ok(rows)
}
