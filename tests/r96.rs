//! R96_FOURIER through the public API: any K classes rebuild, everything proves itself, and nothing
//! false passes.
#![allow(missing_docs, clippy::cast_precision_loss, clippy::unwrap_used)]

use atlas_manifold::{
    AtlasBoundaryRegion, AtlasError, AtlasProjection, AtlasReconstruction, AtlasShard, ClassSet, ErrorKind,
    ExtractOptions, Limits, Operation, ParallelStrategy, Pool, ProjectionDelta, ProjectionOptions,
    ProjectionType, ReconstructionOptions, Source, TILE_SIZE, VerifyOptions,
};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = self.0 ^ (self.0 >> 29);
        bits.wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 16
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// `count` different classes in any order.
    fn classes(&mut self, count: usize) -> Vec<u8> {
        let mut all: Vec<u8> = (0..96).collect();
        for index in 0..count {
            let other = index + self.below(96 - index);
            all.swap(index, other);
        }
        all.truncate(count);
        all
    }
}

fn options(k: u8) -> ProjectionOptions {
    ProjectionOptions::new().with_data_classes(k)
}

fn project_with(data: &[u8], options: &ProjectionOptions) -> AtlasProjection {
    let source = Source::copy(data).unwrap();
    AtlasProjection::create(ProjectionType::R96Fourier, &source, options, &mut Operation::new()).unwrap()
}

fn project(data: &[u8], k: u8) -> AtlasProjection {
    project_with(data, &options(k))
}

fn root(projection: &AtlasProjection) -> [u8; 32] {
    projection.root(&mut Operation::new()).unwrap()
}

fn extract(projection: &AtlasProjection, classes: &[u8]) -> Vec<AtlasShard> {
    projection.extract_classes(None, classes, &mut Operation::new()).unwrap()
}

fn bytes(projection: &AtlasProjection) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(projection.info().domain_size).unwrap()];
    projection.read(0, &mut bytes).unwrap();
    bytes
}

fn again(shard: &AtlasShard, verify: &VerifyOptions) -> Result<AtlasShard, AtlasError> {
    let bytes = shard.serialize().unwrap();
    let shard = AtlasShard::deserialize(&bytes, &Limits::default(), verify, &mut Operation::new())?;
    assert_eq!(shard.serialize().unwrap(), bytes);
    Ok(shard)
}

const KS: [u8; 7] = [1, 2, 33, 64, 80, 95, 96];

/// Random sets of K classes rebuild domains of odd sizes, from serialised shards in any order.
fn any_k_classes_rebuild(rounds: usize, seed: u64) {
    let mut random = Random(seed);
    let sizes =
        [1, 207, 208, 4_096, 13_312, 19_968, 19_969, 100_003, TILE_SIZE - 1, TILE_SIZE, TILE_SIZE + 1];
    for round in 0..rounds {
        let k = KS[round % KS.len()];
        let size = match round % 3 {
            0 => sizes[random.below(sizes.len())],
            // Small K makes much of little.
            _ if k < 33 => 1 + random.below(20_000),
            _ => 1 + random.below(200_000),
        };
        let data = random.bytes(size);
        let projection = project(&data, k);
        let trust = VerifyOptions::new().with_root(root(&projection));
        let count = usize::from(k) + if round % 5 == 0 { random.below(97 - usize::from(k)) } else { 0 };
        let shards = extract(&projection, &random.classes(count));
        let rebuilt =
            AtlasReconstruction::new(&ReconstructionOptions::new().with_root(root(&projection))).unwrap();
        for (index, shard) in shards.iter().enumerate() {
            let needed = usize::from(k).saturating_sub(index);
            if index > 0 {
                assert_eq!(rebuilt.classes_needed() as usize, needed, "K {k}, {size} bytes");
                assert_eq!(rebuilt.is_complete(), needed == 0);
            }
            rebuilt.add(&again(shard, &trust).unwrap(), &mut Operation::new()).unwrap();
        }
        let rebuilt = rebuilt.finish(&mut Operation::new()).unwrap();
        assert_eq!(bytes(&rebuilt), data, "K {k}, {size} bytes");
        assert_eq!(root(&rebuilt), root(&projection));
        assert_eq!(rebuilt.info(), projection.info());
    }
}

#[test]
fn a_hundred_random_sets_of_classes_rebuild() {
    any_k_classes_rebuild(100, 1);
}

#[test]
#[ignore = "the long run"]
fn ten_thousand_random_sets_of_classes_rebuild() {
    any_k_classes_rebuild(10_000, 2);
}

#[test]
fn the_empty_domain_is_a_projection_too() {
    let projection = project(&[], 64);
    assert_eq!((projection.info().tile_count, projection.info().data_classes), (0, 64));
    let shards = extract(&projection, &[95]);
    assert_eq!((shards[0].data().len(), shards[0].info().classes), (0, ClassSet::of(95).unwrap()));
    let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new()).unwrap();
    rebuilt.add(&again(&shards[0], &VerifyOptions::new()).unwrap(), &mut Operation::new()).unwrap();
    assert_eq!(rebuilt.classes_needed(), 0);
    let rebuilt = rebuilt.finish(&mut Operation::new()).unwrap();
    assert_eq!(root(&rebuilt), root(&projection));
}

#[test]
fn a_class_is_the_same_however_it_was_cut() {
    let data = Random(3).bytes(2 * TILE_SIZE + 77_777);
    for k in [40, 64, 96] {
        let projection = project(&data, k);
        let all: Vec<u8> = (0..96).rev().collect();
        let mut one = Operation::sequential();
        let shards = projection.extract_classes(None, &all, &mut one).unwrap();
        let region = AtlasBoundaryRegion::new(TILE_SIZE as u64 + 5, 1);
        let tile = projection.extract_shard(&region, &mut one).unwrap();
        assert_eq!(tile.info().region, AtlasBoundaryRegion::new(TILE_SIZE as u64, TILE_SIZE as u64));
        assert_eq!((tile.info().classes, tile.info().residue.value()), (ClassSet::ALL, 0));
        let class_len = tile.data().len() / 96;
        for (class, shard) in (0..96).rev().zip(&shards) {
            let info = shard.info();
            assert_eq!(info.classes, ClassSet::of(class).unwrap());
            assert_eq!(info.region, AtlasBoundaryRegion::new(0, data.len() as u64));
            assert_eq!(info.payload_size, shard.data().len() as u64);
            assert_eq!(info.data_classes, k);
            // The payload of the middle tile, in both.
            let from_tile = &tile.data()[usize::from(class) * class_len..][..class_len];
            assert_eq!(&shard.data()[class_len..2 * class_len], from_tile, "K {k}, class {class}");
            assert_eq!(again(shard, &VerifyOptions::new()).unwrap().data(), shard.data());
        }
        let two = projection.extract_classes(Some(&region), &[7, 3], &mut Operation::new()).unwrap();
        assert_eq!(two[1].data(), &tile.data()[3 * class_len..4 * class_len]);
        assert_eq!(two[1].info().region, tile.info().region);
    }
}

#[test]
fn serialised_classes_take_what_is_promised() {
    // Its contents do not matter.
    let sizes = |k: u8, size: usize| -> Vec<usize> {
        let projection = project(&vec![0; size], k);
        let shards = extract(&projection, &(0..96).collect::<Vec<u8>>());
        let tiles = size.div_ceil(TILE_SIZE);
        let tile = |index: usize| TILE_SIZE.min(size - index * TILE_SIZE);
        let blocks: usize = (0..tiles).map(|index| tile(index).div_ceil(208 * usize::from(k))).sum();
        let sizes: Vec<usize> = shards.iter().map(AtlasShard::serialized_size).collect();
        for (class, size) in sizes.iter().enumerate() {
            let a_tile = if class < 64 { 229 } else { 197 };
            assert_eq!(*size, 260 + tiles * a_tile + 224 * blocks, "K {k}, class {class}");
        }
        sizes
    };
    let share = |k: u8, size: usize| 1.05 * 14.0 / 13.0 * 96.0 / f64::from(k) * size as f64;
    for k in [64u8, 96] {
        let blocks = 208 * usize::from(k);
        for size in [18 * blocks + 1, 19 * blocks - 1, TILE_SIZE, TILE_SIZE + 1, 5_000_000] {
            let total: usize = sizes(k, size).iter().sum();
            let limit = share(k, size) + 96.0 * 512.0;
            assert!(total as f64 <= limit, "K {k}, {size} bytes: {total} of {limit}");
        }
        let total: usize = sizes(k, 64 << 20).iter().sum();
        assert!(total as f64 <= share(k, 64 << 20), "K {k}: {total}");
        // A block counts whole, so that the smallest domains cost more than 512 bytes a shard.
        assert_eq!(sizes(k, 1).iter().max(), Some(&713));
    }
}

#[test]
fn tiles_may_lose_different_classes() {
    let data = Random(14).bytes(2 * TILE_SIZE + 5_555);
    let projection = project(&data, 64);
    let trust = VerifyOptions::new().with_root(root(&projection));
    let (first, last): (Vec<u8>, Vec<u8>) = ((0..64).collect(), (32..96).collect());
    let ends: Vec<u8> = (0..32).chain(64..96).collect();
    let mut shards = Vec::new();
    for (tile, classes) in [first, last, ends].iter().enumerate() {
        let region = AtlasBoundaryRegion::new((tile * TILE_SIZE) as u64 + 9, 1);
        let some = projection.extract_classes(Some(&region), classes, &mut Operation::new()).unwrap();
        shards.extend(some.iter().map(|shard| again(shard, &trust).unwrap()));
    }
    let mut random = Random(15);
    for index in 0..shards.len() {
        let other = index + random.below(shards.len() - index);
        shards.swap(index, other);
    }
    let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new()).unwrap();
    for shard in &shards {
        assert!(!rebuilt.is_complete());
        rebuilt.add(shard, &mut Operation::new()).unwrap();
    }
    assert_eq!(rebuilt.classes_needed(), 0);
    assert_eq!(bytes(&rebuilt.finish(&mut Operation::new()).unwrap()), data);
}

#[test]
fn region_shards_are_read_and_mix_with_classes() {
    let mut random = Random(4);
    let data = random.bytes(3 * TILE_SIZE + 12_345);
    for k in [33, 64, 96] {
        let projection = project(&data, k);
        let region = AtlasBoundaryRegion::new(TILE_SIZE as u64 - 1, 2);
        let shard = projection.extract_shard(&region, &mut Operation::new()).unwrap();
        let (start, end) = (0, 2 * TILE_SIZE);
        assert_eq!(shard.info().region, AtlasBoundaryRegion::new(start as u64, (end - start) as u64));
        for _ in 0..50 {
            let from = random.below(end);
            let len = random.below((end - from).min(60_000)) + 1;
            let mut out = vec![0; len];
            shard.read(from as u64, &mut out).unwrap();
            assert_eq!(out, data[from..from + len], "K {k}: {len} bytes at {from}");
        }
        let mut whole = vec![0; end];
        shard.read(0, &mut whole).unwrap();
        assert_eq!(whole, data[..end]);
        assert_eq!(shard.read(end as u64, &mut [0]).unwrap_err().kind(), ErrorKind::OutOfRange);

        // Two tiles come as a region, the others as classes, some of which are surplus.
        let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new()).unwrap();
        let classes = random.classes(usize::from(k));
        let classes = extract(&projection, &classes);
        let (last, first) = classes.split_last().unwrap();
        for shard in first {
            rebuilt.add(shard, &mut Operation::new()).unwrap();
        }
        rebuilt.add(&shard, &mut Operation::new()).unwrap();
        assert_eq!(rebuilt.classes_needed(), 1);
        let rest = AtlasBoundaryRegion::new(end as u64, (data.len() - end) as u64);
        assert_eq!(rebuilt.missing(), [rest]);
        let error = rebuilt.finish(&mut Operation::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incomplete);
        assert!(error.message().contains(&format!("1 more of the {k} classes")), "{error}");
        for shard in first {
            rebuilt.add(shard, &mut Operation::new()).unwrap();
        }
        assert_eq!(rebuilt.classes_needed(), 1);
        rebuilt.add(last, &mut Operation::new()).unwrap();
        rebuilt.add(&shard, &mut Operation::new()).unwrap();
        assert_eq!(bytes(&rebuilt.finish(&mut Operation::new()).unwrap()), data);
    }
}

#[test]
fn one_class_alone_is_not_read() {
    let projection = project(&[7; 5_000], 2);
    let shard = &extract(&projection, &[11])[0];
    let error = shard.read(0, &mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incomplete);
    assert!(error.message().contains("1 of 2"), "{error}");
    // K = 1: every class is the whole.
    let projection = project(&[7; 5_000], 1);
    let shard = &extract(&projection, &[11])[0];
    let mut out = [0; 5_000];
    shard.read(0, &mut out).unwrap();
    assert_eq!(out, [7; 5_000]);
}

#[test]
fn what_is_asked_wrongly_is_refused() {
    let projection = project(&[1; 1_000], 96);
    let refused = |region: Option<&AtlasBoundaryRegion>, classes: &[u8]| {
        projection.extract_classes(region, classes, &mut Operation::new()).unwrap_err()
    };
    for (classes, index) in [(&[1, 96][..], 1), (&[255], 0), (&[5, 6, 5], 2)] {
        let error = refused(None, classes);
        assert_eq!((error.kind(), error.index()), (ErrorKind::InvalidArgument, Some(index)));
    }
    let outside = AtlasBoundaryRegion::new(990, 11);
    assert_eq!(refused(Some(&outside), &[1]).kind(), ErrorKind::OutOfRange);
    assert!(extract(&projection, &[]).is_empty());
    let linear = AtlasProjection::linear(&Source::copy(&[1; 1_000]).unwrap()).unwrap();
    let error = linear.extract_classes(None, &[1], &mut Operation::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    for k in [0, 97, 255] {
        let source = Source::copy(&[1]).unwrap();
        let made =
            AtlasProjection::create(ProjectionType::R96Fourier, &source, &options(k), &mut Operation::new());
        assert_eq!(made.unwrap_err().kind(), ErrorKind::InvalidArgument, "K {k}");
    }
}

#[test]
fn flipped_and_cut_shards_are_refused() {
    let data = Random(5).bytes(30_000);
    let projection = project(&data, 64);
    let shard = extract(&projection, &[17]).remove(0);
    let bytes = shard.serialize().unwrap();
    let read = |bytes: &[u8]| {
        AtlasShard::deserialize(bytes, &Limits::default(), &VerifyOptions::new(), &mut Operation::new())
    };
    for at in 0..bytes.len() {
        let mut wrong = bytes.clone();
        wrong[at] ^= 1 << (at % 8);
        assert!(read(&wrong).is_err(), "byte {at}");
        // Also where the digest against accidents is made anew.
        let end = bytes.len() - 32;
        if at < end {
            let digest = atlas_manifold::digest256(&wrong[..end]);
            wrong[end..].copy_from_slice(&digest);
            let error = read(&wrong).expect_err("a flipped bit passed");
            assert_ne!(error.kind(), ErrorKind::Internal, "byte {at}: {error}");
        }
        assert!(read(&bytes[..at]).is_err(), "{at} bytes");
    }
    // A class under another name.
    let mask = bytes.windows(12).position(|window| window == shard.info().classes.to_mask()).unwrap();
    let mut wrong = bytes.clone();
    wrong[mask..mask + 12].copy_from_slice(&ClassSet::of(18).unwrap().to_mask());
    let end = bytes.len() - 32;
    let digest = atlas_manifold::digest256(&wrong[..end]);
    wrong[end..].copy_from_slice(&digest);
    assert_eq!(read(&wrong).unwrap_err().kind(), ErrorKind::Witness);
}

#[test]
fn keyed_classes_need_their_key() {
    let key = [9; 32];
    let data = Random(6).bytes(50_000);
    let projection = project_with(&data, &options(3).with_key(&key));
    assert_ne!(root(&projection), root(&project(&data, 3)));
    let shards = extract(&projection, &[2, 50, 95]);
    let trust = VerifyOptions::new().with_key(&key);
    for (verify, passes) in [
        (trust.clone(), true),
        (VerifyOptions::new(), false),
        (VerifyOptions::new().with_key(&[8; 32]), false),
        (trust.clone().with_root([1; 32]), false),
    ] {
        match shards[0].verify(&verify, &mut Operation::new()) {
            Ok(()) => assert!(passes),
            Err(error) => assert!(!passes && error.kind() == ErrorKind::Witness),
        }
    }
    let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new().with_key(&key)).unwrap();
    for shard in &shards {
        rebuilt.add(&again(shard, &trust).unwrap(), &mut Operation::new()).unwrap();
    }
    let rebuilt = rebuilt.finish(&mut Operation::new()).unwrap();
    assert_eq!((bytes(&rebuilt), root(&rebuilt)), (data, root(&projection)));
}

#[test]
fn a_spool_needs_no_memory_for_classes_and_leaves_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("domain");
    let data = Random(7).bytes(4 * TILE_SIZE + 1);
    for k in [2, 64] {
        let projection = project(&data, k);
        let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new().with_spool(&path)).unwrap();
        for shard in extract(&projection, &Random(u64::from(k)).classes(usize::from(k))) {
            // Less than the domain, and than its classes.
            rebuilt.add(&shard, &mut Operation::new().with_memory_limit(3_500_000)).unwrap();
        }
        assert!(!path.exists());
        let rebuilt = rebuilt.finish(&mut Operation::new()).unwrap();
        assert_eq!(bytes(&rebuilt), data);
        assert_eq!(std::fs::read(&path).unwrap(), data);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(rebuilt);
        std::fs::remove_file(&path).unwrap();
    }
    let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new().with_spool(&path)).unwrap();
    rebuilt.add(&extract(&project(&data, 64), &[1])[0], &mut Operation::new()).unwrap();
    drop(rebuilt);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn cancelling_an_add_changes_nothing() {
    let data = Random(8).bytes(3 * TILE_SIZE);
    let projection = project(&data, 2);
    let shards = extract(&projection, &[0, 1]);
    let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new()).unwrap();
    rebuilt.add(&shards[0], &mut Operation::new()).unwrap();
    for stop in 0..6 {
        let mut calls = 0;
        let mut last = (0, 0);
        let mut progress = |progress: &atlas_manifold::Progress| {
            // Getters may be called meanwhile.
            assert_eq!(rebuilt.classes_needed(), 1);
            assert!((progress.bytes_done, progress.chunks_done) >= last);
            last = (progress.bytes_done, progress.chunks_done);
            calls += 1;
            calls <= stop
        };
        let mut operation = Operation::new().with_progress(&mut progress);
        let error = rebuilt.add(&shards[1], &mut operation).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert_eq!((rebuilt.classes_needed(), rebuilt.is_complete()), (1, false));
    }
    rebuilt.add(&shards[1], &mut Operation::new()).unwrap();
    assert_eq!(bytes(&rebuilt.finish(&mut Operation::new()).unwrap()), data);

    // A shard of nothing has nothing to report but its end, and does not bind the context before that.
    for projection in [projection, project(&[], 2)] {
        let empty = projection.extract_shard(&AtlasBoundaryRegion::new(0, 0), &mut Operation::new()).unwrap();
        let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new()).unwrap();
        let mut stop = |_: &atlas_manifold::Progress| false;
        let error = rebuilt.add(&empty, &mut Operation::new().with_progress(&mut stop)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(!rebuilt.is_complete());
        rebuilt.add(&extract(&project(&[1; 10], 1), &[3])[0], &mut Operation::new()).unwrap();
        assert!(rebuilt.is_complete());
    }
}

#[test]
fn batches_of_regions_are_the_same_for_every_strategy() {
    let data = Random(9).bytes(3 * TILE_SIZE + 999);
    let projection = project(&data, 64);
    let regions: Vec<AtlasBoundaryRegion> =
        [(0, 1), (TILE_SIZE - 1, 2), (3 * TILE_SIZE, 999), (5, 0), (0, data.len())]
            .map(|(offset, length)| AtlasBoundaryRegion::new(offset as u64, length as u64))
            .to_vec();
    let encoded = |options: &ExtractOptions| -> Vec<Vec<u8>> {
        let shards = projection.extract_shards(&regions, options, &mut Operation::new()).unwrap();
        shards.iter().map(|shard| shard.serialize().unwrap()).collect()
    };
    let sequential = encoded(&ExtractOptions::new().with_strategy(ParallelStrategy::Sequential));
    for strategy in [ParallelStrategy::Default, ParallelStrategy::Chunked(2), ParallelStrategy::WorkStealing]
    {
        assert_eq!(encoded(&ExtractOptions::new().with_strategy(strategy)), sequential, "{strategy:?}");
    }
    for bytes in &sequential {
        let verify = VerifyOptions::new().with_root(root(&projection));
        let limits = Limits::default();
        AtlasShard::deserialize(bytes, &limits, &verify, &mut Operation::new()).unwrap();
    }
}

#[test]
fn a_source_that_changed_gives_no_class() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source");
    let mut data = Random(10).bytes(TILE_SIZE + 10);
    std::fs::write(&path, &data).unwrap();
    let source = Source::open_file(&path).unwrap();
    let made =
        AtlasProjection::create(ProjectionType::R96Fourier, &source, &options(64), &mut Operation::new());
    let projection = made.unwrap();
    data[TILE_SIZE + 3] ^= 1;
    std::fs::write(&path, &data).unwrap();
    let error = projection.extract_classes(None, &[0, 1], &mut Operation::new()).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Witness, Some(TILE_SIZE as u64)));
    let first = AtlasBoundaryRegion::new(0, 1);
    projection.extract_classes(Some(&first), &[0, 1], &mut Operation::new()).unwrap();
    assert_eq!(projection.verify(&mut Operation::new()).unwrap_err().kind(), ErrorKind::Witness);
    // An edit of the tile does not make the change a truth: neither one that sums the cut tile nor one
    // that cuts nothing.
    let insert = |at| projection.apply_incremental_update(ProjectionDelta::insert(at, vec![1]));
    assert_eq!(insert(TILE_SIZE as u64 + 1).unwrap_err().kind(), ErrorKind::Witness);
    insert(TILE_SIZE as u64).unwrap();
    assert_eq!(projection.root(&mut Operation::new()).unwrap_err().kind(), ErrorKind::Witness);
}

#[test]
fn edits_lead_where_a_fresh_projection_does() {
    let mut random = Random(11);
    let mut model = random.bytes(2 * TILE_SIZE + 4_321);
    for k in [64, 96] {
        let projection = project(&model, k);
        let before = (root(&projection), model.clone());
        let mut applied = 0;
        for _ in 0..12 {
            let at = random.below(model.len());
            let end = at + random.below((model.len() - at).min(3_000));
            let data = {
                let len = random.below(3_000);
                random.bytes(len)
            };
            model.splice(at..end, data.iter().copied());
            let update = ProjectionDelta::update(at as u64, end as u64, data);
            projection.apply_incremental_update(update).unwrap();
            applied += 1;
        }
        assert_eq!(bytes(&projection), model);
        let edited = root(&projection);
        // The edited tiles travel as classes too, with the geometry that they have.
        let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new().with_root(edited)).unwrap();
        for shard in extract(&projection, &random.classes(usize::from(k))) {
            rebuilt.add(&shard, &mut Operation::new()).unwrap();
        }
        let rebuilt = rebuilt.finish(&mut Operation::new()).unwrap();
        assert_eq!((bytes(&rebuilt), root(&rebuilt)), (model.clone(), edited));
        projection.verify(&mut Operation::new()).unwrap();
        let snapshot = projection.snapshot();
        projection.optimize(&mut Operation::new()).unwrap();
        assert_eq!(root(&projection), root(&project(&model, k)));
        assert_eq!(root(&snapshot), edited);

        let projection = project(&before.1, k);
        projection.apply_incremental_update(ProjectionDelta::delete(7, 1_000)).unwrap();
        assert_ne!(root(&projection), before.0);
        projection.rollback(1).unwrap();
        assert_eq!(root(&projection), before.0);
        assert_eq!(applied, 12);
    }
}

#[cfg(feature = "compression")]
#[test]
fn classes_are_compressed_and_come_back() {
    use atlas_manifold::{CompressedShard, CompressionAlgorithm, CompressionConfig};
    // Bytes of few values: their spectrum is still dense, so that most of this is stored.
    for data in [vec![0u8; 200_000], Random(12).bytes(200_000)] {
        let projection = project(&data, 64);
        let shard = projection.extract_shard(&AtlasBoundaryRegion::new(0, 1), &mut Operation::new()).unwrap();
        for shard in [shard, extract(&projection, &[40]).remove(0)] {
            for algorithm in [
                CompressionAlgorithm::None,
                CompressionAlgorithm::Deflate,
                CompressionAlgorithm::ConservationAware,
            ] {
                let config = CompressionConfig { algorithm, ..CompressionConfig::default() };
                let compressed = shard.compress(&config).unwrap();
                assert_eq!(compressed.info().original_size, shard.data().len() as u64);
                let encoded = compressed.serialize().unwrap();
                let compressed = CompressedShard::deserialize(&encoded, &Limits::default()).unwrap();
                let mut part = vec![0; shard.data().len() / 3];
                compressed.read(part.len() as u64, &mut part).unwrap();
                assert_eq!(part, shard.data()[part.len()..2 * part.len()]);
                let verify = VerifyOptions::new().with_root(root(&projection));
                let back = compressed.decompress(&verify, &mut Operation::new()).unwrap();
                assert_eq!(back.serialize().unwrap(), shard.serialize().unwrap());
            }
        }
    }
}

#[test]
fn cancelling_an_extraction_of_classes_gives_none() {
    let data = Random(13).bytes(4 * TILE_SIZE + 1);
    let projection = project(&data, 64);
    for pool in [None, Some(Pool::new(2).unwrap())] {
        for stop in 0..4 {
            let mut calls = 0;
            let mut progress = |_: &atlas_manifold::Progress| {
                calls += 1;
                calls <= stop
            };
            let mut operation = match &pool {
                Some(pool) => Operation::new().with_pool(pool).with_progress(&mut progress),
                None => Operation::sequential().with_progress(&mut progress),
            };
            let error = projection.extract_classes(None, &[3, 4], &mut operation).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled);
            assert_eq!(calls, stop + 1, "never called again after false");
        }
    }
    projection.verify(&mut Operation::new()).unwrap();
}
