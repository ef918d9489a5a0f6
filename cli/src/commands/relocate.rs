//! `atlasm move`: moves a range of a container to another offset in the same container.

use super::edit::{self, Edit};
use super::insert::size_of;
use crate::context::Ctx;
use crate::status::Res;
use crate::units::RangeText;
use atlas_manifold::ProjectionDelta;
use clap::Args;
use std::path::PathBuf;

/// Moves a range of bytes to another offset in a container, as a new generation.
///
/// The old generation stays unchanged until 'atlasm forget' drops it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm move book.atlas 1MiB..2MiB 0      to the front
  atlasm move book.atlas 0+4096 end        to the end")]
pub(crate) struct Options {
    /// The container
    #[arg(value_name = "X.atlas")]
    container: PathBuf,
    /// The bytes to move, such as 4096+8192, 1MiB..2MiB or -64KiB..
    #[arg(value_name = "RANGE")]
    range: RangeText,
    /// Offset before which the range is moved, counted before the move: an offset, end, or -N from the end
    #[arg(value_name = "OFFSET")]
    destination: String,
    #[command(flatten)]
    edit: Edit,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    ctx.each([&options.container], |path| {
        let size = size_of(ctx, path)?;
        let range = options.range.resolve(size)?;
        let to = edit::offset(&options.destination, size)?;
        edit::apply(ctx, path, &options.edit, "move", 0, |projection, _, _| {
            projection.apply_incremental_update(ProjectionDelta::move_range(range.start, range.end, to))
        })
    })
}
