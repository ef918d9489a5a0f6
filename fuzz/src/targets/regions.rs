//! Any regions of a domain, cut by any strategy: each shard has the bytes of its region and verifies alone.

use atlas_manifold::{
    AtlasBoundaryRegion, AtlasProjection, AtlasReconstruction, AtlasShard, ErrorKind, ExtractOptions, Limits,
    Operation, ParallelStrategy, ProjectionOptions, ProjectionType, ReconstructionOptions, Source,
    VerifyOptions,
};
use std::sync::LazyLock;

const SIZE: usize = (3 << 20) + 77;

/// Bytes of all regions together.
const MOST: u64 = 3 << 20;

static DATA: LazyLock<Vec<u8>> = LazyLock::new(|| (0..SIZE).map(|i| (i * 31 + i / 4_093) as u8).collect());
static PROJECTION: LazyLock<AtlasProjection> = LazyLock::new(|| {
    let (source, options) = (Source::copy(&DATA).unwrap(), ProjectionOptions::new());
    AtlasProjection::create(ProjectionType::Linear, &source, &options, &mut Operation::sequential()).unwrap()
});

/// Runs one input.
pub fn run(input: &[u8]) {
    let [how, regions @ ..] = input else { return };
    let regions: Vec<AtlasBoundaryRegion> = regions
        .as_chunks::<5>()
        .0
        .iter()
        .take(20)
        .map(|&[a, b, c, d, e]| {
            // Offsets of three bytes, lengths of two or, with a high bit, of whole tiles.
            let offset = u64::from(a) | u64::from(b) << 8 | u64::from(c & 63) << 16;
            let length = u64::from(d) | u64::from(e) << 8;
            AtlasBoundaryRegion::new(offset, if c & 128 == 0 { length } else { length << 5 })
        })
        .scan(0, |total, region| {
            *total += region.length;
            (*total <= MOST).then_some(region)
        })
        .collect();
    let strategy = match how % 4 {
        0 => ParallelStrategy::Sequential,
        1 => ParallelStrategy::Default,
        2 => ParallelStrategy::Chunked(1 + usize::from(how >> 2)),
        _ => ParallelStrategy::WorkStealing,
    };
    let options = ExtractOptions::new().with_strategy(strategy);
    let operation = &mut Operation::sequential();
    let outside = regions.iter().position(|region| region.end() > SIZE as u64);
    let shards = match PROJECTION.extract_shards(&regions, &options, operation) {
        Ok(shards) => shards,
        Err(error) => {
            assert_eq!((error.kind(), error.index()), (ErrorKind::OutOfRange, outside.map(|at| at as u64)));
            return;
        }
    };
    assert_eq!(outside, None, "a region outside of the domain");
    let root = PROJECTION.root(operation).unwrap();
    let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new().with_root(root)).unwrap();
    for (region, shard) in regions.iter().zip(&shards) {
        let range = region.offset as usize..region.end() as usize;
        let trust = VerifyOptions::new().with_root(root);
        let encoding = shard.serialize().unwrap();
        let read = AtlasShard::deserialize(&encoding, &Limits::default(), &trust, operation).unwrap();
        assert!(read.data() == &DATA[range], "a shard has other bytes than its region");
        rebuilt.add(&read, operation).unwrap();
    }
    // A shard has whole pages, so that the pages of the regions and no other byte are there.
    let mut pages = vec![false; SIZE.div_ceil(4_096)];
    for region in regions.iter().filter(|region| region.length > 0) {
        let (first, end) = (region.offset / 4_096, region.end().div_ceil(4_096));
        pages[first as usize..end as usize].fill(true);
    }
    let page = |number: usize| ((number + 1) * 4_096).min(SIZE) - number * 4_096;
    let absent: usize = (0..pages.len()).filter(|number| !pages[*number]).map(page).sum();
    let missing: u64 = rebuilt.missing().iter().map(|region| region.length).sum();
    // Without a shard the domain is not known yet.
    assert_eq!(missing, if regions.is_empty() { 0 } else { absent as u64 });
    assert_eq!(rebuilt.is_complete(), !regions.is_empty() && missing == 0);
}
