//! Options of the calls, and their results.

#![forbid(unsafe_code)]

use super::geometry::Wanted;
use crate::hash::digest::Digest;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The default share of parity: 6.25 %.
const DEFAULT_REDUNDANCY: u32 = 625;

/// Options of a new parity file, and of an update.
#[derive(Clone)]
pub struct ParityOptions {
    pub(super) wanted: Wanted,
    pub(super) key: Option<Zeroizing<[u8; 32]>>,
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
    /// 6.25 % of parity in at most 256 columns, a random id, no key and no root.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of a unit: a multiple of 4,096 up to 1 MiB. 0: 4 KiB below 256 MiB, else 64 KiB.
    #[must_use]
    pub fn with_unit_size(mut self, bytes: u32) -> Self {
        self.wanted.unit = bytes;
        self
    }

    /// M, the number of parity columns, from 1 to that of the data columns. 0: from the redundancy.
    #[must_use]
    pub fn with_parity_columns(mut self, columns: u32) -> Self {
        self.wanted.parity = columns;
        self
    }

    /// Share of parity in 1/10,000 of the data columns, up to 10,000: at least 2 columns, or all if there are
    /// fewer.
    #[must_use]
    pub fn with_redundancy(mut self, redundancy: u32) -> Self {
        self.wanted.redundancy = redundancy;
        self
    }

    /// R, the number of rows. 0: as many as give at most 256 columns.
    #[must_use]
    pub fn with_rows(mut self, rows: u64) -> Self {
        self.wanted.rows = rows;
        self
    }

    /// Keyed digests: only who has the key can make or verify them.
    #[must_use]
    pub fn with_key(mut self, key: &[u8; 32]) -> Self {
        self.key = Some(Zeroizing::new(*key));
        self
    }

    /// The id, instead of a random one. The same bytes then give the same file.
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
    /// Bytes of a unit.
    pub unit_size: u32,
    /// Number of protected bytes.
    pub protected_size: u64,
    /// Bytes of the parity file when it is whole.
    pub parity_size: u64,
    /// Number of rows.
    pub rows: u64,
    /// Number of data columns.
    pub data_columns: u32,
    /// Number of parity columns: so many units of each row may be lost.
    pub parity_columns: u32,
    /// Length of the longest run of bytes that is rebuilt wherever it begins.
    pub burst_size: u64,
    /// True if the digests are keyed.
    pub keyed: bool,
    /// The stored root of the protected bytes. `None` if it was not stored.
    pub root: Option<Digest>,
    /// The id, which is another one after each creation and update.
    pub id: [u8; 16],
}

/// The verdict of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParityVerdict {
    /// The call did not come to a verdict.
    #[default]
    NotKnown,
    /// Nothing is damaged.
    Intact,
    /// All damage can be rebuilt.
    Repairable,
    /// A row has more damaged units than parity units.
    Incomplete,
}

/// The result of a check, which a repair begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ParityReport {
    /// Verdict of the protected bytes.
    pub data: ParityVerdict,
    /// Verdict of the parity file.
    pub parity: ParityVerdict,
    /// Size of the protected file as it was found.
    pub size: u64,
    /// Data units that differ from their digests or cannot be read.
    pub bad_units: u64,
    /// Data units whose digests are lost.
    pub unknown_units: u64,
    /// Parity units that are bad or unknown.
    pub bad_parity_units: u64,
    /// Blocks of digests that do not count, in both copies.
    pub bad_blocks: u64,
    /// Rows with such a unit, of data or parity.
    pub damaged_rows: u64,
    /// Rows with more of them than parity units.
    pub lost_rows: u64,
    /// Data units that a repair has written.
    pub repaired_units: u64,
}

/// Fate of the damaged file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepairMode {
    /// The repaired file gets this name, which must be free. The damaged file is only read.
    NewFile(PathBuf),
    /// The repaired file takes the name of the damaged one, which is kept under this name.
    Keep(PathBuf),
    /// Damaged units are overwritten where they are.
    InPlace,
}

/// Options of a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairOptions {
    pub(super) mode: RepairMode,
    pub(super) partial: bool,
}

impl RepairOptions {
    /// A repair of this kind, which writes nothing if a row is lost.
    pub fn new(mode: RepairMode) -> Self {
        RepairOptions { mode, partial: false }
    }

    /// Repairs the rows that can be repaired, also if others cannot.
    #[must_use]
    pub fn with_partial(mut self) -> Self {
        self.partial = true;
        self
    }
}
