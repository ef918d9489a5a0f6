//! `atlasm unpack`: writes the bytes of a container to a file.

use super::log::check_expected_root;
use crate::context::{Ctx, Report};
use crate::names;
use crate::objects;
use crate::output::Staged;
use crate::packed;
use crate::status::{Failure, Res, Status};
use crate::units::{hex, human};
use atlas_manifold::{AtlasBoundaryRegion, ContainerMode, ContainerOptions};
use clap::Args;
use std::path::PathBuf;

/// Writes the bytes of a container to a file.
///
/// Each byte is verified before it is written, and the file appears under its name only when it is complete.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm unpack book.atlas -o book.txt
  atlasm unpack --generation 3 book.atlas -o book-3.txt")]
pub(crate) struct Options {
    /// The container
    #[arg(value_name = "X.atlas")]
    file: PathBuf,
    /// Name of the file to write; 'atlasm cat' writes to standard output
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Replaces an existing file
    #[arg(short, long)]
    force: bool,
    /// The generation to unpack; 0 or none means the newest
    #[arg(long, value_name = "G", default_value_t = 0, hide_default_value = true)]
    generation: u64,
    /// The root that the generation must have
    #[arg(long, value_name = "ROOT", value_parser = crate::args::parse_root)]
    root: Option<[u8; 32]>,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    ctx.each([&options.file], |file| {
        if names::is_dash(&options.output) {
            return Err(Failure::usage("unpack cannot write to standard output, which -o - means")
                .with_hint(format!("atlasm cat {} writes to standard output", names::quoted(file))));
        }
        let staged = Staged::new(&options.output, options.force, &[file])?;
        let opened =
            objects::open_container(ctx, file, ContainerMode::Read, None, ContainerOptions::default())?;
        let generation = opened.container.generation(options.generation)?;
        check_expected_root(file, &generation, options.root.as_ref())?;
        let size = generation.domain_size;
        let snapshot = ctx.operate(file, size, |operation| {
            opened.container.snapshot(generation.generation, false, operation)
        })?;
        ctx.operate(file, size, |operation| snapshot.write_file(staged.path(), operation)).map_err(
            |failure| {
                let region = AtlasBoundaryRegion::new(0, size);
                packed::explain_read(ctx, file, &opened, &snapshot, region, failure)
            },
        )?;
        let target = staged.target().to_owned();
        staged.finish()?;
        let mut report = Report::new(Status::Done, "unpacked");
        report
            .put_path("output", &target)
            .put("size", size)
            .put("generation", generation.generation)
            .put("root", hex(&generation.root));
        report.line_of(file, format!("unpacked to {} ({})", names::shown(&target), human(size)));
        Ok(report)
    })
}
