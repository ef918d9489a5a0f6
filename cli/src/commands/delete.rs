//! `atlasm delete`: removes a range of bytes from a container.

use super::edit::{self, Edit};
use super::insert::size_of;
use crate::context::Ctx;
use crate::status::Res;
use crate::units::RangeText;
use atlas_manifold::ProjectionDelta;
use clap::Args;
use std::path::PathBuf;

/// Deletes a range of bytes from a container, as a new generation.
///
/// The old generation keeps the bytes until 'atlasm forget' drops it.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The container
    #[arg(value_name = "X.atlas")]
    container: PathBuf,
    /// The bytes to delete, such as 4096+8192, 1MiB..2MiB or -64KiB..
    #[arg(value_name = "RANGE")]
    range: RangeText,
    #[command(flatten)]
    edit: Edit,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    ctx.each([&options.container], |path| {
        let range = options.range.resolve(size_of(ctx, path)?)?;
        edit::apply(ctx, path, &options.edit, "delete", 0, |projection, _, _| {
            projection.apply_incremental_update(ProjectionDelta::delete(range.start, range.end))
        })
    })
}
