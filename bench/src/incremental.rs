//! Cost of incremental updates: single calls, medians in microseconds, against their limits.

use crate::sys::{self, Delta, Projection, Source};
use crate::{MIB, borrow, check, median, operation, pool, project, random_bytes};
use std::ffi::{c_int, c_void};
use std::ptr::{null, null_mut};
use std::time::Instant;

const INSERT: u32 = 0;
pub(crate) const UPDATE: u32 = 1;
const DELETE: u32 = 2;
const KIB4: u64 = 4_096;

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}

pub(crate) fn micros(action: impl FnOnce()) -> f64 {
    let start = Instant::now();
    action();
    start.elapsed().as_secs_f64() * 1e6
}

pub(crate) fn apply(projection: *mut Projection, kind: u32, offset: u64, length: u64, data: &[u8]) {
    let delta = Delta {
        r#type: kind,
        offset,
        length,
        destination: 0,
        data: data.as_ptr().cast(),
        data_size: if kind == DELETE { 0 } else { data.len() },
    };
    check(unsafe { sys::atlas_projection_apply(projection, &raw const delta) });
}

pub(crate) fn root(projection: *const Projection) {
    let mut root = [0; 32];
    check(unsafe { sys::atlas_projection_root(projection, null(), root.as_mut_ptr()) });
}

/// Prints the median, with its limit if there is one.
pub(crate) fn show(name: &str, values: &mut [f64], limit: Option<f64>) -> f64 {
    let middle = median(values);
    let high = values[values.len() * 99 / 100];
    match limit {
        Some(limit) => verdict(name, middle, limit, true, &format!("; 99 %: {high:.1}")),
        None => println!("         {name:<56} {middle:>10.2}; 99 %: {high:.1}"),
    }
    middle
}

/// A figure that must be at most, or at least, its limit.
pub(crate) fn verdict(name: &str, value: f64, limit: f64, at_most: bool, more: &str) {
    let met = if at_most { value <= limit } else { value >= limit };
    let (word, bound) = (if met { "met" } else { "MISSED" }, if at_most { "at most" } else { "at least" });
    println!("  {word:<6} {name:<56} {value:>10.2} ({bound} {limit:.1}{more})");
}

pub(crate) fn at_most(name: &str, value: f64, limit: f64) {
    verdict(name, value, limit, true, "");
}

/// A source of any size, by callback: the bytes of a buffer again and again.
fn repeated(bytes: &'static [u8], size: u64) -> *mut Source {
    extern "C" fn read(data: *mut c_void, offset: u64, out: *mut c_void, size: usize) -> c_int {
        let bytes: &[u8] = unsafe { *data.cast::<&[u8]>() };
        let out = unsafe { std::slice::from_raw_parts_mut(out.cast::<u8>(), size) };
        let (mut at, mut rest) = (offset as usize % bytes.len(), out);
        while !rest.is_empty() {
            let take = rest.len().min(bytes.len() - at);
            let (now, later) = rest.split_at_mut(take);
            now.copy_from_slice(&bytes[at..at + take]);
            (at, rest) = (0, later);
        }
        0
    }
    let data = Box::into_raw(Box::new(bytes));
    let mut source = null_mut();
    check(unsafe { sys::atlas_source_from_callback(size, Some(read), None, data.cast(), &raw mut source) });
    source
}

/// 4 KiB inserts and deletes at random offsets, 2,000 of each in turn.
fn inserts(title: &str, projection: *mut Projection, size: u64, limit: f64) -> [f64; 2] {
    let data = random_bytes(KIB4 as usize);
    let mut random = Random(11);
    let (mut insert, mut delete) = (Vec::new(), Vec::new());
    for _ in 0..2_000 {
        let at = random.below(size);
        insert.push(micros(|| apply(projection, INSERT, at, 0, &data)));
        let at = random.below(size);
        delete.push(micros(|| apply(projection, DELETE, at, KIB4, &[])));
    }
    [
        show(&format!("insert 4 KiB, {title}"), &mut insert, Some(limit)),
        show(&format!("delete 4 KiB, {title}"), &mut delete, Some(limit)),
    ]
}

/// Memory of 1,000 deltas and of their undoing, and the time of the calls after it.
fn history(title: &str, source: *const Source, size: u64, each: usize, two: &crate::sys::Operation) {
    let projection = project(source, two);
    let (data, mut random) = (random_bytes(each), Random(21));
    let before = held();
    for _ in 0..1_000 {
        apply(projection, INSERT, random.below(size), 0, &data);
    }
    let kept = (held() - before) as f64 / 1_000.0 - each as f64;
    let what = format!("1,000 deltas of {} KiB, {title}", each / 1_024);
    at_most(&format!("{what}: bytes a delta beside the data"), kept, 65_536.0);
    root(projection);
    let rollback = micros(|| check(unsafe { sys::atlas_projection_rollback(projection, 1_000) }));
    at_most(&format!("{what}: rollback"), rollback, 1_000.0);
    let mut buffer = vec![0u8; MIB];
    let (mut updates, mut reads, mut inserted) = (0.0f64, 0.0f64, 0.0f64);
    // The first root rehashes the tiles that the rollback restored; that is not the rollback's memory.
    let first_root = micros(|| root(projection));
    for _ in 0..1_000 {
        updates = updates.max(micros(|| {
            apply(projection, UPDATE, random.below(size - KIB4), KIB4, &data[..KIB4 as usize]);
        }));
        inserted = inserted.max(micros(|| apply(projection, INSERT, random.below(size), 0, &data[..7])));
        let out = buffer.as_mut_ptr().cast();
        reads = reads.max(micros(|| check(unsafe { sys::atlas_projection_read(projection, 5, out, 4_096) })));
    }
    at_most(&format!("{what}: worst later update"), updates, 1_000.0);
    at_most(&format!("{what}: worst later insert"), inserted, 1_000.0);
    at_most(&format!("{what}: worst later read of 4 KiB"), reads, 1_000.0);
    at_most(&format!("{what}: root after it"), first_root, 1_000.0);
    unsafe { sys::atlas_projection_destroy(projection) };
}

/// The root after an update of 4 KiB in place in an R96 projection, tiles touched for the first time and
/// again.
fn r96_roots(source: *const Source, two: &crate::sys::Operation) {
    let mut projection = null_mut();
    check(unsafe { sys::atlas_projection_create(1, source, null(), two, &raw mut projection) });
    let (data, mut random) = (random_bytes(KIB4 as usize), Random(31));
    for name in ["first of a tile", "tile touched before"] {
        let mut roots = Vec::new();
        for tile in 0..200u64 {
            let at = tile * MIB as u64 + random.below(MIB as u64 - KIB4);
            apply(projection, UPDATE, at, KIB4, &data);
            roots.push(micros(|| root(projection)));
        }
        show(&format!("R96: root after an update in place, {name}"), &mut roots, Some(1_500.0));
    }
    unsafe { sys::atlas_projection_destroy(projection) };
}

fn read_all(projection: *const Projection, size: u64) -> f64 {
    let mut buffer = vec![0u8; MIB];
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(micros(|| {
            for tile in 0..size / MIB as u64 {
                let out = buffer.as_mut_ptr().cast();
                check(unsafe { sys::atlas_projection_read(projection, tile * MIB as u64, out, MIB) });
            }
        }));
    }
    median(&mut runs)
}

pub(crate) fn held() -> i64 {
    let info = unsafe { libc::mallinfo2() };
    info.uordblks as i64 + info.hblkhd as i64
}

pub fn run() {
    let size = 1024 * MIB as u64;
    let mut bytes = random_bytes(size as usize);
    let data = random_bytes(KIB4 as usize);
    let source = borrow(&bytes);
    let two = operation(pool(2));
    println!("\nincremental updates of 1 GiB in memory, medians in microseconds where nothing else is said");

    let projection = project(source, &two);
    let mut random = Random(1);
    let mut first = Vec::new();
    let mut update = Vec::new();
    for tile in 0..1_000u64 {
        let at = tile * MIB as u64 + random.below(MIB as u64 - KIB4);
        update.push(micros(|| apply(projection, UPDATE, at, KIB4, &data)));
        first.push(micros(|| root(projection)));
    }
    show("update 4 KiB in place, first of a tile", &mut update, None);
    show("root after it, first of a tile", &mut first, Some(300.0));
    let (mut update, mut again) = (Vec::new(), Vec::new());
    for _ in 0..10_000 {
        let at = random.below(1_000 * MIB as u64 - KIB4);
        update.push(micros(|| apply(projection, UPDATE, at, KIB4, &data)));
        again.push(micros(|| root(projection)));
    }
    show("update 4 KiB in place, root asked for each time", &mut update, None);
    show("root after it, tile touched before", &mut again, Some(30.0));
    unsafe { sys::atlas_projection_destroy(projection) };

    let projection = project(source, &two);
    let mut update = Vec::new();
    for _ in 0..10_000 {
        let at = random.below(size - KIB4);
        update.push(micros(|| apply(projection, UPDATE, at, KIB4, &data)));
    }
    show("update 4 KiB in place, 10,000 at random offsets", &mut update, Some(10.0));
    unsafe { sys::atlas_projection_destroy(projection) };

    let projection = project(source, &two);
    let mut both = Vec::new();
    for _ in 0..500 {
        let at = random.below(size);
        both.push(micros(|| {
            apply(projection, INSERT, at, 0, &data);
            root(projection);
        }));
    }
    show("insert 4 KiB and root", &mut both, Some(600.0 + 0.2 * 1_024.0));
    unsafe { sys::atlas_projection_destroy(projection) };

    let projection = project(source, &two);
    let insert = inserts("1 GiB in memory", projection, size, 50.0);
    unsafe { sys::atlas_projection_destroy(projection) };
    let mut moves = Vec::new();
    for _ in 0..100 {
        let at = random.below(size - KIB4) as usize;
        moves.push(micros(|| bytes.copy_within(at..size as usize - 4_096, at + 4_096)));
    }
    let memmove = median(&mut moves);
    println!("         memmove of the tail {memmove:>48.0}");
    verdict("an insert against it, times faster", memmove / insert[0], 500.0, false, "");
    verdict("a delete against it, times faster", memmove / insert[1], 500.0, false, "");

    let small: &'static [u8] = Box::leak(random_bytes(64 * MIB).into_boxed_slice());
    let mut flat = [[0.0; 2]; 2];
    for (flat, gib) in flat.iter_mut().zip([1u64, 16]) {
        let large = repeated(small, gib << 30);
        let projection = project(large, &two);
        *flat = inserts(&format!("{gib} GiB by callback"), projection, gib << 30, 75.0);
        unsafe { sys::atlas_projection_destroy(projection) };
        history(&format!("{gib} GiB by callback"), large, gib << 30, KIB4 as usize, &two);
        unsafe { sys::atlas_source_destroy(large) };
    }
    at_most("insert in 16 GiB against 1 GiB, times", flat[1][0] / flat[0][0], 1.5);
    at_most("delete in 16 GiB against 1 GiB, times", flat[1][1] / flat[0][1], 1.5);

    for each in [KIB4 as usize, MIB] {
        history("1 GiB in memory", source, size, each, &two);
    }
    r96_roots(source, &two);

    let projection = project(source, &two);
    let fresh = read_all(projection, size);
    let tiny = micros(|| {
        for i in 0..1_000_000u64 {
            let at = random.below(size - 16);
            match i % 4 {
                0 => apply(projection, INSERT, at, 0, &data[..5]),
                1 => apply(projection, DELETE, at, 5, &[]),
                _ => apply(projection, UPDATE, at, 3, &data[..3]),
            }
        }
    });
    let after = read_all(projection, size - (1 << 21));
    println!("         1,000,000 tiny edits, each {:>41.2}", tiny / 1e6);
    at_most("reading all after them against fresh, times", after / fresh, 3.0);
    let optimize = micros(|| check(unsafe { sys::atlas_projection_optimize(projection, &raw const two) }));
    println!("         optimize after them, milliseconds {:>34.0}", optimize / 1e3);
    unsafe {
        sys::atlas_projection_destroy(projection);
        sys::atlas_source_destroy(source);
    }
}
