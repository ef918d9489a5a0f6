//! The library beside what people would use instead, on the same inputs, in alternating runs of one
//! process: `make bench-peers`. Losses are shown as plainly as wins.
//!
//! Usage: atlas_bench_peers PEERS_FOLDER REPORT [projecting | files | compression | codecs | updates | patches | durable | outlines | r96]...

#[path = "../base.rs"]
mod base;
mod codecs;
mod corpora;
mod durable;
#[path = "../suite/machine.rs"]
mod machine;
mod measure;
mod outlines;
/// The library's own transform, which uses nothing else of it.
#[path = "../../../src/r96/mod.rs"]
#[allow(dead_code)]
mod r96;
#[path = "../sys.rs"]
mod sys;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use libdeflater::{CompressionLvl, Compressor, Decompressor};
use measure::{Report, case, timing};
use r96::{CLASS_BLOCK_BYTES, CLASSES, Decoder, Encoder, block_bytes};
use realfft::RealFftPlanner;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_uchar, c_void};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::ptr::{null, null_mut};
use std::time::Instant;
use sys::check;

const MIB: usize = 1 << 20;
const BLOCK: usize = 128 << 10;

unsafe extern "C" {
    fn peer_blosc_new(
        type_size: i32,
        codec: u8,
        level: u8,
        filter: c_int,
        chunk: i32,
        block: i32,
    ) -> *mut c_void;
    fn peer_blosc_free(schunk: *mut c_void);
    fn peer_blosc_append(schunk: *mut c_void, data: *const u8, size: usize, chunk: i32) -> i64;
    fn peer_blosc_unpack(schunk: *mut c_void, out: *mut u8, chunk: i32) -> i64;
    fn peer_blosc_update(schunk: *mut c_void, scratch: *mut u8, at: i64, data: *const u8, count: i32)
    -> bool;
    fn peer_blosc_insert(schunk: *mut c_void, scratch: *mut u8, at: i64, data: *const u8, count: i32)
    -> bool;
    fn peer_blosc_insert_chunk(schunk: *mut c_void, index: i64, data: *const u8) -> bool;
    fn peer_blosc_delete_chunk(schunk: *mut c_void, index: i64) -> bool;
    fn peer_blosc_open_frame(path: *const c_char, data: *const u8, size: usize, chunk: i32) -> *mut c_void;
    fn peer_blosc_version() -> *const c_char;
    fn peer_isal_version() -> *const c_char;
    fn peer_isal_new() -> *mut c_void;
    fn peer_isal_free(isal: *mut c_void);
    fn peer_isal_encode(
        isal: *mut c_void,
        len: c_int,
        data: *const *const c_uchar,
        parity: *const *mut c_uchar,
    );
    fn peer_isal_decode(
        isal: *mut c_void,
        len: c_int,
        have: *const *const c_uchar,
        lost: *const *mut c_uchar,
    ) -> c_int;
}

fn operation(threads: u32) -> sys::Operation {
    let mut pool = null_mut();
    check(unsafe { sys::atlas_pool_create(threads, &raw mut pool) });
    let mut operation =
        sys::Operation { struct_size: 0, pool, progress: None, user_data: null_mut(), memory_limit: 0 };
    unsafe { sys::atlas_operation_init(&raw mut operation) };
    operation.pool = pool;
    operation
}

/// SplitMix64, so that nothing compresses or repeats.
fn random_bytes(len: usize) -> Vec<u8> {
    let mut state = 7u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&next(&mut state).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A projection with its root.
fn project(
    source: *const sys::Source,
    kind: u32,
    k: u32,
    operation: &sys::Operation,
) -> *mut sys::Projection {
    let mut options =
        sys::ProjectionOptions { struct_size: 0, conservation: 0, r96_data_classes: k, key: null() };
    let mut projection = null_mut();
    unsafe {
        sys::atlas_projection_options_init(&raw mut options);
        options.r96_data_classes = k;
        let options = (&raw const options).cast();
        check(sys::atlas_projection_create(kind, source, options, operation, &raw mut projection));
    }
    root(projection, operation);
    projection
}

fn root(projection: *const sys::Projection, operation: *const sys::Operation) {
    let mut root = [0; 32];
    check(unsafe { sys::atlas_projection_root(projection, operation, root.as_mut_ptr()) });
    black_box(root);
}

fn borrow(bytes: &[u8]) -> *mut sys::Source {
    let (mut source, data) = (null_mut(), bytes.as_ptr().cast());
    check(unsafe { sys::atlas_source_borrow(data, bytes.len(), None, null_mut(), &raw mut source) });
    source
}

fn projecting(report: &mut Report, random: &[u8]) {
    report.section(
        "Projecting 1 GiB in memory",
        "A projection with its root: witnesses and residues of all tiles. BLAKE3 computes one digest of all \
         bytes.",
    );
    let source = borrow(random);
    let (one, two) = (operation(1), operation(2));
    let run = |kind, operation: &sys::Operation| {
        unsafe { sys::atlas_projection_destroy(project(source, kind, 96, operation)) };
    };
    let threads = rayon_of_two();
    report.against(
        random.len(),
        &mut [case("LINEAR, one thread", || run(0, &one)), case("`blake3::hash`", || blake3::hash(random))],
    );
    report.against(
        random.len(),
        &mut [
            case("LINEAR, two threads", || run(0, &two)),
            case("blake3 `update_rayon`, two threads", || {
                threads.install(|| blake3::Hasher::new().update_rayon(random).finalize())
            }),
        ],
    );
    report.against(
        random.len(),
        &mut [
            case("R96_FOURIER, K = 96, one thread", || run(1, &one)),
            case("`blake3::hash`", || blake3::hash(random)),
        ],
    );
    unsafe { sys::atlas_source_destroy(source) };
}

fn rayon_of_two() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads")
}

/// Runs a program and waits for it; its output is thrown away.
fn run_program(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) {
    let status = Command::new(program.as_ref()).args(arguments).stdout(Stdio::null()).status();
    let status = status.unwrap_or_else(|error| panic!("{}: {error}", program.as_ref().to_string_lossy()));
    assert!(status.success(), "{}: {status}", program.as_ref().to_string_lossy());
}

/// Files that are gone with this, also where a panic ends the run.
struct Files(Vec<String>);

impl Drop for Files {
    fn drop(&mut self) {
        self.0.iter().for_each(|path| drop(std::fs::remove_file(path)));
    }
}

/// Writes a file, to the disk and not only to the page cache, whose writing back would go on beside what
/// is timed.
fn write(path: &str, bytes: &[u8]) {
    let written = std::fs::File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.unwrap_or_else(|error| panic!("{path}: {error}"));
}

fn files(report: &mut Report, peers: &Path, random: &[u8]) {
    report.section(
        "Projecting a file of 1 GiB in the page cache, two threads",
        "The file was flushed before, and the first round, which does not count, reads all of it into the \
         cache. This library reads by position; BLAKE3 maps the file; the time of `b3sum` includes the \
         start of the program.",
    );
    let two = operation(2);
    let threads = rayon_of_two();
    for (place, name) in [("/dev/shm".to_owned(), "shared memory"), (peers.display().to_string(), "disk")] {
        let path = format!("{place}/atlas-peers-{}.bin", std::process::id());
        let _files = Files(vec![path.clone()]);
        write(&path, random);
        let c_path = CString::new(path.clone()).expect("a path");
        let mut source = null_mut();
        check(unsafe { sys::atlas_source_open_file(c_path.as_ptr(), 0, &raw mut source) });
        report.against(
            random.len(),
            &mut [
                case(&format!("LINEAR, {name}"), || unsafe {
                    sys::atlas_projection_destroy(project(source, 0, 96, &two));
                }),
                case("blake3 `update_mmap_rayon`", || {
                    threads.install(|| {
                        let mut hasher = blake3::Hasher::new();
                        hasher.update_mmap_rayon(&path).expect("a mapping");
                        hasher.finalize()
                    })
                }),
                case("`b3sum`", || run_program(peers.join("bin/b3sum"), &["--num-threads", "2", &path])),
            ],
        );
        unsafe { sys::atlas_source_destroy(source) };
    }
}

struct Packed {
    shard: *mut sys::Shard,
    compressed: RefCell<*mut sys::CompressedShard>,
    config: sys::CompressionConfig,
}

impl Packed {
    fn new(bytes: &[u8], algorithm: u32, verify_integrity: u32, operation: &sys::Operation) -> Packed {
        let source = borrow(bytes);
        let (projection, mut shard) = (project(source, 0, 96, operation), null_mut());
        let region = sys::Region { offset: 0, length: bytes.len() as u64 };
        let mut config = unsafe { std::mem::zeroed() };
        unsafe {
            check(sys::atlas_shard_extract(projection, &raw const region, operation, &raw mut shard));
            sys::atlas_projection_destroy(projection);
            sys::atlas_source_destroy(source);
            sys::atlas_compression_config_init(&raw mut config);
        }
        config = sys::CompressionConfig { algorithm, block_size: BLOCK as u64, verify_integrity, ..config };
        Packed::with(shard, config)
    }

    fn with(shard: *mut sys::Shard, config: sys::CompressionConfig) -> Packed {
        Packed { shard, compressed: RefCell::new(null_mut()), config }
    }

    fn pack(&self, operation: &sys::Operation) {
        let mut out = null_mut();
        check(unsafe {
            sys::atlas_shard_compress(self.shard, &raw const self.config, operation, &raw mut out)
        });
        unsafe { sys::atlas_compressed_shard_destroy(self.compressed.replace(out)) };
    }

    fn unpack(&self, operation: &sys::Operation) {
        let mut back = null_mut();
        unsafe {
            check(sys::atlas_shard_decompress(*self.compressed.borrow(), null(), operation, &raw mut back));
            sys::atlas_shard_destroy(back);
        }
    }

    fn size(&self) -> u64 {
        self.info().compressed_size
    }

    fn algorithm(&self) -> u32 {
        self.info().algorithm
    }

    fn info(&self) -> sys::CompressedInfo {
        let mut info: sys::CompressedInfo = unsafe { std::mem::zeroed() };
        info.struct_size = size_of::<sys::CompressedInfo>() as u32;
        check(unsafe { sys::atlas_compressed_shard_get_info(*self.compressed.borrow(), &raw mut info) });
        info
    }
}

impl Drop for Packed {
    fn drop(&mut self) {
        unsafe {
            sys::atlas_compressed_shard_destroy(*self.compressed.borrow());
            sys::atlas_shard_destroy(self.shard);
        }
    }
}

struct Blosc {
    codec: u8,
    level: u8,
    type_size: i32,
    /// None, shuffle, or shuffle and bytedelta.
    filter: c_int,
    /// Bytes of a block; 0: as it chooses.
    block: i32,
    schunk: *mut c_void,
    size: i64,
    /// The unpacked bytes.
    out: Vec<u8>,
}

impl Blosc {
    fn new(codec: u8, level: u8, type_size: i32, len: usize) -> Blosc {
        let filter = c_int::from(type_size > 1);
        Blosc { codec, level, type_size, filter, block: 0, schunk: null_mut(), size: 0, out: vec![0; len] }
    }

    fn pack(&mut self, bytes: &[u8]) {
        unsafe { peer_blosc_free(self.schunk) };
        let (type_size, chunk) = (self.type_size, MIB as i32);
        self.schunk =
            unsafe { peer_blosc_new(type_size, self.codec, self.level, self.filter, chunk, self.block) };
        self.size = unsafe { peer_blosc_append(self.schunk, bytes.as_ptr(), bytes.len(), chunk) };
        assert!(self.size > 0);
    }

    fn unpack(&mut self) {
        let total = unsafe { peer_blosc_unpack(self.schunk, self.out.as_mut_ptr(), MIB as i32) };
        assert!(usize::try_from(total) == Ok(self.out.len()));
    }
}

impl Drop for Blosc {
    fn drop(&mut self) {
        unsafe { peer_blosc_free(self.schunk) };
    }
}

/// Each block of the data as its own stream, packed and unpacked by closures.
struct Streams {
    block: usize,
    /// Buffers that stay, and how much of each the stream takes.
    packed: Vec<(Vec<u8>, usize)>,
    out: Vec<u8>,
}

impl Streams {
    fn new(len: usize) -> RefCell<Streams> {
        RefCell::new(Streams::of(len, BLOCK))
    }

    fn of(len: usize, block: usize) -> Streams {
        Streams { block, packed: vec![(Vec::new(), 0); len.div_ceil(block)], out: vec![0; block] }
    }

    /// `pack` gives the size of the stream.
    fn pack(&mut self, bytes: &[u8], mut pack: impl FnMut(&[u8], &mut Vec<u8>) -> usize) {
        for (block, (packed, size)) in bytes.chunks(self.block).zip(&mut self.packed) {
            *size = pack(block, packed);
        }
    }

    fn unpack(&mut self, len: usize, mut unpack: impl FnMut(&[u8], &mut [u8])) {
        let mut rest = len;
        for (packed, size) in &self.packed {
            let part = rest.min(self.block);
            unpack(&packed[..*size], &mut self.out[..part]);
            rest -= part;
        }
    }

    fn size(&self) -> usize {
        self.packed.iter().map(|packed| packed.1).sum()
    }
}

fn compression(report: &mut Report, peers: &Path, random: &[u8]) {
    let corpora = corpora::all(peers, random);
    report.line("\n| data | bytes | BLAKE3 | from |\n|---|---:|---|---|");
    for corpora::Corpus { name, bytes, from, .. } in &corpora {
        let digest = blake3::hash(bytes).to_hex();
        report.line(&format!("| {name} | {} | `{}` | {from} |", bytes.len(), &digest[..16]));
    }
    report.section(
        "Compression, one thread, blocks of 128 KiB",
        "After each name follows the ratio of original to compressed size. This library and DEFLATE use \
         level 6; c-blosc2 uses its shuffle and the declared size of the numbers, chunks of 1 MiB. This \
         library checks residues and digests when it decompresses, and verifies the shard against its root; \
         the others check nothing. With `verify_integrity`, which is on by default, it also decompresses \
         each block again and compares it before it returns. This is on only in the rows that say so.",
    );
    let one = operation(1);
    for corpora::Corpus { name, bytes, type_size, .. } in corpora {
        let len = bytes.len();
        let ours = [Packed::new(&bytes, 2, 0, &one), Packed::new(&bytes, 1, 0, &one)];
        let verifying = Packed::new(&bytes, 2, 1, &one);
        let zlib = RefCell::new((Compress::new(Compression::new(6), false), Decompress::new(false)));
        let deflate =
            RefCell::new((Compressor::new(CompressionLvl::new(6).expect("a level")), Decompressor::new()));
        let (plain, theirs) = (Streams::new(len), Streams::new(len));
        let pack_plain = || {
            plain.borrow_mut().pack(&bytes, |block, packed| {
                let stream = &mut zlib.borrow_mut().0;
                stream.reset();
                packed.clear();
                packed.reserve(block.len() + block.len() / 100 + 1_000);
                stream.compress_vec(block, packed, FlushCompress::Finish).expect("a stream");
                packed.len()
            });
        };
        let unpack_plain = || {
            plain.borrow_mut().unpack(len, |packed, out| {
                let stream = &mut zlib.borrow_mut().1;
                stream.reset(false);
                stream.decompress(packed, out, FlushDecompress::Finish).expect("a stream");
            });
        };
        let pack_deflate = || {
            theirs.borrow_mut().pack(&bytes, |block, packed| {
                let stream = &mut deflate.borrow_mut().0;
                // At its length after the first time: no byte is cleared in its time.
                packed.resize(stream.deflate_compress_bound(BLOCK), 0);
                stream.deflate_compress(block, packed).expect("room")
            });
        };
        let unpack_deflate = || {
            theirs.borrow_mut().unpack(len, |packed, out| {
                deflate.borrow_mut().1.deflate_decompress(packed, out).expect("a stream");
            });
        };
        // DEFLATE at level 6, and zstd at the 5 of 9 that is c-blosc2's default.
        let (mut blosc, mut zstd) = (Blosc::new(4, 6, type_size, len), Blosc::new(5, 5, type_size, len));
        // Once each, for the sizes and for the packed input of the unpacking.
        ours.iter().for_each(|packed| packed.pack(&one));
        pack_plain();
        pack_deflate();
        blosc.pack(&bytes);
        zstd.pack(&bytes);
        let note = |size: f64| format!(" [{:.3}]", len as f64 / size);
        let shared = [
            note(plain.borrow().size() as f64),
            note(theirs.borrow().size() as f64),
            note(blosc.size as f64),
            note(zstd.size as f64),
        ];
        report.against(
            len,
            &mut [
                case(&format!("{name}: conservation-aware with `verify_integrity`"), || verifying.pack(&one)),
                case("zlib-rs", pack_plain),
                case("libdeflate", pack_deflate),
            ],
        );
        for (ours, kind) in ours.iter().zip(["conservation-aware", "DEFLATE"]) {
            let notes: Vec<String> =
                std::iter::once(note(ours.size() as f64)).chain(shared.clone()).collect();
            report.against_with(
                len,
                &mut [
                    case(&format!("{name}: {kind}"), || ours.pack(&one)),
                    case("zlib-rs", pack_plain),
                    case("libdeflate", pack_deflate),
                    case("c-blosc2, DEFLATE", || blosc.pack(&bytes)),
                    case("c-blosc2, zstd", || zstd.pack(&bytes)),
                ],
                &notes,
            );
            report.against(
                len,
                &mut [
                    case(&format!("{name}: {kind}, unpack"), || ours.unpack(&one)),
                    case("zlib-rs", unpack_plain),
                    case("libdeflate", unpack_deflate),
                    case("c-blosc2, DEFLATE", || blosc.unpack()),
                    case("c-blosc2, zstd", || zstd.unpack()),
                ],
            );
        }
    }
}

fn apply(projection: *mut sys::Projection, kind: u32, offset: u64, length: u64, data: &[u8]) {
    let (data, data_size) = (data.as_ptr().cast(), data.len());
    let delta = sys::Delta { r#type: kind, offset, length, destination: 0, data, data_size };
    check(unsafe { sys::atlas_projection_apply(projection, &raw const delta) });
}

/// The mean time of `count` calls.
fn mean(count: u32, mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..count).for_each(|_| call());
    start.elapsed().as_secs_f64() / f64::from(count)
}

fn updates(report: &mut Report, random: &[u8]) {
    report.section(
        "Changes of 4 KiB in 1 GiB of memory",
        "At random places. c-blosc2 without compression, chunks of 1 MiB. It has no insertion at a byte: \
         the nearest operations are inserting a whole chunk at a chunk's place, and shifting every later \
         chunk. With the root, this library hashes the changes; the others keep no digest.",
    );
    const COUNT: u32 = 300;
    let (size, data) = (random.len() as u64, &random[5_000..9_096]);
    let source = borrow(random);
    let two = operation(2);
    let projection = project(source, 0, 96, &two);
    let schunk = unsafe { peer_blosc_new(1, 1, 0, 0, MIB as i32, 0) };
    assert!(unsafe { peer_blosc_append(schunk, random.as_ptr(), random.len(), MIB as i32) } > 0);
    let mut scratch = vec![0u8; 2 * MIB];
    let scratch = scratch.as_mut_ptr();
    let state = RefCell::new(1u64);
    let place = || {
        let any = next(&mut state.borrow_mut()) % (size - 8_192);
        // Within one chunk, which is easier for c-blosc2.
        if any % MIB as u64 > MIB as u64 - 4_096 { any - 4_096 } else { any }
    };
    let update = || apply(projection, 1, place(), 4_096, data);
    let blosc_update = || {
        assert!(unsafe { peer_blosc_update(schunk, scratch, place() as i64, data.as_ptr(), 4_096) });
    };
    report.against(
        0,
        &mut [
            timing("update in place", || mean(COUNT, update)),
            timing("c-blosc2 `update_chunk`", || mean(COUNT, blosc_update)),
        ],
    );
    let with_root = || {
        update();
        root(projection, &two);
    };
    report.against(
        0,
        &mut [
            timing("update in place, and the root", || mean(COUNT, with_root)),
            timing("c-blosc2 `update_chunk`", || mean(COUNT, blosc_update)),
        ],
    );
    let insert = || apply(projection, 0, place(), 0, data);
    let delete = || apply(projection, 2, place(), 4_096, &[]);
    let both = || {
        let time = mean(COUNT, insert);
        (0..COUNT).for_each(|_| delete());
        time
    };
    let chunk_insert = || {
        let mut times = 0.0;
        for _ in 0..30 {
            let index = (place() / MIB as u64) as i64;
            times += mean(1, || assert!(unsafe { peer_blosc_insert_chunk(schunk, index, random.as_ptr()) }));
            assert!(unsafe { peer_blosc_delete_chunk(schunk, index) });
        }
        times / 30.0
    };
    let mut memory = random.to_vec();
    let at = |rest: u64| (size - rest) as usize;
    report.against(
        0,
        &mut [
            timing("insert at any byte", both),
            timing("c-blosc2 `insert_chunk`, 1 MiB at a chunk's place", chunk_insert),
            timing("c-blosc2, the tail shifted chunk by chunk, from the middle", || {
                let middle = (size / 2 + 5) as i64;
                mean(1, || {
                    assert!(unsafe { peer_blosc_insert(schunk, scratch, middle, data.as_ptr(), 4_096) })
                })
            }),
            timing("memmove of the tail, from the middle", || {
                mean(1, || {
                    memory.copy_within(at(size / 2)..at(4_096), at(size / 2) + 4_096);
                    memory[at(size / 2)..][..4_096].copy_from_slice(data);
                    black_box(&memory);
                })
            }),
        ],
    );
    unsafe {
        peer_blosc_free(schunk);
        sys::atlas_projection_destroy(projection);
        sys::atlas_source_destroy(source);
    }
}

fn patches(report: &mut Report, random: &[u8], peers: &Path) {
    report.section(
        "Rewriting a file of 256 MiB with 4 KiB inserted",
        "This library: the file projected before, an insert, and the new file flushed to the disk and \
         renamed. rdiff: a patch with a delta made before; its time includes the start of the program, and \
         it does not flush. The old file is in the page cache.",
    );
    let two = operation(2);
    let (bytes, data, middle) = (&random[..256 * MIB], &random[5_000..9_096], 100 * MIB + 77);
    for (place, name) in [("/dev/shm", "shared memory"), (&peers.display().to_string(), "disk")] {
        let base = format!("{place}/atlas-peers-{}", std::process::id());
        let names = ["old", "signature", "new", "delta", "patched", "written"];
        let names = names.map(|name| format!("{base}.{name}"));
        let [old, signature, new, delta, patched, written] = &names;
        let _files = Files(names.to_vec());
        write(old, bytes);
        write(new, &[&bytes[..middle], data, &bytes[middle..]].concat());
        run_program("rdiff", &["signature", old, signature]);
        run_program("rdiff", &["delta", signature, new, delta]);
        let path = CString::new(old.clone()).expect("a path");
        let mut source = null_mut();
        check(unsafe { sys::atlas_source_open_file(path.as_ptr(), 0, &raw mut source) });
        let projection = project(source, 0, 96, &two);
        let out = CString::new(written.clone()).expect("a path");
        let write = || {
            let time = mean(1, || {
                apply(projection, 0, middle as u64, 0, data);
                check(unsafe { sys::atlas_projection_write_file(projection, out.as_ptr(), &raw const two) });
            });
            check(unsafe { sys::atlas_projection_rollback(projection, 1) });
            time
        };
        let patch = || {
            drop(std::fs::remove_file(patched));
            mean(1, || run_program("rdiff", &["patch", old, delta, patched]))
        };
        let title = format!("insert and write, {name}");
        report.against(bytes.len(), &mut [timing(&title, write), timing("`rdiff patch`", patch)]);
        assert!(std::fs::read(written).ok() == std::fs::read(patched).ok(), "both made the same file");
        unsafe {
            sys::atlas_projection_destroy(projection);
            sys::atlas_source_destroy(source);
        }
    }
}

fn transforms(report: &mut Report, random: &[u8]) {
    report.section(
        "The exact transform, one thread",
        "512 blocks, more than any cache holds; `realfft` in f32 on the same 12,288 symbols per block. Both \
         rates are in bytes of the symbols. The C API has no function for the transform alone: `src/r96` is \
         compiled into this program, here and in the next table, and no other part of the library runs.",
    );
    const BLOCKS: usize = 512;
    let bytes = &random[..BLOCKS * block_bytes(96)];
    let symbols: Vec<f32> = (0..BLOCKS * 12_288)
        .map(|m| {
            let (byte, bit) = (13 * m / 8, 13 * m % 8);
            let window: u32 = (0..3).map(|i| u32::from(*bytes.get(byte + i).unwrap_or(&0)) << (8 * i)).sum();
            (window >> bit & 0x1fff) as f32
        })
        .collect();
    let plan = RealFftPlanner::<f32>::new().plan_fft_forward(12_288);
    let (mut input, mut output, mut work) =
        (plan.make_input_vec(), plan.make_output_vec(), plan.make_scratch_vec());
    let mut spectrum = vec![0; BLOCKS * CLASSES * CLASS_BLOCK_BYTES];
    let k96 = Encoder::new(96).expect("K");
    report.against(
        bytes.len(),
        &mut [
            case("forward, K = 96", || k96.encode(bytes, &mut spectrum)),
            case("realfft", || {
                for block in symbols.chunks_exact(12_288) {
                    input.copy_from_slice(block);
                    plan.process_with_scratch(&mut input, &mut output, &mut work).expect("a plan");
                    black_box(&output);
                }
            }),
        ],
    );

    report.section(
        "Erasure codes: 64 of 96, one thread",
        "64 MiB of data; the rates are of the data. This library transforms them into 96 classes, none of \
         which is the data. The others are systematic: they keep the data and add 32 shards, so that half \
         of this library's work has no counterpart, and of 32 lost shards a third are parity. Every third \
         shard is lost. reed-solomon-simd needs copies of the shards, which its time includes.",
    );
    let encoder = Encoder::new(64).expect("K");
    // Whole blocks, the same for all.
    let blocks = 64 * MIB / block_bytes(64);
    let data = &random[..blocks * block_bytes(64)];
    let class_len = blocks * CLASS_BLOCK_BYTES;
    let mut classes = vec![0u8; CLASSES * class_len];
    encoder.encode(data, &mut classes).expect("memory");
    let kept: Vec<u8> = (0..96).filter(|class| class % 3 != 2).collect();
    let payloads = classes.clone();
    let payloads: Vec<&[u8]> =
        kept.iter().map(|&class| &payloads[usize::from(class) * class_len..][..class_len]).collect();
    let decoder = Decoder::new(64, &kept).expect("K");
    let mut rebuilt = vec![0u8; data.len()];

    // 64 shards of 64 bytes' multiples, which reed-solomon-simd wants.
    let shard = data.len() / 64 / 64 * 64;
    let shards: Vec<&[u8]> = data.chunks_exact(shard).take(64).collect();
    let parity = RefCell::new(vec![vec![0u8; shard]; 32]);
    let pointers: Vec<*const u8> = shards.iter().map(|shard| shard.as_ptr()).collect();
    let isal = unsafe { peer_isal_new() };
    let isal_encode = || {
        let out: Vec<*mut u8> = parity.borrow_mut().iter_mut().map(|shard| shard.as_mut_ptr()).collect();
        unsafe { peer_isal_encode(isal, shard as c_int, pointers.as_ptr(), out.as_ptr()) };
    };
    let simd = RefCell::new(reed_solomon_simd::ReedSolomonEncoder::new(64, 32, shard).expect("64 and 32"));
    let simd_encode = || {
        let mut simd = simd.borrow_mut();
        shards.iter().for_each(|shard| simd.add_original_shard(shard).expect("room"));
        let result = simd.encode().expect("all shards");
        result.recovery_iter().for_each(|shard| _ = black_box(shard));
    };
    report.against(
        data.len(),
        &mut [
            case("encode", || encoder.encode(data, &mut classes)),
            case("ISA-L", isal_encode),
            case("reed-solomon-simd", simd_encode),
        ],
    );
    let recovery: Vec<Vec<u8>> = {
        let mut simd = simd.borrow_mut();
        shards.iter().for_each(|shard| simd.add_original_shard(shard).expect("room"));
        simd.encode().expect("all shards").recovery_iter().map(<[u8]>::to_vec).collect()
    };
    isal_encode();
    let isal_parity = parity.borrow().clone();
    let all =
        |index: usize| if index < 64 { shards[index].as_ptr() } else { isal_parity[index - 64].as_ptr() };
    let have: Vec<*const u8> = (0..96).filter(|index| index % 3 != 2).map(all).collect();
    let mut lost = vec![vec![0u8; shard]; 32];
    let isal_decode = || {
        let out: Vec<*mut u8> = lost.iter_mut().map(|shard| shard.as_mut_ptr()).collect();
        let count = unsafe { peer_isal_decode(isal, shard as c_int, have.as_ptr(), out.as_ptr()) };
        assert!(count == 21 && lost[0] == shards[2] && lost[20] == shards[62]);
    };
    let mut simd = reed_solomon_simd::ReedSolomonDecoder::new(64, 32, shard).expect("64 and 32");
    let simd_decode = || {
        for (index, shard) in shards.iter().enumerate().filter(|(index, _)| index % 3 != 2) {
            simd.add_original_shard(index, shard).expect("room");
        }
        for (index, shard) in recovery.iter().enumerate().filter(|(index, _)| (index + 64) % 3 != 2) {
            simd.add_recovery_shard(index, shard).expect("room");
        }
        let result = simd.decode().expect("enough shards");
        assert!(result.restored_original(62) == Some(shards[62]));
    };
    report.against(
        data.len(),
        &mut [
            case("rebuild from 64 of 96", || decoder.decode(&payloads, &mut rebuilt).expect("a spectrum")),
            case("ISA-L, the 21 lost of the data", isal_decode),
            case("reed-solomon-simd, the 21 lost of the data", simd_decode),
        ],
    );
    assert!(rebuilt == data);
    unsafe { peer_isal_free(isal) };
}

/// A part of the report: its name, its title, the crates and programs it compares with, and its function.
type Part<'a> = (&'static str, &'static str, &'static [&'static str], &'a dyn Fn(&mut Report));

/// Date, machine and peers of a measured part.
fn circumstances(title: &str, peers: &Path, names: &[&str]) -> String {
    let machine = machine::describe();
    let word = |name: &str| machine[name].as_str().unwrap_or("unknown").to_owned();
    let c = |text: *const c_char| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    let mut versions = machine::versions(include_str!("../../../Cargo.lock"), names);
    for name in names {
        match *name {
            "c-blosc2" => versions.push(format!("c-blosc2 {}", c(unsafe { peer_blosc_version() }))),
            "ISA-L" => versions.push(format!("ISA-L {}", c(unsafe { peer_isal_version() }))),
            "b3sum" => {
                versions.push(machine::run(&peers.join("bin/b3sum").to_string_lossy(), &["--version"]))
            }
            "rdiff" => {
                let text = machine::run("rdiff", &["--version"]);
                versions.push(text.lines().next().unwrap_or_default().to_owned());
            }
            _ => {}
        }
    }
    format!(
        "## {title}\n\n{}, revision {}; {}, {} CPUs, {} of memory, Linux {}; {}.",
        word("date"),
        word("revision"),
        word("processor"),
        machine["cpus"],
        word("memory"),
        word("kernel"),
        versions.join(", ")
    )
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let random = std::cell::OnceCell::new();
    let random = || random.get_or_init(|| random_bytes(1024 * MIB)).as_slice();
    let [peers, path, wanted @ ..] = &arguments[..] else { usage() };
    let peers = std::path::absolute(peers).expect("a folder");
    let parts: [Part<'_>; 9] = [
        ("projecting", "Projecting", &["blake3"], &|report| projecting(report, random())),
        ("files", "Files", &["blake3", "b3sum"], &|report| files(report, &peers, random())),
        ("compression", "Compression", &["zlib-rs", "libdeflate-sys", "c-blosc2"], &|report| {
            compression(report, &peers, random())
        }),
        ("codecs", "Codecs", &["zstd-sys", "lz4_flex", "libdeflate-sys", "blake3", "c-blosc2"], &|report| {
            codecs::codecs(report, &peers, random())
        }),
        ("updates", "Updates", &["c-blosc2"], &|report| updates(report, random())),
        ("patches", "Patches", &["rdiff"], &|report| patches(report, random(), &peers)),
        ("durable", "Durable changes", &["rusqlite", "libsqlite3-sys", "redb", "c-blosc2"], &|report| {
            durable::durable(report, &peers, random())
        }),
        ("outlines", "Outlines", &["bao-tree", "b3sum"], &|report| {
            outlines::outlines(report, &peers, random())
        }),
        ("r96", "R96", &["realfft", "reed-solomon-simd", "ISA-L"], &|report| transforms(report, random())),
    ];
    if let Some(unknown) = wanted.iter().find(|wanted| parts.iter().all(|part| part.0 != wanted.as_str())) {
        eprintln!("there is no part {unknown}");
        usage();
    }
    let mut report = Report::new(path, &parts.each_ref().map(|part| part.0));
    for (name, title, beside, run) in parts {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            report.begin(name, &circumstances(title, &peers, beside));
            run(&mut report);
            report.end();
        }
    }
}

fn usage() -> ! {
    eprintln!(
        "usage: atlas_bench_peers PEERS_FOLDER REPORT [projecting | files | compression | codecs | updates | patches | durable | outlines | r96]..."
    );
    std::process::exit(2);
}
