//! Containers whose generations are known, and the states that a changed one may be read as.

use super::forge::Original;
use atlas_manifold::{
    AtlasBoundaryRegion, AtlasProjection, CommitOptions, Container, ContainerCreateOptions, ContainerOptions,
    Digest, Operation, ProjectionDelta, ProjectionOptions, ProjectionType, Source, VerifyOptions,
};
use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

/// Bytes of a generation that is still read.
const MOST: u64 = 4 << 20;
/// Memory for loaded nodes: so little that they are evicted.
pub const CACHE: u64 = 64 << 10;

/// Knowledge of the reader about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    Nothing,
    /// Nothing, and takes the rest of the file.
    Recover,
    /// Root of the newest generation.
    Root,
    /// History of the newest generation.
    History,
}

impl Trust {
    pub fn of(number: u8) -> Trust {
        [Trust::Nothing, Trust::Recover, Trust::Root, Trust::History][usize::from(number % 4)]
    }
}

struct Known {
    root: Digest,
    history: Digest,
    bytes: Vec<u8>,
}

/// A container before it is changed.
pub struct Seed {
    pub original: Original,
    base: Option<Source>,
    key: Option<[u8; 32]>,
    generations: BTreeMap<u64, Known>,
}

impl Seed {
    /// Reads all generations of a good file.
    pub fn new(bytes: Vec<u8>, base: Option<Source>, key: Option<[u8; 32]>) -> Seed {
        let mut seed = Seed { original: Original::new(bytes), base, key, generations: BTreeMap::new() };
        let container = seed.open(&seed.original.bytes, Trust::Nothing).unwrap();
        let mut generation = container.info().unwrap().newest;
        while generation > 0 {
            let info = container.generation(generation).unwrap();
            let snapshot = container.snapshot(generation, true, &mut Operation::sequential()).unwrap();
            let known = Known { root: info.root, history: info.history, bytes: read(&snapshot).unwrap() };
            seed.generations.insert(generation, known);
            generation = info.previous;
        }
        seed
    }

    pub fn is_keyed(&self) -> bool {
        self.key.is_some()
    }

    /// The key, and under [`Trust::Root`] the root.
    pub fn verify(&self, trust: Trust) -> VerifyOptions {
        let verify =
            self.key.as_ref().map_or_else(VerifyOptions::new, |key| VerifyOptions::new().with_key(key));
        match self.generations.values().next_back().filter(|_| trust == Trust::Root) {
            Some(newest) => verify.with_root(newest.root),
            None => verify,
        }
    }

    pub fn options(&self, trust: Trust) -> ContainerOptions {
        let newest = self.generations.values().next_back().filter(|_| trust == Trust::History);
        ContainerOptions {
            base: self.base.clone(),
            cache_size: CACHE,
            recover: trust == Trust::Recover,
            expected_history: newest.map(|newest| newest.history),
            max_domain_size: Some(MOST),
            ..ContainerOptions::default()
        }
    }

    fn open(&self, bytes: &[u8], trust: Trust) -> atlas_manifold::Result<Container> {
        let source = Source::copy(bytes).unwrap();
        Container::open_source(
            &source,
            &self.verify(trust),
            &self.options(trust),
            &mut Operation::sequential(),
        )
    }

    /// Opens a changed file and reads whatever it has. Panics if that differs from the original where
    /// the original is known. True if the newest generation was read.
    pub fn look(&self, bytes: &[u8], trust: Trust) -> bool {
        let Ok(container) = self.open(bytes, trust) else { return false };
        // Without a root, whatever was opened is what anybody may have written.
        let newest = self.generations.keys().next_back().copied().unwrap_or(0);
        let none = RangeInclusive::new(1, 0);
        let proved = match trust {
            _ if self.is_keyed() => 0..=u64::MAX,
            Trust::Root => container.info().map_or(none, |info| info.newest..=info.newest),
            Trust::History => newest..=newest,
            Trust::Nothing | Trust::Recover => none,
        };
        let is_read = self.read_all(&container, &proved, trust);
        let mut told = 0_u64;
        let mut count = |_: &atlas_manifold::Damage| {
            told += 1;
            true
        };
        let found = container.find_damage(0, &mut count, &mut Operation::sequential());
        assert!(found.is_err() || told == 0, "{told} damaged ranges and OK");
        if found.is_ok() && trust == Trust::History {
            // The chain was walked: all that was committed before it is proved.
            self.read_all(&container, &(0..=newest), trust);
        }
        is_read
    }

    fn read_all(&self, container: &Container, proved: &RangeInclusive<u64>, trust: Trust) -> bool {
        let Ok(info) = container.info() else { return false };
        let mut is_read = info.newest == 0;
        let (mut generation, mut later, mut left) = (info.newest, None, 40);
        while generation > 0 && left > 0 {
            let Ok(found) = container.generation(generation) else { break };
            let _ = container.note(generation);
            // The history of the oldest generation of a compacted file follows from generations that are gone.
            let is_cut =
                trust == Trust::History && found.previous == 0 && generation != 1 && !self.is_keyed();
            let known = (proved.contains(&generation) && !is_cut).then(|| match trust {
                // A root says nothing of the number.
                Trust::Root if !self.is_keyed() => self.generations.values().next_back().unwrap(),
                _ => self.generations.get(&generation).expect("a generation that nobody committed"),
            });
            if let Some(known) = known {
                assert_eq!(found.domain_size, known.bytes.len() as u64, "a false size");
                assert_eq!(found.root, known.root, "a false root");
            }
            if let Ok(snapshot) = container.snapshot(generation, true, &mut Operation::sequential()) {
                let done = use_snapshot(&snapshot, later.as_ref(), known.map(|known| &known.bytes[..]));
                is_read |= generation == info.newest && done;
                later = Some(snapshot);
            }
            generation = found.previous;
            left -= 1;
        }
        is_read
    }
}

/// An outline with edits over its base, of three generations. It is made in `folder`, and leaves no file there.
pub fn outline(folder: &Path) -> Seed {
    let base = Source::from_vec((0..70_000_u32).map(|i| (i * 31 + i / 4_093) as u8).collect());
    let path = folder.join("outline");
    let create = ContainerCreateOptions {
        block_log2: Some(12),
        keep_chains: true,
        id: Some([5; 16]),
        handle: ContainerOptions { base: Some(base.clone()), ..ContainerOptions::default() },
    };
    let (options, operation) = (ProjectionOptions::new(), &mut Operation::sequential());
    let container = Container::create(&path, ProjectionType::Linear, &options, &create, operation).unwrap();
    container.import(&base, &CommitOptions::default(), operation).unwrap();
    for (at, byte) in [(30_000, 1), (100, 2)] {
        let edited = container.snapshot(0, false, operation).unwrap();
        edited.apply_incremental_update(ProjectionDelta::insert(at, vec![byte; 500])).unwrap();
        container.commit(&edited, &CommitOptions::default(), operation).unwrap();
    }
    drop(container);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    Seed::new(bytes, Some(base), None)
}

/// All bytes of a projection.
fn read(projection: &AtlasProjection) -> atlas_manifold::Result<Vec<u8>> {
    let mut bytes = vec![0; projection.info().domain_size.min(MOST) as usize];
    projection.read(0, &mut bytes)?;
    Ok(bytes)
}

/// Reads, and compares with the next generation; the newest is verified and edited too. True if all could be read.
/// `known` has the right bytes.
fn use_snapshot(snapshot: &AtlasProjection, later: Option<&AtlasProjection>, known: Option<&[u8]>) -> bool {
    let operation = &mut Operation::sequential();
    let size = snapshot.info().domain_size;
    // A part first, while nothing is loaded.
    let offset = size / 3;
    let mut part = vec![0; (size - offset).min(777) as usize];
    if snapshot.read(offset, &mut part).is_ok()
        && let Some(known) = known
    {
        assert!(part == known[offset as usize..][..part.len()], "false bytes");
    }
    let bytes = read(snapshot);
    if let (Ok(bytes), Some(known)) = (&bytes, known) {
        assert!(bytes == known, "false bytes");
    }
    // Of older generations the bytes are enough.
    let Some(later) = later else { return check_newest(snapshot, bytes.is_ok(), known) };
    let _ = later.diff(snapshot, operation);
    bytes.is_ok()
}

/// Verifies and edits the newest generation.
fn check_newest(snapshot: &AtlasProjection, is_read: bool, known: Option<&[u8]>) -> bool {
    let operation = &mut Operation::sequential();
    let size = snapshot.info().domain_size;
    let verified = snapshot.verify(operation);
    assert!(verified.is_err() || is_read, "verified, and not to be read");
    let found = snapshot.find_damage(None, &mut |_| true, operation);
    assert!(found.is_err() || is_read, "no damage, and not to be read");
    let edited = snapshot.snapshot();
    let at = size / 2;
    let inserted = edited.apply_incremental_update(ProjectionDelta::insert(at, vec![7; 100]));
    if inserted.is_ok() && edited.root(operation).is_ok() {
        let region = AtlasBoundaryRegion::new(at, (size - at).min(5_000));
        let _ = edited.extract_shard(&region, operation);
        if let (Ok(bytes), Some(known)) = (read(&edited), known) {
            let (before, after) = known.split_at(at as usize);
            let expected = [before, &[7; 100], after].concat();
            assert!(bytes == expected[..bytes.len()], "false bytes after an edit");
        }
    }
    is_read
}
