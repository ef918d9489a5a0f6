//! `atlasm merge`: makes one outline or container from consecutive parts.

use super::seal;
use crate::context::{Ctx, Report};
use crate::damage::RANGE_OF;
use crate::names;
use crate::objects;
use crate::output::Staged;
use crate::status::{Failure, Res, Status};
use crate::units::{count, hex, human};
use atlas_manifold::{CommitOptions, Container, ContainerCreateOptions, ContainerMode, ContainerOptions};
use clap::Args;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Joins outlines of consecutive ranges, for example from several machines, to the outline of the whole file.
///
/// Each process or machine seals a range with 'atlasm seal --range'; all ranges but the last are multiples of
/// 1 MiB. No byte of the file is read, and the result equals that of a single seal. Containers can be joined
/// too, together with their bytes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm seal --range ..1GiB big.iso -o 0.atlas
  atlasm seal --range 1GiB.. big.iso -o 1.atlas     on another machine
  atlasm merge 0.atlas 1.atlas -o big.iso.atlas")]
pub(crate) struct Options {
    /// The parts, in the order of their ranges
    #[arg(value_name = "PART", required = true)]
    parts: Vec<PathBuf>,
    /// Name of the joined outline or container
    #[arg(short, long, value_name = "X.atlas")]
    output: PathBuf,
    /// Replaces an existing outline
    #[arg(short, long)]
    force: bool,
    /// Text stored in the outline, at most 1,024 bytes
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    match merge(ctx, options) {
        Ok(report) => ctx.report(Some(&options.output), report),
        Err(failure) => ctx.fail(Some(&options.output), &failure),
    }
}

fn merge(ctx: &Ctx, options: &Options) -> Res<Report> {
    let inputs: Vec<&Path> = options.parts.iter().map(PathBuf::as_path).collect();
    let staged = Staged::new(&options.output, options.force, &inputs)?;
    let mut opened = Vec::new();
    let (mut keep_chains, mut has_outline) = (true, false);
    let mut ranges = Vec::new();
    for part in &options.parts {
        let one = objects::open_container(ctx, part, ContainerMode::Read, None, ContainerOptions::default())?;
        keep_chains &= one.info.keeps_chains;
        let note = one.container.note(one.info.newest)?;
        ranges.push((part, range_of(&note, one.container.generation(0)?.domain_size)));
        has_outline |= one.is_outline();
        opened.push(one.container);
    }
    check_order(ctx, &ranges, has_outline)?;
    let parts: Vec<&Container> = opened.iter().collect();
    let create = ContainerCreateOptions { keep_chains, ..ContainerCreateOptions::default() };
    let note = options.note.clone().unwrap_or_default().into_bytes();
    let commit = CommitOptions { time: seal::now(), note, ..CommitOptions::default() };
    let size = 2 << 20;
    let made = ctx.operate(&options.output, size, |operation| {
        Container::merge(&parts, staged.path(), &create, &commit, operation)?.generation(0)
    });
    let made = made.map_err(|failure| match failure.status {
        Status::Usage => {
            failure.with_hint("name the parts in their order; all but the last are multiples of 1 MiB")
        }
        _ => failure,
    })?;
    let target = staged.target().to_owned();
    staged.finish()?;
    let mut report = Report::new(Status::Done, "merged");
    report
        .put("parts", options.parts.len())
        .put("size", made.domain_size)
        .put("tiles", made.tile_count)
        .put("root", hex(&made.root));
    let parts = count(options.parts.len() as u64, "part");
    report.line_of(&target, format!("{} of {parts}, root {}", human(made.domain_size), hex(&made.root)));
    Ok(report)
}

/// The range of a file that the outline of a part covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartRange {
    pub(crate) range: Range<u64>,
    /// Size of the whole file in bytes.
    pub(crate) whole: u64,
}

impl PartRange {
    /// Returns the note for the outline of a range: the size of the whole file and the range, and then `text`, which
    /// is the user's own text or the name of the file. A name of at most 255 bytes always fits the note.
    pub(crate) fn note(&self, text: &[u8]) -> Vec<u8> {
        let PartRange { range, whole } = self;
        let own = format!("{whole} bytes, {}..{}: ", range.start, range.end);
        [RANGE_OF, own.as_bytes(), text].concat()
    }
}

/// Parses the range at the beginning of the note of an outline of `size` bytes. `None` if the note has no range
/// of this size.
pub(crate) fn range_of(note: &[u8], size: u64) -> Option<PartRange> {
    let own = note.strip_prefix(RANGE_OF)?.split(|byte| *byte == b':').next()?;
    let (whole, range) = std::str::from_utf8(own).ok()?.split_once(" bytes, ")?;
    let (start, end) = range.split_once("..")?;
    let (start, end, whole): (u64, u64, u64) = (start.parse().ok()?, end.parse().ok()?, whole.parse().ok()?);
    (end.checked_sub(start)? == size && end <= whole).then_some(PartRange { range: start..end, whole })
}

/// Fails if parts of an outline leave out bytes of the file, or are not in the order of their ranges.
fn check_order(ctx: &Ctx, ranges: &[(&PathBuf, Option<PartRange>)], has_outline: bool) -> Res<()> {
    let known: Vec<(&PathBuf, &PartRange)> =
        ranges.iter().filter_map(|(part, range)| Some((*part, range.as_ref()?))).collect();
    if known.len() < ranges.len() {
        // Containers with their bytes may be joined in any order.
        if has_outline {
            ctx.warn("some parts do not state their range, so that the order was not checked");
        }
        return Ok(());
    }
    let mut end = 0;
    let whole = known.first().map_or(0, |(_, part)| part.whole);
    for (path, part) in &known {
        if part.range.start != end || part.whole != whole {
            let before = match end {
                0 => "the first part must begin at byte 0".to_owned(),
                _ => format!("the part before it ends at byte {end} of a file of {whole} bytes"),
            };
            let text = format!(
                "{} is the range {}..{} of a file of {} bytes, and {before}",
                names::shown(path),
                part.range.start,
                part.range.end,
                part.whole
            );
            return Err(Failure::usage(text).with_hint("name all parts of one file, in their order"));
        }
        end = part.range.end;
    }
    if end != whole {
        let text =
            format!("the last part ends at byte {end} of a file of {whole} bytes, so that parts are missing");
        return Err(Failure::new(Status::Incomplete, text).with_hint("name the parts after this offset too"));
    }
    Ok(())
}

/// Fails unless the range begins at a multiple of 1 MiB, and ends at a multiple of 1 MiB or with the file. Other
/// ranges cannot be merged. `size` is the size of the file.
pub(crate) fn check_range(file: &Path, range: &std::ops::Range<u64>, size: u64) -> Res<()> {
    let tile = atlas_manifold::TILE_SIZE as u64;
    if !range.start.is_multiple_of(tile) || !(range.end == size || range.end.is_multiple_of(tile)) {
        let text = format!(
            "the range {}..{} of {} does not begin and end at multiples of 1 MiB",
            range.start,
            range.end,
            names::shown(file)
        );
        return Err(Failure::usage(text).with_hint("the last range may end with the file"));
    }
    Ok(())
}
