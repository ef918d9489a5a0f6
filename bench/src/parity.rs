//! Parity files: the code of a row against BLAKE3 and the crate's own encoder and decoder, and the calls through
//! the C API on a file in memory.

#[path = "../../src/parity/code/mod.rs"]
#[allow(dead_code)]
mod code;
#[path = "../../src/parity/geometry.rs"]
#[allow(dead_code)]
mod geometry;

use super::base::buffer::Buffer;
use super::sys::{self, Parity, RepairOptions};
use super::{MIB, borrow, check, compare, operation, pool, random_bytes};
use code::{Code, Encoder, xor_into};
use geometry::Geometry;
use reed_solomon_simd::engine::DefaultEngine;
use reed_solomon_simd::rate::{HighRateDecoder, HighRateEncoder, RateDecoder, RateEncoder};
use std::ffi::{CString, c_void};
use std::hint::black_box;
use std::io::{Seek, SeekFrom, Write};
use std::ptr::{null, null_mut};

/// K and U of the rows that are timed.
const COLUMNS: usize = 256;
const UNIT: usize = 64 << 10;

pub(crate) fn run() {
    for parity in [8, 16, 26] {
        rows(parity);
    }
    calls();
}

/// Rows in memory, one thread.
struct Rows {
    code: Code,
    /// Bytes of all rows, row by row.
    data: Vec<u8>,
    /// Parity of each row.
    parity: Vec<Vec<Buffer>>,
    encoder: Encoder,
}

impl Rows {
    fn new(parity: usize) -> Rows {
        let data = random_bytes(8 * COLUMNS * UNIT);
        let geometry = Geometry {
            size: (COLUMNS * UNIT) as u64,
            unit: UNIT as u64,
            columns: COLUMNS as u64,
            parity: parity as u64,
            rows: 1,
        };
        let code = Code::new(&geometry).expect("tables");
        let encoder = Encoder::new(&code, UNIT).expect("memory");
        let mut rows = Rows { code, data, parity: Vec::new(), encoder };
        for row in 0..8 {
            rows.encode(row, &[]);
            let units = rows.take(&(0..parity).collect::<Vec<_>>());
            rows.parity.push(units);
        }
        rows
    }

    /// Encodes a row with zeros in place of some columns.
    fn encode(&mut self, row: usize, lost: &[usize]) {
        let units = self.data[row * COLUMNS * UNIT..].chunks(UNIT).take(COLUMNS);
        self.encoder.begin();
        for (column, unit) in units.enumerate() {
            if lost.contains(&column) {
                self.encoder.put_zeros(column, 0, UNIT);
            } else {
                self.encoder.put(column, 0, unit);
            }
            if (column + 1).is_multiple_of(self.code.points()) {
                self.encoder.fold(&self.code, column, 0..UNIT);
            }
        }
        self.encoder.finish(&self.code, 0..UNIT);
    }

    fn take(&self, rows: &[usize]) -> Vec<Buffer> {
        let take = |row: &usize| {
            let mut out = Buffer::new(UNIT).expect("memory");
            self.encoder.parity(*row, 0, &mut out);
            out
        };
        rows.iter().map(take).collect()
    }

    /// Rebuilds `count` lost units of each row as the library does.
    fn decode(&mut self, count: usize) {
        let lost: Vec<usize> = (0..count).map(|at| at * COLUMNS / count + 3).collect();
        let rows: Vec<usize> = (0..count).collect();
        for row in 0..8 {
            let mut sums: Vec<Buffer> = if count <= self.code.points().ilog2() as usize {
                let mut sums: Vec<Buffer> =
                    rows.iter().map(|_| Buffer::zeros(UNIT).expect("memory")).collect();
                let mut scratch = Buffer::new(UNIT).expect("memory");
                for (column, unit) in self.data[row * COLUMNS * UNIT..].chunks(UNIT).take(COLUMNS).enumerate()
                {
                    if !lost.contains(&column) {
                        scratch.copy_from_slice(unit);
                        self.code.add_product(column, &mut scratch, &rows, &mut sums);
                    }
                }
                sums
            } else {
                self.encode(row, &lost);
                self.take(&rows)
            };
            sums.iter_mut().zip(&self.parity[row]).for_each(|(sum, parity)| xor_into(sum, parity));
            let mut units: Vec<Buffer> = rows.iter().map(|_| Buffer::new(UNIT).expect("memory")).collect();
            self.code.solve(&lost, &rows, &mut sums, &mut units).expect("memory");
            for (column, unit) in lost.iter().zip(&units) {
                assert!(unit[..] == self.data[(row * COLUMNS + column) * UNIT..][..UNIT]);
            }
        }
    }
}

fn rows(parity: usize) {
    let rows = std::cell::RefCell::new(Rows::new(parity));
    let data = rows.borrow().data.clone();
    let row_of = |row: usize| data[row * COLUMNS * UNIT..].chunks(UNIT).take(COLUMNS);
    let decode = |count: usize| {
        let mut decoder =
            HighRateDecoder::new(COLUMNS, parity, UNIT, DefaultEngine::new(), None).expect("a shape");
        for row in 0..8 {
            for (column, unit) in row_of(row).enumerate() {
                if !(0..count).any(|at| at * COLUMNS / count + 3 == column) {
                    decoder.add_original_shard(column, unit).expect("a unit");
                }
            }
            for (index, unit) in rows.borrow().parity[row].iter().enumerate().take(count) {
                decoder.add_recovery_shard(index, &unit[..]).expect("a unit");
            }
            black_box(decoder.decode().expect("enough"));
        }
    };
    compare(
        &format!("rows of K = 256 units of 64 KiB, M = {parity}, 128 MiB in memory, one thread"),
        data.len(),
        &mut [
            ("blake3::hash", Box::new(|| _ = black_box(blake3::hash(&data)))),
            ("encode", Box::new(|| (0..8).for_each(|row| rows.borrow_mut().encode(row, &[])))),
            (
                "encode, the crate's own",
                Box::new(|| {
                    let engine = DefaultEngine::new();
                    let mut encoder =
                        HighRateEncoder::new(COLUMNS, parity, UNIT, engine, None).expect("a shape");
                    for row in 0..8 {
                        row_of(row).for_each(|unit| encoder.add_original_shard(unit).expect("a unit"));
                        black_box(encoder.encode().expect("all units"));
                    }
                }),
            ),
            ("decode, one unit a row", Box::new(|| rows.borrow_mut().decode(1))),
            ("decode, one unit a row, the crate's own", Box::new(|| decode(1))),
            ("decode, M units a row", Box::new(|| rows.borrow_mut().decode(parity))),
            ("decode, M units a row, the crate's own", Box::new(|| decode(parity))),
        ],
    );
}

unsafe extern "C" fn always(_: *const sys::Damage, _: *mut c_void) -> bool {
    true
}

/// The calls on 256 MiB in /dev/shm.
fn calls() {
    let bytes = random_bytes(256 * MIB);
    let folder = format!("/dev/shm/atlas-bench-parity-{}", std::process::id());
    std::fs::create_dir(&folder).expect("a folder in /dev/shm");
    let path = format!("{folder}/data");
    std::fs::write(&path, &bytes).expect("room in /dev/shm");
    let name = |name: &str| CString::new(format!("{folder}/{name}")).expect("a path");
    let (data, atp, new) = (name("data"), name("atp"), name("new.atp"));
    let (one, two) = (operation(pool(1)), operation(pool(2)));
    let mut source = null_mut();
    check(unsafe { sys::atlas_source_open_file(data.as_ptr(), 0, &raw mut source) });
    check(unsafe { sys::atlas_parity_create(source, atp.as_ptr(), null(), &raw const two) });
    let mut parity: *mut Parity = null_mut();
    check(unsafe { sys::atlas_parity_open(atp.as_ptr(), null(), &raw const two, &raw mut parity) });
    let create = |operation: &sys::Operation| {
        check(unsafe { sys::atlas_parity_create(source, new.as_ptr(), null(), operation) });
        std::fs::remove_file(format!("{folder}/new.atp")).expect("it was made");
    };
    let verify = |operation: &sys::Operation| {
        check(unsafe { sys::atlas_parity_check(parity, source, None, null_mut(), operation, null_mut()) });
    };
    let repair = |operation: &sys::Operation| {
        let mut file = std::fs::File::options().write(true).open(&path).expect("the data");
        file.seek(SeekFrom::Start(100 << 20))
            .and_then(|_| file.write_all(&vec![0; 8 * MIB]))
            .expect("damage");
        let mut options =
            RepairOptions { struct_size: 0, mode: 0, other_path: null(), partial: 0, reserved: 0 };
        unsafe { sys::atlas_repair_options_init(&raw mut options) };
        options.mode = 2;
        check(unsafe {
            sys::atlas_parity_repair(
                parity,
                data.as_ptr(),
                &raw const options,
                Some(always),
                null_mut(),
                operation,
                null_mut(),
            )
        });
    };
    let memory = borrow(&bytes);
    compare(
        "parity of 256 MiB in /dev/shm",
        bytes.len(),
        &mut [
            ("blake3::hash, one thread, in memory", Box::new(|| _ = black_box(blake3::hash(&bytes)))),
            ("create 6.25 %, one thread", Box::new(|| create(&one))),
            ("create 6.25 %, two threads", Box::new(|| create(&two))),
            ("check, one thread", Box::new(|| verify(&one))),
            ("check, two threads", Box::new(|| verify(&two))),
            ("repair 8 MiB in place, one thread", Box::new(|| repair(&one))),
            ("repair 8 MiB in place, two threads", Box::new(|| repair(&two))),
        ],
    );
    unsafe {
        sys::atlas_parity_destroy(parity);
        sys::atlas_source_destroy(source);
        sys::atlas_source_destroy(memory);
    }
    std::fs::remove_dir_all(&folder).expect("it is ours");
}
