//! Batches of shards: what strategies and threads make of regions of different sizes.

use crate::sys::{self, ExtractOptions, Operation, Projection, Region, Shard};
use crate::{MIB, batch, borrow, compare, destroy, operation, options, pool, project, random_bytes};

const KIB: usize = 1 << 10;

fn regions(count: usize, length: usize, domain: usize) -> Vec<Region> {
    let place = |i: usize| i * 2_654_435_761 % (domain - length) / 4_096 * 4_096;
    (0..count).map(|i| Region { offset: place(i) as u64, length: length as u64 }).collect()
}

/// Batches of at most 64 MiB, each destroyed before the next.
fn extract(
    projection: *const Projection,
    batches: &[Vec<Region>],
    options: &ExtractOptions,
    operation: &Operation,
) {
    let mut shards: Vec<*mut Shard> = Vec::new();
    for regions in batches {
        batch(projection, regions, options, operation, &mut shards);
        destroy(&mut shards);
    }
}

pub fn run() {
    let bytes = random_bytes(1024 * MIB);
    let source = borrow(&bytes);
    let (one, two) = (operation(pool(1)), operation(pool(2)));
    let projection = project(source, &two);
    let in_batches = |regions: &[Region], each: usize| -> Vec<Vec<Region>> {
        regions.chunks(each).map(<[Region]>::to_vec).collect()
    };
    let mut mixed = vec![Region { offset: 900 * MIB as u64, length: 48 * MIB as u64 }];
    mixed.extend((0..256).map(|i| Region { offset: (i * 3 * 64 * KIB) as u64, length: 64 * KIB as u64 }));
    // The large one is neither the first nor the last.
    mixed.swap(0, 128);
    let tiles: Vec<Region> =
        (0..64).map(|tile| Region { offset: tile * MIB as u64, length: MIB as u64 }).collect();
    let sets = [
        (
            "100,000 regions of 4 KiB, in batches of 16,000",
            in_batches(&regions(100_000, 4 * KIB, bytes.len()), 16_000),
        ),
        ("1,024 regions of 64 KiB", in_batches(&regions(1_024, 64 * KIB, bytes.len()), 1_024)),
        ("64 regions of 1 MiB", in_batches(&tiles, 64)),
        ("one region of 48 MiB among 256 of 64 KiB", in_batches(&mixed, mixed.len())),
    ];
    let strategy = |number| {
        let mut options = options(number);
        options.chunk_size = 16;
        options
    };
    let (sequential, default, pooled, chunked, stealing) =
        (strategy(0), strategy(1), strategy(2), strategy(3), strategy(4));
    let operations = [&one, &two];
    for (title, batches) in &sets {
        let total: u64 = batches.iter().flatten().map(|region| region.length).sum();
        let case = |name: &'static str, options: ExtractOptions, on: usize| {
            let run = move || extract(projection, batches, &options, operations[on]);
            (name, Box::new(run) as Box<dyn FnMut() + '_>)
        };
        compare(
            title,
            total as usize,
            &mut [
                case("DEFAULT, one thread", default, 0),
                case("SEQUENTIAL", sequential, 1),
                case("DEFAULT, two threads", default, 1),
                case("POOL, two threads", pooled, 1),
                case("CHUNKED of 16, one thread", chunked, 0),
                case("CHUNKED of 16, two threads", chunked, 1),
                case("WORK_STEALING, one thread", stealing, 0),
                case("WORK_STEALING, two threads", stealing, 1),
            ],
        );
    }
    // So many at a time that the clock sees them.
    for length in [512, 4 * KIB, 64 * KIB] {
        let batches: Vec<Vec<Region>> =
            regions(1_000, length, bytes.len()).into_iter().map(|region| vec![region]).collect();
        compare(
            &format!("batches of one region of {length} bytes"),
            1_000 * length,
            &mut [
                ("SEQUENTIAL", Box::new(|| extract(projection, &batches, &sequential, &two))),
                ("DEFAULT, two threads", Box::new(|| extract(projection, &batches, &default, &two))),
            ],
        );
    }
    unsafe {
        sys::atlas_projection_destroy(projection);
        sys::atlas_source_destroy(source);
    }
}
