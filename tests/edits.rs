//! Edits of a projection against a plain vector of bytes, with cases that proptest makes smaller if they fail.
//!
//! A failing case is recorded in tests/edits.proptest-regressions, which is committed, and is tried first from then on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::cast_possible_truncation, reason = "test data are small numbers")]

use atlas_manifold::{
    AtlasProjection, ErrorKind, IncrementalConfig, Operation, ProjectionDelta, ProjectionOptions,
    ProjectionType, Residue, Source,
};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

const MIB: usize = 1 << 20;

/// One change of the domain. Places are parts of the domain's size, so that a smaller case stays valid.
#[derive(Debug, Clone)]
enum Change {
    Insert { at: u16, size: u32 },
    Update { from: u16, to: u16, size: u32 },
    Delete { from: u16, to: u16 },
    Move { from: u16, to: u16, destination: u16 },
}

/// One call on the projection.
#[derive(Debug, Clone)]
enum Step {
    Apply(Change),
    Batch(Vec<Change>),
    Rollback(u8),
    Optimize,
    /// Compares the root with that of a fresh projection of the model, after optimising both.
    Root,
    /// Tries a change outside the domain, which must change nothing.
    Refused,
}

fn change() -> impl Strategy<Value = Change> {
    // Small edits, edits around a group of 16 KiB, and edits larger than a tile.
    let size = || prop_oneof![4 => 0..40_u32, 2 => 16_000..17_000_u32, 1 => 1_000_000..1_200_000_u32];
    let place = any::<u16>;
    prop_oneof![
        3 => (place(), size()).prop_map(|(at, size)| Change::Insert { at, size }),
        3 => (place(), place(), size()).prop_map(|(from, to, size)| Change::Update { from, to, size }),
        2 => (place(), place()).prop_map(|(from, to)| Change::Delete { from, to }),
        2 => (place(), place(), place())
            .prop_map(|(from, to, destination)| Change::Move { from, to, destination }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => change().prop_map(Step::Apply),
        2 => prop::collection::vec(change(), 1..5).prop_map(Step::Batch),
        2 => (1..4_u8).prop_map(Step::Rollback),
        1 => Just(Step::Optimize),
        2 => Just(Step::Root),
        1 => Just(Step::Refused),
    ]
}

/// The projection, and the bytes that it must have now and had before each delta.
struct World {
    projection: AtlasProjection,
    model: Vec<u8>,
    before: Vec<Vec<u8>>,
    options: ProjectionOptions,
    kind: ProjectionType,
    salt: u8,
}

impl World {
    fn new(size: usize, kind: ProjectionType) -> World {
        let model: Vec<u8> = (0..size).map(|i| (i * 31 + i / 4_093) as u8).collect();
        let options = match kind {
            ProjectionType::R96Fourier => ProjectionOptions::new().with_data_classes(64),
            _ => ProjectionOptions::new(),
        };
        let source = Source::copy(&model).unwrap();
        let projection =
            AtlasProjection::create(kind, &source, &options, &mut Operation::sequential()).unwrap();
        projection.configure_incremental(&IncrementalConfig::default());
        World { projection, model, before: Vec::new(), options, kind, salt: 0 }
    }

    /// Returns a place in a domain of `size` bytes, its end included.
    fn place(part: u16, size: usize) -> usize {
        // The product has more than the 32 bits of some systems' sizes.
        ((u64::from(part) * (size as u64 + 1)) >> 16) as usize
    }

    fn range(from: u16, to: u16, size: usize) -> (usize, usize) {
        let (from, to) = (Self::place(from, size), Self::place(to, size));
        (from.min(to), from.max(to))
    }

    /// Returns the delta of a change of `model`, and changes the model.
    fn delta(&mut self, change: &Change, model: &mut Vec<u8>) -> ProjectionDelta {
        self.salt = self.salt.wrapping_add(1);
        let salt = self.salt;
        let bytes = |size: u32| -> Vec<u8> { (0..size).map(|i| (i as u8).wrapping_mul(salt)).collect() };
        match *change {
            Change::Insert { at, size } => {
                let (at, bytes) = (Self::place(at, model.len()), bytes(size));
                model.splice(at..at, bytes.iter().copied());
                ProjectionDelta::insert(at as u64, bytes)
            }
            Change::Update { from, to, size } => {
                let ((start, end), bytes) = (Self::range(from, to, model.len()), bytes(size));
                model.splice(start..end, bytes.iter().copied());
                ProjectionDelta::update(start as u64, end as u64, bytes)
            }
            Change::Delete { from, to } => {
                let (start, end) = Self::range(from, to, model.len());
                model.drain(start..end);
                ProjectionDelta::delete(start as u64, end as u64)
            }
            Change::Move { from, to, destination } => {
                let (start, end) = Self::range(from, to, model.len());
                // A destination inside the range is refused, so that it is taken out of it.
                let destination = match Self::place(destination, model.len()) {
                    inside if inside > start && inside < end => end,
                    outside => outside,
                };
                let moved: Vec<u8> = model.drain(start..end).collect();
                let at = if destination >= end { destination - (end - start) } else { destination };
                model.splice(at..at, moved);
                ProjectionDelta::move_range(start as u64, end as u64, destination as u64)
            }
        }
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Apply(change) => {
                let mut model = self.model.clone();
                let delta = self.delta(change, &mut model);
                self.projection.apply_incremental_update(delta).unwrap();
                self.before.push(std::mem::replace(&mut self.model, model));
            }
            Step::Batch(changes) => {
                let mut deltas = Vec::new();
                for change in changes {
                    let mut model = self.model.clone();
                    deltas.push(self.delta(change, &mut model));
                    self.before.push(std::mem::replace(&mut self.model, model));
                }
                self.projection.apply_incremental_batch(deltas).unwrap();
            }
            Step::Rollback(count) => {
                // No more than the history holds.
                let count = usize::from(*count).min(self.before.len());
                self.projection.rollback(count as u64).unwrap();
                for _ in 0..count {
                    self.model = self.before.pop().unwrap();
                }
            }
            Step::Optimize => {
                self.projection.optimize(&mut Operation::sequential()).unwrap();
                // The bytes are the same, and the history is dropped.
                let kept = usize::try_from(self.projection.history_len()).unwrap();
                assert!(kept <= self.before.len());
                self.before.drain(..self.before.len() - kept);
            }
            Step::Root => {
                let snapshot = self.projection.snapshot();
                snapshot.optimize(&mut Operation::sequential()).unwrap();
                let source = Source::copy(&self.model).unwrap();
                let fresh =
                    AtlasProjection::create(self.kind, &source, &self.options, &mut Operation::sequential())
                        .unwrap();
                assert_eq!(
                    snapshot.root(&mut Operation::sequential()).unwrap(),
                    fresh.root(&mut Operation::sequential()).unwrap()
                );
                // The root of the edited tiles proves their bytes.
                self.projection.verify(&mut Operation::sequential()).unwrap();
            }
            Step::Refused => {
                let outside = self.model.len() as u64 + 1;
                let error = self.projection.apply_incremental_update(ProjectionDelta::insert(outside, b"x"));
                assert_eq!(error.unwrap_err().kind(), ErrorKind::OutOfRange);
            }
        }
        self.check();
    }

    fn check(&self) {
        let info = self.projection.info();
        assert_eq!(info.domain_size, self.model.len() as u64);
        assert_eq!(info.residue, Residue::of(&self.model));
        let mut bytes = vec![0; self.model.len()];
        self.projection.read(0, &mut bytes).unwrap();
        assert!(bytes == self.model, "the bytes differ");
        assert_eq!(self.projection.history_len(), self.before.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        max_shrink_iters: 200,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("proptest-regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn edits_agree_with_a_vector(
        size in prop_oneof![Just(0_usize), 1..50_000_usize, Just(MIB), (MIB - 2)..(2 * MIB + 3)],
        steps in prop::collection::vec(step(), 1..20),
    ) {
        let mut world = World::new(size, ProjectionType::Linear);
        for step in &steps {
            world.apply(step);
        }
        world.apply(&Step::Root);
    }

    #[test]
    fn edits_of_classes_agree_with_a_vector(
        size in prop_oneof![Just(0_usize), 1..50_000_usize, Just(MIB)],
        steps in prop::collection::vec(step(), 1..8),
    ) {
        let mut world = World::new(size, ProjectionType::R96Fourier);
        for step in &steps {
            world.apply(step);
        }
        world.apply(&Step::Root);
    }
}
