//! Damage: ranges of bytes that differ from the expected ones.

#![forbid(unsafe_code)]

use crate::base::error::{AtlasError, ErrorKind, Result};
use crate::base::process::in_one_process;
use std::io;

/// Kind of bytes that a damaged range belongs to: data, or a part of a container or parity file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DamagePart {
    /// Bytes of the domain, or of the file that a parity file protects.
    Data,
    /// Record in a container file.
    Record,
    /// Unit of parity bytes in a parity file.
    Parity,
    /// Block of digests in a parity file.
    Digests,
}

/// Kind of damage: the bytes differ, cannot be read, are missing or cannot be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DamageKind {
    /// The bytes differ from the witnessed ones: they were damaged, or changed by their owner.
    Differs,
    /// The bytes cannot be read. [`Damage::os_error`] has the reason.
    Unreadable,
    /// The range lies after the end of the file, or in a base that is not attached.
    Missing,
    /// The digest of the range is itself lost, so that the bytes cannot be checked.
    Unknown,
}

/// A damaged range of bytes, as a search or a repair reports it.
///
/// ```
/// use atlas_manifold::{AtlasProjection, Damage, ErrorKind, Operation, Source};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("data.bin");
/// std::fs::write(&path, vec![7; 3_000_000])?;
/// let projection = AtlasProjection::linear(&Source::open_file(&path)?)?;
///
/// // The file loses its last million bytes.
/// std::fs::File::options().write(true).open(&path)?.set_len(2_000_000)?;
/// let mut found = Vec::new();
/// let mut each = |damage: &Damage| {
///     found.push((damage.kind, damage.offset, damage.length));
///     true // false ends the search
/// };
/// let error = projection.find_damage(None, &mut each, &mut Operation::new()).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Witness);
/// assert!(!found.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Damage {
    /// Kind of bytes that the range belongs to.
    pub part: DamagePart,
    /// Kind of the damage.
    pub kind: DamageKind,
    /// True if the range can be rebuilt from bytes that are available.
    pub repairable: bool,
    /// Error number (errno) of the operating system for bytes that cannot be read, otherwise 0.
    pub os_error: i32,
    /// Generation of the container in which the range was found damaged. 0 means none.
    pub generation: u64,
    /// Index of the tile, record, parity unit or block of digests with which the range begins, according to
    /// `part`.
    pub index: u64,
    /// Offset of the first byte: in the domain or in the protected file if the part is `Data`, otherwise in
    /// the container or parity file.
    pub offset: u64,
    /// Length of the range in bytes.
    pub length: u64,
}

impl Damage {
    /// Extends this range by the range `next` if `next` follows directly and has the same part, kind and other
    /// properties. Returns false, and changes nothing, if not.
    pub(crate) fn join(&mut self, next: &Damage) -> bool {
        // Everything but the place must agree, also the error of the system.
        let key = |damage: &Damage| {
            (damage.part, damage.kind, damage.repairable, damage.os_error, damage.generation)
        };
        let follows = key(self) == key(next) && self.offset + self.length == next.offset;
        if follows {
            self.length += next.length;
        }
        follows
    }
}

/// Returns the kind of damage that a failed read or check shows. `None` for errors that have no cause in the
/// bytes, such as OUT_OF_MEMORY.
pub(crate) fn kind_of(error: &AtlasError) -> Option<DamageKind> {
    match error.kind() {
        ErrorKind::Witness | ErrorKind::Conservation | ErrorKind::Format => Some(DamageKind::Differs),
        // The bytes lie in a base that is not attached.
        ErrorKind::Incomplete => Some(DamageKind::Missing),
        ErrorKind::Io => {
            // A file that ends early lacks bytes; any other failure makes them unreadable.
            let reason =
                std::error::Error::source(error).and_then(|reason| reason.downcast_ref::<io::Error>());
            let ended = reason.is_some_and(|reason| reason.kind() == io::ErrorKind::UnexpectedEof);
            Some(if ended { DamageKind::Missing } else { DamageKind::Unreadable })
        }
        _ => None,
    }
}

/// Callback that receives each damaged range. In a search, `false` cancels the search; in a repair, it leaves
/// the range as it is.
pub type DamageFn<'a> = dyn FnMut(&Damage) -> bool + 'a;

/// Passes `found` to the callback `damage`, and returns its answer. Fails with STATE in a child that the callback forked.
pub(crate) fn tell(damage: &mut DamageFn<'_>, found: &Damage) -> Result<bool> {
    in_one_process(|| damage(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(kind: DamageKind, offset: u64, length: u64) -> Damage {
        let (part, repairable, os_error, generation, index) = (DamagePart::Data, false, 0, 0, 0);
        Damage { part, kind, repairable, os_error, generation, index, offset, length }
    }

    #[test]
    fn neighbours_of_one_kind_are_one_range() {
        let mut first = damage(DamageKind::Differs, 10, 5);
        assert!(first.join(&damage(DamageKind::Differs, 15, 7)));
        assert_eq!((first.offset, first.length), (10, 12));
        assert!(!first.join(&damage(DamageKind::Missing, 22, 1)), "another kind");
        assert!(!first.join(&damage(DamageKind::Differs, 23, 1)), "a byte between them");
        assert!(!first.join(&Damage { generation: 3, ..damage(DamageKind::Differs, 22, 1) }));
        assert_eq!((first.offset, first.length), (10, 12));
    }

    #[test]
    fn an_error_that_says_nothing_of_the_bytes_is_no_damage() {
        let eof = AtlasError::io("reading", io::ErrorKind::UnexpectedEof.into());
        let failed = AtlasError::io("reading", io::Error::from_raw_os_error(5));
        assert_eq!(kind_of(&eof), Some(DamageKind::Missing));
        assert_eq!(kind_of(&failed), Some(DamageKind::Unreadable));
        assert_eq!(kind_of(&AtlasError::incomplete("")), Some(DamageKind::Missing));
        assert_eq!(kind_of(&AtlasError::format("")), Some(DamageKind::Differs));
        for error in [AtlasError::out_of_memory(""), AtlasError::cancelled(""), AtlasError::internal("")] {
            assert_eq!(kind_of(&error), None);
        }
    }
}
