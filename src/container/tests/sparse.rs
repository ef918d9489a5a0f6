//! Sparse sources compared with dense sources of the same bytes: the results are equal, and only data is
//! read.

use super::device::Random;
use super::import::{created, same_files};
use super::*;
use crate::ErrorKind;
use crate::base::storage::Storage;
use crate::base::storage::fakes::SparseStorage;
use crate::base::units::{TILE_BYTES, TILE_SIZE};
use crate::shard::AtlasBoundaryRegion;
use crate::streaming::{StreamingConfig, stream_projection};
use crate::tile::options::ProjectionOptions;
use std::collections::BTreeSet;
use std::path::Path;

const M: u64 = TILE_BYTES;

struct Sparse {
    source: Source,
    dense: Source,
    storage: Arc<SparseStorage>,
    /// Tiles with data.
    tiles: Vec<u64>,
}

fn sparse(len: u64, data: &[(u64, usize)], seed: u64) -> Sparse {
    let mut random = Random(seed);
    let data: Vec<(u64, Vec<u8>)> = data.iter().map(|(at, len)| (*at, random.bytes(*len))).collect();
    let mut bytes = vec![0; len as usize];
    let mut tiles = BTreeSet::new();
    for (at, part) in &data {
        bytes[*at as usize..*at as usize + part.len()].copy_from_slice(part);
        tiles.extend(at / M..(at + part.len() as u64).div_ceil(M));
    }
    let storage = Arc::new(SparseStorage::new(len, data));
    let as_storage = Arc::clone(&storage) as Arc<dyn Storage>;
    let source = Source::from_storage(as_storage, Path::new("sparse.bin")).unwrap();
    Sparse { source, dense: Source::from_vec(bytes), storage, tiles: tiles.into_iter().collect() }
}

impl Sparse {
    /// The tiles that were read since the last call.
    fn read(&self) -> Vec<u64> {
        let reads = std::mem::take(&mut *lock(&self.storage.reads));
        let tiles: BTreeSet<u64> =
            reads.iter().flat_map(|(at, len)| at / M..(at + len).div_ceil(M)).collect();
        tiles.into_iter().collect()
    }
}

/// Data at edges of tiles, in the last tile or not, or none at all.
fn layouts() -> Vec<Sparse> {
    vec![
        sparse(70 * M + 77, &[(3 * M - 1, 2), (40 * M + 5, 100), (70 * M + 70, 1)], 1),
        sparse(70 * M + 77, &[(0, 5), (31 * M, TILE_SIZE), (32 * M, 3 * TILE_SIZE)], 2),
        sparse(34 * M, &[(33 * M, TILE_SIZE)], 3),
        sparse(5 * M + 1, &[], 4),
        sparse(1, &[], 5),
    ]
}

#[test]
fn sparse_sources_are_projected_streamed_and_verified_by_their_data() {
    let key = [9; 32];
    let kinds = [
        (ProjectionType::Linear, ProjectionOptions::new()),
        (ProjectionType::Linear, ProjectionOptions::new().with_key(&key)),
        (ProjectionType::R96Fourier, ProjectionOptions::new().with_data_classes(64)),
    ];
    for sparse in layouts() {
        for (kind, options) in &kinds {
            if *kind == ProjectionType::R96Fourier && sparse.source.size() > 40 * M {
                continue;
            }
            let dense =
                AtlasProjection::create(*kind, &sparse.dense, options, &mut Operation::new()).unwrap();
            let root = dense.root(&mut Operation::new()).unwrap();
            let projection =
                AtlasProjection::create(*kind, &sparse.source, options, &mut Operation::new()).unwrap();
            assert_eq!(sparse.read(), sparse.tiles);
            assert_eq!(projection.root(&mut Operation::new()).unwrap(), root);
            projection.verify(&mut Operation::new()).unwrap();
            assert_eq!(sparse.read(), sparse.tiles);
            assert!(bytes_of(&projection).unwrap() == bytes_of(&dense).unwrap());
            sparse.read();
            let chunks: &[u64] =
                if cfg!(feature = "streaming") { &[64 << 10, 1 << 20, 3 << 20, 64 << 20] } else { &[] };
            for &chunk in chunks {
                let config = StreamingConfig::new(chunk, 3).unwrap();
                let mut calls = Vec::new();
                let mut note = |progress: &crate::Progress| {
                    calls.push((progress.bytes_done, progress.bytes_total));
                    true
                };
                let operation = &mut Operation::new().with_progress(&mut note);
                let streamed = stream_projection(&sparse.source, *kind, options, config, operation).unwrap();
                assert_eq!(streamed.root(&mut Operation::new()).unwrap(), root);
                assert_eq!(sparse.read(), sparse.tiles);
                assert_eq!(calls.len() as u64, sparse.source.size().div_ceil(chunk));
                assert!(calls.is_sorted() && calls.last().unwrap().0 == sparse.source.size());
            }
        }
    }
}

#[test]
fn imports_of_sparse_sources_are_those_of_the_dense_ones() {
    for (number, sparse) in layouts().iter().enumerate() {
        for is_outline in [false, true] {
            for keep_chains in [false, true] {
                let dir = tempfile::tempdir().unwrap();
                let one = created(dir.path(), "one", keep_chains);
                let other = created(dir.path(), "other", keep_chains);
                let options = CommitOptions::default();
                for (container, source) in [(&one, &sparse.source), (&other, &sparse.dense)] {
                    container.set_base(is_outline.then_some(source)).unwrap();
                    sparse.read();
                    let mut seen = (0, 0);
                    let mut note = |progress: &crate::Progress| {
                        assert!(progress.bytes_done >= seen.0 && progress.chunks_done > seen.1);
                        seen = (progress.bytes_done, progress.chunks_done);
                        true
                    };
                    let operation = &mut Operation::new().with_progress(&mut note);
                    container.import(source, &options, operation).unwrap();
                    assert_eq!(seen, (source.size(), source.size().div_ceil(M)));
                }
                assert_eq!(sparse.read(), [0_u64; 0], "the dense one was last");
                // Import the source again, and then a part of it: every tile is stored already.
                for (container, source) in [(&other, &sparse.dense), (&one, &sparse.source)] {
                    container.import(source, &options, &mut Operation::new()).unwrap();
                    if std::ptr::eq(container, &raw const one) {
                        assert_eq!(sparse.read(), sparse.tiles, "layout {number}");
                    }
                    let regions = [AtlasBoundaryRegion::new(0, source.size().min(35 * M))];
                    container.import_regions(source, &regions, &options, &mut Operation::new()).unwrap();
                }
                let within: Vec<u64> = sparse.tiles.iter().copied().filter(|tile| *tile < 35).collect();
                assert_eq!(sparse.read(), within, "layout {number}");
                same_files(dir.path(), "one", "other");
                one.find_damage(0, &mut |_| true, &mut Operation::new()).unwrap();
                let data = if is_outline { &sparse.tiles[..] } else { &[] };
                assert_eq!(sparse.read(), data, "layout {number}");
                one.snapshot(0, true, &mut Operation::new()).unwrap().verify(&mut Operation::new()).unwrap();
                assert_eq!(sparse.read(), data, "layout {number}");
            }
        }
    }
}

#[test]
fn a_hole_that_was_filled_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let sparse = sparse(9 * M, &[(5 * M, 10)], 1);
    let container = created(dir.path(), "outline", false);
    container.set_base(Some(&sparse.source)).unwrap();
    container.import(&sparse.source, &CommitOptions::default(), &mut Operation::new()).unwrap();
    let snapshot = container.snapshot(0, false, &mut Operation::new()).unwrap();
    snapshot.verify(&mut Operation::new()).unwrap();
    lock(&sparse.storage.data).insert(0, (2 * M + 9, vec![1]));
    let error = snapshot.verify(&mut Operation::new()).unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(2)));
    let error = container.find_damage(0, &mut |_| true, &mut Operation::new()).unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(2)));
    // The same with a tile whose data became a hole.
    *lock(&sparse.storage.data) = Vec::new();
    let error = snapshot.verify(&mut Operation::new()).unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(5)));
    let error = container.find_damage(0, &mut |_| true, &mut Operation::new()).unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(5)));
}

#[cfg(target_os = "linux")]
fn timed(what: &str, call: &mut dyn FnMut()) {
    let begin = std::time::Instant::now();
    call();
    tell(&format!("{what}: {:?}", begin.elapsed()));
}

/// Prints the time and memory of a real sparse file.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "measures; give it one thread and an idle machine"]
fn what_a_sparse_file_costs() {
    use std::os::unix::fs::FileExt;
    let dir = tempfile::tempdir_in("target").unwrap();
    let path = dir.path().join("sparse.bin");
    let file = std::fs::File::create(&path).unwrap();
    let data = Random(1).bytes(64 << 20);
    for (name, size) in
        [("64 MiB", 64 << 20), ("16 GiB with 64 MiB", 16 << 30), ("1 TiB with 64 MiB", 1 << 40)]
    {
        for part in 0..64_u64 {
            file.write_all_at(&data[part as usize * TILE_SIZE..][..TILE_SIZE], size / 64 * part).unwrap();
        }
        file.set_len(size).unwrap();
        let source = Source::open_file(&path).unwrap();
        let mut projection = None;
        for _ in 0..2 {
            timed(&format!("{name}, projected"), &mut || {
                let (kind, options) = (ProjectionType::Linear, ProjectionOptions::new());
                projection =
                    Some(AtlasProjection::create(kind, &source, &options, &mut Operation::new()).unwrap());
            });
        }
        let root = projection.unwrap().root(&mut Operation::new()).unwrap();
        let container = created(dir.path(), "outline", false);
        container.set_base(Some(&source)).unwrap();
        timed(&format!("{name}, imported"), &mut || {
            container.import(&source, &CommitOptions::default(), &mut Operation::new()).unwrap();
        });
        assert_eq!(container.generation(0).unwrap().root, root);
        let snapshot = container.snapshot(0, false, &mut Operation::new()).unwrap();
        timed(&format!("{name}, verified"), &mut || snapshot.verify(&mut Operation::new()).unwrap());
        timed(&format!("{name}, searched for damage"), &mut || {
            container.find_damage(0, &mut |_| true, &mut Operation::new()).unwrap();
        });
        std::fs::remove_file(dir.path().join("outline")).unwrap();
        file.set_len(0).unwrap();
    }
}

/// The largest file of ext4, in a container of some 850 MB.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "writes 850 MB"]
fn what_the_largest_sparse_file_costs() {
    let dir = tempfile::tempdir_in("target").unwrap();
    let path = dir.path().join("sparse.bin");
    if std::fs::File::create(&path).unwrap().set_len((16 << 40) - (1 << 30)).is_err() {
        return;
    }
    let source = Source::open_file(&path).unwrap();
    let container = created(dir.path(), "outline", false);
    container.set_base(Some(&source)).unwrap();
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let (before, mut most, mut calls) = (resident(), 0, 0_u64);
    timed("16 TiB - 1 GiB, imported", &mut || {
        let mut note = |_: &crate::Progress| {
            calls += 1;
            if calls.is_multiple_of(1 << 18) {
                most = most.max(resident());
            }
            true
        };
        let operation = &mut Operation::new().with_progress(&mut note);
        container.import(&source, &CommitOptions::default(), operation).unwrap();
    });
    let size = container.info().unwrap().file_size;
    tell(&format!("{} KiB of memory, {size} bytes", most.saturating_sub(before)));
    assert_eq!(container.generation(0).unwrap().tile_count, (16 << 20) - (1 << 10));
}
