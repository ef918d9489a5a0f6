use super::*;
pub(crate) use crate::base::split_mix::SplitMix64 as Random;
use crate::base::units::{GROUP_SIZE, TILE_BYTES, TILE_SIZE};
use crate::exec::pool::Executor;
use crate::hash::tile_tree::Merkle;
use crate::projection::state::leaf;
use crate::source::{ReadAt, Source};
use crate::tile::options::{ProjectionOptions, ProjectionType};
use crate::tile::scheme::Workspace;
use crate::{AtlasBoundaryRegion, VerifyOptions};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

mod cache;
#[cfg(feature = "streaming")]
mod mapping;

/// Bytes behind a callback, which can change.
#[derive(Clone)]
struct Store(Arc<Mutex<Vec<u8>>>);

impl Store {
    fn new(bytes: &[u8]) -> Store {
        Store(Arc::new(Mutex::new(bytes.to_vec())))
    }

    fn source(&self) -> Source {
        Source::from_reader(self.0.lock().unwrap().len() as u64, self.clone())
    }

    /// Swaps two bytes, which does not change the sum.
    fn swap(&self, at: usize) {
        let mut bytes = self.0.lock().unwrap();
        assert_ne!(bytes[at], bytes[at - 1]);
        bytes.swap(at, at - 1);
    }
}

impl ReadAt for Store {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let bytes = self.0.lock().unwrap();
        buffer.copy_from_slice(&bytes[offset as usize..][..buffer.len()]);
        Ok(())
    }
}

fn op() -> Operation<'static> {
    Operation::sequential()
}

fn linear(source: &Source) -> AtlasProjection {
    let options = ProjectionOptions::new();
    AtlasProjection::create(ProjectionType::Linear, source, &options, &mut op()).unwrap()
}

fn contents(projection: &AtlasProjection) -> Vec<u8> {
    let mut bytes = vec![0; projection.info().domain_size as usize];
    projection.read(0, &mut bytes).unwrap();
    bytes
}

/// Compares bytes, size, residue and the bound on the number of tiles with a model.
fn check_against(projection: &AtlasProjection, model: &[u8], what: &str) {
    let info = projection.info();
    assert_eq!(info.domain_size, model.len() as u64, "{what}");
    assert!(contents(projection) == model, "{what}: the bytes differ");
    assert_eq!(info.residue, Residue::of(model), "{what}");
    assert!(info.tile_count <= 2 * info.domain_size.div_ceil(TILE_BYTES) + 8, "{what}");
    let state = projection.state();
    let tiles = state.tree.all();
    for pair in tiles.windows(2) {
        assert!(pair[0].tile.len() + pair[1].tile.len() > TILE_SIZE, "{what}: two small neighbours");
    }
    for at in &tiles {
        assert!((1..=TILE_SIZE).contains(&at.tile.len()), "{what}");
    }
}

/// The root and every witness, from the bytes of the model alone.
fn check_root(projection: &AtlasProjection, model: &[u8], what: &str) {
    let root = projection.root(&mut op()).unwrap();
    let state = projection.state();
    let leaves: Vec<_> = state
        .tree
        .all()
        .iter()
        .map(|at| {
            let bytes = &model[at.offset.0 as usize..][..at.tile.len()];
            let want =
                state.context.scheme.witness(bytes, &mut Workspace::default(), Executor::Inline).unwrap();
            assert_eq!(at.tile.witness(), Some(&want), "{what}: {:?}", at.tile);
            assert_eq!(at.tile.residue(), Residue::of(bytes), "{what}");
            leaf(at).unwrap()
        })
        .collect();
    let scheme = &state.context.scheme;
    let header = state.root_header();
    let merkle = Merkle::new(scheme.digests(), scheme.root_kind(), header.tiles, leaves.into_iter());
    let merkle = merkle.unwrap();
    assert_eq!(root, *merkle.root(), "{what}");
    // The nodes of the tile tree give the same root, if the tree is regular.
    if state.tree.is_regular() {
        let digests = scheme.digests();
        assert_eq!(header.root(digests, &state.tree.top(digests).unwrap()), root, "{what}");
        for range in
            [0..header.tiles.min(1), header.tiles / 3..header.tiles / 2, header.tiles / 2..header.tiles]
        {
            let proof = state.tree.prove(digests, &range).unwrap();
            assert_eq!(proof, merkle.prove(&range).unwrap(), "{what}: {range:?}");
        }
    }
    if !model.is_empty() {
        let region = AtlasBoundaryRegion { offset: model.len() as u64 / 2, length: 1 };
        let shard = projection.extract_shard(&region, &mut op()).unwrap();
        let mut options = VerifyOptions::new().with_root(root);
        if projection.info().keyed {
            options = options.with_key(&KEY);
        }
        shard.verify(&options, &mut op()).unwrap();
    }
}

/// A random offset, often near a boundary of tiles, groups or pages.
fn place(random: &mut Random, size: u64) -> u64 {
    let anywhere = random.below(size + 1);
    match random.below(8) {
        0 => 0,
        1 => size,
        2 => (anywhere / TILE_BYTES * TILE_BYTES).saturating_sub(random.below(2)),
        3 => (anywhere / 16_384 * 16_384 + random.below(2)).min(size),
        _ => anywhere,
    }
}

fn delta(random: &mut Random, model: &mut Vec<u8>, large: bool) -> ProjectionDelta {
    let size = model.len() as u64;
    let start = place(random, size);
    let most = if large && random.below(4) == 0 { 2 * TILE_BYTES } else { 3_000 };
    let len = match random.below(5) {
        0 => 0,
        1 => random.below(10),
        _ => random.below(most),
    };
    let end = (start + len).min(size);
    let range = start as usize..end as usize;
    match random.below(if size > 3 * TILE_BYTES { 7 } else { 9 }) {
        0 | 1 => {
            model.drain(range);
            ProjectionDelta::delete(start, end)
        }
        2 | 3 => {
            let to = place(random, size);
            let to = if to > start && to < end { end } else { to };
            let cut: Vec<u8> = model.drain(range).collect();
            let at = if to >= end { to - (end - start) } else { to } as usize;
            model.splice(at..at, cut);
            ProjectionDelta::move_range(start, end, to)
        }
        4 | 5 => {
            let data = random.bytes(end - start);
            model.splice(range, data.iter().copied());
            ProjectionDelta::update(start, end, data)
        }
        6 => {
            let len = random.below(3_000);
            let data = random.bytes(len);
            model.splice(range, data.iter().copied());
            ProjectionDelta::update(start, end, data)
        }
        _ => {
            let data = random.bytes(len);
            model.splice(start as usize..start as usize, data.iter().copied());
            ProjectionDelta::insert(start, data)
        }
    }
}

const KEY: [u8; 32] = [42; 32];

/// Projection of a test script, chosen by its number, so that every type, key, policy and source occurs.
struct Setting {
    large: bool,
    kind: ProjectionType,
    options: ProjectionOptions,
    strict: bool,
    dir: Option<tempfile::TempDir>,
}

impl Setting {
    fn new(seed: u64) -> Setting {
        let large = seed.is_multiple_of(16);
        // A transform is slow in an unoptimised build.
        let kind = if !large && seed % 5 == 1 { ProjectionType::R96Fourier } else { ProjectionType::Linear };
        let strict = seed % 7 == 2;
        let mut options = ProjectionOptions::new();
        if strict {
            options = options.with_conservation(ConservationPolicy::Strict);
        }
        if seed % 4 == 3 {
            options = options.with_key(&KEY);
        }
        let dir = seed.is_multiple_of(11).then(|| tempfile::tempdir().unwrap());
        Setting { large, kind, options, strict, dir }
    }

    fn source(&self, seed: u64, model: &[u8]) -> Source {
        let Some(dir) = &self.dir else {
            return match seed.is_multiple_of(3) {
                true => Store::new(model).source(),
                false => Source::from_vec(model.to_vec()),
            };
        };
        let path = dir.path().join("domain.bin");
        std::fs::write(&path, model).unwrap();
        if cfg!(feature = "streaming") && seed.is_multiple_of(2) {
            return Source::map_untouched(&path);
        }
        Source::open_file(&path).unwrap()
    }

    fn project(&self, source: &Source) -> AtlasProjection {
        AtlasProjection::create(self.kind, source, &self.options, &mut op()).unwrap()
    }

    /// Returns the bytes to append for a sum of 0 mod 96.
    fn balance(&self, model: &mut Vec<u8>) -> Option<ProjectionDelta> {
        let residue = Residue::of(model);
        (self.strict && residue != Residue::ZERO).then(|| {
            let at = model.len() / 3;
            model.insert(at, residue.correction());
            ProjectionDelta::insert(at as u64, vec![residue.correction()])
        })
    }
}

fn script(seed: u64) {
    let mut random = Random(seed);
    let setting = Setting::new(seed);
    let (large, tile) = (setting.large, TILE_BYTES);
    let size = if large {
        [0, 1, tile - 1, tile, tile + 1, 2 * tile, 2 * tile + 5_000][random.below(7) as usize]
    } else {
        random.below(if seed.is_multiple_of(2) { 200 } else { 60_000 })
    };
    let mut model = random.bytes(size);
    setting.balance(&mut model);
    let projection = setting.project(&setting.source(seed, &model));
    let mut history: Vec<Vec<u8>> = Vec::new();
    let mut roots: Vec<Option<crate::Digest>> = Vec::new();
    let mut updates = 0;
    for step in 0..random.below(14) + 2 {
        let what = format!("script {seed}, step {step}");
        match random.below(12) {
            0 => {
                let mut deltas = Vec::new();
                for _ in 0..random.below(5) {
                    history.push(model.clone());
                    deltas.push(delta(&mut random, &mut model, large));
                }
                let unbalanced = model.clone();
                if let Some(last) = setting.balance(&mut model) {
                    let error = projection.apply_incremental_batch(deltas.clone()).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Conservation, "{what}");
                    history.push(unbalanced);
                    deltas.push(last);
                }
                roots.resize(history.len(), None);
                updates += deltas.len() as u64;
                let stats = projection.apply_incremental_batch(deltas.clone()).unwrap();
                assert_eq!(stats.total_updates, deltas.len() as u64);
            }
            1 if !history.is_empty() => {
                let count = random.below(history.len() as u64 + 1);
                let keep = history.len() - count as usize;
                let target = history.get(keep).unwrap_or(&model);
                if setting.strict && Residue::of(target) != Residue::ZERO {
                    assert_eq!(kind_of(projection.rollback(count)), ErrorKind::Conservation);
                } else {
                    projection.rollback(count).unwrap();
                    model = target.clone();
                    if let Some(Some(root)) = roots.get(keep) {
                        assert_eq!(projection.root(&mut op()).unwrap(), *root, "{what}");
                    }
                    history.truncate(keep);
                    roots.truncate(keep);
                }
            }
            2 => check_root(&projection, &model, &what),
            3 => {
                let error = projection
                    .apply_incremental_batch(vec![
                        ProjectionDelta::insert(0, vec![1, 2, 3]),
                        ProjectionDelta::delete(1, model.len() as u64 + 4),
                    ])
                    .unwrap_err();
                assert_eq!((error.kind(), error.index()), (ErrorKind::OutOfRange, Some(1)));
            }
            4 if random.below(3) == 0 => {
                projection.optimize(&mut op()).unwrap();
                history.clear();
                roots.clear();
                assert!(projection.info().canonical);
            }
            _ => {
                let asked = random.below(4) == 0;
                roots.push(asked.then(|| projection.root(&mut op()).unwrap()));
                history.push(model.clone());
                let one = delta(&mut random, &mut model, large);
                let unbalanced = model.clone();
                match setting.balance(&mut model) {
                    None => projection.apply_incremental_update(one).unwrap(),
                    Some(other) => {
                        history.push(unbalanced);
                        roots.push(None);
                        projection.apply_incremental_batch(vec![one, other]).unwrap();
                        updates += 1;
                    }
                }
                updates += 1;
            }
        }
        check_against(&projection, &model, &what);
        assert_eq!(projection.history_len(), history.len() as u64, "{what}");
    }
    assert_eq!(projection.incremental_stats().total_updates, updates);
    check_root(&projection, &model, &format!("script {seed}, end"));
    projection.verify(&mut op()).unwrap();
    projection.optimize(&mut op()).unwrap();
    let fresh = setting.project(&Source::from_vec(model.clone()));
    assert_eq!(projection.root(&mut op()).unwrap(), fresh.root(&mut op()).unwrap(), "script {seed}");
    check_against(&projection, &model, &format!("script {seed}, optimised"));
}

#[test]
fn random_scripts_agree_with_a_vector() {
    (0..2_400).for_each(script);
}

/// `cargo test --lib incremental -- --ignored a_million`
#[test]
#[ignore = "a quarter of an hour of one core"]
fn a_million_random_scripts_agree_with_a_vector() {
    let next = AtomicU64::new(2_400);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    match next.fetch_add(1, Ordering::Relaxed) {
                        seed if seed < 1_002_400 => script(seed),
                        _ => break,
                    }
                }
            });
        }
    });
}

fn kind_of<T>(result: Result<T>) -> ErrorKind {
    result.err().unwrap().kind()
}

#[test]
fn every_error_changes_nothing() {
    let model = Random(1).bytes(TILE_BYTES + 100);
    let projection = linear(&Source::from_vec(model.clone()));
    let size = model.len() as u64;
    projection.apply_incremental_update(ProjectionDelta::insert(5, Vec::new())).unwrap();
    let before = (projection.info(), projection.root(&mut op()).unwrap(), projection.incremental_stats());
    let out_of_range = [
        ProjectionDelta::insert(size + 1, vec![1]),
        ProjectionDelta::update(size, size + 1, vec![1]),
        ProjectionDelta::update(size + 1, size + 1, vec![]),
        ProjectionDelta::delete(0, size + 1),
        ProjectionDelta::delete(u64::MAX, u64::MAX),
        ProjectionDelta::move_range(0, size + 1, 0),
        ProjectionDelta::move_range(0, 1, size + 1),
        ProjectionDelta::move_range(size + 1, size + 1, 0),
    ];
    for delta in out_of_range {
        assert_eq!(kind_of(projection.apply_incremental_update(delta.clone())), ErrorKind::OutOfRange);
        let batch = vec![ProjectionDelta::insert(0, vec![]), delta];
        let error = projection.apply_incremental_batch(batch).unwrap_err();
        assert_eq!((error.kind(), error.index()), (ErrorKind::OutOfRange, Some(1)));
    }
    for delta in [
        ProjectionDelta::move_range(10, 20, 15),
        ProjectionDelta::delete(2, 1),
        ProjectionDelta::update(size, 0, vec![]),
    ] {
        assert_eq!(kind_of(projection.apply_incremental_update(delta)), ErrorKind::InvalidArgument);
    }
    assert_eq!(kind_of(projection.rollback(2)), ErrorKind::OutOfRange);
    assert_eq!(kind_of(projection.rollback(u64::MAX)), ErrorKind::OutOfRange);
    let mut stop = |_: &crate::Progress| false;
    projection.apply_incremental_update(ProjectionDelta::delete(0, 1)).unwrap();
    let mut cancelled = Operation::sequential().with_progress(&mut stop);
    assert_eq!(kind_of(projection.optimize(&mut cancelled)), ErrorKind::Cancelled);
    assert_eq!(projection.history_len(), 2);
    projection.rollback(1).unwrap();
    let after = (projection.info(), projection.root(&mut op()).unwrap());
    assert_eq!((before.0, before.1), after);
    assert_eq!(projection.history_len(), 1);
    assert_eq!(projection.incremental_stats().total_updates, before.2.total_updates + 1);
    check_against(&projection, &model, "after errors");
}

#[test]
fn a_source_that_changed_under_an_edited_tile_is_a_witness_error() {
    let model = Random(2).bytes(3 * TILE_BYTES);
    for (changed, edit) in [(100, 700_000u64), (700_001, 700_010), (1_048_575, 0), (5_000, 4_990)] {
        for early in [false, true] {
            let store = Store::new(&model);
            let projection = linear(&store.source());
            if early {
                store.swap(changed);
            }
            let update =
                || projection.apply_incremental_update(ProjectionDelta::update(edit, edit + 5, *b"fives"));
            let mut want = model.clone();
            want[edit as usize..edit as usize + 5].copy_from_slice(b"fives");
            if early {
                // The tile is checked before a part of it is summed.
                assert_eq!(kind_of(update()), ErrorKind::Witness);
                check_root(&projection, &model, "refused");
                store.swap(changed);
                update().unwrap();
                check_root(&projection, &want, "the source is back");
                continue;
            }
            update().unwrap();
            store.swap(changed);
            let region = AtlasBoundaryRegion::new(2 * TILE_BYTES, 10);
            if changed / GROUP_SIZE == edit as usize / GROUP_SIZE {
                let error = projection.root(&mut op()).unwrap_err();
                assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(0)), "{changed} {edit}");
                assert_eq!(kind_of(projection.tile(0)), ErrorKind::Witness);
                assert!(projection.tile(1).is_ok());
                assert_eq!(kind_of(projection.extract_shard(&region, &mut op())), ErrorKind::Witness);
                assert_eq!(kind_of(projection.optimize(&mut op())), ErrorKind::Witness);
            } else {
                // The root is still the root of the projected bytes.
                check_root(&projection, &want, "a change beside the edit");
                assert!(projection.extract_shard(&region, &mut op()).is_ok());
            }
            assert_eq!(kind_of(projection.verify(&mut op())), ErrorKind::Witness);
            // The refused calls changed nothing.
            store.swap(changed);
            check_root(&projection, &want, "the source is back");
        }
    }
}

#[test]
fn a_change_after_the_first_root_is_found_in_the_groups_that_are_cut_again() {
    let model = Random(3).bytes(TILE_BYTES);
    let store = Store::new(&model);
    let projection = linear(&store.source());
    projection.apply_incremental_update(ProjectionDelta::update(10, 11, vec![9])).unwrap();
    projection.root(&mut op()).unwrap();
    store.swap(20);
    let update = || projection.apply_incremental_update(ProjectionDelta::update(30, 31, vec![9]));
    assert_eq!(kind_of(update()), ErrorKind::Witness);
    store.swap(20);
    update().unwrap();
    projection.root(&mut op()).unwrap();
}

#[test]
fn many_tiny_pieces_are_flattened_and_never_from_a_changed_source() {
    let mut model = Random(4).bytes(TILE_BYTES);
    let store = Store::new(&model);
    let projection = linear(&store.source());
    let mut random = Random(5);
    for step in 0..2_000 {
        let at = random.below(TILE_BYTES / 8);
        let byte = random.bytes(1);
        model[at as usize] = byte[0];
        projection.apply_incremental_update(ProjectionDelta::update(at, at + 1, byte)).unwrap();
        if step % 400 == 0 {
            check_root(&projection, &model, "tiny updates");
        }
    }
    let state = projection.state();
    let pieces = state.tree.all()[0].tile.pieces().len();
    // Eight windows of five pieces each, and the rest of the tile.
    assert!(pieces <= 8 * 5 + 1, "{pieces} pieces");
    check_against(&projection, &model, "tiny updates");
    store.swap(900_000);
    let update = |step: u64| {
        let at = 890_000 + step * 3;
        projection.apply_incremental_update(ProjectionDelta::update(at, at + 1, vec![1])).err()
    };
    let error = (0..20).find_map(update).unwrap();
    assert_eq!(error.kind(), ErrorKind::Witness);
    store.swap(900_000);
    assert!((0..20).find_map(update).is_none());
    projection.root(&mut op()).unwrap();
}

#[test]
fn an_update_of_the_same_size_moves_no_tile_edge() {
    let projection = linear(&Source::from_vec(Random(6).bytes(5 * TILE_BYTES)));
    projection.apply_incremental_update(ProjectionDelta::insert(700_000, vec![1; 5_000])).unwrap();
    let edges = || -> Vec<u64> { projection.state().tree.all().iter().map(|at| at.offset.0).collect() };
    let before = edges();
    for (start, end) in [(0, 5 * TILE_BYTES + 5_000), (1, 2 * TILE_BYTES), (704_999, 705_001)] {
        let data = Random(7).bytes(end - start);
        projection.apply_incremental_update(ProjectionDelta::update(start, end, data)).unwrap();
        assert_eq!(edges(), before);
    }
    let mut want = contents(&projection);
    want[0] = 1;
    projection.apply_incremental_update(ProjectionDelta::update(0, 1, vec![1])).unwrap();
    check_root(&projection, &want, "whole updates");
}

#[test]
fn a_strict_projection_refuses_what_is_missing_and_takes_what_is_balanced() {
    let options = ProjectionOptions::new().with_conservation(ConservationPolicy::Strict);
    let source = Source::from_vec(vec![96; 1_000]);
    let projection = AtlasProjection::create(ProjectionType::Linear, &source, &options, &mut op()).unwrap();
    let error = projection.apply_incremental_update(ProjectionDelta::insert(3, vec![5, 6])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conservation);
    assert!(error.message().contains("add bytes that sum to 85"), "{error}");
    check_against(&projection, &[96; 1_000], "refused");
    assert_eq!(projection.history_len(), 0);
    assert_eq!(projection.incremental_stats().conservation_violations, 1);
    projection
        .apply_incremental_batch(vec![
            ProjectionDelta::insert(3, vec![5, 6]),
            ProjectionDelta::update(10, 11, vec![85]),
        ])
        .unwrap();
    assert_eq!(kind_of(projection.rollback(1)), ErrorKind::Conservation);
    assert_eq!(projection.history_len(), 2);
    projection.rollback(2).unwrap();
    check_against(&projection, &[96; 1_000], "rolled back");
    projection.apply_incremental_update(ProjectionDelta::move_range(0, 10, 500)).unwrap();
    let stats = projection.incremental_stats();
    assert_eq!((stats.total_updates, stats.rollbacks, stats.conservation_violations), (3, 1, 2));
}

#[test]
fn the_history_is_bounded_and_can_be_off() {
    let projection = linear(&Source::from_vec(vec![0; 100]));
    let insert = || projection.apply_incremental_update(ProjectionDelta::insert(0, vec![1])).unwrap();
    let configure = |enable_rollback, max_deltas| {
        let config = IncrementalConfig { enable_rollback, max_deltas, ..IncrementalConfig::default() };
        projection.configure_incremental(&config);
    };
    configure(true, 3);
    (0..5).for_each(|_| insert());
    assert_eq!(projection.history_len(), 3);
    configure(true, 2);
    assert_eq!(projection.history_len(), 2);
    projection.rollback(2).unwrap();
    assert_eq!(projection.info().domain_size, 103);
    projection.apply_incremental_batch(vec![ProjectionDelta::delete(0, 1); 5]).unwrap();
    assert_eq!(projection.history_len(), 2);
    configure(false, 2);
    assert_eq!(projection.history_len(), 0);
    insert();
    configure(true, 0);
    insert();
    assert_eq!((projection.history_len(), projection.info().domain_size), (0, 100));
}

#[test]
fn snapshots_go_their_own_way() {
    let mut model = Random(8).bytes(2 * TILE_BYTES);
    let projection = linear(&Source::from_vec(model.clone()));
    projection.apply_incremental_update(ProjectionDelta::delete(7, 8)).unwrap();
    model.remove(7);
    let snapshot = projection.snapshot();
    let root = projection.root(&mut op()).unwrap();
    assert_eq!(snapshot.history_len(), 0);
    snapshot.apply_incremental_update(ProjectionDelta::insert(0, vec![1, 2])).unwrap();
    projection.apply_incremental_update(ProjectionDelta::delete(0, 1_500_000)).unwrap();
    let other = [&[1, 2][..], &model].concat();
    check_root(&snapshot, &other, "snapshot");
    check_root(&projection, &model[1_500_000..], "original");
    drop(snapshot);
    projection.rollback(1).unwrap();
    assert_eq!(projection.root(&mut op()).unwrap(), root);
}

#[test]
fn shards_of_an_old_state_stay_valid_against_its_root() {
    let projection = linear(&Source::from_vec(Random(9).bytes(2 * TILE_BYTES)));
    projection.apply_incremental_update(ProjectionDelta::insert(5_000, vec![1; 9_000])).unwrap();
    let root = projection.root(&mut op()).unwrap();
    let shard = projection.extract_shard(&AtlasBoundaryRegion::new(4_000, 20_000), &mut op()).unwrap();
    projection.apply_incremental_update(ProjectionDelta::delete(0, 30_000)).unwrap();
    shard.verify(&VerifyOptions::new().with_root(root), &mut op()).unwrap();
    let now = projection.root(&mut op()).unwrap();
    assert_eq!(kind_of(shard.verify(&VerifyOptions::new().with_root(now), &mut op())), ErrorKind::Witness);
}

#[test]
fn readers_see_the_state_before_or_after_an_update_and_never_a_mixture() {
    // In each state all bytes have one value, and the domain has 1 MiB plus that many bytes.
    let domain = |byte: u8| vec![byte; TILE_SIZE + byte as usize];
    let projection = linear(&Source::from_vec(domain(0)));
    let stop = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while stop.load(Ordering::Relaxed) == 0 {
                    let snapshot = projection.snapshot();
                    let bytes = contents(&snapshot);
                    assert_eq!(bytes.len(), TILE_SIZE + bytes[0] as usize);
                    assert!(bytes.iter().all(|byte| *byte == bytes[0]));
                    let mut part = [0; 300];
                    projection.read(TILE_BYTES - 300, &mut part).unwrap();
                    assert!(part.iter().all(|byte| *byte == part[0]));
                    assert_eq!(snapshot.info().residue, Residue::of(&bytes));
                    snapshot.root(&mut op()).unwrap();
                }
            });
        }
        for round in 1..60u8 {
            let size = projection.info().domain_size;
            projection.apply_incremental_update(ProjectionDelta::update(0, size, domain(round))).unwrap();
            if round % 7 == 0 {
                projection.rollback(1).unwrap();
            }
        }
        stop.store(1, Ordering::Relaxed);
    });
}

#[test]
fn a_domain_becomes_empty_and_grows_again() {
    let projection = linear(&Source::from_vec(Vec::new()));
    let empty = projection.root(&mut op()).unwrap();
    let model = Random(10).bytes(3 * TILE_BYTES + 17);
    projection.apply_incremental_update(ProjectionDelta::insert(0, model.clone())).unwrap();
    check_root(&projection, &model, "grown");
    let fresh = linear(&Source::from_vec(model.clone()));
    assert_eq!(projection.root(&mut op()).unwrap(), fresh.root(&mut op()).unwrap());
    projection.apply_incremental_update(ProjectionDelta::delete(0, model.len() as u64)).unwrap();
    assert_eq!(projection.info().tile_count, 0);
    assert_eq!(projection.root(&mut op()).unwrap(), empty);
    projection.optimize(&mut op()).unwrap();
    assert_eq!(projection.root(&mut op()).unwrap(), empty);
    projection.apply_incremental_update(ProjectionDelta::update(0, 0, vec![1])).unwrap();
    check_root(&projection, &[1], "one byte");
}

#[test]
fn a_context_counts_its_own_series() {
    let projection = linear(&Source::from_vec(vec![0; 10]));
    projection.apply_incremental_update(ProjectionDelta::insert(0, vec![1])).unwrap();
    let mut context = IncrementalUpdateContext::new(&projection, &IncrementalConfig::default());
    context.apply(ProjectionDelta::delete(0, 1)).unwrap();
    context
        .apply_batch(vec![ProjectionDelta::move_range(0, 2, 5), ProjectionDelta::update(0, 3, vec![1; 7])])
        .unwrap();
    context.rollback(1).unwrap();
    let stats = context.stats();
    assert_eq!((stats.total_updates, stats.delete_operations, stats.move_operations), (3, 1, 1));
    assert_eq!((stats.update_operations, stats.insert_operations, stats.rollbacks), (1, 0, 1));
    assert_eq!(stats.bytes_modified, 1 + 2 + 7);
    assert_eq!(context.projection().incremental_stats().total_updates, 4);
}
