//! Hostile streams of each codec: the input is the encoded block of a shard whose encoding is right in all else.
//!
//! The decoder fails, or gives bytes that do not have the digest of the block: nothing comes out either way.

use super::super::{DIGEST, HEADER, sign};
use atlas_manifold::{
    AtlasBoundaryRegion, AtlasProjection, CompressedShard, CompressionAlgorithm, CompressionConfig,
    CompressionFilter, Limits, Operation, ProjectionOptions, ProjectionType, Source, VerifyOptions,
};
use std::sync::LazyLock;

/// A shard of one block.
struct Seed {
    bytes: Vec<u8>,
    /// Encoding without its digest, up to the record COMPRESSION.
    before: Vec<u8>,
    compression: Vec<u8>,
}

const LENGTHS: [usize; 4] = [1_000, 4_096, 70_000, 1 << 20];

fn records(encoding: &[u8]) -> Vec<(u16, usize, usize)> {
    let (mut at, mut found) = (HEADER, Vec::new());
    while at < encoding.len() - DIGEST {
        let tag = u16::from_le_bytes([encoding[at], encoding[at + 1]]);
        let len = u64::from_le_bytes(encoding[at + 8..at + 16].try_into().unwrap()) as usize;
        found.push((tag, at, len));
        at += 16 + len;
    }
    found
}

static SEEDS: LazyLock<Vec<Seed>> = LazyLock::new(|| {
    let mut seeds = Vec::new();
    for len in LENGTHS {
        let bytes: Vec<u8> = (0..len).map(|i| (i / 9 % 7) as u8).collect();
        let operation = &mut Operation::sequential();
        let (source, options) = (Source::copy(&bytes).unwrap(), ProjectionOptions::new());
        let projection =
            AtlasProjection::create(ProjectionType::Linear, &source, &options, operation).unwrap();
        let region = AtlasBoundaryRegion::new(0, len as u64);
        let shard = projection.extract_shard(&region, operation).unwrap();
        let config = CompressionConfig {
            algorithm: CompressionAlgorithm::Zstd,
            filter: CompressionFilter::None,
            block_size: 1 << 20,
            min_size_threshold: 0,
            ..CompressionConfig::default()
        };
        let encoding = shard.compress_with(&config, operation).unwrap().serialize().unwrap();
        let records = records(&encoding);
        let &(_, at, len) = records.iter().find(|(tag, ..)| *tag == 16).unwrap();
        let compression = encoding[at..at + 16 + len].to_vec();
        seeds.push(Seed { bytes, before: encoding[..at].to_vec(), compression });
    }
    seeds
});

/// Runs one input.
pub fn run(input: &[u8]) {
    let [which, how, stream @ ..] = input else { return };
    let seed = &SEEDS[usize::from(which % 4)];
    if stream.is_empty() || stream.len() > seed.bytes.len() {
        return;
    }
    let mut compression = seed.compression.clone();
    // The algorithm, and filter and length of the block; the rest of its head is true.
    compression[16] = 1 + how % 4;
    let head = u32::from_le_bytes(compression[32..36].try_into().unwrap());
    let filter = u32::from(how >> 4 & 7) << 21;
    let head = head & 0x7F00_0000 | filter | stream.len() as u32;
    compression[32..36].copy_from_slice(&head.to_le_bytes());
    let mut body = seed.before.clone();
    body.extend(compression);
    body.extend(17_u16.to_le_bytes());
    body.extend([0; 6]);
    body.extend((stream.len() as u64).to_le_bytes());
    body.extend(stream);
    let encoding = sign(body);
    let limits = Limits { max_payload_size: 4 << 20, ..Limits::default() };
    let Ok(shard) = CompressedShard::deserialize(&encoding, &limits) else { return };
    let mut part = vec![0; seed.bytes.len().min(5_000)];
    if shard.read(0, &mut part).is_ok() {
        assert!(part == seed.bytes[..part.len()], "a read gave false bytes");
    }
    if let Ok(shard) = shard.decompress(&VerifyOptions::new(), &mut Operation::sequential()) {
        assert!(shard.data() == seed.bytes, "false bytes");
    }
}
