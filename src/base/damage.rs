//! Damage: ranges of bytes that are not what they must be.

#![forbid(unsafe_code)]

/// The part of an object that is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DamagePart {
    /// Bytes of the domain, or of the protected file.
    Data,
    /// A record of a container.
    Record,
    /// A unit of a parity file.
    Parity,
    /// A block of digests of a parity file.
    Digests,
}

/// The kind of a damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DamageKind {
    /// The bytes are not those that were witnessed: they were damaged, or changed by their owner.
    Differs,
    /// The bytes cannot be read; [`Damage::os_error`] has the reason.
    Unreadable,
    /// The range lies behind the end of the file.
    Missing,
    /// The digest of the range is lost itself.
    Unknown,
}

/// One damaged range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Damage {
    /// The part that the range belongs to.
    pub part: DamagePart,
    /// The kind of the damage.
    pub kind: DamageKind,
    /// True if the range can be rebuilt from bytes that are at hand.
    pub repairable: bool,
    /// Error number of the operating system, or 0.
    pub os_error: i32,
    /// Generation of a container; 0: none.
    pub generation: u64,
    /// Index of the first tile, record, unit or block.
    pub index: u64,
    /// Offset of the first byte: in the domain or in the protected file if the part is `Data`, else in the
    /// container or parity file.
    pub offset: u64,
    /// Length of the range in bytes.
    pub length: u64,
}

/// Receives each damaged range. In a search `false` cancels; in a repair it refuses the range.
pub type DamageFn<'a> = dyn FnMut(&Damage) -> bool + 'a;
