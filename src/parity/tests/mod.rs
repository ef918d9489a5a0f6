//! Whole parity files: the golden files, and promises about all parity files.

use super::test_data::{golden, hex, number, stream, vector};
use super::*;
use crate::ErrorKind;
use crate::base::out_bytes::OutBytes;
use crate::base::storage::Storage;
use crate::base::storage::fakes::MemoryStorage;
use crate::base::sync::lock;
use serde_json::Value;
use std::io;
use std::sync::{Arc, Mutex};

mod failing;
mod golden_files;
mod promises;

/// Memory in which ranges cannot be read until they are written.
pub(super) struct Medium {
    bytes: MemoryStorage,
    unreadable: Mutex<Vec<(u64, u64)>>,
}

impl Medium {
    pub(super) fn new(bytes: &[u8], unreadable: &[(u64, u64)]) -> Arc<Medium> {
        let memory = MemoryStorage::default();
        memory.write_at(0, bytes).unwrap();
        Arc::new(Medium { bytes: memory, unreadable: Mutex::new(unreadable.to_vec()) })
    }

    pub(super) fn all(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.bytes.len().unwrap() as usize];
        self.bytes.read_at(0, OutBytes::new(&mut bytes)).unwrap();
        bytes
    }

    pub(super) fn source(self: &Arc<Medium>) -> Source {
        Source::from_storage(self.clone(), Path::new("medium")).unwrap()
    }
}

impl Storage for Medium {
    fn len(&self) -> io::Result<u64> {
        self.bytes.len()
    }

    fn read_at(&self, offset: u64, out: OutBytes<'_>) -> io::Result<()> {
        let end = offset + out.len() as u64;
        if lock(&self.unreadable).iter().any(|(start, stop)| offset < *stop && *start < end) {
            return Err(bad_sector());
        }
        self.bytes.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        lock(&self.unreadable).retain(|(start, stop)| *start < offset || *stop > end);
        self.bytes.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.bytes.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.bytes.sync()
    }
}

/// Returns the system's error for bytes that the medium cannot return.
fn bad_sector() -> io::Error {
    // The Windows error is `ERROR_READ_FAULT`.
    io::Error::from_raw_os_error(if cfg!(windows) { 30 } else { libc::EIO })
}

pub(super) fn kind_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Format => "FORMAT",
        ErrorKind::Witness => "WITNESS",
        ErrorKind::Unsupported => "UNSUPPORTED",
        ErrorKind::Incomplete => "INCOMPLETE",
        ErrorKind::InvalidArgument => "INVALID_ARGUMENT",
        other => panic!("{other:?} is no status of a golden file"),
    }
}

/// Runs `call` on one thread, on three, and on three within 64 MiB; all must give the same.
pub(super) fn in_all_ways<R: PartialEq + std::fmt::Debug>(
    mut call: impl FnMut(&mut Operation<'_>) -> R,
) -> R {
    let pool = crate::Pool::new(3).unwrap();
    let first = call(&mut Operation::sequential());
    assert_eq!(call(&mut Operation::new().with_pool(&pool)), first);
    assert_eq!(call(&mut Operation::new().with_pool(&pool).with_memory_limit(64 << 20)), first);
    first
}

pub(super) fn verify(key: Option<&[u8; 32]>) -> VerifyOptions {
    key.map_or_else(VerifyOptions::new, |key| VerifyOptions::new().with_key(key))
}

pub(super) fn open(atp: &Arc<Medium>, key: Option<&[u8; 32]>) -> Result<AtlasParity> {
    AtlasParity::open_source(atp.source(), &verify(key), &mut Operation::sequential())
}

/// Repairs in place, and gives the report.
pub(super) fn repair_in_place(
    parity: &AtlasParity,
    data: &Arc<Medium>,
    owner: &mut DamageFn<'_>,
    partial: bool,
    operation: &mut Operation<'_>,
) -> (Result<()>, ParityReport) {
    let folder = tempfile::tempdir().unwrap();
    let options = RepairOptions { mode: RepairMode::InPlace, partial };
    let repair = Repair {
        file: &parity.file,
        known_root: parity.known_root.as_ref(),
        key: parity.key.as_deref(),
        path: &folder.path().join("data"),
        source: data.source(),
        storage: Some(data.clone()),
        options: &options,
    };
    let mut report = ParityReport::default();
    let result = repair.run(Some(owner), &mut report, operation, AtomicFile::create);
    (result, report)
}

/// Repairs to a new file, and gives its bytes.
pub(super) fn repair_to_new(
    parity: &AtlasParity,
    data: &Arc<Medium>,
    operation: &mut Operation<'_>,
) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("new");
    let options = RepairOptions::new(RepairMode::NewFile(other.clone()));
    let repair = Repair {
        file: &parity.file,
        known_root: parity.known_root.as_ref(),
        key: parity.key.as_deref(),
        path: &folder.path().join("data"),
        source: data.source(),
        storage: None,
        options: &options,
    };
    let result = repair.run(None, &mut ParityReport::default(), operation, AtomicFile::create);
    assert_eq!(other.exists(), result.is_ok());
    result.map(|()| std::fs::read(&other).unwrap())
}

pub(super) fn restored(
    parity: &AtlasParity,
    data: &Arc<Medium>,
    operation: &mut Operation<'_>,
) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.atp");
    let result = parity.restore(&data.source(), &path, operation);
    assert_eq!(path.exists(), result.is_ok());
    result.map(|()| std::fs::read(&path).unwrap())
}

pub(super) fn created(
    data: &[u8],
    options: &ParityOptions,
    operation: &mut Operation<'_>,
) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.atp");
    AtlasParity::create(&Source::copy(data)?, &path, options, operation)?;
    Ok(std::fs::read(&path).unwrap())
}

/// A file and its parity file.
pub(super) struct Pair {
    pub(super) data: Vec<u8>,
    pub(super) atp: Vec<u8>,
    pub(super) geometry: super::geometry::Geometry,
}

pub(super) fn pair(size: usize, options: &ParityOptions) -> Pair {
    let data = stream(size as u64, size);
    let atp = created(&data, options, &mut Operation::sequential()).unwrap();
    let geometry = *open(&Medium::new(&atp, &[]), None).unwrap().file.geometry();
    Pair { data, atp, geometry }
}

pub(super) fn options() -> ParityOptions {
    ParityOptions::new().with_id([3; 16])
}
