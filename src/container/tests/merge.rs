//! Merges of parts compared with an import of the whole source, with sources that count reads.

use super::device::Random;
use super::import::{Model, created, regions, same_files};
use super::*;
use crate::ErrorKind;
use crate::base::units::{TILE_BYTES, TILE_SIZE};
use crate::hash::tile_tree::{Leaf, RootFolder};
use crate::incremental::ProjectionDelta;
use crate::shard::VerifyOptions;
use crate::tile::options::ProjectionOptions;
use crate::tile::stored::{Span, SpanKind};
use std::path::Path;

fn create_options(keep_chains: bool) -> ContainerCreateOptions {
    ContainerCreateOptions {
        block_log2: Some(12),
        id: Some([7; 16]),
        keep_chains,
        ..ContainerCreateOptions::default()
    }
}

fn described() -> CommitOptions {
    CommitOptions { expected: 0, time: 77, note: b"whole".to_vec() }
}

/// Imports `parts` as outlines, merges them, and compares with one outline of all of `source`.
fn outlines_are_equal(source: &Source, cuts: &[u64], keep_chains: bool, model: &Model) {
    let dir = tempfile::tempdir().unwrap();
    let whole = created(dir.path(), "whole", keep_chains);
    whole.set_base(Some(source)).unwrap();
    whole.import(source, &described(), &mut Operation::new()).unwrap();
    let mut parts = Vec::new();
    for (index, cut) in cuts.windows(2).enumerate() {
        let part = created(dir.path(), &format!("part{index}"), keep_chains);
        let range = source.range(cut[0], cut[1] - cut[0]).unwrap();
        part.set_base(Some(&range)).unwrap();
        part.import(&range, &CommitOptions::default(), &mut Operation::new()).unwrap();
        part.set_base(None).unwrap();
        parts.push(part);
    }
    model.forget();
    let parts: Vec<&Container> = parts.iter().collect();
    let path = dir.path().join("merged");
    let mut create = create_options(keep_chains);
    create.handle.base = Some(source.clone());
    let merged = Container::merge(&parts, &path, &create, &described(), &mut Operation::new()).unwrap();
    assert_eq!(model.read(), [0_u64; 0], "a merge of outlines reads no payload");
    same_files(dir.path(), "whole", "merged");
    // The parts' bases, one after the other, are the base of all.
    let bases: Vec<Source> =
        cuts.windows(2).map(|cut| source.range(cut[0], cut[1] - cut[0]).unwrap()).collect();
    let base = Source::concat(&bases).unwrap();
    merged.set_base(Some(&base)).unwrap();
    let snapshot = merged.snapshot(0, false, &mut Operation::new()).unwrap();
    snapshot.verify(&mut Operation::new()).unwrap();
    // The handle can write, and accepts further commits.
    assert_eq!(merged.commit(&snapshot, &CommitOptions::default(), &mut Operation::new()).unwrap(), 2);
}

#[test]
fn outlines_of_parts_make_the_outline_of_all_byte_for_byte() {
    const M: u64 = TILE_BYTES;
    let mut random = Random(5);
    for size in [0, 5, M, 70 * M + 9] {
        let model = Model::new(size.div_ceil(M));
        let source = model.source(size);
        for keep_chains in [false, true] {
            for parts in [1, 2, 7, 33] {
                let mut cuts: Vec<u64> =
                    (1..parts).map(|_| M * random.below(size / M + 1)).chain([0, size]).collect();
                cuts.sort_unstable();
                outlines_are_equal(&source, &cuts, keep_chains, &model);
            }
        }
    }
    // The outline is larger than a small batch.
    let model = Model::new(700);
    outlines_are_equal(&model.source(700 * M), &[0, 300 * M, 301 * M, 301 * M, 700 * M], true, &model);
}

#[test]
fn payload_is_copied_and_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let (path, options) = (dir.path().join("merged"), CommitOptions::default());
    let mut random = Random(8);
    let mut bytes = random.bytes(3 * TILE_SIZE);
    bytes[TILE_SIZE..2 * TILE_SIZE].fill(0);
    let rest: Vec<u8> = (0..2 * TILE_SIZE + 7_000).map(|at| (at / 9) as u8).collect();
    let all = [&bytes[..], &rest].concat();
    let import = |name: &str, bytes: &[u8], compression| {
        let mut create = create_options(false);
        create.handle.compression = compression;
        let (kind, projection) = (ProjectionType::Linear, ProjectionOptions::new());
        let path = dir.path().join(name);
        let made = Container::create(path, kind, &projection, &create, &mut Operation::new()).unwrap();
        made.import(&Source::from_vec(bytes.to_vec()), &described(), &mut Operation::new()).unwrap();
        made
    };
    // Without compression, the merged file equals the file of one import.
    import("whole", &all, None);
    let (one, two) = (import("one", &bytes, None), import("two", &rest, None));
    let merge = |parts: &[&Container]| {
        Container::merge(parts, &path, &create_options(false), &described(), &mut Operation::new()).unwrap()
    };
    drop(merge(&[&one, &two]));
    same_files(dir.path(), "whole", "merged");
    // Encoded payload is decoded; a last part may have any tiles, and spans of all kinds.
    let config = cfg!(feature = "compression").then(CompressionConfig::default);
    let three = import("three", &rest, config);
    three.set_base(Some(&Source::from_vec(all.clone()))).unwrap();
    let edited = three.snapshot(0, false, &mut Operation::new()).unwrap();
    let new = random.bytes(9_000);
    edited.apply_incremental_update(ProjectionDelta::insert(50_000, new.clone())).unwrap();
    edited.apply_incremental_update(ProjectionDelta::delete(TILE_BYTES, TILE_BYTES + 70_000)).unwrap();
    edited.insert_source(100_000, &Source::from_vec(all.clone()), &mut Operation::new()).unwrap();
    three.commit(&edited, &options, &mut Operation::new()).unwrap();
    let last = bytes_of(&three.snapshot(0, true, &mut Operation::new()).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    let merged = merge(&[&one, &three]);
    let found = merged.snapshot(0, true, &mut Operation::new()).unwrap();
    assert!(bytes_of(&found).unwrap() == [&bytes[..], &last].concat());
    assert_eq!(found.root(&mut Operation::new()).unwrap(), merged.generation(0).unwrap().root);
    merged.find_damage(0, &mut |_| true, &mut Operation::new()).unwrap();
    drop(merged);
    let opened = Container::open(
        &path,
        ContainerMode::Read,
        &VerifyOptions::new(),
        &ContainerOptions::default(),
        &mut Operation::new(),
    )
    .unwrap();
    opened.find_damage(0, &mut |_| true, &mut Operation::new()).unwrap();
}

#[test]
fn spans_in_the_base_and_in_the_file_move_apart() {
    let dir = tempfile::tempdir().unwrap();
    let base = Source::from_vec(Random(2).bytes(2 * TILE_SIZE + 30_000));
    let first = created(dir.path(), "first", true);
    let range = base.range(0, TILE_BYTES).unwrap();
    first.set_base(Some(&range)).unwrap();
    first.import(&range, &CommitOptions::default(), &mut Operation::new()).unwrap();
    let second = created(dir.path(), "second", true);
    let range = base.range(TILE_BYTES, TILE_BYTES + 30_000).unwrap();
    second.set_base(Some(&range)).unwrap();
    second.import(&range, &CommitOptions::default(), &mut Operation::new()).unwrap();
    let edited = second.snapshot(0, false, &mut Operation::new()).unwrap();
    for at in [5, 400_000, TILE_BYTES + 20_000] {
        let new = Random(at).bytes(10_000);
        edited.apply_incremental_update(ProjectionDelta::update(at, at + 10_000, new)).unwrap();
    }
    second.commit(&edited, &CommitOptions::default(), &mut Operation::new()).unwrap();
    let want = [
        bytes_of(&first.snapshot(0, true, &mut Operation::new()).unwrap()).unwrap(),
        bytes_of(&second.snapshot(0, true, &mut Operation::new()).unwrap()).unwrap(),
    ]
    .concat();
    let mut create = create_options(false);
    create.handle.base = Some(base.clone());
    let path = dir.path().join("merged");
    let merged =
        Container::merge(&[&first, &second], &path, &create, &described(), &mut Operation::new()).unwrap();
    let info = merged.info().unwrap();
    assert!(info.keeps_chains && info.base_size == base.size() && info.file_size < 65_536, "{info:?}");
    let found = merged.snapshot(0, true, &mut Operation::new()).unwrap();
    assert!(bytes_of(&found).unwrap() == want);
    merged.find_damage(0, &mut |_| true, &mut Operation::new()).unwrap();
}

#[test]
fn parts_that_do_not_fit_are_refused_and_leave_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("merged");
    let mut number = 0;
    let mut part = |len: usize, kind, options: ProjectionOptions, keep_chains| {
        number += 1;
        let path = dir.path().join(format!("part{number}"));
        let create = create_options(keep_chains);
        let made = Container::create(path, kind, &options, &create, &mut Operation::new()).unwrap();
        made.import(&Source::from_vec(vec![96; len]), &CommitOptions::default(), &mut Operation::new())
            .unwrap();
        made
    };
    let (linear, r96) = (ProjectionType::Linear, ProjectionType::R96Fourier);
    let plain = part(TILE_SIZE, linear, ProjectionOptions::new(), false);
    let others = [
        part(TILE_SIZE, r96, ProjectionOptions::new(), false),
        part(TILE_SIZE, linear, ProjectionOptions::new().with_key(&[1; 32]), false),
        part(
            TILE_SIZE,
            linear,
            ProjectionOptions::new().with_conservation(ConservationPolicy::Strict),
            false,
        ),
        part(TILE_SIZE, linear, ProjectionOptions::new(), true),
        part(TILE_SIZE - 1, linear, ProjectionOptions::new(), false),
    ];
    let edited = part(TILE_SIZE, linear, ProjectionOptions::new(), false);
    let snapshot = edited.snapshot(0, false, &mut Operation::new()).unwrap();
    snapshot.insert_source(5, &Source::from_vec(vec![1; TILE_SIZE]), &mut Operation::new()).unwrap();
    edited.commit(&snapshot, &CommitOptions::default(), &mut Operation::new()).unwrap();
    let merge = |parts: &[&Container], create: &ContainerCreateOptions, options: &CommitOptions| {
        let merged = Container::merge(parts, &path, create, options, &mut Operation::new());
        assert_eq!(path.exists(), merged.is_ok());
        merged
    };
    let (create, options) = (create_options(false), CommitOptions::default());
    for other in &others {
        let error = merge(&[&plain, other, &plain], &create, &options).unwrap_err();
        assert_eq!((error.kind(), error.index()), (ErrorKind::InvalidArgument, Some(1)), "{error}");
    }
    let k = part(TILE_SIZE, r96, ProjectionOptions::new().with_data_classes(64), false);
    let error = merge(&[&others[0], &others[0], &k], &create, &options).unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::InvalidArgument, Some(2)), "{error}");
    let key = part(TILE_SIZE, linear, ProjectionOptions::new().with_key(&[2; 32]), false);
    let error = merge(&[&others[1], &key], &create, &options).unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::InvalidArgument, Some(1)), "{error}");
    let error = merge(&[&edited, &plain], &create, &options).unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::InvalidArgument, Some(0)), "{error}");
    assert_eq!(merge(&[], &create, &options).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(
        merge(&[&plain], &create_options(true), &options).unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
    let mut wrong = create_options(false);
    wrong.handle.base = Some(Source::from_vec(vec![0; 5]));
    assert_eq!(merge(&[&plain], &wrong, &options).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let expected = CommitOptions { expected: 1, ..CommitOptions::default() };
    assert_eq!(merge(&[&plain], &create, &expected).unwrap_err().kind(), ErrorKind::Conflict);
    let note = CommitOptions { note: vec![0; 1_025], ..CommitOptions::default() };
    assert_eq!(merge(&[&plain], &create, &note).unwrap_err().kind(), ErrorKind::InvalidArgument);
    // A damaged record of a part fails the merge, whatever follows.
    let at = dir.path().join("part7");
    let mut bytes = std::fs::read(&at).unwrap();
    let leaf = (0..bytes.len()).step_by(8).rfind(|at| &bytes[*at..*at + 4] == b"ATLL").unwrap();
    bytes[leaf + 60] ^= 1;
    std::fs::write(&at, &bytes).unwrap();
    let error = merge(&[&plain, &edited], &create, &options).unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(1)), "{error}");
    // Cancelled in the middle of a large batch.
    let mut calls = 0;
    let mut stop = |_: &crate::Progress| {
        calls += 1;
        calls < 3
    };
    let operation = &mut Operation::new().with_progress(&mut stop);
    let error =
        Container::merge(&[&plain, &plain, &plain, &plain], &path, &create, &options, operation).unwrap_err();
    assert_eq!((error.kind(), path.exists(), calls), (ErrorKind::Cancelled, false, 3));
    // An existing file is not touched.
    std::fs::write(&path, b"mine").unwrap();
    let error = Container::merge(&[&plain], &path, &create, &options, &mut Operation::new()).unwrap_err();
    assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, libc::EEXIST));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    std::fs::remove_file(&path).unwrap();
    let merged = merge(&[&plain, &plain], &create, &options).unwrap();
    assert_eq!(merged.generation(0).unwrap().domain_size, 2 * TILE_BYTES);
    let second = Container::open(
        &path,
        ContainerMode::Write,
        &VerifyOptions::new(),
        &ContainerOptions::default(),
        &mut Operation::new(),
    );
    assert_eq!(second.unwrap_err().kind(), ErrorKind::State, "the handle has the lock");
}

/// An outline of tiles whose witnesses are invented.
pub(super) fn invented(folder: &Path, name: &str, tiles: u64, seed: u64) -> Container {
    let made = created(folder, name, false);
    let log = made.log();
    let (file, mut located) = (Arc::clone(&log.file), log.located.clone());
    let (digests, none) = (made.context.scheme.digests(), Tree::default());
    let mut folder = RootFolder::new(digests);
    let mut random = Random(seed);
    let witnesses: Vec<Digest> = (0..tiles).map(|_| random.bytes(32).try_into().unwrap()).collect();
    let (residue, len) = (Residue::ZERO, TILE_SIZE as u32);
    witnesses.iter().for_each(|witness| folder.push(&Leaf { len, residue, witness: *witness }));
    let root = folder.finish(made.context.scheme.root_kind());
    let (body, filled) = batch::lay_out(&file, &located, 0, |body, _| {
        let mut filler = filler::Filler::new(&none, body);
        for (index, witness) in (0..).zip(&witnesses) {
            let span = Span { kind: SpanKind::Base, place: index * TILE_BYTES, start: 0, len };
            let place = body::Placed::Now(vec![span], Vec::new());
            filler.push(digests, body::PlacedTile { len, residue, witness: *witness, place })?;
        }
        filler.finish(digests, made.context.scheme.root_kind())
    })
    .unwrap();
    assert_eq!(filled.root, root, "the top of a tree that is filled leads to its root");
    let base_size = tiles * TILE_BYTES;
    let new = NewCommit { time: 0, note: Vec::new(), base_size, root: filled.root, top: filled.top };
    batch::commit(&file, &mut located, body, new, None).map_err(|unwritten| unwritten.error).unwrap();
    lock(&made.log).located = located;
    made
}

#[test]
fn outlines_of_many_tiles_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let count = 4_u64;
    let parts: Vec<Container> =
        (0..count).map(|part| invented(dir.path(), &format!("part{part}"), 16 << 10, part)).collect();
    let parts: Vec<&Container> = parts.iter().collect();
    let path = dir.path().join("merged");
    let merged =
        Container::merge(&parts, &path, &create_options(false), &described(), &mut Operation::new()).unwrap();
    let info = merged.generation(0).unwrap();
    assert_eq!((info.domain_size, merged.info().unwrap().base_size), (count << 34, count << 34));
    // Regions can be imported into the merged container as into any other.
    let model = Model::new(1);
    let source = model.source(count << 34);
    merged.set_base(Some(&source)).unwrap();
    let first = regions(&[(7, 1)]);
    merged.import_regions(&source, &first, &CommitOptions::default(), &mut Operation::new()).unwrap();
    assert_eq!(model.read(), [0]);
}
