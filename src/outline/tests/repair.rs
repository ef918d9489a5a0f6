//! Repairs of files.

use super::*;
use crate::base::in_place::fakes::CachedDisk;
use crate::outline::repair::repair;

/// Outcome of a repair, and its reports.
fn repaired(
    projection: &AtlasProjection,
    file: &dyn Storage,
    regions: Option<&[AtlasBoundaryRegion]>,
    mut accept: impl FnMut(&Damage) -> bool,
) -> (Vec<Damage>, Result<()>) {
    let mut list = Vec::new();
    let mut each = |damage: &Damage| {
        list.push(*damage);
        accept(damage)
    };
    let mut operation = Operation::new().with_pool(&POOL);
    let status = repair(projection, Path::new("copy"), file, regions, &mut each, &mut operation);
    assert!(list.iter().all(|damage| damage.length <= TILE_SIZE as u64));
    (list, status)
}

fn storage_of(bytes: &[u8]) -> Arc<MemoryStorage> {
    let storage = Arc::new(MemoryStorage::default());
    storage.write_at(0, bytes).unwrap();
    storage
}

fn bytes_of(storage: &dyn Storage) -> Vec<u8> {
    let mut bytes = vec![0; storage.len().unwrap() as usize];
    storage.read_at(0, OutBytes::new(&mut bytes)).unwrap();
    bytes
}

/// Ranges of the model, cut at tiles.
fn by_tile(list: Vec<(u64, u64, DamageKind)>) -> Vec<(u64, u64, DamageKind)> {
    let tile = TILE_SIZE as u64;
    let mut cut = Vec::new();
    for (offset, length, kind) in list {
        let mut at = offset;
        while at < offset + length {
            let end = ((at / tile + 1) * tile).min(offset + length);
            cut.push((at, end - at, kind));
            at = end;
        }
    }
    cut
}

#[test]
fn a_repair_asks_for_what_is_damaged_and_for_nothing_else() {
    let len = 3 * TILE_SIZE + 20_001;
    for chains in [true, false] {
        let outline = Outline::new(random_bytes(len, 21), chains);
        let projection = outline.projection();
        let mut random = Random(31);
        for round in 0..20 {
            let damaged: BTreeSet<usize> =
                (0..random.below(9)).map(|_| random.below(len as u64) as usize).collect();
            // The file is shorter or longer than the domain, or has the same length.
            let size = match round % 4 {
                0 => random.below(len as u64) as usize,
                1 => len + 777,
                _ => len,
            };
            let mut bytes = outline.data.clone();
            bytes.resize(len + 777, 0x77);
            damaged.iter().for_each(|byte| bytes[*byte] ^= 0xff);
            bytes.truncate(size);
            let file = storage_of(&bytes);
            outline.base.change(|bytes| bytes.asked.clear());
            let (list, status) = repaired(&projection, &*file, None, |damage| {
                assert!(damage.repairable);
                true
            });
            status.unwrap();
            let wanted = by_tile(model(len, chains, None, |unit| {
                let missing = (unit.end > size).then_some(DamageKind::Missing);
                missing.or_else(|| differs(&damaged)(unit))
            }));
            assert_eq!(ranges(&list), wanted);
            let mut result = outline.data.clone();
            result.extend(bytes.get(len..).unwrap_or_default());
            assert!(bytes_of(&*file) == result);
            // The base was asked for these ranges, each once.
            let mut asked = std::mem::take(&mut lock(&outline.base.0).asked);
            asked.sort_by_key(|range| range.start);
            let of_list: Vec<_> = wanted.iter().map(|(offset, length, _)| *offset..offset + length).collect();
            assert_eq!(asked, of_list);
            // Nothing is left to do.
            let (list, status) = repaired(&projection, &*file, None, |_| true);
            assert!(list.is_empty() && status.is_ok());
            assert!(lock(&outline.base.0).asked.is_empty());
        }
    }
}

#[test]
fn a_base_that_lies_in_every_byte_changes_nothing() {
    let len = 2 * TILE_SIZE + 40_000;
    for chains in [true, false] {
        let outline = Outline::new(random_bytes(len, 22), chains);
        let projection = outline.projection();
        outline.base.change(|bytes| bytes.data.iter_mut().for_each(|byte| *byte = !*byte));
        let mut bytes = outline.data.clone();
        [5, 70_000, TILE_SIZE + 9, len - 1].iter().for_each(|byte| bytes[*byte] ^= 1);
        let file = storage_of(&bytes);
        let (list, status) = repaired(&projection, &*file, None, |damage| {
            assert!(!damage.repairable);
            true
        });
        assert_eq!(status.unwrap_err().kind(), ErrorKind::Witness);
        assert_eq!(list.len(), if chains { 4 } else { 3 });
        assert!(bytes_of(&*file) == bytes);
        // A base with a single right group repairs only this group.
        if chains {
            let good = 5 * GROUP_SIZE..6 * GROUP_SIZE;
            outline
                .base
                .change(|bytes| bytes.data[good.clone()].copy_from_slice(&outline.data[good.clone()]));
            let file = storage_of(&vec![0x11; len]);
            let (list, status) = repaired(&projection, &*file, None, |_| true);
            assert_eq!(status.unwrap_err().kind(), ErrorKind::Witness);
            let right: Vec<_> = list.iter().filter(|damage| damage.repairable).collect();
            assert_eq!((right.len(), right[0].offset, right[0].length), (1, 5 * 16_384, 16_384));
            let mut wanted = vec![0x11; len];
            wanted[good.clone()].copy_from_slice(&outline.data[good]);
            assert!(bytes_of(&*file) == wanted);
        }
    }
}

#[test]
fn refused_ranges_and_those_outside_the_regions_stay() {
    let len = 3 * TILE_SIZE;
    let outline = Outline::new(random_bytes(len, 23), true);
    let projection = outline.projection();
    let mut bytes = outline.data.clone();
    [3, 40_000, TILE_SIZE + 1, 2 * TILE_SIZE + 1].iter().for_each(|byte| bytes[*byte] ^= 1);
    let file = storage_of(&bytes);
    let regions = [AtlasBoundaryRegion::new(2 * TILE_SIZE as u64 + 9, 1), AtlasBoundaryRegion::new(0, 1)];
    let (list, status) = repaired(&projection, &*file, Some(&regions), |damage| damage.offset != 32_768);
    assert_eq!(
        ranges(&list).iter().map(|range| range.0).collect::<Vec<_>>(),
        [0, 32_768, 2 * TILE_SIZE as u64]
    );
    let error = status.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Witness);
    assert!(error.message().contains("2 ranges were repaired, 1 were refused"), "{error}");
    let mut wanted = outline.data.clone();
    [40_000, TILE_SIZE + 1].iter().for_each(|byte| wanted[*byte] ^= 1);
    assert!(bytes_of(&*file) == wanted);
}

#[test]
fn a_failure_leaves_its_range_and_the_repair_goes_on() {
    let len = 4 * TILE_SIZE;
    let outline = Outline::new(random_bytes(len, 24), true);
    let projection = outline.projection();
    let places = [3, TILE_SIZE + 1, 2 * TILE_SIZE + 1, 3 * TILE_SIZE + 1];
    let mut bytes = outline.data.clone();
    places.iter().for_each(|byte| bytes[*byte] ^= 1);
    // Good bytes that cannot be read.
    outline
        .base
        .change(|bytes| bytes.broken = vec![(TILE_SIZE as u64..TILE_SIZE as u64 + 10, libc::ETIMEDOUT)]);
    let file = storage_of(&bytes);
    let (list, status) = repaired(&projection, &*file, None, |_| true);
    let error = status.unwrap_err();
    assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, libc::ETIMEDOUT));
    assert_eq!((error.index(), list.len()), (Some(1), 4));
    assert_eq!((list[1].repairable, list[1].os_error), (false, libc::ETIMEDOUT));
    let mut wanted = outline.data.clone();
    wanted[TILE_SIZE + 1] ^= 1;
    assert!(bytes_of(&*file) == wanted);
    // The same without a base.
    outline.container.set_base(None).unwrap();
    let (list, status) = repaired(&outline.projection(), &*storage_of(&bytes), None, |_| true);
    assert_eq!(status.unwrap_err().kind(), ErrorKind::Incomplete);
    assert!(list.len() == 4 && list.iter().all(|damage| !damage.repairable));
    outline.container.set_base(None).unwrap();
    let (_, status) = repaired(&outline.projection(), &*storage_of(&outline.data), None, |_| true);
    status.unwrap();
}

#[test]
fn an_operation_that_fails_at_any_place_leaves_right_bytes_or_old_ones() {
    let len = 2 * TILE_SIZE + 100;
    let outline = Outline::new(random_bytes(len, 25), true);
    let projection = outline.projection();
    let mut bytes = outline.data.clone();
    [3, 40_000, TILE_SIZE + 1, len - 1].iter().for_each(|byte| bytes[*byte] ^= 1);
    bytes.truncate(len - 50);
    let mut ends = BTreeSet::new();
    for nth in 0.. {
        let memory = storage_of(&bytes);
        let file = FailingStorage::new(Arc::clone(&memory) as Arc<dyn Storage>, nth);
        let (_, status) = repaired(&projection, &file, None, |_| true);
        let now = bytes_of(&*memory);
        for (at, byte) in now.iter().enumerate() {
            let old = bytes.get(at).copied().unwrap_or(0);
            assert!(*byte == outline.data[at] || *byte == old, "byte {at} after operation {nth}");
        }
        ends.insert(status.as_ref().err().map(AtlasError::kind).map(|kind| kind == ErrorKind::Io));
        // The next call continues.
        let (_, again) = repaired(&projection, &*memory, None, |_| true);
        again.unwrap();
        assert!(bytes_of(&*memory) == outline.data);
        if nth > 20 && status.is_ok() {
            break;
        }
    }
    // A read that fails once is damage that is repaired; a failed write or flush is an error.
    assert_eq!(ends, BTreeSet::from([None, Some(true)]));
}

/// After a flush that failed, Linux takes pages for written that are not on the disk.
#[test]
fn after_a_failed_flush_the_next_repair_writes_again() {
    let outline = Outline::new(random_bytes(2 * TILE_SIZE + 5, 28), true);
    let mut bytes = outline.data.clone();
    bytes[TILE_SIZE + 9] ^= 1;
    bytes[70_000] ^= 1;
    for failing in 1..4 {
        let disk = CachedDisk::new(&bytes, failing, 1);
        let (first, status) = repaired(&outline.projection(), &disk, None, |_| true);
        let error = status.unwrap_err();
        assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, libc::EIO), "{error}");
        assert!(disk.disk() == bytes);
        let (second, status) = repaired(&outline.projection(), &disk, None, |_| true);
        status.unwrap();
        assert!(disk.disk() == outline.data, "the repair said OK, and the disk has the damage");
        assert_eq!((first.len(), second), (2, first));
    }
}

#[test]
fn a_repair_that_is_cancelled_has_done_what_it_reported() {
    let len = 5 * TILE_SIZE;
    let outline = Outline::new(random_bytes(len, 26), false);
    let projection = outline.projection();
    let file = storage_of(&vec![0; len]);
    let mut done = 0;
    let mut progress = |progress: &Progress| {
        done = progress.bytes_done;
        progress.chunks_done < 2
    };
    let mut operation = Operation::new().with_progress(&mut progress);
    let status = repair(&projection, Path::new("x"), &*file, None, &mut |_| true, &mut operation);
    assert_eq!((status.unwrap_err().kind(), done), (ErrorKind::Cancelled, 2 * TILE_SIZE as u64));
    let bytes = bytes_of(&*file);
    assert!(bytes[..2 * TILE_SIZE] == outline.data[..2 * TILE_SIZE]);
    assert!(bytes[2 * TILE_SIZE..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_file_that_has_the_bytes_elsewhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.bin");
    let data = random_bytes(2 * TILE_SIZE + 5_000, 27);
    let write = || {
        let mut bytes = data.clone();
        bytes[100] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
    };
    let outline = |source: &Source, chains| {
        std::fs::write(&path, &data).unwrap();
        let own = dir.path().join(format!("{chains}.atlas"));
        drop(std::fs::remove_file(&own));
        let container = container(&own, Some(source), chains);
        container.import(source, &CommitOptions::default(), &mut Operation::new()).unwrap();
        write();
        (own, container.snapshot(0, false, &mut Operation::new()).unwrap())
    };
    let refused = |projection: &AtlasProjection, path: &Path| {
        let before = std::fs::read(path).unwrap();
        let mut never = |_: &Damage| unreachable!("nothing is looked at");
        let error = projection.repair_file(path, None, &mut never, &mut Operation::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(std::fs::read(path).unwrap() == before);
        error
    };
    for chains in [false, true] {
        std::fs::write(&path, &data).unwrap();
        let file = Source::open_file(&path).unwrap();
        // Bytes of the file at their own offset are allowed. They do not help and do no harm.
        let (own, projection) = outline(&file, chains);
        let error = projection.repair_file(&path, None, &mut |_| true, &mut Operation::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Witness);
        refused(&projection, &own);
        // Shifted bytes, as a range and as the second part of a concatenation.
        let shifted = file.range(4_096, file.size() - 4_096).unwrap();
        let error = refused(&outline(&shifted, chains).1, &path);
        assert_eq!(error.offset(), Some(0));
        let before = Source::from_vec(vec![1; TILE_SIZE]);
        let error = refused(&outline(&Source::concat([&before, &file]).unwrap(), chains).1, &path);
        assert_eq!(error.offset(), Some(TILE_SIZE as u64));
    }
    // In memory, after an edit that moves the bytes.
    let projection = AtlasProjection::linear(&Source::open_file(&path).unwrap()).unwrap();
    assert!(projection.repair_file(&path, None, &mut |_| true, &mut Operation::new()).is_ok());
    projection.apply_incremental_update(crate::ProjectionDelta::insert(10, vec![1])).unwrap();
    assert_eq!(refused(&projection, &path).offset(), Some(11));
    // Neither a folder nor a missing file is accepted.
    let error = projection.repair_file(dir.path(), None, &mut |_| true, &mut Operation::new()).unwrap_err();
    assert!([ErrorKind::InvalidArgument, ErrorKind::Io].contains(&error.kind()));
    let absent = dir.path().join("absent");
    let error = projection.repair_file(&absent, None, &mut |_| true, &mut Operation::new()).unwrap_err();
    assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, libc::ENOENT));
    assert!(!absent.exists());
}

#[test]
fn classes_are_found_and_repaired_too() {
    let data = random_bytes(TILE_SIZE + 10_000, 28);
    let options = ProjectionOptions::new().with_data_classes(90);
    let source = Source::from_vec(data.clone());
    let projection =
        AtlasProjection::create(ProjectionType::R96Fourier, &source, &options, &mut Operation::new())
            .unwrap();
    assert!(found(&projection, None).1.is_ok());
    let mut bytes = data[..TILE_SIZE + 9_000].to_vec();
    bytes[4_000] ^= 1;
    let file = storage_of(&bytes);
    let (list, status) = repaired(&projection, &*file, None, |_| true);
    status.unwrap();
    let wanted =
        [(0, TILE_SIZE as u64, DamageKind::Differs), (TILE_SIZE as u64, 10_000, DamageKind::Missing)];
    assert_eq!(ranges(&list), wanted);
    assert!(bytes_of(&*file) == data);
}
