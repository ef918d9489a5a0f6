//! The figures that streaming promises, each against its limit in the same run.
//!
//! Usage: atlas_bench_stream [file DIR | cold DIR | push DIR | resident DIR]
//!
//! `file` and `cold` alternate the runs on a file of 4 GiB and show medians with the spread of the
//! ratio. For `file` it is read back into the cache first, as it would be found there: what was just
//! written lies there differently. `resident` starts itself anew for each line of its table.

mod sys;

use crate::sys::{Chunk, Operation, Source, StreamConfig, check};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::ptr::{null, null_mut};
use std::time::Instant;

const MIB: u64 = 1 << 20;

fn random(bytes: &mut [u8], seed: u64) {
    let mut state = seed;
    for part in bytes.chunks_mut(8) {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        part.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..part.len()]);
    }
}

fn operation(threads: u32) -> Operation {
    let mut operation =
        Operation { struct_size: 0, pool: null(), progress: None, user_data: null_mut(), memory_limit: 0 };
    let mut pool = null_mut();
    unsafe {
        sys::atlas_operation_init(&raw mut operation);
        check(sys::atlas_pool_create(threads, &raw mut pool));
    }
    operation.pool = pool;
    operation
}

fn open(path: &str, io: u32) -> *mut Source {
    let path = CString::new(path).expect("a path");
    let mut source = null_mut();
    check(unsafe { sys::atlas_source_open_file(path.as_ptr(), io, &raw mut source) });
    source
}

/// Streams the file and takes the root.
fn stream(source: *mut Source, operation: &Operation) -> [u8; 32] {
    let (mut projection, mut root) = (null_mut(), [0; 32]);
    unsafe {
        check(sys::atlas_stream_project(0, source, null(), null(), operation, &raw mut projection));
        check(sys::atlas_projection_root(projection, operation, root.as_mut_ptr()));
        sys::atlas_projection_destroy(projection);
    }
    root
}

/// Streams like [`stream`], with nothing read ahead.
fn stream_without_hints(source: *mut Source, operation: &Operation) {
    let mut config = StreamConfig {
        struct_size: 0,
        chunk_size: 0,
        parallel_chunks: 0,
        prefetch_chunks: 0,
        chunk_overlap: 0,
        io_buffer_size: 0,
    };
    let mut projection = null_mut();
    unsafe {
        sys::atlas_stream_config_init(&raw mut config);
        config.prefetch_chunks = 0;
        check(sys::atlas_stream_project(
            0,
            source,
            null(),
            &raw const config,
            operation,
            &raw mut projection,
        ));
        sys::atlas_projection_destroy(projection);
    }
}

/// Every chunk shown.
fn walk(source: *mut Source, operation: &Operation) {
    let (mut stream, mut projection) = (null_mut(), null_mut());
    unsafe {
        check(sys::atlas_stream_open(0, source, null(), null(), operation, &raw mut stream));
        let mut more = true;
        while more {
            let mut chunk = Chunk {
                struct_size: size_of::<Chunk>() as u32,
                residue: 0,
                id: 0,
                offset: 0,
                data: null(),
                size: 0,
                overlap: null(),
                overlap_size: 0,
            };
            check(sys::atlas_stream_next(stream, &raw mut chunk, &raw mut more));
        }
        check(sys::atlas_stream_finish(stream, &raw mut projection));
        sys::atlas_stream_destroy(stream);
        sys::atlas_projection_destroy(projection);
    }
}

/// Reads the file in pieces and pushes them, to memory or to a spool file.
fn push(path: &str, spool: Option<&CStr>, buffer: &mut [u8], operation: &Operation) {
    let spool = spool.map_or(null(), CStr::as_ptr);
    let (mut stream, mut projection) = (null_mut(), null_mut());
    let mut file = File::open(path).expect("the file is there");
    unsafe {
        check(sys::atlas_stream_open_push(0, spool, null(), null(), operation, &raw mut stream));
        loop {
            let len = file.read(buffer).expect("it can be read");
            if len == 0 {
                break;
            }
            check(sys::atlas_stream_push(stream, buffer.as_ptr().cast(), len));
        }
        check(sys::atlas_stream_finish(stream, &raw mut projection));
        sys::atlas_stream_destroy(stream);
        sys::atlas_projection_destroy(projection);
    }
}

fn create(source: *mut Source, operation: &Operation) {
    let mut projection = null_mut();
    unsafe {
        check(sys::atlas_projection_create(0, source, null(), operation, &raw mut projection));
        sys::atlas_projection_destroy(projection);
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

type Case<'a> = (&'a str, Box<dyn FnMut() + 'a>);

fn compare(title: &str, bytes: u64, rounds: usize, before: &dyn Fn(), cases: &mut [Case<'_>]) {
    let mut times = vec![Vec::new(); cases.len()];
    for round in 0..=rounds {
        for (case, times) in cases.iter_mut().zip(&mut times) {
            before();
            let start = Instant::now();
            case.1();
            if round > 0 {
                times.push(start.elapsed().as_secs_f64());
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
            "  {name:<40} {:>8.3} GB/s   {ratio:>6.3} ({:.3}..{:.3})",
            bytes as f64 / typical / 1e9,
            ratios[0],
            ratios[ratios.len() - 1]
        );
    }
}

/// A file of `size` bytes: all random, or one MiB in 64.
fn make(path: &str, size: u64, sparse: bool) {
    let file = File::create(path).expect("a file to write");
    file.set_len(size).expect("room");
    let mut part = vec![0; MIB as usize];
    for offset in (0..size).step_by(if sparse { 64 * MIB as usize } else { MIB as usize }) {
        random(&mut part, offset);
        file.write_all_at(&part, offset).expect("room");
    }
    file.sync_all().expect("a flushed file");
}

fn drop_cache(path: &str) {
    let file = File::open(path).expect("the file is there");
    file.sync_all().expect("a flushed file");
    assert_eq!(unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) }, 0);
}

fn read_all(path: &str, buffer: &mut [u8]) {
    let mut file = File::open(path).expect("the file is there");
    while file.read(buffer).expect("it can be read") > 0 {}
}

fn pushes(dir: &str) {
    let path = format!("{dir}/atlas-stream-{}.bin", std::process::id());
    let target = CString::new(format!("{path}.spool")).expect("a path");
    let spool = Some(&*target);
    let size = 512 * MIB;
    make(&path, size, false);
    let (one, two) = (operation(1), operation(2));
    let mib = |mib: usize| vec![0; mib << 20];
    let mut read = mib(1);
    let mut cases: Vec<Case<'_>> = vec![("a plain sequential read", Box::new(|| read_all(&path, &mut read)))];
    for (name, spool, size, operation) in [
        ("to memory, 16 MiB, two threads", None, 16, &two),
        ("to memory, 1 MiB, two threads", None, 1, &two),
        ("to memory, 1 MiB, one thread", None, 1, &one),
        ("to a spool, 16 MiB, two threads", spool, 16, &two),
        ("to a spool, 1 MiB, two threads", spool, 1, &two),
        ("to a spool, 1 MiB, one thread", spool, 1, &one),
    ] {
        let (mut buffer, path) = (mib(size), &path);
        cases.push((name, Box::new(move || push(path, spool, &mut buffer, operation))));
    }
    compare(&format!("512 MiB of a file in {dir}, pushed in pieces"), size, 5, &|| (), &mut cases);
    drop(cases);
    std::fs::remove_file(&path).expect("the file is there");
    std::fs::remove_file(target.to_str().expect("a path")).expect("the file is there");
}

fn file(dir: &str, cold: bool) {
    let path = format!("{dir}/atlas-stream-{}.bin", std::process::id());
    let size = 4096 * MIB;
    make(&path, size, false);
    let (two, read, mapped) = (operation(2), open(&path, 0), open(&path, 1));
    let mut buffer = vec![0; MIB as usize];
    drop_cache(&path);
    read_all(&path, &mut buffer);
    let streams: [Case<'_>; 7] = [
        (
            "stream_project, positioned reads",
            Box::new(|| {
                stream(read, &two);
            }),
        ),
        (
            "stream_project, mapped",
            Box::new(|| {
                stream(mapped, &two);
            }),
        ),
        ("stream_project, positioned, no prefetch", Box::new(|| stream_without_hints(read, &two))),
        ("stream_project, mapped, no prefetch", Box::new(|| stream_without_hints(mapped, &two))),
        ("every chunk shown, positioned reads", Box::new(|| walk(read, &two))),
        ("every chunk shown, mapped", Box::new(|| walk(mapped, &two))),
        ("projection_create, positioned reads", Box::new(|| create(read, &two))),
    ];
    if cold {
        let plain: Case<'_> = ("a plain sequential read", Box::new(|| read_all(&path, &mut buffer)));
        let mut cases: Vec<Case<'_>> = [plain].into_iter().chain(streams).collect();
        let title = format!("4 GiB in {dir}, not in the page cache, two threads");
        compare(&title, size, 5, &|| drop_cache(&path), &mut cases);
    } else {
        let hash = || {
            let mut hasher = blake3::Hasher::new();
            hasher.update_mmap_rayon(&path).expect("a mapping");
            std::hint::black_box(hasher.finalize());
        };
        let blake3: Case<'_> = ("blake3 update_mmap_rayon", Box::new(hash));
        let mut cases: Vec<Case<'_>> = [blake3].into_iter().chain(streams).collect();
        let title = format!("4 GiB in {dir}, in the page cache, two threads");
        compare(&title, size, 7, &|| (), &mut cases);
    }
    unsafe {
        sys::atlas_source_destroy(read);
        sys::atlas_source_destroy(mapped);
    }
    std::fs::remove_file(&path).expect("the file is there");
}

/// The peak of this process's resident memory in KiB, since the last reset.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

fn resident_once(path: &str, io: u32) {
    let operation = operation(2);
    let source = open(path, io);
    std::fs::write("/proc/self/clear_refs", "5").expect("a reset of the peak");
    let before = peak();
    let start = Instant::now();
    let root = stream(source, &operation);
    let seconds = start.elapsed().as_secs_f64();
    let above = (peak() - before) as f64 / 1024.0;
    println!(
        "{above:>10.1} MiB above {:.1}   {seconds:>7.1} s   root {:02x}{:02x}..",
        before as f64 / 1024.0,
        root[0],
        root[1]
    );
}

fn resident(dir: &str) {
    for gib in [1, 16, 64] {
        let path = format!("{dir}/atlas-stream-{}.bin", std::process::id());
        make(&path, gib * 1024 * MIB, true);
        for (io, name) in [("0", "positioned"), ("1", "mapped")] {
            print!("{gib:>3} GiB, {name:<12}");
            std::io::Write::flush(&mut std::io::stdout()).expect("an output");
            let me = std::env::current_exe().expect("a program");
            let status =
                std::process::Command::new(me).args(["once", &path, io]).status().expect("a process");
            assert!(status.success());
        }
        std::fs::remove_file(&path).expect("the file is there");
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["file", dir] => file(dir, false),
        ["cold", dir] => file(dir, true),
        ["push", dir] => pushes(dir),
        ["resident", dir] => resident(dir),
        ["once", path, io] => resident_once(path, io.parse().expect("0 or 1")),
        _ => {
            eprintln!("usage: atlas_bench_stream [file DIR | cold DIR | push DIR | resident DIR]");
            std::process::exit(2);
        }
    }
}
