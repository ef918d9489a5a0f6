//! Devices that fail: the n-th read, write, cut or flush of a call, once or from then on. The call reports
//! the failure, no acknowledged generation is lost, and the next attempt works.

use super::crash::empty;
use super::device::{Device, Random};
use super::*;
use crate::ErrorKind;
use crate::base::out_bytes::OutBytes;
use crate::base::storage::Storage;
use crate::container::planted;
use crate::incremental::ProjectionDelta;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Batches of more bytes are large in these tests. A large batch is flushed after 256 times as many bytes.
const SMALL: u64 = 12 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Len,
    Read,
    Write,
    SetLen,
    Sync,
}

/// A failure of a step.
#[derive(Debug, Clone, Copy)]
struct Fault {
    step: Step,
    nth: u64,
    /// True if all later steps of the kind fail too.
    stays: bool,
    /// Error code of the system. `None` means that only a part is read or written.
    code: Option<i32>,
}

#[derive(Default)]
struct Plan {
    fault: Option<Fault>,
    seen: u64,
    has_failed: bool,
}

/// A device with a step that fails.
struct Failing {
    device: Device,
    plan: Mutex<Plan>,
}

impl Failing {
    fn new(device: Device) -> Arc<Failing> {
        Arc::new(Failing { device, plan: Mutex::default() })
    }

    fn storage(self: &Arc<Failing>) -> Arc<dyn Storage> {
        Arc::clone(self) as Arc<dyn Storage>
    }

    fn plan(&self, fault: Fault) {
        *lock(&self.plan) = Plan { fault: Some(fault), ..Plan::default() };
    }

    /// Ends the failures. Returns true if a step failed.
    fn mend(&self) -> bool {
        std::mem::take(&mut *lock(&self.plan)).has_failed
    }

    /// The fault of this step, if this step is to fail.
    fn fault(&self, step: Step) -> Option<Fault> {
        let mut plan = lock(&self.plan);
        let fault = plan.fault.filter(|fault| fault.step == step)?;
        let number = plan.seen;
        plan.seen += 1;
        let fails = number == fault.nth || fault.stays && number > fault.nth;
        plan.has_failed |= fails;
        fails.then_some(fault)
    }

    fn begin(&self, step: Step) -> io::Result<()> {
        self.fault(step)
            .map_or(Ok(()), |fault| Err(io::Error::from_raw_os_error(fault.code.unwrap_or(libc::EIO))))
    }
}

impl Storage for Failing {
    fn len(&self) -> io::Result<u64> {
        self.begin(Step::Len)?;
        self.device.len()
    }

    fn read_at(&self, offset: u64, out: OutBytes<'_>) -> io::Result<()> {
        let Some(fault) = self.fault(Step::Read) else { return self.device.read_at(offset, out) };
        // Bytes read before the failure are no result.
        out.into_initialised().fill(0xaa);
        Err(fault.code.map_or_else(|| io::ErrorKind::UnexpectedEof.into(), io::Error::from_raw_os_error))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let Some(fault) = self.fault(Step::Write) else { return self.device.write_at(offset, bytes) };
        if fault.code != Some(libc::EIO) {
            self.device.write_at(offset, &bytes[..bytes.len() / 2])?;
        }
        Err(fault.code.map_or_else(|| io::ErrorKind::WriteZero.into(), io::Error::from_raw_os_error))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.begin(Step::SetLen)?;
        self.device.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.begin(Step::Sync)?;
        self.device.sync()
    }

    fn drop_cache(&self) -> io::Result<bool> {
        self.device.drop_cache()
    }
}

/// Tries a call with each step failing, until it has no more such steps. `call` returns true if the fault
/// happened. Returns the number of faults that happened.
fn with_every_fault(mut call: impl FnMut(Fault) -> bool) -> u64 {
    let mut count = 0;
    for step in [Step::Len, Step::Read, Step::Write, Step::SetLen, Step::Sync] {
        let partly = matches!(step, Step::Read | Step::Write).then_some(None);
        for code in [Some(libc::EIO), Some(libc::ENOSPC)].into_iter().chain(partly) {
            for stays in [false, true] {
                let mut nth = 0;
                while call(Fault { step, nth, stays, code }) {
                    (nth, count) = (nth + 1, count + 1);
                    assert!(nth < 1_000, "{step:?} never ends");
                }
            }
        }
    }
    count
}

type Known = BTreeMap<u64, Vec<u8>>;

fn options() -> ContainerOptions {
    ContainerOptions { cache_size: 1 << 20, ..ContainerOptions::default() }
}

fn open(device: &Arc<Failing>, mode: ContainerMode, recover: bool) -> Result<Container> {
    Container::on_storage(device.storage(), mode, &ContainerOptions { recover, ..options() })
}

/// The newest generation with `bytes` at its beginning.
fn change(container: &Container, bytes: &[u8]) -> AtlasProjection {
    let edited = container.snapshot(0, false, &mut Operation::sequential()).unwrap();
    edited.apply_incremental_update(ProjectionDelta::insert(0, bytes.to_vec())).unwrap();
    edited
}

fn commit(container: &Container, edited: &AtlasProjection) -> Result<u64> {
    container.commit(edited, &CommitOptions::default(), &mut Operation::sequential())
}

/// A device with three generations, small and large batches.
fn three_generations() -> (Device, Known) {
    let device = empty(4_096, 1);
    let mut known = Known::new();
    let container = Container::on_storage(device.storage(), ContainerMode::Write, &options()).unwrap();
    let mut bytes = Vec::new();
    for (number, len) in [(1, 900), (2, 40_000), (3, 70)] {
        let new = Random(number).bytes(len);
        let generation = commit(&container, &change(&container, &new)).unwrap();
        bytes = [new, bytes].concat();
        known.insert(generation, bytes.clone());
    }
    drop(container);
    (device, known)
}

fn copy_of(device: &Device) -> Arc<Failing> {
    device.sync().unwrap();
    // Nothing is unsynced, so that a crash leaves everything.
    Failing::new(Device::with(device.crash(&mut Random(0)), 4_096, 1))
}

/// The container has exactly the generations of `known`.
fn check(container: &Container, known: &Known, what: Fault) {
    let mut generation = container.info().unwrap().newest;
    let mut found = Known::new();
    while generation > 0 {
        let snapshot = container.snapshot(generation, true, &mut Operation::sequential()).unwrap();
        found.insert(generation, bytes_of(&snapshot).unwrap_or_else(|error| panic!("{what:?}: {error}")));
        generation = container.generation(generation).unwrap().previous;
    }
    assert!(found == *known, "{what:?}: {:?} instead of {:?}", found.keys(), known.keys());
}

fn check_error(error: &AtlasError, fault: Fault) {
    match fault.code {
        Some(code) => {
            assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, code), "{fault:?}: {error}");
        }
        // A file that ends early is a damaged file.
        None if fault.step == Step::Read => {
            assert!([ErrorKind::Io, ErrorKind::Witness].contains(&error.kind()), "{fault:?}: {error}");
        }
        None => assert_eq!(error.kind(), ErrorKind::Io, "{fault:?}: {error}"),
    }
}

/// Tries a change of the newest generation to `bytes` with every fault.
fn try_change(bytes: &[u8], change: &dyn Fn(&Container) -> Result<u64>) -> u64 {
    let (device, before) = three_generations();
    let with = |before: &Known, generation| {
        let mut after = before.clone();
        after.insert(generation, bytes.to_vec());
        after
    };
    with_every_fault(|fault| {
        let (device, mut known) = (copy_of(&device), before.clone());
        let container = open(&device, ContainerMode::Write, false).unwrap();
        device.plan(fault);
        let result = change(&container);
        let has_failed = device.mend();
        // A crash at this moment leaves all acknowledged bytes.
        let image = device.device.crash(&mut Random(fault.nth));
        let after = match &result {
            Ok(generation) => {
                known = with(&known, *generation);
                known.clone()
            }
            Err(error) => {
                assert!(has_failed, "{error}");
                check_error(error, fault);
                with(&known, 4)
            }
        };
        let crashed = Failing::new(Device::with(image, 4_096, 1));
        let crashed = open(&crashed, ContainerMode::Write, false).unwrap();
        check(&crashed, if crashed.info().unwrap().newest == 3 { &before } else { &after }, fault);
        let container = if container.log().is_broken {
            let refused = change(&container).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::State, "{refused}");
            // A failed cut leaves the outcome unknown, like a failed flush.
            assert!(fault.step == Step::Sync || fault.stays, "{fault:?}");
            drop(container);
            let container = open(&device, ContainerMode::Write, false).unwrap();
            if container.info().unwrap().newest == 4 {
                known = with(&known, 4);
            }
            container
        } else {
            assert!(
                result.is_ok() || fault.step != Step::Sync,
                "{fault:?}: a handle that knows nothing goes on"
            );
            container
        };
        check(&container, &known, fault);
        let again = change(&container).unwrap_or_else(|error| panic!("{fault:?}, again: {error}"));
        known = with(&known, again);
        check(&container, &known, fault);
        drop(container);
        check(&open(&device, ContainerMode::Read, false).unwrap(), &known, fault);
        has_failed
    })
}

#[test]
fn commits_on_a_device_that_fails() {
    planted::with(None, SMALL, || {
        for len in [100, 40_000, 4 << 20] {
            let new = Random(9).bytes(len);
            let (device, known) = three_generations();
            let container = open(&Failing::new(device), ContainerMode::Read, false).unwrap();
            // The change is made to a generation in memory, so that every attempt is the same.
            let bytes = [&new[..], &known[&3]].concat();
            let edited = change(&container, &new);
            let faults = try_change(&bytes, &|container| commit(container, &edited));
            assert!(faults > 30, "{faults} of {len} bytes");
        }
    });
}

/// The only good slot stays until another one is written.
#[test]
fn a_slot_that_was_torn_is_the_next_to_be_written() {
    planted::with(None, SMALL, || {
        let (device, _) = three_generations();
        // The first commit with a failed write that succeeds is the one whose slot was not written.
        let mut nth = 0;
        let container = loop {
            let device = copy_of(&device);
            let container = open(&device, ContainerMode::Write, false).unwrap();
            let edited = change(&container, b"four");
            device.plan(Fault { step: Step::Write, nth, stays: false, code: None });
            let result = commit(&container, &edited);
            assert!(device.mend(), "no slot is written");
            if result.is_ok() {
                break container;
            }
            nth += 1;
        };
        commit(&container, &change(&container, b"five")).unwrap();
        let file = Arc::clone(&container.log().file);
        let mut slots = [0, 1].map(|number| file.slot(number).unwrap().map(|slot| slot.generation));
        slots.sort_unstable();
        assert_eq!(slots, [Some(3), Some(5)]);
    });
}

#[test]
fn imports_on_a_device_that_fails() {
    planted::with(None, SMALL, || {
        for len in [100, 40_000, 4 << 20] {
            let bytes = Random(9).bytes(len);
            let source = Source::from_vec(bytes.clone());
            let import = |container: &Container| {
                container.import(&source, &CommitOptions::default(), &mut Operation::sequential())
            };
            let faults = try_change(&bytes, &import);
            assert!(faults > 30, "{faults} of {len} bytes");
        }
    });
}

/// A copy of a device with other bytes.
fn changed(device: &Device, change: impl FnOnce(&mut Vec<u8>)) -> Device {
    device.sync().unwrap();
    let mut bytes = device.crash(&mut Random(0));
    change(&mut bytes);
    Device::with(bytes, 4_096, 1)
}

#[test]
fn opening_a_device_that_fails() {
    planted::with(None, SMALL, || {
        let (device, known) = three_generations();
        // No slot, and the remains of a dead writer, so that every step of opening runs.
        let device = changed(&device, |bytes| {
            bytes[4_096..3 * 4_096].fill(0);
            bytes.extend([0x77; 5_000]);
        });
        for (mode, recover) in [
            (ContainerMode::Read, false),
            (ContainerMode::Read, true),
            (ContainerMode::Write, false),
            (ContainerMode::Write, true),
        ] {
            let faults = with_every_fault(|fault| {
                if fault.code.is_none() && fault.step == Step::Read {
                    return false;
                }
                let device = copy_of(&device);
                device.plan(fault);
                let opened = open(&device, mode, recover);
                let has_failed = device.mend();
                match opened {
                    // A reader that cannot read the medium stays at the generation that a slot confirms.
                    Ok(reader) if mode == ContainerMode::Read && reader.info().unwrap().newest == 0 => {}
                    Ok(container) => check(&container, &known, fault),
                    Err(error) => check_error(&error, fault),
                }
                // The writer comes first, because a reader that follows sees only the pages in the cache.
                for mode in [ContainerMode::Write, ContainerMode::Read] {
                    check(&open(&device, mode, false).unwrap(), &known, fault);
                }
                has_failed
            });
            assert!(faults > 10, "{faults}");
        }
    });
}

#[test]
fn recovering_on_a_device_that_fails() {
    planted::with(None, SMALL, || {
        let (device, mut known) = three_generations();
        let container = Container::on_storage(device.storage(), ContainerMode::Read, &options()).unwrap();
        let newest = container.log().located.tip.unwrap().offset;
        let device = changed(&device, |bytes| bytes[newest as usize + 300] ^= 1);
        known.remove(&3);
        let faults = with_every_fault(|fault| {
            if fault.code.is_none() && fault.step == Step::Read {
                return false;
            }
            let device = copy_of(&device);
            device.plan(fault);
            let opened = open(&device, ContainerMode::Write, true);
            let has_failed = device.mend();
            match opened {
                Ok(container) => check(&container, &known, fault),
                Err(error) => check_error(&error, fault),
            }
            check(&open(&device, ContainerMode::Write, true).unwrap(), &known, fault);
            has_failed
        });
        assert!(faults > 20, "{faults}");
    });
}

#[test]
fn compacting_from_and_to_a_device_that_fails() {
    planted::with(None, SMALL, || {
        let (device, known) = three_generations();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("compacted");
        let from = with_every_fault(|fault| {
            let device = copy_of(&device);
            let container = open(&device, ContainerMode::Read, false).unwrap();
            device.plan(fault);
            let done = container.compact_to(&path, 2, &mut Operation::sequential());
            let has_failed = device.mend();
            if let Err(error) = &done {
                check_error(error, fault);
                assert!(!path.exists(), "{fault:?}: a part is left");
                container.compact_to(&path, 2, &mut Operation::sequential()).unwrap();
            }
            let source = Source::open_file(&path).unwrap();
            let (verify, operation) = (crate::VerifyOptions::new(), &mut Operation::sequential());
            let compacted = Container::open_source(&source, &verify, &options(), operation).unwrap();
            let mut kept = known.clone();
            kept.remove(&1);
            check(&compacted, &kept, fault);
            std::fs::remove_file(&path).unwrap();
            has_failed
        });
        let container = open(&copy_of(&device), ContainerMode::Read, false).unwrap();
        let to = with_every_fault(|fault| {
            let to = Failing::new(Device::with(Vec::new(), 4_096, 1));
            to.plan(fault);
            let (log, operation) = (container.log(), &mut Operation::sequential());
            let done = container.write_compacted(&log, to.storage(), Path::new("new"), 0, operation);
            let has_failed = to.mend();
            match done {
                // A slot that could not be written is found again.
                Ok(_) => check(&open(&to, ContainerMode::Read, false).unwrap(), &known, fault),
                Err(error) => check_error(&error, fault),
            }
            has_failed
        });
        assert!(from > 20 && to > 20, "{from} and {to}");
    });
}

#[test]
fn refreshing_on_a_device_that_fails() {
    planted::with(None, SMALL, || {
        let (device, known) = three_generations();
        let faults = with_every_fault(|fault| {
            let device = copy_of(&device);
            let container = open(&device, ContainerMode::Read, false).unwrap();
            device.plan(fault);
            let refreshed = container.refresh(&mut Operation::sequential());
            let has_failed = device.mend();
            // Bytes that cannot be read are not gone.
            match refreshed {
                Ok(newest) => assert_eq!(newest, 3, "{fault:?}"),
                Err(error) => check_error(&error, fault),
            }
            assert_eq!(container.refresh(&mut Operation::sequential()).unwrap(), 3, "{fault:?}");
            check(&container, &known, fault);
            has_failed
        });
        assert!(faults > 5, "{faults}");
    });
}
