//! `atlasm merge`: one outline or container of consecutive parts.

use super::seal;
use crate::context::{Ctx, Report};
use crate::names;
use crate::objects;
use crate::output::Staged;
use crate::status::{Failure, Res, Status};
use crate::units::{count, hex, human};
use atlas_manifold::{CommitOptions, Container, ContainerCreateOptions, ContainerMode, ContainerOptions};
use clap::Args;
use std::path::{Path, PathBuf};

/// Joins outlines of consecutive ranges, which others made, to the outline of the whole.
///
/// Each process or machine seals a range, 'atlasm seal --range'; all ranges but the last are multiples of 1 MiB. No byte of
/// the file is read, and the result is the one that a single seal makes. Containers are joined too, their bytes with
/// them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm seal --range ..1GiB big.iso -o 0.atlas
  atlasm seal --range 1GiB.. big.iso -o 1.atlas     on another machine
  atlasm merge 0.atlas 1.atlas -o big.iso.atlas")]
pub(crate) struct Options {
    /// The parts, in their order
    #[arg(value_name = "PART", required = true)]
    parts: Vec<PathBuf>,
    /// Name of the whole
    #[arg(short, long, value_name = "X.atlas")]
    output: PathBuf,
    /// Replaces an outline that exists
    #[arg(short, long)]
    force: bool,
    /// Text that the outline keeps, at most 1,024 bytes
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    match merge(ctx, options) {
        Ok(report) => ctx.report(Some(&options.output), report),
        Err(failure) => ctx.fail(Some(&options.output), &failure),
    }
}

fn merge(ctx: &Ctx, options: &Options) -> Res<Report> {
    let inputs: Vec<&Path> = options.parts.iter().map(PathBuf::as_path).collect();
    let staged = Staged::new(&options.output, options.force, &inputs)?;
    let mut opened = Vec::new();
    let mut keep_chains = true;
    for part in &options.parts {
        let one = objects::open_container(ctx, part, ContainerMode::Read, None, ContainerOptions::default())?;
        keep_chains &= one.info.keeps_chains;
        opened.push(one.container);
    }
    let parts: Vec<&Container> = opened.iter().collect();
    let create = ContainerCreateOptions { keep_chains, ..ContainerCreateOptions::default() };
    let note = options.note.clone().unwrap_or_default().into_bytes();
    let commit = CommitOptions { time: seal::now(), note, ..CommitOptions::default() };
    let size = 2 << 20;
    let made = ctx.operate(&options.output, size, |operation| {
        Container::merge(&parts, staged.path(), &create, &commit, operation)?.generation(0)
    });
    let made = made.map_err(|failure| match failure.status {
        Status::Usage => {
            failure.with_hint("name the parts in their order; all but the last are multiples of 1 MiB")
        }
        _ => failure,
    })?;
    let target = staged.target().to_owned();
    staged.finish()?;
    let mut report = Report::new(Status::Done, "merged");
    report
        .put("parts", options.parts.len())
        .put("size", made.domain_size)
        .put("tiles", made.tile_count)
        .put("root", hex(&made.root));
    let parts = count(options.parts.len() as u64, "part");
    report.line_of(&target, format!("{} of {parts}, root {}", human(made.domain_size), hex(&made.root)));
    Ok(report)
}

/// Refuses a range of which no outline can be merged with others.
pub(crate) fn check_range(file: &Path, range: &std::ops::Range<u64>, size: u64) -> Res<()> {
    let tile = atlas_manifold::TILE_SIZE as u64;
    if !range.start.is_multiple_of(tile) || !(range.end == size || range.end.is_multiple_of(tile)) {
        let text = format!(
            "the range {}..{} of {} does not begin and end at multiples of 1 MiB",
            range.start,
            range.end,
            names::shown(file)
        );
        return Err(Failure::usage(text).with_hint("the last range may end with the file"));
    }
    Ok(())
}
