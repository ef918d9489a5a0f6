use super::*;
use crate::{AtlasProjection, ErrorKind, ProjectionOptions, Source, TILE_SIZE};

pub(super) fn data(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 4_093) as u8).collect()
}

pub(super) fn project(data: &[u8]) -> AtlasProjection {
    AtlasProjection::linear(&Source::copy(data).unwrap()).unwrap()
}

pub(super) fn region(offset: usize, length: usize) -> AtlasBoundaryRegion {
    AtlasBoundaryRegion::new(offset as u64, length as u64)
}

pub(super) fn extract(projection: &AtlasProjection, region: AtlasBoundaryRegion) -> AtlasShard {
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
        // The size that README states: 4,096 bytes, 8 chaining values, 6 nodes, 1 tile, and the frame.
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

/// Returns the offset of REGION's value: after the header, ROOT, DOMAIN and its own tag and length.
const REGION: Range<usize> = {
    let start = 24 + (16 + 32) + (16 + 24) + 16;
    start..start + 16
};

/// Changes an encoding like an attacker, and makes size and digest at the end fit again.
pub(crate) fn forge(bytes: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
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
    // All bytes of the head and of the proof, and some bytes of the payload.
    let payload = bytes.len() - 32 - 12_288;
    let positions =
        (0..payload.min(bytes.len()) * 8).chain((payload * 8..(bytes.len() - 32) * 8).step_by(997));
    for bit in positions.filter(|bit| !(128..192).contains(bit)) {
        let wrong = forge(&bytes, |body| body[bit / 8] ^= 1 << (bit % 8));
        let error = match read(&wrong) {
            Err(error) => error,
            // Another region over the same pages is another valid shard.
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
    // A smaller region within the same pages is another valid shard.
    let inner = forge(&bytes, |body| body[at + 8..at + 16].copy_from_slice(&4_095u64.to_le_bytes()));
    assert_eq!(read(&inner).unwrap().data().len(), 4_095);
}

/// Returns the shard with other residues of its tiles. If `rooted` is set, its root commits to these
/// residues.
fn with_residues(shard: &AtlasShard, rooted: bool, change: impl FnOnce(&mut [TileShape])) -> AtlasShard {
    let honest = shard.proof();
    let mut proof = Proof {
        tiles: honest.tiles.clone(),
        chaining_values: honest.chaining_values.clone(),
        siblings: honest.siblings.clone(),
        ..*honest
    };
    change(&mut proof.tiles);
    let (payload_offset, payload) = shard.payload();
    if rooted {
        let digests = Digests::new(None);
        let (parts, _) = proof.layout(payload.len()).unwrap();
        let leaf = |(part, tile): (&TilePart, &TileShape)| {
            let (witness, _) = proof.hash_part(&digests, part, &payload[part.payload.clone()]).unwrap();
            Leaf { len: tile.len, residue: tile.residue, witness }
        };
        let leaves: Vec<Leaf> = parts.iter().zip(&proof.tiles).map(leaf).collect();
        let range = proof.tile_range();
        proof.root = root_from_tiles(&digests, &proof.header, &range, &leaves, &proof.siblings).unwrap().0;
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
    // The witnesses are right. The first and the last tile cannot be summed, because the shard lacks some of
    // their bytes.
    check(&with_residues(&shard, true, wrong), ErrorKind::Conservation, Some(1));
    // A root that does not match takes precedence.
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
        assert!(error.message().contains("begin at offset 1048576"), "{error}");
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
    // Lengths that follow from the region, and do not add up to the domain.
    let wrong =
        forge(&bytes, |body| body[domain + 8..domain + 16].copy_from_slice(&10_001_u64.to_le_bytes()));
    assert_eq!(read(&wrong).unwrap_err().kind(), ErrorKind::Witness);
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
    // A record after the last record. If its tag is known, or the record is incomplete, it is wrong in every
    // version.
    for (tag, kind) in [(8, ErrorKind::Unsupported), (15, ErrorKind::Unsupported), (7, ErrorKind::Format)] {
        let wrong = forge(&bytes, |body| body.extend([&[tag][..], &[0; 15]].concat()));
        assert_eq!(read(&wrong).unwrap_err().kind(), kind, "tag {tag}");
    }
    assert_eq!(read(&forge(&bytes, |body| body.push(8))).unwrap_err().kind(), ErrorKind::Format);
}

/// Position of a record, and of its value, in an encoding.
fn place(bytes: &[u8], tag: u16) -> (usize, usize) {
    let mut at = 24;
    while bytes[at..at + 2] != tag.to_le_bytes() {
        at += 16 + u64::from_le_bytes(bytes[at + 8..at + 16].try_into().unwrap()) as usize;
    }
    (at, at + 16)
}

/// docs/format.md, "Order of the checks": of two faults, the first one of the list is reported.
#[test]
fn the_first_fault_of_the_documented_order_is_reported() {
    type Fault =
        (&'static str, ErrorKind, fn(&mut Vec<u8>), fn(&mut Limits), fn(VerifyOptions) -> VerifyOptions);
    fn no_change(_: &mut Vec<u8>) {}
    fn no_limit(_: &mut Limits) {}
    fn no_trust(options: VerifyOptions) -> VerifyOptions {
        options
    }
    fn set(body: &mut [u8], tag: u16, at: usize, value: u8) {
        let (_, start) = place(body, tag);
        body[start + at] = value;
    }
    // The last records come first, so that a change of a tag does not hide another record.
    let faults: [Fault; 14] = [
        ("magic", ErrorKind::Format, |body| body[0] ^= 1, no_limit, no_trust),
        ("version", ErrorKind::Unsupported, |body| body[8] = 2, no_limit, no_trust),
        ("kind", ErrorKind::Unsupported, |body| body[10] = 3, no_limit, no_trust),
        ("reserved", ErrorKind::Format, |body| body[12] = 1, no_limit, no_trust),
        ("reserved bytes of ROOT", ErrorKind::Format, |body| body[26] = 1, no_limit, no_trust),
        ("type", ErrorKind::Unsupported, |body| set(body, 2, 0, 2), no_limit, no_trust),
        ("flags", ErrorKind::Format, |body| set(body, 2, 2, 2), no_limit, no_trust),
        (
            "tag of TREE",
            ErrorKind::Unsupported,
            |body| {
                let (tree, _) = place(body, 6);
                body[tree] = 99;
            },
            no_limit,
            no_trust,
        ),
        ("limit", ErrorKind::Limit, no_change, |limits| limits.max_payload_size = 1, no_trust),
        ("residue 96", ErrorKind::Format, |body| set(body, 4, 12, 96), no_limit, no_trust),
        ("expected root", ErrorKind::Witness, no_change, no_limit, |options| options.with_root([7; 32])),
        ("region", ErrorKind::Format, |body| set(body, 3, 7, 1), no_limit, no_trust),
        ("payload", ErrorKind::Witness, |body| *body.last_mut().unwrap() ^= 1, no_limit, no_trust),
        ("nothing", ErrorKind::Internal, no_change, no_limit, no_trust),
    ];
    let good = extract(&project(&data(2 * TILE_SIZE)), region(5_000, 50_000)).serialize().unwrap();
    let read = |chosen: &[&Fault]| {
        // From the last fault to the first, so that each finds the records that it changes.
        let bytes = forge(&good, |body| chosen.iter().rev().for_each(|fault| fault.2(body)));
        let mut limits = Limits::default();
        chosen.iter().for_each(|fault| fault.3(&mut limits));
        let trust = chosen.iter().fold(VerifyOptions::new(), |options, fault| fault.4(options));
        AtlasShard::deserialize(&bytes, &limits, &trust, &mut Operation::sequential())
    };
    for (index, first) in faults[..13].iter().enumerate() {
        let alone = read(&[first]).unwrap_err();
        assert_eq!(alone.kind(), first.1, "{}: {alone}", first.0);
        for second in &faults[index + 1..] {
            let both = read(&[first, second]).unwrap_err();
            assert_eq!(both.kind(), first.1, "{} and {}: {both}", first.0, second.0);
        }
        // A wrong digest comes after the header and before everything else.
        let mut bytes = forge(&good, first.2);
        *bytes.last_mut().unwrap() ^= 1;
        let error = AtlasShard::deserialize(
            &bytes,
            &Limits::default(),
            &VerifyOptions::new(),
            &mut Operation::sequential(),
        )
        .unwrap_err();
        let expected = if index < 4 { first.1 } else { ErrorKind::Format };
        assert_eq!(error.kind(), expected, "{} and digest: {error}", first.0);
    }
}

#[test]
fn the_memory_of_a_tile_is_the_documented_one() {
    // The value of docs/format.md, for every processor. It is the exact size on 64-bit processors, except on s390x, which
    // aligns the set of the classes to 8 bytes.
    assert_eq!(VERIFIED_TILE, 168);
    if cfg!(target_pointer_width = "64") && align_of::<u128>() == 16 {
        let size = size_of::<TileShape>() + size_of::<(TilePart, Leaf, Digest, Residue)>();
        assert_eq!(size as u64, VERIFIED_TILE);
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
    // Two MB of TILES, whose verification would need 80 MB, and a byte of payload per tile.
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
    // For an empty region only the digest is checked, and the end is reported once.
    let (empty, mut ends) = (extract(&project(&data(10)), region(3, 0)).serialize().unwrap(), 0);
    read(&empty, &mut |at| {
        ends += u32::from(at.bytes_done == at.bytes_total && at.chunks_done == at.chunks_total);
        true
    })
    .unwrap();
    assert_eq!(ends, 1);
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
fn lists_of_tiles_count_before_they_are_made() {
    let shard = extract(&project(&data(3 * TILE_SIZE)), region(0, 3 * TILE_SIZE));
    let honest = shard.proof();
    // The layout is malformed, which is found only once there is memory for it.
    let proof = Proof {
        tiles: vec![honest.tiles[0]; 100_000],
        chaining_values: honest.chaining_values.clone(),
        siblings: honest.siblings.clone(),
        ..*honest
    };
    let (payload_offset, _) = shard.payload();
    let (payload, residue) = (shard.shared_payload(), shard.residue);
    let many = AtlasShard { proof: Arc::new(proof), payload, payload_offset, residue };
    let rebuilt = crate::AtlasReconstruction::new(&crate::ReconstructionOptions::new()).unwrap();
    let kinds = |limit| {
        let limited = || Operation::new().with_memory_limit(limit);
        let verified = many.verify(&VerifyOptions::new(), &mut limited()).unwrap_err().kind();
        (verified, rebuilt.add(&many, &mut limited()).unwrap_err().kind())
    };
    assert_eq!(kinds(1_000_000), (ErrorKind::Limit, ErrorKind::Limit));
    assert_eq!(kinds(100_000_000), (ErrorKind::Format, ErrorKind::Format));
}
