//! Options and results of the calls on parity files.

#![forbid(unsafe_code)]

use super::geometry::Wanted;
use crate::hash::digest::Digest;
use crate::hash::key::Key;
use std::path::PathBuf;

/// Default share of parity in 1/10,000 of the data columns: 6.25 %.
pub(crate) const DEFAULT_REDUNDANCY: u32 = 625;

/// Options of a new parity file, and of an update.
///
/// ```
/// use atlas_manifold::{AtlasParity, Operation, ParityOptions, Source, VerifyOptions};
/// # if !cfg!(feature = "parity") { return Ok(()); }
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("data.bin.atp");
/// let options = ParityOptions::new().with_redundancy(1_000).with_key(&[7; 32]); // 10 %
/// let source = Source::from_vec(vec![1; 1_000_000]);
/// AtlasParity::create(&source, &path, &options, &mut Operation::new())?;
///
/// let trust = VerifyOptions::new().with_key(&[7; 32]);
/// let info = AtlasParity::open(&path, &trust, &mut Operation::new())?.info();
/// assert!(info.keyed && info.protected_size == 1_000_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ParityOptions {
    pub(super) wanted: Wanted,
    pub(super) key: Option<Key>,
    pub(super) id: Option<[u8; 16]>,
    pub(super) store_root: bool,
}

impl Default for ParityOptions {
    fn default() -> Self {
        let wanted = Wanted { unit: 0, parity: 0, redundancy: DEFAULT_REDUNDANCY, rows: 0 };
        ParityOptions { wanted, key: None, id: None, store_root: false }
    }
}

impl ParityOptions {
    /// Returns the defaults: 6.25 % of parity in at most 256 columns, a random id, no key and no root.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the bytes per unit: a multiple of 4,096 up to 1 MiB. 0 means 4 KiB for a source of less than 256
    /// MiB, else 64 KiB.
    #[must_use]
    pub fn with_unit_size(mut self, bytes: u32) -> Self {
        self.wanted.unit = bytes;
        self
    }

    /// Sets M, the number of parity columns, from 1 to the number of data columns. 0 means that the
    /// redundancy determines it.
    #[must_use]
    pub fn with_parity_columns(mut self, columns: u32) -> Self {
        self.wanted.parity = columns;
        self
    }

    /// Sets the share of parity in 1/10,000 of the data columns, up to 10,000. Whatever the share, there are at
    /// least 2 parity columns, or 1 if there is only one data column.
    #[must_use]
    pub fn with_redundancy(mut self, redundancy: u32) -> Self {
        self.wanted.redundancy = redundancy;
        self
    }

    /// Sets R, the number of rows. 0 means the number that gives at most 256 columns.
    #[must_use]
    pub fn with_rows(mut self, rows: u64) -> Self {
        self.wanted.rows = rows;
        self
    }

    /// Sets a key for the digests: only its owners can make or verify them.
    #[must_use]
    pub fn with_key(mut self, key: &[u8; 32]) -> Self {
        self.key = Some(Key::new(key));
        self
    }

    /// Sets the id, which is random by default. With the same id, the same bytes give the same file.
    #[must_use]
    pub fn with_id(mut self, id: [u8; 16]) -> Self {
        self.id = Some(id);
        self
    }

    /// Stores the LINEAR root of the protected bytes.
    #[must_use]
    pub fn with_stored_root(mut self) -> Self {
        self.store_root = true;
        self
    }
}

/// Properties of a parity file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParityInfo {
    /// Bytes per unit.
    pub unit_size: u32,
    /// Number of protected bytes.
    pub protected_size: u64,
    /// Size of the complete parity file.
    pub parity_size: u64,
    /// Number of rows.
    pub rows: u64,
    /// Number of data columns.
    pub data_columns: u32,
    /// Number of parity columns, the number of units of each row that may be lost.
    pub parity_columns: u32,
    /// Length of the longest run of lost bytes that can be rebuilt wherever it begins.
    pub burst_size: u64,
    /// True if the digests are keyed.
    pub keyed: bool,
    /// Stored root of the protected bytes. `None` if it was not stored.
    pub root: Option<Digest>,
    /// Id of the file. Each creation and update makes a new id, unless the options name the id.
    pub id: [u8; 16],
}

/// Verdict of a check on the protected bytes or on the parity file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParityVerdict {
    /// The call ended without a verdict.
    #[default]
    NotKnown,
    /// Nothing is damaged.
    Intact,
    /// All damage can be rebuilt.
    Repairable,
    /// A row has more damaged units than parity units, and cannot be rebuilt.
    Incomplete,
}

/// Result of a check. Every repair begins with a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ParityReport {
    /// Verdict on the protected bytes.
    pub data: ParityVerdict,
    /// Verdict on the parity file.
    pub parity: ParityVerdict,
    /// Size of the protected file as it was found.
    pub size: u64,
    /// Number of data units that differ from their digests or cannot be read.
    pub bad_units: u64,
    /// Number of data units whose digests are lost.
    pub unknown_units: u64,
    /// Number of parity units that are bad, or whose digests are lost.
    pub bad_parity_units: u64,
    /// Number of invalid blocks of digests, the sum over both copies.
    pub bad_blocks: u64,
    /// Number of rows with a damaged unit of data or parity.
    pub damaged_rows: u64,
    /// Number of rows with more damaged units than parity units.
    pub lost_rows: u64,
    /// Number of data units that a repair has written.
    pub repaired_units: u64,
}

/// Destination of a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepairMode {
    /// The repaired file gets this name; no file of this name may exist. The damaged file is only read.
    NewFile(PathBuf),
    /// The repaired file takes the name of the damaged file. The damaged file gets the name given here; no file of
    /// this name may exist. At any moment, also after a failure, a name leads to the damaged file. A symbolic link is
    /// itself replaced, and the file that it leads to gets the given name too.
    Keep(PathBuf),
    /// Damaged units are overwritten in the damaged file itself, which is then synced. If the sync fails, bytes may
    /// not be on the disk: the call fails with IO and drops the system's cached bytes of the file, so that the next
    /// call reads the disk and repairs again.
    InPlace,
}

/// Options of a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairOptions {
    pub(super) mode: RepairMode,
    pub(super) partial: bool,
}

impl RepairOptions {
    /// Returns options for a repair with the destination `mode`, which writes nothing if a row is lost.
    pub fn new(mode: RepairMode) -> Self {
        RepairOptions { mode, partial: false }
    }

    /// Repairs the rows that can be repaired, even if other rows cannot be repaired.
    #[must_use]
    pub fn with_partial(mut self) -> Self {
        self.partial = true;
        self
    }
}
