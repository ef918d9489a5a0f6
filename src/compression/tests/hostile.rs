//! Compressed shards that were damaged or forged.

use super::*;
use crate::compression::block::{Attempt, BlockEncoder};
use crate::shard::tests::forge;

/// Decompresses these bytes, if they are a shard; true if the result is the original shard.
pub(super) fn harmless(bytes: &[u8], original: &[u8]) -> bool {
    let Ok(compressed) = read_back(bytes) else { return false };
    let mut buffer = vec![0; usize::try_from(compressed.info().original_size).unwrap()];
    let _ = compressed.read(0, &mut buffer);
    match compressed.decompress(&VerifyOptions::new(), &mut Operation::sequential()) {
        Ok(shard) => {
            let bytes = shard.serialize().unwrap();
            assert!(bytes == original, "another shard came out");
            true
        }
        Err(error) => {
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::Format | ErrorKind::Witness | ErrorKind::Conservation | ErrorKind::Unsupported
                ),
                "{error:?}"
            );
            false
        }
    }
}

fn small_shards() -> Vec<AtlasShard> {
    let mut records = records(4_096);
    records.extend(noise(200, 8));
    vec![shard_of(&records, 4_000, 290), whole(&doubles(600)), whole(&text(4_200)), whole(&noise(300, 2))]
}

fn with_algorithms(shard: &AtlasShard) -> Vec<(&AtlasShard, CompressionAlgorithm)> {
    let mut all = vec![(shard, CompressionAlgorithm::ConservationAware)];
    all.extend(free_algorithms().into_iter().map(|algorithm| (shard, algorithm)));
    all
}

#[test]
fn every_flipped_byte_of_a_small_compressed_shard_is_refused() {
    for (shard, algorithm) in small_shards().iter().flat_map(|shard| with_algorithms(shard)) {
        let config = CompressionConfig { block_size: 4_096, algorithm, ..eager() };
        let bytes = shard.compress(&config).unwrap().serialize().unwrap();
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut wrong = bytes.clone();
                wrong[at] ^= flip;
                assert!(read_back(&wrong).is_err(), "byte {at}");
            }
        }
    }
}

#[test]
fn every_flipped_bit_with_a_fitting_digest_is_refused_or_harmless() {
    for (shard, algorithm) in small_shards().iter().flat_map(|shard| with_algorithms(shard)) {
        let config = CompressionConfig { block_size: 4_096, algorithm, ..eager() };
        let original = shard.serialize().unwrap();
        let bytes = shard.compress(&config).unwrap().serialize().unwrap();
        assert!(harmless(&bytes, &original));
        // Another region over the same pages is another valid shard, so that these bytes are skipped here.
        let region = 24 + (16 + 32) + (16 + 24) + 16;
        for bit in (0..(bytes.len() - 32) * 8).filter(|bit| !(region..region + 16).contains(&(bit / 8))) {
            harmless(&forge(&bytes, |body| body[bit / 8] ^= 1 << (bit % 8)), &original);
        }
    }
}

#[test]
fn a_stored_block_is_read_when_it_was_found_right_and_never_when_it_is_wrong() {
    let bytes = noise(3 * MAX_BLOCK_SIZE + 100, 21);
    let encoded = whole(&bytes).compress(&eager()).unwrap().serialize().unwrap();
    // The payload is the end of the encoding; the wrong byte lies in block 1.
    let start = encoded.len() - 32 - bytes.len();
    let wrong = read_back(&forge(&encoded, |body| body[start + MAX_BLOCK_SIZE + 9] ^= 4)).unwrap();
    let mut part = vec![0; 1_000];
    for _ in 0..3 {
        for (block, good) in [(0, true), (1, false), (2, true), (3, true)] {
            let offset = (block * MAX_BLOCK_SIZE).min(bytes.len() - part.len());
            if good {
                let offset = if block == 3 { bytes.len() - 100 } else { offset };
                let part = &mut part[..(bytes.len() - offset).min(1_000)];
                wrong.read(offset as u64, part).unwrap();
                assert_eq!(part, &bytes[offset..offset + part.len()]);
            } else {
                assert_eq!(wrong.read(offset as u64, &mut part).unwrap_err().kind(), ErrorKind::Witness);
            }
        }
    }
    let verify = VerifyOptions::new();
    let error = wrong.decompress(&verify, &mut Operation::sequential()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Witness);
}

#[test]
fn every_cut_is_refused() {
    let shard = whole(&records(4_500));
    let bytes = shard.compress(&eager()).unwrap().serialize().unwrap();
    for len in 0..bytes.len() {
        assert!(read_back(&bytes[..len]).is_err());
        if len > 56 {
            let cut = forge(&bytes, |body| body.truncate(len - 32));
            assert!(read_back(&cut).is_err(), "{len}");
        }
    }
    assert!(read_back(&forge(&bytes, |body| body.push(0))).is_err());
    // Shards and compressed shards are two kinds, and neither reader accepts the other kind.
    assert_eq!(read_back(&shard.serialize().unwrap()).unwrap_err().kind(), ErrorKind::Unsupported);
    let other =
        AtlasShard::deserialize(&bytes, &Limits::default(), &VerifyOptions::new(), &mut Operation::new());
    assert_eq!(other.unwrap_err().kind(), ErrorKind::Unsupported);
}

/// Returns the offset of the value of COMPRESSION in the encoding of `shard`.
pub(super) fn compression_at(shard: &AtlasShard) -> usize {
    24 + crate::shard::proof_lengths(&shard.proof).iter().map(|len| len + 16).sum::<usize>() + 16
}

#[test]
fn forged_sizes_and_bombs_are_refused_before_anything_is_allocated() {
    let shard = whole(&vec![0; 1 << 20]);
    let config =
        CompressionConfig { block_size: 1 << 20, algorithm: CompressionAlgorithm::Deflate, ..eager() };
    let bytes = shard.compress(&config).unwrap().serialize().unwrap();
    let at = compression_at(&shard);
    let patch = |offset: usize, value: &[u8]| {
        let forged = forge(&bytes, |body| body[at + offset..][..value.len()].copy_from_slice(value));
        read_back(&forged).unwrap_err().kind()
    };
    // Sizes that contradict the proof, exceed a limit, or exceed the expansion of DEFLATE.
    assert_eq!(patch(8, &((1u64 << 20) - 1).to_le_bytes()), ErrorKind::Format);
    assert_eq!(patch(8, &(1u64 << 40).to_le_bytes()), ErrorKind::Limit);
    assert_eq!(patch(8, &u64::MAX.to_le_bytes()), ErrorKind::Limit);
    assert_eq!(patch(16, &1_000u32.to_le_bytes()), ErrorKind::Format);
    assert_eq!(patch(16, &0u32.to_le_bytes()), ErrorKind::Format);
    assert_eq!(patch(4, &0u32.to_le_bytes()), ErrorKind::Format);
    assert_eq!(patch(4, &u32::MAX.to_le_bytes()), ErrorKind::Format);
    for (code, kind) in [(0, ErrorKind::Format), (5, ErrorKind::Unsupported), (255, ErrorKind::Unsupported)] {
        assert_eq!(patch(0, &[code]), kind);
    }
    // Filters that the algorithm does not allow: DEFLATE allows none, conservation-aware only strides that
    // are powers of two.
    let word = u32::from_le_bytes(bytes[at + 16..at + 20].try_into().unwrap());
    for (algorithm, codes) in [(1, 1..=7_u32), (2, 5..=7)] {
        for code in codes {
            let forged = forge(&bytes, |body| {
                body[at] = algorithm;
                body[at + 16..at + 20].copy_from_slice(&(word | code << 21).to_le_bytes());
            });
            assert_eq!(read_back(&forged).unwrap_err().kind(), ErrorKind::Format, "{algorithm} {code}");
        }
    }
    assert_eq!(patch(1, &[10]), ErrorKind::Format);
    assert_eq!(patch(2, &[96]), ErrorKind::Format);
    assert_eq!(patch(3, &[1]), ErrorKind::Format);
    let limits = Limits { max_payload_size: (1 << 20) - 1, ..Limits::default() };
    assert_eq!(CompressedShard::deserialize(&bytes, &limits).unwrap_err().kind(), ErrorKind::Limit);
    let limits = Limits { max_proof_size: 20, ..Limits::default() };
    assert_eq!(CompressedShard::deserialize(&bytes, &limits).unwrap_err().kind(), ErrorKind::Limit);
    let compressed = read_back(&bytes).unwrap();
    let error =
        compressed.decompress(&VerifyOptions::new(), &mut Operation::new().with_memory_limit(1 << 20));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn tiles_that_begin_behind_the_region_are_refused() {
    let shard = shard_of(&text(3 * TILE_SIZE), TILE_SIZE, 4_096);
    for config in [eager(), CompressionConfig { min_size_threshold: u64::MAX, ..eager() }] {
        let bytes = shard.compress_with(&config, &mut Operation::new()).unwrap().serialize().unwrap();
        // REGION lies behind the header, ROOT and DOMAIN: from byte 0, over the tile that is not there.
        let forged = forge(&bytes, |body| {
            body[128..136].fill(0);
            body[136..144].copy_from_slice(&to_u64(TILE_SIZE + 4_096).to_le_bytes());
        });
        assert_eq!(read_back(&forged).unwrap_err().kind(), ErrorKind::Format);
    }
}

#[test]
fn streams_that_give_more_or_less_than_declared_are_refused() {
    let shard = whole(&vec![7; 10_000]);
    let config = CompressionConfig { algorithm: CompressionAlgorithm::Deflate, ..eager() };
    let plan = config.plan().unwrap();
    let mut encoder = BlockEncoder::new(&config, &[plan], 1 << 20).unwrap();
    for len in [0, 1, 9_999, 10_001, 100_000, 1 << 20] {
        let mut compressed = shard.compress(&config).unwrap();
        let stream = match encoder.encode(&plan, &vec![7; len]).unwrap() {
            Attempt::Done(_, stream) => stream,
            Attempt::Stored => Encoded::Small(vec![3, 0]),
        };
        compressed.heads[0].len = stream.len();
        compressed.data = Body::Blocks(vec![stream]);
        let error = compressed.decompress(&VerifyOptions::new(), &mut Operation::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "{len}");
        assert_eq!(compressed.read(0, &mut [0; 10]).unwrap_err().kind(), ErrorKind::Format);
        // Decoding the bytes fails with the same error, or with that of an earlier check.
        assert!(!harmless(&compressed.serialize().unwrap(), &shard.serialize().unwrap()));
    }
    // Bytes behind the end of a stream.
    let mut compressed = shard.compress(&config).unwrap();
    let Body::Blocks(blocks) = &mut compressed.data else { panic!("stored") };
    let Encoded::Small(stream) = &mut blocks[0] else { panic!("a large block") };
    stream.push(0);
    compressed.heads[0].len += 1;
    assert!(!harmless(&compressed.serialize().unwrap(), &shard.serialize().unwrap()));
}

#[test]
fn residue_and_digest_are_told_apart() {
    let shard = whole(&records(50_000));
    let decompress = |compressed: &CompressedShard| {
        compressed.decompress(&VerifyOptions::new(), &mut Operation::new()).unwrap_err().kind()
    };
    let other = Residue::new(1).unwrap();
    let mut compressed = shard.compress(&eager()).unwrap();
    compressed.heads[0].residue = compressed.heads[0].residue + other;
    assert_eq!(decompress(&compressed), ErrorKind::Conservation);
    compressed.heads[0].check[3] ^= 1;
    assert_eq!(decompress(&compressed), ErrorKind::Witness);
    let mut compressed = shard.compress(&eager()).unwrap();
    compressed.residue = compressed.residue + other;
    assert_eq!(decompress(&compressed), ErrorKind::Conservation);
    // Valid blocks of other bytes, which do not lead to the root.
    let mut foreign =
        whole(&records(50_000).iter().map(|byte| byte ^ 1).collect::<Vec<u8>>()).compress(&eager()).unwrap();
    foreign.proof = Arc::clone(&shard.proof);
    foreign.residue = shard.residue;
    assert_eq!(decompress(&foreign), ErrorKind::Witness);
}

#[test]
fn a_wrong_residue_is_told_after_every_wrong_digest() {
    let data = records(600_000);
    let shard = whole(&data);
    let other = Residue::new(5).unwrap();
    let config = CompressionConfig { block_size: 65_536, ..eager() };
    let compressed = || shard.compress(&config).unwrap();
    let decompress = |compressed: &CompressedShard| {
        let error = compressed.decompress(&VerifyOptions::new(), &mut Operation::sequential());
        (error.unwrap_err().kind(), compressed.read(0, &mut vec![0; data.len()]).unwrap_err().kind())
    };
    let mut both = compressed();
    both.heads[1].residue = both.heads[1].residue + other;
    assert_eq!(decompress(&both), (ErrorKind::Conservation, ErrorKind::Conservation));
    both.heads[5].check[2] ^= 1;
    assert_eq!(decompress(&both), (ErrorKind::Witness, ErrorKind::Witness));
    // A wrong root is reported first too. A read of a range does not check the root.
    let mut both = compressed();
    both.heads[1].residue = both.heads[1].residue + other;
    let mut proof = proof_of(&shard);
    proof.root[0] ^= 1;
    both.proof = Arc::new(proof);
    assert_eq!(decompress(&both), (ErrorKind::Witness, ErrorKind::Conservation));
    // The same with stored blocks.
    let mut both = whole(&noise(3 << 20, 2)).compress(&eager()).unwrap();
    both.heads[0].residue = both.heads[0].residue + other;
    let unchecked = |both: &mut CompressedShard| both.checked.fill_with(|| AtomicBool::new(false));
    unchecked(&mut both);
    let read = |compressed: &CompressedShard| compressed.read(0, &mut vec![0; 3 << 20]).unwrap_err().kind();
    assert_eq!(read(&both), ErrorKind::Conservation);
    both.heads[2].check[0] ^= 1;
    unchecked(&mut both);
    assert_eq!(read(&both), ErrorKind::Witness);
}

#[test]
fn a_wrong_residue_is_told_after_every_wrong_root_of_a_batch() {
    let manager = CompressionManager::new(eager()).unwrap();
    let shard = whole(&records(50_000));
    let mut unconserved = shard.compress(&eager()).unwrap();
    unconserved.heads[0].residue = unconserved.heads[0].residue + Residue::new(1).unwrap();
    let mut foreign = shard.compress(&eager()).unwrap();
    let mut proof = proof_of(&shard);
    proof.root[0] ^= 1;
    foreign.proof = Arc::new(proof);
    let kind = |batch: &[&CompressedShard]| {
        let error = manager.decompress_batch(batch, &VerifyOptions::new(), &mut Operation::new());
        let error = error.unwrap_err();
        (error.kind(), error.index())
    };
    assert_eq!(kind(&[&unconserved, &unconserved]), (ErrorKind::Conservation, Some(0)));
    assert_eq!(kind(&[&unconserved, &foreign]), (ErrorKind::Witness, Some(1)));
}

/// A stored shard has one encoding, which names algorithm 0.
#[test]
fn an_algorithm_that_compressed_nothing_is_refused() {
    let bytes = noise(10_000, 4);
    let shard = whole(&bytes);
    let config = CompressionConfig { algorithm: CompressionAlgorithm::Deflate, ..eager() };
    let mut compressed = whole(&vec![0; 10_000]).compress(&config).unwrap();
    assert_eq!(compressed.algorithm, CompressionAlgorithm::Deflate);
    compressed.proof = Arc::clone(&shard.proof);
    compressed.residue = shard.residue;
    compressed.heads[0] = shard.compress(&config).unwrap().heads[0];
    compressed.data = Body::Blocks(vec![Encoded::copy_of(&bytes).unwrap()]);
    let error = read_back(&compressed.serialize().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
    assert!(error.message().contains("no block is compressed"), "{error}");
}

#[test]
fn tiles_are_counted_before_anything_is_made_of_them() {
    let shard = whole(&vec![1; 5_000]);
    let bytes = shard.compress(&eager()).unwrap().serialize().unwrap();
    // More tiles than the payload has bytes, in a list that holds them.
    let tiles = 24 + (16 + 32) + (16 + 24) + (16 + 16);
    let forged = forge(&bytes, |body| {
        let count = 5_001usize;
        body[tiles + 8..tiles + 16].copy_from_slice(&(8 + 5 * count as u64).to_le_bytes());
        let entries = tiles + 16 + 8..tiles + 16 + 8 + 5;
        body.splice(entries, [1, 0, 0, 0, 1].repeat(count));
    });
    let error = read_back(&forged).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
    assert!(error.message().contains("5001 tiles and has only 5000 bytes of payload"), "{error}");
    // The claimed number of tiles counts for the memory limit before the tiles are read.
    let mut many = shard.compress(&eager()).unwrap();
    let mut proof = proof_of(&shard);
    proof.tiles = vec![proof.tiles[0]; 1 << 20];
    many.proof = Arc::new(proof);
    let mut operation = Operation::new().with_memory_limit(32 << 20);
    let error = many.decompress(&VerifyOptions::new(), &mut operation).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    let error = many.decompress(&VerifyOptions::new(), &mut Operation::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
}
