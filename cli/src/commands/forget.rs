//! `atlasm forget`: drops old generations of a container.

use super::compact;
use crate::context::Ctx;
use crate::status::Res;
use clap::Args;
use std::path::PathBuf;

/// Drops the generations before a given one, and the bytes that only these generations need.
///
/// This cannot be undone. A new file replaces the container, so that for a while there must be room for both
/// files.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The container
    #[arg(value_name = "X.atlas")]
    container: PathBuf,
    /// The oldest generation to keep
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    keep_from: u64,
    /// Lists the generations that would be dropped, and changes nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    ctx.each([&options.container], |path| compact::compact(ctx, path, options.keep_from, options.dry_run))
}
