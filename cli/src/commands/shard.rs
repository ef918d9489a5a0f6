//! `atlasm shard`: writes parts of a file as shards, each of which can be verified alone.

use super::info;
use super::pack::Compress;
use crate::context::{Ctx, Report};
use crate::names;
use crate::objects::{self, Kind, Opened};
use crate::output::{self, Staged};
use crate::packed;
use crate::status::{Failure, Res, Status};
use crate::units::{RangeText, hex, human};
use atlas_manifold::{
    ATLAS_PAGE_SIZE, AtlasBoundaryRegion, AtlasProjection, CompressionConfig, ContainerMode,
    ContainerOptions, ProjectionType, ShardInfo,
};
use clap::Args;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Extracts ranges of a file or container, each with a proof that it belongs to the root of the whole.
///
/// Anyone who knows the root can verify a shard with 'atlasm check', without the other parts of the file. If
/// FILE.atlas is given, the whole file need not be read. A shard has whole pages of 4096 bytes, so that it
/// includes up to 4095 bytes before and after the range. Several ranges are written to a folder, as
/// NAME.OFFSET-LENGTH.shard.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm shard big.iso 1MiB..2MiB -o part.shard
  atlasm shard big.iso.atlas 0+4096 -64KiB.. -o parts")]
pub(crate) struct Options {
    /// A file, an outline or a container
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The bytes to extract
    #[arg(value_name = "RANGE", required = true)]
    ranges: Vec<RangeText>,
    /// Name of the shard, or, for several ranges, of a folder; - writes a single shard to standard output
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Replaces existing shards
    #[arg(short, long)]
    force: bool,
    /// Compresses the shards
    #[arg(long, value_name = "HOW")]
    compress: Option<Compress>,
    /// The generation of a container; 0 or none means the newest
    #[arg(long, value_name = "G", default_value_t = 0, hide_default_value = true)]
    generation: u64,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    let file = &options.file;
    // A single shard can be written to standard output.
    if names::is_dash(&options.output) && options.ranges.len() == 1 {
        if ctx.json() {
            return Err(Failure::usage("--json and a shard cannot both be on standard output")
                .with_hint("-o FILE writes the shard elsewhere"));
        }
        output::refuse_terminal()?;
    }
    match shards(ctx, options, file) {
        Ok(()) => Ok(()),
        Err(failure) => ctx.fail(Some(file), &failure),
    }
}

fn shards(ctx: &Ctx, options: &Options, file: &Path) -> Res<()> {
    let is_folder =
        options.ranges.len() > 1 || fs::metadata(&options.output).is_ok_and(|metadata| metadata.is_dir());
    let size = match objects::kind_of(file)? {
        Kind::Container => {
            let opened =
                objects::open_container(ctx, file, ContainerMode::Read, None, ContainerOptions::default())?;
            opened.container.generation(options.generation)?.domain_size
        }
        Kind::Plain => objects::size_of(file)?,
        other => {
            return Err(Failure::usage(format!(
                "{} is a {}, and a shard is cut from a file or a container",
                names::shown(file),
                other.name()
            )));
        }
    };
    let mut regions = Vec::new();
    for range in &options.ranges {
        let range = range.resolve(size)?;
        regions.push(AtlasBoundaryRegion::new(range.start, range.end - range.start));
    }
    // All names are checked before the work.
    let made_folder = is_folder && make_folder(&options.output)?;
    let result = write_shards(ctx, options, file, size, &regions, is_folder);
    if made_folder && result.is_err() {
        // After a failure the folder is removed, which succeeds only if it is empty.
        drop(fs::remove_dir(&options.output));
    }
    result
}

/// Creates the folder `path`. Returns false if it exists already.
pub(crate) fn make_folder(path: &Path) -> Res<bool> {
    output::refuse_stdout(path)?;
    if output::exists(path)? {
        return Ok(false);
    }
    fs::create_dir(path).map_err(|error| Failure::io("creating the folder", path, &error))?;
    Ok(true)
}

/// Creates the temporary file of an output, writes the bytes of a shard to it, and returns it.
pub(crate) fn write(staged: &Staged, bytes: &[u8]) -> Res<fs::File> {
    let mut out = staged.create()?;
    out.write_all(bytes).map_err(|error| Failure::io("writing", staged.target(), &error))?;
    Ok(out)
}

fn write_shards(
    ctx: &Ctx,
    options: &Options,
    file: &Path,
    size: u64,
    regions: &[AtlasBoundaryRegion],
    is_folder: bool,
) -> Res<()> {
    let config = options.compress.map(Compress::config);
    if let ([region], true) = (regions, names::is_dash(&options.output)) {
        let (projection, opened) = project(ctx, options, file, size)?;
        return ctx.write(&cut(ctx, file, &projection, opened.as_ref(), region, config.as_ref())?.0);
    }
    let mut staged = Vec::new();
    for region in regions {
        let path = if is_folder {
            let mut name = names::last(file).to_owned();
            name.push(format!(".{}-{}.shard", region.offset, region.length));
            options.output.join(name)
        } else {
            options.output.clone()
        };
        staged.push(Staged::new(&path, options.force, &[file])?);
    }
    let (projection, opened) = project(ctx, options, file, size)?;
    // The shards are made one after the other, so that only one of them is in memory.
    for (staged, region) in staged.into_iter().zip(regions) {
        let (bytes, info) = cut(ctx, file, &projection, opened.as_ref(), region, config.as_ref())?;
        super::seal::sync(&write(&staged, &bytes)?, staged.target())?;
        let target = staged.target().to_owned();
        staged.finish()?;
        let mut report = Report::new(Status::Done, "cut");
        report.put_path("output", &target).put("output_size", bytes.len());
        info::put_shard(&mut report, &info);
        report.line_of(
            &target,
            format!(
                "{}..{} ({}) of root {}",
                region.offset,
                region.end(),
                human(region.length),
                hex(&info.root)
            ),
        );
        let is_edge = |place: u64| place.is_multiple_of(ATLAS_PAGE_SIZE as u64) || place == info.domain_size;
        let is_whole = is_edge(region.offset) && is_edge(region.end());
        if info.projection_type == ProjectionType::Linear && !is_whole {
            report.line(
                "  with up to 4095 bytes before and after it, because a shard has whole pages of 4096 bytes",
            );
        }
        ctx.report(Some(file), report)?;
    }
    Ok(())
}

/// Extracts the shard of a region. Returns its serialised bytes, compressed if `config` is given, and its
/// properties.
fn cut(
    ctx: &Ctx,
    file: &Path,
    projection: &AtlasProjection,
    opened: Option<&Opened>,
    region: &AtlasBoundaryRegion,
    config: Option<&CompressionConfig>,
) -> Res<(Vec<u8>, ShardInfo)> {
    ctx.operate(file, region.length, |operation| {
        let shard = projection.extract_shard(region, operation)?;
        let bytes = match config {
            Some(config) => shard.compress_with(config, operation)?.serialize()?,
            None => shard.serialize()?,
        };
        Ok((bytes, shard.info()))
    })
    .map_err(|failure| match opened {
        Some(opened) => packed::explain_read(ctx, file, opened, projection, *region, failure),
        None => failure,
    })
}

/// Returns the projection of a file, or of a generation of a container. Also returns the open container.
fn project(ctx: &Ctx, options: &Options, file: &Path, size: u64) -> Res<(AtlasProjection, Option<Opened>)> {
    if objects::kind_of(file)? == Kind::Container {
        let opened =
            objects::open_container(ctx, file, ContainerMode::Read, None, ContainerOptions::default())?;
        let snapshot = ctx.operate(file, size, |operation| {
            opened.container.snapshot(options.generation, true, operation)
        })?;
        return Ok((snapshot, Some(opened)));
    }
    let source = ctx.source(file)?;
    let projection = ctx.projection_options();
    let made = ctx.operate(file, size, |operation| {
        AtlasProjection::create(ProjectionType::Linear, &source, &projection, operation)
    })?;
    Ok((made, None))
}
