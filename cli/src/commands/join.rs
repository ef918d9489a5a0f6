//! `atlasm join`: rebuilds a file from its shards.

use super::info;
use crate::context::{Ctx, Report};
use crate::names;
use crate::objects::{self, Kind};
use crate::output::Staged;
use crate::status::{Failure, Res, Status};
use crate::units::{count, hex, human};
use atlas_manifold::{
    AtlasBoundaryRegion, AtlasReconstruction, AtlasShard, Operation, ReconstructionOptions, ShardInfo,
};
use clap::Args;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rebuilds a file from shards that cover all its ranges, or from any K of its 96 classes.
///
/// Each shard is verified before its bytes are used, and at the end the whole file is verified against the
/// root. Shards that are damaged, or belong to another file, are named and left out.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm join classes -o big.iso
  atlasm join --root $(cat ROOT) part-*.shard -o big.iso")]
pub(crate) struct Options {
    /// Shards, or folders of shards
    #[arg(value_name = "SHARD", required = true)]
    shards: Vec<PathBuf>,
    /// Name of the rebuilt file
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Replaces an existing file
    #[arg(short, long)]
    force: bool,
    /// The root that the file must have; without it, the root of the first good shard
    #[arg(long, value_name = "ROOT", value_parser = crate::args::parse_root)]
    root: Option<[u8; 32]>,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    match join(ctx, options) {
        Ok(report) => ctx.report(Some(&options.output), report),
        Err(failure) => ctx.fail(Some(&options.output), &failure),
    }
}

/// Returns the number of the window of 64 MiB in the name of a shard that `split` wrote. Sorting by it groups
/// the classes of a window.
fn window_of(path: &Path) -> Option<u64> {
    let name = path.to_str()?.strip_suffix(".shard")?;
    name.rsplit_once('-')?.1.parse().ok()
}

/// Maximum number of left-out shards that the warnings name one by one.
const NAMED: u64 = 3;

/// Returns the name of the original file, which the names of shards from `split` and `shard` begin with.
fn file_of(path: &Path) -> String {
    let name = names::shown(Path::new(names::last(path)));
    let stem = name.strip_suffix(".shard").and_then(|stem| stem.rsplit_once('.'));
    stem.map_or_else(|| name.clone(), |(file, _)| file.to_owned())
}

/// Returns a hint with the root that the shard `path` states, if it differs from `wanted`.
fn found_root(ctx: &Ctx, path: &Path, wanted: &[u8; 32]) -> Option<String> {
    let info = read(ctx, path, None).ok()?.info();
    if info.root == *wanted {
        return None;
    }
    let kind = info::type_name(info.projection_type, info.data_classes);
    Some(format!("the shards state the root {}, which 'atlasm hash --type {kind}' prints", hex(&info.root)))
}

/// Warns of shards from `split` that belong to other files. `used` has the names of the files whose shards were used.
fn warn_of_others(ctx: &Ctx, paths: &[PathBuf], used: &BTreeSet<String>) {
    let mut others: BTreeMap<String, u64> = BTreeMap::new();
    for path in paths.iter().filter(|path| window_of(path).is_some()) {
        let file = file_of(path);
        if !used.contains(&file) {
            *others.entry(file).or_default() += 1;
        }
    }
    for (file, shards) in others {
        ctx.warn(&format!("left out: {} of {file}, which the output does not need", count(shards, "shard")));
    }
}

/// Returns the paths of all shards that the user named, sorted by window.
fn listed(options: &Options) -> Res<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for path in &options.shards {
        if fs::metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
            let failed = |error| Failure::io("listing", path, &error);
            for entry in fs::read_dir(path).map_err(failed)? {
                let inside = entry.map_err(failed)?.path();
                if inside.to_string_lossy().ends_with(".shard") {
                    paths.push(inside);
                }
            }
        } else {
            paths.push(path.clone());
        }
    }
    paths.sort_by(|a, b| (window_of(a), a).cmp(&(window_of(b), b)));
    Ok(paths)
}

fn join(ctx: &Ctx, options: &Options) -> Res<Report> {
    let paths = listed(options)?;
    let inputs: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let staged = Staged::new(&options.output, options.force, &inputs)?;
    let mut wanted = ReconstructionOptions::new().with_spool(staged.path());
    if let Some(root) = options.root {
        wanted = wanted.with_root(root);
    }
    if let Some(key) = ctx.key() {
        wanted = wanted.with_key(key);
    }
    let rebuilt = AtlasReconstruction::new(&wanted)?;
    let (mut root, mut used, mut left_out) = (options.root, 0_u64, 0_u64);
    // Root that the shards state, if it differs from the requested root.
    let mut other_root: Option<String> = None;
    // Names of the files whose shards were used.
    let mut files = BTreeSet::new();
    // Regions by the numbers in the names: a complete region needs no more classes.
    let mut regions: BTreeMap<u64, AtlasBoundaryRegion> = BTreeMap::new();
    for path in &paths {
        if ctx.is_stopped() {
            return Err(Failure::new(
                Status::Cancelled,
                "stopped by a signal; no incomplete output was left",
            ));
        }
        if rebuilt.is_complete() {
            break;
        }
        let window = window_of(path);
        if let Some(region) = window.and_then(|window| regions.get(&window))
            && !rebuilt.missing().iter().any(|gap| gap.offset < region.end() && region.offset < gap.end())
        {
            continue;
        }
        let shard = read(ctx, path, root.as_ref());
        let is_read = shard.is_ok();
        match shard.and_then(|shard| add(ctx, path, &shard, &rebuilt)) {
            Ok(info) => {
                root.get_or_insert(info.root);
                used += 1;
                files.insert(file_of(path));
                if let Some(window) = window.filter(|_| info.data_classes > 0) {
                    regions.insert(window, info.region);
                }
            }
            Err(failure) if matches!(failure.status, Status::Cancelled | Status::Limit) => {
                return Err(failure);
            }
            // The shard is right, but its bytes cannot be written, so that another shard would not help.
            Err(failure) if is_read && failure.status == Status::Io => return Err(failure),
            Err(failure) => {
                left_out += 1;
                if left_out <= NAMED {
                    ctx.warn(&format!("left out: {}", failure.message));
                    other_root = other_root.or_else(|| found_root(ctx, path, options.root.as_ref()?));
                }
            }
        }
    }
    if left_out > NAMED {
        ctx.warn(&format!("left out: {} more", count(left_out - NAMED, "shard")));
    }
    if used == 0 {
        let text =
            format!("nothing can be joined: none of {} can be used", count(paths.len() as u64, "shard"));
        let failure = Failure::new(Status::Incomplete, text);
        return Err(match other_root {
            Some(text) => failure.with_hint(text),
            None => failure,
        });
    }
    warn_of_others(ctx, &paths, &files);
    let missing = rebuilt.missing();
    if !missing.is_empty() {
        let bytes: u64 = missing.iter().map(|region| region.length).sum();
        let first = missing[0];
        let needed = match rebuilt.classes_needed() {
            0 => String::new(),
            1 => ", where 1 more class is needed".to_owned(),
            needed => format!(", where {needed} more classes are needed"),
        };
        let text = format!(
            "{} are missing in {}, the first at {}..{}{needed}",
            human(bytes),
            count(missing.len() as u64, "range"),
            first.offset,
            first.end()
        );
        return Err(Failure::new(Status::Incomplete, text).with_hint("nothing was written; name more shards"));
    }
    let work = u64::MAX;
    let size =
        ctx.operate(&options.output, work, |operation| Ok(rebuilt.finish(operation)?.info().domain_size))?;
    let target = staged.target().to_owned();
    staged.finish()?;
    let root = root.unwrap_or_default();
    let mut report = Report::new(Status::Done, "joined");
    report
        .put("size", size)
        .put("root", hex(&root))
        .put("shards_used", used)
        .put("shards_left_out", left_out);
    report.line_of(&target, format!("{} from {}, root {}", human(size), count(used, "shard"), hex(&root)));
    if options.root.is_none() {
        report.line("  the root was not compared with anything; give --root ROOT to compare it");
        report.put("root_compared", json!(false));
    } else {
        report.put("root_compared", json!(true));
    }
    Ok(report)
}

/// Reads the shard `path` and verifies it against `root`, if it is given.
fn read(ctx: &Ctx, path: &Path, root: Option<&[u8; 32]>) -> Res<AtlasShard> {
    let kind = objects::kind_of(path)?;
    if !matches!(kind, Kind::Shard | Kind::CompressedShard) {
        return Err(Failure::new(
            Status::Foreign,
            format!("{} is not a shard: atlasm info says what it is", names::shown(path)),
        ));
    }
    Ok(info::read_shard(ctx, path, kind, root)?.0)
}

/// Adds the bytes of a shard to the reconstruction, and returns the properties of the shard.
fn add(ctx: &Ctx, path: &Path, shard: &AtlasShard, rebuilt: &AtlasReconstruction) -> Res<ShardInfo> {
    let size = shard.info().payload_size;
    ctx.operate(path, size, |operation: &mut Operation<'_>| rebuilt.add(shard, operation))
        .map_err(|failure| failure.while_doing(names::shown(path)))?;
    Ok(shard.info())
}
