//! Any choice of classes of an R96 domain, in any order, some of them twice: the domain if they are enough, and
//! INCOMPLETE if they are not.

use atlas_manifold::{
    AtlasBoundaryRegion, AtlasProjection, AtlasReconstruction, AtlasShard, ErrorKind, Operation,
    ProjectionOptions, ProjectionType, ReconstructionOptions, Source,
};
use std::sync::LazyLock;

/// Numbers of data classes.
const DATA_CLASSES: [u8; 4] = [1, 40, 64, 96];
const SIZES: [usize; 3] = [1, 30_001, (1 << 20) + 4_000];

struct Seed {
    bytes: Vec<u8>,
    root: [u8; 32],
    /// Shard of each class of each part of the domain.
    shards: Vec<Vec<AtlasShard>>,
}

static SEEDS: LazyLock<Vec<Seed>> = LazyLock::new(|| {
    let mut seeds = Vec::new();
    for data_classes in DATA_CLASSES {
        for size in SIZES {
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
            seeds.push(Seed { bytes, root: projection.root(operation).unwrap(), shards });
        }
    }
    seeds
});

/// Runs one input.
pub fn run(input: &[u8]) {
    let [which, chosen @ ..] = input else { return };
    let number = usize::from(*which) % SEEDS.len();
    let (seed, needed) = (&SEEDS[number], usize::from(DATA_CLASSES[number / SIZES.len()]));
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
