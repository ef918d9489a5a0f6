//! Update of a parity file after its source was changed on purpose: rows with changed units are encoded again,
//! and appended bytes are added to the parity of other rows.

#![forbid(unsafe_code)]

use super::call::Call;
use super::code::{Code, xor_into};
use super::columns::{Columns, Encoding, Made, Plan};
use super::create::{linear_root, store};
use super::file::{Padded, ParityFile, State, UnitReader};
use super::format::{Head, Short, same_short, short};
use super::geometry::{BLOCK, Geometry};
use super::options::ParityOptions;
use super::restore::{Known, known_digests};
use super::survey::Bits;
use super::write::{Table, begin, random_id, write_blocks};
use crate::base::atomic_file::AtomicFile;
use crate::base::buffer::try_grow;
use crate::base::error::{AtlasError, Result, check_range};
use crate::base::sync::lock;
use crate::base::units::{TILE_BYTES, to_usize};
use crate::exec::operation::Operation;
use crate::hash::digest::Digest;
use crate::shard::AtlasBoundaryRegion;
use crate::source::Source;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;

/// Update of one parity file: the old parity file, its key, the changed source, and the options.
pub(super) struct Update<'u> {
    pub(super) file: &'u ParityFile,
    pub(super) key: Option<&'u [u8; 32]>,
    pub(super) source: &'u Source,
    pub(super) options: &'u ParityOptions,
}

/// Geometries of the old and the new parity file, and the data units and rows that an update affects.
struct Changes {
    old: Geometry,
    new: Geometry,
    /// Data units that the regions of the caller name as changed, or of which bytes were cut off.
    named: Bits,
    /// Data units with appended bytes, including the last old unit if it was not full.
    grown: Range<u64>,
    /// Rows with a data unit in `named`. These rows are encoded again.
    touched: Bits,
    /// Rows with a data unit in `grown` and none in `named`.
    growing: Bits,
}

impl Changes {
    fn new(old: Geometry, size: u64, regions: &[AtlasBoundaryRegion]) -> Result<Changes> {
        // Units, rows and columns stay, so that the new size must fit them.
        let Some(new) = old.resized(size) else {
            return Err(AtlasError::invalid_argument(format!(
                "{} rows and {} parity columns of units of {} bytes do not fit the new size {size}: create a \
                 new parity file",
                old.rows, old.parity, old.unit
            )));
        };
        // Named units are the units of the regions and the units that were cut off.
        let mut named = Bits::new(old.units().max(new.units()))?;
        let cut = (size < old.size).then_some(size..old.size);
        for region in regions {
            check_range(region.offset, region.length, size, "region")?;
        }
        // The regions are within the new size, so that no sum overflows.
        let regions = regions.iter().map(|region| region.offset..region.offset + region.length);
        for range in regions.chain(cut).filter(|range| !range.is_empty()) {
            // A unit that a region touches is encoded again as a whole.
            for unit in range.start / old.unit..range.end.div_ceil(old.unit) {
                named.set(unit, true);
            }
        }
        // Grown units begin with the last old unit, if it was not full.
        let grown = if size > old.size { old.size / old.unit..new.units() } else { 0..0 };
        let (mut touched, mut growing) = (Bits::new(old.rows)?, Bits::new(old.rows)?);
        for unit in named.iter(0..old.units().max(new.units())) {
            // A unit has the same row in both geometries, because R stays.
            touched.set(unit % old.rows, true);
        }
        // If more units than rows have grown, all rows are affected.
        for unit in grown.clone().take(to_usize(old.rows.min(grown.end - grown.start))) {
            if !touched.has(unit % old.rows) {
                growing.set(unit % old.rows, true);
            }
        }
        Ok(Changes { old, new, named, grown, touched, growing })
    }

    fn footprint(&self) -> u64 {
        Bits::footprint(self.old.units().max(self.new.units())) + 4 * Bits::footprint(self.old.rows)
    }

    /// Returns true if the old parity file protects the data unit `unit`, and the unit is not in `named`. The
    /// source must then still have the unit's old bytes, which appended bytes may follow.
    fn is_old(&self, unit: u64) -> bool {
        unit < self.old.units() && !self.named.has(unit)
    }
}

impl Update<'_> {
    /// Writes the new parity file to `path`. `make` creates the temporary file that gets this name.
    pub(super) fn run(
        &self,
        regions: &[AtlasBoundaryRegion],
        path: &Path,
        operation: &mut Operation<'_>,
        make: impl FnOnce(&Path) -> Result<AtomicFile>,
    ) -> Result<()> {
        // Check first for all errors that need no read.
        let changes = Changes::new(*self.file.geometry(), self.source.size(), regions)?;
        let Changes { old, new, .. } = changes;
        let id = self.options.id.map_or_else(random_id, Ok)?;
        // Announce the work that is known now.
        let mut call = Call::new(operation, old.parity_units() * old.unit, copy_tasks(&old));
        call.expect(2 * BLOCK * new.blocks(), 1);
        if self.options.store_root {
            call.expect(new.size.saturating_add(old.size), copy_units(old.units(), &old));
            call.expect(0, new.size.div_ceil(TILE_BYTES));
        }
        // Old units without a digest cannot be verified, so that the update is refused.
        let Known { table: known, missing, unreadable } = known_digests(self.file, &old)?;
        if let Some(unit) = missing.iter(0..old.units()).find(|unit| changes.is_old(*unit)) {
            return Err(match unreadable {
                Some(code) => not_readable(&old, unit, code),
                None => not_protected(&old, unit, "its digest in the parity file is lost"),
            });
        }
        let code = Code::new(&new)?;
        // Digests of unchanged units are taken over.
        let mut table = Table::new(&new)?;
        for unit in (0..new.units()).filter(|unit| changes.is_old(*unit)) {
            table.set(unit, *known.get(unit));
        }
        let target = begin(make(path)?, &new)?;
        let fixed = Table::footprint(&old)
            + Table::footprint(&new)
            + Bits::footprint(old.all_units())
            + changes.footprint()
            + Code::footprint(&new);
        // The steps below write to the same new file, row by row.
        let context = Context { update: self, changes: &changes, known: &known, target: &target, fixed };

        // Parity units of rows without a change are copied. Rows with a bad parity unit are noted.
        let mut damaged = Bits::new(old.rows)?;
        context.copy(&mut call, &mut table, &mut damaged)?;
        // In rows that have only grown, the appended bytes are added to the old parity.
        let growing = runs(&changes.growing, old.rows)?;
        if !growing.is_empty() {
            let found = Mutex::new(&mut damaged);
            let io = Grown { context: &context, damaged: &found };
            // Columns before the first grown unit are in the old parity already.
            let first = changes.grown.start / old.rows;
            let encoding = context.encoding(&code, &growing, first..new.columns, &io);
            context.encode(&encoding, &mut call, &mut table)?;
        }
        // Rows with named units, and the rows noted above, are encoded again.
        for row in changes.touched.iter(0..old.rows) {
            damaged.set(row, true);
        }
        let rows = runs(&damaged, old.rows)?;
        if !rows.is_empty() {
            let io = Anew { context: &context };
            let encoding = context.encoding(&code, &rows, 0..new.columns, &io);
            context.encode(&encoding, &mut call, &mut table)?;
        }
        // A stored root covers every byte, so that every old unit is verified first.
        let root = if self.options.store_root {
            context.verify(&mut call)?;
            call.inner(|operation| linear_root(self.source, self.key, operation))?
        } else {
            Digest::default()
        };
        // The blocks of digests come last, and then the name of the file.
        let head = Head { geometry: new, keyed: self.file.head.keyed, id, root };
        write_blocks(&target, &head, &self.file.seals, &table)?;
        // The new file replaces the old file, which an open handle keeps reading.
        target.persist().map_err(|failed| failed.1)?;
        call.advance(2 * BLOCK * new.blocks(), 1)?;
        call.finish()
    }
}

/// State that the steps of an update share.
struct Context<'c> {
    update: &'c Update<'c>,
    changes: &'c Changes,
    /// Digests of all units in the old parity file.
    known: &'c Table,
    target: &'c AtomicFile,
    fixed: u64,
}

impl Context<'_> {
    fn encoding<'e, C>(
        &'e self,
        code: &'e Code,
        rows: &'e [Range<u64>],
        columns: Range<u64>,
        io: &'e C,
    ) -> Encoding<'e, C> {
        let near = self.update.source.is_near();
        Encoding { code, geometry: &self.changes.new, rows, columns, near, io }
    }

    fn encode<C: Columns>(
        &self,
        encoding: &Encoding<'_, C>,
        call: &mut Call<'_, '_>,
        table: &mut Table,
    ) -> Result<()> {
        let plan: Plan<'_> = encoding.plan(self.fixed, call)?;
        // The rows are known only now, so that this work is announced late.
        call.expect(encoding.bytes(), plan.tasks());
        encoding.run(&plan, call, |made| {
            made.digests.into_iter().for_each(|(unit, digest)| table.set(unit, digest));
            Ok(())
        })
    }

    /// Copies the parity units of rows without a change to the new parity file, and their digests to `table`.
    /// Adds rows with a bad parity unit to `damaged`.
    fn copy(&self, call: &mut Call<'_, '_>, table: &mut Table, damaged: &mut Bits) -> Result<()> {
        // Good parity units of rows without changes are copied, and their digests kept.
        let Changes { old, new, touched, growing, .. } = self.changes;
        let (file, tasks) = (self.update.file, copy_tasks(old));
        // Only parity units are read here. The data still has its old size.
        let data = Padded::data(self.update.source, old);
        let workers = call.workers(tasks, UnitReader::footprint(old), self.fixed)?;
        let step = copy_step(old);
        workers.run(
            tasks,
            || UnitReader::new(file, &data),
            |reader, task| {
                let first = old.units() + task * step;
                let units = first..(first + step).min(old.all_units());
                let mut found: Vec<(u64, Option<Short>)> = Vec::new();
                let is_copied = |unit: &u64| !touched.has(old.row(*unit)) && !growing.has(old.row(*unit));
                let mut at = units.start;
                while at < units.end {
                    // Runs of rows that are copied; the units of other rows are not read.
                    let end =
                        (at..units.end).find(|unit| is_copied(unit) != is_copied(&at)).unwrap_or(units.end);
                    if is_copied(&at) {
                        try_grow(&mut found, to_usize(end - at))?;
                        reader.visit(at..end, |unit| {
                            let good = unit.state == State::Good;
                            let parity = unit.index - old.units();
                            if let (true, Some(bytes)) = (good, &unit.bytes) {
                                self.target.write_sparse_at(new.unit_offset(new.units() + parity), bytes)?;
                            }
                            // A parity unit keeps its number in the file; its number among all units changes with Q.
                            found.push((parity, good.then_some(unit.digest)));
                            Ok(())
                        })?;
                    }
                    at = end;
                }
                Ok((found, (units.end - units.start) * old.unit))
            },
            // If a unit is not good, its row is encoded again.
            |_, (found, bytes)| {
                for (parity, digest) in found {
                    match digest {
                        Some(digest) => table.set(new.units() + parity, digest),
                        None => damaged.set(parity % old.rows, true),
                    }
                }
                call.advance(bytes, 1)
            },
        )
    }

    /// Fails with WITNESS if a data unit does not match its old digest, although the old parity file protects it
    /// and it is not in [`Changes::named`].
    fn verify(&self, call: &mut Call<'_, '_>) -> Result<()> {
        let old = &self.changes.old;
        let file = self.update.file;
        // The root covers every byte, including rows that the update does not touch.
        let data = Padded::data(self.update.source, old);
        let tasks = copy_units(old.units(), old);
        let workers = call.workers(tasks, UnitReader::footprint(old), self.fixed)?;
        let step = copy_step(old);
        workers.run(
            tasks,
            || UnitReader::new(file, &data),
            |reader, task| {
                // A task is a run of units.
                let units = task * step..((task + 1) * step).min(old.units());
                let bytes = (units.end * old.unit).min(old.size) - units.start * old.unit;
                reader.visit(units, |unit| {
                    if self.changes.is_old(unit.index) && unit.state != State::Good {
                        return Err(match unit.unreadable {
                            Some(code) => not_readable(old, unit.index, code),
                            None => not_protected(old, unit.index, "its bytes differ from its digest"),
                        });
                    }
                    Ok(())
                })?;
                Ok(bytes)
            },
            |_, bytes| call.advance(bytes, 1),
        )
    }

    /// Reads the data unit `unit` of the changed source into `out`. Returns the number of old bytes at its start:
    /// those that the old parity file protects, or 0 if the unit is new or in [`Changes::named`]. Fails with
    /// WITNESS if the old bytes do not match the old digest.
    fn read(&self, unit: u64, out: &mut [u8]) -> Result<usize> {
        let Changes { old, new, .. } = self.changes;
        let (offset, len) = (new.unit_offset(unit), to_usize(new.data_len(unit)));
        // An unreadable unit ends the call, because the update needs every byte of the row.
        self.update.source.read(offset, &mut out[..len])?;
        out[len..].fill(0);
        // Named and appended units may have any bytes.
        if !self.changes.is_old(unit) {
            return Ok(0);
        }
        // The old digest covers the protected bytes and zeros up to the unit's end.
        let before = to_usize(old.data_len(unit));
        let mut hasher = self.update.file.digests.tile_hasher();
        hasher.update(&out[..before.min(len)]);
        let zeros = [0; 4096];
        let mut rest = out.len() - before.min(len);
        while rest > 0 {
            let part = rest.min(zeros.len());
            hasher.update(&zeros[..part]);
            rest -= part;
        }
        let digest = short(hasher.finalize().as_bytes());
        if !same_short(&digest, self.known.get(unit)) {
            return Err(not_protected(old, unit, "its bytes differ from its digest"));
        }
        // A grown unit begins with old bytes, which the caller removes from the sum.
        Ok(before)
    }

    /// Adds the digest of the data unit `unit`, which has the contents `bytes`, to `made`, unless the unit
    /// keeps its old digest.
    fn note(&self, unit: u64, bytes: &[u8], made: &mut Made) -> Result<()> {
        // An old unit that was verified keeps its digest.
        let is_kept = self.changes.is_old(unit) && !self.changes.grown.contains(&unit);
        if !is_kept {
            try_grow(&mut made.digests, 1)?;
            made.digests.push((unit, short(&self.update.file.digests.tile(bytes))));
        }
        Ok(())
    }

    fn store(&self, units: Range<u64>, bytes: &[u8], made: &mut Made) -> Result<()> {
        let file = self.update.file;
        store(&file.digests, &file.zeros, &self.changes.new, self.target, units, bytes, made)
    }
}

/// Access to the units of rows that are encoded again from all of their columns.
struct Anew<'c> {
    context: &'c Context<'c>,
}

impl Columns for Anew<'_> {
    fn load<'b>(
        &'b self,
        units: Range<u64>,
        buffer: &'b mut [u8],
        made: &mut Made,
    ) -> Result<Option<&'b [u8]>> {
        let len = self.context.changes.new.unit_len();
        for (unit, bytes) in units.zip(buffer.chunks_mut(len)) {
            // Each old unit of the row is compared with its digest before it enters the parity.
            self.context.read(unit, bytes)?;
            self.context.note(unit, bytes, made)?;
        }
        Ok(Some(buffer))
    }

    fn store(&self, units: Range<u64>, bytes: &mut [u8], made: &mut Made) -> Result<()> {
        self.context.store(units, bytes, made)
    }
}

/// Access to the units of rows that have only grown: the appended bytes are encoded alone, and added to the old
/// parity.
struct Grown<'c> {
    context: &'c Context<'c>,
    /// Set of rows that must be encoded again. Rows with a parity unit that is not good are added to it.
    damaged: &'c Mutex<&'c mut Bits>,
}

impl Columns for Grown<'_> {
    fn footprint(&self) -> u64 {
        UnitReader::footprint(&self.context.changes.old)
    }

    fn load<'b>(
        &'b self,
        units: Range<u64>,
        buffer: &'b mut [u8],
        made: &mut Made,
    ) -> Result<Option<&'b [u8]>> {
        let Changes { new, grown, .. } = self.context.changes;
        let mut any = false;
        for (unit, bytes) in units.zip(buffer.chunks_mut(new.unit_len())) {
            // Only appended bytes are encoded, because the old bytes are in the old parity.
            if !grown.contains(&unit) {
                bytes.fill(0);
                continue;
            }
            any = true;
            let before = self.context.read(unit, bytes)?;
            self.context.note(unit, bytes, made)?;
            bytes[..before].fill(0);
        }
        Ok(any.then_some(&*buffer))
    }

    fn store(&self, units: Range<u64>, bytes: &mut [u8], made: &mut Made) -> Result<()> {
        let Changes { old, new, .. } = self.context.changes;
        let (file, data) = (self.context.update.file, Padded::data(self.context.update.source, old));
        // Each call makes a reader, because parts are stored by several threads.
        let mut reader = UnitReader::new(file, &data)?;
        // Add the old parity unit if it is good; otherwise the row is encoded again.
        for (unit, bytes) in units.zip(bytes.chunks_mut(new.unit_len())) {
            let parity = unit - new.units();
            let mut good = false;
            // Index of the same parity unit in the old file.
            let before = old.units() + parity;
            reader.visit(before..before + 1, |unit| {
                good = unit.state == State::Good;
                if let (true, Some(before)) = (good, &unit.bytes) {
                    xor_into(bytes, before);
                }
                Ok(())
            })?;
            if good {
                self.context.store(unit..unit + 1, bytes, made)?;
            } else {
                lock(self.damaged).set(parity % old.rows, true);
            }
        }
        Ok(())
    }
}

/// Returns the number of units that a task copies or verifies.
fn copy_step(geometry: &Geometry) -> u64 {
    (TILE_BYTES / geometry.unit).max(1)
}

fn copy_units(units: u64, geometry: &Geometry) -> u64 {
    units.div_ceil(copy_step(geometry))
}

fn copy_tasks(geometry: &Geometry) -> u64 {
    copy_units(geometry.parity_units(), geometry)
}

/// Converts a set of rows, all below `count`, to ranges of consecutive rows.
fn runs(rows: &Bits, count: u64) -> Result<Vec<Range<u64>>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for row in rows.iter(0..count) {
        match runs.last_mut() {
            Some(run) if run.end == row => run.end += 1,
            _ => {
                try_grow(&mut runs, 1)?;
                runs.push(row..row + 1);
            }
        }
    }
    Ok(runs)
}

/// Returns the IO error for a data unit that is not named as changed, and that cannot be compared with its digest because
/// one of them cannot be read.
fn not_readable(geometry: &Geometry, unit: u64, code: i32) -> AtlasError {
    let (offset, length) = (geometry.unit_offset(unit), geometry.data_len(unit));
    let text = format_args!("comparing the data unit at offset {offset} with its digest");
    AtlasError::io(text, io::Error::from_raw_os_error(code)).at_index(unit).at_range(offset, length)
}

/// Returns the WITNESS error for a data unit that is not named as changed and either does not match its digest
/// or has lost it. `why` says which.
fn not_protected(geometry: &Geometry, unit: u64, why: &str) -> AtlasError {
    let (offset, length) = (geometry.unit_offset(unit), geometry.data_len(unit));
    AtlasError::witness(format!(
        "the data unit at offset {offset} was not named as changed, and {why}: repair the unit first, or \
         name it as changed"
    ))
    .at_index(unit)
    .at_range(offset, length)
}
