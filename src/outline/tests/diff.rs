//! Differences of projections.

use super::*;
use crate::base::units::TileIndex;
use crate::projection::state::State;
use crate::tile::Tile;
use crate::tile::context::Context;
use crate::tile::extent::{Extent, GroupResidues, Trust};
use crate::tile::tree::Tree;
use std::io::Write;

fn bytes_in(projection: &AtlasProjection) -> Vec<u8> {
    let mut bytes = vec![0; projection.info().domain_size as usize];
    projection.read(0, &mut bytes).unwrap();
    bytes
}

/// Checks that the ranges are ascending and merged, that they contain every difference, and that they are not
/// too long.
fn check_diff(own: &AtlasProjection, other: &AtlasProjection) -> Vec<AtlasBoundaryRegion> {
    let list = own.diff(other, &mut Operation::new()).unwrap();
    let (bytes, others) = (bytes_in(own), bytes_in(other));
    assert!(list.windows(2).all(|pair| pair[0].end() < pair[1].offset), "merged and ascending: {list:?}");
    assert!(list.iter().all(|range| range.length > 0 && range.end() <= bytes.len() as u64));
    let mut at = 0;
    for range in list.iter().chain([&AtlasBoundaryRegion::new(bytes.len() as u64, 0)]) {
        let gap = at..range.offset as usize;
        let same = gap.is_empty() || others.get(gap.clone()) == Some(&bytes[gap.clone()]);
        assert!(same, "{gap:?} in {list:?}");
        at = range.end() as usize;
    }
    list
}

#[test]
fn a_difference_lists_all_that_differs_over_random_histories() {
    let mut random = Random(77);
    for round in 0..12 {
        let size = 3 * TILE_SIZE + random.below(TILE_SIZE as u64) as usize;
        let data = random_bytes(size, round);
        let projection = AtlasProjection::linear(&Source::from_vec(data)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let container = container(&dir.path().join("c.atlas"), None, round % 2 == 0);
        let mut states = vec![projection.snapshot()];
        let keep = |projection: &AtlasProjection, states: &mut Vec<AtlasProjection>| {
            container.commit(projection, &CommitOptions::default(), &mut Operation::new()).unwrap();
            states.push(container.snapshot(0, false, &mut Operation::new()).unwrap());
        };
        keep(&projection, &mut states);
        for _ in 0..4 {
            let size = projection.info().domain_size;
            let offset = random.below(size);
            let length = random.below((size - offset).min(100_000)) + 1;
            let edit = match random.below(4) {
                0 => crate::ProjectionDelta::insert(offset, random_bytes(length as usize, 5)),
                1 => crate::ProjectionDelta::delete(offset, offset + length),
                _ => {
                    crate::ProjectionDelta::update(offset, offset + length, random_bytes(length as usize, 6))
                }
            };
            projection.apply_incremental_update(edit).unwrap();
            states.push(projection.snapshot());
            if random.below(2) == 0 {
                keep(&projection, &mut states);
            }
        }
        for own in &states {
            assert!(check_diff(own, own).is_empty());
            for other in &states {
                check_diff(own, other);
            }
        }
    }
}

#[test]
fn changes_in_place_are_listed_to_their_tile_or_group() {
    let len = 3 * TILE_SIZE + 100_000;
    let data = random_bytes(len, 41);
    for chains in [true, false] {
        let (old, mut random) = (Outline::new(data.clone(), chains), Random(8));
        for _ in 0..10 {
            let changed: BTreeSet<usize> = (0..5).map(|_| random.below(len as u64) as usize).collect();
            let longer = random.below(2) as usize * 30_000;
            let mut bytes = data.clone();
            changed.iter().for_each(|byte| bytes[*byte] ^= 1);
            bytes.extend(vec![5; longer]);
            // A second file without a common history.
            let new = Outline::new(bytes.clone(), chains);
            let (own, other) = (new.projection(), old.projection());
            for base in [&new.base, &old.base] {
                base.change(|bytes| bytes.asked.clear());
            }
            let list = own.diff(&other, &mut Operation::new()).unwrap();
            let wanted = model(bytes.len(), chains, None, |unit| {
                let old = data.get(unit.clone());
                (old != Some(&bytes[unit.clone()])).then_some(DamageKind::Differs)
            });
            let list: Vec<_> =
                list.iter().map(|range| (range.offset, range.length, DamageKind::Differs)).collect();
            assert_eq!(list, wanted);
            for base in [&new.base, &old.base] {
                assert!(lock(&base.0).asked.is_empty(), "payload was read");
            }
            check_diff(&other, &own);
        }
    }
}

#[test]
fn projections_of_other_witnesses_have_no_difference() {
    let source = Source::from_vec(random_bytes(10_000, 1));
    let plain = AtlasProjection::linear(&source).unwrap();
    let make = |kind, options: ProjectionOptions| {
        AtlasProjection::create(kind, &source, &options, &mut Operation::new()).unwrap()
    };
    let keyed = make(ProjectionType::Linear, ProjectionOptions::new().with_key(&[1; 32]));
    let classes = make(ProjectionType::R96Fourier, ProjectionOptions::new().with_data_classes(90));
    let others = make(ProjectionType::R96Fourier, ProjectionOptions::new().with_data_classes(91));
    let again = make(ProjectionType::R96Fourier, ProjectionOptions::new().with_data_classes(90));
    for (own, other) in [(&plain, &keyed), (&keyed, &plain), (&plain, &classes), (&classes, &others)] {
        let error = own.diff(other, &mut Operation::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    assert!(check_diff(&classes, &again).is_empty());
}

/// An invented witness for a tile.
fn invented(index: u64, salt: u64) -> crate::Digest {
    crate::digest256(&[index.to_le_bytes(), salt.to_le_bytes()].concat())
}

fn invented_tile(source: &Source, index: u64, salt: u64) -> Arc<Tile> {
    let residues = GroupResidues::from_groups(std::iter::repeat_n(crate::Residue::ZERO, 64));
    let trust = Trust::Witnessed(invented(index, salt));
    let extent = Extent::new(source.clone(), index * TILE_SIZE as u64, TILE_SIZE, residues, trust).unwrap();
    Arc::new(Tile::whole_of(extent))
}

/// Cost of comparing two outlines of 1 TiB that differ in 100 tiles, with and without a common history. No byte is read:
/// the witnesses are invented.
#[test]
#[ignore = "takes 1.5 GiB of memory"]
fn a_difference_of_a_tebibyte_costs_what_differs() {
    let (tiles, places) = (1_u64 << 20, 100);
    let dir = tempfile::tempdir().unwrap();
    let source = Source::from_reader(1 << 40, Base::default());
    let changed: BTreeSet<u64> = (0..places).map(|place| place * 10_007 + 3).collect();
    let outline = |name: &str, salt: &dyn Fn(u64) -> u64| {
        let path = dir.path().join(name);
        let container = container(&path, Some(&source), false);
        let tree =
            Tree::from_tiles((0..tiles).map(|index| invented_tile(&source, index, salt(index))).collect())
                .unwrap();
        let context = Context::new(ProjectionType::Linear, &ProjectionOptions::new()).unwrap();
        let projection = AtlasProjection::from_state(State::restore(context, Arc::default(), tree, None));
        container.commit(&projection, &CommitOptions::default(), &mut Operation::new()).unwrap();
        (path, container)
    };
    let (path, one) = outline("one.atlas", &|_| 0);
    let snapshot = one.snapshot(0, false, &mut Operation::new()).unwrap();
    let state = snapshot.state();
    let mut tree = state.tree.clone();
    for index in &changed {
        tree.replace_tile(TileIndex(*index), invented_tile(&source, *index, 1)).unwrap();
    }
    let edited = AtlasProjection::from_state(state.successor(tree, None));
    one.commit(&edited, &CommitOptions::default(), &mut Operation::new()).unwrap();
    let (other_path, _) = outline("two.atlas", &|index| u64::from(changed.contains(&index)));
    drop((one, snapshot, state, edited));
    let open = |path: &Path| {
        let (mode, verify) = (crate::ContainerMode::Read, crate::VerifyOptions::new());
        let options = ContainerOptions::default();
        Container::open(path, mode, &verify, &options, &mut Operation::new()).unwrap()
    };
    let (one, two) = (open(&path), open(&other_path));
    let take = |container: &Container, generation| {
        container.snapshot(generation, false, &mut Operation::new()).unwrap()
    };
    let wanted: Vec<_> =
        changed.iter().map(|index| AtlasBoundaryRegion::new(index << 20, TILE_SIZE as u64)).collect();
    for (name, own, other) in [
        ("common history", take(&one, 2), take(&one, 1)),
        ("loaded", take(&one, 2), take(&one, 1)),
        ("none in common", take(&two, 1), take(&one, 1)),
    ] {
        let mut best = std::time::Duration::MAX;
        for round in 0..2 {
            let start = std::time::Instant::now();
            assert_eq!(own.diff(&other, &mut Operation::new()).unwrap(), wanted);
            best = best.min(start.elapsed());
            writeln!(io::stderr(), "{name}, round {round}: {:?}", start.elapsed()).unwrap();
        }
        assert!(best.as_millis() < 500, "{name}: {best:?}");
    }
}
