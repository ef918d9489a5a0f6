//! Deserialise and decompress hostile bytes: an error, or exactly the shard that the root names.
//!
//! Plain mutations would stop at the digest of the encoding. So the input is a list of edits to a
//! true encoding, or an encoding of its own, and size and digest are made to fit afterwards, as an
//! attacker would.

use super::super::{DIGEST, HEADER, check_true, edit, sign};
use atlas_manifold::{
    AtlasBoundaryRegion, AtlasProjection, AtlasShard, CompressedShard, CompressionAlgorithm,
    CompressionConfig, CompressionFilter, Limits, Operation, ProjectionOptions, ProjectionType, Source,
    VerifyOptions, digest256,
};
use std::sync::LazyLock;

struct Seed {
    compressed: Vec<u8>,
    shard: Vec<u8>,
    keyed: bool,
}

const KEY: [u8; 32] = [7; 32];

fn verify(keyed: bool) -> VerifyOptions {
    if keyed { VerifyOptions::new().with_key(&KEY) } else { VerifyOptions::new() }
}

fn shard(data: &[u8], kind: ProjectionType, keyed: bool, offset: u64, length: u64) -> AtlasShard {
    let mut options = ProjectionOptions::default().with_data_classes(64);
    if keyed {
        options = options.with_key(&KEY);
    }
    let source = Source::copy(data).unwrap();
    let projection = AtlasProjection::create(kind, &source, &options, &mut Operation::sequential()).unwrap();
    let region = AtlasBoundaryRegion::new(offset, length);
    if kind == ProjectionType::R96Fourier {
        let classes = projection.extract_classes(Some(&region), &[40], &mut Operation::sequential());
        return classes.unwrap().remove(0);
    }
    projection.extract_shard(&region, &mut Operation::sequential()).unwrap()
}

static SEEDS: LazyLock<Vec<Seed>> = LazyLock::new(|| {
    use ProjectionType::{Linear, R96Fourier};
    let doubles: Vec<u8> = (0..3_000).flat_map(|i| f64::from(i).sqrt().to_le_bytes()).collect();
    let records: Vec<u8> = (0..9_000u32).flat_map(|i| (i * 24).to_le_bytes()).collect();
    let text = b"a shard of a domain, verified alone; ".repeat(300);
    let noise: Vec<u8> = (0..5_000u32).map(|i| digest256(&i.to_le_bytes())[0]).collect();
    let mixed = [&text[..], &noise[..], &doubles[..]].concat();
    let tiles = records.repeat(88);
    assert!(tiles.len() > 3 << 20);
    let len = |data: &[u8], offset: u64| data.len() as u64 - offset;
    let shards = [
        (shard(&doubles, Linear, false, 0, len(&doubles, 0)), false),
        (shard(&records, Linear, false, 5_000, len(&records, 5_000)), false),
        (shard(&text, Linear, true, 100, len(&text, 100)), true),
        (shard(&noise, Linear, false, 0, len(&noise, 0)), false),
        (shard(&mixed, Linear, false, 4_000, len(&mixed, 4_000)), false),
        (shard(&[], Linear, false, 0, 0), false),
        // A shard of one of several tiles, and one of the edges of three around a whole one.
        (shard(&tiles, Linear, true, (1 << 20) + 4_000, 9_000), true),
        (shard(&tiles, Linear, false, (1 << 20) - 3_000, (1 << 20) + 6_000), false),
        (shard(&mixed, R96Fourier, false, 0, 1), false),
        (shard(&tiles, R96Fourier, true, 3 << 20, 1), true),
    ];
    let mut seeds = Vec::new();
    for (shard, keyed) in &shards {
        for (algorithm, block_size, filter) in [
            (CompressionAlgorithm::ConservationAware, 4_096, CompressionFilter::Auto),
            (CompressionAlgorithm::Deflate, 1 << 20, CompressionFilter::Auto),
            (CompressionAlgorithm::Zstd, 4_096, CompressionFilter::Planes),
            (CompressionAlgorithm::Zstd, 1 << 20, CompressionFilter::None),
            (CompressionAlgorithm::Lz4, 4_096, CompressionFilter::Planes),
            (CompressionAlgorithm::Lz4, 1 << 20, CompressionFilter::None),
        ] {
            let config = CompressionConfig {
                algorithm,
                block_size,
                filter,
                min_size_threshold: 0,
                max_compression_ratio: 1.0,
                ..CompressionConfig::default()
            };
            let compressed = shard.compress_with(&config, &mut Operation::sequential()).unwrap();
            seeds.push(Seed {
                compressed: compressed.serialize().unwrap(),
                shard: shard.serialize().unwrap(),
                keyed: *keyed,
            });
        }
    }
    seeds
});

fn try_one(bytes: &[u8], original: Option<&[u8]>, keyed: bool) {
    let limits = Limits { max_payload_size: 4 << 20, ..Limits::default() };
    let Ok(compressed) = CompressedShard::deserialize(bytes, &limits) else { return };
    assert_eq!(compressed.serialize().unwrap(), bytes, "one encoding");
    let size = compressed.info().original_size;
    let mut part = vec![0; size.min(5_000) as usize];
    let _ = compressed.read(size - part.len() as u64, &mut part);
    let shard = compressed.decompress(&verify(keyed), &mut Operation::sequential());
    if let (Ok(shard), Some(original)) = (shard, original) {
        check_true(&shard.serialize().unwrap(), original);
    }
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let Some((&pick, edits)) = input.split_first() else { return };
    let Some(seed) = SEEDS.get(usize::from(pick)) else {
        try_one(edits, None, false);
        try_one(&sign(edits.to_vec()), None, false);
        return;
    };
    let mut body = seed.compressed[..seed.compressed.len() - DIGEST].to_vec();
    // Edits of four bytes: a place, what to do, a value.
    for &[low, high, what, value] in edits.as_chunks().0 {
        let place = usize::from(u16::from_le_bytes([low, high]));
        // Half of them where proof and heads are, also of a shard of a mebibyte.
        let at = place % if what & 0x80 == 0 { body.len().min(1_000) } else { body.len() };
        if !edit(&mut body, at, what % 6, value) {
            // Near the end of the proof, where the heads of the blocks are.
            let heads = body.windows(8).position(|w| w == [16, 0, 0, 0, 0, 0, 0, 0]).unwrap_or(at);
            let at = (heads + 16 + usize::from(low)).min(body.len() - 1);
            body[at] = value;
        }
        if body.len() < HEADER {
            return;
        }
    }
    try_one(&sign(body), Some(&seed.shard), seed.keyed);
}
