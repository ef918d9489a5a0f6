//! The figures that the core promises, each against its limit in the same run.
//!
//! Runs alternate, the median of 9 is shown with the spread (smallest and largest of the ratio), and
//! every projection includes its root. Usage: atlas_bench [all | memory | file DIR | shards | parallel | tiles | incremental | r96 | parity | outline | container DIR [open | commit | import | verified | loaded]... | speed [file DIR | steps DIR | writes DIR | threads | calls]...]

mod base;
mod container;
mod incremental;
mod outline;
mod parallel;
mod parity;
mod r96;
mod speed;
mod sys;

use std::ffi::{CString, c_void};
use std::hint::black_box;
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};
use sys::{ExtractOptions, Operation, Pool, Projection, Region, Shard, Source, check};

const ROUNDS: usize = 9;
const MIB: usize = 1 << 20;

fn operation(pool: *const Pool) -> Operation {
    let mut operation =
        Operation { struct_size: 0, pool, progress: None, user_data: null_mut(), memory_limit: 0 };
    unsafe { sys::atlas_operation_init(&raw mut operation) };
    operation.pool = pool;
    operation
}

fn pool(threads: u32) -> *const Pool {
    let mut pool = null_mut();
    check(unsafe { sys::atlas_pool_create(threads, &raw mut pool) });
    pool
}

/// SplitMix64, so that nothing compresses or repeats.
fn random_bytes(len: usize) -> Vec<u8> {
    let mut state = 7u64;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bytes.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    bytes
}

fn borrow(bytes: &[u8]) -> *mut Source {
    let mut source = null_mut();
    check(unsafe {
        sys::atlas_source_borrow(bytes.as_ptr().cast(), bytes.len(), None, null_mut(), &raw mut source)
    });
    source
}

fn project(source: *const Source, operation: &Operation) -> *mut Projection {
    let mut projection = null_mut();
    let mut root = [0; 32];
    unsafe {
        check(sys::atlas_projection_create(0, source, null(), operation, &raw mut projection));
        check(sys::atlas_projection_root(projection, operation, root.as_mut_ptr()));
    }
    black_box(root);
    projection
}

fn time(action: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    action();
    start.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A timed action, and its name.
type Case<'a> = (&'a str, Box<dyn FnMut() + 'a>);

/// Runs all in turn; prints each one's median rate, and its speed as a multiple of the first's.
fn compare(title: &str, bytes: usize, cases: &mut [Case<'_>]) {
    let mut times = vec![Vec::new(); cases.len()];
    for round in 0..=ROUNDS {
        for (case, times) in cases.iter_mut().zip(&mut times) {
            let elapsed = time(&mut case.1);
            if round > 0 {
                times.push(elapsed);
            }
        }
    }
    println!("\n{title}");
    let base = times[0].clone();
    for ((name, _), times) in cases.iter().zip(&times) {
        let mut ratios: Vec<f64> = base.iter().zip(times).map(|(base, time)| base / time).collect();
        let ratio = median(&mut ratios);
        let typical = median(&mut times.clone());
        println!(
            "  {name:<44} {:>8.3} GB/s {:>10.3} ms   {ratio:>6.3} ({:.3}..{:.3})",
            bytes as f64 / typical / 1e9,
            typical * 1e3,
            ratios[0],
            ratios[ratios.len() - 1]
        );
    }
}

fn memory() {
    let bytes = random_bytes(1024 * MIB);
    let source = borrow(&bytes);
    let (one, two) = (operation(pool(1)), operation(pool(2)));
    compare(
        "projection of 1 GiB in memory, borrowed",
        bytes.len(),
        &mut [
            ("blake3::hash, one thread", Box::new(|| _ = black_box(blake3::hash(&bytes)))),
            (
                "project, one thread",
                Box::new(|| unsafe { sys::atlas_projection_destroy(project(source, &one)) }),
            ),
            (
                "project, two threads",
                Box::new(|| unsafe { sys::atlas_projection_destroy(project(source, &two)) }),
            ),
        ],
    );
    unsafe { sys::atlas_source_destroy(source) };
}

fn file(dir: &str) {
    let path = format!("{dir}/atlas-bench-{}.bin", std::process::id());
    let part = random_bytes(256 * MIB);
    {
        use std::io::Write;
        let mut file = std::fs::File::create(&path).expect("a file to write");
        for index in 0..16u8 {
            file.write_all(&[index]).and_then(|()| file.write_all(&part[1..])).expect("4 GiB of room");
        }
        file.sync_all().expect("a flushed file");
    }
    let c_path = CString::new(path.clone()).expect("a path");
    let mut source = null_mut();
    check(unsafe { sys::atlas_source_open_file(c_path.as_ptr(), 0, &raw mut source) });
    let two = operation(pool(2));
    compare(
        &format!("projection of a 4 GiB file in {dir}, in the page cache, positioned reads, two threads"),
        4096 * MIB,
        &mut [
            (
                "blake3 update_mmap_rayon",
                Box::new(|| {
                    let mut hasher = blake3::Hasher::new();
                    hasher.update_mmap_rayon(&path).expect("a mapping");
                    black_box(hasher.finalize());
                }),
            ),
            ("project", Box::new(|| unsafe { sys::atlas_projection_destroy(project(source, &two)) })),
        ],
    );
    unsafe { sys::atlas_source_destroy(source) };
    std::fs::remove_file(&path).expect("the file is there");
}

fn batch(
    projection: *const Projection,
    regions: &[Region],
    options: &ExtractOptions,
    operation: &Operation,
    out: &mut Vec<*mut Shard>,
) {
    out.resize(regions.len(), null_mut());
    check(unsafe {
        sys::atlas_shard_extract_batch(
            projection,
            regions.as_ptr(),
            regions.len(),
            options,
            operation,
            out.as_mut_ptr(),
        )
    });
}

fn destroy(shards: &mut Vec<*mut Shard>) {
    for shard in shards.drain(..) {
        unsafe { sys::atlas_shard_destroy(shard) };
    }
}

fn options(strategy: u32) -> ExtractOptions {
    let mut options = ExtractOptions { struct_size: 0, strategy, max_threads: 0, chunk_size: 0 };
    unsafe { sys::atlas_extract_options_init(&raw mut options) };
    options.strategy = strategy;
    options
}

fn shards() {
    let bytes = random_bytes(1024 * MIB);
    let source = borrow(&bytes);
    let (one, two) = (operation(pool(1)), operation(pool(2)));
    let projection = project(source, &two);
    let (sequential, default) = (options(0), options(1));
    let tiles: Vec<Region> =
        (0..64).map(|tile| Region { offset: tile * MIB as u64, length: MIB as u64 }).collect();
    let hash_tiles =
        || tiles.iter().for_each(|r| _ = black_box(blake3::hash(&bytes[r.offset as usize..][..MIB])));
    let run = |regions: &[Region], options: &ExtractOptions, operation: &Operation| {
        let mut shards = Vec::new();
        batch(projection, regions, options, operation, &mut shards);
        destroy(&mut shards);
    };
    let mut held = Vec::new();
    batch(projection, &tiles, &sequential, &one, &mut held);
    compare(
        "64 shards of 1 MiB, destroyed before the next batch",
        64 * MIB,
        &mut [
            ("blake3::hash of the same bytes, one thread", Box::new(hash_tiles)),
            ("extract, one thread", Box::new(|| run(&tiles, &sequential, &one))),
            ("extract, two threads", Box::new(|| run(&tiles, &default, &two))),
            (
                "verify, one thread",
                Box::new(|| {
                    held.iter().for_each(|s| check(unsafe { sys::atlas_shard_verify(*s, null(), &one) }))
                }),
            ),
        ],
    );
    destroy(&mut held);

    let pages: Vec<Region> = (0..100_000u64)
        .map(|i| Region { offset: (i * 2_654_435_761 % (1 << 18)) * 4_096, length: 4_096 })
        .collect();
    compare(
        "100,000 shards of 4 KiB over 1 GiB, in batches of 16,000",
        400_000_000,
        &mut [
            ("one thread", Box::new(|| pages.chunks(16_000).for_each(|part| run(part, &sequential, &one)))),
            ("two threads", Box::new(|| pages.chunks(16_000).for_each(|part| run(part, &default, &two)))),
            ("two threads, one batch", Box::new(|| run(&pages, &default, &two))),
        ],
    );
    single(projection, &one);
    unsafe {
        sys::atlas_projection_destroy(projection);
        sys::atlas_source_destroy(source);
    }
}

/// One shard at a time: medians over many, in microseconds.
fn single(projection: *const Projection, operation: &Operation) {
    let mut first = Vec::new();
    let mut second = Vec::new();
    let mut verify = Vec::new();
    let extract = |offset: u64| {
        let (mut shard, region) = (null_mut(), Region { offset, length: 4_096 });
        let start = Instant::now();
        check(unsafe { sys::atlas_shard_extract(projection, &raw const region, operation, &raw mut shard) });
        (shard, start.elapsed())
    };
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    for tile in 0..1024u64 {
        for page in 0..9 {
            let (shard, time) = extract((tile << 20) + (page * 29 % 256) * 4_096);
            if page == 0 {
                first.push(micros(time))
            } else {
                second.push(micros(time))
            }
            let start = Instant::now();
            check(unsafe { sys::atlas_shard_verify(shard, null(), operation) });
            verify.push(micros(start.elapsed()));
            unsafe { sys::atlas_shard_destroy(shard) };
        }
    }
    println!("\none shard of 4 KiB, median in microseconds");
    println!("  first of a tile (after the batches above)    {:>8.2}", median(&mut first));
    println!("  second of a tile                             {:>8.2}", median(&mut second));
    println!("  verify                                       {:>8.2}", median(&mut verify));
}

/// Memory of the allocator for a fresh projection, besides the source.
fn tiles() {
    let held = || unsafe { libc::mallinfo2() }.uordblks as i64 + unsafe { libc::mallinfo2() }.hblkhd as i64;
    let bytes = random_bytes(1024 * MIB);
    let source = borrow(&bytes);
    let two = operation(pool(2));
    // Whatever is made once is made before.
    unsafe { sys::atlas_projection_destroy(project(source, &two)) };
    let before = held();
    let projection = project(source, &two);
    let after = held();
    println!("\nmemory of a fresh projection: {} bytes a tile", (after - before) / 1024);
    let _: *const c_void = projection.cast();
    unsafe {
        sys::atlas_projection_destroy(projection);
        sys::atlas_source_destroy(source);
    }
}

/// The bars of speed: the parts named, or all, with files in shared memory and here.
fn speed_of(parts: &[&str]) {
    let all = ["file", "/dev/shm", "file", ".", "writes", "/dev/shm", "writes", ".", "threads", "calls"];
    let mut parts = if parts.is_empty() { all.iter() } else { parts.iter() };
    while let Some(part) = parts.next() {
        match *part {
            "file" => speed::file(parts.next().expect("a folder")),
            "writes" => speed::writes(parts.next().expect("a folder")),
            "steps" => speed::steps(parts.next().expect("a folder")),
            "threads" => speed::threads(),
            "calls" => speed::calls(),
            other => panic!("{other} is no part of speed"),
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let what: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match what[..] {
        [] | ["all"] => {
            memory();
            shards();
            parallel::run();
            tiles();
            incremental::run();
            r96::run();
            parity::run();
            container::run(".", &[]);
            outline::run();
            file("/dev/shm");
            file(".");
            speed_of(&[]);
        }
        ["memory"] => memory(),
        ["shards"] => shards(),
        ["parallel"] => parallel::run(),
        ["tiles"] => tiles(),
        ["incremental"] => incremental::run(),
        ["r96"] => r96::run(),
        ["parity"] => parity::run(),
        ["container", dir, ref parts @ ..] => container::run(dir, parts),
        ["outline"] => outline::run(),
        ["file", dir] => file(dir),
        ["speed", ref parts @ ..] => speed_of(parts),
        _ => {
            eprintln!(
                "usage: atlas_bench [all | memory | file DIR | shards | parallel | tiles | incremental | r96 | parity | outline | container DIR [open | commit | import | verified | loaded]... | speed [file DIR | steps DIR | writes DIR | threads | calls]...]"
            );
            std::process::exit(2);
        }
    }
}
