//! Failing reads and writes, files that change or die during a call, and repairs in place that end anywhere: no call leaves
//! anything behind, does harm, or takes a failure for damage.

use super::*;
use crate::base::in_place::fakes::CachedDisk;
use crate::base::storage::fakes::FailingStorage;

/// Calls `call` with a storage whose operation number 0, 1, … fails, until no operation fails. Returns the
/// number of operations.
fn each_failure(mut call: impl FnMut(u64) -> Result<()>) -> u64 {
    let mut nth = 0;
    loop {
        match call(nth) {
            Ok(()) => return nth,
            Err(error) => {
                assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, libc::ENOSPC), "{error}")
            }
        }
        nth += 1;
        assert!(nth < 10_000, "there is no end");
    }
}

fn failing(file: Arc<crate::base::storage::FileStorage>, nth: u64) -> Arc<dyn Storage> {
    Arc::new(FailingStorage::new(file, nth))
}

#[test]
fn a_write_that_fails_leaves_no_file_behind() {
    let pair = pair(150_001, &options().with_rows(7).with_parity_columns(3));
    let mut damaged = pair.data.clone();
    damaged[50_000..60_000].fill(0);
    let mut atp = pair.atp.clone();
    atp[5_000] ^= 1;
    let parity = open(&Medium::new(&atp, &[]), None).unwrap();
    let (source, data) = (Source::copy(&pair.data).unwrap(), Medium::new(&damaged, &[]));
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("file"), folder.path().join("other"));
    std::fs::write(&path, b"old").unwrap();
    let operation = || Operation::sequential();
    // Each call runs once for each operation on the file that it makes.
    let make = |nth: u64| move |path: &Path| AtomicFile::create_on(path, |file| failing(file, nth));
    let check = |result: &Result<()>, wanted: &[u8]| {
        let names = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 1 + usize::from(result.is_ok() && other.exists()));
        if result.is_err() {
            assert!(!other.exists() && std::fs::read(&path).unwrap() == b"old");
        } else {
            let made = if other.exists() { &other } else { &path };
            assert!(std::fs::read(made).unwrap() == wanted);
        }
        drop(std::fs::remove_file(&other));
        std::fs::write(&path, b"old").unwrap();
    };
    let shape = options().with_rows(7).with_parity_columns(3);
    let writes = each_failure(|nth| {
        let result = create::create(&source, &other, &shape, &mut operation(), make(nth));
        check(&result, &pair.atp);
        result
    });
    assert!(writes > 5, "{writes}");
    let writes = each_failure(|nth| {
        let result = restore::restore(&parity.file, &source, &path, &mut operation(), make(nth));
        check(&result, &pair.atp);
        result
    });
    assert!(writes > 5, "{writes}");
    let writes = each_failure(|nth| {
        let update = Update { file: &parity.file, key: None, source: &source, options: &options() };
        let result = update.run(&[], &path, &mut operation(), make(nth));
        check(&result, &pair.atp);
        result
    });
    assert!(writes > 5, "{writes}");
    let modes = [RepairMode::NewFile(other.clone()), RepairMode::InPlace];
    for (mode, known_root) in modes.into_iter().zip([None, Some(linear_root(&pair.data))]) {
        let in_place = mode == RepairMode::InPlace;
        let options = RepairOptions { mode, partial: false };
        let writes = each_failure(|nth| {
            let medium = Medium::new(&damaged, &[]);
            let repair = Repair {
                file: &parity.file,
                known_root: known_root.as_ref(),
                key: None,
                path: &path,
                source: if in_place { medium.source() } else { data.source() },
                storage: in_place.then(|| medium.clone() as Arc<dyn Storage>),
                options: &options,
            };
            let mut report = ParityReport::default();
            let result = repair.run(Some(&mut |_| true), &mut report, &mut operation(), make(nth));
            if in_place {
                assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
                // Written in part, each byte is old or right.
                for ((now, old), right) in medium.all().iter().zip(&damaged).zip(&pair.data) {
                    assert!(now == right || now == old && result.is_err());
                }
            } else {
                check(&result, &pair.data);
            }
            result
        });
        assert!(writes > 4, "{writes}");
    }
}

fn linear_root(data: &[u8]) -> Digest {
    create::linear_root(&Source::copy(data).unwrap(), None, &mut Operation::sequential()).unwrap()
}

/// The damaged file of a repair in place, all of whose operations fail from number `nth` on.
struct Broken {
    inner: Arc<Medium>,
    left: std::sync::atomic::AtomicU64,
}

impl Broken {
    fn begin(&self) -> io::Result<()> {
        use std::sync::atomic::Ordering::Relaxed;
        match self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::from_raw_os_error(libc::ENOSPC)),
        }
    }
}

impl Storage for Broken {
    fn len(&self) -> io::Result<u64> {
        self.begin()?;
        self.inner.len()
    }

    fn read_at(&self, offset: u64, out: OutBytes<'_>) -> io::Result<()> {
        self.begin()?;
        self.inner.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.begin() {
            // Half of the bytes are written.
            self.inner.write_at(offset, &bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.inner.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.begin()?;
        self.inner.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.begin()?;
        self.inner.sync()
    }
}

/// Data and their parity file, the data with wrong bytes and without their end, and the open parity file.
fn damaged_pair() -> (Pair, Vec<u8>, AtlasParity) {
    let pair = pair(150_001, &options().with_rows(7).with_parity_columns(3));
    let mut damaged = pair.data.clone();
    damaged[20_000..50_000].fill(0x77);
    damaged.truncate(140_000);
    let parity = open(&Medium::new(&pair.atp, &[]), None).unwrap();
    (pair, damaged, parity)
}

#[test]
fn a_repair_in_place_that_ends_anywhere_does_no_harm_and_goes_on() {
    let (pair, damaged, parity) = damaged_pair();
    let folder = tempfile::tempdir().unwrap();
    let options = RepairOptions { mode: RepairMode::InPlace, partial: false };
    let mut nth = 0;
    loop {
        let medium = Medium::new(&damaged, &[]);
        let broken = Arc::new(Broken { inner: medium.clone(), left: nth.into() });
        let source = Source::from_storage(broken.clone(), Path::new("broken"));
        let result = source.and_then(|source| {
            let repair = Repair {
                file: &parity.file,
                known_root: None,
                key: None,
                path: &folder.path().join("data"),
                source,
                storage: Some(broken.clone()),
                options: &options,
            };
            let mut report = ParityReport::default();
            repair.run(Some(&mut |_| true), &mut report, &mut Operation::sequential(), AtomicFile::create)
        });
        for (at, byte) in medium.all().iter().enumerate() {
            let before = damaged.get(at).copied().unwrap_or(0);
            assert!(*byte == pair.data[at] || *byte == before, "byte {at} of operation {nth}");
        }
        let (next, _) = repair_in_place(&parity, &medium, &mut |_| true, false, &mut Operation::sequential());
        next.unwrap();
        assert!(medium.all() == pair.data, "operation {nth}");
        if result.is_ok() {
            break;
        }
        nth += 1;
    }
    assert!(nth > 30, "{nth} operations");
}

/// After a flush that failed, Linux takes pages for written that are not on the disk.
#[test]
fn after_a_failed_flush_the_next_repair_in_place_writes_again() {
    let (pair, damaged, parity) = damaged_pair();
    let folder = tempfile::tempdir().unwrap();
    let options = RepairOptions { mode: RepairMode::InPlace, partial: false };
    for (failing, root) in [(1, None), (2, Some(linear_root(&pair.data)))] {
        let disk = Arc::new(CachedDisk::new(&damaged, failing, 1));
        let run = || {
            let repair = Repair {
                file: &parity.file,
                known_root: root.as_ref(),
                key: None,
                path: &folder.path().join("data"),
                source: Source::from_storage(disk.clone(), Path::new("disk")).unwrap(),
                storage: Some(disk.clone()),
                options: &options,
            };
            let mut report = ParityReport::default();
            let (owner, operation) = (&mut |_: &_| true, &mut Operation::sequential());
            let result = repair.run(Some(owner), &mut report, operation, AtomicFile::create);
            (result, report.repaired_units)
        };
        let (first, written) = run();
        let error = first.unwrap_err();
        assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, libc::EIO), "{error}");
        assert!(disk.disk() == damaged);
        let (second, again) = run();
        second.unwrap();
        assert!(disk.disk() == pair.data, "the repair said OK, and the disk has the damage");
        assert_eq!(again, written);
    }
}

#[test]
fn reads_that_fail_end_a_call_and_bad_sectors_do_not() {
    let pair = pair(150_001, &options().with_rows(7).with_parity_columns(3));
    let data: Arc<dyn Storage> = Medium::new(&pair.data, &[]);
    let atp: Arc<dyn Storage> = Medium::new(&pair.atp, &[]);
    let check = |data: &Arc<dyn Storage>, atp: &Arc<dyn Storage>| -> Result<()> {
        let named = |storage: &Arc<dyn Storage>, name| Source::from_storage(storage.clone(), Path::new(name));
        let (operation, source) = (&mut Operation::sequential(), named(data, "data")?);
        let parity = AtlasParity::open_source(named(atp, "atp")?, &VerifyOptions::new(), operation)?;
        let mut report = ParityReport::default();
        parity.check(&source, None, &mut report, operation)?;
        let folder = tempfile::tempdir().unwrap();
        parity.restore(&source, folder.path().join("x"), operation)?;
        parity.update(&source, &[], folder.path().join("y"), &ParityOptions::new(), operation)
    };
    let reads = each_failure(|nth| check(&(Arc::new(FailingStorage::new(data.clone(), nth)) as _), &atp));
    assert!(reads > 4, "{reads}");
    let reads = each_failure(|nth| check(&data, &(Arc::new(FailingStorage::new(atp.clone(), nth)) as _)));
    assert!(reads > 12, "{reads}");
}

#[test]
fn a_file_that_changes_after_the_check_gives_no_file() {
    /// A source whose bytes change, or cannot be read, from read number `after` on.
    struct Changing(Vec<u8>, std::sync::atomic::AtomicU64, u64, bool);
    impl crate::source::ReadAt for Changing {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
            if self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= self.2 {
                if self.3 {
                    return Err(bad_sector());
                }
                buffer[0] ^= 1;
            }
            Ok(())
        }
    }
    let pair = pair(150_001, &options().with_rows(7).with_parity_columns(3));
    let mut damaged = pair.data.clone();
    damaged[50_000] ^= 1;
    let parity = open(&Medium::new(&pair.atp, &[]), None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (mut ends, mut unreadable) = ([0; 2], 0);
    for (after, fails) in (1..20).flat_map(|after| [(after, false), (after, true)]) {
        let source = Source::from_reader(150_001, Changing(damaged.clone(), 0.into(), after, fails));
        let other = folder.path().join("new");
        let options = RepairOptions::new(RepairMode::NewFile(other.clone()));
        let path = folder.path().join("data");
        let repair = Repair {
            file: &parity.file,
            known_root: None,
            key: None,
            path: &path,
            source,
            storage: None,
            options: &options,
        };
        let mut report = ParityReport::default();
        match repair.run(None, &mut report, &mut Operation::sequential(), AtomicFile::create) {
            Ok(()) => {
                ends[0] += 1;
                assert!(std::fs::read(&other).unwrap() == pair.data);
                std::fs::remove_file(&other).unwrap();
            }
            Err(error) => {
                ends[1] += 1;
                let kinds = [if fails { ErrorKind::Io } else { ErrorKind::Witness }, ErrorKind::Incomplete];
                assert!(kinds.contains(&error.kind()), "{error}");
                unreadable += u32::from(error.kind() == ErrorKind::Io);
                assert!(!other.exists());
            }
        }
    }
    assert!(ends[0] > 5 && ends[1] > 5 && unreadable > 0, "{ends:?} {unreadable}");
}

#[test]
fn a_parity_file_that_cannot_be_read_is_not_said_to_be_another_file() {
    let pair = pair(150_001, &options().with_rows(7).with_parity_columns(3));
    let (size, code) = (pair.atp.len() as u64, bad_sector().raw_os_error().unwrap());
    let error = open(&Medium::new(&pair.atp, &[(0, size)]), None).expect_err("nothing can be read");
    assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, code), "{error}");
    assert_eq!((error.offset(), error.length()), (Some(0), Some(4_096)));
    // The same if the rest can be read and has no head.
    let mut without = pair.atp.clone();
    without[8_192..].fill(0);
    let error = open(&Medium::new(&without, &[(0, 8_192)]), None).expect_err("the heads are unreadable");
    assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, code), "{error}");
    // One good head is enough, and a file whose bytes can be read and that has none is another file.
    assert!(open(&Medium::new(&pair.atp, &[(0, size - 4_096)]), None).is_ok());
    let error = open(&Medium::new(&vec![0; size as usize], &[]), None).expect_err("zeros");
    assert_eq!(error.kind(), ErrorKind::Format, "{error}");
}

/// A file of which no byte can be read any more after a number of reads.
struct Dying {
    bytes: Vec<u8>,
    reads: std::sync::atomic::AtomicU64,
    last: u64,
}

impl crate::source::ReadAt for Dying {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= self.last {
            return Err(bad_sector());
        }
        buffer.copy_from_slice(&self.bytes[offset as usize..][..buffer.len()]);
        Ok(())
    }
}

#[test]
fn a_parity_file_that_dies_during_a_call_is_not_said_to_be_damaged() {
    let pair = pair(150_001, &options().with_rows(7).with_parity_columns(3));
    let mut damaged = pair.data.clone();
    damaged[50_000] ^= 1;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new");
    let (operation, mut ends) = (&mut Operation::sequential(), [[0_u32; 2]; 3]);
    for last in 1..200 {
        for (number, ends) in ends.iter_mut().enumerate() {
            let atp = Dying { bytes: pair.atp.clone(), reads: 0.into(), last };
            let atp = Source::from_reader(pair.atp.len() as u64, atp);
            let Ok(parity) = AtlasParity::open_source(atp, &verify(None), operation) else { continue };
            let result = match number {
                0 => repair_to_new(&parity, &Medium::new(&damaged, &[]), operation).map(|_| ()),
                1 => parity.restore(&Source::copy(&damaged).unwrap(), &path, operation),
                _ => parity.update(&Source::copy(&pair.data).unwrap(), &[], &path, &options(), operation),
            };
            match result {
                Ok(()) => ends[0] += 1,
                Err(error) => {
                    // Units that cannot be read are lost as long as the check runs.
                    let kinds = [ErrorKind::Io, ErrorKind::Incomplete];
                    assert!(kinds.contains(&error.kind()), "{number}, after {last} reads: {error}");
                    ends[1] += u32::from(error.kind() == ErrorKind::Io);
                }
            }
        }
    }
    assert!(ends.iter().flatten().all(|count| *count > 0), "{ends:?}");
}
