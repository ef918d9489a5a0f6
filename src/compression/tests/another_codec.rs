//! A codec with other bounds than DEFLATE's goes through everything: blocks, shards, bytes and limits.

use super::hostile::{compression_at, harmless};
use super::*;
use crate::compression::block::{Attempt, BlockEncoder};
use crate::compression::codec::run_length::{FOOTPRINT, MAX_EXPANSION};
use crate::compression::filter::Filter;
use crate::compression::method::{Filters, Method};
use crate::shard::tests::forge;

const RUN_LENGTHS: [CompressionAlgorithm; 2] =
    [CompressionAlgorithm::RunLength, CompressionAlgorithm::RunLengthPlanes];

fn config(algorithm: CompressionAlgorithm) -> CompressionConfig {
    CompressionConfig { algorithm, level: CompressionLevel::Fast, ..eager() }
}

/// Counters, which run lengths make smaller only after a split into planes.
fn counters(len: usize) -> Vec<u8> {
    (0..len as u64 / 8 + 1).flat_map(|i| (i / 40).to_le_bytes().map(|byte| byte ^ 0x21)).take(len).collect()
}

fn encode(config: &CompressionConfig, block: &[u8]) -> Option<(BlockHead, Vec<u8>)> {
    let plan = config.plan().unwrap();
    let mut encoder = BlockEncoder::new(config, &[plan], block.len()).unwrap();
    match encoder.encode(&plan, block).unwrap() {
        Attempt::Done(head, bytes) => Some((head, bytes.to_vec())),
        Attempt::Stored => None,
    }
}

#[test]
fn its_blocks_come_back_and_wrong_ones_are_refused() {
    let runs: Vec<u8> = (0..20_000usize).map(|i| (i / 321) as u8).collect();
    let planes = |algorithm, block: &[u8]| encode(&config(algorithm), block).map(|(head, _)| head.filter);
    assert_eq!(planes(CompressionAlgorithm::RunLength, &runs), Some(Filter::NONE));
    assert_eq!(planes(CompressionAlgorithm::RunLengthPlanes, &runs), Some(Filter::NONE));
    // Seven of eight bytes repeat at their position of the number, and almost no byte repeats its neighbour.
    assert!(planes(CompressionAlgorithm::RunLengthPlanes, &counters(20_000)).unwrap() != Filter::NONE);
    assert!(encode(&config(CompressionAlgorithm::RunLength), &noise(20_000, 3)).is_none());

    for (algorithm, block) in [(RUN_LENGTHS[0], runs), (RUN_LENGTHS[1], counters(20_000))] {
        let (head, bytes) = encode(&config(algorithm), &block).unwrap();
        assert!(bytes.len() < block.len() / 4, "{} of {algorithm:?}", bytes.len());
        let mut decoder = BlockDecoder::new(block.len());
        let mut decode = |codec, bytes: &[u8]| {
            let mut out = vec![0xaa; block.len()];
            let method = Method { codec, filters: Filters::Planes };
            let decoded = decoder.decode(method, &head, bytes, &mut out);
            decoded.map(|decoded| (decoded.unconserved.is_none(), out))
        };
        assert_eq!(decode(Codec::RunLength, &bytes).unwrap(), (true, block.clone()));
        // The decoder is used with another codec in between, and then with the first codec again.
        assert_eq!(decode(Codec::Deflate, &bytes).unwrap_err().kind(), ErrorKind::Format);
        assert_eq!(decode(Codec::RunLength, &bytes).unwrap(), (true, block.clone()));
        for len in 0..bytes.len() {
            assert_eq!(decode(Codec::RunLength, &bytes[..len]).unwrap_err().kind(), ErrorKind::Format);
        }
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut wrong = bytes.clone();
                wrong[at] ^= flip;
                let kind = decode(Codec::RunLength, &wrong).unwrap_err().kind();
                assert!(matches!(kind, ErrorKind::Format | ErrorKind::Witness), "byte {at}: {kind:?}");
            }
        }
    }
}

#[test]
fn its_shards_come_back_and_wrong_ones_are_refused() {
    for algorithm in RUN_LENGTHS {
        let config = CompressionConfig { block_size: 4_096, ..config(algorithm) };
        for data in [vec![0; 30_000], counters(30_000), mixed(30_000), text(30_000), text(10)] {
            round_trip(&whole(&data), &config);
        }
        let shard = whole(&[vec![5; 4_096], vec![9; 1_000]].concat());
        let original = shard.serialize().unwrap();
        let compressed = shard.compress(&config).unwrap();
        assert_eq!((compressed.info().algorithm, compressed.info().level), (algorithm, 1));
        let bytes = compressed.serialize().unwrap();
        assert!(harmless(&bytes, &original));
        for cut in 1..40 {
            assert!(read_back(&forge(&bytes, |body| body.truncate(bytes.len() - 32 - cut))).is_err());
        }
        // The encoded blocks end where the digest of the encoding begins.
        let blocks: usize = compressed.heads.iter().map(|head| head.len).sum();
        for at in bytes.len() - 32 - blocks..bytes.len() - 32 {
            assert!(!harmless(&forge(&bytes, |body| body[at] ^= 0x11), &original), "byte {at}");
        }
    }
}

#[test]
fn its_levels_and_expansion_bound_the_format_and_no_others_do() {
    let shard = whole(&vec![0; 1 << 20]);
    let config = CompressionConfig { block_size: 1 << 20, ..config(CompressionAlgorithm::RunLength) };
    let most = CompressionConfig { level: CompressionLevel::Custom(3), ..config };
    assert_eq!(round_trip(&shard, &most).level, 3);
    let error = shard.compress(&CompressionConfig { level: CompressionLevel::Custom(4), ..config });
    assert_eq!(error.unwrap_err().message(), "level 4 is outside 0..=3");

    let bytes = shard.compress(&config).unwrap().serialize().unwrap();
    let at = compression_at(&shard);
    let refusal = |algorithm: CompressionAlgorithm, level: u8, len: usize| {
        let forged = forge(&bytes, |body| {
            (body[at], body[at + 1]) = (algorithm.code(), level);
            body[at + 16..at + 20].copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
        });
        let error = read_back(&forged).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
        error.message().to_owned()
    };
    let (run_length, deflate) = (CompressionAlgorithm::RunLength, CompressionAlgorithm::Deflate);
    let least = (1 << 20) / MAX_EXPANSION;
    assert!(refusal(run_length, 4, least).contains("level 4 of algorithm"));
    assert!(
        refusal(run_length, 3, least - 1).contains("a block of 1048576 bytes cannot have 8191 encoded bytes")
    );
    // With a length within the bounds, the bytes after the block are refused instead.
    assert!(refusal(run_length, 3, least).contains("bytes after the last block"));
    assert!(refusal(deflate, 9, least - 1).contains("bytes after the last block"));
    assert!(
        refusal(deflate, 9, (1 << 20) / 1_032)
            .contains("a block of 1048576 bytes cannot have 1016 encoded bytes")
    );
    // The algorithm decides which filters are allowed, whatever its codec is.
    let split = least | 1 << 21;
    assert!(refusal(run_length, 3, split).contains("filter 1 is not allowed for a block of 1048576 bytes"));
    assert!(refusal(deflate, 9, split).contains("filter 1 is not allowed for a block of 1048576 bytes"));
    assert!(refusal(CompressionAlgorithm::RunLengthPlanes, 3, split).contains("bytes after the last block"));
    assert!(
        refusal(CompressionAlgorithm::ConservationAware, 9, split).contains("bytes after the last block")
    );
}

#[test]
fn its_memory_is_what_a_limit_is_compared_with() {
    let shard = whole(&vec![0; 100_000]);
    let limited = |limit: usize| Operation::sequential().with_memory_limit(limit as u64);
    let compress =
        |algorithm, limit| shard.compress_with(&config(algorithm), &mut limited(limit)).map(|_| ());
    assert!(compress(CompressionAlgorithm::Deflate, FOOTPRINT).is_ok());
    // One encoder, which also serves for trials, and one decoder.
    assert_eq!(compress(RUN_LENGTHS[0], 2 * FOOTPRINT).unwrap_err().kind(), ErrorKind::Limit);
    assert!(compress(RUN_LENGTHS[0], 3 * FOOTPRINT).is_ok());
    // Two encoders, of levels 2 and 1.
    let second = CompressionConfig { level: CompressionLevel::Custom(2), ..config(RUN_LENGTHS[0]) };
    let compress = |limit| shard.compress_with(&second, &mut limited(limit)).map(|_| ());
    assert_eq!(compress(4 * FOOTPRINT).unwrap_err().kind(), ErrorKind::Limit);
    assert!(compress(5 * FOOTPRINT).is_ok());

    let batch: Vec<CompressedShard> = [CompressionAlgorithm::Deflate, RUN_LENGTHS[0], RUN_LENGTHS[1]]
        .map(|algorithm| shard.compress(&config(algorithm)).unwrap())
        .into_iter()
        .collect();
    let decompress = |shards: &[&CompressedShard], limit| {
        decompress_all(shards, &VerifyOptions::new(), true, &mut limited(limit))
    };
    assert!(decompress(&[&batch[0]], FOOTPRINT).is_ok());
    assert_eq!(decompress(&[&batch[1]], FOOTPRINT).unwrap_err().kind(), ErrorKind::Limit);
    // One worker decodes all shards, with the state of one codec at a time.
    let all = [&batch[1], &batch[0], &batch[2], &batch[0]];
    assert_eq!(decompress(&all, FOOTPRINT).unwrap_err().kind(), ErrorKind::Limit);
    let back = decompress(&all, 2 * FOOTPRINT).unwrap();
    assert!(back.iter().all(|back| back.serialize().unwrap() == shard.serialize().unwrap()));
}
