//! Projections over every kind of source: bytes, roots, files, snapshots, verification.

use atlas_manifold::{
    AtlasBoundaryRegion, AtlasProjection, ConservationPolicy, ErrorKind, ExtractOptions, Operation,
    PAGE_SIZE, ParallelStrategy, Pool, Progress, ProjectionDelta, ProjectionOptions, ProjectionType, ReadAt,
    Result, Source, TILE_SIZE, VerifyOptions,
};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 29 + i / 4_099).to_le_bytes()[0]).collect()
}

/// Zeros with the tile's number at its start: large without memory.
struct Synthetic;

impl ReadAt for Synthetic {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        buffer.fill(0);
        if offset.is_multiple_of(TILE_SIZE as u64) && buffer.len() >= 8 {
            buffer[..8].copy_from_slice(&offset.to_le_bytes());
        }
        Ok(())
    }
}

/// Counts the tiles that are read.
struct Counted(Arc<AtomicU64>);

impl ReadAt for Counted {
    fn read_at(&self, _: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        buffer.fill(1);
        Ok(())
    }
}

/// Fails at the call with this number.
struct FailsAt(u64, Arc<AtomicU64>);

impl ReadAt for FailsAt {
    fn read_at(&self, _: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.1.fetch_add(1, Ordering::Relaxed) == self.0 {
            return Err(io::Error::from_raw_os_error(28));
        }
        buffer.fill(1);
        Ok(())
    }
}

#[test]
fn all_sources_sizes_and_pools_give_one_root() {
    let dir = tempfile::tempdir().unwrap();
    let pools = [1, 2, 4].map(|threads| Pool::new(threads).unwrap());
    for len in [0, 1, PAGE_SIZE - 1, PAGE_SIZE, TILE_SIZE - 1, TILE_SIZE, TILE_SIZE + 1, 5 * TILE_SIZE + 321]
    {
        let data = data(len);
        let path = dir.path().join(format!("{len}.bin"));
        std::fs::write(&path, &data).unwrap();
        let mut sources = vec![
            Source::copy(&data).unwrap(),
            Source::from_vec(data.clone()),
            Source::open_file(&path).unwrap(),
        ];
        // SAFETY: the bytes outlive the sources, and nobody truncates the file.
        unsafe {
            sources.push(Source::borrow(data.as_ptr(), len, None));
            #[cfg(feature = "streaming")]
            sources.push(Source::map_file(&path).unwrap());
        }
        let mut roots = Vec::new();
        for source in &sources {
            for pool in &pools {
                let mut operation = Operation::new().with_pool(pool);
                let options = ProjectionOptions::new();
                let projection =
                    AtlasProjection::create(ProjectionType::Linear, source, &options, &mut operation)
                        .unwrap();
                roots.push(projection.root(&mut operation).unwrap());
                projection.verify(&mut operation).unwrap();
                let info = projection.info();
                assert_eq!((info.domain_size, info.canonical), (len as u64, true));
                assert_eq!(info.page_count, len.div_ceil(PAGE_SIZE) as u64);
                let mut out = vec![0; len];
                projection.read(0, &mut out).unwrap();
                assert_eq!(out, data);
                let copy = dir.path().join("copy.bin");
                projection.write_file(&copy, &mut operation).unwrap();
                assert_eq!(std::fs::read(&copy).unwrap(), data);
            }
        }
        assert!(roots.windows(2).all(|pair| pair[0] == pair[1]), "{len}");
    }
}

#[test]
fn strict_refuses_what_does_not_sum_to_zero_and_names_what_is_missing() {
    let strict = ProjectionOptions::new().with_conservation(ConservationPolicy::Strict);
    let create = |bytes: Vec<u8>| {
        let source = Source::from_vec(bytes);
        AtlasProjection::create(ProjectionType::Linear, &source, &strict, &mut Operation::new())
    };
    assert!(create(vec![]).is_ok());
    assert!(create(vec![48, 48]).is_ok());
    let error = create(vec![48, 47]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conservation);
    assert!(
        error.message().contains("95") && error.message().ends_with("add bytes that sum to 1"),
        "{error}"
    );
}

#[test]
fn a_failing_read_is_an_io_error_at_every_call_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    for fails_at in 0..6 {
        let calls = Arc::new(AtomicU64::new(0));
        let source = Source::from_reader(3 * TILE_SIZE as u64, FailsAt(fails_at, Arc::clone(&calls)));
        let created = AtlasProjection::linear(&source);
        if fails_at < 3 {
            let error = created.unwrap_err();
            assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, 28));
            assert!(error.index().is_some());
            // The source can be used again.
            AtlasProjection::linear(&source).unwrap();
            continue;
        }
        let target = dir.path().join("out");
        std::fs::write(&target, b"older").unwrap();
        let error = created.unwrap().write_file(&target, &mut Operation::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert_eq!(std::fs::read(&target).unwrap(), b"older");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_snapshot_keeps_its_state_and_its_map() {
    let projection = AtlasProjection::linear(&Source::from_vec(data(4 * TILE_SIZE))).unwrap();
    let snapshot = projection.snapshot();
    let params = atlas_manifold::TransformParams {
        scaling_factor: 2.0,
        rotation_angle: 0.0,
        translation_x: 0.0,
        translation_y: 0.0,
    };
    projection.transform(&params).unwrap();
    assert!((projection.tile_bounds(3).unwrap().max_x - 4.0).abs() < 1e-12);
    assert!((snapshot.tile_bounds(3).unwrap().max_x - 2.0).abs() < 1e-12);
    let root = projection.root(&mut Operation::new()).unwrap();
    drop(projection);
    assert_eq!(snapshot.root(&mut Operation::new()).unwrap(), root);
}

#[test]
fn progress_never_decreases_and_cancelling_works_at_every_step() {
    let source = Source::from_vec(data(6 * TILE_SIZE + 5));
    let pool = Pool::new(2).unwrap();
    for stop_at in 0..9 {
        let mut seen: Vec<Progress> = Vec::new();
        let caller = std::thread::current().id();
        let mut record = |progress: &Progress| {
            assert_eq!(std::thread::current().id(), caller);
            seen.push(*progress);
            seen.len() <= stop_at
        };
        let mut operation = Operation::new().with_pool(&pool).with_progress(&mut record);
        let options = ProjectionOptions::new();
        let result = AtlasProjection::create(ProjectionType::Linear, &source, &options, &mut operation);
        match result {
            Ok(_) => assert!(stop_at >= 7),
            Err(error) => assert_eq!((error.kind(), seen.len()), (ErrorKind::Cancelled, stop_at + 1)),
        }
        assert!(seen.windows(2).all(|pair| pair[0].bytes_done < pair[1].bytes_done));
        if stop_at >= 7 {
            let last = seen.last().unwrap();
            assert_eq!((last.bytes_done, last.chunks_done), (last.bytes_total, last.chunks_total));
        }
    }
}

#[test]
fn a_page_beyond_four_gibibytes_proves_itself() {
    // 2^32 and a bit more, without memory: an empty read of tiles that are zeros.
    let size = (1u64 << 32) + TILE_SIZE as u64 + 17;
    let projection = AtlasProjection::linear(&Source::from_reader(size, Synthetic)).unwrap();
    let root = projection.root(&mut Operation::new()).unwrap();
    for offset in [(1 << 32) - 1, 1 << 32, size - 1] {
        let shard =
            projection.extract_shard(&AtlasBoundaryRegion::new(offset, 1), &mut Operation::new()).unwrap();
        shard.verify(&VerifyOptions::new().with_root(root), &mut Operation::new()).unwrap();
        assert_eq!(shard.data().len(), 1);
        let bytes = shard.serialize().unwrap();
        assert!(bytes.len() < 8_192);
    }
    let mut out = [9; 8];
    projection.read(1 << 32, &mut out).unwrap();
    assert_eq!(out, (1u64 << 32).to_le_bytes());
}

#[test]
fn the_memory_limit_of_an_operation_is_kept_or_refused() {
    let source = Source::from_reader(16 * TILE_SIZE as u64, Synthetic);
    let create = |limit| {
        let mut operation = Operation::new().with_memory_limit(limit);
        let options = ProjectionOptions::new();
        AtlasProjection::create(ProjectionType::Linear, &source, &options, &mut operation).map(|_| ())
    };
    assert_eq!(create(TILE_SIZE as u64).unwrap_err().kind(), ErrorKind::Limit);
    create(TILE_SIZE as u64 + 16 * 448).unwrap();
}

/// Calls that read a domain of 64 tiles, with a progress callback.
type Reading = fn(&Source, &mut Operation<'_>) -> Result<()>;

#[test]
fn while_a_callback_runs_at_most_two_tiles_a_thread_are_read() {
    const TILES: u64 = 64;
    const THREADS: u32 = 3;
    const MIB: u64 = TILE_SIZE as u64;
    let calls: [(&str, Reading); 6] = [
        ("create", |source, operation| {
            AtlasProjection::create(ProjectionType::Linear, source, &ProjectionOptions::new(), operation)
                .map(drop)
        }),
        ("verify", |source, operation| AtlasProjection::linear(source)?.verify(operation)),
        ("insert_source", |source, operation| {
            AtlasProjection::linear(&Source::from_vec(vec![1; 9]))?.insert_source(3, source, operation)
        }),
        ("optimize", |source, operation| {
            let projection = AtlasProjection::linear(source)?;
            projection.apply_incremental_update(ProjectionDelta::insert(5, vec![1; 3]))?;
            projection.optimize(operation)
        }),
        ("chunks", |source, operation| {
            let regions: Vec<_> = (0..TILES).map(|tile| AtlasBoundaryRegion::new(tile * MIB, MIB)).collect();
            let options = ExtractOptions::new().with_strategy(ParallelStrategy::Chunked(40));
            AtlasProjection::linear(source)?.extract_shards(&regions, &options, operation).map(drop)
        }),
        ("extract", |source, operation| {
            let region = AtlasBoundaryRegion::new(0, TILES * MIB);
            AtlasProjection::linear(source)?.extract_shard(&region, operation).map(drop)
        }),
    ];
    let pool = Pool::new(THREADS).unwrap();
    for (name, call) in calls {
        let read = Arc::new(AtomicU64::new(0));
        let source = Source::from_reader(TILES * MIB, Counted(Arc::clone(&read)));
        let (mut calls, mut most) = (0, 0);
        let mut sleep = |_: &Progress| {
            calls += 1;
            if calls < 3 {
                // Long enough for all tiles to be read, if nothing holds them back.
                let before = read.load(Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_millis(100));
                most = most.max(read.load(Ordering::Relaxed) - before);
            }
            true
        };
        call(&source, &mut Operation::new().with_pool(&pool).with_progress(&mut sleep)).unwrap();
        assert!(calls > 10, "{name}: {calls} reports");
        assert!(most <= 2 * u64::from(THREADS) * MIB, "{name}: {most} bytes read while the callback ran");
    }
}

/// Calls that extract nothing.
type Extraction = fn(&AtlasProjection, &mut Operation<'_>) -> Result<()>;

#[test]
fn no_value_of_progress_decreases_if_nothing_is_to_be_extracted() {
    let projection = AtlasProjection::linear(&Source::from_vec(data(3 * TILE_SIZE))).unwrap();
    let nothing: [(&str, Extraction); 2] = [
        ("a region", |projection, operation| {
            projection.extract_shard(&AtlasBoundaryRegion::new(7, 0), operation).map(drop)
        }),
        ("a batch", |projection, operation| {
            projection.extract_shards(&[], &ExtractOptions::default(), operation).map(drop)
        }),
    ];
    for (name, call) in nothing {
        projection.apply_incremental_update(ProjectionDelta::update(5, 6, vec![1])).unwrap();
        let mut seen = vec![Progress::default()];
        let mut record = |progress: &Progress| {
            seen.push(*progress);
            true
        };
        call(&projection, &mut Operation::sequential().with_progress(&mut record)).unwrap();
        let values = |at: &Progress| [at.bytes_done, at.bytes_total, at.chunks_done, at.chunks_total];
        let grows = |pair: &[Progress]| values(&pair[0]).iter().zip(values(&pair[1])).all(|(a, b)| *a <= b);
        assert!(seen.windows(2).all(grows), "{name}: {seen:?}");
    }
}
