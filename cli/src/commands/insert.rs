//! `atlasm insert`: inserts new bytes into a container.

use super::edit::{self, Edit, NewBytes};
use crate::context::Ctx;
use crate::objects;
use crate::status::Res;
use atlas_manifold::{ContainerMode, ContainerOptions};
use clap::Args;
use std::path::PathBuf;

/// Inserts the bytes of a file, or of standard input, into a container, as a new generation.
///
/// The old generation stays unchanged until 'atlasm forget' drops it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm insert book.atlas end chapter.txt    appends
  printf hello | atlasm insert book.atlas 0 -")]
pub(crate) struct Options {
    /// The container
    #[arg(value_name = "X.atlas")]
    container: PathBuf,
    /// Offset before which the bytes are inserted: an offset, end, or -N from the end
    #[arg(value_name = "OFFSET")]
    offset: String,
    /// The new bytes; - reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    edit: Edit,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    ctx.each([&options.container], |path| {
        let size = size_of(ctx, path)?;
        let at = edit::offset(&options.offset, size)?;
        let new = NewBytes::open(ctx, &options.file, path)?;
        let work = new.source.size();
        edit::apply(ctx, path, &options.edit, "insert", work, |projection, _, operation| {
            projection.insert_source(at, &new.source, operation)
        })
    })
}

/// Returns the size of the newest generation of the container `path`.
pub(crate) fn size_of(ctx: &Ctx, path: &std::path::Path) -> Res<u64> {
    let opened = objects::open_container(ctx, path, ContainerMode::Read, None, ContainerOptions::default())?;
    Ok(opened.container.generation(0)?.domain_size)
}
