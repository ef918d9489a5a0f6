//! Zstandard and LZ4: filters, levels, choice, and streams that no encoder makes.

#[cfg(any(feature = "zstd", feature = "lz4"))]
use super::hostile::compression_at;
use super::hostile::harmless;
use super::*;
use crate::compression::filter::Filter;
#[cfg(any(feature = "zstd", feature = "lz4"))]
use crate::shard::tests::forge;

fn config(algorithm: CompressionAlgorithm, filter: CompressionFilter) -> CompressionConfig {
    CompressionConfig { algorithm, filter, ..eager() }
}

/// Records of three numbers of four bytes that change slowly, and of one byte.
fn slow(len: usize) -> Vec<u8> {
    let jitter = noise(len, 6);
    (0..len / 12 + 1)
        .zip(jitter)
        .flat_map(|(i, jitter)| {
            let i = i as u32;
            [i * 40 + u32::from(jitter % 16), 7_000_000 - i * 9, i * 3].map(u32::to_le_bytes).concat()
        })
        .take(len)
        .collect()
}

fn size_with(shard: &AtlasShard, algorithm: CompressionAlgorithm, filter: CompressionFilter) -> u64 {
    round_trip(shard, &config(algorithm, filter)).compressed_size
}

#[test]
fn filters_are_those_that_were_asked_for() {
    for algorithm in free_algorithms() {
        for data in [doubles(500_000), floats(500_000), records(500_000), slow(500_000)] {
            let shard = whole(&data);
            let filters = |filter| round_trip(&shard, &config(algorithm, filter)).filters;
            assert_eq!(filters(CompressionFilter::None), 1);
            assert_eq!(filters(CompressionFilter::Auto) & 1, 0, "{algorithm:?}");
            assert_eq!(filters(CompressionFilter::Planes) & 1, 0);
            let sizes = [CompressionFilter::None, CompressionFilter::Auto, CompressionFilter::Planes]
                .map(|filter| size_with(&shard, algorithm, filter));
            assert!(sizes[1] * 10 < sizes[0] * 9 && sizes[2] <= sizes[1], "{algorithm:?}: {sizes:?}");
        }
        let words = whole(&text(300_000));
        assert_eq!(round_trip(&words, &config(algorithm, CompressionFilter::Auto)).filters, 1);
        // Planes are used unless they make a block larger, as they do here.
        assert_eq!(round_trip(&words, &config(algorithm, CompressionFilter::Planes)).filters, 1);
        assert_eq!(round_trip(&whole(&noise(300_000, 1)), &eager()).filters, 1);
    }
    let empty = whole(&[]).compress(&eager()).unwrap();
    assert_eq!(empty.info().filters, 0);
}

#[test]
fn pixels_of_three_colours_have_planes_of_three() {
    let pixels: Vec<u8> = (0..100_000usize)
        .flat_map(|i| [(i / 9) as u8, (i / 5 + 90) as u8, (i / 7 + 200) as u8])
        .zip(noise(300_000, 4))
        .map(|(byte, noise)| byte.wrapping_add(noise % 3))
        .collect();
    for algorithm in free_algorithms() {
        let info = round_trip(&whole(&pixels), &config(algorithm, CompressionFilter::Auto));
        assert_eq!(info.filters, 1 << 5, "{algorithm:?}");
    }
}

#[test]
fn every_level_of_a_codec_comes_back_and_names_the_nearest() {
    let shard = whole(&mixed(150_000));
    let mut cases: Vec<(CompressionAlgorithm, i32, u8)> =
        (1..=9).map(|level| (CompressionAlgorithm::Deflate, level, level as u8)).collect();
    if cfg!(feature = "zstd") {
        let nearest = [
            (-7, 1),
            (-1, 1),
            (0, 3),
            (1, 1),
            (2, 2),
            (3, 3),
            (4, 3),
            (5, 4),
            (6, 4),
            (7, 5),
            (8, 5),
            (9, 6),
            (10, 6),
            (11, 7),
            (12, 7),
            (13, 7),
            (14, 8),
            (15, 8),
            (16, 8),
            (17, 8),
            (18, 9),
            (19, 9),
        ];
        cases.extend(nearest.map(|(own, level)| (CompressionAlgorithm::Zstd, own, level)));
    }
    if cfg!(feature = "lz4") {
        cases.push((CompressionAlgorithm::Lz4, 1, 1));
    }
    for (algorithm, own, level) in cases {
        let with = CompressionConfig { algorithm, codec_level: Some(own), ..eager() };
        assert_eq!(round_trip(&shard, &with).level, level, "{own} of {algorithm:?}");
        // A codec level replaces the level, even if this level means stored.
        let stored = CompressionConfig { level: CompressionLevel::Custom(0), ..with };
        assert_eq!(shard.compress(&stored).unwrap().info().level, level);
    }
    for algorithm in free_algorithms() {
        for level in 1..=9 {
            let level = CompressionLevel::Custom(level);
            let info = round_trip(&shard, &CompressionConfig { algorithm, level, ..eager() });
            assert_eq!((info.algorithm, info.level), (algorithm, level.value()));
        }
    }
    let own = |algorithm, own| CompressionConfig { algorithm, codec_level: Some(own), ..eager() };
    for wrong in [
        own(CompressionAlgorithm::Zstd, 20),
        own(CompressionAlgorithm::Zstd, -8),
        own(CompressionAlgorithm::Lz4, 2),
        own(CompressionAlgorithm::Lz4, 0),
        own(CompressionAlgorithm::Deflate, 0),
        own(CompressionAlgorithm::ConservationAware, 10),
        own(CompressionAlgorithm::Auto, 3),
        config(CompressionAlgorithm::Deflate, CompressionFilter::None),
        config(CompressionAlgorithm::ConservationAware, CompressionFilter::Planes),
    ] {
        assert_eq!(shard.compress(&wrong).unwrap_err().kind(), ErrorKind::InvalidArgument, "{wrong:?}");
    }
}

#[test]
fn the_bytes_of_each_algorithm_are_the_same_for_every_number_of_threads() {
    let shards = [mixed(2 << 20), slow(900_000), doubles(700_000), text(100)].map(|data| whole(&data));
    let refs: Vec<&AtlasShard> = shards.iter().collect();
    for algorithm in algorithms() {
        for level in [1, 5] {
            let level = CompressionLevel::Custom(level);
            let config = CompressionConfig { algorithm, level, block_size: 100_000, ..eager() };
            let manager = CompressionManager::new(config).unwrap();
            let bytes = |operation: &mut Operation<'_>| -> Vec<Vec<u8>> {
                let compressed = manager.compress_batch(&refs, operation).unwrap();
                compressed.iter().map(|shard| shard.serialize().unwrap()).collect()
            };
            let wanted = bytes(&mut Operation::sequential());
            for threads in [2, 3] {
                let pool = Pool::new(threads).unwrap();
                assert!(bytes(&mut Operation::new().with_pool(&pool)) == wanted, "{algorithm:?}");
            }
            for (shard, wanted) in shards.iter().zip(&wanted) {
                assert!(shard.compress(&config).unwrap().serialize().unwrap() == *wanted, "{algorithm:?}");
            }
        }
    }
}

#[test]
fn the_target_chooses_among_the_algorithms() {
    let auto = |target, filter| CompressionConfig {
        algorithm: CompressionAlgorithm::Auto,
        target,
        filter,
        ..CompressionConfig::default()
    };
    for data in [text(600_000), slow(600_000), doubles(600_000), mixed(600_000)] {
        let shard = whole(&data);
        let info = |target| round_trip(&shard, &auto(target, CompressionFilter::Auto));
        let fixed: Vec<CompressedInfo> = algorithms()
            .into_iter()
            .filter(|algorithm| *algorithm != CompressionAlgorithm::Auto)
            .map(|algorithm| {
                round_trip(&shard, &CompressionConfig { algorithm, ..CompressionConfig::default() })
            })
            .collect();
        let least = fixed.iter().map(|info| info.compressed_size).min().unwrap();
        let smallest = info(CompressionTarget::Smallest);
        assert!(smallest.compressed_size * 100 <= least * 103, "{} of {least}", smallest.compressed_size);
        let balanced = info(CompressionTarget::Balanced);
        assert!(balanced.compressed_size * 100 <= least * 115, "{} of {least}", balanced.compressed_size);
        let fastest = info(CompressionTarget::FastestRead);
        if cfg!(feature = "lz4") {
            assert_eq!(fastest.algorithm, CompressionAlgorithm::Lz4);
        }
        for filter in [CompressionFilter::None, CompressionFilter::Planes] {
            if !free_algorithms().is_empty() {
                let chosen = round_trip(&shard, &auto(CompressionTarget::Smallest, filter)).algorithm;
                let stored = chosen == CompressionAlgorithm::None;
                assert!(stored || free_algorithms().contains(&chosen), "{chosen:?}");
            }
        }
    }
    // Configurations under which no algorithm has to be chosen.
    let stored = CompressionConfig {
        level: CompressionLevel::Custom(0),
        ..auto(CompressionTarget::Smallest, CompressionFilter::Auto)
    };
    assert_eq!(round_trip(&whole(&text(5_000)), &stored).algorithm, CompressionAlgorithm::None);
    let config = auto(CompressionTarget::Smallest, CompressionFilter::Auto);
    assert_eq!(round_trip(&whole(&noise(50_000, 2)), &config).algorithm, CompressionAlgorithm::None);
}

#[test]
fn a_choice_can_be_cancelled() {
    let config = CompressionConfig { algorithm: CompressionAlgorithm::Auto, ..eager() };
    let shard = whole(&text(400_000));
    let mut stop = |progress: &crate::Progress| {
        assert_eq!(progress.bytes_done, 0);
        false
    };
    let mut operation = Operation::new().with_progress(&mut stop);
    assert_eq!(shard.compress_with(&config, &mut operation).unwrap_err().kind(), ErrorKind::Cancelled);
}

/// A shard of one block of zeros whose encoded bytes are `block`, with `filter`.
fn with_block(algorithm: CompressionAlgorithm, filter: Filter, block: &[u8]) -> (CompressedShard, Vec<u8>) {
    let shard = whole(&vec![0; 10_000]);
    let without = match free_algorithms().contains(&algorithm) {
        true => CompressionFilter::None,
        false => CompressionFilter::Auto,
    };
    let mut compressed = shard.compress(&config(algorithm, without)).unwrap();
    compressed.heads[0].len = block.len();
    compressed.heads[0].filter = filter;
    compressed.data = Body::Blocks(vec![Encoded::copy_of(block).unwrap()]);
    (compressed, shard.serialize().unwrap())
}

fn kind_of(algorithm: CompressionAlgorithm, filter: Filter, block: &[u8]) -> Option<ErrorKind> {
    let (compressed, original) = with_block(algorithm, filter, block);
    let decompressed = compressed.decompress(&VerifyOptions::new(), &mut Operation::sequential());
    let kind = decompressed.as_ref().err().map(crate::AtlasError::kind);
    // If the shard is read from its encoding, it is refused for the same reason, or by an earlier check.
    assert_eq!(harmless(&compressed.serialize().unwrap(), &original), kind.is_none());
    kind
}

/// Encoded planes of stride `planes.len()`, each with the bits of its length.
fn split_block(planes: &[(u32, &[u8])]) -> Vec<u8> {
    let lengths = planes.iter().flat_map(|(mark, plane)| (plane.len() as u32 | mark).to_le_bytes());
    lengths.chain(planes.iter().flat_map(|(_, plane)| plane.iter().copied())).collect()
}

#[test]
fn planes_that_the_format_does_not_have_are_refused() {
    const DIFFERENCES: u32 = 1 << 31;
    for algorithm in free_algorithms() {
        let codec = algorithm.method().unwrap().codec;
        let stream = |bytes: &[u8]| {
            let mut out = vec![0; codec.get().unwrap().room(bytes.len())];
            let mut encoder = codec.get().unwrap().encoder(codec.own_level(1)).unwrap();
            let len = encoder.encode(bytes, &mut out).unwrap().unwrap();
            out.truncate(len);
            out
        };
        let (zeros, half) = (stream(&[0; 5_000]), vec![0; 5_000]);
        let two = Filter::SPLITS[0];
        let kind = |block: &[u8]| kind_of(algorithm, two, block);
        assert_eq!(kind(&split_block(&[(0, &zeros), (0, &zeros)])), None);
        // Differences of zeros are zeros, so that only the bit distinguishes them.
        assert_eq!(kind(&split_block(&[(DIFFERENCES, &zeros), (0, &zeros)])), None);
        assert_eq!(kind(&split_block(&[(0, &half), (0, &zeros)])), None);
        let format = Some(ErrorKind::Format);
        assert_eq!(kind(&split_block(&[(DIFFERENCES, &half), (0, &zeros)])), format, "kept as it is");
        assert_eq!(kind(&split_block(&[(1 << 30, &zeros), (0, &zeros)])), format, "length");
        assert_eq!(kind(&split_block(&[(0, &[]), (0, &zeros)])), format, "no plane");
        assert_eq!(kind(&split_block(&[(0, &zeros), (0, &zeros[..zeros.len() - 1])])), format, "cut");
        let wrong = stream(&[1; 5_000]);
        assert_eq!(kind(&split_block(&[(DIFFERENCES, &wrong), (0, &zeros)])), Some(ErrorKind::Witness));
        // A stride with more planes than the block has lengths.
        assert_eq!(
            kind_of(algorithm, Filter::ALL_SPLITS[1], &split_block(&[(0, &zeros), (0, &zeros)])),
            format
        );
    }
    // DEFLATE has no such bit, and conservation-aware no other stride than a power of two.
    let deflated = |planes: &[(u32, &[u8])], filter| {
        let (compressed, original) =
            with_block(CompressionAlgorithm::ConservationAware, filter, &split_block(planes));
        (
            compressed.decompress(&VerifyOptions::new(), &mut Operation::sequential()).is_ok(),
            compressed,
            original,
        )
    };
    let zeros = whole(&vec![0; 5_000])
        .compress(&CompressionConfig { algorithm: CompressionAlgorithm::Deflate, ..eager() });
    let zeros = zeros.unwrap().encoded(0).to_vec();
    // Four planes of 2,500 bytes do not fit; two of 5,000 do.
    let (good, ..) = deflated(&[(0, &zeros), (0, &zeros)], Filter::SPLITS[0]);
    assert!(good);
    let (marked, ..) = deflated(&[(DIFFERENCES, &zeros), (0, &zeros)], Filter::SPLITS[0]);
    assert!(!marked);
    let (_, compressed, original) = deflated(&[(0, &zeros), (0, &zeros), (0, &zeros)], Filter::ALL_SPLITS[1]);
    assert!(!harmless(&compressed.serialize().unwrap(), &original));
}

#[test]
#[cfg(feature = "zstd")]
fn frames_that_the_format_does_not_have_are_refused() {
    use zstd_safe::{CCtx, CParameter};
    let frame = |bytes: &[u8], parameters: &[CParameter]| {
        let (mut context, mut out) = (CCtx::create(), vec![0; bytes.len() + 1_000]);
        for parameter in parameters {
            context.set_parameter(*parameter).unwrap();
        }
        let len = context.compress2(&mut out[..], bytes).unwrap();
        out.truncate(len);
        out
    };
    let kind = |block: &[u8]| kind_of(CompressionAlgorithm::Zstd, Filter::NONE, block);
    let zeros = vec![0; 10_000];
    let format = Some(ErrorKind::Format);
    let whole = frame(&zeros, &[]);
    let half = frame(&zeros[..5_000], &[]);
    assert_eq!(kind(&whole), None);
    assert_eq!(kind(&[&half[..], &half].concat()), None);
    assert_eq!(kind(&half), format);
    assert_eq!(kind(&[&half[..], &half, &half].concat()), format);
    assert_eq!(kind(&[&half[..], &whole].concat()), format, "more than is left");
    assert_eq!(kind(&frame(&zeros, &[CParameter::ChecksumFlag(true)])), format);
    assert_eq!(kind(&frame(&zeros, &[CParameter::ContentSizeFlag(false)])), format);
    // A skippable frame before and after the stream.
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2];
    assert_eq!(kind(&[&skippable[..], &whole].concat()), format);
    assert_eq!(kind(&[&whole[..], &skippable].concat()), format);
    // An empty frame between two other frames would hold nothing, and any number of such frames could follow
    // one another.
    let empty = frame(&[], &[]);
    assert_eq!(kind(&[&half[..], &empty, &half].concat()), format);
    // Claimed sizes larger than the block are refused before anything is allocated or decoded.
    let claim = |flags: u8, fields: &[u8]| [&whole[..4], &[flags], fields, &[1, 0, 0]].concat();
    assert_eq!(kind(&claim(0xe0, &u64::MAX.to_le_bytes())), format, "content");
    assert_eq!(kind(&claim(0xa0, &10_001u32.to_le_bytes())), format, "content");
    assert_eq!(kind(&claim(0x80, &[0xa8, 0x10, 0x27, 0, 0])), format, "window");
    // One repeated byte. At most, four encoded bytes stand for 131,072 bytes.
    let shard = super::whole(&vec![0; 1 << 20]);
    let large = CompressionConfig {
        block_size: 1 << 20,
        ..config(CompressionAlgorithm::Zstd, CompressionFilter::None)
    };
    let bytes = shard.compress(&large).unwrap().serialize().unwrap();
    let at = compression_at(&shard);
    let refusal = |len: u32| {
        let forged = forge(&bytes, |body| body[at + 16..at + 20].copy_from_slice(&len.to_le_bytes()));
        read_back(&forged).unwrap_err().message().to_owned()
    };
    assert!(refusal(31).contains("a block of 1048576 bytes cannot have 31 encoded bytes"));
    assert!(refusal(32).contains("bytes after the last block"));
}

#[test]
#[cfg(feature = "lz4")]
fn lz4_streams_that_give_more_or_less_are_refused() {
    let stream = |len: usize| lz4_flex::block::compress(&vec![0; len]);
    let kind = |block: &[u8]| kind_of(CompressionAlgorithm::Lz4, Filter::NONE, block);
    assert_eq!(kind(&stream(10_000)), None);
    for len in [1, 9_999, 10_001, 100_000] {
        assert_eq!(kind(&stream(len)), Some(ErrorKind::Format), "{len}");
    }
    // An offset before the first byte, and one of 0.
    for offset in [0u8, 9] {
        let block = [0x1f, 7, offset, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 9];
        assert_eq!(kind(&block), Some(ErrorKind::Format), "{offset}");
    }
    let shard = super::whole(&vec![0; 1 << 20]);
    let large = CompressionConfig {
        block_size: 1 << 20,
        ..config(CompressionAlgorithm::Lz4, CompressionFilter::None)
    };
    let bytes = shard.compress(&large).unwrap().serialize().unwrap();
    let at = compression_at(&shard);
    let least = (1u32 << 20).div_ceil(255);
    let forged = forge(&bytes, |body| body[at + 16..at + 20].copy_from_slice(&(least - 1).to_le_bytes()));
    assert!(
        read_back(&forged)
            .unwrap_err()
            .message()
            .contains("a block of 1048576 bytes cannot have 4112 encoded bytes")
    );
}

#[test]
fn residue_and_digest_are_told_apart_behind_differences() {
    for algorithm in free_algorithms() {
        let shard = whole(&slow(50_000));
        let compressed = || shard.compress(&config(algorithm, CompressionFilter::Planes)).unwrap();
        let kind = |compressed: &CompressedShard| {
            let error = compressed.decompress(&VerifyOptions::new(), &mut Operation::new());
            (error.unwrap_err().kind(), compressed.read(0, &mut [0; 100]).unwrap_err().kind())
        };
        let mut wrong = compressed();
        assert!(block::has_differences(wrong.heads[0].filter, wrong.encoded(0)));
        wrong.heads[0].residue = wrong.heads[0].residue + Residue::new(1).unwrap();
        assert_eq!(kind(&wrong), (ErrorKind::Conservation, ErrorKind::Conservation));
        wrong.heads[0].check[3] ^= 1;
        assert_eq!(kind(&wrong), (ErrorKind::Witness, ErrorKind::Witness));
    }
}

#[test]
fn a_read_of_a_page_touches_one_block() {
    for algorithm in free_algorithms() {
        let data = mixed(1 << 20);
        let shard = whole(&data);
        let mut compressed = shard
            .compress(&CompressionConfig { block_size: 65_536, ..config(algorithm, CompressionFilter::Auto) })
            .unwrap();
        // All blocks but one are wrong, and only the right block is read.
        for (index, head) in compressed.heads.iter_mut().enumerate() {
            head.check[0] ^= u8::from(index != 3);
        }
        compressed.checked.fill_with(|| AtomicBool::new(false));
        let mut page = [0; 4_096];
        for offset in [3 * 65_536, 3 * 65_536 + 5_000, 4 * 65_536 - 4_096] {
            compressed.read(offset as u64, &mut page).unwrap();
            assert_eq!(page, data[offset..offset + 4_096]);
        }
        assert_eq!(compressed.read(4 * 65_536 - 4_095, &mut page).unwrap_err().kind(), ErrorKind::Witness);
    }
}
