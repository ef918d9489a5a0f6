//! Cost of containers: opening, committing, importing and reading, each beside its bound.

use crate::incremental::{Random, UPDATE, apply, at_most, held, micros, root, show, verdict};
use crate::sys::{
    self, Container, ContainerCreateOptions, ContainerOpenOptions, Operation, Projection, Source,
};
use crate::{MIB, borrow, check, compare, median, operation, pool, project, random_bytes};
use std::ffi::CString;
use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::ptr::{null, null_mut};

const PAGE: usize = 4_096;
const GIB: u64 = 1 << 30;
const READ: u32 = 0;
const WRITE: u32 = 1;

/// A folder that is gone with this.
struct Folder(String);

impl Folder {
    fn new(dir: &str) -> Folder {
        let path = format!("{dir}/atlas-bench-container-{}", std::process::id());
        std::fs::create_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        Folder(path)
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }

    /// A sparse file: of an MiB in each of 64, evenly spread, and else of holes.
    fn sparse(&self, name: &str, size: u64) -> String {
        let path = self.path(name);
        let file = File::create(&path).expect("a file to write");
        file.set_len(size).expect("a file of that size");
        let bytes = random_bytes(MIB);
        for part in 0..64 {
            let offset = size / 64 / MIB as u64 * MIB as u64 * part;
            file.write_all_at(&bytes, offset).expect("64 MiB of room");
        }
        file.sync_all().expect("a flushed file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn text(path: &str) -> CString {
    CString::new(path).expect("a path")
}

fn open_file(path: &str) -> *mut Source {
    let mut source = null_mut();
    check(unsafe { sys::atlas_source_open_file(text(path).as_ptr(), 0, &raw mut source) });
    source
}

/// A container with one generation, that of a source; an outline if the source is its base.
fn imported(path: &str, source: *const Source, is_base: bool, keeps_chains: bool, operation: &Operation) {
    let mut options = std::mem::MaybeUninit::<ContainerCreateOptions>::uninit();
    unsafe { sys::atlas_container_create_options_init(options.as_mut_ptr()) };
    let mut options = unsafe { options.assume_init() };
    options.block_log2 = 12;
    options.keep_chains = keeps_chains.into();
    options.base = if is_base { source } else { null() };
    let mut container = null_mut();
    unsafe {
        let (path, options, operation) = (text(path), &raw const options, &raw const *operation);
        check(sys::atlas_container_create(path.as_ptr(), 0, null(), options, operation, &raw mut container));
        check(sys::atlas_container_import(container, source, null(), 0, null(), operation, null_mut()));
        sys::atlas_container_destroy(container);
    }
}

fn opened(path: &CString, mode: u32, base: *const Source, cache_size: u64) -> *mut Container {
    let mut options = std::mem::MaybeUninit::<ContainerOpenOptions>::uninit();
    unsafe { sys::atlas_container_open_options_init(options.as_mut_ptr()) };
    let mut options = unsafe { options.assume_init() };
    (options.base, options.cache_size) = (base, cache_size);
    let mut container = null_mut();
    let options = &raw const options;
    check(unsafe {
        sys::atlas_container_open(path.as_ptr(), mode, null(), options, null(), &raw mut container)
    });
    container
}

fn snapshot(container: *const Container, verifies: bool) -> *mut Projection {
    let mut projection = null_mut();
    check(unsafe {
        sys::atlas_container_snapshot(container, 0, verifies.into(), null(), &raw mut projection)
    });
    projection
}

fn read(projection: *const Projection, offset: u64, out: &mut [u8]) {
    check(unsafe { sys::atlas_projection_read(projection, offset, out.as_mut_ptr().cast(), out.len()) });
}

/// Drops the cached pages of a file, and looks that they are gone.
fn drop_cached(path: &str) {
    let file = File::open(path).expect("the file");
    file.sync_all().expect("a flushed file");
    let len = file.metadata().expect("the file").len() as usize;
    for _ in 0..100 {
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        let (prot, flags) = (libc::PROT_READ, libc::MAP_SHARED);
        let start = unsafe { libc::mmap(null_mut(), len, prot, flags, file.as_raw_fd(), 0) };
        assert!(start != libc::MAP_FAILED, "a mapping of {path}");
        let mut pages = vec![0_u8; len.div_ceil(PAGE)];
        unsafe {
            assert_eq!(libc::mincore(start, len, pages.as_mut_ptr()), 0);
            libc::munmap(start, len);
        }
        if pages.iter().all(|page| page & 1 == 0) {
            return;
        }
    }
    panic!("{path}: pages stay in the cache");
}

/// Peak of the process's memory during an action, less its memory before.
fn peak(action: impl FnOnce()) -> f64 {
    let field = |name: &str| {
        let status = std::fs::read_to_string("/proc/self/status").expect("the status of the process");
        let line = status.lines().find(|line| line.starts_with(name)).expect("a line of it");
        line.split_whitespace().nth(1).and_then(|word| word.parse::<f64>().ok()).expect("a number") * 1024.0
    };
    std::fs::write("/proc/self/clear_refs", "5").expect("the mark of the peak goes back");
    let before = field("VmRSS:");
    action();
    field("VmHWM:") - before
}

/// All parts, or those that are named.
pub(crate) fn run(dir: &str, parts: &[&str]) {
    let two = operation(pool(2));
    let folder = Folder::new(dir);
    let wants = |part| parts.is_empty() || parts.contains(&part);
    if wants("open") {
        opening(&folder, &two);
    }
    if wants("commit") {
        commits(&folder, &two);
    }
    if wants("import") {
        imports(&two);
    }
    if wants("verified") {
        verified_reads(&folder, &two);
    }
    if wants("loaded") {
        loaded_reads(&folder, &two);
    }
}

/// Outlines of sparse files: everything but the hashing of holes.
fn opening(folder: &Folder, two: &Operation) {
    println!("\nopening for reading, microseconds");
    for (name, size) in [("1 TiB", 1 << 40), ("16 TiB - 1 GiB", (1 << 44) - GIB)] {
        let base = folder.sparse("base", size);
        let path = folder.path("outline.atlas");
        let source = open_file(&base);
        let (mut seconds, mut most) = (0.0, 0.0);
        most += peak(|| seconds = micros(|| imported(&path, source, true, false, two)) / 1e6);
        let len = std::fs::metadata(&path).expect("the outline").len();
        println!("  outline of {name}: {len} bytes, imported in {seconds:.2} s");
        at_most("import: MiB of memory", most / MIB as f64, 64.0);
        let c_path = text(&path);
        let once = || {
            let mut container = null_mut();
            let time = micros(|| container = opened(&c_path, READ, null(), 64 << 20));
            unsafe { sys::atlas_container_destroy(container) };
            time
        };
        let mut warm: Vec<f64> = (0..1_000).map(|_| once()).collect();
        show(&format!("{name}, from the page cache"), &mut warm, Some(50.0));
        let cold = |_| {
            drop_cached(&path);
            once()
        };
        let mut cold: Vec<f64> = (0..51).map(cold).collect();
        show(&format!("{name}, cold"), &mut cold, Some(2_000.0));
        unsafe { sys::atlas_source_destroy(source) };
        for path in [base, path] {
            std::fs::remove_file(&path).expect("it is ours");
        }
    }
}

/// 4 KiB replaced, made durable, beside as many bytes appended to a plain file.
fn commits(folder: &Folder, two: &Operation) {
    println!("\ncommit of 4 KiB replaced, microseconds");
    let bytes = random_bytes(1024 * MIB);
    for (name, size) in [("1 GiB, payload in the file", 0), ("outline of 1 TiB", 1 << 40)] {
        let path = folder.path("edited.atlas");
        let source = if size == 0 { borrow(&bytes) } else { open_file(&folder.sparse("base", size)) };
        imported(&path, source, size > 0, false, two);
        let size = size.max(bytes.len() as u64);
        let base = if size > bytes.len() as u64 { source } else { null_mut() };
        let container = opened(&text(&path), WRITE, base, 64 << 20);
        let bare = File::create(folder.path("bare")).expect("a file to write");
        let (mut plain, mut hashed, mut unhashed) = (Vec::new(), Vec::new(), Vec::new());
        let (mut tile_hash, mut ratios, mut appended) = (Vec::new(), Vec::new(), Vec::new());
        let mut roots = Vec::new();
        let (mut random, mut at, mut tile, mut more) = (Random(5), 0, vec![0; MIB], 3 * PAGE as u64);
        let len = || std::fs::metadata(&path).expect("the container").len();
        for round in 0..200 {
            let knows_root = round % 2 == 0;
            let offset = random.below(size / PAGE as u64) * PAGE as u64;
            let edited = snapshot(container, false);
            apply(edited, UPDATE, offset, PAGE as u64, &random_bytes(PAGE));
            if knows_root {
                roots.push(micros(|| root(edited)));
            }
            let before = len();
            let commit = || {
                micros(|| {
                    check(unsafe {
                        sys::atlas_container_commit(container, edited, null(), null(), null_mut())
                    });
                })
            };
            let mut bare_write = || {
                at += more;
                micros(|| {
                    bare.write_all_at(&bytes[..more as usize], at).expect("room");
                    bare.sync_data().expect("a flushed file");
                })
            };
            // The second measurement finds the disk awake.
            let (time, write) = if round % 4 < 2 {
                let write = bare_write();
                (commit(), write)
            } else {
                let time = commit();
                (time, bare_write())
            };
            more = len() - before;
            appended.push(more as f64);
            if round >= 20 {
                plain.push(write);
                if knows_root { &mut hashed } else { &mut unhashed }.push(time);
                if knows_root {
                    ratios.push(time / write);
                } else {
                    let hash = micros(|| {
                        read(edited, offset / MIB as u64 * MIB as u64, &mut tile);
                        black_box(blake3::hash(&tile));
                    });
                    tile_hash.push(hash);
                }
            }
            unsafe { sys::atlas_projection_destroy(edited) };
        }
        println!("  {name}");
        at_most("bytes appended", median(&mut appended), 24_576.0);
        show("the same bytes appended to a plain file, fdatasync", &mut plain, None);
        show("commit, its root known", &mut hashed, None);
        at_most("that as a multiple of the plain file", median(&mut ratios), 2.0);
        show("commit, its root not known", &mut unhashed, None);
        show("the root after the edit", &mut roots, None);
        show("a tile read and hashed", &mut tile_hash, None);
        unsafe {
            sys::atlas_container_destroy(container);
            sys::atlas_source_destroy(source);
        }
        for name in ["edited.atlas", "bare"] {
            std::fs::remove_file(folder.path(name)).expect("it is ours");
        }
        drop(std::fs::remove_file(folder.path("base")));
    }
}

/// 1 GiB from memory to /dev/shm.
fn imports(two: &Operation) {
    let bytes = random_bytes(1024 * MIB);
    let source = borrow(&bytes);
    let folder = Folder::new("/dev/shm");
    let (path, plain) = (folder.path("imported.atlas"), folder.path("plain"));
    let write = || {
        let mut file = File::create(&plain).expect("a file to write");
        file.write_all(&bytes).expect("room in /dev/shm");
    };
    let remove = |path: &str| std::fs::remove_file(path).expect("it was made");
    compare(
        "import of 1 GiB in memory to /dev/shm, two threads",
        bytes.len(),
        &mut [
            (
                "project, then write the bytes",
                Box::new(|| {
                    unsafe { sys::atlas_projection_destroy(project(source, two)) };
                    write();
                    remove(&plain);
                }),
            ),
            (
                "import",
                Box::new(|| {
                    imported(&path, source, false, false, two);
                    remove(&path);
                }),
            ),
        ],
    );
    unsafe { sys::atlas_source_destroy(source) };
}

/// 4 KiB, verified, with nothing loaded; and the memory of a container whose cache is small.
fn verified_reads(folder: &Folder, two: &Operation) {
    const SIZE: u64 = 64 * GIB;
    println!(
        "\nverified read of 4 KiB, nothing loaded, chaining values stored, outline of 64 GiB, microseconds"
    );
    let (base, path) = (folder.sparse("base", SIZE), folder.path("chains.atlas"));
    let source = open_file(&base);
    imported(&path, source, true, true, two);
    let c_path = text(&path);
    let (file, base_file) = (File::open(&path).expect("the container"), File::open(&base).expect("the base"));
    let (mut out, mut group) = (vec![0; PAGE], vec![0; 16 << 10]);
    let (mut random, mut reads, mut bounds, mut folds) = (Random(9), Vec::new(), Vec::new(), Vec::new());
    for round in 0..500 {
        let offset = random.below(SIZE / PAGE as u64) * PAGE as u64;
        let container = opened(&c_path, READ, source, 64 << 20);
        let projection = snapshot(container, true);
        let time = micros(|| read(projection, offset, &mut out));
        unsafe {
            sys::atlas_projection_destroy(projection);
            sys::atlas_container_destroy(container);
        }
        // Three inner nodes, a leaf and the chaining values of a tile, sealed; and the group.
        let mut record = [0; 2_112];
        let places: Vec<u64> = (0..5).map(|_| random.below(SIZE / MIB as u64 * 2_048)).collect();
        let bound = micros(|| {
            for (place, len) in places.iter().zip([2_084, 2_084, 2_084, 1_576, 2_112]) {
                file.read_exact_at(&mut record[..len], place / 8 * 8).expect("in the file");
                black_box(blake3::hash(&record[..len]));
            }
            base_file.read_exact_at(&mut group, offset / (16 << 10) * (16 << 10)).expect("in the base");
            black_box(blake3::hash(&group));
        });
        // The digest by which a node's parent knows it: a tree over its 32 children.
        let fold = micros(|| {
            for _ in 0..4 {
                (0..32).for_each(|_| _ = black_box(blake3::hash(black_box(&[0; 42]))));
                (0..31).for_each(|_| _ = black_box(blake3::hash(black_box(&[0; 81]))));
            }
        });
        if round >= 50 {
            reads.push(time);
            bounds.push(bound);
            folds.push(fold);
        }
    }
    let bound = show("its nodes read and digested, and a group", &mut bounds, None);
    let fold = show("its nodes checked against their parents", &mut folds, None);
    show("verified read", &mut reads, Some(1.3 * (bound + fold)));

    for cache in [1_u64, 16] {
        let before = held();
        let container = opened(&c_path, READ, source, cache << 20);
        let snapshots: Vec<_> = (0..16).map(|_| snapshot(container, true)).collect();
        for _ in 0..20_000 {
            let at = random.below(16) as usize;
            read(snapshots[at], random.below(SIZE / PAGE as u64) * PAGE as u64, &mut out);
        }
        let name = format!("MiB held after 20,000 reads of 16 snapshots, cache {cache} MiB");
        at_most(&name, (held() - before) as f64 / MIB as f64, cache as f64 + 1.0);
        unsafe {
            snapshots.into_iter().for_each(|snapshot| sys::atlas_projection_destroy(snapshot));
            sys::atlas_container_destroy(container);
        }
    }
    unsafe { sys::atlas_source_destroy(source) };
}

/// Reads of tiles that were loaded before, beside those of a projection over the file.
fn loaded_reads(folder: &Folder, two: &Operation) {
    println!("\n4 KiB of 1 GiB at random offsets, tiles loaded, microseconds");
    let base = folder.path("dense");
    let bytes = random_bytes(1024 * MIB);
    std::fs::write(&base, &bytes).expect("1 GiB of room");
    let source = open_file(&base);
    let path = folder.path("dense.atlas");
    imported(&path, source, true, false, two);
    let container = opened(&text(&path), READ, source, 64 << 20);
    let (loaded, projection) = (snapshot(container, false), project(source, two));
    let mut out = vec![0; PAGE];
    let (mut ours, mut theirs, mut random) = (Vec::new(), Vec::new(), Random(3));
    for tile in 0..1024 {
        read(loaded, tile * MIB as u64, &mut out);
    }
    for _ in 0..2_001 {
        let offset = random.below(GIB / PAGE as u64 - 100) * PAGE as u64;
        let mut hundred = |projection| {
            let read = |step| read(projection, offset + step * PAGE as u64, &mut out);
            micros(|| (0..100).for_each(read)) / 100.0
        };
        theirs.push(hundred(projection));
        ours.push(hundred(loaded));
    }
    let theirs = show("projection over the file", &mut theirs, None);
    let ours = median(&mut ours);
    verdict("snapshot", ours, 1.1 * theirs, true, "");
    unsafe {
        sys::atlas_projection_destroy(loaded);
        sys::atlas_projection_destroy(projection);
        sys::atlas_container_destroy(container);
        sys::atlas_source_destroy(source);
    }
}
