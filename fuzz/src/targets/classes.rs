//! Any choice of classes of an R96 domain, in any order, some of them twice: the domain if they are enough, and
//! INCOMPLETE if they are not.

use atlas_manifold::{
    AtlasBoundaryRegion, AtlasProjection, AtlasReconstruction, AtlasShard, ErrorKind, Operation,
    ProjectionOptions, ProjectionType, ReconstructionOptions, Source,
};
use std::sync::LazyLock;

/// Number of data classes and size of each domain. The last has two parts, whose classes are short.
const DOMAINS: [(u8, usize); 9] = [
    (1, 1),
    (40, 1),
    (64, 1),
    (96, 1),
    (1, 3_001),
    (40, 30_001),
    (64, 30_001),
    (96, 30_001),
    (96, (1 << 20) + 4_000),
];

struct Seed {
    data_classes: u8,
    bytes: Vec<u8>,
    root: [u8; 32],
    /// Shard of each class of each part of the domain.
    shards: Vec<Vec<AtlasShard>>,
}

static SEEDS: LazyLock<Vec<Seed>> = LazyLock::new(|| {
    let seeds = DOMAINS.iter().map(|&(data_classes, size)| {
        let bytes: Vec<u8> = (0..size).map(|i| (i * 31 + i / 4_093) as u8).collect();
        let operation = &mut Operation::sequential();
        let options = ProjectionOptions::new().with_data_classes(data_classes);
        let source = Source::copy(&bytes).unwrap();
        let projection =
            AtlasProjection::create(ProjectionType::R96Fourier, &source, &options, operation).unwrap();
        let all: Vec<u8> = (0..96).collect();
        let parts = (0..size as u64).step_by(1 << 20).map(|start| {
            let region = AtlasBoundaryRegion::new(start, 1);
            projection.extract_classes(Some(&region), &all, &mut Operation::sequential()).unwrap()
        });
        let shards = parts.collect();
        Seed { data_classes, bytes, root: projection.root(operation).unwrap(), shards }
    });
    seeds.collect()
});

/// Runs one input.
pub fn run(input: &[u8]) {
    let [which, chosen @ ..] = input else { return };
    let seed = &SEEDS[usize::from(*which) % SEEDS.len()];
    let needed = usize::from(seed.data_classes);
    let operation = &mut Operation::sequential();
    let options = ReconstructionOptions::new().with_root(seed.root);
    let rebuilt = AtlasReconstruction::new(&options).unwrap();
    let mut have = vec![[false; 96]; seed.shards.len()];
    for &choice in chosen.iter().take(300) {
        // The seed's parts in turn, each with the class that the byte names.
        let part = usize::from(choice / 96) % seed.shards.len();
        let class = usize::from(choice % 96);
        rebuilt.add(&seed.shards[part][class], operation).expect("a true shard");
        have[part][class] = true;
    }
    let enough = have.iter().all(|part| part.iter().filter(|have| **have).count() >= needed);
    assert_eq!(rebuilt.is_complete(), enough);
    match rebuilt.finish(operation) {
        Ok(projection) => {
            assert!(enough, "a domain of too few classes");
            let mut bytes = vec![0; seed.bytes.len()];
            projection.read(0, &mut bytes).unwrap();
            assert!(bytes == seed.bytes, "other bytes were rebuilt");
        }
        Err(error) => {
            assert!(!enough, "{error}");
            assert_eq!(error.kind(), ErrorKind::Incomplete);
        }
    }
}
