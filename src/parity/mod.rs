//! Parity: a file beside a protected file, by which damage is found and lost bytes are rebuilt
//! (docs/parity.md).
//!
//! Only a requested repair changes the protected file.
//!
//! ```text
//! geometry   units, columns, rows, and their places
//! code       Reed–Solomon over GF(2^16): parity of columns, and lost units of a row
//! format     heads, blocks and seals
//! file       an open parity file; the state of units
//! call       threads, memory and progress of one call
//! survey     a check: the damaged units, in two bits per unit
//! columns    encodes many rows, column piece by column piece
//! rows       rebuilds the lost units of one row
//! write      a parity file that is being written
//! create repair restore update     the calls
//! ```

#![forbid(unsafe_code)]

mod call;
mod code;
mod columns;
mod create;
mod file;
mod format;
mod geometry;
mod options;
mod repair;
mod restore;
mod rows;
mod survey;
#[cfg(test)]
#[cfg(feature = "parity")]
mod test_data;
#[cfg(test)]
#[cfg(feature = "parity")]
mod tests;
mod update;
mod write;

use crate::base::atomic_file::AtomicFile;
use crate::base::damage::DamageFn;
use crate::base::error::{AtlasError, Result};
use crate::exec::operation::Operation;
use crate::hash::digest::Digest;
use crate::hash::key::Key;
use crate::shard::{AtlasBoundaryRegion, VerifyOptions};
use crate::source::Source;
use call::Call;
use file::{Padded, ParityFile, check_root};
pub(crate) use options::DEFAULT_REDUNDANCY;
pub use options::{ParityInfo, ParityOptions, ParityReport, ParityVerdict, RepairMode, RepairOptions};
use repair::{Repair, lost};
use std::path::Path;
use survey::Survey;
use update::Update;

/// Fails with UNSUPPORTED if the Cargo feature `parity` is not built in.
pub(crate) fn available() -> Result<()> {
    if cfg!(feature = "parity") {
        return Ok(());
    }
    Err(AtlasError::unsupported("parity files need the Cargo feature `parity`, which is not built in"))
}

/// An open parity file.
///
/// All methods take `&self` and may run at the same time. If another program changes the parity file, that
/// counts as damage.
///
/// ```
/// # if !cfg!(feature = "parity") { return Ok(()); }
/// use atlas_manifold::{
///     AtlasParity, Operation, ParityOptions, ParityReport, ParityVerdict, RepairMode, RepairOptions, Source,
///     VerifyOptions,
/// };
///
/// let folder = tempfile::tempdir()?;
/// let (path, atp) = (folder.path().join("data.bin"), folder.path().join("data.bin.atp"));
/// let bytes: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
/// std::fs::write(&path, &bytes)?;
/// let operation = &mut Operation::new();
/// AtlasParity::create(&Source::open_file(&path)?, &atp, &ParityOptions::new(), operation)?;
///
/// // The file loses its end.
/// std::fs::File::options().write(true).open(&path)?.set_len(950_000)?;
///
/// let parity = AtlasParity::open(&atp, &VerifyOptions::new(), operation)?;
/// let mut report = ParityReport::default();
/// let source = Source::open_file(&path)?;
/// assert!(parity.check(&source, None, &mut report, operation).is_err());
/// assert_eq!((report.data, report.bad_units), (ParityVerdict::Repairable, 14));
///
/// let mut owner = |_: &atlas_manifold::Damage| true; // the bytes were not changed on purpose
/// parity.repair(&path, &RepairOptions::new(RepairMode::InPlace), Some(&mut owner), &mut report, operation)?;
/// assert_eq!(std::fs::read(&path)?, bytes);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AtlasParity {
    file: ParityFile,
    known_root: Option<Digest>,
    key: Option<Key>,
}

impl AtlasParity {
    /// Writes the parity file of `source` to `path`. Fails with IO (EEXIST) if `path` exists.
    ///
    /// Every byte is read once. Work memory is at most 256 MiB, and less if the memory limit leaves less, plus
    /// 16 bytes per unit. The contents of the file do not depend on this memory.
    pub fn create(
        source: &Source,
        path: impl AsRef<Path>,
        options: &ParityOptions,
        operation: &mut Operation<'_>,
    ) -> Result<()> {
        available()?;
        create::create(source, path.as_ref(), options, operation, AtomicFile::create)
    }

    /// Opens a parity file, even if the head of only one block is left.
    ///
    /// With a key, the file must be keyed with it. A keyed file fails with WITNESS if no key is given. If a root is
    /// expected and the file stores a root, both must be equal. Repairs compare the whole result with the expected
    /// root. Fails with FORMAT, WITNESS, or UNSUPPORTED for a newer version.
    pub fn open(
        path: impl AsRef<Path>,
        options: &VerifyOptions,
        operation: &mut Operation<'_>,
    ) -> Result<AtlasParity> {
        available()?;
        operation.executor.check()?;
        Self::open_source(Source::open_file(path)?, options, operation)
    }

    fn open_source(
        source: Source,
        options: &VerifyOptions,
        operation: &mut Operation<'_>,
    ) -> Result<AtlasParity> {
        // The key is kept for repairs, which compute the root with it.
        let key = options.key.clone();
        let file = ParityFile::open(source, key.as_deref(), operation)?;
        check_root(&file.head, options.expected_root.as_ref())?;
        Ok(AtlasParity { file, known_root: options.expected_root, key })
    }

    /// Returns the properties of the parity file.
    pub fn info(&self) -> ParityInfo {
        let (head, geometry) = (&self.file.head, self.file.geometry());
        // The geometry keeps these within 32 bits.
        let short = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        ParityInfo {
            unit_size: short(geometry.unit),
            protected_size: geometry.size,
            parity_size: geometry.file_size(),
            rows: geometry.rows,
            data_columns: short(geometry.columns),
            parity_columns: short(geometry.parity),
            burst_size: geometry.burst(),
            keyed: head.keyed,
            root: (head.root != Digest::default()).then_some(head.root),
            id: head.id,
        }
    }

    /// Checks `source` and the parity file. Reads both in full and writes nothing.
    ///
    /// `report` is filled if the call reaches a verdict: `Ok` if all is intact, WITNESS if all of the
    /// damage can be repaired, INCOMPLETE if some of it cannot. `damage` then receives each damaged unit
    /// and block, first in the data, then in the parity file, each ascending; `false` ends the call with
    /// CANCELLED.
    pub fn check(
        &self,
        source: &Source,
        damage: Option<&mut DamageFn<'_>>,
        report: &mut ParityReport,
        operation: &mut Operation<'_>,
    ) -> Result<()> {
        // If the call fails early, the report has no verdict.
        *report = ParityReport::default();
        let data = Padded::data(source, self.file.geometry());
        let (bytes, tasks) = Survey::work(self.file.geometry());
        let mut call = Call::new(operation, bytes, tasks);
        let survey = Survey::take(&self.file, &data, &mut call)?.release(&mut call)?;
        // Progress ends before the findings are reported.
        call.finish()?;
        *report = survey.report;
        if let Some(damage) = damage {
            survey.tell(&self.file, &data, damage)?;
        }
        // INCOMPLETE takes precedence over damage that can be repaired.
        let verdicts = [report.data, report.parity];
        if verdicts.contains(&ParityVerdict::Incomplete) {
            return Err(lost(report));
        }
        if verdicts.contains(&ParityVerdict::Repairable) {
            return Err(damaged(&self.file, report));
        }
        Ok(())
    }

    /// Checks the protected file at `path` and the parity file, and then repairs the protected file.
    ///
    /// `damage` lets the owner decide: it is called for each damaged data unit before the first unit is written,
    /// and `false` leaves a unit as it is. A repair in place requires it. `Ok` means that the data is intact,
    /// whatever the state of the parity file. WITNESS means that `damage` refused a unit and all other units are
    /// repaired; or that a rebuilt unit does not match its digest, or the result does not have the expected root,
    /// and then no new file appears. INCOMPLETE means that a row is lost, and nothing was written; if `options` are
    /// partial, all other rows were repaired. If a root is expected, a refused unit and a partial repair with a
    /// lost row fail with WITNESS, and nothing is written.
    pub fn repair(
        &self,
        path: impl AsRef<Path>,
        options: &RepairOptions,
        damage: Option<&mut DamageFn<'_>>,
        report: &mut ParityReport,
        operation: &mut Operation<'_>,
    ) -> Result<()> {
        // If the call is refused, the report has no verdict.
        *report = ParityReport::default();
        let path = path.as_ref();
        let in_place = options.mode == RepairMode::InPlace;
        // In place there is no copy of the damaged file, so that the owner must be asked.
        if in_place && damage.is_none() {
            return Err(AtlasError::invalid_argument(
                "a repair in place needs the damage callback: only the owner can distinguish a change from \
                 damage",
            ));
        }
        // A repair in place opens the file for writing, and reads through the same handle.
        let (source, storage) = if in_place {
            let storage = crate::source::open_for_repair(path)?;
            (Source::from_storage(storage.clone(), path)?, Some(storage))
        } else {
            (Source::open_file(path)?, None)
        };
        // The choice of files is made here; the order of the steps is in `Repair::run`.
        let repair = Repair {
            file: &self.file,
            known_root: self.known_root.as_ref(),
            key: self.key.as_deref(),
            path,
            source,
            storage,
            options,
        };
        repair.run(damage, report, operation, AtomicFile::create)
    }

    /// Writes the parity file again to `path`, byte for byte as it was first written, including its id.
    ///
    /// Data units may be damaged too, if their rows can be repaired. Replaces a file of this name. Fails
    /// with INCOMPLETE if a needed row is lost.
    pub fn restore(
        &self,
        source: &Source,
        path: impl AsRef<Path>,
        operation: &mut Operation<'_>,
    ) -> Result<()> {
        restore::restore(&self.file, source, path.as_ref(), operation, AtomicFile::create)
    }

    /// Writes the parity file of a source that was changed on purpose in `regions`, and at its end if the
    /// size differs. Replaces a file of this name; this handle stays open on the old file.
    ///
    /// Unit size, rows and parity columns stay; of the options only the id and the stored root count. The result
    /// equals that of [`create`](Self::create) on the old bytes with all units replaced that `regions` touch, so
    /// that damage in other units stays damage. Fails with WITNESS if a unit that no region touches and the new
    /// size does not cut has lost its digest, or differs from its digest: in a row that is encoded again, or in any
    /// row if the root is stored. Fails with INVALID_ARGUMENT if the rows do not fit the new size.
    pub fn update(
        &self,
        source: &Source,
        regions: &[AtlasBoundaryRegion],
        path: impl AsRef<Path>,
        options: &ParityOptions,
        operation: &mut Operation<'_>,
    ) -> Result<()> {
        let update = Update { file: &self.file, key: self.key.as_deref(), source, options };
        update.run(regions, path.as_ref(), operation, AtomicFile::create)
    }
}

impl std::fmt::Debug for AtlasParity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AtlasParity").field(&self.info()).finish()
    }
}

/// Returns the WITNESS error of a check that found damage, all of which can be repaired.
fn damaged(file: &ParityFile, report: &ParityReport) -> AtlasError {
    let mut found = Vec::new();
    let mut note = |count: u64, what: &str| {
        if count > 0 {
            found.push(format!("{count} {what}"));
        }
    };
    note(report.bad_units, "data units are bad");
    note(report.unknown_units, "data units have lost their digests");
    let short = file.geometry().size.saturating_sub(report.size);
    note(short, "bytes are missing at the end of the data");
    note(report.bad_parity_units, "parity units are bad");
    note(report.bad_blocks, "blocks of digests are bad");
    // A wrong size is damage too, without a bad unit: the parity file may have bytes after its end.
    if found.is_empty() {
        let (has, wanted) = (file.present(), file.geometry().file_size());
        found.push(format!("the parity file has {has} bytes instead of {wanted}"));
    }
    AtlasError::witness(format!(
        "the file or its parity file is damaged, and can be repaired: {}",
        found.join(", ")
    ))
}
