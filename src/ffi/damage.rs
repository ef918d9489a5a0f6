//! Damage reports: damaged ranges, and the callback that receives them.
//!
//! Searches and repairs report each damaged range to a callback of the caller. The same struct
//! serves containers, outlines and parity files.
//!
//! ```c
//! static bool list(const atlas_damage *damage, void *user_data) {
//!   (void)user_data;
//!   printf("%llu bytes at offset %llu are damaged%s\n", (unsigned long long)damage->length,
//!          (unsigned long long)damage->offset, damage->repairable ? ", repairable" : "");
//!   return true; // false ends a search and skips the range in a repair
//! }
//! static atlas_status find_all(const atlas_projection *projection) {
//!   return atlas_projection_find_damage(projection, NULL, 0, list, NULL, NULL);
//! }
//! ```

use super::args::CBool;
use super::callback;
use super::sized::{SizedStruct, own_size, sized_struct};
use crate::base::damage::{Damage, DamageKind, DamagePart};
use std::ffi::c_void;

/// Part of an object that a damaged range belongs to.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum atlas_damage_part {
    /// Bytes of the domain, or of the protected file.
    ATLAS_DAMAGE_DATA = 0,
    /// Record of a container.
    ATLAS_DAMAGE_RECORD = 1,
    /// Unit of a parity file.
    ATLAS_DAMAGE_PARITY = 2,
    /// Block of digests of a parity file.
    ATLAS_DAMAGE_DIGESTS = 3,
}

/// Kind of damage.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum atlas_damage_kind {
    /// The bytes differ from the witnessed bytes: they were damaged, or changed by their owner.
    ATLAS_DAMAGE_DIFFERS = 0,
    /// The bytes cannot be read. os_error has the reason.
    ATLAS_DAMAGE_UNREADABLE = 1,
    /// The range lies after the end of the file.
    ATLAS_DAMAGE_MISSING = 2,
    /// The digest of the range is itself lost.
    ATLAS_DAMAGE_UNKNOWN = 3,
}

/// One damaged range. Filled by the library.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_damage {
    /// sizeof(atlas_damage).
    pub struct_size: u32,
    /// Part that the range belongs to, an atlas_damage_part.
    pub part: u32,
    /// Kind of the damage, an atlas_damage_kind.
    pub kind: u32,
    /// 1 if the range can be rebuilt from bytes that are available, else 0.
    pub repairable: u32,
    /// Error number (errno) of the operating system, or 0.
    pub os_error: i32,
    /// Always 0.
    pub reserved: u32,
    /// Generation of a container. 0 means none.
    pub generation: u64,
    /// Index of the first tile, record, unit or block.
    pub index: u64,
    /// Offset of the first byte. For ATLAS_DAMAGE_DATA it counts in the domain or in the protected
    /// file, never in a base; otherwise in the container or parity file.
    pub offset: u64,
    /// Length of the range in bytes.
    pub length: u64,
}

sized_struct!(
    atlas_damage,
    atlas_damage {
        struct_size: own_size::<atlas_damage>(),
        part: 0,
        kind: 0,
        repairable: 0,
        os_error: 0,
        reserved: 0,
        generation: 0,
        index: 0,
        offset: 0,
        length: 0,
    },
    [struct_size, part, kind, repairable, os_error, reserved, generation, index, offset, length]
);

/// Receives each damaged range, on the thread that made the call, with no lock held.
///
/// `damage` is borrowed for the callback. The callback may use other handles, but not the one in
/// use by the call, and must not throw or longjmp. After false a search ends with ATLAS_STATUS_CANCELLED
/// without a further callback; a repair leaves this range as it is and continues. NULL means that the caller
/// only needs the status; some functions require a callback.
pub type atlas_damage_fn =
    Option<unsafe extern "C" fn(damage: *const atlas_damage, user_data: *mut c_void) -> CBool>;

/// Passes one range to the caller's function and returns its answer. True if there is no function.
///
/// # Safety
///
/// `call` is NULL or a function that meets the header's terms, for the caller's `user_data`.
pub(super) unsafe fn report(call: atlas_damage_fn, user_data: *mut c_void, damage: &Damage) -> bool {
    let Some(call) = call else { return true };
    // Both enumerations are matched in full: a new value does not compile before it has its number.
    let part = match damage.part {
        DamagePart::Data => atlas_damage_part::ATLAS_DAMAGE_DATA,
        DamagePart::Record => atlas_damage_part::ATLAS_DAMAGE_RECORD,
        DamagePart::Parity => atlas_damage_part::ATLAS_DAMAGE_PARITY,
        DamagePart::Digests => atlas_damage_part::ATLAS_DAMAGE_DIGESTS,
    };
    let kind = match damage.kind {
        DamageKind::Differs => atlas_damage_kind::ATLAS_DAMAGE_DIFFERS,
        DamageKind::Unreadable => atlas_damage_kind::ATLAS_DAMAGE_UNREADABLE,
        DamageKind::Missing => atlas_damage_kind::ATLAS_DAMAGE_MISSING,
        DamageKind::Unknown => atlas_damage_kind::ATLAS_DAMAGE_UNKNOWN,
    };
    // The struct lives on this stack, so that the callback must copy it to keep it.
    let value = atlas_damage {
        part: part as u32,
        kind: kind as u32,
        repairable: u32::from(damage.repairable),
        os_error: damage.os_error,
        generation: damage.generation,
        index: damage.index,
        offset: damage.offset,
        length: damage.length,
        ..atlas_damage::DEFAULT
    };
    // SAFETY: the caller's function with the caller's data, on the caller's thread.
    unsafe { callback::report(call, &value, user_data) }
}
