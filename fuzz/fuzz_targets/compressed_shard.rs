//! Deserialise and decompress hostile bytes: an error, or exactly the shard that the root names.
//!
//! Plain mutations would stop at the digest of the encoding. So the input is a list of edits to a
//! true encoding, or an encoding of its own, and size and digest are made to fit afterwards, as an
//! attacker would.
#![no_main]

use atlas_manifold::{
    AtlasBoundaryRegion, AtlasProjection, CompressedShard, CompressionAlgorithm, CompressionConfig, Limits,
    Operation, Source, VerifyOptions, digest256,
};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

struct Seed {
    compressed: Vec<u8>,
    shard: Vec<u8>,
}

static SEEDS: LazyLock<Vec<Seed>> = LazyLock::new(|| {
    let doubles: Vec<u8> = (0..3_000).flat_map(|i| f64::from(i).sqrt().to_le_bytes()).collect();
    let records: Vec<u8> = (0..9_000u32).flat_map(|i| (i * 24).to_le_bytes()).collect();
    let text = b"a shard of a domain, verified alone; ".repeat(300);
    let noise: Vec<u8> = (0..5_000u32).map(|i| digest256(&i.to_le_bytes())[0]).collect();
    let mixed = [&text[..], &noise[..], &doubles[..]].concat();
    let mut seeds = Vec::new();
    // The last one lies in the second of three tiles.
    let tiles = text.repeat(300);
    for (data, offset, most) in [
        (doubles, 0, u64::MAX),
        (records, 5_000, u64::MAX),
        (text, 100, u64::MAX),
        (noise, 0, u64::MAX),
        (mixed, 4_000, u64::MAX),
        (vec![], 0, u64::MAX),
        (tiles, 1 << 20, 5_000),
    ] {
        let source = Source::copy(&data).unwrap();
        let projection = AtlasProjection::linear(&source).unwrap();
        let length = (data.len() as u64).saturating_sub(offset).min(most);
        let region = AtlasBoundaryRegion::new(offset, length);
        let shard = projection.extract_shard(&region, &mut Operation::sequential()).unwrap();
        for (algorithm, block_size) in
            [(CompressionAlgorithm::ConservationAware, 4_096), (CompressionAlgorithm::Deflate, 1 << 20)]
        {
            let config = CompressionConfig {
                algorithm,
                block_size,
                min_size_threshold: 0,
                max_compression_ratio: 1.0,
                ..CompressionConfig::default()
            };
            let compressed = shard.compress_with(&config, &mut Operation::sequential()).unwrap();
            seeds.push(Seed {
                compressed: compressed.serialize().unwrap(),
                shard: shard.serialize().unwrap(),
            });
        }
    }
    seeds
});

/// Size and digest that fit.
fn sign(mut body: Vec<u8>) -> Vec<u8> {
    if body.len() >= 24 {
        let size = (body.len() + 32) as u64;
        body[16..24].copy_from_slice(&size.to_le_bytes());
    }
    let digest = digest256(&body);
    body.extend(digest);
    body
}

fn try_one(bytes: &[u8], original: Option<&[u8]>) {
    let limits = Limits { max_payload_size: 4 << 20, ..Limits::default() };
    let Ok(compressed) = CompressedShard::deserialize(bytes, &limits) else { return };
    assert_eq!(compressed.serialize().unwrap(), bytes, "one encoding");
    let size = compressed.info().original_size;
    let mut part = vec![0; size.min(5_000) as usize];
    let _ = compressed.read(size - part.len() as u64, &mut part);
    let shard = compressed.decompress(&VerifyOptions::new(), &mut Operation::sequential());
    if let (Ok(shard), Some(original)) = (shard, original) {
        let bytes = shard.serialize().unwrap();
        // Another region over the same pages is another shard, and a true one.
        let region = 24 + (16 + 32) + (16 + 24) + 16..24 + (16 + 32) + (16 + 24) + 32;
        let end = bytes.len() - 32;
        assert_eq!(bytes.len(), original.len());
        assert!(bytes[..region.start] == original[..region.start]);
        assert!(bytes[region.end..end] == original[region.end..end], "other bytes came out");
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&pick, edits)) = input.split_first() else { return };
    let Some(seed) = SEEDS.get(usize::from(pick)) else {
        try_one(edits, None);
        try_one(&sign(edits.to_vec()), None);
        return;
    };
    let mut body = seed.compressed[..seed.compressed.len() - 32].to_vec();
    // Edits of four bytes: a place, what to do, a value.
    for edit in edits.chunks_exact(4) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % body.len().max(1);
        match edit[2] % 6 {
            0 => body[at] ^= edit[3],
            1 => body[at] = edit[3],
            2 => body.truncate(at.max(24)),
            3 => body.insert(at, edit[3]),
            4 => drop(body.remove(at)),
            // Near the end of the proof, where the heads of the blocks are.
            _ => {
                let heads = body.windows(8).position(|w| w == [16, 0, 0, 0, 0, 0, 0, 0]).unwrap_or(at);
                let at = (heads + 16 + usize::from(edit[0])).min(body.len() - 1);
                body[at] = edit[3];
            }
        }
        if body.len() < 24 {
            return;
        }
    }
    try_one(&sign(body), Some(&seed.shard));
});
