//! Checks: both files are read once, and the state of each unit and block is kept in two bits.

#![forbid(unsafe_code)]

use super::call::Call;
use super::file::{BATCH, Found, Padded, ParityFile, State, UnitReader};
use super::geometry::{BLOCK, Copies, DIGESTS_A_BLOCK, Geometry};
use super::options::{ParityReport, ParityVerdict};
use crate::base::buffer::{try_grow, try_vec};
use crate::base::damage::{Damage, DamageFn, DamageKind, DamagePart, tell};
use crate::base::error::{AtlasError, Result};
use crate::base::units::{PAGE_SIZE, to_u64, to_usize};
use std::ops::Range;

/// Number of bytes of units or blocks that a task of a check reads. A unit of more bytes is read alone.
const PIECE: u64 = 2 * BATCH as u64;
/// Set of numbers below a limit, with one bit for each number.
pub(super) struct Bits {
    bytes: Vec<u8>,
}

impl Bits {
    pub(super) fn new(limit: u64) -> Result<Bits> {
        // The limit comes from a file, so that a lack of memory must be an error and not an abort.
        let len = usize::try_from(limit.div_ceil(8)).unwrap_or(usize::MAX);
        let mut bytes = try_vec(len)?;
        bytes.resize(len, 0);
        Ok(Bits { bytes })
    }

    pub(super) fn footprint(limit: u64) -> u64 {
        limit.div_ceil(8)
    }

    pub(super) fn set(&mut self, number: u64, value: bool) {
        let (byte, bit) = (&mut self.bytes[to_usize(number / 8)], 1 << (number % 8));
        *byte = if value { *byte | bit } else { *byte & !bit };
    }

    pub(super) fn has(&self, number: u64) -> bool {
        self.bytes[to_usize(number / 8)] >> (number % 8) & 1 == 1
    }

    /// Returns the numbers in `range` that are in the set, ascending.
    pub(super) fn iter(&self, range: Range<u64>) -> impl Iterator<Item = u64> + '_ {
        let mut at = range.start;
        std::iter::from_fn(move || {
            // Bytes of zeros are skipped at once.
            while at < range.end {
                let byte = self.bytes[to_usize(at / 8)];
                if byte == 0 {
                    at = (at / 8 + 1) * 8;
                    continue;
                }
                at += 1;
                if byte >> ((at - 1) % 8) & 1 == 1 {
                    return Some(at - 1);
                }
            }
            None
        })
    }
}

/// Findings of a check of a protected file and its parity file.
pub(super) struct Survey {
    /// Numbers of the units that are not good, then of the invalid blocks of the head copy, then of the tail
    /// copy.
    hurt: Bits,
    /// Numbers of the units whose digests are lost. They are in `hurt` too.
    unknown: Bits,
    /// Numbers of unreadable units and blocks, each with the error number of the system, ascending.
    unreadable: Vec<(u64, i32)>,
    /// Rows with more damaged units than parity units.
    lost: Bits,
    pub(super) report: ParityReport,
}

/// Findings of a check whose last progress report is held back, so that later work can be announced before it.
pub(super) struct Held {
    survey: Survey,
    bytes: u64,
}

impl Held {
    pub(super) fn survey(&self) -> &Survey {
        &self.survey
    }

    /// Makes the progress report that was held back, and returns the findings.
    pub(super) fn release(self, call: &mut Call<'_, '_>) -> Result<Survey> {
        call.advance(self.bytes, 1)?;
        Ok(self.survey)
    }
}

/// Division of a check into one piece per task: data units, then head blocks, parity units, and tail blocks.
struct Pieces {
    /// Number of units in a piece of units. The next field is the number of blocks in a piece of blocks.
    units: u64,
    blocks: u64,
    /// Number of pieces of each kind, in this order: data units, head blocks, parity units, tail blocks.
    counts: [u64; 4],
}

/// Units or blocks that one task of a check reads.
enum Piece {
    Units(Range<u64>),
    Blocks(Copies, Range<u64>),
}

impl Pieces {
    fn new(geometry: &Geometry) -> Pieces {
        // Pieces have the same size in bytes for every unit size.
        let (units, blocks) = ((PIECE / geometry.unit).max(1), PIECE / BLOCK);
        let of_blocks = geometry.blocks().div_ceil(blocks);
        // Head, parity and tail follow the order of the parity file, so that a disk reads it once.
        let counts =
            [geometry.units().div_ceil(units), of_blocks, geometry.parity_units().div_ceil(units), of_blocks];
        Pieces { units, blocks, counts }
    }

    fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn get(&self, geometry: &Geometry, task: u64) -> Piece {
        let [data, head, parity, _] = self.counts;
        let range = |number: u64, each: u64, start: u64, end: u64| {
            let first = start + number * each;
            first..(first + each).min(end)
        };
        // The four parts follow one another in the order of the tasks.
        if task < data {
            return Piece::Units(range(task, self.units, 0, geometry.units()));
        }
        if task < data + head {
            return Piece::Blocks(Copies::Head, range(task - data, self.blocks, 0, geometry.blocks()));
        }
        if task < data + head + parity {
            return Piece::Units(range(
                task - data - head,
                self.units,
                geometry.units(),
                geometry.all_units(),
            ));
        }
        Piece::Blocks(Copies::Tail, range(task - data - head - parity, self.blocks, 0, geometry.blocks()))
    }

    /// Returns the number of bytes of a piece, for progress.
    fn bytes(geometry: &Geometry, piece: &Piece) -> u64 {
        match piece {
            Piece::Blocks(_, blocks) => (blocks.end - blocks.start) * BLOCK,
            // The last data unit may be shorter than U.
            Piece::Units(units) if units.end == geometry.units() => {
                geometry.size - units.start * geometry.unit
            }
            Piece::Units(units) => (units.end - units.start) * geometry.unit,
        }
    }
}

/// A unit or block that is damaged or unknown.
struct Hurt {
    number: u64,
    unknown: bool,
    os_error: Option<i32>,
}

/// Returns the number of the block `block` of one of the two copies in the findings. The numbers of blocks
/// follow the numbers of all units.
fn block_number(geometry: &Geometry, copy: Copies, block: u64) -> u64 {
    let first = match copy {
        Copies::Head => 0,
        Copies::Tail => geometry.blocks(),
    };
    geometry.all_units() + first + block
}

impl Survey {
    /// Returns the number of bytes of memory of the findings, without the list of unreadable units and blocks.
    pub(super) fn footprint(geometry: &Geometry) -> u64 {
        let numbers = geometry.all_units() + 2 * geometry.blocks();
        2 * Bits::footprint(numbers) + Bits::footprint(geometry.rows)
    }

    /// Returns the numbers of bytes and tasks of a check, for progress.
    pub(super) fn work(geometry: &Geometry) -> (u64, u64) {
        // Both files count in full, also if they are truncated, so that progress reaches its end.
        (geometry.size + geometry.file_size(), Pieces::new(geometry).count())
    }

    /// Reads both files once and determines the state of each unit and block. The last progress report is held
    /// back, so that later work can be announced before it.
    pub(super) fn take(file: &ParityFile, data: &Padded, call: &mut Call<'_, '_>) -> Result<Held> {
        let geometry = *file.geometry();
        // One number for each unit and each copy of a block.
        let numbers = geometry.all_units() + 2 * geometry.blocks();
        let pieces = Pieces::new(&geometry);
        let per_worker = UnitReader::footprint(&geometry) + BLOCK;
        let workers = call.workers(pieces.count(), per_worker, Self::footprint(&geometry))?;
        // All units count as good at first, because tasks report only damage.
        let mut survey = Survey {
            hurt: Bits::new(numbers)?,
            unknown: Bits::new(numbers)?,
            unreadable: Vec::new(),
            lost: Bits::new(geometry.rows)?,
            report: ParityReport { size: data.source.size(), ..ParityReport::default() },
        };
        let mut held = 0;
        workers.run(
            pieces.count(),
            || UnitReader::new(file, data),
            |reader, task| inspect(file, reader, &pieces.get(&geometry, task)),
            |task, hurt| {
                // The pool passes results in the order of the tasks, so that the list stays ascending.
                for hurt in hurt {
                    survey.note(&hurt)?;
                }
                let bytes = Pieces::bytes(&geometry, &pieces.get(&geometry, task));
                // The last piece is not reported yet.
                if task == pieces.count() - 1 {
                    held = bytes;
                    return Ok(());
                }
                call.advance(bytes, 1)
            },
        )?;
        // Rows can be judged only when all of their units are known.
        survey.judge(file, data);
        Ok(Held { survey, bytes: held })
    }

    fn note(&mut self, hurt: &Hurt) -> Result<()> {
        self.hurt.set(hurt.number, true);
        self.unknown.set(hurt.number, hurt.unknown);
        if let Some(code) = hurt.os_error {
            try_grow(&mut self.unreadable, 1)?;
            // Few units are unreadable, so that a list costs less than a number for each unit.
            self.unreadable.push((hurt.number, code));
        }
        Ok(())
    }

    /// Counts the damaged units, blocks and rows for the report, and decides the verdicts on both files.
    fn judge(&mut self, file: &ParityFile, data: &Padded) {
        let geometry = *file.geometry();
        let (units, all) = (geometry.units(), geometry.all_units());
        // Counts of units and blocks.
        let of_data = self.hurt.iter(0..units);
        let unknown = to_u64(of_data.filter(|unit| self.unknown.has(*unit)).count());
        let report = &mut self.report;
        report.unknown_units = unknown;
        // Unknown units are in `hurt` too, but are counted separately.
        report.bad_units = to_u64(self.hurt.iter(0..units).count()) - unknown;
        report.bad_parity_units = to_u64(self.hurt.iter(units..all).count());
        report.bad_blocks = to_u64(self.hurt.iter(all..all + 2 * geometry.blocks()).count());
        // Judge each row by the number of its lost units.
        let (mut data_lost, mut parity_lost) = (false, false);
        for row in 0..geometry.rows {
            let hurt = |unit: &u64| self.hurt.has(*unit);
            let of_data = to_u64(geometry.data_of_row(row).filter(|(_, unit)| hurt(unit)).count());
            let of_parity = to_u64(geometry.parity_of_row(row).filter(hurt).count());
            report.damaged_rows += u64::from(of_data + of_parity > 0);
            // Any M units of the K + M may be lost, whichever they are.
            if of_data + of_parity > geometry.parity {
                report.lost_rows += 1;
                self.lost.set(row, true);
                data_lost |= of_data > 0;
                parity_lost |= of_parity > 0;
            }
        }
        // Digests lost in both copies are computed again, for which their rows are needed.
        if report.lost_rows > 0 {
            for block in 0..geometry.blocks() {
                if Copies::BOTH.iter().all(|copy| self.hurt.has(block_number(&geometry, *copy, block))) {
                    // The digests of a lost block are computed again from its units, also from good units.
                    let units = block * DIGESTS_A_BLOCK..((block + 1) * DIGESTS_A_BLOCK).min(all);
                    parity_lost |= units.into_iter().any(|unit| self.lost.has(geometry.row(unit)));
                }
            }
        }
        // Verdicts on both files; a wrong size is damage too.
        let verdict = |lost: bool, damaged: bool| match (lost, damaged) {
            (true, _) => ParityVerdict::Incomplete,
            (false, true) => ParityVerdict::Repairable,
            (false, false) => ParityVerdict::Intact,
        };
        let short = data.source.size() < geometry.size;
        report.data = verdict(data_lost, short || report.bad_units + report.unknown_units > 0);
        // A file that is too long is damaged as well, because a restored file has another size.
        let resized = file.present() != geometry.file_size();
        report.parity = verdict(parity_lost, resized || report.bad_parity_units + report.bad_blocks > 0);
    }

    /// Returns true if the data unit or parity unit `unit` is bad or unknown.
    pub(super) fn is_hurt(&self, unit: u64) -> bool {
        self.hurt.has(unit)
    }

    pub(super) fn is_unknown(&self, unit: u64) -> bool {
        self.unknown.has(unit)
    }

    /// Returns the units of `range` that are bad or unknown, ascending.
    pub(super) fn hurt(&self, range: Range<u64>) -> impl Iterator<Item = u64> + '_ {
        self.hurt.iter(range)
    }

    /// Returns true if neither copy of the block `block` is valid.
    pub(super) fn is_nowhere(&self, geometry: &Geometry, block: u64) -> bool {
        Copies::BOTH.iter().all(|copy| self.hurt.has(block_number(geometry, *copy, block)))
    }

    /// Returns the report of the damaged or unknown unit or block with this number in the findings.
    pub(super) fn damage(&self, file: &ParityFile, data: &Padded, number: u64) -> Damage {
        let geometry = file.geometry();
        let (units, all, blocks) = (geometry.units(), geometry.all_units(), geometry.blocks());
        // Find the part and the place of the number: data units, parity units, blocks of both copies.
        let code = self.unreadable.binary_search_by_key(&number, |(number, _)| *number);
        let os_error = code.map_or(0, |place| self.unreadable[place].1);
        // Data units have their place in the protected file, everything else in the parity file.
        let (part, index, offset, length, missing) = if number < units {
            let offset = geometry.unit_offset(number);
            (DamagePart::Data, number, offset, geometry.data_len(number), offset >= data.source.size())
        } else if number < all {
            let offset = geometry.unit_offset(number);
            (DamagePart::Parity, number - units, offset, geometry.unit, file.is_missing(offset))
        } else {
            // The head copy has the lower numbers.
            let (copy, block) = match (number - all).checked_sub(blocks) {
                None => (Copies::Head, number - all),
                Some(block) => (Copies::Tail, block),
            };
            let offset = geometry.block_offset(copy, block);
            (DamagePart::Digests, block, offset, BLOCK, file.is_missing(offset))
        };
        // Determine the kind of damage, and if it can be repaired.
        let kind = match (missing, os_error) {
            (true, _) => DamageKind::Missing,
            (false, 0) if self.unknown.has(number) => DamageKind::Unknown,
            (false, 0) => DamageKind::Differs,
            (false, _) => DamageKind::Unreadable,
        };
        let repairable = match part {
            DamagePart::Digests => self.is_block_repairable(geometry, index),
            _ => !self.lost.has(geometry.row(number)),
        };
        Damage { part, kind, repairable, os_error, generation: 0, index, offset, length }
    }

    /// Returns true if a copy of the block `block` is valid, or all of its digests can be computed again.
    fn is_block_repairable(&self, geometry: &Geometry, block: u64) -> bool {
        let mut rows = geometry.units_of_block(block).map(|unit| geometry.row(unit));
        !self.is_nowhere(geometry, block) || !rows.any(|row| self.lost.has(row))
    }

    /// Passes each damaged unit and block to `damage`: first those of the data, then those of the parity file,
    /// each in the order of their offsets. Fails with CANCELLED if `damage` returns false.
    pub(super) fn tell(&self, file: &ParityFile, data: &Padded, damage: &mut DamageFn<'_>) -> Result<()> {
        let geometry = file.geometry();
        let (units, all, blocks) = (geometry.units(), geometry.all_units(), geometry.blocks());
        // The order of the offsets in each file: head blocks lie before parity units, tail blocks after them.
        for range in [0..units, all..all + blocks, units..all, all + blocks..all + 2 * blocks] {
            for number in self.hurt.iter(range) {
                if !tell(damage, &self.damage(file, data, number))? {
                    return Err(AtlasError::cancelled(
                        "the damage callback returned false, which ended the check",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Reads the units or blocks of a piece, and returns those that are damaged or unknown.
fn inspect(file: &ParityFile, reader: &mut UnitReader<'_>, piece: &Piece) -> Result<Vec<Hurt>> {
    let geometry = file.geometry();
    let mut hurt = Vec::new();
    let mut note = |number: u64, unknown: bool, os_error: Option<i32>| {
        try_grow(&mut hurt, 1)?;
        hurt.push(Hurt { number, unknown, os_error });
        Ok(())
    };
    let code = |found: Found| match found {
        Found::Unreadable(code) => Some(code),
        Found::Bytes | Found::Behind | Found::Before => None,
    };
    // Units are judged by their digests, blocks by their seals.
    match piece {
        Piece::Units(units) => reader.visit(units.clone(), |unit| match unit.state {
            State::Good => Ok(()),
            State::Unknown => note(unit.index, true, None),
            // The error number is kept for the report.
            State::Differs | State::Unreadable => note(unit.index, false, unit.unreadable),
        })?,
        Piece::Blocks(copy, blocks) => {
            let mut block = [0; PAGE_SIZE];
            for number in blocks.clone() {
                let (found, counts) = file.read_block(*copy, number, &mut block)?;
                // A block that is not valid has no meaning, whichever of its bytes differ.
                if !counts {
                    note(block_number(geometry, *copy, number), false, code(found))?;
                }
            }
        }
    }
    Ok(hurt)
}
