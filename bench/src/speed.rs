//! Times of projecting, writing and short calls, each beside the times of its parts alone in the same run.

use crate::incremental::{UPDATE, apply};
use crate::sys::{self, Container, Operation, Projection, Region, Shard, Source};
use crate::{
    MIB, ROUNDS, batch, borrow, check, destroy, median, operation, options, pool, project, random_bytes,
};
use std::ffi::{CString, c_char};
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::ptr::{null, null_mut};
use std::time::Instant;

const PAGE: usize = 4_096;
const THREADS: usize = 2;
/// Bytes that a digest inside of a tile covers.
const GROUP: usize = 16 * 1024;
/// Bytes that the parts work on at a time: they stay in the second-level cache.
const PART: usize = 128 * 1024;

/// Bytes that begin with a page.
struct Aligned {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    fn of(bytes: &[u8]) -> Aligned {
        let mut memory = vec![0; bytes.len() + PAGE];
        let start = memory.as_ptr().align_offset(PAGE);
        memory[start..start + bytes.len()].copy_from_slice(bytes);
        Aligned { memory, start, len: bytes.len() }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }

    fn as_slice(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

/// The sum of all bytes, as fast as the processor adds them.
fn sum(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { sum_avx2(bytes) };
    }
    bytes.iter().map(|byte| u64::from(*byte)).sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sum_avx2(bytes: &[u8]) -> u64 {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi64, _mm256_loadu_si256, _mm256_sad_epu8, _mm256_setzero_si256,
    };
    let mut sums = [_mm256_setzero_si256(); 4];
    let (blocks, rest) = bytes.as_chunks::<128>();
    for block in blocks {
        for (sum, lane) in sums.iter_mut().zip(block.as_chunks::<32>().0) {
            // SAFETY: 32 bytes.
            let lane = unsafe { _mm256_loadu_si256(lane.as_ptr().cast::<__m256i>()) };
            *sum = _mm256_add_epi64(*sum, _mm256_sad_epu8(lane, _mm256_setzero_si256()));
        }
    }
    let all = sums.into_iter().fold(_mm256_setzero_si256(), |all, sum| _mm256_add_epi64(all, sum));
    // SAFETY: both are 32 bytes of numbers.
    let lanes: [u64; 4] = unsafe { std::mem::transmute(all) };
    lanes.iter().sum::<u64>() + rest.iter().map(|byte| u64::from(*byte)).sum::<u64>()
}

fn seconds(action: impl FnOnce()) -> f64 {
    let start = Instant::now();
    action();
    start.elapsed().as_secs_f64()
}

/// Runs `work` on two threads, each with the tiles that are its own.
fn on_two(tiles: usize, work: impl Fn(&mut dyn Iterator<Item = usize>) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let work = &work;
            scope.spawn(move || work(&mut (thread..tiles).step_by(THREADS)));
        }
    });
}

/// Seconds of a plain read, a sum and a digest of `tiles` tiles, each alone, with one buffer per thread.
fn parts_of_a_read(file: &File, tiles: usize) -> [f64; 3] {
    let content = random_bytes(PART);
    let read = seconds(|| {
        on_two(tiles, |own| {
            let mut buffer = Aligned::of(&content);
            for tile in own {
                for part in (0..MIB).step_by(PART) {
                    file.read_exact_at(buffer.bytes(), (tile * MIB + part) as u64).expect("its bytes");
                }
            }
        });
    });
    let summed = seconds(|| {
        on_two(tiles, |own| {
            let mut buffer = Aligned::of(&content);
            for _ in own {
                for _ in 0..MIB / PART {
                    black_box(sum(black_box(buffer.bytes())));
                }
            }
        });
    });
    let hashed = seconds(|| {
        on_two(tiles, |own| {
            let mut buffer = Aligned::of(&content);
            for _ in own {
                let mut hasher = blake3::Hasher::new();
                for _ in 0..MIB / PART {
                    hasher.update(black_box(buffer.bytes()));
                }
                black_box(hasher.finalize());
            }
        });
    });
    [read, summed, hashed]
}

/// Seconds that a case takes, and its name.
type Case<'a> = (&'a str, Box<dyn FnMut() -> f64 + 'a>);

/// Runs all in turn; prints each one's median and the speed of it as a multiple of that of each of the others
/// named.
fn table(title: &str, bytes: usize, cases: &mut [Case<'_>], ratios: &[(usize, usize, f64)]) {
    let mut times = vec![Vec::new(); cases.len()];
    for round in 0..=ROUNDS {
        for (case, times) in cases.iter_mut().zip(&mut times) {
            let took = case.1();
            if round > 0 {
                times.push(took);
            }
        }
    }
    println!("\n{title}");
    for ((name, _), times) in cases.iter().zip(&times) {
        let typical = median(&mut times.clone());
        println!("  {name:<66} {:>8.3} GB/s {:>10.3} ms", bytes as f64 / typical / 1e9, typical * 1e3);
    }
    for &(ours, bound, bar) in ratios {
        let mut found: Vec<f64> =
            times[bound].iter().zip(&times[ours]).map(|(bound, ours)| bound / ours).collect();
        let ratio = median(&mut found);
        println!(
            "  {} : {}   {ratio:.3} ({:.3}..{:.3}), {bar} wanted{}",
            cases[ours].0,
            cases[bound].0,
            found[0],
            found[found.len() - 1],
            if ratio < bar { ": MISSED" } else { "" }
        );
    }
}

fn text(path: &str) -> CString {
    CString::new(path).expect("a path")
}

fn open(path: &str, io: u32) -> *mut Source {
    let mut source = null_mut();
    check(unsafe { sys::atlas_source_open_file(text(path).as_ptr(), io, &raw mut source) });
    source
}

fn project_and_forget(source: *const Source, operation: &Operation) {
    unsafe { sys::atlas_projection_destroy(project(source, operation)) };
}

/// A file by positioned reads and through a mapping, beside the parts and beside BLAKE3 over a mapping.
pub fn file(dir: &str) {
    let path = format!("{dir}/atlas-bench-speed-{}.bin", std::process::id());
    let tiles = 1024;
    let part = random_bytes(256 * MIB);
    {
        let file = File::create(&path).expect("a file to write");
        for quarter in 0..4 {
            file.write_all_at(&part, (quarter * part.len()) as u64).expect("1 GiB of room");
        }
        file.sync_all().expect("a flushed file");
    }
    let two = operation(pool(2));
    let (file, read) = (File::open(&path).expect("the file"), open(&path, 0));
    let workers = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build().expect("two threads");
    let parts = std::cell::RefCell::new(Vec::new());
    table(
        &format!("1 GiB of a file in {dir}, in the page cache, two threads"),
        tiles * MIB,
        &mut [
            (
                "pread + sum + digest, each alone on a buffer in the cache",
                Box::new(|| {
                    let found = parts_of_a_read(&file, tiles);
                    parts.borrow_mut().push(found);
                    found.iter().sum()
                }),
            ),
            (
                "blake3 update_mmap_rayon",
                Box::new(|| {
                    seconds(|| {
                        let mut hasher = blake3::Hasher::new();
                        workers.install(|| _ = hasher.update_mmap_rayon(&path).expect("a mapping"));
                        black_box(hasher.finalize());
                    })
                }),
            ),
            ("project, positioned reads", Box::new(|| seconds(|| project_and_forget(read, &two)))),
            (
                "project, mapped, the mapping made and ended",
                Box::new(|| {
                    seconds(|| {
                        let mapped = open(&path, 1);
                        project_and_forget(mapped, &two);
                        unsafe { sys::atlas_source_destroy(mapped) };
                    })
                }),
            ),
        ],
        &[(2, 0, 0.93), (2, 1, if dir.starts_with("/dev/shm") { 1.0 } else { 0.93 }), (3, 1, 0.96)],
    );
    let mut parts = parts.into_inner();
    let per_byte = |which: usize, parts: &mut Vec<[f64; 3]>| {
        let mut times: Vec<f64> = parts.iter().map(|part| part[which]).collect();
        median(&mut times) * 1e9 / (tiles * MIB) as f64 * THREADS as f64
    };
    let [read_ns, sum_ns, hash_ns] = [0, 1, 2].map(|which| per_byte(which, &mut parts));
    println!("  in ns a byte of one core: pread {read_ns:.3}, sum {sum_ns:.3}, digest {hash_ns:.3}");
    unsafe { sys::atlas_source_destroy(read) };
    std::fs::remove_file(&path).expect("the file is there");
}

/// Reading, summing and hashing a tile in steps of several sizes, with nothing else: which one the library
/// should take.
pub fn steps(dir: &str) {
    let path = format!("{dir}/atlas-bench-speed-{}.bin", std::process::id());
    let tiles = 512;
    std::fs::write(&path, random_bytes(tiles * MIB)).expect("512 MiB of room");
    let file = File::open(&path).expect("the file");
    let pass = |step: usize| {
        let content = random_bytes(step);
        seconds(|| {
            on_two(tiles, |own| {
                let mut buffer = Aligned::of(&content);
                for tile in own {
                    let mut hasher = blake3::Hasher::new();
                    for part in (0..MIB).step_by(step) {
                        file.read_exact_at(buffer.bytes(), (tile * MIB + part) as u64).expect("its bytes");
                        black_box(sum(buffer.bytes()));
                        hasher.update(buffer.bytes());
                    }
                    black_box(hasher.finalize());
                }
            });
        })
    };
    let kib = |kib: usize| -> Box<dyn FnMut() -> f64 + '_> { Box::new(move || pass(kib << 10)) };
    table(
        &format!(
            "512 MiB of a file in {dir}, in the page cache, two threads: pread, sum, digest, step by step"
        ),
        tiles * MIB,
        &mut [
            ("1 MiB", kib(1024)),
            ("64 KiB", kib(64)),
            ("128 KiB", kib(128)),
            ("256 KiB", kib(256)),
            ("512 KiB", kib(512)),
        ],
        &[(1, 0, 1.0), (2, 0, 1.0), (3, 0, 1.0), (4, 0, 1.0)],
    );
    std::fs::remove_file(&path).expect("the file is there");
}

/// Writes of files, beside a plain write of the same bytes and a verification.
pub fn writes(dir: &str) {
    let name = |what: &str| format!("{dir}/atlas-bench-speed-{}-{what}", std::process::id());
    let bytes = Aligned::of(&random_bytes(512 * MIB));
    let bytes = bytes.as_slice();
    let source = borrow(bytes);
    let two = operation(pool(2));
    let projection = project(source, &two);
    let (out, plain, pack) = (name("out"), name("plain"), name("pack"));
    let write = || {
        seconds(|| {
            let file = File::create(&plain).expect("a file to write");
            on_two(bytes.len() / MIB, |own| {
                for tile in own {
                    let at = tile * MIB;
                    file.write_all_at(&bytes[at..at + MIB], at as u64).expect("room");
                }
            });
            file.sync_all().expect("a flushed file");
        })
    };
    let remove = |path: &str| std::fs::remove_file(path).expect("the file is there");
    let verify =
        |what: *const Projection| seconds(|| check(unsafe { sys::atlas_projection_verify(what, &two) }));
    let write_file = |what: *const Projection| {
        let took =
            seconds(|| check(unsafe { sys::atlas_projection_write_file(what, text(&out).as_ptr(), &two) }));
        remove(&out);
        took
    };
    let plainly = |what: f64| {
        let took = write() + what;
        remove(&plain);
        took
    };

    // Shards of 8 MiB.
    let regions: Vec<Region> = (0..bytes.len() / (8 * MIB))
        .map(|part| Region { offset: (part * 8 * MIB) as u64, length: (8 * MIB) as u64 })
        .collect();
    let mut shards: Vec<*mut Shard> = Vec::new();
    batch(projection, &regions, &options(1), &two, &mut shards);
    let rebuild = || {
        let spool = text(&out);
        let took = seconds(|| {
            let options = ReconstructionOptions {
                struct_size: size_of::<ReconstructionOptions>() as u32,
                expected_root: null(),
                key: null(),
                spool_path: spool.as_ptr(),
                max_domain_size: 0,
            };
            let (mut rebuilt, mut whole) = (null_mut(), null_mut());
            unsafe {
                check(sys::atlas_reconstruction_create((&raw const options).cast(), &raw mut rebuilt));
                for shard in &shards {
                    check(sys::atlas_reconstruction_add(rebuilt, *shard, &two));
                }
                check(sys::atlas_reconstruction_finish(rebuilt, &two, &raw mut whole));
                sys::atlas_reconstruction_destroy(rebuilt);
                sys::atlas_projection_destroy(whole);
            }
        });
        remove(&out);
        took
    };
    let verify_shards = || {
        seconds(|| {
            shards.iter().for_each(|shard| check(unsafe { sys::atlas_shard_verify(*shard, null(), &two) }))
        })
    };

    // A container with the same bytes, to be unpacked.
    let (mut container, mut packed): (*mut Container, *mut Projection) = (null_mut(), null_mut());
    unsafe {
        let path = text(&pack);
        check(sys::atlas_container_create(path.as_ptr(), 0, null(), null(), &two, &raw mut container));
        check(sys::atlas_container_import(container, source, null(), 0, null(), &two, null_mut()));
        check(sys::atlas_container_snapshot(container, 0, 0, &two, &raw mut packed));
    }
    table(
        &format!("512 MiB written to {dir}, flushed, two threads"),
        bytes.len(),
        &mut [
            ("pwrite from aligned memory + verify", Box::new(|| plainly(verify(projection)))),
            ("write_file", Box::new(|| write_file(projection))),
            (
                "pwrite from aligned memory + verify shards of 8 MiB + the file",
                Box::new(|| {
                    let mut took = write() + verify_shards();
                    took += seconds(|| {
                        let file = open(&plain, 0);
                        project_and_forget(file, &two);
                        unsafe { sys::atlas_source_destroy(file) };
                    });
                    remove(&plain);
                    took
                }),
            ),
            ("reconstruction from them to a spool", Box::new(rebuild)),
            ("pwrite from aligned memory + verify a container", Box::new(|| plainly(verify(packed)))),
            ("unpack the container", Box::new(|| write_file(packed))),
        ],
        &[(1, 0, 0.9), (3, 2, 0.9), (5, 4, 0.9)],
    );
    destroy(&mut shards);
    unsafe {
        sys::atlas_projection_destroy(packed);
        sys::atlas_container_destroy(container);
        sys::atlas_projection_destroy(projection);
        sys::atlas_source_destroy(source);
    }
    remove(&pack);
}

#[repr(C)]
struct ReconstructionOptions {
    struct_size: u32,
    expected_root: *const u8,
    key: *const u8,
    spool_path: *const c_char,
    max_domain_size: u64,
}

/// One thread and two: memory, small shards, R96.
pub fn threads() {
    let bytes = random_bytes(1024 * MIB);
    let source = borrow(&bytes);
    let (one, two) = (operation(pool(1)), operation(pool(2)));
    let workers = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build().expect("two threads");
    table(
        "1 GiB in memory",
        bytes.len(),
        &mut [
            ("blake3::hash, one thread", Box::new(|| seconds(|| _ = black_box(blake3::hash(&bytes))))),
            (
                "blake3 update_rayon, two threads",
                Box::new(|| {
                    seconds(|| {
                        let mut hasher = blake3::Hasher::new();
                        workers.install(|| _ = hasher.update_rayon(&bytes));
                        black_box(hasher.finalize());
                    })
                }),
            ),
            ("project, one thread", Box::new(|| seconds(|| project_and_forget(source, &one)))),
            ("project, two threads", Box::new(|| seconds(|| project_and_forget(source, &two)))),
        ],
        &[(1, 0, 1.0), (2, 0, 0.96), (3, 2, 1.85)],
    );

    let projection = project(source, &two);
    let regions: Vec<Region> = (0..100_000u64)
        .map(|i| Region { offset: (i * 2_654_435_761 % (1 << 18)) * 4_096, length: 4_096 })
        .collect();
    let small = |strategy: u32, operation: &Operation| {
        seconds(|| {
            let mut shards = Vec::new();
            batch(projection, &regions, &options(strategy), operation, &mut shards);
            destroy(&mut shards);
        })
    };
    // The bound: each shard needs the digest of its group of 16 KiB, and the caller destroys them on one thread.
    let group = |region: &Region| {
        let start = region.offset as usize / GROUP * GROUP;
        &bytes[start..start + GROUP]
    };
    let digests = |own: &mut dyn Iterator<Item = usize>| {
        own.for_each(|i| _ = black_box(blake3::hash(group(&regions[i]))));
    };
    let destroying = || {
        let mut shards = Vec::new();
        batch(projection, &regions, &options(1), &one, &mut shards);
        seconds(|| destroy(&mut shards))
    };
    table(
        "100,000 shards of 4 KiB of 1 GiB, one batch, created and destroyed",
        regions.len() * 4_096,
        &mut [
            ("DEFAULT, one thread", Box::new(|| small(1, &one))),
            ("DEFAULT, two threads", Box::new(|| small(1, &two))),
            (
                "BLAKE3 of their groups, one thread, and the shards destroyed",
                Box::new(|| seconds(|| digests(&mut (0..regions.len()))) + destroying()),
            ),
            (
                "BLAKE3 of their groups, two threads, and the shards destroyed",
                Box::new(|| seconds(|| on_two(regions.len(), digests)) + destroying()),
            ),
        ],
        &[(1, 0, 1.75), (3, 2, 1.75)],
    );
    unsafe { sys::atlas_projection_destroy(projection) };

    let part = borrow(&bytes[..256 * MIB]);
    let r96 = |operation: &Operation| {
        seconds(|| {
            let (mut projection, mut root) = (null_mut(), [0; 32]);
            unsafe {
                check(sys::atlas_projection_create(1, part, null(), operation, &raw mut projection));
                check(sys::atlas_projection_root(projection, operation, root.as_mut_ptr()));
                sys::atlas_projection_destroy(projection);
            }
            black_box(root);
        })
    };
    // The bound: what two threads without anything in common gain on this machine.
    let tiles = |own: &mut dyn Iterator<Item = usize>| {
        own.for_each(|tile| _ = black_box(blake3::hash(&bytes[tile * MIB..][..MIB])));
    };
    table(
        "256 MiB in memory as R96_FOURIER, K = 96",
        256 * MIB,
        &mut [
            ("one thread", Box::new(|| r96(&one))),
            ("two threads", Box::new(|| r96(&two))),
            ("BLAKE3 of the tiles, one thread", Box::new(|| seconds(|| tiles(&mut (0..256))))),
            ("BLAKE3 of the tiles, two threads", Box::new(|| seconds(|| on_two(256, tiles)))),
        ],
        &[(1, 0, 1.88), (3, 2, 1.88)],
    );
    unsafe {
        sys::atlas_source_destroy(part);
        sys::atlas_source_destroy(source);
    }
}

/// One call each, in microseconds.
pub fn calls() {
    let bytes = random_bytes(64 * MIB);
    let source = borrow(&bytes);
    let one = operation(pool(1));
    let projection = project(source, &one);
    let offset = |i: usize| (i * 2_654_435_761 % (1 << 14) * 4_096) as u64;
    let [mut extracted, mut verified, mut updated] = [const { Vec::new() }; 3];
    for i in 0..30_000 {
        let (mut shard, region) = (null_mut(), Region { offset: offset(i), length: 4_096 });
        let took = seconds(|| {
            check(unsafe { sys::atlas_shard_extract(projection, &raw const region, &one, &raw mut shard) });
        });
        let checked = seconds(|| check(unsafe { sys::atlas_shard_verify(shard, null(), &one) }));
        unsafe { sys::atlas_shard_destroy(shard) };
        if i >= 10_000 {
            extracted.push(took * 1e6);
            verified.push(checked * 1e6);
        }
    }
    for i in 0..3_000 {
        let data = &bytes[i * 4_096..][..4_096];
        updated.push(seconds(|| apply(projection, UPDATE, offset(i), 4_096, data)) * 1e6);
    }
    println!("\none call, median in microseconds");
    for (name, times) in [
        ("a shard of 4 KiB", &mut extracted),
        ("its verification", &mut verified),
        ("an update of 4 KiB", &mut updated),
    ] {
        println!("  {name:<30} {:>8.2}", median(times));
    }
    unsafe {
        sys::atlas_projection_destroy(projection);
        sys::atlas_source_destroy(source);
    }
}
