//! Sparse files: holes are compared without a read.

use super::*;
use crate::base::storage::fakes::SparseStorage;
use crate::outline::repair::repair;

const M: u64 = TILE_SIZE as u64;

/// A sparse file of ten tiles and a part, with data in the second, the sixth and the last one.
fn sparse() -> Arc<SparseStorage> {
    let data = [(M + 5, 100), (5 * M, TILE_SIZE), (10 * M + 7, 3)];
    let data = data.iter().map(|(at, len)| (*at, random_bytes(*len, *at))).collect();
    Arc::new(SparseStorage::new(10 * M + 99, data))
}

/// The tiles that were read since the last call.
fn read(storage: &SparseStorage) -> Vec<u64> {
    let reads = std::mem::take(&mut *lock(&storage.reads));
    let tiles: BTreeSet<u64> = reads.iter().flat_map(|(at, len)| at / M..(at + len).div_ceil(M)).collect();
    tiles.into_iter().collect()
}

struct Case {
    _dir: tempfile::TempDir,
    _container: Container,
    base: Arc<SparseStorage>,
    projection: AtlasProjection,
}

fn case(keep_chains: bool) -> Case {
    let (dir, base) = (tempfile::tempdir().unwrap(), sparse());
    let source =
        Source::from_storage(Arc::clone(&base) as Arc<dyn Storage>, Path::new("sparse.bin")).unwrap();
    let container = container(&dir.path().join("o.atlas"), Some(&source), keep_chains);
    container.import(&source, &CommitOptions::default(), &mut Operation::sequential()).unwrap();
    let projection = container.snapshot(0, false, &mut Operation::sequential()).unwrap();
    read(&base);
    Case { _dir: dir, _container: container, base, projection }
}

#[test]
fn a_search_for_damage_reads_no_hole() {
    for keep_chains in [false, true] {
        let Case { base, projection, .. } = &case(keep_chains);
        let (list, status) = found(projection, None);
        status.unwrap();
        assert!(list.is_empty());
        assert_eq!(read(base), [1, 5, 10]);
        let (_, status) = found(projection, Some(&[AtlasBoundaryRegion::new(3 * M, 3 * M)]));
        status.unwrap();
        assert_eq!(read(base), [5]);
        // Data in a hole, and a hole in place of data.
        *lock(&base.data) = vec![(M + 5, random_bytes(100, M + 5)), (3 * M + 17, vec![1])];
        let (list, status) = found(projection, None);
        assert_eq!(status.unwrap_err().kind(), ErrorKind::Witness);
        let group = GROUP_SIZE as u64;
        let wanted = match keep_chains {
            false => vec![(3 * M, M), (5 * M, M), (10 * M, 99)],
            true => vec![(3 * M, group), (5 * M, M), (10 * M, 99)],
        };
        assert_eq!(list.iter().map(|found| (found.offset, found.length)).collect::<Vec<_>>(), wanted);
        // Holes where data is expected are read to find the groups that differ.
        assert_eq!(read(base), [1, 3, 5, 10]);
    }
}

#[test]
fn a_repair_reads_no_hole_of_the_file() {
    for keep_chains in [false, true] {
        let Case { base, projection, .. } = &case(keep_chains);
        let mut operation = Operation::new().with_pool(&POOL);
        let file = sparse();
        repair(projection, Path::new("file"), &*file, None, &mut |_| true, &mut operation).unwrap();
        assert_eq!((read(&file), read(base)), (vec![1, 5, 10], vec![]));
        // This file of 8 MiB cannot grow: the tiles after its end are missing, and their repair fails.
        let short = SparseStorage::new(8 * M, lock(&file.data).clone());
        let mut list = Vec::new();
        let mut each = |damage: &Damage| {
            list.push((damage.offset / M, damage.kind));
            true
        };
        let refused = repair(projection, Path::new("short"), &short, None, &mut each, &mut operation);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(list, [8, 9, 10].map(|tile| (tile, DamageKind::Missing)));
    }
}

/// A real file, whose holes are filled by the repair.
#[cfg(target_os = "linux")]
#[test]
fn a_sparse_copy_is_repaired() {
    use std::os::unix::fs::FileExt;
    let Case { _dir: dir, projection, .. } = &case(true);
    let path = dir.path().join("copy.bin");
    let file = std::fs::File::create_new(&path).unwrap();
    file.set_len(10 * M + 99).unwrap();
    file.write_all_at(&[1; 10], 7 * M).unwrap();
    let mut count = 0_u64;
    let mut each = |_: &Damage| {
        count += 1;
        true
    };
    projection.repair_file(&path, None, &mut each, &mut Operation::new()).unwrap();
    // The runs of groups with data, and the group that should have zeros.
    assert_eq!(count, 4);
    projection.repair_file(&path, None, &mut |_| false, &mut Operation::new()).unwrap();
    let mut bytes = vec![0; (10 * M + 99) as usize];
    projection.read(0, &mut bytes).unwrap();
    assert!(std::fs::read(&path).unwrap() == bytes);
}
