//! The figures that compression promises, each against raw zlib-rs DEFLATE of the same blocks.
//!
//! Runs alternate, medians of 9. Everything of the library goes through its C API. Usage:
//! atlas_bench_compression FOLDER [NAME...]; the folder is that of `bench/src/peers/setup.sh`, the names are
//! text, HTML, ELF, float32, float64, int32, random: all of them without a name. Markdown to stdout.

use flate2::{Compress, Compression, FlushCompress};
use std::hint::black_box;
use std::ptr::{null, null_mut};
use std::time::Instant;

#[path = "peers/corpora.rs"]
#[allow(dead_code, reason = "what c-blosc2 is told")]
mod corpora;
#[path = "suite/machine.rs"]
#[allow(dead_code, reason = "the peers' program describes the machine")]
mod machine;
mod sys;

use sys::{
    CompressedInfo, CompressedShard, CompressionConfig, Operation, Projection, Region, Shard, Source, check,
};

const ROUNDS: usize = 9;
const MIB: usize = 1 << 20;
const BLOCK: usize = 128 * 1024;

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

fn compress(shard: *const Shard, config: &CompressionConfig, operation: &Operation) -> *mut CompressedShard {
    let mut out = null_mut();
    check(unsafe { sys::atlas_shard_compress(shard, config, operation, &raw mut out) });
    out
}

fn info(compressed: *const CompressedShard) -> CompressedInfo {
    let mut info: CompressedInfo = unsafe { std::mem::zeroed() };
    info.struct_size = size_of::<CompressedInfo>() as u32;
    check(unsafe { sys::atlas_compressed_shard_get_info(compressed, &raw mut info) });
    info
}

/// Encodes one raw stream per block at level 6, the reference of the comparison.
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

/// Promises of the documentation for a kind of data, at level 6 with the default block.
struct Promise {
    algorithm: u32,
    ratio: f64,
    speed: f64,
}

fn promises(name: &str) -> Vec<Promise> {
    let deflate = Promise { algorithm: 1, ratio: 0.0, speed: 0.95 };
    let aware = |ratio, speed| Promise { algorithm: 2, ratio, speed };
    match name {
        "text" | "HTML" | "ELF" => vec![deflate, aware(0.999, 0.95)],
        "float32" | "float32 of GloSea4" => vec![deflate, aware(1.5, 1.4)],
        "float64" => vec![deflate, aware(1.1, 2.3)],
        "random" => vec![],
        _ => vec![deflate],
    }
}

fn said(what: &str, value: f64, least: f64) {
    let word = if value >= least { "met" } else { "MISSED" };
    println!("- {what}: {value:.4}, at least {least}: {word}");
}

fn measure(name: &str, bytes: &[u8], one: &Operation, two: &Operation) {
    let shard = shard_of(bytes, one);
    let mut out = Vec::new();
    let plain_size = plain(bytes, BLOCK, &mut out);
    let stream_size = plain(bytes, bytes.len(), &mut out);
    let len = bytes.len() as f64;
    println!("\n### {name}, {} bytes\n", bytes.len());
    println!(
        "One continuous plain stream: ratio {:.4}; blocks of 128 KiB take {:+.2} %.\n",
        len / stream_size as f64,
        100.0 * (plain_size as f64 / stream_size as f64 - 1.0)
    );
    let run = |config: CompressionConfig, operation| {
        move || unsafe { sys::atlas_compressed_shard_destroy(compress(shard, &config, operation)) }
    };
    let (deflate, aware) =
        (|verify| config(1, BLOCK as u64, verify), |verify| config(2, BLOCK as u64, verify));
    let names = [
        "plain",
        "DEFLATE, verify_integrity 0",
        "conservation-aware, verify_integrity 0",
        "the same, two threads",
        "conservation-aware, verify_integrity 1",
    ];
    let times = compare(&mut [
        Box::new(|| {
            black_box(plain(bytes, BLOCK, &mut out));
        }),
        Box::new(run(deflate(0), one)),
        Box::new(run(aware(0), one)),
        Box::new(run(aware(0), two)),
        Box::new(run(aware(1), one)),
    ]);
    let size = |config: &CompressionConfig| {
        let compressed = compress(shard, config, one);
        let info = info(compressed);
        unsafe { sys::atlas_compressed_shard_destroy(compressed) };
        (info.compressed_size as f64, info.algorithm)
    };
    let sizes =
        [(plain_size as f64, 1), size(&deflate(0)), size(&aware(0)), size(&aware(0)), size(&aware(1))];
    println!("| | MB/s | by plain | ratio | by plain |\n|---|---:|---:|---:|---:|");
    for ((name, (seconds, speed)), (size, algorithm)) in names.iter().zip(&times).zip(sizes) {
        println!(
            "| {name}{} | {:.1} | {speed:.3} | {:.4} | {:.4} |",
            if algorithm == 0 { " (stored)" } else { "" },
            len / seconds / 1e6,
            len / size,
            plain_size as f64 / size,
        );
    }
    let compressed = compress(shard, &aware(0), one);
    let decompress = |operation: *const Operation| {
        let mut back = null_mut();
        unsafe {
            check(sys::atlas_shard_decompress(compressed, null(), operation, &raw mut back));
            sys::atlas_shard_destroy(back);
        }
    };
    let back = compare(&mut [Box::new(|| decompress(one)), Box::new(|| decompress(two))]);
    let speeds = (len / back[0].0 / 1e6, len / back[1].0 / 1e6);
    println!("| decompress and verify; two threads {:.1} | {:.1} | | | |\n", speeds.1, speeds.0);
    for promise in promises(name) {
        let at = promise.algorithm as usize;
        let what = names[at];
        said(&format!("{what}, speed by plain"), times[at].1, promise.speed);
        said(&format!("{what}, ratio by plain"), plain_size as f64 / sizes[at].0, promise.ratio);
    }
    if name == "random" {
        said("GB/s on one thread", len / times[2].0 / 1e9, 2.0);
    } else {
        said("two threads by one", times[2].0 / times[3].0, 1.85);
    }
    unsafe {
        sys::atlas_compressed_shard_destroy(compressed);
        sys::atlas_shard_destroy(shard);
    }
    reads(bytes, two);
}

/// A compressed shard as it arrives: through bytes.
fn arrived(compressed: *mut CompressedShard) -> *mut CompressedShard {
    let mut bytes = sys::Buffer { data: null_mut(), size: 0 };
    let mut again = null_mut();
    unsafe {
        check(sys::atlas_compressed_shard_serialize(compressed, &raw mut bytes));
        sys::atlas_compressed_shard_destroy(compressed);
        check(sys::atlas_compressed_shard_deserialize(bytes.data.cast(), bytes.size, null(), &raw mut again));
        sys::atlas_buffer_free(&raw mut bytes);
    }
    again
}

/// 4 KiB out of a compressed 64 MiB shard, which is the data as often as it takes, at places all over it: the
/// first time that a block is touched, and over all.
fn reads(bytes: &[u8], two: &Operation) {
    let large: Vec<u8> = bytes.iter().copied().cycle().take(64 * MIB).collect();
    let shard = shard_of(&large, two);
    println!(
        "\n| block | ratio | 4 KiB read, first touch, us | median of 3,000, us |\n|---:|---:|---:|---:|"
    );
    let mut medians = Vec::new();
    for block in [4, 16, 64, 128, 1024] {
        let compressed = arrived(compress(shard, &config(2, block * 1024, 0), two));
        let mut buffer = [0u8; 4096];
        let mut touched = std::collections::BTreeSet::new();
        let (mut first, mut times) = (Vec::new(), Vec::new());
        for i in 0..3_000u64 {
            let offset = i * 2_654_435_761 % (64 * MIB as u64 - 4_096);
            let start = Instant::now();
            check(unsafe {
                sys::atlas_compressed_shard_read(compressed, offset, buffer.as_mut_ptr().cast(), 4_096)
            });
            times.push(start.elapsed().as_secs_f64() * 1e6);
            // Stored whole: blocks of 1 MiB.
            let size = if info(compressed).algorithm == 0 { MIB as u64 } else { block * 1024 };
            if touched.insert(offset / size) {
                first.push(times[times.len() - 1]);
            }
        }
        let ratio = large.len() as f64 / info(compressed).compressed_size as f64;
        let all = median(&mut times);
        println!("| {block} KiB | {ratio:.4} | {:.1} | {all:.1} |", median(&mut first));
        medians.push((block, all));
        unsafe { sys::atlas_compressed_shard_destroy(compressed) };
    }
    println!();
    for (block, most) in [(128, 400.0), (16, 80.0)] {
        let all = medians.iter().find(|(of, _)| *of == block).map_or(f64::NAN, |(_, all)| *all);
        let word = if all <= most { "met" } else { "MISSED" };
        println!("- 4 KiB read at {block} KiB blocks: {all:.1} us, at most {most}: {word}");
    }
    unsafe { sys::atlas_shard_destroy(shard) };
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().expect("a folder, as bench/src/peers/setup.sh makes it");
    let names: Vec<String> = arguments.collect();
    let (one, two) = (operation(1), operation(2));
    let random = std::io::Read::take(std::fs::File::open("/dev/urandom").expect("random bytes"), 16 << 20);
    let random = std::io::Read::bytes(std::io::BufReader::new(random)).map(|byte| byte.expect("a byte"));
    let all = corpora::all(folder.as_ref(), &random.collect::<Vec<u8>>());
    for corpus in all.iter().filter(|corpus| names.is_empty() || names.iter().any(|name| name == corpus.name))
    {
        measure(corpus.name, &corpus.bytes, &one, &two);
        if corpus.name == "float32" {
            // One model alone: the two models of the file compress very differently.
            measure("float32 of GloSea4", &corpus.bytes[..8 * MIB], &one, &two);
        }
    }
}
