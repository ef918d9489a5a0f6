//! A call allocates no more than its `memory_limit`, whatever the limit and the number of threads. The only test of its
//! process, whose allocator it is.
#![cfg(all(
    not(feature = "reserve"),
    target_os = "linux",
    feature = "streaming",
    feature = "parity",
    feature = "compression"
))]
#![allow(clippy::cast_possible_truncation, reason = "test data are small numbers")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod counting;

use atlas_manifold::{
    AtlasBoundaryRegion, AtlasParity, AtlasProjection, AtlasReconstruction, AtlasShard, CommitOptions,
    CompressionConfig, Container, ContainerCreateOptions, ContainerMode, ContainerOptions, ErrorKind,
    ExtractOptions, Limits, Operation, PAGE_SIZE, ParityOptions, ParityReport, Pool, ProjectionDelta,
    ProjectionOptions, ProjectionType, ReconstructionOptions, RepairMode, RepairOptions, Result, Source,
    StreamingConfig, VerifyOptions, stream_projection, trim,
};
use counting::most;
use std::path::Path;

/// Bytes of errors, names, small records and lists of workers, which no limit counts.
const SMALL: usize = 48 << 10;

/// Runs `call` with one thread and with three, under limits from the least that it accepts on.
fn check<T>(name: &str, mut call: impl FnMut(&mut Operation<'_>) -> Result<T>) {
    check_after(name, || (), |(), operation| call(operation));
}

/// Runs `call` like [`check`], each time with a value that `prepare` makes without a limit.
fn check_after<S, T>(
    name: &str,
    mut prepare: impl FnMut() -> S,
    mut call: impl FnMut(&S, &mut Operation<'_>) -> Result<T>,
) {
    let pool = Pool::new(3).unwrap();
    let mut run = |threads: usize, limit: usize| {
        let operation = match threads {
            1 => Operation::sequential(),
            _ => Operation::new().with_pool(&pool),
        };
        let prepared = prepare();
        trim();
        let (done, peak) = most(|| call(&prepared, &mut operation.with_memory_limit(limit as u64)));
        // Some calls report damage.
        let is_accepted = done.as_ref().map_or_else(|error| error.kind() != ErrorKind::Limit, |_| true);
        (is_accepted, peak)
    };
    let (mut refused, mut least) = (0, 64 << 20);
    while least - refused > 16_384 {
        let limit = usize::midpoint(refused, least);
        if run(1, limit).0 {
            least = limit;
        } else {
            refused = limit;
        }
    }
    // More memory allows more threads, faster ways, larger batches.
    for (threads, sixths) in
        [1, 3].into_iter().flat_map(|threads| [6, 7, 9, 11, 14, 18, 24].map(|n| (threads, n)))
    {
        let limit = least / 6 * sixths + least % 6;
        let (is_accepted, peak) = run(threads, limit);
        assert!(is_accepted, "{name}, {threads} threads: {limit} bytes refused, {least} accepted");
        assert!(peak <= limit + SMALL, "{name}, {threads} threads: {peak} bytes with a limit of {limit}");
    }
}

fn noise(size: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}

/// Bytes of a domain of four tiles.
const SIZE: usize = 3_300_000;

/// All in one test, because they share the allocator.
#[test]
fn no_call_uses_more_memory_than_its_limit() {
    assert!(most(|| noise(100_000)).1 >= 100_000, "memory is not counted");
    projections();
    long_lists();
    containers();
    parity_files();
}

fn projections() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    std::fs::write(&path, noise(SIZE)).unwrap();
    let file = Source::open_file(&path).unwrap();
    for kind in [ProjectionType::Linear, ProjectionType::R96Fourier] {
        let mut options = ProjectionOptions::new();
        if kind == ProjectionType::R96Fourier {
            options = options.with_data_classes(64);
        }
        let name = |what: &str| format!("{kind:?} {what}");
        check(&name("create"), |operation| AtlasProjection::create(kind, &file, &options, operation));
        check(&name("stream"), |operation| {
            stream_projection(&file, kind, &options, StreamingConfig::new(1 << 20, 2)?, operation)
        });
        let whole = AtlasProjection::create(kind, &file, &options, &mut Operation::new()).unwrap();
        check(&name("verify"), |operation| whole.verify(operation));
        let written = dir.path().join("written");
        check(&name("write_file"), |operation| whole.write_file(&written, operation));
        check(&name("root of edits"), |operation| {
            let edited = whole.snapshot();
            edited.apply_incremental_update(ProjectionDelta::insert(2_000_000, vec![1; 5]))?;
            edited.apply_incremental_update(ProjectionDelta::delete(100, 1_200_000))?;
            edited.root(operation)
        });
        check(&name("optimize"), |operation| {
            let edited = whole.snapshot();
            edited.apply_incremental_update(ProjectionDelta::insert(2_000_000, vec![1; 5]))?;
            edited.apply_incremental_update(ProjectionDelta::delete(100, 1_200_000))?;
            edited.optimize(operation)
        });
        let regions = [
            AtlasBoundaryRegion::new(5, 3_000_000),
            AtlasBoundaryRegion::new(2_000_000, SIZE as u64 - 2_000_000),
        ];
        check(&name("extract"), |operation| whole.extract_shard(&regions[1], operation));
        check(&name("find_damage"), |operation| whole.find_damage(None, &mut |_| true, operation));
        let shards =
            whole.extract_shards(&regions, &ExtractOptions::default(), &mut Operation::new()).unwrap();
        check(&name("verify shard"), |operation| shards[1].verify(&VerifyOptions::new(), operation));
        let bytes = shards[1].serialize().unwrap();
        check(&name("deserialize"), |operation| {
            AtlasShard::deserialize(&bytes, &Limits::default(), &VerifyOptions::new(), operation)
        });
        if kind == ProjectionType::R96Fourier {
            let classes: Vec<u8> = (0..70).collect();
            let shards = whole.extract_classes(None, &classes, &mut Operation::new()).unwrap();
            // The other classes wait in a file, from which each worker reads those of its tile.
            let most = || {
                let options = ReconstructionOptions::new().with_spool(dir.path().join("rebuilt"));
                let parts = AtlasReconstruction::new(&options).unwrap();
                shards[..63].iter().for_each(|shard| parts.add(shard, &mut Operation::new()).unwrap());
                parts
            };
            // The 64th class completes all tiles.
            check_after(&name("add the last class"), most, |parts, operation| {
                parts.add(&shards[63], operation)
            });
        }
        let options = ReconstructionOptions::new();
        check(&name("add"), |operation| {
            let parts = AtlasReconstruction::new(&options)?;
            parts.add(&shards[1], operation)?;
            Ok(parts)
        });
        let parts = AtlasReconstruction::new(&options).unwrap();
        shards.iter().for_each(|shard| parts.add(shard, &mut Operation::new()).unwrap());
        check(&name("finish"), |operation| parts.finish(operation));
    }
}

/// Domains of many tiles, which are holes of a file, and calls with many regions or gaps: their lists are larger than what
/// no limit counts.
fn long_lists() {
    const TILES: u64 = 3_000;
    let dir = tempfile::tempdir().unwrap();
    let (path, written) = (dir.path().join("holes"), dir.path().join("written"));
    std::fs::File::create(&path).unwrap().set_len(TILES << 20).unwrap();
    let file = Source::open_file(&path).unwrap();
    let whole = AtlasProjection::linear(&file).unwrap();
    let late = || {
        let edited = whole.snapshot();
        edited.apply_incremental_update(ProjectionDelta::insert((TILES - 2) << 20, vec![1; 5])).unwrap();
        edited
    };
    check_after("root of many tiles", late, |edited, operation| edited.root(operation));
    check_after("verify of many tiles", late, |edited, operation| edited.verify(operation));
    check_after("write_file of many tiles", late, |edited, operation| edited.write_file(&written, operation));
    // An edit that moves no tile changes the digests in place, which takes no memory.
    for call in [AtlasProjection::verify, |edited: &AtlasProjection, operation: &mut Operation<'_>| {
        edited.root(operation).map(drop)
    }] {
        let edited = AtlasProjection::linear(&file).unwrap();
        edited.apply_incremental_update(ProjectionDelta::update(5, 6, vec![1])).unwrap();
        call(&edited, &mut Operation::sequential().with_memory_limit(1_300_000)).unwrap();
    }
    let region = AtlasBoundaryRegion::new(5, 3 << 20);
    check_after("extract of many tiles", late, |edited, operation| edited.extract_shard(&region, operation));
    check_after("optimize of many tiles", late, |edited, operation| edited.optimize(operation));
    check_after("optimize of nothing", || whole.snapshot(), |same, operation| same.optimize(operation));

    // The root of a generation with tiles of other lengths is proved by digests of all tiles.
    let path = dir.path().join("many.atlas");
    // Nodes in the cache of a container count as the container's.
    let handle = ContainerOptions { cache_size: 1, ..ContainerOptions::default() };
    let create = ContainerCreateOptions { handle, ..ContainerCreateOptions::default() };
    let options = ProjectionOptions::new();
    let container =
        Container::create(&path, ProjectionType::Linear, &options, &create, &mut Operation::new()).unwrap();
    container.commit(&late(), &CommitOptions::default(), &mut Operation::new()).unwrap();
    let snapshot = || container.snapshot(0, true, &mut Operation::new()).unwrap();
    check_after("find_damage of many tiles", snapshot, |snapshot, operation| {
        snapshot.find_damage(None, &mut |_| true, operation)
    });

    // Every second page of a domain is there.
    const PAGE: u64 = PAGE_SIZE as u64;
    let (pages, size) = (1_000, 2_000 * PAGE);
    let memory = AtlasProjection::linear(&Source::from_vec(noise(size as usize))).unwrap();
    let regions: Vec<_> = (0..pages).map(|page| AtlasBoundaryRegion::new(2 * page * PAGE, PAGE)).collect();
    check("find_damage of many regions", |operation| {
        memory.find_damage(Some(&regions), &mut |_| true, operation)
    });
    let options = ExtractOptions::default();
    let shards = memory.extract_shards(&regions, &options, &mut Operation::new()).unwrap();
    let rest = memory.extract_shard(&AtlasBoundaryRegion::new(0, size), &mut Operation::new()).unwrap();
    for spool in [false, true] {
        let path = dir.path().join("rebuilt");
        let half = || {
            let options = ReconstructionOptions::new();
            let options = if spool { options.with_spool(&path) } else { options };
            let parts = AtlasReconstruction::new(&options).unwrap();
            shards.iter().for_each(|shard| parts.add(shard, &mut Operation::new()).unwrap());
            parts
        };
        let name = |what: &str| format!("{what} of many gaps{}", if spool { " in a file" } else { "" });
        check_after(&name("add"), half, |parts, operation| parts.add(&rest, operation));
        let all = || {
            let parts = half();
            parts.add(&rest, &mut Operation::new()).unwrap();
            parts
        };
        check_after(&name("finish"), all, |parts, operation| parts.finish(operation));
    }
}

/// Bytes that are half noise and half numbers, in pieces of 100,000 bytes.
fn half_noise(size: usize) -> Vec<u8> {
    let mut bytes = noise(size);
    for piece in bytes.chunks_mut(100_000).step_by(2) {
        for (at, byte) in piece.iter_mut().enumerate() {
            *byte = at as u8 / 7;
        }
    }
    bytes
}

fn containers() {
    for (kind, compression) in [
        (ProjectionType::Linear, None),
        (ProjectionType::Linear, Some(CompressionConfig::default())),
        (ProjectionType::R96Fourier, None),
    ] {
        container(kind, compression);
    }
}

fn container(kind: ProjectionType, compression: Option<CompressionConfig>) {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("a.atlas"), dir.path().join("b.atlas"));
    let name =
        |what: &str| format!("{kind:?} {}{what}", if compression.is_some() { "compressed " } else { "" });
    let data = dir.path().join("data");
    let bytes = half_noise(SIZE);
    std::fs::write(&data, &bytes).unwrap();
    let (file, memory) = (Source::open_file(&data).unwrap(), Source::from_vec(bytes));
    let mut options = ProjectionOptions::new();
    if kind == ProjectionType::R96Fourier {
        options = options.with_data_classes(64);
    }
    let handle = ContainerOptions { compression, ..ContainerOptions::default() };
    let create = ContainerCreateOptions { handle: handle.clone(), ..ContainerCreateOptions::default() };
    let commit = CommitOptions::default();
    for (source, what) in [(&file, "import of a file"), (&memory, "import of memory")] {
        check(&name(what), |operation| {
            remove(&path);
            let container = Container::create(&path, kind, &options, &create, operation)?;
            container.import(source, &commit, operation)
        });
    }
    let edited = AtlasProjection::create(kind, &file, &options, &mut Operation::new()).unwrap();
    edited.apply_incremental_update(ProjectionDelta::insert(2_000_000, vec![1; 5])).unwrap();
    check(&name("commit"), |operation| {
        remove(&path);
        let container = Container::create(&path, kind, &options, &create, operation)?;
        container.commit(&edited, &commit, operation)
    });
    check(&name("small commit"), |operation| {
        remove(&path);
        let container = Container::create(&path, kind, &options, &create, operation)?;
        let small = AtlasProjection::create(kind, &file.range(0, 700_000)?, &options, operation)?;
        container.commit(&small, &commit, operation)
    });
    remove(&path);
    let container = Container::create(&path, kind, &options, &create, &mut Operation::new()).unwrap();
    container.import(&memory, &commit, &mut Operation::new()).unwrap();
    container.commit(&edited, &commit, &mut Operation::new()).unwrap();
    check(&name("open"), |operation| {
        Container::open(&path, ContainerMode::Read, &VerifyOptions::new(), &handle, operation)
    });
    check(&name("find_damage"), |operation| container.find_damage(0, &mut |_| true, operation));
    check(&name("compact_to"), |operation| {
        remove(&other);
        container.compact_to(&other, 0, operation)
    });
    check(&name("verify of a snapshot"), |operation| {
        container.snapshot(0, true, operation)?.verify(operation)
    });
    check(&name("find_damage of a snapshot"), |operation| {
        container.snapshot(0, true, operation)?.find_damage(None, &mut |_| true, operation)
    });
    check(&name("edit of a snapshot"), |operation| {
        let edited = container.snapshot(0, true, operation)?;
        edited.apply_incremental_update(ProjectionDelta::insert(1_500_000, vec![1; 5]))?;
        edited.root(operation)
    });
    check(&name("shard of a snapshot"), |operation| {
        container
            .snapshot(0, true, operation)?
            .extract_shard(&AtlasBoundaryRegion::new(1_000_000, 2_000_000), operation)
    });
    check(&name("diff"), |operation| {
        container.snapshot(1, true, operation)?.diff(&container.snapshot(2, true, operation)?, operation)
    });
    check(&name("merge"), |operation| {
        remove(&other);
        Container::merge(&[&container], &other, &create, &commit, operation)
    });
    // An outline.
    let base = ContainerOptions { base: Some(file.clone()), ..handle.clone() };
    let create =
        ContainerCreateOptions { handle: base, keep_chains: kind == ProjectionType::Linear, ..create };
    check(&name("outline"), |operation| {
        remove(&path);
        let container = Container::create(&path, kind, &options, &create, operation)?;
        container.import(&file, &commit, operation)
    });
    remove(&path);
    let container = Container::create(&path, kind, &options, &create, &mut Operation::new()).unwrap();
    container.import(&file, &commit, &mut Operation::new()).unwrap();
    check(&name("outline import_regions"), |operation| {
        container.import_regions(&file, &[AtlasBoundaryRegion::new(5, 1_500_000)], &commit, operation)
    });
    let snapshot = container.snapshot(0, true, &mut Operation::new()).unwrap();
    check(&name("outline find_damage"), |operation| snapshot.find_damage(None, &mut |_| true, operation));
    let damaged = dir.path().join("damaged");
    let mut wrong = std::fs::read(&data).unwrap();
    wrong[1_500_000] ^= 1;
    check(&name("outline repair_file"), |operation| {
        std::fs::write(&damaged, &wrong).unwrap();
        snapshot.repair_file(&damaged, None, &mut |_| true, operation)
    });
}

fn parity_files() {
    let dir = tempfile::tempdir().unwrap();
    let name = |name: &str| dir.path().join(name);
    let (data, out, out2) = (name("data"), name("out"), name("kept"));
    let bytes = noise(SIZE);
    for options in [
        ParityOptions::new(),
        ParityOptions::new().with_unit_size(4_096).with_parity_columns(40),
        ParityOptions::new().with_unit_size(1 << 18).with_parity_columns(3),
        ParityOptions::new().with_unit_size(1 << 16).with_rows(2).with_redundancy(300),
    ] {
        std::fs::write(&data, &bytes).unwrap();
        let source = Source::open_file(&data).unwrap();
        check("create", |operation| {
            remove(&out);
            AtlasParity::create(&source, &out, &options, operation)
        });
        let path = name("parity");
        remove(&path);
        AtlasParity::create(&source, &path, &options, &mut Operation::new()).unwrap();
        let parity = AtlasParity::open(&path, &VerifyOptions::new(), &mut Operation::new()).unwrap();
        let mut report = ParityReport::default();
        check("check", |operation| parity.check(&source, None, &mut report, operation));
        // One unit that was changed, and bytes behind the end.
        let mut grown = bytes.clone();
        grown[1_000_000] ^= 1;
        grown.extend_from_slice(&bytes[..900_000]);
        let grown = Source::from_vec(grown);
        check("update", |operation| {
            remove(&out);
            parity.update(&grown, &[AtlasBoundaryRegion::new(1_000_000, 1)], &out, &options, operation)
        });
        let mut grown = bytes.clone();
        grown.extend_from_slice(&bytes[..900_000]);
        let grown = Source::from_vec(grown);
        check("update of what has grown", |operation| {
            remove(&out);
            parity.update(&grown, &[], &out, &options, operation)
        });
        let info = parity.info();
        let mut damaged = bytes.clone();
        for unit in 0..u64::from(info.parity_columns) {
            let at = (unit * info.rows * u64::from(info.unit_size)) as usize;
            if at < damaged.len() {
                damaged[at] ^= 1;
            }
        }
        std::fs::write(&data, &damaged).unwrap();
        check("repair", |operation| {
            remove(&out2);
            parity.repair(
                &data,
                &RepairOptions::new(RepairMode::NewFile(out2.clone())),
                None,
                &mut report,
                operation,
            )
        });
        check("repair in place", |operation| {
            std::fs::write(&data, &damaged).unwrap();
            parity.repair(
                &data,
                &RepairOptions::new(RepairMode::InPlace),
                Some(&mut |_| true),
                &mut report,
                operation,
            )
        });
        std::fs::write(&data, &bytes).unwrap();
        // Every other parity unit of the first row.
        let mut broken = std::fs::read(&path).unwrap();
        for at in (0..broken.len()).step_by(info.unit_size as usize * 2).skip(1) {
            broken[at + 9] ^= 1;
        }
        let path = name("broken");
        std::fs::write(&path, &broken).unwrap();
        let parity = AtlasParity::open(&path, &VerifyOptions::new(), &mut Operation::new()).unwrap();
        check("restore", |operation| {
            remove(&out);
            parity.restore(&source, &out, operation)
        });
    }
}
