//! `atlasm diff`: lists the ranges in which two files differ.

use crate::context::{Ctx, Report};
use crate::damage::Bad;
use crate::names;
use crate::objects::{self, Kind};
use crate::status::{Failure, Res, Status};
use crate::units::{count, human};
use atlas_manifold::{
    AtlasProjection, ContainerMode, ContainerOptions, DamageKind, PAGE_SIZE, ProjectionType,
};
use clap::Args;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Lists the ranges of bytes in which two files, outlines or containers differ.
///
/// Digests are compared first, so that equal outlines and containers are not read. If the bytes of both are
/// available, ranges are exact to pages of 4 KiB; else to parts of 16 KiB, or, with a coarse outline, to
/// tiles of at most 1 MiB.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm diff old.iso new.iso
  atlasm diff monday.atlas tuesday.atlas      two outlines, without the files
  atlasm diff --generation-a 1 book.atlas book.atlas")]
pub(crate) struct Options {
    /// A file, an outline or a container
    #[arg(value_name = "A")]
    a: PathBuf,
    /// Another file, outline or container
    #[arg(value_name = "B")]
    b: PathBuf,
    /// Generation of A; 0 or none means the newest
    #[arg(long, value_name = "G", default_value_t = 0, hide_default_value = true)]
    generation_a: u64,
    /// Generation of B; 0 or none means the newest
    #[arg(long, value_name = "G", default_value_t = 0, hide_default_value = true)]
    generation_b: u64,
}

/// One of the two files or generations that are compared.
struct Side {
    projection: AtlasProjection,
    /// True if the bytes can be read. False for an outline without its file.
    has_bytes: bool,
    size: u64,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    match diff(ctx, options) {
        Ok(report) => ctx.report(Some(&options.a), report),
        Err(failure) => ctx.fail(Some(&options.a), &failure),
    }
}

fn open(ctx: &Ctx, path: &Path, generation: u64) -> Res<Side> {
    match objects::kind_of(path)? {
        Kind::Container => {
            let opened =
                objects::open_container(ctx, path, ContainerMode::Read, None, ContainerOptions::default())?;
            let projection =
                ctx.operate(path, 0, |operation| opened.container.snapshot(generation, true, operation))?;
            let info = projection.info();
            let has_bytes = !opened.is_outline() || opened.base.is_some();
            Ok(Side { has_bytes, size: info.domain_size, projection })
        }
        Kind::Plain => {
            let source = ctx.source(path)?;
            let options = ctx.projection_options();
            let projection = ctx.operate(path, source.size(), |operation| {
                AtlasProjection::create(ProjectionType::Linear, &source, &options, operation)
            })?;
            let info = projection.info();
            Ok(Side { has_bytes: true, size: info.domain_size, projection })
        }
        other => Err(Failure::usage(format!(
            "{} is a {}: diff compares files, outlines and containers",
            names::shown(path),
            other.name()
        ))),
    }
}

/// Returns the ranges that are not known to be equal by their digests, up to the end of the shorter side.
fn unequal(ctx: &Ctx, path: &Path, a: &Side, b: &Side) -> Res<Vec<Range<u64>>> {
    let found = ctx.operate(path, a.size, |operation| a.projection.diff(&b.projection, operation))?;
    let end = a.size.min(b.size);
    let ranges = found.iter().map(|region| region.offset.min(end)..region.end().min(end));
    Ok(ranges.filter(|range| !range.is_empty()).collect())
}

/// Returns the pages of 4 KiB in these ranges whose bytes differ. Adjacent pages are merged.
fn differing_pages(ctx: &Ctx, a: &Side, b: &Side, ranges: &[Range<u64>]) -> Res<Vec<Range<u64>>> {
    const STEP: u64 = 1 << 20;
    let mut out: Vec<Range<u64>> = Vec::new();
    let (mut of_a, mut of_b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    for range in ranges {
        let mut at = range.start;
        while at < range.end {
            if ctx.is_stopped() {
                return Err(Failure::new(
                    Status::Cancelled,
                    "stopped by a signal before all bytes were compared",
                ));
            }
            let end = (at / STEP + 1).saturating_mul(STEP).min(range.end);
            let len = usize::try_from(end - at).unwrap_or(1 << 20);
            a.projection.read(at, &mut of_a[..len])?;
            b.projection.read(at, &mut of_b[..len])?;
            let mut start = 0;
            while start < len {
                // Pages are counted from the start of the file.
                let offset = at + start as u64;
                let page = PAGE_SIZE as u64;
                let stop = usize::try_from((offset / page + 1) * page - at).unwrap_or(len).min(len);
                if of_a[start..stop] != of_b[start..stop] {
                    let found = offset..at + stop as u64;
                    match out.last_mut() {
                        Some(last) if last.end == found.start => last.end = found.end,
                        _ => out.push(found),
                    }
                }
                start = stop;
            }
            at = end;
        }
    }
    Ok(out)
}

fn diff(ctx: &Ctx, options: &Options) -> Res<Report> {
    let (a, b) = (open(ctx, &options.a, options.generation_a)?, open(ctx, &options.b, options.generation_b)?);
    let mut ranges = unequal(ctx, &options.a, &a, &b)?;
    let is_exact = a.has_bytes && b.has_bytes;
    if is_exact {
        ranges = differing_pages(ctx, &a, &b, &ranges)?;
    }
    let (shorter, longer) = (a.size.min(b.size), a.size.max(b.size));
    let mut found: Vec<Bad> = ranges
        .iter()
        .map(|range| Bad {
            kind: DamageKind::Differs,
            offset: range.start,
            length: range.end - range.start,
            os_error: 0,
        })
        .collect();
    if shorter < longer {
        found.push(Bad { kind: DamageKind::Missing, offset: shorter, length: longer - shorter, os_error: 0 });
    }
    let bytes: u64 = found.iter().map(|bad| bad.length).sum();
    let status = if found.is_empty() { Status::Done } else { Status::Differs };
    let mut report = Report::new(status, if found.is_empty() { "equal" } else { "differ" });
    report
        .put_path("other", &options.b)
        .put("size", a.size)
        .put("other_size", b.size)
        .put("exact", is_exact)
        .put("differing_bytes", bytes)
        .put("ranges", found.iter().map(Bad::json).collect::<Vec<_>>());
    if found.is_empty() {
        report.line_of(&options.a, format!("equal to {}, {}", names::shown(&options.b), human(a.size)));
    } else {
        let ranges = count(found.len() as u64, "range");
        report.line_of(
            &options.a,
            format!("{} in {ranges} differ from {}", human(bytes), names::shown(&options.b)),
        );
    }
    for bad in &found {
        let line = bad.line();
        let whose = if a.size < b.size { &options.a } else { &options.b };
        report.line(match bad.kind {
            DamageKind::Missing => format!("{line} in {}", names::shown(whose)),
            _ => line,
        });
    }
    Ok(report)
}
