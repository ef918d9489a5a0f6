//! Garbage, memory and reads of updates.

use super::*;
use crate::exec::pool::Pool;
use std::sync::mpsc;
use std::time::Duration;

const MIB: u64 = TILE_BYTES;

/// A source that counts its drops.
struct Counted {
    bytes: Vec<u8>,
    drops: Arc<AtomicU64>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::Relaxed);
    }
}

/// A projection that alone holds its source, and the count of the source's drops.
fn counted(size: u64) -> (AtlasProjection, Arc<AtomicU64>) {
    let drops = Arc::new(AtomicU64::new(0));
    let bytes = Random(1).bytes(size);
    let source = Source::from_shared(Arc::new(Counted { bytes, drops: Arc::clone(&drops) }));
    (linear(&source), drops)
}

fn no_history(projection: &AtlasProjection) {
    projection.configure_incremental(&IncrementalConfig { max_deltas: 0, ..IncrementalConfig::default() });
}

fn overwrite(projection: &AtlasProjection, salt: u64) {
    let size = projection.info().domain_size;
    projection.apply_incremental_update(ProjectionDelta::update(0, size, Random(salt).bytes(size))).unwrap();
}

fn waiting(projection: &AtlasProjection) -> usize {
    projection.state().cache.reclaimer.waiting()
}

type Call = fn(&AtlasProjection);

#[test]
fn a_source_is_released_when_nothing_needs_it() {
    let calls: [(&str, Call); 4] = [
        ("configure", no_history),
        ("optimize", |projection| projection.optimize(&mut op()).unwrap()),
        ("reading", |projection| {
            let config = IncrementalConfig { max_deltas: 1, ..IncrementalConfig::default() };
            projection.configure_incremental(&config);
            overwrite(projection, 3);
            (0..600).for_each(|_| projection.read(0, &mut [0]).unwrap());
        }),
        ("roots", |projection| {
            no_history(projection);
            overwrite(projection, 3);
            (0..9).for_each(|_| assert!(projection.root(&mut op()).is_ok()));
        }),
    ];
    for (name, call) in calls {
        let (projection, drops) = counted(3 * MIB + 5);
        overwrite(&projection, 2);
        assert_eq!(drops.load(Ordering::Relaxed), 0, "{name}");
        call(&projection);
        assert_eq!(drops.load(Ordering::Relaxed), 1, "{name}");
        assert_eq!(waiting(&projection), 0, "{name}");
    }
}

#[test]
fn what_a_destroyed_projection_held_is_freed_though_a_snapshot_lives() {
    let (projection, drops) = counted(2 * MIB);
    overwrite(&projection, 2);
    projection.root(&mut op()).unwrap();
    let snapshot = projection.snapshot();
    drop(projection);
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    check_root(&snapshot, &Random(2).bytes(2 * MIB), "the snapshot");
}

#[test]
fn dropped_states_do_not_pile_up() {
    let (projection, _) = counted(8 * MIB);
    no_history(&projection);
    for salt in 0..50 {
        overwrite(&projection, salt);
        // Only the state that this call dropped is waiting, and no earlier state.
        assert!(waiting(&projection) <= 2, "{} after {salt}", waiting(&projection));
    }
    // The states of many undone or forgotten edits are freed by the edits that follow.
    let mut random = Random(1);
    projection.configure_incremental(&IncrementalConfig::default());
    for round in 0..6 {
        for _ in 0..100 {
            let at = random.below(8 * MIB);
            projection.apply_incremental_update(ProjectionDelta::insert(at, vec![7; 300])).unwrap();
        }
        if round % 2 == 0 {
            projection.rollback(100).unwrap();
            let at_first = waiting(&projection);
            for _ in 0..100 {
                projection.apply_incremental_update(ProjectionDelta::delete(9, 10)).unwrap();
            }
            assert!(at_first >= 100 && waiting(&projection) < 9, "{}", waiting(&projection));
        } else {
            projection.optimize(&mut op()).unwrap();
            assert_eq!(waiting(&projection), 0);
        }
    }
}

/// The amount freed by one call is bounded, even if one delta added much.
#[test]
fn data_of_any_size_are_held_in_chunks() {
    let (projection, _) = counted(MIB);
    let data = Random(4).bytes(3 * MIB + 70_000);
    let model = [&Random(1).bytes(MIB)[..500], &data, &Random(1).bytes(MIB)[500..]].concat();
    projection.apply_incremental_update(ProjectionDelta::insert(500, data)).unwrap();
    check_root(&projection, &model, "inserted");
    let mut model = model;
    let data = Random(5).bytes(2 * MIB + 1);
    model[700_000..700_000 + data.len()].copy_from_slice(&data);
    let end = 700_000 + data.len() as u64;
    projection.apply_incremental_update(ProjectionDelta::update(700_000, end, data)).unwrap();
    check_root(&projection, &model, "overwritten");
    check_against(&projection, &model, "overwritten");
    let state = projection.state();
    for at in state.tree.all() {
        for piece in at.tile.pieces().iter().filter(|piece| piece.extent().witness().is_none()) {
            assert!(piece.extent().source_size() <= MIB);
        }
    }
}

#[test]
fn optimize_holds_no_lock_while_it_reports() {
    let model = Random(6).bytes(3 * MIB);
    let projection = linear(&Source::from_vec(model.clone()));
    projection.apply_incremental_update(ProjectionDelta::insert(10, vec![1])).unwrap();
    std::thread::scope(|scope| {
        let (start, started) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let projection = &projection;
        scope.spawn(move || {
            started.recv().unwrap();
            projection.apply_incremental_update(ProjectionDelta::update(0, 2, vec![8, 9])).unwrap();
            projection.apply_incremental_update(ProjectionDelta::insert(2 * MIB, vec![5; 7])).unwrap();
            end.send(()).unwrap();
        });
        let mut calls = 0;
        let mut edit = |_: &crate::Progress| {
            if calls == 0 {
                start.send(()).unwrap();
                ended.recv_timeout(Duration::from_secs(20)).unwrap();
            }
            calls += 1;
            true
        };
        projection.optimize(&mut Operation::sequential().with_progress(&mut edit)).unwrap();
    });
    let mut want = [&model[..10], &[1], &model[10..]].concat();
    want[..2].copy_from_slice(&[8, 9]);
    want.splice(2 * TILE_SIZE..2 * TILE_SIZE, [5; 7]);
    check_against(&projection, &want, "edited meanwhile");
    assert!(projection.info().canonical && projection.history_len() == 0);
    let fresh = linear(&Source::from_vec(want)).root(&mut op()).unwrap();
    assert_eq!(projection.root(&mut op()).unwrap(), fresh);
}

#[test]
fn calls_with_nothing_left_to_hash_report_once_and_can_be_cancelled() {
    let projection = linear(&Source::from_vec(Random(7).bytes(MIB + 9)));
    projection.apply_incremental_update(ProjectionDelta::insert(10, vec![1])).unwrap();
    projection.rollback(1).unwrap();
    let no_effect = || projection.apply_incremental_update(ProjectionDelta::delete(7, 7)).unwrap();
    let root: fn(&AtlasProjection, &mut Operation<'_>) -> Result<()> = |p, run| p.root(run).map(drop);
    for call in [root, AtlasProjection::optimize] {
        for answer in [false, true] {
            no_effect();
            let mut calls = Vec::new();
            let mut record = |progress: &crate::Progress| {
                calls.push(progress.bytes_done == progress.bytes_total);
                answer
            };
            let outcome = call(&projection, &mut Operation::sequential().with_progress(&mut record));
            assert_eq!(calls, [true]);
            assert_eq!(outcome.err().map(|error| error.kind()), (!answer).then_some(ErrorKind::Cancelled));
        }
    }
}

#[test]
fn memory_limits_count_what_is_made_and_not_the_domain() {
    let model = Random(8).bytes(40 * MIB);
    let projection = linear(&Source::from_vec(model));
    let worker = MIB + 2 * 16_384;
    projection.apply_incremental_update(ProjectionDelta::update(5, 6, vec![1])).unwrap();
    // The lists of the edited tile are some 130 bytes.
    assert_eq!(kind_of(projection.root(&mut op().with_memory_limit(worker))), ErrorKind::Limit);
    projection.root(&mut op().with_memory_limit(worker + 200)).unwrap();
    projection.apply_incremental_update(ProjectionDelta::insert(5, vec![1])).unwrap();
    let before = projection.info();
    for limit in [100, 3_000, worker] {
        assert_eq!(kind_of(projection.optimize(&mut op().with_memory_limit(limit))), ErrorKind::Limit);
    }
    assert_eq!((projection.info(), projection.history_len()), (before, 2));
    projection.optimize(&mut op().with_memory_limit(worker + 40 * 1_024)).unwrap();
}

#[test]
fn each_tile_that_an_optimization_makes_counts_towards_the_memory_limit() {
    const INSERTED: u64 = 8;
    let least = |tiles: u64| {
        let source = Source::from_vec(vec![7; (tiles * MIB) as usize]);
        let (mut refused, mut least) = (0, 4 * MIB);
        while refused + 1 < least {
            let middle = (refused + least) / 2;
            let projection = linear(&source);
            // All tiles after the first insertion begin at other offsets, and are cut in many pieces.
            for at in (0..tiles * MIB).step_by((MIB / INSERTED) as usize) {
                projection.apply_incremental_update(ProjectionDelta::insert(at + 5, vec![1])).unwrap();
            }
            let done = projection.optimize(&mut op().with_memory_limit(middle));
            *(if done.is_ok() { &mut least } else { &mut refused }) = middle;
        }
        least
    };
    // Besides the tile itself, each tile has its pieces, old and inserted, and a place in lists and in the tree.
    let each = (least(9) - least(4)) / 5;
    let pieces = 2 * INSERTED as usize * size_of::<crate::tile::piece::Piece>();
    let parts = (size_of::<crate::tile::Tile>() + pieces) as u64 + crate::tile::tree_footprint();
    assert!((parts..2 * parts).contains(&each), "{each} bytes, and the parts have {parts}");
}

#[test]
fn hashing_edits_keeps_outboards_only_within_the_memory_limit() {
    // Returns the number of tiles that have an outboard afterwards. `None` means that the call failed with LIMIT.
    let kept = |limit: u64| {
        let projection = linear(&Source::from_vec(vec![7; (8 * MIB) as usize]));
        for tile in 0..8 {
            let at = tile * MIB + 5;
            projection.apply_incremental_update(ProjectionDelta::update(at, at + 1, vec![1])).unwrap();
        }
        let hashed = projection.root(&mut op().with_memory_limit(limit));
        let tiles = || projection.state().tree.all();
        hashed.is_ok().then(|| tiles().iter().filter(|at| at.tile.outboard().is_some()).count())
    };
    let (mut refused, mut least) = (0, 4 * MIB);
    while refused + 1 < least {
        let middle = (refused + least) / 2;
        *(if kept(middle).is_some() { &mut least } else { &mut refused }) = middle;
    }
    assert_eq!(kept(least), Some(0));
    assert_eq!(kept(u64::MAX), Some(8));
}

/// Counts the bytes that are read from a store, and can return a wrong byte for one read.
#[derive(Clone)]
struct Reads {
    store: Store,
    bytes: Arc<AtomicU64>,
    calls: Arc<AtomicU64>,
    /// Number of the read that returns a wrong byte.
    wrong: Arc<AtomicU64>,
}

impl Reads {
    fn new(bytes: &[u8]) -> Reads {
        let count = || Arc::new(AtomicU64::new(0));
        let wrong = Arc::new(AtomicU64::new(u64::MAX));
        Reads { store: Store::new(bytes), bytes: count(), calls: count(), wrong }
    }

    fn source(&self) -> Source {
        Source::from_reader(self.store.0.lock().unwrap().len() as u64, self.clone())
    }

    /// Returns the bytes and calls since the last call of this function.
    fn take(&self) -> (u64, u64) {
        (self.bytes.swap(0, Ordering::Relaxed), self.calls.swap(0, Ordering::Relaxed))
    }

    /// The read after `after` further reads gets a wrong byte in its middle.
    fn answer_wrongly(&self, after: u64) {
        self.take();
        self.wrong.store(after, Ordering::Relaxed);
    }
}

impl ReadAt for Reads {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.store.read_at(offset, buffer)?;
        if self.calls.fetch_add(1, Ordering::Relaxed) == self.wrong.load(Ordering::Relaxed) {
            let middle = buffer.len() / 2;
            buffer[middle] ^= 1;
        }
        Ok(())
    }
}

#[test]
fn a_small_change_reads_and_hashes_a_group_and_not_a_tile() {
    let model = Random(9).bytes(3 * MIB);
    let reads = Reads::new(&model);
    let projection = linear(&reads.source());
    reads.take();
    let update =
        |at| projection.apply_incremental_update(ProjectionDelta::update(at, at + 9, [3; 9])).unwrap();
    update(MIB + 100_000);
    assert_eq!(reads.take(), (MIB, 1), "the tile is checked once");
    projection.root(&mut op()).unwrap();
    let (bytes, _) = reads.take();
    assert!(bytes <= 3 * 16_384, "{bytes}: a root reads the groups that were cut");
    for at in [MIB + 100_500, MIB + 900_000, MIB + 16_384 - 4] {
        update(at);
        projection.root(&mut op()).unwrap();
        let (bytes, _) = reads.take();
        assert!(bytes <= 8 * 16_384, "{bytes} at {at}");
    }
}

#[test]
fn an_insertion_checks_the_tile_that_it_cuts_once() {
    let model = Random(10).bytes(3 * MIB);
    for threads in [1, 2] {
        let reads = Reads::new(&model);
        let projection = linear(&reads.source());
        let pool = Pool::new(threads).unwrap();
        reads.take();
        projection.apply_incremental_update(ProjectionDelta::insert(MIB + 500_000, vec![1; 5_000])).unwrap();
        assert_eq!(reads.take(), (MIB, 1));
        projection.root(&mut Operation::new().with_pool(&pool)).unwrap();
        // Moved bytes are read again, group by group.
        assert!(reads.take().0 <= MIB - 500_000 + 2 * 16_384);
    }
}

#[test]
fn a_misread_while_an_edit_is_made_leaves_nothing_behind() {
    let model = Random(11).bytes(2 * MIB);
    let reads = Reads::new(&model);
    let projection = linear(&reads.source());
    for delta in [
        ProjectionDelta::insert(MIB + 99, vec![4; 5]),
        ProjectionDelta::update(MIB + 5_000, MIB + 5_010, vec![4; 11]),
        ProjectionDelta::delete(MIB - 40_000, MIB + 3),
        ProjectionDelta::move_range(10, 20_000, MIB),
        ProjectionDelta::update(77, 99, vec![4; 22]),
    ] {
        let before = projection.info();
        reads.answer_wrongly(0);
        let error = projection.apply_incremental_update(delta.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Witness, "{delta:?}");
        assert_eq!(projection.info(), before);
        reads.answer_wrongly(u64::MAX);
        projection.apply_incremental_update(delta).unwrap();
        let bytes = contents(&projection);
        check_root(&projection, &bytes, "after a misread");
    }
}

#[test]
fn an_update_reads_its_tile_once_whether_its_conservation_is_checked_or_not() {
    let model = Random(12).bytes(MIB);
    for validate_conservation in [true, false] {
        let reads = Reads::new(&model);
        let projection = linear(&reads.source());
        projection.configure_incremental(&IncrementalConfig {
            validate_conservation,
            ..IncrementalConfig::default()
        });
        // Both cuts and the replaced bytes come from that read.
        let update = || ProjectionDelta::update(100_000, 100_100, vec![1; 100]);
        reads.answer_wrongly(0);
        assert_eq!(kind_of(projection.apply_incremental_update(update())), ErrorKind::Witness);
        assert_eq!((reads.take().1, projection.history_len()), (1, 0));
        reads.answer_wrongly(u64::MAX);
        check_against(&projection, &model, "refused");
        reads.take();
        projection.apply_incremental_update(update()).unwrap();
        assert!(reads.take().1 <= 3);
    }
}

#[test]
fn the_root_of_a_state_that_had_one_is_known_after_a_rollback() {
    let reads = Reads::new(&Random(13).bytes(2 * MIB));
    let projection = linear(&reads.source());
    projection.apply_incremental_update(ProjectionDelta::insert(9, vec![1])).unwrap();
    let root = projection.root(&mut op()).unwrap();
    for at in [5, MIB, MIB + 77] {
        projection.apply_incremental_update(ProjectionDelta::delete(at, at + 9)).unwrap();
    }
    projection.rollback(3).unwrap();
    reads.take();
    assert_eq!(projection.root(&mut op()).unwrap(), root);
    assert_eq!(reads.take(), (0, 0));
    let bytes = contents(&projection);
    check_root(&projection, &bytes, "after a rollback");
}

#[test]
fn a_snapshot_and_its_original_are_edited_at_once() {
    let model = Random(14).bytes(4 * MIB);
    let projection = linear(&Source::from_vec(model.clone()));
    let snapshot = projection.snapshot();
    let edit = |projection: &AtlasProjection, salt: u64| {
        let (mut random, mut model) = (Random(salt), model.clone());
        for _ in 0..60 {
            let delta = delta(&mut random, &mut model, false);
            projection.apply_incremental_update(delta).unwrap();
            projection.root(&mut op()).unwrap();
        }
        check_root(projection, &model, "edited at once");
        check_against(projection, &model, "edited at once");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| edit(&projection, 1));
        scope.spawn(|| edit(&snapshot, 2));
    });
}

#[test]
fn writers_optimisers_and_undoers_go_together() {
    let projection = linear(&Store::new(&Random(15).bytes(3 * MIB)).source());
    std::thread::scope(|scope| {
        for salt in 0..2 {
            let projection = &projection;
            scope.spawn(move || {
                let mut random = Random(salt);
                for _ in 0..60 {
                    let at = random.below(2 * MIB);
                    let insert = ProjectionDelta::insert(at, random.bytes(100));
                    projection.apply_incremental_update(insert).unwrap();
                    let update = ProjectionDelta::update(at, at + 50, random.bytes(50));
                    projection.apply_incremental_batch(vec![update, ProjectionDelta::delete(0, 90)]).unwrap();
                }
            });
        }
        scope.spawn(|| (0..12).for_each(|_| projection.optimize(&mut op()).unwrap()));
        scope.spawn(|| {
            for _ in 0..40 {
                if let Err(error) = projection.rollback(1) {
                    assert_eq!(error.kind(), ErrorKind::OutOfRange);
                }
            }
        });
        scope.spawn(|| (0..20).for_each(|_| projection.snapshot().verify(&mut op()).unwrap()));
    });
    projection.verify(&mut op()).unwrap();
    let bytes = contents(&projection);
    check_against(&projection, &bytes, "after all");
    check_root(&projection, &bytes, "after all");
    projection.optimize(&mut op()).unwrap();
    let fresh = linear(&Source::from_vec(bytes)).root(&mut op()).unwrap();
    assert_eq!(projection.root(&mut op()).unwrap(), fresh);
}
