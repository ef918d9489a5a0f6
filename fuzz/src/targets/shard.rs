//! Deserialise hostile bytes as a shard: an error, or exactly the shard that the root names.
//!
//! As for compressed shards: edits to a true encoding, or an encoding of its own, with size and digest
//! made to fit, as an attacker would.

use super::super::{DIGEST, HEADER, check_true, edit, sign};
use atlas_manifold::{
    AtlasBoundaryRegion, AtlasProjection, AtlasReconstruction, AtlasShard, Limits, Operation,
    ProjectionOptions, ProjectionType, ReconstructionOptions, Source, VerifyOptions,
};
use std::sync::LazyLock;

static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mebibyte = 1u64 << 20;
    let data: Vec<u8> = (0..3 * mebibyte).map(|i| (i * 31 + i / 4_093) as u8).collect();
    let mut seeds = Vec::new();
    for (kind, size, regions) in [
        (ProjectionType::Linear, 0, &[(0, 0)][..]),
        (ProjectionType::Linear, 20_077, &[(4_000, 9_000), (0, 0), (20_000, 77), (0, 20_077)]),
        (
            ProjectionType::Linear,
            3 * mebibyte,
            &[(mebibyte, 4_096), (mebibyte - 100, 200), (2 * mebibyte + 5_000, 1), (mebibyte, 2 * mebibyte)],
        ),
        (ProjectionType::R96Fourier, 30_001, &[(0, 30_001)]),
        (ProjectionType::R96Fourier, 2 * mebibyte + 9_000, &[(2 * mebibyte, 1)]),
    ] {
        let source = Source::copy(&data[..size as usize]).unwrap();
        let options = ProjectionOptions::new().with_data_classes(64);
        let projection =
            AtlasProjection::create(kind, &source, &options, &mut Operation::sequential()).unwrap();
        for &(offset, length) in regions {
            let region = AtlasBoundaryRegion::new(offset, length);
            if kind == ProjectionType::R96Fourier {
                let some: Vec<u8> = (20..90).step_by(7).collect();
                let shards = projection.extract_classes(Some(&region), &some, &mut Operation::sequential());
                seeds.extend(shards.unwrap().iter().map(|shard| shard.serialize().unwrap()));
            } else {
                let shard = projection.extract_shard(&region, &mut Operation::sequential()).unwrap();
                seeds.push(shard.serialize().unwrap());
            }
        }
    }
    seeds
});

fn try_one(bytes: &[u8], original: Option<&[u8]>) {
    let limits = Limits { max_payload_size: 4 << 20, ..Limits::default() };
    let (trust, mut operation) = (VerifyOptions::new(), Operation::sequential());
    let Ok(shard) = AtlasShard::deserialize(bytes, &limits, &trust, &mut operation) else { return };
    assert_eq!(shard.serialize().unwrap(), bytes, "one encoding");
    let info = shard.info();
    assert_eq!(shard.data().len() as u64, info.payload_size);
    let mut part = vec![0; info.region.length.min(5_000) as usize];
    let _ = shard.read(info.region.end() - part.len() as u64, &mut part);
    let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new()).unwrap();
    rebuilt.add(&shard, &mut operation).unwrap();
    let _ = (rebuilt.missing(), rebuilt.classes_needed());
    if let Some(original) = original {
        check_true(bytes, original);
    }
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let Some((&pick, edits)) = input.split_first() else { return };
    let Some(seed) = SEEDS.get(usize::from(pick)) else {
        try_one(edits, None);
        try_one(&sign(edits.to_vec()), None);
        return;
    };
    let mut body = seed[..seed.len() - DIGEST].to_vec();
    // Edits of four bytes: a place, what to do, a value.
    for &[low, high, what, value] in edits.as_chunks().0 {
        let at = usize::from(u16::from_le_bytes([low, high])) % body.len().max(1);
        if !edit(&mut body, at, what % 6, value) {
            // A number of eight bytes, near one of those that the geometry knows.
            let known = [0, 1, 4_096, 1 << 20, (1 << 20) + 4_096, 3 << 20, u64::MAX, 1 << 63];
            let number = known[usize::from(value % 8)].wrapping_add(u64::from(value / 8) % 4);
            let at = (at / 8 * 8).min(body.len().saturating_sub(8));
            if let Some(place) = body.get_mut(at..at + 8) {
                place.copy_from_slice(&number.to_le_bytes());
            }
        }
        if body.len() < HEADER {
            return;
        }
    }
    try_one(&sign(body), Some(seed));
}
