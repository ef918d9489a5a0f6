//! `atlasm replace`: replaces a range of a container by new bytes.

use super::edit::{self, Edit, NewBytes};
use super::insert::size_of;
use crate::context::Ctx;
use crate::status::Res;
use crate::units::RangeText;
use clap::Args;
use std::path::PathBuf;

/// Replaces a range of a container by any number of bytes from a file or from standard input, as a new
/// generation.
///
/// In a container that was packed with --strict the new bytes must have the same sum as the old bytes, and
/// are held in memory.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  printf 2027 | atlasm replace book.atlas 120+4 -")]
pub(crate) struct Options {
    /// The container
    #[arg(value_name = "X.atlas")]
    container: PathBuf,
    /// The bytes to replace, such as 4096+8192, 1MiB..2MiB or -64KiB..
    #[arg(value_name = "RANGE")]
    range: RangeText,
    /// The new bytes; - reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    edit: Edit,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    ctx.each([&options.container], |path| {
        let range = options.range.resolve(size_of(ctx, path)?)?;
        let new = NewBytes::open(ctx, &options.file, path)?;
        let work = new.source.size();
        edit::apply(ctx, path, &options.edit, "replace", work, |projection, opened, operation| {
            edit::splice(projection, opened, range, &new, operation)
        })
    })
}
