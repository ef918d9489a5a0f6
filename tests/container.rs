//! Containers against a plain model: random edits, commits, rollbacks, reopenings and compactions, with a projection
//! in memory beside them, root for root.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::cast_possible_truncation, reason = "test data are small numbers")]

use atlas_manifold::{
    AtlasProjection, CommitOptions, CompressionConfig, Container, ContainerCreateOptions, ContainerMode,
    ContainerOptions, Digest, ErrorKind, Operation, ProjectionDelta, ProjectionOptions, ProjectionType,
    Source, VerifyOptions,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

const MIB: usize = 1 << 20;

fn op() -> Operation<'static> {
    Operation::new()
}

/// Bytes that follow from a number; some are compressible, some are zeros.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    match seed % 5 {
        0 => vec![0; len],
        1 => (0..len).map(|at| (at / 7) as u8 ^ seed as u8).collect(),
        _ => {
            let mut state = seed;
            (0..len)
                .map(|_| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8
                })
                .collect()
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert {
        at: u16,
        len: usize,
        seed: u64,
    },
    Update {
        at: u16,
        len: usize,
        seed: u64,
    },
    Delete {
        at: u16,
        len: usize,
    },
    Move {
        from: u16,
        len: usize,
        to: u16,
    },
    Commit,
    /// Takes an older generation for the next edits.
    Back {
        generation: u8,
    },
    Reopen {
        base_first: bool,
    },
    Compact {
        keep: u8,
        in_place: bool,
    },
    Import {
        seed: u64,
        len: usize,
    },
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![1..100_usize, 4_000..20_000_usize, Just(MIB), (MIB - 3)..(2 * MIB)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (any::<u16>(), length(), any::<u64>()).prop_map(|(at, len, seed)| Step::Insert { at, len, seed }),
        5 => (any::<u16>(), length(), any::<u64>()).prop_map(|(at, len, seed)| Step::Update { at, len, seed }),
        2 => (any::<u16>(), length()).prop_map(|(at, len)| Step::Delete { at, len }),
        2 => (any::<u16>(), length(), any::<u16>()).prop_map(|(from, len, to)| Step::Move { from, len, to }),
        6 => Just(Step::Commit),
        1 => any::<u8>().prop_map(|generation| Step::Back { generation }),
        2 => any::<bool>().prop_map(|base_first| Step::Reopen { base_first }),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(keep, in_place)| Step::Compact { keep, in_place }),
        1 => (any::<u64>(), length()).prop_map(|(seed, len)| Step::Import { seed, len }),
    ]
}

/// Options of the containers that are tried.
#[derive(Debug, Clone)]
struct Setup {
    keep_chains: bool,
    compressed: bool,
    with_base: bool,
    keyed: bool,
    size: usize,
}

struct World {
    setup: Setup,
    path: std::path::PathBuf,
    base: Option<Source>,
    container: Option<Container>,
    /// Objects that are edited, from the container and in memory.
    edited: AtlasProjection,
    beside: AtlasProjection,
    now: Vec<u8>,
    /// Bytes and root of each kept generation.
    kept: BTreeMap<u64, (Vec<u8>, Digest)>,
}

fn projection_options(setup: &Setup) -> ProjectionOptions {
    if setup.keyed { ProjectionOptions::new().with_key(&[3; 32]) } else { ProjectionOptions::new() }
}

impl World {
    fn new(setup: Setup, dir: &Path) -> World {
        let path = dir.join("model.atlas");
        let now = bytes(77, setup.size);
        let file = dir.join("base.bin");
        std::fs::write(&file, &now).unwrap();
        let base = setup.with_base.then(|| Source::open_file(&file).unwrap());
        let create = ContainerCreateOptions {
            keep_chains: setup.keep_chains,
            handle: options(&setup, &base),
            ..ContainerCreateOptions::default()
        };
        let options = projection_options(&setup);
        let container =
            Container::create(&path, ProjectionType::Linear, &options, &create, &mut op()).unwrap();
        // Another source of the same file.
        let source = Source::open_file(&file).unwrap();
        let generation = container.import(&source, &CommitOptions::default(), &mut op()).unwrap();
        let beside = project(&now, &options);
        let root = beside.root(&mut op()).unwrap();
        let edited = container.snapshot(0, true, &mut op()).unwrap();
        let kept = BTreeMap::from([(generation, (now.clone(), root))]);
        let info = container.info().unwrap();
        if setup.with_base {
            assert!(
                info.file_size < 64 * 1024 + 2_200 * (setup.size / MIB + 1) as u64,
                "an outline has no payload"
            );
        }
        World { setup, path, base, container: Some(container), edited, beside, now, kept }
    }

    fn container(&self) -> &Container {
        self.container.as_ref().unwrap()
    }

    fn range(&self, at: u16, len: usize) -> (usize, usize) {
        // The product has more than the 32 bits of some systems' sizes.
        let start = (u64::from(at) * self.now.len() as u64 / u64::from(u16::MAX)) as usize;
        (start, (start + len).min(self.now.len()))
    }

    fn edit(&mut self, delta: &ProjectionDelta) {
        self.edited.apply_incremental_update(delta.clone()).unwrap();
        self.beside.apply_incremental_update(delta.clone()).unwrap();
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Insert { at, len, seed } => {
                let (start, _) = self.range(at, 0);
                let data = bytes(seed, len);
                self.edit(&ProjectionDelta::insert(start as u64, data.clone()));
                self.now.splice(start..start, data);
            }
            Step::Update { at, len, seed } => {
                let (start, end) = self.range(at, len);
                let data = bytes(seed, end - start);
                self.edit(&ProjectionDelta::update(start as u64, end as u64, data.clone()));
                self.now[start..end].copy_from_slice(&data);
            }
            Step::Delete { at, len } => {
                let (start, end) = self.range(at, len);
                self.edit(&ProjectionDelta::delete(start as u64, end as u64));
                self.now.drain(start..end);
            }
            Step::Move { from, len, to } => {
                let (start, end) = self.range(from, len);
                let (to, _) = self.range(to, 0);
                if start < to && to < end {
                    return;
                }
                self.edit(&ProjectionDelta::move_range(start as u64, end as u64, to as u64));
                let part: Vec<u8> = self.now.drain(start..end).collect();
                let to = if to >= end { to - (end - start) } else { to };
                self.now.splice(to..to, part);
            }
            Step::Commit => self.commit(),
            Step::Back { generation } => {
                let known: Vec<u64> = self.kept.keys().copied().collect();
                let generation = known[usize::from(generation) % known.len()];
                self.edited = self.container().snapshot(generation, true, &mut op()).unwrap();
                self.now = self.kept[&generation].0.clone();
                self.beside = again(&self.edited);
            }
            Step::Reopen { base_first } => {
                // Snapshots live on without their container, and their edits go into the container opened next.
                self.container = None;
                let mut options = options(&self.setup, &self.base);
                if !base_first {
                    options.base = None;
                }
                let verify = verify(&self.setup);
                let mode = ContainerMode::Write;
                let container = Container::open(&self.path, mode, &verify, &options, &mut op()).unwrap();
                container.set_base(self.base.as_ref()).unwrap();
                self.container = Some(container);
            }
            Step::Compact { keep, in_place } => {
                let known: Vec<u64> = self.kept.keys().copied().collect();
                let keep = known[usize::from(keep) % known.len()];
                if in_place {
                    self.container().compact(keep, &mut op()).unwrap();
                } else {
                    let other = self.path.with_extension("other");
                    self.container().compact_to(&other, keep, &mut op()).unwrap();
                    self.container = None;
                    std::fs::rename(&other, &self.path).unwrap();
                    self.apply(&Step::Reopen { base_first: true });
                }
                self.kept = self.kept.split_off(&keep);
            }
            Step::Import { seed, len } => {
                let data = bytes(seed, len);
                let source = Source::from_vec(data.clone());
                let generation =
                    self.container().import(&source, &CommitOptions::default(), &mut op()).unwrap();
                let projection = project(&data, &projection_options(&self.setup));
                self.kept.insert(generation, (data, projection.root(&mut op()).unwrap()));
            }
        }
    }

    fn commit(&mut self) {
        let before = self.container().info().unwrap();
        let wrong = CommitOptions { expected: before.newest + 1, ..CommitOptions::default() };
        let refused = self.container().commit(&self.edited, &wrong, &mut op()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        let right =
            CommitOptions { expected: before.newest, note: self.now.len().to_le_bytes().to_vec(), time: 5 };
        let generation = self.container().commit(&self.edited, &right, &mut op()).unwrap();
        let root = self.beside.root(&mut op()).unwrap();
        assert_eq!(self.container().generation(generation).unwrap().root, root);
        self.kept.insert(generation, (self.now.clone(), root));
        // Again: nothing is stored but a commit record.
        let block = before.block_size;
        let size = self.container().info().unwrap().file_size;
        let again = self.container().commit(&self.edited, &CommitOptions::default(), &mut op()).unwrap();
        assert_eq!(self.container().info().unwrap().file_size, size + block, "nothing is new");
        self.kept.insert(again, (self.now.clone(), root));
        self.edited = self.container().snapshot(0, true, &mut op()).unwrap();
    }

    fn check(&self) {
        let container = self.container();
        let info = container.info().unwrap();
        assert_eq!(info.newest, *self.kept.keys().next_back().unwrap());
        assert_eq!(info.oldest, *self.kept.keys().next().unwrap());
        assert_eq!(info.generation_count, self.kept.len() as u64);
        for (generation, (bytes, root)) in &self.kept {
            let found = container.generation(*generation).unwrap();
            assert_eq!((found.domain_size, found.root), (bytes.len() as u64, *root), "{generation}");
            let snapshot = container.snapshot(*generation, true, &mut op()).unwrap();
            let mut read = vec![0; bytes.len()];
            snapshot.read(0, &mut read).unwrap();
            assert!(read == *bytes, "generation {generation}");
        }
        container.find_damage(0, &mut |damage| panic!("{damage:?}"), &mut op()).unwrap();
    }
}

fn options(setup: &Setup, base: &Option<Source>) -> ContainerOptions {
    ContainerOptions {
        base: base.clone(),
        compression: setup.compressed.then(CompressionConfig::default),
        // So small that nodes are evicted all the time.
        cache_size: 16 * 1024,
        ..ContainerOptions::default()
    }
}

fn verify(setup: &Setup) -> VerifyOptions {
    if setup.keyed { VerifyOptions::new().with_key(&[3; 32]) } else { VerifyOptions::new() }
}

fn project(bytes: &[u8], options: &ProjectionOptions) -> AtlasProjection {
    let source = Source::copy(bytes).unwrap();
    AtlasProjection::create(ProjectionType::Linear, &source, options, &mut op()).unwrap()
}

/// A second handle on the same state.
fn again(projection: &AtlasProjection) -> AtlasProjection {
    projection.snapshot()
}

/// A container of one generation.
fn imported(path: &Path, size: usize) -> Container {
    let (options, create) = (ProjectionOptions::new(), ContainerCreateOptions::default());
    let container = Container::create(path, ProjectionType::Linear, &options, &create, &mut op()).unwrap();
    container.import(&Source::from_vec(bytes(3, size)), &CommitOptions::default(), &mut op()).unwrap();
    container
}

/// A compaction into a new file, or a search for damage.
fn long_call(
    container: &Container,
    target: Option<&Path>,
    operation: &mut Operation<'_>,
) -> atlas_manifold::Result<()> {
    match target {
        Some(target) => container.compact_to(target, 0, operation),
        None => container.find_damage(0, &mut |damage| panic!("{damage:?}"), operation),
    }
}

#[test]
fn a_compaction_and_a_search_for_damage_report_tiles_and_stop_at_any() {
    let dir = tempfile::tempdir().unwrap();
    let container = imported(&dir.path().join("c.atlas"), 40 * MIB + 5);
    let path = dir.path().join("compacted");
    for target in [Some(&*path), None] {
        let (mut count, mut last) = (0, 0);
        let mut note = |progress: &atlas_manifold::Progress| {
            assert!(progress.bytes_done >= last && progress.bytes_done <= progress.bytes_total);
            (count, last) = (count + 1, progress.bytes_done);
            true
        };
        long_call(&container, target, &mut Operation::new().with_progress(&mut note)).unwrap();
        assert_eq!(last, 40 * MIB as u64 + 5);
        assert!(count >= 41, "{count}");
        let _ = std::fs::remove_file(&path);
        for end in (1..count).step_by(7) {
            let mut left = end;
            let mut cancel = |_: &atlas_manifold::Progress| {
                left -= 1;
                left > 0
            };
            let error =
                long_call(&container, target, &mut Operation::new().with_progress(&mut cancel)).unwrap_err();
            assert_eq!((error.kind(), left), (ErrorKind::Cancelled, 0));
            assert!(!path.exists());
        }
    }
}

#[test]
fn what_a_creation_that_was_interrupted_leaves_is_called_that() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.atlas");
    let (options, create) = (ProjectionOptions::new(), ContainerCreateOptions::default());
    for left in [&[][..], &[0; 5_000], &[0; 12_288]] {
        std::fs::write(&path, left).unwrap();
        let refused =
            Container::create(&path, ProjectionType::Linear, &options, &create, &mut op()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Io);
        assert!(refused.to_string().contains("interrupted"), "{refused}");
        for mode in [ContainerMode::Read, ContainerMode::Write] {
            let (verify, options) = (VerifyOptions::new(), ContainerOptions::default());
            let refused = Container::open(&path, mode, &verify, &options, &mut op()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Format);
            assert!(refused.to_string().contains("interrupted"), "{refused}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), left);
    }
    std::fs::write(&path, b"mine").unwrap();
    let refused = Container::create(&path, ProjectionType::Linear, &options, &create, &mut op()).unwrap_err();
    assert!(!refused.to_string().contains("interrupted"), "{refused}");
}

/// A pipe that nobody writes to would be waited for.
#[cfg(target_os = "linux")]
#[test]
fn a_pipe_by_the_name_of_a_compaction_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let container = imported(&dir.path().join("c.atlas"), 10);
    let (pipe, elsewhere) = (dir.path().join("c.atlas.compact"), dir.path().join("elsewhere"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let refused = container.compact(0, &mut op()).unwrap_err();
    assert_eq!((refused.kind(), refused.os_error()), (ErrorKind::Io, 17), "{refused}");
    std::fs::remove_file(&pipe).unwrap();
    // A link to a file that would count as a left-over.
    std::fs::write(&elsewhere, []).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &pipe).unwrap();
    assert_eq!(container.compact(0, &mut op()).unwrap_err().kind(), ErrorKind::Io);
    assert!(pipe.is_symlink() && elsewhere.exists());
    std::fs::remove_file(&pipe).unwrap();
    container.compact(0, &mut op()).unwrap();
}

#[test]
fn the_history_of_the_oldest_kept_generation_proves_nothing_alone() {
    for key in [None, Some([3; 32])] {
        let dir = tempfile::tempdir().unwrap();
        let (path, create) = (dir.path().join("c.atlas"), ContainerCreateOptions::default());
        let options =
            key.as_ref().map_or_else(ProjectionOptions::new, |key| ProjectionOptions::new().with_key(key));
        let container =
            Container::create(&path, ProjectionType::Linear, &options, &create, &mut op()).unwrap();
        for seed in 2..5 {
            let source = Source::from_vec(bytes(seed, 9_000));
            container.import(&source, &CommitOptions::default(), &mut op()).unwrap();
        }
        let [first, second, newest] = [1, 2, 3].map(|number| container.generation(number).unwrap());
        let open = |history: Digest, root: Option<Digest>| {
            let verify =
                key.as_ref().map_or_else(VerifyOptions::new, |key| VerifyOptions::new().with_key(key));
            let verify = root.map_or(verify.clone(), |root| verify.with_root(root));
            let options = ContainerOptions { expected_history: Some(history), ..ContainerOptions::default() };
            let opened = Container::open(&path, ContainerMode::Read, &verify, &options, &mut op());
            opened.map(drop).map_err(|error| error.kind())
        };
        for generation in [&first, &second, &newest] {
            open(generation.history, None).unwrap();
        }
        container.compact(2, &mut op()).unwrap();
        assert_eq!(open(first.history, Some(newest.root)), Err(ErrorKind::Witness), "it is gone");
        assert_eq!(open(second.history, None).is_ok(), key.is_some());
        open(second.history, Some(newest.root)).unwrap();
        open(newest.history, None).unwrap();
        container.compact(3, &mut op()).unwrap();
        assert_eq!(open(newest.history, None).is_ok(), key.is_some());
        open(newest.history, Some(newest.root)).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn containers_agree_with_a_plain_model(
        keep_chains in any::<bool>(),
        compressed in any::<bool>(),
        with_base in any::<bool>(),
        keyed in any::<bool>(),
        size in prop_oneof![Just(0_usize), 1..50_000_usize, Just(3 * MIB), (MIB - 2)..(5 * MIB)],
        steps in prop::collection::vec(step(), 1..25),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let compressed = compressed && cfg!(feature = "compression");
        let mut world = World::new(Setup { keep_chains, compressed, with_base, keyed, size }, dir.path());
        for step in &steps {
            world.apply(step);
        }
        world.commit();
        world.check();
        world.apply(&Step::Reopen { base_first: true });
        world.check();
    }
}
