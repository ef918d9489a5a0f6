//! `atlasm cat`: writes bytes of a file to standard output.

use super::info;
use super::log::check_expected_root;
use crate::context::{Ctx, Report};
use crate::names;
use crate::objects::{self, Kind, Opened};
use crate::output::{self, Staged};
use crate::packed;
use crate::status::{Failure, Res, Status};
use crate::units::RangeText;
use atlas_manifold::{
    AtlasBoundaryRegion, AtlasError, AtlasProjection, AtlasShard, ContainerMode, ContainerOptions, Operation,
    Source, TILE_SIZE,
};
use clap::Args;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes bytes to standard output: of a container or an outline, verified; of a shard, verified; or of any
/// file.
///
/// RANGE is START+LENGTH or START..END, such as 4096+8192, 1MiB..2MiB, -64KiB.. or ..4096; without RANGE all
/// bytes are written. In a shard RANGE counts from the start of the file of which the shard is a part.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm cat book.atlas | less
  atlasm cat big.iso.atlas 1MiB..2MiB > part   bytes of big.iso, verified
  atlasm cat --generation 3 book.atlas -64KiB..")]
pub(crate) struct Options {
    /// A container, an outline, a shard, or any file
    #[arg(value_name = "X")]
    file: PathBuf,
    /// The bytes to write
    #[arg(value_name = "RANGE")]
    range: Option<RangeText>,
    /// The generation of a container; 0 or none means the newest
    #[arg(long, value_name = "G", default_value_t = 0, hide_default_value = true)]
    generation: u64,
    /// The root to which the bytes must belong
    #[arg(long, value_name = "ROOT", value_parser = crate::args::parse_root)]
    root: Option<[u8; 32]>,
    /// Writes to this file instead of standard output; - means standard output
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Replaces an existing file
    #[arg(short, long)]
    force: bool,
}

/// An open container, shard or file whose bytes are written.
enum Bytes {
    Projection(Box<AtlasProjection>, Box<Opened>),
    Shard(Box<AtlasShard>),
    /// A file whose root was checked: its bytes are verified again as they are written.
    Rooted(Box<AtlasProjection>),
    Plain(File),
}

impl Bytes {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Failure> {
        let read: Result<(), AtlasError> = match self {
            Bytes::Projection(projection, _) => projection.read(offset, buffer),
            Bytes::Shard(shard) => shard.read(offset, buffer),
            Bytes::Rooted(projection) => {
                let region = AtlasBoundaryRegion::new(offset, buffer.len() as u64);
                projection
                    .extract_shard(&region, &mut Operation::new())
                    .map(|shard| buffer.copy_from_slice(shard.data()))
            }
            Bytes::Plain(file) => {
                return std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset).map_err(|error| {
                    Failure::new(Status::Io, format!("reading at offset {offset}: {error}"))
                });
            }
        };
        Ok(read?)
    }
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    let to_file = options.output.as_deref().filter(|output| !names::is_dash(output));
    if to_file.is_none() {
        if ctx.json() {
            return Err(Failure::usage("--json and the bytes of a file cannot both be on standard output")
                .with_hint("-o FILE writes the bytes elsewhere"));
        }
        output::refuse_terminal()?;
    }
    let outcome = cat(ctx, options, to_file);
    match outcome {
        Ok(report) if to_file.is_some() => ctx.report(Some(&options.file), report),
        Ok(_) => Ok(()),
        Err(failure) => ctx.fail(Some(&options.file), &failure),
    }
}

fn cat(ctx: &Ctx, options: &Options, to_file: Option<&Path>) -> Res<Report> {
    let file = &options.file;
    let staged = match to_file {
        Some(target) => Some(Staged::new(target, options.force, &[file])?),
        None => None,
    };
    let kind = objects::kind_of(file)?;
    let (bytes, size, default) = match kind {
        Kind::Container => {
            let opened =
                objects::open_container(ctx, file, ContainerMode::Read, None, ContainerOptions::default())?;
            let generation = opened.container.generation(options.generation)?;
            check_expected_root(file, &generation, options.root.as_ref())?;
            let snapshot = ctx.operate(file, 0, |operation| {
                opened.container.snapshot(generation.generation, true, operation)
            })?;
            (
                Bytes::Projection(Box::new(snapshot), Box::new(opened)),
                generation.domain_size,
                0..generation.domain_size,
            )
        }
        Kind::Shard | Kind::CompressedShard => {
            let (shard, _) = info::read_shard(ctx, file, kind, options.root.as_ref())?;
            let info = shard.info();
            (Bytes::Shard(Box::new(shard)), info.domain_size, info.region.offset..info.region.end())
        }
        Kind::Parity => {
            return Err(Failure::usage(format!(
                "{} is a parity file, which has no bytes to write: name the file that it protects",
                names::shown(file)
            )));
        }
        Kind::Plain => plain(ctx, file, options.root.as_ref())?,
    };
    let range = match &options.range {
        Some(range) => range.resolve(size)?,
        None => default,
    };
    let mut out = match &staged {
        Some(staged) => Some(staged.create()?),
        None => None,
    };
    let mut buffer = vec![0; TILE_SIZE];
    let mut at = range.start;
    while at < range.end && !ctx.is_closed() {
        if ctx.is_stopped() {
            return Err(Failure::new(Status::Cancelled, "stopped by a signal before all bytes were written"));
        }
        // Each read ends at the end of a tile, so that each tile is verified once.
        let end = (at / TILE_SIZE as u64 + 1).saturating_mul(TILE_SIZE as u64).min(range.end);
        let len = usize::try_from(end - at).unwrap_or(TILE_SIZE);
        bytes.read(at, &mut buffer[..len]).map_err(|failure| match &bytes {
            Bytes::Projection(projection, opened) => {
                let region = AtlasBoundaryRegion::new(at, end - at);
                packed::explain_read(ctx, file, opened, projection, region, failure)
            }
            _ => failure.while_doing(names::shown(file)),
        })?;
        match &mut out {
            Some(out) => out
                .write_all(&buffer[..len])
                .map_err(|error| Failure::io("writing", options.output.as_deref().unwrap_or(file), &error))?,
            None => ctx.write(&buffer[..len])?,
        }
        at = end;
    }
    let mut report = Report::new(Status::Done, "written");
    report.put("offset", range.start).put("length", range.end - range.start);
    if let (Some(staged), Some(out)) = (staged, out) {
        super::seal::sync(&out, staged.target())?;
        report.put_path("output", staged.target());
        staged.finish()?;
    }
    Ok(report)
}

/// Opens a file that is neither a container nor a shard. If a root is given, hashes the whole file first, and
/// fails if it has another root. Returns the file, its size, and the range of all its bytes.
fn plain(ctx: &Ctx, file: &Path, root: Option<&[u8; 32]>) -> Res<(Bytes, u64, std::ops::Range<u64>)> {
    let size = objects::size_of(file)?;
    let Some(root) = root else {
        return Ok((Bytes::Plain(objects::open_regular(file)?), size, 0..size));
    };
    let source: Source = ctx.source(file)?;
    let options = ctx.projection_options();
    let (projection, found) = ctx.operate(file, size, |operation| {
        let kind = atlas_manifold::ProjectionType::Linear;
        let projection = AtlasProjection::create(kind, &source, &options, operation)?;
        let root = projection.root(operation)?;
        Ok((projection, root))
    })?;
    if found != *root {
        let (found, wanted) = (crate::units::hex(&found), crate::units::hex(root));
        let text = format!(
            "{} has the root {found} instead of the expected {wanted}, and nothing was written",
            names::shown(file)
        );
        return Err(Failure::new(Status::Differs, text));
    }
    Ok((Bytes::Rooted(Box::new(projection)), size, 0..size))
}
