//! Edits of a projection against a plain vector of bytes: the input is a list of calls.
//!
//! Bytes, size, residue and history are compared after each call, roots with those of fresh projections, and what
//! a container commits with what it opens again.

use atlas_manifold::{
    AtlasProjection, CommitOptions, Container, ContainerCreateOptions, ContainerMode, ContainerOptions,
    Operation, ProjectionDelta, ProjectionOptions, ProjectionType, Residue, Source, VerifyOptions,
};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::LazyLock;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

/// Sizes of a domain at the beginning.
const SIZES: [usize; 6] = [0, 1, 5_000, 16_384 + 7, 70_000, (1 << 20) + 300];
/// The largest domain that is still edited.
const MOST: usize = 2 << 20;

static DATA: LazyLock<Vec<u8>> = LazyLock::new(|| (0..MOST).map(|i| (i * 31 + i / 4_093) as u8).collect());

/// Replaces a range of the model. Whole slices are copied: a step for each byte would be seen by the fuzzer.
fn replace(model: &mut Vec<u8>, range: Range<usize>, bytes: &[u8]) {
    let rest = model.split_off(range.end);
    model.truncate(range.start);
    model.extend_from_slice(bytes);
    model.extend_from_slice(&rest);
}

struct World {
    kind: ProjectionType,
    options: ProjectionOptions,
    projection: AtlasProjection,
    model: Vec<u8>,
    before: Vec<Vec<u8>>,
}

fn operation() -> Operation<'static> {
    Operation::sequential()
}

impl World {
    fn new(which: u8) -> World {
        let size = SIZES[usize::from(which) % SIZES.len()];
        // R96 takes most of the time, so that it is the rarer one.
        let kind = if which < 0xc0 { ProjectionType::Linear } else { ProjectionType::R96Fourier };
        let mut options = ProjectionOptions::new();
        if kind == ProjectionType::R96Fourier {
            options = options.with_data_classes(64);
        }
        let model = DATA[..size].to_vec();
        let source = Source::copy(&model).unwrap();
        let projection = AtlasProjection::create(kind, &source, &options, &mut operation()).unwrap();
        World { kind, options, projection, model, before: Vec::new() }
    }

    /// A place in the domain, its end included.
    fn place(&self, part: u8) -> usize {
        // Near the edges of groups and tiles as often as anywhere.
        let size = self.model.len();
        match part {
            0..=127 => (usize::from(part) * (size + 1)) >> 7,
            128..=191 => (usize::from(part - 128) * 16_384).min(size),
            _ => size.saturating_sub(usize::from(part - 192)),
        }
    }

    /// Applies one change to model and projection. A change that is too large is left out.
    fn change(&mut self, what: u8, from: u8, to: u8, size: u8) {
        let (a, b) = (self.place(from), self.place(to));
        let (start, end) = (a.min(b), a.max(b));
        let size = match size {
            0..=199 => usize::from(size),
            200..=249 => usize::from(size - 199) * 1_000,
            _ => 1_100_000,
        };
        if self.model.len() + size > MOST {
            return;
        }
        let bytes = DATA[usize::from(from)..][..size].to_vec();
        let mut model = self.model.clone();
        let delta = match what % 4 {
            0 => {
                replace(&mut model, start..start, &bytes);
                ProjectionDelta::insert(start as u64, bytes)
            }
            1 => {
                replace(&mut model, start..end, &bytes);
                ProjectionDelta::update(start as u64, end as u64, bytes)
            }
            2 => {
                replace(&mut model, start..end, &[]);
                ProjectionDelta::delete(start as u64, end as u64)
            }
            _ => {
                // A destination inside of the range is refused, so that its end is taken.
                let to = self.place(size as u8);
                let to = if to > start && to < end { end } else { to };
                let moved = model[start..end].to_vec();
                replace(&mut model, start..end, &[]);
                let at = if to >= end { to - (end - start) } else { to };
                replace(&mut model, at..at, &moved);
                ProjectionDelta::move_range(start as u64, end as u64, to as u64)
            }
        };
        self.projection.apply_incremental_update(delta).expect("a change inside of the domain");
        self.before.push(std::mem::replace(&mut self.model, model));
    }

    fn check_root(&self) {
        self.projection.verify(&mut operation()).expect("an edited projection verifies");
        let snapshot = self.projection.snapshot();
        snapshot.optimize(&mut operation()).unwrap();
        let source = Source::copy(&self.model).unwrap();
        let fresh = AtlasProjection::create(self.kind, &source, &self.options, &mut operation()).unwrap();
        assert_eq!(snapshot.root(&mut operation()).unwrap(), fresh.root(&mut operation()).unwrap());
    }

    /// Commits to a new container, and reads it after it was opened again.
    fn check_container(&self) {
        let path: PathBuf = FOLDER.path().join("edits");
        let _ = std::fs::remove_file(&path);
        let (create, commit) = (ContainerCreateOptions::default(), CommitOptions::default());
        let container =
            Container::create(&path, self.kind, &self.options, &create, &mut operation()).unwrap();
        let generation = container.commit(&self.projection, &commit, &mut operation()).unwrap();
        drop(container);
        let (verify, options) = (VerifyOptions::new(), ContainerOptions::default());
        let container =
            Container::open(&path, ContainerMode::Read, &verify, &options, &mut operation()).unwrap();
        let snapshot = container.snapshot(generation, true, &mut operation()).unwrap();
        assert!(bytes_of(&snapshot) == self.model, "other bytes than those that were committed");
        let roots =
            (snapshot.root(&mut operation()).unwrap(), self.projection.root(&mut operation()).unwrap());
        assert_eq!(roots.0, roots.1);
    }

    fn check(&self) {
        let info = self.projection.info();
        assert_eq!(info.domain_size, self.model.len() as u64);
        assert_eq!(info.residue, Residue::of(&self.model));
        assert_eq!(self.projection.history_len(), self.before.len() as u64);
        assert!(bytes_of(&self.projection) == self.model, "the bytes differ");
    }
}

fn bytes_of(projection: &AtlasProjection) -> Vec<u8> {
    let mut bytes = vec![0; projection.info().domain_size as usize];
    projection.read(0, &mut bytes).expect("bytes of the domain");
    bytes
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let Some((&which, steps)) = input.split_first() else { return };
    let mut world = World::new(which);
    for &[call, from, to, size] in steps.as_chunks::<4>().0.iter().take(12) {
        match call {
            0..=199 => world.change(call, from, to, size),
            200..=219 => {
                let count = usize::from(from % 4).min(world.before.len());
                world.projection.rollback(count as u64).unwrap();
                for _ in 0..count {
                    world.model = world.before.pop().unwrap();
                }
            }
            220..=229 => world.check_root(),
            230..=239 => world.check_container(),
            240..=247 => {
                let outside = world.model.len() as u64 + 1 + u64::from(from);
                let refused =
                    world.projection.apply_incremental_update(ProjectionDelta::insert(outside, b"x"));
                assert!(refused.is_err(), "an insertion outside of the domain");
            }
            _ => {
                world.projection.optimize(&mut operation()).unwrap();
                let kept = world.projection.history_len() as usize;
                world.before.drain(..world.before.len() - kept);
            }
        }
        world.check();
    }
    world.check_root();
}
