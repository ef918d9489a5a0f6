use super::cases::{CASES, Limit};
use super::data::generate;
use super::measure::{Measured, Repetitions, Samples, Stopwatch, measure};
use super::*;
use crate::ErrorKind;
use crate::exec::progress::Progress;
use std::cell::Cell;

fn small(data_sizes: &[u64]) -> BenchmarkConfig {
    // The time limit is so long that no slow machine reaches it.
    BenchmarkConfig { warmup_iterations: 1, iterations: 2, max_seconds: 1e9, data_sizes: data_sizes.to_vec() }
}

fn built_in() -> usize {
    CASES.iter().filter(|case| case.is_built_in()).count()
}

#[test]
fn every_case_runs_on_every_size() {
    let mut benchmark = ManifoldBenchmark::new(small(&[1, 65_536, (1 << 20) + 4_099]));
    assert!(benchmark.summary().is_none() && benchmark.results().is_empty());
    benchmark.run_with(&mut Operation::sequential()).unwrap();
    let results = benchmark.results();
    assert_eq!(results.len(), 3 * built_in());
    for (index, result) in results.iter().enumerate() {
        let case = CASES.iter().filter(|case| case.is_built_in()).nth(index % built_in()).unwrap();
        assert_eq!(result.c_name.to_str(), Ok(result.name));
        assert_eq!((result.name, result.iterations), (case.name.rust, 2));
        assert_eq!(result.data_size, benchmark.config().data_sizes[index / built_in()]);
        assert!(
            result.min_ns > 0.0 && result.min_ns <= result.median_ns && result.median_ns <= result.max_ns
        );
        assert!(
            result.min_ns <= result.mean_ns && result.mean_ns <= result.max_ns && result.stddev_ns >= 0.0
        );
        assert!(result.bytes_per_second.is_finite() && result.bytes_per_second > 0.0);
        assert_eq!(result.of_limit.is_none(), case.limit == Limit::None);
        assert!(result.of_limit.is_none_or(|part| part.is_finite() && part > 0.0));
    }
    let summary = benchmark.summary().unwrap();
    assert_eq!((summary.results, summary.cut_short, summary.threads), (results.len(), 0, 1));
    assert_eq!(summary.iterations, 2 * results.len() as u64);
    assert_eq!(summary.left_out + built_in(), CASES.len());
}

/// The names must not change, because programs select cases by name.
#[test]
fn the_names_are_these() {
    let names: Vec<_> = CASES.iter().map(|case| case.name.rust).collect();
    assert_eq!(
        names,
        [
            "memcpy",
            "BLAKE3",
            "linear projection",
            "R96 projection",
            "R96 extraction of classes",
            "R96 inverse",
            "R96 decode",
            "streaming",
            "verification",
            "single shard",
            "batch of shards",
            "verification of shards",
            "reconstruction",
            "transformation",
            "incremental insert",
            "incremental update",
            "incremental update with root",
            "incremental rollback",
            "compression none",
            "compression DEFLATE",
            "compression conservation-aware",
            "compression Zstandard",
            "compression LZ4",
            "decompression none",
            "decompression DEFLATE",
            "decompression conservation-aware",
            "decompression Zstandard",
            "decompression LZ4",
        ]
    );
}

#[test]
fn names_are_safe_in_every_format() {
    for name in CASES.iter().map(|case| case.name.rust) {
        assert!(
            name.len() <= 32 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b" -".contains(&b)),
            "{name}"
        );
    }
    for limit in CASES.iter().filter_map(|case| case.limit.name()) {
        assert!(CASES.iter().any(|case| case.name.rust == limit && case.limit == Limit::Itself));
    }
}

/// A limit with other work or other threads than its cases would make its column wrong.
#[test]
fn limits_are_of_what_a_case_has_to_touch() {
    let limits = |wanted: Limit| {
        let cases = CASES.iter().filter(move |case| case.limit == wanted);
        cases.map(|case| case.name.rust).collect::<Vec<_>>()
    };
    assert_eq!(limits(Limit::Itself), ["memcpy", "BLAKE3"]);
    assert_eq!(limits(Limit::None), ["transformation", "incremental rollback"]);
    assert_eq!(limits(Limit::Copy), ["R96 inverse"]);
    assert_eq!(limits(Limit::CopyOfChange), ["incremental insert", "incremental update"]);
    assert_eq!(limits(Limit::DigestOfChange), ["incremental update with root"]);
}

#[cfg(feature = "parallel")]
#[test]
fn limits_of_one_thread_and_of_one_tile_run_on_the_calling_one() {
    let pool = crate::Pool::new(2).unwrap();
    let here = std::thread::current().id();
    let elsewhere = |executor, tiles: usize| {
        let seen = std::sync::Mutex::new(std::collections::BTreeSet::new());
        cases::each_tile(executor, tiles << 20, |tile| {
            // Long enough for another thread to wake up.
            std::thread::sleep(std::time::Duration::from_millis(1));
            let thread = if std::thread::current().id() == here { "here" } else { "there" };
            assert!(crate::base::sync::lock(&seen).insert((tile, thread)));
            Ok(())
        })
        .unwrap();
        let seen = seen.into_inner().unwrap();
        assert_eq!(seen.len(), tiles);
        seen.iter().any(|(_, thread)| *thread == "there")
    };
    assert!(!elsewhere(crate::exec::pool::Executor::Pool(&pool), 1));
    assert!(elsewhere(crate::exec::pool::Executor::Pool(&pool), 64));
    assert!(!elsewhere(crate::exec::pool::Executor::Inline, 64));
}

#[test]
fn wrong_configurations_are_refused() {
    let refused = |config: BenchmarkConfig| {
        let mut benchmark = ManifoldBenchmark::new(config);
        let error = benchmark.run_full_benchmark_suite().unwrap_err();
        assert!(benchmark.report().is_none());
        error
    };
    let config = || small(&[1]);
    for max_seconds in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = refused(BenchmarkConfig { max_seconds, ..config() });
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("max_seconds"));
    }
    assert_eq!(refused(BenchmarkConfig { iterations: 0, ..config() }).kind(), ErrorKind::InvalidArgument);
    let error = refused(small(&[]));
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().starts_with("data_sizes is empty"), "{error}");
    let error = refused(small(&[5, 0]));
    assert_eq!((error.kind(), error.index()), (ErrorKind::InvalidArgument, Some(1)));
    for size in [u64::MAX, 1 << 63, (1 << 63) - 1, 1 << 62] {
        assert_eq!(refused(small(&[size])).kind(), ErrorKind::OutOfMemory, "{size}");
    }
}

#[test]
fn the_memory_limit_is_looked_at_before_anything_runs() {
    let mut calls = 0;
    let mut count = |_: &Progress| {
        calls += 1;
        true
    };
    let config = small(&[65_536, 1 << 22]);
    let mut operation = Operation::sequential().with_memory_limit(20 << 20).with_progress(&mut count);
    let error = run(&config, &mut operation).unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::Limit, Some(1)));
    assert_eq!(calls, 0);
    // Memory that passes the check is enough for every case.
    for size in [1, 65_536, 1 << 20, 1 << 22] {
        let least = (1..).map(|step| step << 16).find(|limit| {
            let operation = Operation::new().with_memory_limit(*limit);
            TestDomain::check_memory(crate::base::units::to_usize(size), &operation).is_ok()
        });
        let mut operation = Operation::new().with_memory_limit(least.unwrap());
        run(&BenchmarkConfig { iterations: 1, warmup_iterations: 0, ..small(&[size]) }, &mut operation)
            .unwrap();
    }
}

#[test]
fn progress_counts_cases_and_cancels_anywhere() {
    let mut seen = Vec::new();
    let mut record = |progress: &Progress| {
        seen.push(*progress);
        true
    };
    run(&small(&[100, 5_000]), &mut Operation::sequential().with_progress(&mut record)).unwrap();
    // Reports before the case, after one warm-up and two measured iterations, and at the end of the case.
    assert_eq!(seen.len(), 2 * built_in() * 5);
    // The callback is asked before the first work.
    assert_eq!((seen[0].chunks_done, seen[0].bytes_done), (0, 0));
    let last = seen.last().unwrap();
    assert_eq!((last.chunks_done, last.chunks_total), (2 * built_in() as u64, 2 * built_in() as u64));
    assert_eq!((last.bytes_done, last.bytes_total), (5_100 * built_in() as u64, 5_100 * built_in() as u64));
    assert!(
        seen.windows(2).all(|two| {
            two[0].chunks_done <= two[1].chunks_done && two[0].bytes_done <= two[1].bytes_done
        })
    );

    for stop in [1, 2, 3, 4, 5, 50, seen.len()] {
        let mut calls = 0;
        let mut cancel = |_: &Progress| {
            calls += 1;
            calls < stop
        };
        let mut benchmark = ManifoldBenchmark::new(small(&[100, 5_000]));
        let mut operation = Operation::sequential().with_progress(&mut cancel);
        assert_eq!(benchmark.run_with(&mut operation).unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(benchmark.report().is_none());
        assert_eq!(calls, stop);
    }
}

#[test]
fn a_failed_run_leaves_the_report_before_it() {
    let mut benchmark = ManifoldBenchmark::new(small(&[64]));
    benchmark.run_with(&mut Operation::sequential()).unwrap();
    let before = benchmark.report().cloned();
    let mut cancel = |_: &Progress| false;
    assert!(benchmark.run_with(&mut Operation::sequential().with_progress(&mut cancel)).is_err());
    assert_eq!(benchmark.report().cloned(), before);
}

#[test]
fn data_are_the_same_everywhere() {
    for (len, digest) in [(0, "af1349b9"), (1, "2d3adedf"), (100_003, "d21ab87a"), (1 << 21, "f27aa7d0")] {
        let bytes = generate(len).unwrap();
        assert_eq!(bytes.len(), len);
        assert_eq!(&*bytes, &*generate(len).unwrap());
        let found = hex(&crate::digest256(&bytes));
        assert!(found.starts_with(digest), "{len}: {found}");
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Measures with a clock that moves only when a case advances it.
fn measured(plan: Repetitions, times: &[u64], limit: Option<u64>) -> (Measured, usize) {
    let now = Cell::new(0);
    let clock = || now.get();
    let mut next = times.iter().cycle();
    let rounds = Cell::new(0);
    let case = |stopwatch: &mut Stopwatch<'_>| {
        rounds.set(rounds.get() + 1);
        stopwatch.time(|| now.set(now.get() + next.next().expect("a time")));
        Ok(())
    };
    let limit = limit.map(|time| -> measure::Iteration<'_> {
        let now = &now;
        Box::new(move |stopwatch| {
            stopwatch.time(|| now.set(now.get() + time));
            Ok(())
        })
    });
    let result = measure(plan, &clock, limit, Box::new(case), &mut || Ok(())).expect("a measurement");
    (result, rounds.get())
}

#[test]
fn warm_up_does_not_count_and_the_numbers_are_right() {
    let plan = Repetitions { warmup: 2, iterations: 4, max_nanoseconds: 1e9 };
    let (mut result, rounds) = measured(plan, &[500, 900, 10, 40, 20, 30], Some(5));
    assert_eq!((rounds, result.times.count), (6, 4));
    assert_eq!((result.times.min, result.times.max), (10.0, 40.0));
    assert_eq!((result.times.mean, result.times.median()), (25.0, 25.0));
    assert!((result.times.deviation() - (500.0f64 / 3.0).sqrt()).abs() < 1e-9);
    // Of 10, 20, 30 and 40 one is less than 20.
    assert_eq!((result.limits.count, result.times.lower_quartile(), result.of_limit()), (4, 20.0, 0.25));
}

#[test]
fn iterations_stop_at_max_seconds_but_for_the_first() {
    let plan = |warmup, max_nanoseconds| Repetitions { warmup, iterations: 10, max_nanoseconds };
    // Warm-up iterations begin at 0 and 100; the next would begin at 200, which is more than half of 300.
    let (result, rounds) = measured(plan(9, 300.0), &[100], None);
    assert_eq!((rounds, result.times.count), (3, 1));
    let (result, rounds) = measured(plan(0, 250.0), &[100], None);
    assert_eq!((rounds, result.times.count), (3, 3));
    // The time of the limit counts too.
    let (result, _) = measured(plan(0, 250.0), &[100], Some(100));
    assert_eq!(result.times.count, 2);
    let (result, _) = measured(plan(0, 1e-9), &[100], None);
    assert_eq!((result.times.count, result.times.deviation()), (1, 0.0));
    // A clock that stands still.
    let (mut result, _) = measured(plan(0, 1.0), &[0], None);
    assert_eq!((result.times.count, result.times.median()), (10, 1.0));
}

#[test]
fn many_samples_take_bounded_memory() {
    let mut samples = Samples::default();
    for value in 0..1_000_000u32 {
        samples.add(f64::from(value)).unwrap();
    }
    assert_eq!((samples.count, samples.min, samples.max), (1_000_000, 0.0, 999_999.0));
    assert!((samples.mean - 499_999.5).abs() < 1e-3);
    assert!((samples.median() - 500_000.0).abs() < 100.0);
    assert!((samples.lower_quartile() - 250_000.0).abs() < 100.0);
    assert!((samples.deviation() - 288_675.28).abs() < 1.0);
}

fn report(times: [f64; 5], size: u64, of_limit: Option<f64>) -> BenchmarkReport {
    let [min_ns, median_ns, mean_ns, max_ns, stddev_ns] = times;
    let results = CASES.iter().map(|case| BenchmarkResult {
        name: case.name.rust,
        c_name: case.name.c,
        data_size: size,
        iterations: 4_294_967_295,
        min_ns,
        max_ns,
        mean_ns,
        median_ns,
        stddev_ns,
        bytes_per_second: measure::float(size) / (median_ns / 1e9),
        work_bytes: size,
        limit: case.limit.name(),
        of_limit,
    });
    BenchmarkReport {
        config: BenchmarkConfig { iterations: u32::MAX, max_seconds: 1e300, ..BenchmarkConfig::default() },
        threads: 1_024,
        results: results.collect(),
        left_out: CASES.iter().map(|case| case.name.rust).collect(),
        seconds: 123_456_789.0,
    }
}

#[test]
fn text_fits_a_hundred_columns_and_its_columns_are_aligned() {
    let times = [1.0, 99.96, 999.6, 123_456.0, 9_999_500.0, 1e9, 59_949_000_000.0, 3.6e12, 3e16];
    for (at, _) in times.iter().enumerate() {
        for size in [1, 1_000, 1_048_575, 1 << 20, 1 << 40] {
            for of_limit in [None, Some(0.0001), Some(0.999), Some(1.5), Some(1e9)] {
                let five = [0, 1, 2, 3, 4].map(|step| times[(at + step) % times.len()]);
                let text = report(five, size, of_limit).to_text();
                for line in text.lines() {
                    assert!(line.chars().count() <= 100, "{line}");
                }
                let rows: Vec<_> = text.lines().filter(|line| line.contains("4G")).collect();
                assert_eq!(rows.len(), CASES.len());
                assert!(rows.iter().all(|row| row.chars().count() == 100), "{text}");
            }
        }
    }
}

#[test]
fn numbers_are_readable() {
    let text = report([1_234.0, 12_345.0, 12_300.0, 999_600.0, 0.0], 16 << 20, Some(0.934)).to_text();
    let row = text.lines().find(|line| line.contains("linear projection")).unwrap();
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(
        cells[2..],
        "4G 12.3 µs 1.23 µs 1.00 ms 12.3 µs 0 ns 1.36 TB/s 93% BLAKE3".split(' ').collect::<Vec<_>>()[..]
    );
    assert!(text.contains("domain of 16 MiB"));
}

/// The text in one line.
fn text_of(report: &BenchmarkReport) -> String {
    report.to_text().replace('\n', " ")
}

#[test]
fn json_and_csv_hold_every_number() {
    let report = report([1.5, 2.25, 3.0, 4.0, 0.125], 4_096, None);
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((json["threads"].as_u64(), json["data_sizes"][1].as_u64()), (Some(1_024), Some(16 << 20)));
    assert!(json["note"].as_str().is_some_and(|note| text_of(&report).contains(note)));
    assert_eq!(json["not_built_in"].as_array().unwrap().len(), CASES.len());
    let rows = json["results"].as_array().unwrap();
    assert_eq!(rows.len(), CASES.len());
    assert_eq!(rows[2]["name"], "linear projection");
    assert_eq!((rows[2]["median_ns"].as_f64(), rows[2]["stddev_ns"].as_f64()), (Some(2.25), Some(0.125)));
    assert_eq!((&rows[2]["limit"], &rows[2]["of_limit"]), (&"BLAKE3".into(), &serde_json::Value::Null));

    let csv = report.to_csv();
    let lines: Vec<Vec<_>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), CASES.len() + 1);
    assert!(lines.iter().all(|line| line.len() == lines[0].len()));
    assert_eq!(lines[3][..4], ["linear projection", "4096", "4294967295", "1.5"]);
    let empty = BenchmarkReport { results: Vec::new(), ..report };
    assert!(serde_json::from_str::<serde_json::Value>(&empty.to_json()).is_ok());
}
