//! `atlasm bench`: measures the speed of the library on this machine.

use crate::context::{Ctx, Report};
use crate::status::{Failure, Res, Status};
use crate::units::parse_size;
use atlas_manifold::{BenchmarkConfig, ManifoldBenchmark};
use clap::Args;
use serde_json::Value;
use std::path::Path;

/// Measures the speed of the library on this machine.
///
/// No other program should run meanwhile. Needs five times the largest size in memory.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Size of the domain in bytes; 1M, 16M and 64M by default
    #[arg(long, value_name = "SIZE,...", value_delimiter = ',', value_parser = parse_size)]
    size: Vec<u64>,
    /// Iterations of each case; 10 by default
    #[arg(long, value_name = "N")]
    iterations: Option<u32>,
    /// Maximum seconds for each case; 5 by default
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    let mut config = BenchmarkConfig::default();
    if !options.size.is_empty() {
        config.data_sizes.clone_from(&options.size);
    }
    config.iterations = options.iterations.unwrap_or(config.iterations);
    config.max_seconds = options.seconds.unwrap_or(config.max_seconds);
    let mut suite = ManifoldBenchmark::new(config);
    ctx.operate(Path::new("the benchmark suite"), u64::MAX, |operation| suite.run_with(operation))?;
    let Some(measured) = suite.report() else {
        return Err(Failure::new(
            Status::Defect,
            "a defect of this program, please report it: the benchmark suite ran and has no report",
        ));
    };
    let mut report = Report::new(Status::Done, "measured");
    report.text = measured.to_text().into_bytes();
    let value: Result<Value, _> = serde_json::from_str(&measured.to_json());
    let value = value.map_err(|error| {
        Failure::new(
            Status::Defect,
            format!(
                "a defect of this program, please report it: the report of the benchmark suite is not JSON: \
                 {error}"
            ),
        )
    })?;
    report.put("report", value);
    ctx.report(None, report)
}
