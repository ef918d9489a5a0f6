//! `atlasm info`: prints the kind and the properties of files.

use crate::context::{Ctx, Report};
use crate::names;
use crate::objects::{self, Kind};
use crate::status::{Failure, Res, Status};
use crate::units::{self, count, exact, hex, human};
use atlas_manifold::{
    AtlasError, AtlasParity, AtlasShard, CompressedShard, CompressionAlgorithm, ContainerMode,
    ContainerOptions, ErrorKind, Limits, ProjectionType, ShardInfo,
};
use clap::Args;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// Prints the kind of each file: an outline, a container, a parity file, a shard, or any other file and its
/// seals.
///
/// Only the parts that are read are verified. For a shard, the information that it discloses besides its
/// bytes is shown, because everyone who has the shard knows it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm info big.iso.atlas    size, tiles, root, generations
  atlasm info big.iso.atp      how much of the file may be lost")]
pub(crate) struct Options {
    /// Files of any kind
    #[arg(value_name = "X", required = true)]
    files: Vec<PathBuf>,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    ctx.each(&options.files, |path| {
        let kind = objects::kind_of(path)?;
        let size = objects::size_of(path)?;
        let mut report = Report::new(Status::Done, "described");
        report.put("kind", kind.name()).put("file_size", size);
        report.line_of(path, kind.name());
        match kind {
            Kind::Container => container(ctx, path, &mut report)?,
            Kind::Parity => parity(ctx, path, size, &mut report)?,
            Kind::Shard | Kind::CompressedShard => shard(ctx, path, kind, &mut report)?,
            Kind::Plain => plain(path, size, &mut report),
        }
        Ok(report)
    })
}

/// Adds a line with the name and the value of a property to the text of a report.
fn item(report: &mut Report, name: &str, value: impl std::fmt::Display) {
    report.line(format!("  {name:<13} {value}"));
}

pub(crate) fn type_name(kind: ProjectionType, classes: u8) -> String {
    match kind {
        ProjectionType::Linear => "linear".to_owned(),
        _ => format!("r96:{classes}"),
    }
}

fn plain(path: &Path, size: u64, report: &mut Report) {
    item(report, "size", exact(size));
    item(report, "tiles", size.div_ceil(atlas_manifold::TILE_SIZE as u64));
    report.put("size", size).put("tiles", size.div_ceil(atlas_manifold::TILE_SIZE as u64));
    for (key, suffix, none) in [
        ("outline", names::ATLAS, "none; atlasm seal FILE makes one"),
        ("parity", names::PARITY, "none; atlasm seal --parity 10% FILE makes one"),
    ] {
        let beside = names::with_suffix(path, suffix);
        if fs::metadata(&beside).is_ok() {
            item(report, key, names::shown(&beside));
            report.put_path(key, &beside);
        } else {
            item(report, key, none);
        }
    }
}

fn container(ctx: &Ctx, path: &Path, report: &mut Report) -> Res<()> {
    let opened = objects::open_container(ctx, path, ContainerMode::Read, None, ContainerOptions::default())?;
    let info = &opened.info;
    let newest = opened.container.generation(0)?;
    let what = if opened.is_outline() {
        "an outline: the bytes are in another file"
    } else {
        "the bytes are inside"
    };
    item(report, "holds", what);
    if let Some(base) = &opened.base {
        item(report, "file", names::shown(base));
        report.put_path("base", base);
    }
    item(report, "size", exact(newest.domain_size));
    let note = opened.container.note(newest.generation)?;
    if let Some(part) = super::merge::range_of(&note, newest.domain_size) {
        let range = part.range;
        item(report, "range", format!("{}..{} of {}", range.start, range.end, exact(part.whole)));
        report.put("region", json!({ "offset": range.start, "length": range.end - range.start }));
    }
    item(report, "tiles", newest.tile_count);
    item(report, "root", hex(&newest.root));
    item(report, "type", type_name(info.projection_type, info.data_classes));
    item(report, "keyed", if info.keyed { "yes" } else { "no" });
    let generations = if info.generation_count == 1 {
        format!("{}", info.newest)
    } else {
        format!("{} to {} ({})", info.oldest, info.newest, count(info.generation_count, "generation"))
    };
    item(report, "generations", generations);
    if newest.time != 0 {
        item(report, "last change", units::date(newest.time));
    }
    report
        .put("outline", opened.is_outline())
        .put("size", newest.domain_size)
        .put("tiles", newest.tile_count)
        .put("root", hex(&newest.root))
        .put("residue", newest.residue.value())
        .put("type", type_name(info.projection_type, info.data_classes))
        .put("keyed", info.keyed)
        .put("newest", info.newest)
        .put("oldest", info.oldest)
        .put("generations", info.generation_count)
        .put("chaining_values", info.keeps_chains)
        .put("time_ns", newest.time)
        .put("history", hex(&newest.history))
        .put("id", hex(&info.id));
    Ok(())
}

fn parity(ctx: &Ctx, path: &Path, size: u64, report: &mut Report) -> Res<()> {
    let options = ctx.verify_options(None);
    let parity = ctx.operate(path, 0, |operation| AtlasParity::open(path, &options, operation))?;
    let info = parity.info();
    let file = names::without_suffix(path, names::PARITY).filter(|file| fs::metadata(file).is_ok());
    if let Some(file) = &file {
        item(report, "file", names::shown(file));
        report.put_path("base", file);
    }
    item(report, "protects", exact(info.protected_size));
    let lost = format!(
        "{} of every {} units of {}",
        info.parity_columns,
        info.data_columns,
        human(info.unit_size.into())
    );
    item(report, "may be lost", format!("{lost}, at the most {} in a row", human(info.burst_size)));
    item(report, "keyed", if info.keyed { "yes" } else { "no" });
    if size != info.parity_size {
        item(report, "damaged", format!("it has {size} bytes instead of the written {}", info.parity_size));
    }
    report
        .put("protected_size", info.protected_size)
        .put("parity_size", info.parity_size)
        .put("unit_size", info.unit_size)
        .put("data_columns", info.data_columns)
        .put("parity_columns", info.parity_columns)
        .put("rows", info.rows)
        .put("burst_size", info.burst_size)
        .put("keyed", info.keyed)
        .put("id", hex(&info.id));
    if let Some(root) = info.root {
        item(report, "root", hex(&root));
        report.put("root", hex(&root));
    }
    Ok(())
}

/// Reads a shard, compressed or not, and verifies it against `root`, if it is given, and with the key of
/// `--key-file`. Also returns the properties of the compression, if the shard is compressed.
pub(crate) fn read_shard(
    ctx: &Ctx,
    path: &Path,
    kind: Kind,
    root: Option<&[u8; 32]>,
) -> Res<(AtlasShard, Option<atlas_manifold::CompressedInfo>)> {
    let bytes = fs::read(path).map_err(|error| Failure::io("reading", path, &error))?;
    let limits = Limits { max_payload_size: u64::MAX, ..Limits::default() };
    let verify = ctx.verify_options(root);
    let mut is_damaged = false;
    let read = ctx.operate(path, bytes.len() as u64, |operation| {
        let read = (|| -> Result<_, AtlasError> {
            if kind == Kind::CompressedShard {
                let compressed = CompressedShard::deserialize(&bytes, &limits)?;
                return Ok((compressed.decompress(&verify, operation)?, Some(compressed.info())));
            }
            Ok((AtlasShard::deserialize(&bytes, &limits, &verify, operation)?, None))
        })();
        read.inspect_err(|error: &AtlasError| is_damaged = error.kind() == ErrorKind::Format)
    });
    read.map_err(|failure| {
        let failure = failure.while_doing(names::shown(path));
        // The file begins like a shard of this version, so that it is a damaged shard.
        if !is_damaged {
            return failure;
        }
        let text = format!("the shard is damaged: {}", failure.message);
        Failure::new(Status::Differs, text).with_hint("another copy of the shard is needed, or another shard")
    })
}

pub(crate) fn algorithm_name(algorithm: CompressionAlgorithm) -> &'static str {
    match algorithm {
        CompressionAlgorithm::None => "none",
        CompressionAlgorithm::Deflate => "deflate",
        CompressionAlgorithm::ConservationAware => "conservation-aware",
        CompressionAlgorithm::Zstd => "zstd",
        CompressionAlgorithm::Lz4 => "lz4",
        _ => "auto",
    }
}

/// Adds the properties of a shard to the JSON of a report.
pub(crate) fn put_shard(report: &mut Report, info: &ShardInfo) {
    let classes: Vec<u8> = info.classes.iter().collect();
    report
        .put("size", info.domain_size)
        .put("region", json!({ "offset": info.region.offset, "length": info.region.length }))
        .put("payload_size", info.payload_size)
        .put("type", type_name(info.projection_type, info.data_classes))
        .put("keyed", info.keyed)
        .put("root", hex(&info.root));
    if !classes.is_empty() {
        report.put("classes", classes);
    }
}

fn shard(ctx: &Ctx, path: &Path, kind: Kind, report: &mut Report) -> Res<()> {
    let (shard, compressed) = read_shard(ctx, path, kind, None)?;
    let info = shard.info();
    let region = info.region;
    item(report, "region", format!("{}..{} ({})", region.offset, region.end(), human(region.length)));
    if info.projection_type != ProjectionType::Linear {
        let classes: Vec<String> = info.classes.iter().map(|class| class.to_string()).collect();
        item(
            report,
            "classes",
            format!("{} ({} of 96; any {} rebuild)", classes.join(","), classes.len(), info.data_classes),
        );
    }
    item(report, "payload", exact(info.payload_size));
    if let Some(compressed) = compressed {
        let name = algorithm_name(compressed.algorithm);
        item(report, "compressed", format!("to {} by {name}", human(compressed.compressed_size)));
        report.put("compressed_size", compressed.compressed_size).put("algorithm", name);
    }
    item(report, "root", hex(&info.root));
    item(report, "type", type_name(info.projection_type, info.data_classes));
    item(report, "keyed", if info.keyed { "yes" } else { "no" });
    let pages = " and up to 4095 bytes on either side of the region";
    item(
        report,
        "discloses",
        format!(
            "the size of the whole, {}, and digests and sums of neighbours{}",
            human(info.domain_size),
            if info.projection_type == ProjectionType::Linear { pages } else { "" }
        ),
    );
    put_shard(report, &info);
    Ok(())
}
