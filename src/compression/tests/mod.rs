mod another_codec;
mod codecs;
mod hostile;

use super::config::MAX_BLOCK_SIZE;
use super::*;
use crate::{
    AtlasBoundaryRegion, AtlasProjection, ErrorKind, Limits, Pool, ProjectionOptions, Source, TILE_SIZE,
};

fn noise(len: usize, mut state: u64) -> Vec<u8> {
    let mut step = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 56
    };
    (0..len).map(|_| step() as u8).collect()
}

fn text(len: usize) -> Vec<u8> {
    let words = ["the ", "shard ", "of ", "a ", "domain ", "is ", "verified ", "and ", "kept\n"];
    let picks = noise(len, 9);
    picks.iter().flat_map(|pick| words[usize::from(*pick) % words.len()].bytes()).take(len).collect()
}

fn doubles(len: usize) -> Vec<u8> {
    (0..len / 8 + 1).flat_map(|i| ((i as f64).sqrt() * 1.001).to_le_bytes()).take(len).collect()
}

fn floats(len: usize) -> Vec<u8> {
    (0..len / 4 + 1).flat_map(|i| ((i as f32) * 0.37).sin().to_le_bytes()).take(len).collect()
}

fn records(len: usize) -> Vec<u8> {
    (0..len / 16 + 1)
        .flat_map(|i| (i as u64 * 24).to_le_bytes().into_iter().chain((i as u64 ^ 0x5555_0000).to_be_bytes()))
        .take(len)
        .collect()
}

fn mixed(len: usize) -> Vec<u8> {
    let mut bytes = text(len);
    let part = len / 3;
    bytes[part..2 * part].copy_from_slice(&noise(part, 3));
    bytes
}

fn kinds(len: usize) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("zeros", vec![0; len]),
        ("noise", noise(len, 1)),
        ("text", text(len)),
        ("doubles", doubles(len)),
        ("floats", floats(len)),
        ("records", records(len)),
        ("mixed", mixed(len)),
    ]
}

fn projection(data: &[u8]) -> AtlasProjection {
    AtlasProjection::linear(&Source::copy(data).unwrap()).unwrap()
}

fn shard_of(data: &[u8], offset: usize, length: usize) -> AtlasShard {
    let region = AtlasBoundaryRegion::new(offset as u64, length as u64);
    projection(data).extract_shard(&region, &mut Operation::new()).unwrap()
}

fn whole(data: &[u8]) -> AtlasShard {
    shard_of(data, 0, data.len())
}

/// Returns a copy of the proof that a test can change.
fn proof_of(shard: &AtlasShard) -> Proof {
    let bytes = shard.serialize().unwrap();
    let again =
        AtlasShard::deserialize(&bytes, &Limits::default(), &VerifyOptions::new(), &mut Operation::new());
    Arc::try_unwrap(again.unwrap().proof).unwrap_or_else(|_| panic!("shared"))
}

/// All algorithms that are built in.
fn algorithms() -> Vec<CompressionAlgorithm> {
    let mut all = vec![
        CompressionAlgorithm::None,
        CompressionAlgorithm::Deflate,
        CompressionAlgorithm::ConservationAware,
    ];
    all.extend(free_algorithms());
    all.push(CompressionAlgorithm::Auto);
    all
}

/// The algorithms that accept every filter.
fn free_algorithms() -> Vec<CompressionAlgorithm> {
    let mut all = Vec::new();
    if cfg!(feature = "zstd") {
        all.push(CompressionAlgorithm::Zstd);
    }
    if cfg!(feature = "lz4") {
        all.push(CompressionAlgorithm::Lz4);
    }
    all
}

fn eager() -> CompressionConfig {
    CompressionConfig { min_size_threshold: 0, max_compression_ratio: 1.0, ..CompressionConfig::default() }
}

fn read_back(bytes: &[u8]) -> Result<CompressedShard> {
    CompressedShard::deserialize(bytes, &Limits::default())
}

/// Compresses a shard, serialises, reads and decompresses it, and compares the result. Returns the
/// properties.
fn round_trip(shard: &AtlasShard, config: &CompressionConfig) -> CompressedInfo {
    let compressed = shard.compress(config).unwrap();
    let bytes = compressed.serialize().unwrap();
    assert_eq!(bytes.len(), compressed.serialized_size());
    let again = read_back(&bytes).unwrap();
    assert_eq!(again.info(), compressed.info());
    assert_eq!(again.serialize().unwrap(), bytes, "one encoding");
    let original = shard.serialize().unwrap();
    for one in [&compressed, &again] {
        let back = decompress_shard(one, config).unwrap();
        assert_eq!(back.info(), shard.info());
        assert!(back.serialize().unwrap() == original, "another shard came back");
        let mut buffer = vec![0xaa; shard.data().len()];
        one.read(0, &mut buffer).unwrap();
        assert!(buffer == shard.data());
    }
    let info = compressed.info();
    assert_eq!(info.original_size, shard.info().region.length);
    assert_eq!(info.residue, shard.info().residue);
    let payload = shard.payload.len() as u64;
    let blocks = if info.level == 0 { 1 << 20 } else { config.block_size };
    assert!(info.compressed_size <= payload + 12 * payload.div_ceil(blocks));
    info
}

#[test]
fn every_kind_length_algorithm_and_block_size_comes_back() {
    let block = 4_096;
    for len in [0, 1, 2, 15, 16, 17, 1_023, 1_024, block - 1, block, block + 1, 3 * block + 7, 70_001] {
        for (name, data) in kinds(len) {
            let shard = whole(&data);
            for algorithm in algorithms() {
                for block_size in [4_096, 5_001, 131_072] {
                    let info = round_trip(&shard, &CompressionConfig { algorithm, block_size, ..eager() });
                    let stored = info.algorithm == CompressionAlgorithm::None;
                    let auto = algorithm == CompressionAlgorithm::Auto;
                    assert!(stored || info.algorithm == algorithm || auto);
                    assert_ne!(info.algorithm, CompressionAlgorithm::Auto);
                    if len >= block && name != "noise" && algorithm != CompressionAlgorithm::None {
                        assert!(!stored, "{name} of {len} is stored");
                    }
                }
            }
        }
    }
}

#[test]
fn every_level_comes_back_and_zero_is_stored() {
    for (_, data) in kinds(150_000) {
        let shard = whole(&data);
        for level in 0..=9 {
            let config = CompressionConfig { level: CompressionLevel::Custom(level), ..eager() };
            let info = round_trip(&shard, &config);
            assert!(info.level == level || info.level == 0);
            assert!(level > 0 || info.algorithm == CompressionAlgorithm::None);
        }
    }
    let levels = [CompressionLevel::Fast, CompressionLevel::Default, CompressionLevel::Best];
    assert_eq!(levels.map(CompressionLevel::value), [1, 6, 9]);
}

#[test]
fn regions_inside_pages_and_tiles_come_back() {
    let data = mixed(2 * (1 << 20) + 12_345);
    for (offset, length) in
        [(0, 0), (1, 0), (5, 1), (4_095, 2), (5_000, 100_000), ((1 << 20) - 3, 6), (1 << 20, 1 << 20)]
    {
        let shard = shard_of(&data, offset, length);
        let info = round_trip(&shard, &CompressionConfig { block_size: 16_384, ..eager() });
        assert_eq!(info.original_size, length as u64);
        let compressed = shard.compress(&eager()).unwrap();
        let length = length as u64;
        assert_eq!(compressed.read(length, &mut [0]).unwrap_err().kind(), ErrorKind::OutOfRange);
        assert_eq!(compressed.read(u64::MAX, &mut [0; 2]).unwrap_err().kind(), ErrorKind::OutOfRange);
        compressed.read(length, &mut []).unwrap();
    }
}

#[test]
fn parts_are_read_exactly() {
    for (_, data) in kinds(300_003) {
        let shard = shard_of(&data, 777, 299_000);
        for block_size in [4_096, 16_384, 100_000] {
            let compressed = shard.compress(&CompressionConfig { block_size, ..eager() }).unwrap();
            let mut state = 5u64;
            for _ in 0..60 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                let offset = (state >> 33) as usize % 299_000;
                let len = (state >> 20) as usize % 20_000.min(299_000 - offset).max(1);
                let mut buffer = vec![0; len];
                compressed.read(offset as u64, &mut buffer).unwrap();
                assert!(buffer == data[777 + offset..][..len]);
            }
        }
    }
}

#[test]
fn numbers_become_much_smaller_behind_planes() {
    for data in [doubles(500_000), floats(500_000), records(500_000)] {
        let shard = whole(&data);
        let size =
            |algorithm| round_trip(&shard, &CompressionConfig { algorithm, ..eager() }).compressed_size;
        let (plain, aware) =
            (size(CompressionAlgorithm::Deflate), size(CompressionAlgorithm::ConservationAware));
        assert!(aware * 10 < plain * 9, "{aware} of {plain}");
    }
}

#[test]
fn what_does_not_pay_is_stored_and_shares_the_payload() {
    let shares = |shard: &AtlasShard, config: &CompressionConfig| {
        let compressed = shard.compress(config).unwrap();
        let info = compressed.info();
        assert_eq!((info.algorithm, info.level), (CompressionAlgorithm::None, 0));
        let Body::Shared(payload) = &compressed.data else { panic!("a copy") };
        assert!(Arc::ptr_eq(payload, &shard.payload));
        let back = decompress_shard(&compressed, config).unwrap();
        assert!(Arc::ptr_eq(&back.payload, &shard.payload));
        let growth = compressed.serialized_size() - shard.serialized_size();
        assert_eq!(growth, 32 + 12 * shard.payload.len().div_ceil(1 << 20));
        round_trip(shard, config);
    };
    let default = CompressionConfig::default();
    for len in [1_024, 4_096, 100_000, 1 << 20, (1 << 20) + 1, 3_500_000] {
        shares(&whole(&noise(len, 4)), &default);
    }
    shares(&whole(&text(1_023)), &default);
    assert_ne!(whole(&text(1_024)).compress(&default).unwrap().info().level, 0);
    shares(&whole(&[]), &eager());
    shares(&whole(&text(100_000)), &CompressionConfig { max_compression_ratio: 0.01, ..default });
    shares(&whole(&text(100_000)), &CompressionConfig { max_compression_ratio: 0.0, ..default });
    shares(&whole(&text(100_000)), &CompressionConfig { min_size_threshold: u64::MAX, ..default });
    shares(&whole(&text(100_000)), &CompressionConfig { algorithm: CompressionAlgorithm::None, ..default });
}

#[test]
fn noise_between_text_costs_its_bytes_and_heads() {
    let data = mixed(6 << 20);
    let shard = whole(&data);
    let info = round_trip(&shard, &CompressionConfig::default());
    assert_eq!(info.algorithm, CompressionAlgorithm::ConservationAware);
    let (bytes, blocks) = (info.compressed_size, 48);
    assert!(bytes < (2 << 20) + (4 << 20) * 2 / 5 + blocks * 64, "{bytes}");
}

#[test]
fn wrong_configurations_are_refused() {
    let shard = whole(&text(5_000));
    let wrong = |config: CompressionConfig| {
        assert_eq!(shard.compress(&config).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert!(CompressionManager::new(config).is_err());
        let compressed = shard.compress(&eager()).unwrap();
        assert!(decompress_shard(&compressed, &config).is_err());
    };
    wrong(CompressionConfig { level: CompressionLevel::Custom(10), ..eager() });
    for block_size in [0, 4_095, (1 << 20) + 1, u64::MAX] {
        wrong(CompressionConfig { block_size, ..eager() });
    }
    for max_compression_ratio in [f64::NAN, f64::INFINITY, -0.1] {
        wrong(CompressionConfig { max_compression_ratio, ..eager() });
    }
}

#[test]
fn the_bytes_are_the_same_for_every_number_of_threads() {
    let shards = [mixed(3 << 20), doubles(900_000), noise(2 << 20, 5), text(10)].map(|data| whole(&data));
    let refs: Vec<&AtlasShard> = shards.iter().collect();
    let manager = CompressionManager::new(CompressionConfig::default()).unwrap();
    let bytes = |operation: &mut Operation<'_>| -> Vec<Vec<u8>> {
        let compressed = manager.compress_batch(&refs, operation).unwrap();
        let refs: Vec<&CompressedShard> = compressed.iter().collect();
        let back = manager.decompress_batch(&refs, &VerifyOptions::new(), operation).unwrap();
        for (back, shard) in back.iter().zip(&shards) {
            assert!(back.serialize().unwrap() == shard.serialize().unwrap());
        }
        compressed.iter().map(|shard| shard.serialize().unwrap()).collect()
    };
    let wanted = bytes(&mut Operation::sequential());
    for threads in [1, 2, 3, 7] {
        let pool = Pool::new(threads).unwrap();
        assert!(bytes(&mut Operation::new().with_pool(&pool)) == wanted);
    }
    for (shard, bytes) in shards.iter().zip(&wanted) {
        assert!(shard.compress(&CompressionConfig::default()).unwrap().serialize().unwrap() == *bytes);
    }
}

#[test]
fn a_manager_keeps_count() {
    let manager = CompressionManager::new(CompressionConfig::default()).unwrap();
    assert_eq!(manager.stats(), CompressionStats::default());
    assert!((manager.stats().average_ratio() - 1.0).abs() < f64::EPSILON);
    let shards = [text(100_000), noise(8_192, 1), text(100), doubles(80_000)].map(|data| whole(&data));
    let refs: Vec<&AtlasShard> = shards.iter().collect();
    let compressed = manager.compress_batch(&refs, &mut Operation::new()).unwrap();
    let infos: Vec<CompressedInfo> = compressed.iter().map(CompressedShard::info).collect();
    let stats = manager.stats();
    assert_eq!((stats.compression_operations, stats.decompression_operations), (4, 0));
    assert_eq!((stats.shards_compressed, stats.shards_stored), (2, 2));
    assert_eq!(stats.original_bytes, 188_292);
    assert_eq!(stats.compressed_bytes, infos.iter().map(|info| info.compressed_size).sum::<u64>());
    assert_eq!(stats.saved_bytes, stats.original_bytes - stats.compressed_bytes);
    assert!(stats.average_ratio() < 0.8);
    let refs: Vec<&CompressedShard> = compressed.iter().collect();
    manager.decompress_batch(&refs, &VerifyOptions::new(), &mut Operation::new()).unwrap();
    assert_eq!(manager.stats().decompression_operations, 4);
    assert!(manager.compress_batch(&[], &mut Operation::new()).unwrap().is_empty());
    assert_eq!(manager.stats().compression_operations, 4);
}

#[test]
fn a_batch_is_all_or_nothing_and_names_the_shard() {
    let manager = CompressionManager::new(eager()).unwrap();
    let shards = [text(50_000), records(300_000), text(70_000)].map(|data| whole(&data));
    let refs: Vec<&AtlasShard> = shards.iter().collect();
    let mut compressed = manager.compress_batch(&refs, &mut Operation::new()).unwrap();
    compressed[1].heads[2].check[0] ^= 1;
    let before = manager.stats();
    let refs: Vec<&CompressedShard> = compressed.iter().collect();
    let error = manager.decompress_batch(&refs, &VerifyOptions::new(), &mut Operation::new()).unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(1)));
    assert_eq!(manager.stats(), before);
    let root = VerifyOptions::new().with_root(shards[0].proof.root);
    let error = manager.decompress_batch(&refs, &root, &mut Operation::new()).unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(1)));
}

#[test]
fn keyed_shards_need_their_key() {
    let key = [9; 32];
    let data = records(40_000);
    let source = Source::copy(&data).unwrap();
    let options = ProjectionOptions::default().with_key(&key);
    let projection =
        AtlasProjection::create(crate::ProjectionType::Linear, &source, &options, &mut Operation::new())
            .unwrap();
    let region = AtlasBoundaryRegion::new(100, 30_000);
    let shard = projection.extract_shard(&region, &mut Operation::new()).unwrap();
    let compressed = shard.compress(&eager()).unwrap();
    let verify = |options: VerifyOptions| compressed.decompress(&options, &mut Operation::new());
    assert_eq!(decompress_shard(&compressed, &eager()).unwrap_err().kind(), ErrorKind::Witness);
    assert_eq!(verify(VerifyOptions::new().with_key(&[8; 32])).unwrap_err().kind(), ErrorKind::Witness);
    let back = verify(VerifyOptions::new().with_key(&key)).unwrap();
    assert_eq!(back.serialize().unwrap(), shard.serialize().unwrap());
    let plain = whole(&data).compress(&eager()).unwrap();
    let error = plain.decompress(&VerifyOptions::new().with_key(&key), &mut Operation::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Witness);
}

#[test]
fn progress_never_goes_back_and_cancels() {
    let shards = [mixed(3 << 20), noise(1 << 20, 2), text(500), vec![]].map(|data| whole(&data));
    let refs: Vec<&AtlasShard> = shards.iter().collect();
    // With a ratio of at most 0.75 one of the four shards is compressed, and with at most 0.3 none.
    for (max_compression_ratio, stored) in [(0.75, 3), (0.3, 4)] {
        let config = CompressionConfig { max_compression_ratio, ..CompressionConfig::default() };
        let manager = CompressionManager::new(config).unwrap();
        let mut seen = Vec::new();
        let mut record = |progress: &crate::Progress| {
            seen.push(*progress);
            true
        };
        let mut operation = Operation::new().with_progress(&mut record);
        let compressed = manager.compress_batch(&refs, &mut operation).unwrap();
        assert_eq!(manager.stats().shards_stored, stored);
        let refs: Vec<&CompressedShard> = compressed.iter().collect();
        let first = seen.len();
        let mut record = |progress: &crate::Progress| {
            seen.push(*progress);
            true
        };
        let mut operation = Operation::new().with_progress(&mut record);
        manager.decompress_batch(&refs, &VerifyOptions::new(), &mut operation).unwrap();
        for part in [&seen[..first], &seen[first..]] {
            for pair in part.windows(2) {
                assert!(pair[0].bytes_done <= pair[1].bytes_done);
                assert!(pair[0].chunks_done <= pair[1].chunks_done);
                assert!(pair[1].bytes_done - pair[0].bytes_done <= 1 << 20);
            }
            let last = part.last().unwrap();
            assert_eq!((last.bytes_done, last.chunks_done), (last.bytes_total, last.chunks_total));
            // Only the last report counts all shards as done, and it comes only once.
            assert_eq!(part.iter().filter(|p| p.chunks_done == p.chunks_total).count(), 1);
            assert!(part.iter().filter(|p| p.bytes_done == p.bytes_total).count() <= 2);
        }
    }
    let mut calls = 0;
    let mut stop = |_: &crate::Progress| {
        calls += 1;
        calls < 3
    };
    let mut operation = Operation::new().with_progress(&mut stop);
    let error = shards[0].compress_with(&CompressionConfig::default(), &mut operation).unwrap_err();
    assert_eq!((error.kind(), calls), (ErrorKind::Cancelled, 3));
}

/// Parts of `len` bytes, between zeros, that do not become smaller and are still not recognised as noise.
fn stubborn(len: usize) -> Vec<(&'static str, Vec<u8>)> {
    let between = |part: &dyn Fn(usize, u64) -> Vec<u8>| -> Vec<u8> {
        (0..4).flat_map(|i| if i % 2 == 0 { part(len / 4, i) } else { vec![0; len / 4] }).collect()
    };
    let scaled = |by: u8, from: u8| {
        move |len, seed| noise(len, seed).iter().map(|byte| from + byte % by).collect::<Vec<u8>>()
    };
    let float64 = |len: usize, seed: u64| -> Vec<u8> {
        let numbers = noise(len, seed);
        let numbers = numbers.as_chunks::<8>().0.iter().map(|bits| {
            let fraction = u64::from_le_bytes(*bits) >> 12;
            f64::from_bits(fraction | 1_023 << 52).to_le_bytes()
        });
        numbers.flatten().collect()
    };
    vec![
        ("0..240", between(&scaled(240, 0))),
        ("144..256", between(&scaled(112, 144))),
        ("float64", between(&float64)),
    ]
}

/// A stream that does not fit its destination does not influence the next stream.
///
/// zlib-rs 0.6 resets no stream fully that did not end: the next block on that worker panicked, or got no
/// block header and could not be decoded, which was not detected without `verify_integrity`.
fn a_block_that_does_not_become_smaller_spoils_none_behind_it(
    len: usize,
    levels: impl Iterator<Item = u8> + Clone,
    block_sizes: &[u64],
) {
    let pools = [2, 3].map(|threads| Pool::new(threads).unwrap());
    for (name, data) in stubborn(len) {
        let shard = whole(&data);
        let original = shard.serialize().unwrap();
        for (level, &block_size) in
            levels.clone().flat_map(|level| block_sizes.iter().map(move |b| (level, b)))
        {
            for algorithm in [CompressionAlgorithm::Deflate, CompressionAlgorithm::ConservationAware] {
                for verify_integrity in [false, true] {
                    let level = CompressionLevel::Custom(level);
                    let config =
                        CompressionConfig { algorithm, level, block_size, verify_integrity, ..eager() };
                    let compress = |operation: &mut Operation<'_>| {
                        let compressed = shard.compress_with(&config, operation);
                        compressed.unwrap_or_else(|error| panic!("{name} {config:?}: {error}"))
                    };
                    let compressed = compress(&mut Operation::sequential());
                    assert_eq!(compressed.info().algorithm, algorithm);
                    let back = compressed.decompress(&VerifyOptions::new(), &mut Operation::sequential());
                    let back = back.unwrap_or_else(|error| panic!("{name} {config:?}: {error}"));
                    assert!(back.serialize().unwrap() == original);
                    let bytes = compressed.serialize().unwrap();
                    for pool in &pools {
                        let other = compress(&mut Operation::new().with_pool(pool));
                        assert!(other.serialize().unwrap() == bytes, "{name} {config:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn no_block_spoils_another() {
    for (levels, sizes) in [(vec![1], &[4_096, 131_072, 1 << 20][..]), (vec![2, 5, 9], &[4_096, 120_000])] {
        a_block_that_does_not_become_smaller_spoils_none_behind_it(1 << 20, levels.into_iter(), sizes);
    }
}

#[test]
#[ignore = "minutes; the test above is a part of it"]
fn no_block_spoils_another_at_any_level() {
    let sizes = [4_096, 16_384, 120_000, 131_072, 1 << 20];
    a_block_that_does_not_become_smaller_spoils_none_behind_it(4 << 20, 1..=9, &sizes);
}

/// Decodes by the rules of docs/format.md, with another inflate.
fn decoded_by_the_book(compressed: &CompressedShard) -> Vec<u8> {
    let stream = |bytes: &[u8], len: usize| match bytes.len() == len {
        true => bytes.to_vec(),
        false => miniz_oxide::inflate::decompress_to_vec(bytes).expect("a raw stream"),
    };
    let mut payload = Vec::new();
    for (block, head) in compressed.heads.iter().enumerate() {
        let (len, bytes) = (compressed.block_bytes(block).len(), compressed.encoded(block));
        assert_eq!(bytes.len(), head.len);
        let stride = head.filter.stride();
        if stride == 1 {
            payload.extend(stream(bytes, len));
            continue;
        }
        let (lengths, mut rest) = bytes.split_at(4 * stride);
        let start = payload.len();
        payload.resize(start + len, 0);
        for (plane, length) in lengths.chunks(4).enumerate() {
            let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
            let plane_len = (len - plane).div_ceil(stride);
            for (at, byte) in stream(&rest[..length], plane_len).into_iter().enumerate() {
                payload[start + plane + at * stride] = byte;
            }
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
    }
    payload
}

#[test]
fn another_inflate_reads_the_streams() {
    for (name, data) in kinds(300_001) {
        let shard = whole(&data);
        for level in [1, 3, 6, 9] {
            for algorithm in [CompressionAlgorithm::Deflate, CompressionAlgorithm::ConservationAware] {
                let level = CompressionLevel::Custom(level);
                let compressed = shard.compress(&CompressionConfig { algorithm, level, ..eager() }).unwrap();
                let read = read_back(&compressed.serialize().unwrap()).unwrap();
                assert!(decoded_by_the_book(&read) == shard.payload[..], "{name} {level:?} {algorithm:?}");
            }
        }
    }
}

/// One digest over encodings of every level and of several block sizes, at each kind of data that is computed
/// without the platform's mathematics. Only a newer version of zlib-rs may change it.
#[test]
fn encodings_of_deflate_stay_what_they_are() {
    let mut hasher = blake3::Hasher::new();
    for (name, data) in kinds(200_003).into_iter().filter(|(name, _)| *name != "floats") {
        let shard = whole(&data);
        for (level, block_size) in [(1, 16_384), (2, 4_096), (3, 131_072), (6, 131_072), (9, 1 << 20)] {
            for algorithm in [CompressionAlgorithm::Deflate, CompressionAlgorithm::ConservationAware] {
                let level = CompressionLevel::Custom(level);
                let config = CompressionConfig { algorithm, level, block_size, ..eager() };
                let encoding = shard.compress(&config).unwrap().serialize().unwrap();
                hasher.update(&encoding);
                assert!(name == "noise" || encoding.len() < data.len(), "{name}");
            }
        }
    }
    let digest = hasher.finalize().to_hex();
    assert_eq!(digest.as_str(), "97a10e65f2f30dc25eddea4647af8bdfe376784e56d051c42abae74130e1041f");
}

#[test]
fn the_index_of_a_batch_is_that_of_the_shard() {
    let data = records(3 << 20);
    let shard = shard_of(&data, 1 << 20, 2 << 20);
    let batch = |compressed: &[&CompressedShard]| {
        let manager = CompressionManager::new(eager()).unwrap();
        manager.decompress_batch(compressed, &VerifyOptions::new(), &mut Operation::new()).unwrap_err()
    };
    // Tile 2 has another residue than the root states, so that the inner error names a tile.
    let mut proof = Proof { root: shard.proof.root, ..proof_of(&shard) };
    proof.tiles[1].residue = proof.tiles[1].residue + Residue::new(1).unwrap();
    let leaves: Vec<crate::hash::tile_tree::Leaf> = proof
        .tiles
        .iter()
        .zip(shard.payload.chunks(1 << 20))
        .map(|(tile, bytes)| crate::hash::tile_tree::Leaf {
            len: tile.len,
            residue: tile.residue,
            witness: crate::digest256(bytes),
        })
        .collect();
    let digests = Digests::new(None);
    let (root, _) =
        crate::hash::tile_tree::root_from_tiles(&digests, &proof.header, &(1..3), &leaves, &proof.siblings)
            .unwrap();
    proof.root = root;
    let mut wrong = shard.compress(&eager()).unwrap();
    wrong.proof = Arc::new(proof);
    let alone = wrong.decompress(&VerifyOptions::new(), &mut Operation::new()).unwrap_err();
    assert_eq!((alone.kind(), alone.index()), (ErrorKind::Conservation, Some(2)));
    let good = shard.compress(&eager()).unwrap();
    let error = batch(&[&wrong]);
    assert_eq!((error.kind(), error.index()), (ErrorKind::Conservation, Some(0)));
    assert_eq!(batch(&[&good, &wrong, &good]).index(), Some(1));
    let mut damaged = shard.compress(&eager()).unwrap();
    damaged.heads[3].check[0] ^= 1;
    let error = batch(&[&damaged]);
    assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(0)));
}

#[test]
fn r96_shards_come_back_and_are_read_from_any_tile_on() {
    let data = mixed((3 << 20) + 777);
    let source = Source::copy(&data).unwrap();
    for (key, classes) in [(None, 96), (Some([4; 32]), 64)] {
        let mut options = ProjectionOptions::default().with_data_classes(classes);
        let mut verify = VerifyOptions::new();
        if let Some(key) = &key {
            (options, verify) = (options.with_key(key), verify.with_key(key));
        }
        let kind = crate::ProjectionType::R96Fourier;
        let projection = AtlasProjection::create(kind, &source, &options, &mut Operation::new()).unwrap();
        let region = AtlasBoundaryRegion::new((1 << 20) + 5, 1 << 20);
        let all = projection.extract_shard(&region, &mut Operation::new()).unwrap();
        let some = projection.extract_classes(Some(&region), &[7, 95], &mut Operation::new()).unwrap();
        for shard in some.iter().chain([&all]) {
            assert_eq!(shard.info().region, AtlasBoundaryRegion::new(1 << 20, 2 << 20));
            let config = CompressionConfig { max_compression_ratio: 2.0, ..eager() };
            let compressed = shard.compress(&config).unwrap();
            for compressed in [read_back(&compressed.serialize().unwrap()).unwrap(), compressed] {
                assert_eq!(compressed.info().original_size, shard.data().len() as u64);
                assert_eq!(compressed.info().residue, Residue::of(shard.data()));
                let mut part = vec![0; 5_000];
                for offset in [0, 1, shard.data().len() / 2, shard.data().len() - part.len()] {
                    compressed.read(offset as u64, &mut part).unwrap();
                    assert_eq!(part, shard.data()[offset..offset + part.len()]);
                }
                let back = compressed.decompress(&verify, &mut Operation::new()).unwrap();
                assert!(back.serialize().unwrap() == shard.serialize().unwrap());
            }
        }
    }
}

#[test]
fn a_manager_is_used_from_several_threads_at_once() {
    let manager = CompressionManager::new(CompressionConfig::default()).unwrap();
    let shards = [mixed(1 << 20), doubles(300_000), noise(200_000, 5), text(70_000)].map(|data| whole(&data));
    let refs: Vec<&AtlasShard> = shards.iter().collect();
    let wanted: Vec<Vec<u8>> =
        refs.iter().map(|shard| shard.compress(manager.config()).unwrap().serialize().unwrap()).collect();
    let (threads, rounds) = (4, 3);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..rounds {
                    let compressed = manager.compress_batch(&refs, &mut Operation::new()).unwrap();
                    let compressed: Vec<&CompressedShard> = compressed.iter().collect();
                    for ((compressed, wanted), shard) in compressed.iter().zip(&wanted).zip(&shards) {
                        assert!(compressed.serialize().unwrap() == *wanted);
                        let mut part = [0; 100];
                        compressed.read(50_000, &mut part).unwrap();
                        assert_eq!(part, shard.data()[50_000..50_100]);
                    }
                    let verify = VerifyOptions::new();
                    let back = manager.decompress_batch(&compressed, &verify, &mut Operation::new()).unwrap();
                    assert!(back.iter().zip(&shards).all(|(back, shard)| back.data() == shard.data()));
                }
            });
        }
    });
    let stats = manager.stats();
    let calls = threads * rounds * shards.len() as u64;
    assert_eq!((stats.compression_operations, stats.decompression_operations), (calls, calls));
    assert_eq!(
        stats.original_bytes,
        threads * rounds * refs.iter().map(|s| s.data().len() as u64).sum::<u64>()
    );
}
