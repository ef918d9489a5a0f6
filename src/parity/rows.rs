//! Rebuilding of the lost units of a row.

#![forbid(unsafe_code)]

use super::code::{Code, Encoder, xor_into};
use super::file::{Padded, ParityFile, UnitReader};
use super::format::{Short, same_short, short};
use super::geometry::Geometry;
use super::survey::Survey;
use crate::base::buffer::{Buffer, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::units::{to_u64, to_usize};
use crate::exec::operation::Operation;

/// Maximum number of bytes of memory for rebuilding a row if the operation has no memory limit. A parity file
/// that needs more is refused with LIMIT unless the caller sets a memory limit that allows it.
const ROW_MEMORY: u64 = 1024 * 1024 * 1024;

/// Units that are rebuilt for each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// The lost data units.
    Data,
    /// The lost data units, and all parity units.
    DataAndParity,
}

/// Memory that a worker needs to rebuild rows, and the way in which it encodes them.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowPlan {
    wish: Wish,
    /// Largest number of data units that one of the rows has lost.
    most: u64,
    /// True if there is memory to encode rows with transforms, which are faster for many parity units.
    transforms: bool,
    pub(super) per_worker: u64,
}

impl RowPlan {
    /// Returns the plan for rows that have lost at most `most` data units. Other data uses `fixed` bytes of the
    /// memory limit. Fails with LIMIT if a row needs more than 1 GiB and there is no memory limit.
    pub(super) fn new(
        geometry: &Geometry,
        wish: Wish,
        most: u64,
        fixed: u64,
        operation: &Operation<'_>,
    ) -> Result<RowPlan> {
        let unit = to_u64(Buffer::aligned_footprint(geometry.unit_len()));
        let points = geometry.parity.next_power_of_two();
        let sums = match wish {
            Wish::Data => most,
            // Memory for all M sums, for copies of q of them as syndromes, and for the copy of one rebuilt unit.
            Wish::DataAndParity => geometry.parity + most + 1,
        };
        let lists = 16 * (most + geometry.parity);
        // Memory without transforms: sums and rebuilt units, each as long as a unit. The transforms need an
        // encoder in addition.
        let units = (sums + most).saturating_mul(unit).saturating_add(lists);
        let least = units
            .saturating_add(UnitReader::footprint(geometry))
            .saturating_add(Code::solving_footprint(geometry, most));
        let more = least.saturating_add(Encoder::footprint(points, geometry.unit));
        // A hostile geometry must not use much memory unless the caller has set a limit.
        if !operation.is_limited() && least > ROW_MEMORY {
            return Err(AtlasError::limit(format!(
                "rebuilding {most} lost units of {} bytes in one row takes {least} bytes of memory, more \
                 than the {ROW_MEMORY} that are used without a memory_limit: set a memory_limit that allows \
                 it",
                geometry.unit
            )));
        }
        // Transforms are used if the memory allows them.
        let left = operation.memory_left(fixed).min(ROW_MEMORY.max(least));
        let transforms = more <= left;
        Ok(RowPlan { wish, most, transforms, per_worker: if transforms { more } else { least } })
    }
}

/// Worker that rebuilds the lost units of one row after another.
pub(super) struct RowBuilder<'f> {
    file: &'f ParityFile,
    code: &'f Code,
    survey: &'f Survey,
    plan: RowPlan,
    reader: UnitReader<'f>,
    encoder: Option<Encoder>,
    /// Parity of the row's present data units alone, one buffer for each requested parity unit.
    sums: Vec<Buffer>,
    syndromes: Vec<Buffer>,
    units: Vec<Buffer>,
}

/// Rebuilt units of one row.
pub(super) struct Rebuilt<'r> {
    /// Number, bytes and digest of each lost data unit.
    pub(super) units: Vec<(u64, &'r [u8], Short)>,
    /// All parity units of the row, if they were requested.
    pub(super) parity: &'r [Buffer],
}

impl<'f> RowBuilder<'f> {
    pub(super) fn new(
        file: &'f ParityFile,
        data: &'f Padded,
        code: &'f Code,
        survey: &'f Survey,
        plan: RowPlan,
    ) -> Result<RowBuilder<'f>> {
        let reader = UnitReader::new(file, data)?;
        let (sums, syndromes, units) = (Vec::new(), Vec::new(), Vec::new());
        Ok(RowBuilder { file, code, survey, plan, reader, encoder: None, sums, syndromes, units })
    }

    /// Rebuilds the lost data units of `row`. Fails with WITNESS if a rebuilt unit does not match its digest,
    /// as far as that is known.
    ///
    /// `seen` gets number and digest of each unit that was read. Every used unit is verified as it is read.
    pub(super) fn rebuild(&mut self, row: u64, mut seen: impl FnMut(u64, Short)) -> Result<Rebuilt<'_>> {
        let geometry = *self.file.geometry();
        let mut lost = try_vec(to_usize(self.plan.most))?;
        // Bad and unknown units are both unknowns of the code.
        lost.extend(geometry.data_of_row(row).filter(|(_, unit)| self.survey.is_hurt(*unit)));
        // Choose as many good parity units as data units were lost.
        let mut chosen = try_vec(lost.len())?;
        let good = (0..).zip(geometry.parity_of_row(row)).filter(|(_, unit)| !self.survey.is_hurt(*unit));
        chosen.extend(good.take(lost.len()).map(|(parity, _): (usize, u64)| parity));
        if chosen.len() < lost.len() {
            return Err(AtlasError::internal(format!(
                "a defect of the library, please report it: row {row} has lost more units than it has good \
                 parity units"
            )));
        }
        let all = self.plan.wish == Wish::DataAndParity;
        let mut wanted = try_vec(if all { self.code.parity() } else { chosen.len() })?;
        if all {
            // A restored row needs all of its parity units.
            wanted.extend(0..self.code.parity());
        } else {
            wanted.extend_from_slice(&chosen);
        }
        // Encode the present units: the parity they would have with zeros in place of the lost ones.
        self.encode(&geometry, row, &wanted, &mut seen)?;
        if lost.is_empty() {
            return Ok(Rebuilt {
                units: Vec::new(),
                parity: if all { &self.sums[..wanted.len()] } else { &[] },
            });
        }
        // The syndromes: the share of the lost units alone.
        let len = geometry.unit_len();
        resize(&mut self.units, lost.len(), len)?;
        if all {
            resize(&mut self.syndromes, lost.len(), len)?;
            // The syndromes are copies, because the sums are needed again for the parity.
            for (syndrome, parity) in self.syndromes.iter_mut().zip(&chosen) {
                syndrome.copy_from_slice(&self.sums[*parity]);
            }
        }
        let syndromes = if all { &mut self.syndromes } else { &mut self.sums };
        for (parity, syndrome) in chosen.iter().zip(syndromes.iter_mut()) {
            let unit = geometry.units() + to_u64(*parity) * geometry.rows + row;
            let (digest, bytes) = self.reader.good(unit)?;
            seen(unit, digest);
            if let Some(bytes) = bytes {
                xor_into(syndrome, bytes);
            }
        }
        // Solve for the lost units.
        let mut columns = try_vec(lost.len())?;
        // The code addresses columns, the survey addresses units.
        columns.extend(lost.iter().map(|(column, _)| to_usize(*column)));
        let count = lost.len();
        self.code.solve(&columns, &chosen, &mut syndromes[..count], &mut self.units[..count])?;
        if all {
            // The parity of the whole row is the parity of the present units plus the parity of the rebuilt
            // units.
            for (column, unit) in columns.iter().zip(&self.units) {
                // The product overwrites its input, which the caller still needs.
                let mut scratch = Buffer::copy_of(unit)?;
                self.code.add_product(*column, &mut scratch, &wanted, &mut self.sums[..wanted.len()]);
            }
        }
        // A rebuilt unit must match its digest, if that is known.
        let mut units = try_vec(count)?;
        for ((_, index), bytes) in lost.iter().zip(&self.units) {
            let digest = short(&self.file.digests.tile(bytes));
            let known = self.reader.entries().digest(self.file, *index)?;
            // The end of the last unit is zeros.
            let end = &bytes[to_usize(geometry.data_len(*index))..];
            if known.is_some_and(|known| !same_short(&known, &digest)) || end.iter().any(|byte| *byte != 0) {
                return Err(contradicts(&geometry, *index));
            }
            units.push((*index, &bytes[..], digest));
        }
        Ok(Rebuilt { units, parity: if all { &self.sums[..wanted.len()] } else { &[] } })
    }

    /// Encodes the present data units of a row, with zeros in place of lost units. Stores the parity units
    /// `wanted` in `sums`, and passes number and digest of each unit read to `seen`.
    fn encode(
        &mut self,
        geometry: &Geometry,
        row: u64,
        wanted: &[usize],
        seen: &mut impl FnMut(u64, Short),
    ) -> Result<()> {
        let len = geometry.unit_len();
        resize(&mut self.sums, wanted.len(), len)?;
        // A few products take less time than the transforms, whose number of steps is the logarithm of p.
        let few = wanted.len() <= self.code.points().ilog2() as usize;
        if few || !self.plan.transforms {
            self.sums.iter_mut().take(wanted.len()).for_each(|sum| sum.fill(0));
            for (column, unit) in geometry.data_of_row(row).filter(|(_, unit)| !self.survey.is_hurt(*unit)) {
                let (digest, bytes) = self.reader.good(unit)?;
                seen(unit, digest);
                if let Some(bytes) = bytes
                    && !wanted.is_empty()
                {
                    self.code.add_product(to_usize(column), bytes, wanted, &mut self.sums[..wanted.len()]);
                }
            }
            return Ok(());
        }
        // Otherwise encode all columns with the transforms, zeros in place of missing units.
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(Encoder::new(self.code, len)?),
        };
        // The encoder is kept for all rows of a worker, because its memory is large.
        encoder.begin();
        for column in 0..geometry.columns {
            let unit = column * geometry.rows + row;
            let place = to_usize(column);
            if unit < geometry.units() && !self.survey.is_hurt(unit) {
                let (digest, bytes) = self.reader.good(unit)?;
                seen(unit, digest);
                match bytes {
                    Some(bytes) => encoder.put(place, 0, bytes),
                    None => encoder.put_zeros(place, 0, len),
                }
            } else {
                // Places after the last unit are zeros as well.
                encoder.put_zeros(place, 0, len);
            }
            // The encoder holds p columns at a time.
            if column == geometry.columns - 1 || (place + 1).is_multiple_of(self.code.points()) {
                encoder.fold(self.code, place, 0..len);
            }
        }
        // Copy only the requested parity units.
        encoder.finish(self.code, 0..len);
        for (parity, sum) in wanted.iter().zip(&mut self.sums) {
            encoder.parity(*parity, 0, sum);
        }
        Ok(())
    }
}

/// Grows a list to at least `count` buffers. New buffers have `len` bytes.
fn resize(buffers: &mut Vec<Buffer>, count: usize, len: usize) -> Result<()> {
    while buffers.len() < count {
        crate::base::buffer::try_grow(buffers, 1)?;
        // Buffers of earlier rows are kept for later rows.
        buffers.push(Buffer::aligned(len)?);
    }
    Ok(())
}

/// Returns the WITNESS error for the unit `index`, which was rebuilt from good units and does not match its
/// digest.
pub(super) fn contradicts(geometry: &Geometry, index: u64) -> AtlasError {
    let offset = geometry.unit_offset(index);
    let what = if index < geometry.units() { "data" } else { "parity" };
    let text = format!(
        "the {what} unit at offset {offset} was rebuilt and differs from its digest: the parity file \
         contradicts itself"
    );
    AtlasError::witness(text).at_index(index).at_range(offset, geometry.unit)
}
