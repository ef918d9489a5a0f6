//! The figures that compression promises, each against raw zlib-rs DEFLATE of the same blocks.
//!
//! Runs alternate, medians of 9. Everything of the library goes through its C API. Usage:
//! atlas_bench_compression FILE... ; docs/compression.md says how the files are obtained.
//! The name of a file is the name of its line.

use flate2::{Compress, Compression, FlushCompress};
use std::ffi::{CStr, c_int};
use std::hint::black_box;
use std::ptr::{null, null_mut};
use std::time::Instant;

mod sys;

use sys::{Compressed, CompressedInfo, CompressionConfig, Operation, Projection, Region, Shard, Source};

const ROUNDS: usize = 9;
const MIB: usize = 1 << 20;

fn check(status: c_int) {
    if status != 0 {
        let text = unsafe { CStr::from_ptr(sys::atlas_last_error_message()) };
        panic!("status {status}: {}", text.to_string_lossy());
    }
}

fn operation(threads: u32) -> Operation {
    let mut pool = null_mut();
    check(unsafe { sys::atlas_pool_create(threads, &raw mut pool) });
    let mut operation =
        Operation { struct_size: 0, pool, progress: None, user_data: null_mut(), memory_limit: 0 };
    unsafe { sys::atlas_operation_init(&raw mut operation) };
    operation.pool = pool;
    operation
}

fn config(algorithm: u32, block_size: u64, verify: u32) -> CompressionConfig {
    let mut config = unsafe { std::mem::zeroed() };
    unsafe { sys::atlas_compression_config_init(&raw mut config) };
    CompressionConfig { algorithm, block_size, verify_integrity: verify, ..config }
}

fn shard_of(bytes: &[u8], operation: &Operation) -> *mut Shard {
    let mut source: *mut Source = null_mut();
    let mut projection: *mut Projection = null_mut();
    let mut shard = null_mut();
    let region = Region { offset: 0, length: bytes.len() as u64 };
    unsafe {
        check(sys::atlas_source_copy(bytes.as_ptr().cast(), bytes.len(), &raw mut source));
        check(sys::atlas_projection_create(0, source, null(), operation, &raw mut projection));
        check(sys::atlas_shard_extract(projection, &raw const region, operation, &raw mut shard));
        sys::atlas_projection_destroy(projection);
        sys::atlas_source_destroy(source);
    }
    shard
}

fn compress(shard: *const Shard, config: &CompressionConfig, operation: &Operation) -> *mut Compressed {
    let mut out = null_mut();
    check(unsafe { sys::atlas_shard_compress(shard, config, operation, &raw mut out) });
    out
}

fn info(compressed: *const Compressed) -> CompressedInfo {
    let mut info: CompressedInfo = unsafe { std::mem::zeroed() };
    info.struct_size = size_of::<CompressedInfo>() as u32;
    check(unsafe { sys::atlas_compressed_shard_get_info(compressed, &raw mut info) });
    info
}

/// One raw stream a block, level 6: what is compared with.
fn plain(bytes: &[u8], block: usize, out: &mut Vec<u8>) -> usize {
    let mut stream = Compress::new(Compression::new(6), false);
    let mut total = 0;
    for part in bytes.chunks(block) {
        stream.reset();
        out.clear();
        out.reserve(part.len() + part.len() / 100 + 1_000);
        stream.compress_vec(part, out, FlushCompress::Finish).expect("a stream");
        total += stream.total_out() as usize;
    }
    total
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs all in turn: the median seconds of each, and the median of its ratio to the first.
fn compare(cases: &mut [Box<dyn FnMut() + '_>]) -> Vec<(f64, f64)> {
    let mut times = vec![Vec::new(); cases.len()];
    for round in 0..=ROUNDS {
        for (case, times) in cases.iter_mut().zip(&mut times) {
            let start = Instant::now();
            case();
            if round > 0 {
                times.push(start.elapsed().as_secs_f64());
            }
        }
    }
    let base = times[0].clone();
    let ratio = |times: &[f64]| {
        median(&mut base.iter().zip(times).map(|(base, time)| base / time).collect::<Vec<_>>())
    };
    times.iter().map(|times| (median(&mut times.clone()), ratio(times))).collect()
}

fn file(name: &str, bytes: &[u8], one: &Operation, two: &Operation) {
    let shard = shard_of(bytes, one);
    let block = 128 * 1024;
    let mut out = Vec::new();
    let plain_size = plain(bytes, block, &mut out);
    let stream_size = plain(bytes, bytes.len().max(1), &mut out);
    let len = bytes.len() as f64;
    println!("\n{name}: {} bytes", bytes.len());
    println!(
        "  plain DEFLATE 6 of 128 KiB blocks: ratio {:.4}; one stream {:.4} ({:+.2} % for blocks)",
        len / plain_size as f64,
        len / stream_size as f64,
        100.0 * (plain_size as f64 / stream_size as f64 - 1.0)
    );
    let run = |config: CompressionConfig, operation| {
        move || unsafe { sys::atlas_compressed_shard_destroy(compress(shard, &config, operation)) }
    };
    let (deflate, aware) = (config(1, block as u64, 0), config(2, block as u64, 0));
    let names = [
        "plain, one thread",
        "DEFLATE, one thread",
        "conservation-aware, one thread",
        "  the same, two threads",
        "  the same with verify_integrity, one thread",
    ];
    let times = compare(&mut [
        Box::new(|| {
            black_box(plain(bytes, block, &mut out));
        }),
        Box::new(run(deflate, one)),
        Box::new(run(aware, one)),
        Box::new(run(aware, two)),
        Box::new(run(config(2, block as u64, 1), one)),
    ]);
    let size = |config: &CompressionConfig| {
        let compressed = compress(shard, config, one);
        let info = info(compressed);
        unsafe { sys::atlas_compressed_shard_destroy(compressed) };
        (info.compressed_size as f64, info.algorithm)
    };
    let sizes = [(plain_size as f64, 1), size(&deflate), size(&aware), size(&aware), size(&aware)];
    for ((name, (seconds, speed)), (size, algorithm)) in names.iter().zip(&times).zip(sizes) {
        println!(
            "  {name:<46} {:>8.1} MB/s, {speed:.3} of plain's speed; ratio {:.4}, {:.4} of plain's{}",
            len / seconds / 1e6,
            len / size,
            plain_size as f64 / size,
            if algorithm == 0 { " (stored)" } else { "" }
        );
    }
    println!("  two threads by one: {:.3}", times[2].0 / times[3].0);
    let compressed = compress(shard, &aware, one);
    let decompress = |operation: *const Operation| {
        let mut back = null_mut();
        unsafe {
            check(sys::atlas_shard_decompress(compressed, null(), operation, &raw mut back));
            sys::atlas_shard_destroy(back);
        }
    };
    let times = compare(&mut [Box::new(|| decompress(one)), Box::new(|| decompress(two))]);
    println!(
        "  decompress and verify: {:.1} MB/s, two threads {:.1} MB/s",
        len / times[0].0 / 1e6,
        len / times[1].0 / 1e6
    );
    unsafe {
        sys::atlas_compressed_shard_destroy(compressed);
        sys::atlas_shard_destroy(shard);
    }
    reads(bytes, one);
}

/// 4 KiB out of a compressed 64 MiB shard, which is the file as often as it takes.
fn reads(bytes: &[u8], one: &Operation) {
    let large: Vec<u8> = bytes.iter().copied().cycle().take(64 * MIB).collect();
    let shard = shard_of(&large, one);
    for block in [16, 32, 64, 128, 256, 1024] {
        let compressed = compress(shard, &config(2, block * 1024, 0), one);
        let mut buffer = [0u8; 4096];
        let mut times: Vec<f64> = (0..3_000u64)
            .map(|i| {
                let offset = i * 2_654_435_761 % (64 * MIB as u64 - 4_096);
                let start = Instant::now();
                check(unsafe {
                    sys::atlas_compressed_shard_read(compressed, offset, buffer.as_mut_ptr().cast(), 4_096)
                });
                start.elapsed().as_secs_f64()
            })
            .collect();
        let ratio = large.len() as f64 / info(compressed).compressed_size as f64;
        println!(
            "  read 4 KiB, {block:>4} KiB blocks: {:>7.1} us, ratio {ratio:.4}",
            median(&mut times) * 1e6
        );
        unsafe { sys::atlas_compressed_shard_destroy(compressed) };
    }
    unsafe { sys::atlas_shard_destroy(shard) };
}

fn main() {
    let (one, two) = (operation(1), operation(2));
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path).expect("a file");
        file(path.rsplit('/').next().unwrap_or(&path), &bytes, &one, &two);
    }
}
