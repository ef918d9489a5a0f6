//! Batches of shards: times of each strategy and number of threads for regions of different sizes, as a table.

use crate::sys::{self, ExtractOptions, Operation, Projection, Region, Shard};
use crate::{MIB, ROUNDS, batch, borrow, destroy, median, operation, options, pool, project, random_bytes};
use std::time::Instant;

const KIB: usize = 1 << 10;

fn regions(count: usize, length: usize, domain: usize) -> Vec<Region> {
    let place = |i: usize| i * 2_654_435_761 % (domain - length) / 4_096 * 4_096;
    (0..count).map(|i| Region { offset: place(i) as u64, length: length as u64 }).collect()
}

/// The seconds that it takes to extract some batches. Each is destroyed before the next, which is not
/// timed.
fn extract(
    projection: *const Projection,
    batches: &[Vec<Region>],
    options: &ExtractOptions,
    operation: &Operation,
) -> f64 {
    let mut shards: Vec<*mut Shard> = Vec::new();
    let mut seconds = 0.0;
    for regions in batches {
        let start = Instant::now();
        batch(projection, regions, options, operation, &mut shards);
        seconds += start.elapsed().as_secs_f64();
        destroy(&mut shards);
    }
    seconds
}

/// The median seconds of each of the cases in alternating runs, and of its ratio to the first, with the
/// smallest and the largest.
fn alternate(cases: &[&dyn Fn() -> f64]) -> Vec<(f64, [f64; 3])> {
    let mut times = vec![Vec::new(); cases.len()];
    for round in 0..=ROUNDS {
        for (case, times) in cases.iter().zip(&mut times) {
            let seconds = case();
            if round > 0 {
                times.push(seconds);
            }
        }
    }
    let base = times[0].clone();
    let ratios = |times: &[f64]| -> [f64; 3] {
        let mut ratios: Vec<f64> = base.iter().zip(times).map(|(base, time)| base / time).collect();
        let middle = median(&mut ratios);
        [middle, ratios[0], ratios[ratios.len() - 1]]
    };
    times.iter().map(|times| (median(&mut times.clone()), ratios(times))).collect()
}

pub fn run() {
    let bytes = random_bytes(1024 * MIB);
    let source = borrow(&bytes);
    let (one, two) = (operation(pool(1)), operation(pool(2)));
    let projection = project(source, &two);
    let mut mixed: Vec<Region> =
        (0..256).map(|i| Region { offset: (i * 3 * 64 * KIB) as u64, length: 64 * KIB as u64 }).collect();
    // The large one is neither the first nor the last.
    mixed.insert(128, Region { offset: 900 * MIB as u64, length: 48 * MIB as u64 });
    let tiles = (0..64).map(|tile| Region { offset: tile * MIB as u64, length: MIB as u64 }).collect();
    let pages = regions(100_000, 4 * KIB, bytes.len());
    let sets = [
        ("100,000 of 4 KiB, 16,000 a batch", pages.chunks(16_000).map(<[Region]>::to_vec).collect()),
        ("1,024 of 64 KiB", vec![regions(1_024, 64 * KIB, bytes.len())]),
        ("64 of 1 MiB", vec![tiles]),
        ("48 MiB among 256 of 64 KiB", vec![mixed]),
    ];
    let strategies = ["SEQUENTIAL", "DEFAULT", "POOL", "CHUNKED of 16", "WORK_STEALING"];
    println!("\n| regions | strategy | one thread | two threads | ratio |\n|---|---|---:|---:|---:|");
    for (title, batches) in &sets {
        let total: u64 = batches.iter().flatten().map(|region| region.length).sum();
        let rate = |seconds: f64| total as f64 / seconds / 1e9;
        for (number, name) in (0..).zip(strategies) {
            let mut options = options(number);
            options.chunk_size = 16;
            let found = alternate(&[&|| extract(projection, batches, &options, &one), &|| {
                extract(projection, batches, &options, &two)
            }]);
            let (alone, (both, [ratio, least, most])) = (rate(found[0].0), found[1]);
            let both = rate(both);
            println!(
                "| {title} | {name} | {alone:.2} GB/s | {both:.2} GB/s | {ratio:.2} ({least:.2}..{most:.2}) |"
            );
        }
    }
    println!(
        "\nSo far every tile had been extracted from before, so that its chain was known: a small region"
    );
    println!("hashes the groups that it touches. The rows called first have a projection made anew for each");
    println!("run, and a tile for each region: the whole tile is hashed. Medians of calls that alternate.");
    println!("\n| one region a batch | SEQUENTIAL | DEFAULT, a pool of two | ratio |\n|---|---:|---:|---:|");
    for (length, first) in
        [(512, false), (4 * KIB, false), (64 * KIB, false), (4 * KIB, true), (64 * KIB, true)]
    {
        let batches: Vec<Vec<Region>> = if first {
            let offset = |tile: usize| (tile * MIB + 300 * KIB) as u64;
            (0..1_000).map(|tile| vec![Region { offset: offset(tile), length: length as u64 }]).collect()
        } else {
            regions(1_000, length, bytes.len()).into_iter().map(|region| vec![region]).collect()
        };
        let strategies = [options(0), options(1)];
        // In turn, one call after the other: each region with both, the first one first every other time.
        let mut calls = [Vec::new(), Vec::new()];
        let mut ratios = Vec::new();
        for round in 0..=ROUNDS {
            // The first extraction of a tile is one projection's.
            let fresh = first.then(|| [(); 2].map(|()| project(source, &two)));
            let mut times = [Vec::new(), Vec::new()];
            for (call, batch) in batches.chunks(1).enumerate() {
                for turn in 0..2 {
                    let which = (call + turn) % 2;
                    let projection = fresh.map_or(projection, |fresh| fresh[which]);
                    times[which].push(extract(projection, batch, &strategies[which], &two) * 1e6);
                }
            }
            if round > 0 {
                let [sequential, default] = [0, 1].map(|which| median(&mut times[which].clone()));
                ratios.push(sequential / default);
                calls.iter_mut().zip(times).for_each(|(all, times)| all.extend(times));
            }
            for fresh in fresh.into_iter().flatten() {
                unsafe { sys::atlas_projection_destroy(fresh) };
            }
        }
        let [alone, both] = calls.map(|mut times| median(&mut times));
        let ratio = median(&mut ratios);
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        let title = if first { ", first" } else { "" };
        println!(
            "| {length} bytes{title} | {alone:.2} µs | {both:.2} µs | {ratio:.2} ({least:.2}..{most:.2}) |"
        );
    }
    unsafe {
        sys::atlas_projection_destroy(projection);
        sys::atlas_source_destroy(source);
    }
}
