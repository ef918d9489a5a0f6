//! `atlasm compact`: drops the bytes of a container that no kept generation needs.

use super::edit;
use crate::context::{Ctx, Report};
use crate::names;
use crate::objects;
use crate::packed;
use crate::status::{Failure, Res, Status};
use crate::units::{count, exact, human};
use clap::Args;
use std::path::{Path, PathBuf};

/// Rewrites a container so that it has only the bytes that its generations need.
///
/// A new file replaces the container, so that for a while there must be room for both files.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The container
    #[arg(value_name = "X.atlas")]
    container: PathBuf,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    ctx.each([&options.container], |path| compact(ctx, path, 0, false))
}

/// Rewrites a container with its generations from number `keep_from` on. 0 means all generations.
pub(crate) fn compact(ctx: &Ctx, path: &Path, keep_from: u64, dry_run: bool) -> Res<Report> {
    let before = objects::size_of(path)?;
    let opened = edit::open(ctx, path, None)?;
    let info = opened.info;
    if keep_from > info.newest {
        return Err(Failure::usage(format!(
            "--keep-from {keep_from} is after the newest generation {} of {}",
            info.newest,
            names::shown(path)
        )));
    }
    packed::refuse_damaged(ctx, path, &opened, keep_from)?;
    if !dry_run {
        let size = info.file_size.max(2 << 20);
        ctx.operate(path, size, |operation| opened.container.compact(keep_from, operation))?;
    }
    let kept = if dry_run { info } else { opened.container.info()? };
    let after = if dry_run { before } else { objects::size_of(path)? };
    let mut report = Report::new(Status::Done, if dry_run { "unchanged" } else { "compacted" });
    let oldest = if dry_run { keep_from.max(info.oldest) } else { kept.oldest };
    report
        .put("dry_run", dry_run)
        .put("size_before", before)
        .put("size_after", after)
        .put("oldest", oldest)
        .put("newest", kept.newest);
    if dry_run {
        report.line_of(path, format!("would keep the generations {oldest} to {}", info.newest));
    } else {
        let generations = count(kept.generation_count, "generation");
        let text = if after < before {
            format!("{} instead of {}", human(after), human(before))
        } else {
            // A new file may be larger than the old file, because it begins with room for its records.
            format!("{}: there was nothing to drop from the {} before", exact(after), exact(before))
        };
        report.line_of(path, format!("{generations}, {text}"));
    }
    Ok(report)
}
