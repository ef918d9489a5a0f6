//! The benchmark suite: the speed of this library on this machine, relative to its bounds.
//!
//! ```text
//! for each size:  generate a domain
//!   for each case: prepare; warm up; until iterations or max_seconds: time its limit, time it
//! ```
//!
//! A case is measured alternately with its limit, a plain copy or bare BLAKE3 of the bytes that it has to
//! touch: machines change their speed from one second to the next, and then both times change together.
//! BLAKE3 of a domain runs on the threads of the run, a tile per task. The other limits run on one thread,
//! like the cases that they bound. The timed part is the time that a caller waits; freeing results, undoing
//! changes and preparing the next iteration are excluded.
//!
//! ```
//! use atlas_manifold::{BenchmarkConfig, ManifoldBenchmark};
//! # fn main() -> atlas_manifold::Result<()> {
//! let mut benchmark = ManifoldBenchmark::new(BenchmarkConfig::default());
//! # // The default takes a minute or two; this shows that it runs.
//! # let mut benchmark = ManifoldBenchmark::new(BenchmarkConfig {
//! #     warmup_iterations: 0, iterations: 1, data_sizes: vec![64 * 1024], ..BenchmarkConfig::default()
//! # });
//! # if !cfg!(feature = "benchmarks") { return Ok(()); }
//! benchmark.run_full_benchmark_suite()?;
//! benchmark.print_results();
//! # assert!(benchmark.results().iter().any(|result| result.name == "linear projection"));
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod cases;
mod config;
mod data;
mod measure;
mod report;

pub use config::BenchmarkConfig;
pub use report::{BenchmarkReport, BenchmarkResult, BenchmarkSummary};

use crate::base::buffer::{try_collect, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::units::to_u64;
use crate::exec::operation::Operation;
use cases::{CASES, Case, TestDomain};
use measure::{Repetitions, measure};
use std::io::Write as _;
use std::time::Instant;

/// Fails with UNSUPPORTED without the Cargo feature `benchmarks`.
pub(crate) fn available() -> Result<()> {
    if cfg!(feature = "benchmarks") {
        return Ok(());
    }
    Err(AtlasError::unsupported("benchmarks need the Cargo feature `benchmarks`, which is not built in"))
}

/// The suite, and the report of its last run.
///
/// ```no_run
/// use atlas_manifold::{BenchmarkConfig, ManifoldBenchmark};
///
/// let config = BenchmarkConfig { data_sizes: vec![1 << 20], iterations: 5, ..BenchmarkConfig::default() };
/// let mut benchmark = ManifoldBenchmark::new(config);
/// benchmark.run_full_benchmark_suite()?; // minutes, with the default sizes
/// for result in benchmark.results() {
///     println!("{}: {} ns", result.name, result.median_ns);
/// }
/// # Ok::<(), atlas_manifold::AtlasError>(())
/// ```
#[derive(Debug)]
pub struct ManifoldBenchmark {
    config: BenchmarkConfig,
    report: Option<BenchmarkReport>,
}

impl ManifoldBenchmark {
    /// Returns a suite that has not run.
    pub fn new(config: BenchmarkConfig) -> ManifoldBenchmark {
        ManifoldBenchmark { config, report: None }
    }

    /// Returns the configuration of the suite.
    pub fn config(&self) -> &BenchmarkConfig {
        &self.config
    }

    /// Runs all cases on the library's pool. [`run_with`](Self::run_with) accepts an operation.
    pub fn run_full_benchmark_suite(&mut self) -> Result<()> {
        self.run_with(&mut Operation::new())
    }

    /// Runs all cases that are built in, on the threads of `operation`.
    ///
    /// Progress is reported before a case is prepared, after each iteration and after the case; it counts
    /// cases as chunks and the bytes of their domains as bytes. `false` cancels, and the report of an
    /// earlier run stays. The preparation of a case and an iteration run to their end, whatever
    /// `max_seconds` and the callback say.
    ///
    /// Needs memory for five times the largest size, plus 64 KiB per MiB of that size, plus 6 MiB. Fails with
    /// INVALID_ARGUMENT if the configuration is not valid, LIMIT if the memory limit is less than this
    /// memory, OUT_OF_MEMORY, and UNSUPPORTED without the feature.
    pub fn run_with(&mut self, operation: &mut Operation<'_>) -> Result<()> {
        self.report = Some(run(&self.config, operation)?);
        Ok(())
    }

    /// Returns the report of the last successful run. `None` if there was none.
    pub fn report(&self) -> Option<&BenchmarkReport> {
        self.report.as_ref()
    }

    /// Returns the results of the last successful run. Empty if there was none.
    pub fn results(&self) -> &[BenchmarkResult] {
        self.report.as_ref().map_or(&[], BenchmarkReport::results)
    }

    /// Returns a summary of the last successful run. `None` if there was none.
    pub fn summary(&self) -> Option<BenchmarkSummary> {
        self.report.as_ref().map(BenchmarkReport::summary)
    }

    /// Prints the table of the last successful run to the standard output, at most 100 columns wide. Prints nothing
    /// if there was none.
    pub fn print_results(&self) {
        if let Some(report) = &self.report {
            // A closed output is ignored.
            let _ = std::io::stdout().write_all(report.to_text().as_bytes());
        }
    }
}

/// Runs all cases that are built in, and returns the report.
pub(crate) fn run(config: &BenchmarkConfig, operation: &mut Operation<'_>) -> Result<BenchmarkReport> {
    available()?;
    let sizes = config.sizes()?;
    // A pool from before a fork is refused before the first case.
    operation.executor.check()?;
    // The report names the cases whose feature is not built in.
    let (cases, left_out): (Vec<&Case>, Vec<&Case>) = CASES.iter().partition(|case| case.is_built_in());
    // Too little memory is an error before anything is measured, not after the small sizes.
    for (index, size) in (0..).zip(&sizes) {
        TestDomain::check_memory(*size, operation).map_err(|error| error.at_index(index))?;
    }
    let plan = Repetitions {
        warmup: config.warmup_iterations,
        iterations: config.iterations,
        max_nanoseconds: config.max_seconds * 1e9,
    };
    let start = Instant::now();
    // The clock never goes back.
    let clock = || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    // Totals of progress over all sizes.
    let mut results = try_vec(sizes.len().saturating_mul(cases.len()))?;
    // The report has a copy of the configuration, whose list of sizes may be long.
    let data_sizes = try_collect(config.data_sizes.iter().copied())?;
    let count = to_u64(cases.len());
    let bytes = sizes.iter().fold(0u64, |sum, size| sum.saturating_add(to_u64(*size).saturating_mul(count)));
    let mut progress = crate::exec::progress::Progress::default();
    (progress.bytes_total, progress.chunks_total) = (bytes, to_u64(sizes.len()).saturating_mul(count));
    let threads = operation.executor.threads();
    // Size by size, and case by case.
    for (index, size) in (0..).zip(sizes) {
        let domain = TestDomain::new(size, operation).map_err(|error| error.at_index(index))?;
        // Progress continues from size to size.
        let mut tracker = operation.resume(progress, false);
        for case in &cases {
            // The preparation may take as long as many iterations.
            tracker.advance(0, 0)?;
            let iteration = (case.prepare)(&domain)?;
            // The limit works on the same domain, in turn with the case.
            let limit = case.limit.iteration(&domain);
            let mut measured = measure(plan, &clock, limit, iteration, &mut || tracker.advance(0, 0))?;
            results.push(BenchmarkResult::new(case.name, case.limit, size, &mut measured));
            tracker.advance(to_u64(size), 1)?;
        }
        progress = tracker.progress();
    }
    Ok(BenchmarkReport {
        config: BenchmarkConfig { data_sizes, ..*config },
        threads,
        results,
        left_out: left_out.iter().map(|case| case.name.rust).collect(),
        seconds: start.elapsed().as_secs_f64(),
    })
}

#[cfg(all(test, feature = "benchmarks"))]
mod tests;
