use super::*;
use crate::base::storage::fakes::FailingStorage;
use crate::layer2::Residue;
use crate::{ErrorKind, ProjectionOptions, TILE_SIZE};

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 17 + i / 1_021) as u8).collect()
}

fn project(data: &[u8]) -> AtlasProjection {
    AtlasProjection::linear(&Source::copy(data).unwrap()).unwrap()
}

fn shard(projection: &AtlasProjection, offset: usize, length: usize) -> AtlasShard {
    let region = AtlasBoundaryRegion::new(offset as u64, length as u64);
    projection.extract_shard(&region, &mut Operation::new()).unwrap()
}

/// Adds the bytes of a part without verifying it.
fn take(rebuilt: &AtlasReconstruction, shard: &AtlasShard) -> Result<()> {
    let (files, mut operation) = (lock(&rebuilt.turn), Operation::sequential());
    let workers = Workers::new(&operation, 1);
    rebuilt.take_bytes(shard, rebuilt.gaps(shard)?, files.spool.as_ref(), workers, operation.tracker(0, 0))
}

fn bytes(projection: &AtlasProjection) -> Vec<u8> {
    let mut out = vec![0; projection.info().domain_size as usize];
    projection.read(0, &mut out).unwrap();
    out
}

/// Zeros are not written, so that their places must not contain older bytes.
#[test]
fn what_a_refused_first_shard_left_in_the_spool_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let ones = vec![0xff; TILE_SIZE];
    let kinds = [ProjectionType::Linear, ProjectionType::R96Fourier];
    for (kind, stop) in kinds.into_iter().flat_map(|kind| [0, TILE_SIZE, 2 * TILE_SIZE].map(|at| (kind, at)))
    {
        let options = ReconstructionOptions::new().with_spool(dir.path().join("spool"));
        let rebuilt = AtlasReconstruction::new(&options).unwrap();
        let source = Source::copy(&ones).unwrap();
        let options = ProjectionOptions::new();
        let other = AtlasProjection::create(kind, &source, &options, &mut Operation::new()).unwrap();
        let mut cancel = |progress: &crate::Progress| progress.bytes_done < stop as u64;
        let mut operation = Operation::new().with_progress(&mut cancel);
        let error = rebuilt.add(&shard(&other, 0, TILE_SIZE), &mut operation).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        let zeros = project(&vec![0; TILE_SIZE + 5]);
        rebuilt.add(&shard(&zeros, 0, TILE_SIZE + 5), &mut Operation::new()).unwrap();
        assert_eq!(bytes(&rebuilt.finish(&mut Operation::new()).unwrap()), [0; TILE_SIZE + 5]);
    }
}

#[test]
fn each_operation_on_the_spool_that_fails_is_named_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let data = data(3 * TILE_SIZE + 9);
    let original = project(&data);
    let shard = shard(&original, 0, data.len());
    let mut named = Vec::new();
    for nth in 0.. {
        std::fs::write(&path, b"old").unwrap();
        let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new().with_spool(&path)).unwrap();
        let spool = AtomicFile::create_on(&path, |file| Arc::new(FailingStorage::new(file, nth)));
        lock(&rebuilt.turn).spool = Some(spool.unwrap());
        let mut failures = 0;
        let mut note = |error: AtlasError| {
            assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, libc::ENOSPC), "{error}");
            assert!(error.message().contains(&*path.to_string_lossy()), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), b"old");
            failures += 1;
            let operations = ["writing", "setting its length", "flushing", "reading the size", "reading"];
            named.extend(operations.into_iter().find(|operation| error.message().contains(operation)));
        };
        while let Err(error) = rebuilt.add(&shard, &mut Operation::sequential()) {
            note(error);
        }
        while let Err(error) = rebuilt.finish(&mut Operation::sequential()) {
            note(error);
        }
        assert!(std::fs::read(&path).unwrap() == data);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        if failures == 0 {
            break;
        }
        assert_eq!(failures, 1);
    }
    let mut expected = vec!["setting its length"];
    expected.extend(["writing"; 4]);
    expected.extend(["setting its length", "reading the size"]);
    expected.extend(vec!["reading"; data.len().div_ceil(crate::tile::one_tile::PART)]);
    expected.push("flushing");
    assert_eq!(named, expected);
}

#[test]
fn what_goes_to_a_file_is_reported_and_the_end_once() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(3 * TILE_SIZE + 9);
    let original = project(&data);
    for spool in [false, true] {
        let mut options = ReconstructionOptions::new();
        if spool {
            options = options.with_spool(dir.path().join("spool"));
        }
        let rebuilt = AtlasReconstruction::new(&options).unwrap();
        let mut seen = Vec::new();
        let mut record = |progress: &crate::Progress| {
            seen.push((progress.bytes_done, progress.bytes_total));
            true
        };
        let mut operation = Operation::new().with_progress(&mut record);
        rebuilt.add(&shard(&original, 0, data.len()), &mut operation).unwrap();
        let total = data.len() as u64 * if spool { 2 } else { 1 };
        assert!(seen.iter().all(|report| report.1 == total));
        assert_eq!(seen.iter().filter(|report| report.0 == total).count(), 1);
        assert!(seen.windows(2).all(|two| two[0].0 < two[1].0 && two[1].0 - two[0].0 <= TILE_SIZE as u64));
    }
}

#[test]
fn any_order_with_duplicates_and_overlaps_rebuilds_the_domain() {
    let dir = tempfile::tempdir().unwrap();
    for len in [0, 1, 4_096, TILE_SIZE + 1, 3 * TILE_SIZE + 777] {
        let data = data(len);
        let original = project(&data);
        let root = original.root(&mut Operation::new()).unwrap();
        let mut cuts: Vec<(usize, usize)> =
            (0..40).map(|i| ((i * 99_991) % (len + 1), (i * 7_919) % 200_000)).collect();
        cuts.extend((0..len).step_by(500_000).map(|start| (start, 500_000)));
        cuts.push((0, 0));
        for spool in [false, true] {
            let path = dir.path().join(format!("spool-{len}"));
            let mut options = ReconstructionOptions::new().with_root(root);
            if spool {
                options = options.with_spool(&path);
            }
            let rebuilt = AtlasReconstruction::new(&options).unwrap();
            for (index, &(start, wanted)) in cuts.iter().enumerate().rev() {
                let shard = shard(&original, start, wanted.min(len - start));
                rebuilt.add(&shard, &mut Operation::new()).unwrap();
                if index % 3 == 0 {
                    rebuilt.add(&shard, &mut Operation::new()).unwrap();
                }
            }
            assert!(rebuilt.is_complete(), "{:?}", rebuilt.missing());
            assert!(!path.exists());
            let projection = rebuilt.finish(&mut Operation::new()).unwrap();
            assert_eq!(bytes(&projection), data);
            assert_eq!(projection.root(&mut Operation::new()).unwrap(), root);
            projection.verify(&mut Operation::new()).unwrap();
            if spool {
                assert_eq!(std::fs::read(&path).unwrap(), data);
            }
            assert_eq!(rebuilt.finish(&mut Operation::new()).unwrap_err().kind(), ErrorKind::State);
            let late = shard(&original, 0, 0);
            assert_eq!(rebuilt.add(&late, &mut Operation::new()).unwrap_err().kind(), ErrorKind::State);
            assert!(rebuilt.is_complete());
        }
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 5, "no temporary is left");
}

#[test]
fn missing_is_merged_and_named() {
    let data = data(3 * TILE_SIZE);
    let original = project(&data);
    let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new()).unwrap();
    assert!(rebuilt.missing().is_empty() && !rebuilt.is_complete());
    assert_eq!(rebuilt.finish(&mut Operation::new()).unwrap_err().kind(), ErrorKind::Incomplete);
    for offset in [8_192, 4_096, TILE_SIZE, TILE_SIZE + 4_096] {
        rebuilt.add(&shard(&original, offset, 4_096), &mut Operation::new()).unwrap();
    }
    let tile = TILE_SIZE as u64;
    let want = [(0, 4_096), (12_288, tile - 12_288), (tile + 8_192, 2 * tile - 8_192)];
    let missing: Vec<_> = rebuilt.missing().iter().map(|r| (r.offset, r.length)).collect();
    assert_eq!(missing, want);
    let error = rebuilt.finish(&mut Operation::new()).unwrap_err();
    assert_eq!((error.kind(), error.offset(), error.length()), (ErrorKind::Incomplete, Some(0), Some(4_096)));
    assert!(error.message().contains("3 regions"), "{error}");
    rebuilt.add(&shard(&original, 0, data.len()), &mut Operation::new()).unwrap();
    assert_eq!(bytes(&rebuilt.finish(&mut Operation::new()).unwrap()), data);
}

#[test]
fn foreign_shards_are_refused_without_harm() {
    let (data, other) = (data(50_000), vec![3; 50_000]);
    let (original, foreign) = (project(&data), project(&other));
    let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new()).unwrap();
    rebuilt.add(&shard(&original, 0, 20_000), &mut Operation::new()).unwrap();
    let before = rebuilt.missing();
    let error = rebuilt.add(&shard(&foreign, 0, 50_000), &mut Operation::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Witness);
    assert_eq!(rebuilt.missing(), before);
    rebuilt.add(&shard(&original, 10_000, 40_000), &mut Operation::new()).unwrap();
    assert_eq!(bytes(&rebuilt.finish(&mut Operation::new()).unwrap()), data);
    let expected = ReconstructionOptions::new().with_root(original.root(&mut Operation::new()).unwrap());
    let strict = AtlasReconstruction::new(&expected).unwrap();
    let error = strict.add(&shard(&foreign, 0, 1), &mut Operation::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Witness);
    let small = ReconstructionOptions::new().with_max_domain_size(49_999);
    let error = AtlasReconstruction::new(&small).unwrap().add(&shard(&original, 0, 1), &mut Operation::new());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Limit);
}

/// One root commits to one list of tiles, so that a conflict needs an invalid proof, which is not checked
/// here.
#[test]
fn other_tiles_under_the_same_root_are_a_conflict_and_change_nothing() {
    let data = data(2 * TILE_SIZE);
    let original = project(&data);
    let all = shard(&original, 0, data.len());
    let honest = all.proof();
    let forged = |change: fn(&mut TileShape)| {
        let mut proof = Proof {
            tiles: honest.tiles.clone(),
            chaining_values: honest.chaining_values.clone(),
            siblings: honest.siblings.clone(),
            ..*honest
        };
        change(&mut proof.tiles[1]);
        let (payload_offset, _) = all.payload();
        let residue = all.info().residue;
        AtlasShard { proof: Arc::new(proof), payload: all.shared_payload(), payload_offset, residue }
    };
    let dir = tempfile::tempdir().unwrap();
    let spooled = ReconstructionOptions::new().with_spool(dir.path().join("out"));
    for options in [ReconstructionOptions::new(), spooled] {
        let rebuilt = AtlasReconstruction::new(&options).unwrap();
        rebuilt.add(&shard(&original, TILE_SIZE, 4_096), &mut Operation::new()).unwrap();
        let missing = rebuilt.missing();
        let changes: [fn(&mut TileShape); 2] =
            [|tile| tile.len -= 1, |tile| tile.residue = tile.residue + Residue::of(&[1])];
        for forged in changes.map(forged) {
            let error = rebuilt.add(&forged, &mut Operation::new()).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Witness | ErrorKind::Format));
            let error = take(&rebuilt, &forged).unwrap_err();
            assert_eq!((error.kind(), error.index()), (ErrorKind::Conflict, Some(1)));
            assert_eq!(rebuilt.missing(), missing);
        }
        rebuilt.add(&all, &mut Operation::new()).unwrap();
        assert_eq!(bytes(&rebuilt.finish(&mut Operation::new()).unwrap()), data);
    }
}

#[test]
fn a_payload_that_is_all_new_is_shared_and_not_copied() {
    let original = project(&data(2 * TILE_SIZE));
    let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new()).unwrap();
    let (all, part) = (shard(&original, TILE_SIZE, TILE_SIZE), shard(&original, 0, TILE_SIZE + 1));
    for shard in [&all, &part] {
        rebuilt.add(shard, &mut Operation::new()).unwrap();
    }
    let projection = rebuilt.finish(&mut Operation::new()).unwrap();
    let state = projection.state();
    let tiles = state.tree.all();
    let slices: Vec<_> = tiles.iter().map(|at| at.tile.slice().unwrap()).collect();
    assert!(std::ptr::eq(slices[1], all.data()));
    assert!(slices[0] == &part.data()[..TILE_SIZE] && slices[0].as_ptr() != part.data().as_ptr());
}

#[test]
fn keyed_shards_need_the_key() {
    let key = [9; 32];
    let options = ProjectionOptions::new().with_key(&key);
    let source = Source::from_vec(data(30_000));
    let original =
        AtlasProjection::create(ProjectionType::Linear, &source, &options, &mut Operation::new()).unwrap();
    let all = shard(&original, 0, 30_000);
    for (options, works) in [
        (ReconstructionOptions::new(), false),
        (ReconstructionOptions::new().with_key(&[8; 32]), false),
        (ReconstructionOptions::new().with_key(&key), true),
    ] {
        let rebuilt = AtlasReconstruction::new(&options).unwrap();
        let added = rebuilt.add(&all, &mut Operation::new());
        if works {
            let projection = rebuilt.finish(&mut Operation::new()).unwrap();
            assert_eq!(
                projection.root(&mut Operation::new()).unwrap(),
                original.root(&mut Operation::new()).unwrap()
            );
            assert!(projection.info().keyed);
        } else {
            assert_eq!(added.unwrap_err().kind(), ErrorKind::Witness);
        }
    }
}

#[test]
fn a_spool_that_was_tampered_with_is_found_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let data = data(100_000);
    let original = project(&data);
    let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new().with_spool(&path)).unwrap();
    rebuilt.add(&shard(&original, 0, 100_000), &mut Operation::new()).unwrap();
    let spool = lock(&rebuilt.turn).spool.as_ref().unwrap().storage().unwrap();
    spool.write_at(50_000, &[!data[50_000]]).unwrap();
    assert_eq!(rebuilt.finish(&mut Operation::new()).unwrap_err().kind(), ErrorKind::Witness);
    assert!(!path.exists());
    spool.write_at(50_000, &data[50_000..50_001]).unwrap();
    rebuilt.finish(&mut Operation::new()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), data);
}
