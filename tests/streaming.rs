//! Streaming equals projecting in memory, for every source, chunk size, parallelism and overlap, and
//! leaves nothing behind when it fails.
#![cfg(feature = "streaming")]
#![allow(missing_docs, clippy::cast_possible_truncation, clippy::unwrap_used)]

use atlas_manifold::{
    AtlasBoundaryRegion, AtlasProjection, ConservationPolicy, ErrorKind, Operation, Pool, Progress,
    ProjectionDelta, ProjectionOptions, ProjectionType, ReadAt, Residue, Source, StreamingConfig,
    StreamingContext, stream_file_projection, stream_large_domain_projection, stream_projection,
    stream_reader_projection,
};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const LINEAR: ProjectionType = ProjectionType::Linear;

fn bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut data = Vec::with_capacity(len + 8);
    while data.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        data.extend_from_slice(&(state ^ state >> 29).to_le_bytes());
    }
    data.truncate(len);
    data
}

fn root(projection: &AtlasProjection) -> [u8; 32] {
    projection.root(&mut Operation::new()).unwrap()
}

fn in_memory(data: &[u8]) -> AtlasProjection {
    AtlasProjection::linear(&Source::copy(data).unwrap()).unwrap()
}

/// Root, info and every byte.
fn assert_same(streamed: &AtlasProjection, data: &[u8], what: &str) {
    let wanted = in_memory(data);
    assert_eq!(root(streamed), root(&wanted), "{what}");
    assert_eq!(streamed.info(), wanted.info(), "{what}");
    let mut read = vec![0; data.len()];
    streamed.read(0, &mut read).unwrap();
    assert!(read == data, "{what}: the bytes differ");
}

/// A reader that counts calls and bytes, and fails at one call.
struct Counting {
    data: Arc<Vec<u8>>,
    calls: Arc<AtomicU64>,
    read: Arc<AtomicU64>,
    largest: Arc<AtomicU64>,
    fails_at: u64,
}

impl Counting {
    fn new(data: &[u8], fails_at: u64) -> Self {
        let zero = Arc::<AtomicU64>::default;
        Counting { data: Arc::new(data.to_vec()), calls: zero(), read: zero(), largest: zero(), fails_at }
    }
}

impl ReadAt for Counting {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.calls.fetch_add(1, Ordering::SeqCst) == self.fails_at {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.read.fetch_add(buffer.len() as u64, Ordering::SeqCst);
        self.largest.fetch_max(buffer.len() as u64, Ordering::SeqCst);
        buffer.copy_from_slice(&self.data[offset as usize..][..buffer.len()]);
        Ok(())
    }
}

fn sources(data: &[u8], dir: &Path) -> Vec<(&'static str, Source)> {
    let path = dir.join("domain.bin");
    std::fs::write(&path, data).unwrap();
    // SAFETY: nobody changes the file.
    let mapped = unsafe { Source::map_file(&path) }.unwrap();
    vec![
        ("memory", Source::copy(data).unwrap()),
        ("file", Source::open_file(&path).unwrap()),
        ("mapped", mapped),
        ("reader", Source::from_reader(data.len() as u64, Counting::new(data, u64::MAX))),
    ]
}

fn config(chunk: usize, parallel: u32, overlap: usize, io: usize) -> StreamingConfig {
    let config = StreamingConfig::new(chunk as u64, parallel).unwrap();
    config.with_chunk_overlap(overlap as u64).unwrap().with_io_buffer_size(io as u64).unwrap()
}

#[test]
fn every_source_size_chunk_and_thread_count_gives_the_projection_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let pools = [Pool::new(1).unwrap(), Pool::new(2).unwrap(), Pool::new(4).unwrap()];
    let sizes = [
        0,
        1,
        64 * KIB - 1,
        64 * KIB,
        64 * KIB + 1,
        MIB - 1,
        MIB,
        MIB + 1,
        3 * MIB / 2 + 5,
        4 * MIB,
        7 * MIB + 12_345,
    ];
    for (round, size) in sizes.into_iter().enumerate() {
        let data = bytes(size);
        for (name, source) in sources(&data, dir.path()) {
            for (chunk, overlap, io) in [
                (64 * KIB, 0, 4 * KIB),
                (100_000, 100_000, 100_000),
                (MIB, 4 * KIB, MIB),
                (3 * MIB / 2, 77, 3 * MIB),
                (16 * MIB, 4 * KIB, 16 * MIB),
            ] {
                let pool = &pools[(round + chunk) % 3];
                let config = config(chunk, 1 + round as u32 % 3, overlap, io);
                let what = format!("{name}, {size} bytes, chunks of {chunk}");
                let mut operation = Operation::new().with_pool(pool);
                let options = ProjectionOptions::new();
                let made = stream_projection(&source, LINEAR, &options, config, &mut operation);
                assert_same(&made.unwrap(), &data, &what);
            }
        }
    }
}

/// Walks `steps` chunks, checking each, and finishes.
fn walk(source: &Source, data: &[u8], config: &StreamingConfig, pool: &Pool, steps: usize, what: &str) {
    let mut seen: Vec<Progress> = Vec::new();
    let mut record = |progress: &Progress| {
        seen.push(*progress);
        true
    };
    let (chunk_size, overlap) = (config.chunk_size() as usize, config.chunk_overlap() as usize);
    let chunks = data.len().div_ceil(chunk_size);
    {
        let mut operation = Operation::new().with_pool(pool).with_progress(&mut record);
        let mut stream =
            StreamingContext::open(source, LINEAR, &ProjectionOptions::new(), config.clone(), &mut operation)
                .unwrap();
        for id in 0..steps {
            let Some(chunk) = stream.next(&mut operation).unwrap() else {
                assert!(id >= chunks);
                continue;
            };
            let end = data.len().min((id + 1) * chunk_size);
            assert_eq!((chunk.id, chunk.offset), (id as u64, (id * chunk_size) as u64), "{what}");
            assert!(chunk.data == &data[id * chunk_size..end], "{what}: chunk {id}");
            assert!(chunk.overlap == &data[end..data.len().min(end + overlap)], "{what}: overlap {id}");
            assert_eq!(chunk.residue, Residue::of(chunk.data), "{what}: chunk {id}");
            assert_eq!(stream.progress().bytes_done, end as u64);
            assert_eq!(stream.is_complete(), end == data.len());
        }
        let made = stream.finish(&mut operation).unwrap();
        assert!(stream.is_complete());
        let error = stream.next(&mut operation).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::State);
        assert_eq!(stream.finish(&mut operation).unwrap_err().kind(), ErrorKind::State);
        assert_same(&made, data, what);
        made.verify(&mut Operation::new()).unwrap();
    }
    assert_eq!(seen.len(), chunks.max(1), "{what}: one report a chunk");
    for (id, progress) in seen.iter().enumerate() {
        assert_eq!(progress.bytes_done, data.len().min((id + 1) * chunk_size) as u64, "{what}");
        assert_eq!(progress.chunks_total, chunks as u64);
    }
}

#[test]
fn next_shows_every_chunk_with_its_overlap_and_finish_goes_on_from_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let pools = [Pool::new(1).unwrap(), Pool::new(2).unwrap(), Pool::new(4).unwrap()];
    for (round, size) in [0, 1, 100_000, 100_001, MIB + 1, 2 * MIB, 3 * MIB + 4_321].into_iter().enumerate() {
        let data = bytes(size);
        for (name, source) in sources(&data, dir.path()) {
            for (chunk, overlap) in
                [(64 * KIB, 64 * KIB), (100_000, 5_000), (MIB, 0), (MIB + 4_097, MIB), (3 * MIB, 4_096)]
            {
                let chunks = size.div_ceil(chunk);
                for steps in [1, 2, chunks / 2, chunks, chunks + 2] {
                    let config = config(chunk, 2, overlap, if round % 2 == 0 { MIB } else { 10_000 });
                    let what = format!("{name}, {size} bytes, chunks of {chunk}, {steps} steps");
                    walk(&source, &data, &config, &pools[(round + steps) % 3], steps, &what);
                }
            }
        }
    }
}

#[test]
fn every_byte_is_read_once_in_reads_of_the_configured_size() {
    let data = bytes(5 * MIB + 99);
    for (chunk, overlap, io) in [
        (64 * KIB, 64 * KIB, 4 * KIB),
        (100_000, 99_999, MIB),
        (3 * MIB, MIB, 300_000),
        (2 * MIB, 1, 2 * MIB),
    ] {
        for steps in [0, 1, 2, 100] {
            let reader = Counting::new(&data, u64::MAX);
            let (read, largest) = (Arc::clone(&reader.read), Arc::clone(&reader.largest));
            let source = Source::from_reader(data.len() as u64, reader);
            let mut operation = Operation::new();
            let config = config(chunk, 2, overlap, io);
            let options = ProjectionOptions::new();
            let mut stream =
                StreamingContext::open(&source, LINEAR, &options, config, &mut operation).unwrap();
            for _ in 0..steps {
                stream.next(&mut operation).unwrap();
            }
            let made = stream.finish(&mut operation).unwrap();
            assert_eq!(root(&made), root(&in_memory(&data)));
            assert_eq!(read.load(Ordering::SeqCst), data.len() as u64, "{chunk} {overlap} {io} {steps}");
            assert!(largest.load(Ordering::SeqCst) <= io as u64);
        }
    }
}

#[test]
fn pieces_of_any_size_pushed_to_memory_or_a_spool_give_the_same_projection() {
    let dir = tempfile::tempdir().unwrap();
    let pools = [Pool::new(1).unwrap(), Pool::new(2).unwrap(), Pool::new(4).unwrap()];
    let path = dir.path().join("spool.bin");
    for (round, size) in [0, 1, 70_000, MIB - 1, MIB, MIB + 1, 4 * MIB, 9 * MIB + 31].into_iter().enumerate()
    {
        let data = bytes(size);
        for spool in [None, Some(path.as_path())] {
            for (chunk, step) in
                [(64 * KIB, 10_007), (100_000, 3 * MIB), (MIB, MIB), (16 * MIB, 1 << 30), (2 * MIB, 700_001)]
            {
                let mut seen = Vec::new();
                let mut record = |progress: &Progress| {
                    seen.push(*progress);
                    true
                };
                let what = format!("{size} bytes, spool {spool:?}, chunks of {chunk}, pieces of {step}");
                let made = {
                    let pool = &pools[(round + step) % 3];
                    let mut operation = Operation::new().with_pool(pool).with_progress(&mut record);
                    let config = config(chunk, 2, 0, MIB);
                    let options = ProjectionOptions::new();
                    let mut stream =
                        StreamingContext::open_push(spool, LINEAR, &options, config, &mut operation).unwrap();
                    let (mut at, mut piece) = (0, step.min(size.max(1)));
                    while at < size {
                        let end = size.min(at + piece);
                        stream.push(&data[at..end], &mut operation).unwrap();
                        stream.push(&[], &mut operation).unwrap();
                        at = end;
                        assert_eq!(stream.progress().bytes_done, at as u64, "{what}");
                        assert_eq!(stream.progress().bytes_total, 0);
                        piece = (piece * 7 + 13) % step.max(2) + 1;
                    }
                    assert!(!path.exists() && !stream.is_complete());
                    assert_eq!(stream.next(&mut operation).unwrap_err().kind(), ErrorKind::State);
                    let made = stream.finish(&mut operation).unwrap();
                    assert!(stream.is_complete());
                    assert_eq!(stream.progress().bytes_total, size as u64);
                    let error = stream.push(&[1], &mut operation).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::State);
                    assert_eq!(stream.finish(&mut operation).unwrap_err().kind(), ErrorKind::State);
                    made
                };
                assert_same(&made, &data, &what);
                made.verify(&mut Operation::new()).unwrap();
                if size > 10 {
                    let region = AtlasBoundaryRegion::new(size as u64 / 2, 5);
                    let shards = made.extract_shards_parallel(&[region]).unwrap();
                    assert_eq!(shards[0].data(), &data[size / 2..size / 2 + 5]);
                }
                for (id, progress) in seen.iter().enumerate() {
                    let wanted = (id + 1).saturating_mul(chunk).min(size);
                    assert_eq!(progress.bytes_done, wanted as u64, "{what}");
                }
                let last = seen.last().unwrap();
                assert_eq!((last.bytes_total, last.bytes_done), (size as u64, size as u64), "{what}");
                assert_eq!(
                    (last.chunks_total, last.chunks_done),
                    (size.div_ceil(chunk) as u64, last.chunks_total)
                );
                // Wine keeps the name of a file that is open.
                drop(made);
                if spool.is_some() {
                    assert!(std::fs::read(&path).unwrap() == data, "{what}");
                    std::fs::remove_file(&path).unwrap();
                }
                assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{what}");
            }
        }
    }
}

#[test]
fn a_reader_that_fails_at_any_call_is_io_and_the_source_stays_usable() {
    let data = bytes(3 * MIB + 500);
    let pool = Pool::new(2).unwrap();
    for (chunk, io) in [(256 * KIB, 100_000), (2 * MIB, MIB)] {
        for steps in [0, 2, 100] {
            for fails_at in 0.. {
                let reader = Counting::new(&data, fails_at);
                let calls = Arc::clone(&reader.calls);
                let source = Source::from_reader(data.len() as u64, reader);
                let mut operation = Operation::new().with_pool(&pool);
                let config = config(chunk, 2, 4_096, io);
                let options = ProjectionOptions::new();
                let mut stream =
                    StreamingContext::open(&source, LINEAR, &options, config.clone(), &mut operation)
                        .unwrap();
                let mut run = || {
                    for _ in 0..steps {
                        stream.next(&mut operation)?;
                    }
                    stream.finish(&mut operation)
                };
                let Err(error) = run() else {
                    assert!(calls.load(Ordering::SeqCst) <= fails_at);
                    break;
                };
                assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, 5));
                let worked = calls.load(Ordering::SeqCst);
                assert_eq!(stream.next(&mut operation).unwrap_err().kind(), ErrorKind::State);
                assert_eq!(stream.finish(&mut operation).unwrap_err().kind(), ErrorKind::State);
                assert!(!stream.is_complete() && stream.progress().bytes_done < data.len() as u64);
                assert_eq!(calls.load(Ordering::SeqCst), worked, "nobody works on");
                // The call that fails is over, and the next attempt reads all.
                let again = stream_projection(&source, LINEAR, &options, config, &mut operation).unwrap();
                assert_eq!(root(&again), root(&in_memory(&data)));
            }
        }
    }
}

#[test]
fn cancelling_at_any_report_ends_within_a_chunk_and_leaves_nothing() {
    let data = bytes(6 * MIB + 7);
    let dir = tempfile::tempdir().unwrap();
    let pool = Pool::new(2).unwrap();
    let path = dir.path().join("spool.bin");
    for chunk in [256 * KIB, MIB, 2 * MIB] {
        for stop in 0..data.len().div_ceil(chunk) as u64 {
            for steps in [0, 3] {
                let reader = Counting::new(&data, u64::MAX);
                let (calls, read) = (Arc::clone(&reader.calls), Arc::clone(&reader.read));
                let source = Source::from_reader(data.len() as u64, reader);
                let mut reports = 0;
                let mut cancel = |_: &Progress| {
                    reports += 1;
                    reports <= stop
                };
                let mut operation = Operation::new().with_pool(&pool).with_progress(&mut cancel);
                let config = config(chunk, 1, 4_096, MIB);
                let options = ProjectionOptions::new();
                let mut stream =
                    StreamingContext::open(&source, LINEAR, &options, config.clone(), &mut operation)
                        .unwrap();
                let mut run = || {
                    for _ in 0..steps {
                        stream.next(&mut operation)?;
                    }
                    stream.finish(&mut operation)
                };
                assert_eq!(run().unwrap_err().kind(), ErrorKind::Cancelled);
                let worked = calls.load(Ordering::SeqCst);
                let most = (stop + 1) * chunk as u64 + (chunk + 2 * MIB) as u64;
                assert!(read.load(Ordering::SeqCst) <= most);
                assert_eq!(stream.finish(&mut operation).unwrap_err().kind(), ErrorKind::State);
                assert_eq!(calls.load(Ordering::SeqCst), worked);
                assert_eq!(reports, stop + 1, "never called again after false");
                let again =
                    stream_projection(&source, LINEAR, &options, config, &mut Operation::new()).unwrap();
                assert_eq!(root(&again), root(&in_memory(&data)));
            }
            let mut reports = 0;
            let mut cancel = |_: &Progress| {
                reports += 1;
                reports <= stop
            };
            let mut operation = Operation::new().with_pool(&pool).with_progress(&mut cancel);
            let config = config(chunk, 1, 0, MIB);
            let mut stream = StreamingContext::open_push(
                Some(&path),
                LINEAR,
                &ProjectionOptions::new(),
                config,
                &mut operation,
            )
            .unwrap();
            // The spool has a name only if the file system knows no files without names.
            assert!(std::fs::read_dir(dir.path()).unwrap().count() <= 1);
            assert!(!path.exists());
            let mut run = || {
                for piece in data.chunks(300_000) {
                    stream.push(piece, &mut operation)?;
                }
                stream.finish(&mut operation)
            };
            assert_eq!(run().unwrap_err().kind(), ErrorKind::Cancelled);
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "gone before destroy");
            assert_eq!(stream.push(&[1], &mut operation).unwrap_err().kind(), ErrorKind::State);
        }
    }
}

/// A reader that is slow, and counts how many reads begin after somebody cancelled.
struct Slow {
    cancelled: Arc<AtomicBool>,
    after: Arc<AtomicU64>,
}

impl ReadAt for Slow {
    fn read_at(&self, _: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.cancelled.load(Ordering::SeqCst) {
            self.after.fetch_add(1, Ordering::SeqCst);
        }
        std::thread::sleep(Duration::from_millis(2));
        buffer.fill(1);
        Ok(())
    }
}

#[test]
fn after_a_cancellation_a_worker_ends_with_the_read_that_it_is_at() {
    let pool = Pool::new(2).unwrap();
    // A tile of 64 reads; a read of 16 tiles.
    for (chunk, io) in [(64 * KIB, 16 * KIB), (16 * MIB, 16 * KIB), (16 * MIB, 16 * MIB)] {
        let (cancelled, after) = (Arc::new(AtomicBool::new(false)), Arc::<AtomicU64>::default());
        let reader = Slow { cancelled: Arc::clone(&cancelled), after: Arc::clone(&after) };
        let source = Source::from_reader(80 * MIB as u64, reader);
        let mut cancel = |_: &Progress| {
            cancelled.store(true, Ordering::SeqCst);
            false
        };
        let mut operation = Operation::new().with_pool(&pool).with_progress(&mut cancel);
        let config = config(chunk, 4, 0, io);
        let options = ProjectionOptions::new();
        let error = stream_projection(&source, LINEAR, &options, config, &mut operation).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(error.message().contains("the progress callback"), "{error}");
        // The one that begins while the callback returns.
        assert!(after.load(Ordering::SeqCst) <= 2, "{after:?} reads of {io} bytes");
    }
}

#[test]
fn a_panic_of_a_reader_is_internal_and_ends_the_stream() {
    struct Panics;
    impl ReadAt for Panics {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            assert!(offset < 2 * MIB as u64, "no byte {offset}");
            buffer.fill(0);
            Ok(())
        }
    }
    let source = Source::from_reader(5 * MIB as u64, Panics);
    for threads in [1, 3] {
        let pool = Pool::new(threads).unwrap();
        for steps in [0, 1, 4] {
            let mut operation = Operation::new().with_pool(&pool);
            let options = ProjectionOptions::new();
            let config = config(MIB, 2, 4_096, MIB);
            let mut stream =
                StreamingContext::open(&source, LINEAR, &options, config, &mut operation).unwrap();
            let mut run = || {
                for _ in 0..steps {
                    stream.next(&mut operation)?;
                }
                stream.finish(&mut operation)
            };
            let error = run().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal);
            assert!(error.message().contains("no byte"), "{error}");
            assert_eq!(stream.finish(&mut operation).unwrap_err().kind(), ErrorKind::State);
        }
    }
}

#[test]
fn a_file_that_shrinks_between_two_chunks_is_io() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shrinks.bin");
    for finish in [false, true] {
        std::fs::write(&path, bytes(4 * MIB)).unwrap();
        let source = Source::open_file(&path).unwrap();
        let operation = &mut Operation::new();
        let options = ProjectionOptions::new();
        let mut stream =
            StreamingContext::open(&source, LINEAR, &options, config(MIB, 2, 4_096, MIB), operation).unwrap();
        stream.next(operation).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len((2 * MIB - 5) as u64).unwrap();
        let error = match finish {
            true => stream.finish(operation).unwrap_err(),
            false => stream.next(operation).unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.message().contains("shrinks.bin"), "{error}");
        assert_eq!(stream.next(operation).unwrap_err().kind(), ErrorKind::State);
    }
}

#[test]
fn what_was_streamed_is_edited_as_what_was_projected_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let data = bytes(3 * MIB + 4_321);
    let config = || config(MIB / 2 + 77, 2, 4_096, MIB);
    let options = ProjectionOptions::new();
    let mut streamed: Vec<(&str, AtlasProjection)> = Vec::new();
    for (name, source) in sources(&data, dir.path()) {
        let made = stream_projection(&source, LINEAR, &options, config(), &mut Operation::new());
        streamed.push((name, made.unwrap()));
    }
    let spool = dir.path().join("spool.bin");
    streamed.push(("spool", stream_reader_projection(&data[..], Some(&spool), LINEAR, config()).unwrap()));
    streamed.push(("pushed", stream_reader_projection(&data[..], None, LINEAR, config()).unwrap()));

    let size = data.len() as u64;
    let edits = [
        ProjectionDelta::insert(MIB as u64 - 3, bytes(70_000)),
        ProjectionDelta::update(10, 5_000, bytes(4_990)),
        ProjectionDelta::delete(2 * MIB as u64, 3 * MIB as u64 + 9),
        ProjectionDelta::insert(size - MIB as u64 - 9 + 70_000, vec![7; 2 * MIB]),
        ProjectionDelta::move_range(100, 1_000_000, 2_000_000),
        ProjectionDelta::update(0, 1, vec![]),
    ];
    let mut model = data.clone();
    model.splice(MIB - 3..MIB - 3, bytes(70_000));
    model.splice(10..5_000, bytes(4_990));
    model.drain(2 * MIB..3 * MIB + 9);
    model.extend(vec![7; 2 * MIB]);
    let moved: Vec<u8> = model.drain(100..1_000_000).collect();
    model.splice(2_000_000 - 999_900..2_000_000 - 999_900, moved);
    model.remove(0);

    let plain = in_memory(&data);
    for edit in &edits {
        plain.apply_incremental_update(edit.clone()).unwrap();
    }
    for (name, projection) in &streamed {
        for edit in &edits {
            projection.apply_incremental_update(edit.clone()).unwrap();
        }
        let mut read = vec![0; model.len()];
        projection.read(0, &mut read).unwrap();
        assert!(read == model, "{name}: the bytes differ");
        assert_eq!(projection.info(), plain.info(), "{name}");
        assert_eq!(root(projection), root(&plain), "{name}");
        projection.verify(&mut Operation::new()).unwrap();
        projection.rollback(2).unwrap();
        projection.verify(&mut Operation::new()).unwrap();
        projection.rollback(edits.len() as u64 - 2).unwrap();
        assert_same(projection, &data, name);
        projection.verify(&mut Operation::new()).unwrap();
        for edit in &edits {
            projection.apply_incremental_update(edit.clone()).unwrap();
        }
        projection.optimize(&mut Operation::new()).unwrap();
        assert_same(projection, &model, name);
    }
}

#[test]
fn strict_refuses_at_the_end_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.bin");
    let options = ProjectionOptions::new().with_conservation(ConservationPolicy::Strict);
    let operation = &mut Operation::new();
    let config = StreamingConfig::default();
    let mut stream =
        StreamingContext::open_push(Some(&path), LINEAR, &options, config.clone(), operation).unwrap();
    stream.push(&[1, 2], operation).unwrap();
    assert_eq!(stream.finish(operation).unwrap_err().kind(), ErrorKind::Conservation);
    assert_eq!(stream.finish(operation).unwrap_err().kind(), ErrorKind::State);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let mut stream = StreamingContext::open_push(Some(&path), LINEAR, &options, config, operation).unwrap();
    stream.push(&[90, 6], operation).unwrap();
    stream.finish(operation).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), [90, 6]);
}

#[test]
fn the_memory_limit_costs_workers_first_and_refuses_at_once_then() {
    let data = bytes(8 * MIB);
    let source = Source::from_reader(data.len() as u64, Counting::new(&data, u64::MAX));
    let options = ProjectionOptions::new();
    let project = |limit: u64| {
        let mut operation = Operation::new().with_memory_limit(limit);
        stream_projection(&source, LINEAR, &options, StreamingConfig::default(), &mut operation)
    };
    let (least, enough) = (MIB as u64, (MIB + 8 * 1024) as u64);
    assert_eq!(project(least).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(root(&project(enough).unwrap()), root(&in_memory(&data)));

    let push = |limit: u64, spool: Option<&Path>, bytes: usize| {
        let mut operation = Operation::new().with_memory_limit(limit);
        let config = StreamingConfig::new(MIB as u64, 4).unwrap();
        let mut stream = StreamingContext::open_push(spool, LINEAR, &options, config, &mut operation)?;
        for piece in data[..bytes].chunks(77_777) {
            stream.push(piece, &mut operation)?;
        }
        stream.finish(&mut operation)
    };
    assert_eq!(push(4 * MIB as u64, None, 8 * MIB).unwrap_err().kind(), ErrorKind::Limit);
    assert!(push(4 * MIB as u64, None, 3 * MIB).is_ok());
    assert!(push(9 * MIB as u64, None, 8 * MIB).is_ok());
    assert!(push(20_000, None, 10_000).is_ok(), "a small stream needs little");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.bin");
    let made = push(enough + 8 * 1024, Some(&path), 8 * MIB).unwrap();
    assert_eq!(root(&made), root(&in_memory(&data)));
    let error = push(MIB as u64, Some(&path), 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn the_short_forms_give_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let data = bytes(3 * MIB + 3);
    let path = dir.path().join("in.bin");
    std::fs::write(&path, &data).unwrap();
    let config = || StreamingConfig::new(8 * MIB as u64, 4).unwrap();
    assert_same(&stream_large_domain_projection(&data, LINEAR, config()).unwrap(), &data, "memory");
    assert_same(&stream_file_projection(&path, LINEAR, config()).unwrap(), &data, "file");
    let spool = dir.path().join("spool.bin");
    let spooled = stream_reader_projection(&data[..], Some(&spool), LINEAR, config()).unwrap();
    assert_same(&spooled, &data, "spool");
    assert_same(&stream_reader_projection(&data[..], None, LINEAR, config()).unwrap(), &data, "memory");
    let error = stream_file_projection(dir.path().join("absent"), LINEAR, config()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[test]
fn misuse_is_state_and_changes_nothing() {
    let data = bytes(200_000);
    let source = Source::copy(&data).unwrap();
    let operation = &mut Operation::new();
    let options = ProjectionOptions::new();
    let mut pull =
        StreamingContext::open(&source, LINEAR, &options, StreamingConfig::default(), operation).unwrap();
    assert_eq!(pull.push(&[1], operation).unwrap_err().kind(), ErrorKind::State);
    assert_same(&pull.finish(operation).unwrap(), &data, "pull");
    let mut push =
        StreamingContext::open_push(None, LINEAR, &options, StreamingConfig::default(), operation).unwrap();
    push.push(&data, operation).unwrap();
    assert_eq!(push.next(operation).unwrap_err().kind(), ErrorKind::State);
    assert_same(&push.finish(operation).unwrap(), &data, "push");
}

/// Projects as R96: with a K for which a tile is one slice of blocks, and one for which it is many.
#[test]
fn classes_come_of_streams_as_of_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (Pool::new(1).unwrap(), Pool::new(3).unwrap());
    let path = dir.path().join("spool.bin");
    let kind = ProjectionType::R96Fourier;
    for (k, size) in [(64, 0), (64, 2 * MIB + 12_345), (95, MIB + 1), (2, 300_001)] {
        let data = bytes(size);
        let options = ProjectionOptions::new().with_data_classes(k);
        let source = Source::copy(&data).unwrap();
        let wanted = AtlasProjection::create(kind, &source, &options, &mut Operation::new()).unwrap();
        let check = |made: &AtlasProjection, what: &str| {
            assert_eq!((root(made), made.info()), (root(&wanted), wanted.info()), "{what}");
            let mut read = vec![0; size];
            made.read(0, &mut read).unwrap();
            assert!(read == data, "{what}: the bytes differ");
            let classes = |projection: &AtlasProjection| -> Vec<Vec<u8>> {
                let shards = projection.extract_classes(None, &[0, 95, 40], &mut Operation::new());
                shards.unwrap().iter().map(|shard| shard.serialize().unwrap()).collect()
            };
            assert!(classes(made) == classes(&wanted), "{what}: the classes differ");
        };
        let configs = [(64 * KIB, 0, 4 * KIB), (100_000, 100_000, 100_000), (3 * MIB / 2, 77, 3 * MIB)];
        for (chunk, overlap, io) in configs {
            for (pool, parallel) in [(&one, 1), (&two, 3)] {
                for (name, source) in sources(&data, dir.path()) {
                    let config = config(chunk, parallel, overlap, io);
                    let mut operation = Operation::new().with_pool(pool);
                    let made = stream_projection(&source, kind, &options, config, &mut operation);
                    check(&made.unwrap(), &format!("{name}, K {k}, {size} bytes, chunks of {chunk}"));
                }
                for spool in [None, Some(path.as_path())] {
                    let mut operation = Operation::new().with_pool(pool);
                    let config = config(chunk, parallel, 0, io);
                    let mut stream =
                        StreamingContext::open_push(spool, kind, &options, config, &mut operation).unwrap();
                    data.chunks(77_777).for_each(|piece| stream.push(piece, &mut operation).unwrap());
                    let made = stream.finish(&mut operation).unwrap();
                    check(&made, &format!("{spool:?}, K {k}, {size} bytes, chunks of {chunk}"));
                    drop(std::fs::remove_file(&path));
                }
            }
        }
    }
}

/// The bytes are gone: memory stays flat, and nothing pretends to read them.
#[test]
fn a_stream_that_is_only_hashed_has_the_root_and_keeps_no_bytes() {
    let two = Pool::new(2).unwrap();
    for (kind, k) in [(LINEAR, 96), (ProjectionType::R96Fourier, 64)] {
        let options = ProjectionOptions::new().with_data_classes(k);
        for size in [0, 1, MIB - 1, MIB, 9 * MIB + 5] {
            let data = bytes(size);
            let source = Source::copy(&data).unwrap();
            let wanted = AtlasProjection::create(kind, &source, &options, &mut Operation::new()).unwrap();
            // Five tiles and the buffers of two workers, where the data has ten.
            let mut operation = Operation::new().with_pool(&two).with_memory_limit(6 << 20);
            let config = config(64 * KIB, 2, 0, MIB);
            let mut stream = StreamingContext::open_hash(kind, &options, config, &mut operation).unwrap();
            data.chunks(300_001).for_each(|piece| stream.push(piece, &mut operation).unwrap());
            let made = stream.finish(&mut operation).unwrap();
            assert_eq!((root(&made), made.info()), (root(&wanted), wanted.info()), "{size}");
            if size > 0 {
                assert_eq!(made.read(0, &mut [0]).unwrap_err().kind(), ErrorKind::Io);
                assert_eq!(made.verify(&mut Operation::new()).unwrap_err().kind(), ErrorKind::Io);
            }
        }
    }
}
