//! `atlasm split`: splits a file into 96 classes, of which any K rebuild it.

use super::shard;
use crate::context::{Ctx, Report};
use crate::names;
use crate::objects;
use crate::output::{self, Staged};
use crate::status::{Failure, Res, Status};
use crate::units::{hex, human};
use atlas_manifold::{AtlasBoundaryRegion, AtlasProjection, ProjectionType};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};

/// Number of bytes of the file in a window. Each class has one shard per window.
const WINDOW: u64 = 64 << 20;
/// Number of classes into which a file is split.
const CLASSES: u8 = 96;

/// Splits a file into 96 classes, of which any K rebuild it. The other classes may be lost, or kept
/// elsewhere.
///
/// Each class is a series of shards, NAME.CC-WWWWW.shard, one per 64 MiB of the file. All 96 classes together
/// have 14/13 · 96/K times the size of the file. 'atlasm join' rebuilds the file. The memory that splitting
/// needs does not depend on the size of the file.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm split -k 64 big.iso -o classes             any 32 of 96 may be lost
  atlasm join classes -o big.iso")]
pub(crate) struct Options {
    /// The file to split
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Number of classes that rebuild the file, 1 to 96
    #[arg(short, long = "data-classes", value_name = "K", value_parser = clap::value_parser!(u8).range(1..=96))]
    k: u8,
    /// Folder for the shards, created if it does not exist
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// Replaces existing shards
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    ctx.each([&options.file], |file| {
        let made = shard::make_folder(&options.output)?;
        let result = split(ctx, options, file);
        if made && result.is_err() {
            // After a failure the folder is removed, which succeeds only if it is empty.
            drop(fs::remove_dir(&options.output));
        }
        result
    })
}

fn split(ctx: &Ctx, options: &Options, file: &Path) -> Res<Report> {
    let size = objects::size_of(file)?;
    let windows = size.div_ceil(WINDOW).max(1);
    let name = |class: u8, window: u64| {
        let mut name = names::last(file).to_owned();
        name.push(format!(".{class:02}-{window:05}.shard"));
        options.output.join(name)
    };
    // All names are checked before the work.
    for window in 0..windows {
        for class in 0..CLASSES {
            output::check_target(&name(class, window), options.force, &[file])?;
        }
    }
    let source = ctx.source(file)?;
    let projection_options = ctx.projection_options().with_data_classes(options.k);
    let (projection, root) = ctx.operate(file, size, |operation| {
        let projection =
            AtlasProjection::create(ProjectionType::R96Fourier, &source, &projection_options, operation)?;
        let root = projection.root(operation)?;
        Ok((projection, root))
    })?;
    let classes: Vec<u8> = (0..CLASSES).collect();
    let (mut written, mut done) = (0, Vec::new());
    let result = (0..windows).try_for_each(|window| {
        let start = window * WINDOW;
        let region = AtlasBoundaryRegion::new(start, WINDOW.min(size - start));
        let shards = ctx.operate(file, size, |operation| {
            projection.extract_classes(Some(&region), &classes, operation)
        })?;
        for (class, shard) in classes.iter().zip(shards) {
            let bytes = shard.serialize().map_err(Failure::from)?;
            written += bytes.len() as u64;
            let path = name(*class, window);
            let staged = Staged::new(&path, options.force, &[file])?;
            shard::write(&staged, &bytes)?;
            staged.finish_unsynced()?;
            done.push(path);
        }
        Ok(())
    });
    if let Err(failure) = result {
        // After a failure the written shards are removed, because some of the classes alone are of no use.
        // Files that they replaced are lost.
        done.iter().for_each(|path| drop(fs::remove_file(path)));
        return Err(failure);
    }
    // The whole file system is synced once, which is faster than syncing each shard.
    output::sync_file_system(&options.output)?;
    let mut report = Report::new(Status::Done, "split");
    report
        .put_path("output", &options.output)
        .put("size", size)
        .put("root", hex(&root))
        .put("data_classes", options.k)
        .put("windows", windows)
        .put("output_size", written);
    report.line_of(
        file,
        format!(
            "split into 96 classes in {}, {}; any {} of them rebuild it: root {}",
            names::shown(&options.output),
            human(written),
            options.k,
            hex(&root)
        ),
    );
    Ok(report)
}
