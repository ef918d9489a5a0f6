use super::*;
use crate::{AtlasProjection, ErrorKind, ProjectionOptions, Source, TILE_SIZE};

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 4_093) as u8).collect()
}

fn project(data: &[u8]) -> AtlasProjection {
    AtlasProjection::linear(&Source::copy(data).unwrap()).unwrap()
}

fn region(offset: usize, length: usize) -> AtlasBoundaryRegion {
    AtlasBoundaryRegion::new(offset as u64, length as u64)
}

fn extract(projection: &AtlasProjection, region: AtlasBoundaryRegion) -> AtlasShard {
    projection.extract_shard(&region, &mut Operation::new()).unwrap()
}

fn read(bytes: &[u8]) -> Result<AtlasShard> {
    AtlasShard::deserialize(bytes, &Limits::default(), &VerifyOptions::new(), &mut Operation::sequential())
}

#[test]
fn regions_of_any_offset_and_length_hold_their_bytes_and_come_back() {
    for len in
        [0, 1, 4_095, 4_096, 4_097, 16_385, TILE_SIZE - 1, TILE_SIZE, TILE_SIZE + 1, 3 * TILE_SIZE + 5_000]
    {
        let data = data(len);
        let projection = project(&data);
        let root = projection.root(&mut Operation::new()).unwrap();
        let marks: Vec<usize> = [
            0,
            1,
            4_095,
            4_096,
            16_384,
            16_385,
            20_000,
            TILE_SIZE - 1,
            TILE_SIZE,
            TILE_SIZE + 1,
            len / 2,
            len - len.min(1),
            len,
        ]
        .into_iter()
        .filter(|mark| *mark <= len)
        .collect();
        for &start in &marks {
            for &end in marks.iter().filter(|end| **end >= start) {
                let shard = extract(&projection, region(start, end - start));
                assert_eq!(shard.data(), &data[start..end], "{start}..{end} of {len}");
                assert_eq!(shard.info().residue, Residue::of(&data[start..end]));
                assert_eq!(shard.info().root, root);
                let trust = VerifyOptions::new().with_root(root);
                shard.verify(&trust, &mut Operation::new()).unwrap();
                let bytes = shard.serialize().unwrap();
                assert_eq!(bytes.len(), shard.serialized_size());
                let again = read(&bytes).unwrap();
                assert_eq!(again.info(), shard.info());
                assert_eq!(again.data(), shard.data());
                assert_eq!(again.serialize().unwrap(), bytes, "one encoding per shard");
            }
        }
    }
}

#[test]
fn a_page_of_a_large_domain_costs_less_than_eight_kibibytes() {
    let projection = project(&data(64 * TILE_SIZE));
    for offset in [0, 4_096, 17 * 4_096, 33 * TILE_SIZE + 5 * 4_096, 64 * TILE_SIZE - 4_096] {
        let size = extract(&projection, region(offset, 4_096)).serialized_size();
        // What README says: 4,096 bytes, 8 chaining values, 6 nodes, 1 tile, and the frame.
        assert_eq!(size, 4_845);
    }
}

#[test]
fn every_flipped_bit_of_a_small_shard_is_refused() {
    let projection = project(&data(3 * 4_096 + 77));
    for region in [region(4_000, 200), region(0, 0), region(12_300, 1)] {
        let bytes = extract(&projection, region).serialize().unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&wrong).is_err(), "bit {bit}");
        }
    }
}

/// Where REGION's value lies: behind the header, ROOT, DOMAIN and its own tag and length.
const REGION: Range<usize> = {
    let start = 24 + (16 + 32) + (16 + 24) + 16;
    start..start + 16
};

/// As an attacker would: changes, and makes the digest at the end fit again.
fn forge(bytes: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = bytes[..bytes.len() - 32].to_vec();
    change(&mut body);
    let size = (body.len() + 32) as u64;
    body[16..24].copy_from_slice(&size.to_le_bytes());
    let digest = crate::digest256(&body);
    body.extend(digest);
    body
}

#[test]
fn every_flipped_bit_with_a_fitting_digest_is_refused_too() {
    let data = data(TILE_SIZE + 3 * 4_096 + 77);
    let projection = project(&data);
    let bytes = extract(&projection, region(TILE_SIZE - 5_000, 9_000)).serialize().unwrap();
    // All of the head and the proof, and some of the payload.
    let payload = bytes.len() - 32 - 12_288;
    let positions =
        (0..payload.min(bytes.len()) * 8).chain((payload * 8..(bytes.len() - 32) * 8).step_by(997));
    for bit in positions.filter(|bit| !(128..192).contains(bit)) {
        let wrong = forge(&bytes, |body| body[bit / 8] ^= 1 << (bit % 8));
        let error = match read(&wrong) {
            Err(error) => error,
            // Another region over the same pages is another shard, and a true one.
            Ok(shard) => {
                assert!(REGION.contains(&(bit / 8)), "bit {bit} was accepted");
                let region = shard.info().region;
                assert_eq!(shard.data(), &data[region.offset as usize..region.end() as usize]);
                continue;
            }
        };
        assert!(
            matches!(
                error.kind(),
                ErrorKind::Format | ErrorKind::Unsupported | ErrorKind::Witness | ErrorKind::Limit
            ),
            "bit {bit}: {error}"
        );
    }
}

#[test]
fn every_cut_and_every_extension_is_refused() {
    let bytes = extract(&project(&data(10_000)), region(5_000, 10)).serialize().unwrap();
    for len in 0..bytes.len() {
        assert_eq!(read(&bytes[..len]).unwrap_err().kind(), ErrorKind::Format, "{len}");
    }
    for more in [1, 16, 32, 4_096] {
        let mut long = bytes.clone();
        long.resize(bytes.len() + more, 0);
        assert!(read(&long).is_err());
        assert!(read(&forge(&bytes, |body| body.resize(body.len() + more, 0))).is_err());
    }
}

#[test]
fn another_region_over_the_same_proof_is_refused() {
    let bytes = extract(&project(&data(3 * TILE_SIZE)), region(4_096, 4_096)).serialize().unwrap();
    let at = REGION.start;
    for (offset, length) in
        [(0u64, 4_096u64), (4_096, 4_097), (8_192, 1), (4_096, u64::MAX), (u64::MAX, 0), (4_096, 0)]
    {
        let wrong = forge(&bytes, |body| {
            body[at..at + 8].copy_from_slice(&offset.to_le_bytes());
            body[at + 8..at + 16].copy_from_slice(&length.to_le_bytes());
        });
        let kind = read(&wrong).unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::Format | ErrorKind::Witness), "{offset} {length}: {kind:?}");
    }
    // A smaller region within the same pages is another shard, and a true one.
    let inner = forge(&bytes, |body| body[at + 8..at + 16].copy_from_slice(&4_095u64.to_le_bytes()));
    assert_eq!(read(&inner).unwrap().data().len(), 4_095);
}

/// With other residues of its tiles, and a root that commits to them where `rooted`.
fn with_residues(shard: &AtlasShard, rooted: bool, change: impl FnOnce(&mut [TileShape])) -> AtlasShard {
    let honest = shard.proof();
    let mut proof = Proof {
        tiles: honest.tiles.clone(),
        parts: honest.parts.clone(),
        tree: honest.tree.clone(),
        ..*honest
    };
    change(&mut proof.tiles);
    let (payload_offset, payload) = shard.payload();
    if rooted {
        let digests = Digests::new(None);
        let (parts, _) = proof.parts(payload.len()).unwrap();
        let leaf = |(part, tile): (&TilePart, &TileShape)| {
            let (witness, _) = proof.hash_part(&digests, part, &payload[part.payload.clone()]).unwrap();
            Leaf { len: tile.len, residue: tile.residue, witness }
        };
        let leaves: Vec<Leaf> = parts.iter().zip(&proof.tiles).map(leaf).collect();
        let range = proof.tile_range();
        proof.root = root_from_tiles(&digests, &proof.head, &range, &leaves, &proof.tree).unwrap().0;
    }
    let residue = shard.residue;
    AtlasShard { proof: Arc::new(proof), payload: shard.shared_payload(), payload_offset, residue }
}

#[test]
fn a_root_over_a_wrong_residue_is_conservation() {
    let projection = project(&data(4 * TILE_SIZE));
    let shard = extract(&projection, region(TILE_SIZE - 5_000, 2 * TILE_SIZE));
    let wrong = |tiles: &mut [TileShape]| tiles[1].residue = tiles[1].residue + Residue::of(&[1]);
    let check = |shard: &AtlasShard, kind: ErrorKind, index: Option<u64>| {
        let error = shard.verify(&VerifyOptions::new(), &mut Operation::new()).unwrap_err();
        assert_eq!((error.kind(), error.index()), (kind, index), "{error}");
        let error = read(&shard.serialize().unwrap()).unwrap_err();
        assert_eq!((error.kind(), error.index()), (kind, index), "{error}");
    };
    // The witnesses are right; of the first and the last tile not all bytes are at hand to be summed.
    check(&with_residues(&shard, true, wrong), ErrorKind::Conservation, Some(1));
    // Not even the root: that comes first.
    check(&with_residues(&shard, false, wrong), ErrorKind::Witness, None);
    let honest = with_residues(&shard, true, |_| ());
    assert_eq!(honest.info().root, shard.info().root);
    read(&honest.serialize().unwrap()).unwrap();
}

#[test]
fn tiles_that_begin_behind_the_region_are_refused() {
    let bytes = extract(&project(&data(3 * TILE_SIZE)), region(TILE_SIZE, 4_096)).serialize().unwrap();
    for offset in [0, 1, TILE_SIZE - 1] {
        let wrong = forge(&bytes, |body| {
            let length = TILE_SIZE + 4_096 - offset;
            body[REGION][..8].copy_from_slice(&(offset as u64).to_le_bytes());
            body[REGION][8..].copy_from_slice(&(length as u64).to_le_bytes());
        });
        let error = read(&wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "{error}");
        assert!(error.message().contains("begin at 1048576"), "{error}");
    }
}

#[test]
fn huge_claims_are_refused_before_anything_is_allocated() {
    let bytes = extract(&project(&data(10_000)), region(0, 10_000)).serialize().unwrap();
    let lengths = [24, 24 + 48, 24 + 48 + 40, 24 + 48 + 40 + 32];
    for record in lengths {
        for claim in [u64::MAX, 1 << 40, 1 << 62] {
            let wrong =
                forge(&bytes, |body| body[record + 8..record + 16].copy_from_slice(&claim.to_le_bytes()));
            assert_eq!(read(&wrong).unwrap_err().kind(), ErrorKind::Format);
        }
    }
    let domain = 24 + 48 + 16;
    for (size, tiles) in [(u64::MAX, 1u64), (10_000, u64::MAX), (u64::MAX, u64::MAX), (10_000, 0)] {
        let wrong = forge(&bytes, |body| {
            body[domain + 8..domain + 16].copy_from_slice(&size.to_le_bytes());
            body[domain + 16..domain + 24].copy_from_slice(&tiles.to_le_bytes());
        });
        let kind = read(&wrong).unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::Format | ErrorKind::Witness), "{size} {tiles}: {kind:?}");
    }
}

#[test]
fn limits_are_kept_and_named() {
    let bytes = extract(&project(&data(100_000)), region(0, 50_000)).serialize().unwrap();
    let try_limits = |payload, proof| {
        let limits = Limits { max_payload_size: payload, max_proof_size: proof };
        AtlasShard::deserialize(&bytes, &limits, &VerifyOptions::new(), &mut Operation::new())
    };
    let error = try_limits(53_247, 1 << 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.message().contains("max_payload_size of 53247"), "{error}");
    assert_eq!(try_limits(1 << 20, 10).unwrap_err().kind(), ErrorKind::Limit);
    assert!(try_limits(53_248, 1 << 20).is_ok());
}

#[test]
fn newer_versions_kinds_types_and_tags_are_unsupported() {
    let bytes = extract(&project(&data(10)), region(0, 10)).serialize().unwrap();
    for (at, value) in [(8, 2), (10, 2), (24 + 48 + 16, 2), (24, 99)] {
        let wrong = forge(&bytes, |body| body[at] = value);
        assert_eq!(read(&wrong).unwrap_err().kind(), ErrorKind::Unsupported, "byte {at}");
    }
}

#[test]
fn keys_are_needed_and_checked() {
    let key = [5; 32];
    let source = Source::from_vec(data(20_000));
    let options = ProjectionOptions::new().with_key(&key);
    let keyed =
        AtlasProjection::create(ProjectionType::Linear, &source, &options, &mut Operation::new()).unwrap();
    let shard = extract(&keyed, region(3_000, 5_000));
    let bytes = shard.serialize().unwrap();
    let try_key = |key: Option<[u8; 32]>| {
        let verify = key.map_or(VerifyOptions::new(), |key| VerifyOptions::new().with_key(&key));
        AtlasShard::deserialize(&bytes, &Limits::default(), &verify, &mut Operation::new())
    };
    assert!(shard.info().keyed);
    assert_eq!(try_key(Some(key)).unwrap().data(), shard.data());
    assert_eq!(try_key(None).unwrap_err().kind(), ErrorKind::Witness);
    assert_eq!(try_key(Some([6; 32])).unwrap_err().kind(), ErrorKind::Witness);
    let plain = extract(&project(&data(20_000)), region(0, 10));
    let error = plain.verify(&VerifyOptions::new().with_key(&key), &mut Operation::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Witness);
}

#[test]
fn all_strategies_give_the_same_shards() {
    let data = data(5 * TILE_SIZE + 12_345);
    let projection = project(&data);
    let mut regions = vec![region(0, data.len()), region(100, 0), region(data.len(), 0)];
    for i in 0..300 {
        let offset = (i * 104_729) % data.len();
        regions.push(region(offset, (i * 7_919 % 50_000).min(data.len() - offset)));
    }
    let pool = crate::Pool::new(3).unwrap();
    let encode = |shards: Vec<AtlasShard>| -> Vec<Vec<u8>> {
        shards.iter().map(|shard| shard.serialize().unwrap()).collect()
    };
    let one_by_one: Vec<AtlasShard> = regions.iter().map(|r| extract(&projection, *r)).collect();
    let want = encode(one_by_one);
    for strategy in [
        ParallelStrategy::Sequential,
        ParallelStrategy::Default,
        ParallelStrategy::Pool,
        ParallelStrategy::Chunked(1),
        ParallelStrategy::Chunked(7),
        ParallelStrategy::Chunked(1_000),
        ParallelStrategy::WorkStealing,
    ] {
        for threads in [0, 1, 2, 64] {
            let options = ExtractOptions::new().with_strategy(strategy).with_max_threads(threads);
            // A fresh snapshot of the bytes, so that chains are cold and warm in turn.
            for projection in [&project(&data), &projection] {
                let shards = projection
                    .extract_shards(&regions, &options, &mut Operation::new().with_pool(&pool))
                    .unwrap();
                assert_eq!(encode(shards), want, "{strategy:?} {threads}");
            }
        }
    }
}

#[test]
fn a_batch_is_all_or_nothing_and_names_the_first_region_that_fails() {
    let projection = project(&data(100_000));
    let regions = [region(0, 10), region(99_999, 2), region(200_000, 1)];
    let error = projection.extract_shards_parallel(&regions).unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::OutOfRange, Some(1)));
    assert!(projection.extract_shards_parallel(&[]).unwrap().is_empty());
    let error = projection.extract_shards_chunked_parallel(&regions[..1], 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_source_that_changed_is_a_witness_error_and_never_a_shard() {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    struct Changing(Vec<u8>, Arc<AtomicU64>);
    impl crate::ReadAt for Changing {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
            let changed = self.1.load(Ordering::Relaxed);
            if let Some(byte) = changed.checked_sub(offset).and_then(|at| buffer.get_mut(at as usize)) {
                *byte ^= 1;
            }
            Ok(())
        }
    }
    let changed = Arc::new(AtomicU64::new(u64::MAX));
    let data = data(6 * TILE_SIZE);
    let source = Source::from_reader(data.len() as u64, Changing(data, Arc::clone(&changed)));
    let projection = AtlasProjection::linear(&source).unwrap();
    // Regions in no order of tiles: the error must be of region 2 and not of a lower tile.
    let regions = [
        region(0, 100),
        region(5 * TILE_SIZE, 9),
        region(4 * TILE_SIZE, TILE_SIZE),
        region(3 * TILE_SIZE, 10),
    ];
    for warm in [false, true] {
        if warm {
            changed.store(u64::MAX, Ordering::Relaxed);
            projection.extract_shards_parallel(&regions).unwrap();
        }
        changed.store(4 * TILE_SIZE as u64 + 17, Ordering::Relaxed);
        for _ in 0..20 {
            let error = projection.extract_shards_parallel(&regions).unwrap_err();
            assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(2)));
        }
        let error = projection.verify(&mut Operation::new()).unwrap_err();
        assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(4)));
        assert_eq!(extract(&projection, region(3 * TILE_SIZE, 10)).data().len(), 10);
        // With the chain at hand only the groups that are wanted are looked at.
        changed.store(3 * TILE_SIZE as u64 + 5, Ordering::Relaxed);
        let error = projection.extract_shard(&regions[3], &mut Operation::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Witness);
    }
}

#[test]
fn more_tiles_than_payload_bytes_are_refused_before_anything_is_allocated() {
    let bytes = extract(&project(&data(10)), region(0, 0)).serialize().unwrap();
    // TILES is the fourth record; its value is made to hold a million tiles of one byte.
    let tiles = REGION.end;
    let wrong = forge(&bytes, |body| {
        let list: Vec<u8> = std::iter::repeat_n([1u8, 0, 0, 0, 1], 1_000_000).flatten().collect();
        body[tiles + 8..tiles + 16].copy_from_slice(&(8 + list.len() as u64).to_le_bytes());
        body.splice(tiles + 24..tiles + 24, list);
    });
    let error = read(&wrong).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
    assert!(error.message().contains("1000000 tiles"), "{error}");
}

#[test]
fn the_memory_that_tiles_take_counts_for_the_proof() {
    let bytes = extract(&project(&data(10)), region(0, 10)).serialize().unwrap();
    // Two MB of TILES, which would be 80 where they are verified, and a byte of payload for each.
    let (tiles, count) = (REGION.end, 400_000);
    let wrong = forge(&bytes, |body| {
        let payload = body.len() - 10 - 8;
        body[payload..payload + 8].copy_from_slice(&(count as u64).to_le_bytes());
        body.resize(body.len() - 10 + count, 7);
        let list = [1u8, 0, 0, 0, 7].repeat(count);
        body[tiles + 8..tiles + 16].copy_from_slice(&(8 + list.len() as u64).to_le_bytes());
        body.splice(tiles + 24..tiles + 29, list);
    });
    let error = read(&wrong).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.message().contains("max_proof_size of 67108864"), "{error}");
    let more = Limits { max_proof_size: 128 << 20, ..Limits::default() };
    let error =
        AtlasShard::deserialize(&wrong, &more, &VerifyOptions::new(), &mut Operation::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
}

#[test]
fn reading_a_shard_reports_every_mebibyte_from_its_digest_on_and_can_be_cancelled() {
    let size = 3 * TILE_SIZE;
    let bytes = extract(&project(&data(size)), region(0, size)).serialize().unwrap();
    let read = |bytes: &[u8], progress: &mut dyn FnMut(&crate::Progress) -> bool| {
        let mut operation = Operation::sequential().with_progress(progress);
        AtlasShard::deserialize(bytes, &Limits::default(), &VerifyOptions::new(), &mut operation)
    };
    let mut seen: Vec<crate::Progress> = Vec::new();
    read(&bytes, &mut |progress| {
        seen.push(*progress);
        true
    })
    .unwrap();
    // Four steps of the digest, three tiles.
    assert_eq!(seen.len(), 7);
    let total = (bytes.len() - 32 + size) as u64;
    assert!(seen.iter().all(|at| (at.bytes_total, at.chunks_total) == (total, 7)));
    let steps = std::iter::once(0).chain(seen.iter().map(|at| at.bytes_done)).collect::<Vec<_>>();
    assert!(steps.windows(2).all(|pair| pair[0] < pair[1] && pair[1] - pair[0] <= TILE_SIZE as u64));
    assert_eq!(steps.last(), Some(&total));
    for stop in 0..7 {
        let mut calls = 0;
        let error = read(&bytes, &mut |_| {
            calls += 1;
            calls <= stop
        })
        .unwrap_err();
        assert_eq!((error.kind(), calls), (ErrorKind::Cancelled, stop + 1));
    }
    // Of an empty region the digest is all there is, and its end is told once.
    let (empty, mut ends) = (extract(&project(&data(10)), region(3, 0)).serialize().unwrap(), 0);
    read(&empty, &mut |at| {
        ends += u32::from(at.bytes_done == at.bytes_total && at.chunks_done == at.chunks_total);
        true
    })
    .unwrap();
    assert_eq!(ends, 1);
}

#[test]
fn a_group_that_changed_fails_for_the_region_that_wants_it() {
    use std::sync::atomic::{AtomicBool, Ordering};
    static CHANGED: AtomicBool = AtomicBool::new(false);
    struct Changing(Vec<u8>);
    impl crate::ReadAt for Changing {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
            buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
            if let Some(byte) = 500_000u64.checked_sub(offset).and_then(|at| buffer.get_mut(at as usize)) {
                *byte ^= u8::from(CHANGED.load(Ordering::Relaxed));
            }
            Ok(())
        }
    }
    let source = Source::from_reader(TILE_SIZE as u64, Changing(data(TILE_SIZE)));
    let projection = AtlasProjection::linear(&source).unwrap();
    let regions = [region(0, 10), region(900_000, 10), region(500_000, 10), region(100_000, 10)];
    projection.extract_shards_parallel(&regions).unwrap();
    CHANGED.store(true, Ordering::Relaxed);
    let error = projection.extract_shards_parallel(&regions).unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(2)));
}

#[test]
fn reads_stay_inside_the_region() {
    let data = data(20_000);
    let shard = extract(&project(&data), region(5_000, 6_000));
    let mut out = [0; 100];
    shard.read(10_900, &mut out).unwrap();
    assert_eq!(out, data[10_900..11_000]);
    for offset in [4_999, 10_901, u64::MAX] {
        assert_eq!(shard.read(offset, &mut out).unwrap_err().kind(), ErrorKind::OutOfRange);
    }
}

#[test]
fn chains_are_kept_within_the_memory_limit() {
    let data = data(8 * TILE_SIZE);
    let regions: Vec<_> = (0..8).map(|tile| region(tile * TILE_SIZE + 5_000, 100)).collect();
    // How many tiles have a chain afterwards; None: LIMIT.
    let kept = |limit: u64| {
        let projection = project(&data);
        let operation = &mut Operation::sequential().with_memory_limit(limit);
        let extracted = projection.extract_shards(&regions, &ExtractOptions::new(), operation);
        extracted
            .is_ok()
            .then(|| projection.state().tree.iter_from_tile(0).filter(|at| at.tile.chain().is_some()).count())
    };
    let (mut refused, mut least) = (0, 16 * TILE_SIZE as u64);
    while refused + 1 < least {
        let middle = (refused + least) / 2;
        *(if kept(middle).is_some() { &mut least } else { &mut refused }) = middle;
    }
    assert_eq!(kept(least), Some(0));
    assert_eq!(kept(least + 3 * crate::chain::Chain::FOOTPRINT), Some(3));
    assert_eq!(kept(2 * least), Some(8));
}

/// Bytes, and what is done at each read of them.
struct Watched<F>(Vec<u8>, F);

impl<F: Fn(u64, &mut [u8]) + Send + Sync> crate::ReadAt for Watched<F> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
        (self.1)(offset, buffer);
        Ok(())
    }
}

fn watched(
    kind: ProjectionType,
    size: usize,
    watch: impl Fn(u64, &mut [u8]) + Send + Sync + 'static,
) -> AtlasProjection {
    let source = Source::from_reader(size as u64, Watched(data(size), watch));
    AtlasProjection::create(kind, &source, &ProjectionOptions::new(), &mut Operation::sequential()).unwrap()
}

/// The tiles that are read, in that order, each with the thread.
#[derive(Clone, Default)]
struct Reads(std::sync::Arc<std::sync::Mutex<Vec<(usize, std::thread::ThreadId)>>>);

impl Reads {
    fn add(&self, offset: u64) {
        let tile = (offset / TILE_SIZE as u64) as usize;
        self.0.lock().unwrap().push((tile, std::thread::current().id()));
    }

    fn take(&self) -> Vec<(usize, std::thread::ThreadId)> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn tiles(&self) -> Vec<usize> {
        self.take().into_iter().map(|(tile, _)| tile).collect()
    }
}

/// A projection whose chains are not known, and what is read of it.
fn recorded(tiles: usize, pause: std::time::Duration) -> (AtlasProjection, Reads) {
    let reads = Reads::default();
    let seen = reads.clone();
    let projection = watched(ProjectionType::Linear, tiles * TILE_SIZE, move |offset, _| {
        seen.add(offset);
        std::thread::sleep(pause);
    });
    reads.take();
    (projection, reads)
}

fn edit(projection: &AtlasProjection, at: usize) {
    let delta = crate::ProjectionDelta::update(at as u64, at as u64 + 3, *b"new");
    projection.apply_incremental_update(delta).unwrap();
}

const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

#[test]
fn work_stealing_begins_with_the_most_work_and_the_others_with_the_first_tile() {
    let regions = [
        region(5, 100),
        region(TILE_SIZE, 100),
        region(4 * TILE_SIZE, 3 * TILE_SIZE),
        region(2 * TILE_SIZE, 9),
    ];
    let tiles = |strategy| {
        let (projection, reads) = recorded(8, std::time::Duration::ZERO);
        let options = ExtractOptions::new().with_strategy(strategy).with_max_threads(1);
        projection.extract_shards(&regions, &options, &mut Operation::new()).unwrap();
        reads.tiles()
    };
    assert_eq!(tiles(ParallelStrategy::WorkStealing), [4, 5, 6, 0, 1, 2]);
    for strategy in [ParallelStrategy::Sequential, ParallelStrategy::Default] {
        assert_eq!(tiles(strategy), [0, 1, 2, 4, 5, 6]);
    }
    assert_eq!(tiles(ParallelStrategy::Chunked(3)), [0, 1, 4, 5, 6, 2]);
}

#[cfg(feature = "parallel")]
#[test]
fn a_chunk_stays_on_one_thread_unless_a_region_is_more_than_a_thread_s_share() {
    let pool = crate::Pool::new(2).unwrap();
    let run = |regions: &[AtlasBoundaryRegion], chunk| {
        let (projection, reads) = recorded(24, PAUSE);
        let options = ExtractOptions::new().with_strategy(ParallelStrategy::Chunked(chunk));
        let mut operation = Operation::new().with_pool(&pool);
        projection.extract_shards(regions, &options, &mut operation).unwrap();
        reads.take()
    };
    let threads = |reads: &[(usize, std::thread::ThreadId)]| {
        reads.iter().map(|(_, thread)| *thread).collect::<std::collections::HashSet<_>>().len()
    };
    // Six chunks of four tiles each.
    let regions: Vec<_> = (0..24).map(|tile| region(tile * TILE_SIZE, TILE_SIZE)).collect();
    let reads = run(&regions, 4);
    assert_eq!((reads.len(), threads(&reads)), (24, 2));
    for chunk in 0..6 {
        let reads: Vec<_> = reads.iter().copied().filter(|(tile, _)| tile / 4 == chunk).collect();
        assert_eq!((reads.len(), threads(&reads)), (4, 1));
    }
    // One region of 8 MiB among a thousand, all of them one chunk.
    let mut regions: Vec<_> = (0..999).map(|i| region(i * 1_000, 100)).collect();
    regions.insert(500, region(10 * TILE_SIZE, 8 * TILE_SIZE));
    let mut reads = run(&regions, 1_000);
    reads.retain(|(tile, _)| (10..18).contains(tile));
    assert_eq!((reads.len(), threads(&reads)), (8, 2));
}

#[cfg(feature = "parallel")]
#[test]
fn many_regions_of_one_tile_are_several_tasks() {
    let (projection, reads) = recorded(1, PAUSE);
    let (mut calls, mut before, mut largest) = (0, 0, 0);
    let mut progress = |progress: &crate::Progress| {
        calls += 1;
        largest = largest.max(progress.bytes_done - before);
        before = progress.bytes_done;
        true
    };
    let pool = crate::Pool::new(2).unwrap();
    let mut operation = Operation::new().with_pool(&pool).with_progress(&mut progress);
    let regions = [region(0, TILE_SIZE); 20];
    let shards = projection.extract_shards(&regions, &ExtractOptions::new(), &mut operation).unwrap();
    assert!(shards.iter().all(|shard| shard.data() == data(TILE_SIZE)));
    assert_eq!((calls, largest), (20, TILE_SIZE as u64));
    let threads: std::collections::HashSet<_> = reads.take().into_iter().map(|(_, thread)| thread).collect();
    assert_eq!(threads.len(), 2);
    // Small ones are many to a task.
    let regions = vec![region(5_000, 1); 1_000];
    let shards = projection.extract_shards_parallel(&regions).unwrap();
    assert_eq!(shards.len(), 1_000);
    assert!(reads.take().len() < 20);
}

#[cfg(feature = "parallel")]
#[test]
fn with_the_pool_strategy_the_calling_thread_reads_nothing() {
    let (projection, reads) = recorded(3, std::time::Duration::ZERO);
    let caller = std::thread::current().id();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let ours = crate::Pool::new(2).unwrap();
    let small = [region(100, 200)];
    let edited = || {
        edit(&projection, 2_000_000);
        reads.take();
    };
    for max_threads in [0, 1] {
        let options =
            ExtractOptions::new().with_strategy(ParallelStrategy::Pool).with_max_threads(max_threads);
        for regions in [&small[..], &[region(0, 3_000_000)]] {
            for mut operation in [Operation::new().with_pool(&ours), Operation::new().with_rayon_pool(&pool)]
            {
                edited();
                projection.extract_shards(regions, &options, &mut operation).unwrap();
                let reads = reads.take();
                assert!(!reads.is_empty() && reads.iter().all(|(_, thread)| *thread != caller));
            }
        }
    }
    edited();
    projection.extract_shards_parallel_with_pool(&small, &pool).unwrap();
    assert!(reads.take().iter().all(|(_, thread)| *thread != caller));
    // What is too small to share is the calling thread's, and SEQUENTIAL is in any case.
    for strategy in [
        ParallelStrategy::Default,
        ParallelStrategy::Sequential,
        ParallelStrategy::Chunked(1),
        ParallelStrategy::WorkStealing,
    ] {
        edited();
        let options = ExtractOptions::new().with_strategy(strategy);
        projection.extract_shards(&small, &options, &mut Operation::new().with_pool(&ours)).unwrap();
        assert!(reads.take().iter().all(|(_, thread)| *thread == caller));
    }
    let options = ExtractOptions::new().with_strategy(ParallelStrategy::Pool);
    let error = projection.extract_shards(&small, &options, &mut Operation::new()).unwrap_err();
    assert_eq!(error.message(), "strategy POOL needs a pool in the operation");
}

/// Two tiles whose bytes changed fail in the other order than their regions are asked for.
fn the_first_region_that_fails_is_reported(kind: ProjectionType, threads: &[u32]) {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    let slow = Arc::new(AtomicU64::new(u64::MAX));
    let seen = Arc::clone(&slow);
    let projection = watched(kind, 6 * TILE_SIZE, move |offset, buffer| {
        let slow = seen.load(Ordering::Relaxed);
        let within = |at: u64| offset <= at && at - offset < buffer.len() as u64;
        if slow == u64::MAX {
            return;
        }
        for tile in [1, 4] {
            let at = tile * TILE_SIZE as u64 + 17;
            if within(at) {
                if tile == slow {
                    std::thread::sleep(PAUSE);
                }
                buffer[(at - offset) as usize] ^= 1;
                return;
            }
        }
    });
    let part = |tile: usize| region(tile * TILE_SIZE, 100);
    let orders = [
        (4, 1, [part(5), part(4), part(0), part(1), region(TILE_SIZE, 4 * TILE_SIZE), part(3)]),
        (1, 2, [part(5), part(0), region(0, 3 * TILE_SIZE), part(2), part(4), part(1)]),
    ];
    for &threads in threads {
        let pool = crate::Pool::new(threads).unwrap();
        for (tile, index, regions) in &orders {
            slow.store(*tile, Ordering::Relaxed);
            for strategy in [
                ParallelStrategy::Sequential,
                ParallelStrategy::Default,
                ParallelStrategy::Pool,
                ParallelStrategy::Chunked(2),
                ParallelStrategy::WorkStealing,
            ] {
                let options = ExtractOptions::new().with_strategy(strategy);
                let mut operation = Operation::new().with_pool(&pool);
                let error = projection.extract_shards(regions, &options, &mut operation).unwrap_err();
                let found = (error.kind(), error.index(), error.offset());
                let want = (ErrorKind::Witness, Some(*index), Some(tile * TILE_SIZE as u64));
                assert_eq!(found, want, "{strategy:?} on {threads} threads");
            }
        }
    }
}

#[test]
fn the_first_region_that_fails_is_reported_for_linear() {
    the_first_region_that_fails_is_reported(ProjectionType::Linear, &[2, 3, 4]);
}

#[test]
fn the_first_region_that_fails_is_reported_for_r96() {
    the_first_region_that_fails_is_reported(ProjectionType::R96Fourier, &[3]);
}

#[test]
fn what_is_left_after_a_failure_can_be_cancelled() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let (changed, reads) = (Arc::new(AtomicBool::new(false)), Reads::default());
    let (now, seen) = (Arc::clone(&changed), reads.clone());
    let projection = watched(ProjectionType::Linear, 4 * TILE_SIZE, move |offset, buffer| {
        seen.add(offset);
        buffer[0] ^= u8::from(offset == 0 && now.load(Ordering::Relaxed));
    });
    changed.store(true, Ordering::Relaxed);
    reads.take();
    // The last region fails first, as its tile comes first; those before it are still to be looked at.
    let regions = [1, 2, 3, 0].map(|tile| region(tile * TILE_SIZE, 10));
    for cancel_at in [1, 2, 3, 9] {
        let (mut calls, mut all_done) = (0, false);
        let mut progress = |progress: &crate::Progress| {
            calls += 1;
            all_done |= progress.bytes_done == progress.bytes_total;
            calls < cancel_at
        };
        let mut operation = Operation::sequential().with_progress(&mut progress);
        let error = projection.extract_shards(&regions, &ExtractOptions::new(), &mut operation).unwrap_err();
        assert!(!all_done);
        if cancel_at < 9 {
            assert_eq!((error.kind(), calls), (ErrorKind::Cancelled, cancel_at));
            assert_eq!(reads.tiles(), (0..cancel_at).collect::<Vec<_>>());
        } else {
            assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(3)));
        }
    }
}

#[test]
fn hashing_what_was_edited_is_reported_and_no_end_before_the_end() {
    let source = Source::from_vec(data(4 * TILE_SIZE));
    let projection = AtlasProjection::linear(&source).unwrap();
    for tile in 0..3 {
        edit(&projection, tile * TILE_SIZE + 9);
    }
    let mut seen = Vec::new();
    let mut progress = |progress: &crate::Progress| {
        seen.push(*progress);
        true
    };
    let mut operation = Operation::new().with_progress(&mut progress);
    let regions = [region(0, 8_192), region(2 * TILE_SIZE, 4_096)];
    projection.extract_shards(&regions, &ExtractOptions::new(), &mut operation).unwrap();
    // Three tiles were hashed before, which is no part of the count.
    assert!(seen.len() >= 4);
    assert!(seen[..3].iter().all(|progress| (progress.bytes_done, progress.chunks_done) == (0, 0)));
    for (number, progress) in seen.iter().enumerate() {
        assert_eq!((progress.bytes_total, progress.chunks_total), (12_288, 2));
        let done = (progress.bytes_done, progress.chunks_done) == (12_288, 2);
        assert_eq!(done, number + 1 == seen.len());
    }
    // Verifying reads all there is.
    edit(&projection, 9);
    let mut ends = 0;
    let mut progress = |progress: &crate::Progress| {
        ends += u64::from(progress.bytes_done == progress.bytes_total);
        true
    };
    projection.verify(&mut Operation::new().with_progress(&mut progress)).unwrap();
    assert_eq!(ends, 1);
}

#[test]
fn an_edited_tile_that_cannot_be_hashed_is_no_region_s_failure() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let changed = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&changed);
    let projection = watched(ProjectionType::Linear, 4 * TILE_SIZE, move |_, buffer| {
        buffer[0] ^= u8::from(now.load(Ordering::Relaxed));
    });
    edit(&projection, 3 * TILE_SIZE + 5);
    changed.store(true, Ordering::Relaxed);
    let error = projection.extract_shards_parallel(&[region(0, 10)]).unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, None));
    assert_eq!(error.offset(), Some(3 * TILE_SIZE as u64));
}

#[test]
fn no_chunk_is_refused_before_anything_is_read() {
    let (projection, reads) = recorded(2, std::time::Duration::ZERO);
    edit(&projection, 5);
    reads.take();
    let error = projection.extract_shards_chunked_parallel(&[region(0, 10)], 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(reads.take().is_empty());
}
