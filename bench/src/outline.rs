//! Outlines of a file in memory's file system: the search for damage against a projection of the same file, repairs
//! against that, and differences.

use super::sys::{self, Container, ContainerCreateOptions, Projection, Region, Source};
use super::{MIB, check, compare, operation, pool, project, random_bytes};
use std::ffi::{CString, c_void};
use std::os::unix::fs::FileExt;
use std::ptr::{null, null_mut};

const SIZE: usize = 512 * MIB;
const BAD_RANGES: usize = 20;

unsafe extern "C" fn always(_: *const sys::Damage, _: *mut c_void) -> bool {
    true
}

fn open(path: &CString) -> *mut Source {
    let mut source = null_mut();
    check(unsafe { sys::atlas_source_open_file(path.as_ptr(), 0, &raw mut source) });
    source
}

/// An outline of `data`, and a snapshot that reads `base`.
struct Outline {
    container: *mut Container,
    snapshot: *mut Projection,
}

impl Outline {
    fn new(name: &CString, data: *const Source, base: *const Source, keep_chains: u32) -> Outline {
        let mut options: ContainerCreateOptions = unsafe { std::mem::zeroed() };
        unsafe { sys::atlas_container_create_options_init(&raw mut options) };
        (options.keep_chains, options.base) = (keep_chains, data);
        let (mut container, mut snapshot) = (null_mut(), null_mut());
        unsafe {
            let out = &raw mut container;
            check(sys::atlas_container_create(name.as_ptr(), 0, null(), &raw const options, null(), out));
            check(sys::atlas_container_import(container, data, null(), 0, null(), null(), null_mut()));
            check(sys::atlas_container_set_base(container, base));
            check(sys::atlas_container_snapshot(container, 0, 0, null(), &raw mut snapshot));
        }
        Outline { container, snapshot }
    }

    fn find(&self, operation: &sys::Operation) {
        let call = unsafe {
            sys::atlas_projection_find_damage(self.snapshot, null(), 0, None, null_mut(), operation)
        };
        check(call);
    }

    fn repair(&self, path: &CString, operation: &sys::Operation) {
        check(unsafe {
            let (projection, path) = (self.snapshot, path.as_ptr());
            sys::atlas_projection_repair_file(
                projection,
                path,
                null(),
                0,
                Some(always),
                null_mut(),
                operation,
            )
        });
    }

    fn diff(&self, other: &Outline, wanted: usize) {
        let mut regions = [Region { offset: 0, length: 0 }; 64];
        let mut count = regions.len();
        let (list, number) = (regions.as_mut_ptr(), &raw mut count);
        check(unsafe { sys::atlas_projection_diff(self.snapshot, other.snapshot, null(), list, number) });
        assert_eq!(count, wanted);
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

/// Damages the first byte of some ranges, far apart.
fn damage(path: &CString) {
    let path = path.to_str().expect("a path of ours");
    let file = std::fs::File::options().read(true).write(true).open(path).expect("the data");
    for range in 0..BAD_RANGES {
        let (at, mut byte) = ((range * (SIZE / BAD_RANGES)) as u64, [0]);
        file.read_exact_at(&mut byte, at).expect("a byte");
        file.write_all_at(&[!byte[0]], at).expect("damage");
    }
}

pub(crate) fn run() {
    let folder = format!("/dev/shm/atlas-bench-outline-{}", std::process::id());
    std::fs::create_dir(&folder).expect("a folder in /dev/shm");
    let name = |name: &str| CString::new(format!("{folder}/{name}")).expect("a path");
    let (data, copy) = (name("data"), name("copy"));
    let bytes = random_bytes(SIZE);
    for path in [&data, &copy] {
        std::fs::write(path.to_str().expect("a path of ours"), &bytes).expect("room in /dev/shm");
    }
    drop(bytes);
    let (file, base) = (open(&data), open(&copy));
    {
        // The first two read the file itself, the third repairs it from the copy.
        let plain = Outline::new(&name("plain.atlas"), file, file, 0);
        let chained = Outline::new(&name("chained.atlas"), file, file, 1);
        let other = Outline::new(&name("other.atlas"), file, base, 1);
        let (one, two) = (operation(pool(1)), operation(pool(2)));
        let fresh = |operation| unsafe { sys::atlas_projection_destroy(project(file, operation)) };
        let bad = |operation| {
            damage(&data);
            other.repair(&data, operation);
        };
        compare(
            "outlines of 512 MiB in /dev/shm, against a projection of the file",
            SIZE,
            &mut [
                ("project, two threads", Box::new(|| fresh(&two))),
                ("find_damage", Box::new(|| plain.find(&two))),
                ("find_damage, chaining values stored", Box::new(|| chained.find(&two))),
                ("repair_file of a good file", Box::new(|| other.repair(&data, &two))),
                ("repair_file of one with 20 bad ranges", Box::new(|| bad(&two))),
            ],
        );
        compare(
            "the same on one thread",
            SIZE,
            &mut [
                ("project", Box::new(|| fresh(&one))),
                ("find_damage", Box::new(|| plain.find(&one))),
                ("repair_file of a good file", Box::new(|| other.repair(&data, &one))),
            ],
        );
        damage(&copy);
        let changed = Outline::new(&name("changed.atlas"), base, base, 1);
        compare(
            "the difference of two outlines of 512 MiB in 20 groups of 16 KiB",
            SIZE,
            &mut [("diff", Box::new(|| changed.diff(&other, BAD_RANGES)))],
        );
    }
    unsafe {
        sys::atlas_source_destroy(file);
        sys::atlas_source_destroy(base);
    }
    std::fs::remove_dir_all(&folder).expect("it is ours");
}
