//! Imports of regions compared with imports of the whole source, with a source that counts the tiles read.

use super::device::Random;
use super::*;
use crate::ErrorKind;
use crate::base::units::{TILE_BYTES, TILE_SIZE};
use crate::incremental::ProjectionDelta;
use crate::shard::AtlasBoundaryRegion;
use crate::source::ReadAt;
use crate::tile::options::ProjectionOptions;
use std::collections::BTreeMap;
use std::path::Path;

/// Bytes that follow from a number per tile, and how often each tile was read.
#[derive(Default)]
pub(super) struct Model {
    seeds: Mutex<Vec<u8>>,
    reads: Mutex<BTreeMap<u64, u64>>,
}

struct Reader(Arc<Model>);

impl ReadAt for Reader {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let tile = offset / TILE_BYTES;
        *lock(&self.0.reads).entry(tile).or_default() += 1;
        buffer.fill(lock(&self.0.seeds)[tile as usize]);
        // Two tiles of equal length differ in more than their sum.
        buffer[0] ^= tile as u8 & 7;
        Ok(())
    }
}

impl Model {
    pub(super) fn new(tiles: u64) -> Arc<Model> {
        let model = Arc::new(Model::default());
        model.grow(tiles, 1);
        model
    }

    fn grow(&self, tiles: u64, seed: u8) {
        lock(&self.seeds).resize(tiles as usize, seed);
    }

    pub(super) fn source(self: &Arc<Model>, size: u64) -> Source {
        Source::from_reader(size, Reader(Arc::clone(self)))
    }

    pub(super) fn forget(&self) {
        lock(&self.reads).clear();
    }

    /// The tiles that were read since the last call, each once.
    pub(super) fn read(&self) -> Vec<u64> {
        let reads = std::mem::take(&mut *lock(&self.reads));
        assert!(reads.values().all(|count| *count == 1), "{reads:?}");
        reads.into_keys().collect()
    }
}

pub(super) fn created(folder: &Path, name: &str, keep_chains: bool) -> Container {
    let create = ContainerCreateOptions {
        block_log2: Some(12),
        id: Some([7; 16]),
        keep_chains,
        ..ContainerCreateOptions::default()
    };
    let (kind, options) = (ProjectionType::Linear, ProjectionOptions::new());
    Container::create(folder.join(name), kind, &options, &create, &mut Operation::new()).unwrap()
}

pub(super) fn same_files(folder: &Path, one: &str, other: &str) {
    let (one, other) = (std::fs::read(folder.join(one)).unwrap(), std::fs::read(folder.join(other)).unwrap());
    let differs = one.iter().zip(&other).position(|(one, other)| one != other);
    assert_eq!((one.len(), differs), (other.len(), None));
}

pub(super) fn regions(list: &[(u64, u64)]) -> Vec<AtlasBoundaryRegion> {
    list.iter().map(|(offset, length)| AtlasBoundaryRegion::new(*offset, *length)).collect()
}

/// Imports the whole source into one container and only the changes into another: the files are equal.
fn histories_are_equal(is_outline: bool, keep_chains: bool, sizes: &[u64], seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let (whole, parts) =
        (created(dir.path(), "whole", keep_chains), created(dir.path(), "parts", keep_chains));
    let model = Model::new(sizes[0].div_ceil(TILE_BYTES));
    let mut random = Random(seed);
    let (mut before, options) = (0, CommitOptions::default());
    for (step, size) in sizes.iter().enumerate() {
        let (source, tiles) = (model.source(*size), size.div_ceil(TILE_BYTES));
        model.grow(tiles, random.next() as u8);
        let mut changed: Vec<u64> = Vec::new();
        let mut list = Vec::new();
        for _ in 0..if before.min(*size) == 0 { 0 } else { random.below(6) } {
            let tile = random.below(before.min(*size).div_ceil(TILE_BYTES));
            let offset =
                tile * TILE_BYTES + random.below(before.min(*size) - tile * TILE_BYTES).min(TILE_BYTES - 1);
            lock(&model.seeds)[tile as usize] ^= random.next() as u8;
            changed.push(tile);
            list.push((offset, 1));
        }
        for container in [&whole, &parts] {
            container.set_base(is_outline.then_some(&source)).unwrap();
        }
        whole.import(&source, &options, &mut Operation::new()).unwrap();
        assert_eq!(model.read(), (0..tiles).collect::<Vec<_>>());
        parts.import_regions(&source, &regions(&list), &options, &mut Operation::new()).unwrap();
        // The tiles that regions touch, and the tail if the size differs.
        if *size != before {
            changed.extend(before.min(*size) / TILE_BYTES..tiles);
        }
        changed.sort_unstable();
        changed.dedup();
        assert_eq!(model.read(), changed, "step {step} of {sizes:?}, regions {list:?}");
        let (one, other) = (whole.generation(0).unwrap(), parts.generation(0).unwrap());
        assert_eq!(one, other, "step {step} of {sizes:?}");
        before = *size;
    }
    // If not everything was read, a base that became shorter keeps its greater size.
    if !is_outline || sizes.is_sorted() {
        same_files(dir.path(), "whole", "parts");
    }
    let snapshot = parts.snapshot(0, true, &mut Operation::new()).unwrap();
    snapshot.verify(&mut Operation::new()).unwrap();
}

#[test]
fn an_import_of_what_changed_makes_the_file_of_an_import_of_all() {
    const M: u64 = TILE_BYTES;
    for (number, (is_outline, keep_chains)) in
        [(true, false), (true, true), (false, false), (false, true)].into_iter().enumerate()
    {
        let seed = number as u64;
        histories_are_equal(
            is_outline,
            keep_chains,
            &[5 * M, 5 * M, 5 * M + 1, 7 * M, 9 * M + 3, 9 * M + 9],
            seed,
        );
        histories_are_equal(is_outline, keep_chains, &[9 * M, 8 * M, 7 * M + 1, 7 * M, 12, 11, 0, 3], seed);
        histories_are_equal(is_outline, keep_chains, &[0, 0, 1, M, M, M + 1], seed);
        histories_are_equal(
            is_outline,
            keep_chains,
            &[31 * M + 7, 70 * M, 70 * M, 64 * M, 64 * M, 65 * M],
            seed,
        );
    }
}

#[test]
fn whole_nodes_are_taken_over_without_being_loaded() {
    const M: u64 = TILE_BYTES;
    histories_are_equal(true, false, &[1_060 * M, 1_060 * M + 5, 1_090 * M], 3);
    // With nothing in the cache, 33 leaves and two nodes above: one leaf, the path to it and the right edge are read.
    let dir = tempfile::tempdir().unwrap();
    let model = Model::new(1_060);
    let source = model.source(1_060 * M);
    let container = created(dir.path(), "nodes", false);
    container.set_base(Some(&source)).unwrap();
    container.import(&source, &CommitOptions::default(), &mut Operation::new()).unwrap();
    let before = container.info().unwrap();
    drop(container);
    model.read();
    // Everything but the leaf of tile 100 and the right edge is destroyed.
    let file = dir.path().join("nodes");
    let mut bytes = std::fs::read(&file).unwrap();
    let is_leaf = |at: &usize| &bytes[*at..*at + 4] == b"ATLL";
    let leaves: Vec<usize> = (0..bytes.len() - 4).step_by(8).filter(is_leaf).collect();
    assert_eq!(leaves.len(), 34);
    for (number, leaf) in leaves.iter().enumerate() {
        if ![3, 33].contains(&number) {
            bytes[*leaf + 100] ^= 1;
        }
    }
    std::fs::write(&file, &bytes).unwrap();
    let options = ContainerOptions { base: Some(source.clone()), ..ContainerOptions::default() };
    let verify = crate::shard::VerifyOptions::new();
    let container =
        Container::open(&file, ContainerMode::Write, &verify, &options, &mut Operation::new()).unwrap();
    lock(&model.seeds)[100] = 99;
    let changed = regions(&[(100 * M + 5, 10)]);
    container.import_regions(&source, &changed, &CommitOptions::default(), &mut Operation::new()).unwrap();
    assert_eq!(model.read(), [100]);
    // A leaf, two nodes and the commit record.
    assert!(container.info().unwrap().file_size <= before.file_size + 16_384);
    // Tiles that were taken over stay damaged.
    let snapshot = container.snapshot(0, false, &mut Operation::new()).unwrap();
    let mut byte = [0];
    snapshot.read(100 * M, &mut byte).unwrap();
    assert_eq!(byte[0], 99 ^ 4);
    assert_eq!(snapshot.read(M, &mut byte).unwrap_err().kind(), ErrorKind::Witness);
}

#[test]
fn a_tree_of_full_tiles_that_is_not_filled_from_the_left_is_taken_over_tile_by_tile() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, parts) = (created(dir.path(), "whole", false), created(dir.path(), "parts", false));
    let bytes = Random(9).bytes(70 * TILE_SIZE + 9);
    let source = Source::from_vec(bytes);
    for container in [&whole, &parts] {
        container.import(&source, &CommitOptions::default(), &mut Operation::new()).unwrap();
        let edited = container.snapshot(0, false, &mut Operation::new()).unwrap();
        // Whole tiles are moved.
        edited
            .apply_incremental_update(ProjectionDelta::move_range(
                3 * TILE_BYTES,
                23 * TILE_BYTES,
                40 * TILE_BYTES,
            ))
            .unwrap();
        container.commit(&edited, &CommitOptions::default(), &mut Operation::new()).unwrap();
        let root = container.generation(0).unwrap().root;
        let now = Source::from_vec(bytes_of(&edited).unwrap());
        if std::ptr::eq(container, &raw const whole) {
            container.import(&now, &CommitOptions::default(), &mut Operation::new()).unwrap();
        } else {
            let one = regions(&[(7, 1)]);
            container.import_regions(&now, &one, &CommitOptions::default(), &mut Operation::new()).unwrap();
        }
        assert_eq!(container.generation(0).unwrap().root, root);
    }
    same_files(dir.path(), "whole", "parts");
}

#[test]
fn regions_that_are_claimed_wrongly_leave_old_witnesses() {
    let dir = tempfile::tempdir().unwrap();
    let container = created(dir.path(), "claims", false);
    let model = Model::new(4);
    let source = model.source(4 * TILE_BYTES);
    container.set_base(Some(&source)).unwrap();
    let options = CommitOptions::default();
    container.import(&source, &options, &mut Operation::new()).unwrap();
    lock(&model.seeds).copy_from_slice(&[1, 5, 6, 1]);
    model.read();
    container.import_regions(&source, &regions(&[(TILE_BYTES, 3)]), &options, &mut Operation::new()).unwrap();
    assert_eq!(model.read(), [1]);
    let mut found = Vec::new();
    let mut note = |damage: &crate::Damage| {
        found.push((damage.offset, damage.length));
        true
    };
    let error = container.find_damage(2, &mut note, &mut Operation::new()).unwrap_err();
    assert_eq!((error.kind(), found), (ErrorKind::Witness, vec![(2 * TILE_BYTES, TILE_BYTES)]));
    // After an import of these regions everything is right again.
    container
        .import_regions(&source, &regions(&[(2 * TILE_BYTES, 1)]), &options, &mut Operation::new())
        .unwrap();
    container.find_damage(3, &mut |_| true, &mut Operation::new()).unwrap();
}

#[test]
fn regions_need_the_tiles_of_an_import_and_lie_within_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let container = created(dir.path(), "refused", false);
    let bytes = Random(1).bytes(2 * TILE_SIZE + 9);
    let source = Source::from_vec(bytes);
    let options = CommitOptions::default();
    container.import(&source, &options, &mut Operation::new()).unwrap();
    let size = source.size();
    let import = |list: &[(u64, u64)]| {
        container.import_regions(&source, &regions(list), &options, &mut Operation::new())
    };
    for (index, list) in
        [vec![(0, size + 1)], vec![(5, 5), (size, 1)], vec![(0, 1), (1, 1), (u64::MAX, 2)]].iter().enumerate()
    {
        let error = import(list).unwrap_err();
        assert_eq!((error.kind(), error.index()), (ErrorKind::OutOfRange, Some(index as u64)), "{error}");
    }
    assert_eq!(import(&[(size, 0), (0, 0)]).unwrap(), 2);
    assert_eq!(container.generation(1).unwrap().root, container.generation(2).unwrap().root);
    // An edit that changes the length leaves a tile in the middle that is not full.
    let edited = container.snapshot(0, false, &mut Operation::new()).unwrap();
    edited.apply_incremental_update(ProjectionDelta::delete(5, 15)).unwrap();
    container.commit(&edited, &options, &mut Operation::new()).unwrap();
    let error = import(&[(0, 1)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert_eq!(container.info().unwrap().newest, 3);
    container.import(&source, &options, &mut Operation::new()).unwrap();
    assert_eq!(import(&[(0, 1)]).unwrap(), 5);
}

#[test]
fn regions_are_refused_wherever_a_tree_of_several_levels_has_a_shorter_tile() {
    const TILES: u64 = 300;
    let dir = tempfile::tempdir().unwrap();
    let holes = dir.path().join("holes");
    std::fs::File::create(&holes).unwrap().set_len(TILES * TILE_BYTES).unwrap();
    let source = Source::open_file(&holes).unwrap();
    for at in [5, 150 * TILE_BYTES, (TILES - 2) * TILE_BYTES] {
        let container = created(dir.path(), &format!("at {at}"), false);
        let options = CommitOptions::default();
        container.import(&source, &options, &mut Operation::new()).unwrap();
        let import =
            || container.import_regions(&source, &regions(&[(7, 1)]), &options, &mut Operation::new());
        assert_eq!(import().unwrap(), 2);
        let edited = container.snapshot(0, false, &mut Operation::new()).unwrap();
        edited.apply_incremental_update(ProjectionDelta::delete(at, at + 15)).unwrap();
        container.commit(&edited, &options, &mut Operation::new()).unwrap();
        assert_eq!(import().unwrap_err().kind(), ErrorKind::InvalidArgument, "{at}");
    }
}
