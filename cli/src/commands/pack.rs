//! `atlasm pack`: makes a container that holds the bytes of a file.

use super::hash::{RootType, parse_type};
use super::seal;
use crate::context::{Ctx, Report};
use crate::names;
use crate::objects;
use crate::output::Staged;
use crate::spool::Spool;
use crate::status::{Failure, Res, Status};
use crate::units::{hex, human};
use atlas_manifold::{
    CommitOptions, CompressionAlgorithm, CompressionConfig, ConservationPolicy, Container,
    ContainerCreateOptions, ContainerOptions,
};
use clap::{Args, ValueEnum};
use std::fs;
use std::path::PathBuf;

/// Stores a file in a container, which keeps each later edit as a generation.
///
/// insert, delete, replace and move edit it by byte ranges of any size; log, rollback, forget and compact manage its
/// history; unpack and cat return the bytes, verified.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm pack --compress zstd book.txt -o book.atlas
  pg_dump db | atlasm pack - -o dump.atlas")]
pub(crate) struct Options {
    /// The file to store; - reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Name of the container
    #[arg(short, long, value_name = "X.atlas")]
    output: PathBuf,
    /// Replaces an existing container
    #[arg(short, long)]
    force: bool,
    /// Compresses the bytes
    #[arg(long, value_name = "HOW")]
    compress: Option<Compress>,
    /// Type of the root: linear, or r96:K
    #[arg(long = "type", value_name = "TYPE", default_value = "linear", value_parser = parse_type)]
    kind: RootType,
    /// Text stored with the generation, at most 1,024 bytes
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Requires that the sum of the bytes is 0 mod 96, now and after each edit
    #[arg(long)]
    strict: bool,
}

/// Compression of the bytes in a container or shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compress {
    Zstd,
    Lz4,
    Deflate,
    Auto,
}

impl Compress {
    pub(crate) fn config(self) -> CompressionConfig {
        let algorithm = match self {
            Compress::Zstd => CompressionAlgorithm::Zstd,
            Compress::Lz4 => CompressionAlgorithm::Lz4,
            Compress::Deflate => CompressionAlgorithm::ConservationAware,
            Compress::Auto => CompressionAlgorithm::Auto,
        };
        CompressionConfig { algorithm, ..CompressionConfig::default() }
    }
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    ctx.each([&options.file], |file| {
        let staged = Staged::new(&options.output, options.force, &[file])?;
        let spool = if names::is_dash(file) { Some(Spool::stdin(ctx, &options.output)?) } else { None };
        let path = spool.as_ref().map_or(file, Spool::path);
        let size = objects::size_of(path)?;
        let source = ctx.source(path)?;
        let (kind, projection) = options.kind.projection(ctx.projection_options());
        let policy = if options.strict { ConservationPolicy::Strict } else { ConservationPolicy::Track };
        let projection = projection.with_conservation(policy);
        let handle = ContainerOptions {
            compression: options.compress.map(Compress::config),
            ..ContainerOptions::default()
        };
        let create = ContainerCreateOptions { handle, ..ContainerCreateOptions::default() };
        let note = options.note.clone().unwrap_or_default().into_bytes();
        let commit = CommitOptions { time: seal::now(), note, ..CommitOptions::default() };
        let made = ctx.operate(file, size, |operation| {
            let container = Container::create(staged.path(), kind, &projection, &create, operation)?;
            container.import(&source, &commit, operation)?;
            container.generation(0)
        });
        let made = made.map_err(|failure| match failure.status {
            Status::Differs if options.strict => failure.with_hint("leave out --strict to store any bytes"),
            _ => failure,
        })?;
        let metadata = fs::metadata(staged.path());
        let length = metadata.map_err(|error| Failure::io("looking at", staged.path(), &error))?.len();
        let target = staged.target().to_owned();
        staged.finish()?;
        let mut report = Report::new(Status::Done, "packed");
        report
            .put_path("output", &target)
            .put("size", size)
            .put("output_size", length)
            .put("root", hex(&made.root))
            .put("generation", made.generation);
        report.line_of(
            file,
            format!("packed in {} ({} of {})", names::shown(&target), human(length), human(size)),
        );
        Ok(report)
    })
}
