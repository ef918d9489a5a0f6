//! The benchmark suite: what this library does on this machine, against what bounds it.
//!
//! ```text
//! for each size:  generate a domain
//!   for each case: prepare; warm up; until iterations or max_seconds: time its limit, time it
//! ```
//!
//! A case is measured in turn with its limit, a plain copy or bare BLAKE3 of the bytes that it has to
//! touch: machines change their speed from one second to the next, and so both change it together. BLAKE3
//! of a domain runs on the threads of the run, a tile a task, the others on one, as what they bound. What
//! is timed is what a caller waits for; freeing results, undoing changes and preparing the next iteration
//! are not.
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

use crate::base::error::{AtlasError, Result};
use crate::base::units::to_u64;
use crate::exec::operation::Operation;
use cases::{CASES, Case, TestDomain};
use measure::{Repetitions, measure};
use std::io::Write as _;
use std::time::Instant;

/// UNSUPPORTED without the feature.
pub(crate) fn available() -> Result<()> {
    if cfg!(feature = "benchmarks") {
        return Ok(());
    }
    Err(AtlasError::unsupported("benchmarks are not built in"))
}

/// The suite, and what its last run came to.
#[derive(Debug)]
pub struct ManifoldBenchmark {
    config: BenchmarkConfig,
    report: Option<BenchmarkReport>,
}

impl ManifoldBenchmark {
    /// A suite that has not run.
    pub fn new(config: BenchmarkConfig) -> ManifoldBenchmark {
        ManifoldBenchmark { config, report: None }
    }

    /// What it measures.
    pub fn config(&self) -> &BenchmarkConfig {
        &self.config
    }

    /// Runs all cases on the library's pool. [`run_with`](Self::run_with) takes an operation.
    pub fn run_full_benchmark_suite(&mut self) -> Result<()> {
        self.run_with(&mut Operation::new())
    }

    /// Runs all cases that are built in, on the threads of `operation`.
    ///
    /// Progress before a case is prepared, after each iteration and after the case, cases as chunks and
    /// the bytes of their domains as bytes; `false` cancels, and the report of an earlier run stays.
    /// Preparing a case and an iteration run to their end, whatever `max_seconds` and the callback say.
    /// Takes five times the largest size, 64 KiB for each MiB of it and 6 MiB of memory. Fails with
    /// INVALID_ARGUMENT where the configuration is not valid, LIMIT where the memory limit is less than
    /// that, OUT_OF_MEMORY, and UNSUPPORTED without the feature.
    pub fn run_with(&mut self, operation: &mut Operation<'_>) -> Result<()> {
        self.report = Some(run(&self.config, operation)?);
        Ok(())
    }

    /// The report of the last run that succeeded.
    pub fn report(&self) -> Option<&BenchmarkReport> {
        self.report.as_ref()
    }

    /// The results of the last run that succeeded; none before.
    pub fn results(&self) -> &[BenchmarkResult] {
        self.report.as_ref().map_or(&[], BenchmarkReport::results)
    }

    /// The last run that succeeded in a few numbers.
    pub fn summary(&self) -> Option<BenchmarkSummary> {
        self.report.as_ref().map(BenchmarkReport::summary)
    }

    /// Prints the table of the last run to the standard output, at most 100 columns wide; nothing before
    /// a run.
    pub fn print_results(&self) {
        if let Some(report) = &self.report {
            // Who closed the output does not want it.
            let _ = std::io::stdout().write_all(report.to_text().as_bytes());
        }
    }
}

/// One run.
pub(crate) fn run(config: &BenchmarkConfig, operation: &mut Operation<'_>) -> Result<BenchmarkReport> {
    available()?;
    let sizes = config.sizes()?;
    operation.executor.check()?;
    let (cases, left_out): (Vec<&Case>, Vec<&Case>) = CASES.iter().partition(|case| case.is_built_in());
    // Refused before anything is measured, and not after the small sizes.
    for (index, size) in (0..).zip(&sizes) {
        TestDomain::check_memory(*size, operation).map_err(|error| error.at_index(index))?;
    }
    let plan = Repetitions {
        warmup: config.warmup_iterations,
        iterations: config.iterations,
        max_nanoseconds: config.max_seconds * 1e9,
    };
    let start = Instant::now();
    let clock = || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let mut results = crate::base::buffer::try_vec(sizes.len().saturating_mul(cases.len()))?;
    let count = to_u64(cases.len());
    let bytes = sizes.iter().fold(0u64, |sum, size| sum.saturating_add(to_u64(*size).saturating_mul(count)));
    let mut progress = crate::exec::progress::Progress::default();
    (progress.bytes_total, progress.chunks_total) = (bytes, to_u64(sizes.len()).saturating_mul(count));
    let threads = operation.executor.threads();
    for (index, size) in (0..).zip(sizes) {
        let domain = TestDomain::new(size, operation).map_err(|error| error.at_index(index))?;
        let mut tracker = operation.resume(progress, false);
        for case in &cases {
            // It may take as long as many iterations.
            tracker.advance(0, 0)?;
            let iteration = (case.prepare)(&domain)?;
            let limit = case.limit.iteration(&domain);
            let measured = measure(plan, &clock, limit, iteration, &mut || tracker.advance(0, 0))?;
            results.push(BenchmarkResult::new(case.name, case.limit, size, &measured));
            tracker.advance(to_u64(size), 1)?;
        }
        progress = tracker.progress();
    }
    Ok(BenchmarkReport {
        config: config.clone(),
        threads,
        results,
        left_out: left_out.iter().map(|case| case.name.rust).collect(),
        seconds: start.elapsed().as_secs_f64(),
    })
}

#[cfg(all(test, feature = "benchmarks"))]
mod tests;
