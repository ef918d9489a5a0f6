//! What incremental updates cost: single calls, medians in microseconds, against their limits.

use crate::sys::{self, Delta, Projection, Source};
use crate::{MIB, borrow, check, median, operation, pool, project, random_bytes};
use std::ffi::{c_int, c_void};
use std::ptr::{null, null_mut};
use std::time::Instant;

const INSERT: u32 = 0;
pub(crate) const UPDATE: u32 = 1;
const DELETE: u32 = 2;
const KIB4: u64 = 4_096;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}

fn micros(action: impl FnOnce()) -> f64 {
    let start = Instant::now();
    action();
    start.elapsed().as_secs_f64() * 1e6
}

pub(crate) fn apply(projection: *mut Projection, kind: u32, offset: u64, length: u64, data: &[u8]) {
    let delta = Delta {
        kind,
        offset,
        length,
        destination: 0,
        data: data.as_ptr().cast(),
        data_size: if kind == DELETE { 0 } else { data.len() },
    };
    check(unsafe { sys::atlas_projection_apply(projection, &raw const delta) });
}

fn root(projection: *const Projection) {
    let mut root = [0; 32];
    check(unsafe { sys::atlas_projection_root(projection, null(), root.as_mut_ptr()) });
}

fn show(name: &str, values: &mut [f64], limit: f64) {
    let middle = median(values);
    let high = values[values.len() * 99 / 100];
    let verdict = if limit == 0.0 || middle <= limit { "" } else { "   MISSED" };
    println!("  {name:<58} {middle:>10.2} (99 %: {high:.2}, limit {limit}){verdict}");
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
    check(unsafe { sys::atlas_source_from_callback(size, read, null(), data.cast(), &raw mut source) });
    source
}

/// 4 KiB inserts and deletes at random offsets, 2,000 of each in turn.
fn inserts(title: &str, projection: *mut Projection, size: u64, limit: f64) -> f64 {
    let data = random_bytes(KIB4 as usize);
    let mut random = Random(11);
    let (mut insert, mut delete) = (Vec::new(), Vec::new());
    for _ in 0..2_000 {
        let at = random.below(size);
        insert.push(micros(|| apply(projection, INSERT, at, 0, &data)));
        let at = random.below(size);
        delete.push(micros(|| apply(projection, DELETE, at, KIB4, &[])));
    }
    show(&format!("insert 4 KiB, {title}"), &mut insert, limit);
    show(&format!("delete 4 KiB, {title}"), &mut delete, limit);
    median(&mut insert)
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

fn held() -> i64 {
    let info = unsafe { libc::mallinfo2() };
    info.uordblks as i64 + info.hblkhd as i64
}

pub fn run() {
    let size = 1024 * MIB as u64;
    let mut bytes = random_bytes(size as usize);
    let data = random_bytes(KIB4 as usize);
    let source = borrow(&bytes);
    let two = operation(pool(2));
    println!("\nincremental updates of 1 GiB in memory, median in microseconds");

    let projection = project(source, &two);
    let mut random = Random(1);
    let mut first = Vec::new();
    let mut update = Vec::new();
    for tile in 0..1_000u64 {
        let at = tile * MIB as u64 + random.below(MIB as u64 - KIB4);
        update.push(micros(|| apply(projection, UPDATE, at, KIB4, &data)));
        first.push(micros(|| root(projection)));
    }
    show("update 4 KiB in place, first of a tile", &mut update, 0.0);
    show("root after it, first of a tile", &mut first, 300.0);
    let (mut update, mut again) = (Vec::new(), Vec::new());
    for _ in 0..10_000 {
        let at = random.below(1_000 * MIB as u64 - KIB4);
        update.push(micros(|| apply(projection, UPDATE, at, KIB4, &data)));
        again.push(micros(|| root(projection)));
    }
    show("update 4 KiB in place, root asked for each time", &mut update, 10.0);
    show("root after it, tile touched before", &mut again, 30.0);
    unsafe { sys::atlas_projection_destroy(projection) };

    let projection = project(source, &two);
    let mut update = Vec::new();
    for _ in 0..10_000 {
        let at = random.below(size - KIB4);
        update.push(micros(|| apply(projection, UPDATE, at, KIB4, &data)));
    }
    show("update 4 KiB in place, 10,000 at random offsets", &mut update, 10.0);
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
    show("insert 4 KiB and root", &mut both, 600.0 + 0.2 * 1_024.0);
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
    println!(
        "  memmove of the tail: {memmove:.0}, an insert is {:.0} times faster (limit 500)",
        memmove / insert
    );

    let small: &'static [u8] = Box::leak(random_bytes(64 * MIB).into_boxed_slice());
    let mut flat = [0.0; 2];
    for (flat, gib) in flat.iter_mut().zip([1u64, 16]) {
        let large = repeated(small, gib << 30);
        let projection = project(large, &two);
        *flat = inserts(&format!("{gib} GiB by callback"), projection, gib << 30, 50.0);
        unsafe { sys::atlas_projection_destroy(projection) };
        unsafe { sys::atlas_source_destroy(large) };
    }
    println!("  16 GiB against 1 GiB: {:.2} (limit 1.5)", flat[1] / flat[0]);

    for each in [KIB4 as usize, MIB] {
        let projection = project(source, &two);
        let data = random_bytes(each);
        let before = held();
        for _ in 0..1_000 {
            apply(projection, INSERT, random.below(size), 0, &data);
        }
        let kept = (held() - before) / 1_000;
        let rollback = micros(|| check(unsafe { sys::atlas_projection_rollback(projection, 1_000) }));
        let mut later: Vec<f64> = Vec::new();
        for _ in 0..2_000 {
            later.push(micros(|| apply(projection, UPDATE, random.below(size - KIB4), KIB4, &data[..4_096])));
        }
        let worst = later.iter().copied().fold(0.0, f64::max);
        println!(
            "  1,000 inserts of {each} bytes: {} bytes a delta beside the data (limit 65536), rollback \
             {rollback:.0} (limit 1000), worst later call {worst:.0} (limit 1000)",
            kept - each as i64
        );
        unsafe { sys::atlas_projection_destroy(projection) };
    }

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
    println!("  1,000,000 tiny edits: {:.2} each", tiny / 1e6);
    println!("  reading all: {fresh:.0} fresh, {after:.0} after them, {:.2} times (limit 3)", after / fresh);
    let optimize = micros(|| check(unsafe { sys::atlas_projection_optimize(projection, &raw const two) }));
    println!("  optimize after them: {:.0} ms", optimize / 1e3);
    unsafe {
        sys::atlas_projection_destroy(projection);
        sys::atlas_source_destroy(source);
    }
}
