use super::*;
use crate::ErrorKind;
use crate::base::storage::fakes::{FailingStorage, MemoryStorage};
use std::sync::atomic::{AtomicU32, Ordering};

/// A mapping of a file that the test does not truncate.
#[cfg(feature = "streaming")]
pub(crate) fn mapped(path: &Path) -> Source {
    // SAFETY: the file is not truncated; writes to it go through the file, and reads see them.
    unsafe { Source::map_file(path) }.unwrap()
}

struct Failing(AtomicU32);

impl ReadAt for Failing {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.0.fetch_add(1, Ordering::Relaxed) == 1 {
            return Err(io::Error::from_raw_os_error(5));
        }
        buffer.fill(u8::try_from(offset).unwrap());
        Ok(())
    }
}

#[test]
fn every_kind_reads_the_same_bytes() {
    let data: Vec<u8> = (0..100_000u32).map(|i| (i % 253) as u8).collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ä漢.bin");
    std::fs::write(&path, &data).unwrap();
    let mut sources =
        vec![Source::copy(&data).unwrap(), Source::from_vec(data.clone()), Source::open_file(&path).unwrap()];
    // SAFETY: `data` outlives the sources.
    sources.push(unsafe { Source::borrow(data.as_ptr(), data.len(), None) });
    #[cfg(feature = "streaming")]
    sources.push(mapped(&path));
    for source in &sources {
        assert_eq!(source.size(), 100_000);
        for (offset, len) in [(0, 0), (0, 100_000), (99_999, 1), (100_000, 0), (77, 4_096)] {
            let mut out = vec![0; len];
            source.read(offset, &mut out).unwrap();
            assert_eq!(out, data[offset as usize..][..len]);
        }
        for (offset, len) in [(100_000, 1), (u64::MAX, 1), (1, 100_000)] {
            let error = source.read(offset, &mut vec![0; len]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutOfRange);
        }
    }
}

#[test]
fn pieces_read_as_one() {
    let data: Vec<u8> = (0..2_500_000u32).map(|i| (i % 251) as u8).collect();
    let copy = |range: std::ops::Range<usize>| Buffer::copy_of(&data[range]).unwrap();
    let tiles = Source::from_tiles(vec![
        copy(0..TILE_SIZE),
        copy(TILE_SIZE..2 * TILE_SIZE),
        copy(2_097_152..2_500_000),
    ])
    .unwrap();
    let cuts = [0, 1, 4_096, 1_048_577, 2_499_999, 2_500_000];
    let pairs = cuts.windows(2).map(|cut| (cut[0] as u64, Arc::new(copy(cut[0]..cut[1]))));
    let pieces = Source::from_pieces(pairs.collect());
    for source in [&tiles, &pieces] {
        assert_eq!(source.size(), 2_500_000);
        for (offset, len) in
            [(0, 2_500_000), (1_048_575, 2), (1_048_576, 1_048_577), (2_499_999, 1), (7, 0), (2_500_000, 0)]
        {
            let mut out = vec![0; len];
            source.read(offset, &mut out).unwrap();
            assert_eq!(out, data[offset as usize..][..len]);
        }
        assert!(source.slice(2_499_999, 2).is_none() && source.slice(1 << 40, 1).is_none());
    }
    assert_eq!(tiles.slice(1_048_576, 100), Some(&data[1_048_576..1_048_676]));
    assert!(tiles.slice(1_048_575, 2).is_none());
    assert_eq!(pieces.slice(1_048_575, 2), Some(&data[1_048_575..1_048_577]));
    assert!(pieces.slice(0, 2).is_none() && pieces.slice(4_000, 200).is_none());
    assert!(tiles.in_memory() && !pieces.in_memory());
    let none = Source::from_pieces(Vec::new());
    assert_eq!((none.size(), none.slice(0, 1)), (0, None));
}

/// Returns bytes that are assembled and cut by position, with the expected result.
fn put_together(leaves: &[(Source, Vec<u8>)], random: &mut Lcg) -> (Source, Vec<u8>) {
    let mut all: Vec<(Source, Vec<u8>)> = leaves.to_vec();
    for _ in 0..8 {
        let made = if random.below(2) == 0 {
            let (source, bytes) = &all[random.below(all.len())];
            let start = random.below(bytes.len() + 1);
            let len = random.below(bytes.len() - start + 1);
            (source.range(start as u64, len as u64).unwrap(), bytes[start..start + len].to_vec())
        } else {
            let chosen: Vec<_> = (0..random.below(4)).map(|_| &all[random.below(all.len())]).collect();
            let bytes = chosen.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
            (Source::concat(chosen.iter().map(|(source, _)| source)).unwrap(), bytes)
        };
        assert_eq!(made.0.size(), made.1.len() as u64);
        all.push(made);
    }
    all.pop().unwrap()
}

struct Lcg(u64);

impl Lcg {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

#[test]
fn a_directory_is_refused_for_reading_and_for_changes() {
    let dir = tempfile::tempdir().unwrap();
    for error in
        [Source::open_file(dir.path()).unwrap_err(), super::open_for_repair(dir.path()).err().unwrap()]
    {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.message().ends_with("is a directory"), "{error}");
    }
}

#[test]
fn parts_read_as_the_bytes_that_they_are_made_of() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("parts.bin");
    let bytes = |salt: u32| (0..300_u32).map(|i| (i * salt + i / 7) as u8).collect::<Vec<u8>>();
    std::fs::write(&path, bytes(3)).unwrap();
    let leaves = [
        (Source::from_vec(bytes(1)), bytes(1)),
        (Source::open_file(&path).unwrap(), bytes(3)),
        (Source::from_reader(300, Cursor(bytes(5))), bytes(5)),
        #[cfg(feature = "streaming")]
        (mapped(&path), bytes(3)),
    ];
    let mut random = Lcg(9);
    for _ in 0..300 {
        let (source, wanted) = put_together(&leaves, &mut random);
        let mut out = vec![0; wanted.len()];
        source.read(0, &mut out).unwrap();
        assert_eq!(out, wanted);
        for _ in 0..5 {
            let start = random.below(wanted.len() + 1);
            let len = random.below(wanted.len() - start + 1);
            let mut out = vec![0; len];
            source.read(start as u64, &mut out).unwrap();
            assert_eq!(out, wanted[start..start + len]);
            let slices = [source.slice(start as u64, len), source.fixed_slice(start as u64, len)];
            assert!(slices.iter().flatten().all(|slice| *slice == out));
            let runs: Vec<_> = source.runs(start as u64, len as u64).collect();
            assert_eq!(runs.iter().map(|run| run.len).sum::<u64>(), len as u64);
            assert!(runs.iter().all(|run| !matches!(run.source.inner.kind, SourceKind::Parts(_))));
            source.advise_sequential(false);
            source.will_need(start as u64, u64::MAX);
            source.release(start as u64, u64::MAX);
        }
        assert_eq!(source.read(wanted.len() as u64, &mut [0]).unwrap_err().kind(), ErrorKind::OutOfRange);
    }
}

struct Cursor(Vec<u8>);

impl ReadAt for Cursor {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = offset as usize;
        buffer.copy_from_slice(&self.0[start..start + buffer.len()]);
        Ok(())
    }
}

#[test]
#[cfg_attr(windows, ignore = "a file has no identity there")]
fn places_of_bytes_are_known_through_parts_and_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("places.bin");
    let data: Vec<u8> = (0..1_000_u32).map(|i| (i % 251) as u8).collect();
    std::fs::write(&path, &data).unwrap();
    let open = || Source::open_file(&path).unwrap();
    let other = Source::from_vec(data.clone());
    let part = |source: &Source, start, len| source.range(start, len).unwrap();
    let mixed = Source::concat([&part(&open(), 500, 500), &other, &part(&open(), 0, 500)]).unwrap();
    // From a range of one handle to another handle, and to a source that is made of parts of the file.
    assert_eq!(part(&open(), 100, 50).place_in(&open(), 10, 20), Some(110));
    assert_eq!(open().place_in(&mixed, 600, 100), Some(100));
    assert_eq!(open().place_in(&mixed, 10, 400), Some(1_510));
    assert_eq!(other.place_in(&mixed, 3, 997), Some(503));
    assert_eq!(mixed.place_in(&mixed, 400, 300), Some(400), "over the edge of two parts");
    assert_eq!(mixed.place_in(&open(), 400, 200), None, "of two sources");
    assert_eq!(open().place_in(&mixed, 450, 100), None, "the parts are apart");
    assert_eq!(open().place_in(&part(&open(), 100, 50), 120, 40), None, "behind the end");
    assert_eq!(part(&other, 5, 5).place_in(&Source::from_vec(data), 0, 5), None, "equal and not the same");
    // The same bytes at the same offsets.
    assert!(part(&open(), 0, 10).is_same(&open()) && open().is_same(&part(&open(), 0, 10)));
    assert!(part(&open(), 7, 10).is_same(&part(&open(), 7, 20)));
    assert!(!part(&open(), 7, 10).is_same(&part(&open(), 8, 10)));
    assert!(mixed.is_same(&Source::concat([&part(&open(), 500, 500), &other]).unwrap()));
    assert!(!mixed.is_same(&open()) && !part(&open(), 0, 0).is_same(&open()));
    // Parts that were cut and joined again are the source itself.
    let whole = open();
    let joined = Source::concat([&part(&whole, 0, 3), &part(&whole, 3, 0), &part(&whole, 3, 997)]).unwrap();
    assert!(Arc::ptr_eq(&joined.inner, &whole.inner));
    assert_eq!(joined.file_identity(), whole.file_identity());
    assert_eq!(part(&whole, 1, 9).file_identity(), None);
}

#[test]
fn an_error_in_a_part_has_its_place_in_the_whole() {
    struct Broken;
    impl ReadAt for Broken {
        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Err(io::Error::from_raw_os_error(5))
        }
    }
    let broken = Source::from_reader(100, Broken);
    let whole = Source::concat([&Source::from_vec(vec![1; 50]), &broken.range(10, 20).unwrap()]).unwrap();
    let error = whole.read(40, &mut [0; 20]).unwrap_err();
    assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, 5));
    assert_eq!((error.offset(), error.length()), (Some(40), Some(20)));
    whole.read(0, &mut [0; 50]).unwrap();
    let error = broken.range(90, 11).unwrap_err();
    assert_eq!(error.message(), "range of 11 bytes at offset 90 is outside 0..100");
    let huge = Source::from_reader(u64::MAX, Broken);
    assert_eq!(Source::concat([&huge, &broken]).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn tiles_in_parts_of_memory_are_hashed_in_place() {
    let tile = TILE_SIZE;
    let memory = Source::from_vec(vec![3; 3 * tile]);
    let aligned = memory.range(5, 2 * TILE_BYTES).unwrap();
    assert!(aligned.in_memory() && aligned.is_fixed());
    assert!(aligned.fixed_slice(TILE_BYTES, tile).is_some());
    let cut = Source::concat([&aligned.range(0, 7).unwrap(), &memory]).unwrap();
    assert!(!cut.in_memory() && cut.fixed_slice(0, tile).is_none());
    let tiles = Source::from_tiles(vec![Buffer::zeros(tile).unwrap(), Buffer::zeros(9).unwrap()]).unwrap();
    assert!(tiles.range(TILE_BYTES, 9).unwrap().in_memory());
    assert!(!tiles.range(1, TILE_BYTES).unwrap().in_memory());
}

#[test]
fn a_release_runs_once_when_the_last_clone_is_gone() {
    static RELEASED: AtomicU32 = AtomicU32::new(0);
    let data = [1u8, 2, 3];
    let release = Box::new(|| {
        RELEASED.fetch_add(1, Ordering::Relaxed);
    });
    // SAFETY: `data` outlives the source.
    let source = unsafe { Source::borrow(data.as_ptr(), 3, Some(release)) };
    let second = source.clone();
    drop(source);
    assert_eq!(RELEASED.load(Ordering::Relaxed), 0);
    drop(second);
    assert_eq!(RELEASED.load(Ordering::Relaxed), 1);
}

#[test]
fn a_shrunk_file_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shrinks.bin");
    std::fs::write(&path, vec![1; 10_000]).unwrap();
    let source = Source::open_file(&path).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(5_000).unwrap();
    let error = source.read(0, &mut vec![0; 10_000]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let message = error.message();
    assert!(message.contains("shrinks.bin"), "{error}");
    assert!(message.ends_with("the file has 5000 bytes now and had 10000 when it was opened"), "{error}");
    assert_eq!((error.offset(), error.length()), (Some(0), Some(10_000)));
}

#[test]
fn a_read_that_fails_names_the_file_and_the_place() {
    let memory: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
    memory.write_at(0, b"0123456789").unwrap();
    // The first operation asks for the size, the second one is the first read.
    let failing =
        |nth| Source::from_storage(Arc::new(FailingStorage::new(memory.clone(), nth)), Path::new("a.bin"));
    let error = failing(0).unwrap_err();
    assert!(error.message().starts_with("reading the size of a.bin: "), "{error}");
    let source = failing(1).unwrap();
    let mut out = [0; 4];
    let error = source.read(5, &mut out).unwrap_err();
    assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, libc::ENOSPC));
    assert!(error.message().starts_with("reading 4 bytes at offset 5 of a.bin: "), "{error}");
    assert_eq!((error.offset(), error.length()), (Some(5), Some(4)));
    source.read(5, &mut out).unwrap();
    assert_eq!(&out, b"5678");
}

#[test]
fn missing_files_and_folders_are_io_errors_with_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let error = Source::open_file(dir.path().join("absent")).unwrap_err();
    assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, libc::ENOENT));
    assert!(error.message().contains("absent"));
    let error = Source::open_file(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    #[cfg(unix)]
    {
        let fifo = dir.path().join("fifo");
        let name = std::ffi::CString::new(fifo.to_str().unwrap()).unwrap();
        // SAFETY: a C string.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        assert_eq!(Source::open_file(&fifo).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn hints_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hinted.bin");
    let data: Vec<u8> = (0..3_000_001_u32).map(|i| (i % 251) as u8).collect();
    std::fs::write(&path, &data).unwrap();
    let mut sources = vec![Source::open_file(&path).unwrap()];
    // SAFETY: the test does not truncate the file.
    #[cfg(feature = "streaming")]
    sources.push(unsafe { Source::map_file(&path) }.unwrap());
    for source in sources.drain(..) {
        for (offset, len) in [(0, 1), (4_095, 2), (3_000_000, 1), (3_000_001, 1), (u64::MAX, u64::MAX)] {
            source.advise_sequential(false);
            source.will_need(offset, len);
            source.release(offset, len);
            source.advise_sequential(true);
        }
        let mut out = vec![0; data.len()];
        source.read(0, &mut out).unwrap();
        assert!(out == data);
    }
}

#[test]
fn a_reader_gets_initialised_memory_as_it_is() {
    struct Idle;
    impl ReadAt for Idle {
        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Ok(())
        }
    }
    let source = Source::from_reader(100, Idle);
    let mut out = [9; 4];
    source.read(7, &mut out).unwrap();
    assert_eq!(out, [9; 4]);
    assert_eq!(source.read(97, &mut out).unwrap_err().kind(), ErrorKind::OutOfRange);
    let mut out = [9; 4];
    // SAFETY: four bytes that nothing else uses meanwhile.
    source.read_raw(7, unsafe { OutBytes::from_raw(out.as_mut_ptr(), 4) }).unwrap();
    assert_eq!(out, [0; 4]);
}

#[test]
fn a_failing_reader_is_an_io_error_with_its_number() {
    let source = Source::from_reader(100, Failing(AtomicU32::new(0)));
    let mut out = [0; 4];
    source.read(9, &mut out).unwrap();
    assert_eq!(out, [9; 4]);
    let error = source.read(9, &mut out).unwrap_err();
    assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, 5));
}
