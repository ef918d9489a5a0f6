//! Verification of a file that stays in place: an outline beside the outboard of bao and beside one digest.

use crate::measure::{Report, case};
use crate::sys::{self, check};
use crate::{MIB, next, operation, run_program};
use bao_tree::io::outboard::PostOrderOutboard;
use bao_tree::io::sync::{outboard_post_order, valid_ranges};
use bao_tree::{BaoTree, BlockSize, ChunkNum, ChunkRanges};
use std::ffi::CString;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr::{null, null_mut};

const PAGE: usize = 4_096;
/// Pages that one timed run verifies.
const PAGES: usize = 500;
/// Groups of 16 KiB, as the outlines have them.
const GROUPS: BlockSize = BlockSize::from_chunk_log(4);

/// A folder that is gone with this.
struct Folder(String);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// An outline, and a snapshot of it whose reads are verified.
struct Outline {
    container: *mut sys::Container,
    snapshot: *mut sys::Projection,
}

impl Outline {
    fn make(path: &CString, file: *const sys::Source, keeps_chains: bool, operation: &sys::Operation) {
        drop(std::fs::remove_file(path.to_str().expect("a path")));
        let (mut container, mut create) = (null_mut(), unsafe { std::mem::zeroed() });
        unsafe {
            sys::atlas_container_create_options_init(&raw mut create);
            (create.keep_chains, create.base) = (keeps_chains.into(), file);
            let create = &raw const create;
            check(sys::atlas_container_create(
                path.as_ptr(),
                0,
                null(),
                create,
                operation,
                &raw mut container,
            ));
            check(sys::atlas_container_import(container, file, null(), 0, null(), operation, null_mut()));
            sys::atlas_container_destroy(container);
        }
    }

    /// `cache_size` 1: nothing that is loaded stays.
    fn open(path: &CString, file: *const sys::Source, cache_size: u64) -> Outline {
        let (mut container, mut snapshot) = (null_mut(), null_mut());
        unsafe {
            let mut options = std::mem::zeroed();
            sys::atlas_container_open_options_init(&raw mut options);
            options.base = file;
            if cache_size > 0 {
                options.cache_size = cache_size;
            }
            let options = &raw const options;
            check(sys::atlas_container_open(path.as_ptr(), 0, null(), options, null(), &raw mut container));
            check(sys::atlas_container_snapshot(container, 0, 1, null(), &raw mut snapshot));
        }
        Outline { container, snapshot }
    }

    fn verify(&self, operation: &sys::Operation) {
        check(unsafe {
            sys::atlas_projection_find_damage(self.snapshot, null(), 0, None, null_mut(), operation)
        });
    }

    fn read(&self, places: &[u64]) {
        let mut page = [0_u8; PAGE];
        for place in places {
            check(unsafe {
                sys::atlas_projection_read(self.snapshot, *place, page.as_mut_ptr().cast(), PAGE)
            });
            black_box(&page);
        }
    }
}

impl Drop for Outline {
    fn drop(&mut self) {
        unsafe {
            sys::atlas_projection_destroy(self.snapshot);
            sys::atlas_container_destroy(self.container);
        }
    }
}

/// The outboard of bao, in a file.
struct Bao {
    data: File,
    outboard: PostOrderOutboard<File>,
}

impl Bao {
    fn make(data: &str, outboard: &str, size: usize) -> blake3::Hash {
        let input = BufReader::with_capacity(MIB, File::open(data).expect("the data"));
        let mut output = BufWriter::with_capacity(MIB, File::create(outboard).expect("a file"));
        let root = outboard_post_order(input, BaoTree::new(size as u64, GROUPS), &mut output);
        output.flush().expect("room");
        output.get_ref().sync_all().expect("a flush");
        root.expect("an outboard")
    }

    fn open(data: &str, outboard: &str, size: usize, root: blake3::Hash) -> Bao {
        let (tree, outboard) =
            (BaoTree::new(size as u64, GROUPS), File::open(outboard).expect("an outboard"));
        Bao {
            data: File::open(data).expect("the data"),
            outboard: PostOrderOutboard { root, tree, data: outboard },
        }
    }

    /// The chunks of a query that are right.
    fn valid(&self, ranges: &ChunkRanges) -> u64 {
        let valid = valid_ranges(&self.outboard, &self.data, ranges).into_iter();
        valid.map(|range| range.expect("a read")).map(|range| range.end.0 - range.start.0).sum()
    }

    /// Verifies pages, and reads them.
    fn read(&self, places: &[u64]) {
        let mut page = [0_u8; PAGE];
        for place in places {
            let first = place / 1_024;
            let chunks = ChunkRanges::from(ChunkNum(first)..ChunkNum(first + 4));
            assert!(self.valid(&chunks) >= 4);
            self.data.read_exact_at(&mut page, *place).expect("a page");
            black_box(&page);
        }
    }
}

pub(crate) fn outlines(report: &mut Report, peers: &Path, random: &[u8]) {
    let folder = Folder(format!("/dev/shm/atlas-peers-outlines-{}", std::process::id()));
    std::fs::create_dir(&folder.0).expect("a folder in /dev/shm");
    let name = |name: &str| format!("{}/{name}", folder.0);
    let c_name = |path: &str| CString::new(name(path)).expect("a path");
    let (data, outboard, size) = (name("data"), name("outboard"), random.len());
    std::fs::write(&data, random).expect("room in /dev/shm");
    let mut file = null_mut();
    check(unsafe { sys::atlas_source_open_file(c_name("data").as_ptr(), 0, &raw mut file) });
    let (one, two) = (operation(1), operation(2));
    let (plain, chained) = (c_name("plain.atlas"), c_name("chained.atlas"));
    let b3sum = peers.join("bin/b3sum");
    let sum = |threads: &str| run_program(&b3sum, &["--num-threads", threads, &data]);

    report.section(
        "To create it, 1 GiB in /dev/shm",
        "An outline, with chaining values of groups of 16 KiB and without; bao's outboard of the same groups \
         (`bao-tree`, which works on one thread); `b3sum`, which keeps one digest and whose start is in its time.",
    );
    report.against(
        size,
        &mut [
            case("outline with chaining values, one thread", || Outline::make(&chained, file, true, &one)),
            case("bao, one thread", || Bao::make(&data, &outboard, size)),
        ],
    );
    for (threads, operation) in [("1", &one), ("2", &two)] {
        report.against(
            size,
            &mut [
                case(&format!("outline, threads: {threads}"), || {
                    Outline::make(&plain, file, false, operation)
                }),
                case(&format!("`b3sum`, threads: {threads}"), || sum(threads)),
            ],
        );
    }

    let bao = Bao::open(&data, &outboard, size, Bao::make(&data, &outboard, size));
    let (chained, plain) = (Outline::open(&chained, file, 0), Outline::open(&plain, file, 0));
    report
        .section("To verify all, 1 GiB in /dev/shm", "`b3sum` has to be compared with what it said before.");
    report.against(
        size,
        &mut [
            case("outline with chaining values, one thread", || chained.verify(&one)),
            case("bao, one thread", || assert_eq!(bao.valid(&ChunkRanges::all()), (size / 1_024) as u64)),
        ],
    );
    for (threads, operation) in [("1", &one), ("2", &two)] {
        report.against(
            size,
            &mut [
                case(&format!("outline, threads: {threads}"), || plain.verify(operation)),
                case(&format!("`b3sum`, threads: {threads}"), || sum(threads)),
            ],
        );
    }

    report.section(
        &format!("To verify and read 4 KiB, {PAGES} times at random places"),
        "Both read and hash a group of 16 KiB. Nothing that the outline loaded stays in the first row; in the second \
         its cache is that of a handle without options. bao reads its tree from the file each time.",
    );
    let mut state = 1;
    let places: Vec<u64> =
        (0..PAGES).map(|_| next(&mut state) % (size / PAGE) as u64 * PAGE as u64).collect();
    let unloaded = Outline::open(&c_name("chained.atlas"), file, 1);
    for (name, outline) in [("outline, nothing loaded", &unloaded), ("outline", &chained)] {
        let bytes = PAGES * PAGE;
        report.against(bytes, &mut [case(name, || outline.read(&places)), case("bao", || bao.read(&places))]);
    }
    drop((unloaded, chained, plain));
    unsafe { sys::atlas_source_destroy(file) };
}
