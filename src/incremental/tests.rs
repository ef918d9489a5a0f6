use super::*;
use crate::digest::digest256;
use crate::geometry::{TILE_BYTES, TILE_SIZE};
use crate::merkle::Merkle;
use crate::projection::{ProjectionOptions, ProjectionType, leaf};
use crate::source::{ReadAt, Source};
use crate::{AtlasBoundaryRegion, VerifyOptions};

/// SplitMix64: the scripts are the same on every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len as usize + 8);
        while bytes.len() < len as usize {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(len as usize);
        bytes
    }
}

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

    fn flip(&self, at: usize) {
        self.0.lock().unwrap()[at] ^= 0x55;
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

/// Bytes, size, residue and the bound of tiles.
fn check_against(projection: &AtlasProjection, model: &[u8], what: &str) {
    let info = projection.info();
    assert_eq!(info.domain_size, model.len() as u64, "{what}");
    assert!(contents(projection) == model, "{what}: the bytes differ");
    assert_eq!(info.residue, Residue::of(model), "{what}");
    assert!(info.tile_count <= 2 * info.domain_size.div_ceil(TILE_BYTES) + 8, "{what}");
    let state = projection.state();
    let tiles: Vec<_> = state.tree.iter_from_tile(0).collect();
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
        .iter_from_tile(0)
        .map(|at| {
            let bytes = &model[at.offset as usize..][..at.tile.len()];
            assert_eq!(at.tile.witness(), Some(&digest256(bytes)), "{what}: {:?}", at.tile);
            assert_eq!(at.tile.residue(), Residue::of(bytes), "{what}");
            leaf(at).unwrap()
        })
        .collect();
    let head = state.head();
    let merkle = Merkle::new(&state.config.digests, head.kind, head.classes, head.tiles, leaves.into_iter());
    assert_eq!(root, *merkle.unwrap().root(), "{what}");
    if !model.is_empty() {
        let region = AtlasBoundaryRegion { offset: model.len() as u64 / 2, length: 1 };
        let shard = projection.extract_shard(&region, &mut op()).unwrap();
        let options = VerifyOptions::new().with_root(root);
        shard.verify(&options, &mut op()).unwrap();
    }
}

/// A place near something that matters, or anywhere.
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

fn script(seed: u64) {
    let mut random = Random(seed);
    let large = seed.is_multiple_of(16);
    let tile = TILE_BYTES;
    let size = if large {
        [0, 1, tile - 1, tile, tile + 1, 2 * tile, 2 * tile + 5_000][random.below(7) as usize]
    } else {
        random.below(if seed.is_multiple_of(2) { 200 } else { 60_000 })
    };
    let mut model = random.bytes(size);
    let source =
        if seed.is_multiple_of(3) { Store::new(&model).source() } else { Source::from_vec(model.clone()) };
    let projection = linear(&source);
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
                    roots.push(None);
                    deltas.push(delta(&mut random, &mut model, large));
                }
                updates += deltas.len() as u64;
                let stats = projection.apply_incremental_batch(deltas.clone()).unwrap();
                assert_eq!(stats.total_updates, deltas.len() as u64);
            }
            1 if !history.is_empty() => {
                let count = random.below(history.len() as u64 + 1);
                projection.rollback(count).unwrap();
                if count > 0 {
                    let keep = history.len() - count as usize;
                    model = history[keep].clone();
                    if let Some(root) = roots[keep] {
                        assert_eq!(projection.root(&mut op()).unwrap(), root, "{what}");
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
                projection.apply_incremental_update(delta(&mut random, &mut model, large)).unwrap();
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
    let fresh = linear(&Source::from_vec(model.clone()));
    assert_eq!(projection.root(&mut op()).unwrap(), fresh.root(&mut op()).unwrap(), "script {seed}");
    check_against(&projection, &model, &format!("script {seed}, optimised"));
}

#[test]
fn random_scripts_agree_with_a_vector() {
    (0..1_600).for_each(script);
}

/// `cargo test --release --lib incremental -- --ignored a_hundred_thousand`
#[test]
#[ignore = "takes minutes"]
fn a_hundred_thousand_random_scripts_agree_with_a_vector() {
    let next = AtomicU64::new(1_600);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    match next.fetch_add(1, Ordering::Relaxed) {
                        seed if seed < 101_600 => script(seed),
                        _ => break,
                    }
                }
            });
        }
    });
}
