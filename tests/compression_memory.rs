//! The peak memory of compression is the amount that it requests of `memory_limit`. Alone in its process, whose peak it
//! looks at.
#![cfg(all(target_os = "linux", feature = "compression"))]

use atlas_manifold::{
    AtlasBoundaryRegion, AtlasProjection, CompressionAlgorithm, CompressionConfig, CompressionLevel,
    Operation, Source, VerifyOptions,
};

/// The peak since the last call, and the resident memory.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").expect("the status of the process");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("a field");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
    };
    let found = (field("VmHWM:"), field("VmRSS:"));
    std::fs::write("/proc/self/clear_refs", "5").expect("the peak starts anew");
    found
}

/// The least limit that `call` accepts, and how much it took under that one.
fn least<T>(call: impl Fn(&mut Operation<'_>) -> atlas_manifold::Result<T>) -> (u64, u64) {
    let (mut refused, mut taken) = (0, 1 << 32);
    while taken - refused > 4_096 {
        let limit = u64::midpoint(refused, taken);
        match call(&mut Operation::sequential().with_memory_limit(limit)) {
            Ok(_) => taken = limit,
            Err(_) => refused = limit,
        }
    }
    memory();
    let (_, before) = memory();
    let kept = call(&mut Operation::sequential().with_memory_limit(taken));
    let (peak, _) = memory();
    assert!(kept.is_ok());
    (taken, peak.saturating_sub(before))
}

#[test]
fn the_peak_stays_within_memory_limit() {
    // Half of the blocks stay as they are.
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let data: Vec<u8> =
        (0..24usize << 20).map(|i| if i >> 20 & 1 == 0 { noise() } else { i.to_le_bytes()[0] }).collect();
    let projection = AtlasProjection::linear(&Source::from_vec(data)).unwrap();
    let region = AtlasBoundaryRegion::new(0, 24 << 20);
    let shard = projection.extract_shard(&region, &mut Operation::sequential()).unwrap();
    for (block_size, algorithm) in [
        (4_096, CompressionAlgorithm::ConservationAware),
        (120_000, CompressionAlgorithm::Deflate),
        (1 << 20, CompressionAlgorithm::ConservationAware),
        #[cfg(feature = "zstd")]
        (4_096, CompressionAlgorithm::Zstd),
        #[cfg(feature = "zstd")]
        (1 << 20, CompressionAlgorithm::Zstd),
        #[cfg(feature = "lz4")]
        (120_000, CompressionAlgorithm::Lz4),
    ] {
        let config = CompressionConfig {
            algorithm,
            block_size,
            level: CompressionLevel::Fast,
            ..CompressionConfig::default()
        };
        let (limit, peak) = least(|operation| shard.compress_with(&config, operation));
        assert!(peak <= limit + (1 << 20), "compress: {peak} of {limit} with blocks of {block_size}");
        let compressed = shard.compress_with(&config, &mut Operation::sequential()).unwrap();
        assert_eq!(compressed.info().algorithm, algorithm);
        let (limit, peak) = least(|operation| compressed.decompress(&VerifyOptions::new(), operation));
        assert!(peak <= limit + (1 << 20), "decompress: {peak} of {limit} with blocks of {block_size}");
        assert!(limit < 36 << 20, "{limit}");
    }
}
