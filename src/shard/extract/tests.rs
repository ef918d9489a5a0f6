use super::*;
use crate::shard::tests::{data, extract, project, region};
use crate::{ErrorKind, ProjectionOptions, Source, TILE_SIZE};

#[test]
fn all_strategies_give_the_same_shards() {
    let data = data(5 * TILE_SIZE + 12_345);
    let projection = project(&data);
    let mut regions = vec![region(0, data.len()), region(100, 0), region(data.len(), 0)];
    for i in 0..300 {
        let offset = (i * 104_729) % data.len();
        regions.push(region(offset, (i * 7_919 % 50_000).min(data.len() - offset)));
    }
    let pool = crate::Pool::new(3).unwrap();
    let encode = |shards: Vec<AtlasShard>| -> Vec<Vec<u8>> {
        shards.iter().map(|shard| shard.serialize().unwrap()).collect()
    };
    let one_by_one: Vec<AtlasShard> = regions.iter().map(|r| extract(&projection, *r)).collect();
    let want = encode(one_by_one);
    for strategy in [
        ParallelStrategy::Sequential,
        ParallelStrategy::Default,
        ParallelStrategy::Pool,
        ParallelStrategy::Chunked(1),
        ParallelStrategy::Chunked(7),
        ParallelStrategy::Chunked(1_000),
        ParallelStrategy::WorkStealing,
    ] {
        for threads in [0, 1, 2, 64] {
            let options = ExtractOptions::new().with_strategy(strategy).with_max_threads(threads);
            // A fresh snapshot of the bytes, so that outboards are cold and warm in turn.
            for projection in [&project(&data), &projection] {
                let shards = projection
                    .extract_shards(&regions, &options, &mut Operation::new().with_pool(&pool))
                    .unwrap();
                assert_eq!(encode(shards), want, "{strategy:?} {threads}");
            }
        }
    }
}

#[test]
fn a_batch_is_all_or_nothing_and_names_the_first_region_that_fails() {
    let projection = project(&data(100_000));
    let regions = [region(0, 10), region(99_999, 2), region(200_000, 1)];
    let error = projection.extract_shards_parallel(&regions).unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::OutOfRange, Some(1)));
    assert!(projection.extract_shards_parallel(&[]).unwrap().is_empty());
    let error = projection.extract_shards_chunked_parallel(&regions[..1], 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_source_that_changed_is_a_witness_error_and_never_a_shard() {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    struct Changing(Vec<u8>, Arc<AtomicU64>);
    impl crate::ReadAt for Changing {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
            let changed = self.1.load(Ordering::Relaxed);
            if let Some(byte) = changed.checked_sub(offset).and_then(|at| buffer.get_mut(at as usize)) {
                *byte ^= 1;
            }
            Ok(())
        }
    }
    let changed = Arc::new(AtomicU64::new(u64::MAX));
    let data = data(6 * TILE_SIZE);
    let source = Source::from_reader(data.len() as u64, Changing(data, Arc::clone(&changed)));
    let projection = AtlasProjection::linear(&source).unwrap();
    // Regions in no order of tiles: the error must be of region 2 and not of a lower tile.
    let regions = [
        region(0, 100),
        region(5 * TILE_SIZE, 9),
        region(4 * TILE_SIZE, TILE_SIZE),
        region(3 * TILE_SIZE, 10),
    ];
    for warm in [false, true] {
        if warm {
            changed.store(u64::MAX, Ordering::Relaxed);
            projection.extract_shards_parallel(&regions).unwrap();
        }
        changed.store(4 * TILE_SIZE as u64 + 17, Ordering::Relaxed);
        for _ in 0..20 {
            let error = projection.extract_shards_parallel(&regions).unwrap_err();
            assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(2)));
        }
        let error = projection.verify(&mut Operation::new()).unwrap_err();
        assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(4)));
        assert_eq!(extract(&projection, region(3 * TILE_SIZE, 10)).data().len(), 10);
        // With a known outboard only the requested groups are read.
        changed.store(3 * TILE_SIZE as u64 + 5, Ordering::Relaxed);
        let error = projection.extract_shard(&regions[3], &mut Operation::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Witness);
    }
}

#[test]
fn a_group_that_changed_fails_for_the_region_that_wants_it() {
    use std::sync::atomic::{AtomicBool, Ordering};
    static CHANGED: AtomicBool = AtomicBool::new(false);
    struct Changing(Vec<u8>);
    impl crate::ReadAt for Changing {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
            buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
            if let Some(byte) = 500_000u64.checked_sub(offset).and_then(|at| buffer.get_mut(at as usize)) {
                *byte ^= u8::from(CHANGED.load(Ordering::Relaxed));
            }
            Ok(())
        }
    }
    let source = Source::from_reader(TILE_SIZE as u64, Changing(data(TILE_SIZE)));
    let projection = AtlasProjection::linear(&source).unwrap();
    let regions = [region(0, 10), region(900_000, 10), region(500_000, 10), region(100_000, 10)];
    projection.extract_shards_parallel(&regions).unwrap();
    CHANGED.store(true, Ordering::Relaxed);
    let error = projection.extract_shards_parallel(&regions).unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(2)));
}

#[test]
fn chains_are_kept_within_the_memory_limit() {
    let data = data(8 * TILE_SIZE);
    let regions: Vec<_> = (0..8).map(|tile| region(tile * TILE_SIZE + 5_000, 100)).collect();
    // Returns the number of tiles that have an outboard afterwards. `None` means that the call failed with
    // LIMIT.
    let kept = |limit: u64| {
        let projection = project(&data);
        let operation = &mut Operation::sequential().with_memory_limit(limit);
        let extracted = projection.extract_shards(&regions, &ExtractOptions::new(), operation);
        extracted
            .is_ok()
            .then(|| projection.state().tree.all().iter().filter(|at| at.tile.outboard().is_some()).count())
    };
    let (mut refused, mut least) = (0, 16 * TILE_SIZE as u64);
    while refused + 1 < least {
        let middle = (refused + least) / 2;
        *(if kept(middle).is_some() { &mut least } else { &mut refused }) = middle;
    }
    assert_eq!(kept(least), Some(0));
    assert_eq!(kept(least + 3 * crate::hash::outboard::Outboard::FOOTPRINT), Some(3));
    assert_eq!(kept(2 * least), Some(8));
}

#[test]
fn each_tile_of_a_region_counts_towards_the_memory_limit() {
    let projection = project(&data(9 * TILE_SIZE));
    let least = |tiles: usize| {
        let (mut refused, mut least) = (0, 16 * TILE_SIZE as u64);
        while refused + 1 < least {
            let middle = (refused + least) / 2;
            let operation = &mut Operation::sequential().with_memory_limit(middle);
            let extracted = projection.extract_shard(&region(0, tiles * TILE_SIZE), operation);
            *(if extracted.is_ok() { &mut least } else { &mut refused }) = middle;
        }
        least
    };
    // Besides the bytes, each tile has an entry in the proof and, until it is cut, a request in a task.
    let each = (least(9) - least(4)) / 5 - TILE_SIZE as u64;
    let task = size_of::<Request<'_>>() + size_of::<Task<'_, '_>>() + size_of::<TileRequests>();
    let parts = (size_of::<TileShape>() + task) as u64;
    assert!((parts..3 * parts).contains(&each), "{each} bytes, and the parts have {parts}");
}

/// Bytes, and a function called at each read of them.
struct Watched<F>(Vec<u8>, F);

impl<F: Fn(u64, &mut [u8]) + Send + Sync> crate::ReadAt for Watched<F> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
        (self.1)(offset, buffer);
        Ok(())
    }
}

fn watched(
    kind: ProjectionType,
    size: usize,
    watch: impl Fn(u64, &mut [u8]) + Send + Sync + 'static,
) -> AtlasProjection {
    let source = Source::from_reader(size as u64, Watched(data(size), watch));
    AtlasProjection::create(kind, &source, &ProjectionOptions::new(), &mut Operation::sequential()).unwrap()
}

/// The tiles that are read, in the order of the reads, each with its thread.
#[derive(Clone, Default)]
struct Reads(std::sync::Arc<std::sync::Mutex<Vec<(usize, std::thread::ThreadId)>>>);

impl Reads {
    fn add(&self, offset: u64) {
        let tile = (offset / TILE_SIZE as u64) as usize;
        self.0.lock().unwrap().push((tile, std::thread::current().id()));
    }

    fn take(&self) -> Vec<(usize, std::thread::ThreadId)> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn tiles(&self) -> Vec<usize> {
        self.take().into_iter().map(|(tile, _)| tile).collect()
    }
}

/// A projection whose outboards are not known, and a counter of the bytes read.
fn recorded(tiles: usize) -> (AtlasProjection, Reads) {
    recorded_after(tiles, || ())
}

/// Works like [`recorded`], but the first read waits until a second thread reads too. On a busy machine the
/// second thread may be late; if it never comes, the test fails.
#[cfg(feature = "parallel")]
fn recorded_by_two(tiles: usize) -> (AtlasProjection, Reads) {
    let threads = (std::sync::Mutex::new(Vec::new()), std::sync::Condvar::new());
    let begun = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let armed = std::sync::Arc::clone(&begun);
    let recorded = recorded_after(tiles, move || {
        if armed.load(Ordering::Relaxed) {
            let (seen, changed) = &threads;
            let mut seen = lock(seen);
            let thread = std::thread::current().id();
            if !seen.contains(&thread) {
                seen.push(thread);
                changed.notify_all();
            }
            let limit = std::time::Duration::from_secs(20);
            drop(changed.wait_timeout_while(seen, limit, |seen| seen.len() < 2).unwrap());
        }
        std::thread::sleep(PAUSE);
    });
    begun.store(true, Ordering::Relaxed);
    recorded
}

fn recorded_after(tiles: usize, then: impl Fn() + Send + Sync + 'static) -> (AtlasProjection, Reads) {
    let reads = Reads::default();
    let seen = reads.clone();
    let projection = watched(ProjectionType::Linear, tiles * TILE_SIZE, move |offset, _| {
        seen.add(offset);
        then();
    });
    reads.take();
    (projection, reads)
}

fn edit(projection: &AtlasProjection, at: usize) {
    let delta = crate::ProjectionDelta::update(at as u64, at as u64 + 3, *b"new");
    projection.apply_incremental_update(delta).unwrap();
}

const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

#[test]
fn work_stealing_begins_with_the_most_work_and_the_others_with_the_first_tile() {
    let regions = [
        region(5, 100),
        region(TILE_SIZE, 100),
        region(4 * TILE_SIZE, 3 * TILE_SIZE),
        region(2 * TILE_SIZE, 9),
    ];
    let tiles = |strategy| {
        let (projection, reads) = recorded(8);
        let options = ExtractOptions::new().with_strategy(strategy).with_max_threads(1);
        projection.extract_shards(&regions, &options, &mut Operation::new()).unwrap();
        reads.tiles()
    };
    assert_eq!(tiles(ParallelStrategy::WorkStealing), [4, 5, 6, 0, 1, 2]);
    for strategy in [ParallelStrategy::Sequential, ParallelStrategy::Default] {
        assert_eq!(tiles(strategy), [0, 1, 2, 4, 5, 6]);
    }
    assert_eq!(tiles(ParallelStrategy::Chunked(3)), [0, 1, 4, 5, 6, 2]);
}

#[cfg(feature = "parallel")]
#[test]
fn a_chunk_stays_on_one_thread_unless_a_region_is_more_than_a_thread_s_share() {
    let pool = crate::Pool::new(2).unwrap();
    let run = |regions: &[AtlasBoundaryRegion], chunk| {
        let (projection, reads) = recorded_by_two(24);
        let options = ExtractOptions::new().with_strategy(ParallelStrategy::Chunked(chunk));
        let mut operation = Operation::new().with_pool(&pool);
        projection.extract_shards(regions, &options, &mut operation).unwrap();
        reads.take()
    };
    let threads = |reads: &[(usize, std::thread::ThreadId)]| {
        reads.iter().map(|(_, thread)| *thread).collect::<std::collections::HashSet<_>>().len()
    };
    // Six chunks of four tiles each.
    let regions: Vec<_> = (0..24).map(|tile| region(tile * TILE_SIZE, TILE_SIZE)).collect();
    let reads = run(&regions, 4);
    assert_eq!((reads.len(), threads(&reads)), (24, 2));
    for chunk in 0..6 {
        let reads: Vec<_> = reads.iter().copied().filter(|(tile, _)| tile / 4 == chunk).collect();
        assert_eq!((reads.len(), threads(&reads)), (4, 1));
    }
    // One region of 8 MiB among a thousand regions, all in one chunk.
    let mut regions: Vec<_> = (0..999).map(|i| region(i * 1_000, 100)).collect();
    regions.insert(500, region(10 * TILE_SIZE, 8 * TILE_SIZE));
    let mut reads = run(&regions, 1_000);
    reads.retain(|(tile, _)| (10..18).contains(tile));
    assert_eq!((reads.len(), threads(&reads)), (8, 2));
}

#[cfg(feature = "parallel")]
#[test]
fn many_regions_of_one_tile_are_several_tasks() {
    let (projection, reads) = recorded_by_two(1);
    let (mut calls, mut before, mut largest) = (0, 0, 0);
    let mut progress = |progress: &crate::Progress| {
        calls += 1;
        largest = largest.max(progress.bytes_done - before);
        before = progress.bytes_done;
        true
    };
    let pool = crate::Pool::new(2).unwrap();
    let mut operation = Operation::new().with_pool(&pool).with_progress(&mut progress);
    let regions = [region(0, TILE_SIZE); 20];
    let shards = projection.extract_shards(&regions, &ExtractOptions::new(), &mut operation).unwrap();
    assert!(shards.iter().all(|shard| shard.data() == data(TILE_SIZE)));
    assert_eq!((calls, largest), (20, TILE_SIZE as u64));
    let threads: std::collections::HashSet<_> = reads.take().into_iter().map(|(_, thread)| thread).collect();
    assert_eq!(threads.len(), 2);
    // Small regions share a task.
    let regions = vec![region(5_000, 1); 1_000];
    let shards = projection.extract_shards_parallel(&regions).unwrap();
    assert_eq!(shards.len(), 1_000);
    assert!(reads.take().len() < 20);
}

#[cfg(feature = "parallel")]
#[test]
fn with_the_pool_strategy_the_calling_thread_reads_nothing() {
    let (projection, reads) = recorded(3);
    let caller = std::thread::current().id();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let ours = crate::Pool::new(2).unwrap();
    let small = [region(100, 200)];
    let edited = || {
        edit(&projection, 2_000_000);
        reads.take();
    };
    for max_threads in [0, 1] {
        let options =
            ExtractOptions::new().with_strategy(ParallelStrategy::Pool).with_max_threads(max_threads);
        for regions in [&small[..], &[region(0, 3_000_000)]] {
            for mut operation in [Operation::new().with_pool(&ours), Operation::new().with_rayon_pool(&pool)]
            {
                edited();
                projection.extract_shards(regions, &options, &mut operation).unwrap();
                let reads = reads.take();
                assert!(!reads.is_empty() && reads.iter().all(|(_, thread)| *thread != caller));
            }
        }
    }
    edited();
    projection.extract_shards_parallel_with_pool(&small, &pool).unwrap();
    assert!(reads.take().iter().all(|(_, thread)| *thread != caller));
    // Work too small to share runs on the calling thread, and with SEQUENTIAL all work does.
    for strategy in [
        ParallelStrategy::Default,
        ParallelStrategy::Sequential,
        ParallelStrategy::Chunked(1),
        ParallelStrategy::WorkStealing,
    ] {
        edited();
        let options = ExtractOptions::new().with_strategy(strategy);
        projection.extract_shards(&small, &options, &mut Operation::new().with_pool(&ours)).unwrap();
        assert!(reads.take().iter().all(|(_, thread)| *thread == caller));
    }
    let options = ExtractOptions::new().with_strategy(ParallelStrategy::Pool);
    let error = projection.extract_shards(&small, &options, &mut Operation::new()).unwrap_err();
    assert!(error.message().starts_with("strategy POOL needs a pool in the operation"), "{error}");
}

/// Two tiles whose bytes changed fail in another order than that of their regions in the request.
fn the_first_region_that_fails_is_reported(kind: ProjectionType, threads: &[u32]) {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    let slow = Arc::new(AtomicU64::new(u64::MAX));
    let seen = Arc::clone(&slow);
    let projection = watched(kind, 6 * TILE_SIZE, move |offset, buffer| {
        let slow = seen.load(Ordering::Relaxed);
        let within = |at: u64| offset <= at && at - offset < buffer.len() as u64;
        if slow == u64::MAX {
            return;
        }
        for tile in [1, 4] {
            let at = tile * TILE_SIZE as u64 + 17;
            if within(at) {
                if tile == slow {
                    std::thread::sleep(PAUSE);
                }
                buffer[(at - offset) as usize] ^= 1;
                return;
            }
        }
    });
    let part = |tile: usize| region(tile * TILE_SIZE, 100);
    let orders = [
        (4, 1, [part(5), part(4), part(0), part(1), region(TILE_SIZE, 4 * TILE_SIZE), part(3)]),
        (1, 2, [part(5), part(0), region(0, 3 * TILE_SIZE), part(2), part(4), part(1)]),
    ];
    for &threads in threads {
        let pool = crate::Pool::new(threads).unwrap();
        for (tile, index, regions) in &orders {
            slow.store(*tile, Ordering::Relaxed);
            for strategy in [
                ParallelStrategy::Sequential,
                ParallelStrategy::Default,
                ParallelStrategy::Pool,
                ParallelStrategy::Chunked(2),
                ParallelStrategy::WorkStealing,
            ] {
                let options = ExtractOptions::new().with_strategy(strategy);
                let mut operation = Operation::new().with_pool(&pool);
                let error = projection.extract_shards(regions, &options, &mut operation).unwrap_err();
                let found = (error.kind(), error.index(), error.offset());
                let want = (ErrorKind::Witness, Some(*index), Some(tile * TILE_SIZE as u64));
                assert_eq!(found, want, "{strategy:?} on {threads} threads");
            }
        }
    }
}

#[test]
fn the_first_region_that_fails_is_reported_for_linear() {
    the_first_region_that_fails_is_reported(ProjectionType::Linear, &[2, 3, 4]);
}

#[test]
fn the_first_region_that_fails_is_reported_for_r96() {
    the_first_region_that_fails_is_reported(ProjectionType::R96Fourier, &[3]);
}

#[test]
fn the_first_region_that_fails_is_reported_if_its_tile_comes_later_in_the_same_task() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let changed = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&changed);
    let projection = watched(ProjectionType::Linear, 4 * TILE_SIZE, move |_, buffer| {
        buffer[0] ^= u8::from(now.load(Ordering::Relaxed));
    });
    let regions = [3, 1, 0, 2].map(|tile| region(tile * TILE_SIZE, 10));
    // Once the outboards are known, a tile costs one group, so that a task has several tiles.
    let mut reports = 0;
    for _ in 0..2 {
        reports = 0;
        let mut count = |_: &crate::Progress| {
            reports += 1;
            true
        };
        let mut operation = Operation::sequential().with_progress(&mut count);
        projection.extract_shards(&regions[..2], &ExtractOptions::new(), &mut operation).unwrap();
    }
    assert_eq!(reports, 1);
    projection.extract_shards_parallel(&regions).unwrap();
    changed.store(true, Ordering::Relaxed);
    for count in 2..=4 {
        let error = projection
            .extract_shards(&regions[..count], &ExtractOptions::new(), &mut Operation::sequential())
            .unwrap_err();
        let place = Some(3 * TILE_SIZE as u64);
        assert_eq!((error.kind(), error.index(), error.offset()), (ErrorKind::Witness, Some(0), place));
    }
}

#[test]
fn small_regions_of_neighbouring_tiles_share_a_task() {
    let projection = project(&data(24 * TILE_SIZE));
    let regions: Vec<_> = (0..24).map(|tile| region(tile * TILE_SIZE + 5_000, 100)).collect();
    // Each task makes one report.
    let tasks = || {
        let mut reports = 0;
        let mut count = |_: &crate::Progress| {
            reports += 1;
            true
        };
        let mut operation = Operation::sequential().with_progress(&mut count);
        projection.extract_shards(&regions, &ExtractOptions::new(), &mut operation).unwrap();
        reports
    };
    // A tile without an outboard is hashed as a whole, which is work for a task of its own.
    assert_eq!(tasks(), 24);
    // Now only one group of each tile is hashed.
    let shared = tasks();
    assert!(shared <= 12, "{shared} tasks of 24 groups");
}

#[test]
fn what_is_left_after_a_failure_can_be_cancelled() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let (changed, reads) = (Arc::new(AtomicBool::new(false)), Reads::default());
    let (now, seen) = (Arc::clone(&changed), reads.clone());
    let projection = watched(ProjectionType::Linear, 4 * TILE_SIZE, move |offset, buffer| {
        seen.add(offset);
        buffer[0] ^= u8::from(offset == 0 && now.load(Ordering::Relaxed));
    });
    changed.store(true, Ordering::Relaxed);
    reads.take();
    // The last region fails first, because its tile comes first. The regions before it must still be checked.
    let regions = [1, 2, 3, 0].map(|tile| region(tile * TILE_SIZE, 10));
    for cancel_at in [1, 2, 3, 9] {
        let (mut calls, mut all_done) = (0, false);
        let mut progress = |progress: &crate::Progress| {
            calls += 1;
            all_done |= progress.bytes_done == progress.bytes_total;
            calls < cancel_at
        };
        let mut operation = Operation::sequential().with_progress(&mut progress);
        let error = projection.extract_shards(&regions, &ExtractOptions::new(), &mut operation).unwrap_err();
        assert!(!all_done);
        if cancel_at < 9 {
            assert_eq!((error.kind(), calls), (ErrorKind::Cancelled, cancel_at));
            assert_eq!(reads.tiles(), (0..cancel_at).collect::<Vec<_>>());
        } else {
            assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(3)));
        }
    }
}

#[test]
fn hashing_what_was_edited_is_reported_and_no_end_before_the_end() {
    let source = Source::from_vec(data(4 * TILE_SIZE));
    let projection = AtlasProjection::linear(&source).unwrap();
    for tile in 0..3 {
        edit(&projection, tile * TILE_SIZE + 9);
    }
    let mut seen = Vec::new();
    let mut progress = |progress: &crate::Progress| {
        seen.push(*progress);
        true
    };
    let mut operation = Operation::new().with_progress(&mut progress);
    let regions = [region(0, 8_192), region(2 * TILE_SIZE, 4_096)];
    projection.extract_shards(&regions, &ExtractOptions::new(), &mut operation).unwrap();
    // Three tiles were hashed before, which are not part of the count.
    assert!(seen.len() >= 4);
    assert!(seen[..3].iter().all(|progress| (progress.bytes_done, progress.chunks_done) == (0, 0)));
    for (number, progress) in seen.iter().enumerate() {
        assert_eq!((progress.bytes_total, progress.chunks_total), (12_288, 2));
        let done = (progress.bytes_done, progress.chunks_done) == (12_288, 2);
        assert_eq!(done, number + 1 == seen.len());
    }
    // Verifying reads every byte.
    edit(&projection, 9);
    let mut ends = 0;
    let mut progress = |progress: &crate::Progress| {
        ends += u64::from(progress.bytes_done == progress.bytes_total);
        true
    };
    projection.verify(&mut Operation::new().with_progress(&mut progress)).unwrap();
    assert_eq!(ends, 1);
}

#[test]
fn an_edited_tile_that_cannot_be_hashed_is_no_region_s_failure() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let changed = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&changed);
    let projection = watched(ProjectionType::Linear, 4 * TILE_SIZE, move |_, buffer| {
        buffer[0] ^= u8::from(now.load(Ordering::Relaxed));
    });
    edit(&projection, 3 * TILE_SIZE + 5);
    changed.store(true, Ordering::Relaxed);
    let error = projection.extract_shards_parallel(&[region(0, 10)]).unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, None));
    assert_eq!(error.offset(), Some(3 * TILE_SIZE as u64));
}

#[test]
fn no_chunk_is_refused_before_anything_is_read() {
    let (projection, reads) = recorded(2);
    edit(&projection, 5);
    reads.take();
    let error = projection.extract_shards_chunked_parallel(&[region(0, 10)], 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(reads.take().is_empty());
}
