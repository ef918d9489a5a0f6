//! `atlasm bench`: how fast this machine is.

use crate::context::{Ctx, Report};
use crate::status::{Failure, Res, Status};
use atlas_manifold::{BenchmarkConfig, ManifoldBenchmark};
use clap::Args;
use serde_json::Value;
use std::path::Path;

/// Measures what the library does on this machine.
///
/// Let nothing else run meanwhile.
#[derive(Debug, Args)]
pub(crate) struct Options {}

pub(crate) fn run(ctx: &Ctx, _: &Options) -> Res<()> {
    let mut suite = ManifoldBenchmark::new(BenchmarkConfig::default());
    ctx.operate(Path::new("the benchmark suite"), u64::MAX, |operation| suite.run_with(operation))?;
    let Some(measured) = suite.report() else {
        return Err(Failure::new(Status::Defect, "the suite ran and has no report"));
    };
    let mut report = Report::new(Status::Done, "measured");
    report.text = measured.to_text().into_bytes();
    let value: Result<Value, _> = serde_json::from_str(&measured.to_json());
    report.put(
        "report",
        value.map_err(|error| Failure::new(Status::Defect, format!("the report is no JSON: {error}")))?,
    );
    ctx.report(None, report)
}
