//! Any bytes through each algorithm, filter and block size, and back: the same bytes, one encoding, true reads.

use atlas_manifold::{
    AtlasBoundaryRegion, AtlasProjection, CompressedShard, CompressionAlgorithm, CompressionConfig,
    CompressionFilter, CompressionLevel, Limits, Operation, ProjectionOptions, ProjectionType, Source,
    VerifyOptions,
};

/// Runs one input.
pub fn run(input: &[u8]) {
    let [algorithm, filter, block, repeat, data @ ..] = input else { return };
    use CompressionAlgorithm as A;
    let algorithm =
        [A::None, A::Deflate, A::ConservationAware, A::Zstd, A::Lz4, A::Auto][usize::from(algorithm % 6)];
    let plane = matches!(algorithm, A::Zstd | A::Lz4 | A::Auto);
    let filter = [CompressionFilter::Auto, CompressionFilter::None, CompressionFilter::Planes]
        [if plane { usize::from(filter % 3) } else { 0 }];
    // Longer domains are the input again and again, which codecs and filters find.
    let mut bytes = data.repeat(1 + usize::from(repeat % 16));
    bytes.truncate(200_000);
    let operation = &mut Operation::sequential();
    let (source, options) = (Source::copy(&bytes).unwrap(), ProjectionOptions::new());
    let projection = AtlasProjection::create(ProjectionType::Linear, &source, &options, operation).unwrap();
    let region = AtlasBoundaryRegion::new(0, bytes.len() as u64);
    let shard = projection.extract_shard(&region, operation).unwrap();
    let config = CompressionConfig {
        algorithm,
        filter,
        level: CompressionLevel::Custom(if algorithm == A::Auto { 6 } else { (block >> 4) % 10 }),
        block_size: 4_096 << (block & 7),
        min_size_threshold: 0,
        max_compression_ratio: 1.0,
        verify_integrity: false,
        ..CompressionConfig::default()
    };
    let compressed = shard.compress_with(&config, operation).unwrap();
    let encoding = compressed.serialize().unwrap();
    let again =
        CompressedShard::deserialize(&encoding, &Limits::default()).expect("what was written is read");
    assert!(again.serialize().unwrap() == encoding, "one encoding");
    let trust = VerifyOptions::new().with_root(projection.root(operation).unwrap());
    let back = again.decompress(&trust, operation).expect("what was compressed comes back");
    assert!(back.data() == bytes, "other bytes came back");
    let place = usize::from(*repeat) * bytes.len() / 256;
    let mut part = vec![0; (bytes.len() - place).min(5_000)];
    again.read(place as u64, &mut part).unwrap();
    assert!(part == bytes[place..place + part.len()], "a read gave other bytes");
}
