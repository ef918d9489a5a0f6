//! Parity files: redundancy beside a file, from which damage is rebuilt.
//!
//! A parity file has Reed-Solomon units and digests of a protected file. It finds damage in either
//! file and rebuilds as many units of each row as it has parity units.
//!
//! ```c
//! static atlas_status repair_to(const char *damaged, const char *parity_path, const char *repaired) {
//!   atlas_parity *parity = NULL;
//!   atlas_repair_options options;
//!   atlas_repair_options_init(&options);
//!   options.mode = ATLAS_REPAIR_NEW_FILE;
//!   options.other_path = repaired;
//!   atlas_status status = atlas_parity_open(parity_path, NULL, NULL, &parity);
//!   if (status == ATLAS_STATUS_OK)
//!     status = atlas_parity_repair(parity, damaged, &options, NULL, NULL, NULL, NULL);
//!   atlas_parity_destroy(parity);
//!   return status;
//! }
//! ```

use super::args::{
    c_enum, check_reserved, drop_handle, handle, items_in, optional_16, optional_32, out_handle, path,
};
use super::boundary::boundary;
use super::damage::{atlas_damage_fn, report as tell};
use super::operation::{atlas_operation, with_operation};
use super::shard::{atlas_region, atlas_verify_options, verify_options};
use super::sized::{OutStruct, SizedStruct, init_struct, own_size, read_struct, sized_struct};
use super::source::atlas_source;
use super::status::atlas_status;
use crate::AtlasBoundaryRegion;
use crate::base::buffer::try_vec;
use crate::base::damage::Damage;
use crate::base::error::Result;
use crate::parity::{
    AtlasParity, DEFAULT_REDUNDANCY, ParityOptions, ParityReport, ParityVerdict, RepairMode, RepairOptions,
    available,
};
use std::ffi::{c_char, c_void};

/// Parity file, open for reading. The handle never changes.
pub struct atlas_parity(AtlasParity);

/// Verdict of a check.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum atlas_parity_verdict {
    /// The call ended without a verdict.
    ATLAS_PARITY_NOT_KNOWN = 0,
    /// Nothing is damaged.
    ATLAS_PARITY_INTACT = 1,
    /// All damage can be rebuilt.
    ATLAS_PARITY_REPAIRABLE = 2,
    /// A row has more damaged units than parity units.
    ATLAS_PARITY_INCOMPLETE = 3,
}

/// Destination of a repair.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum atlas_repair_mode {
    /// The repaired file gets the name other_path; no file of this name may exist. The damaged file is only
    /// read.
    ATLAS_REPAIR_NEW_FILE = 0,
    /// The repaired file takes the name of the damaged file, which is kept under the name other_path; no file
    /// of this name may exist. If nothing is damaged, nothing is written. A symbolic link is itself replaced, and
    /// the file that it leads to gets the name other_path too.
    ATLAS_REPAIR_KEEP = 1,
    /// Damaged units are overwritten in the file.
    ATLAS_REPAIR_IN_PLACE = 2,
}

/// Options of a new parity file, and of an update. Fill it with atlas_parity_options_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_parity_options {
    /// sizeof(atlas_parity_options).
    pub struct_size: u32,
    /// Bytes per unit, a multiple of 4,096 up to 1 MiB. 0 means 4 KiB for a source of less than 256 MiB, else
    /// 64 KiB.
    pub unit_size: u32,
    /// Number of parity columns, at most the number of data columns. 0 means that redundancy determines it.
    pub parity_columns: u32,
    /// Share of parity in 1/10,000 of the data columns, at most 10,000. Default 625. At least 2 columns are
    /// made, or 1 if there is only one data column.
    pub redundancy: u32,
    /// Number of rows. 0 means the number that gives at most 256 columns.
    pub rows: u64,
    /// Key of 32 bytes for the digests, or NULL. Copied, and wiped after use.
    pub key: *const u8,
    /// Id of 16 bytes, which makes the file reproducible. NULL means random. Copied.
    pub id: *const u8,
    /// Not 0: the LINEAR root of the protected bytes is stored too.
    pub store_root: u32,
    /// Must be 0.
    pub reserved: u32,
}

sized_struct!(
    atlas_parity_options,
    atlas_parity_options {
        struct_size: own_size::<atlas_parity_options>(),
        unit_size: 0,
        parity_columns: 0,
        redundancy: DEFAULT_REDUNDANCY,
        rows: 0,
        key: std::ptr::null(),
        id: std::ptr::null(),
        store_root: 0,
        reserved: 0,
    },
    [struct_size, unit_size, parity_columns, redundancy, rows, key, id, store_root, reserved]
);

/// Fills `options` with the defaults: 6.25 % of parity, at most 256 columns, a random id, no key,
/// no root.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_parity_options_init(options: *mut atlas_parity_options) {
    // SAFETY: the header requires NULL or a whole struct.
    unsafe { init_struct(options) };
}

/// Converts the caller's options.
///
/// # Safety
///
/// `options` is NULL or a struct that meets the header's terms, including its pointers.
unsafe fn options_in(options: *const atlas_parity_options) -> Result<ParityOptions> {
    // SAFETY: the caller meets this function's requirements.
    let (options, key, id) = unsafe {
        let options = read_struct(options)?;
        (options, optional_32(options.key), optional_16(options.id))
    };
    check_reserved(options.reserved)?;
    // Numbers out of range are refused by the core, which knows the size of the source.
    let mut result = ParityOptions::new()
        .with_unit_size(options.unit_size)
        .with_parity_columns(options.parity_columns)
        .with_redundancy(options.redundancy)
        .with_rows(options.rows);
    if let Some(key) = key {
        result = result.with_key(key);
    }
    if let Some(id) = id {
        result = result.with_id(*id);
    }
    if options.store_root != 0 {
        result = result.with_stored_root();
    }
    Ok(result)
}

/// Properties of a parity file. Filled by atlas_parity_get_info().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_parity_info {
    /// sizeof(atlas_parity_info), set by the caller.
    pub struct_size: u32,
    /// Bytes per unit.
    pub unit_size: u32,
    /// Number of protected bytes, from the beginning of the file.
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
    /// 1 if the digests are keyed, else 0.
    pub keyed: u32,
    /// 1 if the root of the protected bytes is stored, else 0.
    pub has_root: u32,
    /// Stored root, or zeros.
    pub root: [u8; 32],
    /// Id of the file. Each creation and update makes a new id, unless the options name the id.
    pub id: [u8; 16],
}

sized_struct!(
    atlas_parity_info,
    atlas_parity_info {
        struct_size: own_size::<atlas_parity_info>(),
        unit_size: 0,
        protected_size: 0,
        parity_size: 0,
        rows: 0,
        data_columns: 0,
        parity_columns: 0,
        burst_size: 0,
        keyed: 0,
        has_root: 0,
        root: [0; 32],
        id: [0; 16],
    },
    [
        struct_size,
        unit_size,
        protected_size,
        parity_size,
        rows,
        data_columns,
        parity_columns,
        burst_size,
        keyed,
        has_root,
        root,
        id
    ]
);

/// Result of a check. Every repair begins with a check. Filled by the library.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_parity_report {
    /// sizeof(atlas_parity_report), set by the caller.
    pub struct_size: u32,
    /// Verdict on the protected bytes, an atlas_parity_verdict.
    pub data: u32,
    /// Verdict on the parity file, including its length, an atlas_parity_verdict.
    pub parity: u32,
    /// Always 0.
    pub reserved: u32,
    /// Size of the protected file as it was found.
    pub size: u64,
    /// Data units that differ from their digests or cannot be read.
    pub bad_units: u64,
    /// Data units whose digests are lost.
    pub unknown_units: u64,
    /// Parity units that are bad or unknown.
    pub bad_parity_units: u64,
    /// Invalid blocks of digests, counted in the head and in the tail copy.
    pub bad_blocks: u64,
    /// Rows with a damaged unit of data or parity.
    pub damaged_rows: u64,
    /// Rows with more damaged units than parity units.
    pub lost_rows: u64,
    /// Data units that a repair has written.
    pub repaired_units: u64,
}

sized_struct!(
    atlas_parity_report,
    atlas_parity_report {
        struct_size: own_size::<atlas_parity_report>(),
        data: 0,
        parity: 0,
        reserved: 0,
        size: 0,
        bad_units: 0,
        unknown_units: 0,
        bad_parity_units: 0,
        bad_blocks: 0,
        damaged_rows: 0,
        lost_rows: 0,
        repaired_units: 0,
    },
    [
        struct_size,
        data,
        parity,
        reserved,
        size,
        bad_units,
        unknown_units,
        bad_parity_units,
        bad_blocks,
        damaged_rows,
        lost_rows,
        repaired_units
    ]
);

fn report_out(report: &ParityReport) -> atlas_parity_report {
    // Matched in full, so that a new verdict does not compile before it has its number.
    let verdict = |verdict: ParityVerdict| match verdict {
        ParityVerdict::NotKnown => atlas_parity_verdict::ATLAS_PARITY_NOT_KNOWN as u32,
        ParityVerdict::Intact => atlas_parity_verdict::ATLAS_PARITY_INTACT as u32,
        ParityVerdict::Repairable => atlas_parity_verdict::ATLAS_PARITY_REPAIRABLE as u32,
        ParityVerdict::Incomplete => atlas_parity_verdict::ATLAS_PARITY_INCOMPLETE as u32,
    };
    atlas_parity_report {
        data: verdict(report.data),
        parity: verdict(report.parity),
        size: report.size,
        bad_units: report.bad_units,
        unknown_units: report.unknown_units,
        bad_parity_units: report.bad_parity_units,
        bad_blocks: report.bad_blocks,
        damaged_rows: report.damaged_rows,
        lost_rows: report.lost_rows,
        repaired_units: report.repaired_units,
        ..atlas_parity_report::DEFAULT
    }
}

/// Returns the caller's report, which may be NULL.
///
/// # Safety
///
/// `report` is NULL or a struct that meets the header's terms, for as long as the result lives.
unsafe fn report_in(report: *mut atlas_parity_report) -> Result<Option<OutStruct<atlas_parity_report>>> {
    if report.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller meets this function's requirements.
    unsafe { OutStruct::new(report, "report") }.map(Some)
}

/// Options of a repair. Fill it with atlas_repair_options_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_repair_options {
    /// sizeof(atlas_repair_options).
    pub struct_size: u32,
    /// Destination of the repair, an atlas_repair_mode. Default NEW_FILE.
    pub mode: u32,
    /// NEW_FILE: name of the repaired file. KEEP: new name of the damaged file. Otherwise ignored.
    /// Copied.
    pub other_path: *const c_char,
    /// Not 0: rows that can be repaired are repaired even if other rows cannot be repaired. Default 0.
    pub partial: u32,
    /// Must be 0.
    pub reserved: u32,
}

sized_struct!(
    atlas_repair_options,
    atlas_repair_options {
        struct_size: own_size::<atlas_repair_options>(),
        mode: atlas_repair_mode::ATLAS_REPAIR_NEW_FILE as u32,
        other_path: std::ptr::null(),
        partial: 0,
        reserved: 0,
    },
    [struct_size, mode, other_path, partial, reserved]
);

/// Fills `options` with the defaults: the repair writes a new file, and only if every damaged row can be
/// repaired. The caller sets other_path.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_repair_options_init(options: *mut atlas_repair_options) {
    // SAFETY: the header requires NULL or a whole struct.
    unsafe { init_struct(options) };
}

/// Converts the caller's options.
///
/// # Safety
///
/// `options` is NULL or a struct that meets the header's terms, including its pointers.
unsafe fn repair_options(options: *const atlas_repair_options) -> Result<RepairOptions> {
    // SAFETY: the caller meets this function's requirements.
    let options = unsafe { read_struct(options) }?;
    check_reserved(options.reserved)?;
    // SAFETY: the caller promises NULL or a C string.
    let other = || unsafe { path(options.other_path, "other_path") };
    // Only the modes that name a second file look at the path.
    let mode = c_enum!(options.mode, "repair mode", atlas_repair_mode {
        ATLAS_REPAIR_NEW_FILE => RepairMode::NewFile(other()?),
        ATLAS_REPAIR_KEEP => RepairMode::Keep(other()?),
        ATLAS_REPAIR_IN_PLACE => RepairMode::InPlace,
    })?;
    let result = RepairOptions::new(mode);
    Ok(if options.partial != 0 { result.with_partial() } else { result })
}

/// Writes the parity file of a source.
///
/// It never replaces a file, because a new parity file would protect damaged bytes as if they were
/// right; atlas_parity_update() follows changes. Every byte is read once. Work memory is at most 256 MiB, and
/// less if memory_limit leaves less, plus 16 bytes per unit and 9 MiB of tables; the file depends neither on the
/// work memory nor on the number of threads. `options` and `operation` may be NULL; progress is reported at least
/// once per MiB. The file appears complete or not at all. Fails with INVALID_ARGUMENT (sizes that do not fit
/// one another), IO (os_error EEXIST if `path` exists), LIMIT, STATE (pool from before a fork),
/// OUT_OF_MEMORY, CANCELLED or UNSUPPORTED (not built in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_parity_create(
    source: *const atlas_source,
    path: *const c_char,
    options: *const atlas_parity_options,
    operation: *const atlas_operation,
) -> atlas_status {
    boundary(|| {
        available()?;
        // SAFETY: the header requires a live source, a C string, a struct of its struct_size.
        let (source, path, options) =
            unsafe { (handle(source, "source")?, self::path(path, "path")?, options_in(options)?) };
        // SAFETY: the caller meets the header's requirements.
        unsafe { with_operation(operation, |run| AtlasParity::create(&source.0, path, &options, run)) }
    })
}

/// Opens a parity file, which may have lost its beginning or its end.
///
/// If neither end has a valid head, the file is searched block by block, with progress once per MiB. With a
/// key in `verify`, the file must be keyed with it. A keyed file fails with WITNESS if no key is given. An
/// expected_root must equal the stored root, if there is one, and repairs compare the whole result with it.
/// `verify` and `operation` may be NULL. `*out` is owned by the caller: atlas_parity_destroy(). Fails with
/// FORMAT (no parity file, or too little is left), WITNESS, UNSUPPORTED (newer version, not built in), IO,
/// INVALID_ARGUMENT, STATE (pool from before a fork), OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_parity_open(
    path: *const c_char,
    verify: *const atlas_verify_options,
    operation: *const atlas_operation,
    out: *mut *mut atlas_parity,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        available()?;
        // SAFETY: the header requires a C string, a struct of its struct_size.
        let (path, verify) = unsafe { (self::path(path, "path")?, verify_options(verify)?) };
        // SAFETY: the caller meets the header's requirements.
        let parity = unsafe { with_operation(operation, |run| AtlasParity::open(path, &verify, run)) }?;
        out.fill(atlas_parity(parity));
        Ok(())
    })
}

/// Fills `info` with the properties of a parity file. Callable from any thread. Fails with
/// INVALID_ARGUMENT or UNSUPPORTED (not built in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_parity_get_info(
    parity: *const atlas_parity,
    info: *mut atlas_parity_info,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a struct of its struct_size.
        let out = unsafe { OutStruct::new(info, "info") }?;
        available()?;
        // SAFETY: the header requires a live handle.
        let info = unsafe { handle(parity, "parity") }?.0.info();
        // If no root is stored, `root` is zeros; has_root distinguishes this case from a stored root.
        out.fill(&atlas_parity_info {
            unit_size: info.unit_size,
            protected_size: info.protected_size,
            parity_size: info.parity_size,
            rows: info.rows,
            data_columns: info.data_columns,
            parity_columns: info.parity_columns,
            burst_size: info.burst_size,
            keyed: u32::from(info.keyed),
            has_root: u32::from(info.root.is_some()),
            root: info.root.unwrap_or_default(),
            id: info.id,
            ..atlas_parity_info::DEFAULT
        });
        Ok(())
    })
}

/// Searches a source and its parity file for damage. Reads everything and writes nothing.
///
/// ATLAS_STATUS_OK means that both are intact, WITNESS that all of the damage can be repaired,
/// INCOMPLETE that some of it cannot. `report` is filled in these three cases, and may be NULL.
/// `damage` may be NULL; otherwise it receives each damaged unit and block separately, once the
/// verdict is known: first those of the data, then those of the parity file, each ascending.
/// Returning false ends the call with CANCELLED. `operation` may be NULL; progress is reported once
/// per 256 KiB. Callable from any thread. Fails with WITNESS, INCOMPLETE, IO (an error other than
/// an unreadable sector), INVALID_ARGUMENT, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY,
/// CANCELLED or UNSUPPORTED (not built in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_parity_check(
    parity: *const atlas_parity,
    source: *const atlas_source,
    damage: atlas_damage_fn,
    user_data: *mut c_void,
    operation: *const atlas_operation,
    report: *mut atlas_parity_report,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a struct of its struct_size.
        let out = unsafe { report_in(report) }?;
        available()?;
        // SAFETY: the header requires live handles.
        let (parity, source) = unsafe { (handle(parity, "parity")?, handle(source, "source")?) };
        let mut report = ParityReport::default();
        // SAFETY: the header requires a function for the caller's data.
        let mut each = |found: &Damage| unsafe { tell(damage, user_data, found) };
        // SAFETY: the caller meets the header's requirements.
        // The report is filled also if the call fails, because WITNESS and INCOMPLETE are verdicts.
        let result = unsafe {
            with_operation(operation, |run| parity.0.check(&source.0, Some(&mut each), &mut report, run))
        };
        if let Some(out) = out {
            out.fill(&report_out(&report));
        }
        result
    })
}

/// Checks as atlas_parity_check() does, and repairs the file `path`.
///
/// Each unit is rebuilt from its row and verified before it is written. `damage` lets the owner
/// decide: it is called for each damaged data unit separately, ascending, before the first write;
/// returning false leaves the unit as it is. IN_PLACE requires `damage`; in the other modes NULL repairs
/// every unit. A unit whose row is lost is reported with repairable 0, and stays as it is.
///
/// ATLAS_STATUS_OK means that the data is intact, whatever the state of the parity file (report->parity;
/// atlas_parity_restore() rebuilds it). WITNESS means that a unit was refused and the others are repaired, or
/// that a rebuilt unit does not match its digest or the root that the handle was opened with (then NEW_FILE
/// and KEEP write no file). INCOMPLETE means that a row is lost. Nothing was written then, unless partial is
/// set: then the other rows were repaired.
///
/// NEW_FILE and KEEP also copy the bytes after the protected bytes; the file appears complete or not at all.
/// KEEP gives the damaged file its second name before the first one changes, so that a name leads to it also
/// after a failure or a crash.
///
/// IN_PLACE may be stopped at any moment, also by a crash: each byte is right or was bad before, and the next
/// call continues. The file is synced before the call returns. If the sync fails, bytes may not be on the
/// disk: the call fails with IO and drops the system's cached bytes of the file, so that the next call reads
/// the disk and repairs again. The error text says if the system keeps cached bytes.
///
/// NULL for `options` is an error, because other_path has no default. `report` and `operation` may be NULL;
/// progress is reported once per MiB and once per row. Fails with WITNESS, INCOMPLETE, IO (os_error EEXIST if
/// other_path exists), INVALID_ARGUMENT, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY, CANCELLED or
/// UNSUPPORTED (not built in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_parity_repair(
    parity: *const atlas_parity,
    path: *const c_char,
    options: *const atlas_repair_options,
    damage: atlas_damage_fn,
    user_data: *mut c_void,
    operation: *const atlas_operation,
    report: *mut atlas_parity_report,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a struct of its struct_size.
        let out = unsafe { report_in(report) }?;
        available()?;
        // SAFETY: the header requires a live handle, a C string, a struct of its struct_size.
        let (parity, path, options) =
            unsafe { (handle(parity, "parity")?, self::path(path, "path")?, repair_options(options)?) };
        let mut report = ParityReport::default();
        // SAFETY: the header requires a function for the caller's data.
        let mut each = |found: &Damage| unsafe { tell(damage, user_data, found) };
        // SAFETY: the caller meets the header's requirements.
        // A missing callback is passed on as missing: in place the core refuses that.
        let result = unsafe {
            with_operation(operation, |run| match damage {
                Some(_) => parity.0.repair(path, &options, Some(&mut each), &mut report, run),
                None => parity.0.repair(path, &options, None, &mut report, run),
            })
        };
        if let Some(out) = out {
            out.fill(&report_out(&report));
        }
        result
    })
}

/// Writes the parity file again to `path`, byte for byte as it was first written, including its id.
///
/// Damaged data units are allowed in rows that can be repaired. Replaces a file of this name, also
/// the parity file itself; the handle continues with the old bytes. `operation` may be NULL;
/// progress is reported once per MiB and once per row. The file appears complete or not at all.
/// Fails with INCOMPLETE (a needed row is lost), WITNESS (the file contradicts itself, or changes
/// during the call), IO, INVALID_ARGUMENT, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY,
/// CANCELLED or UNSUPPORTED (not built in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_parity_restore(
    parity: *const atlas_parity,
    source: *const atlas_source,
    path: *const c_char,
    operation: *const atlas_operation,
) -> atlas_status {
    boundary(|| {
        available()?;
        // SAFETY: the header requires live handles, a C string.
        let (parity, source, path) =
            unsafe { (handle(parity, "parity")?, handle(source, "source")?, self::path(path, "path")?) };
        // SAFETY: the caller meets the header's requirements.
        unsafe { with_operation(operation, |run| parity.0.restore(&source.0, path, run)) }
    })
}

/// Writes the parity file of a source that was changed on purpose: in the `region_count` ranges of
/// `regions`, and at its end if its size differs.
///
/// `regions` NULL means no range (for the whole source: atlas_parity_create()). Unit size, rows,
/// parity columns and key stay. `options` may be NULL; only id and store_root count, and a root
/// that is not requested is dropped. The result equals that of atlas_parity_create() on the old bytes with
/// these ranges replaced, so that damage elsewhere stays damage. If other bytes of the affected rows differ,
/// the call fails with WITNESS and writes nothing; with store_root any differing byte has this effect. Reads
/// the appended bytes, the units of each affected row, and the parity file once. Replaces a file of this
/// name, also the parity file itself; the handle continues with the old file. `operation` may be NULL;
/// progress is reported at least once per MiB. Fails with WITNESS, INVALID_ARGUMENT (the rows do not fit the
/// new size: create a new file), OUT_OF_RANGE (a region outside the source), IO, LIMIT, STATE (pool from
/// before a fork), OUT_OF_MEMORY, CANCELLED or UNSUPPORTED (not built in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_parity_update(
    parity: *const atlas_parity,
    source: *const atlas_source,
    regions: *const atlas_region,
    region_count: usize,
    path: *const c_char,
    options: *const atlas_parity_options,
    operation: *const atlas_operation,
) -> atlas_status {
    boundary(|| {
        available()?;
        let count = if regions.is_null() { 0 } else { region_count };
        // SAFETY: the header requires live handles, `region_count` regions.
        let (parity, source, regions) = unsafe {
            (handle(parity, "parity")?, handle(source, "source")?, items_in(regions, count, "regions")?)
        };
        // SAFETY: the header requires a C string, a struct of its struct_size.
        let (path, options) = unsafe { (self::path(path, "path")?, options_in(options)?) };
        let mut own = try_vec(regions.len())?;
        own.extend(regions.iter().map(|region| AtlasBoundaryRegion::from(*region)));
        // SAFETY: the caller meets the header's requirements.
        unsafe { with_operation(operation, |run| parity.0.update(&source.0, &own, path, &options, run)) }
    })
}

/// Frees a parity handle. NULL does nothing. No call may be using it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_parity_destroy(parity: *mut atlas_parity) {
    // SAFETY: the header requires NULL or a handle that is not used again.
    unsafe { drop_handle(parity) };
}
