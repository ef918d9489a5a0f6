//! `atlasm update`: makes the seals of a file match a change that was made on purpose.

use super::{seal, verify};
use crate::context::{Ctx, Report};
use crate::damage::{self, Findings, Guess, Outline};
use crate::names;
use crate::objects::{self, Opened};
use crate::output::Staged;
use crate::parity;
use crate::status::{Failure, Res, Status};
use crate::units::{RangeText, count, hex, human};
use crate::walk;
use atlas_manifold::{
    AtlasBoundaryRegion, AtlasParity, CommitOptions, ContainerMode, ContainerOptions, ParityInfo, TILE_SIZE,
};
use clap::Args;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Brings the outline and the parity file up to date after a file was changed on purpose.
///
/// With --ranges only these ranges count as changed: if other bytes differ, they count as damage, and nothing
/// is written. Without --ranges, every difference counts as a change. The outline keeps the root of the old
/// bytes in its log.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm update log.txt                           all that differs was meant
  atlasm update --ranges 0+4096 --ranges 1MiB.. db")]
pub(crate) struct Options {
    /// Sealed files whose seals are updated
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// A range of bytes that was changed on purpose; may be given several times
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true)]
    ranges: Vec<RangeText>,
    /// The outline, or a folder of outlines
    #[arg(long, value_name = "PATH")]
    outline: Option<PathBuf>,
    /// The parity file, or a folder of parity files
    #[arg(long, value_name = "PATH")]
    parity: Option<PathBuf>,
    /// Updates the files in folders that have seals
    #[arg(short, long)]
    recursive: bool,
    /// Text stored in the outline, at most 1,024 bytes
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Lists the ranges that count as changed, and writes nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    let (outline, parity) = (options.outline.as_deref(), options.parity.as_deref());
    let files = walk::sealed(ctx, &options.files, options.recursive, outline, parity)?;
    ctx.each(&files, |file| update(ctx, options, file))
}

fn update(ctx: &Ctx, options: &Options, file: &Path) -> Res<Report> {
    let size = objects::size_of(file)?;
    let given =
        names::seal_of(options.outline.as_deref(), walk::below(&options.files, file), file, names::ATLAS);
    let outline = damage::find_outline(ctx, file, given.as_deref(), Guess::Never)?
        .ok_or_else(|| verify::no_seals(file))?;
    let parity =
        names::seal_of(options.parity.as_deref(), walk::below(&options.files, file), file, names::PARITY);
    let parity = parity::find(file, Some(&outline.path), parity);
    let findings = damage::find(ctx, file, &outline)?;
    if findings.bad_records > 0 {
        let why = count(findings.bad_records, "record");
        return Err(damage::outline_damaged(
            file,
            &outline.path,
            &format!("{why} of the outline cannot be read"),
        ));
    }
    let changed = changed(file, options, &outline, &findings, size)?;
    let bytes: u64 = changed.iter().map(|range| range.end - range.start).sum();
    let is_same = findings.bad.is_empty() && size == outline.size;
    let mut report = Report::new(Status::Done, result(is_same, options.dry_run));
    report
        .put("dry_run", options.dry_run)
        .put("changed_bytes", bytes)
        .put("size", size)
        .put("old_size", outline.size)
        .put_path("outline", &outline.path)
        .put("damage", findings.bad.iter().map(damage::Bad::json).collect::<Vec<_>>());
    if is_same {
        report.put("root", hex(&outline.root));
        let stale = match &parity {
            Some(path) => stale_parity(ctx, file, path, &outline, &findings)?,
            None => None,
        };
        let Some((path, old)) = stale else {
            report.line_of(file, "as it was sealed, nothing to update");
            return Ok(report);
        };
        let shown = names::shown(path);
        report.put("result", result(false, options.dry_run)).put_path("parity", path);
        if options.dry_run {
            report.line_of(
                file,
                format!("as it was sealed; {shown} was made of other bytes, and would be made anew"),
            );
            return Ok(report);
        }
        parity_anew(ctx, file, path, &old)?.finish()?;
        report.line_of(file, format!("as it was sealed; {shown} was made of other bytes, and is made anew"));
        return Ok(report);
    }
    let change = change(&findings, outline.size, size);
    if size < outline.size {
        let lost = human(outline.size - size);
        let name = names::shown(file);
        ctx.warn(&format!(
            "{name} is {lost} shorter than when it was sealed; updated seals cannot bring these bytes back. \
             If the cut was not meant: atlasm repair {}",
            names::quoted(file)
        ));
    }
    if options.dry_run {
        report.line_of(file, format!("would be updated: {change}"));
        findings.bad.iter().for_each(|bad| report.line(bad.line()));
        if size > outline.size {
            let appended = human(size - outline.size);
            report.line(format!("  {}..{size}  {appended}, appended", outline.size));
        }
        return Ok(report);
    }

    // The new parity file is complete before the outline records the change.
    let staged = match &parity {
        Some(path) => Some(new_parity(ctx, file, path, &outline, &changed, size)?),
        None => None,
    };
    let (generation, root) = commit(ctx, options, file, &outline, &changed, size)?;
    if let Some(staged) = staged {
        report.put_path("parity", staged.target());
        staged.finish()?;
    }
    report.put("generation", generation).put("root", hex(&root));
    report.line_of(file, format!("updated, {change}, root {}", hex(&root)));
    Ok(report)
}

/// Returns the description of a change for people: the number of changed bytes, and the change of the size of the
/// file from `old` to `new` bytes.
fn change(findings: &Findings, old: u64, new: u64) -> String {
    let mut parts = Vec::new();
    let kept = findings.bad.iter().filter(|bad| bad.offset < new);
    let (ranges, bytes) =
        kept.fold((0, 0), |(ranges, bytes), bad| (ranges + 1, bytes + bad.end().min(new) - bad.offset));
    if ranges > 0 {
        parts.push(format!("{} in {} changed", human(bytes), count(ranges, "range")));
    }
    if new > old {
        parts.push(format!("{} appended", human(new - old)));
    }
    if new < old {
        parts.push(format!("{} cut off", human(old - new)));
    }
    if new != old {
        parts.push(format!("{old} bytes are {new} now"));
    }
    parts.join(", ")
}

fn result(is_same: bool, dry_run: bool) -> &'static str {
    match (is_same, dry_run) {
        (true, _) => "unchanged",
        (false, true) => "would-update",
        (false, false) => "updated",
    }
}

/// Returns the path and the properties of the parity file if it was made of other bytes than the file has. The
/// caller has found no difference between the file and its outline: `findings` has no bad range.
fn stale_parity<'p>(
    ctx: &Ctx,
    file: &Path,
    path: &'p Path,
    outline: &Outline,
    findings: &Findings,
) -> Res<Option<(&'p Path, ParityInfo)>> {
    let mut checked = parity::check(ctx, file, path, None)?;
    checked.compare(outline, findings);
    Ok(checked.is_stale.then_some((path, checked.info)))
}

/// Writes a new parity file of the present bytes of `file` under a temporary name. It gets the same share of
/// the size as the old parity file.
pub(crate) fn parity_anew(ctx: &Ctx, file: &Path, path: &Path, old: &ParityInfo) -> Res<Staged> {
    let source = ctx.source(file)?;
    let staged = Staged::new(path, true, &[file])?;
    let share = u64::from(old.parity_columns) * 10_000 / u64::from(old.data_columns.max(1));
    let share = u32::try_from(share.clamp(1, 10_000)).unwrap_or(10_000);
    let options = ctx.parity_options().with_redundancy(share);
    ctx.operate(file, source.size().max(2 * TILE_SIZE as u64), |operation| {
        AtlasParity::create(&source, staged.path(), &options, operation)
    })?;
    Ok(staged)
}

/// Returns the changed ranges of the file. Fails if a range outside of `--ranges` differs, because it counts as
/// damage.
fn changed(
    file: &Path,
    options: &Options,
    outline: &Outline,
    findings: &Findings,
    size: u64,
) -> Res<Vec<Range<u64>>> {
    let mut found: Vec<Range<u64>> = findings
        .bad
        .iter()
        .map(|bad| bad.offset..bad.end().min(size))
        .filter(|range| !range.is_empty())
        .collect();
    if size > outline.size {
        found.push(outline.size..size);
    }
    if options.ranges.is_empty() {
        return Ok(found);
    }
    let mut named = Vec::new();
    for range in &options.ranges {
        named.push(range.resolve(size)?);
    }
    // The unit of the search is larger than a byte: a range that touches a named range counts as changed on
    // purpose.
    for one in &found {
        if !named.iter().any(|named| named.start < one.end && one.start < named.end) {
            let text = format!(
                "{} also differs at {}..{}, outside of --ranges: these bytes are damaged",
                names::shown(file),
                one.start,
                one.end
            );
            let hint = format!(
                "atlasm repair {} brings the sealed bytes back; nothing was written",
                names::quoted(file)
            );
            return Err(Failure::new(Status::Differs, text).with_hint(hint));
        }
    }
    Ok(found)
}

/// Writes the parity file of the changed file under a temporary name. The old parity file is updated if
/// possible, and made anew otherwise.
fn new_parity(
    ctx: &Ctx,
    file: &Path,
    path: &Path,
    outline: &Outline,
    changed: &[Range<u64>],
    size: u64,
) -> Res<Staged> {
    let parity = parity::open(ctx, path, None)?;
    let source = ctx.source(file)?;
    let regions: Vec<AtlasBoundaryRegion> =
        changed.iter().map(|range| AtlasBoundaryRegion::new(range.start, range.end - range.start)).collect();
    let staged = Staged::new(path, true, &[file])?;
    let work = size.max(2 * TILE_SIZE as u64);
    let options = ctx.parity_options();
    let updated = ctx.operate(file, work, |operation| {
        parity.update(&source, &regions, staged.path(), &options, operation)
    });
    let info = parity.info();
    match updated {
        Ok(()) => Ok(staged),
        // The rows of the old parity file do not fit the new size, or it was made of other bytes. A new
        // parity file is safe, because all unchanged bytes were verified against the outline.
        Err(failure)
            if failure.status == Status::Differs
                || failure.status == Status::Usage && size != outline.size =>
        {
            drop(staged);
            parity_anew(ctx, file, path, &info)
        }
        Err(failure) => Err(failure.while_doing(names::shown(path)).with_hint("nothing was written")),
    }
}

/// Commits the present bytes of the file as the newest generation of its outline. Returns the number and the root of
/// the generation.
fn commit(
    ctx: &Ctx,
    options: &Options,
    file: &Path,
    outline: &Outline,
    changed: &[Range<u64>],
    size: u64,
) -> Res<(u64, [u8; 32])> {
    let source = ctx.source(file)?;
    let handle = ContainerOptions { base: Some(source.clone()), ..ContainerOptions::default() };
    let opened: Opened = objects::open_container(ctx, &outline.path, ContainerMode::Write, None, handle)?;
    opened.container.set_base(Some(&source))?;
    let note = options.note.clone().unwrap_or_else(|| "update".to_owned()).into_bytes();
    let commit = CommitOptions { expected: outline.generation, time: seal::now(), note };
    // All other bytes were just verified.
    let regions: Vec<AtlasBoundaryRegion> =
        changed.iter().map(|range| AtlasBoundaryRegion::new(range.start, range.end - range.start)).collect();
    let work = size.max(2 * TILE_SIZE as u64);
    let generation = ctx.operate(file, work, |operation| {
        opened.container.import_regions(&source, &regions, &commit, operation)
    })?;
    Ok((generation, opened.container.generation(generation)?.root))
}
