//! Memory of R96, counted allocation by allocation. One test, since it counts the process.
#![allow(missing_docs, clippy::cast_possible_truncation, clippy::unwrap_used)]

mod counting;

use atlas_manifold::{
    AtlasProjection, AtlasReconstruction, Operation, Pool, Progress, ProjectionOptions, ProjectionType,
    ReconstructionOptions, Source, TILE_SIZE,
};
use counting::most;
use std::time::Duration;

fn project(data: &[u8], k: u8, operation: &mut Operation<'_>) -> AtlasProjection {
    let source = Source::copy(data).unwrap();
    let options = ProjectionOptions::new().with_data_classes(k);
    AtlasProjection::create(ProjectionType::R96Fourier, &source, &options, operation).unwrap()
}

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 37 + i / 253) as u8).collect()
}

#[test]
fn memory_is_bounded() {
    small_k_is_worked_on_in_slices();
    a_spool_is_no_slower_than_its_callback();
}

/// A tile has 5,042 blocks for K = 1, and 108 MB of classes.
fn small_k_is_worked_on_in_slices() {
    let data = data(TILE_SIZE + 70_000);
    // One worker, with little to spare, and the classes that come of it.
    let limit = 5 << 20;
    let limited = || Operation::sequential().with_memory_limit(limit as u64);
    let (projection, taken) = most(|| project(&data, 1, &mut limited()));
    // The copy of the bytes is the caller's.
    assert!(taken <= data.len() + limit, "projecting took {taken} bytes");
    let (shards, taken) = most(|| projection.extract_classes(None, &[17], &mut limited()).unwrap());
    assert!(taken <= limit, "extracting took {taken} bytes");
    assert_eq!(shards[0].data().len(), 224 * (TILE_SIZE.div_ceil(208) + 70_000usize.div_ceil(208)));
}

/// Whoever reports progress slowly does not make decoded tiles pile up.
fn a_spool_is_no_slower_than_its_callback() {
    const TILES: usize = 32;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("domain");
    let data = data(TILES * TILE_SIZE);
    let projection = project(&data, 64, &mut Operation::new());
    let classes: Vec<u8> = (20..84).collect();
    let shards = projection.extract_classes(None, &classes, &mut Operation::new()).unwrap();
    let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new().with_spool(&path)).unwrap();
    let (last, first) = shards.split_last().unwrap();
    for shard in first {
        rebuilt.add(shard, &mut Operation::new()).unwrap();
    }
    let pool = Pool::new(3).unwrap();
    let mut slow = |progress: &Progress| {
        // The tiles come after those that are verified.
        if progress.chunks_done > TILES as u64 {
            std::thread::sleep(Duration::from_millis(40));
        }
        true
    };
    let mut operation = Operation::new().with_pool(&pool).with_progress(&mut slow);
    let ((), taken) = most(|| rebuilt.add(last, &mut operation).unwrap());
    assert!(taken <= 3 * 4 * TILE_SIZE, "decoding {TILES} tiles took {taken} bytes");
    drop(rebuilt.finish(&mut Operation::new()).unwrap());
    assert!(std::fs::read(&path).unwrap() == data);
}
