//! Sums, digests, tree operations, the transform and the filters, on one thread.
//!
//! `transform` and `filter_*` are the bare loops, `tile_r96` and `compression` the whole work on a tile or block.

use atlas_manifold::{
    AtlasBoundaryRegion, AtlasProjection, AtlasShard, CompressionAlgorithm, CompressionConfig, Operation,
    ProjectionDelta, ProjectionOptions, ProjectionType, Residue, Source, TILE_SIZE, TransformParams,
    digest256,
};
use atlas_micro::Transform;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// SplitMix64.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 7u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bytes.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn projection(bytes: Vec<u8>) -> AtlasProjection {
    let (source, options) = (Source::from_vec(bytes), ProjectionOptions::new());
    AtlasProjection::create(ProjectionType::Linear, &source, &options, &mut Operation::sequential())
        .expect("a projection of memory")
}

fn shard(bytes: Vec<u8>) -> AtlasShard {
    let region = AtlasBoundaryRegion::new(0, bytes.len() as u64);
    projection(bytes).extract_shard(&region, &mut Operation::sequential()).expect("a shard of it")
}

#[divan::bench(args = [256, 4_096, 65_536, TILE_SIZE])]
fn sum(bencher: Bencher, len: usize) {
    let bytes = noise(len);
    bencher.counter(BytesCount::new(len)).bench(|| Residue::of(black_box(&bytes)));
}

#[divan::bench(args = [256, 4_096, 65_536])]
fn sum_of_change(bencher: Bencher, len: usize) {
    let (before, after) = (noise(len), noise(len + 1)[1..].to_vec());
    bencher.counter(BytesCount::new(len)).bench(|| Residue::delta(black_box(&before), black_box(&after)));
}

#[divan::bench(args = [4_096, 65_536, TILE_SIZE])]
fn digest(bencher: Bencher, len: usize) {
    let bytes = noise(len);
    bencher.counter(BytesCount::new(len)).bench(|| digest256(black_box(&bytes)));
}

/// Sum, digest, groups and root of one tile.
#[divan::bench(args = [4_096, 65_536, TILE_SIZE])]
fn tile(bencher: Bencher, len: usize) {
    let source = Source::from_vec(noise(len));
    let options = ProjectionOptions::new();
    bencher.counter(BytesCount::new(len)).bench(|| {
        AtlasProjection::create(ProjectionType::Linear, &source, &options, &mut Operation::sequential())
    });
}

/// The exact transform alone: the whole blocks of a tile.
#[divan::bench(args = [64, 96])]
fn transform(bencher: Bencher, data_classes: usize) {
    let transform = Transform::new(data_classes, TILE_SIZE);
    let (bytes, mut spectrum) = (noise(transform.len()), vec![0; transform.spectrum_len()]);
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| transform.run(black_box(&bytes), black_box(&mut spectrum)));
}

/// The byte planes of a block of the default size, alone.
#[divan::bench(args = [2, 4, 8, 16])]
fn filter_split(bencher: Bencher, stride: usize) {
    let (bytes, mut planes) = (noise(128 * 1024), vec![0; 128 * 1024]);
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| atlas_micro::split(stride, black_box(&bytes), black_box(&mut planes)));
}

/// The block again.
#[divan::bench(args = [2, 4, 8, 16])]
fn filter_merge(bencher: Bencher, stride: usize) {
    let (planes, mut bytes) = (noise(128 * 1024), vec![0; 128 * 1024]);
    bencher
        .counter(BytesCount::new(planes.len()))
        .bench_local(|| atlas_micro::merge(stride, black_box(&planes), black_box(&mut bytes)));
}

/// Choice of the filter that a block could have, before any is tried.
#[divan::bench]
fn filter_candidate(bencher: Bencher) {
    let bytes = numbers();
    bencher.bench(|| atlas_micro::has_candidate(black_box(&bytes)));
}

/// The exact transform of one tile, and the digests of its 96 classes.
#[divan::bench(args = [64, 96])]
fn tile_r96(bencher: Bencher, data_classes: u8) {
    let source = Source::from_vec(noise(TILE_SIZE));
    let options = ProjectionOptions::new().with_data_classes(data_classes);
    bencher.counter(BytesCount::new(TILE_SIZE)).bench(|| {
        AtlasProjection::create(ProjectionType::R96Fourier, &source, &options, &mut Operation::sequential())
    });
}

/// Insert and undo 4 KiB in the middle of a number of tiles.
#[divan::bench(args = [1, 64, 256])]
fn tree_insert_and_rollback(bencher: Bencher, tiles: usize) {
    let len = tiles * TILE_SIZE;
    let (projection, change) = (projection(noise(len)), noise(4_096));
    bencher.with_inputs(|| ProjectionDelta::insert(len as u64 / 2 + 100, change.clone())).bench_values(
        |delta| {
            projection
                .apply_incremental_update(delta)
                .and_then(|()| projection.rollback(1))
                .expect("an insert")
        },
    );
}

/// Replace 4 KiB, and the new root.
#[divan::bench(args = [1, 64, 256])]
fn tree_update_and_root(bencher: Bencher, tiles: usize) {
    let len = tiles * TILE_SIZE;
    let projection = projection(noise(len));
    let mut turn = 0u8;
    bencher
        .with_inputs(|| {
            turn = turn.wrapping_add(1);
            ProjectionDelta::update(8_192, 12_288, vec![turn; 4_096])
        })
        .bench_local_values(|delta| {
            projection.apply_incremental_update(delta).expect("an update");
            projection.root(&mut Operation::sequential()).expect("a root")
        });
}

#[divan::bench(args = [4_096, 65_536])]
fn tree_read(bencher: Bencher, len: usize) {
    let projection = projection(noise(64 * TILE_SIZE));
    let mut buffer = vec![0; len];
    let offset = 31 * TILE_SIZE as u64 - 1_000;
    bencher.counter(BytesCount::new(len)).bench_local(|| projection.read(offset, black_box(&mut buffer)));
}

/// One map of the plane, and the bounds of a tile.
#[divan::bench]
fn plane(bencher: Bencher) {
    let projection = projection(noise(4_096));
    let params =
        TransformParams { scaling_factor: 1.0, rotation_angle: 0.1, translation_x: 0.0, translation_y: 0.0 };
    bencher.bench(|| projection.transform(black_box(&params)).and_then(|()| projection.tile_bounds(0)));
}

/// A block of floating-point numbers.
fn numbers() -> Vec<u8> {
    let number = |i: u32| 1_000.0 + f64::from(i) / 8.0 + f64::from(i % 1_009).powi(2) / 3.0;
    (0..16_384).map(number).flat_map(f64::to_le_bytes).collect()
}

/// A block of numbers, packed by DEFLATE alone and behind the filters.
#[divan::bench(args = [CompressionAlgorithm::Deflate, CompressionAlgorithm::ConservationAware])]
fn compression(bencher: Bencher, algorithm: CompressionAlgorithm) {
    let shard = shard(numbers());
    let config = CompressionConfig { algorithm, verify_integrity: false, ..CompressionConfig::default() };
    bencher
        .counter(BytesCount::new(shard.data().len()))
        .bench(|| shard.compress_with(&config, &mut Operation::sequential()));
}
